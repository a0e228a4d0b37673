#include "aten.h"

#include <ATen/core/grad_mode.h>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/randperm.h>

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
  for (const auto& step : steps.inner) {
    TORCH_CHECK(step.defined() && step.numel() == 1, "a step counter is no scalar");
  }
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

void copy_bytes(const Tensor& tensor, size_t offset, rust::Slice<uint8_t> target) {
  TORCH_CHECK(tensor.device().is_cpu() && tensor.is_contiguous(), "the tensor is no contiguous CPU tensor");
  const size_t bytes = tensor.nbytes();
  TORCH_CHECK(offset <= bytes && target.size() <= bytes - offset, "the tensor has ", bytes, " bytes only");
  if (target.empty()) return;
  std::memcpy(target.data(), static_cast<const uint8_t*>(tensor.const_data_ptr()) + offset, target.size());
}

}  // namespace trainloop_c10d
