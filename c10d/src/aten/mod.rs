//! The few functions of libtorch that tch does not bind.

mod autograd;
mod foreach;
mod optim;
mod random;

pub use autograd::{clear_grad, is_grad_enabled, is_same};
pub use foreach::{foreach_mul, foreach_norm};
pub use optim::{AdamStep, SgdStep, fused_adam, fused_sgd};
pub use random::randperm;
