//! Checkpoints over every backend: one suite for all, then what only object storage has: the run's lock, a network that
//! fails, errors that say what to do.
//!
//! The servers are real ones on loopback, from `PyPI` and npm: made on first use in the user's cache (`$TRAINLOOP_CACHE`).
//! Where they cannot be had the tests fail; `TRAINLOOP_SKIP_SERVERS=1` leaves out those that need one.

mod backend;
mod errors;
mod faults;
mod lock;
mod proxy;
mod servers;
mod suite;

use backend::Backend;

macro_rules! of_every_backend {
    ($($test:ident)*) => {
        mod folder { $(#[test] fn $test() { crate::suite::$test(&crate::Backend::folder()); })* }
        mod memory { $(#[test] fn $test() { crate::suite::$test(&crate::Backend::memory()); })* }
        mod s3 { $(#[test] fn $test() { if let Some(backend) = crate::Backend::s3() { crate::suite::$test(&backend); } })* }
        mod azure { $(#[test] fn $test() { if let Some(backend) = crate::Backend::azure() { crate::suite::$test(&backend); } })* }
    };
}

of_every_backend! {
    a_checkpoint_comes_back_as_it_was_on_any_machine
    nothing_counts_before_the_commit
    what_is_deleted_is_gone_and_the_rest_stays
    a_commit_that_cannot_be_true_is_refused_and_touches_nothing
    what_a_crash_left_is_swept
    damage_is_named_and_the_checkpoint_before_is_used
    what_is_not_ours_is_left_alone
}
