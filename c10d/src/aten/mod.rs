//! The few functions of libtorch that tch does not bind.

mod amp;
mod autocast;
mod autograd;
mod bytes;
mod foreach;
mod memory;
mod optim;
mod random;

pub use amp::{ScaleUpdate, amp_unscale, amp_update_scale};
pub use autocast::autocast;
pub use autograd::{clear_grad, is_grad_enabled, is_same};
pub use bytes::{byte_len, copy_values, fill_from, for_each_chunk};
pub use foreach::{foreach_add, foreach_clamp, foreach_mul, foreach_norm};
pub use memory::{is_pinned, pin_memory};
pub use optim::{
    AdagradStep, AdamStep, LionStep, RmsPropStep, SgdStep, foreach_lion, foreach_rmsprop, fused_adagrad, fused_adam,
    fused_sgd,
};
pub use random::{
    cpu_generator_state, cuda_generator_state, deterministic_algorithms, randperm, set_cpu_generator_state,
    set_cuda_generator_state, set_deterministic_algorithms,
};
