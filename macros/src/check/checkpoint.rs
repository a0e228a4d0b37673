//! The rules of `checkpoint(…)` in `#[train_loop]`.

use quote::ToTokens;
use syn::{Expr, ExprLit, Lit};

use crate::args::Options;
use crate::ir::{Checkpoint, Every, Score};
use crate::report::Report;

pub(super) fn checkpoint(options: &Options, report: &mut Report) -> Checkpoint {
    let Some(options) = options.nested("checkpoint", report) else { return Checkpoint::default() };
    options.allow("`checkpoint`", &["keep", "score", "every"], report);
    let keep = match options.value("keep", report) {
        Some(Expr::Lit(ExprLit { lit: Lit::Int(keep), .. }))
            if keep.base10_parse::<u64>().is_ok_and(|keep| keep > 0) =>
        {
            Some(keep.clone())
        }
        Some(other) => {
            report.at(other, "`keep` is how many checkpoints are kept: a whole number from 1; write `keep = 3`");
            None
        }
        None => None,
    };
    let score = options.value("score", report).cloned().and_then(|value| score(&value, report));
    let every = options.value("every", report).cloned().and_then(|value| every(&value, report));
    Checkpoint { keep, score, every }
}

/// `max(path.to.field)` or `min(…)`; whether there is such a field, rustc says best.
fn score(value: &Expr, report: &mut Report) -> Option<Score> {
    let parse = || {
        let Expr::Call(call) = value else { return None };
        let Expr::Path(direction) = &*call.func else { return None };
        let maximize = match direction.path.get_ident()?.to_string().as_str() {
            "max" => true,
            "min" => false,
            _ => return None,
        };
        let field = call.args.first().filter(|_| call.args.len() == 1)?;
        is_field(field).then(|| Score { maximize, field: field.to_token_stream() })
    };
    let score = parse();
    if score.is_none() {
        report.at(value, "a score is `max(field)` or `min(field)` of the metrics; write `score = max(val_accuracy)`");
    }
    score
}

/// `a` or `a.b.c`.
fn is_field(value: &Expr) -> bool {
    match value {
        Expr::Path(path) => path.path.get_ident().is_some(),
        Expr::Field(field) => is_field(&field.base),
        _ => false,
    }
}

fn every(value: &Expr, report: &mut Report) -> Option<Every> {
    let every = match value {
        Expr::Lit(ExprLit { lit: Lit::Int(steps), .. }) => {
            steps.base10_parse::<u64>().ok().filter(|&steps| steps > 0).map(|_| Every::Steps(steps.clone()))
        }
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => millis(&text.value()).map(Every::Millis),
        _ => None,
    };
    if every.is_none() {
        report.at(
            value,
            "`every` is a number of steps, or a time with its unit (ms, s, m, h); write `every = 1000` or `every = \"10m\"`",
        );
    }
    every
}

/// `"10m"` as milliseconds.
fn millis(text: &str) -> Option<u64> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim() {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit).filter(|&millis| millis > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        let cases =
            [("10m", Some(600_000)), ("250ms", Some(250)), ("2 h", Some(7_200_000)), ("10", None), ("0s", None)];
        for (text, expected) in cases {
            assert_eq!(millis(text), expected, "{text}");
        }
    }
}
