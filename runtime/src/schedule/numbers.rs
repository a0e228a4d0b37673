//! What the numbers of a schedule must be.

use crate::error::{Error, Result};

/// Refuses 0.
pub(super) fn at_least_one_step(schedule: &str, what: &str, steps: u64) -> Result<()> {
    if steps > 0 {
        return Ok(());
    }
    Err(Error::config(format!("{schedule}: {what} is 0 steps; give it at least 1")))
}

/// Refuses negative numbers, infinity and NaN.
pub(super) fn at_least_zero(schedule: &str, what: &str, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(Error::config(format!("{schedule}: {what} is {value}; it must be a finite number of at least 0")))
}

/// Refuses what is not a part of the initial learning rate.
pub(super) fn from_zero_to_one(schedule: &str, what: &str, value: f64) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::config(format!(
        "{schedule}: {what} is {value}; it must be from 0 to 1, a part of the optimizer's learning rate"
    )))
}

/// Refuses 0, negative numbers, infinity and NaN.
pub(super) fn above_zero(schedule: &str, what: &str, value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(Error::config(format!("{schedule}: {what} is {value}; it must be a finite number above 0")))
}

/// Refuses a warm-up that takes all steps.
pub(super) fn room_after_warmup(schedule: &str, rest: &str, warmup: u64, total: u64) -> Result<()> {
    if warmup < total {
        return Ok(());
    }
    Err(Error::config(format!(
        "{schedule}: the warm-up takes {warmup} of {total} steps, and leaves none for {rest}; shorten it, or use \
         LinearWarmup"
    )))
}
