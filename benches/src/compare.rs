//! One piece of work done by several sides in turn, and what is said of their times.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use trainloop::{Error, Result};

use crate::median;

/// What one side took in one round: microseconds by the name of the case.
pub type Times = BTreeMap<String, f64>;

/// This project, as a side.
pub const OURS: &str = "ours";
/// PyTorch as a user writes it who sets nothing.
pub const PEER: &str = "torch";
/// PyTorch with its optimizer's `fused=True`.
pub const PEER_FUSED: &str = "torch_fused";

/// The times of all rounds. Sides take turns, ours first: what else the machine does then hits all of them alike.
#[derive(Debug)]
pub struct Comparison {
    cases: Vec<String>,
    sides: Vec<&'static str>,
    rounds: Vec<Vec<Times>>,
}

impl Comparison {
    /// Runs every side once in each of `rounds` rounds.
    ///
    /// # Errors
    /// The first of a side; and where a side leaves out one of `cases`.
    pub fn run(
        cases: &[&str],
        sides: &[&'static str],
        rounds: usize,
        mut once: impl FnMut(&'static str) -> Result<Times>,
    ) -> Result<Self> {
        let mut comparison = Self {
            cases: cases.iter().map(|&case| case.to_owned()).collect(),
            sides: sides.to_vec(),
            rounds: Vec::new(),
        };
        for _ in 0..rounds {
            let round = sides.iter().map(|&side| once(side)).collect::<Result<Vec<_>>>()?;
            for (side, times) in sides.iter().zip(&round) {
                if let Some(case) = comparison.cases.iter().find(|&case| !times.contains_key(case)) {
                    return Err(Error::other(format!("{side} has measured no {case}; it has {times:?}")));
                }
            }
            comparison.rounds.push(round);
        }
        Ok(comparison)
    }

    /// `{"case": {"ours_us": …, "torch_us": …, "ratio": …, "ratio_range": […, …]}, …}`: medians over the rounds, their
    /// ratio, and the least and greatest ratio of a round. With a fused side also `torch_fused_us`, `ratio_fused` and
    /// `ratio_fused_range`.
    #[must_use]
    pub fn json(&self) -> Value {
        let cases = self.cases.iter().map(|case| (case.clone(), Value::Object(self.case(case))));
        Value::Object(cases.collect())
    }

    fn case(&self, case: &str) -> Map<String, Value> {
        let mut object = Map::new();
        let columns: Vec<Vec<f64>> = (0..self.sides.len()).map(|side| self.column(side, case)).collect();
        let medians: Vec<f64> = columns.iter().map(|column| median(column).unwrap_or(f64::NAN)).collect();
        for (side, median) in self.sides.iter().zip(&medians) {
            object.insert(format!("{side}_us"), rounded(*median));
        }
        for (index, side) in self.sides.iter().enumerate().skip(1) {
            let suffix = side.strip_prefix(PEER).map_or_else(|| format!("_{side}"), str::to_owned);
            let ratios = || columns[0].iter().zip(&columns[index]).map(|(ours, theirs)| ours / theirs);
            let (least, most) = (ratios().fold(f64::INFINITY, f64::min), ratios().fold(0.0, f64::max));
            object.insert(format!("ratio{suffix}"), rounded(medians[0] / medians[index]));
            object.insert(format!("ratio{suffix}_range"), json!([rounded(least), rounded(most)]));
        }
        object
    }

    fn column(&self, side: usize, case: &str) -> Vec<f64> {
        self.rounds.iter().filter_map(|round| round[side].get(case).copied()).collect()
    }

    /// Prints [`json`](Self::json) as one line, or a line for each case.
    pub fn print(&self, as_json: bool) {
        if as_json {
            println!("{}", self.json());
            return;
        }
        let width = self.cases.iter().map(String::len).max().unwrap_or(0);
        for case in &self.cases {
            let fields = self.case(case);
            let words: Vec<String> = fields.iter().map(|(name, value)| format!("{name} {value}")).collect();
            println!("{case:width$}  {}", words.join("  "));
        }
        println!("(medians of {} rounds, in microseconds)", self.rounds.len());
    }
}

/// To four digits: the machine's noise is far above that.
fn rounded(value: f64) -> Value {
    let digits = (3 - value.abs().log10().floor() as i32).clamp(0, 9);
    let scale = 10_f64.powi(digits);
    json!((value * scale).round() / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_medians_and_ranges_of_rounds() {
        let mut calls = Vec::new();
        let comparison = Comparison::run(&["step"], &[OURS, PEER, PEER_FUSED], 3, |side| {
            calls.push(side);
            let round = (calls.len() - 1) / 3;
            let micros = match side {
                OURS => [1.0, 2.0, 9.0],
                PEER => [4.0, 4.0, 6.0],
                _ => [1.0; 3],
            };
            Ok(Times::from([("step".to_owned(), micros[round])]))
        })
        .unwrap();
        assert_eq!(calls[..4], [OURS, PEER, PEER_FUSED, OURS]);
        let expected = json!({"step": {
            "ours_us": 2.0, "torch_us": 4.0, "torch_fused_us": 1.0,
            "ratio": 0.5, "ratio_range": [0.25, 1.5], "ratio_fused": 2.0, "ratio_fused_range": [1.0, 9.0],
        }});
        assert_eq!(comparison.json(), expected);
    }

    #[test]
    fn a_side_that_leaves_a_case_out_is_refused() {
        let error = Comparison::run(&["step"], &[OURS], 1, |_| Ok(Times::new())).unwrap_err();
        assert!(error.to_string().contains("ours has measured no step"), "{error}");
    }

    #[test]
    fn four_digits_are_kept() {
        assert_eq!([rounded(12345.6), rounded(0.612_349), rounded(7.0)], [json!(12346.0), json!(0.6123), json!(7.0)]);
    }
}
