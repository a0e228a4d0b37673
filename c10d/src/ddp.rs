//! Gradients averaged over ranks while the backward pass goes on.

use cxx::UniquePtr;
use tch::Tensor;

use crate::bridge::ffi;
use crate::error::{During, Error, Result};
use crate::process_group::{ProcessGroup, ReduceOp};
use crate::{aten, tensors};

/// How parameters and buffers are broadcast at the start: in pieces of this many bytes, as PyTorch does.
const BROADCAST_BYTES: usize = 250 * 1024 * 1024;

/// The options of [`DistributedDataParallel`], with PyTorch's defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DdpOptions {
    /// The size of the first bucket, in bytes: small, so that the first all-reduce begins early.
    pub first_bucket_bytes: usize,
    /// The size of the other buckets, in bytes.
    pub bucket_bytes: usize,
    /// Allow parameters that a forward pass does not use; costs a walk of the graph at every step.
    pub find_unused_parameters: bool,
    /// Let gradients be views of the buckets: saves a copy of all gradients.
    pub gradient_as_bucket_view: bool,
    /// Broadcast rank 0's buffers (such as running means) before every forward pass.
    pub broadcast_buffers: bool,
}

impl Default for DdpOptions {
    fn default() -> Self {
        Self {
            first_bucket_bytes: 1024 * 1024,
            bucket_bytes: 25 * 1024 * 1024,
            find_unused_parameters: false,
            gradient_as_bucket_view: false,
            broadcast_buffers: true,
        }
    }
}

/// Averages gradients over the ranks of a group during the backward pass, in buckets, by libtorch's own `Reducer`.
/// See `torch.nn.parallel.DistributedDataParallel` and Li et al., *PyTorch Distributed: Experiences on Accelerating
/// Data Parallel Training*, VLDB 2020.
///
/// Around each forward pass: [`before_forward`](Self::before_forward), the pass, [`after_forward`](Self::after_forward);
/// then `backward` fills the gradients with their mean over ranks. A failed all-reduce is an error of
/// `Tensor::f_backward` (tch's `backward` panics on it).
pub struct DistributedDataParallel {
    // Declared before the tensors and the group: the reducer takes its hooks off the parameters first.
    reducer: UniquePtr<ffi::Reducer>,
    buffers: Vec<Tensor>,
    names: Vec<String>,
    group: std::rc::Rc<ProcessGroup>,
    options: DdpOptions,
}

impl std::fmt::Debug for DistributedDataParallel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DistributedDataParallel")
            .field("group", &self.group)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl DistributedDataParallel {
    /// Makes all ranks' parameters and buffers equal to rank 0's and hooks on to the parameters' gradients.
    ///
    /// `parameters` are the trainable ones with their names, in the same order on every rank.
    ///
    /// # Errors
    /// [`Error::Argument`] where there is no parameter or a bucket has no size, and on every rank where the ranks' parameters
    /// or buffers differ in number, name, shape, strides or dtype; the errors of a broadcast.
    pub fn new(
        group: std::rc::Rc<ProcessGroup>,
        parameters: &[(String, Tensor)],
        buffers: Vec<Tensor>,
        options: DdpOptions,
    ) -> Result<Self> {
        const OPERATION: &str = "DistributedDataParallel::new";
        if parameters.is_empty() {
            return Err(Error::argument(
                OPERATION,
                "the model has no trainable parameter, so there is no gradient to average",
            ));
        }
        if options.first_bucket_bytes == 0 || options.bucket_bytes == 0 {
            return Err(Error::argument(OPERATION, "a bucket of 0 bytes holds no gradient; give it a size"));
        }
        // Gradients become ready about in the reverse of the order in which parameters are used, and so do the buckets.
        let tensors = tensors::list(parameters.iter().rev().map(|(_, tensor)| tensor));
        let names: Vec<String> = parameters.iter().rev().map(|(name, _)| name.clone()).collect();

        same_model(&group, parameters, &buffers, OPERATION)?;
        let detached: Vec<Tensor> = parameters.iter().map(|(_, tensor)| tensor.detach()).collect();
        let all = tensors::list(detached.iter().chain(&buffers));
        ffi::broadcast_coalesced(group.bridge(), &all, BROADCAST_BYTES, 0).during(OPERATION)?;

        let reducer = ffi::new_reducer(
            group.bridge(),
            &tensors,
            &names,
            options.first_bucket_bytes,
            options.bucket_bytes,
            options.find_unused_parameters,
            options.gradient_as_bucket_view,
        )
        .during(OPERATION)?;
        Ok(Self { reducer, buffers, names, group, options })
    }

    /// Before a forward pass. Where gradients are off (`tch::no_grad`) nothing is prepared, as in PyTorch.
    ///
    /// # Errors
    /// [`Error::Torch`] where the pass before was never finished because a parameter had no gradient, with its name; the
    /// errors of a broadcast.
    pub fn before_forward(&self) -> Result<()> {
        const OPERATION: &str = "DistributedDataParallel forward";
        if !aten::is_grad_enabled() {
            return Ok(());
        }
        // The buckets stay as they are; this call says whether the pass before was finished.
        self.reducer.rebuild_buckets().during(OPERATION).map_err(|error| self.name_unused(error))?;
        self.reducer.prepare_for_forward().during(OPERATION)?;
        if self.options.broadcast_buffers && !self.buffers.is_empty() {
            let buffers = tensors::list(&self.buffers);
            ffi::broadcast_coalesced(self.group.bridge(), &buffers, BROADCAST_BYTES, 0).during(OPERATION)?;
        }
        Ok(())
    }

    /// After a forward pass, with its outputs: what they do not depend on is unused.
    ///
    /// # Errors
    /// [`Error::Torch`] where libtorch refuses.
    pub fn after_forward<'a>(&self, outputs: impl IntoIterator<Item = &'a Tensor>) -> Result<()> {
        if !aten::is_grad_enabled() {
            return Ok(());
        }
        let outputs = if self.options.find_unused_parameters {
            tensors::list(outputs)
        } else {
            // Without outputs libtorch walks no graph.
            tensors::list([])
        };
        self.reducer.prepare_for_backward(&outputs).during("DistributedDataParallel backward")
    }

    /// libtorch knows unused parameters by number, and speaks of Python.
    fn name_unused(&self, error: Error) -> Error {
        const SHOWN: usize = 8;
        let Error::Torch { operation, message } = &error else { return error };
        let Some((_, rest)) = message.split_once("did not receive grad for rank ") else { return error };
        let line = rest.lines().next().unwrap_or_default();
        let numbers = line.split_once(':').map_or("", |(_, numbers)| numbers).split_whitespace();
        let mut unused: Vec<&String> =
            numbers.filter_map(|number| self.names.get(number.parse::<usize>().ok()?)).collect();
        // As the model has them: the reducer counts from the last.
        unused.reverse();
        if unused.is_empty() {
            return error;
        }
        let shown: Vec<String> = unused.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
        let more = if unused.len() > SHOWN { format!(" and {} more", unused.len() - SHOWN) } else { String::new() };
        let message = format!(
            "the pass before was never finished: {}{more} had no part in its loss, and so no gradient; let every \
             parameter take part, or set `DdpOptions::find_unused_parameters`",
            shown.join(", ")
        );
        Error::Torch { operation, message }
    }

    /// How many buckets the gradients lie in.
    ///
    /// # Errors
    /// [`Error::Torch`] where libtorch refuses.
    pub fn bucket_count(&self) -> Result<usize> {
        self.reducer.bucket_count().during("DistributedDataParallel::bucket_count")
    }
}

/// Makes sure that all ranks have the model of rank 0 before anything is broadcast: Gloo ends the process of a rank that is
/// sent more than it expects. Every rank gets an error, and the one that differs says in what.
fn same_model(
    group: &ProcessGroup,
    parameters: &[(String, Tensor)],
    buffers: &[Tensor],
    operation: &'static str,
) -> Result<()> {
    if group.world_size() == 1 {
        return Ok(());
    }
    let mut lines: Vec<String> =
        parameters.iter().map(|(name, tensor)| format!("parameter `{name}` of {}", layout(tensor))).collect();
    lines.extend(buffers.iter().enumerate().map(|(index, tensor)| format!("buffer {index} of {}", layout(tensor))));
    let own = lines.join("\n");

    // Where the backend expects tensors.
    let device = parameters.first().map_or(tch::Device::Cpu, |(_, tensor)| tensor.device());
    let mut length = Tensor::from_slice(&[own.len() as i64]).f_to_device(device).during(operation)?;
    group.broadcast(&mut length, 0)?;
    let mut text = if group.rank() == 0 {
        Tensor::from_slice(own.as_bytes()).f_to_device(device).during(operation)?
    } else {
        let length = i64::try_from(&length).during(operation)?;
        Tensor::f_zeros([length], (tch::Kind::Uint8, device)).during(operation)?
    };
    group.broadcast(&mut text, 0)?;
    let theirs = Vec::<u8>::try_from(&text).during(operation)?;
    let theirs = String::from_utf8_lossy(&theirs);

    let differs = theirs != own;
    let rank = if differs { group.rank() } else { group.world_size() };
    let mut first = Tensor::from_slice(&[rank as i64]).f_to_device(device).during(operation)?;
    group.all_reduce(&mut first, ReduceOp::Min)?;
    let first = i64::try_from(&first).during(operation)?;
    if first == group.world_size() as i64 {
        return Ok(());
    }
    if !differs {
        let message = format!("the model of rank {first} differs from rank 0's; its own error says in what");
        return Err(Error::argument(operation, message));
    }
    let mut theirs = theirs.lines();
    let mut own = own.lines();
    let (own, theirs) = std::iter::from_fn(|| match (own.next(), theirs.next()) {
        (None, None) => None,
        pair => Some(pair),
    })
    .find(|(own, theirs)| own != theirs)
    .map_or(("other things", "these"), |(own, theirs)| (own.unwrap_or("nothing"), theirs.unwrap_or("nothing")));
    let message = format!(
        "the model of rank {} differs from rank 0's: it has {own} where rank 0 has {theirs}; build the same model on \
         every rank",
        group.rank()
    );
    Err(Error::argument(operation, message))
}

fn layout(tensor: &Tensor) -> String {
    format!("{:?} {:?} with strides {:?}", tensor.kind(), tensor.size(), tensor.stride())
}
