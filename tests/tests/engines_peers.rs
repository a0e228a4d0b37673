//! Ranks that engines start, live: torchrun from the Python of `TRAINLOOP_PEER_PYTHON` (`cargo xtask test --peers`), and Open
//! MPI, MPICH and Slurm where they are installed (Debian's `openmpi-bin`, `mpich`, `slurm-wlm`); what is not says so.

#![cfg(feature = "peers")]

mod common;
mod engines_common;
#[path = "resume_common/mod.rs"]
mod resume;

use std::process::Command;
use std::time::Duration;

use common::{DEADLINE, Ended, Running, Sandbox, await_that};
use engines_common::nodes::Nodes;
use engines_common::slurm::Slurm;
use engines_common::{rank, under};
use resume::{Finished, Plan, fault};
use trainloop_tests::fault::{Act, Fault, Moment};

/// torchrun's agents alone take half a minute to start on a loaded machine.
const LIMIT: Duration = DEADLINE.saturating_mul(5);

fn plan(name: &str) -> Plan {
    Plan { every: Some(2), ..Plan::new(name, 3) }
}

/// The same without an engine.
fn whole(sandbox: &Sandbox) -> Finished {
    plan("whole").finish(sandbox, &[])
}

/// `torchrun --no-python` with these options.
fn torchrun(options: &[&str], command: &Command) -> Command {
    let python = std::env::var_os("TRAINLOOP_PEER_PYTHON")
        .expect("TRAINLOOP_PEER_PYTHON names a Python with torch; `cargo xtask test --peers` sets it");
    under(python, &[&["-m", "torch.distributed.run", "--no-python"], options].concat(), command)
}

/// A command on one of the nodes, where all ranks know one token.
fn on_node(nodes: &Nodes, node: usize, command: &Command) -> Command {
    let mut command = under("ip", &nodes.on(node), command);
    command.env("TRAINLOOP_TOKEN", "a token of sixteen bytes or more");
    command
}

#[test]
fn torchrun_on_one_machine() {
    let sandbox = Sandbox::new();
    let plan = plan("engine");
    let start = torchrun(&["--standalone", "--nproc-per-node", "3"], &rank(&sandbox, &plan, &[]));
    plan.finished(&sandbox, Running::start(start).end_within(LIMIT)).assert_is(&whole(&sandbox), &[1]);
    sandbox.await_no_process();
}

#[test]
fn torchrun_starts_all_again_after_one_was_killed() {
    for killed in [0, 2] {
        let sandbox = Sandbox::new();
        let plan = plan("engine");
        let ranks = rank(&sandbox, &plan, &[fault(killed, Moment::Step(4), Act::KillWorker)]);
        let start = torchrun(&["--standalone", "--nproc-per-node", "3", "--max-restarts", "1"], &ranks);
        let ended = Running::start(start).end_within(LIMIT);
        plan.finished(&sandbox, ended).assert_is(&whole(&sandbox), &[1, 3]);
        sandbox.await_no_process();
    }
}

/// Of fixed nodes: `--node-rank` says which is which.
#[test]
fn torchrun_over_two_nodes() {
    let Some(nodes) = Nodes::lay() else { return };
    let sandbox = Sandbox::new();
    let plan = plan("engine");
    let start = |node: usize, ranks: &str| {
        let address = Nodes::address(0);
        let options = ["--nnodes", "2", "--node-rank", &node.to_string(), "--nproc-per-node", ranks];
        let options = [&options[..], &["--master-addr", &address, "--master-port", "29400"]].concat();
        Running::start(on_node(&nodes, node, &torchrun(&options, &rank(&sandbox, &plan, &[]))))
    };
    let (first, second) = (start(0, "2"), start(1, "1"));
    plan.finished(&sandbox, first.end_within(LIMIT)).assert_is(&whole(&sandbox), &[1]);
    let second = second.end_within(LIMIT);
    assert_eq!(second.code, Some(0), "{second:#?}");
    sandbox.await_no_process();
}

/// A node breaks down in the middle of an epoch; its agent is started on another machine in its place.
#[test]
fn torchrun_brings_a_job_back_that_lost_a_node() {
    let Some(nodes) = Nodes::lay() else { return };
    let sandbox = Sandbox::new();
    let plan = Plan { workers: 2, ..plan("engine") };
    let start = |node: usize| {
        let (endpoint, address) = (format!("{}:29400", Nodes::address(0)), Nodes::address(node));
        // Where the host of the meeting is cannot be told from names here; a node that is silent for 3 s is lost.
        let settings = format!("is_host={},keep_alive_interval=1,keep_alive_max_attempt=3", i32::from(node == 0));
        let options = ["--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", "3", "--monitor-interval", "0.1"];
        let meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", &endpoint, "--rdzv-id", "job"];
        let more = ["--rdzv-conf", &settings, "--local-addr", &address];
        let ranks = rank(&sandbox, &plan, &[fault(1, Moment::Step(5), Act::Pause)]);
        let mut agent = on_node(&nodes, node, &torchrun(&[&options[..], &meeting, &more].concat(), &ranks));
        // Otherwise an agent that joins later waits for a store's address which nobody sets again (PyTorch 2.13).
        agent.env("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1");
        Running::start(agent)
    };
    let (first, lost) = (start(0), start(1));
    await_that("rank 1 is in step 5", || sandbox.path().join("paused-1").exists());
    nodes.lose(1);
    drop(lost);
    let second = start(1);
    // Agents start slowly, and the job waits for the second one.
    let finished = plan.finished(&sandbox, first.end_within(LIMIT));
    let second = second.end_within(LIMIT);
    assert_eq!(second.code, Some(0), "{second:#?}");
    sandbox.await_no_process();
    finished.assert_is(&plan.named("whole").finish(&sandbox, &[]), &[1, 5]);
}

/// The first of these programs that is there and has these words in what it says of its version.
fn installed(programs: &[&'static str], words: &str, package: &str) -> Option<&'static str> {
    let says = |program: &&str| {
        let output = Command::new(program).arg("--version").output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(words))
    };
    let found = programs.iter().copied().find(says);
    if found.is_none() {
        println!("not tried: {} is not there; on Debian: apt-get install {package}", programs[0]);
    }
    found
}

fn open_mpi() -> Option<&'static str> {
    installed(&["mpirun.openmpi", "mpirun"], "open-mpi.org", "openmpi-bin")
}

const OPEN_MPI: [&str; 4] = ["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"];

#[test]
fn open_mpi_on_one_machine() {
    let Some(mpirun) = open_mpi() else { return };
    let sandbox = Sandbox::new();
    let plan = plan("engine");
    let start = |faults: &[Fault]| {
        let ranks = rank(&sandbox, &plan, faults);
        Running::start(under(mpirun, &[&OPEN_MPI[..], &["-n", "3"]].concat(), &ranks)).end_within(LIMIT)
    };
    let failed = start(&[fault(1, Moment::Step(4), Act::KillWorker)]);
    assert!(failed.code != Some(0) && failed.stderr.contains("rank 1"), "{failed:#?}");
    sandbox.await_no_process();
    plan.finished(&sandbox, start(&[])).assert_is(&whole(&sandbox), &[1, 3]);
    sandbox.await_no_process();
}

#[test]
fn open_mpi_over_two_nodes() {
    let Some((mpirun, nodes)) = open_mpi().zip(Nodes::lay()) else { return };
    let sandbox = Sandbox::new();
    let plan = plan("engine");
    // In place of ssh: its arguments are the host and the command.
    let shell = sandbox.path().join("shell");
    std::fs::write(&shell, format!("#!/bin/sh\nshift\nexec ip {} sh -c \"$*\"\n", nodes.on(1).join(" "))).unwrap();
    std::fs::set_permissions(&shell, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let (first, shell) = (Nodes::address(0), shell.display().to_string());
    let hosts = format!("{first}:2,{}:1", Nodes::address(1));
    let host = format!("TRAINLOOP_HOST={first}");
    let options = ["-n", "3", "--host", &hosts, "--mca", "plm_rsh_agent", &shell, "-x", &host, "-x", "TRAINLOOP_TOKEN"];
    let ranks = under(mpirun, &[&OPEN_MPI[..], &options].concat(), &rank(&sandbox, &plan, &[]));
    let ended = Running::start(on_node(&nodes, 0, &ranks)).end_within(LIMIT);
    plan.finished(&sandbox, ended).assert_is(&whole(&sandbox), &[1]);
    sandbox.await_no_process();
}

#[test]
fn mpich_on_one_machine() {
    let Some(mpiexec) = installed(&["mpiexec.hydra", "mpiexec.mpich", "mpiexec"], "HYDRA", "mpich") else { return };
    let sandbox = Sandbox::new();
    let plan = plan("engine");
    let start = |faults: &[Fault]| {
        Running::start(under(mpiexec, &["-n", "3"], &rank(&sandbox, &plan, faults))).end_within(LIMIT)
    };
    let failed = start(&[fault(1, Moment::Step(4), Act::KillWorker)]);
    assert!(failed.code != Some(0), "{failed:#?}");
    sandbox.await_no_process();
    plan.finished(&sandbox, start(&[])).assert_is(&whole(&sandbox), &[1, 3]);
    sandbox.await_no_process();
}

#[test]
fn slurm_on_one_machine() {
    let sandbox = Sandbox::new();
    let Some(slurm) = Slurm::start(&sandbox) else { return };
    let plan = plan("engine");
    let ranks = under("srun", &["-n", "3"], &rank(&sandbox, &plan, &[]));
    plan.finished(&sandbox, Running::start(slurm.knows(ranks)).end_within(LIMIT)).assert_is(&whole(&sandbox), &[1]);
}

/// A rank is killed, the script asks for its job again, and the second start goes on.
#[test]
fn slurm_brings_a_job_back() {
    let sandbox = Sandbox::new();
    let Some(slurm) = Slurm::start(&sandbox) else { return };
    let plan = plan("engine");
    let ranks = rank(&sandbox, &plan, &[fault(2, Moment::Step(4), Act::KillWorker)]);
    let script = sandbox.path().join("script");
    let plan_in_json = ranks.get_args().next().unwrap().to_str().unwrap();
    std::fs::write(
        &script,
        format!(
            "#!/bin/sh\nsrun --kill-on-bad-exit=1 {} '{plan_in_json}' > out-${{SLURM_RESTART_COUNT:-0}} 2>&1 && touch done || \
             scontrol requeue $SLURM_JOB_ID\n",
            ranks.get_program().display(),
        ),
    )
    .unwrap();
    let mut submit = Command::new("sbatch");
    submit.args(["--ntasks=3", "--requeue"]).arg(&script).current_dir(sandbox.path());
    submit.envs(ranks.get_envs().filter_map(|(name, value)| Some((name, value?)))).env_remove("XDG_RUNTIME_DIR");
    let submitted = Running::start(slurm.knows(submit)).end_within(LIMIT);
    assert_eq!(submitted.code, Some(0), "{submitted:#?}");
    await_that("the job has come to its end", || sandbox.path().join("done").exists());
    let said = |start: u32| std::fs::read_to_string(sandbox.path().join(format!("out-{start}"))).unwrap();
    assert!(said(0).contains("rank 2"), "{}", said(0));
    let ended = Ended { code: Some(0), stdout: said(1), stderr: String::new() };
    plan.finished(&sandbox, ended).assert_is(&whole(&sandbox), &[1, 3]);
}
