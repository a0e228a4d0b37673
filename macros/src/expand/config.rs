//! `#[derive(Config)]`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{DeriveInput, Ident, Path};

use super::{derive, respan};
use crate::check;
use crate::ir::{Config, ConfigField, ConfigKind, DefaultValue};

pub(crate) fn config(item: TokenStream) -> TokenStream {
    derive(item, "config", check::config, implementation, recovery)
}

/// A generic config would need bounds of their own here.
fn recovery(krate: &Path, input: &DeriveInput) -> TokenStream {
    let name = &input.ident;
    if !input.generics.params.is_empty() {
        return TokenStream::new();
    }
    quote! {
        #[automatically_derived]
        impl #krate::__private::Config for #name {
            fn declare() -> #krate::__private::Declaration {
                #krate::__private::not_compiled()
            }

            fn read(_: &#krate::__private::Given) -> #krate::__private::Result<Self, #krate::__private::Mistake> {
                #krate::__private::not_compiled()
            }
        }
    }
}

fn implementation(config: &Config) -> TokenStream {
    let Config { krate, input, doc, fields } = config;
    let name = &input.ident;
    // A name that no default's expression can mean.
    let given = Ident::new("__given", Span::mixed_site());
    let declared = fields.iter().map(|field| declared(krate, field));
    let read = fields.iter().map(|field| read(krate, &given, field));
    quote! {
        #[automatically_derived]
        // A default is lent, and a user writes `vec![…]`; it is put off, and a user writes a call.
        #[allow(clippy::useless_vec, clippy::redundant_closure)]
        impl #krate::__private::Config for #name {
            fn declare() -> #krate::__private::Declaration {
                #krate::__private::Declaration::new(#doc) #(.option(#declared))*
            }

            fn read(
                #given: &#krate::__private::Given,
            ) -> #krate::__private::Result<Self, #krate::__private::Mistake> {
                #krate::__private::Ok(Self { #(#read),* })
            }
        }
    }
}

/// The option as the help shows it.
fn declared(krate: &Path, field: &ConfigField) -> TokenStream {
    let ConfigField { name, long, doc, kind, value: ty, default } = field;
    let name = name.unraw().to_string();
    let kind = match (kind, default) {
        (ConfigKind::One, None) => quote!(Required),
        (ConfigKind::One, Some(_)) => quote!(Defaulted),
        (ConfigKind::Optional, _) => quote!(Optional),
        (ConfigKind::Flag, _) => quote!(Flag),
        (ConfigKind::Many, _) => quote!(Many),
    };
    let default = default.as_ref().map(|default| match default {
        DefaultValue::Literal { text, .. } => quote!(.default(#text)),
        DefaultValue::Expression(value) => {
            let krate = respan(quote!(#krate), value.span());
            if let ConfigKind::Many = field.kind {
                let call = quote_spanned!(value.span()=> #krate::__private::shown_list::<#ty>(&(#value)));
                quote!(.defaults(#call))
            } else {
                let call = quote_spanned!(value.span()=> #krate::__private::shown::<#ty>(&(#value)));
                quote!(.default(#call))
            }
        }
    });
    quote!(#krate::__private::Declared::new(#long, #name, #doc, #krate::__private::Occurs::#kind)#default)
}

/// The field's value. The call lies at the type that is read, so that one without `FromStr` is marked there.
fn read(krate: &Path, given: &Ident, field: &ConfigField) -> TokenStream {
    let ConfigField { name, long, kind, value: ty, default, .. } = field;
    let span = ty.span();
    let default = default.as_ref().map(|default| match default {
        DefaultValue::Literal { value, is_text: true, .. } => {
            let krate = respan(quote!(#krate), value.span());
            quote_spanned!(value.span()=> #krate::__private::from_text::<#ty>(#value))
        }
        DefaultValue::Literal { value, .. } | DefaultValue::Expression(value) => quote!(#value),
    });
    let call = match (kind, default) {
        (ConfigKind::One, None) => quote_spanned!(span=> #given.one::<#ty>(#long)?),
        (ConfigKind::One, Some(default)) => quote_spanned!(span=> #given.one_or::<#ty>(#long, || #default)?),
        (ConfigKind::Optional, _) => quote_spanned!(span=> #given.optional::<#ty>(#long)?),
        (ConfigKind::Flag, None) => quote_spanned!(span=> #given.flag(#long, false)?),
        (ConfigKind::Flag, Some(default)) => quote_spanned!(span=> #given.flag(#long, #default)?),
        (ConfigKind::Many, None) => quote_spanned!(span=> #given.many::<#ty>(#long)?),
        (ConfigKind::Many, Some(default)) => quote_spanned!(span=> #given.many_or::<#ty>(#long, || #default)?),
    };
    quote!(#name: #call)
}
