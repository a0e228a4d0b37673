#include "ddp.h"

#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/distributed/c10d/comm.hpp>

#include "trainloop-c10d/src/bridge.rs.h"

namespace trainloop_c10d {

std::unique_ptr<Reducer> new_reducer(
    const ProcessGroup& group,
    const TensorList& parameters,
    rust::Slice<const rust::String> names,
    size_t first_bucket_bytes,
    size_t bucket_bytes,
    bool find_unused_parameters,
    bool gradient_as_bucket_view) {
  const auto& tensors = parameters.inner;
  std::vector<bool> sparse(tensors.size(), false);
  // Without a later rebuild (find_unused_parameters) there is no order in which the first bucket is the first ready one.
  std::vector<size_t> limits =
      find_unused_parameters ? std::vector<size_t>{bucket_bytes} : std::vector<size_t>{first_bucket_bytes, bucket_bytes};
  auto [buckets, bucket_limits] = c10d::compute_bucket_assignment_by_size(tensors, limits, sparse);

  std::unordered_map<size_t, std::string> names_by_index;
  for (size_t index = 0; index < names.size(); ++index) names_by_index[index] = std::string(names[index]);

  auto reducer = std::make_shared<c10d::Reducer>(
      tensors,
      std::move(buckets),
      group.inner,
      std::move(sparse),
      static_cast<int64_t>(bucket_bytes),
      find_unused_parameters,
      gradient_as_bucket_view,
      std::move(names_by_index),
      static_cast<int64_t>(first_bucket_bytes),
      /*skip_all_reduce_unused_params=*/false,
      /*use_python_reducer=*/false,
      /*bucket_bytes_cap_list=*/std::vector<int64_t>{});
  auto logger = std::make_shared<c10d::Logger>(reducer);
  reducer->set_logger(logger);
  // The Reducer sorts its buckets anew after the first step, by the order in which gradients became ready: a run that is
  // resumed would take its first step with other buckets than the run it goes on with, and three or more ranks would add
  // up in another order. Told now that all were ready in the order given, it keeps these buckets.
  reducer->push_rebuilt_params_for_all_indices();
  reducer->rebuild_buckets();
  return std::make_unique<Reducer>(Reducer{std::move(reducer), std::move(logger)});
}

void Reducer::describe(bool broadcast_buffers, bool static_graph) const {
  if (static_graph) inner->set_static_graph();
  logger->set_construction_data_and_log("", {}, -1, broadcast_buffers, /*has_sync_bn=*/false, static_graph);
}

void Reducer::delay_until_backward_ends(const TensorList& outputs) const {
  auto queued = std::make_shared<std::atomic<bool>>(false);
  std::weak_ptr<c10d::Reducer> reducer = inner;
  for (const auto& output : outputs.inner) {
    if (!output.requires_grad()) continue;
    // The hook of whichever output the backward pass comes to first.
    output.register_hook([queued, reducer](const at::Tensor&) {
      if (queued->exchange(true)) return;
      torch::autograd::Engine::get_default_engine().queue_callback([reducer] {
        if (auto alive = reducer.lock()) alive->delay_all_reduce();
      });
    });
  }
}

Statistics Reducer::statistics() const {
  auto data = logger->get_ddp_logging_data();
  auto value = [&data](const char* name) -> int64_t {
    auto found = data.ints_map.find(name);
    return found == data.ints_map.end() ? 0 : found->second;
  };
  return Statistics{
      value("iteration"),
      value("avg_forward_compute_time"),
      value("avg_backward_compute_time"),
      value("avg_backward_comm_time"),
      value("avg_backward_compute_comm_overlap_time")};
}

void broadcast_coalesced(const ProcessGroup& group, const TensorList& tensors, size_t buffer_bytes, int32_t root) {
  c10d::broadcast_coalesced(group.inner, tensors.inner, buffer_bytes, root);
}

}  // namespace trainloop_c10d
