//! The few functions of libtorch that tch does not bind.

mod autograd;
mod bytes;
mod foreach;
mod optim;
mod random;

pub use autograd::{clear_grad, is_grad_enabled, is_same};
pub use bytes::{byte_len, for_each_chunk};
pub use foreach::{foreach_mul, foreach_norm};
pub use optim::{AdamStep, SgdStep, fused_adam, fused_sgd};
pub use random::{cpu_generator_state, randperm, set_cpu_generator_state};
