//! What generated code calls; no promise of stability.

pub use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

pub use std::clone::Clone;
pub use std::default::Default;
pub use std::fmt::{Debug, Formatter, Result as FmtResult};
pub use std::marker::Copy;
pub use std::option::Option::{self, None, Some};
pub use std::result::Result::{self, Ok};
pub use std::time::Duration;
pub use std::vec::Vec;
pub use std::{concat, file, line, module_path, stringify};

pub use inventory;

pub use crate::callback::{
    Callback, CallbackReturn, Event, MetricsType, Offer, after_backward, before_backward, before_optimizer_step,
    checkpoint, driver_report, epoch_end, epoch_start, exception, log, resize, restart, run_end, run_start, state,
    step_end, step_start, stop, train_end, train_start, validation_end, validation_start, worker_report,
};
pub use crate::cli::declare::{Declaration, Declared, Occurs};
pub use crate::cli::error::Mistake;
pub use crate::cli::given::Given;
pub use crate::cli::value::{from_text, shown, shown_list};
pub use crate::cli::{Cli, Config};
pub use crate::data::collate::{collate_field, pad_field};
pub use crate::data::{Collate, MapTensors, Padded};
pub use crate::error::{BoxError, Error};
use crate::launch::{Host, Placement};
pub use crate::metric::field::Fields;
pub use crate::metric::reduce::{first, last, max, mean, min, nested, sum};
pub use crate::metric::{MetricField, Metrics, Ranks, Reduction};
pub use crate::state::derived::{all_saved, read_field, read_or, restore_saved, restore_variant, save_variant};
pub use crate::state::value::value_of;
pub use crate::state::{StateReader, StateValue, StateWriter, TrainState};
pub use crate::strategy::Strategy;
pub use crate::trainer::registry::Registration;
pub use crate::trainer::{
    CheckpointConfig, ContextParam, FailureConfig, Lent, LoopReturn, Resume, RunConfig, ScalingConfig, ScoreValue,
    TrainLoop, init_state, run,
};
pub use crate::worker::{Context, Seat};

/// The values of the option `backend`; rustc says of one that is left out which feature it is behind.
pub mod backend {
    use crate::trainer::Backend;

    pub const GLOO: Backend = Backend::Gloo;
    #[cfg(feature = "nccl")]
    pub const NCCL: Backend = Backend::Nccl;
}

/// The body of what stands in for an item that a macro has refused: the message beside it keeps it from compiling.
///
/// # Panics
/// Always; never called.
pub fn not_compiled() -> ! {
    unreachable!("an item that a macro has refused was compiled")
}

/// What is done with each tensor of a batch.
pub type TensorMap<'a> = dyn FnMut(tch::Tensor) -> Result<tch::Tensor, Error> + 'a;

/// Set by `main`: this binary, executed again, becomes a worker.
static MAIN_IS_OURS: AtomicBool = AtomicBool::new(false);
/// The signal that ended the last run, or 0.
static INTERRUPTED: AtomicI32 = AtomicI32::new(0);

pub(crate) fn main_is_ours() -> bool {
    MAIN_IS_OURS.load(Ordering::Relaxed)
}

pub(crate) fn note_interrupt(signal: i32) {
    INTERRUPTED.store(signal, Ordering::Relaxed);
}

/// What `#[trainloop::main]` makes of `main`: a worker process works and ends here, and so does a rank other than 0 that an
/// engine has started; otherwise the body runs.
pub fn main(body: impl FnOnce() -> ExitCode) -> ExitCode {
    if let Some(invitation) = crate::worker::invitation() {
        crate::worker::enter(&invitation);
    }
    match Placement::of_this_process() {
        Ok(None) => {}
        Ok(Some(placement)) if placement.rank > 0 => crate::worker::attend(placement),
        Ok(Some(placement)) => {
            if let Err(error) = Host::open(placement) {
                return exit_code(Err::<(), Error>(error));
            }
        }
        Err(error) => return exit_code(Err::<(), _>(Error::from(error))),
    }
    MAIN_IS_OURS.store(true, Ordering::Relaxed);
    let code = body();
    Host::dismiss();
    code
}

/// What a `main` with `#[trainloop::main]` may take.
#[diagnostic::on_unimplemented(
    message = "a main function with `#[trainloop::main]` cannot take `{Self}`",
    label = "expected `trainloop::cli::Cli<C>`, the command line with the config `C`",
    note = "write `fn main(cli: Cli<Config>)`, where `Config` derives `trainloop::Config`, or take nothing"
)]
pub trait MainParam {
    /// Reads the process's command line; one with a mistake ends the process.
    fn take() -> Self;
}

impl<C: Config> MainParam for Cli<C> {
    fn take() -> Self {
        Self::parse()
    }
}

/// What `main` has returned, as the process's exit code.
pub fn exit_code<R: MainReturn>(returned: R) -> ExitCode {
    returned.exit_code()
}

/// What a `main` with `#[trainloop::main]` may return.
#[diagnostic::on_unimplemented(
    message = "a main function with `#[trainloop::main]` cannot return `{Self}`",
    label = "no exit code can be made of it",
    note = "return nothing, an `ExitCode`, or a `Result<(), E>` whose error converts into `Box<dyn Error + Send + Sync>`"
)]
pub trait MainReturn {
    /// Prints an error, if it is one, and gives the process's exit code.
    fn exit_code(self) -> ExitCode;
}

impl MainReturn for () {
    fn exit_code(self) -> ExitCode {
        ExitCode::SUCCESS
    }
}

impl MainReturn for ExitCode {
    fn exit_code(self) -> ExitCode {
        self
    }
}

#[diagnostic::do_not_recommend]
impl<T: MainReturn, E: Into<BoxError>> MainReturn for Result<T, E> {
    fn exit_code(self) -> ExitCode {
        match self {
            Ok(value) => value.exit_code(),
            Err(error) => {
                eprintln!("error: {}", crate::error::with_causes(error.into().as_ref()));
                match INTERRUPTED.load(Ordering::Relaxed) {
                    0 => ExitCode::FAILURE,
                    // As a shell counts: 130 for SIGINT, 143 for SIGTERM.
                    signal => ExitCode::from(u8::try_from(128 + signal).unwrap_or(1)),
                }
            }
        }
    }
}
