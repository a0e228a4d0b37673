//! A number of workers, or a range of it.

use std::ops::RangeInclusive;

use crate::error::{Error, Result};

/// A number of workers, or a range of it: `4.into()`, `(2..=8).into()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workers {
    least: usize,
    most: usize,
}

impl From<usize> for Workers {
    fn from(workers: usize) -> Self {
        Self { least: workers, most: workers }
    }
}

impl From<RangeInclusive<usize>> for Workers {
    fn from(workers: RangeInclusive<usize>) -> Self {
        Self { least: *workers.start(), most: *workers.end() }
    }
}

impl Workers {
    pub(crate) fn most(self) -> usize {
        self.most
    }

    pub(crate) fn least(self) -> usize {
        self.least
    }

    pub(super) fn validate(self) -> Result<()> {
        let Self { least, most } = self;
        let reason = if least > most {
            "no number is in it; begin with the smaller one"
        } else if least == 0 && most > 0 {
            "with 0 workers the loop runs in the driver, which is no number to grow from; begin with 1"
        } else {
            return Ok(());
        };
        Err(Error::config(format!("the range of workers {least}..={most} cannot be used: {reason}")))
    }
}
