//! `#[derive(Collate)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Ident, Index, Path};

use super::{derive, respan};
use crate::check;
use crate::ir::{Collate, CollateField};
use crate::report::Report;

pub(crate) fn collate(item: TokenStream) -> TokenStream {
    derive(item, "collate", check::collate, implementation, recovery)
}

/// The batch of what was understood, so that code which uses it gives no message of its own.
fn recovery(_: &Path, input: &DeriveInput) -> TokenStream {
    let is_struct = matches!(input.data, Data::Struct(_));
    if !is_struct || !input.generics.params.is_empty() {
        return TokenStream::new();
    }
    let understood = check::collate(input.clone(), &mut Report::default());
    understood.filter(|collate| !collate.fields.is_empty()).as_ref().map(implementation).unwrap_or_default()
}

fn implementation(collate: &Collate) -> TokenStream {
    let Collate { krate, input, name: batch, fields } = collate;
    let sample = &input.ident;
    let visibility = &input.vis;
    let doc = format!(" A batch of [`{sample}`]s: each field has those of all samples.");
    let types = fields.iter().map(|field| &field.ty);
    let names = fields.iter().map(|field| &field.name);
    let places: Vec<_> = (0..fields.len()).map(Index::from).collect();
    let declared = fields.iter().map(|field| declared(krate, field));
    let collated = fields.iter().zip(&places).map(|(field, place)| collated(krate, field, place));
    let bounds = bounds(krate, fields);
    let shown = fields.iter().map(|field| shown(&field.name));
    let mapped = fields.iter().map(|field| mapped(krate, &field.name));
    quote! {
        #[doc = #doc]
        #[allow(dead_code, trivial_bounds)]
        #visibility struct #batch #bounds {
            #(#declared),*
        }

        #[automatically_derived]
        #[allow(trivial_bounds)]
        impl #krate::__private::Debug for #batch #bounds {
            fn fmt(&self, __f: &mut #krate::__private::Formatter<'_>) -> #krate::__private::FmtResult {
                __f.debug_struct(#krate::__private::stringify!(#batch)) #(#shown)* .finish()
            }
        }

        #[automatically_derived]
        #[allow(trivial_bounds)]
        impl #krate::__private::MapTensors for #batch #bounds {
            fn map_tensors(
                self,
                __map: &mut #krate::__private::TensorMap<'_>,
            ) -> #krate::__private::Result<Self, #krate::__private::Error> {
                #krate::__private::Ok(Self { #(#mapped),* })
            }
        }

        #[automatically_derived]
        #[allow(trivial_bounds)]
        impl #krate::__private::Collate for #sample #bounds {
            type Batch = #batch;

            fn collate(
                __samples: #krate::__private::Vec<Self>,
            ) -> #krate::__private::Result<#batch, #krate::__private::Error> {
                let mut __columns = (#(#krate::__private::Vec::<#types>::with_capacity(__samples.len()),)*);
                for __sample in __samples {
                    #(__columns.#places.push(__sample.#names);)*
                }
                #krate::__private::Ok(#batch { #(#collated),* })
            }
        }
    }
}

/// That each field has a batch: told of one that has none once, at its type, and taken for granted everywhere else.
fn bounds(krate: &Path, fields: &[CollateField]) -> TokenStream {
    let bounds = fields.iter().filter(|field| field.pad.is_none()).map(|CollateField { ty, .. }| {
        let private = respan(quote!(#krate::__private), ty.span());
        quote_spanned!(ty.span()=> #ty: #private::Collate)
    });
    quote!(where #(#bounds),*)
}

fn shown(name: &Ident) -> TokenStream {
    let text = name.unraw().to_string();
    quote!(.field(#text, &self.#name))
}

fn mapped(krate: &Path, name: &Ident) -> TokenStream {
    quote!(#name: #krate::__private::MapTensors::map_tensors(self.#name, __map)?)
}

/// A field of the batch, marked at the sample's field's type where that has no batch.
fn declared(krate: &Path, field: &CollateField) -> TokenStream {
    let CollateField { name, visibility, ty, pad } = field;
    let doc = format!(" The samples' `{}`.", name.unraw());
    let private = respan(quote!(#krate::__private), ty.span());
    let ty = if pad.is_some() {
        quote!(#krate::__private::Padded)
    } else {
        quote_spanned!(ty.span()=> <#ty as #private::Collate>::Batch)
    };
    quote!(#[doc = #doc] #visibility #name: #ty)
}

fn collated(krate: &Path, field: &CollateField, place: &Index) -> TokenStream {
    let CollateField { name, ty, pad, .. } = field;
    let text = name.unraw().to_string();
    let private = respan(quote!(#krate::__private), ty.span());
    if let Some(value) = pad {
        quote_spanned!(ty.span()=> #name: #private::pad_field::<#ty>(#text, __columns.#place, #value)?)
    } else {
        quote_spanned!(ty.span()=> #name: #private::collate_field::<#ty>(#text, __columns.#place)?)
    }
}
