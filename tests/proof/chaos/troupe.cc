#include "troupe.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "payload.h"
#include "player.h"
#include "ripstop/types.h"

namespace chaos {

namespace {

// Time it wanted to run and did not: other work on the machine is not our blocking.
uint64_t run_delay_ns(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/schedstat");
  uint64_t ran = 0;
  uint64_t waited = 0;
  file >> ran >> waited;
  return waited;
}

}  // namespace

Troupe::~Troupe() {
  for (Process& process : processes_) {
    if (process.pid <= 0) continue;
    ::kill(process.pid, SIGKILL);
    waitpid(process.pid, nullptr, 0);
  }
}

void Troupe::start(std::size_t player, uint64_t now_ns) {
  Process& process = processes_[player];
  Page& page = ledger_.pages[player];
  page.doing = Doing::Starting;
  page.taken_count = page.released_count = 0;
  page.silent = page.drained = page.attached = page.leave = 0;
  page.words[0] = 0;
  const uint32_t incarnation = ++process.incarnation;
  process = {.incarnation = incarnation, .born_ns = now_ns, .beat = page.beat, .beat_ns = now_ns};
  oracle_.born(static_cast<uint32_t>(player), incarnation);
  std::fflush(nullptr);
  process.pid = fork();
  if (process.pid != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  _exit(play(ledger_, static_cast<uint32_t>(player), incarnation, seed_));
}

// Reads what was finished; of a dead one, also what was not.
bool Troupe::read_page(std::size_t player, bool dead) {
  Page& page = ledger_.pages[player];
  const uint64_t tail = page.tail.load(std::memory_order_acquire);
  uint64_t head = page.head.load(std::memory_order_relaxed);  // Only this side writes it.
  const uint64_t begin = head;
  for (; head < tail; ++head) {
    const Entry& entry = page.entries[head % kEntryCount];
    const bool complete = entry.done.load(std::memory_order_acquire) != 0;
    if (!complete && !dead) break;
    if (!complete && entry.kind == Kind::Sent && head + 1 == tail) ++killed_in_send;
    oracle_.read(static_cast<uint32_t>(player), entry, complete);
  }
  page.head.store(head, std::memory_order_release);
  return head != begin;
}

bool Troupe::reap(std::size_t player, uint64_t now_ns) {
  Process& process = processes_[player];
  int status = 0;
  if (process.pid <= 0 || waitpid(process.pid, &status, WNOHANG) != process.pid) return false;
  process.pid = -1;
  Page& page = ledger_.pages[player];
  (void)read_page(player, true);
  oracle_.died(static_cast<uint32_t>(player), now_ns);
  in_hand_at_death += page.taken_count - page.released_count;
  process.start_ns = now_ns + 1'000'000 * (mix(seed_ ^ (player << 20) ^ process.incarnation) % 60);
  const bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  const int exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
  if (killed && process.ending) {
    killed_in_attach += process.attached ? 0 : 1;
  } else if (WIFSIGNALED(status)) {
    verdict_.add(Fault::Broken, "%s's incarnation %u ended by signal %d while %s", cast()[player].name, process.incarnation,
                 WTERMSIG(status), to_string(page.doing));
  } else if (exit_code == kAskedTooLong) {
    ++retry_count;
  } else if (exit_code != kLeft) {
    verdict_.add(Fault::Broken, "%s's incarnation %u ended by itself while %s: %s", cast()[player].name, process.incarnation,
                 to_string(page.doing), page.words);
  }
  return true;
}

bool Troupe::tend(uint64_t now_ns) {
  bool moved = false;
  for (std::size_t player = 0; player < kPlayerCount; ++player) {
    Process& process = processes_[player];
    if (process.pid > 0) {
      if (process.continue_ns != 0 && now_ns >= process.continue_ns) go_on(player, now_ns);
      moved |= read_page(player, false);
      if (!process.attached && ledger_.pages[player].attached != 0) {
        process.attached = true;
        attach_ns_max = std::max(attach_ns_max, now_ns - process.born_ns);
      }
      moved |= reap(player, now_ns);
    } else if (!last_act_ && now_ns >= process.start_ns) {
      start(player, now_ns);
      moved = true;
    }
  }
  return moved;
}

bool Troupe::kill(std::size_t player) {
  Process& process = processes_[player];
  if (process.pid <= 0 || process.ending) return false;
  process.ending = true;
  ::kill(process.pid, SIGKILL);
  ++(cast()[player].publisher ? publisher_kills : receiver_kills);
  return true;
}

bool Troupe::stop(std::size_t player, uint64_t until_ns, bool then_kill) {
  Process& process = processes_[player];
  if (process.pid <= 0 || process.ending || process.continue_ns != 0) return false;
  ::kill(process.pid, SIGSTOP);
  process.continue_ns = until_ns;
  process.then_kill = then_kill;
  // Until it goes on, nothing is expected of it.
  oracle_.continued(static_cast<uint32_t>(player), ~uint64_t{0});
  ++stop_count;
  return true;
}

void Troupe::go_on(std::size_t player, uint64_t now_ns) {
  Process& process = processes_[player];
  process.continue_ns = 0;
  process.beat_ns = now_ns;
  oracle_.continued(static_cast<uint32_t>(player), now_ns);
  if (process.then_kill && kill(player)) return;
  ::kill(process.pid, SIGCONT);
}

bool Troupe::ask_to_leave(std::size_t player) {
  Process& process = processes_[player];
  if (process.pid <= 0 || process.ending || process.continue_ns != 0) return false;
  process.ending = true;
  ledger_.pages[player].leave = 1;
  ++leave_count;
  return true;
}

void Troupe::all_up(uint64_t now_ns) {
  for (std::size_t player = 0; player < kPlayerCount; ++player) {
    Process& process = processes_[player];
    if (process.pid > 0 && process.continue_ns != 0) {
      process.then_kill = false;
      go_on(player, now_ns);
    }
    process.start_ns = 0;
  }
}

bool Troupe::all_ended() const {
  return std::all_of(processes_.begin(), processes_.end(), [](const Process& each) { return each.pid <= 0; });
}

bool Troupe::all_at(uint32_t phase, std::atomic<uint32_t> Page::* word) const {
  for (std::size_t player = 0; player < kPlayerCount; ++player) {
    if (processes_[player].pid <= 0 || processes_[player].ending || (ledger_.pages[player].*word) != phase) return false;
  }
  return true;
}

bool Troupe::all_attached() const {
  return all_at(1, &Page::attached);
}

void Troupe::look_for_blocked(uint64_t now_ns) {
  // We look every 50 ms. When we could not for seconds, the machine stood still (a paused virtual machine),
  // and that others did too says nothing of them: their time starts anew.
  const bool stood_still = look_ns_ != 0 && now_ns - look_ns_ > 2'000'000'000;
  look_ns_ = now_ns;
  if (stood_still) {
    ++stall_count;
    for (std::size_t player = 0; player < kPlayerCount; ++player) {
      processes_[player].beat_ns = 0;
      if (processes_[player].continue_ns == 0) oracle_.continued(static_cast<uint32_t>(player), now_ns);
    }
  }
  for (std::size_t player = 0; player < kPlayerCount; ++player) {
    Process& process = processes_[player];
    const Page& page = ledger_.pages[player];
    if (process.pid <= 0 || process.continue_ns != 0) continue;
    const uint64_t beat = page.beat;
    if (beat != process.beat || process.beat_ns == 0) {
      process.beat = beat;
      process.beat_ns = now_ns;
      process.beat_delay_ns = run_delay_ns(process.pid);
      continue;
    }
    // Attaching and opening wait for the supervisor, which is killed now and then.
    const Doing doing = page.doing;
    const bool opening = doing == Doing::Starting || doing == Doing::Attaching || doing == Doing::Opening;
    const uint64_t patience_ns = opening ? 15'000'000'000 : 5'000'000'000;
    if (now_ns - process.beat_ns < patience_ns) continue;
    const uint64_t delay_ns = run_delay_ns(process.pid) - process.beat_delay_ns;
    if (now_ns - process.beat_ns - std::min(delay_ns, now_ns - process.beat_ns) < patience_ns) continue;
    verdict_.add(Fault::Blocked, "%s's incarnation %u has been %s for %.1f s", cast()[player].name, process.incarnation, to_string(doing),
                 static_cast<double>(now_ns - process.beat_ns) / 1e9);
    process.beat_ns = now_ns;
  }
}

}  // namespace chaos
