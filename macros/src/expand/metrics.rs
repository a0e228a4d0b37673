//! `#[derive(Metrics)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
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
    let reduced = metrics.fields.iter().map(|field| reduced(krate, field));
    let described = metrics.fields.iter().map(|field| described(krate, field));
    let ranks = if metrics.fields.is_empty() { quote!(_) } else { quote!(__ranks) };
    quote! {
        #[automatically_derived]
        impl #krate::__private::Metrics for #name {
            fn reduce(#ranks: &#krate::__private::Ranks<Self>) -> Self {
                Self { #(#reduced),* }
            }

            fn fields() -> #krate::__private::Vec<#krate::__private::MetricField> {
                <#krate::__private::Fields as #krate::__private::Default>::default() #(#described)* .done()
            }
        }
    }
}

/// The call lies at the field's type, so that a type with no mean is marked there.
fn reduced(krate: &Path, field: &MetricField) -> TokenStream {
    let MetricField { name, ty, .. } = field;
    let span = ty.span();
    let private = respan(quote!(#krate::__private), span);
    let copied = quote_spanned!(span=> |__metrics: &Self| __metrics.#name);
    let lent = quote_spanned!(span=> |__metrics: &Self| &__metrics.#name);
    let call = match field.reduce {
        Reduce::Mean => quote_spanned!(span=> #private::mean(__ranks, #copied)),
        Reduce::Sum => quote_spanned!(span=> #private::sum(__ranks, #copied)),
        Reduce::Min => quote_spanned!(span=> #private::min(__ranks, #copied)),
        Reduce::Max => quote_spanned!(span=> #private::max(__ranks, #copied)),
        Reduce::Last => quote_spanned!(span=> #private::last(__ranks, #lent)),
        Reduce::None => quote_spanned!(span=> #private::first(__ranks, #lent)),
        Reduce::Nested => quote_spanned!(span=> #private::nested(__ranks, #lent, <#ty as #private::Metrics>::reduce)),
    };
    quote!(#name: #call)
}

fn described(krate: &Path, field: &MetricField) -> TokenStream {
    let MetricField { name, ty, reduce, unit } = field;
    let name = name.unraw().to_string();
    let reduction = match reduce {
        Reduce::Mean => quote!(Mean),
        Reduce::Sum => quote!(Sum),
        Reduce::Min => quote!(Min),
        Reduce::Max => quote!(Max),
        Reduce::Last => quote!(Last),
        Reduce::None => quote!(None),
        Reduce::Nested => {
            let private = respan(quote!(#krate::__private), ty.span());
            return quote_spanned!(ty.span()=> .nested(#name, <#ty as #private::Metrics>::fields));
        }
    };
    let unit =
        if let Some(unit) = unit { quote!(#krate::__private::Some(#unit)) } else { quote!(#krate::__private::None) };
    quote!(.field(#name, #krate::__private::Reduction::#reduction, #unit))
}
