#include "process_group.h"

#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

namespace trainloop_c10d {

using Gloo = c10d::ProcessGroupGloo;

void ProcessGroup::all_reduce(const Tensor& tensor, uint8_t op) const {
  std::vector<at::Tensor> tensors{tensor};
  c10d::AllreduceOptions options;
  options.reduceOp = c10d::ReduceOp(static_cast<c10d::ReduceOp::RedOpType>(op));
  inner->allreduce(tensors, options)->wait();
}

void ProcessGroup::broadcast(const Tensor& tensor, int32_t root) const {
  std::vector<at::Tensor> tensors{tensor};
  c10d::BroadcastOptions options;
  options.rootRank = root;
  inner->broadcast(tensors, options)->wait();
}

std::unique_ptr<TensorList> ProcessGroup::all_gather(const Tensor& tensor) const {
  std::vector<at::Tensor> inputs{tensor};
  std::vector<std::vector<at::Tensor>> outputs(1);
  for (int rank = 0; rank < inner->getSize(); ++rank) outputs[0].push_back(at::empty_like(tensor));
  inner->allgather(outputs, inputs)->wait();
  auto list = std::make_unique<TensorList>();
  list->inner = std::move(outputs[0]);
  return list;
}

void ProcessGroup::barrier(int64_t timeout_ms) const {
  c10d::BarrierOptions options;
  if (timeout_ms > 0) options.timeout = std::chrono::milliseconds(timeout_ms);
  inner->barrier(options)->wait();
}

void ProcessGroup::set_timeout(int64_t timeout_ms) const { inner->setTimeout(std::chrono::milliseconds(timeout_ms)); }

std::unique_ptr<ProcessGroup> new_gloo_group(
    const Store& store, int32_t rank, int32_t world_size, int64_t timeout_ms, rust::Str hostname) {
  const std::chrono::milliseconds timeout(timeout_ms);
  auto options = Gloo::Options::create(timeout);
  options->devices.push_back(
      hostname.empty() ? Gloo::createDefaultDevice() : Gloo::createDeviceForHostname(std::string(hostname), false));
  // Rendezvous waits on the store, so the store's patience is the group's.
  auto patient = patient_store(store, timeout);
  auto backend = c10::make_intrusive<Gloo>(patient, rank, world_size, options);
  backend->setSequenceNumberForGroup();

  auto group = c10::make_intrusive<c10d::ProcessGroup>(patient, rank, world_size);
  constexpr auto kind = c10d::ProcessGroup::BackendType::GLOO;
  group->setBackend(c10::DeviceType::CPU, kind, backend);
  group->setBackend(c10::DeviceType::CUDA, kind, backend);
  group->setDefaultBackend(kind);
  return std::make_unique<ProcessGroup>(ProcessGroup{std::move(group)});
}

}  // namespace trainloop_c10d
