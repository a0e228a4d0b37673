//! torchrun: `torch.distributed.run`, whose agent on each node starts that node's ranks.
//!
//! The variables are those of the agent's `_start_workers`; its documentation has them under "Environment Variables".

use super::variables::Variables;
use super::{Meeting, Node, Placement, PlacementError, Ranks};

pub(super) fn placement(variables: &Variables<'_>) -> Result<Placement, PlacementError> {
    let ranks = Ranks {
        rank: variables.number("RANK")?,
        world: variables.number("WORLD_SIZE")?,
        local_rank: variables.number("LOCAL_RANK")?,
        local_world: variables.number("LOCAL_WORLD_SIZE")?,
    }
    .checked(variables.engine())?;
    let (node, nodes) = (variables.number("GROUP_RANK")?, variables.number("GROUP_WORLD_SIZE")?);
    node.below(&nodes, variables.engine())?;
    let restart = variables.restarts("TORCHELASTIC_RESTART_COUNT")?;
    let run = variables.need("TORCHELASTIC_RUN_ID")?;
    let meeting = if ranks.on_one_node() {
        // The run's name is `none` unless one is given; the agent listens on the port, so no other run on this machine has it.
        Meeting::OneNode { key: format!("torchrun-{run}-{restart}-{}", variables.need("MASTER_PORT")?) }
    } else {
        // The agent's own store listens on MASTER_PORT.
        Meeting::Nodes { host: variables.need_host()?, port: variables.port_beside_master()? }
    };
    let node = Node { rank: node.value, count: nodes.value };
    Ok(ranks.placement(variables.engine(), Some(node), meeting, restart))
}
