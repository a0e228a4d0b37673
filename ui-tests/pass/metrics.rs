//! Metrics that compile.

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
    epoch: usize,
    note: Option<String>,
    r#type: Vec<u8>,
}

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct Nothing {}

fn main() {
    let one = Everything { mean: 0.0, sum: 1, min: 2, max: 3.0, epoch: 4, note: None, r#type: vec![] };
    if let Some(ranks) = Ranks::new(vec![one]) {
        println!("{:?}", ranks.reduce());
    }
    let _ = Nothing::reduce;
}
