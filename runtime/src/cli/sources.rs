//! Where a config's values come from: a field's own option or `--set`, then a file; the first that has the field counts, and
//! the default is left to the derive.

use std::fmt;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::declare::{Declared, Occurs};
use super::file::{self, Entry};
use super::given::{Given, Values};
use super::names::find;

/// Why a command line is refused; clap adds the usage.
pub(super) struct Refusal {
    pub(super) kind: ErrorKind,
    pub(super) message: String,
}

impl Refusal {
    fn value(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::ValueValidation, message: message.into() }
    }
}

pub(super) fn add_to(command: Command) -> Command {
    let option = |name: &'static str| Arg::new(name).long(name).help_heading("Config");
    command
        .arg(
            option("config")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Take fields from this JSON or TOML file; what the command line says counts before it"),
        )
        .arg(
            option("set")
                .value_name("NAME=VALUE")
                .action(ArgAction::Append)
                .help("Set a field by its name, as its own option would (may be given several times)"),
        )
}

/// Everything that was given, by field. That nothing required is missing is [`missing`]'s to see.
pub(super) fn gather(fields: &[Declared], command: &Command, matches: &ArgMatches) -> Result<Given, Refusal> {
    let mut given = Given::default();
    for field in fields {
        if let Some(texts) = typed(field.long, matches) {
            given.insert(field.long, Values { texts, origin: shown(field, command) });
        }
    }
    let sets = matches.get_many::<String>("set").into_iter().flatten();
    for (field, values) in from_sets(sets, fields, command, &given)? {
        given.insert(field.long, values);
    }
    if let Some(path) = matches.get_one::<PathBuf>("config") {
        for (field, values) in from_file(&path.display(), file::read(path), fields, command)? {
            if !given.has(field.long) {
                given.insert(field.long, values);
            }
        }
    }
    Ok(given)
}

/// What stands on the command line for an option; clap's own default is there to be shown alone.
fn typed(long: &str, matches: &ArgMatches) -> Option<Vec<String>> {
    let given = matches.value_source(long) == Some(ValueSource::CommandLine);
    // Clap has refused what is not UTF-8.
    let text = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
    given.then(|| matches.get_raw(long).into_iter().flatten().map(text).collect())
}

/// A field's own option, in quotes.
fn shown(field: &Declared, command: &Command) -> String {
    let arg = command.get_arguments().find(|arg| arg.get_long() == Some(field.long));
    arg.map_or_else(|| format!("'--{}'", field.long), |arg| format!("'{arg}'"))
}

/// Every `--set NAME=VALUE`, by field; `typed` are the fields that their own options have set.
fn from_sets<'f, 't>(
    sets: impl Iterator<Item = &'t String>,
    fields: &'f [Declared],
    command: &Command,
    typed: &Given,
) -> Result<Vec<(&'f Declared, Values)>, Refusal> {
    let mut found: Vec<(&Declared, Values)> = Vec::new();
    for text in sets {
        let Some((name, value)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            let name = if text.starts_with('=') { "NAME" } else { text };
            return Err(Refusal::value(format!(
                "invalid value '{text}' for '--set <NAME=VALUE>': it is no field's name and value; write '--set \
                 {name}=VALUE'"
            )));
        };
        let origin = format!("'--set {name}'");
        let field = find(name, &format!("'--set {text}'"), fields, command)?;
        let earlier = found.iter_mut().find(|(other, _)| other.long == field.long);
        let rival = match earlier {
            Some((_, values)) if field.occurs == Occurs::Many => {
                values.texts.push(value.to_owned());
                continue;
            }
            Some((_, values)) => values.origin.clone(),
            None if typed.has(field.long) => shown(field, command),
            None => {
                found.push((field, Values { texts: vec![value.to_owned()], origin }));
                continue;
            }
        };
        let message = format!(
            "the argument '--set {text}' cannot be used with {rival}: both set the field '{}'; leave one of them out",
            field.field
        );
        return Err(Refusal { kind: ErrorKind::ArgumentConflict, message });
    }
    Ok(found)
}

/// The file's values by field. All of them are looked at, also those that the command line overrules.
fn from_file<'f>(
    path: &dyn fmt::Display,
    entries: Result<Vec<(String, Entry)>, String>,
    fields: &'f [Declared],
    command: &Command,
) -> Result<Vec<(&'f Declared, Values)>, Refusal> {
    let refused = |reason: String| Refusal::value(format!("invalid value '{path}' for '--config <FILE>': {reason}"));
    let mut found: Vec<(&Declared, String)> = Vec::new();
    let mut values = Vec::new();
    for (key, entry) in entries.map_err(refused)? {
        let field = find(&key, &format!("'{path}'"), fields, command)?;
        if let Some((_, other)) = found.iter().find(|(other, _)| other.long == field.long) {
            return Err(refused(if *other == key {
                format!("the key '{key}' is there twice; leave one of them out")
            } else {
                format!("the keys '{other}' and '{key}' are one field; leave one of them out")
            }));
        }
        let wrong = |reason: &str| Err(refused(format!("the key '{key}' {reason}")));
        let texts = match (entry, field.occurs) {
            (Entry::Null, Occurs::Optional) => None,
            (Entry::Null, _) => return wrong("is null, which only an `Option` can be; leave the key out"),
            (Entry::Many(texts), Occurs::Many) => Some(texts),
            (Entry::Many(_), _) => return wrong("is an array, and the field has one value; write that value alone"),
            (Entry::One(text), Occurs::Many) => {
                return wrong(&format!("is one value, '{text}', and the field has many; write an array of them"));
            }
            (Entry::One(text), _) => Some(vec![text]),
        };
        values.extend(texts.map(|texts| (field, Values { texts, origin: format!("'{key}' in '{path}'") })));
        found.push((field, key));
    }
    Ok(values)
}

/// In clap's words, with the places where the fields could have been.
pub(super) fn missing(
    fields: &[Declared],
    command: &Command,
    matches: &ArgMatches,
    given: &Given,
) -> Result<(), Refusal> {
    let missing = fields.iter().filter(|field| field.occurs == Occurs::Required && !given.has(field.long));
    let missing: Vec<String> =
        missing.map(|field| format!("\n  {}", shown(field, command).trim_matches('\''))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let file = matches.get_one::<PathBuf>("config").map(|path| format!(", nor in '{}'", path.display()));
    let message = format!(
        "the following required fields were given neither by an option nor by '--set'{}:{}",
        file.unwrap_or_default(),
        missing.concat()
    );
    Err(Refusal { kind: ErrorKind::MissingRequiredArgument, message })
}
