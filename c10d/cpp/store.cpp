#include "store.h"

#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

namespace trainloop_c10d {

void Store::set(rust::Str key, rust::Slice<const uint8_t> value) const {
  inner->set(std::string(key), std::vector<uint8_t>(value.begin(), value.end()));
}

rust::Vec<uint8_t> Store::get(rust::Str key) const {
  rust::Vec<uint8_t> value;
  for (uint8_t byte : inner->get(std::string(key))) value.push_back(byte);
  return value;
}

int64_t Store::add(rust::Str key, int64_t amount) const { return inner->add(std::string(key), amount); }

void Store::wait(rust::Slice<const rust::String> keys, int64_t timeout_ms) const {
  std::vector<std::string> names;
  for (const auto& key : keys) names.emplace_back(key);
  inner->wait(names, std::chrono::milliseconds(timeout_ms));
}

bool Store::check(rust::Str key) const { return inner->check({std::string(key)}); }

bool Store::delete_key(rust::Str key) const { return inner->deleteKey(std::string(key)); }

void Store::set_timeout(int64_t timeout_ms) const { inner->setTimeout(std::chrono::milliseconds(timeout_ms)); }

std::unique_ptr<Store> new_file_store(rust::Str path, int32_t world_size) {
  return std::make_unique<Store>(Store{c10::make_intrusive<c10d::FileStore>(std::string(path), world_size)});
}

std::unique_ptr<Store> new_tcp_store(rust::Str host, uint16_t port, bool is_server, int64_t timeout_ms) {
  c10d::TCPStoreOptions options;
  options.port = port;
  options.isServer = is_server;
  options.waitWorkers = false;
  options.timeout = std::chrono::milliseconds(timeout_ms);
  return std::make_unique<Store>(Store{c10::make_intrusive<c10d::TCPStore>(std::string(host), options)});
}

std::unique_ptr<Store> new_prefix_store(rust::Str prefix, const Store& store) {
  return std::make_unique<Store>(Store{c10::make_intrusive<c10d::PrefixStore>(std::string(prefix), store.inner)});
}

uint16_t tcp_store_port(const Store& store) {
  auto* tcp = dynamic_cast<c10d::TCPStore*>(store.inner.get());
  TORCH_CHECK(tcp != nullptr, "this store is not a TCPStore");
  return tcp->getPort();
}

}  // namespace trainloop_c10d
