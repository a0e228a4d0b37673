//! How a worker calls a train loop: what generated code hands on, and what it may ask for.

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;

use tch::Device;

use super::{InitState, TrainLoop};
use crate::channel::Travels;
use crate::checkpoint::Checkpoint;
use crate::error::{BoxError, Result};
use crate::state::Reader;
use crate::worker::{Context, Seat};

/// What a loop's parameters may ask for besides the context, the state and the config.
#[derive(Debug)]
pub struct Beside {
    pub(crate) checkpoint: Option<PathBuf>,
    pub(crate) reader: Reader,
    pub(crate) steps: Rc<Cell<u64>>,
}

impl Beside {
    /// As [`Context::checkpoint`].
    ///
    /// # Errors
    /// As that.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>> {
        let open = |path: &PathBuf| Checkpoint::for_rank(path, self.reader, Rc::clone(&self.steps));
        self.checkpoint.as_ref().map(open).transpose()
    }

    /// As [`Context::device`].
    #[must_use]
    pub fn device(&self) -> Device {
        self.reader.device
    }
}

/// Runs a loop at its seat; gives what it returns, encoded.
///
/// # Errors
/// The loop's own.
pub fn run<L: TrainLoop, M>(
    seat: Seat,
    call: impl FnOnce(&mut Context<M>, L::Config, Beside) -> Result<L::Output, BoxError>,
) -> Result<Vec<u8>, BoxError> {
    let config = seat.config()?;
    let mut ctx = Context::new(seat);
    let beside = ctx.beside();
    let output = ctx.run(|ctx| call(ctx, config, beside))?;
    Ok(output.encode("write the loop's return value")?)
}

/// As [`run`], for a loop that is lent its state alone.
///
/// # Errors
/// The loop's own, and those of [`init_state`].
pub(super) fn run_with_state<L: TrainLoop, S: InitState<(), L::Config>>(
    seat: Seat,
    call: impl FnOnce(&mut S, L::Config, Beside) -> Result<L::Output, BoxError>,
) -> Result<Vec<u8>, BoxError> {
    run::<L, ()>(seat, |ctx, config, beside| {
        let mut state = init_state::<S, (), L::Config>(ctx, &config)?;
        call(&mut state, config, beside)
    })
}

/// Builds a state, and restores the checkpoint that the run begins from.
///
/// # Errors
/// Those of [`InitState::init`], and of a restore.
pub fn init_state<S: InitState<M, C>, M, C>(ctx: &mut Context<M>, config: &C) -> Result<S> {
    let mut state = S::init(ctx, config)?;
    if let Some(checkpoint) = ctx.checkpoint()? {
        checkpoint.restore(&mut state)?;
    }
    Ok(state)
}
