//! Sub-groups, barriers that name who is missing, groups that compare what they do, and what a timeout says.

mod common;

use std::sync::Barrier;
use std::time::{Duration, Instant};

use common::{PATIENCE, ranks};
use tch::{Kind, Tensor};
use trainloop_c10d::{Error, FileStore, GroupOptions, HashStore, Interface, ProcessGroup, ReduceOp, Store, TcpStore};

const SHORT: Duration = Duration::from_millis(300);

fn float(shape: &[i64]) -> Tensor {
    Tensor::ones(shape, tch::kind::FLOAT_CPU)
}

/// The sum of the members' numbers, which differ from rank to rank.
fn sum_of(group: &ProcessGroup, number: i64) -> i64 {
    let mut tensor = Tensor::from_slice(&[number]);
    group.all_reduce(&mut tensor, ReduceOp::Sum).unwrap();
    tensor.int64_value(&[0])
}

/// Only members get a handle, in the order of the list; two sub-groups at once and one within another do not hear each other.
#[test]
fn a_subgroup_is_its_members_alone() {
    ranks(4, |group| {
        let number = 10i64.pow(group.rank() as u32);
        let last_first = group.subgroup(&[3, 0, 1]).unwrap();
        let pair = group.subgroup(&[1, 2]).unwrap();
        let same_again = group.subgroup(&[1, 2]).unwrap();
        assert_eq!(last_first.as_ref().map(ProcessGroup::rank), [Some(1), Some(2), None, Some(0)][group.rank()]);
        assert_eq!(pair.as_ref().map(ProcessGroup::rank), [None, Some(0), Some(1), None][group.rank()]);
        if let Some(group) = &last_first {
            assert_eq!((group.world_size(), group.timeout()), (3, PATIENCE));
            assert_eq!(sum_of(group, number), 1011);
            let within = group.subgroup(&[0, 2]).unwrap();
            assert_eq!(within.is_some(), group.rank() != 1);
            if let Some(within) = within {
                assert_eq!(sum_of(&within, number), 1010);
            }
        }
        for pair in [pair, same_again].iter().flatten() {
            assert_eq!(sum_of(pair, number), 110);
        }
        assert_eq!(sum_of(&group, number), 1111);
        let alone = group.subgroup(&[2]).unwrap();
        assert_eq!(alone.map(|alone| sum_of(&alone, number)), (group.rank() == 2).then_some(100));
    });
}

/// Groups of several threads know nothing of each other, also while they are made: libtorch keeps account of all of them.
#[test]
fn threads_make_groups_at_once() {
    const THREADS: usize = 8;
    let at_once = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..100 {
                    let store = HashStore::open().unwrap();
                    at_once.wait();
                    let group = ProcessGroup::gloo(&store, 0, 1, PATIENCE, Interface::Loopback).unwrap();
                    at_once.wait();
                    assert_eq!(sum_of(&group, number), number);
                }
            });
        }
    });
}

/// One group for each colour, by key and then by rank; without a colour none. Over each kind of store.
#[test]
fn a_split_is_by_color_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let (server, port) = TcpStore::serve(0, PATIENCE).unwrap();
    let hash = HashStore::open().unwrap();
    let stores: [Box<dyn Fn() -> Store + Sync>; 3] = [
        Box::new(|| FileStore::open(&folder.path().join("store"), 4).unwrap()),
        Box::new(|| TcpStore::connect("127.0.0.1", port, PATIENCE).unwrap()),
        Box::new({
            let hash = std::sync::Mutex::new(hash);
            move || hash.lock().unwrap().try_clone().unwrap()
        }),
    ];
    for store in &stores {
        std::thread::scope(|scope| {
            for rank in 0..4 {
                scope.spawn(move || {
                    let group = ProcessGroup::gloo(&store(), rank, 4, PATIENCE, Interface::Loopback).unwrap();
                    let member = group.split([Some(7), Some(1), Some(7), None][rank], -(rank as i64)).unwrap();
                    let place = member.as_ref().map(|member| (member.rank(), member.world_size()));
                    assert_eq!(place, [Some((1, 2)), Some((0, 1)), Some((0, 2)), None][rank]);
                    let sum = member.map(|member| sum_of(&member, rank as i64 + 1));
                    assert_eq!(sum, [Some(4), Some(2), Some(4), None][rank]);
                });
            }
        });
    }
    drop(server);
}

/// Ranks that give different lists do not meet: a timeout of each.
#[test]
fn subgroups_of_different_lists_do_not_meet() {
    ranks(2, |group| {
        group.set_timeout(SHORT).unwrap();
        let list: &[usize] = if group.rank() == 0 { &[0, 1] } else { &[1, 0] };
        let error = group.subgroup(list).unwrap_err();
        assert!(matches!(error, Error::Timeout { operation: "subgroup", .. }), "{error:?}");
    });
}

/// Who comes is told who does not, on every rank; the group goes on after that.
#[test]
fn a_monitored_barrier_names_the_missing() {
    for absent in [vec![1, 3], vec![0], vec![0, 2]] {
        let told = Barrier::new(4);
        ranks(4, |group| {
            group.monitored_barrier(PATIENCE).unwrap();
            if !absent.contains(&group.rank()) {
                let error = group.monitored_barrier(SHORT).unwrap_err();
                assert!(matches!(error, Error::Timeout { operation: "monitored_barrier", .. }), "{error:?}");
                let names = absent.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
                let expected = format!("rank {names} did not come within 300ms, says rank {} of 4", group.rank());
                assert!(error.to_string().contains(&expected), "`{error}` does not say `{expected}`");
            }
            told.wait();
            if absent.contains(&group.rank()) {
                let error = group.monitored_barrier(SHORT).unwrap_err();
                assert!(matches!(error, Error::Timeout { .. }), "a rank that came too late passed: {error:?}");
            }
            for _ in 0..3 {
                group.monitored_barrier(PATIENCE).unwrap();
            }
            group.barrier().unwrap();
        });
    }
}

/// What a timeout says: the operation, this rank, and how long it waited.
#[test]
fn a_timeout_says_who_waited_for_what() {
    type Call = fn(&ProcessGroup) -> Result<(), Error>;
    let calls: [(&str, Call); 12] = [
        ("broadcast", |group| group.broadcast(&mut float(&[2]), 1)),
        ("all_reduce", |group| group.all_reduce_async(float(&[2]), ReduceOp::Sum)?.wait().map(drop)),
        ("all_reduce_coalesced", |group| group.all_reduce_coalesced(&mut [float(&[2])], ReduceOp::Sum)),
        ("reduce", |group| group.reduce(&float(&[2]), 0, ReduceOp::Sum).map(drop)),
        ("all_gather_into_tensor", |group| group.all_gather_into_tensor(&float(&[2])).map(drop)),
        ("all_gather_uneven", |group| group.all_gather_uneven_async(float(&[2])).map(drop)),
        ("gather", |group| group.gather(&float(&[2]), 0).map(drop)),
        ("scatter", |group| group.scatter(&mut float(&[2]), None, 1)),
        ("reduce_scatter_tensor", |group| group.reduce_scatter_tensor(&float(&[2]), ReduceOp::Sum).map(drop)),
        ("all_to_all", |group| group.all_to_all(&float(&[2])).map(drop)),
        ("recv", |group| group.recv(&mut float(&[2]), 1, 0)),
        ("all_gather_object", |group| group.all_gather_object(&1).map(drop)),
    ];
    for (operation, call) in calls {
        let seen = Barrier::new(2);
        ranks(2, |group| {
            group.set_timeout(SHORT).unwrap();
            let begun = Instant::now();
            let result = (group.rank() == 0).then(|| call(&group));
            let waited = begun.elapsed();
            // The other rank keeps its group, and so its connections, until then.
            seen.wait();
            assert!(waited < PATIENCE / 2, "{operation} waited for another timeout than the group's");
            if let Some(result) = result {
                let error = result.unwrap_err();
                assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
                let text = error.to_string();
                assert!(text.starts_with(&format!("{operation} timed out: rank 0 of 2 waited ")), "{text}");
                let waited = text.split_once("waited ").unwrap().1.split_once(';').unwrap().0;
                assert!(waited.ends_with('s') && waited.starts_with(|first: char| first.is_ascii_digit()), "{text}");
            }
        });
    }
}

/// Runs `run` as each rank of a group that compares, over a file, TCP and memory.
fn compared(world_size: usize, timeout: Duration, run: impl Fn(ProcessGroup) + Sync) {
    let folder = tempfile::tempdir().unwrap();
    let (server, port) = TcpStore::serve(0, PATIENCE).unwrap();
    for tcp in [false, true] {
        std::thread::scope(|scope| {
            for rank in 0..world_size {
                let (run, folder) = (&run, &folder);
                scope.spawn(move || {
                    let store = if tcp {
                        TcpStore::connect("127.0.0.1", port, PATIENCE).unwrap()
                    } else {
                        FileStore::open(&folder.path().join("store"), world_size).unwrap()
                    };
                    let options = GroupOptions {
                        timeout,
                        interface: Interface::Loopback,
                        debug: true,
                        ..GroupOptions::default()
                    };
                    run(ProcessGroup::with_options(&store, rank, world_size, options).unwrap());
                });
            }
        });
    }
    drop(server);
}

/// Where all do the same, a group that compares gives the same; so do its sub-groups.
#[test]
fn a_group_that_compares_works_as_another() {
    compared(3, PATIENCE, |group| {
        let rank = group.rank();
        for _ in 0..3 {
            assert_eq!(sum_of(&group, 1), 3);
            group.barrier().unwrap();
            let rows = group.all_gather_uneven(&float(&[rank as i64, 2])).unwrap();
            assert_eq!(rows.iter().map(|row| row.size()[0]).collect::<Vec<_>>(), [0, 1, 2]);
            let send: Vec<usize> = (0..3).map(|to| rank + to).collect();
            let rows = float(&[send.iter().sum::<usize>() as i64]);
            let received = group.all_to_all_uneven(&rows, &send, &send).unwrap();
            assert_eq!(received.size(), [3 * rank as i64 + 3]);
            assert_eq!(group.all_gather_object(&rank).unwrap(), [0, 1, 2]);
            let root = group.reduce(&float(&[2]), 1, ReduceOp::Max).unwrap();
            assert_eq!(root.is_some(), rank == 1);
            let part = group.split(Some(u64::from(rank == 0)), 0).unwrap().unwrap();
            assert_eq!(sum_of(&part, 1), if rank == 0 { 1 } else { 2 });
        }
    });
}

/// Two ranks that do different things: an error on both, with what each was doing, and nothing sent. The group goes on.
#[test]
fn a_desynchronised_group_is_told_what_each_rank_does() {
    type Call = fn(&ProcessGroup) -> Result<(), Error>;
    let pairs: [(Call, Call, [&str; 2]); 8] = [
        (
            |group| group.all_reduce(&mut float(&[3]), ReduceOp::Sum),
            |group| group.broadcast(&mut float(&[3]), 0),
            ["rank 0: all_reduce (Sum of Float [3])", "rank 1: broadcast (Float [3] from root 0)"],
        ),
        (
            |group| group.all_reduce(&mut float(&[3]), ReduceOp::Sum),
            |group| group.all_reduce(&mut float(&[4]), ReduceOp::Sum),
            ["Sum of Float [3]", "Sum of Float [4]"],
        ),
        (
            |group| group.all_reduce_async(float(&[3]), ReduceOp::Sum).map(drop),
            |group| group.all_reduce_async(float(&[3]), ReduceOp::Max).map(drop),
            ["Sum of", "Max of"],
        ),
        (
            |group| group.all_gather(&float(&[3])).map(drop),
            |group| group.all_gather(&float(&[3]).to_kind(Kind::Double)).map(drop),
            ["Float [3]", "Double [3]"],
        ),
        (
            |group| group.broadcast(&mut float(&[3]), 0),
            |group| group.broadcast(&mut float(&[3]), 1),
            ["from root 0", "from root 1"],
        ),
        (
            |group| group.all_to_all_uneven(&float(&[3]), &[1, 2], &[1, 1]).map(drop),
            |group| group.all_to_all_uneven(&float(&[4]), &[1, 3], &[1, 3]).map(drop),
            ["sends [1, 2] and receives [1, 1] rows", "sends [1, 3] and receives [1, 3] rows"],
        ),
        (
            |group| group.barrier(),
            |group| group.broadcast_object(None::<&u8>, 0).map(drop),
            ["rank 0: barrier", "rank 1: broadcast_object (from root 0)"],
        ),
        (
            |group| group.subgroup(&[0, 1]).map(drop),
            |group| group.subgroup(&[1, 0]).map(drop),
            ["subgroup ([0, 1])", "subgroup ([1, 0])"],
        ),
    ];
    compared(2, PATIENCE, |group| {
        for (first, second, expected) in pairs {
            let call = if group.rank() == 0 { first } else { second };
            let error = call(&group).unwrap_err();
            assert!(matches!(error, Error::Desynchronised { .. }) && !error.is_peer_failure(), "{error:?}");
            for words in expected {
                assert!(error.to_string().contains(words), "`{error}` does not say `{words}`");
            }
            assert_eq!(sum_of(&group, 1), 2);
        }
    });
}

/// A rank that does not come to a collective: the others are told who, and what those that came were doing.
#[test]
fn a_rank_that_stays_away_is_named() {
    compared(3, SHORT, |group| {
        if group.rank() == 2 {
            return;
        }
        let error = group.all_reduce(&mut float(&[3]), ReduceOp::Sum).unwrap_err();
        assert!(matches!(error, Error::Timeout { operation: "all_reduce", .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&format!("rank {} of 3 waited ", group.rank())), "{text}");
        assert!(text.contains("for rank 2 before collective 0"), "{text}");
        assert!(
            text.contains("rank 0: all_reduce (Sum of Float [3]); rank 1: all_reduce (Sum of Float [3])"),
            "{text}"
        );
    });
}
