//! The options of attributes: `name`, `name = value` or `name(options)`, with a comma between.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Expr, ExprLit, Ident, Lit, LitStr, Meta, Path, Token};

use crate::report::Report;

/// One option as written.
pub(crate) struct Setting {
    pub(crate) name: Ident,
    pub(crate) value: Option<Expr>,
    /// What stands in parentheses.
    pub(crate) nested: Option<TokenStream>,
}

impl Parse for Setting {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        // `crate` is a keyword, and the name of an option.
        let name = input.call(Ident::parse_any)?;
        if input.peek(syn::token::Paren) {
            let content;
            syn::parenthesized!(content in input);
            return Ok(Self { name, value: None, nested: Some(content.parse()?) });
        }
        let value = match input.parse::<Option<Token![=]>>()? {
            Some(_) if input.is_empty() => {
                return Err(syn::Error::new(name.span(), no_value(&name)));
            }
            Some(_) => Some(input.parse()?),
            None => None,
        };
        if !input.is_empty() {
            return Err(input.error("this is no part of the option before it; write a comma between two options"));
        }
        Ok(Self { name, value, nested: None })
    }
}

impl Setting {
    fn value(&self, report: &mut Report) -> Option<&Expr> {
        if self.value.is_none() {
            report.at(&self.name, no_value(&self.name));
        }
        self.value.as_ref()
    }

    fn string(&self, report: &mut Report) -> Option<LitStr> {
        match self.value(report)? {
            Expr::Lit(ExprLit { lit: Lit::Str(string), .. }) => Some(string.clone()),
            other => {
                let name = &self.name;
                report.at(other, format!("the option `{name}` takes a string; write `{name} = \"…\"`"));
                None
            }
        }
    }
}

/// The options of one attribute, parsed.
pub(crate) struct Options(Vec<Setting>);

impl Options {
    /// Parses `tokens`, each option for itself: one that cannot be parsed is reported, and the others stand.
    pub(crate) fn parse(tokens: TokenStream, report: &mut Report) -> Self {
        let mut options = Vec::new();
        for (end, option) in between_commas(tokens) {
            if option.is_empty() {
                report.at_span(end, "there is no option before this comma; remove it");
                continue;
            }
            match syn::parse2(option) {
                Ok(option) => options.push(option),
                Err(error) => report.push(error),
            }
        }
        Self(options)
    }

    /// Parses the options of all `#[name(…)]` among an item's attributes; one without options is told to be like `example`.
    pub(crate) fn of_attributes(attributes: &[Attribute], name: &str, example: &str, report: &mut Report) -> Self {
        let mut options = Vec::new();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(name)) {
            match &attribute.meta {
                Meta::List(list) => options.extend(Self::parse(list.tokens.clone(), report).0),
                other => report.at(other, format!("write `{example}`")),
            }
        }
        Self(options)
    }

    /// Reports options that `place` does not know, and those given twice.
    pub(crate) fn allow(&self, place: &str, known: &[&str], report: &mut Report) {
        self.allow_and_repeat(place, known, &[], report);
    }

    /// As [`allow`](Self::allow), where those in `repeated` may be given several times.
    pub(crate) fn allow_and_repeat(&self, place: &str, known: &[&str], repeated: &[&str], report: &mut Report) {
        for (index, option) in self.0.iter().enumerate() {
            let name = option.name.to_string();
            if !known.contains(&name.as_str()) {
                report.at(&option.name, format!("{place} has no option `{name}`{}", suggestion(&name, known)));
            } else if !repeated.contains(&name.as_str())
                && self.0[..index].iter().any(|other| other.name == option.name)
            {
                report.at(&option.name, format!("the option `{name}` is given twice"));
            }
        }
    }

    /// Takes the first option out where it is a name alone.
    pub(crate) fn take_first_name(&mut self) -> Option<Ident> {
        let first = self.0.first().filter(|first| first.value.is_none() && first.nested.is_none())?;
        let name = first.name.clone();
        self.0.remove(0);
        Some(name)
    }

    /// Where the first option is.
    pub(crate) fn span(&self) -> Span {
        self.0.first().map_or_else(Span::call_site, |first| first.name.span())
    }

    /// An option's name where it is written.
    pub(crate) fn name(&self, name: &str) -> Option<&Ident> {
        self.setting(name).map(|setting| &setting.name)
    }

    fn setting(&self, name: &str) -> Option<&Setting> {
        self.0.iter().find(|setting| setting.name == name)
    }

    /// An option without a value: is it there?
    pub(crate) fn flag(&self, name: &str, report: &mut Report) -> bool {
        let Some(setting) = self.setting(name) else { return false };
        let said = format!("the option `{name}` takes no value; write `{name}`");
        match (&setting.value, &setting.nested) {
            (Some(value), _) => report.at(value, said),
            (None, Some(_)) => report.at(&setting.name, said),
            (None, None) => {}
        }
        true
    }

    /// An option that is on where it is named, and may be written with `true` or `false`.
    pub(crate) fn switch(&self, name: &str, report: &mut Report) -> Option<bool> {
        let setting = self.setting(name)?;
        match (&setting.value, &setting.nested) {
            (None, None) => return Some(true),
            (Some(Expr::Lit(ExprLit { lit: Lit::Bool(on), .. })), _) => return Some(on.value),
            (Some(value), _) => report.at(value, switch_mend(name)),
            (None, Some(_)) => report.at(&setting.name, switch_mend(name)),
        }
        None
    }

    /// The value of an option that may be written without one.
    pub(crate) fn value_if_any(&self, name: &str, report: &mut Report) -> Option<&Expr> {
        let setting = self.setting(name)?;
        if setting.nested.is_some() {
            report.at(&setting.name, format!("the option `{name}` has no parentheses; write `{name}` or `{name} = …`"));
        }
        setting.value.as_ref()
    }

    /// The value of an option that has one.
    pub(crate) fn value(&self, name: &str, report: &mut Report) -> Option<&Expr> {
        self.setting(name)?.value(report)
    }

    /// The options in the parentheses of an option that has some.
    pub(crate) fn nested(&self, name: &str, report: &mut Report) -> Option<Self> {
        let setting = self.setting(name)?;
        let Some(tokens) = &setting.nested else {
            report.at(&setting.name, format!("the option `{name}` has options of its own; write `{name}(…)`"));
            return None;
        };
        Some(Self::parse(tokens.clone(), report))
    }

    /// The value of an option that takes a string.
    pub(crate) fn string(&self, name: &str, report: &mut Report) -> Option<LitStr> {
        self.setting(name)?.string(report)
    }

    /// The values of an option that takes a string and may be given several times.
    pub(crate) fn strings(&self, name: &str, report: &mut Report) -> Vec<LitStr> {
        self.0.iter().filter(|setting| setting.name == name).filter_map(|setting| setting.string(report)).collect()
    }

    /// The place in `values` of an option's value; another value is reported.
    pub(crate) fn choice(&self, name: &str, values: &[&str], report: &mut Report) -> Option<usize> {
        let word = self.word(name, values, report)?;
        values.iter().position(|value| word == value)
    }

    /// [`choice`](Self::choice), as it is written.
    pub(crate) fn word(&self, name: &str, values: &[&str], report: &mut Report) -> Option<Ident> {
        let value = self.value(name, report)?;
        let written = match value {
            Expr::Path(path) => path.path.get_ident(),
            _ => None,
        };
        if let Some(known) = written.filter(|word| values.iter().any(|value| word == value)) {
            return Some(known.clone());
        }
        let mend = suggestion(&written.map(ToString::to_string).unwrap_or_default(), values);
        let written = value.to_token_stream();
        report.at(value, format!("`{name}` cannot be `{written}`{mend}"));
        None
    }

    /// The path of the crate `trainloop`.
    pub(crate) fn crate_path(&self, report: &mut Report) -> Path {
        match self.value("crate", report) {
            Some(Expr::Path(path)) => path.path.clone(),
            Some(other) => {
                report.at(other, "the option `crate` takes a path; write `crate = my_trainloop`");
                syn::parse_quote!(::trainloop)
            }
            None => syn::parse_quote!(::trainloop),
        }
    }
}

fn no_value(name: &Ident) -> String {
    format!("the option `{name}` has no value; write `{name} = …`")
}

fn switch_mend(name: &str) -> String {
    format!("the option `{name}` is on or off; write `{name}`, or `{name} = false`")
}

/// The tokens between commas, each with the place of the comma that ends it; nothing stands behind a last one.
fn between_commas(tokens: TokenStream) -> Vec<(Span, TokenStream)> {
    let mut parts = Vec::new();
    let mut part = TokenStream::new();
    for token in tokens {
        match token {
            TokenTree::Punct(comma) if comma.as_char() == ',' => parts.push((comma.span(), std::mem::take(&mut part))),
            token => part.extend([token]),
        }
    }
    if !part.is_empty() {
        parts.push((Span::call_site(), part));
    }
    parts
}

/// The nearest name, where `written` looks like a slip, and all that exist.
pub(crate) fn suggestion(written: &str, names: &[&str]) -> String {
    let near =
        nearest(written, names.iter().copied()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    let all = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    format!("{near} (there is: {all})")
}

/// The name that differs least, if it differs by a slip: at most a third of its letters.
fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, name) = names.into_iter().map(|name| (distance(written, name), name)).min()?;
    (distance <= 1.max(name.len() / 3)).then_some(name)
}

/// How many letters were left out, put in, replaced or exchanged with their neighbour: Levenshtein's distance with
/// Damerau's transpositions.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    for i in 1..=left.len() {
        let mut row = vec![i];
        for j in 1..=right.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(left[i - 1] != right[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let names = ["strategy", "crate"];
        assert_eq!(nearest("stratgey", names), Some("strategy"));
        assert_eq!(nearest("crat", names), Some("crate"));
        assert_eq!(nearest("epochs", names), None);
        assert_eq!(nearest("dpd", ["single", "ddp"]), Some("ddp"));
        assert_eq!(nearest("dp", ["single", "ddp"]), Some("ddp"));
    }
}
