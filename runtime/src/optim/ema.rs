//! An exponential moving average of parameters.

use std::fmt::Display;

use tch::Tensor;

use super::Parameters;
use crate::error::{Error, Result};

/// An exponential moving average of a model's parameters, commonly better than the last of them for evaluation.
///
/// Each [`update`](Self::update) makes it `decay × average + (1 − decay) × parameters`; the first takes the parameters as
/// they are. This is PyTorch's `torch.optim.swa_utils.AveragedModel` with `get_ema_multi_avg_fn(decay)`: buffers, such as a
/// batch norm's running values, are the model's own. It is a part of a state that is saved.
///
/// ```no_run
/// use trainloop::optim::Ema;
/// use trainloop::prelude::*;
/// # use tch::nn::Linear;
///
/// #[derive(TrainState)]
/// struct State {
///     model: Model<Linear>,
///     optimizer: AdamW,
///     ema: Ema, // Ema::new(&model, 0.999)?
/// }
///
/// # fn train(state: &mut State, loss: &tch::Tensor, images: &tch::Tensor) -> Result<()> {
/// state.optimizer.backward_step(loss)?;
/// state.ema.update(&state.model)?;
/// // Evaluates with the average; the parameters are back afterwards.
/// let logits = state.ema.apply(&state.model, || tch::no_grad(|| state.model.call(|net| images.apply(net))))?;
/// # Ok(())
/// # }
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Ema {
    decay: f64,
    updates: u64,
    average: Vec<(String, Tensor)>,
}

/// Puts parameters back, however the work with the average ends.
struct Swapped(Vec<(Tensor, Tensor)>);

impl Drop for Swapped {
    fn drop(&mut self) {
        for (parameter, before) in &self.0 {
            parameter.shallow_clone().set_data(before);
        }
    }
}

impl Ema {
    /// An average that begins as the parameters are now.
    ///
    /// # Errors
    /// [`Error::Optimizer`] where `decay` is not in 0 to 1; libtorch's.
    pub fn new<P: Parameters + ?Sized>(model: &P, decay: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&decay) {
            return Err(Error::optimizer(format!("the decay of an average must be in 0 to 1, and is {decay}")));
        }
        let copy = |(name, parameter): (String, Tensor)| Ok((name, parameter.f_detach_copy()?));
        let average = model.named_parameters().into_iter().map(copy).collect::<Result<_>>()?;
        Ok(Self { decay, updates: 0, average })
    }

    /// Moves the average towards the parameters: after each step of the optimizer.
    ///
    /// # Errors
    /// [`Error::Optimizer`] where the model has other parameters than the one that the average was made of; libtorch's.
    pub fn update<P: Parameters + ?Sized>(&mut self, model: &P) -> Result<()> {
        let pairs = self.pairs(model)?;
        tch::no_grad(|| {
            for (mut average, parameter) in pairs {
                let moved = if self.updates == 0 {
                    average.f_copy_(&parameter).map(drop)
                } else {
                    average.f_lerp_(&parameter, 1.0 - self.decay).map(drop)
                };
                moved?;
            }
            Ok::<_, Error>(())
        })?;
        self.updates += 1;
        Ok(())
    }

    /// Runs `evaluate` with the average in the place of the model's parameters, which are back when it ends, also where it
    /// fails or panics. Nothing is copied.
    ///
    /// # Errors
    /// Those of `evaluate`, and [`update`](Self::update)'s.
    pub fn apply<P: Parameters + ?Sized, T>(&self, model: &P, evaluate: impl FnOnce() -> Result<T>) -> Result<T> {
        let pairs = self.pairs(model)?;
        let mut swapped = Swapped(Vec::with_capacity(pairs.len()));
        for (average, mut parameter) in pairs {
            swapped.0.push((parameter.shallow_clone(), parameter.f_detach()?));
            parameter.set_data(&average);
        }
        evaluate()
    }

    /// How much of the average stays at each update.
    #[must_use]
    pub fn decay(&self) -> f64 {
        self.decay
    }

    /// How many updates there were.
    #[must_use]
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// The averaged parameters, by name: handles.
    #[must_use]
    pub fn averaged_parameters(&self) -> Vec<(String, Tensor)> {
        self.average.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
    }

    /// Takes over a saved average; all of it or nothing.
    pub(crate) fn load(&mut self, updates: u64, mut saved: Vec<(String, Tensor)>) -> Result<()> {
        saved.sort_by(|(left, _), (right, _)| left.cmp(right));
        let mut own: Vec<_> = self.average.iter().collect();
        own.sort_by(|(left, _), (right, _)| left.cmp(right));
        fits(own.len(), saved.len())?;
        for ((name, tensor), (other, saved)) in own.iter().zip(&saved) {
            same(name, tensor, other, saved)?;
        }
        let pairs: Vec<_> = own.into_iter().map(|(_, tensor)| tensor.shallow_clone()).zip(saved).collect();
        tch::no_grad(|| pairs.into_iter().try_for_each(|(mut own, (_, saved))| own.f_copy_(&saved).map(drop)))?;
        self.updates = updates;
        Ok(())
    }

    /// Each average with its parameter.
    fn pairs<P: Parameters + ?Sized>(&self, model: &P) -> Result<Vec<(Tensor, Tensor)>> {
        let parameters = model.named_parameters();
        fits(self.average.len(), parameters.len())?;
        self.average
            .iter()
            .zip(parameters)
            .map(|((name, average), (other, parameter))| {
                same(name, average, &other, &parameter)?;
                Ok((average.shallow_clone(), parameter))
            })
            .collect()
    }
}

fn fits(own: usize, others: usize) -> Result<()> {
    if own == others { Ok(()) } else { Err(misfit(format!("{own} parameters"), others)) }
}

fn same(name: &str, tensor: &Tensor, other: &str, found: &Tensor) -> Result<()> {
    if (name, tensor.size(), tensor.kind()) == (other, found.size(), found.kind()) {
        return Ok(());
    }
    let described = |name: &str, tensor: &Tensor| format!("`{name}` of {:?}, {:?}", tensor.size(), tensor.kind());
    Err(misfit(described(name, tensor), described(other, found)))
}

fn misfit(own: impl Display, found: impl Display) -> Error {
    Error::optimizer(format!("the average was made of another model: it has {own}, and there is {found}"))
}
