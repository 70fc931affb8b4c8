#include "supervisor/supervisor.h"

#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "memory/hugepage_pool.h"
#include "supervisor/control_server.h"
#include "supervisor/fd_store.h"
#include "supervisor/grace_timer.h"
#include "supervisor/keeper_link.h"
#include "supervisor/keeper_watch.h"
#include "supervisor/leases.h"
#include "supervisor/log.h"
#include "supervisor/registry.h"
#include "supervisor/sd_notify.h"
#include "supervisor/segment_manager.h"
#include "supervisor/sessions.h"
#include "supervisor/start_report.h"
#include "supervisor/watch.h"

namespace ripstop::supervisor {

namespace {

enum class State : uint32_t { Starting = 0, Serving = 1, Draining = 2, Ended = 3 };

constexpr uint64_t kNsPerMs = 1'000'000;

void set_state(layout::Superblock& super, State state) noexcept {
  super.state.store(static_cast<uint32_t>(state), std::memory_order_relaxed);  // For tools; nothing hangs on it.
}

// Connections and pidfds are descriptors: two for each agent.
void raise_descriptor_limit() noexcept {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

Result<void> set_affinity(const Config& config) {
  if (config.cpu_affinity.empty()) return {};
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  for (const uint64_t cpu : config.cpu_affinity) CPU_SET(cpu, &cpus);
  if (sched_setaffinity(0, sizeof cpus, &cpus) != 0) {
    return Error{Errc::ConfigValue, errno, "\"cpu_affinity\" names no processor of this machine", "the kernel refused it", "see nproc"};
  }
  return {};
}

// Delivers SIGTERM and SIGINT by descriptor; SIGHUP does nothing.
Result<base::OwnedFd> open_signals() {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  sigprocmask(SIG_BLOCK, &ends, nullptr);
  signal(SIGHUP, SIG_IGN);
  base::OwnedFd fd(signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return system_error("signalfd", errno);
  return fd;
}

// The memory of this fabric: what a killed supervisor's keeper or systemd holds, or new.
struct Memory {
  SegmentManager segments;
  std::optional<KeeperLink> keeper;  // Adopted with the memory.
  std::vector<KeptPidfd> processes;  // So are these.
  uint64_t hugepages_added = 0;
  bool is_adopted = false;
};

// What systemd handed over. It is this fabric's if it says so and has not ended.
std::optional<Memory> adopt_stored(const std::string& fabric, uint64_t hugepages_added) {
  auto stored = take_stored();
  if (!stored) return std::nullopt;
  auto segments = SegmentManager::adopt(std::move(stored->fds), stored->segment_bytes);
  if (!segments) {
    log_error(LogLevel::Warning, "what systemd's fd store holds cannot be used", segments.error());
    return std::nullopt;
  }
  const layout::Superblock& super = segments->superblock();
  const bool has_ended = super.state.load(std::memory_order_relaxed) == static_cast<uint32_t>(State::Ended);  // Its writer is dead.
  if (has_ended || super.fabric_name != fabric) {
    log(LogLevel::Info, "systemd's fd store holds fabric %s%s; it is dropped", super.fabric_name, has_ended ? ", which has ended" : "");
    remove_memory(*segments);
    return std::nullopt;
  }
  return Memory{std::move(*segments), std::nullopt, std::move(stored->processes), hugepages_added, true};
}

// Whether memory that cannot be taken over is lost for good. Everything else may be better the next time, and
// agents live in it: it is not given up for a descriptor that was missing.
bool is_lost(Errc code) noexcept {
  return code == Errc::Corrupt || code == Errc::AbiMismatch || code == Errc::LayoutMismatch || code == Errc::Protocol;
}

// Nothing: there is no keeper, or what it holds is of no use.
// Errors: the keeper has memory, and it cannot be taken over now.
Result<std::optional<Memory>> adopt_memory(const control::Endpoint& endpoint, uint64_t hugepages_added) {
  const auto not_now = [&](Error error) {
    error.what = "the last supervisor's memory cannot be taken over: " + error.what;
    error.fix = "try again; or give it up, and what is in it, by ending its keeper (ripstop-keeper); then     ripstopd --fabric " + endpoint.fabric;
    return error;
  };
  auto kept = KeeperLink::adopt(endpoint);
  if (!kept && kept.error().code == Errc::NotFound) return std::optional<Memory>();
  if (!kept) return not_now(kept.error());
  auto segments = SegmentManager::adopt(std::move(kept->fds), kept->segment_bytes);
  if (!segments && !is_lost(segments.error().code)) return not_now(segments.error());
  if (!segments) {
    log_error(LogLevel::Warning, "the last supervisor's memory cannot be used, this fabric starts anew", segments.error());
    kept->link.end();
    return std::optional<Memory>();
  }
  return std::optional<Memory>(Memory{std::move(*segments), std::move(kept->link), std::move(kept->processes), hugepages_added, true});
}

Result<Memory> create_memory(const Config& config, std::span<const topology::NumaNode> nodes, bool nodes_are_real) {
  auto segments = SegmentManager::create(config, nodes, nodes_are_real);
  if (!segments) return segments.error();
  const uint64_t added = segments->hugepages_added();
  return Memory{std::move(*segments), std::nullopt, {}, added, false};
}

// What a fabric has on the machine beside its memory: its files, and pages that were added to the kernel's
// pool. They go with it, and stay where a keeper has the memory: then they are the next supervisor's.
class Premises {
 public:
  // Lifetime: all that lies in the pages ends before it.
  Premises(const control::Endpoint& endpoint, control::FabricLock& lock, const control::LockRecord& left_behind)
      : endpoint_(endpoint), lock_(lock), hugepages_added_(left_behind.hugepages_added), stay_(left_behind.pid != 0) {}
  Premises(const Premises&) = delete;
  Premises& operator=(const Premises&) = delete;
  ~Premises() {
    if (stay_) return;
    give_pages_back();
    unlink(endpoint_.keeper_socket.c_str());  // Of a keeper that was killed.
    lock_.remove();
    control::remove_directory(endpoint_);
  }

  void stay() noexcept { stay_ = true; }
  void go() noexcept { stay_ = false; }
  void take_pages(uint64_t count) noexcept { hugepages_added_ = count; }
  void give_pages_back() noexcept { memory::shrink_hugepage_pool(std::exchange(hugepages_added_, 0)); }

 private:
  const control::Endpoint& endpoint_;
  control::FabricLock& lock_;
  uint64_t hugepages_added_;
  bool stay_;
};

// Refuses new agents, and gives those that are there some time to detach by themselves.
Result<void> drain(EventLoop& loop, Sessions& sessions, const Config& config) {
  sessions.refuse_attaches();
  const uint64_t end_ns = base::monotonic_ns() + config.drain_timeout_ms * kNsPerMs;
  for (uint64_t now_ns = 0; sessions.agent_count() > 0 && (now_ns = base::monotonic_ns()) < end_ns;) {
    const auto left_ms = static_cast<int>((end_ns - now_ns + kNsPerMs - 1) / kNsPerMs);
    if (auto done = loop.run_once(left_ms); !done) return done;
  }
  // Requests that are here already still get their answer: Draining.
  if (auto done = loop.run_once(0); !done) return done;
  for (const std::string& name : sessions.agent_names()) {
    log(LogLevel::Info, "agent %s is still attached; it keeps its memory until it ends", name.c_str());
  }
  return {};
}

}  // namespace

Result<void> run_supervisor(const Config& config, std::span<const topology::NumaNode> nodes, bool nodes_are_real) {
  // A write that cannot be is an error and no death: EPIPE, EFBIG (RLIMIT_FSIZE).
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  raise_descriptor_limit();
  if (auto pinned = set_affinity(config); !pinned) return pinned;
  auto policy = AccessPolicy::create(config);
  if (!policy) return policy.error();
  auto endpoint = control::own_endpoint(config.fabric);
  if (!endpoint) return endpoint.error();
  if (auto made = control::make_directory(*endpoint, policy->socket_mode() != 0600); !made) {
    control::remove_directory(*endpoint);  // Unless somebody is in it. So below.
    return made;
  }
  auto lock = control::FabricLock::take(*endpoint);
  if (!lock) {
    control::remove_directory(*endpoint);
    return lock.error();
  }
  const control::LockRecord left_behind = lock->left_behind();
  Premises premises(*endpoint, *lock, left_behind);
  if (auto written = lock->write({getpid(), left_behind.hugepages_added}); !written) return written;
  auto signals = open_signals();
  if (!signals) return signals.error();
  auto loop = EventLoop::create();
  if (!loop) return loop.error();

  // Both hold the same; the keeper goes on with us. What systemd hands over is taken either way: it is open.
  auto stored = adopt_stored(config.fabric, left_behind.hugepages_added);
  auto adopted = adopt_memory(*endpoint, left_behind.hugepages_added);
  if (!adopted && stored && adopted.error().code == Errc::SupervisorGone) adopted = std::optional<Memory>();  // It ended just now.
  if (!adopted) return adopted.error();
  if (!*adopted) *adopted = std::move(stored);
  stored.reset();
  if (!*adopted) {
    premises.go();
    premises.give_pages_back();
  }
  auto memory = *adopted ? Result<Memory>(std::move(**adopted)) : create_memory(config, nodes, nodes_are_real);
  if (!memory) return memory.error();
  premises.take_pages(memory->hugepages_added);
  if (auto written = lock->write({getpid(), memory->hugepages_added}); !written) return written;
  layout::Superblock& super = memory->segments.superblock();
  super.supervisor_epoch.fetch_add(1, std::memory_order_relaxed);  // For tools; nothing hangs on it, nor on these:
  super.supervisor_pid.store(static_cast<uint32_t>(getpid()), std::memory_order_relaxed);
  set_state(super, State::Starting);

  Registry registry(memory->segments, {config.on_death == OnDeath::DeadLetter, config.successor_grace_ms * kNsPerMs,
                                        static_cast<uint32_t>(config.dead_letter_share)},
                    TopicPolicy(config.strict_topics, config.declare_topics));
  auto grace = GraceTimer::create(*loop, registry);
  if (!grace) return grace.error();
  KeeperWatch keeper(*loop, config, memory->segments, std::move(memory->keeper));
  if (memory->is_adopted) keeper.stay();
  Sessions sessions(*loop, memory->segments, registry, *policy, keeper, [&] { loop->stop(); }, [&] { (*grace)->set(); });
  if (memory->is_adopted) {
    const auto live_count = sessions.find_agents(std::move(memory->processes));
    if (!live_count) return live_count.error();
    log(LogLevel::Info, "took over from pid %d, which was killed: %zu agents live", left_behind.pid, *live_count);
  }
  (*grace)->set();
  auto watch = Watch::create(*loop, memory->segments, memory->is_adopted);
  if (!watch) return watch.error();
  auto leases = Leases::create(*loop, memory->segments, registry, sessions, config);
  if (!leases) return leases.error();
  Damage& damage = memory->segments.damage();
  if (auto watched = loop->watch(damage.bell(), EPOLLIN, [&damage](uint32_t) { damage.report(); }); !watched) return watched;
  damage.report();  // A fabric that was taken over may have been damaged before.
  keeper.start();
  auto server = ControlServer::create(*loop, sessions, endpoint->socket, *policy);
  if (!server) return server.error();
  auto watched = loop->watch(signals->get(), EPOLLIN, [&](uint32_t) {
    signalfd_siginfo info{};
    [[maybe_unused]] const ssize_t got = read(signals->get(), &info, sizeof info);
    log(LogLevel::Info, "ends: signal %u from pid %u", info.ssi_signo, info.ssi_pid);
    loop->stop();
  });
  if (!watched) return watched;
  set_state(super, State::Serving);
  print_start_report(config, *endpoint, *policy, memory->segments, memory->is_adopted ? 0 : memory->hugepages_added);
  sd_notify("READY=1\nSTATUS=serving fabric " + config.fabric);

  // Agents are served from here: a supervisor that fails leaves them the memory, as one that is killed.
  keeper.stay();
  premises.stay();
  auto done = loop->run();
  if (!done) return done;

  sd_notify("STOPPING=1");
  set_state(super, State::Draining);
  if (auto drained = drain(*loop, sessions, config); !drained) return drained;
  set_state(super, State::Ended);
  keeper.end();
  premises.go();
  return {};
}

}  // namespace ripstop::supervisor
