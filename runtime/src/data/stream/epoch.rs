//! The batches of one epoch of a stream: this rank's lanes in turn, and the other ranks beside it.

use std::cell::RefCell;
use std::rc::Rc;

use crossbeam_channel::{Receiver, bounded};
use tch::Device;

use super::IterableDataset;
use super::lane::{Lane, Read, Sizes};
use super::position::{Part, StreamPosition};
use crate::c10d::{ProcessGroup, ReduceOp};
use crate::callback::Event;
use crate::data::batch::{Batch, Share};
use crate::data::dataset::Finish;
use crate::error::{Error, Result};
use crate::optim::LossWeight;
use crate::worker::activity::{self, Collective};
use crate::worker::{AllReduce, Hooks};

/// The batches of one epoch of a [`StreamLoader`](super::StreamLoader): an iterator over `Result<Batch<…>>`. After an error
/// it ends.
///
/// No rank knows how many samples the others have left, so they ask each other before each batch, in an all-reduce of one
/// number. A rank that has none takes the step with a stand-in that weighs nothing, as in a [`DataLoader`](crate::data::DataLoader),
/// and the epoch ends when no rank has one.
pub struct StreamEpoch<D: IterableDataset> {
    dataset: D,
    finish: Finish<D::Batch>,
    lanes: Vec<Source<D>>,
    /// This epoch's parts, for a stand-in.
    parts: Vec<Part>,
    ranks: Ranks,
    weight: LossWeight,
    /// In a train loop's own epoch, not in a validation's.
    hooks: Option<Rc<Hooks>>,
    position: Rc<RefCell<StreamPosition>>,
    ended: bool,
}

/// Those who read the stream together.
#[derive(Clone)]
pub(crate) struct Ranks {
    pub(crate) rank: usize,
    pub(crate) world_size: usize,
    pub(crate) group: Option<Rc<ProcessGroup>>,
    /// Where the ranks' messages lie.
    pub(crate) device: Device,
}

/// Where a lane's batches come from.
enum Source<D: IterableDataset> {
    /// Read as they are asked for.
    Here(Box<Lane<D>>),
    /// By a thread, ahead of the loop; it ends when this end of the channel is gone.
    Thread(Receiver<Message<D::Batch>>),
    /// Has no more.
    Empty,
}

/// `None` is the end of the lane: without it, its thread has died.
type Message<B> = Option<Result<Read<B>>>;

impl<D: IterableDataset> StreamEpoch<D> {
    pub(super) fn start(
        (dataset, finish): (&D, Finish<D::Batch>),
        (sizes, workers, prefetch): (Sizes, usize, usize),
        ranks: Ranks,
        (weight, hooks): (LossWeight, Option<Rc<Hooks>>),
        position: Rc<RefCell<StreamPosition>>,
    ) -> Result<Self> {
        let begin = position.borrow().clone();
        let parts = match begin.parts {
            Some(parts) => parts,
            None => begin.division.order(begin.epoch)?,
        };
        let mut lanes = Vec::with_capacity(begin.lanes.len());
        for (number, progress) in begin.lanes.into_iter().enumerate() {
            let dealt = begin.division.dealt(&parts, ranks.rank, number);
            let lane = || Lane::new(dataset.clone(), finish, begin.epoch, sizes, dealt.clone(), progress);
            lanes.push(if dealt.len() <= progress.part {
                Source::Empty
            } else if workers == 0 {
                Source::Here(Box::new(lane()))
            } else {
                let (dataset, epoch) = (dataset.clone(), begin.epoch);
                Source::thread(number, prefetch, move || Lane::new(dataset, finish, epoch, sizes, dealt, progress))?
            });
        }
        Ok(Self { dataset: dataset.clone(), finish, lanes, parts, ranks, weight, hooks, position, ended: false })
    }

    fn fire(&self, event: Event) -> Result<()> {
        self.hooks.as_ref().map_or(Ok(()), |hooks| hooks.fire(event))
    }

    /// The next batch of the lanes in turn, with the number of its lane.
    fn read(&mut self) -> Result<Option<(usize, Read<D::Batch>)>> {
        let (turn, lanes) = (self.position.borrow().turn, self.lanes.len());
        for number in (0..lanes).map(|offset| (turn + offset) % lanes) {
            match self.lanes[number].next().transpose()? {
                Some(read) => return Ok(Some((number, read))),
                None => self.lanes[number] = Source::Empty,
            }
        }
        Ok(None)
    }

    /// A batch of one sample, the first that there is, for a rank that has none left.
    fn stand_in(&self) -> Result<D::Batch> {
        let epoch = self.position.borrow().epoch;
        let parts = self.parts.iter().map(|&(shard, _)| (shard, 0)).collect();
        let one = Sizes { batch: 1, drop_last: false };
        let begin = super::position::Progress::default();
        let first = Lane::new(self.dataset.clone(), self.finish, epoch, one, parts, begin).next();
        first.transpose()?.map(|read| read.batch).ok_or_else(|| {
            Error::other(
                "this rank has no shard left, and none of the epoch's shards has a sample for it to stand in with",
            )
        })
    }

    fn step(&mut self) -> Result<Option<Batch<D::Batch>>> {
        let read = self.read()?;
        let own = read.as_ref().map_or(0, |(_, read)| read.samples);
        let total = activity::within(Collective::AllReduce, || {
            (own as i64).all_reduce(self.ranks.group.as_deref(), ReduceOp::Sum, self.ranks.device)
        })?;
        if total == 0 {
            self.ended = true;
            self.fire(Event::EpochEnd)?;
            return Ok(None);
        }
        let mut share = Share {
            index: 0,
            samples: own,
            weight: (own * self.ranks.world_size) as f64 / total as f64,
            begins_window: true,
            ends_window: true,
            global: None,
        };
        let data = match read {
            Some((number, read)) => {
                let mut position = self.position.borrow_mut();
                position.lanes[number] = read.progress;
                position.turn = (number + 1) % self.lanes.len();
                read.batch
            }
            None => self.stand_in()?,
        };
        {
            let mut position = self.position.borrow_mut();
            share.index = position.batches;
            position.batches += 1;
        }
        self.weight.set(share.moment());
        self.fire(Event::StepStart)?;
        Ok(Some(Batch::new(data, share)))
    }
}

impl<D: IterableDataset> Source<D> {
    fn thread(number: usize, prefetch: usize, lane: impl FnOnce() -> Lane<D> + Send + 'static) -> Result<Self> {
        let (sender, receiver) = bounded(prefetch);
        std::thread::Builder::new()
            .name(format!("loader-{number}"))
            .spawn(move || {
                // Made here: what a shard is read with need not be `Send`.
                let mut lane = lane();
                loop {
                    let read = lane.next();
                    let ended = read.is_none();
                    if sender.send(read).is_err() || ended {
                        return;
                    }
                }
            })
            .map_err(|error| Error::other(format!("cannot start a loader thread: {error}")))?;
        Ok(Self::Thread(receiver))
    }

    fn next(&mut self) -> Option<Result<Read<D::Batch>>> {
        match self {
            Self::Here(lane) => lane.next(),
            Self::Thread(receiver) => receiver
                .recv()
                .unwrap_or_else(|_| Some(Err(Error::other("a loader thread has ended before its shards")))),
            Self::Empty => None,
        }
    }
}

impl<D: IterableDataset> Iterator for StreamEpoch<D> {
    type Item = Result<Batch<D::Batch>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let batch = self.step().transpose();
        self.ended |= matches!(batch, Some(Err(_)));
        batch
    }
}

impl<D: IterableDataset> std::fmt::Debug for StreamEpoch<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamEpoch").field("position", &self.position.borrow()).finish_non_exhaustive()
    }
}
