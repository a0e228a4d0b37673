//! A rank's place in a run.

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tch::Device;
use trainloop_checkpoint::Checkpoints;

use super::link::Link;
use super::step_times::Stopwatch;
use crate::c10d::ProcessGroup;
use crate::callback::Callbacks;
use crate::channel::Travels;
use crate::error::Result;
use crate::trainer::{Every, WhenBusy};

/// A rank's place in a run: what a [`Context`](super::Context) is made from. Generated code passes it on.
pub struct Seat {
    pub(super) parts: SeatParts,
}

pub(crate) struct SeatParts {
    pub(crate) config: Vec<u8>,
    pub(crate) rank: usize,
    pub(crate) local_rank: usize,
    pub(crate) world_size: usize,
    pub(crate) run_name: String,
    pub(crate) device: Device,
    /// Gradients are averaged over the group.
    pub(crate) ddp: bool,
    /// `None` for a single worker.
    pub(crate) group: Option<Rc<ProcessGroup>>,
    pub(crate) link: Rc<dyn Link>,
    pub(crate) checkpoints: Checkpoints,
    /// The folder of the checkpoint to begin from.
    pub(crate) checkpoint: Option<PathBuf>,
    /// The index of the next checkpoint.
    pub(crate) next_checkpoint: u64,
    /// How many reports were made before.
    pub(crate) reports: u64,
    pub(crate) every: Every,
    pub(crate) when_busy: Option<WhenBusy>,
    /// How long the loop stood still for checkpoints.
    pub(crate) stood_still: Rc<Cell<Duration>>,
    /// What rank 0 logs is wanted.
    pub(crate) tracked: bool,
    /// What the loop's steps take their time for.
    pub(crate) stopwatch: Rc<Stopwatch>,
    pub(crate) callbacks: Callbacks,
    /// Set once the loop has been told to stop: its error is then no failure.
    pub(crate) stopped: Rc<Cell<Option<u64>>>,
}

impl Seat {
    pub(crate) fn new(parts: SeatParts) -> Self {
        Self { parts }
    }

    pub(crate) fn config<C: Travels>(&self) -> Result<C> {
        C::decode(&self.parts.config, "read the config that the driver sent")
    }
}
