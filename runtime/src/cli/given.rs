//! What was given, and how a field takes its value from it.

use std::collections::HashMap;

use super::error::Mistake;
use super::value::FromText;

/// What was given for a config's fields, wherever; generated code reads each field from it, by its option's name.
#[derive(Debug, Default)]
pub struct Given {
    fields: HashMap<&'static str, Values>,
}

/// What was given for one field.
#[derive(Debug)]
pub(super) struct Values {
    /// As they were written. An empty list is one that was given empty.
    pub(super) texts: Vec<String>,
    /// Where they come from, in quotes, as a message names it.
    pub(super) origin: String,
}

impl Given {
    pub(super) fn has(&self, long: &str) -> bool {
        self.fields.contains_key(long)
    }

    pub(super) fn insert(&mut self, long: &'static str, values: Values) {
        self.fields.insert(long, values);
    }

    fn read<T: FromText>(&self, long: &str) -> Result<Option<Vec<T>>, Mistake> {
        let Some(Values { texts, origin }) = self.fields.get(long) else { return Ok(None) };
        let read = |text: &String| {
            let mistake = |reason| Mistake { origin: origin.clone(), value: text.clone(), reason };
            T::parse_text(text).map_err(mistake)
        };
        texts.iter().map(read).collect::<Result<_, _>>().map(Some)
    }

    /// The value of a flag.
    ///
    /// # Errors
    /// As [`many`](Self::many)'s.
    pub fn flag(&self, long: &'static str, default: bool) -> Result<bool, Mistake> {
        self.one_or(long, || default)
    }

    /// All values of an option.
    ///
    /// # Errors
    /// A value that the type does not take.
    pub fn many<T: FromText>(&self, long: &'static str) -> Result<Vec<T>, Mistake> {
        self.many_or(long, Vec::new)
    }

    /// All values of an option, or its default where it was not given.
    ///
    /// # Errors
    /// As [`many`](Self::many)'s.
    pub fn many_or<T: FromText>(
        &self,
        long: &'static str,
        default: impl FnOnce() -> Vec<T>,
    ) -> Result<Vec<T>, Mistake> {
        Ok(self.read(long)?.unwrap_or_else(default))
    }

    /// The value of an option, if it was given.
    ///
    /// # Errors
    /// As [`many`](Self::many)'s.
    pub fn optional<T: FromText>(&self, long: &'static str) -> Result<Option<T>, Mistake> {
        Ok(self.read(long)?.and_then(|mut values: Vec<T>| values.pop()))
    }

    /// The value of an option, or its default.
    ///
    /// # Errors
    /// As [`many`](Self::many)'s.
    pub fn one_or<T: FromText>(&self, long: &'static str, default: impl FnOnce() -> T) -> Result<T, Mistake> {
        Ok(self.optional(long)?.unwrap_or_else(default))
    }

    /// The value of an option that must be given, as the sources have seen to.
    ///
    /// # Errors
    /// As [`many`](Self::many)'s.
    pub fn one<T: FromText>(&self, long: &'static str) -> Result<T, Mistake> {
        let missing =
            || Mistake { origin: format!("'--{long}'"), value: String::new(), reason: "it is missing".to_owned() };
        self.optional(long)?.ok_or_else(missing)
    }
}
