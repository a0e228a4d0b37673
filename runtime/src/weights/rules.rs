//! From a file's names to the model's.

use std::collections::BTreeMap;
use std::fmt;

use crate::pattern::Pattern;

/// A name in the file, and what it is to the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) original: String,
    pub(super) name: String,
}

/// One step on the way.
pub(super) enum Rule {
    Rename(Pattern, String),
    RenameWith(Box<dyn Fn(&str) -> String>),
    Under(String),
    Ignore(Pattern),
}

impl Rule {
    pub(super) fn rename(from: impl Into<String>, to: impl Into<String>) -> Self {
        Self::Rename(Pattern::new(from), to.into())
    }

    pub(super) fn ignore(pattern: impl Into<String>) -> Self {
        Self::Ignore(Pattern::new(pattern))
    }

    /// What becomes of the names.
    fn apply(&self, names: Vec<Named>) -> Result<Vec<Named>, String> {
        let (left, touched) = match self {
            Self::Rename(from, to) => {
                let stars = to.matches('*').count();
                if stars > from.stars() {
                    return Err(format!(
                        "`rename(\"{from}\", \"{to}\")`: the second has {stars} `*` and the first {}; each must stand for \
                         one of the first's",
                        from.stars()
                    ));
                }
                changed(names, |name| from.replace(name, to))
            }
            Self::RenameWith(rename) => (changed(names, |name| Some(rename(name))).0, true),
            Self::Under(prefix) => {
                let below = |name: &str| Some(name.strip_prefix(prefix.as_str())?.strip_prefix('.')?.to_owned());
                let below =
                    |Named { original, name }: &Named| Some(Named { original: original.clone(), name: below(name)? });
                let left: Vec<_> = names.iter().filter_map(below).collect();
                if left.is_empty() {
                    return Err(matches_none(&Pattern::new(format!("{prefix}.*")), &names));
                }
                (left, true)
            }
            Self::Ignore(pattern) => {
                let before = names.clone();
                let left: Vec<_> = names.into_iter().filter(|named| !pattern.matches(&named.name)).collect();
                if left.len() == before.len() {
                    return Err(matches_none(pattern, &before));
                }
                (left, true)
            }
        };
        match self {
            Self::Rename(from, _) if !touched => Err(matches_none(from, &left)),
            _ => Ok(left),
        }
    }
}

/// The names with those changed for which there is another, and whether there was any.
fn changed(names: Vec<Named>, rename: impl Fn(&str) -> Option<String>) -> (Vec<Named>, bool) {
    let mut touched = false;
    let names = names.into_iter().map(|Named { original, name }| match rename(&name) {
        Some(name) => {
            touched = true;
            Named { original, name }
        }
        None => Named { original, name },
    });
    (names.collect(), touched)
}

fn matches_none(pattern: &Pattern, names: &[Named]) -> String {
    pattern.matches_none("the file", names.iter().map(|named| named.name.as_str()))
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rename(from, to) => f.debug_tuple("Rename").field(from).field(to).finish(),
            Self::RenameWith(_) => f.debug_tuple("RenameWith").finish_non_exhaustive(),
            Self::Under(prefix) => f.debug_tuple("Under").field(prefix).finish(),
            Self::Ignore(pattern) => f.debug_tuple("Ignore").field(pattern).finish(),
        }
    }
}

/// All of them, in their order.
#[derive(Debug, Default)]
pub(super) struct Rules(Vec<Rule>);

impl Rules {
    pub(super) fn push(&mut self, rule: Rule) {
        self.0.push(rule);
    }

    /// What the file's names become. A pattern that matches nothing, and two names that become one, are refused.
    pub(super) fn apply<'n>(&self, originals: impl Iterator<Item = &'n String>) -> Result<Vec<Named>, String> {
        let mut named: Vec<_> =
            originals.map(|original| Named { original: original.clone(), name: original.clone() }).collect();
        for rule in &self.0 {
            named = rule.apply(named)?;
        }
        let mut taken = BTreeMap::new();
        for Named { original, name } in &named {
            if let Some(other) = taken.insert(name, original) {
                return Err(format!(
                    "`{other}` and `{original}` both become `{name}`; rename one otherwise, or ignore it"
                ));
            }
        }
        Ok(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(rules: Vec<Rule>, names: &[&str]) -> Result<Vec<(String, String)>, String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let applied = Rules(rules).apply(names.iter())?;
        Ok(applied.into_iter().map(|Named { original, name }| (original, name)).collect())
    }

    #[test]
    fn rules_work_one_after_the_other() {
        let rules = vec![
            Rule::Under("model".into()),
            Rule::rename("module.*", "*"),
            Rule::ignore("*.num_batches_tracked"),
            Rule::rename("features.*", "encoder.*"),
            Rule::RenameWith(Box::new(|name| name.replace("gamma", "weight"))),
        ];
        let names =
            ["epoch", "model.module.features.0.gamma", "model.module.bn.num_batches_tracked", "model.head.bias"];
        let expected = [("model.module.features.0.gamma", "encoder.0.weight"), ("model.head.bias", "head.bias")];
        assert_eq!(apply(rules, &names).unwrap(), expected.map(|(from, to)| (from.to_owned(), to.to_owned())));
    }

    #[test]
    fn what_does_nothing_or_too_much_is_refused() {
        let names = ["encoder.weight", "head.weight"];
        for (rule, words) in [
            (Rule::rename("encoders.*", "*"), "`encoders.*` matches no name of the file"),
            (Rule::ignore("*.bias"), "`*.bias` matches no name of the file"),
            (Rule::Under("encode".into()), "`encode.*` matches no name of the file"),
            (Rule::rename("encoder.*", "*.*"), "the second has 2 `*` and the first 1"),
            (Rule::rename("*.weight", "weight"), "`encoder.weight` and `head.weight` both become `weight`"),
        ] {
            let error = apply(vec![rule], &names).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let error = apply(vec![Rule::rename("encoders.*", "*")], &names).unwrap_err();
        assert!(error.contains("nearest are `encoder.weight`"), "{error}");
    }
}
