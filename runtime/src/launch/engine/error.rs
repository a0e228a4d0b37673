//! Why a placement cannot be told.

use super::{Engine, Placement};
use crate::error::Error;

/// Variables of an engine that are missing or make no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlacementError {
    #[error("{variable} is not set, and this process is to be a rank of {engine}; {}", mend(*.engine))]
    Missing { engine: Engine, variable: &'static str },
    #[error("{variable} is {value:?}, and {engine} sets it to {expected}; {}", mend(*.engine))]
    Unreadable { engine: Engine, variable: &'static str, value: String, expected: &'static str },
    #[error("{left} is {left_value} and {right} is {right_value}, and {rule}: these are no variables of {engine}; {}", mend(*.engine))]
    Contradiction {
        engine: Engine,
        left: &'static str,
        left_value: usize,
        right: &'static str,
        right_value: usize,
        rule: &'static str,
    },
    #[error(
        "{engine} has started ranks on several nodes, and does not say how rank 0 is reached: set {variable} for all ranks ({how})"
    )]
    Nowhere { engine: Engine, variable: &'static str, how: &'static str },
    #[error(
        "the processes of one {engine} node cannot be told from those of another: none of the processes above this one is \
         hydra_pmi_proxy; start the binary by mpiexec itself, not over ssh or from a container of its own"
    )]
    NoProxy { engine: Engine },
    #[error(
        "{}=mpi, and neither OMPI_COMM_WORLD_SIZE (Open MPI) nor PMI_SIZE with MPI_LOCALNRANKS (MPICH) is set; start the \
         binary with mpirun, or unset {}",
        Placement::LAUNCHER,
        Placement::LAUNCHER
    )]
    NoMpi,
    #[error("{} is {value:?}, and can be torchrun, slurm, mpi, env or none", Placement::LAUNCHER)]
    UnknownLauncher { value: String },
}

/// How ranks of this engine are started.
fn mend(engine: Engine) -> String {
    let start = match engine {
        Engine::Torchrun => "start the binary with `torchrun --no-python`",
        Engine::Slurm => "start the binary with `srun` inside the job",
        Engine::OpenMpi => "start the binary with Open MPI's `mpirun`",
        Engine::Mpich => "start the binary with MPICH's `mpiexec`",
        Engine::Plain => {
            "set RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT for every process, and LOCAL_RANK and LOCAL_WORLD_SIZE where a \
             node has several"
        }
    };
    format!(
        "{start}, or set {}=none for a process that is to start its workers itself; see docs/clusters.md",
        Placement::LAUNCHER
    )
}

impl From<PlacementError> for Error {
    fn from(error: PlacementError) -> Self {
        Self::config(error.to_string())
    }
}
