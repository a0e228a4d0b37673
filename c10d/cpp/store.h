// Stores: key and value, shared by the ranks of a group.
#pragma once
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "tensors.h"

namespace trainloop_c10d {

struct Store {
  c10::intrusive_ptr<c10d::Store> inner;

  void set(rust::Str key, rust::Slice<const uint8_t> value) const;
  rust::Vec<uint8_t> get(rust::Str key) const;
  int64_t add(rust::Str key, int64_t amount) const;
  void wait(rust::Slice<const rust::String> keys, int64_t timeout_ms) const;
  bool check(rust::Str key) const;
  bool delete_key(rust::Str key) const;
  void set_timeout(int64_t timeout_ms) const;
};

std::unique_ptr<Store> new_file_store(rust::Str path, int32_t world_size);
std::unique_ptr<Store> new_tcp_store(rust::Str host, uint16_t port, bool is_server, int64_t timeout_ms);
std::unique_ptr<Store> new_prefix_store(rust::Str prefix, const Store& store);
uint16_t tcp_store_port(const Store& store);

}  // namespace trainloop_c10d
