//! What must hold of any bytes where a manifest, a journal or a file of tensors should be: the targets in `fuzz/` call these,
//! and so does a test with the corpus that is kept there.
//!
//! # Panics
//! Where it does not hold, which is how a fuzzer is told.

use std::path::{Component, Path};

use crate::journal::{Event, parse as parse_journal, whole_length};
use crate::manifest::{Manifest, sealed};
use crate::safetensors::read_header;
use crate::state_dict::StateDict;

/// A manifest is refused, or says again what it said, and names only files below its folder. Behind its own checksum, which
/// nobody guesses, too.
pub fn manifest(bytes: &[u8]) {
    for text in [bytes, &sealed(bytes.to_vec())] {
        let Ok(manifest) = Manifest::parse(text) else { continue };
        for entry in &manifest.files {
            let mut components = Path::new(&entry.path).components();
            assert!(components.all(|component| matches!(component, Component::Normal(_))), "{}", entry.path);
        }
        let again = manifest.to_text().expect("what was read can be written");
        let same = Manifest::parse(&again).expect("what was written can be read");
        assert_eq!(same.to_text().expect("as before"), again);
    }
}

/// A journal gives its events or the number of a line; a crash in its last line costs that line alone.
pub fn journal(bytes: &[u8]) {
    let path = Path::new("journal.jsonl");
    let mut warnings = Vec::new();
    let events = parse_journal(bytes, path, &mut |warning| warnings.push(warning));
    assert!(warnings.len() <= 1, "{warnings:?}");
    match events {
        Err(error) => assert!(error.to_string().contains("journal.jsonl, line "), "{error}"),
        Ok(events) => {
            // What stays when the next line is written.
            let kept = &bytes[..whole_length(bytes)];
            let silent = &mut |warning: String| panic!("{warning}");
            assert_eq!(comparable(&parse_journal(kept, path, silent).expect("they were read")), comparable(&events));
            let more = [kept, b"{\"event\":\"delete\",\"index\":7}\n"].concat();
            let more = parse_journal(&more, path, silent).expect("they were read");
            assert_eq!(more.len(), events.len() + 1);
            assert_eq!(more.last(), Some(&Event::Delete { index: 7 }));
        }
    }
}

/// NaN is no different from itself here.
fn comparable(events: &[Event]) -> String {
    format!("{events:?}")
}

/// A header is refused, or its tensors are exactly what is left of the file.
pub fn safetensors(bytes: &[u8]) {
    let mut rest = bytes;
    let Ok(tensors) = read_header(&mut rest, bytes.len() as u64) else { return };
    let mut total = 0;
    for tensor in &tensors {
        let elements = tensor.shape.iter().try_fold(1_i64, |product, &size| product.checked_mul(size));
        assert_eq!(elements.map(|elements| elements as u64 * tensor.dtype.size()), Some(tensor.bytes));
        total += tensor.bytes;
    }
    assert_eq!(total, rest.len() as u64);
}

/// A pickle is refused, or its tensors have names of their own and lie within their storages.
pub fn state_dict(bytes: &[u8]) {
    let Ok(StateDict { tensors, storages }) = StateDict::read(bytes) else { return };
    let mut names = std::collections::HashSet::new();
    for tensor in &tensors {
        assert!(names.insert(&tensor.name), "`{}` is there twice", tensor.name);
        let (dtype, elements) = storages[&tensor.storage];
        assert_eq!(tensor.dtype, dtype);
        if tensor.shape.contains(&0) {
            continue;
        }
        let steps = tensor.shape.iter().zip(&tensor.strides);
        let last = steps.map(|(size, stride)| (size - 1) * stride).sum::<i64>() + tensor.offset;
        assert!((0..elements).contains(&(last as u64)), "{tensor:?} of {elements}");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    /// The seeds of the fuzzers, and whatever they have found: on any toolchain.
    #[test]
    fn the_corpus_holds() {
        type Target = fn(&[u8]);
        let targets: [(&str, Target); 4] = [
            ("manifest", super::manifest),
            ("journal", super::journal),
            ("safetensors", super::safetensors),
            ("state_dict", super::state_dict),
        ];
        for (name, target) in targets {
            let folder = format!("{}/../fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
            let mut seeds = 0;
            for entry in fs::read_dir(folder).unwrap() {
                target(&fs::read(entry.unwrap().path()).unwrap());
                seeds += 1;
            }
            assert!(seeds >= 3, "{name}: {seeds} seeds");
        }
    }
}
