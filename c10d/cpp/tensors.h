// Tensors across the border, and exceptions into Rust's `Result`.
#pragma once
#include <c10/util/Exception.h>
#include <ATen/core/Tensor.h>
#include <torch/csrc/distributed/c10d/exception.h>

#include <memory>
#include <string>
#include <vector>

#include "nccl_half.h"
#include "rust/cxx.h"

// How cxx catches: the class of the exception travels as the first letter of the message, for error.rs to read.
namespace rust::behavior {
template <typename Try, typename Fail>
static void trycatch(Try&& func, Fail&& fail) noexcept try {
  func();
} catch (const trainloop_c10d::NcclFailure& error) {
  // The rank stands before the message.
  fail("L" + std::to_string(error.rank) + " " + error.what());
} catch (const c10d::TimeoutError& error) {
  fail(std::string("T") + error.what_without_backtrace());
} catch (const c10::DistStoreError& error) {
  fail(std::string("S") + error.what_without_backtrace());
} catch (const c10::DistNetworkError& error) {
  fail(std::string("N") + error.what_without_backtrace());
} catch (const c10::DistError& error) {
  fail(std::string("B") + error.what_without_backtrace());
} catch (const c10::Error& error) {
  fail(std::string("C") + error.what_without_backtrace());
} catch (const std::exception& error) {
  // Gloo's own exceptions (gloo::IoException and its kin) arrive as plain std::exception.
  fail(std::string("X") + error.what());
}
}  // namespace rust::behavior

namespace trainloop_c10d {

using Tensor = at::Tensor;

// A list of tensors: handles, not data.
struct TensorList {
  std::vector<at::Tensor> inner;
  void push(const Tensor& tensor) { inner.push_back(tensor); }
  size_t len() const { return inner.size(); }
  std::unique_ptr<Tensor> get(size_t index) const { return std::make_unique<Tensor>(inner.at(index)); }
};

std::unique_ptr<TensorList> new_tensor_list();

// True where no other handle, view or graph holds the tensor or its memory.
bool is_sole_owner(const Tensor& tensor);

}  // namespace trainloop_c10d
