//! What is known of a metric besides its value: how it is reduced, and its unit.

use serde::{Deserialize, Serialize};

/// One field of a loop's metrics, as a run's `run.json` and a plot describe it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MetricField {
    /// Its name; in a nested struct, with a dot before it: `validation.loss`.
    pub name: String,
    /// How the ranks' values become the run's.
    pub reduce: Reduction,
    /// What it is measured in, such as `"s"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// How the ranks' values of a metric become the run's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Reduction {
    /// Their mean.
    Mean,
    /// Their sum.
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// That of the last rank, such as the last stage of a pipeline, which alone has the loss.
    Last,
    /// Rank 0's.
    None,
}

/// The fields of metrics in the making; generated code fills it.
#[derive(Debug, Default)]
pub struct Fields(Vec<MetricField>);

impl Fields {
    /// Adds a field.
    #[must_use]
    pub fn field(mut self, name: &str, reduce: Reduction, unit: Option<&str>) -> Self {
        self.0.push(MetricField { name: name.to_owned(), reduce, unit: unit.map(str::to_owned) });
        self
    }

    /// Adds those of a nested struct.
    #[must_use]
    pub fn nested(mut self, name: &str, fields: fn() -> Vec<MetricField>) -> Self {
        self.0
            .extend(fields().into_iter().map(|field| MetricField { name: format!("{name}.{}", field.name), ..field }));
        self
    }

    /// All of them.
    #[must_use]
    pub fn done(self) -> Vec<MetricField> {
        self.0
    }
}
