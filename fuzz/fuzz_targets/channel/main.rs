//! Any bytes as what comes over the channel between a driver and a worker.
//!
//! The crate `trainloop` links libtorch. So this takes the very files of the channel, and of what its messages hold, and has
//! stand-ins for the rest of that crate; where those no longer fit, it does not compile.

#![no_main]
#![allow(dead_code, unused_imports)]

#[path = "../../../runtime/src/worker/activity.rs"]
mod activity;
#[path = "../../../runtime/src/channel/mod.rs"]
mod channel;
#[path = "../../../runtime/src/trainer/checkpoint_config.rs"]
mod checkpoint_config;
#[path = "../../../runtime/src/channel/fuzzing.rs"]
mod fuzzing;
#[path = "../../../runtime/src/launch/identity.rs"]
mod identity;
#[path = "../../../runtime/src/controller/records.rs"]
mod records;
mod stand_ins;
#[path = "../../../runtime/src/worker/step_times.rs"]
mod step_times;

pub(crate) use error::{Error, Result};
pub(crate) use stand_ins::{c10d, callback, controller, error, launch, trainer, worker};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::any_bytes(bytes));
