//! Ranks that something else starts: the variables of PyTorch's `env://` and of torchrun, set by hand.

mod common;
mod engines_common;
#[path = "resume_common/mod.rs"]
mod resume;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{Ended, Running, Sandbox, await_that, kill};
use engines_common::{as_nodes, free_port, rank, start_plain, start_ranks};
use resume::{Finished, Plan, fault};
use rustix::process::Signal;
use trainloop::trainer::Verbosity;
use trainloop_tests::fault::{Act, Moment};
use trainloop_tests::scenario::{self, Scenario};

const TOKEN: &str = "a token of sixteen bytes or more";

fn plan(name: &str) -> Plan {
    Plan { every: Some(2), ..Plan::new(name, 3) }
}

/// The same without an engine.
fn whole(sandbox: &Sandbox) -> Finished {
    plan("whole").finish(sandbox, &[])
}

/// All of them, in the order of their ranks.
fn ends(ranks: Vec<Running>) -> Vec<Ended> {
    ranks.into_iter().map(Running::end).collect()
}

/// The run of all ranks that came to a good end.
#[track_caller]
fn finished(sandbox: &Sandbox, plan: &Plan, ranks: Vec<Running>) -> Finished {
    let mut ended = ends(ranks);
    for (rank, ended) in ended.iter().enumerate().skip(1) {
        assert_eq!(ended.code, Some(0), "rank {rank}: {ended:#?}");
    }
    sandbox.await_no_process();
    plan.finished(sandbox, ended.swap_remove(0))
}

/// Ranks of which one failed: each ends with an error, and rank 0's says which one and why.
#[track_caller]
fn assert_all_fail(sandbox: &Sandbox, ranks: Vec<Running>, words: &[&str]) {
    let ended = ends(ranks);
    for (rank, ended) in ended.iter().enumerate() {
        assert!(ended.code != Some(0), "rank {rank} ended well: {ended:#?}");
    }
    for words in words {
        assert!(ended[0].stderr.contains(words), "no {words:?}: {ended:#?}");
    }
    sandbox.await_no_process();
}

#[test]
fn ranks_of_plain_variables_train_as_the_drivers_own_do() {
    let sandbox = Sandbox::new();
    let plan = plan("engine");
    let ranks = start_plain(&sandbox, &plan, 3, |_, _| {});
    finished(&sandbox, &plan, ranks).assert_is(&whole(&sandbox), &[1]);
}

#[test]
fn ranks_over_tcp_train_as_the_drivers_own_do() {
    let sandbox = Sandbox::new();
    let (plan, port) = (plan("engine"), free_port());
    let ranks = start_ranks(&sandbox, &plan, 3, &[], |rank, command| {
        as_nodes(rank, 3, port, command);
        command.env("TRAINLOOP_TOKEN", TOKEN);
    });
    finished(&sandbox, &plan, ranks).assert_is(&whole(&sandbox), &[1]);
}

/// One rank fails in this step; the engine starts all ranks again, and they go on from the latest checkpoint.
#[track_caller]
fn starts_again_after(rank: usize, step: u64, act: Act, words: &[&str]) {
    let sandbox = Sandbox::new();
    let (plan, faults) = (plan("engine"), [fault(rank, Moment::Step(step), act)]);
    let start = || {
        start_ranks(&sandbox, &plan, 3, &faults, |_, command| {
            command.env("MASTER_ADDR", "localhost").env("MASTER_PORT", "29500");
        })
    };
    assert_all_fail(&sandbox, start(), words);
    finished(&sandbox, &plan, start()).assert_is(&whole(&sandbox), &[1, plan.saved_before(step) + 1]);
}

#[test]
fn a_killed_rank_ends_all_and_a_new_start_goes_on() {
    starts_again_after(2, 4, Act::KillWorker, &["rank 2"]);
}

#[test]
fn the_drivers_own_rank_is_one_like_the_others() {
    starts_again_after(0, 4, Act::KillWorker, &["rank 0", "signal 9"]);
}

#[test]
fn an_error_of_a_rank_is_the_error_of_the_run() {
    let error = Act::Error("the tokenizer is missing".to_owned());
    starts_again_after(1, 6, error, &["rank 1", "the tokenizer is missing"]);
}

#[test]
fn without_their_driver_ranks_end() {
    let sandbox = Sandbox::new();
    let plan = plan("engine");
    let mut ranks = start_ranks(&sandbox, &plan, 3, &[fault(1, Moment::Step(3), Act::Pause)], |_, command| {
        command.env("MASTER_ADDR", "localhost").env("MASTER_PORT", "29500");
    });
    await_that("rank 1 waits", || sandbox.path().join("paused-1").exists());
    ranks[0].signal(Signal::KILL);
    let ended = ends(std::mem::take(&mut ranks));
    assert_eq!(ended[0].code, None);
    for ended in &ended[1..] {
        assert!(ended.code != Some(0), "{ended:#?}");
    }
    sandbox.await_no_process();
}

#[test]
fn a_signal_to_all_ranks_saves_and_stops() {
    let sandbox = Sandbox::new();
    let plan = plan("engine");
    let start = || {
        start_ranks(&sandbox, &plan, 3, &[fault(0, Moment::Step(5), Act::Pause)], |_, command| {
            command.env("MASTER_ADDR", "localhost").env("MASTER_PORT", "29500");
        })
    };
    let ranks = start();
    await_that("rank 0 waits", || sandbox.path().join("paused-0").exists());
    for rank in &ranks {
        rank.signal(Signal::TERM);
    }
    std::fs::write(sandbox.path().join("go"), "").unwrap();
    let ended = ends(ranks);
    assert_eq!(ended[0].code, Some(143), "{ended:#?}");
    sandbox.await_no_process();
    finished(&sandbox, &plan, start()).assert_ends_as(&whole(&sandbox));
}

#[test]
fn the_number_of_ranks_counts_and_another_is_told() {
    let sandbox = Sandbox::new();
    let plan = Plan { workers: 2, ..plan("engine") };
    let ended = ends(start_plain(&sandbox, &plan, 3, |_, _| {}));
    assert_eq!(ended[0].code, Some(0), "{ended:#?}");
    assert!(ended[0].stderr.contains("has started 3 ranks, and 2 workers were asked for"), "{ended:#?}");
    assert_eq!(plan.trace(&sandbox, 2).len() as u64, 1 + self::plan("three").steps());
}

#[test]
fn a_loop_in_this_process_is_refused() {
    let sandbox = Sandbox::new();
    let plan = Plan { workers: 0, ..plan("engine") };
    let mut ranks = start_plain(&sandbox, &plan, 2, |_, _| {});
    let driver = ranks.remove(0).end();
    assert_eq!(driver.code, Some(1), "{driver:#?}");
    assert!(driver.stderr.contains("has started 2 ranks") && driver.stderr.contains("workers(0)"), "{driver:#?}");
    // As an engine does where one of its ranks has failed. Before it knows the driver, a rank is ended by this like any process.
    let other = ranks.remove(0);
    other.signal(Signal::TERM);
    assert!(other.end().code != Some(0));
    sandbox.await_no_process();
}

#[test]
fn a_rank_with_another_token_is_refused() {
    let sandbox = Sandbox::new();
    let (plan, port) = (Plan { workers: 2, ..plan("engine") }, free_port());
    let mut ranks = start_ranks(&sandbox, &plan, 2, &[], |rank, command| {
        as_nodes(rank, 2, port, command);
        command.env("TRAINLOOP_TOKEN", if rank == 0 { TOKEN } else { "another token of many bytes" });
    });
    let refused = ranks.pop().unwrap().end();
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(refused.stderr.contains("does not know this run's token"), "{refused:#?}");
    assert!(!refused.stderr.contains("another token of many bytes"), "{refused:#?}");
    // As an engine does where one of its ranks has failed.
    let driver = ranks.pop().unwrap();
    driver.signal(Signal::TERM);
    assert!(driver.end().code != Some(0));
    sandbox.await_no_process();
}

#[test]
fn over_nodes_a_token_is_asked_for() {
    let sandbox = Sandbox::new();
    let (plan, port) = (Plan { workers: 2, ..plan("engine") }, free_port());
    let ranks = start_ranks(&sandbox, &plan, 2, &[], |rank, command| as_nodes(rank, 2, port, command));
    assert_all_fail(&sandbox, ranks, &["TRAINLOOP_TOKEN_FILE"]);
}

#[test]
fn a_rank_of_another_binary_is_refused() {
    let sandbox = Sandbox::new();
    let plan = Plan { workers: 2, ..plan("engine") };
    let other = sandbox.path().join("other");
    std::fs::copy(env!("CARGO_BIN_EXE_resume"), &other).unwrap();
    // Any byte more is another build.
    std::io::Write::write_all(&mut std::fs::File::options().append(true).open(&other).unwrap(), b"x").unwrap();
    let libtorch = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.libtorch/lib");
    let ranks: Vec<_> = (0..2)
        .map(|number| {
            let own = rank(&sandbox, &plan, &[]);
            let mut command = if number == 0 { own } else { executing(&other, &own) };
            command.env("LD_LIBRARY_PATH", &libtorch).envs([("MASTER_ADDR", "localhost"), ("MASTER_PORT", "29500")]);
            command.env("RANK", number.to_string()).env("WORLD_SIZE", "2");
            Running::start(command)
        })
        .collect();
    assert_all_fail(&sandbox, ranks, &["rank 1", "another binary than the driver"]);
}

/// The command with another program.
fn executing(program: &Path, command: &Command) -> Command {
    let mut other = Command::new(program);
    other.args(command.get_args()).envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    other.env_remove("XDG_RUNTIME_DIR").current_dir(command.get_current_dir().unwrap());
    other
}

#[test]
fn variables_that_contradict_each_other_are_named() {
    let sandbox = Sandbox::new();
    let mut command = rank(&sandbox, &plan("engine"), &[]);
    command.envs([("RANK", "5"), ("WORLD_SIZE", "3"), ("MASTER_ADDR", "localhost"), ("MASTER_PORT", "29500")]);
    let ended = Running::start(command).end();
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert!(ended.stderr.contains("RANK is 5 and WORLD_SIZE is 3"), "{ended:#?}");
    assert!(!sandbox.storage().exists(), "nothing has begun");
}

#[test]
fn a_process_that_is_no_rank_says_so() {
    let sandbox = Sandbox::new();
    let plan = plan("engine");
    let mut command = rank(&sandbox, &plan, &[]);
    command.envs([("RANK", "1"), ("WORLD_SIZE", "3"), ("TRAINLOOP_LAUNCHER", "none")]);
    plan.finished(&sandbox, Running::start(command).end()).assert_ends_as(&whole(&sandbox));
}

/// The heartbeat's timeout in [`start_with_a_late_store`].
const SILENCE: Duration = Duration::from_millis(2500);

/// The driver, and another rank that waits for rank 0 to serve the store; the process of rank 0 is stopped.
fn start_with_a_late_store(sandbox: &Sandbox) -> (Running, Running, i32) {
    let port = free_port();
    let acts = vec![scenario::Act::Report(1), scenario::Act::Barrier];
    let start = |number: usize| {
        let change = |scenario: &mut Scenario| {
            scenario.heartbeat = Some((50, SILENCE.as_millis() as u64));
            scenario.verbosity = Some(Verbosity::Verbose);
        };
        let mut command = sandbox.scenario_command("run", &[acts.clone(), acts.clone()], change);
        as_nodes(number, 2, port, &mut command);
        command.envs([("RANK", number.to_string()), ("WORLD_SIZE", "2".to_owned())]).env("TRAINLOOP_TOKEN", TOKEN);
        Running::start(command)
    };
    let mut driver = start(0);
    await_that("rank 0's process is there", || sandbox.invitation(0).is_some());
    let rank_0 = sandbox.pid_of_rank(0);
    kill(rank_0, Signal::STOP);
    let other = start(1);
    driver.await_lines(&["rank 1 is here, and waits for rank 0"]);
    (driver, other, rank_0)
}

/// A rank that can do nothing before rank 0 serves the store is not silent, however long that takes.
#[test]
fn ranks_wait_for_a_store_that_is_served_late() {
    let sandbox = Sandbox::new();
    let (driver, other, rank_0) = start_with_a_late_store(&sandbox);
    std::thread::sleep(SILENCE + Duration::from_secs(1));
    kill(rank_0, Signal::CONT);
    for ended in ends(vec![driver, other]) {
        assert_eq!(ended.code, Some(0), "{ended:#?}");
    }
    sandbox.await_no_process();
}

#[test]
fn a_rank_that_ends_while_it_waits_for_the_store_is_told() {
    let sandbox = Sandbox::new();
    let (driver, other, _) = start_with_a_late_store(&sandbox);
    other.signal(Signal::KILL);
    let ended = driver.end();
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert!(ended.stderr.contains("rank 1 was cut off"), "{ended:#?}");
    drop(other);
    sandbox.await_no_process();
}
