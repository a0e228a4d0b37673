//! What one kind of optimizer adds to the common core: its options, its state per parameter, its kernel.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::{Device, Kind, Tensor};

use crate::error::Result;

/// The rule by which an [`Optimizer`](super::Optimizer) steps, such as [`SgdRule`](super::SgdRule) or
/// [`AdamWRule`](super::AdamWRule). It is sealed.
pub trait Rule: sealed::Sealed + 'static {
    /// The optimizer's name as users and messages have it, such as `AdamW`.
    const NAME: &'static str;

    /// The numbers of one group.
    type Options: Options;

    /// PyTorch's defaults.
    #[doc(hidden)]
    fn defaults(lr: f64) -> Self::Options;

    /// The tensors that the rule keeps for each parameter.
    #[doc(hidden)]
    fn slots(options: &Self::Options) -> &'static [Slot];

    /// One step of these parameters.
    #[doc(hidden)]
    fn update(options: &Self::Options, batch: &Batch) -> Result<()>;
}

/// What every rule's options have in common.
pub trait Options: Debug + Clone + PartialEq + Serialize + DeserializeOwned + 'static {
    #[doc(hidden)]
    fn lr(&self) -> f64;
    #[doc(hidden)]
    fn set_lr(&mut self, lr: f64);
    #[doc(hidden)]
    fn set_weight_decay(&mut self, weight_decay: f64);
    #[doc(hidden)]
    fn set_maximize(&mut self, maximize: bool);
    /// Sets the momentum, or what plays its part; false where the rule has none.
    #[doc(hidden)]
    fn set_momentum(&mut self, momentum: f64) -> bool;

    /// The first value that is out of range, and what would be right.
    #[doc(hidden)]
    fn check(&self) -> Result<(), String>;
}

/// What all rules' numbers have, as [`Options`] asks for it: fields `lr`, `weight_decay` and `maximize`.
macro_rules! shared_options {
    () => {
        fn lr(&self) -> f64 {
            self.lr
        }

        fn set_lr(&mut self, lr: f64) {
            self.lr = lr;
        }

        fn set_weight_decay(&mut self, weight_decay: f64) {
            self.weight_decay = weight_decay;
        }

        fn set_maximize(&mut self, maximize: bool) {
            self.maximize = maximize;
        }
    };
}

pub(super) use shared_options;

pub(super) mod sealed {
    pub trait Sealed {}
}

/// A tensor kept for each parameter, by PyTorch's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Of the parameter's shape, dtype and memory layout.
    LikeParameter(&'static str),
    /// A float32 scalar.
    Counter(&'static str),
}

impl Slot {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::LikeParameter(name) | Self::Counter(name) => name,
        }
    }

    /// Shape and dtype, for this parameter.
    pub(super) fn layout(self, parameter: &Tensor) -> (Vec<i64>, Kind) {
        match self {
            Self::LikeParameter(_) => (parameter.size(), parameter.kind()),
            Self::Counter(_) => (Vec::new(), Kind::Float),
        }
    }

    pub(super) fn zeros(self, parameter: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::LikeParameter(_) => parameter.f_zeros_like()?,
            Self::Counter(_) => Tensor::f_zeros([0; 0], (Kind::Float, parameter.device()))?,
        })
    }
}

/// Parameters that one call of a kernel can step: of one device and dtype, all with or all without state so far.
#[derive(Debug)]
pub struct Batch {
    device: Device,
    kind: Kind,
    /// The parameters have had no gradient before: their state is all zeros.
    pub(super) is_first_step: bool,
    /// Their places in the group.
    pub(super) indices: Vec<usize>,
    pub(super) parameters: Vec<Tensor>,
    pub(super) gradients: Vec<Tensor>,
    slots: Vec<Vec<Tensor>>,
}

impl Batch {
    /// The batch among `batches` that this parameter fits in, made if there is none.
    pub(super) fn for_parameter<'a>(batches: &'a mut Vec<Self>, tensor: &Tensor, is_first_step: bool) -> &'a mut Self {
        let (device, kind) = (tensor.device(), tensor.kind());
        let fits = |batch: &Self| batch.device == device && batch.kind == kind && batch.is_first_step == is_first_step;
        let place = batches.iter().position(fits).unwrap_or(batches.len());
        if place == batches.len() {
            let (indices, parameters, gradients, slots) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            batches.push(Self { device, kind, is_first_step, indices, parameters, gradients, slots });
        }
        &mut batches[place]
    }

    pub(super) fn push(&mut self, index: usize, parameter: &Tensor, gradient: Tensor, slots: Vec<Tensor>) {
        self.indices.push(index);
        self.parameters.push(parameter.shallow_clone());
        self.gradients.push(gradient);
        self.slots.resize_with(slots.len(), Vec::new);
        for (column, tensor) in self.slots.iter_mut().zip(slots) {
            column.push(tensor);
        }
    }

    /// All parameters' tensors of one slot, in the order of [`Rule::slots`]; empty where the options need none.
    pub(super) fn slot(&self, slot: usize) -> &[Tensor] {
        self.slots.get(slot).map_or(&[], Vec::as_slice)
    }

    /// All slots of the parameter at `row`.
    pub(super) fn row(&self, row: usize) -> Vec<Tensor> {
        self.slots.iter().map(|column| column[row].shallow_clone()).collect()
    }
}

/// For [`Options::check`]: what is kept of a running mean.
pub(super) fn below_one(name: &str, value: f64) -> Result<(), String> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    Err(format!("{name} is {value}; it must be at least 0 and below 1"))
}

/// For [`Options::check`]: NaN and infinity are refused too.
pub(super) fn at_least_zero(name: &str, value: f64) -> Result<(), String> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(format!("{name} is {value}; it must be a finite number of at least 0"))
}
