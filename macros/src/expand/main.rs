//! `#[trainloop::main]`.

use proc_macro2::TokenStream;
use quote::quote;

use super::{parse_function, with_item};
use crate::check;
use crate::ir::{Function, Main};
use crate::report::Report;

pub(crate) fn main(args: TokenStream, item: &TokenStream) -> TokenStream {
    let function = match parse_function("`#[trainloop::main]`", item) {
        Ok(function) => function,
        Err(messages) => return messages,
    };
    let mut report = Report::default();
    let Main { krate, output } = check::main(args, &function, &mut report);
    if let Err(messages) = report.check() {
        return with_item(messages, item);
    }
    let Function { attributes, visibility, body, .. } = &function;
    quote! {
        #(#attributes)*
        #visibility fn main() -> ::std::process::ExitCode {
            fn main() #output #body
            #krate::__private::main(main)
        }
    }
}
