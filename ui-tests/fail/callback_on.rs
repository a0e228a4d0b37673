use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[callback(run_start, on = rank_zero)]
fn driver_event(_: &RunInfo) {}

#[callback(report, on = drver)]
fn misspelt(_: &RunInfo) {}

#[callback(report, on = rank_zero)]
fn run_in_a_worker(_: &RunInfo) {}

fn main() {}
