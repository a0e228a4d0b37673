// Compiled with the feature `nccl` alone: the only file that needs the headers of CUDA and NCCL.
#include "nccl_half.h"

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include <thread>

#include "process_group.h"

namespace trainloop_c10d {

namespace {

using Clock = std::chrono::steady_clock;

// How long a rank that has failed asks the store who was first; the store's host may be what has gone.
constexpr std::chrono::seconds kBlamePatience{2};

class NcclHalf final : public Nccl {
 public:
  NcclHalf(
      const c10::intrusive_ptr<c10d::Store>& store,
      c10::intrusive_ptr<c10d::Store> blame,
      int rank,
      int size,
      at::Device device,
      std::chrono::milliseconds timeout)
      : blame_(std::move(blame)), device_(device), timeout_(timeout) {
    auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = timeout;
    backend_ = c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, size, options);
    backend_->setSequenceNumberForGroup();
  }
  NcclHalf(const NcclHalf&) = delete;
  NcclHalf& operator=(const NcclHalf&) = delete;
  ~NcclHalf() override { leave(); }

  // Makes the communicator now, so that what hinders it is an error here and not of the first collective.
  void connect() {
    try {
      backend_->eagerConnectSingleDevice(device_);
    } catch (const c10::DistBackendError& error) {
      throw failure(error.what_without_backtrace());
    }
  }

  const c10::intrusive_ptr<c10d::ProcessGroupNCCL>& backend() const { return backend_; }

  at::Device device() const override { return device_; }

  void begun(c10::intrusive_ptr<c10d::Work> work) override {
    std::erase_if(pending_, [](const auto& before) { return before->isCompleted(); });
    pending_.push_back(std::move(work));
  }

  NcclFailure failure(const std::string& what) const override {
    const int rank = backend_->getRank();
    int first = rank;
    try {
      const auto own = std::to_string(rank);
      first = std::stoi(blame_->compareSet("nccl_failure", std::string(), own));
    } catch (const std::exception&) {
      // The store has gone with its host: this rank knows of its own failure alone.
    }
    return NcclFailure(first, what);
  }

  void abort() override {
    if (std::exchange(ended_, true)) return;
    pending_.clear();
    backend_->abort();
  }

  void leave() override {
    if (ended_) return;
    try {
      wait_for_the_device();
    } catch (...) {
      // The device has failed; nothing will come to its end.
    }
    try {
      abort();
    } catch (...) {
      // It is over in any case, and there is nobody to tell.
    }
  }

 private:
  // The results of collectives that were waited for are due on the current stream, of the others on NCCL's own.
  void wait_for_the_device() {
    const c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
    c10::Event event(c10::DeviceType::CUDA);
    event.record(guard.getStream(device_));
    const auto deadline = Clock::now() + timeout_;
    const auto done = [&] {
      return event.query() &&
          std::all_of(pending_.begin(), pending_.end(), [](const auto& work) { return work->isCompleted(); });
    };
    while (!done() && backend_->getError() == c10d::ErrorType::SUCCESS && Clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }

  c10::intrusive_ptr<c10d::ProcessGroupNCCL> backend_;
  c10::intrusive_ptr<c10d::Store> blame_;
  at::Device device_;
  std::chrono::milliseconds timeout_;
  std::vector<c10::intrusive_ptr<c10d::Work>> pending_;
  bool ended_ = false;
};

}  // namespace

void add_nccl(ProcessGroup& group, const Store& store, uint8_t device, int64_t timeout_ms) {
  const at::Device gpu(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(device));
  const std::chrono::milliseconds timeout(timeout_ms);
  auto& inner = *group.inner;
  auto half = std::make_shared<NcclHalf>(
      c10::make_intrusive<c10d::PrefixStore>("nccl", patient_store(store, timeout)),
      patient_store(store, kBlamePatience),
      inner.getRank(),
      inner.getSize(),
      gpu,
      timeout);
  // Before `setBackend`, which hands it on.
  inner.setBoundDeviceId(gpu);
  inner.setBackend(c10::DeviceType::CUDA, c10d::ProcessGroup::BackendType::NCCL, half->backend());
  half->connect();
  group.nccl = std::move(half);
}

}  // namespace trainloop_c10d
