//! `#[trainloop::main]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{FnArg, ReturnType};

use super::{parse_function, respan, with_item};
use crate::check;
use crate::ir::{Function, Main};
use crate::report::Report;

pub(crate) fn main(args: TokenStream, item: &TokenStream) -> TokenStream {
    let function = match parse_function("`#[trainloop::main]`", item) {
        Ok(function) => function,
        Err(messages) => return messages,
    };
    let mut report = Report::default();
    let main = check::main(args, &function, &mut report);
    match report.check() {
        Ok(()) => implementation(&main, &function),
        Err(messages) if function.signature.ident != "main" => with_item(messages, item),
        Err(messages) => {
            let recovery = recovery(function);
            quote!(#recovery #messages)
        }
    }
}

/// The user's function inside one that the linker calls.
fn implementation(main: &Main, function: &Function) -> TokenStream {
    let Main { krate, parameter, output } = main;
    let Function { attributes, visibility, signature, body } = function;
    // Each call lies at the type that the user wrote, so that rustc marks that type.
    let taken = parameter.as_ref().map(|ty| {
        let private = respan(quote!(#krate::__private), ty.span());
        quote_spanned!(ty.span()=> <#ty as #private::MainParam>::take())
    });
    let span = match output {
        ReturnType::Default => signature.ident.span(),
        ReturnType::Type(_, ty) => ty.span(),
    };
    let private = respan(quote!(#krate::__private), span);
    let call = quote_spanned!(span=> #private::exit_code(main(#taken)));
    quote! {
        #(#attributes)*
        #visibility fn main() -> #krate::__private::ExitCode {
            #[allow(clippy::needless_pass_by_value)] // the command line is handed over
            #signature #body
            #krate::__private::main(|| #call)
        }
    }
}

/// A `main` of which rustc says nothing, with the user's inside, so that its body is checked and completed. What rustc would
/// refuse there as well is left out.
fn recovery(mut function: Function) -> TokenStream {
    let Function { attributes, visibility, signature, body } = &mut function;
    // A body that speaks of `self` stands nowhere but in a method.
    if signature.inputs.iter().any(|input| matches!(input, FnArg::Receiver(_))) {
        return quote!(#visibility fn main() {});
    }
    signature.constness = None;
    signature.abi = None;
    signature.variadic = None;
    if signature.generics.params.is_empty() {
        signature.generics.where_clause = None;
    }
    quote! {
        #visibility fn main() {
            #(#attributes)*
            #[allow(dead_code)]
            #signature #body
        }
    }
}

#[cfg(test)]
mod tests {
    use syn::{Item, ItemFn, Stmt};

    use super::*;

    /// The only function outside, and how many messages stand beside it.
    fn expanded(item: &TokenStream) -> (ItemFn, usize) {
        let file: syn::File = syn::parse2(main(TokenStream::new(), item)).unwrap();
        let mut functions = Vec::new();
        let mut messages = 0;
        for item in file.items {
            match item {
                Item::Fn(function) => functions.push(function),
                _ => messages += 1,
            }
        }
        assert_eq!(functions.len(), 1, "{item}");
        (functions.remove(0), messages)
    }

    /// The function inside, which is the user's.
    fn inner(outer: &ItemFn) -> String {
        match outer.block.stmts.first() {
            Some(Stmt::Item(Item::Fn(inner))) => quote!(#inner).to_string(),
            _ => String::new(),
        }
    }

    #[test]
    fn a_mistake_leaves_a_main_of_which_rustc_says_nothing() {
        let kept = quote!(#[allow(dead_code)]);
        for (item, messages, expected) in [
            (quote! { pub async fn main() { a.await } }, 1, quote! { #kept async fn main() { a.await } }),
            (quote! { const fn main() { a() } }, 1, quote! { #kept fn main() { a() } }),
            (quote! { unsafe extern "C" fn main() { a() } }, 2, quote! { #kept unsafe fn main() { a() } }),
            (quote! { fn main<T: A>() where T: B { a() } }, 2, quote! { #kept fn main<T: A>() where T: B { a() } }),
            (quote! { fn main() where u8: B { a() } }, 1, quote! { #kept fn main() { a() } }),
            (quote! { fn main(a: A, b: B) -> C { a() } }, 1, quote! { #kept fn main(a: A, b: B) -> C { a() } }),
            (quote! { #[other] async fn main() {} }, 1, quote! { #[other] #kept async fn main() {} }),
            (quote! { fn main(&self) { self.a() } }, 1, TokenStream::new()),
        ] {
            let (outer, told) = expanded(&item);
            let signature = &outer.sig;
            assert_eq!(quote!(#signature).to_string(), quote!(fn main()).to_string());
            assert_eq!((told, outer.attrs.len()), (messages, 0), "{item}");
            assert_eq!(inner(&outer), expected.to_string());
        }
    }

    #[test]
    fn another_function_stays_as_it_is() {
        let item = quote! { #[other] pub async fn begin(a: A) { a.await } };
        let (function, messages) = expanded(&item);
        assert_eq!((quote!(#function).to_string(), messages), (item.to_string(), 2));
    }

    #[test]
    fn a_main_keeps_its_words() {
        let item = quote! { #[other] pub fn main(mut cli: Cli<C>) -> Result<()> { half typed } };
        let outer = main(TokenStream::new(), &item).to_string();
        let words = quote! { fn main(mut cli: Cli<C>) -> Result<()> { half typed } }.to_string();
        assert!(outer.contains(&words), "{outer}");
        let calls =
            quote!(|| ::trainloop::__private::exit_code(main(<Cli<C> as ::trainloop::__private::MainParam>::take())));
        assert!(outer.contains(&calls.to_string()), "{outer}");
    }

    #[test]
    fn what_is_no_function_is_told_so() {
        let expanded = main(
            TokenStream::new(),
            &quote!(
                struct main;
            ),
        )
        .to_string();
        assert!(expanded.starts_with("struct main ;"), "{expanded}");
        assert!(expanded.contains("`#[trainloop::main]` belongs above a function"), "{expanded}");
    }
}
