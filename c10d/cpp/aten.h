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

void clear_grad(const Tensor& tensor);
bool is_grad_enabled();
bool is_same(const Tensor& left, const Tensor& right);
std::unique_ptr<TensorList> foreach_norm(const TensorList& tensors, double order);
void foreach_mul(const TensorList& tensors, const Tensor& factor);
std::unique_ptr<Tensor> randperm(int64_t n, uint64_t seed);

// The generator that libtorch's functions use on the CPU; its state is a tensor of bytes.
std::unique_ptr<Tensor> cpu_generator_state();
void set_cpu_generator_state(const Tensor& state);

// Copies a part of the memory of a contiguous CPU tensor.
void copy_bytes(const Tensor& tensor, size_t offset, rust::Slice<uint8_t> target);

}  // namespace trainloop_c10d
