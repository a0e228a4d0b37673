//! Whether the group starts again after a failure.

use crate::trainer::{FailureConfig, FailureKind, RunState};

/// A generation has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::trainer) struct Failed {
    /// In what way.
    pub(in crate::trainer) kind: FailureKind,
    /// Before the rank's loop had begun.
    pub(in crate::trainer) in_start: bool,
    /// How far that rank was.
    pub(in crate::trainer) steps: u64,
    pub(in crate::trainer) reports: u64,
    /// The newest checkpoint by then.
    pub(in crate::trainer) checkpoint: Option<u64>,
    /// There is room for fewer workers than the generation had.
    pub(in crate::trainer) slots_lost: bool,
    /// Where the run was.
    pub(in crate::trainer) state: RunState,
}

/// What follows a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::trainer) enum Decision {
    /// The group starts again.
    Restart,
    /// The run ends, and this is why, if it is not plain.
    End(Option<String>),
}

/// The failures of one run so far.
#[derive(Debug, Default)]
pub(in crate::trainer) struct FailurePolicy {
    config: FailureConfig,
    /// Failures of loops.
    failures: u64,
    /// Failures of the start since the last generation whose loops had all begun.
    start_failures: u64,
    last: Option<Failed>,
}

impl FailurePolicy {
    pub(in crate::trainer) fn new(config: FailureConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// A loop that fails now may be started again.
    pub(in crate::trainer) fn may_restart(&self) -> bool {
        self.config.limit().is_none_or(|limit| self.failures < limit)
    }

    /// Counts a failure and says what follows it.
    pub(in crate::trainer) fn decide(&mut self, failed: &Failed) -> Decision {
        let last = self.last.replace(failed.clone());
        // Every loop of the generation had begun.
        if failed.state != RunState::Scheduling {
            self.start_failures = 0;
        }
        let shutting_down = failed.state == RunState::ShuttingDown;
        // A worker that goes with its slot is no failure: the others go on.
        if failed.slots_lost && !failed.in_start && !failed.kind.is_of_the_loop() && !shutting_down {
            return Decision::Restart;
        }
        let (count, limit, option) = if failed.in_start {
            self.start_failures += 1;
            (self.start_failures, Some(self.config.start_limit()), "max_start_failures")
        } else {
            self.failures += 1;
            (self.failures, self.config.limit(), "max_failures")
        };
        if shutting_down {
            return Decision::End(None);
        }
        if limit.is_some_and(|limit| count > limit) {
            let why = match limit {
                None | Some(0) => None,
                Some(limit) => Some(format!("this was failure {count}, and `{option}` is {limit}")),
            };
            return Decision::End(why);
        }
        if last.is_some_and(|last| failed.is_as(&last)) {
            let why =
                "the same error came again from the same checkpoint, at the same step, so it would come a third time";
            return Decision::End(Some(why.to_owned()));
        }
        Decision::Restart
    }
}

impl Failed {
    /// The same error of the loop at the same place, whichever rank said it first.
    fn is_as(&self, other: &Self) -> bool {
        let place = |failed: &Self| (failed.in_start, failed.steps, failed.reports, failed.checkpoint);
        self.kind.is_of_the_loop() && self.kind == other.kind && place(self) == place(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn killed() -> Failed {
        Failed {
            kind: FailureKind::Signal(9),
            in_start: false,
            steps: 3,
            reports: 1,
            checkpoint: None,
            slots_lost: false,
            state: RunState::Running,
        }
    }

    fn error(words: &str) -> Failed {
        Failed { kind: FailureKind::Error(words.to_owned()), ..killed() }
    }

    fn in_start() -> Failed {
        Failed {
            kind: FailureKind::Exit(1),
            in_start: true,
            state: RunState::Scheduling,
            steps: 0,
            reports: 0,
            ..killed()
        }
    }

    /// How often the group is started again before the run ends, and with what words.
    fn restarts(config: FailureConfig, failures: impl IntoIterator<Item = Failed>) -> (usize, Option<Decision>) {
        let mut policy = FailurePolicy::new(config);
        let decisions: Vec<Decision> = failures.into_iter().map(|failed| policy.decide(&failed)).collect();
        let restarts = decisions.iter().take_while(|decision| **decision == Decision::Restart).count();
        (restarts, decisions.get(restarts).cloned())
    }

    #[test]
    fn restarts_are_counted_exactly() {
        let many = || (0..9).map(|_| killed());
        let starts = || (0..9).map(|_| in_start());
        let end = |why: &str| Some(Decision::End(Some(why.to_owned())));
        assert_eq!(restarts(FailureConfig::default(), many()), (0, Some(Decision::End(None))));
        assert_eq!(restarts(FailureConfig::max_failures(0), many()), (0, Some(Decision::End(None))));
        let why = end("this was failure 4, and `max_failures` is 3");
        assert_eq!(restarts(FailureConfig::max_failures(3), many()), (3, why));
        assert_eq!(restarts(FailureConfig::unlimited(), many()), (9, None));

        assert_eq!(restarts(FailureConfig::default(), starts()), (0, Some(Decision::End(None))));
        let why = end("this was failure 3, and `max_start_failures` is 2");
        assert_eq!(restarts(FailureConfig::max_failures(2), starts()), (2, why), "as many as of the other kind");
        let why = end("this was failure 4, and `max_start_failures` is 3");
        assert_eq!(restarts(FailureConfig::unlimited(), starts()), (3, why));
        let config = FailureConfig::max_failures(0).max_start_failures(1);
        assert_eq!(restarts(config, starts()).0, 1);
        assert_eq!(restarts(config, many()).0, 0);
    }

    #[test]
    fn the_last_start_is_known_as_such() {
        assert!(!FailurePolicy::new(FailureConfig::default()).may_restart());
        let mut policy = FailurePolicy::new(FailureConfig::max_failures(1).max_start_failures(9));
        assert_eq!((policy.decide(&in_start()), policy.may_restart()), (Decision::Restart, true));
        assert_eq!((policy.decide(&killed()), policy.may_restart()), (Decision::Restart, false));
        let mut policy = FailurePolicy::new(FailureConfig::unlimited());
        assert_eq!((policy.decide(&killed()), policy.may_restart()), (Decision::Restart, true));
    }

    #[test]
    fn failures_of_the_start_are_counted_apart() {
        let config = FailureConfig::max_failures(2).max_start_failures(1);
        assert_eq!(restarts(config, [killed(), in_start(), killed(), in_start()]).0, 4);
        // A generation whose loops begin makes the starts good again; failures of loops add up.
        assert_eq!(restarts(config, [killed(), in_start(), in_start()]).0, 2);
        assert_eq!(restarts(config, [killed(), in_start(), killed(), killed()]).0, 3);
    }

    #[test]
    fn the_same_error_at_the_same_place_ends_the_run() {
        let config = FailureConfig::unlimited();
        let table = [
            ("the same", vec![error("a"), error("a")], 1),
            ("other words", vec![error("a"), error("b"), error("a")], 3),
            ("another step", vec![error("a"), Failed { steps: 4, ..error("a") }], 2),
            ("another report", vec![error("a"), Failed { reports: 2, ..error("a") }], 2),
            ("a checkpoint between", vec![error("a"), Failed { checkpoint: Some(0), ..error("a") }], 2),
            ("a signal between", vec![error("a"), killed(), error("a")], 3),
            ("signals", vec![killed(), killed(), killed()], 3),
            ("an error of the start", vec![Failed { in_start: true, ..error("a") }; 2], 1),
        ];
        for (name, failures, expected) in table {
            assert_eq!(restarts(config, failures).0, expected, "{name}");
        }
        let Some(Decision::End(Some(why))) = restarts(config, [error("a"), error("a")]).1 else { panic!() };
        assert!(why.contains("the same error came again"), "{why}");
    }

    #[test]
    fn a_worker_that_goes_with_its_slot_is_no_failure() {
        let lost = |failed: Failed| Failed { slots_lost: true, ..failed };
        let none = FailureConfig::default();
        assert_eq!(restarts(none, [lost(killed()), lost(killed()), killed()]).0, 2);
        assert_eq!(restarts(none, [lost(error("a"))]).0, 0, "the loop's own error is one");
        assert_eq!(restarts(none, [lost(in_start())]).0, 0);
    }

    #[test]
    fn a_run_that_stops_is_not_started_again() {
        let failed = Failed { state: RunState::ShuttingDown, ..killed() };
        assert_eq!(restarts(FailureConfig::unlimited(), [failed]), (0, Some(Decision::End(None))));
    }
}
