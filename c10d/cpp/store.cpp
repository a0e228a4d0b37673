#include "store.h"

#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

namespace trainloop_c10d {

namespace {

std::vector<uint8_t> bytes(rust::Slice<const uint8_t> value) { return {value.begin(), value.end()}; }

rust::Vec<uint8_t> bytes(const std::vector<uint8_t>& value) {
  rust::Vec<uint8_t> copy;
  copy.reserve(value.size());
  for (uint8_t byte : value) copy.push_back(byte);
  return copy;
}

class PatientStore : public c10d::PrefixStore {
 public:
  PatientStore(c10::intrusive_ptr<c10d::Store> store, std::chrono::milliseconds timeout)
      : PrefixStore("group", std::move(store)), patience_(timeout) {}

  std::vector<uint8_t> get(const std::string& key) override {
    PrefixStore::wait({key}, patience_);
    return PrefixStore::get(key);
  }
  std::vector<std::vector<uint8_t>> multiGet(const std::vector<std::string>& keys) override {
    PrefixStore::wait(keys, patience_);
    return PrefixStore::multiGet(keys);
  }
  void wait(const std::vector<std::string>& keys) override { PrefixStore::wait(keys, patience_); }
  void wait(const std::vector<std::string>& keys, const std::chrono::milliseconds& timeout) override {
    PrefixStore::wait(keys, timeout);
  }
  const std::chrono::milliseconds& getTimeout() const noexcept override { return patience_; }
  void setTimeout(const std::chrono::milliseconds& timeout) override { patience_ = timeout; }

 private:
  std::chrono::milliseconds patience_;
};

}  // namespace

void Store::set(rust::Str key, rust::Slice<const uint8_t> value) const { inner->set(std::string(key), bytes(value)); }

rust::Vec<uint8_t> Store::get(rust::Str key, int64_t timeout_ms) const {
  const std::string name(key);
  inner->wait({name}, std::chrono::milliseconds(timeout_ms));
  return bytes(inner->get(name));
}

int64_t Store::add(rust::Str key, int64_t amount) const { return inner->add(std::string(key), amount); }

void Store::wait(rust::Slice<const rust::String> keys, int64_t timeout_ms) const {
  std::vector<std::string> names;
  for (const auto& key : keys) names.emplace_back(key);
  inner->wait(names, std::chrono::milliseconds(timeout_ms));
}

bool Store::check(rust::Str key) const { return inner->check({std::string(key)}); }

bool Store::delete_key(rust::Str key) const { return inner->deleteKey(std::string(key)); }

rust::Vec<uint8_t> Store::compare_set(
    rust::Str key, rust::Slice<const uint8_t> expected, rust::Slice<const uint8_t> desired) const {
  return bytes(inner->compareSet(std::string(key), bytes(expected), bytes(desired)));
}

int64_t Store::num_keys() const { return inner->getNumKeys(); }

std::unique_ptr<Store> Store::clone_handle() const { return std::make_unique<Store>(Store{inner->clone()}); }

std::unique_ptr<Store> Store::share() const { return std::make_unique<Store>(Store{inner}); }

c10::intrusive_ptr<c10d::Store> patient_store(const Store& store, std::chrono::milliseconds timeout) {
  return c10::make_intrusive<PatientStore>(store.inner, timeout);
}

std::unique_ptr<Store> new_hash_store() {
  return std::make_unique<Store>(Store{c10::make_intrusive<c10d::HashStore>()});
}

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
