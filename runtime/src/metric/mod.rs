//! What a report holds, and how the ranks' values become one.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use trainloop::metric::Ranks;
//! use trainloop::Metrics;
//!
//! #[derive(Metrics, Serialize, Deserialize, Debug, Clone)]
//! struct EpochMetrics {
//!     epoch: u64, // rank 0's
//!     #[metric(reduce = mean)]
//!     loss: f64,
//!     #[metric(nested)]
//!     speed: Speed,
//! }
//!
//! #[derive(Metrics, Serialize, Deserialize, Debug, Clone)]
//! struct Speed {
//!     #[metric(reduce = sum)]
//!     samples: u64,
//!     #[metric(reduce = max, unit = "s")]
//!     slowest: f64,
//! }
//!
//! let ranks = vec![
//!     EpochMetrics { epoch: 3, loss: 1.0, speed: Speed { samples: 10, slowest: 0.5 } },
//!     EpochMetrics { epoch: 3, loss: 2.0, speed: Speed { samples: 6, slowest: 0.75 } },
//! ];
//! let run = Ranks::new(ranks).unwrap().reduce();
//! assert_eq!((run.epoch, run.loss, run.speed.samples, run.speed.slowest), (3, 1.5, 16, 0.75));
//!
//! let slowest = EpochMetrics::fields().pop().unwrap();
//! assert_eq!((slowest.name.as_str(), slowest.unit.as_deref()), ("speed.slowest", Some("s")));
//! ```

pub(crate) mod field;
pub(crate) mod reduce;

pub use trainloop_macros::Metrics;

pub use field::{MetricField, Reduction};
pub use reduce::{Additive, Averaged, Ordered};

use crate::channel::Travels;

/// The metrics of a train loop: what [`Context::report`](crate::worker::Context::report) takes.
///
/// Derive it: `#[derive(Metrics, Serialize, Deserialize, Clone)]`. Each field's attribute names how the ranks' values
/// become the run's: `#[metric(reduce = mean)]` (floating-point), `sum`, `min`, `max`, `last` (the last rank's) or `none`
/// (rank 0's, as without one); `#[metric(nested)]` is for a struct that derives it as well, and `unit = "s"` names what the
/// value is measured in.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be reported: it does not implement `Metrics`",
    label = "this type is used as a train loop's metrics",
    note = "add `#[derive(trainloop::Metrics, serde::Serialize, serde::Deserialize, Clone)]` to `{Self}`"
)]
pub trait Metrics: Travels + Clone {
    /// One value from those of all ranks.
    #[must_use]
    fn reduce(ranks: &Ranks<Self>) -> Self;

    /// What is known of each field.
    #[must_use]
    fn fields() -> Vec<MetricField> {
        Vec::new()
    }
}

impl Metrics for () {
    fn reduce(_ranks: &Ranks<Self>) -> Self {}
}

/// One value for each rank, in the order of ranks; at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranks<T>(Vec<T>);

impl<T> Ranks<T> {
    /// `None` where there is no value.
    #[must_use]
    pub fn new(values: Vec<T>) -> Option<Self> {
        (!values.is_empty()).then_some(Self(values))
    }

    /// Rank 0's value.
    #[must_use]
    pub fn first(&self) -> &T {
        &self.0[0]
    }

    /// The last rank's value.
    #[must_use]
    pub fn last(&self) -> &T {
        &self.0[self.0.len() - 1]
    }

    /// The values, rank 0's first.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// How many ranks there are.
    #[must_use]
    pub fn world_size(&self) -> usize {
        self.0.len()
    }
}

impl<M: Metrics> Ranks<M> {
    /// The run's value: every field reduced as its attribute says.
    #[must_use]
    pub fn reduce(&self) -> M {
        M::reduce(self)
    }
}

impl<'a, T> IntoIterator for &'a Ranks<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
