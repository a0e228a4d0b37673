//! Configs taken apart, and the words of every mistake.

use proc_macro2::TokenStream;
use quote::quote;

use super::config;
use crate::ir::{Config, ConfigKind, DefaultValue};
use crate::report::Report;

fn checked(item: TokenStream) -> (Option<Config>, Vec<String>) {
    let mut report = Report::default();
    let config = config(syn::parse2(item).unwrap(), &mut report);
    (config, report.texts())
}

/// The mistakes of a struct with these fields.
fn mistakes(fields: &TokenStream) -> Vec<String> {
    checked(quote! { struct Config { #fields } }).1
}

#[test]
fn fields_become_options() {
    let (config, messages) = checked(quote! {
        /// Trains.
        ///
        /// A net.
        #[config(crate = other::name)]
        struct Config {
            /// Passes
            epochs: u64,
            #[config(default = 1_024, long = "batch")]
            batch_size: usize,
            #[config(default = -0.5)]
            _shift: f64,
            #[config(default = "data")]
            r#type: PathBuf,
            #[config(default = Mode::Exact)]
            mode: Mode,
            max_steps: std::option::Option<i64>,
            width: Vec<usize>,
            augment: bool,
            #[config(default = true)]
            on: bool,
            not_known: std::primitive::bool,
        }
    });
    assert!(messages.is_empty(), "{messages:?}");
    let config = config.unwrap();
    let krate = &config.krate;
    assert_eq!(quote!(#krate).to_string(), quote!(other::name).to_string());
    assert_eq!(config.doc, " Trains.\n\n A net.");
    let fields = config.fields.iter().map(|field| {
        let kind = match field.kind {
            ConfigKind::One => "one",
            ConfigKind::Optional => "optional",
            ConfigKind::Flag => "flag",
            ConfigKind::Many => "many",
        };
        let ty = &field.value;
        let default = match &field.default {
            None => "-".to_owned(),
            Some(DefaultValue::Literal { text, is_text, .. }) => format!("{text} {is_text}"),
            Some(DefaultValue::Expression(value)) => quote!(#value).to_string(),
        };
        format!("{} {kind} {} {default}", field.long, quote!(#ty))
    });
    let expected = [
        "epochs one u64 -",
        "batch one usize 1024 false",
        "shift one f64 -0.5 false",
        "type one PathBuf data true",
        "mode one Mode Mode :: Exact",
        "max-steps optional i64 -",
        "width many usize -",
        "augment flag bool -",
        "on flag bool true false",
        "not-known one std :: primitive :: bool -",
    ];
    assert_eq!(fields.collect::<Vec<_>>(), expected);
    assert_eq!(config.fields[0].doc, " Passes");
}

#[test]
fn what_a_config_may_not_be() {
    const SHAPE: &str = "a config is a struct with named fields, one for each option of the command line";
    for (item, expected) in [
        (
            quote!(
                struct Config(f64);
            ),
            format!("{SHAPE}; name the fields: `{{ epochs: u64 }}`"),
        ),
        (
            quote!(
                enum Config {}
            ),
            format!("{SHAPE}; make it a struct, and give a field this type, with `FromStr`"),
        ),
        (quote!(union Config { a: u8 }), format!("{SHAPE}; make it a struct")),
        (
            quote!(
                struct Config<T> {
                    a: T,
                }
            ),
            "a config is not generic: it is written for workers that read it back; write the types out".to_owned(),
        ),
        (
            quote!(
                #[config]
                struct Config;
            ),
            "write `#[config(crate = path)]`".to_owned(),
        ),
        (
            quote!(
                #[config(long = "a")]
                struct Config;
            ),
            "`#[config]` on a struct has no option `long` (there is: `crate`)".to_owned(),
        ),
        (
            quote!(
                #[config(crate = "a")]
                struct Config;
            ),
            "the option `crate` takes a path; write `crate = my_trainloop`".to_owned(),
        ),
    ] {
        let text = item.to_string();
        assert_eq!(checked(item).1, [expected], "{text}");
    }
    for item in [
        quote!(
            struct Config;
        ),
        quote!(
            struct Config {}
        ),
    ] {
        assert!(checked(item).1.is_empty());
    }
}

#[test]
fn what_a_field_may_not_say() {
    for (field, expected) in [
        (
            quote!(#[config(defualt = 1)] a: u8),
            "`#[config]` on a field has no option `defualt`; did you mean `default`? (there is: `default`, `long`)",
        ),
        (quote!(#[config] a: u8), "write `#[config(default = 3e-3)]`"),
        (quote!(#[config = 3] a: u8), "write `#[config(default = 3e-3)]`"),
        (quote!(#[config(default)] a: u8), "the option `default` has no value; write `default = …`"),
        (quote!(#[config(default = 1, default = 2)] a: u8), "the option `default` is given twice"),
        (quote!(#[config(default = 1)] #[config(default = 2)] a: u8), "the option `default` is given twice"),
        (quote!(#[config(long = a)] a: u8), "the option `long` takes a string; write `long = \"…\"`"),
        (quote!(#[config(long)] a: u8), "the option `long` has no value; write `long = …`"),
        (
            quote!(#[config(default = 1)] a: Option<u8>),
            "the field `a` is an `Option`, which is `None` unless it is given; leave the default out, or the `Option`",
        ),
    ] {
        assert_eq!(mistakes(&field), [expected], "{field}");
    }
    for long in ["", "-a", "a-", "2a", "a b", "a=b", "a_b", "--a"] {
        let expected = format!(
            "`{long}` is no option's name: it has letters, digits and `-` alone, a letter first, and is written without \
             its `--`"
        );
        assert_eq!(mistakes(&quote!(#[config(long = #long)] a: u8)), [expected]);
    }
    for field in ["__", "_2", "__2_a"] {
        let name: syn::Ident = syn::parse_str(field).unwrap();
        let expected = format!("the field `{field}` makes no option's name; give it one: `#[config(long = \"…\")]`");
        assert_eq!(mistakes(&quote!(#name: u8)), [expected]);
        assert!(mistakes(&quote!(#[config(long = "a")] #name: u8)).is_empty());
    }
    for long in ["a", "é", "a2", "a-b"] {
        assert!(mistakes(&quote!(#[config(long = #long)] a: u8)).is_empty(), "{long}");
    }
}

#[test]
fn options_do_not_collide() {
    let mend = "rename the field, or its option: `#[config(long = \"…\")]`";
    for (field, option, what) in [
        ("config", "config", "a file with the config"),
        ("set", "set", "a field by its name"),
        ("workers", "workers", "how many workers run"),
        ("gpu", "gpu", "a GPU for each worker"),
        ("storage", "storage", "where runs are kept"),
        ("name", "name", "the run's name"),
        ("resume_", "resume", "whether there must be a run to go on with"),
        ("max_failures", "max-failures", "how often a run may start again"),
        ("help", "help", "this list"),
    ] {
        let expected = format!(
            "the field `{field}` would be the option `--{option}`, which every command line has already ({what}); {mend}"
        );
        let name: syn::Ident = syn::parse_str(field).unwrap();
        assert_eq!(mistakes(&quote!(#name: u8)), [expected]);
        let expected = format!(
            "the field `a` would be the option `--{option}`, which every command line has already ({what}); {mend}"
        );
        assert_eq!(mistakes(&quote!(#[config(long = #option)] a: u8)), [expected]);
        assert!(mistakes(&quote!(#[config(long = "a")] #name: u8)).is_empty());
    }
    for fields in [
        quote!(a_b: u8, #[config(long = "a-b")] c: u8),
        quote!(a_b: u8, c_: u8, #[config(long = "a-b")] c: u8),
        quote!(a_b: u8, #[config(long = "a-b")] c: u8, d: u8),
    ] {
        let expected = format!("the fields `a_b` and `c` would both be the option `--a-b`; {mend}");
        assert_eq!(mistakes(&fields), [expected]);
    }
    assert_eq!(
        mistakes(&quote!(_a: u8, a: u8)),
        [format!("the fields `_a` and `a` would both be the option `--a`; {mend}")]
    );
}

#[test]
fn every_mistake_is_told_at_once() {
    let messages = mistakes(&quote! {
        workers: u8,
        #[config(defualt = 1, long = 2)]
        a: u8,
        #[config(default = 1)]
        b: Option<u8>,
    });
    assert_eq!(messages.len(), 4, "{messages:#?}");
}
