//! What the program `checkpoints` does on each rank, as a test tells it in JSON.

use serde::{Deserialize, Serialize};

/// The variable that holds the script: for each start of the group, for each rank, its [`Act`]s. The last start's are
/// those of all further starts. Not in the config, which is to stay the same.
pub const SCRIPT: &str = "TRAINLOOP_TEST_SCRIPT";

/// One call. Values are floats as text: JSON has no NaN.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub enum Act {
    /// Reports a value alone.
    Report(String),
    /// Reports a value with files of these names and sizes, or with none.
    Files(String, Vec<(String, usize)>),
    /// Reports a value with a state.
    State(String),
    /// Reports a value with a state that makes the file `paused-RANK` and waits for the file `go` while it is saved.
    PausingState(String),
    /// Restores the checkpoint into a state of this shape.
    Restore(String),
    /// Prints which checkpoint this start has.
    ShowCheckpoint,
    /// Makes a file.
    Make(String),
    /// Waits for a file.
    Await(String),
    /// Waits for all ranks.
    Barrier,
    /// Returns an error.
    Error(String),
    /// SIGKILL to itself.
    KillItself,
}
