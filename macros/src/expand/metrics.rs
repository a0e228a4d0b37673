//! `#[derive(Metrics)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::respan;
use crate::check;
use crate::ir::{MetricField, Metrics, Reduce};
use crate::report::Report;

pub(crate) fn metrics(item: TokenStream) -> TokenStream {
    let input = match syn::parse2(item) {
        Ok(input) => input,
        Err(error) => return error.to_compile_error(),
    };
    let mut report = Report::default();
    let metrics = check::metrics(input, &mut report);
    if let Err(messages) = report.check() {
        return messages;
    }
    metrics.map(|metrics| implementation(&metrics)).unwrap_or_default()
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
fn reduced(krate: &syn::Path, field: &MetricField) -> TokenStream {
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
