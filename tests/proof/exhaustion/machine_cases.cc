// What a fabric has from the machine: huge pages, memory, descriptors, a file system.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "proof/exhaustion/cases.h"
#include "proof/live/child.h"
#include "proof/live/fabric.h"
#include "ripstop/agent.h"

namespace ripstop::exhaustion {

namespace {

using live::Case;
using live::Child;
using live::Fabric;
using live::Fault;
using live::Findings;
using live::is_error;
using live::Link;
using live::outcome_of;
using live::wait_until;
using namespace std::chrono_literals;

constexpr uint32_t kChunkCount = 512;
constexpr const char* kPool = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;
constexpr uint64_t kPages = 4;  // More than a fabric of live::small_settings() needs.

uint64_t number_in(const std::string& path) {
  std::ifstream file(path);
  uint64_t number = 0;
  file >> number;
  return number;
}

bool write_text(const std::string& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  const bool done = fd >= 0 && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (fd >= 0) close(fd);
  return done;
}

// Pages that the harness adds to the kernel's pool, beside what others have in it.
class Pool {
 public:
  explicit Pool(uint64_t count) : before_(number_in(kPool)) {
    ok_ = write_text(kPool, std::to_string(before_ + count)) && number_in(kPool) == before_ + count;
  }
  ~Pool() { (void)write_text(kPool, std::to_string(before_)); }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  bool ok() const { return ok_; }

 private:
  uint64_t before_;
  bool ok_ = false;
};

// Theirs would be taken away from them, and do as ours.
constexpr const char* kOthers = "somebody has huge pages on this machine (vm.nr_hugepages is not 0)";
bool others_have_pages() { return number_in(kPool) != 0; }

// Says whether it has all that are free, and keeps them.
int take_huge_pages(const Link& link) {
  uint64_t count = 0;
  while (mmap(nullptr, kHugePageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0) != MAP_FAILED) ++count;
  link.tell(std::to_string(count));
  for (;;) pause();
}

// A start that must be refused. The refusal's text.
void expect_refused(Findings& f, Fabric& fabric, Errc code, const std::string& names) {
  fabric.launch();
  const int status = fabric.wait();
  const std::string log = fabric.log();
  f.expect(status >= 0, "it neither serves nor ends", Fault::Blocked);
  f.expect(status > 0 && status < 128, "it ends with status " + std::to_string(status) + ": " + log);
  f.expect(log.find("error " + error_code_text(code)) != std::string::npos && log.find("  why ") != std::string::npos && log.find("  fix ") != std::string::npos &&
               log.find(names) != std::string::npos,
           "it says: " + log);
  wait_until([&] { return fabric.leavings().empty(); }, 1'000);
  f.expect(fabric.leavings().empty(), "left behind:" + fabric.leavings(), Fault::Leaked);
}

void expect_service(Findings& f, Fabric& fabric) {
  if (!f.expect(fabric.start(), "it does not serve: " + fabric.log(), Fault::Blocked)) return;
  live::expect_whole(f, kChunkCount);
  live::expect_clean_end(f, fabric);
}

std::string first_path_of_group(const std::string& name) { return "/sys/fs/cgroup/" + name; }

// A control group for memory, of either version; "" where none can be made.
class MemoryGroup {
 public:
  explicit MemoryGroup(uint64_t bytes) {
    const bool is_v2 = access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
    path_ = first_path_of_group(is_v2 ? "" : "memory/") + "ripstop-proof-" + std::to_string(getpid());
    limit_ = path_ + (is_v2 ? "/memory.max" : "/memory.limit_in_bytes");
    if (mkdir(path_.c_str(), 0755) != 0) {
      path_.clear();
      return;
    }
    if (!set_limit(bytes)) {
      rmdir(path_.c_str());
      path_.clear();
    }
  }
  ~MemoryGroup() {
    if (path_.empty()) return;
    (void)write_text(path_ + "/memory.force_empty", "0");
    wait_until([this] { return rmdir(path_.c_str()) == 0; }, 2'000);
  }
  MemoryGroup(const MemoryGroup&) = delete;
  MemoryGroup& operator=(const MemoryGroup&) = delete;
  bool ok() const { return !path_.empty(); }
  bool set_limit(uint64_t bytes) const { return write_text(limit_, std::to_string(bytes)); }
  // The calling process moves into it.
  bool enter() const { return write_text(path_ + "/cgroup.procs", std::to_string(getpid())); }

 private:
  std::string path_;
  std::string limit_;
};

void limit(__rlimit_resource resource, rlim_t value) {
  const rlimit both{value, value};
  setrlimit(resource, &both);
}

}  // namespace

std::vector<Case> machine_cases() {
  std::vector<Case> cases;
  const auto add = [&](std::string name, std::string expected, std::function<void(Findings&)> run) {
    cases.push_back({std::move(name), std::move(expected), std::move(run)});
  };
  add("huge-pages-none", "required: NoHugepages, with the sysctl that helps; tried: it serves on others and says so", [](Findings& f) {
    if (others_have_pages()) return f.skip(kOthers);
    Fabric strict({"hugepages=require", "reserve_hugepages=false"});
    expect_refused(f, strict, Errc::NoHugepages, "sysctl vm.nr_hugepages=");
    Fabric lenient({"hugepages=try", "reserve_hugepages=false"});
    expect_service(f, lenient);
    f.expect(lenient.log().find("asked huge") != std::string::npos || lenient.log().find("asked 2 MiB") != std::string::npos, "it does not say what it asked for: " + lenient.log());
  });
  add("huge-pages-too-few", "one page less than it needs: NoHugepages, and none is kept", [](Findings& f) {
    if (others_have_pages()) return f.skip(kOthers);
    const Pool pool(1);
    if (!pool.ok()) return f.skip("the pool of huge pages cannot be changed by this user");
    Fabric fabric({"hugepages=require", "reserve_hugepages=false", R"(classes=[{"payload_bytes": 256, "chunk_count": 16384}])"});
    const uint64_t free_before = number_in("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
    expect_refused(f, fabric, Errc::NoHugepages, "are needed");
    f.expect(number_in("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages") == free_before, "pages stay taken", Fault::Leaked);
  });
  add("huge-pages-taken-by-another", "NoHugepages while it has them; it is killed: they can be had again, and go back at the end", [](Findings& f) {
    if (others_have_pages()) return f.skip(kOthers);
    const Pool pool(kPages);
    if (!pool.ok()) return f.skip("the pool of huge pages cannot be changed by this user");
    Fabric fabric({"hugepages=require", "reserve_hugepages=false"});
    {
      Child hog(take_huge_pages);
      if (std::atoi(hog.link().hear().value_or("0").c_str()) < static_cast<int>(kPages)) return f.skip("huge pages cannot be mapped");
      expect_refused(f, fabric, Errc::NoHugepages, "sysctl vm.nr_hugepages=");
      hog.kill();
    }
    expect_service(f, fabric);
    f.expect(wait_until([] { return number_in("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages") >= kPages; }), "pages stay taken", Fault::Leaked);
  });
  add("huge-pages-taken-while-it-starts", "it serves or says NoHugepages; never SIGBUS", [](Findings& f) {
    if (others_have_pages()) return f.skip(kOthers);
    const Pool pool(kPages);
    if (!pool.ok()) return f.skip("the pool of huge pages cannot be changed by this user");
    Child hog([](const Link&) -> int {
      for (;;) {
        void* page = mmap(nullptr, (kPages - 1) * kHugePageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
        usleep(300);
        if (page != MAP_FAILED) munmap(page, (kPages - 1) * kHugePageBytes);
        usleep(300);
      }
      return 0;
    });
    int served = 0;
    for (int i = 0; i < 12; ++i) {
      Fabric fabric({"hugepages=require", "reserve_hugepages=false"});
      if (fabric.start()) {
        ++served;
        f.expect(fabric.end() == 0, "it does not end well: " + fabric.log());
      } else {
        const int status = fabric.wait();
        f.expect(status > 0 && status < 128 && fabric.log().find("error RS-0204") != std::string::npos, "it ends with status " + std::to_string(status) + ": " + fabric.log());
      }
      f.expect(fabric.leavings().empty(), "left behind:" + fabric.leavings(), Fault::Leaked);
    }
    f.note(std::to_string(served) + " of 12 starts had the pages");
  });
  cases.back().point_count = 12;
  add("huge-pages-of-a-killed-fabric", "the pages that it had added go back when the next supervisor ends", [](Findings& f) {
    if (geteuid() != 0) return f.skip("the pool of huge pages cannot be changed by this user");
    if (others_have_pages()) return f.skip(kOthers);
    const uint64_t before = number_in(kPool);
    {
      Fabric fabric({"hugepages=try", "reserve_hugepages=true"});
      if (!f.expect(fabric.start(), "it does not serve: " + fabric.log())) return;
      if (number_in(kPool) == before) return f.skip("it could add none");
      fabric.kill_supervisor();
      expect_service(f, fabric);
    }
    f.expect(number_in(kPool) == before, "the pool has " + std::to_string(number_in(kPool)) + " pages, and had " + std::to_string(before), Fault::Leaked);
  });
  add("memory-of-the-machine", "NoMemory with what is needed and what there is, before any of it is taken", [](Findings& f) {
    Fabric fabric({R"(classes=[{"payload_bytes": "1MiB", "chunk_count": 65000}])", "slab_bytes=1MiB"});
    expect_refused(f, fabric, Errc::NoMemory, "MiB are available");
  });
  add("memory-of-a-control-group", "NoMemory instead of the kernel's killer; with a higher limit it serves", [](Findings& f) {
    const MemoryGroup group(uint64_t{24} << 20);
    if (!group.ok()) return f.skip("no control group for memory can be made here");
    Fabric fabric({R"(classes=[{"payload_bytes": "4KiB", "chunk_count": 16384}])"});
    fabric.before_exec = [&] {
      if (!group.enter()) _exit(126);
    };
    expect_refused(f, fabric, Errc::NoMemory, "control group");
    Fabric small;
    small.before_exec = fabric.before_exec;
    f.expect(group.set_limit(uint64_t{256} << 20), "the limit cannot be raised");
    expect_service(f, small);
  });
  add("agent-in-a-small-control-group", "the memory is the supervisor's: an agent of a few MiB exchanges messages", [](Findings& f) {
    const MemoryGroup group(uint64_t{12} << 20);
    if (!group.ok()) return f.skip("no control group for memory can be made here");
    Fabric fabric({R"(classes=[{"payload_bytes": 256, "chunk_count": 512}, {"payload_bytes": "1MiB", "chunk_count": 32}])"});
    if (!f.expect(fabric.start(), "it does not serve: " + fabric.log())) return;
    {
      Child agent([&](const Link& link) -> int {
        if (!group.enter()) return link.tell("cannot enter"), 1;
        AgentOptions options;
        options.name = "small";
        auto attached = Agent::attach(options);
        auto publisher = attached ? attached->publisher("p1.large") : Result<Publisher<Bytes>>(attached.error());
        auto subscriber = attached ? attached->subscriber("p1.large") : Result<Subscriber<Bytes>>(attached.error());
        if (!publisher || !subscriber) return link.tell(outcome_of(publisher)), 1;
        const std::string megabyte(1 << 20, 'x');
        for (int i = 0; i < 64; ++i) {
          const auto sent = publisher->send_copy(megabyte);
          auto message = subscriber->take(1s);
          if (!sent || !*sent || !message || message->text() != megabyte) return link.tell("message " + std::to_string(i) + " does not arrive whole"), 1;
        }
        link.tell("ok");
        return 0;
      });
      const std::string words = agent.link().hear(20'000).value_or("it was killed");
      f.expect(words == "ok", words);
      agent.wait();
    }
    live::expect_whole(f, kChunkCount);
    live::expect_clean_end(f, fabric);
  });
  add("address-space-of-the-supervisor", "at each limit it serves, or says NoMemory or System; never a signal", [](Findings& f) {
    for (const rlim_t mib : {8, 16, 24, 32, 48, 64, 96, 128, 256}) {
      Fabric fabric({R"(classes=[{"payload_bytes": "4KiB", "chunk_count": 4096}])"});
      fabric.before_exec = [mib] { limit(RLIMIT_AS, mib << 20); };
      if (fabric.start()) {
        f.expect(fabric.end() == 0, "at " + std::to_string(mib) + " MiB it does not end well: " + fabric.log());
      } else {
        const int status = fabric.wait();
        // Below some size not even the loader gets as far as main.
        const bool by_loader = status == 127 && fabric.log().find("error while loading shared libraries") != std::string::npos;
        f.expect(by_loader || (status > 0 && status < 126 && fabric.log().find("error RS-") != std::string::npos && fabric.log().find("  fix ") != std::string::npos),
                 "at " + std::to_string(mib) + " MiB it ends with status " + std::to_string(status) + ": " + fabric.log());
      }
      f.expect(wait_until([&] { return fabric.leavings().empty(); }, 2'000), "at " + std::to_string(mib) + " MiB it leaves behind:" + fabric.leavings(), Fault::Leaked);
    }
  });
  cases.back().point_count = 9;
  add("address-space-of-an-agent", "attach says NoMemory and ulimit -v; no agent is made; without the limit it attaches", [](Findings& f) {
    Fabric fabric({R"(classes=[{"payload_bytes": 256, "chunk_count": 512}, {"payload_bytes": "1MiB", "chunk_count": 64}])"});
    if (!f.expect(fabric.start(), "it does not serve: " + fabric.log())) return;
    Child agent([](const Link& link) -> int {
      std::ifstream statm("/proc/self/statm");
      rlim_t pages = 0;
      statm >> pages;
      rlimit both{};
      getrlimit(RLIMIT_AS, &both);
      both.rlim_cur = pages * 4096 + (rlim_t{40} << 20);
      setrlimit(RLIMIT_AS, &both);
      AgentOptions options;
      options.name = "cramped";
      const std::string refused = outcome_of(Agent::attach(options));
      both.rlim_cur = both.rlim_max;
      setrlimit(RLIMIT_AS, &both);
      const std::string then = outcome_of(Agent::attach(options));
      link.tell(is_error(refused, Errc::NoMemory) && then == "ok" ? "ok" : refused + "; then " + then);
      return 0;
    });
    const std::string words = agent.link().hear().value_or("no answer");
    f.expect(words == "ok", words);
    agent.wait();
    live::expect_whole(f, kChunkCount);
    live::expect_clean_end(f, fabric);
  });
  add("size-of-files", "RLIMIT_FSIZE: an error that names it, no SIGXFSZ", [](Findings& f) {
    Fabric fabric;
    fabric.before_exec = [] { limit(RLIMIT_FSIZE, 65536); };
    expect_refused(f, fabric, Errc::System, "ulimit -f");
  });
  add("descriptors-of-the-supervisor", "who comes when there are none left is refused, those attached go on; when some end there is room again", [](Findings& f) {
    Fabric fabric({"agents=64"});
    fabric.before_exec = [] { limit(RLIMIT_NOFILE, 40); };
    if (!f.expect(fabric.start(), "it does not serve: " + fabric.log())) return;
    Child taker([](const Link& link) -> int {
      std::vector<Agent> agents;
      std::string words = "ok";
      AgentOptions options;
      options.timeout = 2s;
      while (words == "ok" && agents.size() < 60) {
        options.name = "a" + std::to_string(agents.size());
        auto agent = Agent::attach(options);
        words = outcome_of(agent);
        if (agent) agents.push_back(std::move(*agent));
      }
      auto subscriber = agents[0].subscriber("p1.fds");
      auto publisher = agents[1].publisher("p1.fds");
      const bool goes_on = subscriber && publisher && *publisher->send_copy("x") && subscriber->take(1s);
      link.tell((agents.size() >= 4 && goes_on && words.starts_with("RS-") ? "refused " : "WRONG ") + std::to_string(agents.size()) + ": " + words);
      for (;;) pause();
      return 0;
    });
    const std::string words = taker.link().hear(20'000).value_or("no answer");
    f.expect(words.starts_with("refused"), words);
    f.note(words.substr(0, 70));
    taker.kill();
    live::expect_whole(f, kChunkCount);
    live::expect_clean_end(f, fabric);
  });
  add("descriptors-of-an-agent", "at each limit attach succeeds or says that there are none left; what it was given is closed again", [](Findings& f) {
    Fabric fabric;
    if (!f.expect(fabric.start(), "it does not serve: " + fabric.log())) return;
    Child agent([](const Link& link) -> int {
      std::string wrong;
      const auto count_open = [] {
        int count = 0;
        for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
        return count;
      };
      const int before = count_open();
      int failed = 0, succeeded = 0;
      rlimit whole{};
      getrlimit(RLIMIT_NOFILE, &whole);
      for (rlim_t some = 3; some < 24; ++some) {
        const rlimit few{some, whole.rlim_max};
        setrlimit(RLIMIT_NOFILE, &few);
        AgentOptions options;
        options.name = "few-fds";
        options.timeout = 2s;
        const std::string words = outcome_of(Agent::attach(options));
        setrlimit(RLIMIT_NOFILE, &whole);
        words == "ok" ? ++succeeded : ++failed;
        const bool typed = words.starts_with("RS-") && words.find(" |  |") == std::string::npos;
        if (words != "ok" && !typed) wrong += std::to_string(some) + ": " + words + "; ";
        if (count_open() != before) wrong += std::to_string(some) + ": " + std::to_string(count_open() - before) + " descriptors stay open; ";
      }
      if (failed == 0 || succeeded == 0) wrong += "the limits show nothing: " + std::to_string(failed) + " failed, " + std::to_string(succeeded) + " did not";
      link.tell(wrong.empty() ? "ok" : wrong);
      return 0;
    });
    const std::string words = agent.link().hear(20'000).value_or("no answer");
    f.expect(words == "ok", words, Fault::Leaked);
    agent.wait();
    live::expect_whole(f, kChunkCount);
    live::expect_clean_end(f, fabric);
  });
  cases.back().point_count = 21;
  add("full-runtime-directory", "with place for no, one, two … files it serves or says what is full, and leaves nothing; with room it serves", [](Findings& f) {
    Fabric fabric;
    if (mount("ripstop-proof", fabric.directory().c_str(), "tmpfs", 0, "size=64k,nr_inodes=16,mode=0700") != 0) {
      return f.skip("no file system can be mounted by this user");
    }
    int refused = 0;
    // The file system's root has one of them, the fabric wants four.
    for (int files = 1; files <= 6; ++files) {
      const std::string size = "size=64k,nr_inodes=" + std::to_string(files);
      if (mount("ripstop-proof", fabric.directory().c_str(), "tmpfs", MS_REMOUNT, size.c_str()) != 0) continue;
      if (fabric.start()) {
        f.expect(fabric.end() == 0, "with " + std::to_string(files) + " it does not end well: " + fabric.log());
      } else {
        ++refused;
        const int status = fabric.wait();
        f.expect(status > 0 && status < 126 && fabric.log().find("error RS-0901") != std::string::npos && fabric.log().find("  fix ") != std::string::npos,
                 "with " + std::to_string(files) + " it ends with status " + std::to_string(status) + ": " + fabric.log());
      }
      f.expect(wait_until([&] { return fabric.leavings().empty(); }, 2'000), "with " + std::to_string(files) + " it leaves behind:" + fabric.leavings(), Fault::Leaked);
    }
    f.expect(refused > 0, "it was never refused, this case shows nothing");
    (void)mount("ripstop-proof", fabric.directory().c_str(), "tmpfs", MS_REMOUNT, "size=1m,nr_inodes=64");
    expect_service(f, fabric);
    umount2(fabric.directory().c_str(), MNT_DETACH);
  });
  cases.back().point_count = 7;
  add("full-disk-under-the-lock", "a lock that cannot be written is an error that names it, and leaves nothing", [](Findings& f) {
    Fabric fabric;
    if (mount("ripstop-proof", fabric.directory().c_str(), "tmpfs", 0, "size=4k,mode=0700") != 0) {
      return f.skip("no file system can be mounted by this user");
    }
    const std::string filler = fabric.directory() + "/filler";
    {
      std::ofstream file(filler);
      file << std::string(4096, 'x');
    }
    fabric.launch();
    const int status = fabric.wait();
    f.expect(status > 0 && status < 126 && fabric.log().find("default.lock") != std::string::npos && fabric.log().find("  fix ") != std::string::npos,
             "it ends with status " + std::to_string(status) + ": " + fabric.log());
    unlink(filler.c_str());
    f.expect(fabric.leavings().empty(), "left behind:" + fabric.leavings(), Fault::Leaked);
    expect_service(f, fabric);
    umount2(fabric.directory().c_str(), MNT_DETACH);
  });
  return cases;
}

}  // namespace ripstop::exhaustion
