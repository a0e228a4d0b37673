//! What was given, and how a field takes its value from it.

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::error::Mistake;
use super::value::FromText;

/// What was given for a config's fields; generated code reads each field from it.
///
/// A field looks on the command line, then takes its default. A source between the two (a file, say) belongs into `texts`
/// and `flag`, and nowhere else.
#[derive(Debug)]
pub struct Given {
    matches: ArgMatches,
}

impl Given {
    pub(super) fn new(matches: ArgMatches) -> Self {
        Self { matches }
    }

    /// What was given for an option, in its order; clap's own default is there to be shown alone.
    fn texts(&self, long: &str) -> Vec<&String> {
        if self.matches.value_source(long) != Some(ValueSource::CommandLine) {
            return Vec::new();
        }
        self.matches.get_many(long).map(Iterator::collect).unwrap_or_default()
    }

    /// The value of a flag.
    #[must_use]
    pub fn flag(&self, long: &'static str, default: bool) -> bool {
        if self.matches.value_source(long) != Some(ValueSource::CommandLine) {
            return default;
        }
        self.matches.get_one(long).copied().unwrap_or(default)
    }

    /// All values of an option.
    ///
    /// # Errors
    /// A value that the type does not take.
    pub fn many<T: FromText>(&self, long: &'static str) -> Result<Vec<T>, Mistake> {
        let read = |text: &String| T::parse_text(text).map_err(|reason| Mistake { long, value: text.clone(), reason });
        self.texts(long).into_iter().map(read).collect()
    }

    /// All values of an option, or its default where there is none.
    ///
    /// # Errors
    /// As [`many`](Self::many)'s.
    pub fn many_or<T: FromText>(
        &self,
        long: &'static str,
        default: impl FnOnce() -> Vec<T>,
    ) -> Result<Vec<T>, Mistake> {
        let values = self.many(long)?;
        Ok(if values.is_empty() { default() } else { values })
    }

    /// The value of an option, if it was given.
    ///
    /// # Errors
    /// As [`many`](Self::many)'s.
    pub fn optional<T: FromText>(&self, long: &'static str) -> Result<Option<T>, Mistake> {
        Ok(self.many(long)?.pop())
    }

    /// The value of an option, or its default.
    ///
    /// # Errors
    /// As [`many`](Self::many)'s.
    pub fn one_or<T: FromText>(&self, long: &'static str, default: impl FnOnce() -> T) -> Result<T, Mistake> {
        Ok(self.optional(long)?.unwrap_or_else(default))
    }

    /// The value of an option that must be given, as clap has seen to.
    ///
    /// # Errors
    /// As [`many`](Self::many)'s.
    pub fn one<T: FromText>(&self, long: &'static str) -> Result<T, Mistake> {
        let missing = || Mistake { long, value: String::new(), reason: "it is missing".to_owned() };
        self.optional(long)?.ok_or_else(missing)
    }
}
