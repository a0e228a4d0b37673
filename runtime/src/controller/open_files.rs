//! The limit of open files, which is often 1024 and is a group's size before anything else is.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{Error, Result};

/// What a process has open besides what a group needs, or may come to.
const BESIDES: u64 = 256;

/// Raises this process's own limit so far that it can have `needed` files for its group; where it may not, the error says so
/// before a rank starts. Processes that it starts inherit the limit.
pub(crate) fn allow_open_files(needed: usize) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let Some(current) = raised(&limit, needed as u64)? else { return Ok(()) };
    setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit })
        .map_err(|error| Error::config(format!("the limit of open files cannot be raised to {current}: {error}")))
}

/// What the limit is to become; `None` where it is high enough.
fn raised(limit: &Rlimit, needed: u64) -> Result<Option<u64>> {
    let wanted = needed + BESIDES;
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(None);
    }
    match limit.maximum {
        Some(maximum) if maximum <= needed => Err(Error::config(format!(
            "a group of this size needs {needed} open files, and this process may have {maximum} (`ulimit -Hn`); have the hard \
             limit raised, or start fewer workers"
        ))),
        Some(maximum) => Ok(Some(wanted.min(maximum))),
        None => Ok(Some(wanted)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_is_needed_and_allowed() {
        let raised = |current, maximum, needed| raised(&Rlimit { current, maximum }, needed);
        assert_eq!(raised(Some(1024), Some(4096), 10).unwrap(), None);
        assert_eq!(raised(Some(1024), Some(4096), 1000).unwrap(), Some(1256));
        assert_eq!(raised(Some(1024), Some(4096), 4000).unwrap(), Some(4096));
        assert_eq!(raised(Some(1024), None, 4000).unwrap(), Some(4256));
        assert_eq!(raised(None, None, 4000).unwrap(), None);
        let error = raised(Some(1024), Some(4096), 10_000).unwrap_err().to_string();
        assert!(error.contains("needs 10000 open files, and this process may have 4096"), "{error}");
    }
}
