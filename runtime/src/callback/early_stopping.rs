//! The end of a training that no longer gets better.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::schedule::Better;

const NAME: &str = "EarlyStopping";

/// Says when a metric has stopped getting better: Lightning's `EarlyStopping`, with its defaults.
///
/// Give it the metric after each validation; keep it in the loop's state, so that its patience survives a restart. Where
/// every rank gives the same value, such as one from `ctx.all_reduce`, every rank hears the same answer; where not, have it
/// ask: `if stopping.check(loss) { ctx.request_stop() }`.
///
/// ```no_run
/// use trainloop::prelude::*;
///
/// #[derive(TrainState)]
/// struct State {
///     model: Model<tch::nn::Linear>,
///     stopping: EarlyStopping,
/// }
///
/// # fn validate(_: &State) -> Result<f64> { Ok(0.5) }
/// # fn train(ctx: &mut Context, mut state: State) -> Result<()> {
/// for epoch in 0..100 {
///     // … train …
///     let loss = ctx.validate(|ctx| ctx.all_reduce(validate(&state)?, ReduceOp::Mean))?;
///     ctx.report_with((), &state)?;
///     if state.stopping.check(loss) {
///         break;
///     }
/// }
/// # Ok(())
/// # }
/// # fn state(model: Model<tch::nn::Linear>) -> Result<State> {
/// # Ok(
/// State { model, stopping: EarlyStopping::new().patience(5).min_delta(0.001).build()? }
/// # )
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EarlyStopping {
    pub(crate) state: EarlyStoppingState,
}

/// What an [`EarlyStopping`] is to watch for; from [`EarlyStopping::new`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "nothing is watched before `build`"]
pub struct EarlyStoppingBuilder {
    better: Better,
    patience: u64,
    min_delta: f64,
    check_finite: bool,
    stopping_threshold: Option<f64>,
    divergence_threshold: Option<f64>,
}

/// What an [`EarlyStopping`] has seen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EarlyStoppingState {
    of: EarlyStoppingBuilder,
    best: Option<f64>,
    waited: u64,
    stopped: Option<StopReason>,
}

/// Why an [`EarlyStopping`] says to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// So many checks in a row were without a better value.
    Patience,
    /// The value was infinite or NaN.
    NotFinite,
    /// It was better than the stopping threshold: good enough.
    StoppingThreshold,
    /// It was worse than the divergence threshold.
    DivergenceThreshold,
}

impl EarlyStopping {
    /// Stops after 3 checks in a row in which a metric that should fall has not.
    #[expect(clippy::new_ret_no_self, reason = "begins a builder, as the options have defaults")]
    pub fn new() -> EarlyStoppingBuilder {
        EarlyStoppingBuilder {
            better: Better::Min,
            patience: 3,
            min_delta: 0.0,
            check_finite: true,
            stopping_threshold: None,
            divergence_threshold: None,
        }
    }

    /// Takes the metric's value of this check; true where the training is to stop, and from then on.
    pub fn check(&mut self, value: f64) -> bool {
        let state = &mut self.state;
        let of = state.of;
        if state.stopped.is_some() {
            return true;
        }
        state.stopped = if of.check_finite && !value.is_finite() {
            Some(StopReason::NotFinite)
        } else if of.stopping_threshold.is_some_and(|threshold| of.is_beyond(value, threshold)) {
            Some(StopReason::StoppingThreshold)
        } else if of.divergence_threshold.is_some_and(|threshold| of.is_beyond(threshold, value)) {
            Some(StopReason::DivergenceThreshold)
        } else if of.is_better(value, state.best) {
            state.best = Some(value);
            state.waited = 0;
            None
        } else {
            state.waited += 1;
            (state.waited >= of.patience).then_some(StopReason::Patience)
        };
        state.stopped.is_some()
    }

    /// Why the training is to stop; `None` as long as it is not.
    #[must_use]
    pub fn reason(&self) -> Option<StopReason> {
        self.state.stopped
    }

    /// The best value so far.
    #[must_use]
    pub fn best(&self) -> Option<f64> {
        self.state.best
    }

    /// How many checks in a row were without a better value.
    #[must_use]
    pub fn waited(&self) -> u64 {
        self.state.waited
    }

    pub(crate) fn load_state(&mut self, state: &EarlyStoppingState) -> Result<()> {
        if self.state.of != state.of {
            return Err(Error::config(format!(
                "the saved one is {:?}, and this one is {:?}; build it with the same numbers",
                state.of, self.state.of
            )));
        }
        self.state = *state;
        Ok(())
    }
}

impl EarlyStoppingBuilder {
    /// Which value is better: the smaller one, unless said otherwise. Lightning's `mode`.
    pub fn better(mut self, better: Better) -> Self {
        self.better = better;
        self
    }

    /// After so many checks in a row without a better value the training is to stop; 3 unless said otherwise.
    pub fn patience(mut self, checks: u64) -> Self {
        self.patience = checks;
        self
    }

    /// By more than this must a value be better to count; 0 unless said otherwise.
    pub fn min_delta(mut self, delta: f64) -> Self {
        self.min_delta = delta;
        self
    }

    /// Whether a value that is infinite or NaN stops at once, as it does unless said otherwise.
    pub fn check_finite(mut self, check: bool) -> Self {
        self.check_finite = check;
        self
    }

    /// A value better than this is good enough: the training is to stop.
    pub fn stopping_threshold(mut self, value: f64) -> Self {
        self.stopping_threshold = Some(value);
        self
    }

    /// A value worse than this is beyond hope: the training is to stop.
    pub fn divergence_threshold(mut self, value: f64) -> Self {
        self.divergence_threshold = Some(value);
        self
    }

    /// Begins to watch.
    ///
    /// # Errors
    /// [`Error::Config`] for a patience of 0, which would stop at the first check, and for a number that cannot be right.
    pub fn build(self) -> Result<EarlyStopping> {
        if self.patience == 0 {
            return Err(Error::config(format!(
                "{NAME}: with a patience of 0 the first value that is not better stops; give at least 1"
            )));
        }
        if !self.min_delta.is_finite() || self.min_delta < 0.0 {
            return Err(Error::config(format!("{NAME}: min_delta is {}; it must be at least 0", self.min_delta)));
        }
        if let Some(nan) =
            [self.stopping_threshold, self.divergence_threshold].into_iter().flatten().find(|v| v.is_nan())
        {
            return Err(Error::config(format!("{NAME}: a threshold is {nan}, which no value is beyond")));
        }
        Ok(EarlyStopping { state: EarlyStoppingState { of: self, best: None, waited: 0, stopped: None } })
    }

    fn is_better(&self, value: f64, best: Option<f64>) -> bool {
        match self.better {
            Better::Min => value + self.min_delta < best.unwrap_or(f64::INFINITY),
            Better::Max => value - self.min_delta > best.unwrap_or(f64::NEG_INFINITY),
        }
    }

    /// True where `value` is better than `threshold`, by whatever little.
    fn is_beyond(&self, value: f64, threshold: f64) -> bool {
        match self.better {
            Better::Min => value < threshold,
            Better::Max => value > threshold,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many checks it stops, and why.
    type Stops = Option<(usize, StopReason)>;
    type Case<'a> = (EarlyStoppingBuilder, &'a [f64], Stops);

    fn stops(stopping: EarlyStoppingBuilder, values: &[f64]) -> Stops {
        let mut stopping = stopping.build().unwrap();
        let place = values.iter().position(|value| stopping.check(*value))?;
        Some((place + 1, stopping.reason().unwrap()))
    }

    /// What Lightning 2.6's does with the same values.
    #[test]
    fn it_stops_where_lightnings_does() {
        use StopReason::{DivergenceThreshold, NotFinite, Patience, StoppingThreshold};
        let new = EarlyStopping::new;
        let max = || EarlyStopping::new().better(Better::Max);
        let flat = [1.0, 0.9, 0.9, 0.95, 0.9, 0.1];
        let cases: [Case<'_>; 13] = [
            (new(), &flat, Some((5, Patience))),
            (new().patience(4), &flat, None),
            (new().patience(1), &flat, Some((3, Patience))),
            (max(), &flat, Some((4, Patience))),
            (new().min_delta(0.2), &[1.0, 0.9, 0.81, 0.8, 0.7], Some((4, Patience))),
            (new().min_delta(0.2), &[1.0, 0.9, 0.81, 0.79, 0.7], None),
            (new(), &[1.0, f64::NAN], Some((2, NotFinite))),
            (new(), &[f64::INFINITY], Some((1, NotFinite))),
            (new().check_finite(false), &[1.0, f64::NAN, f64::INFINITY, f64::NAN], Some((4, Patience))),
            (new().stopping_threshold(0.5), &[1.0, 0.5, 0.49], Some((3, StoppingThreshold))),
            (max().stopping_threshold(0.5), &[0.1, 0.5, 0.51], Some((3, StoppingThreshold))),
            (new().divergence_threshold(2.0), &[1.0, 2.0, 2.1], Some((3, DivergenceThreshold))),
            (max().divergence_threshold(0.5), &[1.0, 0.5, 0.4], Some((3, DivergenceThreshold))),
        ];
        for (stopping, values, expected) in cases {
            assert_eq!(stops(stopping, values), expected, "{stopping:?} {values:?}");
        }
    }

    #[test]
    fn its_patience_survives_and_its_numbers_are_compared() {
        let build = |patience| EarlyStopping::new().patience(patience).build().unwrap();
        let mut first = build(2);
        assert!(!first.check(1.0) && !first.check(1.0));
        let mut second = build(2);
        second.load_state(&first.state).unwrap();
        assert!(second.waited() == 1 && second.best() == Some(1.0) && second.check(1.0));
        assert!(second.check(0.0), "it stays so");
        let error = build(3).load_state(&first.state).unwrap_err().to_string();
        assert!(error.contains("patience: 2") && error.contains("patience: 3"), "{error}");
    }

    #[test]
    fn numbers_that_cannot_be_right_are_refused() {
        for (wrong, words) in [
            (EarlyStopping::new().patience(0), "patience of 0"),
            (EarlyStopping::new().min_delta(-1.0), "min_delta is -1"),
            (EarlyStopping::new().stopping_threshold(f64::NAN), "threshold is NaN"),
        ] {
            let error = wrong.build().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
