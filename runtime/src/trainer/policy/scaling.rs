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

/// Another number of workers for a group of `running`, where there are `slots` now; `None` where it stays as it is.
pub(in crate::trainer) fn resize(asked: Workers, running: usize, slots: usize) -> Result<Option<usize>> {
    let wanted = workers(asked, || Ok(slots))?;
    Ok((wanted != running).then_some(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_resized_where_the_range_and_the_slots_say_so() {
        let table: [(Workers, usize, usize, Option<Option<usize>>); 7] = [
            ((1..=3).into(), 2, 3, Some(Some(3))),
            ((1..=3).into(), 2, 9, Some(Some(3))),
            ((1..=3).into(), 3, 9, Some(None)),
            ((1..=3).into(), 3, 1, Some(Some(1))),
            ((1..=3).into(), 2, 2, Some(None)),
            ((1..=3).into(), 2, 0, None),
            (2.into(), 2, 9, Some(None)),
        ];
        for (asked, running, slots, expected) in table {
            assert_eq!(resize(asked, running, slots).ok(), expected, "{asked:?}, {running} in {slots}");
        }
    }

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
