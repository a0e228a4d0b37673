// c10d's Reducer: buckets of gradients, all-reduced while the backward pass goes on.
#pragma once
#include <torch/csrc/distributed/c10d/logger.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include "process_group.h"

namespace trainloop_c10d {

struct CommHook;
struct Statistics;

struct Reducer {
  std::shared_ptr<c10d::Reducer> inner;
  // The reducer points to it, and with find_unused_parameters does not ask whether it is there.
  std::shared_ptr<c10d::Logger> logger;

  bool rebuild_buckets() const { return inner->rebuild_buckets(); }
  void prepare_for_forward() const { inner->prepare_for_forward(); }
  void prepare_for_backward(const TensorList& outputs) const { inner->prepare_for_backward(outputs.inner); }
  size_t bucket_count() const { return inner->get_grad_buckets().size(); }

  // What the logger says of it; a static graph is also the reducer's.
  void describe(bool broadcast_buffers, bool static_graph) const;
  // In the first pass of a static graph: all buckets are reduced when the backward pass from these outputs ends.
  void delay_until_backward_ends(const TensorList& outputs) const;
  // At the begin of a forward pass: takes the times of the pass before.
  void sample() const { logger->set_runtime_stats_and_log(); }
  Statistics statistics() const;

  // For ranks with different numbers of inputs, see ddp_join.cpp. A rank says before a pass that it has an input, and gets
  // the number of those that do where it waits for it.
  int64_t announce_input(const ProcessGroup& group, bool divide_by_world_size, bool wait) const;
  // A rank with none left: how many have one. For each such pass it stands in for itself with zeros.
  int64_t count_inputs(const ProcessGroup& group) const;
  void shadow_backward(const ProcessGroup& group, bool find_unused_parameters) const;
  void end_join() const;

  // One of the two, once, before the first backward pass.
  void compress(const ProcessGroup& group, bool half) const;
  void set_hook(rust::Box<CommHook> hook) const;
};

std::unique_ptr<Reducer> new_reducer(
    const ProcessGroup& group,
    const TensorList& parameters,
    rust::Slice<const rust::String> names,
    size_t first_bucket_bytes,
    size_t bucket_bytes,
    bool find_unused_parameters,
    bool gradient_as_bucket_view);

void broadcast_coalesced(const ProcessGroup& group, const TensorList& tensors, size_t buffer_bytes, int32_t root);

}  // namespace trainloop_c10d
