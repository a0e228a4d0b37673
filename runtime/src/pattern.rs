//! Patterns over names of parameters: `*` is any text, dots included, and all else is itself.
//!
//! Ours, and not a crate's, because a renaming needs what each `*` stood for, and because no text is a wrong pattern.

use std::fmt;

/// A pattern such as `encoder.*` or `*.bias`. As a `*` is the shortest text that does, several of them have one meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(String);

impl Pattern {
    pub(crate) fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        self.captures(name).is_some()
    }

    /// How many `*` it has.
    pub(crate) fn stars(&self) -> usize {
        self.0.matches('*').count()
    }

    /// What each `*` stands for in `name`; `None` where the pattern does not match it.
    fn captures<'n>(&self, name: &'n str) -> Option<Vec<&'n str>> {
        let mut parts = self.0.split('*');
        let mut rest = name.strip_prefix(parts.next()?)?;
        let Some(last) = parts.next_back() else { return rest.is_empty().then(Vec::new) };
        let mut captures = Vec::new();
        for part in parts {
            let (before, after) = rest.split_once(part)?;
            captures.push(before);
            rest = after;
        }
        captures.push(rest.strip_suffix(last)?);
        Some(captures)
    }

    /// `to` with its `*`, in their order, as what those of the pattern stand for in `name`; `None` where it does not match.
    pub(crate) fn replace(&self, name: &str, to: &str) -> Option<String> {
        let captures = self.captures(name)?;
        let mut parts = to.split('*');
        let mut replaced = parts.next().unwrap_or_default().to_owned();
        for (part, capture) in parts.zip(captures) {
            replaced.push_str(capture);
            replaced.push_str(part);
        }
        Some(replaced)
    }

    /// For a pattern that matches none of `names`: that it does not, and which of them are nearest to it.
    pub(crate) fn matches_none<'n>(&self, of: &str, names: impl IntoIterator<Item = &'n str>) -> String {
        const SHOWN: usize = 3;
        let wanted = self.0.replace('*', "");
        let likeness = |name: &str| {
            // A piece of a name is as near as all of it.
            if !wanted.is_empty() && name.contains(&wanted) { 1.0 } else { strsim::jaro_winkler(&wanted, name) }
        };
        let mut near: Vec<_> = names.into_iter().map(|name| (likeness(name), name)).collect();
        near.sort_by(|(left, a), (right, b)| right.total_cmp(left).then(a.cmp(b)));
        near.dedup_by(|(_, a), (_, b)| a == b);
        let near: Vec<_> = near.iter().take(SHOWN).map(|(_, name)| format!("`{name}`")).collect();
        if near.is_empty() {
            return format!("`{self}` matches nothing: {of} has no names");
        }
        format!("`{self}` matches no name of {of} (`*` is any text); the nearest are {}", near.join(", "))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn captures(pattern: &str, name: &str, expected: Option<&[&str]>) {
        assert_eq!(Pattern::new(pattern).captures(name).as_deref(), expected, "{pattern} on {name}");
    }

    #[test]
    fn a_star_is_any_text() {
        captures("encoder.*", "encoder.0.weight", Some(&["0.weight"]));
        captures("encoder.*", "decoder.0.weight", None);
        captures("encoder.*", "encoder.", Some(&[""]));
        captures("encoder.*", "encoder", None);
        captures("*.bias", "a.b.bias", Some(&["a.b"]));
        captures("*.bias", "a.bias.weight", None);
        captures("*", "", Some(&[""]));
        captures("", "", Some(&[]));
        captures("", "a", None);
        captures("a.b", "a.b", Some(&[]));
        captures("a.b", "axb", None);
        captures("*.attn.*", "layers.0.attn.q.attn.weight", Some(&["layers.0", "q.attn.weight"]));
        captures("a*a", "a", None);
        captures("a*a", "aa", Some(&[""]));
        captures("*b*", "abab", Some(&["a", "ab"]));
        captures("**", "ab", Some(&["", "ab"]));
        captures("ü*ß", "üöß", Some(&["ö"]));
    }

    #[test]
    fn names_are_replaced() {
        let replace = |from: &str, to: &str, name: &str| Pattern::new(from).replace(name, to);
        assert_eq!(replace("module.*", "*", "module.fc.weight").as_deref(), Some("fc.weight"));
        assert_eq!(replace("layers.*.attn.*", "blocks.*.a.*", "layers.3.attn.q").as_deref(), Some("blocks.3.a.q"));
        assert_eq!(replace("*.gamma", "*.weight", "norm.gamma").as_deref(), Some("norm.weight"));
        assert_eq!(replace("old", "new", "old").as_deref(), Some("new"));
        assert_eq!(replace("*.old.*", "new", "a.old.b").as_deref(), Some("new"), "fewer than there were");
        assert_eq!(replace("old", "new", "older"), None);
    }

    #[test]
    fn the_nearest_names_are_shown() {
        let names = ["encoder.0.weight", "encoder.0.bias", "decoder.weight", "head.bias"];
        let words = Pattern::new("encodr.*").matches_none("the model", names);
        assert!(words.starts_with("`encodr.*` matches no name of the model"), "{words}");
        assert!(words.contains("nearest are `encoder.0.bias`, `encoder.0.weight`"), "{words}");
        let words = Pattern::new("0.weigth").matches_none("the model", names);
        assert!(words.contains("`encoder.0.weight`"), "{words}");
        assert!(Pattern::new("*").matches_none("the model", []).contains("has no names"));
    }
}
