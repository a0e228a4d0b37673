//! What is logged at one step.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::channel::encode;
use crate::controller::record;
use crate::error::{Error, Result};

/// Metrics of one step, by name: a report, or what [`ctx.log`](crate::worker::Context::log) was given.
///
/// A struct's fields go by their names, those of a struct in it by `outer/inner`. A list, and what is missing (`None`), is
/// left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    step: u64,
    report: Option<u64>,
    values: Vec<(String, Scalar)>,
}

/// A value that is logged.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Scalar {
    /// A whole number.
    Integer(i64),
    /// A number; it may be NaN or infinite.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// A text.
    Text(String),
}

impl Logged {
    /// What is logged at `step`.
    pub fn new<N: Into<String>, S: Into<Scalar>>(step: u64, values: impl IntoIterator<Item = (N, S)>) -> Self {
        let values = values.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self { step, report: None, values: values.collect() }
    }

    /// The record of metrics or a config, as the run's files have it.
    pub(crate) fn of_record(step: u64, report: Option<u64>, record: &Value) -> Self {
        let mut values = Vec::new();
        flatten(&mut values, "", record);
        Self { step, report, values }
    }

    /// The step: what `ctx.step` had counted; the report's number in a loop that does not call it.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The report's number, from 0; `None` where it is no report.
    #[must_use]
    pub fn report(&self) -> Option<u64> {
        self.report
    }

    /// The value of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Scalar> {
        self.iter().find_map(|(other, value)| (other == name).then_some(value))
    }

    /// Names and values, in the order of the struct's fields.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Scalar)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// The step of metrics that come after so many steps and reports.
pub(crate) fn step(steps: u64, reports: u64) -> u64 {
    if steps > 0 { steps } else { reports }
}

/// Values for [`Logged`] as a worker sends them.
pub(crate) fn values(values: &impl Serialize) -> Result<Vec<u8>> {
    let bytes = encode(values, "write what is to be logged")?;
    match record(&bytes)? {
        Value::Object(_) => Ok(bytes),
        Value::Array(pairs) if pairs.iter().all(|pair| named(pair).is_some()) => Ok(bytes),
        other => Err(Error::config(format!(
            "{other} cannot be logged: what is logged has names; give a struct, a map, or pairs such as \
             `&[(\"loss\", loss)]`"
        ))),
    }
}

/// `["loss", 0.5]`.
fn named(pair: &Value) -> Option<(&str, &Value)> {
    match pair.as_array()?.as_slice() {
        [Value::String(name), value] => Some((name, value)),
        _ => None,
    }
}

fn flatten(values: &mut Vec<(String, Scalar)>, prefix: &str, record: &Value) {
    match record {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| add(values, &format!("{prefix}{name}"), value));
        }
        Value::Array(pairs) if prefix.is_empty() => {
            pairs.iter().filter_map(named).for_each(|(name, value)| add(values, name, value));
        }
        _ => {}
    }
}

fn add(values: &mut Vec<(String, Scalar)>, name: &str, value: &Value) {
    let scalar = match value {
        Value::Bool(value) => Scalar::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => Scalar::Integer(value),
            (None, Some(value)) => Scalar::Float(value),
            (None, None) => return,
        },
        // So a record has them, since JSON has not.
        Value::String(text) => match text.as_str() {
            "NaN" => Scalar::Float(f64::NAN),
            "Infinity" => Scalar::Float(f64::INFINITY),
            "-Infinity" => Scalar::Float(f64::NEG_INFINITY),
            text => Scalar::Text(text.to_owned()),
        },
        Value::Object(_) => return flatten(values, &format!("{name}/"), value),
        Value::Null | Value::Array(_) => return,
    };
    values.push((name.to_owned(), scalar));
}

impl Scalar {
    /// As a number; true is 1. `None` for a text.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            Self::Bool(value) => Some(f64::from(u8::from(*value))),
            Self::Text(_) => None,
        }
    }

    /// As JSON; a float that JSON cannot write is a string, as in the run's records.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Integer(value) => (*value).into(),
            Self::Float(value) if !value.is_finite() => self.to_string().into(),
            Self::Float(value) => (*value).into(),
            Self::Bool(value) => (*value).into(),
            Self::Text(text) => text.as_str().into(),
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(f, "{value}"),
            Self::Float(value) if value.is_infinite() => {
                f.write_str(if *value > 0.0 { "Infinity" } else { "-Infinity" })
            }
            Self::Float(value) => write!(f, "{value}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

macro_rules! scalar {
    ($($from:ty => $variant:ident),*) => {$(
        impl From<$from> for Scalar {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

scalar!(f64 => Float, f32 => Float, i64 => Integer, i32 => Integer, u32 => Integer, bool => Bool, &str => Text, String => Text);
