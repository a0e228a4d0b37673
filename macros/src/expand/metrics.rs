//! `#[derive(Metrics)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Path};

use super::{derive, respan};
use crate::check;
use crate::ir::{MetricField, Metrics, Reduce};

pub(crate) fn metrics(item: TokenStream) -> TokenStream {
    derive(item, "metric", check::metrics, implementation, recovery)
}

/// Generic metrics would need bounds of their own here.
fn recovery(krate: &Path, input: &DeriveInput) -> TokenStream {
    let name = &input.ident;
    if !input.generics.params.is_empty() {
        return TokenStream::new();
    }
    quote! {
        #[automatically_derived]
        impl #krate::__private::Metrics for #name {
            fn reduce(_: &#krate::__private::Ranks<Self>) -> Self {
                #krate::__private::not_compiled()
            }
        }
    }
}

fn implementation(metrics: &Metrics) -> TokenStream {
    let krate = &metrics.krate;
    let name = &metrics.input.ident;
    let fields = metrics.fields.iter().map(|field| reduced(krate, field));
    quote! {
        #[automatically_derived]
        impl #krate::__private::Metrics for #name {
            fn reduce(ranks: &#krate::__private::Ranks<Self>) -> Self {
                Self { #(#fields),* }
            }
        }
    }
}

/// The call lies at the field's type, so that a type with no mean is marked there.
fn reduced(krate: &Path, field: &MetricField) -> TokenStream {
    let name = &field.name;
    let span = field.ty.span();
    let krate = respan(quote!(#krate), span);
    let call = match field.reduce {
        Reduce::Mean => quote_spanned!(span=> #krate::__private::mean(ranks, |metrics: &Self| metrics.#name)),
        Reduce::Sum => quote_spanned!(span=> #krate::__private::sum(ranks, |metrics: &Self| metrics.#name)),
        Reduce::Min => quote_spanned!(span=> #krate::__private::min(ranks, |metrics: &Self| metrics.#name)),
        Reduce::Max => quote_spanned!(span=> #krate::__private::max(ranks, |metrics: &Self| metrics.#name)),
        Reduce::First => quote_spanned!(span=> #krate::__private::first(ranks, |metrics: &Self| &metrics.#name)),
    };
    quote!(#name: #call)
}
