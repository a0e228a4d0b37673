//! Plain variables: those of PyTorch's `env://`, which Kubeflow's `PyTorchJob`, Ray, and many a script set.

use super::variables::{Number, Variables};
use super::{Engine, Meeting, Node, Placement, PlacementError, Ranks, is_loopback};

pub(super) fn placement(variables: &Variables<'_>) -> Result<Placement, PlacementError> {
    let engine = Engine::Plain;
    let (rank, world) = (variables.number("RANK")?, variables.number("WORLD_SIZE")?);
    let host = variables.need_host()?;
    let loopback = is_loopback(&host);
    let named = |name: &str| variables.text(name).is_some();
    let (local_rank, local_world) = if named("LOCAL_RANK") || named("LOCAL_WORLD_SIZE") {
        (variables.number("LOCAL_RANK")?, variables.number("LOCAL_WORLD_SIZE")?)
    } else if loopback {
        (rank, world)
    } else {
        // As a PyTorchJob has it: one rank in each pod.
        (Number { name: "LOCAL_RANK", value: 0 }, Number { name: "LOCAL_WORLD_SIZE", value: 1 })
    };
    let ranks = Ranks { rank, world, local_rank, local_world }.checked(engine)?;
    let port = variables.own_port()?.ok_or(PlacementError::Missing { engine, variable: "MASTER_PORT" })?;
    let one_node = ranks.on_one_node();
    let meeting = if one_node || loopback {
        Meeting::OneNode { key: format!("env-{port}") }
    } else {
        Meeting::Nodes { host, port }
    };
    Ok(ranks.placement(engine, one_node.then_some(Node::ONLY), meeting, 0))
}
