use std::path::Path;

use serde_json::json;

use super::*;

fn run(path: &Path) -> RunInfo {
    RunInfo { name: "run".to_owned(), path: path.to_owned(), world_size: 1, generation: 1, restarts: 0 }
}

fn report(step: u64, index: u64, loss: f64) -> Logged {
    Logged::of_record(step, Some(index), &json!({ "loss": loss }))
}

/// Three logs and two reports; a checkpoint after the second log and the first report; then once more from there.
fn play(mut first: impl Tracker, mut second: impl Tracker, folder: &Path) {
    let log = |step: u64, lr: f64| Logged::new(step, [("lr", lr)]);
    first.start(&run(folder)).unwrap();
    first.rewind(Rewind::to(0, 0)).unwrap();
    first.log_config(&Logged::new(0, [("epochs", 3_i64)])).unwrap();
    for logged in [log(10, 0.1), report(20, 0, 2.0), log(20, 0.2), report(30, 1, 1.0), log(30, f64::NAN)] {
        first.log(&logged).unwrap();
    }
    drop(first);
    second.start(&run(folder)).unwrap();
    second.rewind(Rewind::to(1, 2)).unwrap();
    second.log_config(&Logged::new(0, [("epochs", 3_i64)])).unwrap();
    for logged in [report(30, 1, 0.5), log(30, 0.3)] {
        second.log(&logged).unwrap();
    }
    second.finish().unwrap();
}

#[test]
fn lines_past_the_checkpoint_are_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    play(JsonLines::new(), JsonLines::new(), folder.path());
    let text = std::fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| {
            let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
            line.as_object_mut().unwrap().remove("unix_time");
            line
        })
        .collect();
    let expected = [
        json!({"config": {"epochs": 3}}),
        json!({"step": 10, "metrics": {"lr": 0.1}}),
        json!({"step": 20, "report": 0, "metrics": {"loss": 2.0}}),
        json!({"step": 20, "metrics": {"lr": 0.2}}),
        json!({"step": 30, "report": 1, "metrics": {"loss": 0.5}}),
        json!({"step": 30, "metrics": {"lr": 0.3}}),
    ];
    assert_eq!(lines, expected);
}

/// The third column is the time.
fn table(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("metrics.csv")).unwrap();
    let without_time = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        [&fields[..2], &fields[3..]].concat().join(",")
    };
    text.lines().map(without_time).collect()
}

#[test]
fn rows_past_the_checkpoint_are_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    play(Csv::new(), Csv::new(), folder.path());
    assert_eq!(
        table(folder.path()),
        ["step,report,lr,loss", "10,,0.1,", "20,0,,2", "20,,0.2,", "30,1,,0.5", "30,,0.3,"]
    );
}

/// A killed driver's half row goes, texts are quoted, and names that are taken give way.
#[test]
fn a_table_holds_what_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.csv");
    std::fs::write(&path, "step,report,unix_time,a\n1,,0.5,7\n2,,0.5").unwrap();
    let mut csv = Csv::new();
    csv.start(&run(folder.path())).unwrap();
    csv.log(&Logged::new(3, [("step", Scalar::from("x,\"y\"\nz")), ("b", f64::NEG_INFINITY.into())])).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("step,report,unix_time,a,metrics/step,b\n1,,0.5,7,,\n3,,"), "{text}");
    assert!(text.ends_with(",,\"x,\"\"y\"\"\nz\",-Infinity\n"), "{text}");

    std::fs::write(&path, "name,age\nx,1\n").unwrap();
    let error = Csv::new().start(&run(folder.path())).unwrap_err().to_string();
    assert!(error.contains("table of something else"), "{error}");
}

#[test]
fn values_go_by_their_names() {
    #[derive(serde::Serialize)]
    struct Inner {
        worst: f32,
    }
    #[derive(serde::Serialize)]
    struct Metrics {
        epoch: u64,
        inner: Inner,
        missing: Option<f64>,
        curve: Vec<f64>,
        note: &'static str,
        done: bool,
    }
    let metrics = Metrics {
        epoch: 3,
        inner: Inner { worst: f32::INFINITY },
        missing: None,
        curve: vec![0.5],
        note: "so far",
        done: false,
    };
    let record = crate::controller::record(&logged::values(&metrics).unwrap()).unwrap();
    let logged = Logged::of_record(7, None, &record);
    let all: Vec<String> = logged.iter().map(|(name, value)| format!("{name} {value}")).collect();
    assert_eq!(all, ["epoch 3", "inner/worst Infinity", "note so far", "done false"]);

    let pairs = crate::controller::record(&logged::values(&[("loss", 0.5), ("loss/val", 0.25)]).unwrap()).unwrap();
    assert_eq!(Logged::of_record(1, None, &pairs), Logged::new(1, [("loss", 0.5), ("loss/val", 0.25)]));
    for wrong in [logged::values(&0.5), logged::values(&[0.5, 0.25])] {
        let error = wrong.unwrap_err().to_string();
        assert!(error.contains("cannot be logged"), "{error}");
    }
}

#[test]
fn steps_are_those_that_were_counted_or_reports() {
    assert_eq!((logged::step(7, 2), logged::step(0, 2)), (7, 2));
}
