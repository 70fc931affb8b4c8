// Who may do what: onlookers the policy allows get read-only descriptors. The memory itself goes only
// to a process of this user that holds the fabric's lock, which is a supervisor; that connection is
// the new link. Only over a link is the keeper told to end.
//
// A keeper that has no supervisor and whose socket is another one's now, or gone, is found by nobody any more
// and ends. So ends one whose supervisor was killed after it had handed the memory over and before the socket was
// there: the next one has found none, and started anew.
#include "supervisor/keeper.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <memory>

#include "control/peer.h"
#include "control/wire.h"
#include "memory/memfd.h"
#include "supervisor/event_loop.h"

namespace ripstop::supervisor {

namespace {

class Keeper {
 public:
  Keeper(EventLoop loop, const control::Endpoint& endpoint, const AccessPolicy& policy)
      : loop_(std::move(loop)), endpoint_(endpoint), policy_(policy) {}

  Result<void> run(base::OwnedFd link) {
    link_fd_ = link.get();
    if (auto watched = watch(std::move(link)); !watched) return watched;
    auto done = loop_.run();
    if (listener_ && has_its_name()) unlink(endpoint_.keeper_socket.c_str());
    return done;
  }

 private:
  Result<void> watch(base::OwnedFd socket) {
    const int fd = socket.get();
    sockets_[fd] = std::move(socket);
    return loop_.watch(fd, EPOLLIN | EPOLLRDHUP, [this, fd](uint32_t) { on_packet(fd); });
  }

  void close(int fd) {
    loop_.unwatch(fd);
    sockets_.erase(fd);
    if (fd != link_fd_) return;
    link_fd_ = -1;
    // The supervisor ended before there was anything to keep, or nobody can ask for it.
    if (memory_.empty() || !has_its_name()) loop_.stop();
  }

  // Whether the socket at its path is this keeper's.
  bool has_its_name() const noexcept {
    struct stat there{};
    return stat(endpoint_.keeper_socket.c_str(), &there) == 0 && there.st_ino == socket_inode_;
  }

  // Without the watch (there are no more of them) it may outlive its use, as described above.
  void watch_name() {
    struct stat there{};
    if (stat(endpoint_.keeper_socket.c_str(), &there) == 0) socket_inode_ = there.st_ino;
    names_.reset(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!names_ || inotify_add_watch(names_.get(), endpoint_.keeper_socket.c_str(), IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF) < 0) return;
    static_cast<void>(loop_.watch(names_.get(), EPOLLIN, [this](uint32_t) {
      alignas(inotify_event) char events[4096];
      while (read(names_.get(), events, sizeof events) > 0) {
      }
      if (link_fd_ < 0 && !has_its_name()) loop_.stop();
    }));
  }

  void on_connection() {
    base::OwnedFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket) static_cast<void>(watch(std::move(socket)));  // Unwatched it is closed with the keeper.
  }

  void on_packet(int fd) {
    auto packet = control::receive_packet(fd);
    if (!packet && packet.error().code == Errc::Timeout) return;
    if (!packet || packet->bytes.empty()) return close(fd);
    auto request = control::decode_request(packet->bytes);
    if (!request) return close(fd);
    // Without a serial it is not answered.
    if (fd == link_fd_ && note(request->body, packet->fds)) {
      if (request->serial != 0) static_cast<void>(control::send_packet(fd, control::encode(request->serial, control::Reply(control::DoneReply{}))));
      return;
    }
    std::vector<int> fds;
    const control::Reply reply = answer(fd, request->body, packet->fds, fds);
    auto sent = control::send_packet(fd, control::encode(request->serial, reply), fds);
    if (!sent) close(fd);
  }

  // Which process is whose. False: it says something else.
  bool note(const control::Request& request, std::vector<base::OwnedFd>& came) {
    if (const auto* keep = std::get_if<control::KeepProcessesRequest>(&request)) {
      for (std::size_t i = 0; i < keep->processes.size() && i < came.size(); ++i) {
        processes_[keep->processes[i].agent_id] = {keep->processes[i].incarnation, std::move(came[i])};
      }
      return true;
    }
    const auto* forget = std::get_if<control::ForgetProcessRequest>(&request);
    if (forget == nullptr) return false;
    const auto found = processes_.find(forget->process.agent_id);
    if (found != processes_.end() && found->second.incarnation == forget->process.incarnation) processes_.erase(found);
    return true;
  }

  control::Reply fetch(uint32_t from, std::vector<int>& fds) {
    control::ProcessesReply reply;
    for (auto each = processes_.lower_bound(from); each != processes_.end() && fds.size() < control::kProcessesPerPacket; ++each) {
      reply.processes.push_back({each->first, each->second.incarnation});
      fds.push_back(each->second.pidfd.get());
    }
    return reply;
  }

  control::Reply answer(int fd, const control::Request& request, std::vector<base::OwnedFd>& came, std::vector<int>& fds) {
    if (const auto* keep = std::get_if<control::KeepRequest>(&request); keep != nullptr && fd == link_fd_) {
      if (auto kept = take(*keep, came); !kept) return kept.error();
      return control::DoneReply{};
    }
    if (const auto* wanted = std::get_if<control::FetchProcessesRequest>(&request); wanted != nullptr && fd == link_fd_) {
      return fetch(wanted->from, fds);
    }
    if (std::holds_alternative<control::EndRequest>(request) && fd == link_fd_) {
      loop_.stop();
      return control::DoneReply{};
    }
    auto peer = control::peer_of(fd);
    if (!peer) return peer.error();
    if (std::holds_alternative<control::AdoptRequest>(request)) return hand_over(fd, *peer, fds);
    if (!policy_.allows(*peer)) return policy_.denied(*peer);
    if (std::holds_alternative<control::ObserveRequest>(request)) {
      for (const auto& each : read_only_) fds.push_back(each.get());
      return control::ObserveReply{segment_bytes_};
    }
    const auto record = control::read_lock(endpoint_);
    return Error{Errc::NoSupervisor, 0, "the supervisor of fabric " + endpoint_.fabric + " does not run",
                 "its keeper (pid " + std::to_string(getpid()) + ") holds the memory" +
                     (record ? "; the supervisor was pid " + std::to_string(record->pid) : ""),
                 "ripstopd --fabric " + endpoint_.fabric};
  }

  Result<void> take(const control::KeepRequest& keep, std::vector<base::OwnedFd>& came) {
    if (came.size() != keep.segment_bytes.size() + 1 || came.size() < 3) {
      return Error{Errc::Protocol, 0, "descriptors and segments do not match", "", ""};
    }
    read_only_.clear();
    for (std::size_t i = 0; i < keep.segment_bytes.size(); ++i) {
      auto read_only = memory::reopen_read_only(came[i].get());
      if (!read_only) return read_only.error();
      read_only_.push_back(std::move(*read_only));
    }
    memory_ = std::move(came);
    segment_bytes_ = keep.segment_bytes;
    if (listener_) return {};
    auto listener = listen_at(endpoint_.keeper_socket, policy_);
    if (!listener) return listener.error();
    listener_ = std::move(*listener);
    watch_name();
    return loop_.watch(listener_.get(), EPOLLIN, [this](uint32_t) { on_connection(); });
  }

  control::Reply hand_over(int fd, const control::Peer& peer, std::vector<int>& fds) {
    const auto record = control::read_lock(endpoint_);
    const bool is_supervisor = link_fd_ < 0 && peer.uid == geteuid() && record && record->pid == peer.pid &&
                               control::lock_is_held(endpoint_);
    if (!is_supervisor) {
      return Error{Errc::Denied, 0, "the memory goes to the fabric's next supervisor alone",
                   "pid " + std::to_string(peer.pid) + " does not hold " + endpoint_.lock, ""};
    }
    for (const auto& each : memory_) fds.push_back(each.get());
    link_fd_ = fd;
    return control::ObserveReply{segment_bytes_};
  }

  EventLoop loop_;
  const control::Endpoint& endpoint_;
  const AccessPolicy& policy_;
  std::map<int, base::OwnedFd> sockets_;
  int link_fd_ = -1;  // -1: no supervisor lives.
  base::OwnedFd listener_;
  ino_t socket_inode_ = 0;  // The listener's name's.
  base::OwnedFd names_;     // Says that it has changed.
  std::vector<base::OwnedFd> memory_;  // Read-write, and the bell.
  struct Process {
    uint64_t incarnation;
    base::OwnedFd pidfd;
  };
  std::map<uint32_t, Process> processes_;  // By agent.
  std::vector<base::OwnedFd> read_only_;
  std::vector<uint64_t> segment_bytes_;
};

}  // namespace

int run_keeper(const control::Endpoint& endpoint, const AccessPolicy& policy) {
  prctl(PR_SET_NAME, "ripstop-keeper");
  auto loop = EventLoop::create();
  if (!loop) return 1;
  fcntl(kKeeperLinkFd, F_SETFD, FD_CLOEXEC);
  fcntl(kKeeperLinkFd, F_SETFL, O_NONBLOCK);
  Keeper keeper(std::move(*loop), endpoint, policy);
  return keeper.run(base::OwnedFd(kKeeperLinkFd)) ? 0 : 1;
}

}  // namespace ripstop::supervisor
