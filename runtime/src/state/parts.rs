//! The parts that come with trainloop.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use tch::{Kind, Tensor};

use super::{StateReader, StateWriter, TrainState};
use crate::callback::{EarlyStopping, EarlyStoppingState};
use crate::data::{DataLoader, Dataset, IterableDataset, StreamLoader, StreamPosition};
use crate::error::{Error, Result};
use crate::optim::buffers;
use crate::optim::{Ema, GradScaler, GroupState, Optimizer, OptimizerState, Rule};
use crate::schedule::{PlateauScheduler, PlateauState, Schedule, Scheduler, SchedulerState};
use crate::strategy::Model;

/// Before a parameter's name: its gradient inside a window of accumulation, which is each rank's own.
const GRADIENT: &str = "@gradient.";
/// Where the names of a model's frozen parameters are saved, if it has ever been told to freeze some.
const FROZEN: &str = "@frozen";

/// Parameters and buffers by their paths, such as `conv1.weight`.
impl<N> TrainState for Model<N> {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        let mut variables: Vec<(String, Tensor)> = self.vars().variables().into_iter().collect();
        variables.sort_by(|(left, _), (right, _)| left.cmp(right));
        out.tensors(variables)?;
        if let Some(frozen) = self.frozen_by_choice() {
            out.field(FROZEN, |out| out.value(&frozen))?;
        }
        // Rank 0's are broadcast before the next training step; until then each rank evaluates with its own.
        let mut own = if self.is_spread() { buffers(self.vars()) } else { Vec::new() };
        let gradients = self.window_gradients().into_iter();
        own.extend(gradients.map(|(name, gradient)| (format!("{GRADIENT}{name}"), gradient)));
        if own.is_empty() { Ok(()) } else { out.rank_tensors(own) }
    }

    fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
        compare(self, from)?;
        // Before the values: it may give every rank those of rank 0.
        if let Some(frozen) = from.beside::<BTreeSet<String>>(FROZEN)? {
            self.set_frozen(&frozen)?;
        }
        fill(self, from)
    }
}

/// A model that is shared cannot be frozen, so it is to be as it was when it was saved.
impl<N> TrainState for Rc<Model<N>> {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        (**self).save(out)
    }

    fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
        compare(self, from)?;
        let saved: Option<BTreeSet<String>> = from.beside(FROZEN)?;
        let frozen: BTreeSet<String> = self.frozen().into_iter().collect();
        if let Some(saved) = saved.filter(|saved| *saved != frozen) {
            let names = |names: &BTreeSet<String>| list(&names.iter().map(String::as_str).collect::<Vec<_>>());
            return Err(from.error(format!(
                "the checkpoint has {} frozen, and the model {}; freeze the same before the model is prepared",
                names(&saved),
                names(&frozen)
            )));
        }
        fill(self, from)
    }
}

/// Everything is compared before anything is changed.
fn compare<N>(model: &Model<N>, from: &StateReader<'_>) -> Result<()> {
    let variables = model.vars().variables().into_iter().collect::<BTreeMap<_, _>>();
    let file = from.tensor_file()?;
    let saved = file.layouts();
    let missing: Vec<_> = variables.keys().map(String::as_str).filter(|name| !saved.contains_key(name)).collect();
    let unknown: Vec<_> = saved.keys().copied().filter(|name| !variables.contains_key(*name)).collect();
    if !missing.is_empty() || !unknown.is_empty() {
        return Err(from.error(format!(
            "the model differs: it asks for {} that the checkpoint lacks, and lacks {} that the checkpoint has",
            list(&missing),
            list(&unknown)
        )));
    }
    for (name, variable) in &variables {
        let (size, kind) = &saved[name.as_str()];
        if (size, *kind) != (&variable.size(), variable.kind()) {
            return Err(from.error(format!(
                "`{name}` is {} in the checkpoint and {} in the model",
                described(size, *kind),
                described(&variable.size(), variable.kind())
            )));
        }
    }
    Ok(())
}

fn fill<N>(model: &Model<N>, from: &StateReader<'_>) -> Result<()> {
    let variables = model.vars().variables().into_iter().collect::<BTreeMap<_, _>>();
    let file = from.tensor_file()?;
    let own = from.rank_tensors()?;
    tch::no_grad(|| {
        file.read_into(&variables)?;
        for (name, mut variable) in variables {
            if let Some(own) = own.get(&name).filter(|own| own.size() == variable.size()) {
                variable.f_copy_(own)?;
            }
        }
        Ok::<_, Error>(())
    })?;
    model.set_window_gradients(&gradients(from, own)?)
}

/// This rank's gradients of a window that was not over. Where other ranks were in it, the mean of theirs: DDP's mean over
/// the ranks of now is then what it would have been.
fn gradients(from: &StateReader<'_>, own: BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>> {
    let gradients = |tensors: BTreeMap<String, Tensor>| -> BTreeMap<String, Tensor> {
        let stripped = |(name, tensor): (String, Tensor)| Some((name.strip_prefix(GRADIENT)?.to_owned(), tensor));
        tensors.into_iter().filter_map(stripped).collect()
    };
    if !from.is_of_other_ranks() {
        return Ok(gradients(own));
    }
    let mut sum: BTreeMap<String, Tensor> = BTreeMap::new();
    let ranks = from.saved_world_size();
    for rank in 0..ranks {
        for (name, gradient) in gradients(from.rank_tensors_of(rank)?) {
            let sum = sum.entry(name).or_insert_with(|| gradient.zeros_like());
            *sum = tch::no_grad(|| sum.f_add(&gradient.f_div_scalar(ranks as f64)?))?;
        }
    }
    Ok(sum)
}

fn list(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_owned(),
        names if names.len() > 6 => format!("`{}` and {} more", names[..5].join("`, `"), names.len() - 5),
        names => format!("`{}`", names.join("`, `")),
    }
}

fn described(size: &[i64], kind: Kind) -> String {
    format!("{size:?} of {}", kind_name(kind))
}

fn kind_name(kind: Kind) -> String {
    format!("{kind:?}").to_lowercase()
}

impl<R: Rule> TrainState for Optimizer<R> {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        let OptimizerState { kind, groups, tensors } = self.state_in_place()?;
        out.value(&(kind, groups))?;
        out.tensors(tensors)
    }

    fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
        let (kind, groups): (String, Vec<GroupState>) = from.value()?;
        let tensors = from.tensors()?.into_iter().collect();
        self.load_state(&OptimizerState { kind, groups, tensors }).map_err(|error| from.error(error))
    }
}

impl TrainState for Ema {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.value(&self.updates())?;
        out.tensors(self.averaged_parameters())
    }

    fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
        let average = from.tensors()?.into_iter().collect();
        self.load(from.value()?, average).map_err(|error| from.error(error))
    }
}

/// The place inside the epoch, counted in samples of all ranks.
impl<D: Dataset> TrainState for DataLoader<D> {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.value(&self.position())
    }

    fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
        let position = from.value()?;
        self.resume_at(position).map_err(|error| from.error(error))
    }
}

/// How far each rank has come in each of its shards.
impl<D: IterableDataset> TrainState for StreamLoader<D> {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.value(&self.position())
    }

    fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
        let own: StreamPosition = from.value()?;
        let places = if self.is_place(&own) {
            vec![own]
        } else {
            (0..from.saved_world_size()).map(|rank| from.value_of_rank(rank)).collect::<Result<_>>()?
        };
        self.resume_at(places).map_err(|error| from.error(error))
    }
}

impl<D: Dataset> TrainState for Rc<DataLoader<D>> {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        (**self).save(out)
    }

    fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
        let position = from.value()?;
        self.resume_at(position).map_err(|error| from.error(error))
    }
}

impl<T: TrainState> TrainState for Option<T> {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        self.as_ref().map_or(Ok(()), |part| part.save(out))
    }

    fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
        self.as_mut().map_or(Ok(()), |part| part.restore(from))
    }
}

impl<T: TrainState> TrainState for Box<T> {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        (**self).save(out)
    }

    fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
        (**self).restore(from)
    }
}

/// Each at its index.
impl<T: TrainState> TrainState for Vec<T> {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        self.iter().enumerate().try_for_each(|(index, part)| out.field(&index.to_string(), |out| part.save(out)))
    }

    fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
        self.iter_mut()
            .enumerate()
            .try_for_each(|(index, part)| from.field(&index.to_string(), |from| part.restore(from)))
    }
}

impl<S: Schedule> TrainState for Scheduler<S> {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.value(&self.state())
    }

    fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
        let state: SchedulerState<S> = from.value()?;
        self.load_state(&state).map_err(|error| from.error(error))
    }
}

impl TrainState for PlateauScheduler {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.value(&self.state())
    }

    fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
        let state: PlateauState = from.value()?;
        self.load_state(&state).map_err(|error| from.error(error))
    }
}

impl TrainState for EarlyStopping {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.value(&self.state)
    }

    fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
        let state: EarlyStoppingState = from.value()?;
        self.load_state(&state).map_err(|error| from.error(error))
    }
}

impl TrainState for GradScaler {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.value(&self.state()?)
    }

    fn restore(&mut self, from: &StateReader<'_>) -> Result<()> {
        let state = from.value()?;
        self.load_state(&state).map_err(|error| from.error(error))
    }
}
