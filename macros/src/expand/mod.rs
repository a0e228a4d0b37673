//! What the macros make: few calls into `trainloop::__private`, where the work is done in code that can be read.

mod main;
mod metrics;
mod train_loop;

use proc_macro2::TokenStream;

pub(crate) use main::main;
pub(crate) use metrics::metrics;
pub(crate) use train_loop::train_loop;

use crate::ir::Function;

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
