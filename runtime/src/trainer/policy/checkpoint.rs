//! What a generation begins from.

/// What a generation begins from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::trainer) enum Begin {
    /// The loop's own beginning: no checkpoint was ever committed.
    Anew,
    /// The checkpoint with this index.
    From(u64),
    /// Nothing: there are checkpoints, and all are damaged. To begin anew would train over them.
    Refuse,
}

/// Of the checkpoints that are committed, the newest that is whole.
pub(in crate::trainer) fn begin(committed: &[u64], newest_whole: Option<u64>) -> Begin {
    match newest_whole {
        Some(index) => Begin::From(index),
        None if committed.is_empty() => Begin::Anew,
        None => Begin::Refuse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_from_what_is_whole_and_never_from_nothing_by_accident() {
        let table: [(&[u64], Option<u64>, Begin); 4] = [
            (&[], None, Begin::Anew),
            (&[0, 1], Some(1), Begin::From(1)),
            (&[0, 1], Some(0), Begin::From(0)),
            (&[0, 1], None, Begin::Refuse),
        ];
        for (committed, newest_whole, expected) in table {
            assert_eq!(begin(committed, newest_whole), expected, "{committed:?} {newest_whole:?}");
        }
    }
}
