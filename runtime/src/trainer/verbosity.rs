//! How much of a run is shown.

use serde::{Deserialize, Serialize};

/// How much of a run the driver shows on the terminal. Each rank's log in the run's folder has everything it printed in any
/// case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Verbosity {
    /// Errors, warnings and the final result: no progress, and nothing of what the ranks print.
    Quiet,
    /// Also a line for each report, a bar where standard error is a terminal, and what the ranks print.
    #[default]
    Normal,
    /// Also what trainloop does: states, generations, checkpoints, each with the time since the start. The workers'
    /// [default subscriber](crate::trainer::RunConfig::verbosity) then logs `trainloop`'s own events from `debug` on.
    Verbose,
}
