//! Which tensors are in the `data.pkl` of a PyTorch file (`.pt`, `.pth`, `.bin`), and where each one's numbers lie.
//!
//! `torch.save` writes a zip archive: `data.pkl`, a pickle of everything but numbers, and `data/KEY` for each storage, whose
//! numbers lie there one after the other. Nothing here knows of tensors in memory or of the archive, so that it can be
//! tested, and fuzzed, without libtorch; nothing is executed, and every window on a storage is held against its size.

use std::collections::{BTreeMap, HashSet};

use crate::pickle::{Id, Pickle, Tensor, Value, read};
use crate::safetensors::Dtype;

/// No model lies so deep.
const DEEPEST: usize = 64;
/// Nor has one such names.
const LONGEST: usize = 4096;
/// How often a value may be met on average: one that is meant at many places could be doubled again and again.
const REPEATS: usize = 16;

/// The tensors of a file, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StateDict {
    /// In the order of their names' first mention.
    pub tensors: Vec<StoredTensor>,
    /// Of each storage, by its key, what its elements are and how many.
    pub storages: BTreeMap<String, (Dtype, u64)>,
}

/// A tensor: a window on a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTensor {
    /// Its keys in the dictionaries around it, with dots between: `{"model": {"fc.bias": …}}` has `model.fc.bias`.
    pub name: String,
    /// The key of its storage, whose dtype it has.
    pub storage: String,
    /// What its elements are.
    pub dtype: Dtype,
    /// Its first element, counted in elements.
    pub offset: i64,
    /// Its sizes; none for a scalar.
    pub shape: Vec<i64>,
    /// How many elements lie between neighbours along each dimension.
    pub strides: Vec<i64>,
}

impl StateDict {
    /// Reads the bytes of `data.pkl`: a dictionary of tensors, or of dictionaries and lists of them. What else is in it
    /// (numbers, texts, `None`) is read over.
    ///
    /// # Errors
    /// What is wrong with it. Anything but tensors and plain values is refused by its name in Python.
    pub fn read(pickle: &[u8]) -> Result<Self, String> {
        let pickle = read(pickle)?;
        if !matches!(pickle.values[pickle.root], Value::Dict(_)) {
            return Err("it holds no dictionary; in Python, save `model.state_dict()`".to_owned());
        }
        let left = pickle.values.len().saturating_mul(REPEATS);
        let mut walk = Walk { pickle: &pickle, found: Self::default(), names: HashSet::new(), left };
        walk.value(pickle.root, "", 0)?;
        Ok(walk.found)
    }
}

struct Walk<'a> {
    pickle: &'a Pickle,
    found: StateDict,
    names: HashSet<String>,
    /// How many values may still be met.
    left: usize,
}

impl Walk<'_> {
    fn value(&mut self, id: Id, path: &str, depth: usize) -> Result<(), String> {
        let pickle = self.pickle;
        if depth > DEEPEST || path.len() > LONGEST {
            let path: String = path.chars().take(50).collect();
            return Err(format!("below `{path}` dictionaries lie deeper than in any model"));
        }
        self.left = self.left.checked_sub(1).ok_or("its values are repeated too often")?;
        match &pickle.values[id] {
            Value::Tensor(tensor) => self.tensor(path, tensor),
            Value::Dict(entries) => entries.iter().try_for_each(|(key, value)| {
                let name = match &pickle.values[*key] {
                    Value::Text(text) => joined(path, text),
                    Value::Int(number) => joined(path, &number.to_string()),
                    _ => return Err(format!("a key of `{path}` is neither a text nor a whole number")),
                };
                self.value(*value, &name, depth + 1)
            }),
            Value::List(items) | Value::Tuple(items) => items
                .iter()
                .enumerate()
                .try_for_each(|(index, item)| self.value(*item, &joined(path, &index.to_string()), depth + 1)),
            Value::Other | Value::Bool(_) | Value::Int(_) | Value::Text(_) => Ok(()),
            Value::Global(_) | Value::Storage(_) => Err(format!("`{path}` is neither a tensor nor a plain value")),
        }
    }

    fn tensor(&mut self, name: &str, tensor: &Tensor) -> Result<(), String> {
        let Tensor { storage, offset, shape, strides } = tensor;
        let (offset, dtype) = (*offset, storage.dtype);
        let elements =
            u64::try_from(storage.elements).map_err(|_| format!("the storage of `{name}` has a negative size"))?;
        if !fits(offset, shape, strides, elements) {
            return Err(format!(
                "`{name}` of {shape:?} does not lie within its storage: from {offset} in steps of {strides:?}, of {elements}"
            ));
        }
        let known = self.found.storages.entry(storage.key.clone()).or_insert((dtype, elements));
        if *known != (dtype, elements) {
            return Err(format!("the storage of `{name}` is also said to be another one"));
        }
        if !self.names.insert(name.to_owned()) {
            return Err(format!("two tensors are named `{name}`"));
        }
        self.found.tensors.push(StoredTensor {
            name: name.to_owned(),
            storage: storage.key.clone(),
            dtype,
            offset,
            shape: shape.clone(),
            strides: strides.clone(),
        });
        Ok(())
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Does every element lie within the storage?
fn fits(offset: i64, shape: &[i64], strides: &[i64], elements: u64) -> bool {
    if shape.len() != strides.len() || offset < 0 || shape.iter().chain(strides).any(|number| *number < 0) {
        return false;
    }
    if shape.iter().try_fold(1_i64, |product, size| product.checked_mul(*size)).is_none() {
        return false;
    }
    let steps = shape.iter().zip(strides).try_fold(offset, |last, (size, stride)| {
        if *size == 0 { Some(last) } else { last.checked_add((size - 1).checked_mul(*stride)?) }
    });
    let is_empty = shape.contains(&0);
    steps.is_some_and(|last| if is_empty { offset as u64 <= elements } else { (last as u64) < elements })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"w": tensor}` with a storage of so many numbers and this offset, shape and strides, as PyTorch pickles it.
    fn pickled(elements: u8, [offset, rows, columns, down, right]: [u8; 5]) -> Vec<u8> {
        let int = |value: u8| [b'K', value];
        [
            b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n"
                .as_slice(),
            b"X\x01\0\0\x000X\x03\0\0\0cpu",
            &int(elements),
            b"tQ",
            &int(offset),
            &[int(rows), int(columns)].concat(),
            b"\x86",
            &[int(down), int(right)].concat(),
            b"\x86\x89ccollections\nOrderedDict\n)RtRs.",
        ]
        .concat()
    }

    #[test]
    fn a_window_must_lie_within_its_storage() {
        let found = StateDict::read(&pickled(6, [0, 2, 3, 3, 1])).unwrap();
        let expected = StoredTensor {
            name: "w".into(),
            storage: "0".into(),
            dtype: Dtype::F32,
            offset: 0,
            shape: vec![2, 3],
            strides: vec![3, 1],
        };
        assert_eq!(found.tensors, [expected]);
        assert_eq!(found.storages, BTreeMap::from([("0".to_owned(), (Dtype::F32, 6))]));
        for window in [[5, 1, 1, 1, 1], [0, 3, 2, 1, 3], [6, 0, 3, 3, 1], [5, 200, 200, 0, 0]] {
            StateDict::read(&pickled(6, window)).unwrap();
        }
        for window in [[1, 2, 3, 3, 1], [0, 2, 3, 4, 1], [6, 1, 1, 0, 0], [7, 0, 3, 3, 1]] {
            let error = StateDict::read(&pickled(6, window)).unwrap_err();
            assert!(error.contains("`w` of [") && error.contains("within its storage"), "{error}");
        }
    }

    #[test]
    fn nothing_is_called_and_every_other_name_is_said() {
        for (pickle, words) in [
            (b"cposix\nsystem\n(X\x02\0\0\0lstR.".as_slice(), "`posix.system`"),
            (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "`builtins.eval`"),
            (b"ctorch\nComplexFloatStorage\n.", "`torch.ComplexFloatStorage`"),
            (b"(icollections\nOrderedDict\n.", "opcode 0x69"),
            (b"ctorch\nFloatStorage\n)R.", "a call of Storage(F32)"),
            (b"}.", ""),
        ] {
            match StateDict::read(pickle) {
                Ok(found) => assert_eq!((found, words), (StateDict::default(), "")),
                Err(error) => assert!(!words.is_empty() && error.contains(words), "{error}"),
            }
        }
    }

    #[test]
    fn nonsense_is_denied() {
        for (pickle, words) in [
            (b"".as_slice(), "cut short"),
            (b"}", "cut short"),
            (b".", "from where there is none"),
            (b"]K\x01u.", "never set"),
            (b"}(K\x01u.", "a key without a value"),
            (b"]q\x01(K\x01K\x02u.", "no dictionary"),
            (b"h\x05.", "has not stored"),
            (b"].", "no dictionary"),
            (b"}NNs.", "neither a text nor a whole number"),
            (b"X\xff\xff\xff\xff.", "cut short"),
            (b"\x8a\x09123456789.", "beyond 64 bits"),
            (b"NQ.", "no tuple"),
        ] {
            let error = StateDict::read(pickle).unwrap_err();
            assert!(error.contains(words), "{}: {error}", pickle.escape_ascii());
        }
        // A dictionary in itself, and one that is doubled at every level.
        let error = StateDict::read(b"}q\0X\x01\0\0\0ah\0s.").unwrap_err();
        assert!(error.contains("deeper") || error.contains("repeated"), "{error}");
        let mut doubled = b"}".to_vec();
        for level in 0..40_u8 {
            doubled.extend([b'q', level, b'}', b'K', 0, b'h', level, b's', b'K', 1, b'h', level, b's']);
        }
        doubled.push(b'.');
        let error = StateDict::read(&doubled).unwrap_err();
        assert!(error.contains("repeated too often"), "{error}");
    }
}
