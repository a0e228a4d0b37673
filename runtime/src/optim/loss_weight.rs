//! The weight of one rank's share of an uneven global batch, or of a window of batches.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use tch::Tensor;

use crate::c10d::aten;
use crate::callback::Event;
use crate::error::{Error, Result};
use crate::worker::activity::{self, Collective};
use crate::worker::{Hooks, Phase, Stopwatch};

/// How much the loss of the current batch counts in the mean over ranks and over the window of accumulation.
///
/// The last global batch of an epoch may not divide evenly. A rank's mean loss is over its own samples, and gradients are
/// averaged over ranks as equals; so each rank's loss is first multiplied by `own samples × ranks / all samples`. Then N
/// ranks give what one process gives with the N-times batch. Where gradients of several batches are
/// [accumulated](crate::data::DataLoaderBuilder::accumulate), all samples are those of the window.
///
/// It is a shared cell: the loader sets it as it hands out a batch, [`Optimizer::backward`](super::Optimizer::backward)
/// reads it. It is 1 where nobody sets it.
///
/// Whoever shares it, loader, model and optimizer, also shares the way to the worker's callbacks.
#[derive(Clone, Default)]
pub struct LossWeight(Rc<Shared>);

#[derive(Default)]
struct Shared {
    moment: Cell<Moment>,
    /// Set by the context of a train loop.
    hooks: Option<Rc<Hooks>>,
    /// Of a train loop.
    stopwatch: Option<Rc<Stopwatch>>,
    /// A pass backward was run since the loader handed out its batch.
    passed: Cell<bool>,
    /// Inside `Model::join`, where ranks make different numbers of passes.
    joining: Cell<bool>,
}

/// What the loader says of the batch that it has handed out last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) weight: f64,
    /// Gradients begin anew.
    pub(crate) begins_window: bool,
    /// Gradients are averaged over ranks, and the optimizer steps.
    pub(crate) ends_window: bool,
}

impl Default for Moment {
    fn default() -> Self {
        Self { weight: 1.0, begins_window: true, ends_window: true }
    }
}

impl LossWeight {
    /// The weight of the current batch.
    #[must_use]
    pub fn get(&self) -> f64 {
        self.moment().weight
    }

    pub(crate) fn moment(&self) -> Moment {
        self.0.moment.get()
    }

    pub(crate) fn set(&self, moment: Moment) {
        self.0.moment.set(moment);
        self.0.passed.set(false);
    }

    /// Are the gradients that there are of no more use? Those of a window whose last pass is over, or from before one.
    pub(crate) fn is_between_windows(&self) -> bool {
        let Moment { begins_window, ends_window, .. } = self.moment();
        if self.0.passed.get() { ends_window } else { begins_window }
    }

    /// One whose sharers tell these hooks of what they do.
    pub(crate) fn with_hooks(hooks: Rc<Hooks>, stopwatch: Rc<Stopwatch>) -> Self {
        let shared = Shared { hooks: Some(hooks), stopwatch: Some(stopwatch), ..Shared::default() };
        Self(Rc::new(shared))
    }

    pub(crate) fn hooks(&self) -> Option<&Rc<Hooks>> {
        self.0.hooks.as_ref()
    }

    /// Runs a part of a training step, and notes how long it takes.
    pub(crate) fn time<T>(&self, phase: Phase, run: impl FnOnce() -> T) -> T {
        match &self.0.stopwatch {
            Some(stopwatch) if !self.hooks().is_some_and(|hooks| hooks.is_validating()) && aten::is_grad_enabled() => {
                stopwatch.time(phase, run)
            }
            _ => run(),
        }
    }

    /// An optimizer steps.
    pub(super) fn step<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let value = self.time(Phase::Optimizer, run)?;
        if let Some(stopwatch) = &self.0.stopwatch {
            stopwatch.step();
        }
        Ok(value)
    }

    /// Runs what has different numbers of passes on each rank.
    pub(crate) fn join<T>(&self, run: impl FnOnce() -> T) -> T {
        struct Restore<'a>(&'a Cell<bool>, bool);

        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.set(self.1);
            }
        }

        let joining = &self.0.joining;
        let _restore = Restore(joining, joining.replace(true));
        run()
    }

    /// Refuses a collective for which a rank that has run out of inputs has no stand-in.
    pub(crate) fn refuse_in_join(&self, collective: Collective) -> Result<()> {
        if !self.0.joining.get() {
            return Ok(());
        }
        Err(Error::config(format!(
            "{collective} inside `Model::join`: a rank that has no inputs left stands in for the model's passes alone, and would \
             not come to it; move it behind the join"
        )))
    }

    /// Tells the callbacks, if there are any.
    pub(crate) fn fire(&self, event: Event) -> Result<()> {
        self.hooks().map_or(Ok(()), |hooks| hooks.fire(event))
    }

    fn fire_with(&self, event: Event, loss: &Tensor) -> Result<()> {
        self.hooks().map_or(Ok(()), |hooks| hooks.fire_with(event, loss))
    }

    /// The pass backward from the weighted loss, and its events.
    pub(crate) fn backward(&self, loss: &Tensor) -> Result<()> {
        self.fire_with(Event::BeforeBackward, loss)?;
        let weighted = self.apply(loss)?;
        self.0.passed.set(true);
        self.time(Phase::Backward, || activity::within(Collective::Backward, || weighted.f_backward()))?;
        self.fire_with(Event::AfterBackward, loss)
    }

    /// The weighted loss; the loss itself where the weight is 1, so that an even batch costs and rounds nothing.
    #[allow(clippy::float_cmp, reason = "only exactly 1 changes nothing")]
    fn apply(&self, loss: &Tensor) -> Result<Tensor> {
        let weight = self.get();
        Ok(if weight == 1.0 { loss.shallow_clone() } else { loss.f_mul_scalar(weight)? })
    }
}

impl fmt::Debug for LossWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LossWeight").field(&self.moment()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::{Parameters, Sgd};

    struct Weighted(Vec<(String, Tensor)>, LossWeight);

    impl Parameters for Weighted {
        fn named_parameters(&self) -> Vec<(String, Tensor)> {
            self.0.named_parameters()
        }

        fn loss_weight(&self) -> LossWeight {
            self.1.clone()
        }
    }

    #[test]
    fn backward_multiplies_by_the_weight_of_the_moment() {
        let weight = LossWeight::default();
        let x = Tensor::from_slice(&[3.0_f64]).set_requires_grad(true);
        let model = Weighted(vec![("x".into(), x.shallow_clone())], weight.clone());
        let mut optimizer = Sgd::builder(0.1).build(&model).unwrap();
        for (value, expected) in [(1.0, 6.0), (0.25, 1.5), (0.0, 0.0)] {
            weight.set(Moment { weight: value, ..Moment::default() });
            optimizer.zero_grad().unwrap();
            optimizer.backward(&x.square().sum(None)).unwrap();
            assert!((x.grad().double_value(&[0]) - expected).abs() < 1e-15);
        }
    }
}
