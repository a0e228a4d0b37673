//! One run that meets faults of all kinds and goes on, held against one that is left alone.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::fault::{Fault, Planned, draw_faults};
use super::inject::{Process, noted};
use super::trace::{Growing, Trace, files, missing};
use super::{BATCH_SIZE, Endurance, Ordeal, Plan, Result, WORKERS, unix_time};

/// A run of which no rank does anything for so long hangs. A start takes seconds, even on a loaded machine.
const HANG: Duration = Duration::from_secs(60);

/// The last global batch is smaller than the others, and so is the last window.
const SAMPLES: usize = 1430;

/// After so many batches comes a checkpoint: a fault costs at most these.
const SAVE_EVERY: u64 = 20;

/// Batches of a rank in one epoch.
const OF_EPOCH: u64 = SAMPLES.div_ceil(BATCH_SIZE * WORKERS) as u64;

/// More than any run here comes to: it is told when to end.
const EPOCHS: u64 = 1_000_000;

/// A fault that has cost no generation after so long was not noticed.
const UNNOTICED: Duration = Duration::from_secs(60);

/// So many batches after it was slowed down a rank has shown that it goes on.
const GOES_ON: u64 = 10;

/// Trains once with the faults and once without, as many epochs, and compares. What happens is told to `say`.
///
/// # Errors
/// Where a fault cannot be done, or the undisturbed run fails.
pub fn endure(ordeal: &Ordeal, say: &mut dyn FnMut(String)) -> Result<Endurance> {
    fs::create_dir_all(&ordeal.folder)?;
    let faults = draw_faults(ordeal.of_each, ordeal.time, ordeal.seed);
    let mut verdict = Endurance {
        faults: faults.len(),
        recovered: 0,
        hangs: 0,
        samples_lost: None,
        recovery_p50_s: None,
        recovery_p95_s: None,
        throughput_retained: None,
        samples_repeated: None,
        bit_equal: None,
    };
    let mut disturbed = Run::start(ordeal, "disturbed", "*=full@gate")?;
    let mut times = Vec::new();
    let mut seen = disturbed.watch(&|run| run.is_up())?;
    let began = Instant::now();
    for (number, planned) in faults.iter().enumerate() {
        if seen != Seen::Came {
            break;
        }
        seen = disturbed.meet(number + 1, planned, began, &mut verdict, &mut times, say)?;
    }
    if seen == Seen::Came {
        seen = disturbed.watch(&|_| began.elapsed() >= ordeal.time)?;
    }
    times.sort_unstable_by(f64::total_cmp);
    (verdict.recovery_p50_s, verdict.recovery_p95_s) = (percentile(&times, 50), percentile(&times, 95));

    let epochs = disturbed.epochs() + 2;
    if seen == Seen::Came {
        disturbed.end_after(epochs)?;
        seen = disturbed.watch(&|_| false)?;
    }
    let last = match seen {
        Seen::Ended => disturbed.last_checkpoint()?,
        Seen::Came | Seen::Hangs => None,
    };
    let Some(last) = last else {
        verdict.hangs += usize::from(seen == Seen::Hangs);
        say(disturbed.last_words(seen));
        return Ok(verdict);
    };
    say(format!("{epochs} epochs through {} faults in {:.0} s", faults.len(), began.elapsed().as_secs_f64()));

    let undisturbed = left_alone(ordeal, epochs)?;
    let of_undisturbed = undisturbed.last_checkpoint()?.ok_or_else(|| undisturbed.last_words(Seen::Ended))?;
    let (rate, whole) = (disturbed.rate(), undisturbed.rate());
    say(format!("{rate:.0} samples per second that count, {whole:.0} undisturbed"));
    let [with, without] = [&disturbed, &undisturbed].map(Run::traces);
    verdict.samples_lost = Some(missing(&without, &with));
    verdict.samples_repeated = Some(missing(&with, &without));
    verdict.throughput_retained = Some(rounded(rate / whole));
    verdict.bit_equal = Some(files(&last)? == files(&of_undisturbed)?);
    Ok(verdict)
}

/// The same program without a fault.
fn left_alone(ordeal: &Ordeal, epochs: u64) -> Result<Run> {
    let plan = plan(ordeal, "undisturbed");
    fs::write(plan.file(&ordeal.folder, "ends"), epochs.to_string())?;
    let mut run = Run::start(ordeal, "undisturbed", "")?;
    match run.watch(&|_| false)? {
        Seen::Ended => Ok(run),
        seen => Err(run.last_words(seen).into()),
    }
}

fn plan(ordeal: &Ordeal, name: &str) -> Plan {
    let lives_on_after_ms = Some(ordeal.silence.as_millis() as u64);
    Plan { name: name.to_owned(), samples: SAMPLES, epochs: EPOCHS, save_every: SAVE_EVERY, lives_on_after_ms }
}

/// What was seen of a run that was watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// What was waited for.
    Came,
    /// The driver's end.
    Ended,
    /// Nothing at all, for too long.
    Hangs,
}

/// One run, ended where this is dropped.
struct Run {
    plan: Plan,
    folder: PathBuf,
    silence: Duration,
    driver: Child,
    ranks: Vec<Growing>,
    /// When a rank last did something.
    moved: Instant,
}

impl Run {
    fn start(ordeal: &Ordeal, name: &str, fault: &str) -> Result<Self> {
        let plan = plan(ordeal, name);
        let driver = plan.start(&ordeal.program, &ordeal.folder, fault)?;
        let ranks = (0..WORKERS).map(|rank| Growing::new(&ordeal.folder, name, rank)).collect();
        let (folder, silence) = (ordeal.folder.clone(), ordeal.silence);
        Ok(Self { plan, folder, silence, driver, ranks, moved: Instant::now() })
    }

    fn file(&self, suffix: &str) -> PathBuf {
        self.plan.file(&self.folder, suffix)
    }

    /// Waits until `until` holds; there is no event for a line that another process writes.
    fn watch(&mut self, until: &dyn Fn(&Self) -> bool) -> Result<Seen> {
        loop {
            let has_ended = self.driver.try_wait()?.is_some();
            for rank in &mut self.ranks {
                if rank.advance()? {
                    self.moved = Instant::now();
                }
            }
            if until(self) {
                return Ok(Seen::Came);
            }
            if has_ended {
                return Ok(Seen::Ended);
            }
            if self.moved.elapsed() > HANG {
                return Ok(Seen::Hangs);
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// One fault, and what follows.
    fn meet(
        &mut self,
        number: usize,
        planned: &Planned,
        began: Instant,
        verdict: &mut Endurance,
        times: &mut Vec<f64>,
        say: &mut dyn FnMut(String),
    ) -> Result<Seen> {
        let Planned { at, fault } = *planned;
        // The same error from the same checkpoint would end the run, as it should.
        let is_ready = |run: &Self| run.is_up() && (!matches!(fault, Fault::FullDisk(_)) || run.has_committed());
        let seen = self.watch(&|run| began.elapsed() >= at && is_ready(run))?;
        if seen != Seen::Came {
            return Ok(seen);
        }
        let what = format!("fault {number} after {:.1} s: {fault:?}", began.elapsed().as_secs_f64());
        let (starts, done) = (self.of_ranks(|trace| trace.starts), self.of_ranks(|trace| trace.since_start));
        let is_another = |run: &Self| run.ranks.iter().zip(&starts).any(|(rank, before)| rank.trace.starts > *before);
        if let Fault::Slow(rank) = fault {
            // A rank that is dead after this was not, and was silent for less.
            Process::open(self.ranks[rank].trace.pid)?.slow_down(self.silence * 3 / 2)?;
            let goes_on = |run: &Self| {
                run.ranks.iter().zip(&done).all(|(rank, before)| rank.trace.since_start >= before + GOES_ON)
            };
            let seen = self.watch(&|run| is_another(run) || goes_on(run))?;
            let is_recovered = seen == Seen::Came && !is_another(self);
            verdict.recovered += usize::from(is_recovered);
            let how = if is_recovered { "went on" } else { "was NOT taken for alive" };
            say(format!("{what}: {how}"));
            return Ok(seen);
        }
        let since = match self.inject(fault)? {
            Ok(since) => since,
            Err(seen) => {
                say(format!("{what}: did NOT happen"));
                return Ok(seen);
            }
        };
        let at = Instant::now();
        let is_unnoticed = |run: &Self| at.elapsed() > UNNOTICED && !is_another(run);
        let all_again = |run: &Self| run.ranks.iter().zip(&starts).all(|(rank, before)| rank.trace.starts > *before);
        let seen = self.watch(&|run| is_unnoticed(run) || all_again(run) && run.is_up())?;
        if seen == Seen::Came && is_another(self) {
            let back = self.ranks.iter().filter_map(|rank| rank.trace.back_at).fold(since, f64::max);
            verdict.recovered += 1;
            times.push(back - since);
            say(format!("{what}: back after {:.2} s", back - since));
        } else {
            say(format!("{what}: {}", if seen == Seen::Came { "NOT noticed" } else { "NOT back" }));
        }
        Ok(seen)
    }

    /// Does a fault that costs a generation; when it happened, or what was seen instead.
    fn inject(&mut self, fault: Fault) -> Result<Result<f64, Seen>> {
        let process = |rank: usize| Process::open(self.ranks[rank].trace.pid);
        match fault {
            Fault::Kill(rank) => process(rank)?.signal(Signal::KILL)?,
            Fault::Stop(rank) | Fault::Slow(rank) => process(rank)?.signal(Signal::STOP)?,
            Fault::DropChannel(rank, how) => process(rank)?.shut_channel(how)?,
            Fault::FullDisk(point) => {
                let (log, gate) = (self.file("faults"), self.file("gate"));
                let before = noted(&log, point.name());
                // Whole at once: an empty one would mean every point.
                let beside = self.file("gate-beside");
                fs::write(&beside, point.name())?;
                fs::rename(beside, &gate)?;
                let seen = self.watch(&|_| noted(&log, point.name()) > before)?;
                fs::remove_file(gate)?;
                return Ok(if seen == Seen::Came { Ok(unix_time()) } else { Err(seen) });
            }
        }
        Ok(Ok(unix_time()))
    }

    /// Every rank has finished a step since the group's start.
    fn is_up(&self) -> bool {
        let starts = self.of_ranks(|trace| trace.starts);
        let is_one_group = starts.iter().all(|of_rank| *of_rank == starts[0]);
        is_one_group && self.ranks.iter().all(|rank| rank.trace.back_at.is_some())
    }

    /// And made a checkpoint.
    fn has_committed(&self) -> bool {
        self.ranks.iter().all(|rank| rank.trace.commits > 0)
    }

    fn of_ranks<T>(&self, of: fn(&Trace) -> T) -> Vec<T> {
        self.ranks.iter().map(|rank| of(&rank.trace)).collect()
    }

    fn traces(&self) -> Vec<&Trace> {
        self.ranks.iter().map(|rank| &rank.trace).collect()
    }

    /// How many epochs have begun.
    fn epochs(&self) -> u64 {
        let batches = self.ranks.iter().map(|rank| rank.trace.batches.len() as u64).max();
        batches.unwrap_or(0).div_ceil(OF_EPOCH)
    }

    /// Tells the ranks which epoch is the last; they are not there yet.
    fn end_after(&self, epochs: u64) -> Result<()> {
        let beside = self.file("ends-beside");
        fs::write(&beside, epochs.to_string())?;
        Ok(fs::rename(beside, self.file("ends"))?)
    }

    /// The folder that the driver printed, where it has ended well.
    fn last_checkpoint(&self) -> Result<Option<PathBuf>> {
        let stdout = fs::read_to_string(self.file("stdout"))?;
        Ok(stdout.lines().last().map(|line| self.folder.join(line)))
    }

    /// Samples per second that count, of all ranks, from the first step to the last.
    fn rate(&self) -> f64 {
        let samples: usize = self.ranks.iter().flat_map(|rank| &rank.trace.batches).map(Vec::len).sum();
        let first = self.ranks.iter().filter_map(|rank| rank.trace.first_at).fold(f64::INFINITY, f64::min);
        let last = self.ranks.iter().filter_map(|rank| rank.trace.last_at).fold(0.0, f64::max);
        samples as f64 / (last - first)
    }

    /// What each rank last did, and what the driver said.
    fn last_words(&self, seen: Seen) -> String {
        let mut words = match seen {
            Seen::Hangs => format!("the run hangs: nothing for {HANG:?}"),
            Seen::Came | Seen::Ended => "the run has ended".to_owned(),
        };
        for (number, rank) in self.ranks.iter().enumerate() {
            let _ = write!(words, "\nrank {number} (process {}) last said {}", rank.trace.pid, rank.last);
        }
        for path in [self.folder.join("runs").join(&self.plan.name).join("states.jsonl"), self.file("stderr")] {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            let end = lines[lines.len().saturating_sub(20)..].join("\n  ");
            let _ = write!(words, "\n{}:\n  {end}", path.display());
        }
        words
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The smallest that so many of 100 do not exceed.
fn percentile(sorted: &[f64], of_100: usize) -> Option<f64> {
    let place = (sorted.len() * of_100).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().map(rounded)
}

/// To thousandths: nothing here is known better.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let times: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!((percentile(&times, 50), percentile(&times, 95)), (Some(10.0), Some(19.0)));
        assert_eq!(percentile(&[1.23456], 95), Some(1.235));
        assert_eq!(percentile(&[], 50), None);
    }
}
