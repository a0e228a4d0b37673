//! `TFRecord`, the framing of event files: a length, its checksum, the record, its checksum, all little-endian.

/// The length and its checksum.
const HEADER: usize = 12;
const CHECKSUM: usize = 4;

/// A checksum as it is stored: CRC-32C, rotated and moved, so that a record which holds records keeps its strength.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A record in its frame.
pub(super) fn frame(record: &[u8]) -> Vec<u8> {
    let length = (record.len() as u64).to_le_bytes();
    let mut framed = Vec::with_capacity(HEADER + record.len() + CHECKSUM);
    framed.extend(length);
    framed.extend(masked(&length).to_le_bytes());
    framed.extend(record);
    framed.extend(masked(record).to_le_bytes());
    framed
}

/// The records of a file, up to its end or to the first that is not whole.
pub(super) fn records(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (header, rest) = bytes.split_at_checked(HEADER)?;
        let (length, checksum) = header.split_at(8);
        let size = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
        let (record, rest) = rest.split_at_checked(size)?;
        let (end, rest) = rest.split_at_checked(CHECKSUM)?;
        let whole = masked(length).to_le_bytes() == checksum && masked(record).to_le_bytes() == end;
        bytes = rest;
        whole.then_some(record)
    })
    .fuse()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first is RFC 3720's test of CRC-32C, masked by hand.
    #[test]
    fn checksums_are_those_of_the_format() {
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(masked(&[0; 32]), 0x8a91_36aa_u32.rotate_right(15).wrapping_add(0xa282_ead8));
    }

    #[test]
    fn what_is_not_whole_is_the_end() {
        let file = [frame(b"one"), frame(b""), frame(b"three")].concat();
        assert_eq!(records(&file).collect::<Vec<_>>(), [&b"one"[..], b"", b"three"]);
        for length in 0..file.len() {
            let whole = [19, 35, 56].iter().filter(|end| **end <= length).count();
            assert_eq!(records(&file[..length]).count(), whole, "{length}");
        }
        for place in 0..file.len() {
            let mut damaged = file.clone();
            damaged[place] ^= 1;
            let before = [19, 35, 56].iter().filter(|end| **end <= place).count();
            assert_eq!(records(&damaged).count(), before, "{place}");
        }
    }
}
