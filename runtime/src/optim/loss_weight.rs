//! The weight of one rank's share of an uneven global batch, or of a window of batches.

use std::cell::Cell;
use std::rc::Rc;

use tch::Tensor;

use crate::error::Result;

/// How much the loss of the current batch counts in the mean over ranks and over the window of accumulation.
///
/// The last global batch of an epoch may not divide evenly. A rank's mean loss is over its own samples, and gradients are
/// averaged over ranks as equals; so each rank's loss is first multiplied by `own samples × ranks / all samples`. Then N
/// ranks give what one process gives with the N-times batch. Where gradients of several batches are
/// [accumulated](crate::data::DataLoaderBuilder::accumulate), all samples are those of the window.
///
/// It is a shared cell: the loader sets it as it hands out a batch, [`Optimizer::backward`](super::Optimizer::backward)
/// reads it. It is 1 where nobody sets it.
#[derive(Debug, Clone, Default)]
pub struct LossWeight(Rc<Cell<Moment>>);

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
        self.0.get()
    }

    pub(crate) fn set(&self, moment: Moment) {
        self.0.set(moment);
    }

    /// The weighted loss; the loss itself where the weight is 1, so that an even batch costs and rounds nothing.
    #[allow(clippy::float_cmp, reason = "only exactly 1 changes nothing")]
    pub(super) fn apply(&self, loss: &Tensor) -> Result<Tensor> {
        let weight = self.get();
        Ok(if weight == 1.0 { loss.shallow_clone() } else { loss.f_mul_scalar(weight)? })
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
