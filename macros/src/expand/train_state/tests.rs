//! What is made of items that keep the rules, without a compiler.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::visit::Visit;
use syn::{Attribute, ItemImpl, Path};

use super::train_state;

fn expanded(item: TokenStream) -> ItemImpl {
    syn::parse2(train_state(item)).unwrap()
}

/// Everything that an item may have.
fn everything() -> ItemImpl {
    expanded(quote! {
        #[state(version = 3)]
        enum Ours<T> {
            Unit,
            Values(#[state(serde, default = 1)] u64, #[state(serde, default)] u64),
            Parts {
                part: T,
                #[state(with = our::module, alias = "old")]
                foreign: u64,
                #[state(default)]
                kept: u64,
                #[state(skip)]
                skipped: u64,
            },
        }
    })
}

#[test]
fn it_names_nothing_but_the_private_module() {
    struct Paths(Vec<String>);
    impl<'ast> Visit<'ast> for Paths {
        fn visit_path(&mut self, path: &'ast Path) {
            self.0.push(path.to_token_stream().to_string().replace(' ', ""));
            syn::visit::visit_path(self, path);
        }

        fn visit_attribute(&mut self, attribute: &'ast Attribute) {
            assert!(attribute.path().is_ident("automatically_derived"));
        }
    }
    let mut paths = Paths(Vec::new());
    paths.visit_item_impl(&everything());
    // The template's own variables begin with `__`; these are what the item has.
    let known = ["self", "Ours<T>", "T", "u64"];
    let strange = |path: &String| {
        let own = path.starts_with("::trainloop::__private::") || path.starts_with("Self::") || path == "Self";
        let own = own || path.starts_with("__");
        !own && !path.starts_with("our::module::") && !known.contains(&path.as_str())
    };
    assert!(paths.0.len() > 50, "{:?}", paths.0);
    assert_eq!(paths.0.into_iter().filter(strange).collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn another_crate_path_is_used_throughout() {
    let tokens = train_state(quote! {
        #[state(crate = other)]
        enum E { A { #[state(serde, default = 1, alias = "b")] a: u64 }, B(P) }
    });
    let text = tokens.to_string();
    assert!(text.contains("other :: __private") && !text.contains("trainloop"), "{text}");
}

#[test]
fn bounds_are_for_fields_whose_type_has_a_parameter() {
    let cases = [
        (
            quote!(
                struct S<T> {
                    a: T,
                    b: u64,
                }
            ),
            "where T : :: trainloop :: __private :: TrainState",
        ),
        (
            quote!(
                struct S<T>(#[state(serde)] Vec<T>);
            ),
            "where Vec < T > : :: trainloop :: __private :: StateValue",
        ),
        (
            quote!(
                enum E<const N: usize> {
                    A,
                    B {
                        #[state(serde)]
                        b: [u8; N],
                    },
                }
            ),
            "where [u8 ; N] : :: trainloop :: __private :: StateValue",
        ),
        (
            quote!(
                struct S<T>
                where
                    T: Copy,
                {
                    #[state(skip)]
                    a: T,
                    #[state(with = m)]
                    b: T,
                }
            ),
            "where T : Copy",
        ),
        (
            quote!(
                struct S<'a, T = u8> {
                    a: Part<'a>,
                    #[state(skip)]
                    b: T,
                }
            ),
            "",
        ),
    ];
    for (item, clause) in cases {
        let made = expanded(item.clone()).generics.where_clause;
        assert_eq!(made.to_token_stream().to_string().trim_end_matches(" ,"), clause, "{item}");
    }
}

/// What is refused still implements the trait, so that a state that holds it has no message of its own.
#[test]
fn after_a_mistake_the_trait_is_there() {
    for item in [
        quote!(
            struct S {
                #[state(wrong)]
                a: u64,
            }
        ),
        quote!(
            #[state(version = 0)]
            enum E<T> {
                A(T),
            }
        ),
        quote!(union U { a: u64 }),
    ] {
        let text = train_state(item.clone()).to_string();
        let has = |part: &str| text.contains(part);
        assert!(has("compile_error") && has("__private :: TrainState for") && has("not_compiled"), "{item}: {text}");
    }
}
