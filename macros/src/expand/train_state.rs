//! `#[derive(TrainState)]`.

#[cfg(test)]
mod tests;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::visit::Visit;
use syn::{DeriveInput, Expr, ExprPath, GenericParam, Path, Type};

use super::{derive, respan};
use crate::check;
use crate::ir::{Absent, SavedNames, StateBody, StateField, StateKind, StateVariant, TrainState};

pub(crate) fn train_state(item: TokenStream) -> TokenStream {
    derive(item, "state", check::train_state, implementation, recovery)
}

fn recovery(krate: &Path, input: &DeriveInput) -> TokenStream {
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #impl_generics #krate::__private::TrainState for #name #type_generics #where_clause {
            fn save(&self, _: &mut #krate::__private::StateWriter) -> #krate::__private::Result<(), #krate::__private::Error> {
                #krate::__private::not_compiled()
            }

            fn restore(&mut self, _: &#krate::__private::StateReader<'_>) -> #krate::__private::Result<(), #krate::__private::Error> {
                #krate::__private::not_compiled()
            }
        }
    }
}

/// The template's own names are its alone (`mixed_site`): a default that the user writes sees neither them nor `self`.
fn implementation(state: &TrainState) -> TokenStream {
    let TrainState { krate, input, version, body } = state;
    let private = quote!(#krate::__private);
    let name = &input.ident;
    let (save, restore) = match body {
        StateBody::Struct(fields) => of_struct(krate, fields),
        StateBody::Enum(variants) => of_enum(krate, variants),
    };
    // The first version is never stored.
    let save_version = (*version > 1).then(|| quote_spanned!(Span::mixed_site()=> __out.version(#version)?;));
    let generics = bounded(state);
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    quote_spanned! {Span::mixed_site()=>
        #[automatically_derived]
        impl #impl_generics #private::TrainState for #name #type_generics #where_clause {
            fn save(&self, __out: &mut #private::StateWriter) -> #private::Result<(), #private::Error> {
                #save_version
                #save
            }

            fn restore(&mut self, __from: &#private::StateReader<'_>) -> #private::Result<(), #private::Error> {
                __from.versioned(#version, |__from| #restore)
            }
        }
    }
}

/// The bodies of `save` and `restore`.
fn of_struct(krate: &Path, fields: &[StateField]) -> (TokenStream, TokenStream) {
    let pattern = pattern(fields);
    let saves = bound(fields).map(|(place, field)| save(krate, field, &place));
    let restores = bound(fields).map(|(place, field)| restore(krate, field, &place));
    let saves = quote_spanned! {Span::mixed_site()=>
        let Self { #pattern } = self;
        #(#saves)*
        #krate::__private::Ok(())
    };
    let restores = quote_spanned! {Span::mixed_site()=> {
        let Self { #pattern } = self;
        #(#restores)*
        #krate::__private::Ok(())
    }};
    (saves, restores)
}

fn of_enum(krate: &Path, variants: &[StateVariant]) -> (TokenStream, TokenStream) {
    let private = quote!(#krate::__private);
    let numbered = || variants.iter().enumerate();
    let saves = variants.iter().map(|StateVariant { ident, names, fields, .. }| {
        let (name, pattern) = (&names.name, pattern(fields));
        let saves = bound(fields).map(|(place, field)| save(krate, field, &place));
        quote_spanned! {Span::mixed_site()=>
            Self::#ident { #pattern } => #private::save_variant(__out, #name, |__out| {
                #(#saves)*
                #private::Ok(())
            }),
        }
    });
    let names = variants.iter().map(|variant| &variant.names);
    let places = numbered().map(|(place, StateVariant { ident, .. })| quote!(Self::#ident { .. } => #place,));
    let in_place = numbered().map(|(place, StateVariant { ident, fields, .. })| {
        let pattern = pattern(fields);
        let restores = bound(fields).map(|(place, field)| restore(krate, field, &place));
        quote_spanned! {Span::mixed_site()=>
            (#place, Self::#ident { #pattern }) => {
                #(#restores)*
                #private::Ok(true)
            }
        }
    });
    // An enum of one variant is never another.
    let can_be_made = numbered().filter(|(_, variant)| variant.is_values && variants.len() > 1);
    let made = can_be_made.map(|(place, variant)| made(krate, place, variant));
    let saves = quote_spanned! {Span::mixed_site()=> match self { #(#saves)* } };
    let restores = quote_spanned! {Span::mixed_site()=> {
        let __place = match self { #(#places)* };
        #private::restore_variant(__from, &[#(#names),*], __place, |__saved, __from| match (__saved, self) {
            #(#in_place)*
            #(#made)*
            _ => #private::Ok(false),
        })
    }};
    (saves, restores)
}

/// The arm that makes a variant from what was saved, where the state is another.
fn made(krate: &Path, place: usize, StateVariant { ident, fields, .. }: &StateVariant) -> TokenStream {
    let private = quote!(#krate::__private);
    let members = fields.iter().map(|StateField { member, ty, names, absent, .. }| {
        let private = respan(private.clone(), ty.span());
        let read = quote_spanned!(located(ty)=> |__from| #private::value_of::<#ty>().read(__from));
        if let Absent::Set(value) = absent {
            let value = default(ty, value);
            quote_spanned!(Span::mixed_site()=> #member: #private::read_or(__from, #names, #read, || #value)?)
        } else {
            quote_spanned!(Span::mixed_site()=> #member: #private::read_field(__from, #names, #read)?)
        }
    });
    // What would stay as it was built is not built here.
    let mut kept =
        fields.iter().filter(|field| matches!(field.absent, Absent::Kept)).map(|field| &field.names).peekable();
    let guard = kept
        .peek()
        .is_some()
        .then(|| quote_spanned!(Span::mixed_site()=> if #private::all_saved(__from, &[#(#kept),*])));
    quote_spanned! {Span::mixed_site()=>
        (#place, __this) #guard => {
            *__this = Self::#ident { #(#members),* };
            #private::Ok(true)
        }
    }
}

/// `a: f0, b: f1, ..`: a reference to each field that is saved.
fn pattern(fields: &[StateField]) -> TokenStream {
    let bound = bound(fields).map(|(place, StateField { member, .. })| quote!(#member: #place,));
    quote!(#(#bound)* ..)
}

/// Each field with the name of the reference to it, which lies at its type.
fn bound(fields: &[StateField]) -> impl Iterator<Item = (Ident, &StateField)> {
    fields.iter().enumerate().map(|(index, field)| (format_ident!("__f{index}", span = located(&field.ty)), field))
}

fn located(ty: &Type) -> Span {
    Span::mixed_site().located_at(ty.span())
}

/// The call lies at the field's type, so that a type that cannot be saved is marked there.
fn save(krate: &Path, field: &StateField, place: &Ident) -> TokenStream {
    let StateField { ty, names: SavedNames { name, .. }, kind, .. } = field;
    let private = respan(quote!(#krate::__private), ty.span());
    let call = match kind {
        StateKind::Part => quote_spanned!(located(ty)=> <#ty as #private::TrainState>::save(#place, __out)),
        StateKind::Value => quote_spanned!(located(ty)=> #private::value_of::<#ty>().save(#place, __out)),
        StateKind::With(module) => {
            let function = of_module(module, "save");
            quote_spanned!(located(ty)=> #function(#place, __out))
        }
    };
    quote_spanned!(Span::mixed_site()=> __out.field(#name, |__out| #call)?;)
}

fn restore(krate: &Path, field: &StateField, place: &Ident) -> TokenStream {
    let StateField { ty, names, kind, absent, .. } = field;
    // Where the type does not fit, `save` has said so at the same place: rustc shows equal errors once.
    let private = respan(quote!(#krate::__private), ty.span());
    let call = match kind {
        StateKind::Part => quote_spanned!(located(ty)=> <#ty as #private::TrainState>::restore(#place, __from)),
        StateKind::Value => quote_spanned!(located(ty)=> #private::value_of::<#ty>().restore(#place, __from)),
        StateKind::With(module) => {
            let function = of_module(module, "restore");
            quote_spanned!(located(ty)=> #function(#place, __from))
        }
    };
    let (private, name) = (quote!(#krate::__private), &names.name);
    match absent {
        Absent::Refused if names.aliases.is_empty() => {
            quote_spanned!(Span::mixed_site()=> __from.field(#name, |__from| #call)?;)
        }
        Absent::Refused => quote_spanned!(Span::mixed_site()=> #private::read_field(__from, #names, |__from| #call)?;),
        Absent::Kept => quote_spanned!(Span::mixed_site()=> #private::restore_saved(__from, #names, |__from| #call)?;),
        Absent::Set(value) => {
            let value = default(ty, value);
            quote_spanned! {Span::mixed_site()=>
                if !#private::restore_saved(__from, #names, |__from| #call)? {
                    *#place = #value;
                }
            }
        }
    }
}

/// Where a default is not of the field's type, rustc marks both.
fn default(ty: &Type, value: &Expr) -> TokenStream {
    quote_spanned!(Span::mixed_site()=> { let __default: #ty = #value; __default })
}

/// A function of the module that the user named, at the module's name.
fn of_module(module: &ExprPath, function: &str) -> TokenStream {
    let function = Ident::new(function, module.span());
    quote_spanned!(module.span()=> #module::#function)
}

/// As `trainloop::state::derived::Names`.
impl ToTokens for SavedNames {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { name, aliases } = self;
        tokens.extend(quote!((#name, &[#(#aliases),*])));
    }
}

/// The item's generics, with a bound for each field whose type has a parameter in it.
fn bounded(state: &TrainState) -> syn::Generics {
    let krate = &state.krate;
    let mut generics = state.input.generics.clone();
    let parameters: Vec<_> = generics.params.iter().filter_map(parameter).collect();
    for StateField { ty, kind, .. } in state.fields() {
        let mut mentions = Mentions { parameters: &parameters, found: false };
        mentions.visit_type(ty);
        if !mentions.found {
            continue;
        }
        let bound: syn::WherePredicate = match kind {
            StateKind::Part => syn::parse_quote!(#ty: #krate::__private::TrainState),
            StateKind::Value => syn::parse_quote!(#ty: #krate::__private::StateValue),
            // What the module asks of the type stands at its functions; the item's own bounds must say it.
            StateKind::With(_) => continue,
        };
        generics.make_where_clause().predicates.push(bound);
    }
    generics
}

fn parameter(parameter: &GenericParam) -> Option<Ident> {
    match parameter {
        GenericParam::Type(parameter) => Some(parameter.ident.clone()),
        GenericParam::Const(parameter) => Some(parameter.ident.clone()),
        GenericParam::Lifetime(_) => None,
    }
}

/// Looks for a parameter in a type.
struct Mentions<'a> {
    parameters: &'a [Ident],
    found: bool,
}

impl<'ast> Visit<'ast> for Mentions<'_> {
    fn visit_ident(&mut self, ident: &'ast Ident) {
        self.found |= self.parameters.contains(ident);
    }
}
