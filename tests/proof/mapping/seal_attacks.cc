// An agent's own rights: what it can do to everybody with what the supervisor handed it.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "mapping/attack.h"

namespace ripstop::proof {

namespace {

// The control segment's, the first node's.
constexpr std::size_t kControl = 0;
constexpr std::size_t kNode = 1;

using Body = std::function<void(const Descriptors&, Verdict&)>;

Attack by_an_agent(std::string name, On on, Body body) {
  return {std::move(name), on, [body = std::move(body)](Fabric& fabric, Pages, Verdict& verdict) {
            auto got = fabric.attach("attacker", 0);
            if (!got) return verdict.expect(false, "cannot attach: " + to_string(got.error()));
            body(*got, verdict);
          }};
}

std::byte* map(const Descriptors& got, std::size_t which, int protection) {
  void* place = mmap(nullptr, got.segment_bytes[which], protection, MAP_SHARED, got.fds[which].get(), 0);
  return place == MAP_FAILED ? nullptr : static_cast<std::byte*>(place);
}

// How a child ends that does so.
int end_of(const std::function<void()>& body) {
  const pid_t pid = fork();
  if (pid == 0) {
    signal(SIGBUS, SIG_DFL);
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

bool is_refused(int result, std::initializer_list<int> with) {
  if (result == 0) return false;
  for (const int code : with) {
    if (errno == code) return true;
  }
  return false;
}

}  // namespace

void add_seal_attacks(std::vector<Attack>& list) {
  list.push_back(by_an_agent("cuts a node short", On::Both, [](const Descriptors& got, Verdict& verdict) {
    verdict.expect(is_refused(ftruncate(got.fds[kNode].get(), 0), {EPERM}), "ftruncate(0) is not refused");
    verdict.expect(is_refused(ftruncate(got.fds[kNode].get(), 4096), {EPERM, EINVAL}), "ftruncate(4096) is not refused");
  }));
  list.push_back(by_an_agent("makes a node larger", On::Both, [](const Descriptors& got, Verdict& verdict) {
    const auto twice = static_cast<off_t>(2 * got.segment_bytes[kNode]);
    verdict.expect(is_refused(ftruncate(got.fds[kNode].get(), twice), {EPERM}), "ftruncate is not refused");
    verdict.expect(is_refused(fallocate(got.fds[kNode].get(), 0, 0, twice), {EPERM}), "fallocate is not refused");
  }));
  list.push_back(by_an_agent("seals a node against writing", On::Both, [](const Descriptors& got, Verdict& verdict) {
    verdict.expect(is_refused(fcntl(got.fds[kNode].get(), F_ADD_SEALS, F_SEAL_WRITE), {EPERM}), "F_SEAL_WRITE is not refused");
    verdict.expect(is_refused(fcntl(got.fds[kNode].get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE), {EPERM}), "F_SEAL_FUTURE_WRITE is not refused");
  }));
  list.push_back(by_an_agent("cuts, grows, punches and writes the control segment", On::Both, [](const Descriptors& got, Verdict& verdict) {
    const int fd = got.fds[kControl].get();
    verdict.expect(is_refused(ftruncate(fd, 0), {EPERM, EINVAL, EBADF}), "ftruncate is not refused");
    verdict.expect(is_refused(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), {EBADF}), "a punch is not refused");
    verdict.expect(pwrite(fd, "x", 1, 0) < 0, "pwrite is not refused");
    verdict.expect(is_refused(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), {EPERM}), "F_SEAL_WRITE is not refused");
  }));
  list.push_back(by_an_agent("maps the control segment writable", On::SmallOnly, [](const Descriptors& got, Verdict& verdict) {
    verdict.expect(map(got, kControl, PROT_READ | PROT_WRITE) == nullptr && errno == EACCES, "mmap is not refused");
    std::byte* control = map(got, kControl, PROT_READ);
    verdict.expect(control != nullptr, "it cannot be read either");
    if (control == nullptr) return;
    verdict.expect(is_refused(mprotect(control, 4096, PROT_READ | PROT_WRITE), {EACCES}), "mprotect is not refused");
    verdict.expect(madvise(control, 4096, MADV_REMOVE) != 0, "MADV_REMOVE is not refused");
    verdict.expect(end_of([&] { *const_cast<volatile std::byte*>(control) = std::byte{0}; }) == SIGSEGV, "a write goes through");
    munmap(control, got.segment_bytes[kControl]);
  }));
  list.push_back(by_an_agent("opens the control segment anew, as another user", On::SmallOnly, [](const Descriptors& got, Verdict& verdict) {
    if (geteuid() != 0) {
      verdict.skipped = "only root can become another user";
      return;
    }
    const std::string path = "/proc/self/fd/" + std::to_string(got.fds[kControl].get());
    const int end = end_of([&] {
      if (setgid(65534) != 0 || setuid(65534) != 0) _exit(2);
      if (prctl(PR_SET_DUMPABLE, 1) != 0) _exit(2);  // So that /proc/self is its own.
      _exit(open(path.c_str(), O_RDWR) < 0 && fchmod(got.fds[kControl].get(), 0600) != 0 ? 0 : 1);
    });
    verdict.expect(end == 0, "it can be opened for writing, or its mode changed");
  }));
  list.push_back(by_an_agent("stretches its mapping beyond the end", On::Both, [](const Descriptors& got, Verdict& verdict) {
    std::byte* node = map(got, kNode, PROT_READ | PROT_WRITE);
    const std::size_t bytes = got.segment_bytes[kNode];
    const int end = end_of([&] {
      auto* larger = static_cast<std::byte*>(mremap(node, bytes, 2 * bytes, MREMAP_MAYMOVE));
      if (larger == MAP_FAILED) _exit(0);
      *static_cast<volatile std::byte*>(larger + bytes) = std::byte{1};
    });
    verdict.expect(end == 0 || end == SIGBUS, "a write beyond the end goes through");
    munmap(node, bytes);
  }));
  list.push_back(by_an_agent("writes the whole node through its descriptor", On::SmallOnly, [](const Descriptors& got, Verdict& verdict) {
    const std::string junk(65536, '\xa5');
    const uint64_t bytes = got.segment_bytes[kNode];
    for (uint64_t at = 0; at < bytes; at += junk.size()) {
      const ssize_t put = pwrite(got.fds[kNode].get(), junk.data(), std::min<uint64_t>(junk.size(), bytes - at), static_cast<off_t>(at));
      if (put < 0) verdict.skipped = std::string("pwrite: ") + std::strerror(errno);
    }
  }));
  list.push_back(by_an_agent("gives its pages back to the kernel, which keeps them", On::Both, [](const Descriptors& got, Verdict& verdict) {
    std::byte* node = map(got, kNode, PROT_READ | PROT_WRITE);
    verdict.expect(madvise(node, got.segment_bytes[kNode], MADV_DONTNEED) == 0 || errno == EINVAL, "MADV_DONTNEED fails oddly");
    (void)madvise(node, got.segment_bytes[kNode], MADV_FREE);
    (void)madvise(node, got.segment_bytes[kNode], MADV_PAGEOUT);
    verdict.expect(*static_cast<uint64_t*>(static_cast<void*>(node)) != 0, "the node's header is gone");
    munmap(node, got.segment_bytes[kNode]);
  }));
  list.push_back(by_an_agent("maps the node over and over", On::SmallOnly, [](const Descriptors& got, Verdict& verdict) {
    std::vector<std::byte*> maps;
    for (int i = 0; i < 500; ++i) {
      std::byte* node = map(got, kNode, PROT_READ | PROT_WRITE);
      if (node == nullptr) break;
      maps.push_back(node);
    }
    verdict.expect(!maps.empty(), "it cannot be mapped");
    for (std::byte* node : maps) munmap(node, got.segment_bytes[kNode]);
  }));
  list.push_back(by_an_agent("hands its descriptors to its child and ends", On::Both, [](const Descriptors& got, Verdict& verdict) {
    const int end = end_of([&] {
      std::byte* node = map(got, kNode, PROT_READ | PROT_WRITE);
      if (node != nullptr) std::memset(node, 0xff, got.segment_bytes[kNode]);
    });
    verdict.expect(end == 0, "the child cannot write what it was handed");
  }));
}

}  // namespace ripstop::proof
