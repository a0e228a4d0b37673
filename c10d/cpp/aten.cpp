#include "aten.h"

#include <ATen/core/grad_mode.h>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/ops/_amp_foreach_non_finite_check_and_unscale.h>
#include <ATen/ops/_amp_update_scale.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcdiv.h>
#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_clamp_max.h>
#include <ATen/ops/_foreach_clamp_min.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_neg.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_sign.h>
#include <ATen/ops/_foreach_sqrt.h>
#include <ATen/ops/_fused_adagrad.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/randperm.h>
#include <ATen/ops/scalar_tensor.h>

#include <algorithm>
#include <cstring>
#include <mutex>

namespace trainloop_c10d {

namespace {

// The fused kernels walk a parameter's memory and that of its gradient and state by address alone, without a check.
void check_layouts(const TensorList& parameters, std::initializer_list<const TensorList*> others) {
  for (size_t i = 0; i < parameters.inner.size(); ++i) {
    const auto& parameter = parameters.inner[i];
    TORCH_CHECK(
        parameter.defined() && parameter.is_non_overlapping_and_dense(),
        "parameter ", i, " is undefined, or has gaps or overlaps in memory");
    for (const auto* list : others) {
      if (list->inner.empty()) continue;
      const auto& other = list->inner[i];
      TORCH_CHECK(
          other.defined() && other.sizes() == parameter.sizes() && other.dtype() == parameter.dtype() &&
              other.device() == parameter.device() &&
              (other.strides() == parameter.strides() || (other.is_contiguous() && parameter.is_contiguous())),
          "a gradient or a state of parameter ", i, " differs from it in shape, dtype, device or memory layout");
    }
  }
}

void check_steps(const TensorList& steps) {
  for (const auto& step : steps.inner) {
    TORCH_CHECK(step.defined() && step.numel() == 1, "a step counter is no scalar");
  }
}

// The gradients by which a foreach rule steps: a new list where they are changed.
std::vector<at::Tensor> own_gradients(
    const TensorList& parameters, const TensorList& gradients, double weight_decay, bool maximize) {
  auto own = maximize ? at::_foreach_neg(gradients.inner) : gradients.inner;
  if (weight_decay == 0) return own;
  if (!maximize) return at::_foreach_add(own, parameters.inner, weight_decay);
  at::_foreach_add_(own, parameters.inner, weight_decay);
  return own;
}

}  // namespace

void fused_sgd(
    const TensorList& parameters, const TensorList& gradients, const TensorList& momentum_buffers, double lr,
    double momentum, double dampening, double weight_decay, bool nesterov, bool maximize, bool is_first_step) {
  check_layouts(parameters, {&gradients, &momentum_buffers});
  c10::NoGradGuard no_grad;
  at::_fused_sgd_(
      parameters.inner, gradients.inner, momentum_buffers.inner, weight_decay, momentum, lr, dampening, nesterov,
      maximize, is_first_step);
}

void fused_adam(
    const TensorList& parameters, const TensorList& gradients, const TensorList& exp_avgs,
    const TensorList& exp_avg_sqs, const TensorList& max_exp_avg_sqs, const TensorList& steps, double lr, double beta1,
    double beta2, double weight_decay, double eps, bool amsgrad, bool maximize, bool decoupled) {
  check_layouts(parameters, {&gradients, &exp_avgs, &exp_avg_sqs, &max_exp_avg_sqs});
  check_steps(steps);
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

void fused_adagrad(
    const TensorList& parameters, const TensorList& gradients, const TensorList& sums, const TensorList& steps,
    double lr, double lr_decay, double weight_decay, double eps, bool maximize) {
  check_layouts(parameters, {&gradients, &sums});
  check_steps(steps);
  c10::NoGradGuard no_grad;
  at::_fused_adagrad_(
      parameters.inner, gradients.inner, sums.inner, steps.inner, lr, lr_decay, weight_decay, eps, maximize);
}

// Operation by operation `_multi_tensor_rmsprop` of torch/optim/rmsprop.py.
void foreach_rmsprop(
    const TensorList& parameters, const TensorList& gradients, const TensorList& square_avgs,
    const TensorList& grad_avgs, const TensorList& momentum_buffers, double lr, double alpha, double eps,
    double weight_decay, double momentum, bool centered, bool maximize) {
  check_layouts(parameters, {&gradients, &square_avgs, &grad_avgs, &momentum_buffers});
  c10::NoGradGuard no_grad;
  const auto own = own_gradients(parameters, gradients, weight_decay, maximize);
  at::_foreach_mul_(square_avgs.inner, alpha);
  at::_foreach_addcmul_(square_avgs.inner, own, own, 1 - alpha);
  std::vector<at::Tensor> divisors;
  if (centered) {
    at::_foreach_lerp_(grad_avgs.inner, own, 1 - alpha);
    divisors = at::_foreach_addcmul(square_avgs.inner, grad_avgs.inner, grad_avgs.inner, -1);
    at::_foreach_sqrt_(divisors);
  } else {
    divisors = at::_foreach_sqrt(square_avgs.inner);
  }
  at::_foreach_add_(divisors, eps);
  if (momentum == 0) {
    at::_foreach_addcdiv_(parameters.inner, own, divisors, -lr);
    return;
  }
  at::_foreach_mul_(momentum_buffers.inner, momentum);
  at::_foreach_addcdiv_(momentum_buffers.inner, own, divisors);
  at::_foreach_add_(parameters.inner, momentum_buffers.inner, -lr);
}

void foreach_lion(
    const TensorList& parameters, const TensorList& gradients, const TensorList& exp_avgs, double lr, double beta1,
    double beta2, double weight_decay, bool maximize) {
  check_layouts(parameters, {&gradients, &exp_avgs});
  c10::NoGradGuard no_grad;
  const auto own = own_gradients(parameters, gradients, 0, maximize);
  if (weight_decay != 0) at::_foreach_mul_(parameters.inner, 1 - lr * weight_decay);
  auto updates = at::_foreach_mul(exp_avgs.inner, beta1);
  at::_foreach_add_(updates, own, 1 - beta1);
  at::_foreach_sign_(updates);
  at::_foreach_add_(parameters.inner, updates, -lr);
  at::_foreach_mul_(exp_avgs.inner, beta2);
  at::_foreach_add_(exp_avgs.inner, own, 1 - beta2);
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

void foreach_add(const TensorList& tensors, double value) {
  c10::NoGradGuard no_grad;
  const auto is_cpu = [](const at::Tensor& tensor) { return tensor.is_cpu(); };
  if (std::all_of(tensors.inner.begin(), tensors.inner.end(), is_cpu)) {
    // The loop that runs on the CPU would make a tensor of the number once for each tensor.
    at::_foreach_add_(tensors.inner, at::scalar_tensor(value), 1);
  } else {
    at::_foreach_add_(tensors.inner, value);
  }
}

void foreach_clamp(const TensorList& tensors, double min, double max) {
  c10::NoGradGuard no_grad;
  at::_foreach_clamp_min_(tensors.inner, min);
  at::_foreach_clamp_max_(tensors.inner, max);
}

void amp_unscale(const TensorList& gradients, const Tensor& found_inf, const Tensor& inverse_scale) {
  c10::NoGradGuard no_grad;
  auto flag = found_inf;
  at::_amp_foreach_non_finite_check_and_unscale_(gradients.inner, flag, inverse_scale);
}

void amp_update_scale(
    const Tensor& scale, const Tensor& growth_tracker, const Tensor& found_inf, double growth_factor,
    double backoff_factor, int64_t growth_interval) {
  c10::NoGradGuard no_grad;
  auto next = scale;
  auto tracker = growth_tracker;
  at::_amp_update_scale_(next, tracker, found_inf, growth_factor, backoff_factor, growth_interval);
}

std::unique_ptr<Tensor> pin_memory(const Tensor& tensor) { return std::make_unique<Tensor>(tensor.pin_memory()); }

bool is_pinned(const Tensor& tensor) { return tensor.is_pinned(); }

std::unique_ptr<Tensor> randperm(int64_t n, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  return std::make_unique<Tensor>(at::randperm(n, generator, at::TensorOptions(at::kLong)));
}

std::unique_ptr<Tensor> cpu_generator_state() {
  auto generator = at::detail::getDefaultCPUGenerator();
  std::lock_guard<std::mutex> lock(generator.mutex());
  return std::make_unique<Tensor>(generator.get_state());
}

void set_cpu_generator_state(const Tensor& state) {
  auto generator = at::detail::getDefaultCPUGenerator();
  std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_state(state);
}

std::unique_ptr<Tensor> cuda_generator_state(uint8_t device) {
  auto generator = at::globalContext().defaultGenerator(at::Device(at::kCUDA, static_cast<at::DeviceIndex>(device)));
  std::lock_guard<std::mutex> lock(generator.mutex());
  return std::make_unique<Tensor>(generator.get_state());
}

void set_cuda_generator_state(uint8_t device, const Tensor& state) {
  auto generator = at::globalContext().defaultGenerator(at::Device(at::kCUDA, static_cast<at::DeviceIndex>(device)));
  std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_state(state);
}

void set_deterministic_algorithms(bool deterministic, bool warn_only) {
  at::globalContext().setDeterministicAlgorithms(deterministic, warn_only);
}

bool deterministic_algorithms() { return at::globalContext().deterministicAlgorithms(); }

bool deterministic_algorithms_warn_only() { return at::globalContext().deterministicAlgorithmsWarnOnly(); }

}  // namespace trainloop_c10d
