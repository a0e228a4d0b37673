//! The program `resume` as the ranks that an engine starts.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod nodes;
pub(crate) mod slurm;

use std::ffi::OsStr;
use std::process::Command;

use trainloop_tests::fault::{Fault, JOB};

use crate::common::{Running, Sandbox};
use crate::resume::Plan;

/// The program with this plan, as a rank that some engine starts. Its meeting file is the sandbox's own.
pub(crate) fn rank(sandbox: &Sandbox, plan: &Plan, faults: &[Fault]) -> Command {
    let mut command = plan.command(sandbox, faults);
    command.env_remove("XDG_RUNTIME_DIR").env("TMPDIR", sandbox.path()).env(JOB, "job");
    command
}

/// The same program, started by another one, whose options these are: with this command's environment and folder.
pub(crate) fn under<O: AsRef<OsStr>>(engine: impl AsRef<OsStr>, options: &[O], command: &Command) -> Command {
    let mut under = Command::new(engine);
    under.args(options).arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        under.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => under.env(name, value),
            None => under.env_remove(name),
        };
    }
    under
}

/// One process for each rank, with the variables of PyTorch's `env://` on one machine.
pub(crate) fn start_plain(
    sandbox: &Sandbox,
    plan: &Plan,
    world_size: usize,
    change: impl Fn(usize, &mut Command),
) -> Vec<Running> {
    start_ranks(sandbox, plan, world_size, &[], |rank, command| {
        command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", "29500");
        change(rank, command);
    })
}

/// One process for each rank, with its rank and their number alone.
pub(crate) fn start_ranks(
    sandbox: &Sandbox,
    plan: &Plan,
    world_size: usize,
    faults: &[Fault],
    change: impl Fn(usize, &mut Command),
) -> Vec<Running> {
    let start = |number: usize| {
        let mut command = rank(sandbox, plan, faults);
        command.env("RANK", number.to_string()).env("WORLD_SIZE", world_size.to_string());
        change(number, &mut command);
        Running::start(command)
    };
    (0..world_size).map(start).collect()
}

/// The variables of torchrun's agent for one rank on each of `nodes` nodes, all of them on this machine: they meet over TCP.
pub(crate) fn as_nodes(number: usize, nodes: usize, port: u16, command: &mut Command) {
    command
        .envs([("TORCHELASTIC_RUN_ID", "job"), ("TORCHELASTIC_RESTART_COUNT", "0"), ("MASTER_ADDR", "127.0.0.1")])
        .envs([("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "1")])
        .env("GROUP_RANK", number.to_string())
        .env("GROUP_WORLD_SIZE", nodes.to_string())
        .env("MASTER_PORT", "29400")
        .env("TRAINLOOP_PORT", port.to_string());
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
