#include "aten.h"

#include <ATen/core/grad_mode.h>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/randperm.h>

namespace trainloop_c10d {

void fused_sgd(
    const TensorList& parameters, const TensorList& gradients, const TensorList& momentum_buffers, double lr,
    double momentum, double dampening, double weight_decay, bool nesterov, bool maximize, bool is_first_step) {
  c10::NoGradGuard no_grad;
  at::_fused_sgd_(
      parameters.inner, gradients.inner, momentum_buffers.inner, weight_decay, momentum, lr, dampening, nesterov,
      maximize, is_first_step);
}

void fused_adam(
    const TensorList& parameters, const TensorList& gradients, const TensorList& exp_avgs,
    const TensorList& exp_avg_sqs, const TensorList& max_exp_avg_sqs, const TensorList& steps, double lr, double beta1,
    double beta2, double weight_decay, double eps, bool amsgrad, bool maximize, bool decoupled) {
  c10::NoGradGuard no_grad;
  if (decoupled) {
    at::_fused_adamw_(
        parameters.inner, gradients.inner, exp_avgs.inner, exp_avg_sqs.inner, max_exp_avg_sqs.inner, steps.inner, lr,
        beta1, beta2, weight_decay, eps, amsgrad, maximize);
  } else {
    at::_fused_adam_(
        parameters.inner, gradients.inner, exp_avgs.inner, exp_avg_sqs.inner, max_exp_avg_sqs.inner, steps.inner, lr,
        beta1, beta2, weight_decay, eps, amsgrad, maximize);
  }
}

void clear_grad(const Tensor& tensor) { tensor.mutable_grad().reset(); }

bool is_grad_enabled() { return c10::GradMode::is_enabled(); }

bool is_same(const Tensor& left, const Tensor& right) { return left.is_same(right); }

std::unique_ptr<TensorList> foreach_norm(const TensorList& tensors, double order) {
  c10::NoGradGuard no_grad;
  auto list = std::make_unique<TensorList>();
  list->inner = at::_foreach_norm(tensors.inner, order);
  return list;
}

void foreach_mul(const TensorList& tensors, const Tensor& factor) {
  c10::NoGradGuard no_grad;
  at::_foreach_mul_(tensors.inner, factor);
}

std::unique_ptr<Tensor> randperm(int64_t n, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  return std::make_unique<Tensor>(at::randperm(n, generator, at::TensorOptions(at::kLong)));
}

}  // namespace trainloop_c10d
