//! Collectives of one, two and three ranks, each a thread with its own store and group.

mod common;

use std::time::{Duration, Instant};

use common::{PATIENCE, join, ranks, ranks_with_timeout};
use tch::{Kind, Tensor};
use trainloop_c10d::{Error, FileStore, Interface, PrefixStore, ProcessGroup, ReduceOp, TcpStore};

const WORLDS: [usize; 3] = [1, 2, 3];

fn flat(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

/// Rank r's values: small whole numbers, of both signs, that differ between ranks.
fn own(rank: usize) -> [f64; 3] {
    let rank = rank as f64;
    [rank + 1.0, -2.0 * rank + 1.0, 3.0 - rank]
}

/// What `op` makes of all ranks' values.
fn combined(op: ReduceOp, world_size: usize) -> Vec<f64> {
    let fold = |place: usize, start: f64, with: fn(f64, f64) -> f64| {
        (0..world_size).map(|rank| own(rank)[place]).fold(start, with)
    };
    let combine = |place| match op {
        ReduceOp::Sum => fold(place, 0.0, |a, b| a + b),
        ReduceOp::Mean => fold(place, 0.0, |a, b| a + b) / world_size as f64,
        ReduceOp::Product => fold(place, 1.0, |a, b| a * b),
        ReduceOp::Min => fold(place, f64::INFINITY, f64::min),
        ReduceOp::Max => fold(place, f64::NEG_INFINITY, f64::max),
        bits => unreachable!("{bits:?} is of whole numbers"),
    };
    (0..3).map(combine).collect()
}

/// Every operation over f32, f64 and i64, on every rank; the mean of whole numbers is refused before the call.
#[test]
fn all_reduce_combines() {
    for world_size in WORLDS {
        ranks(world_size, |group| {
            for kind in [Kind::Float, Kind::Double, Kind::Int64] {
                for op in [ReduceOp::Sum, ReduceOp::Mean, ReduceOp::Product, ReduceOp::Min, ReduceOp::Max] {
                    let mut tensor = Tensor::from_slice(&own(group.rank())).to_kind(kind);
                    let result = group.all_reduce(&mut tensor, op);
                    if kind == Kind::Int64 && op == ReduceOp::Mean {
                        let error = result.unwrap_err();
                        assert!(matches!(error, Error::Argument { operation: "all_reduce", .. }), "{error:?}");
                        assert!(error.to_string().contains("ReduceOp::Sum"), "{error}");
                        assert_eq!(flat(&tensor), own(group.rank()), "a refused tensor was changed");
                        continue;
                    }
                    result.unwrap();
                    assert_eq!(tensor.kind(), kind);
                    let (found, expected) = (flat(&tensor), combined(op, world_size));
                    let close = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6);
                    assert!(close, "{op:?} of {kind:?} over {world_size}: {found:?} is not {expected:?}");
                }
            }
        });
    }
}

/// Half precision, an empty tensor, a scalar, and one larger than any buffer.
#[test]
fn all_reduce_of_other_sizes() {
    ranks(3, |group| {
        let ones = |kind| (kind, tch::Device::Cpu);
        for (shape, kind) in [
            (vec![], Kind::Double),
            (vec![0], Kind::Float),
            (vec![2, 0, 3], Kind::Int64),
            (vec![7], Kind::Half),
            (vec![7], Kind::BFloat16),
            (vec![300_001], Kind::Float),
        ] {
            let mut tensor = Tensor::ones(&shape, ones(kind)) * (group.rank() as i64 + 1);
            group.all_reduce(&mut tensor, ReduceOp::Sum).unwrap();
            assert_eq!((tensor.size(), tensor.kind()), (shape, kind));
            assert_eq!(flat(&tensor), vec![6.0; tensor.numel()]);
        }
    });
}

/// Every rank gets the root's tensor, whichever the root is; a root outside the group is refused.
#[test]
fn broadcast_gives_the_roots() {
    for world_size in WORLDS {
        ranks(world_size, |group| {
            for root in 0..world_size {
                let mut tensor = Tensor::from_slice(&own(group.rank()));
                group.broadcast(&mut tensor, root).unwrap();
                assert_eq!(flat(&tensor), own(root));
            }
            let error = group.broadcast(&mut Tensor::zeros([2], tch::kind::FLOAT_CPU), world_size).unwrap_err();
            assert!(matches!(error, Error::Argument { operation: "broadcast", .. }), "{error:?}");
            assert!(error.to_string().contains(&format!("root {world_size} is not in a group of {world_size}")));
        });
    }
}

/// Every rank gets every rank's tensor in the order of ranks, and its own is not the one it gave.
#[test]
fn all_gather_keeps_the_order_of_ranks() {
    for world_size in WORLDS {
        ranks(world_size, |group| {
            for kind in [Kind::Float, Kind::Double, Kind::Int64, Kind::Uint8] {
                let tensor = Tensor::from_slice(&[group.rank() as f64, 7.0]).to_kind(kind).view([1, 2]);
                let mut gathered = group.all_gather(&tensor).unwrap();
                assert_eq!(gathered.len(), world_size);
                for (rank, found) in gathered.iter().enumerate() {
                    assert_eq!((found.size(), found.kind()), (vec![1, 2], kind));
                    assert_eq!(flat(found), [rank as f64, 7.0]);
                }
                let _ = gathered[group.rank()].fill_(1);
                assert_eq!(flat(&tensor), [group.rank() as f64, 7.0]);
            }
        });
    }
}

/// Transposed and strided tensors go through each collective as their elements say, not as their memory lies.
#[test]
fn tensors_with_gaps() {
    ranks(2, |group| {
        let scale = group.rank() as f64 + 1.0;
        let base = || Tensor::from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).view([2, 3]) * scale;
        let views: [fn(&Tensor) -> Tensor; 3] =
            [|base| base.tr(), |base| base.narrow(1, 1, 2), |base| base.slice(1, 0, 3, 2)];
        for view in views {
            let once = flat(&(view(&base()) / scale));
            let times = |factor: f64| once.iter().map(|value| value * factor).collect::<Vec<_>>();
            let whole = base();
            let mut tensor = view(&whole);
            assert!(!tensor.is_contiguous());
            group.all_reduce(&mut tensor, ReduceOp::Sum).unwrap();
            assert_eq!(flat(&tensor), times(3.0));
            assert_eq!(flat(&view(&whole)), times(3.0), "the result is not in the view's own memory");
            let mut tensor = view(&base());
            group.broadcast(&mut tensor, 1).unwrap();
            assert_eq!(flat(&tensor), times(2.0));
            let gathered = group.all_gather(&view(&base())).unwrap();
            assert_eq!((flat(&gathered[0]), flat(&gathered[1])), (times(1.0), times(2.0)));
        }
    });
}

/// A parameter that asks for gradients can be combined and sent, and is a leaf without history afterwards; a sparse tensor
/// is refused.
#[test]
fn parameters_and_sparse_tensors() {
    ranks(2, |group| {
        let rank = group.rank() as f64;
        for columns in [3, 2] {
            let make =
                || Tensor::full([2, 3], rank, tch::kind::DOUBLE_CPU).narrow(1, 0, columns).set_requires_grad(true);
            let mut parameter = make();
            group.all_reduce(&mut parameter, ReduceOp::Mean).unwrap();
            assert_eq!(flat(&parameter), vec![0.5; parameter.numel()]);
            assert!(parameter.is_leaf() && parameter.requires_grad());
            let mut parameter = make();
            group.broadcast(&mut parameter, 1).unwrap();
            assert_eq!(flat(&parameter), vec![1.0; parameter.numel()]);
            assert!(!group.all_gather(&parameter).unwrap()[0].requires_grad());
        }
        let mut sparse = Tensor::ones([2, 2], tch::kind::FLOAT_CPU).to_sparse_sparse_dim(2);
        let error = group.all_reduce(&mut sparse, ReduceOp::Sum).unwrap_err();
        assert!(matches!(error, Error::Argument { .. }) && error.to_string().contains("sparse"), "{error:?}");
    });
}

/// No rank leaves a barrier before the last has come.
#[test]
fn a_barrier_waits_for_all() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    for world_size in WORLDS {
        let arrived = AtomicUsize::new(0);
        ranks(world_size, |group| {
            for round in 1..=5 {
                arrived.fetch_add(1, Ordering::SeqCst);
                group.barrier().unwrap();
                assert!(arrived.load(Ordering::SeqCst) >= round * world_size);
                group.barrier_timeout(PATIENCE).unwrap();
            }
        });
    }
}

/// A collective that one rank alone calls.
type Call = fn(&ProcessGroup) -> Result<(), Error>;

/// A rank that does not come is a timeout: of a barrier with a timeout of its own, of the group's, and of a collective.
#[test]
fn a_rank_that_does_not_come_is_a_timeout() {
    let short = Duration::from_millis(300);
    let calls: [Call; 4] = [
        |group| group.barrier_timeout(Duration::from_millis(300)),
        |group| group.set_timeout(Duration::from_millis(300)).and_then(|()| group.barrier()),
        |group| {
            group.set_timeout(Duration::from_millis(300))?;
            group.all_reduce(&mut Tensor::ones([4], tch::kind::FLOAT_CPU), ReduceOp::Sum)
        },
        |group| {
            group.set_timeout(Duration::from_millis(300))?;
            group.all_gather(&Tensor::ones([4], tch::kind::FLOAT_CPU)).map(drop)
        },
    ];
    for call in calls {
        let here = std::sync::Barrier::new(2);
        ranks(2, |group| {
            // The other rank keeps its group, and so its connections, until this one has seen the timeout.
            let begun = Instant::now();
            let result = (group.rank() == 0).then(|| call(&group));
            here.wait();
            if let Some(result) = result {
                let error = result.unwrap_err();
                assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
                assert!(error.is_peer_failure());
                assert!((short..PATIENCE).contains(&begun.elapsed()));
            }
        });
    }
}

/// A group that is not complete in time is an error of the one rank that came.
#[test]
fn a_group_that_is_not_complete_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(&folder.path().join("store"), 2).unwrap();
    let short = Duration::from_millis(300);
    let error = ProcessGroup::gloo(&store, 0, 2, short, Interface::Loopback).unwrap_err();
    assert!(matches!(error, Error::Timeout { operation: "ProcessGroup::gloo", .. }), "{error:?}");
    assert!(error.is_peer_failure());
}

/// A rank outside the group is refused before anything is opened.
#[test]
fn a_rank_outside_the_group_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(&folder.path().join("store"), 2).unwrap();
    for (rank, world_size) in [(2, 2), (0, 0)] {
        let error = ProcessGroup::gloo(&store, rank, world_size, PATIENCE, Interface::Loopback).unwrap_err();
        assert!(error.to_string().contains(&format!("rank {rank} is not in a group of {world_size}")), "{error}");
    }
}

/// Several groups share one store by prefixes, over a file and over TCP, and do not hear one another.
#[test]
fn groups_share_a_store_by_prefixes() {
    let (server, port) = TcpStore::serve(0, PATIENCE).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for tcp in [true, false] {
        std::thread::scope(|scope| {
            for rank in 0..2 {
                let path = folder.path().join("store");
                scope.spawn(move || {
                    let store = if tcp {
                        TcpStore::connect("127.0.0.1", port, PATIENCE).unwrap()
                    } else {
                        FileStore::open(&path, 2).unwrap()
                    };
                    let groups: Vec<_> = ["first", "second"]
                        .iter()
                        .map(|prefix| {
                            let store = PrefixStore::over(prefix, &store).unwrap();
                            ProcessGroup::gloo(&store, rank, 2, PATIENCE, Interface::Loopback).unwrap()
                        })
                        .collect();
                    for (group, value) in groups.iter().zip([1.0, 10.0]) {
                        let mut tensor = Tensor::from_slice(&[value]);
                        group.all_reduce(&mut tensor, ReduceOp::Sum).unwrap();
                        assert_eq!(flat(&tensor), [2.0 * value]);
                    }
                });
            }
        });
    }
    drop(server);
}

/// A rank that leaves its group is an error of a peer to the rank that waits for it.
#[test]
fn a_rank_that_leaves_fails_its_peer() {
    ranks_with_timeout(2, PATIENCE, |group| {
        group.barrier().unwrap();
        if group.rank() == 1 {
            return;
        }
        let begun = Instant::now();
        let error = group.all_reduce(&mut Tensor::ones([4], tch::kind::FLOAT_CPU), ReduceOp::Sum).unwrap_err();
        assert!(matches!(error, Error::Backend { .. }) && error.is_peer_failure(), "{error:?}");
        assert!(begun.elapsed() < PATIENCE, "the timeout ended it, not the closed connection");
    });
}

/// A group knows its rank and size; one rank alone needs nobody.
#[test]
fn a_group_knows_its_place() {
    let places = ranks(3, |group| (group.rank(), group.world_size()));
    assert_eq!(places, [(0, 3), (1, 3), (2, 3)]);
    let folder = tempfile::tempdir().unwrap();
    join(folder.path(), 0, 1, PATIENCE).barrier().unwrap();
}
