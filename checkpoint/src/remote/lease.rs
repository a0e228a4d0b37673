//! The run's lock: an object that only one driver can make, which says who holds it and until when.
//!
//! Every write of it is conditional on what was there before, so of two drivers one is refused by the storage itself. The
//! holder renews it at a third of its time. Another takes it over once it has expired by a quarter more, which is what two
//! machines' clocks may differ by; or at once where the holder was a process of this machine that is no more.

use std::fs;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use object_store::{PutMode, PutResult, UpdateVersion};
use serde::{Deserialize, Serialize};

use super::{At, Failed, Remote, bridge};
use crate::clock::unix_now;
use crate::error::{Error, Result};

const LOCK: &str = "lock.json";

/// `lock.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    host: String,
    pid: u32,
    /// Which start of which machine, and which view of its processes: where it is ours, `pid` can be looked up.
    machine: String,
    /// When the process started, in the kernel's ticks: a number is given to another process one day.
    started: u64,
    /// Of this lock alone.
    id: String,
    expires_unix: f64,
}

impl Record {
    fn of_this_process() -> Result<Self> {
        let mut id = [0; 16];
        getrandom::fill(&mut id)
            .map_err(|error| Error::storage(format!("the system gives no random number: {error}")))?;
        Ok(Self {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid: std::process::id(),
            machine: machine(),
            started: started(std::process::id()).unwrap_or(0),
            id: u128::from_ne_bytes(id).to_string(),
            expires_unix: 0.0,
        })
    }

    /// True where the holder was a process of this machine, and is no more.
    fn is_dead(&self) -> bool {
        !self.machine.is_empty() && self.machine == machine() && started(self.pid) != Some(self.started)
    }
}

/// Empty where the system does not say.
fn machine() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let view = fs::read_link("/proc/self/ns/pid").ok();
    boot.zip(view).map(|(boot, view)| format!("{} {}", boot.trim(), view.display())).unwrap_or_default()
}

/// When a process started; `None` where there is none, or it has ended and nobody has looked at its end yet.
fn started(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may itself have spaces and parentheses.
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.nth(18)?.parse().ok() }
}

/// The lock while this process has it, or had it.
#[derive(Debug)]
pub(super) struct Held {
    at: At,
    record: Record,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Ours { version: PutResult, until: Instant },
    Lost(String),
}

/// Gives the lock back when dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    held: Arc<Held>,
    /// Its end wakes the thread.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Remote {
    pub(crate) fn lock(&self) -> Result<Lease> {
        let held = Arc::new(take(&self.at)?);
        let (end, ended) = channel();
        let (renewed, every) = (Arc::clone(&held), self.at.options.lease / 3);
        let thread = std::thread::Builder::new()
            .name("trainloop-lease".into())
            .spawn(move || {
                while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                    // What fails is tried again; whoever needs the lock hears of it.
                    let _ = renewed.renew();
                }
            })
            .map_err(|error| Error::storage(format!("cannot start the thread that keeps the run's lock: {error}")))?;
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&held));
        Ok(Lease { held, end: Some(end), thread: Some(thread) })
    }

    /// That this process has the run's lock, as the storage itself says now; and until when at least.
    pub(super) fn confirm_lock(&self) -> Result<Instant> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(held) = held else {
            return Err(Error::storage(format!(
                "the run at {} is not locked by this process, so it writes nothing",
                self.at.url
            )));
        };
        held.renew()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.end.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.held.give_back();
    }
}

impl Held {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the end of the lease off, on condition that nobody else has written the lock; gives the new end.
    fn renew(&self) -> Result<Instant> {
        let mut state = self.state();
        let version = match &*state {
            State::Ours { version, .. } => version.clone(),
            State::Lost(who) => return Err(lost(&self.at, who)),
        };
        let until = Instant::now() + self.at.options.lease;
        let (at, record) = (self.at.clone(), self.record.clone());
        let written =
            bridge::wait(async move { write(&at, record, PutMode::Update(UpdateVersion::from(version))).await })?;
        match written {
            Ok(version) => *state = State::Ours { version, until },
            Err(failed) if !failed.is_refused() => return Err(failed.error),
            // An answer may have been lost, and the write have happened: then it is still ours.
            Err(_) => match read(&self.at)? {
                Some((record, version)) if record.id == self.record.id => *state = State::Ours { version, until },
                other => {
                    let who = other.map_or_else(|| "nobody".to_owned(), |(record, _)| named(&record));
                    *state = State::Lost(who.clone());
                    return Err(lost(&self.at, &who));
                }
            },
        }
        Ok(until)
    }

    /// So that the next driver need not wait. Only where it is ours: one that expired may be another's.
    fn give_back(&self) {
        let state = self.state();
        if matches!(&*state, State::Ours { until, .. } if Instant::now() < *until) {
            let at = self.at.clone();
            let _ = bridge::wait(async move { at.remove(vec![LOCK.to_owned()]).await });
        }
    }
}

/// Makes the lock, or takes it over.
fn take(at: &At) -> Result<Held> {
    let record = Record::of_this_process()?;
    let mut mode = PutMode::Create;
    // Once to see who has it, once more to take it over; then someone else was faster.
    for _ in 0..3 {
        let until = Instant::now() + at.options.lease;
        let (there, ours) = (at.clone(), record.clone());
        let written = bridge::wait(async move { write(&there, ours, mode).await })?;
        let held = |version| Held {
            at: at.clone(),
            record: record.clone(),
            state: Mutex::new(State::Ours { version, until }),
        };
        match written {
            Ok(version) => return Ok(held(version)),
            Err(failed) if !failed.is_refused() => return Err(failed.error),
            Err(_) => {}
        }
        mode = match read(at)? {
            None => PutMode::Create,
            Some((found, version)) if found.id == record.id => return Ok(held(version)),
            Some((found, version)) if found.is_dead() || has_expired(at, &found) => {
                PutMode::Update(UpdateVersion::from(version))
            }
            Some((found, _)) => return Err(refused(at, &found)),
        };
    }
    Err(Error::storage(format!(
        "the run at {} was locked by another driver just now; choose another name, or wait for it",
        at.url
    )))
}

fn has_expired(at: &At, record: &Record) -> bool {
    unix_now() > record.expires_unix + tolerance(at).as_secs_f64()
}

/// What clocks may differ by.
fn tolerance(at: &At) -> Duration {
    at.options.lease / 4
}

async fn write(at: &At, mut record: Record, mode: PutMode) -> Result<PutResult, Failed> {
    record.expires_unix = unix_now() + at.options.lease.as_secs_f64();
    let failed = |error| Failed { error, cause: None };
    let text =
        serde_json::to_vec_pretty(&record).map_err(|error| failed(Error::serde("write the run's lock", error)))?;
    at.put_as(LOCK, text, mode).await
}

fn read(at: &At) -> Result<Option<(Record, PutResult)>> {
    let there = at.clone();
    let Some((text, version)) = bridge::wait(async move { there.get(LOCK).await })?? else { return Ok(None) };
    let record = serde_json::from_slice(&text).map_err(|error| {
        Error::storage(format!(
            "{} cannot be read: {error}; remove it if no driver is at work on this run",
            at.url_of(LOCK)
        ))
    })?;
    Ok(Some((record, version)))
}

fn named(record: &Record) -> String {
    format!("process {} on {}", record.pid, record.host)
}

fn refused(at: &At, record: &Record) -> Error {
    let left = (record.expires_unix + tolerance(at).as_secs_f64() - unix_now()).max(0.0).ceil();
    Error::storage(format!(
        "the run at {} is in the hands of another driver ({}), whose lock lasts {left} more seconds unless it is renewed (until \
         unix time {:.0}); wait for it, end it, or choose another name",
        at.url,
        named(record),
        record.expires_unix
    ))
}

fn lost(at: &At, who: &str) -> Error {
    Error::storage(format!(
        "this driver has lost the lock of the run at {}, which {who} has now: it was not renewed in time; nothing more is \
         written from here",
        at.url
    ))
}
