//! A prepared optimizer.

use std::cell::{Ref, RefCell, RefMut};
use std::rc::Rc;

use crate::error::{Error, Result};
use crate::optim::{GradScaler, LossWeight, Optimizer, Rule};

/// An optimizer that [`Accelerator::prepare`](super::Accelerator::prepare) gave: its calls do nothing where they come inside a
/// window of accumulation, and step by the accelerator's `GradScaler` where there is one. Accelerate's class of this name.
#[derive(Debug)]
pub struct AcceleratedOptimizer<R: Rule> {
    inner: Rc<RefCell<Optimizer<R>>>,
    weight: LossWeight,
    scaler: Option<Rc<RefCell<GradScaler>>>,
    is_unscaled: bool,
    was_skipped: bool,
}

impl<R: Rule> AcceleratedOptimizer<R> {
    pub(super) fn new(
        inner: Rc<RefCell<Optimizer<R>>>,
        weight: LossWeight,
        scaler: Option<Rc<RefCell<GradScaler>>>,
    ) -> Self {
        Self { inner, weight, scaler, is_unscaled: false, was_skipped: false }
    }

    /// [Steps](Optimizer::step) at a window's end; elsewhere it does nothing.
    ///
    /// # Errors
    /// Those of [`Optimizer::step`] and [`GradScaler::step`].
    pub fn step(&mut self) -> Result<()> {
        if !self.syncs() {
            return Ok(());
        }
        self.is_unscaled = false;
        let mut optimizer = borrow_mut(&self.inner)?;
        let Some(scaler) = &self.scaler else { return optimizer.step() };
        let mut scaler = borrow_mut(scaler)?;
        self.was_skipped = !scaler.step(&mut optimizer)?;
        scaler.update()
    }

    /// [Frees](Optimizer::zero_grad) the gradients, unless they are those of a window that is not over. After the window's step
    /// or before its first pass, both are right.
    ///
    /// # Errors
    /// libtorch's.
    pub fn zero_grad(&mut self) -> Result<()> {
        if self.weight.is_between_windows() { borrow_mut(&self.inner)?.zero_grad() } else { Ok(()) }
    }

    /// True where the last step was left out, because a gradient was infinite or NaN in float16.
    #[must_use]
    pub fn step_was_skipped(&self) -> bool {
        self.was_skipped
    }

    /// The learning rate of the group `default`.
    ///
    /// # Errors
    /// Where the optimizer is [lent](Self::lend_mut).
    pub fn learning_rate(&self) -> Result<f64> {
        Ok(self.lend()?.learning_rate())
    }

    /// The optimizer itself, to look at. Let go of it before the next call of the accelerator's.
    ///
    /// # Errors
    /// Where it is [lent](Self::lend_mut) already.
    pub fn lend(&self) -> Result<Ref<'_, Optimizer<R>>> {
        self.inner.try_borrow().map_err(|_| lent())
    }

    /// The optimizer itself. Let go of it before the next call of the accelerator's.
    ///
    /// # Errors
    /// Where it is lent already.
    pub fn lend_mut(&mut self) -> Result<RefMut<'_, Optimizer<R>>> {
        borrow_mut(&self.inner)
    }

    /// At a window's end, where gradients are whole.
    pub(super) fn syncs(&self) -> bool {
        self.weight.moment().ends_window
    }

    /// Divides the gradients by the scale, once for each step.
    pub(super) fn unscale(&mut self) -> Result<()> {
        if let Some(scaler) = self.scaler.as_ref().filter(|_| !self.is_unscaled) {
            borrow_mut(scaler)?.unscale(&mut *borrow_mut(&self.inner)?)?;
            self.is_unscaled = true;
        }
        Ok(())
    }
}

fn borrow_mut<T>(cell: &RefCell<T>) -> Result<RefMut<'_, T>> {
    cell.try_borrow_mut().map_err(|_| lent())
}

fn lent() -> Error {
    Error::config("the prepared optimizer is lent; let go of what `lend` or `lend_mut` gave before the next call")
}
