//! `#[derive(TrainState)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::visit::Visit;
use syn::{DeriveInput, Path};

use super::{derive, respan};
use crate::check;
use crate::ir::{StateField, StateKind, TrainState};

pub(crate) fn train_state(item: TokenStream) -> TokenStream {
    derive(item, "state", check::train_state, implementation, recovery)
}

fn recovery(krate: &Path, input: &DeriveInput) -> TokenStream {
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #impl_generics #krate::__private::TrainState for #name #type_generics #where_clause {
            fn save(&self, _: &mut #krate::__private::StateWriter) -> #krate::Result<()> {
                #krate::__private::not_compiled()
            }

            fn restore(&mut self, _: &#krate::__private::StateReader<'_>) -> #krate::Result<()> {
                #krate::__private::not_compiled()
            }
        }
    }
}

fn implementation(state: &TrainState) -> TokenStream {
    let TrainState { krate, input, fields } = state;
    let name = &input.ident;
    let saves = fields.iter().map(|field| save(krate, field));
    let restores = fields.iter().map(|field| restore(krate, field));
    let generics = bounded(state);
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #impl_generics #krate::__private::TrainState for #name #type_generics #where_clause {
            fn save(&self, out: &mut #krate::__private::StateWriter) -> #krate::Result<()> {
                #(#saves)*
                ::core::result::Result::Ok(())
            }

            fn restore(&mut self, from: &#krate::__private::StateReader<'_>) -> #krate::Result<()> {
                #(#restores)*
                ::core::result::Result::Ok(())
            }
        }
    }
}

/// The call lies at the field's type, so that a type that cannot be saved is marked there.
fn save(krate: &Path, field: &StateField) -> TokenStream {
    let StateField { member, ty, name, kind } = field;
    let span = ty.span();
    let private = respan(quote!(#krate::__private), span);
    let call = match kind {
        StateKind::Part => quote_spanned!(span=> <#ty as #private::TrainState>::save(&self.#member, out)),
        StateKind::Value => quote_spanned!(span=> #private::save_value::<#ty>(&self.#member, out)),
    };
    quote!(out.field(#name, |out| #call)?;)
}

fn restore(krate: &Path, field: &StateField) -> TokenStream {
    let StateField { member, ty, name, kind } = field;
    // Where the type does not fit, `save` has said so at the same place: rustc shows equal errors once.
    let span = ty.span();
    let private = respan(quote!(#krate::__private), span);
    let call = match kind {
        StateKind::Part => quote_spanned!(span=> <#ty as #private::TrainState>::restore(&mut self.#member, from)),
        StateKind::Value => quote_spanned!(span=> #private::restore_value::<#ty>(&mut self.#member, from)),
    };
    quote!(from.field(#name, |from| #call)?;)
}

/// The struct's generics, with a bound for each field whose type has a parameter in it.
fn bounded(state: &TrainState) -> syn::Generics {
    let TrainState { krate, input, fields } = state;
    let mut generics = input.generics.clone();
    let parameters: Vec<_> = generics.type_params().map(|parameter| parameter.ident.clone()).collect();
    for StateField { ty, kind, .. } in fields {
        let mut mentions = Mentions { parameters: &parameters, found: false };
        mentions.visit_type(ty);
        if mentions.found {
            let bound: syn::WherePredicate = match kind {
                StateKind::Part => syn::parse_quote!(#ty: #krate::__private::TrainState),
                StateKind::Value => syn::parse_quote!(#ty: #krate::__private::StateValue),
            };
            generics.make_where_clause().predicates.push(bound);
        }
    }
    generics
}

/// Looks for a type parameter in a type.
struct Mentions<'a> {
    parameters: &'a [syn::Ident],
    found: bool,
}

impl<'ast> Visit<'ast> for Mentions<'_> {
    fn visit_ident(&mut self, ident: &'ast syn::Ident) {
        self.found |= self.parameters.contains(ident);
    }
}
