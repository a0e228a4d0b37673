//! Event files of `TensorBoard`, read without the library's help: `TFRecord` with both checksums, and protocol buffers.

use std::path::{Path, PathBuf};

/// One record.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) step: u64,
    pub(crate) version: Option<String>,
    /// The status of a `SessionLog`: 1 is its start.
    pub(crate) session: Option<u64>,
    /// Tags with their numbers.
    pub(crate) scalars: Vec<(String, f32)>,
    /// Tags with their texts.
    pub(crate) texts: Vec<(String, String)>,
}

/// The folder's event files, in their order.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// CRC-32C bit by bit, as RFC 3720 has it.
fn crc(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), bit))
}

#[track_caller]
fn check(bytes: &[u8], stored: &[u8]) {
    let crc = crc(bytes);
    let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
    assert_eq!(masked.to_le_bytes(), stored, "a checksum is wrong");
}

#[track_caller]
pub(crate) fn read(file: &Path) -> Vec<Event> {
    assert_eq!(crc(b"123456789"), 0xe306_9283, "the test's own reader is wrong");
    let bytes = std::fs::read(file).unwrap();
    let mut rest = &bytes[..];
    let mut events = Vec::new();
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        check(&rest[..8], &rest[8..12]);
        let (record, after) = rest[12..].split_at(length);
        check(record, &after[..4]);
        rest = &after[4..];
        events.push(event(record));
    }
    events
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn number(&self) -> u64 {
        match self {
            Self::Number(number) => *number,
            Self::Bytes(_) => panic!("a number is wanted"),
        }
    }

    fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Number(_) => panic!("bytes are wanted"),
        }
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

/// The fields of a message, by their numbers.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let mut take = |length: usize| {
            let (taken, rest) = bytes.split_at(length);
            bytes = rest;
            taken
        };
        let field = match key & 7 {
            1 => Field::Number(u64::from_le_bytes(take(8).try_into().unwrap())),
            5 => Field::Number(u64::from(u32::from_le_bytes(take(4).try_into().unwrap()))),
            2 => {
                let length = varint(&mut bytes) as usize;
                let (taken, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(taken)
            }
            0 => Field::Number(varint(&mut bytes)),
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, field));
    }
    fields
}

fn event(record: &[u8]) -> Event {
    let mut event = Event::default();
    for (number, field) in fields(record) {
        match number {
            1 => assert!(f64::from_bits(field.number()) > 1.7e9, "the time is one of now"),
            2 => event.step = field.number(),
            3 => event.version = Some(field.text()),
            5 => fields(field.bytes()).iter().for_each(|(_, value)| add(&mut event, value.bytes())),
            7 => event.session = fields(field.bytes()).first().map(|(_, status)| status.number()),
            other => panic!("an event's field {other}"),
        }
    }
    event
}

/// One value of a summary.
fn add(event: &mut Event, value: &[u8]) {
    let mut tag = String::new();
    for (number, field) in fields(value) {
        match number {
            1 => tag = field.text(),
            2 => event.scalars.push((tag.clone(), f32::from_bits(field.number() as u32))),
            8 => {
                let tensor = fields(field.bytes());
                assert_eq!(tensor[0].1.number(), 7, "its dtype is a string's");
                let (_, text) = tensor.iter().find(|(number, _)| *number == 8).unwrap();
                event.texts.push((tag.clone(), text.text()));
            }
            _ => {}
        }
    }
}
