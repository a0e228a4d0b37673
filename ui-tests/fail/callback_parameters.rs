use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct M {
    loss: f64,
}

#[callback(report)]
fn ranks_in_a_worker(_: &Ranks<M>) {}

#[callback(report, on = driver)]
fn report_in_the_driver(_: &mut Report<M>, _: &RunInfo) {}

#[callback(checkpoint)]
fn context(_: &mut Context<M>) {}

#[callback(exception)]
fn end_of_a_failure(_: &RunEnd) {}

#[callback(state)]
fn failure_at_any_state(_: &RunFailure) {}

#[callback(restart)]
fn change_at_a_restart(_: &StateChange) {}

fn main() {}
