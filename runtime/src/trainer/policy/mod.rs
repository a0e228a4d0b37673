//! What a run does next, as pure functions of what has happened: the session asks, and acts.

pub(super) mod checkpoint;
pub(super) mod failure;
pub(super) mod scaling;
