#include "work.h"

namespace trainloop_c10d {

namespace {

// Between two looks at a collective of NCCL's, which nobody can be woken by.
constexpr std::chrono::microseconds kPause(50);

// Completed by a waiter's thread.
class Watched : public c10d::Work {
 public:
  void complete(std::exception_ptr exception) { finish(std::move(exception)); }
};

}  // namespace

void Work::wait() const {
  guarded(nccl, [this] {
    while (until_completed && !inner->isCompleted()) std::this_thread::sleep_for(kPause);
    inner->wait(patience);
  });
}

bool Work::wait_for(int64_t timeout_ms) const {
  if (nccl != nullptr) {
    // libtorch's own wait with a timeout ends the communicator when that has passed.
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
    while (!inner->isCompleted() && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(kPause);
    }
  } else if (timeout_ms > 0 && !inner->isCompleted()) {
    try {
      inner->wait(std::chrono::milliseconds(timeout_ms));
    } catch (...) {
      // Of a timeout, or of the collective; which, the lines below tell.
    }
  }
  if (!inner->isCompleted()) return false;
  guarded(nccl, [this] { inner->wait(); });
  return true;
}

bool Work::is_completed() const { return inner->isCompleted(); }

c10::intrusive_ptr<c10d::Work> Waiters::watch(
    c10::intrusive_ptr<c10d::Work> inner, std::chrono::milliseconds timeout) {
  std::erase_if(waiters_, [](Waiter& waiter) {
    if (!waiter.outer->isCompleted()) return false;
    waiter.thread.join();
    return true;
  });
  auto outer = c10::make_intrusive<Watched>();
  std::thread thread([inner, outer, timeout] {
    std::exception_ptr exception;
    try {
      TORCH_CHECK_WITH(DistBackendError, inner->wait(timeout), "the group was dropped before the message came through");
    } catch (...) {
      exception = std::current_exception();
    }
    outer->complete(std::move(exception));
  });
  waiters_.push_back(Waiter{std::move(inner), outer, std::move(thread)});
  return outer;
}

Waiters::~Waiters() {
  for (auto& waiter : waiters_) {
    if (!waiter.outer->isCompleted()) waiter.inner->abort();
  }
  for (auto& waiter : waiters_) waiter.thread.join();
}

}  // namespace trainloop_c10d
