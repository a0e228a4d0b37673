//! What is understood of an item that keeps the rules.

use quote::quote;

use super::check;
use crate::ir::{Absent, StateBody, StateKind, TrainState};

#[test]
fn what_is_right() {
    let state = check(&quote! {
        struct S {
            part: A,
            #[state(serde, rename = "größe-2", alias = "b", alias = "0")]
            value: B,
            #[state(with = some::module, default)]
            foreign: C,
            #[state(skip)]
            scratch: D,
            #[state(serde)]
            #[state(default = 3)]
            r#type: E,
        }
    });
    let Ok(TrainState { body: StateBody::Struct(fields), .. }) = state else { panic!("not a struct") };
    let found: Vec<_> = fields
        .iter()
        .map(|field| {
            let kind = match &field.kind {
                StateKind::Part => "part",
                StateKind::Value => "value",
                StateKind::With(_) => "with",
            };
            let absent = match &field.absent {
                Absent::Refused => "refused",
                Absent::Kept => "kept",
                Absent::Set(_) => "set",
            };
            (field.names.name.as_str(), field.names.aliases.len(), kind, absent)
        })
        .collect();
    assert_eq!(
        found,
        [
            ("part", 0, "part", "refused"),
            ("größe-2", 2, "value", "refused"),
            ("foreign", 0, "with", "kept"),
            ("type", 0, "value", "set"),
        ]
    );
}

/// A variant can be made from what was saved if it is values alone; a field that is skipped has no value then.
#[test]
fn which_variants_are_values() {
    let state = check(&quote! {
        enum E {
            Unit,
            Empty {},
            Values(#[state(serde)] u64, #[state(serde, default)] u64),
            Part(A),
            With { #[state(with = module)] a: A },
            Skipped { #[state(serde)] a: u64, #[state(skip)] b: u64 },
        }
    });
    let Ok(TrainState { body: StateBody::Enum(variants), .. }) = state else { panic!("not an enum") };
    let values: Vec<_> =
        variants.iter().filter(|variant| variant.is_values).map(|variant| &variant.names.name).collect();
    assert_eq!(values, ["Unit", "Empty", "Values"]);
}
