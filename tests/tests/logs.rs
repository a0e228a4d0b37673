//! What is seen of a run: events of `tracing` with their rank and step, libtorch's own prints, more and less on the terminal,
//! and a crash with its cause first.

mod common;

use std::fs;

use common::{Ended, Running, Sandbox};
use trainloop::trainer::Verbosity;
use trainloop_tests::scenario::Act;

fn trace(words: &str) -> Act {
    Act::Trace("info".into(), words.into())
}

fn log(sandbox: &Sandbox, rank: usize) -> String {
    fs::read_to_string(sandbox.storage().join(format!("run/logs/rank-{rank}.log"))).unwrap()
}

/// The one line of a log that holds these words.
#[track_caller]
fn line<'a>(log: &'a str, words: &str) -> &'a str {
    let mut lines = log.lines().filter(|line| line.contains(words));
    let line = lines.next().unwrap_or_else(|| panic!("no line has {words:?}: {log}"));
    assert_eq!(lines.next(), None, "{log}");
    line
}

/// A program without a subscriber: events are in the rank's log and on the terminal, with rank and step, also those before the
/// first call of the context.
#[test]
fn an_event_says_which_rank_and_step() {
    let sandbox = Sandbox::new();
    let acts = |rank: usize| {
        vec![
            trace(&format!("first words of {rank}")),
            Act::Steps(3),
            trace("after three steps"),
            Act::Trace("debug".into(), "too small".into()),
            Act::Trace("warn".into(), "the loss is a banana".into()),
            Act::Trace("thread".into(), "from a thread".into()),
            Act::Steps(1),
            trace("after four"),
        ]
    };
    let ended = sandbox.scenario("run", &[acts(0), acts(1)]).end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    for rank in [0, 1] {
        let log = log(&sandbox, rank);
        let worker = format!(" worker{{rank={rank} generation=1}}:");
        assert!(line(&log, "first words").ends_with(&format!("INFO{worker} scenario: first words of {rank}")), "{log}");
        let step = |words: &str, step: u64, level: &str| {
            let expected = format!("{level}{worker}step{{step={step}}}: scenario: {words}");
            assert!(line(&log, words).ends_with(&expected), "{log}");
        };
        step("after three steps", 3, "INFO");
        step("the loss is a banana answer=42", 3, "WARN");
        step("after four", 4, "INFO");
        assert!(line(&log, "from a thread").ends_with("INFO scenario: from a thread"), "{log}");
        assert!(!log.contains("too small"), "{log}");
        assert!(line(&ended.stderr, &format!("first words of {rank}")).starts_with(&format!("[rank {rank}] ")));
    }
}

/// `TRAINLOOP_LOG` is a filter as `RUST_LOG` is; one that cannot be read is told before a worker starts.
#[test]
fn the_environment_says_what_is_logged() {
    let sandbox = Sandbox::new();
    let ranks = [vec![trace("for your information"), Act::Trace("debug".into(), "in detail".into())]];
    let with = |filter: &str| {
        let mut command = sandbox.scenario_command("run", &ranks, |_| {});
        command.env("TRAINLOOP_LOG", filter);
        Running::start(command).end()
    };
    let ended = with("scenario=loud");
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert!(ended.stderr.contains("TRAINLOOP_LOG is `scenario=loud`, which is no filter"), "{ended:#?}");
    assert!(!sandbox.storage().exists());

    assert_eq!(with("error,scenario=debug").code, Some(0));
    let first = log(&sandbox, 0);
    assert!(first.contains("for your information") && first.contains("DEBUG scenario: in detail"), "{first}");
    assert_eq!(with("error").code, Some(0));
    assert_eq!(log(&sandbox, 0), first, "nothing is added");
}

/// A subscriber that the loop installs has every event from then on, with the same spans.
#[test]
fn a_subscriber_of_the_programs_own_wins() {
    let sandbox = Sandbox::new();
    let acts = vec![Act::Subscribe, trace("mine"), Act::Steps(2), trace("mine, too")];
    let ended = sandbox.scenario("run", &[acts]).end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let lines = " INFO worker{rank=0 generation=1}: mine\n INFO worker{rank=0 generation=1}:step{step=2}: mine, too\n";
    // A subscriber of tracing-subscriber's writes to standard output.
    assert_eq!(log(&sandbox, 0), lines);
    assert!(ended.stdout.contains("[rank 0]  INFO worker{rank=0 generation=1}: mine\n"), "{ended:#?}");

    // After the first event it is too late, and the loop is told so.
    let ended = sandbox.scenario("late", &[vec![trace("ours"), Act::Subscribe]]).end();
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert!(ended.stderr.contains("global default trace dispatcher has already been set"), "{ended:#?}");
}

/// What libtorch prints, in C++, is in the log of the rank that it printed for.
#[test]
fn libtorchs_prints_are_in_the_log() {
    let sandbox = Sandbox::new();
    let ended = sandbox.scenario("run", &[vec![], vec![Act::TorchPrint]]).end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(log(&sandbox, 0), "");
    let log = log(&sandbox, 1);
    assert!(log.contains(" 1.5000\n 2.5000\n[ CPUDoubleType{2} ]"), "{log}");
    assert!(log.contains("Warning: An output with one or more elements was resized"), "{log}");
    assert!(ended.stdout.contains("[rank 1]  1.5000\n"), "{ended:#?}");
}

fn shown(sandbox: &Sandbox, name: &str, verbosity: Verbosity, ranks: &[Vec<Act>]) -> Ended {
    let running = sandbox.scenario_with(name, ranks, |scenario| {
        scenario.progress = true;
        scenario.verbosity = Some(verbosity);
    });
    running.end()
}

/// Quiet: the result, and nothing else; the log has what the ranks said all the same. Verbose: what trainloop does, too.
#[test]
fn more_and_less_is_shown() {
    let sandbox = Sandbox::new();
    let acts = vec![Act::Print("hello".into()), trace("an event"), Act::Report(2), Act::PrintError("bye".into())];
    let ranks = [acts.clone(), acts];

    let quiet = shown(&sandbox, "run", Verbosity::Quiet, &ranks);
    assert_eq!(quiet.code, Some(0), "{quiet:#?}");
    assert_eq!(quiet.stdout, "{\"metrics\":{\"count\":2},\"reports\":2}\n", "the program's own line");
    assert!(quiet.stderr.starts_with("run finished after "), "{quiet:#?}");
    assert!(quiet.stderr.ends_with(", 2 reports  count 2\n") && quiet.stderr.lines().count() == 1, "{quiet:#?}");
    let log = log(&sandbox, 1);
    assert!(log.contains("hello\n") && log.contains("an event\n") && log.contains("bye\n"), "{log}");

    let normal = shown(&sandbox, "normal", Verbosity::Normal, &ranks);
    assert!(normal.stdout.contains("[rank 1] hello\n"), "{normal:#?}");
    assert!(normal.stderr.contains("report   2  count 2\n"), "{normal:#?}");
    assert!(normal.stderr.contains("normal finished after "), "{normal:#?}");
    assert!(!normal.stderr.contains("generation 1 ("), "{normal:#?}");

    let verbose = shown(&sandbox, "verbose", Verbosity::Verbose, &ranks);
    assert!(verbose.stdout.contains("[rank 1] hello\n"), "{verbose:#?}");
    for words in ["scheduling: 2 workers start", "running: every rank's loop has begun", "finished: the loop returned"]
    {
        let line = line(&verbose.stderr, words);
        let time = line.strip_prefix('[').and_then(|line| line.split_once("s] generation 1 (2 ranks): "));
        assert!(time.is_some_and(|(time, _)| time.trim().parse::<f64>().is_ok()), "{line}");
    }
    assert!(verbose.stderr.contains("s] rank 1 has joined, and its loop begins\n"), "{verbose:#?}");
}

/// What a person reads first is whose failure it was, then what that rank said last, then what followed from it; a quiet run
/// says it as well.
#[test]
fn a_crash_shows_its_cause_first() {
    let sandbox = Sandbox::new();
    let others = vec![Act::Steps(2), Act::Ready, Act::Barrier];
    let fails = vec![
        Act::Steps(2),
        Act::Report(1),
        Act::AwaitReady(2),
        Act::PrintError("the last words".into()),
        Act::Panic("the loss is a banana".into()),
    ];
    let ended = shown(&sandbox, "run", Verbosity::Quiet, &[others.clone(), fails, others]);
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let error = &ended.stderr;
    let places = [
        "error: rank 1 panicked at tests/src/bin/scenario.rs:",
        ": the loss is a banana\n",
        "\n  at step 2, after 1 report\n",
        "\n  the end of ",
        "\n    | the last words\n",
    ];
    let places: Vec<usize> =
        places.iter().map(|words| error.find(words).unwrap_or_else(|| panic!("{words:?}: {ended:#?}"))).collect();
    assert!(places.is_sorted() && places[0] == 0, "{places:?} {ended:#?}");
    if let Some(consequence) = error.find("failed in consequence") {
        assert!(consequence > places[4], "{ended:#?}");
    }
}
