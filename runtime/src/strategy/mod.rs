//! How a model, its gradients and its optimizer state are spread over ranks.
//!
//! | strategy | what is spread | built on |
//! |---|---|---|
//! | `single` | nothing; one worker | |
//! | `ddp` | gradients are averaged, in buckets, during the backward pass | c10d's `Reducer` |

mod model;
mod outputs;

use serde::{Deserialize, Serialize};

pub use model::{Model, ModelOptions};
pub use outputs::Outputs;

/// The strategies by name, as `#[train_loop(strategy = …)]` takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Strategy {
    /// Nothing is spread: one worker.
    Single,
    /// Distributed data parallel: each rank has the whole model and a share of each batch; gradients are averaged.
    #[default]
    Ddp,
}
