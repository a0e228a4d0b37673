//! A worker process, from its start to its end.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal};
use tch::Device;
use trainloop_checkpoint::{Checkpoints, RunStorage, StorageOptions, fault};

use super::Link;
use super::channel_link::ChannelLink;
use super::seat::{Seat, SeatParts};
use super::step_times::Stopwatch;
use crate::c10d::{self, FileStore, GroupOptions, Interface, ProcessGroup};
use crate::callback::Callbacks;
use crate::channel::{Failure, Hello, Start, ToController, ToWorker, read_frame, write_frame};
use crate::error::{BoxError, Error, Result, is_peer_failure, with_causes};
use crate::launch::{Identity, Invitation};
use crate::trainer::{Backend, find};

/// The invitation that the launcher gave this process, if it is a worker.
pub(crate) fn invitation() -> Option<String> {
    std::env::var(Invitation::VARIABLE).ok()
}

/// Runs this process as the worker that it was started as; never returns.
pub(crate) fn enter(invitation: &str) -> ! {
    let code = match Invitation::read(invitation).and_then(|invitation| work(&invitation)) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("error: {}", with_causes(&error));
            1
        }
    };
    std::process::exit(code);
}

fn work(invitation: &Invitation) -> Result<()> {
    fault::set_rank(invitation.rank);
    let driver = die_with_the_driver(invitation.driver)?;
    let address =
        SocketAddr::from_abstract_name(&invitation.socket).map_err(|error| Error::channel(error.to_string()))?;
    let channel = UnixStream::connect_addr(&address)
        .map_err(|error| Error::channel(format!("cannot reach the driver (process {}): {error}", invitation.driver)))?;
    let hello = Hello { token: invitation.token.clone(), rank: invitation.rank };
    write_frame(&channel, &ToController::Hello(hello))?;
    let Some(ToWorker::Start(start)) = read_frame(&channel)? else {
        return Err(Error::channel("the driver closed the channel before the start"));
    };
    let link = Rc::new(ChannelLink::new(&channel, driver, start.reports, Duration::from_millis(start.heartbeat_ms))?);

    let end = train(&start, invitation.rank, &link);
    let code = i32::from(matches!(end, ToController::Failed(_)));
    link.end(&end)?;
    // The driver has heard why; the exit code repeats it for whoever else looks.
    std::process::exit(code);
}

/// A worker never outlives its driver: until the channel is [watched](ChannelLink::new), the kernel ends it when the driver ends.
fn die_with_the_driver(driver: i32) -> Result<OwnedFd> {
    let tie = || -> std::io::Result<Option<OwnedFd>> {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        let Some(pid) = Some(driver).filter(|pid| *pid > 0).and_then(Pid::from_raw) else { return Ok(None) };
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            pidfd => pidfd?,
        };
        // The driver may have ended before the lines above, and another process have got its number.
        Ok((rustix::process::getppid() == Some(pid)).then_some(pidfd))
    };
    tie()
        .map_err(|error| Error::channel(format!("cannot tie this worker to its driver: {error}")))?
        .ok_or_else(|| Error::channel("the driver has ended"))
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
fn train(start: &Start, rank: usize, link: &Rc<ChannelLink>) -> ToController {
    note_panic_locations();
    let stopped = Rc::new(Cell::new(None));
    let stood_still = Rc::new(Cell::new(Duration::ZERO));
    let stopwatch = Rc::new(Stopwatch::default());
    let run = || -> Result<Vec<u8>, BoxError> {
        start.identity.check(&Identity::of_this_process()?)?;
        let registration = find(&start.loop_name)?;
        let checkpoints = checkpoints(start)?;
        let seat = Seat::new(SeatParts {
            config: start.config.clone(),
            rank,
            local_rank: start.local_rank,
            world_size: start.world_size,
            run_name: start.run_name.clone(),
            device: if start.use_gpu { Device::Cuda(start.local_rank) } else { Device::Cpu },
            ddp: start.ddp,
            group: join(start, rank)?,
            link: Rc::clone(link) as Rc<dyn Link>,
            checkpoint: start.checkpoint.map(|index| checkpoints.folder(index)).transpose()?,
            checkpoints,
            next_checkpoint: start.next_checkpoint,
            reports: start.reports,
            every: start.every,
            when_busy: start.when_busy,
            stood_still: Rc::clone(&stood_still),
            stopwatch: Rc::clone(&stopwatch),
            callbacks: Callbacks::of_loop(registration.name, (registration.metrics)()).of_rank(rank),
            stopped: Rc::clone(&stopped),
        });
        fault::step(fault::WORKER_BEFORE_LOOP);
        link.send(&ToController::LoopBegins)?;
        (registration.run)(seat)
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

fn join(start: &Start, rank: usize) -> Result<Option<Rc<ProcessGroup>>> {
    if start.world_size == 1 {
        return Ok(None);
    }
    let timeout = Duration::from_millis(start.collective_timeout_ms);
    let store = FileStore::open(Path::new(&start.store), start.world_size)?;
    let backend = match start.backend {
        Backend::Gloo => c10d::Backend::Gloo,
        #[cfg(feature = "nccl")]
        Backend::Nccl => c10d::Backend::Nccl { device: start.local_rank },
    };
    let options = GroupOptions { timeout, interface: Interface::Loopback, backend, ..GroupOptions::default() };
    Ok(Some(Rc::new(ProcessGroup::with_options(&store, rank, start.world_size, options)?)))
}
