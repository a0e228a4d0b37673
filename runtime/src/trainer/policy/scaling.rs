//! How many workers a generation has.

use crate::error::{Error, Result};
use crate::trainer::Workers;

/// How many workers the next generation has where `slots` have room for one each; only a range asks for the room.
pub(in crate::trainer) fn workers(asked: Workers, slots: impl FnOnce() -> Result<usize>) -> Result<usize> {
    let (least, most) = (asked.least(), asked.most());
    if least == most {
        return Ok(most);
    }
    let slots = slots()?;
    if slots < least {
        return Err(Error::config(format!(
            "{least} to {most} workers are asked for, and there is room for {slots}; ask for fewer, or for an exact number, \
             which is started whatever room there is"
        )));
    }
    Ok(most.min(slots))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_as_many_workers_as_there_is_room_for() {
        let table: [(Workers, usize, Option<usize>); 6] = [
            (4.into(), 1, Some(4)),
            ((2..=8).into(), 5, Some(5)),
            ((2..=8).into(), 16, Some(8)),
            ((2..=8).into(), 2, Some(2)),
            ((2..=8).into(), 1, None),
            ((2..=8).into(), 0, None),
        ];
        for (asked, slots, expected) in table {
            assert_eq!(workers(asked, || Ok(slots)).ok(), expected, "{asked:?} in {slots}");
        }
        let error = workers((4..=8).into(), || Ok(2)).unwrap_err().to_string();
        assert!(error.contains("4 to 8 workers are asked for, and there is room for 2"), "{error}");
    }
}
