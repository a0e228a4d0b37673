//! What a callback in a worker may ask of the loop.

use std::cell::Cell;
use std::rc::Rc;

/// What a callback in a worker may ask of the loop beside which it runs.
#[derive(Debug, Clone, Default)]
pub struct Control(Rc<Cell<bool>>);

impl Control {
    /// As [`Context::request_stop`](crate::worker::Context::request_stop): all ranks agree on it at one step, after which
    /// [`should_stop`](crate::worker::Context::should_stop) says so.
    pub fn request_stop(&self) {
        self.0.set(true);
    }

    pub(crate) fn is_stop_requested(&self) -> bool {
        self.0.get()
    }
}
