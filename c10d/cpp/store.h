// Stores: key and value, shared by the ranks of a group.
#pragma once
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "tensors.h"

namespace trainloop_c10d {

struct Store {
  c10::intrusive_ptr<c10d::Store> inner;

  void set(rust::Str key, rust::Slice<const uint8_t> value) const;
  rust::Vec<uint8_t> get(rust::Str key, int64_t timeout_ms) const;
  int64_t add(rust::Str key, int64_t amount) const;
  void wait(rust::Slice<const rust::String> keys, int64_t timeout_ms) const;
  bool check(rust::Str key) const;
  bool delete_key(rust::Str key) const;
  rust::Vec<uint8_t> compare_set(
      rust::Str key, rust::Slice<const uint8_t> expected, rust::Slice<const uint8_t> desired) const;
  int64_t num_keys() const;
  // c10d's own clone: over TCP a connection of its own.
  std::unique_ptr<Store> clone_handle() const;
  std::unique_ptr<Store> share() const;
};

// A view of `store` that waits so long, whatever the timeout of `store` itself, which all its handles share.
c10::intrusive_ptr<c10d::Store> patient_store(const Store& store, std::chrono::milliseconds timeout);

std::unique_ptr<Store> new_hash_store();
std::unique_ptr<Store> new_file_store(rust::Str path, int32_t world_size);
std::unique_ptr<Store> new_tcp_store(rust::Str host, uint16_t port, bool is_server, int64_t timeout_ms);
std::unique_ptr<Store> new_prefix_store(rust::Str prefix, const Store& store);
uint16_t tcp_store_port(const Store& store);

}  // namespace trainloop_c10d
