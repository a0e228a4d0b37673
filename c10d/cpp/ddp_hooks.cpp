// What a bucket of gradients goes through instead of a plain mean.
#include "ddp.h"
#include "trainloop-c10d/src/bridge.rs.h"

namespace trainloop_c10d {
namespace {

using Group = c10::intrusive_ptr<c10d::ProcessGroup>;
using Future = c10::ivalue::Future;

// As libtorch's FP16CompressCommHook, which it does not export, in either half precision.
class CompressHook final : public c10d::CppCommHookInterface<Group> {
 public:
  CompressHook(Group group, at::ScalarType half) : CppCommHookInterface(std::move(group)), half_(half) {}

  c10::intrusive_ptr<Future> runHook(c10d::GradBucket& bucket) override {
    auto compressed = bucket.getBuffer().to(half_);
    compressed.div_(state_->getSize());
    std::vector<at::Tensor> tensors{compressed};
    auto buffer = bucket.getBuffer();
    auto decompress = [buffer](Future& done) {
      auto value = done.value();
      buffer.copy_(value.isTensorList() ? value.toTensorVector().front() : value.toTensor());
      return c10::IValue(buffer);
    };
    return state_->allreduce(tensors)->getFuture()->then(std::move(decompress), c10::TensorType::get());
  }

 private:
  at::ScalarType half_;
};

// Calls into Rust, which blocks until the bucket is reduced.
class RustHook final : public c10d::CppCommHookInterface<rust::Box<CommHook>> {
 public:
  using CppCommHookInterface::CppCommHookInterface;

  c10::intrusive_ptr<Future> runHook(c10d::GradBucket& bucket) override {
    const auto& gradients = bucket.getBuffer();
    auto list = run_comm_hook(*state_, bucket.getIndex(), bucket.isLast(), std::make_unique<at::Tensor>(gradients));
    auto reduced = list->inner.at(0);
    TORCH_CHECK(
        reduced.sizes() == gradients.sizes() && reduced.scalar_type() == gradients.scalar_type() &&
            reduced.device() == gradients.device(),
        "the hook on gradients returned ", reduced.sizes(), " of ", reduced.scalar_type(), " on ", reduced.device(),
        " for a bucket of ", gradients.sizes(), " of ", gradients.scalar_type(), " on ", gradients.device());
    auto future = c10::make_intrusive<Future>(c10::TensorType::get());
    future->markCompleted(c10::IValue(reduced.detach()));
    return future;
  }
};

}  // namespace

void Reducer::compress(const ProcessGroup& group, bool half) const {
  inner->register_comm_hook(std::make_unique<CompressHook>(group.inner, half ? at::kHalf : at::kBFloat16));
  logger->set_comm_hook(half ? "fp16_compress" : "bf16_compress");
}

void Reducer::set_hook(rust::Box<CommHook> hook) const {
  inner->register_comm_hook(std::make_unique<RustHook>(std::move(hook)));
  logger->set_comm_hook("rust");
}

}  // namespace trainloop_c10d
