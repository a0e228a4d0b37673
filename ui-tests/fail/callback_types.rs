use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct M {
    loss: f64,
}

struct Plain;

#[callback(report)]
fn no_metrics(_: &mut Report<Plain>) {}

#[callback(run_start)]
fn wrong_return(_: &RunInfo) -> Option<u8> {
    None
}

#[callback(run_start, only = helper, order = "first")]
fn no_loop(_: &RunInfo) {}

struct helper;

fn main() {}
