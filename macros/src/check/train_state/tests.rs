//! Each rule with its whole message, without a compiler.

mod understood;

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use syn::LitStr;

use super::train_state;
use crate::ir::TrainState;
use crate::report::Report;

/// What the checks make of an item, or the messages.
fn check(item: &TokenStream) -> Result<TrainState, Vec<String>> {
    let mut report = Report::default();
    let checked = train_state(syn::parse2(item.clone()).unwrap(), &mut report);
    match report.check() {
        Ok(()) => Ok(checked.unwrap()),
        Err(errors) => Err(literals(errors)),
    }
}

/// The texts in `compile_error!`s.
fn literals(tokens: TokenStream) -> Vec<String> {
    let text = |token| match token {
        TokenTree::Group(group) => literals(group.stream()),
        TokenTree::Literal(literal) => vec![syn::parse2::<LitStr>(TokenTree::from(literal).into()).unwrap().value()],
        _ => Vec::new(),
    };
    tokens.into_iter().flat_map(text).collect()
}

/// Each item is refused with these messages and no other.
fn refused(cases: &[(TokenStream, &[&str])]) {
    for (item, expected) in cases {
        assert_eq!(check(item).err().unwrap_or_default(), *expected, "{item}");
    }
}

#[test]
fn the_kinds_of_a_field() {
    refused(&[
        (
            quote!(
                struct S {
                    #[state(serd)]
                    a: u64,
                }
            ),
            &["`#[state]` on a field has no option `serd`; did you mean `serde`? (there is: `serde`, `with`, `skip`, \
               `rename`, `alias`, `default`)"],
        ),
        (
            quote!(
                struct S {
                    #[state(serde, skip)]
                    a: u64,
                }
            ),
            &["`serde` says that the field is a value of serde's, `skip` that it is not saved; leave one of the two"],
        ),
        (
            quote!(
                struct S(#[state(with = module, serde)] u64);
            ),
            &[
                "`serde` says that the field is a value of serde's, `with` that it is saved by a module; leave one of the two",
            ],
        ),
        (
            quote!(
                enum E {
                    A {
                        #[state(skip, with = module)]
                        a: u64,
                    },
                }
            ),
            &["`with` says that the field is saved by a module, `skip` that it is not saved; leave one of the two"],
        ),
        (
            quote!(
                struct S {
                    #[state(with = "module")]
                    a: u64,
                }
            ),
            &["the option `with` takes the path of a module that has `save` and `restore`, without quotes; write \
               `with = my_module`"],
        ),
        (
            quote!(
                struct S {
                    #[state(with)]
                    a: u64,
                }
            ),
            &["the option `with` has no value; write `with = …`"],
        ),
        (
            quote!(
                struct S {
                    #[state(serde = yes, serde)]
                    a: u64,
                }
            ),
            &["the option `serde` is given twice", "the option `serde` takes no value; write `serde`"],
        ),
        (
            quote!(
                struct S {
                    #[state(skip(always))]
                    a: u64,
                }
            ),
            &["the option `skip` takes no value; write `skip`"],
        ),
        (
            quote!(
                struct S {
                    #[state]
                    a: u64,
                }
            ),
            &["write `#[state(serde)]`"],
        ),
    ]);
}

#[test]
fn what_a_skipped_field_cannot_have() {
    refused(&[(
        quote!(
            struct S {
                #[state(skip, rename = "b", alias = "c", default)]
                a: u64,
            }
        ),
        &[
            "a field that is skipped has no name in the checkpoint; leave out `rename` or `skip`",
            "a field that is skipped is not looked for under an older name; leave out `alias` or `skip`",
            "a field that is skipped stays as it was built in any case; leave out `default` or `skip`",
        ],
    )]);
}

#[test]
fn defaults() {
    refused(&[
        (
            quote!(
                struct S {
                    #[state(serde, default(3))]
                    a: u64,
                }
            ),
            &["the option `default` has no parentheses; write `default` or `default = …`"],
        ),
        (
            quote!(
                struct S {
                    #[state(serde, default, default = 3)]
                    a: u64,
                }
            ),
            &["the option `default` is given twice"],
        ),
    ]);
}

#[test]
fn names() {
    refused(&[
        (
            quote!(
                struct S {
                    #[state(rename = "../b")]
                    a: A,
                    #[state(alias = "")]
                    b: B,
                }
            ),
            &["a part's name becomes the name of a file; use letters, digits, `_` and `-`"; 2],
        ),
        (
            quote!(
                struct S {
                    #[state(rename = b, alias = 3)]
                    a: A,
                }
            ),
            &[
                "the option `rename` takes a string; write `rename = \"…\"`",
                "the option `alias` takes a string; write `alias = \"…\"`",
            ],
        ),
        (
            quote!(
                struct S {
                    #[state(rename = "b")]
                    a: A,
                    b: B,
                }
            ),
            &["the fields `a` and `b` would both be saved under the name `b`; give one of them another name"],
        ),
        (
            quote!(
                struct S(#[state(rename = "x")] A, B, #[state(rename = "x")] C);
            ),
            &["the fields `0` and `2` would both be saved under the name `x`; give one of them another name"],
        ),
        (
            quote!(
                struct S {
                    #[state(alias = "a")]
                    a: A,
                    #[state(rename = "c", alias = "c")]
                    b: B,
                }
            ),
            &[
                "`a` is what the field is saved under already; write the name that it had, or no alias",
                "`c` is what the field is saved under already; write the name that it had, or no alias",
            ],
        ),
        (
            quote!(
                struct S {
                    #[state(alias = "old", alias = "older", alias = "old")]
                    a: A,
                }
            ),
            &["the alias `old` is given twice; remove one"],
        ),
        (
            quote!(
                struct S {
                    #[state(alias = "b")]
                    a: A,
                    r#b: B,
                }
            ),
            &[
                "`b` cannot be an older name of the field `a`: the field `b` is saved under it; remove the alias, or rename \
               that field",
            ],
        ),
        (
            quote!(
                struct S {
                    #[state(alias = "old")]
                    a: A,
                    #[state(alias = "old")]
                    b: B,
                }
            ),
            &["`old` is an older name of the field `a` already, and cannot be one of `b`, too; leave one of the two"],
        ),
    ]);
}

#[test]
fn variants() {
    refused(&[
        (
            quote!(
                enum E {
                    #[state(serde)]
                    A,
                    #[state(skip)]
                    B(u64),
                }
            ),
            &[
                "`#[state]` on a variant has no option `serde` (there is: `rename`, `alias`)",
                "`#[state]` on a variant has no option `skip` (there is: `rename`, `alias`)",
            ],
        ),
        (
            quote!(
                enum E {
                    #[state(rename = "B")]
                    A,
                    B,
                    #[state(alias = "B")]
                    C,
                }
            ),
            &[
                "the variants `A` and `B` would both be saved under the name `B`; give one of them another name",
                "`B` cannot be an older name of the variant `C`: the variant `A` is saved under it; remove the alias, or \
                 rename that variant",
            ],
        ),
        (
            quote!(
                enum E {}
            ),
            &["an enum without variants has no value that could be saved; give it a variant, or leave the derive out"],
        ),
        (
            quote!(union U { a: u64, b: f64 }),
            &["a union is no state: nothing says which of its fields holds a value; make it an enum, or write \
               `#[state(skip)]` or `#[state(with = module)]` above the field that has it"],
        ),
    ]);
    // Fields of two variants never meet.
    assert!(
        check(&quote!(
            enum E {
                A {
                    x: A,
                },
                B {
                    #[state(alias = "x")]
                    y: B,
                },
            }
        ))
        .is_ok()
    );
}

#[test]
fn versions() {
    let whole = "a layout's version is a whole number from 1, written out, one higher with each change that older programs \
                 cannot read; write `version = 2`";
    for version in [quote!(0), quote!(-1), quote!(1.5), quote!("2"), quote!(VERSION), quote!(1 + 1), quote!(4294967296)]
    {
        refused(&[(
            quote!(
                #[state(version = #version)]
                struct S;
            ),
            &[whole],
        )]);
    }
    refused(&[
        (
            quote!(
                #[state(version)]
                struct S;
            ),
            &["the option `version` has no value; write `version = …`"],
        ),
        (
            quote!(
                #[state(version = 2)]
                #[state(version = 3)]
                struct S;
            ),
            &["the option `version` is given twice"],
        ),
        (
            quote!(
                #[state(serde)]
                enum E {
                    A,
                }
            ),
            &["`#[state]` on an enum has no option `serde` (there is: `version`, `crate`)"],
        ),
        (
            quote!(
                #[state(crate = "x")]
                struct S;
            ),
            &["the option `crate` takes a path; write `crate = my_trainloop`"],
        ),
    ]);
    let version = |item| check(&item).ok().unwrap().version;
    assert_eq!(
        version(quote!(
            struct S;
        )),
        1
    );
    assert_eq!(
        version(quote!(
            #[state(version = 1)]
            struct S;
        )),
        1
    );
    assert_eq!(
        version(quote!(
            #[state(version = 0x10_u32)]
            enum E {
                A,
            }
        )),
        16
    );
}

/// All mistakes of an item come at once.
#[test]
fn every_mistake_has_its_message() {
    refused(&[(
        quote! {
            #[state(version = 0)]
            struct S {
                #[state(serde, with = module)]
                a: u64,
                #[state(alias = "a")]
                b: B,
            }
        },
        &[
            "`serde` says that the field is a value of serde's, `with` that it is saved by a module; leave one of the two",
            "`a` cannot be an older name of the field `b`: the field `a` is saved under it; remove the alias, or rename that \
             field",
            "a layout's version is a whole number from 1, written out, one higher with each change that older programs \
             cannot read; write `version = 2`",
        ],
    )]);
}
