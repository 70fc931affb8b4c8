// The doorbell as a file descriptor, for event loops: a thread of ours sleeps on the futex and writes
// an eventfd. Only who asks for it pays for it.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "ripstop/result.h"

namespace ripstop::detail {

class Inbox;

class DoorbellDescriptor {
 public:
  DoorbellDescriptor() = default;
  DoorbellDescriptor(const DoorbellDescriptor&) = delete;
  DoorbellDescriptor& operator=(const DoorbellDescriptor&) = delete;
  ~DoorbellDescriptor();

  // Starts the thread at the first call. The descriptor is ours to close.
  // Errors: System.
  Result<int> open(Inbox& inbox);
  // Resets the descriptor; the thread listens again.
  void clear() noexcept;
  // Makes the descriptor readable.
  void set() noexcept;
  void close() noexcept;
  // In a child made by fork: the thread is the parent's.
  void abandon() noexcept;

 private:
  void run(Inbox& inbox) noexcept;

  int event_fd_ = -1;
  std::atomic<uint32_t> turn_{0};  // Futex word: moved by clear() and close().
  std::atomic<bool> ending_{false};
  std::atomic<std::atomic<uint32_t>*> bell_{nullptr};
  std::thread thread_;
};

}  // namespace ripstop::detail
