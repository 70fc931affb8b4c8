#include "ring/doorbell.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <ctime>

namespace ripstop::ring {

namespace {

long futex(std::atomic<uint32_t>& word, int operation, uint32_t value, const timespec* timeout) noexcept {
  return syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), operation, value, timeout, nullptr, 0);
}

}  // namespace

int futex_wake(std::atomic<uint32_t>& word, int count) noexcept {
  return static_cast<int>(futex(word, FUTEX_WAKE, static_cast<uint32_t>(count), nullptr));
}

bool futex_wait(std::atomic<uint32_t>& word, uint32_t expected, uint64_t timeout_ns) noexcept {
  timespec timeout{};
  timeout.tv_sec = static_cast<time_t>(timeout_ns / 1'000'000'000u);
  timeout.tv_nsec = static_cast<long>(timeout_ns % 1'000'000'000u);
  const long result = futex(word, FUTEX_WAIT, expected, timeout_ns == 0 ? nullptr : &timeout);
  return result == 0 || errno != ETIMEDOUT;
}

bool ring_doorbell(std::atomic<uint32_t>& bell, uint32_t& last_rung) noexcept {
  uint32_t word = bell.load(std::memory_order_acquire);  // A(bell)
  if (!needs_ring(word, last_rung)) return false;
  last_rung = word & ~layout::kDoorbellRung;
  // The word must still be of this sleep: setting `rung` in a later one would be a wake for nothing.
  while ((word & layout::kDoorbellRung) == 0 && (word & ~layout::kDoorbellRung) == last_rung) {
    // R(bell), A(bell): the message was pushed before.
    if (bell.compare_exchange_weak(word, word | layout::kDoorbellRung, std::memory_order_acq_rel)) break;
  }
  if ((word & ~layout::kDoorbellRung) != last_rung) return false;  // It is awake already.
  futex_wake(bell, 1);
  return true;
}

void Sleeper::arm() noexcept {
  // Relaxed: a new number only has to differ from the last; publishers change nothing but `rung`.
  const uint32_t word = bell_->load(std::memory_order_relaxed);
  armed_word_ = ((word & ~(layout::kDoorbellSleepUnit - 1)) + layout::kDoorbellSleepUnit) | layout::kDoorbellArmed;
  // seq_cst: R(bell), and the fence between arming and looking. A(bell) is the publisher's swap and load.
  bell_->exchange(armed_word_, std::memory_order_seq_cst);
}

bool Sleeper::wait(uint64_t timeout_ns) noexcept { return futex_wait(*bell_, armed_word_, timeout_ns); }

void Sleeper::disarm() noexcept {
  // R(bell): nothing depends on it, a publisher that reads the old word wakes nobody.
  bell_->store(armed_word_ & ~(layout::kDoorbellArmed | layout::kDoorbellRung), std::memory_order_release);
}

}  // namespace ripstop::ring
