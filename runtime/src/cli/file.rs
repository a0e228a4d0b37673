//! A config's file, JSON or TOML, as texts: each value as it is written there, to be read as if it stood on the command
//! line, so that a number is rounded once and by the field's own type.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use toml::de::{DeInteger, DeTable, DeValue};

/// What stands at a key.
#[derive(Debug, PartialEq)]
pub(super) enum Entry {
    Null,
    One(String),
    Many(Vec<String>),
}

/// A value that is no field's: what it is.
struct Misfit(&'static str);

/// The file's keys and values, in its order or its keys'.
///
/// # Errors
/// Why there are none, in words that follow the file's name.
pub(super) fn read(path: &Path) -> Result<Vec<(String, Entry)>, String> {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    let parse = match extension.to_str() {
        Some("json") => json,
        Some("toml") => toml,
        _ => return Err("its name says no format; give a file whose name ends with '.json' or '.toml'".to_owned()),
    };
    let bytes = std::fs::read(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => "there is no such file; check the path".to_owned(),
        _ => format!("the file cannot be read: {error}"),
    })?;
    let text = String::from_utf8(bytes).map_err(|_| "the file is not text in UTF-8; save it as such".to_owned())?;
    parse(&text)
}

/// The key's value; a misfit is named with the key.
fn keyed(key: &str, entry: Result<Entry, Misfit>) -> Result<(String, Entry), String> {
    let named = |Misfit(what)| {
        format!(
            "the key '{key}' holds {what}; a field is a string, a number, `true`, `false`, or an array of these, in the \
             file itself"
        )
    };
    Ok((key.to_owned(), entry.map_err(named)?))
}

fn json(text: &str) -> Result<Vec<(String, Entry)>, String> {
    let Pairs(pairs) = serde_json::from_str(text).map_err(|error| format!("the JSON cannot be read: {error}"))?;
    pairs.into_iter().map(|(key, value)| keyed(&key, json_entry(value))).collect()
}

fn json_entry(value: &RawValue) -> Result<Entry, Misfit> {
    if !value.get().starts_with('[') {
        return if value.get() == "null" { Ok(Entry::Null) } else { json_scalar(value, false).map(Entry::One) };
    }
    let items: Vec<&RawValue> =
        serde_json::from_str(value.get()).map_err(|_| Misfit("an array that cannot be read"))?;
    items.into_iter().map(|item| json_scalar(item, true)).collect::<Result<_, _>>().map(Entry::Many)
}

fn json_scalar(value: &RawValue, in_array: bool) -> Result<String, Misfit> {
    let text = value.get();
    match (text.as_bytes().first(), in_array) {
        (Some(b'"'), _) => serde_json::from_str(text).map_err(|_| Misfit("a string that is not Unicode")),
        (Some(b'{'), false) => Err(Misfit("an object")),
        (Some(b'{'), true) => Err(Misfit("an object in an array")),
        (Some(b'['), _) => Err(Misfit("an array in an array")),
        (Some(b'n'), _) => Err(Misfit("null in an array")),
        _ => Ok(text.to_owned()),
    }
}

/// An object with its values unread: a `Value` would round a number before its field's type sees it.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;

        impl<'de> Visitor<'de> for Keys {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object whose keys are fields")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Keys)
    }
}

fn toml(text: &str) -> Result<Vec<(String, Entry)>, String> {
    let table = DeTable::parse(text).map_err(|error| {
        let (line, column) = position(text, error.span().unwrap_or_default().start);
        format!("the TOML cannot be read: {} at line {line} column {column}", error.message())
    })?;
    table.into_inner().into_iter().map(|(key, value)| keyed(key.get_ref(), toml_entry(value.get_ref()))).collect()
}

fn toml_entry(value: &DeValue<'_>) -> Result<Entry, Misfit> {
    match value {
        DeValue::Array(items) => {
            let items = items.iter().map(|item| toml_scalar(item.get_ref(), true));
            items.collect::<Result<_, _>>().map(Entry::Many)
        }
        other => toml_scalar(other, false).map(Entry::One),
    }
}

fn toml_scalar(value: &DeValue<'_>, in_array: bool) -> Result<String, Misfit> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(decimal(number)),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(truth) => Ok(truth.to_string()),
        DeValue::Datetime(time) => Ok(time.to_string()),
        DeValue::Array(_) => Err(Misfit("an array in an array")),
        DeValue::Table(_) if in_array => Err(Misfit("a table in an array")),
        DeValue::Table(_) => Err(Misfit("a table")),
    }
}

/// `0x10` as `FromStr` reads it; one that no integer holds stays as it is, to be refused by the field's type.
fn decimal(number: &DeInteger<'_>) -> String {
    match number.radix() {
        10 => number.as_str().to_owned(),
        radix => u128::from_str_radix(number.as_str(), radix).map_or_else(|_| number.to_string(), |n| n.to_string()),
    }
}

/// The line and column of a byte, from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}
