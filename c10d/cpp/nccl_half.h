// The half of a group that serves CUDA tensors, where that is NCCL and not Gloo.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>
#include <torch/csrc/distributed/c10d/Work.hpp>

#include <memory>

namespace trainloop_c10d {

// An error of NCCL, and the rank that was the first to have one.
struct NcclFailure : std::runtime_error {
  NcclFailure(int rank, const std::string& what) : std::runtime_error(what), rank(rank) {}
  int rank;
};

// nccl_half.cpp has the one class below it, where the feature `nccl` is on: no CUDA header is needed to call it.
class Nccl {
 public:
  virtual ~Nccl() = default;
  virtual at::Device device() const = 0;
  // Keeps a collective in mind until it has ended.
  virtual void begun(c10::intrusive_ptr<c10d::Work> work) = 0;
  virtual NcclFailure failure(const std::string& what) const = 0;
  // Ends the communicators at once, whatever they are at.
  virtual void abort() = 0;
  // Lets what was begun come to its end first, for at most the group's timeout.
  virtual void leave() = 0;
};

// What `call` gives, with an error of NCCL's as an NcclFailure; `nccl` is null where Gloo does the work.
template <typename Call>
auto guarded(const std::shared_ptr<Nccl>& nccl, const Call& call) -> decltype(call()) {
  if (nccl == nullptr) return call();
  try {
    return call();
  } catch (const c10::DistBackendError& error) {
    throw nccl->failure(error.what_without_backtrace());
  }
}

}  // namespace trainloop_c10d
