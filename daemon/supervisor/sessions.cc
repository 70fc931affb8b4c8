#include "supervisor/sessions.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/clock.h"
#include "control/topic_grammar.h"
#include "supervisor/log.h"

namespace ripstop::supervisor {

using control::Reply;

struct Sessions::Session {
  base::OwnedFd socket;
  control::Peer peer;
  bool allowed = false;
  uint32_t agent_id = 0;  // 0: has not attached.
};

namespace {

Error attach_first() {
  return {Errc::Protocol, 0, "this connection has no agent", "attach comes first", ""};
}

std::string hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

Error abi_mismatch(uint32_t theirs) {
  const std::string ours = std::to_string(layout::kAbiVersion);
  return {Errc::AbiMismatch, 0,
          "this program speaks version " + std::to_string(theirs) + ", the supervisor version " + ours,
          theirs < layout::kAbiVersion ? "the program's library is older" : "the supervisor is older",
          "restart the older side with the newer library:     shmctl version"};
}

Error layout_mismatch(uint64_t theirs) {
  return {Errc::LayoutMismatch, 0,
          "this program's layout is " + hex(theirs) + ", the supervisor's " + hex(layout::layout_hash()),
          "they were built from different sources", "build both from the same commit"};
}

// When the process was started, on CLOCK_MONOTONIC; 0: not known.
uint64_t start_time_ns(uint32_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(file, line);
  const std::size_t behind_name = line.rfind(')');
  if (behind_name == std::string::npos) return 0;
  std::istringstream fields(line.substr(behind_name + 1));
  std::string field;
  for (int i = 0; i < 20; ++i) fields >> field;  // The 22nd of all; the name was the second.
  timespec boot{};
  clock_gettime(CLOCK_BOOTTIME, &boot);
  const uint64_t boot_ns = static_cast<uint64_t>(boot.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(boot.tv_nsec);
  const uint64_t since_boot_ns = std::strtoull(field.c_str(), nullptr, 10) * (1'000'000'000u / static_cast<uint64_t>(sysconf(_SC_CLK_TCK)));
  const uint64_t age_ns = boot_ns > since_boot_ns ? boot_ns - since_boot_ns : 0;
  const uint64_t now_ns = base::monotonic_ns();
  return now_ns > age_ns ? now_ns - age_ns : 1;
}

// Whether the process behind `pidfd` is the one that attached as `entry`.
bool is_same_process(const layout::AgentEntry& entry, int pidfd) {
  const uint64_t inode = control::pidfd_inode(pidfd);
  if (inode != 0 && entry.pidfd_inode != 0) return inode == entry.pidfd_inode;
  // Without unique inodes: a number that was given anew belongs to a process that began later.
  constexpr uint64_t kTickNs = 20'000'000;
  const uint64_t started_ns = start_time_ns(entry.pid);
  return started_ns != 0 && started_ns <= entry.attach_time_ns + kTickNs;
}

}  // namespace

Sessions::Sessions(EventLoop& loop, const SegmentManager& segments, Registry& registry, const AccessPolicy& policy,
                   KeeperWatch& keeper, std::function<void()> drain, std::function<void()> on_settled)
    : loop_(loop),
      segments_(segments),
      registry_(registry),
      policy_(policy),
      keeper_(keeper),
      drain_(std::move(drain)),
      on_settled_(std::move(on_settled)),
      node_inodes_(segments.node_inodes()) {}

Sessions::~Sessions() {
  for (const auto& [fd, session] : sessions_) loop_.unwatch(fd);
  for (const auto& [id, process] : processes_) loop_.unwatch(process.pidfd.get());
  if (unproven_bell_) loop_.unwatch(unproven_bell_.get());
}

void Sessions::open(base::OwnedFd socket) {
  auto peer = control::peer_of(socket.get());
  if (!peer) return log_error(LogLevel::Debug, "a connection was dropped", peer.error());
  auto session = std::make_unique<Session>();
  session->allowed = policy_.allows(*peer);
  session->socket = std::move(socket);
  session->peer = std::move(*peer);
  const int fd = session->socket.get();
  Session& kept = *session;
  sessions_[fd] = std::move(session);
  auto watched = loop_.watch(fd, EPOLLIN | EPOLLRDHUP, [this, &kept](uint32_t events) { on_socket(kept, events); });
  if (!watched) {
    log_error(LogLevel::Error, "a connection was dropped", watched.error());
    sessions_.erase(fd);
  }
}

void Sessions::on_socket(Session& session, uint32_t events) {
  if ((events & EPOLLIN) == 0) return close(session);
  auto packet = control::receive_packet(session.socket.get());
  if (!packet && packet.error().code == Errc::Timeout) return;  // Nothing there after all.
  if (packet && packet->bytes.empty()) return close(session);
  uint64_t serial = 0;
  Answer reply{control::DoneReply{}, {}};
  bool broken = false;
  if (!packet) {
    reply.reply = packet.error();
    broken = true;
  } else if (auto request = control::decode_request(packet->bytes); !request) {
    reply.reply = request.error();
    broken = true;
  } else {
    serial = request->serial;
    reply = session.allowed ? answer(session, request->body) : Answer{policy_.denied(session.peer), {}};
    broken = !session.allowed;
  }
  if (const Error* error = std::get_if<Error>(&reply.reply)) {
    log(broken ? LogLevel::Warning : LogLevel::Debug, "pid %d was answered %s %s", session.peer.pid,
        error_code_text(error->code).c_str(), error->what.c_str());
  }
  auto sent = control::send_packet(session.socket.get(), control::encode(serial, reply.reply), reply.fds);
  if (!sent || broken) close(session);
}

void Sessions::close(Session& session) {
  const uint32_t agent_id = session.agent_id;
  const int fd = session.socket.get();
  loop_.unwatch(fd);
  const auto process = processes_.find(agent_id);
  if (process != processes_.end()) {
    process->second.session_fd = -1;
    const layout::AgentEntry& entry = registry_.agent(agent_id);
    if (control::has_ended(process->second.pidfd.get())) {
      end_agent(agent_id, true, "ended");
    } else if (!maps_our_memory(entry.pid)) {
      // Nothing of it maps our memory: it has executed another program, or its last thread is gone
      // and the pidfd is about to say so. Either way it cannot touch a word any more.
      end_agent(agent_id, true, "gave up its memory");
    } else {
      log(LogLevel::Info, "agent %s (pid %u) lost its connection; it keeps its place while it lives", entry.name, entry.pid);
    }
  }
  sessions_.erase(fd);
}

// Every thread is asked: one that has ended says nothing, also the first, whose others may go on.
// Whoever cannot be asked (we have no descriptor left) is taken to map it: no evidence settles nobody.
bool Sessions::maps_our_memory(uint32_t pid) const {
  std::error_code none;
  for (std::filesystem::directory_iterator task("/proc/" + std::to_string(pid) + "/task", none), end; task != end;
       task.increment(none)) {
    if (maps_list_names_us(task->path().string() + "/maps")) return true;
    if (none) break;
  }
  return none && none != std::errc::no_such_file_or_directory && none != std::errc::no_such_process;
}

bool Sessions::maps_list_names_us(const std::string& path) const {
  std::ifstream maps(path);
  if (!maps.is_open()) return access(path.c_str(), F_OK) == 0;  // It does not let us see: no evidence.
  std::string line;
  while (std::getline(maps, line)) {
    if (line.find("ripstop:") == std::string::npos) continue;
    std::istringstream fields(line);
    std::string addresses, permissions, offset, device;
    uint64_t inode = 0;
    fields >> addresses >> permissions >> offset >> device >> inode;
    if (std::find(node_inodes_.begin(), node_inodes_.end(), inode) != node_inodes_.end()) return true;
  }
  return false;
}

bool Sessions::watch_process(uint32_t agent_id, base::OwnedFd pidfd, int session_fd) {
  const int fd = pidfd.get();
  auto watched = loop_.watch(fd, EPOLLIN, [this, agent_id](uint32_t) { on_process_end(agent_id); });
  if (!watched) {
    log_error(LogLevel::Error, "a process cannot be watched", watched.error());
    return false;
  }
  processes_[agent_id] = Process{std::move(pidfd), session_fd};
  return true;
}

void Sessions::on_process_end(uint32_t agent_id) { end_agent(agent_id, true, "ended"); }

void Sessions::kill_agent(uint32_t agent_id, uint64_t lease_ms) {
  const auto process = processes_.find(agent_id);
  if (process == processes_.end() || process->second.killed) return;
  const layout::AgentEntry& entry = registry_.agent(agent_id);
  if (syscall(SYS_pidfd_send_signal, process->second.pidfd.get(), SIGKILL, nullptr, 0) != 0) {
    return log_error(LogLevel::Error, "an agent whose hard lease is over cannot be killed", system_error("pidfd_send_signal", errno));
  }
  process->second.killed = true;
  log(LogLevel::Warning,
      "agent %s (pid %u, agent %u) is killed: it holds messages and has neither taken nor released one for %llu ms "
      "(hard_lease_ms)",
      entry.name, entry.pid, agent_id, static_cast<unsigned long long>(lease_ms));
}

void Sessions::end_agent(uint32_t agent_id, bool died, const char* how) {
  const auto process = processes_.find(agent_id);
  if (process == processes_.end()) return;
  if (const auto session = sessions_.find(process->second.session_fd); session != sessions_.end()) {
    session->second->agent_id = 0;
  }
  if (process->second.killed) how = "was killed";
  loop_.unwatch(process->second.pidfd.get());
  processes_.erase(process);
  unproven_.erase(agent_id);
  const layout::AgentEntry& entry = registry_.agent(agent_id);
  const control::KeptProcess name{agent_id, registry_.agent_incarnation(agent_id)};
  const uint64_t begin_ns = base::monotonic_ns();
  registry_.settle(agent_id, died);
  keeper_.forget(name);
  log(LogLevel::Info, "agent %s (pid %u, agent %u) %s; settled in %llu us", entry.name, entry.pid, agent_id, how,
      static_cast<unsigned long long>((base::monotonic_ns() - begin_ns) / 1000));
  on_settled_();
}

Result<std::optional<base::OwnedFd>> Sessions::find_process(uint32_t agent_id, std::map<uint32_t, KeptPidfd>& kept) const {
  std::optional<base::OwnedFd> process;
  const auto found = kept.find(agent_id);
  if (found != kept.end() && found->second.process.incarnation == registry_.agent_incarnation(agent_id)) {
    process = std::move(found->second.pidfd);
  } else {
    const layout::AgentEntry& entry = registry_.agent(agent_id);
    auto pidfd = control::open_pidfd(static_cast<pid_t>(entry.pid));
    if (!pidfd && pidfd.error().code != Errc::NotFound) return pidfd.error();
    if (pidfd && is_same_process(entry, pidfd->get())) process = std::move(*pidfd);
  }
  if (process && control::has_ended(process->get())) process.reset();
  return process;
}

Result<std::size_t> Sessions::find_agents(std::vector<KeptPidfd> kept) {
  std::map<uint32_t, KeptPidfd> by_agent;
  for (KeptPidfd& each : kept) by_agent[each.process.agent_id] = std::move(each);
  for (const uint32_t id : registry_.agents()) {
    const layout::AgentEntry& entry = registry_.agent(id);
    const auto unwatched = [&entry](std::string why) {
      return Error{Errc::System, 0, "agent " + std::string(entry.name) + " (pid " + std::to_string(entry.pid) + ") cannot be watched",
                   std::move(why), "the memory stays with its keeper; start again with more descriptors:     ulimit -n"};
    };
    const control::KeptProcess name{id, registry_.agent_incarnation(id)};
    const auto known = by_agent.find(id);
    const bool is_kept = known != by_agent.end() && known->second.process.incarnation == name.incarnation;
    auto process = find_process(id, by_agent);
    if (!process) return unwatched(to_string(process.error()));
    if (*process) {
      const int pidfd = (*process)->get();
      if (!watch_process(id, std::move(**process), -1)) return unwatched("epoll does not take it");
      keeper_.keep(name, pidfd, is_kept);
      unproven_.insert(id);
    } else {
      registry_.settle(id, true);
      keeper_.forget(name);
      log(LogLevel::Info, "agent %s (pid %u, agent %u) had ended; settled", entry.name, entry.pid, id);
    }
    if (is_kept) by_agent.erase(id);
  }
  // Settled, or never made: a kill came in between.
  for (const auto& [id, each] : by_agent) keeper_.forget(each.process);
  if (unproven_.empty()) return std::size_t{0};
  // Readable until it is closed: each turn of the loop handles what else came, and one agent.
  unproven_bell_ = base::OwnedFd(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
  auto watched = loop_.watch(unproven_bell_.get(), EPOLLIN, [this](uint32_t) { prove_next(); });
  while (!watched && !unproven_.empty()) prove(*unproven_.begin());
  return processes_.size();
}

void Sessions::prove_next() {
  if (!unproven_.empty()) prove(*unproven_.begin());
  if (!unproven_.empty()) return;
  loop_.unwatch(unproven_bell_.get());
  unproven_bell_.reset();
}

void Sessions::prove(uint32_t agent_id) {
  if (unproven_.erase(agent_id) == 0) return;
  if (!maps_our_memory(registry_.agent(agent_id).pid)) end_agent(agent_id, true, "had given up its memory");
}

std::vector<std::string> Sessions::agent_names() const {
  std::vector<std::string> names;
  for (const auto& [id, process] : processes_) {
    const layout::AgentEntry& entry = registry_.agent(id);
    names.push_back(std::string(entry.name) + " (pid " + std::to_string(entry.pid) + ", agent " + std::to_string(id) + ")");
  }
  return names;
}

// --- requests -------------------------------------------------------------------------------------

namespace {

template <class T>
Reply reply_of(Result<T> result) {
  if (!result) return result.error();
  if constexpr (std::is_void_v<T>) return control::DoneReply{};
  else return std::move(*result);
}

}  // namespace

Sessions::Answer Sessions::answer(Session& session, const control::Request& request) {
  const auto with_agent = [&](auto&& handle) -> Answer {
    if (session.agent_id == 0) return {attach_first(), {}};
    return {handle(session.agent_id), {}};
  };
  if (const auto* r = std::get_if<control::AttachRequest>(&request)) return attach(session, *r);
  if (const auto* r = std::get_if<control::TopicRequest>(&request)) {
    return with_agent([&](uint32_t) -> Reply {
      auto id = registry_.topic(r->name);
      if (!id) return id.error();
      return control::TopicReply{*id};
    });
  }
  if (const auto* r = std::get_if<control::SubscribeRequest>(&request)) {
    return with_agent([&](uint32_t id) { return reply_of(registry_.subscribe(id, *r)); });
  }
  if (const auto* r = std::get_if<control::UnsubscribeRequest>(&request)) {
    return with_agent([&](uint32_t id) { return reply_of(registry_.unsubscribe(id, r->subscription_id)); });
  }
  if (const auto* r = std::get_if<control::ChannelOpenRequest>(&request)) {
    return with_agent([&](uint32_t id) { return reply_of(registry_.open_channel(id, *r)); });
  }
  if (const auto* r = std::get_if<control::ChannelCloseRequest>(&request)) {
    return with_agent([&](uint32_t id) { return reply_of(registry_.close_channel(id, r->ring_id, r->end)); });
  }
  if (std::holds_alternative<control::DetachRequest>(request)) {
    return with_agent([&](uint32_t id) -> Reply {
      end_agent(id, false, "detached");
      return control::DoneReply{};
    });
  }
  if (std::holds_alternative<control::ObserveRequest>(request)) {
    return {control::ObserveReply{segments_.segment_bytes()}, segments_.observer_fds()};
  }
  if (std::holds_alternative<control::StatusRequest>(request)) return {status(), {}};
  if (const auto* r = std::get_if<control::LettersRequest>(&request)) {
    const bool drops = r->action == control::LettersRequest::Action::Drop;
    const uint32_t count = drops ? registry_.drop_letters(r->serial) : registry_.replay_letters(r->serial);
    log(LogLevel::Info, "pid %d (uid %u) %s %u dead letters", session.peer.pid, session.peer.uid, drops ? "dropped" : "replayed", count);
    return {control::CountReply{count}, {}};
  }
  if (std::holds_alternative<control::DrainRequest>(request)) {
    log(LogLevel::Info, "pid %d (uid %u) asked to end", session.peer.pid, session.peer.uid);
    drain_();
    return {control::DoneReply{}, {}};
  }
  return {Error{Errc::Protocol, 0, "this request is not for a supervisor", "it is the keeper's", ""}, {}};
}

uint32_t Sessions::node_for(const control::AttachRequest& request) const noexcept {
  const auto nodes = segments_.view().nodes();
  if (request.node >= 0 && static_cast<uint32_t>(request.node) < nodes.size()) return static_cast<uint32_t>(request.node);
  for (uint32_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i].numa_node == request.os_node) return i;
  }
  return 0;
}

Sessions::Answer Sessions::attached(uint32_t agent_id) const {
  return {control::AttachReply{agent_id, registry_.agent_incarnation(agent_id), registry_.agent(agent_id).node_index,
                               segments_.segment_bytes()},
          segments_.agent_fds()};
}

Sessions::Answer Sessions::attach(Session& session, const control::AttachRequest& request) {
  if (request.abi_version != layout::kAbiVersion) return {abi_mismatch(request.abi_version), {}};
  if (request.layout_hash != layout::layout_hash()) return {layout_mismatch(request.layout_hash), {}};
  if (session.agent_id != 0) return {Error{Errc::Protocol, 0, "this connection has its agent", "one connection, one agent", ""}, {}};
  if (request.resume_agent_id != 0) return resume(session, request);
  if (draining_) {
    return {Error{Errc::Draining, 0, "the supervisor is ending", "it was told to, and takes no new agents",
                  "start it again:     ripstopd --fabric " + std::string(segments_.superblock().fabric_name)}, {}};
  }
  if (auto named = control::check_name(request.name); !named) return {named.error(), {}};
  // After a take-over it could not be found by its number, nor its maps be looked at.
  if (session.peer.pid <= 0) {
    return {Error{Errc::Denied, 0, "a process outside the supervisor's pid namespace may not attach",
                  "the supervisor has no number for it, and could not tell whether it lives after a restart",
                  "run ripstopd in the namespace of its agents, or in one above it"}, {}};
  }
  // Its holder may have ended a moment ago, and the event is still behind this one.
  if (const auto holder = registry_.find_agent(request.name)) {
    prove(*holder);
    const auto process = processes_.find(*holder);
    if (process != processes_.end() && control::has_ended(process->second.pidfd.get())) {
      end_agent(*holder, true, "ended");
    } else if (request.ticket != 0 && registry_.agent(*holder).ticket == request.ticket && is_of(session, *holder)) {
      return resumed(session, *holder);  // The answer was lost.
    }
  }
  const control::Peer& peer = session.peer;
  auto pidfd = base::OwnedFd(fcntl(peer.pidfd.get(), F_DUPFD_CLOEXEC, 0));  // Not the keeper's, our child.
  if (!pidfd) return {system_error("dup a pidfd", errno), {}};
  const AgentIdentity identity{request.name, static_cast<uint32_t>(peer.pid), peer.uid, peer.gid, peer.pidfd_inode,
                               control::program_of(peer.pid), request.flags, request.ticket};
  auto place = registry_.attach(identity, node_for(request), [&](const AgentPlace& made) {
    keeper_.keep({made.id, made.incarnation}, pidfd.get());
  });
  if (!place) return {place.error(), {}};
  if (!watch_process(place->id, std::move(pidfd), session.socket.get())) {
    registry_.settle(place->id, false);
    keeper_.forget({place->id, place->incarnation});
    return {Error{Errc::System, 0, "the process cannot be watched", "the supervisor's kernel has no room for another watch",
                  "see its log, and sysctl fs.epoll.max_user_watches; then try again"}, {}};
  }
  session.agent_id = place->id;
  log(LogLevel::Info, "agent %s (pid %d) attached as %u", request.name.c_str(), peer.pid, place->id);
  return attached(place->id);
}

Sessions::Answer Sessions::resume(Session& session, const control::AttachRequest& request) {
  const auto refused = [&](std::string why) {
    return Answer{Error{Errc::NotFound, 0, "there is no agent of this process to go on with", std::move(why), "attach anew"}, {}};
  };
  const std::string agent = "agent " + std::to_string(request.resume_agent_id);
  if (request.resume_fabric_id != segments_.superblock().fabric_id) {
    return {Error{Errc::FabricGone, 0, "there is no agent of this process to go on with",
                  agent + " was of a fabric whose supervisor and keeper have both ended; this one was started anew", "attach anew"}, {}};
  }
  if (!is_of(session, request.resume_agent_id) ||
      registry_.agent_incarnation(request.resume_agent_id) != request.resume_incarnation) {
    return refused(agent + " was settled, or is another process's");
  }
  return resumed(session, request.resume_agent_id);
}

bool Sessions::is_of(const Session& session, uint32_t agent_id) const {
  return processes_.contains(agent_id) && registry_.agent(agent_id).pid == static_cast<uint32_t>(session.peer.pid) &&
         is_same_process(registry_.agent(agent_id), session.peer.pidfd.get());
}

Sessions::Answer Sessions::resumed(Session& session, uint32_t agent_id) {
  const auto process = processes_.find(agent_id);
  if (const auto other = sessions_.find(process->second.session_fd); other != sessions_.end()) other->second->agent_id = 0;
  process->second.session_fd = session.socket.get();
  session.agent_id = agent_id;
  log(LogLevel::Info, "agent %s (pid %d) is back as %u", registry_.agent(session.agent_id).name, session.peer.pid, session.agent_id);
  return attached(session.agent_id);
}

control::StatusReply Sessions::status() const {
  const layout::Superblock& super = segments_.superblock();
  control::StatusReply status;
  // Relaxed: this thread is the only writer.
  status.pid = super.supervisor_pid.load(std::memory_order_relaxed);
  status.keeper_pid = super.keeper_pid.load(std::memory_order_relaxed);
  status.state = super.state.load(std::memory_order_relaxed);
  status.epoch = super.supervisor_epoch.load(std::memory_order_relaxed);
  status.agent_count = static_cast<uint32_t>(processes_.size());
  status.fabric = super.fabric_name;
  status.version = RIPSTOP_VERSION;
  return status;
}

}  // namespace ripstop::supervisor
