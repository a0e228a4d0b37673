//! The distributed sampler against PyTorch's own tables (`expected/sampler.py` makes them), and its exact shares.

use serde_json::Value;
use trainloop::data::{BucketSampler, DistributedSampler, Tail, WeightedSampler};

/// Every rank's indices of one epoch.
fn shares(length: usize, world: usize, tail: Tail, seed: Option<u64>, epoch: u64) -> Vec<Vec<usize>> {
    (0..world)
        .map(|rank| {
            let sampler = DistributedSampler::new(length, rank, world).unwrap().tail(tail);
            let sampler = seed.map_or(sampler.clone(), |seed| sampler.clone().shuffle(seed));
            sampler.indices(epoch).unwrap()
        })
        .collect()
}

/// All 630 tables of PyTorch: lengths 0 to 103, 1 to 8 ranks, padded and dropped, ordered and shuffled, three epochs.
#[test]
fn every_table_is_pytorchs() {
    let file: Value = serde_json::from_str(include_str!("expected/sampler.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 630);
    for case in cases {
        let number = |name: &str| case[name].as_u64().unwrap();
        let tail = if case["drop_last"] == true { Tail::Drop } else { Tail::Pad };
        let seed = (case["shuffle"] == true).then(|| number("seed"));
        let (length, world) = (number("length") as usize, number("world") as usize);
        let expected: Vec<Vec<usize>> = serde_json::from_value(case["ranks"].clone()).unwrap();
        let found = shares(length, world, tail, seed, number("epoch"));
        assert_eq!(found, expected, "{length} samples, {world} ranks, {tail:?}, {case}");
        let total = DistributedSampler::new(length, 0, world).unwrap().tail(tail).total();
        assert_eq!(total, expected.iter().map(Vec::len).sum::<usize>(), "total() of {case}");
    }
}

/// Without padding or dropping 103 samples divide over 4 ranks as 26, 26, 26 and 25.
#[test]
fn exact_shares_of_103_over_4() {
    for seed in [None, Some(17)] {
        let lengths: Vec<usize> = shares(103, 4, Tail::Exact, seed, 0).iter().map(Vec::len).collect();
        assert_eq!(lengths, [26, 26, 26, 25]);
    }
}

/// Exact shares hold every sample once, in the order of the permutation that one rank would see.
#[test]
fn exact_shares_cover_every_sample_once() {
    for length in [0, 1, 2, 3, 7, 10, 16, 17, 103] {
        for world in [1, 2, 3, 4, 8] {
            for (seed, epoch) in [(None, 0), (Some(0), 0), (Some(17), 5)] {
                let ranks = shares(length, world, Tail::Exact, seed, epoch);
                let alone = shares(length, 1, Tail::Exact, seed, epoch).remove(0);
                let dealt: Vec<usize> = (0..length).map(|place| ranks[place % world][place / world]).collect();
                assert_eq!(dealt, alone, "{length} samples over {world}");
                assert_eq!(ranks.iter().map(Vec::len).sum::<usize>(), length);
                let mut sorted = alone;
                sorted.sort_unstable();
                assert_eq!(sorted, (0..length).collect::<Vec<_>>());
            }
        }
    }
}

/// Epochs and seeds give other orders; the same ones give the same.
#[test]
fn the_order_is_a_function_of_seed_and_epoch() {
    let order = |seed, epoch| shares(50, 2, Tail::Exact, Some(seed), epoch);
    assert_eq!(order(3, 4), order(3, 4));
    assert_ne!(order(3, 4), order(3, 5));
    assert_ne!(order(3, 4), order(9, 4));
    assert_ne!(order(3, 0), shares(50, 2, Tail::Exact, None, 0));
}

/// The greatest seed does not overflow in a later epoch.
#[test]
fn the_greatest_seed_wraps() {
    assert_eq!(shares(20, 1, Tail::Exact, Some(u64::MAX), 1), shares(20, 1, Tail::Exact, Some(0), 0));
}

/// A rank outside the group is refused, and told that ranks count from 0.
#[test]
fn a_rank_outside_the_group_is_refused() {
    for (rank, world) in [(2, 2), (5, 3), (0, 0)] {
        let error = DistributedSampler::new(10, rank, world).unwrap_err().to_string();
        assert!(error.contains(&format!("rank {rank} is not among {world} ranks")), "{error}");
    }
}

/// PyTorch's draws by weights (`expected/weighted.py` makes them), and the ranks' shares of them.
#[test]
fn every_weighted_draw_is_pytorchs() {
    let file: Value = serde_json::from_str(include_str!("expected/weighted.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 12);
    for case in cases {
        let number = |name: &str| case[name].as_u64().unwrap();
        let weights: Vec<f64> = serde_json::from_value(case["weights"].clone()).unwrap();
        let expected: Vec<usize> = serde_json::from_value(case["indices"].clone()).unwrap();
        let samples = weights.len();
        let weighted = WeightedSampler::new(weights, expected.len(), number("seed")).unwrap();
        let of_rank = |rank, world| {
            let divided = DistributedSampler::new(samples, rank, world).unwrap().order(weighted.clone()).unwrap();
            assert_eq!(divided.total(), expected.len());
            divided.indices(number("epoch")).unwrap()
        };
        assert_eq!(of_rank(0, 1), expected, "{case}");
        let second: Vec<usize> = expected.iter().copied().skip(1).step_by(3).collect();
        assert_eq!(of_rank(1, 3), second);
    }
}

#[test]
fn an_order_of_other_samples_is_refused() {
    let sampler = || DistributedSampler::new(5, 0, 1).unwrap();
    let weighted = WeightedSampler::new([1.0; 4], 4, 0).unwrap();
    let error = sampler().order(weighted).unwrap_err().to_string();
    assert!(error.contains("there are 4 weights for 5 samples"), "{error}");
    let error = sampler().order(BucketSampler::new([1; 6], 2, 0).unwrap()).unwrap_err().to_string();
    assert!(error.contains("there are 6 lengths for 5 samples"), "{error}");
}
