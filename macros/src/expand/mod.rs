//! What the macros make: few calls into `trainloop::__private`, where the work is done in code that can be read.

mod callback;
mod collate;
mod config;
mod main;
mod metrics;
#[cfg(test)]
mod snapshots;
mod train_loop;
mod train_state;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, Path};

pub(crate) use callback::callback;
pub(crate) use collate::collate;
pub(crate) use config::config;
pub(crate) use main::main;
pub(crate) use metrics::metrics;
pub(crate) use train_loop::train_loop;
pub(crate) use train_state::train_state;

use crate::args::Options;
use crate::ir::Function;
use crate::report::Report;

/// One derive from its item to its implementation. On a mistake the messages come beside an implementation of which only the
/// signatures are true, so that what uses the type gives no message of its own.
fn derive<T>(
    item: TokenStream,
    attribute: &str,
    check: fn(DeriveInput, &mut Report) -> Option<T>,
    implementation: fn(&T) -> TokenStream,
    recovery: fn(&Path, &DeriveInput) -> TokenStream,
) -> TokenStream {
    let input: DeriveInput = match syn::parse2(item) {
        Ok(input) => input,
        Err(error) => return error.to_compile_error(),
    };
    let mut report = Report::default();
    let checked = check(input.clone(), &mut report);
    if let Err(messages) = report.check() {
        let unheard = &mut Report::default();
        let krate = Options::of_attributes(&input.attrs, attribute, "", unheard).crate_path(unheard);
        // Metrics and configs build on serde's traits, which a union cannot have; a state builds on nothing.
        let can_be = attribute == "state" || !matches!(input.data, Data::Union(_));
        let recovery = can_be.then(|| recovery(&krate, &input));
        return quote!(#messages #recovery);
    }
    checked.as_ref().map(implementation).unwrap_or_default()
}

/// A function's tokens, parsed; `Err` is the message beside the tokens as they were written.
fn parse_function(what: &str, item: &TokenStream) -> Result<Function, TokenStream> {
    syn::parse2(item.clone()).map_err(|error| {
        let message = syn::Error::new(error.span(), format!("{what} belongs above a function: {error}"));
        with_item(message.to_compile_error(), item)
    })
}

/// Messages beside the item as it was written, so that one mistake gives one message.
fn with_item(messages: TokenStream, item: &TokenStream) -> TokenStream {
    let mut tokens = item.clone();
    tokens.extend(messages);
    tokens
}

/// The same tokens at another place: an expression is marked where its first token lies.
fn respan(tokens: TokenStream, span: Span) -> TokenStream {
    let at = |mut token: TokenTree| {
        token.set_span(token.span().resolved_at(span).located_at(span));
        token
    };
    tokens.into_iter().map(at).collect()
}

/// The item's path, by which the runtime knows it.
fn path(krate: &Path, name: &Ident) -> TokenStream {
    let private = quote!(#krate::__private);
    quote!(#private::concat!(#private::module_path!(), "::", #private::stringify!(#name)))
}

/// The file and line where the name stands: the macros say where they themselves lie.
fn place(krate: &Path, name: &Ident) -> TokenStream {
    let private = respan(quote!(#krate::__private), name.span());
    quote_spanned!(name.span()=> (#private::file!(), #private::line!()))
}
