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
//!     #[metric(reduce = sum)]
//!     samples: u64,
//! }
//!
//! let ranks = vec![
//!     EpochMetrics { epoch: 3, loss: 1.0, samples: 10 },
//!     EpochMetrics { epoch: 3, loss: 2.0, samples: 6 },
//! ];
//! let run = Ranks::new(ranks).unwrap().reduce();
//! assert_eq!((run.epoch, run.loss, run.samples), (3, 1.5, 16));
//! ```

pub(crate) mod reduce;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use trainloop_macros::Metrics;

pub use reduce::{Additive, Averaged, Ordered};

/// The metrics of a train loop: what [`Context::report`](crate::worker::Context::report) takes.
///
/// Derive it: `#[derive(Metrics, Serialize, Deserialize, Clone)]`. Each field's attribute names how the ranks' values
/// become the run's: `#[metric(reduce = mean)]` (floating-point), `sum`, `min`, `max`; a field without one is rank 0's.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be reported: it does not implement `Metrics`",
    label = "this type is used as a train loop's metrics",
    note = "add `#[derive(trainloop::Metrics, serde::Serialize, serde::Deserialize, Clone)]` to `{Self}`"
)]
pub trait Metrics: Serialize + DeserializeOwned + Clone + 'static {
    /// One value from those of all ranks.
    #[must_use]
    fn reduce(ranks: &Ranks<Self>) -> Self;
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
