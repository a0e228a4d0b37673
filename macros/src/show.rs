//! `TRAINLOOP_EXPAND`: prints what the macros make of an item, for whoever looks for a mistake.
//!
//! `TRAINLOOP_EXPAND=train cargo check` prints that of the items called `train`, `TRAINLOOP_EXPAND=1` all. Cargo does not know
//! of the variable: touch the file, or it is not compiled again.

use std::io::Write;
use std::process::{Command, Stdio};

use proc_macro2::{TokenStream, TokenTree};

const VARIABLE: &str = "TRAINLOOP_EXPAND";

/// The expansion, printed on standard error where the variable asks for that of this item.
pub(crate) fn show(macro_name: &str, item: &TokenStream, expansion: TokenStream) -> TokenStream {
    if let Ok(wanted) = std::env::var(VARIABLE)
        && let Some(name) = name(item)
        && is_wanted(&wanted, &name)
    {
        let code = expansion.to_string();
        eprintln!("// {macro_name} of `{name}`\n{}", formatted(&code).unwrap_or(code));
    }
    expansion
}

fn is_wanted(wanted: &str, name: &str) -> bool {
    wanted == "1" || wanted.split(',').any(|wanted| wanted.trim() == name)
}

/// What stands behind `fn`, `struct` or the like.
fn name(item: &TokenStream) -> Option<String> {
    let mut tokens = item.clone().into_iter();
    let is_keyword = |token: &TokenTree| matches!(token, TokenTree::Ident(word) if ["fn", "struct", "enum", "union"].iter().any(|keyword| word == keyword));
    tokens.find(is_keyword)?;
    tokens.next().map(|name| name.to_string())
}

/// By `rustfmt`, where there is one.
fn formatted(code: &str) -> Option<String> {
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut stdin = rustfmt.stdin.take()?;
    let written = stdin.write_all(code.as_bytes());
    drop(stdin);
    let output = rustfmt.wait_with_output().ok()?;
    (written.is_ok() && output.status.success()).then(|| String::from_utf8(output.stdout).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_known_by_its_name() {
        let name = |item: &str| name(&item.parse().unwrap());
        assert_eq!(name("#[doc = \"fn\"] pub(crate) async fn train<T>() { fn inner() {} }").as_deref(), Some("train"));
        assert_eq!(name("pub struct State;").as_deref(), Some("State"));
        assert_eq!(name("enum"), None);
        assert!(is_wanted("1", "train") && is_wanted("State, train", "train") && !is_wanted("tr", "train"));
    }

    #[test]
    fn code_is_formatted() {
        assert_eq!(formatted("fn  train ( ) { }").as_deref(), Some("fn train() {}\n"));
        assert_eq!(formatted("fn ("), None);
    }
}
