//! The span of a step, in which everything happens that a loop does in it.

use std::cell::RefCell;

use tracing::span::EnteredSpan;

/// The step that a loop is in, as a span with the field `step`: how many steps were counted before it.
#[derive(Debug, Default)]
pub(crate) struct StepSpan(RefCell<Option<(u64, EnteredSpan)>>);

impl StepSpan {
    /// The loop is in that step, inside of whatever span it is in.
    pub(crate) fn enter(&self, step: u64) {
        if self.0.borrow().as_ref().is_some_and(|(entered, _)| *entered == step) {
            return;
        }
        self.exit();
        let span = tracing::info_span!(target: "trainloop", "step", step);
        self.0.replace(Some((step, span.entered())));
    }

    /// The loop is in no step.
    pub(crate) fn exit(&self) {
        drop(self.0.take());
    }
}
