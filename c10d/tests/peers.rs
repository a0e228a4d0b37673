//! Ranks that are processes of their own: this test binary again, with the rank in the environment. For what kills a
//! process, and for the ports that one opens.

mod common;

use std::collections::HashSet;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use std::rc::Rc;

use common::process::{assert_passed, kill_myself, place, run};
use common::{PATIENCE, join};
use tch::Tensor;
use trainloop_c10d::{DdpOptions, DistributedDataParallel, Error, ProcessGroup, ReduceOp};

/// Rank 1 of two joins and is killed; rank 0, waiting for it in `call`, gets an error of a peer.
fn killed_peer(test: &str, call: fn(&ProcessGroup) -> Result<(), Error>) {
    let Some((rank, folder)) = place() else {
        let ranks = run(test, 2);
        assert_passed(&ranks[0]);
        assert_eq!(ranks[1].status.signal(), Some(9));
        return;
    };
    let group = join(&folder, rank, 2, PATIENCE);
    group.barrier().unwrap();
    if rank == 1 {
        kill_myself();
    }
    let error = call(&group).unwrap_err();
    assert!(error.is_peer_failure(), "{error:?}");
    assert!(!matches!(error, Error::Timeout { .. }), "the timeout ended it, not the death: {error:?}");
}

/// The death of a peer fails an all-reduce.
#[test]
fn a_killed_peer_fails_all_reduce() {
    killed_peer("a_killed_peer_fails_all_reduce", |group| {
        group.all_reduce(&mut Tensor::ones([1000], tch::kind::FLOAT_CPU), ReduceOp::Sum)
    });
}

/// The death of a peer fails an all-gather.
#[test]
fn a_killed_peer_fails_all_gather() {
    killed_peer("a_killed_peer_fails_all_gather", |group| {
        group.all_gather(&Tensor::ones([1000], tch::kind::FLOAT_CPU)).map(drop)
    });
}

/// The death of a peer fails a barrier.
#[test]
fn a_killed_peer_fails_barrier() {
    killed_peer("a_killed_peer_fails_barrier", ProcessGroup::barrier);
}

/// The death of the root fails a broadcast.
#[test]
fn a_killed_root_fails_broadcast() {
    killed_peer("a_killed_root_fails_broadcast", |group| {
        group.broadcast(&mut Tensor::ones([1000], tch::kind::FLOAT_CPU), 1)
    });
}

/// The death of a peer in the middle of a backward pass is an error of `f_backward`, not a panic or a hang.
#[test]
fn a_killed_peer_fails_backward() {
    const TEST: &str = "a_killed_peer_fails_backward";
    let Some((rank, folder)) = place() else {
        let ranks = run(TEST, 2);
        assert_passed(&ranks[0]);
        assert_eq!(ranks[1].status.signal(), Some(9));
        return;
    };
    let group = Rc::new(join(&folder, rank, 2, PATIENCE));
    let weight = Tensor::ones([1000], tch::kind::FLOAT_CPU).set_requires_grad(true);
    let parameters = [("weight".to_owned(), weight.shallow_clone())];
    let ddp = DistributedDataParallel::new(group, &parameters, Vec::new(), DdpOptions::default()).unwrap();
    for round in 0..2 {
        ddp.before_forward().unwrap();
        let loss = weight.square().sum(tch::Kind::Float);
        ddp.after_forward([&loss]).unwrap();
        if rank == 1 && round == 1 {
            kill_myself();
        }
        let result = loss.f_backward();
        assert_eq!(result.is_err(), round == 1, "{result:?}");
    }
}

/// A tensor of another shape on one rank: Gloo ends the process that is sent more than it expects, from a thread of its
/// own, where nothing can catch it (`gloo::EnforceNotMet`). So no rank hangs, and none goes on with a wrong sum; a rank
/// that is left gets an error of a peer.
#[test]
fn another_shape_on_one_rank_ends_the_group() {
    let Some((rank, folder)) = place() else {
        let ranks = run("another_shape_on_one_rank_ends_the_group", 2);
        let aborted = |rank: &Output| rank.status.signal() == Some(6);
        assert!(ranks.iter().any(aborted));
        ranks.iter().filter(|rank| !aborted(rank)).for_each(assert_passed);
        return;
    };
    let group = join(&folder, rank, 2, PATIENCE);
    let mut tensor = Tensor::ones([1000 + 500 * rank as i64], tch::kind::FLOAT_CPU);
    let error = group.all_reduce(&mut tensor, ReduceOp::Sum).unwrap_err();
    assert!(error.is_peer_failure(), "{error:?}");
}

/// The addresses at which this process listens, as `/proc/net/tcp` writes them.
fn listening() -> Vec<String> {
    let sockets: HashSet<String> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let mut addresses = Vec::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        // A machine without IPv6 has no such table.
        let table = std::fs::read_to_string(table).unwrap_or_default();
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // 0A is the state LISTEN; field 9 the socket's inode.
            if fields[3] == "0A" && sockets.contains(fields[9]) {
                addresses.push(fields[1].to_owned());
            }
        }
    }
    addresses
}

/// A group on loopback listens there alone, and one over a file store opens one port and no other; joining, and while
/// it works.
#[test]
fn a_group_listens_on_loopback_alone() {
    let Some((rank, folder)) = place() else {
        run("a_group_listens_on_loopback_alone", 2).iter().for_each(assert_passed);
        return;
    };
    assert_eq!(listening(), Vec::<String>::new());
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(listening().len(), 1, "the check sees no listening socket at all");
    drop(probe);
    let group = join(&folder, rank, 2, PATIENCE);
    for _ in 0..3 {
        let addresses = listening();
        // 127.0.0.1 in the byte order of the machine.
        let loopback = format!("{:08X}:", u32::from_ne_bytes([127, 0, 0, 1]));
        assert!(addresses.iter().all(|address| address.starts_with(&loopback)), "{addresses:?}");
        assert!(addresses.len() <= 1, "{addresses:?}");
        group.all_reduce(&mut Tensor::ones([1000], tch::kind::FLOAT_CPU), ReduceOp::Sum).unwrap();
    }
}
