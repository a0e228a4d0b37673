//! The header of a safetensors file: which tensors are in it, and where each one's bytes lie.
//!
//! The format is that of <https://github.com/huggingface/safetensors>: 8 bytes with the header's length, a JSON object, and the
//! tensors' bytes without a gap. Nothing here knows of tensors in memory, so that it can be tested, and fuzzed, without
//! libtorch; and nothing is taken on trust: every length and offset is held against the file's own length before a byte is
//! allocated for it.

use std::fmt;
use std::io::Read;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

/// A header's own limit in the format: what is longer is no header.
const LONGEST: u64 = 100_000_000;

/// The key under which others keep notes; read over.
const METADATA: &str = "__metadata__";

/// What a tensor's elements are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "named as the format names them")]
pub enum Dtype {
    Bool,
    U8,
    I8,
    I16,
    I32,
    I64,
    F16,
    BF16,
    F32,
    F64,
}

impl Dtype {
    /// All that libtorch reads here.
    pub const ALL: [Self; 10] =
        [Self::Bool, Self::U8, Self::I8, Self::I16, Self::I32, Self::I64, Self::F16, Self::BF16, Self::F32, Self::F64];

    /// Its name in the header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::U8 => "U8",
            Self::I8 => "I8",
            Self::I16 => "I16",
            Self::I32 => "I32",
            Self::I64 => "I64",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::F32 => "F32",
            Self::F64 => "F64",
        }
    }

    /// Bytes of one element.
    #[must_use]
    pub fn size(self) -> u64 {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::I16 | Self::F16 | Self::BF16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }
}

/// One tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, of which the file has no other.
    pub name: String,
    /// What its elements are.
    pub dtype: Dtype,
    /// Its sizes; none for a scalar. Each fits an `i64`.
    pub shape: Vec<i64>,
    /// How many bytes it has, one after the other in row-major order and little-endian.
    pub bytes: u64,
}

/// Reads the header of a file of `length` bytes: its tensors in the order in which their bytes follow, the first right behind
/// what was read. Together they are all that is left of the file.
///
/// # Errors
/// What is wrong with it, with the tensor's name where it is about one.
pub fn read_header(file: &mut impl Read, length: u64) -> Result<Vec<Entry>, String> {
    let mut size = [0; 8];
    let cut = |error: std::io::Error| format!("it is cut short: {error}");
    file.read_exact(&mut size).map_err(cut)?;
    let size = u64::from_le_bytes(size);
    let data = length.checked_sub(8).and_then(|rest| rest.checked_sub(size));
    let Some(data) = data.filter(|_| size <= LONGEST) else {
        return Err(format!("its header would have {size} bytes, and the file has {length}"));
    };
    let mut text = vec![0; size as usize];
    file.read_exact(&mut text).map_err(cut)?;
    let Described(described) =
        serde_json::from_slice(&text).map_err(|error| format!("its header cannot be read: {error}"))?;
    let mut tensors = described.into_iter().map(Info::checked).collect::<Result<Vec<_>, _>>()?;

    tensors.sort_by_key(|(begin, entry)| (*begin, entry.bytes));
    let mut end = 0;
    for (begin, entry) in &tensors {
        if *begin != end {
            let name = &entry.name;
            return Err(format!("the bytes of `{name}` begin at {begin}, though those before it end at {end}"));
        }
        end = begin.checked_add(entry.bytes).filter(|end| *end <= data).ok_or_else(|| {
            format!("the bytes of `{}` end behind the file's end: {begin} + {} of {data}", entry.name, entry.bytes)
        })?;
    }
    if end != data {
        return Err(format!("{} bytes at its end are of no tensor", data - end));
    }
    Ok(tensors.into_iter().map(|(_, entry)| entry).collect())
}

/// The header of a file whose tensors' bytes follow in this order, with its length before it.
///
/// # Errors
/// Where two tensors have one name, or one has a name that is no tensor's.
pub fn header(tensors: &[Entry]) -> Result<Vec<u8>, String> {
    let mut header = Map::new();
    let mut begin = 0;
    for Entry { name, dtype, shape, bytes } in tensors {
        let end = begin + bytes;
        let described = json!({ "dtype": dtype.name(), "shape": shape, "data_offsets": [begin, end] });
        if name == METADATA {
            return Err(format!("a tensor cannot be named `{name}`, which safetensors keeps for itself; rename it"));
        }
        if header.insert(name.clone(), described).is_some() {
            return Err(format!("two tensors of one part are named `{name}`; rename one"));
        }
        begin = end;
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    // The data begins at a multiple of 8 bytes; the format pads with spaces.
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut header = (text.len() as u64).to_le_bytes().to_vec();
    header.append(&mut text);
    Ok(header)
}

/// The object of a header, of which no key stands twice.
struct Described(Vec<(String, Info)>);

/// What a header says of a tensor.
#[derive(Deserialize)]
struct Info {
    dtype: Dtype,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

impl Info {
    /// Where its bytes begin, and the rest.
    fn checked(
        (name, Self { dtype, shape, data_offsets: [begin, end] }): (String, Self),
    ) -> Result<(u64, Entry), String> {
        let bytes = shape.iter().try_fold(dtype.size(), |product, &size| product.checked_mul(size));
        let sizes = shape.iter().map(|&size| i64::try_from(size).ok()).collect::<Option<Vec<_>>>();
        match (bytes, sizes) {
            (Some(bytes), Some(shape)) if end.checked_sub(begin) == Some(bytes) => {
                Ok((begin, Entry { name, dtype, shape, bytes }))
            }
            _ => Err(format!("`{name}` cannot be {} of {shape:?} in the bytes from {begin} to {end}", dtype.name())),
        }
    }
}

impl<'de> Deserialize<'de> for Described {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;

        impl<'de> Visitor<'de> for Keys {
            type Value = Described;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Described, A::Error> {
                let (mut seen, mut described) = (std::collections::HashSet::new(), Vec::new());
                while let Some(name) = map.next_key::<String>()? {
                    if !seen.insert(name.clone()) {
                        return Err(A::Error::custom(format_args!("`{name}` is there twice")));
                    }
                    if name == METADATA {
                        map.next_value::<std::collections::HashMap<String, String>>()?;
                    } else {
                        let info =
                            map.next_value().map_err(|error| A::Error::custom(format_args!("`{name}`: {error}")))?;
                        described.push((name, info));
                    }
                }
                Ok(Described(described))
            }
        }

        deserializer.deserialize_map(Keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, dtype: Dtype, shape: &[i64]) -> Entry {
        let bytes = shape.iter().product::<i64>() as u64 * dtype.size();
        Entry { name: name.into(), dtype, shape: shape.to_vec(), bytes }
    }

    /// A file of these tensors, all of whose bytes are zero.
    fn file(tensors: &[Entry]) -> Vec<u8> {
        let mut file = header(tensors).unwrap();
        file.resize(file.len() + tensors.iter().map(|entry| entry.bytes as usize).sum::<usize>(), 0);
        file
    }

    fn read(file: &[u8]) -> Result<Vec<Entry>, String> {
        read_header(&mut &file[..], file.len() as u64)
    }

    /// The header as given, and so many bytes of data.
    fn of_json(header: &str, data: usize) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
    }

    #[test]
    fn what_is_written_is_read_by_us_and_by_others() {
        let mut tensors: Vec<Entry> = Dtype::ALL.iter().map(|dtype| entry(dtype.name(), *dtype, &[2, 3])).collect();
        tensors.push(entry("scalar", Dtype::F64, &[]));
        tensors.push(entry("empty", Dtype::F32, &[0, 4]));
        tensors.push(entry("another \"empty\" ü", Dtype::I8, &[7, 0]));
        let file = file(&tensors);
        let mut found = read(&file).unwrap();
        assert_eq!(found.len(), tensors.len());
        // Empty ones lie at one place, in no order.
        found.sort_by(|a, b| a.name.cmp(&b.name));
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(found, tensors);

        let theirs = safetensors::SafeTensors::deserialize(&file).unwrap();
        for entry in tensors {
            let view = theirs.tensor(&entry.name).unwrap();
            assert_eq!((view.dtype().to_string(), view.data().len() as u64), (entry.dtype.name().into(), entry.bytes));
        }
        assert_eq!(read(&of_json("{}", 0)).unwrap(), []);
        let noted = of_json(
            r#"{"__metadata__": {"format": "pt"}, "x": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}} "#,
            1,
        );
        assert_eq!(read(&noted).unwrap(), [entry("x", Dtype::U8, &[1])]);
    }

    #[test]
    fn a_name_that_cannot_be_is_not_written() {
        for (names, expected) in [(["a", "a"], "two tensors of one part are named `a`"), (["b", METADATA], METADATA)] {
            let tensors = names.map(|name| entry(name, Dtype::U8, &[1]));
            let error = header(&tensors).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn nonsense_is_denied_by_name() {
        let one = |rest: &str| format!("{{\"w\": {{\"dtype\": \"F32\", {rest}}}}}");
        let cases = [
            ("[]".to_owned(), 0, "cannot be read"),
            ("{".to_owned(), 0, "cannot be read"),
            ("{}".to_owned(), 3, "3 bytes at its end are of no tensor"),
            (one(r#""shape": [2], "data_offsets": [0, 8]"#), 7, "`w` end behind the file's end"),
            (one(r#""shape": [2], "data_offsets": [0, 8]"#), 9, "1 bytes at its end"),
            (one(r#""shape": [2], "data_offsets": [4, 12]"#), 12, "`w` begin at 4"),
            (one(r#""shape": [3], "data_offsets": [0, 8]"#), 8, "`w` cannot be F32 of [3] in the bytes from 0 to 8"),
            (one(r#""shape": [2], "data_offsets": [8, 0]"#), 8, "`w` cannot be"),
            (one(r#""shape": [-2], "data_offsets": [0, 8]"#), 8, "`w`: invalid value"),
            (one(r#""shape": [4294967296, 4294967296], "data_offsets": [0, 0]"#), 0, "`w` cannot be"),
            (one(r#""shape": [0, 18446744073709551615], "data_offsets": [0, 0]"#), 0, "`w` cannot be"),
            (one(r#""shape": [1], "data_offsets": [18446744073709551612, 18446744073709551615]"#), 0, "`w` cannot be"),
            (one(r#""shape": [1]"#), 4, "`w`: missing field `data_offsets`"),
            (r#"{"w": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}"#.to_owned(), 1, "`F8_E4M3`"),
            (
                r#"{"w": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}, "v": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}"#.to_owned(),
                1,
                "begin at 0, though those before it end at 1",
            ),
            (
                r#"{"w": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}, "w": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}"#.to_owned(),
                0,
                "`w` is there twice",
            ),
        ];
        for (header, data, expected) in cases {
            let error = read(&of_json(&header, data)).unwrap_err();
            assert!(error.contains(expected), "{header}: {error}");
        }
        let long = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
        assert!(read(&long).unwrap_err().contains("18446744073709551615 bytes"));
    }

    /// The bytes of tensors are the manifest's to guard; what is about them is not.
    #[test]
    fn a_file_cut_anywhere_or_with_any_bit_of_its_header_turned_is_refused_or_says_so_much() {
        let tensors = [entry("weight", Dtype::F32, &[2, 3]), entry("bias", Dtype::BF16, &[3])];
        let whole = file(&tensors);
        for length in 0..whole.len() {
            read(&whole[..length]).unwrap_err();
        }
        let data = tensors.iter().map(|entry| entry.bytes).sum::<u64>();
        for place in 0..whole.len() - data as usize {
            for bit in 0..8 {
                let mut turned = whole.clone();
                turned[place] ^= 1 << bit;
                let Ok(found) = read(&turned) else { continue };
                assert_eq!(found.iter().map(|entry| entry.bytes).sum::<u64>(), data, "bit {bit} of byte {place}");
            }
        }
    }
}
