//! Where an external engine has put this process: torchrun, Slurm, MPI, or whoever sets the plain variables of PyTorch.
//!
//! Such an engine starts the binary once for each rank and says in environment variables which rank it is. Everything here is
//! a function of those variables; nothing is connected to.

mod error;
mod hostlist;
mod mpi;
mod plain;
mod proxy;
mod slurm;
mod torchrun;
mod variables;

use std::fmt;
use std::net::IpAddr;

pub(crate) use error::PlacementError;
use variables::{Number, Variables};

/// What started this process, once for each rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Torchrun,
    /// A step of `srun`.
    Slurm,
    OpenMpi,
    /// MPICH, and whatever else starts ranks with Hydra: Intel MPI, MVAPICH.
    Mpich,
    /// `RANK` and `WORLD_SIZE`, as PyTorch's `env://` and Kubeflow's `PyTorchJob` have them.
    Plain,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Torchrun => "torchrun",
            Self::Slurm => "Slurm",
            Self::OpenMpi => "Open MPI",
            Self::Mpich => "MPICH",
            Self::Plain => "the environment (env://)",
        })
    }
}

/// How the ranks of one start find rank 0's driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meeting {
    /// All are on one machine: by a file that is found by this key. It is the same in all ranks of one start and in no other
    /// start that runs at the same time.
    OneNode { key: String },
    /// Over TCP: rank 0 listens on this port, and the others reach it by this name or address.
    Nodes { host: String, port: u16 },
}

/// The node of a rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) rank: usize,
    /// How many there are.
    pub(crate) count: usize,
}

impl Node {
    const ONLY: Self = Self { rank: 0, count: 1 };
}

/// This process's place among the ranks that an engine has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placement {
    pub(crate) engine: Engine,
    pub(crate) rank: usize,
    pub(crate) world_size: usize,
    /// The rank among those of this node.
    pub(crate) local_rank: usize,
    /// How many ranks this node has.
    pub(crate) local_world_size: usize,
    /// `None` where the engine does not say.
    pub(crate) node: Option<Node>,
    pub(crate) meeting: Meeting,
    /// How often the engine has started the job again, as far as it says. Nodes of one torchrun may differ in it.
    pub(crate) restart: u32,
}

impl Placement {
    /// Overrides what is found: `torchrun`, `slurm`, `mpi`, `env`, or `none` for workers that `fit()` starts itself.
    pub(crate) const LAUNCHER: &str = "TRAINLOOP_LAUNCHER";
    /// The port on which rank 0 listens, where there are several nodes.
    pub(crate) const PORT: &str = "TRAINLOOP_PORT";
    /// The name or address by which the other nodes reach rank 0's.
    pub(crate) const HOST: &str = "TRAINLOOP_HOST";

    /// That of this process; `None` where no engine has started it, or has started it alone.
    pub(crate) fn of_this_process() -> Result<Option<Self>, PlacementError> {
        let env = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        Self::detect(env, proxy::of_this_process)
    }

    /// The placement in an environment. `proxy` gives what the ranks that MPICH has started on this node have in common, which
    /// no variable says.
    pub(crate) fn detect(
        env: impl Fn(&str) -> Option<String>,
        proxy: impl Fn() -> Option<String>,
    ) -> Result<Option<Self>, PlacementError> {
        // A variable that is set to nothing is how some shells unset one.
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        let Some(engine) = which(&env)? else { return Ok(None) };
        let variables = Variables::new(&env, engine);
        let placement = match engine {
            Engine::Torchrun => torchrun::placement(&variables),
            Engine::Slurm => slurm::placement(&variables),
            Engine::OpenMpi => mpi::open_mpi(&variables),
            Engine::Mpich => mpi::mpich(&variables, proxy),
            Engine::Plain => plain::placement(&variables),
        };
        // A rank that is alone needs no one to meet: `fit()` starts its workers as it does without an engine.
        placement.map(|placement| Some(placement).filter(|placement| placement.world_size > 1))
    }
}

/// The engine that the environment tells of. What is started inside a step of Slurm by torchrun or `mpirun` is theirs.
fn which(env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Engine>, PlacementError> {
    let set = |name: &str| env(name).is_some();
    let mpi = || {
        if set("OMPI_COMM_WORLD_SIZE") {
            Some(Engine::OpenMpi)
        } else {
            // Slurm's own plugin for MPI sets PMI_SIZE too, and not the second one.
            (set("PMI_SIZE") && set("MPI_LOCALNRANKS")).then_some(Engine::Mpich)
        }
    };
    match env(Placement::LAUNCHER).as_deref() {
        None => {}
        Some("none") => return Ok(None),
        Some("torchrun") => return Ok(Some(Engine::Torchrun)),
        Some("slurm") => return Ok(Some(Engine::Slurm)),
        Some("mpi") => return mpi().map(Some).ok_or(PlacementError::NoMpi),
        Some("env") => return Ok(Some(Engine::Plain)),
        Some(other) => return Err(PlacementError::UnknownLauncher { value: other.to_owned() }),
    }
    Ok(if set("TORCHELASTIC_RUN_ID") {
        Some(Engine::Torchrun)
    } else if let Some(mpi) = mpi() {
        Some(mpi)
    } else if slurm::in_a_step(env) {
        Some(Engine::Slurm)
    } else {
        (set("RANK") && set("WORLD_SIZE")).then_some(Engine::Plain)
    })
}

/// The counts that every engine gives.
struct Ranks {
    rank: Number,
    world: Number,
    local_rank: Number,
    local_world: Number,
}

impl Ranks {
    fn checked(self, engine: Engine) -> Result<Self, PlacementError> {
        self.rank.below(&self.world, engine)?;
        self.local_rank.below(&self.local_world, engine)?;
        self.local_world.at_most(&self.world, engine)?;
        Ok(self)
    }

    fn placement(self, engine: Engine, node: Option<Node>, meeting: Meeting, restart: u32) -> Placement {
        Placement {
            engine,
            rank: self.rank.value,
            world_size: self.world.value,
            local_rank: self.local_rank.value,
            local_world_size: self.local_world.value,
            node,
            meeting,
            restart,
        }
    }

    /// Whether this node has all of them.
    fn on_one_node(&self) -> bool {
        self.local_world.value == self.world.value
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// A port for those who name none: the same for all ranks of one start, and below the ports that Linux gives to outgoing
/// connections (32768 and up).
fn port_of(start: &str) -> u16 {
    20_000 + (stable_hash(start) % 12_000) as u16
}

/// FNV-1a: the same in every process and every build, which the standard library's hash does not promise.
pub(super) fn stable_hash(text: &str) -> u64 {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests;
