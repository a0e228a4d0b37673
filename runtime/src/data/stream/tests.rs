use tch::Device;

use super::*;
use crate::data::Batch;
use crate::error::Error;
use crate::optim::LossWeight;

/// Shards of these lengths; a sample is its shard and its number there.
#[derive(Debug, Clone)]
struct Shards {
    lengths: Vec<u64>,
    fails_at: Option<(usize, u64)>,
    panics_at: Option<(usize, u64)>,
    /// The reader of a shard panics as it is dropped.
    bomb: bool,
}

struct Samples {
    of: Shards,
    shard: usize,
    next: u64,
}

impl Drop for Samples {
    fn drop(&mut self) {
        assert!(!self.of.bomb || std::thread::panicking(), "dropped");
    }
}

impl Iterator for Samples {
    type Item = Result<(usize, u64)>;

    fn next(&mut self) -> Option<Self::Item> {
        let sample = (self.shard, self.next);
        if self.next == self.of.lengths[self.shard] {
            return None;
        }
        assert_ne!(Some(sample), self.of.panics_at, "cursed");
        self.next += 1;
        Some(if self.of.fails_at == Some(sample) { Err(Error::other("a scratch")) } else { Ok(sample) })
    }
}

impl IterableDataset for Shards {
    type Sample = (usize, u64);
    type Batch = Vec<(usize, u64)>;
    type Samples = Samples;

    fn shards(&self) -> usize {
        self.lengths.len()
    }

    fn open(&self, shard: usize, _: u64) -> Result<Samples> {
        Ok(Samples { of: self.clone(), shard, next: 0 })
    }

    fn collate(&self, samples: Vec<(usize, u64)>) -> Result<Vec<(usize, u64)>> {
        Ok(samples)
    }
}

fn shards() -> Shards {
    Shards { lengths: vec![7, 0, 12, 3, 9, 1, 20, 5, 6, 4], fails_at: None, panics_at: None, bomb: false }
}

fn all() -> Vec<(usize, u64)> {
    let lengths = shards().lengths.into_iter().enumerate();
    lengths.flat_map(|(shard, length)| (0..length).map(move |index| (shard, index))).collect()
}

type Loader = StreamLoader<Shards>;

/// That of one of several ranks, which do not talk here: each ends by itself.
fn of_rank(rank: usize, world_size: usize, workers: usize) -> Loader {
    let ranks = Ranks { rank, world_size, group: None, device: Device::Cpu };
    let builder = StreamLoader::builder(shards()).batch_size(4).shuffle_shards(3).workers(workers);
    builder.for_ranks(ranks, LossWeight::default()).unwrap()
}

fn alone(workers: usize) -> Loader {
    of_rank(0, 1, workers)
}

fn batches(loader: &Loader, epoch: u64) -> Vec<Vec<(usize, u64)>> {
    loader.epoch(epoch).unwrap().map(|batch| batch.map(Batch::into_inner)).collect::<Result<_>>().unwrap()
}

#[test]
fn every_sample_comes_once_with_any_number_of_threads() {
    for workers in [0, 1, 2, 3, 12] {
        let loader = alone(workers);
        for epoch in [0, 1] {
            let mut seen = batches(&loader, epoch).concat();
            assert_eq!(batches(&loader, epoch).concat(), seen, "the same epoch twice");
            seen.sort_unstable();
            assert_eq!(seen, all(), "{workers} threads");
        }
        assert_ne!(batches(&loader, 0), batches(&loader, 1));
    }
    // The loop's own thread does what one thread does.
    assert_eq!(batches(&alone(0), 0), batches(&alone(1), 0));
}

#[test]
fn the_ranks_shares_are_the_stream() {
    let shares: Vec<_> = (0..3).map(|rank| batches(&of_rank(rank, 3, 2), 5).concat()).collect();
    assert!(shares.iter().all(|share| !share.is_empty()));
    let mut seen = shares.concat();
    seen.sort_unstable();
    assert_eq!(seen, all());
}

#[test]
fn drop_last_leaves_out_each_threads_short_batch() {
    let loader = StreamLoader::builder(shards()).batch_size(4).workers(3).drop_last(true).build().unwrap();
    let read = batches(&loader, 0);
    assert!(read.iter().all(|batch| batch.len() == 4) && read.len() >= 14, "{read:?}");
}

/// From the place after any number of batches the rest comes batch for batch, through what a checkpoint makes of a place.
#[test]
fn a_stream_goes_on_from_any_batch() {
    for workers in [0, 1, 2, 3] {
        let whole = batches(&alone(workers), 2);
        for taken in 0..=whole.len() {
            let loader = alone(workers);
            let mut epoch = loader.epoch(2).unwrap();
            epoch.by_ref().take(taken).for_each(|batch| drop(batch.unwrap()));
            let saved = rmp_serde::to_vec_named(&loader.position()).unwrap();
            drop(epoch);
            let mut again = alone(workers);
            again.resume_at(vec![rmp_serde::from_slice(&saved).unwrap()]).unwrap();
            assert_eq!(batches(&again, 2), whole[taken..], "{workers} threads, {taken} batches");
            assert_eq!(batches(&again, 2), whole, "a place is good for one epoch, once");
        }
    }
}

/// What `ranks` see of epoch 2 in that many batches each, or until each ends, and where they are then.
fn some(ranks: &[Loader], taken: usize) -> (Vec<(usize, u64)>, Vec<StreamPosition>) {
    let mut seen = Vec::new();
    for loader in ranks {
        for batch in loader.epoch(2).unwrap().take(taken) {
            seen.extend(batch.unwrap().into_inner());
        }
    }
    (seen, ranks.iter().map(StreamLoader::position).collect())
}

/// Two ranks of two threads, then three of one, then one of three, left inside the epoch each time.
#[test]
fn what_is_left_goes_to_other_numbers_of_ranks_and_threads() {
    for taken in 0..6 {
        let first: Vec<_> = (0..2).map(|rank| of_rank(rank, 2, 2)).collect();
        let (mut seen, mut places) = some(&first, taken);
        for (world_size, workers, taken) in [(3, 1, 1), (1, 3, 2), (2, 0, usize::MAX)] {
            let mut ranks: Vec<_> = (0..world_size).map(|rank| of_rank(rank, world_size, workers)).collect();
            for rank in &mut ranks {
                rank.resume_at(places.clone()).unwrap();
                // Saved again before it has gone on.
                assert!(rank.position().epoch == 2 && rank.position().parts.is_some());
            }
            let (more, then) = some(&ranks, taken);
            seen.extend(more);
            places = then;
        }
        seen.sort_unstable();
        assert_eq!(seen, all(), "{taken} batches first");
    }
}

/// A division that was gone on with goes on from its own places, too.
#[test]
fn a_second_division_goes_on_from_any_batch() {
    let (_, places) = some(&[of_rank(0, 2, 1), of_rank(1, 2, 1)], 2);
    let resumed = |places: &[StreamPosition]| {
        let mut loader = alone(2);
        loader.resume_at(places.to_vec()).unwrap();
        loader
    };
    let whole = batches(&resumed(&places), 2);
    let half = resumed(&places);
    half.epoch(2).unwrap().take(3).for_each(|batch| drop(batch.unwrap()));
    assert_eq!(batches(&resumed(&[half.position()]), 2), whole[3..]);
}

#[test]
fn the_place_of_another_stream_is_refused() {
    let refused = |loader: &mut Loader, places| loader.resume_at(places).unwrap_err().to_string();
    let other = StreamLoader::builder(shards()).shuffle_shards(4).build().unwrap();
    let error = refused(&mut alone(1), vec![other.position()]);
    assert!(error.contains("10 shards shuffled by seed 4 and this loader has 10 shards shuffled by seed 3"), "{error}");
    let fewer = StreamLoader::builder(Shards { lengths: vec![1; 9], ..shards() }).build().unwrap();
    let error = refused(&mut alone(1), vec![fewer.position()]);
    assert!(error.contains("9 shards in order"), "{error}");
    let ahead = of_rank(1, 2, 1);
    drop(ahead.epoch(7).unwrap());
    let error = refused(&mut alone(1), vec![of_rank(0, 2, 1).position(), ahead.position()]);
    assert!(error.contains("rank 1 saved a place of another epoch"), "{error}");
    let mut broken = of_rank(0, 2, 1).position();
    broken.lanes.clear();
    assert!(refused(&mut of_rank(0, 2, 1), vec![broken]).contains("one entry for each thread"));
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let ranks = || Ranks { rank: 0, world_size: 11, group: None, device: Device::Cpu };
    let error = StreamLoader::builder(shards()).for_ranks(ranks(), LossWeight::default()).unwrap_err().to_string();
    assert!(error.contains("10 shards cannot be dealt out over 11 ranks"), "{error}");
    assert!(StreamLoader::builder(shards()).batch_size(0).build().unwrap_err().to_string().contains("`batch_size`"));
    assert!(StreamLoader::builder(shards()).prefetch(0).build().unwrap_err().to_string().contains("`workers(0)`"));
}

/// The batches before it, then the error with the sample's place, then the end; whether it is returned or a panic.
#[test]
fn an_error_names_its_sample() {
    for workers in [0, 1, 2] {
        for (fails_at, panics_at, words) in [(Some((6, 13)), None, "a scratch"), (None, Some((6, 13)), "cursed")] {
            let dataset = Shards { fails_at, panics_at, ..shards() };
            let loader = StreamLoader::builder(dataset).batch_size(4).workers(workers).build().unwrap();
            let mut epoch = loader.epoch(0).unwrap();
            let mut before = 0;
            let error = loop {
                match epoch.next().expect("the epoch ended without its error") {
                    Ok(batch) => before += batch.len(),
                    Err(error) => break error,
                }
            };
            assert!(epoch.next().is_none() && before > 12, "{before}");
            let Error::ShardSample { shard, index, source } = error else { panic!("{error}") };
            assert_eq!((shard, index), (6, 13));
            assert!(source.to_string().contains(words), "{source}");
        }
    }
}

/// A thread that dies is an error of the loop, and no end of the epoch.
#[test]
fn the_death_of_a_thread_is_an_error() {
    let loader = StreamLoader::builder(Shards { bomb: true, ..shards() }).batch_size(4).build().unwrap();
    let last = loader.epoch(0).unwrap().last().unwrap().unwrap_err().to_string();
    assert!(last.contains("a loader thread has ended before its shards"), "{last}");
}
