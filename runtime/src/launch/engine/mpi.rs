//! MPI: the variables that `mpirun` sets before a rank calls into MPI, which ours never does.
//!
//! Open MPI's are documented (`OMPI_COMM_WORLD_*`); Hydra's are PMI-1's, and two that libraries of the network read.

use super::variables::Variables;
use super::{Engine, Meeting, Node, Placement, PlacementError, Ranks, port_of};

pub(super) fn open_mpi(variables: &Variables<'_>) -> Result<Placement, PlacementError> {
    let ranks = Ranks {
        rank: variables.number("OMPI_COMM_WORLD_RANK")?,
        world: variables.number("OMPI_COMM_WORLD_SIZE")?,
        local_rank: variables.number("OMPI_COMM_WORLD_LOCAL_RANK")?,
        local_world: variables.number("OMPI_COMM_WORLD_LOCAL_SIZE")?,
    }
    .checked(Engine::OpenMpi)?;
    // The job's name, which is made of `mpirun`'s process and host.
    let job = match variables.text("PMIX_NAMESPACE").or_else(|| variables.text("OMPI_MCA_ess_base_jobid")) {
        Some(job) => format!("openmpi-{job}"),
        None => return Err(PlacementError::Missing { engine: Engine::OpenMpi, variable: "PMIX_NAMESPACE" }),
    };
    let (node, meeting) = if ranks.on_one_node() {
        (Some(Node::ONLY), Meeting::OneNode { key: job })
    } else {
        let port = variables.own_port()?.unwrap_or_else(|| port_of(&job));
        let how = "mpirun -x TRAINLOOP_HOST=$(hostname), where mpirun itself runs on rank 0's node";
        (None, Meeting::Nodes { host: host(variables, how)?, port })
    };
    Ok(ranks.placement(Engine::OpenMpi, node, meeting, 0))
}

pub(super) fn mpich(
    variables: &Variables<'_>,
    proxy: impl Fn() -> Option<String>,
) -> Result<Placement, PlacementError> {
    let engine = Engine::Mpich;
    let ranks = Ranks {
        rank: variables.number("PMI_RANK")?,
        world: variables.number("PMI_SIZE")?,
        local_rank: variables.number("MPI_LOCALRANKID")?,
        local_world: variables.number("MPI_LOCALNRANKS")?,
    }
    .checked(engine)?;
    let (node, meeting) = if ranks.on_one_node() {
        let proxy = proxy().ok_or(PlacementError::NoProxy { engine })?;
        (Some(Node::ONLY), Meeting::OneNode { key: format!("mpich-{proxy}") })
    } else {
        let host =
            host(variables, "mpiexec -genv TRAINLOOP_HOST $(hostname), where mpiexec itself runs on rank 0's node")?;
        let how = "mpiexec -genv TRAINLOOP_PORT 29400, with a port that is free there";
        let nowhere = PlacementError::Nowhere { engine, variable: Placement::PORT, how };
        (None, Meeting::Nodes { host, port: variables.own_port()?.ok_or(nowhere)? })
    };
    Ok(ranks.placement(engine, node, meeting, 0))
}

fn host(variables: &Variables<'_>, how: &'static str) -> Result<String, PlacementError> {
    let nowhere = PlacementError::Nowhere { engine: variables.engine(), variable: Placement::HOST, how };
    variables.host().ok_or(nowhere)
}
