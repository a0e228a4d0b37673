//! The controller among 500 ranks: real sockets, the real poll and ledger; the ranks are connections of two processes.

mod common;

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use common::{Running, Sandbox, json_lines};
use serde_json::{Value, json};
use trainloop::simulation::Plan;

const RANKS: usize = 500;

fn run(sandbox: &Sandbox, reports: u64, checkpoints: u64, dies: Option<usize>) -> (Value, Plan) {
    let run = sandbox.path().join("run");
    std::fs::create_dir(&run).unwrap();
    let plan = Plan { run, ranks: RANKS, reports, checkpoints: NonZeroU64::new(checkpoints).unwrap(), dies };
    let mut command = sandbox.command(env!("CARGO_BIN_EXE_crowd"));
    command.arg(serde_json::to_string(&plan).unwrap());
    let ended = Running::start(command).end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    sandbox.assert_no_process();
    (ended.json(), plan)
}

/// Every report of every rank is written once, and reduced to the bits that the ranks' values have in their order; every
/// checkpoint has a part of each rank, and is whole.
#[test]
fn reports_and_checkpoints_of_all_ranks_come_together() {
    let sandbox = Sandbox::new();
    let (ended, plan) = run(&sandbox, 20, 2, None);
    assert_eq!((&ended["commits"], &ended["failed"]), (&json!(3), &Value::Null));

    let expected: Vec<Value> = (0..20)
        .map(|report| {
            let values = (0..RANKS).map(|rank| (rank as f64 + 0.1) * (f64::from(report) + 0.3));
            let mean = values.sum::<f64>() / RANKS as f64;
            json!({"report": report, "mean": mean, "max": 499.0 / 7.0, "last": f64::from(report)})
        })
        .collect();
    assert_eq!(ended["reduced"], Value::from(expected));

    let lines = json_lines(&plan.run.join("reports.jsonl"));
    let pairs: BTreeSet<_> = lines.iter().map(|line| (line["report"].as_u64(), line["rank"].as_u64())).collect();
    assert_eq!((lines.len(), pairs.len()), (20 * RANKS, 20 * RANKS));
    assert!(lines.iter().all(|line| line["metrics"]["report"] == line["report"]));
    assert_eq!(lines.iter().filter(|line| line["metrics"]["last"] == "NaN").count(), 20 * (RANKS - 1));

    for index in 0..3 {
        let folder = plan.run.join(format!("checkpoints/checkpoint_{index:06}"));
        let manifest = trainloop_checkpoint::verify(&folder).unwrap();
        let ranks: Vec<_> = manifest.files.iter().map(|file| file.rank).collect();
        assert_eq!(ranks, (0..RANKS).collect::<Vec<_>>());
    }
}

/// One rank's connection ends without a word: it is named, and the others are let go.
#[test]
fn a_rank_that_vanishes_is_named() {
    let sandbox = Sandbox::new();
    let (ended, _) = run(&sandbox, 0, 1, Some(321));
    assert_eq!(ended["failed"], 321);
}

/// The soft limit of open files, which is lower than the group needs, is raised; a hard limit cannot be, and is named.
#[test]
fn a_limit_of_open_files_is_raised_or_named() {
    let sandbox = Sandbox::new();
    let limited = |limit: &str, name: &str| {
        let run = sandbox.path().join(name);
        std::fs::create_dir(&run).unwrap();
        let plan = Plan { run, ranks: RANKS, reports: 1, checkpoints: NonZeroU64::MIN, dies: None };
        let mut command = sandbox.command("sh");
        command.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$1\""), env!("CARGO_BIN_EXE_crowd")]);
        command.arg(serde_json::to_string(&plan).unwrap());
        Running::start(command).end()
    };
    let raised = limited("-Sn 300", "raised");
    assert_eq!(raised.code, Some(0), "{raised:#?}");
    let refused = limited("-n 300", "refused");
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    let words = "needs 500 open files, and this process may have 300";
    assert!(refused.stderr.contains(words), "{refused:#?}");
}
