//! What came of a load.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use tch::Tensor;

use super::rules::Named;

/// Which names a [partial load](super::Weights::load_partial) has found; `Display` is a short text for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a partial load may have left out what it should not: look at `missing` and `unexpected`"]
pub struct LoadReport {
    /// The model's variables that have the file's values now.
    pub loaded: Vec<String>,
    /// Those that the file does not have.
    pub missing: Vec<String>,
    /// The file's names, as they were renamed, that the model does not have.
    pub unexpected: Vec<String>,
}

impl LoadReport {
    pub(super) fn of(named: &[Named], variables: &BTreeMap<String, Tensor>) -> Self {
        let found: BTreeSet<&String> = named.iter().map(|named| &named.name).collect();
        let (loaded, missing) = variables.keys().cloned().partition(|name| found.contains(name));
        let unexpected = found.into_iter().filter(|name| !variables.contains_key(*name)).cloned().collect();
        Self { loaded, missing, unexpected }
    }

    /// True where the model has all of its variables from the file, and the file no other.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty()
    }

    pub(super) fn check(&self, is_strict: bool) -> Result<(), String> {
        if is_strict && !self.is_complete() {
            return Err(format!(
                "the model asks for {} that the file lacks, and lacks {} that the file has; rename or ignore them, or take \
                 `load_partial`",
                list(&self.missing),
                list(&self.unexpected)
            ));
        }
        if self.loaded.is_empty() {
            return Err(format!(
                "it has nothing that the model asks for: the model has {}, the file {}; rename them",
                list(&self.missing),
                list(&self.unexpected)
            ));
        }
        Ok(())
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.loaded.len() + self.missing.len();
        write!(f, "{} of {all} variables loaded", self.loaded.len())?;
        if !self.missing.is_empty() {
            write!(f, "; missing: {}", list(&self.missing))?;
        }
        if !self.unexpected.is_empty() {
            write!(f, "; unexpected: {}", list(&self.unexpected))?;
        }
        Ok(())
    }
}

/// The first names.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 6;
    match names {
        [] => "nothing".to_owned(),
        names if names.len() > SHOWN => {
            format!("`{}` and {} more", names[..SHOWN - 1].join("`, `"), names.len() - SHOWN + 1)
        }
        names => format!("`{}`", names.join("`, `")),
    }
}
