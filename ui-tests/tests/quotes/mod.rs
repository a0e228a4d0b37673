//! What `docs/compile-time.md` quotes of trainloop's own messages.

use std::fs;
use std::path::{Path, PathBuf};

/// Those quotes of the tables' second column that stand in no message beside a case, and in no source of trainloop.
pub(crate) fn that_nothing_says() -> Vec<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("../docs/compile-time.md")).unwrap();
    let mut said = String::new();
    for folder in ["fail", "../runtime/src", "../macros/src"] {
        read(&root.join(folder), &mut said);
    }
    let rows = document.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| mistake"));
    let cells = rows.filter_map(|row| row.split(" | ").nth(1)).filter(|cell| cell.contains(": `"));
    cells.flat_map(quotes).filter(|quote| !said.contains(quote.as_str())).collect()
}

/// The messages and sources, without the line breaks of long strings.
fn read(folder: &Path, said: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, said);
        } else if path.extension().is_some_and(|extension| extension == "stderr" || extension == "rs") {
            for line in fs::read_to_string(path).unwrap().lines() {
                said.push_str(line.trim().trim_end_matches('\\'));
                if !line.ends_with('\\') {
                    said.push('\n');
                }
            }
        }
    }
}

/// What stands behind a colon in code marks, which may hold single marks where they are double.
fn quotes(cell: &str) -> Vec<String> {
    let mut quotes = Vec::new();
    let mut rest = cell;
    while let Some(start) = rest.find(": `") {
        let marked = &rest[start + 2..];
        let mark = if marked.starts_with("``") { "``" } else { "`" };
        let Some((quote, behind)) = marked[mark.len()..].split_once(mark) else { break };
        quotes.extend(quote.split('…').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()));
        rest = behind;
    }
    quotes
}
