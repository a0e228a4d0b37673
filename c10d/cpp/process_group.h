// A process group on Gloo, and NCCL where there is, and its collectives. Each gives the handle of what it has begun.
#pragma once
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include "nccl_half.h"
#include "store.h"
#include "work.h"

namespace trainloop_c10d {

struct ProcessGroup {
  c10::intrusive_ptr<c10d::ProcessGroup> inner;
  // Declared after the group, so ended before it.
  std::unique_ptr<Waiters> waiters = std::make_unique<Waiters>();
  // Null where Gloo serves CUDA tensors too.
  std::shared_ptr<Nccl> nccl = nullptr;

  ~ProcessGroup();

  // All tensors are contiguous. `rows` is a tensor with one row for each rank, or none where this rank gets nothing.
  std::unique_ptr<Work> broadcast(const Tensor& tensor, int32_t root) const;
  std::unique_ptr<Work> all_reduce(const Tensor& tensor, uint8_t op) const;
  std::unique_ptr<Work> all_reduce_coalesced(const TensorList& tensors, uint8_t op) const;
  std::unique_ptr<Work> reduce(const Tensor& tensor, int32_t root, uint8_t op) const;
  std::unique_ptr<Work> all_gather(const Tensor& rows, const Tensor& input) const;
  std::unique_ptr<Work> gather(const TensorList& rows, const Tensor& input, int32_t root) const;
  std::unique_ptr<Work> scatter(const Tensor& output, const TensorList& rows, int32_t root) const;
  std::unique_ptr<Work> reduce_scatter(const Tensor& output, const Tensor& input, uint8_t op) const;
  // Without counts every rank gets an equal share.
  std::unique_ptr<Work> all_to_all(
      const Tensor& output,
      const Tensor& input,
      rust::Slice<const int64_t> output_counts,
      rust::Slice<const int64_t> input_counts) const;
  // In the background where the caller does not wait at once.
  std::unique_ptr<Work> send(const Tensor& tensor, int32_t to, int32_t tag, int64_t timeout_ms, bool background)
      const;
  std::unique_ptr<Work> receive(const Tensor& tensor, int32_t from, int32_t tag, int64_t timeout_ms, bool background)
      const;
  std::unique_ptr<Work> barrier(int64_t timeout_ms) const;
  void set_timeout(int64_t timeout_ms) const;
  void abort() const;

 private:
  std::shared_ptr<Nccl> carrier(const at::Tensor& tensor) const;
  template <typename Begin>
  std::unique_ptr<Work> begin(const at::Tensor& tensor, const Begin& call) const;
  template <typename Begin>
  std::unique_ptr<Work> message(
      const at::Tensor& tensor, int64_t timeout_ms, bool background, const Begin& call) const;
};

// An empty hostname leaves the choice of interface to libtorch (GLOO_SOCKET_IFNAME, then the machine's name).
std::unique_ptr<ProcessGroup> new_gloo_group(
    const Store& store, int32_t rank, int32_t world_size, int64_t timeout_ms, rust::Str hostname, bool cuda_too);

// Has NCCL serve the tensors of a CUDA device; with the feature `nccl`.
void add_nccl(ProcessGroup& group, const Store& store, uint8_t device, int64_t timeout_ms);

}  // namespace trainloop_c10d
