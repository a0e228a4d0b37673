// Ranks with different numbers of inputs: those that have none left stand in for themselves with zeros.
#include <ATen/ops/full.h>

#include "ddp.h"

namespace trainloop_c10d {

namespace {

// Begins to count the ranks that still have inputs.
std::pair<at::Tensor, c10::intrusive_ptr<c10d::Work>> count(const ProcessGroup& group, int64_t own) {
  std::vector<at::Tensor> counter{at::full({1}, own, at::TensorOptions(at::kLong))};
  auto work = group.inner->allreduce(counter);
  return {counter.front(), std::move(work)};
}

}  // namespace

int64_t Reducer::announce_input(const ProcessGroup& group, bool divide_by_world_size, bool wait) const {
  auto [counter, work] = count(group, 1);
  // The backward pass takes the number by which it divides from there.
  inner->set_forward_pass_work_handle(work, divide_by_world_size);
  if (!wait) return group.inner->getSize();
  work->wait();
  return counter.item<int64_t>();
}

int64_t Reducer::count_inputs(const ProcessGroup& group) const {
  auto [counter, work] = count(group, 0);
  work->wait();
  return counter.item<int64_t>();
}

void Reducer::end_join() const { inner->set_forward_pass_work_handle(nullptr, true); }

void Reducer::shadow_backward(const ProcessGroup& group, bool find_unused_parameters) const {
  auto buckets = inner->get_grad_buckets(/*return_zero_tensors=*/true);
  std::vector<c10::intrusive_ptr<c10::ivalue::Future>> under_way;
  for (auto& bucket : buckets) under_way.push_back(inner->run_comm_hook(bucket));
  for (auto& future : under_way) future->waitAndThrow();
  if (!find_unused_parameters) return;
  std::vector<at::Tensor> used{inner->get_local_used_map_on_device()};
  group.inner->allreduce(used)->wait();
}

}  // namespace trainloop_c10d
