#include "autograd_reduce.h"

#include <torch/csrc/autograd/custom_function.h>

namespace trainloop_c10d {

namespace {

// What a graph keeps of a group, which it may outlive.
struct Carrier final : torch::CustomClassHolder {
  Carrier(c10::intrusive_ptr<c10d::ProcessGroup> group, std::shared_ptr<Nccl> nccl)
      : group(std::move(group)), nccl(std::move(nccl)) {}

  c10::intrusive_ptr<c10d::ProcessGroup> group;
  std::shared_ptr<Nccl> nccl;
};

// Every rank's value has a part in every rank's sum, so the backward pass adds up, too.
struct SumOfRanks final : torch::autograd::Function<SumOfRanks> {
  static at::Tensor forward(
      torch::autograd::AutogradContext* context, const at::Tensor& tensor, const c10::intrusive_ptr<Carrier>& carrier) {
    context->saved_data["carrier"] = c10::IValue::make_capsule(carrier);
    auto sum = tensor.detach().clone(at::MemoryFormat::Contiguous);
    std::vector<at::Tensor> tensors{sum};
    guarded(sum.is_cuda() ? carrier->nccl : nullptr, [&] { carrier->group->allreduce(tensors)->wait(); });
    return sum;
  }

  // The gradient is of zeros where the loss does not depend on the sum here: on the other ranks it may.
  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext* context, const torch::autograd::variable_list& gradients) {
    auto carrier = c10::static_intrusive_pointer_cast<Carrier>(context->saved_data["carrier"].toCapsule());
    return {apply(gradients.at(0), carrier), at::Tensor()};
  }
};

}  // namespace

std::unique_ptr<Tensor> all_reduce_with_grad(const ProcessGroup& group, const Tensor& tensor) {
  return std::make_unique<Tensor>(SumOfRanks::apply(tensor, c10::make_intrusive<Carrier>(group.inner, group.nccl)));
}

}  // namespace trainloop_c10d
