use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct M {
    loss: f64,
}

#[callback(report)]
fn twice(_: &mut Report<M>, _: &mut Report<M>) {}

#[callback(report)]
async fn waits(_: &mut Report<M>) {}

#[callback(report)]
const fn constant(_: &mut Report<M>) {}

#[callback(report)]
extern "C" fn foreign(_: &mut Report<M>) {}

#[callback(report)]
fn generic<T: Metrics>(_: &mut Report<T>) {}

#[callback(report)]
struct NoFunction;

struct Owner;

impl Owner {
    #[callback(report)]
    fn method(&self, _: &mut Report<M>) {}
}

fn main() {}
