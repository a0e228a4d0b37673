//! Every rank's reports are kept, in order, and reduced as their fields say.

mod common;

use std::path::Path;

use common::{Running, Sandbox, json_lines};
use serde_json::{Value, json};

/// Runs the program `reports`; gives its outcome and the run's reports.
fn run(sandbox: &Sandbox, workers: usize, reports: u64) -> (Value, Vec<Value>, String) {
    let mut command = sandbox.command(env!("CARGO_BIN_EXE_reports"));
    command.arg(sandbox.storage()).args([workers.to_string(), reports.to_string()]);
    let ended = Running::start(command).end();
    sandbox.assert_no_process();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let outcome = ended.json();
    let path = Path::new(outcome["path"].as_str().unwrap());
    assert_eq!(path.parent(), Some(sandbox.storage().as_path()));
    let lines = json_lines(&path.join("reports.jsonl"));
    (outcome, lines, ended.stdout + &ended.stderr)
}

/// 15 of 15 from each of three ranks, in each rank's order, every number as the rank gave it; the config arrives whole; the
/// outcome holds rank 0's value and the last report, each field reduced as its attribute says.
#[test]
fn every_report_of_every_rank_is_kept() {
    let sandbox = Sandbox::new();
    let (outcome, lines, printed) = run(&sandbox, 3, 15);
    assert_eq!(lines.len(), 45);
    for rank in 0..3_u64 {
        let of_rank: Vec<&Value> = lines.iter().filter(|line| line["rank"] == rank).collect();
        assert_eq!(of_rank.len(), 15);
        for (step, line) in of_rank.into_iter().enumerate() {
            let value = (rank * 100 + step as u64) as f64;
            let special =
                [json!("NaN"), json!("Infinity"), json!("-Infinity"), json!(0.1), json!(-0.0)][step % 5].clone();
            assert_eq!((&line["report"], &line["generation"]), (&json!(step), &json!(1)));
            let expected = json!({
                "step": step, "mean": value, "sum": value as i64, "min": value, "max": value, "special": special,
                "rank": rank,
            });
            assert_eq!(line["metrics"], expected);
        }
        assert!(printed.contains(&format!("[rank {rank}] the config came to rank {rank} of 3\n")), "{printed}");
    }
    assert_eq!(outcome["output"], "rank 0 made 15 reports");
    assert_eq!((&outcome["reports"], &outcome["restarts"]), (&json!(15), &json!(0)));
    assert!(outcome["seconds"].as_f64().unwrap() > 0.0);
    // Step 14 of ranks 0, 1 and 2: 14, 114 and 214.
    let expected = json!({
        "step": 14, "mean": 114.0, "sum": 342, "min": 14.0, "max": 214.0, "special": -0.0, "rank": 0,
    });
    assert_eq!(outcome["metrics"], expected);
}

/// A NaN in the last report is one in the outcome, too; and the terminal's line for each report says so.
#[test]
fn a_nan_reaches_the_outcome() {
    let sandbox = Sandbox::new();
    let (outcome, _, printed) = run(&sandbox, 2, 6);
    assert_eq!(outcome["special"], "NaN");
    assert!(
        printed.contains("\nreport   6  step 5  mean 55.0000  sum 110  min 5.0000  max 105.0000  special NaN  rank 0"),
        "{printed}"
    );
}

/// In the calling process, and with one worker: the same records as from many.
#[test]
fn one_rank_reports_as_many_do() {
    let sandbox = Sandbox::new();
    for workers in [0, 1] {
        let (outcome, lines, _) = run(&sandbox, workers, 15);
        assert_eq!(lines.len(), 15, "{workers} workers");
        assert!(lines.iter().enumerate().all(|(step, line)| line["report"] == step && line["rank"] == 0));
        assert_eq!(outcome["metrics"]["mean"], 14.0, "{workers} workers");
        assert_eq!(outcome["output"], "rank 0 made 15 reports");
    }
}

/// A loop that reports nothing has no metrics; its run is as good as any.
#[test]
fn no_report_is_no_error() {
    let sandbox = Sandbox::new();
    let (outcome, lines, _) = run(&sandbox, 2, 0);
    assert_eq!((&outcome["metrics"], &outcome["reports"]), (&Value::Null, &json!(0)));
    assert!(lines.is_empty());
}
