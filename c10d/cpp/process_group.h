// A process group on Gloo, and its collectives. Each call waits for the collective to finish.
#pragma once
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include "store.h"

namespace trainloop_c10d {

struct ProcessGroup {
  c10::intrusive_ptr<c10d::ProcessGroup> inner;

  void all_reduce(const Tensor& tensor, uint8_t op) const;
  void broadcast(const Tensor& tensor, int32_t root) const;
  std::unique_ptr<TensorList> all_gather(const Tensor& tensor) const;
  void barrier(int64_t timeout_ms) const;
  void set_timeout(int64_t timeout_ms) const;
};

// An empty hostname leaves the choice of interface to libtorch (GLOO_SOCKET_IFNAME, then the machine's name).
std::unique_ptr<ProcessGroup> new_gloo_group(
    const Store& store, int32_t rank, int32_t world_size, int64_t timeout_ms, rust::Str hostname);

}  // namespace trainloop_c10d
