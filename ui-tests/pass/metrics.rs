//! Metrics that compile.
#![allow(clippy::all, clippy::pedantic, unreachable_pub)] // as users write, not as this project does

use serde::{Deserialize, Serialize};
use trainloop::metric::{Metrics, Ranks};

#[derive(Metrics, Serialize, Deserialize, Debug, Clone)]
#[metric(crate = trainloop)]
struct Everything {
    #[metric(reduce = mean)]
    mean: f32,
    #[metric(reduce = sum)]
    sum: u64,
    #[metric(reduce = min)]
    min: i32,
    #[metric(reduce = max)]
    max: f64,
    #[metric(reduce = last, unit = "s")]
    last: f64,
    #[metric(reduce = none)]
    epoch: usize,
    #[metric(nested)]
    inner: Inner,
    note: Option<String>,
    r#type: Vec<u8>,
}

#[derive(Metrics, Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Inner {
    #[metric(reduce = sum, unit = "images")]
    seen: u64,
}

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct Nothing {}

fn of_rank(rank: u8) -> Everything {
    Everything {
        mean: f32::from(rank),
        sum: rank.into(),
        min: rank.into(),
        max: rank.into(),
        last: rank.into(),
        epoch: rank.into(),
        inner: Inner { seen: 1 },
        note: None,
        r#type: vec![rank],
    }
}

fn main() {
    let run = Ranks::new((3..=5).map(of_rank).collect()).unwrap().reduce();
    assert_eq!((run.mean, run.sum, run.min, run.max, run.last), (4.0, 12, 3, 5.0, 5.0));
    assert_eq!((run.epoch, run.inner, run.note, run.r#type), (3, Inner { seen: 3 }, None, vec![3]));
    let units: Vec<_> = Everything::fields().into_iter().filter_map(|field| Some((field.name, field.unit?))).collect();
    assert_eq!(units, [("last".to_owned(), "s".to_owned()), ("inner.seen".to_owned(), "images".to_owned())]);
    let _ = Nothing::reduce;
}
