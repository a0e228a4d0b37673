//! What the macros make of the README's and the guide's items, formatted: `macros/snapshots/`.
//!
//! After a change on purpose: `SNAPSHOTS=overwrite cargo test -p trainloop-macros`, and read the difference.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Attribute, Item, Meta};

/// The first item with this attribute or derive in the code of a document; its arguments are taken off.
fn item(document: &str, attribute: &str) -> (TokenStream, TokenStream) {
    let text = fs::read_to_string(root().join("..").join(document)).unwrap();
    let blocks = text.split("```rust").skip(1).map(|block| {
        let code = block.split_once('\n').unwrap().1.split("```").next().unwrap();
        // Lines that rustdoc hides.
        let code: Vec<&str> = code.lines().map(|line| line.strip_prefix("# ").unwrap_or(line)).collect();
        let code = code.join("\n");
        syn::parse_file(&code).unwrap_or_else(|error| panic!("{document}: {error}\n{code}"))
    });
    for mut item in blocks.flat_map(|file| file.items) {
        let attributes: &mut Vec<Attribute> = match &mut item {
            Item::Fn(function) => &mut function.attrs,
            Item::Struct(structure) => &mut structure.attrs,
            _ => continue,
        };
        let Some(place) = attributes.iter().position(|written| names(written, attribute)) else { continue };
        let arguments = match &attributes[place].meta {
            Meta::List(list) if !list.path.is_ident("derive") => list.tokens.clone(),
            _ => TokenStream::new(),
        };
        attributes.remove(place);
        return (arguments, item.to_token_stream());
    }
    panic!("{document} has no {attribute}");
}

/// `#[train_loop(…)]`, or `#[derive(…, Metrics, …)]`.
fn names(attribute: &Attribute, name: &str) -> bool {
    match &attribute.meta {
        Meta::List(list) if list.path.is_ident("derive") => list.tokens.to_string().contains(name),
        meta => meta.path().is_ident(name),
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Compares with the file of that name, and with the number of lines that it may have.
fn assert_snapshot(name: &str, expansion: TokenStream, most: usize) {
    let code = prettyplease::unparse(&syn::parse2(expansion).unwrap());
    let path = root().join(Path::new("snapshots").join(name).with_extension("rs"));
    if std::env::var_os("SNAPSHOTS").is_some_and(|value| value == "overwrite") {
        fs::write(&path, &code).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(code, expected, "{} differs; see the head of this file", path.display());
    let lines = code.lines().count();
    assert!(lines <= most, "{name} has {lines} lines, and may have {most}");
}

#[test]
fn the_readmes_train_loop() {
    let (arguments, function) = item("README.md", "train_loop");
    assert_snapshot("train_loop", super::train_loop(arguments, &function), 150);
}

#[test]
fn the_guides_callback() {
    let (arguments, function) = item("docs/guide.md", "callback");
    assert_snapshot("callback", super::callback(arguments, &function), 40);
}

#[test]
fn the_readmes_metrics() {
    let (_, structure) = item("README.md", "Metrics");
    assert_snapshot("metrics", super::metrics(structure), 60);
}

#[test]
fn the_readmes_state() {
    let (_, structure) = item("README.md", "TrainState");
    assert_snapshot("state", super::train_state(structure), 120);
}

#[test]
fn the_guides_collate() {
    let (_, structure) = item("docs/guide.md", "Collate");
    assert_snapshot("collate", super::collate(structure), 70);
}
