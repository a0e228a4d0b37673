#include "process_group.h"

#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

namespace trainloop_c10d {

using Gloo = c10d::ProcessGroupGloo;

ProcessGroup::~ProcessGroup() {
  waiters.reset();
  if (nccl != nullptr) nccl->leave();
}

void ProcessGroup::abort() const {
  if (nccl != nullptr) nccl->abort();
}

void ProcessGroup::set_timeout(int64_t timeout_ms) const { inner->setTimeout(std::chrono::milliseconds(timeout_ms)); }

std::unique_ptr<ProcessGroup> new_gloo_group(
    const Store& store, int32_t rank, int32_t world_size, int64_t timeout_ms, rust::Str hostname, bool cuda_too) {
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
  if (cuda_too) group->setBackend(c10::DeviceType::CUDA, kind, backend);
  group->setDefaultBackend(kind);
  auto own = std::make_unique<ProcessGroup>();
  own->inner = std::move(group);
  return own;
}

}  // namespace trainloop_c10d
