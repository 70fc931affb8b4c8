// Pages that go away under everybody. On 4 KiB pages a hole fills itself with zeros at the next touch: that is
// damage like a scribbler's. A huge page may be gone for good, when the kernel's pool was made smaller meanwhile:
// then a touch is SIGBUS.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <thread>

#include "control/control_view.h"
#include "mapping/attack.h"
#include "memory/hugepage_pool.h"
#include "memory/memfd.h"

namespace ripstop::proof {

namespace {

// A node, mapped by an attacker who has the right to.
class Mapped {
 public:
  Mapped(const Descriptors& got, std::size_t node) : bytes_(got.segment_bytes[1 + node]), fd_(got.fds[1 + node].get()) {
    void* place = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    data_ = place == MAP_FAILED ? nullptr : static_cast<std::byte*>(place);
  }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  ~Mapped() {
    if (data_ != nullptr) munmap(data_, bytes_);
  }
  explicit operator bool() const { return data_ != nullptr; }
  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  int fd() const { return fd_; }
  bool remove(std::size_t offset, std::size_t bytes) const { return madvise(data_ + offset, bytes, MADV_REMOVE) == 0; }
  bool remove_all() const { return remove(0, bytes_); }

 private:
  std::size_t bytes_;
  int fd_;
  std::byte* data_;
};

// The kernel's pool as small as can be: no page is free. Put back at the end.
class Theft {
 public:
  Theft() : before_(memory::read_hugepage_pool().total_count) { set(0); }
  Theft(const Theft&) = delete;
  Theft& operator=(const Theft&) = delete;
  ~Theft() { set(before_); }
  static void set(uint64_t count) { std::ofstream("/proc/sys/vm/nr_hugepages") << count << std::flush; }
  static bool none_is_free() { return memory::read_hugepage_pool().free_count == 0; }

 private:
  uint64_t before_;
};

Attack attack(std::string name, On on, std::function<void(Fabric&, const Descriptors&, Verdict&)> body) {
  return {std::move(name), on, [body = std::move(body)](Fabric& fabric, Pages, Verdict& verdict) {
            auto got = fabric.attach("attacker", 0);
            if (!got) return verdict.expect(false, "cannot attach: " + to_string(got.error()));
            body(fabric, *got, verdict);
          }};
}

// Both nodes' places of what lies in them.
layout::NodeGeometry geometry_of(const Descriptors& got, std::size_t node) {
  layout::NodeGeometry geometry{};
  void* control = mmap(nullptr, got.segment_bytes[0], PROT_READ, MAP_SHARED, got.fds[0].get(), 0);
  if (control == MAP_FAILED) return geometry;
  geometry = static_cast<const layout::Superblock*>(control)->nodes[node];
  munmap(control, got.segment_bytes[0]);
  return geometry;
}

void kill_and_wait(pid_t pid) {
  ::kill(pid, SIGKILL);
  siginfo_t info{};
  waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
}

void expect_poisoned(Fabric& fabric, Verdict& verdict) {
  verdict.expect(fabric.says("of the memory lost a page"), "the supervisor does not say that a page was lost: " + fabric.log());
  const std::string status = fabric.shmctl("status");
  verdict.expect(status.empty() || status.find("node 0 lost") != std::string::npos, "shmctl status has no alarm: " + status);
  verdict.expect(status.empty() || status.find("start it again") != std::string::npos, "shmctl status does not say what to do");
}

void wait_for(const std::function<bool()>& condition) {
  for (int i = 0; i < 4000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

}  // namespace

void add_hole_attacks(std::vector<Attack>& list) {
  list.push_back(attack("removes all pages of a node", On::Both, [](Fabric& fabric, const Descriptors& got, Verdict& verdict) {
    const pid_t victim = fabric.sleeper("victim", 0);
    const Mapped node(got, 0);
    verdict.expect(node && node.remove_all(), "MADV_REMOVE fails");
    kill_and_wait(victim);  // And the supervisor settles what is left.
    wait_for([&] { return fabric.says("agent victim"); });
  }));
  list.push_back(attack("removes the first page", On::Both, [](Fabric&, const Descriptors& got, Verdict& verdict) {
    const Mapped node(got, 0);
    verdict.expect(node && node.remove(0, got.segment_bytes[1] >= memory::kHugePageBytes ? memory::kHugePageBytes : 4096), "MADV_REMOVE fails");
  }));
  list.push_back(attack("removes agents' blocks under them", On::SmallOnly, [](Fabric& fabric, const Descriptors& got, Verdict& verdict) {
    const pid_t victim = fabric.sleeper("victim", 0);
    const layout::NodeGeometry place = geometry_of(got, 0);
    const Mapped node(got, 0);
    const uint64_t first = (place.agent_blocks_offset + 4095) / 4096 * 4096;
    verdict.expect(node && node.remove(first, (place.ring_arena_offset - first) / 4096 * 4096), "MADV_REMOVE fails");
    kill_and_wait(victim);
    wait_for([&] { return fabric.says("agent victim"); });
  }));
  list.push_back(attack("removes the rings", On::SmallOnly, [](Fabric&, const Descriptors& got, Verdict& verdict) {
    const layout::NodeGeometry place = geometry_of(got, 0);
    const Mapped node(got, 0);
    const uint64_t first = (place.ring_arena_offset + 4095) / 4096 * 4096;
    verdict.expect(node && node.remove(first, place.ring_arena_bytes / 4096 * 4096), "MADV_REMOVE fails");
  }));
  list.push_back(attack("removes the chunks", On::SmallOnly, [](Fabric& fabric, const Descriptors& got, Verdict& verdict) {
    const pid_t victim = fabric.sleeper("victim", 0);
    const layout::NodeGeometry place = geometry_of(got, 0);
    const Mapped node(got, 0);
    const uint64_t first = (place.slabs_offset + 4095) / 4096 * 4096;
    verdict.expect(node && node.remove(first, (node.bytes() - first) / 4096 * 4096), "MADV_REMOVE fails");
    kill_and_wait(victim);
    wait_for([&] { return fabric.says("agent victim"); });
  }));
  list.push_back(attack("punches holes through its descriptor", On::Both, [](Fabric&, const Descriptors& got, Verdict& verdict) {
    const int result = fallocate(got.fds[1].get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(got.segment_bytes[1]));
    verdict.expect(result == 0 || errno == EPERM, std::string("fallocate: ") + std::strerror(errno));
  }));
  list.push_back(attack("punches and touches, again and again, while agents die", On::Both, [](Fabric& fabric, const Descriptors& got, Verdict& verdict) {
    const Mapped node(got, 0);
    if (!node) return verdict.expect(false, "cannot map");
    std::atomic<bool> over{false};
    std::thread puncher([&] {
      const std::size_t page = node.bytes() % memory::kHugePageBytes == 0 ? memory::kHugePageBytes : 4096;
      for (uint64_t n = 0; !over.load(); ++n) {
        (void)node.remove(n * page % node.bytes(), page);
        if (n % 64 == 0) std::this_thread::yield();
      }
    });
    for (int i = 0; i < 6; ++i) {
      const pid_t pid = fork();
      if (pid == 0) {
        // It may end by whatever it meets: its memory is punched from under it.
        for (const int signal_number : {SIGSEGV, SIGABRT, SIGBUS}) signal(signal_number, SIG_DFL);
        auto victim = fabric.attach("victim" + std::to_string(i), 0);
        _exit(victim ? 0 : 1);
      }
      waitpid(pid, nullptr, 0);
    }
    over.store(true);
    puncher.join();
  }));

  // --- a huge page that is gone for good ---------------------------------------------------------------
  list.push_back(attack("steals the pages of a node: the supervisor meets the hole", On::HugeOnly, [](Fabric& fabric, const Descriptors& got, Verdict& verdict) {
    const pid_t victim = fabric.sleeper("victim", 0);
    const Mapped node(got, 0);
    verdict.expect(node && node.remove_all(), "MADV_REMOVE fails");
    const Theft theft;
    if (!Theft::none_is_free()) {
      verdict.skipped = "the pool cannot be emptied: somebody else has huge pages";
      return;
    }
    kill_and_wait(victim);
    wait_for([&] { return fabric.says("agent victim") && fabric.says("lost a page"); });
    expect_poisoned(fabric, verdict);
    expect_unharmed(fabric, verdict);
    const auto late = fabric.attach("late", 0);
    verdict.expect(late && late->node_index == 1, "a new agent is placed on the node that lost pages");
  }));
  list.push_back(attack("steals the pages in the middle of recoveries", On::HugeOnly, [](Fabric& fabric, const Descriptors& got, Verdict& verdict) {
    std::vector<pid_t> victims;
    for (int i = 0; i < 4; ++i) victims.push_back(fabric.sleeper("victim" + std::to_string(i), 0));
    const Mapped node(got, 0);
    const Theft theft;
    std::thread remover([&] {
      for (std::size_t at = 0; at < node.bytes(); at += memory::kHugePageBytes) (void)node.remove(at, memory::kHugePageBytes);
      Theft::set(0);
    });
    for (const pid_t victim : victims) ::kill(victim, SIGKILL);
    remover.join();
    wait_for([&] { return fabric.says("agent victim0") && fabric.says("agent victim3"); });
    expect_unharmed(fabric, verdict);
  }));
  list.push_back(attack("steals the pages while shmctl reads and the supervisor is stopped", On::HugeOnly, [](Fabric& fabric, const Descriptors& got, Verdict& verdict) {
    const Mapped node(got, 0);
    verdict.expect(node && node.remove_all(), "MADV_REMOVE fails");
    const Theft theft;
    if (!Theft::none_is_free()) {
      verdict.skipped = "the pool cannot be emptied: somebody else has huge pages";
      return;
    }
    ::kill(fabric.pid(), SIGSTOP);
    for (const char* verb : {"status", "segments", "agents", "topics", "show agent bystander-one"}) {
      const std::string text = fabric.shmctl(verb);
      verdict.expect(text.compare(0, 6, "signal") != 0, std::string("shmctl ") + verb + " was ended: " + text);
    }
    const std::string status = fabric.shmctl("status");
    verdict.expect(status.empty() || status.find("node 0 lost") != std::string::npos, "shmctl status has no alarm: " + status);
    ::kill(fabric.pid(), SIGCONT);
    expect_unharmed(fabric, verdict);
  }));
  list.push_back(attack("steals the pages, and the supervisor is killed: the next one takes the rest over", On::HugeOnly,
                        [](Fabric& fabric, const Descriptors& got, Verdict& verdict) {
    const pid_t victim = fabric.sleeper("victim", 0);
    const Mapped node(got, 0);
    // All but the header's page: a node that does not begin as one is not taken over.
    verdict.expect(node && node.bytes() > memory::kHugePageBytes && node.remove(memory::kHugePageBytes, node.bytes() - memory::kHugePageBytes), "MADV_REMOVE fails");
    const Theft theft;
    fabric.kill_supervisor();
    kill_and_wait(victim);
    verdict.expect(fabric.restart(), "no supervisor takes over: " + fabric.log());
    verdict.expect(fabric.says("took over"), "it started anew: " + fabric.log());
  }));
  list.push_back(attack("steals the first page, and the supervisor is killed: the next one ends in words or starts anew", On::HugeOnly,
                        [](Fabric& fabric, const Descriptors& got, Verdict& verdict) {
    const Mapped node(got, 0);
    verdict.expect(node && node.remove(0, memory::kHugePageBytes), "MADV_REMOVE fails");
    {
      const Theft theft;
      fabric.kill_supervisor();
      verdict.expect(fabric.launch(), "cannot be started");
      wait_for([&] { return fabric.says("does not begin as one"); });
      verdict.expect(fabric.says("does not begin as one"), "it does not say why it cannot go on: " + fabric.log());
    }
  }));
  list.push_back(attack("steals the pages of both nodes", On::HugeOnly, [](Fabric& fabric, const Descriptors& got, Verdict& verdict) {
    const pid_t victim = fabric.sleeper("victim", 0);
    const pid_t other = fabric.sleeper("other", 1);
    const Mapped one(got, 0);
    const Mapped two(got, 1);
    verdict.expect(one && two && one.remove_all() && two.remove_all(), "MADV_REMOVE fails");
    const Theft theft;
    if (!Theft::none_is_free()) {
      verdict.skipped = "the pool cannot be emptied: somebody else has huge pages";
      return;
    }
    kill_and_wait(victim);
    kill_and_wait(other);
    wait_for([&] { return fabric.says("agent victim") && fabric.says("agent other") && fabric.says("node 1 of the memory"); });
    verdict.expect(fabric.answers(), "the supervisor does not answer");
    const auto late = fabric.attach("late", -1);
    verdict.expect(!late && late.error().code == Errc::Corrupt, "a new agent is not told that the memory lost pages");
  }));
}

}  // namespace ripstop::proof
