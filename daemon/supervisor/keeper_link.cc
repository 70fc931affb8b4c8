#include "supervisor/keeper_link.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "control/peer.h"
#include "control/wire.h"
#include "supervisor/keeper.h"
#include "supervisor/log.h"

namespace ripstop::supervisor {

namespace {

constexpr int kEndTimeoutMs = 1000;
constexpr int kRoomTimeoutMs = 200;

void set_timeout(int socket) noexcept {
  const timeval value{2, 0};
  setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &value, sizeof value);
  setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &value, sizeof value);
}

Result<control::Packet> ask(int socket, const control::Request& request, std::span<const int> fds) {
  if (auto sent = control::send_packet(socket, control::encode(1, request), fds); !sent) return sent.error();
  return control::receive_packet(socket);
}

template <class T>
Result<T> answer_in(const control::Packet& packet) {
  auto reply = control::decode_reply(packet.bytes);
  if (!reply) return reply.error();
  if (const Error* error = std::get_if<Error>(&reply->body)) return *error;
  if (const T* body = std::get_if<T>(&reply->body)) return *body;
  return Error{Errc::Protocol, 0, "the keeper answers another question", "", ""};
}

// From now on nothing waits for the keeper, which may be stopped.
void stop_waiting(int socket) noexcept { fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK); }

// What runs between fork and exec: system calls only.
[[noreturn]] void become_keeper(int link, char* const* arguments) noexcept {
  setsid();  // Not ended by the terminal that ends the supervisor.
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null_fd = open("/dev/null", O_RDWR);
  // A keeper that outlives its supervisor must not hold its terminal or its pipes open.
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null_fd, fd);
  if (link == kKeeperLinkFd) fcntl(link, F_SETFD, 0);
  else dup2(link, kKeeperLinkFd);
  if (null_fd > kKeeperLinkFd) ::close(null_fd);
  if (chdir("/") != 0) _exit(127);
  execv("/proc/self/exe", arguments);
  _exit(127);
}

}  // namespace

Result<KeeperLink> KeeperLink::start(const Config& config, const SegmentManager& segments, std::span<const BorrowedPidfd> processes) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return system_error("socketpair", errno);
  base::OwnedFd ours(pair[0]);
  base::OwnedFd theirs(pair[1]);
  std::string uids = "allow_uids=[";
  for (const uint64_t uid : config.allow_uids) uids += (uids.back() == '[' ? "" : ",") + std::to_string(uid);
  std::vector<std::string> words = {"ripstop-keeper", "--keeper", "--fabric", config.fabric,
                                    "--set", uids + "]", "--set", "socket_group=\"" + config.socket_group + "\""};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  const pid_t pid = fork();
  if (pid < 0) return system_error("fork", errno);
  if (pid == 0) become_keeper(theirs.get(), arguments.data());
  theirs.reset();
  auto pidfd = control::open_pidfd(pid);
  if (!pidfd) return pidfd.error();
  KeeperLink link(std::move(ours), std::move(*pidfd), pid);
  set_timeout(link.socket_.get());
  auto packet = ask(link.socket_.get(), control::KeepRequest{segments.segment_bytes()}, segments.owner_fds());
  auto done = packet ? answer_in<control::DoneReply>(*packet) : Result<control::DoneReply>(packet.error());
  auto filled = done ? link.fill(processes) : Result<void>(done.error());
  if (!filled) {
    link.end();
    return filled.error();
  }
  stop_waiting(link.socket_.get());
  return link;
}

Result<KeptMemory> KeeperLink::adopt(const control::Endpoint& endpoint) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (endpoint.keeper_socket.size() >= sizeof address.sun_path) return system_error("connect", ENAMETOOLONG);
  std::memcpy(address.sun_path, endpoint.keeper_socket.c_str(), endpoint.keeper_socket.size() + 1);
  base::OwnedFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return system_error("socket", errno);
  set_timeout(socket.get());
  int failed = 0;
  do {
    failed = connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
  } while (failed == EINTR);
  if (failed == ENOENT || failed == ECONNREFUSED) {
    return Error{Errc::NotFound, failed, "no keeper answers at " + endpoint.keeper_socket, "", ""};
  }
  if (failed != 0) return system_error("connect " + endpoint.keeper_socket, failed);
  const auto ended = [&] { return Error{Errc::NotFound, 0, "the keeper at " + endpoint.keeper_socket + " has ended", "", ""}; };
  auto peer = control::peer_of(socket.get());
  if (!peer && peer.error().code == Errc::SupervisorGone) return ended();
  if (!peer) return peer.error();
  if (peer->uid != geteuid()) return Error{Errc::Denied, 0, "the keeper's socket is another user's", "", ""};
  auto packet = ask(socket.get(), control::AdoptRequest{}, {});
  if ((!packet && packet.error().code == Errc::SupervisorGone) || (packet && packet->bytes.empty())) {
    // Its end, that closes the connection first.
    pollfd end{peer->pidfd.get(), POLLIN, 0};
    if (poll(&end, 1, kEndTimeoutMs) == 1) return ended();
    return Error{Errc::Denied, 0, "the keeper at " + endpoint.keeper_socket + " has closed the connection", "it lives, and does not hand the memory over", ""};
  }
  if (!packet) return packet.error();
  auto reply = answer_in<control::ObserveReply>(*packet);
  if (!reply) return reply.error();
  KeptMemory kept{KeeperLink(std::move(socket), std::move(peer->pidfd), peer->pid), std::move(packet->fds),
                  std::move(reply->segment_bytes), {}};
  // Without them the kernel is asked who bears which number.
  if (auto processes = kept.link.fetch_processes()) kept.processes = std::move(*processes);
  else log_error(LogLevel::Warning, "the keeper does not hand over the agents' processes", processes.error());
  stop_waiting(kept.link.socket_.get());
  return kept;
}

Result<std::vector<KeptPidfd>> KeeperLink::fetch_processes() const {
  std::vector<KeptPidfd> all;
  for (uint32_t from = 1;;) {
    auto packet = ask(socket_.get(), control::FetchProcessesRequest{from}, {});
    auto reply = packet ? answer_in<control::ProcessesReply>(*packet) : Result<control::ProcessesReply>(packet.error());
    if (!reply) return reply.error();
    if (reply->processes.empty()) return all;
    for (std::size_t i = 0; i < reply->processes.size() && i < packet->fds.size(); ++i) {
      all.push_back({reply->processes[i], std::move(packet->fds[i])});
    }
    const uint32_t last = reply->processes.back().agent_id;
    if (last < from) return Error{Errc::Protocol, 0, "the keeper answers out of order", "", ""};
    from = last + 1;
  }
}

// A batch at a time: what was sent and not received yet counts against limits of the kernel's.
Result<void> KeeperLink::fill(std::span<const BorrowedPidfd> processes) const {
  while (!processes.empty()) {
    const auto batch = processes.first(std::min(processes.size(), control::kProcessesPerPacket));
    control::KeepProcessesRequest request;
    std::vector<int> fds;
    for (const BorrowedPidfd& each : batch) {
      request.processes.push_back(each.process);
      fds.push_back(each.pidfd);
    }
    auto packet = ask(socket_.get(), request, fds);
    auto done = packet ? answer_in<control::DoneReply>(*packet) : Result<control::DoneReply>(packet.error());
    if (!done) return done.error();
    processes = processes.subspan(batch.size());
  }
  return {};
}

Result<void> KeeperLink::tell(const control::Request& request, std::span<const int> fds) const {
  const auto bytes = control::encode(0, request);
  auto sent = control::send_packet(socket_.get(), bytes, fds);
  if (sent || sent.error().code != Errc::Timeout) return sent;
  pollfd room{socket_.get(), POLLOUT, 0};
  poll(&room, 1, kRoomTimeoutMs);
  return control::send_packet(socket_.get(), bytes, fds);
}

Result<void> KeeperLink::keep(const control::KeptProcess& process, int pidfd) const {
  const int fds[] = {pidfd};
  return tell(control::KeepProcessesRequest{{process}}, fds);
}

Result<void> KeeperLink::forget(const control::KeptProcess& process) const { return tell(control::ForgetProcessRequest{process}, {}); }

void KeeperLink::end() noexcept {
  if (!pidfd_) return;
  auto told = control::send_packet(socket_.get(), control::encode(2, control::Request(control::EndRequest{})));
  pollfd ended{pidfd_.get(), POLLIN, 0};
  if (!told || poll(&ended, 1, kEndTimeoutMs) != 1) {
    kill(pid_, SIGKILL);
    poll(&ended, 1, kEndTimeoutMs);
  }
  reap();
  pidfd_.reset();
  socket_.reset();
}

void KeeperLink::reap() const noexcept {
  waitpid(pid_, nullptr, WNOHANG);  // Fails for an adopted keeper, whose parent is not this process.
}

}  // namespace ripstop::supervisor
