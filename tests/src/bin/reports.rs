//! Reports numbers of which each rank has its own, and returns the config as it came; prints the outcome in JSON.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;
use trainloop::prelude::*;

/// What survives the way to a worker: nested, empty, large, not finite, not ASCII.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Config {
    reports: u64,
    name: String,
    largest: u64,
    rates: Vec<f64>,
    nothing: Option<String>,
    kind: Kind,
    words: BTreeMap<String, Vec<u8>>,
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
enum Kind {
    Plain,
    Scaled { by: f32 },
    Pair(i64, char),
}

impl Config {
    fn example(reports: u64) -> Self {
        Self {
            reports,
            name: "größte Näherung\n\"κ\"".to_owned(),
            largest: u64::MAX,
            rates: vec![0.1, f64::MIN_POSITIVE, f64::INFINITY, -0.0],
            nothing: None,
            kind: Kind::Scaled { by: 0.3 },
            words: [("a".to_owned(), vec![0, 255]), (String::new(), Vec::new())].into(),
        }
    }
}

#[derive(Metrics, Serialize, Deserialize, Debug, Clone, Copy, PartialEq)]
struct Numbers {
    step: u64,
    #[metric(reduce = mean)]
    mean: f64,
    #[metric(reduce = sum)]
    sum: i64,
    #[metric(reduce = min)]
    min: f32,
    #[metric(reduce = max)]
    max: f64,
    special: f64,
    rank: usize,
}

/// A float that JSON cannot write, or one that it can.
fn special(step: u64) -> f64 {
    [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1, -0.0][(step % 5) as usize]
}

#[train_loop(strategy = ddp)]
#[allow(clippy::needless_pass_by_value)] // a train loop is given its config
fn report(ctx: &mut Context<Numbers>, config: Config) -> Result<String> {
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::example(config.reports)));
    println!("the config came to rank {} of {}", ctx.rank(), ctx.world_size());
    for step in 0..config.reports {
        let value = (ctx.rank() * 100) as f64 + step as f64;
        ctx.report(Numbers {
            step,
            mean: value,
            sum: value as i64,
            min: value as f32,
            max: value,
            special: special(step),
            rank: ctx.rank(),
        })?;
    }
    Ok(format!("rank {} made {} reports", ctx.rank(), ctx.reports()))
}

#[trainloop::main]
fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [storage, workers, reports] = arguments.as_slice() else {
        return Err(Error::other("usage: reports STORAGE WORKERS REPORTS"));
    };
    let workers: usize = workers.parse().map_err(Error::other)?;
    let reports = reports.parse().map_err(Error::other)?;
    let outcome = TorchTrainer::<report>::new(Config::example(reports))
        .scaling(ScalingConfig::workers(workers))
        .run(RunConfig::default().storage(PathBuf::from(storage)))
        .fit()?;
    let line = json!({
        "output": outcome.output,
        "reports": outcome.reports,
        "restarts": outcome.restarts,
        "path": outcome.path,
        "metrics": outcome.metrics,
        "special": outcome.metrics.map(|metrics| metrics.special.to_string()),
        "seconds": outcome.duration.as_secs_f64(),
    });
    println!("{line}");
    Ok(())
}
