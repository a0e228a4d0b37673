//! What `prepare` takes, and what it gives for it.

use std::cell::RefCell;
use std::rc::Rc;

use tch::nn::VarStore;

use super::accelerator::Accelerator;
use super::optimizer::AcceleratedOptimizer;
use super::scheduler::AcceleratedScheduler;
use crate::data::{DataLoader, DataLoaderBuilder, Dataset};
use crate::error::Result;
use crate::optim::{Optimizer, Rule};
use crate::schedule::{Schedule, Scheduler};
use crate::strategy::Model;

/// What [`Accelerator::prepare`] takes: each of these, or a tuple of up to eight of them in any order.
///
/// | given | prepared |
/// |---|---|
/// | a net with its variables, `(VarStore, N)` | `Rc<Model<N>>` |
/// | an [`Optimizer`] | [`AcceleratedOptimizer`] |
/// | a [`DataLoaderBuilder`] | `Rc<DataLoader<D>>` |
/// | a [`Scheduler`], attached to its optimizer | [`AcceleratedScheduler`] |
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be prepared by an `Accelerator`",
    label = "not a net with its variables, an optimizer, a loader's builder, an attached schedule, or a tuple of these",
    note = "a net goes with its variables, as `(vars, net)`; a loader as `DataLoader::builder(…)`, without `build`; a schedule \
            after `schedule.attach(&mut optimizer)`"
)]
pub trait Prepare {
    /// What it becomes.
    type Prepared;

    /// Prepares it, and has the accelerator keep a handle of it for its checkpoints.
    ///
    /// # Errors
    /// Those of what is prepared.
    fn prepare<M>(self, accelerator: &mut Accelerator<'_, M>) -> Result<Self::Prepared>;
}

impl<N: 'static> Prepare for (VarStore, N) {
    type Prepared = Rc<Model<N>>;

    fn prepare<M>(self, accelerator: &mut Accelerator<'_, M>) -> Result<Self::Prepared> {
        let model = Rc::new(accelerator.ctx.prepare_built_model(self, accelerator.model_options())?);
        accelerator.registry.add("model", Rc::clone(&model));
        Ok(model)
    }
}

impl<R: Rule> Prepare for Optimizer<R> {
    type Prepared = AcceleratedOptimizer<R>;

    fn prepare<M>(self, accelerator: &mut Accelerator<'_, M>) -> Result<Self::Prepared> {
        accelerator.refuse_second_scaled_optimizer()?;
        let optimizer = Rc::new(RefCell::new(accelerator.ctx.prepare_optimizer(self)));
        accelerator.registry.add("optimizer", Rc::clone(&optimizer));
        let weight = accelerator.ctx.loss_weight().clone();
        Ok(AcceleratedOptimizer::new(optimizer, weight, accelerator.scaler.clone()))
    }
}

impl<D: Dataset> Prepare for DataLoaderBuilder<D> {
    type Prepared = Rc<DataLoader<D>>;

    fn prepare<M>(self, accelerator: &mut Accelerator<'_, M>) -> Result<Self::Prepared> {
        let mut builder = self.accumulate(accelerator.options.accumulation);
        if accelerator.options.split_batches {
            builder = builder.split_batch(accelerator.num_processes())?;
        }
        let loader = Rc::new(accelerator.ctx.prepare_data_loader(builder)?);
        accelerator.registry.add("loader", Rc::clone(&loader));
        Ok(loader)
    }
}

impl<S: Schedule> Prepare for Scheduler<S> {
    type Prepared = AcceleratedScheduler<S>;

    fn prepare<M>(self, accelerator: &mut Accelerator<'_, M>) -> Result<Self::Prepared> {
        let scheduler = Rc::new(RefCell::new(self));
        accelerator.registry.add("scheduler", Rc::clone(&scheduler));
        let steps = if accelerator.options.split_batches { 1 } else { accelerator.num_processes() as u64 };
        Ok(AcceleratedScheduler::new(scheduler, accelerator.options.step_scheduler_with_optimizer.then_some(steps)))
    }
}

macro_rules! tuples {
    ($($name:ident $index:tt),+) => {
        impl<$($name: Prepare),+> Prepare for ($($name,)+) {
            type Prepared = ($($name::Prepared,)+);

            fn prepare<M>(self, accelerator: &mut Accelerator<'_, M>) -> Result<Self::Prepared> {
                Ok(($(self.$index.prepare(accelerator)?,)+))
            }
        }
    };
}

tuples!(A 0, B 1);
tuples!(A 0, B 1, C 2);
tuples!(A 0, B 1, C 2, D 3);
tuples!(A 0, B 1, C 2, D 3, E 4);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
