//! A worker process, from its start to its end.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use tch::Device;
use trainloop_checkpoint::{Checkpoints, RunStorage, StorageOptions, fault};

use super::Link;
use super::arrival::Arrival;
use super::channel_link::ChannelLink;
use super::join::{gpu, join, see_shared};
use super::seat::{Seat, SeatParts};
use super::spare;
use super::step_times::Stopwatch;
use crate::callback::Callbacks;
use crate::channel::{Failure, Start, Stream, ToController, ToWorker, read_frame};
use crate::error::{BoxError, Error, Result, is_peer_failure, with_causes};
use crate::launch::{Identity, Invitation, Placement};
use crate::log;
use crate::trainer::find;

/// The invitation that the launcher gave this process, if it is a worker.
pub(crate) fn invitation() -> Option<String> {
    std::env::var(Invitation::VARIABLE).ok()
}

/// Runs this process as the worker that its driver has started; never returns.
pub(crate) fn enter(invitation: &str) -> ! {
    let invited = match Invitation::driver_of_a_spare(invitation) {
        Some(driver) => spare::wait(driver),
        None => Invitation::read(invitation).map(Some),
    };
    end(invited.and_then(|invitation| match invitation {
        Some(invitation) => work(Arrival::of_a_child(&invitation)?),
        // A spare that is not needed ends as quietly as it has lived.
        None => Ok(0),
    }))
}

/// Runs this process as a rank that an engine has started; never returns.
pub(crate) fn attend(placement: Placement) -> ! {
    let rank = placement.rank;
    let attend = || {
        let Some(arrival) = Arrival::of_an_engine(placement)? else {
            eprintln!("rank {rank} has nothing to do: rank 0 ended without a call of `fit`");
            return Ok(0);
        };
        work(arrival)
    };
    end(attend())
}

fn end(worked: Result<i32>) -> ! {
    let code = worked.unwrap_or_else(|error| {
        eprintln!("error: {}", with_causes(&error));
        1
    });
    std::process::exit(code);
}

/// The worker's whole life; its exit code.
fn work(arrival: Arrival) -> Result<i32> {
    let Arrival { rank, channel, driver, placement } = arrival;
    let Some(ToWorker::Start(mut start)) = read_frame(&channel)? else {
        return Err(Error::channel("the driver closed the channel before the start"));
    };
    if let Some(placement) = &placement {
        start.local_rank = placement.local_rank;
        share_cores(placement);
    }
    let link = Rc::new(ChannelLink::new(&channel, driver, start.reports, Duration::from_millis(start.heartbeat_ms))?);

    let end = train(&start, rank, &channel, &link);
    if let (ToController::Failed(failure), Some(_)) = (&end, &placement) {
        // What this process prints goes to the engine, not to the driver.
        eprintln!("error: {}", failure.message);
    }
    let code = i32::from(matches!(end, ToController::Failed(_)));
    // The driver hears why; the exit code repeats it for whoever else looks.
    link.end(&end).map(|()| code)
}

/// libtorch would take all cores for each rank.
fn share_cores(placement: &Placement) {
    if std::env::var_os("OMP_NUM_THREADS").is_none() {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        tch::set_num_threads((cores / placement.local_world_size.max(1)).max(1) as i32);
    }
}

thread_local! {
    /// File and line of the last panic on this thread.
    static PANIC_LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
    /// Its backtrace, where `RUST_BACKTRACE` asks for it.
    static PANIC_BACKTRACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

fn note_panic_locations() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if let Some(location) = panic.location() {
            PANIC_LOCATION.with(|cell| *cell.borrow_mut() = Some(format!("{}:{}", location.file(), location.line())));
        }
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            PANIC_BACKTRACE.with(|cell| *cell.borrow_mut() = Some(backtrace.to_string()));
        }
        print(panic);
    }));
}

/// Joins the group and runs the loop; gives its last word.
fn train(start: &Start, rank: usize, channel: &Stream, link: &Rc<ChannelLink>) -> ToController {
    note_panic_locations();
    let stopped = Rc::new(Cell::new(None));
    let stood_still = Rc::new(Cell::new(Duration::ZERO));
    let stopwatch = Rc::new(Stopwatch::default());
    let run = || -> Result<Vec<u8>, BoxError> {
        start.identity.check(&Identity::as_of(&start.identity)?)?;
        if let Some(shared) = start.shared.as_ref().filter(|_| channel.local_address().is_some()) {
            see_shared(shared)?;
        }
        let registration = find(&start.loop_name)?;
        let checkpoints = checkpoints(start)?;
        let seat = Seat::new(SeatParts {
            config: start.config.clone(),
            rank,
            local_rank: start.local_rank,
            world_size: start.world_size,
            run_name: start.run_name.clone(),
            device: if start.use_gpu { Device::Cuda(gpu(start)) } else { Device::Cpu },
            ddp: start.ddp,
            group: join(start, rank, channel, link)?,
            link: Rc::clone(link) as Rc<dyn Link>,
            checkpoint: start.checkpoint.map(|index| checkpoints.folder(index)).transpose()?,
            checkpoints,
            next_checkpoint: start.next_checkpoint,
            reports: start.reports,
            every: start.every,
            when_busy: start.when_busy,
            stood_still: Rc::clone(&stood_still),
            tracked: start.tracked,
            stopwatch: Rc::clone(&stopwatch),
            callbacks: Callbacks::of_loop(registration.name, (registration.metrics)()).of_rank(rank),
            stopped: Rc::clone(&stopped),
        });
        fault::step(fault::WORKER_BEFORE_LOOP);
        link.send(&ToController::LoopBegins)?;
        let worker = log::Identity { rank, generation: start.generation, verbose: start.verbose };
        log::in_worker(worker, || (registration.run)(seat))
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(output)) => {
            ToController::Finished { output, stood_still: stood_still.get(), step_times: stopwatch.times() }
        }
        // Whatever error the loop made of `Error::Stopped` on its way out.
        Ok(Err(error)) => match stopped.get() {
            Some(steps) => ToController::Stopped { steps },
            None => ToController::Failed(failure(error.as_ref(), link.reports())),
        },
        Err(panic) => {
            let message = super::panic_message(panic.as_ref());
            let location = PANIC_LOCATION.with(RefCell::take);
            ToController::Failed(Failure {
                of_a_peer: is_peer_failure(&Error::other(message.clone())),
                message,
                location: Some(location.unwrap_or_else(|| "an unknown place".to_owned())),
                backtrace: PANIC_BACKTRACE.with(RefCell::take),
                reports: link.reports(),
            })
        }
    }
}

fn checkpoints(start: &Start) -> Result<Checkpoints> {
    let Some(url) = &start.storage else { return Ok(Checkpoints::in_folder(&start.run)) };
    Ok(Checkpoints::in_storage(&RunStorage::open(url, &start.run, StorageOptions::default())?))
}

fn failure(error: &(dyn std::error::Error + 'static), reports: u64) -> Failure {
    Failure {
        message: with_causes(error),
        location: None,
        backtrace: backtrace_of(error),
        of_a_peer: is_peer_failure(error),
        reports,
    }
}

/// That of an error which has one: std's `Error` cannot be asked, but `anyhow` writes it at the end of the error's `Debug`.
fn backtrace_of(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let text = format!("{error:?}");
    let (_, backtrace) = text.split_once("\nStack backtrace:\n")?;
    Some(backtrace.to_owned())
}
