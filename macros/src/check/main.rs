//! The rules of `#[trainloop::main]`.

use proc_macro2::TokenStream;
use syn::punctuated::Punctuated;
use syn::{FnArg, Pat, Token, Type};

use super::plain_function;
use crate::args::Options;
use crate::ir::{Function, Main};
use crate::report::Report;

const TAKES: &str = "`main` takes nothing, or the command line: `fn main(cli: Cli<Config>)`";

pub(crate) fn main(args: TokenStream, function: &Function, report: &mut Report) -> Main {
    let options = Options::parse(args, report);
    options.allow("`#[trainloop::main]`", &["crate"], report);
    let signature = &function.signature;
    if signature.ident != "main" {
        report.at(&signature.ident, "`#[trainloop::main]` belongs above `fn main`, where every worker process begins");
    }
    plain_function("a main function", "nobody chooses its types", signature, report);
    Main {
        krate: options.crate_path(report),
        parameter: parameter(&signature.inputs, report),
        output: signature.output.clone(),
    }
}

/// The type of the only parameter.
fn parameter(inputs: &Punctuated<FnArg, Token![,]>, report: &mut Report) -> Option<Type> {
    let mut inputs = inputs.iter();
    let first = inputs.next()?;
    for extra in inputs {
        report.at(extra, format!("{TAKES}; make this a field of the config"));
    }
    let argument = match first {
        FnArg::Receiver(receiver) => {
            report.at(receiver, format!("{TAKES}; a process begins without a `self`"));
            return None;
        }
        FnArg::Typed(argument) => argument,
    };
    let is_name = match &*argument.pat {
        Pat::Ident(name) => name.by_ref.is_none() && name.subpat.is_none(),
        Pat::Wild(_) => true,
        _ => false,
    };
    if !is_name {
        report.at(&argument.pat, "the parameter of `main` is a name: write `cli`, and take it apart in the body");
    }
    match &*argument.ty {
        Type::ImplTrait(_) | Type::Infer(_) => {
            report.at(&argument.ty, format!("{TAKES}; write the type out"));
        }
        _ => {}
    }
    Some((*argument.ty).clone())
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    fn checked(args: TokenStream, item: TokenStream) -> (Main, Vec<String>) {
        let mut report = Report::default();
        let main = main(args, &syn::parse2(item).unwrap(), &mut report);
        (main, report.texts())
    }

    #[test]
    fn what_a_main_may_be() {
        for (item, parameter) in [
            (quote! { fn main() {} }, None),
            (quote! { pub fn main() -> Result<()> { half typed } }, None),
            (quote! { fn main(cli: Cli<Config>) {} }, Some(quote!(Cli<Config>))),
            (quote! { fn main(mut cli: trainloop::cli::Cli<Config>,) {} }, Some(quote!(trainloop::cli::Cli<Config>))),
            (quote! { fn main(_: Mine) -> ! {} }, Some(quote!(Mine))),
        ] {
            let (main, messages) = checked(TokenStream::new(), item);
            assert!(messages.is_empty(), "{messages:?}");
            let ty = main.parameter.map(|ty| quote!(#ty).to_string());
            assert_eq!(ty, parameter.map(|ty| ty.to_string()));
        }
        let (main, messages) = checked(quote!(crate = other::name), quote! { fn main() {} });
        let krate = &main.krate;
        assert_eq!((quote!(#krate).to_string(), messages), (quote!(other::name).to_string(), Vec::new()));
    }

    #[test]
    fn what_a_main_may_not_be() {
        for (item, expected) in [
            (
                quote! { async fn main() {} },
                "a main function is not async: libtorch blocks, and a worker is a process of its own; remove this word",
            ),
            (quote! { const fn main() {} }, "a main function is not const; remove this word"),
            (
                quote! { unsafe fn main() {} },
                "a main function is not unsafe: its caller is generated and can keep no promise; remove this word",
            ),
            (quote! { extern "C" fn main() {} }, "a main function is a Rust function; remove this word"),
            (
                quote! { fn main<T>() {} },
                "a main function is not generic: nobody chooses its types; write the types out",
            ),
            (quote! { fn main() where u8: Copy {} }, "a main function is not generic; remove the clause"),
            (quote! { fn main(args: ...) {} }, "a main function takes no variable arguments"),
            (
                quote! { fn begin() {} },
                "`#[trainloop::main]` belongs above `fn main`, where every worker process begins",
            ),
            (
                quote! { fn main(cli: Cli<Config>, more: u8) {} },
                "`main` takes nothing, or the command line: `fn main(cli: Cli<Config>)`; make this a field of the config",
            ),
            (
                quote! { fn main(self) {} },
                "`main` takes nothing, or the command line: `fn main(cli: Cli<Config>)`; a process begins without a `self`",
            ),
            (
                quote! { fn main(cli: impl Sized) {} },
                "`main` takes nothing, or the command line: `fn main(cli: Cli<Config>)`; write the type out",
            ),
            (
                quote! { fn main(cli: _) {} },
                "`main` takes nothing, or the command line: `fn main(cli: Cli<Config>)`; write the type out",
            ),
            (
                quote! { fn main(Cli { config, .. }: Cli<Config>) {} },
                "the parameter of `main` is a name: write `cli`, and take it apart in the body",
            ),
            (
                quote! { fn main(ref cli: Cli<Config>) {} },
                "the parameter of `main` is a name: write `cli`, and take it apart in the body",
            ),
        ] {
            let text = item.to_string();
            assert_eq!(checked(TokenStream::new(), item).1, [expected], "{text}");
        }
    }

    #[test]
    fn what_its_options_may_not_be() {
        for (args, expected) in [
            (quote!(workers = 2), "`#[trainloop::main]` has no option `workers` (there is: `crate`)"),
            (quote!(crat = a), "`#[trainloop::main]` has no option `crat`; did you mean `crate`? (there is: `crate`)"),
            (quote!(crate = a, crate = b), "the option `crate` is given twice"),
            (quote!(crate), "the option `crate` has no value; write `crate = …`"),
            (quote!(crate = "a"), "the option `crate` takes a path; write `crate = my_trainloop`"),
            (quote!(crate =), "the option `crate` has no value; write `crate = …`"),
        ] {
            let text = args.to_string();
            assert_eq!(checked(args, quote! { fn main() {} }).1, [expected], "{text}");
        }
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let item = quote! { async unsafe fn main<T>(self, a: T, b: u8) {} };
        let (_, messages) = checked(quote!(workers = 2), item);
        assert_eq!(messages.len(), 7, "{messages:#?}");
    }
}
