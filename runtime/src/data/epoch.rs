//! The batches of one epoch, read ahead by threads and given in their order.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::batch::Batch;
use super::dataset::{Dataset, Draw, Finish, fetch};
use super::loader::{OnProgress, Position};
use super::plan::Plan;
use crate::callback::Event;
use crate::error::{Error, Result};
use crate::optim::LossWeight;
use crate::worker::{Hooks, Phase};

/// The batches of one epoch: an iterator over `Result<Batch<…>>`. After an error it ends.
pub struct Epoch<D: Dataset> {
    dataset: D,
    finish: Finish<D::Batch>,
    plan: Plan,
    /// The batch to be given next.
    next: u64,
    threads: Option<Threads<D::Batch>>,
    weight: LossWeight,
    told: Told,
    position: Rc<Cell<Position>>,
    /// By its last batch or an error.
    ended: bool,
}

/// Who is told how the epoch goes.
pub(super) struct Told {
    pub(super) on_progress: Option<OnProgress>,
    /// In a train loop's own epoch, not in a validation's.
    pub(super) hooks: Option<Rc<Hooks>>,
}

/// Threads that read batches ahead. Dropping it closes the jobs' channel, at which they end by themselves.
struct Threads<B> {
    jobs: Sender<(u64, Vec<Draw>)>,
    results: Receiver<(u64, Result<B>)>,
    /// The next batch to be asked for.
    asked: u64,
    /// Batches that came before their turn.
    early: BTreeMap<u64, Result<B>>,
}

impl<D: Dataset> Epoch<D> {
    pub(super) fn start(
        (dataset, finish): (D, Finish<D::Batch>),
        plan: Plan,
        workers: usize,
        prefetch: usize,
        weight: LossWeight,
        told: Told,
        position: Rc<Cell<Position>>,
    ) -> Result<Self> {
        let workers = workers.min(plan.batches() as usize);
        let threads = (workers > 0).then(|| Threads::start(&dataset, finish, workers)).transpose()?;
        let mut epoch = Self { dataset, finish, plan, next: 0, threads, weight, told, position, ended: false };
        for _ in 0..workers * prefetch {
            epoch.ask();
        }
        Ok(epoch)
    }

    /// How many batches are left.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.plan.batches() - self.next
    }

    fn fire(&self, event: Event) -> Result<()> {
        self.told.hooks.as_ref().map_or(Ok(()), |hooks| hooks.fire(event))
    }

    /// Gives the threads one more batch to read.
    fn ask(&mut self) {
        let Some(threads) = &mut self.threads else { return };
        if threads.asked < self.plan.batches() {
            let (samples, _) = self.plan.batch(threads.asked);
            // The threads end only when this sender is gone.
            let _ = threads.jobs.send((threads.asked, samples));
            threads.asked += 1;
        }
    }

    fn read(&mut self, samples: &[Draw]) -> Result<D::Batch> {
        match &mut self.threads {
            None => fetch(&self.dataset, samples, self.finish),
            Some(threads) => threads.take(self.next),
        }
    }
}

impl<B: Send + 'static> Threads<B> {
    fn start<D: Dataset<Batch = B>>(dataset: &D, finish: Finish<B>, workers: usize) -> Result<Self> {
        let (jobs, todo) = unbounded::<(u64, Vec<Draw>)>();
        let (done, results) = unbounded();
        for worker in 0..workers {
            let (dataset, todo, done) = (dataset.clone(), todo.clone(), done.clone());
            // What the dataset logs says whose it is.
            let span = tracing::Span::current();
            std::thread::Builder::new()
                .name(format!("loader-{worker}"))
                .spawn(move || {
                    let _entered = span.enter();
                    for (index, samples) in todo {
                        if done.send((index, fetch(&dataset, &samples, finish))).is_err() {
                            return;
                        }
                    }
                })
                .map_err(|error| Error::other(format!("cannot start a loader thread: {error}")))?;
        }
        Ok(Self { jobs, results, asked: 0, early: BTreeMap::new() })
    }

    fn take(&mut self, index: u64) -> Result<B> {
        loop {
            if let Some(result) = self.early.remove(&index) {
                return result;
            }
            match self.results.recv() {
                Ok((index, result)) => {
                    self.early.insert(index, result);
                }
                Err(_) => return Err(Error::other("the loader's threads have ended before their epoch")),
            }
        }
    }
}

impl<D: Dataset> Iterator for Epoch<D> {
    type Item = Result<Batch<D::Batch>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        if self.next == self.plan.batches() {
            self.ended = true;
            return self.fire(Event::EpochEnd).err().map(Err);
        }
        let (samples, share) = self.plan.batch(self.next);
        let weight = self.weight.clone();
        let data = match weight.time(Phase::Data, || self.read(&samples)) {
            Ok(data) => data,
            Err(error) => {
                self.ended = true;
                return Some(Err(error));
            }
        };
        self.ask();
        let (samples, window) = self.plan.after(self.next);
        self.position.set(Position { samples, window, ..self.position.get() });
        self.next += 1;
        self.weight.set(share.moment());
        if let Some(on_progress) = &self.told.on_progress {
            on_progress(self.next, self.plan.batches());
        }
        if let Err(error) = self.fire(Event::StepStart) {
            self.ended = true;
            return Some(Err(error));
        }
        Some(Ok(Batch::new(data, share)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.remaining() as usize;
        (0, Some(left))
    }
}

impl<D: Dataset> std::fmt::Debug for Epoch<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Epoch").field("next", &self.next).field("batches", &self.plan.batches()).finish_non_exhaustive()
    }
}
