#include "process_group.h"

#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/headeronly/version.h>

#include <cstdlib>

namespace trainloop_c10d {

#if TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR == 11
namespace {

// In libtorch 2.11 the flight recorder of a process writes into a map before it takes its lock, so that two groups of two
// threads crash it now and then; from 2.12 on the lock comes first. Its memory of past collectives is switched off here,
// unless the user has chosen its size: before `main`, when no other thread can read the environment.
struct NoFlightRecorder {
  NoFlightRecorder() { setenv("TORCH_FR_BUFFER_SIZE", "0", 0); }
} const no_flight_recorder;

}  // namespace
#endif

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
