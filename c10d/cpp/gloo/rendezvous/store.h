// The base of ProcessGroupGloo::GlooStore, which is never made on our side: its table of virtual functions stays libtorch's.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "gloo/transport/device.h"

#define GLOO_STORE_HAS_STORE_V2

namespace gloo::transport {
// ProcessGroupGloo::SendWork and RecvWork own one; their destructors live in libtorch.
class UnboundBuffer {
 public:
  virtual ~UnboundBuffer() = 0;
};
}  // namespace gloo::transport

namespace gloo::rendezvous {
class Store {
 public:
  virtual ~Store();
  virtual void set(const std::string& key, const std::vector<char>& data) = 0;
  virtual std::vector<char> get(const std::string& key) = 0;
  virtual void wait(const std::vector<std::string>& keys) = 0;
  virtual void wait(const std::vector<std::string>& keys, const std::chrono::milliseconds& timeout);
  virtual bool has_v2_support();
  virtual std::vector<std::vector<char>> multi_get(const std::vector<std::string>& keys);
  virtual void multi_set(const std::vector<std::string>& keys, const std::vector<std::vector<char>>& values);
  virtual void append(const std::string& key, const std::vector<char>& value);
  virtual int64_t add(const std::string& key, int64_t value);
};
}  // namespace gloo::rendezvous
