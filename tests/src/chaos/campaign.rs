//! The kills themselves, and the verdict.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use trainloop_checkpoint::fault::POINTS;
use trainloop_checkpoint::verify;

use super::kill::{Kill, Moment, Victim, draw};
use super::trace::{Trace, files, missing};
use super::{BATCH_SIZE, Options, Plan, Result, Verdict, WORKERS};

/// No start takes so long, even on a loaded machine; one that does hangs.
const DEADLINE: Duration = Duration::from_secs(120);

/// The last global batch is smaller than the others, and so is the last window.
const SAMPLES: usize = 490;

/// After so many batches comes a checkpoint.
const SAVE_EVERY: u64 = 5;

/// Batches of a rank in one epoch.
const OF_EPOCH: u64 = SAMPLES.div_ceil(BATCH_SIZE * WORKERS) as u64;

/// What became of one start.
struct Ended {
    /// True where the run came to its end.
    is_done: bool,
    stdout: String,
    stderr: String,
}

/// Trains once without a kill and once with all of them, and compares. Each kill is told to `say`.
///
/// # Errors
/// Where a program fails for another reason than its kill, a kill comes too late, or a point of the code was not hit.
pub fn run(options: &Options, say: &mut dyn FnMut(String)) -> Result<Verdict> {
    fs::create_dir_all(&options.folder)?;
    // Each kill takes the run on by a part of an epoch.
    let epochs = 4 + options.kills as u64 / 2;
    let whole = Campaign::new(options, "whole", epochs);
    let began = Instant::now();
    let last_of_whole = whole.to_the_end()?;
    say(format!("never killed: {epochs} epochs in {:.0} s", began.elapsed().as_secs_f64()));

    let mut killed = Campaign::new(options, "killed", epochs);
    let kills = draw(options.kills, options.seed);
    for (number, kill) in kills.iter().enumerate() {
        killed.one(kill, number + 1, say)?;
    }
    let last_of_killed = killed.to_the_end()?;
    killed.look_at_checkpoints(say)?;

    let named = kills.iter().filter_map(|kill| match kill {
        Kill::AtPoint(name, _) => Some(*name),
        Kill::Random(..) => None,
    });
    let named: BTreeSet<_> = named.collect();
    say(format!(
        "{} of {} kills in the middle of an epoch, {} of the {} points of the code hit",
        killed.in_epoch,
        killed.kills,
        named.len(),
        POINTS.len()
    ));
    let (before, after) = (files(&last_of_whole)?, files(&last_of_killed)?);
    let differing = before.iter().filter(|(path, bytes)| after.get(*path) != Some(bytes)).map(|(path, _)| path);
    let differing: Vec<_> = differing.collect();
    if !differing.is_empty() {
        say(format!("these files differ: {differing:?}"));
    }
    let traces = [whole.traces()?, killed.traces()?];
    for trace in &traces[1] {
        killed.damaged += trace.set_back;
        if trace.out_of_order > 0 {
            return Err(format!("a start did not go on where it began: {} batches", trace.out_of_order).into());
        }
    }
    if traces[0].iter().any(|trace| trace.batches.len() as u64 != epochs * OF_EPOCH) {
        return Err("the run that was never killed has not seen all of its batches".into());
    }
    let [of_whole, of_killed] = [0, 1].map(|run: usize| traces[run].iter().collect::<Vec<_>>());
    Ok(Verdict {
        kills: killed.kills,
        bit_equal: differing.is_empty() && before.len() == after.len(),
        samples_lost: missing(&of_whole, &of_killed),
        samples_repeated: missing(&of_killed, &of_whole),
        damaged_checkpoints: killed.damaged,
    })
}

/// One run of the program `chaos`, start after start.
struct Campaign<'a> {
    options: &'a Options,
    plan: Plan,
    kills: usize,
    in_epoch: usize,
    damaged: usize,
}

impl<'a> Campaign<'a> {
    fn new(options: &'a Options, name: &str, epochs: u64) -> Self {
        let plan =
            Plan { name: name.to_owned(), samples: SAMPLES, epochs, save_every: SAVE_EVERY, lives_on_after_ms: None };
        Self { options, plan, kills: 0, in_epoch: 0, damaged: 0 }
    }

    fn file(&self, suffix: &str) -> PathBuf {
        self.plan.file(&self.options.folder, suffix)
    }

    fn traces(&self) -> Result<Vec<Trace>> {
        Trace::of_all_ranks(&self.options.folder, &self.plan.name)
    }

    fn start(&self, fault: &str) -> Result<Child> {
        self.plan.start(&self.options.program, &self.options.folder, fault)
    }

    /// Waits for the driver's end.
    fn wait(&self, mut child: Child) -> Result<Ended> {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if began.elapsed() > DEADLINE {
                child.kill()?;
                child.wait()?;
                let stderr = fs::read_to_string(self.file("stderr"))?;
                return Err(format!("a start did not end in {DEADLINE:?}:\n{stderr}").into());
            }
            thread::sleep(Duration::from_millis(1));
        };
        let (stdout, stderr) = (fs::read_to_string(self.file("stdout"))?, fs::read_to_string(self.file("stderr"))?);
        Ok(Ended { is_done: status.success(), stdout, stderr })
    }

    /// The last checkpoint's folder.
    fn to_the_end(&self) -> Result<PathBuf> {
        let ended = self.wait(self.start("")?)?;
        match ended.stdout.lines().last() {
            Some(last) if ended.is_done => Ok(self.options.folder.join(last)),
            _ => Err(format!("the run did not come to its end:\n{}", ended.stderr).into()),
        }
    }

    /// One start, and its end by that kill.
    fn one(&mut self, kill: &Kill, number: usize, say: &mut dyn FnMut(String)) -> Result<()> {
        let (ended, how) = match kill {
            Kill::AtPoint(name, fault) => {
                let before = self.faults(name);
                let ended = self.wait(self.start(fault)?)?;
                if self.faults(name) == before {
                    return Err(format!("kill {number}: `{fault}` did not happen:\n{}", ended.stderr).into());
                }
                (ended, fault.clone())
            }
            Kill::Random(moment, victim) => {
                let mut child = self.start("")?;
                self.await_moment(*moment, &mut child)?;
                strike(*victim, &child)?;
                (self.wait(child)?, format!("{victim:?} at {moment:?}"))
            }
        };
        if ended.is_done {
            return Err(format!("kill {number} ({how}): the run came to its end before it").into());
        }
        self.kills += 1;
        let seen = self.traces()?.first().map_or(0, |trace| trace.batches.len() as u64);
        self.in_epoch += usize::from(!seen.is_multiple_of(OF_EPOCH));
        say(format!("kill {number}: {how}, after {seen} batches"));
        let passed_over = ended.stderr.lines().filter(|line| line.contains(" is passed over"));
        self.damaged += passed_over.inspect(|line| say(format!("damaged: {line}"))).count();
        self.look_at_checkpoints(say)
    }

    /// How often that point has killed so far.
    fn faults(&self, name: &str) -> usize {
        let log = fs::read_to_string(self.file("faults")).unwrap_or_default();
        log.lines()
            .filter(|line| line.split_once(' ').is_some_and(|(at, how)| at == name && how.starts_with("Kill")))
            .count()
    }

    /// Every checkpoint that has its name is whole, whatever was going on.
    fn look_at_checkpoints(&mut self, say: &mut dyn FnMut(String)) -> Result<()> {
        let folder = self.options.folder.join("runs").join(&self.plan.name).join("checkpoints");
        // A run that was killed early has none yet.
        let Ok(entries) = fs::read_dir(&folder) else { return Ok(()) };
        for entry in entries {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("checkpoint_")
                && let Err(error) = verify(&entry.path())
            {
                self.damaged += 1;
                say(format!("damaged: {error}"));
            }
        }
        Ok(())
    }

    /// There is no event for a line that another process writes.
    fn await_moment(&self, moment: Moment, child: &mut Child) -> Result<()> {
        let starts = self.traces()?.first().map_or(0, |trace| trace.starts);
        let began = Instant::now();
        loop {
            if self.traces()?.first().is_some_and(|trace| has_come(moment, trace, starts)) {
                thread::sleep(moment.more());
                return Ok(());
            }
            if child.try_wait()?.is_some() || began.elapsed() > DEADLINE {
                let stderr = fs::read_to_string(self.file("stderr"))?;
                return Err(format!("{moment:?} did not come:\n{stderr}").into());
            }
            thread::sleep(Duration::from_micros(500));
        }
    }
}

/// True where rank 0 has come to that moment in a start after the first `starts`.
fn has_come(moment: Moment, trace: &Trace, starts: usize) -> bool {
    let has_begun = trace.starts > starts;
    let is_last = (trace.batches.len() as u64).is_multiple_of(OF_EPOCH);
    match moment {
        Moment::Start(_) => true,
        Moment::InEpoch(batches, _) => has_begun && trace.since_start >= batches && !is_last,
        Moment::EndOfEpoch(_) => has_begun && trace.since_start > 0 && is_last,
    }
}

/// SIGKILL to driver, worker or both. Before there are workers, the driver it is.
fn strike(victim: Victim, child: &Child) -> Result<()> {
    let driver = Pid::from_child(child);
    let workers = children(child.id());
    let of_worker = |place: usize| workers.get(place % workers.len().max(1)).copied();
    let (worker, with_driver) = match victim {
        Victim::Driver => (None, true),
        Victim::Worker(place) => (of_worker(place), workers.is_empty()),
        Victim::Both(place) => (of_worker(place), true),
    };
    for pid in worker.into_iter().chain(with_driver.then_some(driver)) {
        match kill_process(pid, Signal::KILL) {
            // It has ended by itself a moment ago; the caller sees that nothing was killed.
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The processes that `parent` has started, oldest first.
fn children(parent: u32) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_child = |pid: &i32| parent_of(Path::new(&format!("/proc/{pid}/stat"))) == Some(parent);
    let mut children: Vec<i32> = pids.filter(is_child).collect();
    children.sort_unstable();
    children.into_iter().filter_map(Pid::from_raw).collect()
}

fn parent_of(stat: &Path) -> Option<u32> {
    let stat = fs::read_to_string(stat).ok()?;
    // The name, in parentheses, may hold anything; behind it come the state and the parent.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
