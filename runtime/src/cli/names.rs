//! A field by a name that somebody wrote.

use clap::Command;
use clap::error::ErrorKind;

use super::declare::Declared;
use super::sources::Refusal;

/// The field of that name; a field's own name counts before an option's.
pub(super) fn find<'f>(
    name: &str,
    place: &str,
    fields: &'f [Declared],
    command: &Command,
) -> Result<&'f Declared, Refusal> {
    let named = fields.iter().find(|field| field.field == name);
    if let Some(field) = named.or_else(|| fields.iter().find(|field| field.long == name)) {
        return Ok(field);
    }
    let option = name.replace('_', "-");
    let message = if command.get_arguments().any(|arg| arg.get_long() == Some(&option)) {
        format!(
            "'{name}' in {place} is an option of the command line, and no field of the config; give '--{option}' there"
        )
    } else {
        format!("unexpected field '{name}' in {place}{}", suggestion(name, fields))
    };
    Err(Refusal { kind: ErrorKind::UnknownArgument, message })
}

/// The nearest field, where `written` looks like a slip, and all that there are.
fn suggestion(written: &str, fields: &[Declared]) -> String {
    let names = fields.iter().flat_map(|field| [field.field, field.long]);
    let near = names.map(|name| (distance(written, name), name)).min();
    let near = near.filter(|(far, name)| *far <= 1.max(name.len() / 3));
    let near = near.map(|(_, name)| format!("; did you mean '{name}'?")).unwrap_or_default();
    let all: Vec<String> = fields.iter().map(|field| format!("'{}'", field.field)).collect();
    let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
    format!("{near} (there is: {all})")
}

/// Levenshtein's distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn a_distance_counts_letters() {
        for (left, right, expected) in
            [("", "", 0), ("lr", "lr", 0), ("", "lr", 2), ("epoch", "epochs", 1), ("lrate", "rates", 2)]
        {
            assert_eq!(distance(left, right), expected, "{left} {right}");
        }
    }
}
