// The few functions of libtorch that tch does not bind.
#pragma once
#include "tensors.h"

namespace trainloop_c10d {

void fused_sgd(
    const TensorList& parameters, const TensorList& gradients, const TensorList& momentum_buffers, double lr,
    double momentum, double dampening, double weight_decay, bool nesterov, bool maximize, bool is_first_step);

// `decoupled` is AdamW; without it weight decay is added to the gradient, as in Adam.
void fused_adam(
    const TensorList& parameters, const TensorList& gradients, const TensorList& exp_avgs,
    const TensorList& exp_avg_sqs, const TensorList& max_exp_avg_sqs, const TensorList& steps, double lr, double beta1,
    double beta2, double weight_decay, double eps, bool amsgrad, bool maximize, bool decoupled);

void fused_adagrad(
    const TensorList& parameters, const TensorList& gradients, const TensorList& sums, const TensorList& steps,
    double lr, double lr_decay, double weight_decay, double eps, bool maximize);

// libtorch has no fused kernel for these two. `grad_avgs` is empty where it is not centered, `momentum_buffers` where
// momentum is 0.
void foreach_rmsprop(
    const TensorList& parameters, const TensorList& gradients, const TensorList& square_avgs,
    const TensorList& grad_avgs, const TensorList& momentum_buffers, double lr, double alpha, double eps,
    double weight_decay, double momentum, bool centered, bool maximize);
void foreach_lion(
    const TensorList& parameters, const TensorList& gradients, const TensorList& exp_avgs, double lr, double beta1,
    double beta2, double weight_decay, bool maximize);

void clear_grad(const Tensor& tensor);
bool is_grad_enabled();
bool is_same(const Tensor& left, const Tensor& right);
std::unique_ptr<TensorList> foreach_norm(const TensorList& tensors, double order);
void foreach_mul(const TensorList& tensors, const Tensor& factor);
void foreach_add(const TensorList& tensors, double value);
void foreach_clamp(const TensorList& tensors, double min, double max);

// Automatic mixed precision: gradients times `inverse_scale`, and 1 into `found_inf` where one is not finite; then the next
// scale from what was found.
void amp_unscale(const TensorList& gradients, const Tensor& found_inf, const Tensor& inverse_scale);
void amp_update_scale(
    const Tensor& scale, const Tensor& growth_tracker, const Tensor& found_inf, double growth_factor,
    double backoff_factor, int64_t growth_interval);

// On this thread, from the one to the other.
struct AutocastBefore;
AutocastBefore enter_autocast(bool cuda, bool half);
void leave_autocast(const AutocastBefore& before);

// Page-locked memory, which is there with a GPU.
std::unique_ptr<Tensor> pin_memory(const Tensor& tensor);
bool is_pinned(const Tensor& tensor);

std::unique_ptr<Tensor> randperm(int64_t n, uint64_t seed);

// The generator that libtorch's functions use on the CPU; its state is a tensor of bytes.
std::unique_ptr<Tensor> cpu_generator_state();
void set_cpu_generator_state(const Tensor& state);
// Those of a CUDA device.
std::unique_ptr<Tensor> cuda_generator_state(uint8_t device);
void set_cuda_generator_state(uint8_t device, const Tensor& state);

void set_deterministic_algorithms(bool deterministic, bool warn_only);
bool deterministic_algorithms();
bool deterministic_algorithms_warn_only();

}  // namespace trainloop_c10d
