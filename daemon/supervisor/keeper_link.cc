#include "supervisor/keeper_link.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "control/peer.h"
#include "control/wire.h"
#include "supervisor/keeper.h"

namespace ripstop::supervisor {

namespace {

constexpr int kEndTimeoutMs = 1000;

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

Result<KeeperLink> KeeperLink::start(const Config& config, const SegmentManager& segments) {
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
  if (!done) {
    link.end();
    return done.error();
  }
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
  auto peer = control::peer_of(socket.get());
  if (!peer) return peer.error();
  if (peer->uid != geteuid()) return Error{Errc::Denied, 0, "the keeper's socket is another user's", "", ""};
  auto packet = ask(socket.get(), control::AdoptRequest{}, {});
  if (!packet) return packet.error();
  auto reply = answer_in<control::ObserveReply>(*packet);
  if (!reply) return reply.error();
  return KeptMemory{KeeperLink(std::move(socket), std::move(peer->pidfd), peer->pid), std::move(packet->fds),
              std::move(reply->segment_bytes)};
}

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
