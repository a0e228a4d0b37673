//! Collectives in the background: what can be asked of them, and what they do with memory that others hold.

mod common;

use std::sync::Barrier;
use std::time::{Duration, Instant};

use common::{PATIENCE, ranks};
use tch::{Kind, Tensor};
use trainloop_c10d::{Error, ProcessGroup, ReduceOp, Waited, Work};

const SHORT: Duration = Duration::from_millis(50);

fn ones() -> Tensor {
    Tensor::ones([1000], tch::kind::FLOAT_CPU)
}

fn assert_all(tensor: &Tensor, value: f64) {
    assert_eq!((tensor.min().double_value(&[]), tensor.max().double_value(&[])), (value, value));
}

fn pending<T: std::fmt::Debug>(work: Work<T>) -> Work<T> {
    assert!(!work.is_completed());
    match work.wait_timeout(SHORT).unwrap() {
        Waited::Pending(work) => work,
        Waited::Finished(result) => panic!("finished with {result:?} before the other rank came"),
    }
}

fn finished<T: std::fmt::Debug>(work: Work<T>) -> T {
    match work.wait_timeout(PATIENCE).unwrap() {
        Waited::Finished(result) => result,
        Waited::Pending(work) => panic!("{work:?} did not end"),
    }
}

/// A collective that waits for another rank is pending, however often it is asked; then its result comes out.
#[test]
fn a_collective_is_pending_until_all_have_come() {
    let asked = Barrier::new(2);
    ranks(2, |group| {
        if group.rank() == 1 {
            asked.wait();
        }
        let work = group.all_reduce_async(ones(), ReduceOp::Sum).unwrap();
        let work = if group.rank() == 0 {
            let work = pending(pending(work));
            assert!(matches!(work.wait_timeout(Duration::ZERO), Ok(Waited::Pending(_))));
            // That one was dropped; the others go on in order.
            asked.wait();
            group.all_reduce_async(ones(), ReduceOp::Sum).unwrap()
        } else {
            assert_all(&work.wait().unwrap(), 2.0);
            group.all_reduce_async(ones(), ReduceOp::Sum).unwrap()
        };
        assert_all(&finished(work), 2.0);
    });
}

/// A message is pending until it is sent; once it has come, nothing waits.
#[test]
fn a_receive_is_pending_until_the_message_comes() {
    let asked = Barrier::new(2);
    ranks(2, |group| {
        if group.rank() == 0 {
            let work = pending(group.recv_async(Tensor::zeros([1000], tch::kind::FLOAT_CPU), 1, 7).unwrap());
            asked.wait();
            let begun = Instant::now();
            while !work.is_completed() {
                assert!(begun.elapsed() < PATIENCE);
                std::thread::yield_now();
            }
            assert_all(&work.wait().unwrap(), 1.0);
        } else {
            asked.wait();
            group.send(&ones(), 0, 7).unwrap();
        }
        group.barrier().unwrap();
    });
}

/// Dropping the handle ends nothing: the other rank gets the sum with this rank's values.
#[test]
fn a_dropped_work_goes_on() {
    let dropped = Barrier::new(2);
    ranks(2, |group| {
        for _ in 0..10 {
            if group.rank() == 0 {
                drop(group.all_reduce_async(ones() * 3, ReduceOp::Sum).unwrap());
                drop(group.send_async(ones() * 5, 1, 0).unwrap());
                // What the tensors' memory would be given to, were it free.
                let _others: Vec<Tensor> = (0..20).map(|_| ones() * 100).collect();
                dropped.wait();
            } else {
                dropped.wait();
                let mut tensor = ones();
                group.all_reduce(&mut tensor, ReduceOp::Sum).unwrap();
                assert_all(&tensor, 4.0);
                group.recv(&mut tensor, 0, 0).unwrap();
                assert_all(&tensor, 5.0);
            }
        }
        // A group that is dropped gives up what it still sends.
        group.barrier().unwrap();
    });
}

/// Memory that is held from elsewhere is neither read late nor written: a handle, a view, a graph. Memory that nobody else
/// holds is worked on in place.
#[test]
fn memory_that_others_hold_is_left_alone() {
    type Holder = fn(&Tensor) -> Tensor;
    let holders: [Holder; 3] = [Tensor::shallow_clone, |tensor| tensor.view([10, 100]), Tensor::detach];
    let written = Barrier::new(2);
    ranks(2, |group| {
        for holder in holders {
            let tensor = ones();
            let mut held = holder(&tensor);
            let work = (group.rank() == 0).then(|| group.all_reduce_async(tensor, ReduceOp::Sum).unwrap());
            let _ = held.fill_(100);
            written.wait();
            let work = work.unwrap_or_else(|| group.all_reduce_async(ones(), ReduceOp::Sum).unwrap());
            assert_all(&work.wait().unwrap(), 2.0);
            assert_all(&held, 100.0);
        }
        let weight = ones().set_requires_grad(true);
        let activation = weight.exp();
        let loss = activation.sum(Kind::Float);
        let sum = group.all_reduce_async(activation, ReduceOp::Sum).unwrap().wait().unwrap();
        assert!(!sum.requires_grad());
        loss.f_backward().unwrap();
        assert!(weight.grad().allclose(&weight.exp(), 1e-6, 0.0, false), "the graph's tensor was written over");

        let tensor = ones();
        let place = tensor.data_ptr();
        assert_eq!(group.broadcast_async(tensor, 0).unwrap().wait().unwrap().data_ptr(), place);
    });
}

/// Many at once, waited for from the last, by another thread.
#[test]
fn several_at_once() {
    ranks(3, |group| {
        let works: Vec<_> =
            (0..20).map(|factor| group.all_reduce_async(ones() * factor, ReduceOp::Sum).unwrap()).collect();
        let barrier = group.barrier_async().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for (factor, work) in works.into_iter().enumerate().rev() {
                    assert_all(&work.wait().unwrap(), 3.0 * factor as f64);
                }
            });
        });
        barrier.wait().unwrap();
    });
}

/// A group that is dropped gives up its messages, and their works say so.
#[test]
fn a_dropped_group_gives_up_its_messages() {
    let both = Barrier::new(2);
    ranks(2, |group| {
        let other = 1 - group.rank();
        let work = group.recv_async(ones(), other, 0).unwrap();
        both.wait();
        let begun = Instant::now();
        drop(group);
        assert!(begun.elapsed() < PATIENCE / 2, "the group waited for the timeout");
        assert!(work.is_completed());
        let error = work.wait().unwrap_err();
        assert!(matches!(error, Error::Backend { operation: "recv", .. }), "{error:?}");
    });
}

/// A work whose peer leaves ends with the error of a peer, out of each kind of wait.
#[test]
fn a_peer_that_leaves_ends_a_work() {
    type Begin = fn(&ProcessGroup) -> Work<Tensor>;
    let begin: [Begin; 3] = [
        |group| group.all_reduce_async(ones(), ReduceOp::Sum).unwrap(),
        |group| group.recv_async(ones(), 1, 0).unwrap(),
        |group| group.broadcast_async(ones(), 1).unwrap(),
    ];
    for begin in begin {
        for timeout in [false, true] {
            let under_way = Barrier::new(2);
            ranks(2, |group| {
                let work = (group.rank() == 0).then(|| begin(&group));
                under_way.wait();
                let Some(work) = work else { return };
                let error = if timeout { work.wait_timeout(PATIENCE).unwrap_err() } else { work.wait().unwrap_err() };
                assert!(matches!(error, Error::Backend { .. }) && error.is_peer_failure(), "{error:?}");
                assert!(error.to_string().contains("rank 0 of 2"), "{error}");
            });
        }
    }
}
