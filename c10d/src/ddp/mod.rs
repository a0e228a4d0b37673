//! Gradients averaged over ranks while the backward pass goes on.

mod hook;
mod join;
mod same_model;
mod statistics;

use std::cell::Cell;

use cxx::UniquePtr;
use tch::Tensor;

use crate::bridge::ffi;
use crate::error::{During, Error, Result};
use crate::process_group::ProcessGroup;
use crate::{aten, tensors};

pub use hook::{Compression, GradBucket};
pub use join::JoinOptions;
pub use statistics::DdpStatistics;

pub(crate) use hook::{CommHook, run_comm_hook};
use same_model::same_model;

/// How parameters and buffers are broadcast at the start: in pieces of this many bytes, as PyTorch does.
const BROADCAST_BYTES: usize = 250 * 1024 * 1024;

/// The options of [`DistributedDataParallel`], with PyTorch's defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // PyTorch's switches, which do not depend on one another
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
    /// Every pass uses the same parameters, in the same order, as the first: then unused ones cost no walk of the graph, and
    /// a parameter may be used several times in one pass.
    pub static_graph: bool,
    /// Sends gradients in half the bytes, at the cost of their last digits; `None` sends them as they are.
    pub compression: Option<Compression>,
}

impl Default for DdpOptions {
    fn default() -> Self {
        Self {
            first_bucket_bytes: 1024 * 1024,
            bucket_bytes: 25 * 1024 * 1024,
            find_unused_parameters: false,
            gradient_as_bucket_view: false,
            broadcast_buffers: true,
            static_graph: false,
            compression: None,
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
    /// Without their history.
    parameters: Vec<Tensor>,
    buffers: Vec<Tensor>,
    names: Vec<String>,
    group: std::rc::Rc<ProcessGroup>,
    options: DdpOptions,
    /// False inside [`no_sync`](Self::no_sync).
    syncs: Cell<bool>,
    /// The first pass of a static graph has still to be told where it ends.
    delays: Cell<bool>,
    has_hook: Cell<bool>,
    /// Inside [`join`](Self::join).
    joining: Cell<Option<JoinOptions>>,
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
        let parameters: Vec<Tensor> = parameters.iter().map(|(_, tensor)| tensor.detach()).collect();
        let all = tensors::list(parameters.iter().chain(&buffers));
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
        let syncs_buffers = options.broadcast_buffers && !buffers.is_empty();
        reducer.describe(syncs_buffers, options.static_graph).during(OPERATION)?;
        match options.compression {
            None => {}
            Some(Compression::Fp16) => reducer.compress(group.bridge(), true).during(OPERATION)?,
            Some(Compression::Bf16) => reducer.compress(group.bridge(), false).during(OPERATION)?,
        }
        Ok(Self {
            reducer,
            parameters,
            buffers,
            names,
            group,
            options,
            syncs: Cell::new(true),
            delays: Cell::new(options.static_graph),
            has_hook: Cell::new(options.compression.is_some()),
            joining: Cell::new(None),
        })
    }

    /// Before a forward pass. Where gradients are off (`tch::no_grad`) nothing is prepared, as in PyTorch.
    ///
    /// # Errors
    /// [`Error::Torch`] where the pass before was never finished because a parameter had no gradient, with its name; the
    /// errors of a broadcast.
    pub fn before_forward(&self) -> Result<()> {
        const OPERATION: &str = "DistributedDataParallel forward";
        if !aten::is_grad_enabled() || !self.syncs.get() {
            return Ok(());
        }
        self.reducer.sample().during(OPERATION)?;
        // The buckets stay as they are; this call says whether the pass before was finished.
        self.reducer.rebuild_buckets().during(OPERATION).map_err(|error| self.name_unused(error))?;
        self.reducer.prepare_for_forward().during(OPERATION)?;
        let root = self.joining.get().map_or(Ok(0), |options| self.announce(options, OPERATION))?;
        if self.syncs_buffers() { self.broadcast_buffers(root, OPERATION) } else { Ok(()) }
    }

    fn syncs_buffers(&self) -> bool {
        self.options.broadcast_buffers && !self.buffers.is_empty()
    }

    fn broadcast_buffers(&self, root: usize, operation: &'static str) -> Result<()> {
        let buffers = tensors::list(&self.buffers);
        ffi::broadcast_coalesced(self.group.bridge(), &buffers, BROADCAST_BYTES, root as i32).during(operation)
    }

    /// After a forward pass, with its outputs: what they do not depend on is unused.
    ///
    /// # Errors
    /// [`Error::Torch`] where libtorch refuses.
    pub fn after_forward<'a>(&self, outputs: impl IntoIterator<Item = &'a Tensor>) -> Result<()> {
        const OPERATION: &str = "DistributedDataParallel backward";
        if !aten::is_grad_enabled() || !self.syncs.get() {
            return Ok(());
        }
        if self.delays.replace(false) {
            // The reducer learns in this pass which parameters are used, and reduces when the pass is over.
            self.reducer.delay_until_backward_ends(&tensors::list(outputs)).during(OPERATION)?;
            return self.reducer.prepare_for_backward(&tensors::list([])).during(OPERATION);
        }
        let outputs = if self.options.find_unused_parameters && !self.options.static_graph {
            tensors::list(outputs)
        } else {
            // Without outputs libtorch walks no graph.
            tensors::list([])
        };
        self.reducer.prepare_for_backward(&outputs).during(OPERATION)
    }

    /// Runs passes whose gradients stay on this rank and add up; the first pass after it averages their sum. For gradient
    /// accumulation: every rank does so for the same passes. Nested calls are one.
    ///
    /// As PyTorch's `DistributedDataParallel.no_sync`, both the forward and the backward pass belong inside.
    pub fn no_sync<T>(&self, run: impl FnOnce() -> T) -> T {
        struct Restore<'a>(&'a Cell<bool>, bool);

        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.set(self.1);
            }
        }

        let _restore = Restore(&self.syncs, self.syncs.replace(false));
        run()
    }

    /// Hands every bucket to a function of one's own instead of averaging it: for compression, or another topology. The
    /// function is given the sum of nothing but this rank's gradients, talks to the other ranks, and returns what every
    /// rank's gradients become, commonly their mean. Before the first backward pass, and once.
    ///
    /// Let it own a group of its own, for nothing else: collectives of other calls must not come between.
    ///
    /// It runs inside `backward`, on a thread of libtorch's where the gradients lie on a GPU. Its error, or its panic, is an
    /// error of `Tensor::f_backward` on this rank; on the others it is what the collective makes of a missing rank.
    ///
    /// # Errors
    /// [`Error::Argument`] where there is one already, or gradients are compressed.
    pub fn set_hook<E: std::fmt::Display>(
        &self,
        hook: impl FnMut(GradBucket) -> Result<Tensor, E> + Send + 'static,
    ) -> Result<()> {
        const OPERATION: &str = "DistributedDataParallel::set_hook";
        if self.has_hook.replace(true) {
            return Err(Error::argument(
                OPERATION,
                "gradients are reduced by a hook or by `DdpOptions::compression` already; there can be one",
            ));
        }
        self.reducer.set_hook(Box::new(CommHook::new(hook))).during(OPERATION)
    }

    /// What the passes so far have cost, as libtorch's own logger samples it: each of the first ten, then every hundredth.
    ///
    /// # Errors
    /// [`Error::Torch`] where libtorch refuses.
    pub fn statistics(&self) -> Result<DdpStatistics> {
        let statistics = self.reducer.statistics().during("DistributedDataParallel::statistics")?;
        Ok(DdpStatistics::new(&statistics))
    }

    /// libtorch knows unused parameters by number, and speaks of Python.
    fn name_unused(&self, error: Error) -> Error {
        const SHOWN: usize = 8;
        let Error::Torch { operation, message } = &error else { return error };
        let Some((_, rest)) = message.split_once("Parameter indices which did not receive grad for rank ") else {
            return error;
        };
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
        let mend = if self.options.static_graph {
            "every pass of a static graph uses what the first one did: let it take part, or leave \
             `DdpOptions::static_graph` off"
        } else if self.options.find_unused_parameters {
            "the forward pass has used it: let every output of that pass take part in the loss"
        } else {
            "let every parameter take part, or set `DdpOptions::find_unused_parameters`"
        };
        let message = format!(
            "the pass before was never finished: {}{more} had no part in its loss, and so no gradient; {mend}",
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
