//! Placements from whole environments.
//!
//! `recorded/*.env` were recorded from ranks that the engine of that name started: torchrun of PyTorch 2.13, Open MPI 4.1.4,
//! MPICH 4.0.2, Slurm 22.05.8; hosts have other names in them. Each paragraph is one rank. Not recorded are `kubeflow.env`, from the source
//! of Kubeflow's training operator, and `slurm-nodes.env`, from Slurm's documentation.

use super::*;

type Env = Vec<(String, String)>;

/// The environment of each rank in a file.
fn ranks(text: &str) -> Vec<Env> {
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
    text.trim().split("\n\n").map(|rank| rank.lines().map(pair).collect()).collect()
}

fn with(env: &Env, changes: &[(&str, &str)]) -> Env {
    let mut env = env.clone();
    for (name, value) in changes {
        env.retain(|(other, _)| other != name);
        env.push(((*name).to_owned(), (*value).to_owned()));
    }
    env
}

fn without(env: &Env, name: &str) -> Env {
    env.iter().filter(|(other, _)| other != name).cloned().collect()
}

fn detect(env: &Env) -> Result<Option<Placement>, PlacementError> {
    let get = |name: &str| env.iter().find_map(|(other, value)| (other == name).then(|| value.clone()));
    Placement::detect(get, || Some("4242-17".to_owned()))
}

#[track_caller]
fn placed(env: &Env) -> Placement {
    detect(env).unwrap().expect("a placement")
}

/// The message of an environment that is refused.
#[track_caller]
fn refused(env: &Env) -> String {
    detect(env).unwrap_err().to_string()
}

fn one_node(key: &str) -> Meeting {
    Meeting::OneNode { key: key.to_owned() }
}

fn nodes(host: &str, port: u16) -> Meeting {
    Meeting::Nodes { host: host.to_owned(), port }
}

/// Rank, local rank, local world size, and the node.
type Place = (usize, usize, usize, Option<(usize, usize)>);

#[track_caller]
fn assert_places(file: &str, engine: Engine, places: &[Place], meeting: &Meeting) {
    let ranks = ranks(file);
    assert_eq!(ranks.len(), places.len());
    for (env, place) in ranks.iter().zip(places) {
        let found = placed(env);
        let node = found.node.map(|node| (node.rank, node.count));
        assert_eq!((found.rank, found.local_rank, found.local_world_size, node), *place);
        assert_eq!(
            (found.engine, &found.meeting, found.world_size, found.restart),
            (engine, meeting, found.world_size, 0)
        );
    }
}

#[test]
fn every_rank_of_a_recorded_start_knows_its_place() {
    let on_one = |rank, world| (rank, rank, world, Some((0, 1)));
    assert_places(
        include_str!("recorded/torchrun-standalone.env"),
        Engine::Torchrun,
        &[on_one(0, 2), on_one(1, 2)],
        &one_node("torchrun-7cf1274f-7d29-4ab0-8798-df448e81f6de-0-33577"),
    );
    assert_places(
        include_str!("recorded/torchrun-nodes.env"),
        Engine::Torchrun,
        &[(0, 0, 2, Some((0, 2))), (1, 1, 2, Some((0, 2))), (2, 0, 1, Some((1, 2)))],
        &nodes("127.0.0.1", 29512),
    );
    assert_places(
        include_str!("recorded/torchrun-elastic.env"),
        Engine::Torchrun,
        &[(0, 0, 2, Some((0, 2))), (1, 1, 2, Some((0, 2))), (2, 0, 2, Some((1, 2))), (3, 1, 2, Some((1, 2)))],
        &nodes("127.0.0.1", 40114),
    );
    assert_places(
        include_str!("recorded/open-mpi.env"),
        Engine::OpenMpi,
        &[on_one(0, 3), on_one(1, 3), on_one(2, 3)],
        &one_node("openmpi-1046872065"),
    );
    assert_places(
        include_str!("recorded/mpich.env"),
        Engine::Mpich,
        &[on_one(0, 2), on_one(1, 2)],
        &one_node("mpich-4242-17"),
    );
    assert_places(
        include_str!("recorded/kubeflow.env"),
        Engine::Plain,
        &[(0, 0, 1, None), (2, 0, 1, None)],
        &nodes("digits-master-0", 23456),
    );
    assert_places(
        include_str!("recorded/slurm-srun.env"),
        Engine::Slurm,
        &[on_one(0, 3), on_one(1, 3), on_one(2, 3)],
        &one_node("slurm-2-0-0"),
    );
    // With Slurm's own PMI, and no Hydra above it.
    assert_places(
        include_str!("recorded/slurm-pmi2.env"),
        Engine::Slurm,
        &[on_one(0, 2), on_one(1, 2)],
        &one_node("slurm-5-0-0"),
    );
    assert_places(
        include_str!("recorded/slurm-nodes.env"),
        Engine::Slurm,
        &[(0, 0, 2, Some((0, 3))), (3, 1, 2, Some((1, 3))), (4, 0, 1, Some((2, 3)))],
        &nodes("gpu07", port_of("slurm-1701-0-0")),
    );
}

fn open_mpi() -> Env {
    ranks(include_str!("recorded/open-mpi.env")).remove(1)
}

fn mpich() -> Env {
    ranks(include_str!("recorded/mpich.env")).remove(1)
}

fn slurm() -> Env {
    ranks(include_str!("recorded/slurm-nodes.env")).remove(1)
}

fn plain() -> Env {
    ranks(include_str!("recorded/kubeflow.env")).remove(1)
}

/// What the agent sets, on the second of two nodes with two ranks each.
fn torchrun() -> Env {
    ranks(
        "RANK=3\nGROUP_RANK=1\nLOCAL_RANK=1\nLOCAL_WORLD_SIZE=2\nWORLD_SIZE=4\nGROUP_WORLD_SIZE=2\nMASTER_ADDR=node1\n\
         MASTER_PORT=29400\nTORCHELASTIC_RESTART_COUNT=2\nTORCHELASTIC_RUN_ID=job/7",
    )
    .remove(0)
}

#[test]
fn torchrun_over_nodes_keeps_off_the_agents_port() {
    let placement = placed(&torchrun());
    assert_eq!((placement.rank, placement.restart), (3, 2));
    assert_eq!(placement.node, Some(Node { rank: 1, count: 2 }));
    assert_eq!(placement.meeting, nodes("node1", 29401));
    assert_eq!(placed(&with(&torchrun(), &[("MASTER_PORT", "65535")])).meeting, nodes("node1", 65534));
    let named = with(&torchrun(), &[("TRAINLOOP_PORT", "7000"), ("TRAINLOOP_HOST", "10.1.0.1")]);
    assert_eq!(placed(&named).meeting, nodes("10.1.0.1", 7000));
}

#[test]
fn torchrun_on_one_node_meets_anew_after_a_restart() {
    let alone =
        with(&torchrun(), &[("WORLD_SIZE", "2"), ("RANK", "1"), ("GROUP_RANK", "0"), ("GROUP_WORLD_SIZE", "1")]);
    assert_eq!(placed(&alone).meeting, one_node("torchrun-job/7-2-29400"));
    let again = with(&alone, &[("TORCHELASTIC_RESTART_COUNT", "3")]);
    assert_eq!(placed(&again).meeting, one_node("torchrun-job/7-3-29400"));
}

#[test]
fn the_inner_engine_is_the_one() {
    let both = |outer: Env, inner: Env| placed(&[outer, inner].concat()).engine;
    assert_eq!(both(slurm(), torchrun()), Engine::Torchrun);
    assert_eq!(both(slurm(), open_mpi()), Engine::OpenMpi);
    assert_eq!(both(slurm(), mpich()), Engine::Mpich);
    assert_eq!(both(slurm(), plain()), Engine::Slurm);
    assert_eq!(both(open_mpi(), plain()), Engine::OpenMpi);
}

#[test]
fn the_launcher_variable_overrides() {
    let all = [slurm(), open_mpi(), plain(), torchrun()].concat();
    let chosen = |wish| detect(&with(&all, &[("TRAINLOOP_LAUNCHER", wish)])).unwrap().map(|placement| placement.engine);
    assert_eq!(chosen("torchrun"), Some(Engine::Torchrun));
    assert_eq!(chosen("slurm"), Some(Engine::Slurm));
    assert_eq!(chosen("mpi"), Some(Engine::OpenMpi));
    assert_eq!(chosen("env"), Some(Engine::Plain));
    assert_eq!(chosen("none"), None);
    let error = refused(&with(&all, &[("TRAINLOOP_LAUNCHER", "ray")]));
    assert_eq!(error, "TRAINLOOP_LAUNCHER is \"ray\", and can be torchrun, slurm, mpi, env or none");
    for (wish, missing) in [
        ("torchrun", "RANK is not set, and this process is to be a rank of torchrun"),
        ("slurm", "SLURM_STEP_ID is not set, and this process is to be a rank of Slurm"),
        ("mpi", "neither OMPI_COMM_WORLD_SIZE (Open MPI) nor PMI_SIZE"),
        ("env", "RANK is not set, and this process is to be a rank of the environment (env://)"),
    ] {
        let error = refused(&with(&Env::new(), &[("TRAINLOOP_LAUNCHER", wish)]));
        assert!(error.contains(missing) && error.contains("TRAINLOOP_LAUNCHER"), "{error}");
    }
}

#[test]
fn where_nobody_started_ranks_there_is_no_placement() {
    let none = |env: &Env| assert_eq!(detect(env).unwrap(), None);
    none(&Env::new());
    none(&with(&Env::new(), &[("RANK", "0"), ("MASTER_ADDR", "node1")]));
    none(&with(&plain(), &[("RANK", "")]));
    for shell in [include_str!("recorded/slurm-sbatch-shell.env"), include_str!("recorded/slurm-salloc-shell.env")] {
        none(&ranks(shell).remove(0));
    }
    // The shell of salloc, where Slurm is set up to run it on a node, in a step of a reserved number.
    none(&with(&slurm(), &[("SLURM_STEP_ID", "4294967290")]));
    none(&with(&slurm(), &[("SLURM_STEP_NUM_TASKS", "1"), ("SLURM_NTASKS", "5")]));
    // One rank alone.
    none(&with(&plain(), &[("RANK", "0"), ("WORLD_SIZE", "1")]));
    let one = [("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "1")];
    none(&with(&with(&torchrun(), &one), &[("GROUP_RANK", "0"), ("GROUP_WORLD_SIZE", "1")]));
}

#[test]
fn each_missing_variable_is_named() {
    let each = |env: &Env, names: &[&str]| {
        for name in names {
            let error = refused(&without(env, name));
            assert!(error.starts_with(&format!("{name} is not set")), "{error}");
        }
    };
    let names =
        ["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE", "MASTER_PORT"];
    each(&torchrun(), &names);
    each(&torchrun(), &["MASTER_ADDR"]);
    let names = ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"];
    each(&open_mpi(), &names);
    each(&without(&open_mpi(), "OMPI_MCA_ess_base_jobid"), &["PMIX_NAMESPACE"]);
    each(&mpich(), &["PMI_RANK", "MPI_LOCALRANKID"]);
    each(&slurm(), &["SLURM_JOB_ID", "SLURM_NODEID", "SLURM_PROCID", "SLURM_LOCALID"]);
    each(&without(&slurm(), "SLURM_NNODES"), &["SLURM_STEP_NUM_NODES"]);
    each(&without(&slurm(), "SLURM_JOB_NODELIST"), &["SLURM_STEP_NODELIST"]);
    each(&without(&slurm(), "SLURM_TASKS_PER_NODE"), &["SLURM_STEP_TASKS_PER_NODE"]);
    each(&plain(), &["MASTER_ADDR", "MASTER_PORT"]);
    each(&with(&plain(), &[("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "1")]), &["LOCAL_RANK", "LOCAL_WORLD_SIZE"]);
}

#[test]
fn what_makes_no_sense_is_named_with_its_value_and_what_to_do() {
    let error = refused(&with(&torchrun(), &[("RANK", "three")]));
    assert!(
        error.starts_with("RANK is \"three\", and torchrun sets it to a number; start the binary with `torchrun"),
        "{error}"
    );
    let error = refused(&with(&torchrun(), &[("RANK", "-1")]));
    assert!(error.starts_with("RANK is \"-1\""), "{error}");
    let error = refused(&with(&torchrun(), &[("RANK", "4")]));
    let message =
        "RANK is 4 and WORLD_SIZE is 4, and the first has to be below the second: these are no variables of torchrun";
    assert!(error.starts_with(message), "{error}");
    for (env, changes, message) in [
        (torchrun(), [("LOCAL_RANK", "2")], "LOCAL_RANK is 2 and LOCAL_WORLD_SIZE is 2"),
        (torchrun(), [("LOCAL_WORLD_SIZE", "5")], "LOCAL_WORLD_SIZE is 5 and WORLD_SIZE is 4"),
        (torchrun(), [("GROUP_RANK", "2")], "GROUP_RANK is 2 and GROUP_WORLD_SIZE is 2"),
        (torchrun(), [("MASTER_PORT", "0")], "MASTER_PORT is \"0\", and torchrun sets it to a port from 1 to 65535"),
        (torchrun(), [("TRAINLOOP_PORT", "70000")], "TRAINLOOP_PORT is \"70000\""),
        (torchrun(), [("TORCHELASTIC_RESTART_COUNT", "?")], "TORCHELASTIC_RESTART_COUNT is \"?\""),
        (slurm(), [("SLURM_NODEID", "3")], "SLURM_NODEID is 3 and SLURM_STEP_NUM_NODES is 3"),
        (slurm(), [("SLURM_STEP_TASKS_PER_NODE", "2(x")], "SLURM_STEP_TASKS_PER_NODE is \"2(x\""),
        (slurm(), [("SLURM_STEP_NODELIST", "gpu[")], "SLURM_STEP_NODELIST is \"gpu[\""),
        (open_mpi(), [("OMPI_COMM_WORLD_RANK", "3")], "OMPI_COMM_WORLD_RANK is 3 and OMPI_COMM_WORLD_SIZE is 3"),
        (mpich(), [("PMI_SIZE", "0")], "PMI_RANK is 1 and PMI_SIZE is 0"),
        (plain(), [("WORLD_SIZE", "2")], "RANK is 2 and WORLD_SIZE is 2"),
    ] {
        let error = refused(&with(&env, &changes));
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn mpi_over_nodes_asks_where_rank_0_is() {
    let spread = with(&open_mpi(), &[("OMPI_COMM_WORLD_LOCAL_SIZE", "2")]);
    let error = refused(&spread);
    assert!(error.contains("set TRAINLOOP_HOST for all ranks (mpirun -x TRAINLOOP_HOST=$(hostname)"), "{error}");
    let placement = placed(&with(&spread, &[("TRAINLOOP_HOST", "node1")]));
    assert_eq!((placement.node, placement.meeting), (None, nodes("node1", port_of("openmpi-1046872065"))));

    let spread = with(&mpich(), &[("PMI_SIZE", "4")]);
    assert!(refused(&spread).contains("set TRAINLOOP_HOST for all ranks (mpiexec"), "{}", refused(&spread));
    let named = with(&spread, &[("MASTER_ADDR", "node1")]);
    assert!(refused(&named).contains("set TRAINLOOP_PORT for all ranks"), "{}", refused(&named));
    assert_eq!(placed(&with(&named, &[("TRAINLOOP_PORT", "29400")])).meeting, nodes("node1", 29400));

    let get = |name: &str| mpich().into_iter().find_map(|(other, value)| (other == name).then_some(value));
    let error = Placement::detect(get, || None).unwrap_err().to_string();
    assert!(error.contains("hydra_pmi_proxy"), "{error}");
}

#[test]
fn slurm_on_one_node_meets_anew_in_each_step_and_requeue() {
    let one = [("SLURM_STEP_NUM_NODES", "1"), ("SLURM_NODEID", "0"), ("SLURM_STEP_TASKS_PER_NODE", "5")];
    let one = with(&slurm(), &one);
    assert_eq!(placed(&one).meeting, one_node("slurm-1701-0-0"));
    assert_eq!(placed(&with(&one, &[("SLURM_STEP_ID", "1")])).meeting, one_node("slurm-1701-1-0"));
    let requeued = placed(&with(&one, &[("SLURM_RESTART_COUNT", "2")]));
    assert_eq!((requeued.meeting, requeued.restart), (one_node("slurm-1701-0-2"), 2));
    // Named, the script's own port and host are taken.
    let named = with(&slurm(), &[("MASTER_ADDR", "10.0.0.9"), ("MASTER_PORT", "4000")]);
    assert_eq!(placed(&named).meeting, nodes("10.0.0.9", 4000));
}

#[test]
fn plain_variables_on_a_loopback_address_are_one_node() {
    for host in ["localhost", "127.0.0.1", "::1", "[::1]", "127.1.2.3"] {
        let placement = placed(&with(&plain(), &[("MASTER_ADDR", host)]));
        assert_eq!(placement.meeting, one_node("env-23456"), "{host}");
        assert_eq!((placement.local_rank, placement.local_world_size, placement.node), (2, 3, Some(Node::ONLY)));
    }
    let local = with(&plain(), &[("LOCAL_RANK", "2"), ("LOCAL_WORLD_SIZE", "3")]);
    assert_eq!(placed(&local).meeting, one_node("env-23456"));
}

#[test]
fn a_port_of_a_start_is_below_those_of_outgoing_connections() {
    // What FNV-1a's authors give for these texts.
    assert_eq!((stable_hash(""), stable_hash("a")), (0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c));
    for start in 0..10_000 {
        assert!((20_000..32_000).contains(&port_of(&start.to_string())));
    }
}
