//! A controller and ranks that are no more than their words: `crowd PLAN` is the controller, and starts the ranks in two
//! processes, each this program again; prints in JSON what came of it.

use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_json::json;
use trainloop::prelude::*;
use trainloop::simulation::{Plan, control, ranks};

#[derive(Metrics, Serialize, Deserialize, Clone)]
struct Numbers {
    report: u64,
    #[metric(reduce = mean)]
    mean: f64,
    #[metric(reduce = max)]
    max: f64,
    /// NaN on every rank but the last.
    #[metric(reduce = last)]
    last: f64,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let plan: Plan = serde_json::from_str(arguments.first().unwrap_or(&"")).map_err(Error::other)?;
    if let [_, first, end, invitation] = arguments[..] {
        let number = |text: &str| text.parse::<usize>().map_err(Error::other);
        let numbers = |rank: usize, report: u64| Numbers {
            report,
            mean: (rank as f64 + 0.1) * (report as f64 + 0.3),
            max: rank as f64 / 7.0,
            last: if rank + 1 == plan.ranks { report as f64 } else { f64::NAN },
        };
        return ranks(&plan, number(first)?..number(end)?, invitation, numbers).map(drop);
    }
    let mut children = Vec::new();
    let timeline = control::<Numbers>(&plan, |invitation| {
        let half = plan.ranks / 2;
        for (first, end) in [(0, half), (half, plan.ranks)] {
            let mut command = Command::new(std::env::current_exe()?);
            command.args([arguments[0], &first.to_string(), &end.to_string(), &invitation]).stdout(Stdio::null());
            children.push(command.spawn()?);
        }
        Ok(())
    })?;
    for mut child in children {
        if !child.wait()?.success() {
            return Err(Error::other("a process of ranks failed"));
        }
    }
    let reduced: Vec<_> = timeline.rounds.iter().map(|(_, reduced)| reduced).collect();
    let failed = timeline.failure.map(|(rank, _)| rank);
    println!("{}", json!({ "reduced": reduced, "commits": timeline.commits.len(), "failed": failed }));
    Ok(())
}
