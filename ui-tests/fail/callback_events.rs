use trainloop::prelude::*;

#[callback]
fn no_event() {}

#[callback(reprot)]
fn misspelt() {}

#[callback(run_start, on = worker)]
fn other_side(_: &RunInfo) {}

#[callback(on = driver)]
fn event_left_out() {}

#[callback(report, on = rank_zero, ordre = 1, only = "train")]
fn options() {}

fn main() {}
