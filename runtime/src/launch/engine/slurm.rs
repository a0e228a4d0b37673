//! Slurm: the tasks of a step that `srun` has started.
//!
//! The shell of `salloc` and the script of `sbatch` are no tasks of such a step, though Slurm's variables are in them.

use super::hostlist::{first_host, tasks_of_node};
use super::variables::{Number, Variables};
use super::{Engine, Meeting, Node, Placement, PlacementError, Ranks, port_of};

/// Steps that are not `srun`'s have numbers from here on: a script, an interactive shell, what a login adopts.
const RESERVED_STEPS: u32 = 0xffff_fff0;

/// Whether this process is one of several tasks of a step.
pub(super) fn in_a_step(env: &dyn Fn(&str) -> Option<String>) -> bool {
    let several = |name: &str| env(name).map(|tasks| tasks != "1");
    is_step(env("SLURM_STEP_ID").as_deref())
        && several("SLURM_STEP_NUM_TASKS").or_else(|| several("SLURM_NTASKS")).unwrap_or(false)
}

fn is_step(id: Option<&str>) -> bool {
    id.is_some_and(|id| id.parse().map_or(true, |id: u32| id < RESERVED_STEPS))
}

pub(super) fn placement(variables: &Variables<'_>) -> Result<Placement, PlacementError> {
    let engine = Engine::Slurm;
    let step = variables.need("SLURM_STEP_ID")?;
    if !is_step(Some(&step)) {
        return Err(variables.unreadable("SLURM_STEP_ID", step, "a step's number in what `srun` starts"));
    }
    let node = variables.number("SLURM_NODEID")?;
    let nodes = variables.number(variables.either("SLURM_STEP_NUM_NODES", "SLURM_NNODES"))?;
    node.below(&nodes, engine)?;
    let ranks = Ranks {
        rank: variables.number("SLURM_PROCID")?,
        world: variables.number(variables.either("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"))?,
        local_rank: variables.number("SLURM_LOCALID")?,
        local_world: local_world(variables, node.value)?,
    }
    .checked(engine)?;
    let restart = variables.restarts("SLURM_RESTART_COUNT")?;
    let start = format!("slurm-{}-{step}-{restart}", variables.need("SLURM_JOB_ID")?);
    let meeting = if nodes.value == 1 {
        Meeting::OneNode { key: start }
    } else {
        let port = variables.own_port()?.unwrap_or_else(|| port_of(&start));
        Meeting::Nodes { host: host(variables)?, port }
    };
    Ok(ranks.placement(engine, Some(Node { rank: node.value, count: nodes.value }), meeting, restart))
}

fn local_world(variables: &Variables<'_>, node: usize) -> Result<Number, PlacementError> {
    let name = variables.either("SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE");
    let tasks = variables.need(name)?;
    match tasks_of_node(&tasks, node) {
        Some(value) => Ok(Number { name, value }),
        None => Err(variables.unreadable(name, tasks, "each node's number of tasks, such as 2(x3),1")),
    }
}

/// The first node of the step: `srun` puts rank 0 there, unless it is told another distribution.
fn host(variables: &Variables<'_>) -> Result<String, PlacementError> {
    if let Some(host) = variables.host() {
        return Ok(host);
    }
    let name = variables.either("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST");
    let nodes = variables.need(name)?;
    first_host(&nodes).ok_or_else(|| variables.unreadable(name, nodes, "a list of nodes, such as node[01-03,7]"))
}
