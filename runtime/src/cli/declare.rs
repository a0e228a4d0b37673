//! A config's options as its author declared them, and as clap shows them.

use clap::{Arg, ArgAction, Command, value_parser};

/// A config's options; generated code makes it.
#[derive(Debug)]
pub struct Declaration {
    doc: &'static str,
    options: Vec<Declared>,
}

/// One field of a config, as an option.
#[derive(Debug)]
pub struct Declared {
    pub(super) long: &'static str,
    pub(super) field: &'static str,
    doc: &'static str,
    pub(super) occurs: Occurs,
    shown: Vec<String>,
}

/// How often a field is given, and what it is where it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occurs {
    /// Once.
    Required,
    /// Once, or it has its default.
    Defaulted,
    /// Once, or it is `None`.
    Optional,
    /// Once or not at all, with a value or without.
    Flag,
    /// Any number of times.
    Many,
}

impl Declaration {
    /// A config with this doc comment, without options so far.
    #[must_use]
    pub fn new(doc: &'static str) -> Self {
        Self { doc, options: Vec::new() }
    }

    /// Adds an option.
    #[must_use]
    pub fn option(mut self, option: Declared) -> Self {
        self.options.push(option);
        self
    }

    pub(super) fn fields(&self) -> &[Declared] {
        &self.options
    }

    pub(super) fn add_to(&self, mut command: Command) -> Command {
        let [first, whole] = help(self.doc);
        if let Some(first) = first {
            command = command.about(first);
        }
        if let Some(whole) = whole {
            command = command.long_about(whole);
        }
        command.args(self.options.iter().map(Declared::arg))
    }
}

impl Declared {
    /// The option `--long` of a field.
    #[must_use]
    pub fn new(long: &'static str, field: &'static str, doc: &'static str, occurs: Occurs) -> Self {
        Self { long, field, doc, occurs, shown: Vec::new() }
    }

    /// The default, as the help shows it.
    #[must_use]
    pub fn default(self, shown: impl Into<String>) -> Self {
        self.defaults(vec![shown.into()])
    }

    /// The default of several values, as the help shows them.
    #[must_use]
    pub fn defaults(mut self, shown: Vec<String>) -> Self {
        self.shown = shown;
        self
    }

    fn arg(&self) -> Arg {
        let arg = Arg::new(self.long).long(self.long).value_name(self.field.to_uppercase());
        let arg = match self.occurs {
            Occurs::Required => arg.required(true).allow_negative_numbers(true),
            Occurs::Defaulted | Occurs::Optional => arg.allow_negative_numbers(true),
            Occurs::Flag => flag(arg),
            Occurs::Many => arg.action(ArgAction::Append).allow_negative_numbers(true),
        };
        let [first, whole] = help(self.doc);
        let arg = match (first, self.occurs) {
            (Some(first), Occurs::Many) => arg.help(format!("{first} (may be given several times)")),
            (Some(first), _) => arg.help(first),
            (None, Occurs::Many) => arg.help("May be given several times"),
            (None, _) => arg,
        };
        let arg = match whole {
            Some(whole) => arg.long_help(whole),
            None => arg,
        };
        // Shown, and never read: the default itself comes from the derive.
        arg.default_values(&self.shown)
    }
}

/// `--flag`, also `--flag=false`; a value behind a blank would be ambiguous.
pub(super) fn flag(arg: Arg) -> Arg {
    arg.num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .value_parser(value_parser!(bool))
        .value_name("true|false")
        .hide_possible_values(true)
}

/// A doc comment as help: its first paragraph, and all of it where there are more.
fn help(doc: &str) -> [Option<String>; 2] {
    let lines: Vec<&str> = doc.lines().map(str::trim).collect();
    let paragraphs: Vec<String> =
        lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty()).map(|lines| lines.join(" ")).collect();
    let whole = (paragraphs.len() > 1).then(|| paragraphs.join("\n\n"));
    let first = paragraphs.into_iter().next().map(|first| match first.strip_suffix('.') {
        Some(sentence) if !sentence.ends_with('.') => sentence.to_owned(),
        _ => first,
    });
    [first, whole]
}

#[cfg(test)]
mod tests {
    use super::help;

    #[test]
    fn a_doc_comment_becomes_help() {
        assert_eq!(help(""), [None, None]);
        assert_eq!(help(" Learning\n rate."), [Some("Learning rate".into()), None]);
        assert_eq!(help(" And so on..."), [Some("And so on...".into()), None]);
        assert_eq!(help("\n One.\n\n\n Two\n lines.\n"), [Some("One".into()), Some("One.\n\nTwo lines.".into())]);
    }
}
