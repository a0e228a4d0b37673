//! The border with C++: one function here for each in `cpp/`.
//!
//! `Tensor` is libtorch's `at::Tensor`, the same type that lies behind [`tch::Tensor`]; `tensors` goes between the two.

use crate::ddp::{CommHook, run_comm_hook};

#[cxx::bridge(namespace = "trainloop_c10d")]
#[allow(unreachable_pub, clippy::too_many_arguments)]
pub(crate) mod ffi {
    /// Nanoseconds, means over the samples.
    struct Statistics {
        iterations: i64,
        forward_ns: i64,
        backward_ns: i64,
        communication_ns: i64,
        overlap_ns: i64,
    }

    /// What automatic mixed precision was set to on a kind of device.
    struct AutocastBefore {
        cuda: bool,
        enabled: bool,
        dtype: i8,
    }

    extern "Rust" {
        type CommHook;
        fn run_comm_hook(
            hook: &CommHook,
            index: usize,
            is_last: bool,
            gradients: UniquePtr<Tensor>,
        ) -> Result<UniquePtr<TensorList>>;
    }

    unsafe extern "C++" {
        include!("tensors.h");
        type Tensor;
        type TensorList;
        fn new_tensor_list() -> UniquePtr<TensorList>;
        fn push(self: Pin<&mut TensorList>, tensor: &Tensor);
        fn len(self: &TensorList) -> usize;
        fn get(self: &TensorList, index: usize) -> Result<UniquePtr<Tensor>>;
        fn is_sole_owner(tensor: &Tensor) -> bool;

        include!("version.h");
        fn compiled_version() -> u64;
        fn loaded_version() -> u64;

        include!("store.h");
        type Store;
        fn new_hash_store() -> Result<UniquePtr<Store>>;
        fn new_file_store(path: &str, world_size: i32) -> Result<UniquePtr<Store>>;
        fn new_tcp_store(host: &str, port: u16, is_server: bool, timeout_ms: i64) -> Result<UniquePtr<Store>>;
        fn new_prefix_store(prefix: &str, store: &Store) -> Result<UniquePtr<Store>>;
        fn tcp_store_port(store: &Store) -> Result<u16>;
        fn set(self: &Store, key: &str, value: &[u8]) -> Result<()>;
        fn get(self: &Store, key: &str, timeout_ms: i64) -> Result<Vec<u8>>;
        fn add(self: &Store, key: &str, amount: i64) -> Result<i64>;
        fn wait(self: &Store, keys: &[String], timeout_ms: i64) -> Result<()>;
        fn check(self: &Store, key: &str) -> Result<bool>;
        fn delete_key(self: &Store, key: &str) -> Result<bool>;
        fn compare_set(self: &Store, key: &str, expected: &[u8], desired: &[u8]) -> Result<Vec<u8>>;
        fn num_keys(self: &Store) -> Result<i64>;
        fn clone_handle(self: &Store) -> Result<UniquePtr<Store>>;
        fn share(self: &Store) -> UniquePtr<Store>;

        include!("work.h");
        type Work;
        fn wait(self: &Work) -> Result<()>;
        fn wait_for(self: &Work, timeout_ms: i64) -> Result<bool>;
        fn is_completed(self: &Work) -> bool;

        include!("process_group.h");
        type ProcessGroup;
        fn new_gloo_group(
            store: &Store,
            rank: i32,
            world_size: i32,
            timeout_ms: i64,
            hostname: &str,
            cuda_too: bool,
        ) -> Result<UniquePtr<ProcessGroup>>;
        #[cfg(feature = "nccl")]
        fn add_nccl(group: Pin<&mut ProcessGroup>, store: &Store, device: u8, timeout_ms: i64) -> Result<()>;
        fn abort(self: &ProcessGroup) -> Result<()>;
        fn broadcast(self: &ProcessGroup, tensor: &Tensor, root: i32) -> Result<UniquePtr<Work>>;
        fn all_reduce(self: &ProcessGroup, tensor: &Tensor, op: u8) -> Result<UniquePtr<Work>>;
        fn all_reduce_coalesced(self: &ProcessGroup, tensors: &TensorList, op: u8) -> Result<UniquePtr<Work>>;
        fn reduce(self: &ProcessGroup, tensor: &Tensor, root: i32, op: u8) -> Result<UniquePtr<Work>>;
        fn all_gather(self: &ProcessGroup, rows: &Tensor, input: &Tensor) -> Result<UniquePtr<Work>>;
        fn gather(self: &ProcessGroup, rows: &TensorList, input: &Tensor, root: i32) -> Result<UniquePtr<Work>>;
        fn scatter(self: &ProcessGroup, output: &Tensor, rows: &TensorList, root: i32) -> Result<UniquePtr<Work>>;
        fn reduce_scatter(self: &ProcessGroup, output: &Tensor, input: &Tensor, op: u8) -> Result<UniquePtr<Work>>;
        fn all_to_all(
            self: &ProcessGroup,
            output: &Tensor,
            input: &Tensor,
            output_counts: &[i64],
            input_counts: &[i64],
        ) -> Result<UniquePtr<Work>>;
        fn send(
            self: &ProcessGroup,
            tensor: &Tensor,
            to: i32,
            tag: i32,
            timeout_ms: i64,
            background: bool,
        ) -> Result<UniquePtr<Work>>;
        fn receive(
            self: &ProcessGroup,
            tensor: &Tensor,
            from: i32,
            tag: i32,
            timeout_ms: i64,
            background: bool,
        ) -> Result<UniquePtr<Work>>;
        fn barrier(self: &ProcessGroup, timeout_ms: i64) -> Result<UniquePtr<Work>>;
        fn set_timeout(self: &ProcessGroup, timeout_ms: i64) -> Result<()>;

        include!("autograd_reduce.h");
        fn all_reduce_with_grad(group: &ProcessGroup, tensor: &Tensor) -> Result<UniquePtr<Tensor>>;

        include!("ddp.h");
        type Reducer;
        fn new_reducer(
            group: &ProcessGroup,
            parameters: &TensorList,
            names: &[String],
            first_bucket_bytes: usize,
            bucket_bytes: usize,
            find_unused_parameters: bool,
            gradient_as_bucket_view: bool,
        ) -> Result<UniquePtr<Reducer>>;
        fn rebuild_buckets(self: &Reducer) -> Result<bool>;
        fn prepare_for_forward(self: &Reducer) -> Result<()>;
        fn prepare_for_backward(self: &Reducer, outputs: &TensorList) -> Result<()>;
        fn bucket_count(self: &Reducer) -> Result<usize>;
        fn describe(self: &Reducer, broadcast_buffers: bool, static_graph: bool) -> Result<()>;
        fn delay_until_backward_ends(self: &Reducer, outputs: &TensorList) -> Result<()>;
        fn sample(self: &Reducer) -> Result<()>;
        fn statistics(self: &Reducer) -> Result<Statistics>;
        fn announce_input(self: &Reducer, group: &ProcessGroup, divide_by_world_size: bool, wait: bool) -> Result<i64>;
        fn count_inputs(self: &Reducer, group: &ProcessGroup) -> Result<i64>;
        fn shadow_backward(self: &Reducer, group: &ProcessGroup, find_unused_parameters: bool) -> Result<()>;
        fn end_join(self: &Reducer) -> Result<()>;
        fn compress(self: &Reducer, group: &ProcessGroup, half: bool) -> Result<()>;
        fn set_hook(self: &Reducer, hook: Box<CommHook>) -> Result<()>;
        fn broadcast_coalesced(
            group: &ProcessGroup,
            tensors: &TensorList,
            buffer_bytes: usize,
            root: i32,
        ) -> Result<()>;

        include!("aten.h");
        fn fused_sgd(
            parameters: &TensorList,
            gradients: &TensorList,
            momentum_buffers: &TensorList,
            lr: f64,
            momentum: f64,
            dampening: f64,
            weight_decay: f64,
            nesterov: bool,
            maximize: bool,
            is_first_step: bool,
        ) -> Result<()>;
        fn fused_adam(
            parameters: &TensorList,
            gradients: &TensorList,
            exp_avgs: &TensorList,
            exp_avg_sqs: &TensorList,
            max_exp_avg_sqs: &TensorList,
            steps: &TensorList,
            lr: f64,
            beta1: f64,
            beta2: f64,
            weight_decay: f64,
            eps: f64,
            amsgrad: bool,
            maximize: bool,
            decoupled: bool,
        ) -> Result<()>;
        fn fused_adagrad(
            parameters: &TensorList,
            gradients: &TensorList,
            sums: &TensorList,
            steps: &TensorList,
            lr: f64,
            lr_decay: f64,
            weight_decay: f64,
            eps: f64,
            maximize: bool,
        ) -> Result<()>;
        fn foreach_rmsprop(
            parameters: &TensorList,
            gradients: &TensorList,
            square_avgs: &TensorList,
            grad_avgs: &TensorList,
            momentum_buffers: &TensorList,
            lr: f64,
            alpha: f64,
            eps: f64,
            weight_decay: f64,
            momentum: f64,
            centered: bool,
            maximize: bool,
        ) -> Result<()>;
        fn foreach_lion(
            parameters: &TensorList,
            gradients: &TensorList,
            exp_avgs: &TensorList,
            lr: f64,
            beta1: f64,
            beta2: f64,
            weight_decay: f64,
            maximize: bool,
        ) -> Result<()>;
        fn clear_grad(tensor: &Tensor) -> Result<()>;
        fn is_grad_enabled() -> bool;
        fn is_same(left: &Tensor, right: &Tensor) -> bool;
        fn foreach_norm(tensors: &TensorList, order: f64) -> Result<UniquePtr<TensorList>>;
        fn foreach_mul(tensors: &TensorList, factor: &Tensor) -> Result<()>;
        fn foreach_add(tensors: &TensorList, value: f64) -> Result<()>;
        fn foreach_clamp(tensors: &TensorList, min: f64, max: f64) -> Result<()>;
        fn amp_unscale(gradients: &TensorList, found_inf: &Tensor, inverse_scale: &Tensor) -> Result<()>;
        fn amp_update_scale(
            scale: &Tensor,
            growth_tracker: &Tensor,
            found_inf: &Tensor,
            growth_factor: f64,
            backoff_factor: f64,
            growth_interval: i64,
        ) -> Result<()>;
        fn enter_autocast(cuda: bool, half: bool) -> Result<AutocastBefore>;
        fn leave_autocast(before: &AutocastBefore);
        fn pin_memory(tensor: &Tensor) -> Result<UniquePtr<Tensor>>;
        fn is_pinned(tensor: &Tensor) -> Result<bool>;
        fn randperm(n: i64, seed: u64) -> Result<UniquePtr<Tensor>>;
        fn cpu_generator_state() -> Result<UniquePtr<Tensor>>;
        fn set_cpu_generator_state(state: &Tensor) -> Result<()>;
        fn cuda_generator_state(device: u8) -> Result<UniquePtr<Tensor>>;
        fn set_cuda_generator_state(device: u8, state: &Tensor) -> Result<()>;
        fn set_deterministic_algorithms(deterministic: bool, warn_only: bool) -> Result<()>;
        fn deterministic_algorithms() -> bool;
        fn deterministic_algorithms_warn_only() -> bool;

        include!("bytes.h");

        fn copy_bytes(tensor: &Tensor, offset: usize, target: &mut [u8]) -> Result<()>;
        fn read_bytes(tensor: &Tensor, offset: usize, file: i32) -> Result<i64>;
        fn copy_values(target: &Tensor, source: &Tensor) -> Result<()>;
    }
}
