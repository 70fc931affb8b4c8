// The thread owns the doorbell's arming: arm, look, sleep, write the eventfd, then wait for clear().
// A message that comes between the user's last look and clear() is seen by the look after arming.
#include "agent/doorbell_descriptor.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <new>
#include <system_error>
#include <utility>

#include "agent/inbox.h"
#include "ring/doorbell.h"

namespace ripstop::detail {

DoorbellDescriptor::~DoorbellDescriptor() { close(); }

Result<int> DoorbellDescriptor::open(Inbox& inbox) {
  if (event_fd_ >= 0) return event_fd_;
  event_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event_fd_ < 0) return system_error("eventfd for the doorbell", errno);
  bell_.store(&inbox.doorbell(), std::memory_order_release);  // R(descriptor)
  try {
    thread_ = std::thread([this, &inbox] { run(inbox); });
  } catch (const std::system_error& failed) {
    ::close(std::exchange(event_fd_, -1));
    return system_error("thread for the doorbell's descriptor", failed.code().value());
  } catch (const std::bad_alloc&) {
    ::close(std::exchange(event_fd_, -1));
    throw;
  }
  inbox.use_descriptor(event_fd_);
  return event_fd_;
}

void DoorbellDescriptor::run(Inbox& inbox) noexcept {
  ring::Sleeper sleeper(inbox.doorbell());
  while (!ending_.load(std::memory_order_acquire)) {                 // A(descriptor)
    const uint32_t turn = turn_.load(std::memory_order_acquire);  // A(descriptor)
    sleeper.arm();
    const uint64_t slice_ns = inbox.fence_for_sleep();
    if (!inbox.has_mail() && !ending_.load(std::memory_order_acquire)) {  // A(descriptor)
      sleeper.wait(slice_ns);
      if (!inbox.has_mail()) continue;  // Rung for something that was taken in the meantime.
    }
    sleeper.disarm();
    const uint64_t one = 1;
    if (write(event_fd_, &one, sizeof one) < 0 && errno != EAGAIN) return;
    while (turn_.load(std::memory_order_acquire) == turn && !ending_.load(std::memory_order_acquire)) {  // A(descriptor)
      ring::futex_wait(turn_, turn, 0);
    }
  }
}

void DoorbellDescriptor::clear() noexcept {
  if (event_fd_ < 0) return;
  uint64_t count = 0;
  if (read(event_fd_, &count, sizeof count) < 0) count = 0;  // It was not set.
  turn_.fetch_add(1, std::memory_order_release);  // R(descriptor)
  ring::futex_wake(turn_, 1);
}

void DoorbellDescriptor::set() noexcept {
  const uint64_t one = 1;
  // Failing means that it is set already.
  if (event_fd_ >= 0 && write(event_fd_, &one, sizeof one) < 0) return;
}

void DoorbellDescriptor::abandon() noexcept {
  if (event_fd_ < 0) return;
  thread_.detach();
  ::close(event_fd_);
  event_fd_ = -1;
}

void DoorbellDescriptor::close() noexcept {
  if (event_fd_ < 0) return;
  ending_.store(true, std::memory_order_release);  // R(descriptor)
  turn_.fetch_add(1, std::memory_order_release);   // R(descriptor)
  ring::futex_wake(turn_, 1);
  std::atomic<uint32_t>& bell = *bell_.load(std::memory_order_acquire);  // A(descriptor)
  bell.fetch_or(layout::kDoorbellRung, std::memory_order_release);       // R(bell)
  ring::futex_wake(bell, 1);
  thread_.join();
  ::close(event_fd_);
  event_fd_ = -1;
}

}  // namespace ripstop::detail
