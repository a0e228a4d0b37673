//! The loader of one process: order, threads, uneven ends, failing datasets. Several ranks' shares are tested with
//! worker processes, in `tests/tests/numerics_data.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use trainloop::data::{DataLoaderBuilder, DistributedSampler, Draw, Tail};
use trainloop::prelude::*;

/// Each sample is its index; one of them may fail or panic.
#[derive(Debug, Clone, Default)]
struct Indices {
    length: usize,
    fails_at: Option<usize>,
    panics_at: Option<usize>,
    collate_fails: bool,
}

impl Dataset for Indices {
    type Sample = usize;
    type Batch = Vec<usize>;

    fn len(&self) -> usize {
        self.length
    }

    fn get(&self, index: usize) -> Result<usize> {
        assert_ne!(Some(index), self.panics_at, "sample {index} is cursed");
        if self.fails_at == Some(index) {
            return Err(Error::other("a scratch on the disk"));
        }
        Ok(index)
    }

    fn collate(&self, samples: Vec<usize>) -> Result<Vec<usize>> {
        if self.collate_fails { Err(Error::other("samples of different lengths")) } else { Ok(samples) }
    }
}

fn indices(length: usize) -> Indices {
    Indices { length, ..Indices::default() }
}

/// The batches of an epoch.
fn read<D: Dataset>(loader: &DataLoader<D>, epoch: u64) -> Vec<Batch<D::Batch>> {
    loader.epoch(epoch).unwrap().collect::<Result<_>>().unwrap()
}

fn samples(loader: &DataLoader<Indices>, epoch: u64) -> Vec<usize> {
    read(loader, epoch).into_iter().flat_map(Batch::into_inner).collect()
}

/// The sampler's order arrives whatever the number of threads, shuffled and not, in each epoch.
#[test]
fn the_order_is_the_samplers_with_any_number_of_threads() {
    for seed in [None, Some(17)] {
        let sampler = DistributedSampler::new(103, 0, 1).unwrap();
        let sampler = seed.map_or(sampler.clone(), |seed| sampler.clone().shuffle(seed));
        for workers in [0, 1, 3] {
            for prefetch in [1, 4] {
                let mut builder = DataLoader::builder(indices(103)).batch_size(4).workers(workers).prefetch(prefetch);
                if let Some(seed) = seed {
                    builder = builder.shuffle(seed);
                }
                let loader = builder.build().unwrap();
                for epoch in [0, 1, 5] {
                    assert_eq!(samples(&loader, epoch), sampler.indices(epoch).unwrap(), "{workers} threads");
                }
            }
        }
    }
}

/// Batches come in their order also where a later one is read sooner: batch 0 is held back until batch 1 has been read.
#[test]
fn a_slow_batch_is_waited_for() {
    #[derive(Clone)]
    struct Slow(Arc<AtomicBool>);

    impl Dataset for Slow {
        type Sample = usize;
        type Batch = Vec<usize>;

        fn len(&self) -> usize {
            6
        }

        fn get(&self, index: usize) -> Result<usize> {
            let deadline = Instant::now() + Duration::from_secs(30);
            while index == 0 && !self.0.load(Ordering::Acquire) {
                assert!(Instant::now() < deadline, "no other thread reads batch 1");
                std::thread::yield_now();
            }
            if index == 3 {
                self.0.store(true, Ordering::Release);
            }
            Ok(index)
        }

        fn collate(&self, samples: Vec<usize>) -> Result<Vec<usize>> {
            Ok(samples)
        }
    }

    let loader = DataLoader::builder(Slow(Arc::default())).batch_size(2).workers(2).build().unwrap();
    let batches: Vec<Vec<usize>> = read(&loader, 0).into_iter().map(Batch::into_inner).collect();
    assert_eq!(batches, [vec![0, 1], vec![2, 3], vec![4, 5]]);
}

/// The last batch of one process is shorter, counts what it holds, and weighs 1 as all do.
#[test]
fn an_uneven_last_batch_is_short() {
    for workers in [0, 1, 3] {
        let loader = DataLoader::builder(indices(10)).batch_size(4).workers(workers).build().unwrap();
        assert_eq!(loader.batches(), 3);
        let batches = read(&loader, 0);
        let places: Vec<_> = batches.iter().map(|batch| (batch.index(), batch.samples(), batch.len())).collect();
        assert_eq!(places, [(0, 4, 4), (1, 4, 4), (2, 2, 2)]);
        assert!(batches.iter().all(|batch| batch.weight().to_bits() == 1.0_f64.to_bits()));
    }
}

/// With `drop_last` an epoch holds full batches only.
#[test]
fn drop_last_leaves_out_the_short_batch() {
    for (length, batches) in [(0, 0), (3, 0), (4, 1), (10, 2), (12, 3)] {
        for workers in [0, 3] {
            let builder = DataLoader::builder(indices(length)).batch_size(4).workers(workers).drop_last(true);
            let loader = builder.build().unwrap();
            assert_eq!(loader.batches(), batches, "{length} samples");
            assert_eq!(samples(&loader, 0), (0..batches as usize * 4).collect::<Vec<_>>());
        }
    }
}

/// An empty dataset has an epoch of no batches; a batch larger than the dataset holds all of it.
#[test]
fn no_samples_and_few_samples() {
    for workers in [0, 1, 3] {
        for tail in [Tail::Exact, Tail::Pad, Tail::Drop] {
            let loader = |length| {
                DataLoader::builder(indices(length)).batch_size(8).tail(tail).workers(workers).build().unwrap()
            };
            assert_eq!((loader(0).batches(), read(&loader(0), 0).len()), (0, 0));
            assert_eq!((loader(5).batches(), samples(&loader(5), 0)), (1, vec![0, 1, 2, 3, 4]));
        }
    }
}

/// How many batches are left is known at each step, and none are left at the end.
#[test]
fn remaining_counts_down() {
    let loader = DataLoader::builder(indices(10)).batch_size(4).build().unwrap();
    let mut epoch = loader.epoch(0).unwrap();
    for left in [3, 2, 1] {
        assert_eq!(epoch.remaining(), left);
        epoch.next().unwrap().unwrap();
    }
    assert_eq!(epoch.remaining(), 0);
    assert!(epoch.next().is_none());
    assert!(epoch.next().is_none());
}

/// The batches before a failing sample, then the error, then the end.
fn until_the_error(builder: DataLoaderBuilder<Indices>) -> (Vec<usize>, Error) {
    let loader = builder.build().unwrap();
    let mut epoch = loader.epoch(0).unwrap();
    let mut before = Vec::new();
    let error = loop {
        match epoch.next().expect("the epoch ended without its error") {
            Ok(batch) => before.extend(batch.into_inner()),
            Err(error) => break error,
        }
    };
    assert!(epoch.next().is_none(), "the epoch went on after its error");
    (before, error)
}

/// A dataset's error reaches the loop as it is, with the sample's index, after the batches before it.
#[test]
fn an_error_names_its_sample() {
    for workers in [0, 1, 3] {
        let dataset = Indices { length: 20, fails_at: Some(9), ..Indices::default() };
        let (before, error) = until_the_error(DataLoader::builder(dataset).batch_size(4).workers(workers));
        assert_eq!(before, (0..8).collect::<Vec<_>>());
        let Error::Sample { index, source } = error else { panic!("{error}") };
        assert_eq!((index, source.to_string().as_str()), (9, "a scratch on the disk"));
    }
}

/// The index is the sample's own, not its place in the shuffled epoch.
#[test]
fn an_error_in_a_shuffled_epoch_names_the_samples_index() {
    let dataset = Indices { length: 20, fails_at: Some(13), ..Indices::default() };
    let (before, error) = until_the_error(DataLoader::builder(dataset).shuffle(4).batch_size(3).workers(2));
    let order = DistributedSampler::new(20, 0, 1).unwrap().shuffle(4).indices(0).unwrap();
    assert!(order.starts_with(&before));
    assert!(order[before.len()..].iter().take(3).any(|&index| index == 13));
    assert!(matches!(error, Error::Sample { index: 13, .. }), "{error}");
}

/// An error of `collate` reaches the loop as it is.
#[test]
fn an_error_of_collate_arrives() {
    for workers in [0, 2] {
        let dataset = Indices { length: 8, collate_fails: true, ..Indices::default() };
        let (before, error) = until_the_error(DataLoader::builder(dataset).batch_size(4).workers(workers));
        assert_eq!((before.len(), error.to_string().as_str()), (0, "samples of different lengths"));
    }
}

/// A dataset's panic is an error with its words and the sample's index, in the loop's thread and in others.
#[test]
fn a_panic_is_an_error() {
    for workers in [0, 1, 3] {
        let dataset = Indices { length: 20, panics_at: Some(9), ..Indices::default() };
        let (before, error) = until_the_error(DataLoader::builder(dataset).batch_size(4).workers(workers));
        assert_eq!(before, (0..8).collect::<Vec<_>>());
        let Error::Sample { index, source } = error else { panic!("{error}") };
        assert_eq!(index, 9);
        assert!(source.to_string().contains("sample 9 is cursed"), "{source}");
    }
}

/// Panics as it is read, as it is made a batch of, or with a value that panics once more where it is dropped.
#[derive(Debug, Clone, Copy)]
enum Panics {
    InCollate,
    WithABomb,
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

impl Dataset for Panics {
    type Sample = usize;
    type Batch = Vec<usize>;

    fn len(&self) -> usize {
        20
    }

    fn get(&self, index: usize) -> Result<usize> {
        match self {
            Self::WithABomb if index == 9 => std::panic::panic_any(Bomb),
            _ => Ok(index),
        }
    }

    fn collate(&self, samples: Vec<usize>) -> Result<Vec<usize>> {
        match self {
            Self::InCollate => panic!("no such batch"),
            Self::WithABomb => Ok(samples),
        }
    }
}

/// No panic ends a thread in silence, at which the loop would wait for a batch that never comes.
#[test]
fn no_panic_leaves_the_loop_waiting() {
    for workers in [0, 1, 3] {
        let last = |dataset| {
            let loader = DataLoader::builder(dataset).batch_size(4).workers(workers).build().unwrap();
            loader.epoch(0).unwrap().last().unwrap().unwrap_err()
        };
        let error = last(Panics::WithABomb);
        assert!(matches!(error, Error::Sample { index: 9, .. }), "{error}");
        let text = last(Panics::InCollate).to_string();
        assert!(text.contains("a batch of samples [0, 1, 2, 3]: no such batch"), "{text}");
    }
}

/// What is drawn says which sample, of which epoch, at which place; its seed depends on epoch and place alone, whoever reads.
#[test]
fn chance_is_a_function_of_epoch_and_place() {
    #[derive(Clone)]
    struct Seeds;

    impl Dataset for Seeds {
        type Sample = (Draw, u64);
        type Batch = Vec<(Draw, u64)>;

        fn len(&self) -> usize {
            11
        }

        fn get(&self, _: usize) -> Result<(Draw, u64)> {
            Err(Error::other("the loader draws"))
        }

        fn draw(&self, draw: Draw) -> Result<(Draw, u64)> {
            Ok((draw, draw.seed(5)))
        }

        fn collate(&self, samples: Vec<(Draw, u64)>) -> Result<Vec<(Draw, u64)>> {
            Ok(samples)
        }
    }

    let drawn = |workers, epoch| -> Vec<_> {
        let loader = DataLoader::builder(Seeds).batch_size(4).shuffle(3).workers(workers).build().unwrap();
        read(&loader, epoch).into_iter().flat_map(Batch::into_inner).collect()
    };
    let alone = drawn(0, 2);
    let order = DistributedSampler::new(11, 0, 1).unwrap().shuffle(3).indices(2).unwrap();
    for (place, (draw, _)) in alone.iter().enumerate() {
        assert_eq!(*draw, Draw { index: order[place], epoch: 2, place });
    }
    assert_eq!(drawn(3, 2), alone);
    let mut seeds: Vec<u64> = alone.iter().chain(&drawn(0, 3)).map(|&(_, seed)| seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), 22, "another one for each");
}

/// Tells how many hold it, and how many samples loader threads have read.
#[derive(Clone, Default)]
struct Counted {
    held: Arc<()>,
    read_by_threads: Arc<AtomicUsize>,
}

impl Dataset for Counted {
    type Sample = usize;
    type Batch = Vec<usize>;

    fn len(&self) -> usize {
        1000
    }

    fn get(&self, index: usize) -> Result<usize> {
        if std::thread::current().name().is_some_and(|name| name.starts_with("loader-")) {
            self.read_by_threads.fetch_add(1, Ordering::Relaxed);
        }
        Ok(index)
    }

    fn collate(&self, samples: Vec<usize>) -> Result<Vec<usize>> {
        Ok(samples)
    }
}

/// An epoch left midway takes its threads with it: each of them held a clone of the dataset, and lets go.
#[test]
fn an_epoch_left_midway_leaves_no_thread() {
    let Counted { held, read_by_threads } = Counted::default();
    let holders = || Arc::strong_count(&held);
    let dataset = Counted { held: Arc::clone(&held), read_by_threads: Arc::clone(&read_by_threads) };
    let loader = DataLoader::builder(dataset).batch_size(2).workers(3).prefetch(4).build().unwrap();
    let idle = holders();
    for taken in [0, 1, 5] {
        let mut epoch = loader.epoch(0).unwrap();
        for _ in 0..taken {
            epoch.next().unwrap().unwrap();
        }
        // The epoch's own clone, and one for each thread.
        assert_eq!(holders(), idle + 4);
        drop(epoch);
        let deadline = Instant::now() + Duration::from_secs(30);
        while holders() > idle {
            assert!(Instant::now() < deadline, "{} loader threads are left", holders() - idle);
            std::thread::yield_now();
        }
    }
    assert!(read_by_threads.load(Ordering::Relaxed) > 0);
}

/// After whole epochs and broken ones the process has no thread named `loader-…`. Other tests of this file have some, so
/// the count is taken in a process of its own.
#[test]
fn no_loader_thread_is_left_in_the_process() {
    const ALONE: &str = "TRAINLOOP_LOADER_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let test = "no_loader_thread_is_left_in_the_process";
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success() && output.contains("1 passed"), "{output}");
        return;
    }
    let loader = DataLoader::builder(indices(100)).batch_size(2).workers(3).build().unwrap();
    assert_eq!(samples(&loader, 0).len(), 100);
    let mut epoch = loader.epoch(1).unwrap();
    epoch.next().unwrap().unwrap();
    assert!(loader_threads() > 0, "the threads have no name to count them by");
    drop(epoch);
    let failing = Indices { length: 20, fails_at: Some(3), ..Indices::default() };
    let _ = until_the_error(DataLoader::builder(failing).batch_size(4).workers(3));
    let deadline = Instant::now() + Duration::from_secs(30);
    while loader_threads() > 0 {
        assert!(Instant::now() < deadline, "{} loader threads are left", loader_threads());
        std::thread::yield_now();
    }
}

fn loader_threads() -> usize {
    // The main thread has the name of this binary, which begins so too.
    let main = std::process::id().to_string();
    let tasks =
        std::fs::read_dir("/proc/self/task").unwrap().flatten().filter(|task| task.file_name() != main.as_str());
    // A thread may end between being listed and being read.
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.map(name).filter(|name| name.starts_with("loader-")).count()
}

/// The same epoch twice is the same; another is not; two at once do not disturb one another.
#[test]
fn an_epoch_can_be_read_again() {
    let loader = DataLoader::builder(indices(30)).shuffle(1).batch_size(4).workers(2).build().unwrap();
    let first = samples(&loader, 2);
    assert_eq!(samples(&loader, 2), first);
    assert_ne!(samples(&loader, 3), first);
    let (left, right) = (loader.epoch(2).unwrap(), loader.epoch(2).unwrap());
    for (left, right) in left.zip(right) {
        assert_eq!(left.unwrap().into_inner(), right.unwrap().into_inner());
    }
}

/// An epoch outlives its loader.
#[test]
fn an_epoch_owns_what_it_needs() {
    let epoch = DataLoader::builder(indices(10)).batch_size(4).workers(2).build().unwrap().epoch(0).unwrap();
    assert_eq!(epoch.map(|batch| batch.unwrap().into_inner().len()).sum::<usize>(), 10);
}

/// A size that trains nothing is refused with what to give instead.
#[test]
fn sizes_of_zero_are_refused() {
    let error = DataLoader::builder(indices(3)).batch_size(0).build().unwrap_err().to_string();
    assert!(error.contains("`batch_size` at least 1"), "{error}");
    let error = DataLoader::builder(indices(3)).prefetch(0).build().unwrap_err().to_string();
    assert!(error.contains("`workers(0)`"), "{error}");
}

/// The first batches are left out and not read; the rest keep their numbers.
#[test]
fn first_batches_are_skipped() {
    let loader = DataLoader::builder(Indices { fails_at: Some(3), ..indices(10) }).batch_size(4).build().unwrap();
    for (skipped, expected) in [(1, vec![4, 5, 6, 7, 8, 9]), (2, vec![8, 9]), (3, vec![])] {
        let batches: Vec<_> = loader.skip_first_batches(0, skipped).unwrap().collect::<Result<_>>().unwrap();
        let numbers: Vec<u64> = batches.iter().map(Batch::index).collect();
        assert_eq!(numbers, (skipped..3).collect::<Vec<_>>());
        assert_eq!(batches.into_iter().flat_map(Batch::into_inner).collect::<Vec<_>>(), expected);
    }
    let text = loader.skip_first_batches(0, 4).unwrap_err().to_string();
    assert!(text.contains("4 batches cannot be skipped: an epoch has 3"), "{text}");
    // The next epoch is whole again.
    assert!(loader.epoch(1).unwrap().next().unwrap().is_err());
}
