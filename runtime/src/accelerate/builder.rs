//! How an accelerator is to be.

use std::cell::RefCell;
use std::rc::Rc;

use tch::Kind;

use super::accelerator::Accelerator;
use super::registry::Registry;
use crate::error::{Error, Result};
use crate::optim::GradScaler;
use crate::worker::Context;

/// What matrix products and convolutions compute in, by the names of Accelerate's `mixed_precision`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MixedPrecision {
    /// `no`: in the parameters' own dtype.
    #[default]
    No,
    /// `fp16`: in float16, with a [`GradScaler`].
    Fp16,
    /// `bf16`: in bfloat16.
    Bf16,
}

impl MixedPrecision {
    pub(super) fn kind(self) -> Option<Kind> {
        match self {
            Self::No => None,
            Self::Fp16 => Some(Kind::Half),
            Self::Bf16 => Some(Kind::BFloat16),
        }
    }
}

/// Sets up an [`Accelerator`]; from [`Accelerator::builder`]. What is not set is Accelerate's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a builder does nothing before `build`"]
pub struct AcceleratorBuilder {
    pub(super) accumulation: usize,
    pub(super) precision: MixedPrecision,
    pub(super) split_batches: bool,
    pub(super) step_scheduler_with_optimizer: bool,
}

impl Default for AcceleratorBuilder {
    fn default() -> Self {
        Self {
            accumulation: 1,
            precision: MixedPrecision::No,
            split_batches: false,
            step_scheduler_with_optimizer: true,
        }
    }
}

impl AcceleratorBuilder {
    /// Gradients of so many batches make one step; 1 unless said otherwise. Prepared loaders
    /// [accumulate](crate::data::DataLoaderBuilder::accumulate) so: a window that is short, at an epoch's end, is weighted by the
    /// samples that it has.
    pub fn gradient_accumulation_steps(mut self, batches: usize) -> Self {
        self.accumulation = batches;
        self
    }

    /// What forward passes of prepared models compute in; [`MixedPrecision::No`] unless said otherwise.
    pub fn mixed_precision(mut self, precision: MixedPrecision) -> Self {
        self.precision = precision;
        self
    }

    /// With true, the batch size of a prepared loader is that of all ranks together, and a schedule steps once for each step;
    /// false unless said otherwise.
    pub fn split_batches(mut self, split_batches: bool) -> Self {
        self.split_batches = split_batches;
        self
    }

    /// With false, a prepared schedule steps whenever it is told to, once; true unless said otherwise.
    pub fn step_scheduler_with_optimizer(mut self, with_optimizer: bool) -> Self {
        self.step_scheduler_with_optimizer = with_optimizer;
        self
    }

    /// The accelerator of a train loop, which has the loop's context until it is dropped.
    ///
    /// # Errors
    /// [`Error::Config`] for windows of 0 batches.
    pub fn build<M>(self, ctx: &mut Context<M>) -> Result<Accelerator<'_, M>> {
        if self.accumulation == 0 {
            return Err(Error::config(
                "gradient_accumulation_steps is 0, and a window of 0 batches never steps; give at least 1",
            ));
        }
        let mut registry = Registry::default();
        let scaler = match self.precision {
            MixedPrecision::Fp16 => {
                let scaler = Rc::new(RefCell::new(GradScaler::builder().build()?));
                registry.add("scaler", Rc::clone(&scaler));
                Some(scaler)
            }
            MixedPrecision::No | MixedPrecision::Bf16 => None,
        };
        Ok(Accelerator::new(ctx, self, scaler, registry))
    }
}
