use serde::{Deserialize, Serialize};
use trainloop::prelude::*;

#[derive(Serialize, Deserialize)]
struct Config;

#[callback(report, on = nowhere, ordr = 1)]
async fn note(_: &RunInfo) {}

fn main() {}
