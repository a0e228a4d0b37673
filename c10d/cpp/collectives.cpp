#include "process_group.h"

namespace trainloop_c10d {

namespace {

using Tensors = std::vector<at::Tensor>;

c10d::ReduceOp reduce_op(uint8_t op) { return {static_cast<c10d::ReduceOp::RedOpType>(op)}; }

// A list for each tensor of `rows`, of which there is one or none.
std::vector<Tensors> split(const TensorList& rows) {
  std::vector<Tensors> lists;
  for (const auto& tensor : rows.inner) lists.push_back(tensor.unbind(0));
  return lists;
}

}  // namespace

std::shared_ptr<Nccl> ProcessGroup::carrier(const at::Tensor& tensor) const {
  return tensor.is_cuda() ? nccl : nullptr;
}

template <typename Begin>
std::unique_ptr<Work> ProcessGroup::begin(const at::Tensor& tensor, const Begin& call) const {
  auto by = carrier(tensor);
  auto work = guarded(by, call);
  if (by != nullptr) by->begun(work);
  return std::make_unique<Work>(Work{std::move(work), kNoTimeout, std::move(by)});
}

// A send or a receive, waited for by a thread of `waiters`, or by the caller where it is not in the background.
template <typename Begin>
std::unique_ptr<Work> ProcessGroup::message(
    const at::Tensor& tensor, int64_t timeout_ms, bool background, const Begin& call) const {
  auto work = begin(tensor, call);
  // NCCL's complete by themselves.
  if (work->nccl != nullptr) return work;
  const std::chrono::milliseconds timeout(timeout_ms);
  if (background) {
    work->inner = waiters->watch(std::move(work->inner), timeout);
  } else {
    work->patience = timeout;
  }
  return work;
}

std::unique_ptr<Work> ProcessGroup::broadcast(const Tensor& tensor, int32_t root) const {
  Tensors tensors{tensor};
  c10d::BroadcastOptions options;
  options.rootRank = root;
  return begin(tensor, [&] { return inner->broadcast(tensors, options); });
}

std::unique_ptr<Work> ProcessGroup::all_reduce(const Tensor& tensor, uint8_t op) const {
  Tensors tensors{tensor};
  c10d::AllreduceOptions options;
  options.reduceOp = reduce_op(op);
  return begin(tensor, [&] { return inner->allreduce(tensors, options); });
}

std::unique_ptr<Work> ProcessGroup::all_reduce_coalesced(const TensorList& list, uint8_t op) const {
  Tensors tensors = list.inner;
  c10d::AllreduceCoalescedOptions options;
  options.reduceOp = reduce_op(op);
  return begin(list.inner.at(0), [&] { return inner->allreduce_coalesced(tensors, options); });
}

std::unique_ptr<Work> ProcessGroup::reduce(const Tensor& tensor, int32_t root, uint8_t op) const {
  Tensors tensors{tensor};
  c10d::ReduceOptions options;
  options.reduceOp = reduce_op(op);
  options.rootRank = root;
  return begin(tensor, [&] { return inner->reduce(tensors, options); });
}

std::unique_ptr<Work> ProcessGroup::all_gather(const Tensor& rows, const Tensor& input) const {
  if (carrier(input) != nullptr) {
    // Into the rows' one memory, where `allgather` would first make another.
    at::Tensor out = rows, in = input;
    return begin(input, [&] { return inner->_allgather_base(out, in); });
  }
  std::vector<Tensors> outputs{rows.unbind(0)};
  Tensors inputs{input};
  return begin(input, [&] { return inner->allgather(outputs, inputs); });
}

std::unique_ptr<Work> ProcessGroup::gather(const TensorList& rows, const Tensor& input, int32_t root) const {
  auto outputs = split(rows);
  Tensors inputs{input};
  c10d::GatherOptions options;
  options.rootRank = root;
  return begin(input, [&] { return inner->gather(outputs, inputs, options); });
}

std::unique_ptr<Work> ProcessGroup::scatter(const Tensor& output, const TensorList& rows, int32_t root) const {
  Tensors outputs{output};
  auto inputs = split(rows);
  c10d::ScatterOptions options;
  options.rootRank = root;
  return begin(output, [&] { return inner->scatter(outputs, inputs, options); });
}

std::unique_ptr<Work> ProcessGroup::reduce_scatter(const Tensor& output, const Tensor& input, uint8_t op) const {
  at::Tensor out = output, in = input;
  c10d::ReduceScatterOptions options;
  options.reduceOp = reduce_op(op);
  return begin(input, [&] { return inner->_reduce_scatter_base(out, in, options); });
}

std::unique_ptr<Work> ProcessGroup::all_to_all(
    const Tensor& output,
    const Tensor& input,
    rust::Slice<const int64_t> output_counts,
    rust::Slice<const int64_t> input_counts) const {
  at::Tensor out = output, in = input;
  std::vector<int64_t> out_counts(output_counts.begin(), output_counts.end());
  std::vector<int64_t> in_counts(input_counts.begin(), input_counts.end());
  return begin(input, [&] { return inner->alltoall_base(out, in, out_counts, in_counts, c10d::AllToAllOptions()); });
}

std::unique_ptr<Work> ProcessGroup::send(
    const Tensor& tensor, int32_t to, int32_t tag, int64_t timeout_ms, bool background) const {
  Tensors tensors{tensor};
  return message(tensor, timeout_ms, background, [&] { return inner->send(tensors, to, tag); });
}

std::unique_ptr<Work> ProcessGroup::receive(
    const Tensor& tensor, int32_t from, int32_t tag, int64_t timeout_ms, bool background) const {
  Tensors tensors{tensor};
  return message(tensor, timeout_ms, background, [&] { return inner->recv(tensors, from, tag); });
}

std::unique_ptr<Work> ProcessGroup::barrier(int64_t timeout_ms) const {
  c10d::BarrierOptions options;
  if (timeout_ms > 0) options.timeout = std::chrono::milliseconds(timeout_ms);
  if (nccl != nullptr) options.device = nccl->device();
  auto work = guarded(nccl, [&] { return inner->barrier(options); });
  return std::make_unique<Work>(Work{std::move(work), kNoTimeout, nccl, nccl != nullptr});
}

}  // namespace trainloop_c10d
