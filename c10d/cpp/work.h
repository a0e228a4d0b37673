// A collective under way.
#pragma once
#include <torch/csrc/distributed/c10d/Work.hpp>

#include <thread>

#include "nccl_half.h"
#include "tensors.h"

namespace trainloop_c10d {

// libtorch keeps the tensors alive until the collective has ended, whether or not anybody holds this.
struct Work {
  c10::intrusive_ptr<c10d::Work> inner;
  // Of a send or a receive, which do not know their group's timeout of now.
  std::chrono::milliseconds patience = kNoTimeout;
  // Where NCCL does the work: it has ended when the device has come so far, and waiting is the current stream's affair.
  std::shared_ptr<Nccl> nccl = nullptr;
  // Of a barrier, which is for the process and not for the stream alone.
  bool until_completed = false;

  void wait() const;
  // False while it goes on.
  bool wait_for(int64_t timeout_ms) const;
  bool is_completed() const;
};

// Waits in the background for sends and receives: Gloo completes these only inside `wait`, and ends every connection of the
// group where that times out. So each has a thread that waits for as long as the group does.
class Waiters {
 public:
  Waiters() = default;
  Waiters(const Waiters&) = delete;
  Waiters& operator=(const Waiters&) = delete;
  // Gives up what has not ended, and returns when no thread is left.
  ~Waiters();

  c10::intrusive_ptr<c10d::Work> watch(c10::intrusive_ptr<c10d::Work> inner, std::chrono::milliseconds timeout);

 private:
  struct Waiter {
    c10::intrusive_ptr<c10d::Work> inner;
    c10::intrusive_ptr<c10d::Work> outer;
    std::thread thread;
  };
  std::vector<Waiter> waiters_;
};

}  // namespace trainloop_c10d
