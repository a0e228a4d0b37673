//! Scaling the loss, so that small gradients survive float16.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::clip::by_kind;
use super::optimizer::Optimizer;
use super::rule::Rule;
use crate::c10d::ReduceOp;
use crate::c10d::aten::{self, ScaleUpdate};
use crate::error::{Error, Result};
use crate::worker::Phase;
use crate::worker::activity::{self, Collective};

/// Multiplies the loss by a large factor before the backward pass, and divides the gradients by it before the step, so that
/// small gradients do not become 0 where a part of the net computes in float16: `torch.amp.GradScaler`, after Micikevicius
/// et al., "Mixed Precision Training" (ICLR 2018). A step whose gradients are infinite or NaN is left out, and the factor
/// halved; after a while without such a step it is doubled. bfloat16 and float32 need none of this.
///
/// Parameters stay in float32; [`aten::autocast`] chooses what is computed in less.
///
/// With several workers all ranks leave out the same steps: whether a gradient was not finite is agreed in an all-reduce. So
/// all ranks must step together, as they do with DDP anyway.
///
/// ```no_run
/// use tch::{Device, nn};
/// use trainloop::optim::{GradScaler, Sgd};
///
/// # fn main() -> trainloop::Result<()> {
/// # let vars = nn::VarStore::new(Device::Cpu);
/// # let loss = || tch::Tensor::new();
/// let mut optimizer = Sgd::builder(0.1).momentum(0.9).build(&vars)?;
/// let mut scaler = GradScaler::builder().growth_interval(500).build()?;
/// scaler.backward_step(&mut optimizer, &loss())?;
///
/// // The same in parts, with the gradients clipped.
/// optimizer.zero_grad()?;
/// optimizer.backward(&scaler.scale(&loss())?)?;
/// scaler.unscale(&mut optimizer)?;
/// optimizer.clip_grad_norm(1.0)?;
/// scaler.step(&mut optimizer)?;
/// scaler.update()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct GradScaler {
    enabled: bool,
    update: ScaleUpdate,
    /// A float32 scalar on the CPU, and the int32 count of steps since it last changed.
    scale: Tensor,
    growth_tracker: Tensor,
    /// The optimizers since the last update.
    pending: Vec<Pending>,
}

/// An optimizer whose gradients were unscaled since the last update.
#[derive(Debug)]
struct Pending {
    optimizer: u64,
    /// A float32 scalar on the CPU: not 0 where a gradient was not finite.
    found_inf: Tensor,
    is_stepped: bool,
}

/// Sets up a [`GradScaler`]; from [`GradScaler::builder`]. What is not set is PyTorch's default.
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "a builder does nothing before `build`"]
pub struct GradScalerBuilder(GradScalerState);

/// What a [`GradScaler`] knows, by the names of PyTorch's; from [`GradScaler::state`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GradScalerState {
    /// What the loss is multiplied by; a float32.
    pub scale: f64,
    /// What the scale is multiplied by when it grows.
    pub growth_factor: f64,
    /// What the scale is multiplied by after a step that was left out.
    pub backoff_factor: f64,
    /// After so many steps in a row the scale grows.
    pub growth_interval: u32,
    /// How many steps in a row were taken since the scale last changed.
    pub growth_tracker: i32,
    /// False where nothing is scaled.
    pub enabled: bool,
}

impl GradScalerState {
    fn check(&self) -> Result<(), String> {
        // The scale is a float32.
        if !(self.scale > 0.0 && self.scale <= f64::from(f32::MAX)) {
            return Err(format!("the scale is {}; it must be above 0 and a finite float32", self.scale));
        }
        if !(self.growth_factor.is_finite() && self.growth_factor > 1.0) {
            return Err(format!("growth_factor is {}; it must be a finite number above 1", self.growth_factor));
        }
        if !(self.backoff_factor > 0.0 && self.backoff_factor < 1.0) {
            return Err(format!("backoff_factor is {}; it must be above 0 and below 1", self.backoff_factor));
        }
        if self.growth_interval == 0 {
            return Err("growth_interval is 0 steps; give it at least 1".to_owned());
        }
        if self.growth_tracker < 0 {
            return Err(format!("growth_tracker is {}; it counts steps, from 0", self.growth_tracker));
        }
        Ok(())
    }
}

impl GradScalerBuilder {
    /// The first scale; 65 536 unless said otherwise.
    pub fn init_scale(mut self, scale: f64) -> Self {
        self.0.scale = scale;
        self
    }

    /// What the scale is multiplied by when it grows, above 1; 2 unless said otherwise.
    pub fn growth_factor(mut self, factor: f64) -> Self {
        self.0.growth_factor = factor;
        self
    }

    /// What the scale is multiplied by after a step that was left out, below 1; a half unless said otherwise.
    pub fn backoff_factor(mut self, factor: f64) -> Self {
        self.0.backoff_factor = factor;
        self
    }

    /// After so many steps in a row the scale grows; 2 000 unless said otherwise.
    pub fn growth_interval(mut self, steps: u32) -> Self {
        self.0.growth_interval = steps;
        self
    }

    /// With false nothing is scaled and every step taken, so that one loop serves all precisions; true unless said
    /// otherwise.
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.0.enabled = enabled;
        self
    }

    /// The scaler.
    ///
    /// # Errors
    /// [`Error::Optimizer`] where a number cannot be right.
    pub fn build(self) -> Result<GradScaler> {
        self.0.check().map_err(|reason| Error::optimizer(format!("GradScaler: {reason}")))?;
        GradScaler::from_state(&self.0)
    }
}

impl GradScaler {
    /// Begins a scaler with PyTorch's defaults.
    pub fn builder() -> GradScalerBuilder {
        GradScalerBuilder(GradScalerState {
            scale: 65_536.0,
            growth_factor: 2.0,
            backoff_factor: 0.5,
            growth_interval: 2000,
            growth_tracker: 0,
            enabled: true,
        })
    }

    fn from_state(state: &GradScalerState) -> Result<Self> {
        let GradScalerState { scale, growth_factor, backoff_factor, growth_interval, growth_tracker, enabled } = *state;
        Ok(Self {
            enabled,
            update: ScaleUpdate { growth_factor, backoff_factor, growth_interval: i64::from(growth_interval) },
            scale: Tensor::f_full([0; 0], scale, (Kind::Float, Device::Cpu))?,
            growth_tracker: Tensor::f_full([0; 0], i64::from(growth_tracker), (Kind::Int, Device::Cpu))?,
            pending: Vec::new(),
        })
    }

    /// The loss, times the scale: what the backward pass begins from.
    ///
    /// # Errors
    /// libtorch's.
    pub fn scale(&self, loss: &Tensor) -> Result<Tensor> {
        // By a tensor, not a number: a float16 loss becomes a float32, which has room for the product.
        Ok(if self.enabled { loss.f_mul(&self.scale)? } else { loss.shallow_clone() })
    }

    /// Divides the optimizer's gradients by the scale, and notes whether one is infinite or NaN; [`step`](Self::step) does
    /// it where this has not. Call it after the last backward pass of the step, where gradients are to be clipped or looked
    /// at.
    ///
    /// # Errors
    /// [`Error::Optimizer`] where the optimizer's gradients were unscaled since the last [`update`](Self::update), or there
    /// are none, or one is sparse or float16; a failed all-reduce.
    pub fn unscale<R: Rule>(&mut self, optimizer: &mut Optimizer<R>) -> Result<()> {
        if !self.enabled {
            return Ok(());
        }
        if let Some(pending) = self.pending.iter().find(|pending| pending.optimizer == optimizer.id) {
            let what = if pending.is_stepped { "have been stepped by" } else { "have been unscaled" };
            return Err(Error::optimizer(format!(
                "the gradients of {} {what} since the last `GradScaler::update`, and cannot be unscaled again; call `update` \
                 once after each step",
                R::NAME
            )));
        }
        let found_inf = self.unscale_gradients(optimizer)?;
        self.pending.push(Pending { optimizer: optimizer.id, found_inf, is_stepped: false });
        Ok(())
    }

    fn unscale_gradients<R: Rule>(&self, optimizer: &Optimizer<R>) -> Result<Tensor> {
        let gradients = optimizer.gradients()?;
        if gradients.is_empty() {
            return Err(Error::optimizer(format!(
                "no parameter of {} has a gradient to unscale; call `backward` with the scaled loss first",
                R::NAME
            )));
        }
        if let Some(gradient) = gradients.iter().find(|gradient| gradient.kind() == Kind::Half || gradient.is_sparse())
        {
            let what = if gradient.is_sparse() { "sparse" } else { "float16" };
            return Err(Error::optimizer(format!(
                "a gradient of {} is {what}, and cannot be unscaled; keep the parameters dense and in float32, and compute in \
                 less with `tch::autocast`",
                R::NAME
            )));
        }
        // In float64, as PyTorch does.
        let inverse = self.scale.f_to_kind(Kind::Double)?.f_reciprocal()?.f_to_kind(Kind::Float)?;
        let mut found_inf = Tensor::f_zeros([0; 0], (Kind::Float, Device::Cpu))?;
        for gradients in by_kind(gradients.iter()) {
            let Some(device) = gradients.first().map(|gradient| gradient.device()) else { continue };
            let found = Tensor::f_zeros([0; 0], (Kind::Float, device))?;
            aten::amp_unscale(gradients, &found, &inverse.f_to(device)?)?;
            found_inf = found_inf.f_maximum(&found.f_to(Device::Cpu)?)?;
        }
        if let Some(group) = &optimizer.group {
            optimizer.loss_weight.refuse_in_join(Collective::AllReduce)?;
            let agree = || activity::within(Collective::AllReduce, || group.all_reduce(&mut found_inf, ReduceOp::Max));
            optimizer.loss_weight.time(Phase::Communication, agree)?;
        }
        Ok(found_inf)
    }

    /// Steps the optimizer, unless a gradient is infinite or NaN on any rank; true where it has. [Unscales](Self::unscale)
    /// first where that was not done.
    ///
    /// # Errors
    /// [`Error::Optimizer`] where the optimizer was stepped since the last [`update`](Self::update); those of
    /// [`unscale`](Self::unscale) and [`Optimizer::step`].
    pub fn step<R: Rule>(&mut self, optimizer: &mut Optimizer<R>) -> Result<bool> {
        if !self.enabled {
            optimizer.step()?;
            return Ok(true);
        }
        let place = self.pending.iter().position(|pending| pending.optimizer == optimizer.id);
        let index = if let Some(index) = place {
            index
        } else {
            self.unscale(optimizer)?;
            self.pending.len() - 1
        };
        let pending = &mut self.pending[index];
        if pending.is_stepped {
            return Err(Error::optimizer(format!(
                "{} has been stepped since the last `GradScaler::update`; call `update` once after each step",
                R::NAME
            )));
        }
        let is_finite = f64::try_from(&pending.found_inf)? == 0.0;
        if is_finite {
            optimizer.step()?;
        }
        pending.is_stepped = true;
        Ok(is_finite)
    }

    /// Moves the scale by what the steps since the last update have found. Once after each step, or after the steps of all
    /// optimizers that share the scaler.
    ///
    /// # Errors
    /// [`Error::Optimizer`] where there was no step.
    pub fn update(&mut self) -> Result<()> {
        if !self.enabled {
            return Ok(());
        }
        let Some((first, rest)) = self.pending.split_first() else {
            return Err(Error::optimizer(
                "`GradScaler::update` has nothing to go by: no optimizer was stepped since the last one; call `step` first",
            ));
        };
        let mut found_inf = first.found_inf.shallow_clone();
        for pending in rest {
            found_inf = found_inf.f_maximum(&pending.found_inf)?;
        }
        aten::amp_update_scale(&self.scale, &self.growth_tracker, &found_inf, &self.update)?;
        self.pending.clear();
        Ok(())
    }

    /// [`Optimizer::backward_step`] with the scale: zeroes the gradients, runs backward from the scaled loss,
    /// [steps](Self::step), [updates](Self::update). True where the step was taken.
    ///
    /// # Errors
    /// Theirs.
    pub fn backward_step<R: Rule>(&mut self, optimizer: &mut Optimizer<R>, loss: &Tensor) -> Result<bool> {
        optimizer.zero_grad()?;
        optimizer.backward(&self.scale(loss)?)?;
        let is_taken = self.step(optimizer)?;
        self.update()?;
        Ok(is_taken)
    }

    /// What the loss is multiplied by now; 1 where nothing is scaled.
    ///
    /// # Errors
    /// libtorch's.
    pub fn scale_factor(&self) -> Result<f64> {
        Ok(if self.enabled { f64::try_from(&self.scale)? } else { 1.0 })
    }

    /// False where nothing is scaled.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// All that it knows after an update.
    ///
    /// # Errors
    /// libtorch's.
    pub fn state(&self) -> Result<GradScalerState> {
        Ok(GradScalerState {
            scale: f64::try_from(&self.scale)?,
            growth_factor: self.update.growth_factor,
            backoff_factor: self.update.backoff_factor,
            growth_interval: u32::try_from(self.update.growth_interval).unwrap_or(u32::MAX),
            growth_tracker: i32::try_from(&self.growth_tracker)?,
            enabled: self.enabled,
        })
    }

    /// Takes a state over, its factors included, as in PyTorch. A scaler that is not enabled takes nothing; so a run in
    /// float16 can go on in bfloat16.
    ///
    /// # Errors
    /// [`Error::Optimizer`], and nothing is changed, where a number is out of range, or the state is that of a scaler that was
    /// not enabled and this one is.
    pub fn load_state(&mut self, state: &GradScalerState) -> Result<()> {
        if !self.enabled {
            return Ok(());
        }
        let error = |reason: &str| Error::optimizer(format!("this state cannot be loaded into GradScaler: {reason}"));
        state.check().map_err(|reason| error(&reason))?;
        if !state.enabled {
            return Err(error("it is of one that was not enabled, which knows no scale; begin with a fresh one"));
        }
        *self = Self::from_state(state)?;
        Ok(())
    }
}
