//! The controller's side of a plan.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use trainloop_checkpoint::{Checkpoints, Mode, Retention};

use super::Plan;
use crate::callback::RunInfo;
use crate::channel::{Start, StoreAt};
use crate::controller::{self, Beginning, Job, Ledger, Reduce, Reduced, Reports, record};
use crate::error::{Error, Result};
use crate::launch::{Identity, Spares};
use crate::log::Console;
use crate::metric::{Metrics, Ranks};
use crate::tracker::{Given, Trackers};
use crate::trainer::{Backend, Every, Verbosity};

/// When the controller came to what.
#[derive(Debug, Default)]
pub struct Timeline {
    /// Each report of all ranks, reduced, and when it was.
    pub rounds: Vec<(Instant, Value)>,
    /// Each checkpoint: in the journal, and about to be told to the ranks.
    pub commits: Vec<Instant>,
    /// The first failure: whose, and when it was seen.
    pub failure: Option<(usize, SystemTime)>,
}

/// Runs the controller until the last rank has gone. `invite` is given what [`ranks`](super::ranks()) take, once there is somebody
/// who listens.
///
/// # Errors
/// Where the ranks do anything else than their plan, and those of `invite`.
pub fn control<M: Metrics>(plan: &Plan, invite: impl FnOnce(String) -> Result<()>) -> Result<Timeline> {
    let timeline = Rc::new(RefCell::new(Timeline::default()));
    let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let logs = plan.run.join("logs");
    let console = Rc::new(Console::new(false, Verbosity::default(), M::fields()));
    let info = RunInfo {
        name: "simulated".to_owned(),
        path: plan.run.clone(),
        world_size: plan.ranks,
        generation: 1,
        restarts: 0,
    };
    let trackers = Trackers::start(&Given::default(), &info, &Value::Null, Rc::clone(&console))?;
    let job = Job {
        start: Start {
            identity: Identity::of_this_process()?,
            loop_name: "simulated".to_owned(),
            config: Vec::new(),
            world_size: plan.ranks,
            local_rank: 0,
            generation: 1,
            store: StoreAt::File(text(plan.run.join("store"))),
            shared: None,
            use_gpu: false,
            backend: Backend::Gloo,
            ddp: true,
            collective_timeout_ms: 600_000,
            heartbeat_ms: super::ranks::BEAT.as_millis() as u64,
            run_name: "simulated".to_owned(),
            run: text(plan.run.clone()),
            storage: None,
            checkpoint: None,
            next_checkpoint: 0,
            reports: 0,
            every: Every::default(),
            when_busy: None,
            tracked: false,
            verbose: false,
        },
        start_timeout: Duration::from_secs(600),
        heartbeat_timeout: Duration::from_secs(60),
        report_timeout: Some(Duration::from_secs(600)),
        logs: &logs,
        run: &plan.run,
        ledger: ledger::<M>(plan, &timeline)?,
        spares: &mut Spares::default(),
        trackers: &trackers,
        console: &console,
        on_milestone: Box::new(|_| Ok(())),
        elastic: None,
        children: 0,
        host: None,
    };
    let on_failure = |rank| {
        timeline.borrow_mut().failure.get_or_insert_with(|| (rank, SystemTime::now()));
    };
    let end = controller::simulate(job, |invitation| invite(invitation.write()), on_failure);
    let timeline = timeline.take();
    match (end, plan.dies) {
        (Ok(_), None) => Ok(timeline),
        (Err(Error::Run(failure)), Some(rank)) if failure.rank == rank => Ok(timeline),
        (Ok(_), Some(rank)) => Err(Error::other(format!("rank {rank} was to die, and all returned"))),
        (Err(error), _) => Err(error),
    }
}

fn ledger<M: Metrics>(plan: &Plan, timeline: &Rc<RefCell<Timeline>>) -> Result<Ledger> {
    let seen = Rc::clone(timeline);
    // As a session's, without callbacks.
    let reduce: Reduce = Box::new(move |round| {
        let metrics = round.iter().map(|bytes| M::decode(bytes, "read the metrics of a report"));
        let ranks = Ranks::new(metrics.collect::<Result<_>>()?).ok_or_else(|| Error::channel("a report of no rank"))?;
        let shown = record(&ranks.reduce().encode("write the reduced metrics")?)?;
        seen.borrow_mut().rounds.push((Instant::now(), shown.clone()));
        Ok(Reduced { shown, score: None })
    });
    let reports = Reports::open(&plan.run.join("reports.jsonl"), plan.ranks, 1, 0, reduce)?;
    let beginning = Beginning {
        checkpoints: Checkpoints::in_folder(&plan.run),
        generation: 1,
        world_size: plan.ranks,
        retention: Retention { keep: None, mode: Mode::Newest },
        committed: Vec::new(),
        begun_from: None,
    };
    let seen = Rc::clone(timeline);
    Ok(Ledger::new(
        beginning,
        reports,
        Box::new(move |_, _| {
            seen.borrow_mut().commits.push(Instant::now());
            Ok(())
        }),
    ))
}
