// When it stands still, and who starts it. The invariant:
//   While the word says "stopped", nobody sleeps on a message that he has not seen, unless its publisher
//   has written the bell since.
// A publisher names the message in its intent, then loads the word, then pushes, then rings its receiver,
// then clears the intent; where the word says "stopped" it writes the bell (an eventfd) before the push.
// The tick says "stopped", brings a full fence to every processor that runs an agent (membarrier), and
// looks once more: at the intents, then at the sleepers.
//   - A publisher whose intent it sees: it goes on ticking, as long as that takes.
//   - One whose intent it does not see has cleared it, and pushed before: the look at the sleepers finds
//     what it left, rung for or not (a batch is rung for after its last intent). Or it has not written it
//     yet, and then its load comes after the fence and sees "stopped".
// Whoever sends into a channel, or gives a slot of it back, says so in the channel's header instead of an intent.
// So a message costs one load of a line that nobody writes, and no fence: who stops brings it. The first
// message after a quiet time costs one system call more, beside the one that wakes its receiver; while
// messages move, no more than kQuietTicks apart, none at all. A publisher remembers the word that it wrote
// the bell for, so that it does not write again and again while there is no supervisor.
//
// Rejected:
//   - Sleepers that wake every 10 ms and look for themselves: a hundred idle agents would not be idle. Only
//     while somebody is awake: who waits for a timer or a socket of its own is, as far as memory tells.
//   - Sleepers that look at all intents before they sleep, and time out while one is open: thousands of
//     lines at each sleep, a fence at each sleep, and the next push comes after the look all the same.
//   - The publisher announces its wake before the push when it sees the receiver asleep: it may fall asleep
//     in between.
//   - The epoch of the routes, moved to make publishers notice: they look at it before their intent.
//
// Edges.  R(watch) -> A(watch)  "stopped", tick to publisher; and the intent, publisher to tick: both by
//                               the fence that the tick brings.
#include "supervisor/watch.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>

#include "ring/space.h"

namespace ripstop::supervisor {

namespace {

constexpr long kTickNs = 10'000'000;
constexpr int kQuietTicks = 10;

void set_timer(int timer, long interval_ns) noexcept {
  const timespec interval{0, interval_ns};
  const itimerspec setting{interval, interval};
  timerfd_settime(timer, 0, &setting, nullptr);
}

void drain(int fd) noexcept {
  uint64_t count = 0;
  while (read(fd, &count, sizeof count) < 0 && errno == EINTR) {
  }
}

}  // namespace

Result<std::unique_ptr<Watch>> Watch::create(EventLoop& loop, const SegmentManager& segments, bool is_adopted) {
  base::OwnedFd timer(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer) return system_error("timerfd_create", errno);
  std::unique_ptr<Watch> watch(new Watch(loop, segments, std::move(timer)));
  Watch* raw = watch.get();
  if (auto watched = loop.watch(raw->timer_.get(), EPOLLIN, [raw](uint32_t) { raw->on_tick(); }); !watched) return watched.error();
  if (auto watched = loop.watch(segments.bell(), EPOLLIN, [raw](uint32_t) { raw->on_bell(); }); !watched) return watched.error();
  if (is_adopted) raw->start();
  else raw->say(true);
  return watch;
}

Watch::Watch(EventLoop& loop, const SegmentManager& segments, base::OwnedFd timer)
    : loop_(loop), segments_(segments), sleepers_(segments.map()), timer_(std::move(timer)) {}

Watch::~Watch() {
  loop_.unwatch(timer_.get());
  loop_.unwatch(segments_.bell());
}

void Watch::say(bool stopped) noexcept {
  std::atomic<uint32_t>& word = segments_.superblock().watch;
  // Relaxed: only we write it. A new number each time: who has seen the last one looks again.
  const uint32_t number = (word.load(std::memory_order_relaxed) & ~layout::kWatchStopped) + layout::kWatchUnit;
  word.store(number | (stopped ? layout::kWatchStopped : 0), std::memory_order_release);  // R(watch)
}

void Watch::start() {
  say(false);
  quiet_count_ = 0;
  set_timer(timer_.get(), kTickNs);
}

void Watch::on_bell() {
  drain(segments_.bell());
  start();
}

void Watch::on_tick() {
  drain(timer_.get());
  const uint32_t rung_count = sleepers_.ring();
  const uint64_t push_count = sleepers_.push_count();
  const bool is_quiet = rung_count == 0 && push_count == push_count_;
  push_count_ = push_count;
  quiet_count_ = is_quiet ? quiet_count_ + 1 : 0;
  if (quiet_count_ >= kQuietTicks) try_to_stop();
}

void Watch::try_to_stop() {
  if (sleepers_.is_anyone_sending()) return;  // A stopped one, perhaps: not worth the fence every time.
  say(true);
  // A kernel without the fence: it ticks for ever.
  const bool stops = ring::heavy_fence() && !sleepers_.is_anyone_sending() && sleepers_.ring() == 0;  // A(watch)
  if (stops) set_timer(timer_.get(), 0);
  else start();
}

}  // namespace ripstop::supervisor
