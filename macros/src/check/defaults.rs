//! The rules of those options of `#[train_loop]` that say how a run goes where the trainer says nothing else.

use syn::{Expr, ExprLit, ExprRange, Lit, LitInt, LitStr, RangeLimits};

use super::checkpoint;
use crate::args::Options;
use crate::ir::{BACKENDS, Defaults, MaxFailures, Resume, Strategy, Workers};
use crate::report::Report;

pub(super) fn defaults(options: &Options, strategy: Option<Strategy>, report: &mut Report) -> Defaults {
    let workers = options.value("workers", report).cloned().and_then(|value| workers(&value, strategy, report));
    let name = options.string("name", report);
    if let Some(name) = &name {
        check_name(name, report);
    }
    Defaults {
        workers,
        use_gpu: options.switch("use_gpu", report),
        backend: options.word("backend", &BACKENDS, report),
        max_failures: failure(options, report),
        resume: options.choice("resume", &Resume::NAMES, report).map(|place| Resume::ALL[place]),
        name,
        checkpoint: checkpoint::checkpoint(options, report),
    }
}

/// `4` or `2..=8`.
fn workers(value: &Expr, strategy: Option<Strategy>, report: &mut Report) -> Option<Workers> {
    let (least, most) = match value {
        Expr::Lit(_) => whole(value).map(|(literal, number)| ((literal.clone(), number), (literal, number))),
        Expr::Range(ExprRange { start: Some(least), end: Some(most), limits, .. }) => {
            let ends = whole(least).zip(whole(most));
            if let (RangeLimits::HalfOpen(dots), Some(((least, _), (most, _)))) = (limits, &ends) {
                report.at(dots, format!("a range of workers says its largest number; write `{least}..={most}`"));
                return None;
            }
            ends
        }
        _ => None,
    }
    .or_else(|| {
        report.at(value, "`workers` is a number of processes, or a range; write `workers = 4` or `workers = 2..=8`");
        None
    })?;
    let is_range = matches!(value, Expr::Range(_));
    if is_range && least.1 == 0 {
        report.at(value, "with 0 workers the loop runs in the driver, which is no number to grow from; begin with 1");
    } else if least.1 > most.1 {
        report.at(value, format!("no number is in this range; write `{}..={}`", most.1, least.1));
    } else if most.1 > 1 && matches!(strategy, Some(Strategy::Single)) {
        report.at(value, "`strategy = single` is for one worker; write `strategy = ddp`, or `workers = 1`");
    }
    Some(Workers { least: least.0, most: most.0, is_range })
}

/// A whole number without a suffix.
fn whole(value: &Expr) -> Option<(LitInt, u64)> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Int(literal), .. }) if literal.suffix().is_empty() => {
            Some((literal.clone(), literal.base10_parse().ok()?))
        }
        _ => None,
    }
}

/// `failure(max_failures = 3)` or `unlimited`.
fn failure(options: &Options, report: &mut Report) -> Option<MaxFailures> {
    let options = options.nested("failure", report)?;
    options.allow("`failure`", &["max_failures"], report);
    let value = options.value("max_failures", report)?;
    match value {
        Expr::Path(path) if path.path.is_ident("unlimited") => Some(MaxFailures::Unlimited),
        _ => {
            let count = whole(value).map(|(literal, _)| MaxFailures::Count(literal));
            if count.is_none() {
                report.at(value, "`max_failures` is a whole number, or `unlimited`; write `max_failures = 3`");
            }
            count
        }
    }
}

/// What `RunConfig` would refuse before a worker starts.
fn check_name(literal: &LitStr, report: &mut Report) {
    let name = literal.value();
    let reason = if name.is_empty() {
        "is empty"
    } else if name.contains(['/', '\\']) {
        "has a path separator"
    } else if name.starts_with('.') {
        "begins with a dot"
    } else if name.contains(char::is_control) {
        "has a control character"
    } else if name.len() > 200 {
        "is longer than 200 bytes"
    } else {
        return;
    };
    report.at(
        literal,
        format!(
            "this run name {reason}; it is the name of one folder in the storage, so use letters, digits, `-` and `_`"
        ),
    );
}
