// Descriptors: wrong ones where memory is expected, and more of them than anybody can hold.
#include <fcntl.h>
#include <signal.h>
#include <linux/memfd.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/check.h"
#include "mapping/attack.h"
#include "ripstop/agent.h"
#include "ripstop/inspect.h"

namespace ripstop::proof {

namespace {

constexpr std::size_t kSegmentBytes = 1 << 20;

base::OwnedFd memfd(std::size_t bytes, bool sealed, char filling = 0) {
  base::OwnedFd fd(memfd_create("ripstop:attack", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  RIPSTOP_CHECK(fd && ftruncate(fd.get(), static_cast<off_t>(bytes)) == 0);
  const std::string text(bytes, filling);
  if (filling != 0) RIPSTOP_CHECK(pwrite(fd.get(), text.data(), bytes, 0) == static_cast<ssize_t>(bytes));
  if (sealed) RIPSTOP_CHECK(fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
  return fd;
}

base::OwnedFd regular_file() {
  char name[] = "/tmp/ripstop-attack-XXXXXX";
  base::OwnedFd fd(mkostemp(name, O_CLOEXEC));
  RIPSTOP_CHECK(fd && ftruncate(fd.get(), kSegmentBytes) == 0);
  unlink(name);
  return fd;
}

// What a liar hands out where a control segment, a node and the bell are expected.
struct Lie {
  const char* name;
  std::function<std::vector<base::OwnedFd>()> make;
};

template <class... Fds>
std::vector<base::OwnedFd> together(Fds... fds) {
  std::vector<base::OwnedFd> all;
  (all.push_back(std::move(fds)), ...);
  return all;
}

base::OwnedFd bell() { return base::OwnedFd(eventfd(0, EFD_CLOEXEC)); }

std::vector<Lie> lies() {
  return {
      {"regular files", [] { return together(regular_file(), regular_file(), bell()); }},
      {"memory without seals", [] { return together(memfd(kSegmentBytes, false), memfd(kSegmentBytes, false), bell()); }},
      {"memory that is too short", [] { return together(memfd(4096, true), memfd(4096, true), bell()); }},
      {"too few", [] { return together(memfd(kSegmentBytes, true)); }},
      {"none", [] { return std::vector<base::OwnedFd>(); }},
      {"bells", [] { return together(bell(), bell(), bell()); }},
      {"a directory", [] {
         return together(base::OwnedFd(open("/tmp", O_RDONLY | O_CLOEXEC)), base::OwnedFd(open("/tmp", O_RDONLY | O_CLOEXEC)), bell());
       }},
      {"zeros", [] { return together(memfd(kSegmentBytes, true), memfd(kSegmentBytes, true), bell()); }},
      {"garbage", [] { return together(memfd(kSegmentBytes, true, '\xa5'), memfd(kSegmentBytes, true, '\x5a'), bell()); }},
  };
}

void wait_for(const std::function<bool()>& condition) {
  for (int i = 0; i < 4000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

base::OwnedFd listen_at(const std::string& path) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string first = path + "~";
  std::memcpy(address.sun_path, first.c_str(), first.size() + 1);
  base::OwnedFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  RIPSTOP_CHECK(bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 && listen(socket.get(), 8) == 0);
  RIPSTOP_CHECK(rename(first.c_str(), path.c_str()) == 0);  // Whoever sees it can connect.
  return socket;
}

// A process that answers every request on every connection with the lie, until killed.
pid_t start_liar(const std::string& path, const Lie& lie, bool as_keeper) {
  const pid_t pid = fork();
  RIPSTOP_CHECK(pid >= 0);
  if (pid != 0) {
    wait_for([&] { return access(path.c_str(), F_OK) == 0; });
    return pid;
  }
  // By this process: who listens is whom the kernel names as the peer, and a supervisor ends a keeper that it
  // does not trust.
  base::OwnedFd listener = listen_at(path);
  for (;;) {
    base::OwnedFd socket(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    for (;;) {
      auto packet = control::receive_packet(socket.get());
      if (!packet || packet->bytes.empty()) break;
      auto request = control::decode_request(packet->bytes);
      if (!request) break;
      if (as_keeper && std::holds_alternative<control::EndRequest>(request->body)) _exit(0);
      const std::vector<base::OwnedFd> made = lie.make();
      std::vector<int> fds;
      for (const auto& fd : made) fds.push_back(fd.get());
      control::Reply reply = control::ObserveReply{{kSegmentBytes, kSegmentBytes}};
      if (std::holds_alternative<control::AttachRequest>(request->body)) {
        control::AttachReply attached;
        attached.agent_id = 1;
        attached.incarnation = 1;
        attached.segment_bytes = {kSegmentBytes, kSegmentBytes};
        reply = attached;
      }
      if (!control::send_packet(socket.get(), control::encode(request->serial, reply), fds)) break;
    }
  }
}

void end(pid_t pid) {
  ::kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
}

std::size_t open_descriptors(pid_t pid) {
  std::error_code none;
  std::size_t count = 0;
  for (std::filesystem::directory_iterator at("/proc/" + std::to_string(pid) + "/fd", none), last; at != last; at.increment(none)) ++count;
  return count;
}

uint64_t processor_ticks(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(file, line);
  std::istringstream fields(line.substr(line.rfind(')') + 2));
  std::string word;
  uint64_t user = 0, system = 0;
  for (int i = 0; i < 11; ++i) fields >> word;
  fields >> user >> system;
  return user + system;
}

// Raw, because the library would not send so many: as many descriptors as the kernel takes in one packet.
void send_with_descriptors(int socket, std::span<const std::byte> bytes, int fd, std::size_t count) {
  std::vector<int> fds(count, fd);
  std::vector<char> room(CMSG_SPACE(count * sizeof(int)));
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = room.data();
  message.msg_controllen = room.size();
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(count * sizeof(int));
  std::memcpy(CMSG_DATA(rights), fds.data(), count * sizeof(int));
  (void)sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void limit_descriptors(pid_t pid, rlim_t count) {
  const rlimit limit{count, count};
  RIPSTOP_CHECK(prlimit(pid, RLIMIT_NOFILE, &limit, nullptr) == 0);
}

}  // namespace

void add_descriptor_attacks(std::vector<Attack>& list) {
  for (const Lie& lie : lies()) {
    list.push_back({std::string("a false keeper hands a supervisor ") + lie.name, On::SmallOnly, [lie](Fabric& fabric, Pages, Verdict& verdict) {
                      const pid_t keeper = fabric.keeper();
                      fabric.kill_supervisor();
                      if (keeper > 0) ::kill(keeper, SIGKILL);
                      wait_for([&] { return ::kill(keeper, 0) != 0; });
                      unlink(fabric.endpoint().keeper_socket.c_str());
                      const pid_t liar = start_liar(fabric.endpoint().keeper_socket, lie, true);
                      verdict.expect(fabric.restart(), "the next supervisor does not serve: " + fabric.log());
                      verdict.expect(!fabric.says("took over"), "it took that for a fabric's memory");
                      end(liar);
                    }});
    list.push_back({std::string("a false supervisor hands an agent and a tool ") + lie.name, On::SmallOnly, [lie](Fabric& fabric, Pages, Verdict& verdict) {
                      const std::string path = fabric.endpoint().socket + ".liar.sock";
                      const pid_t liar = start_liar(path, lie, false);
                      AgentOptions options;
                      options.name = "deceived";
                      options.socket = path;
                      const auto agent = Agent::attach(std::move(options));
                      verdict.expect(!agent && !agent.error().what.empty(), "an agent attached to it");
                      const auto inspector = Inspector::open({.socket = path});
                      verdict.expect(!inspector && !inspector.error().what.empty(), "an Inspector looked into it");
                      end(liar);
                    }});
  }
  list.push_back({"descriptors come with every request", On::SmallOnly, [](Fabric& fabric, Pages, Verdict& verdict) {
                    (void)fabric.answers();
                    const std::size_t before = open_descriptors(fabric.pid());
                    const base::OwnedFd junk = regular_file();
                    for (int round = 0; round < 20; ++round) {
                      const base::OwnedFd socket = fabric.connect();
                      for (const std::size_t count : {std::size_t{1}, std::size_t{17}, std::size_t{253}}) {
                        send_with_descriptors(socket.get(), control::encode(1, control::Request(control::StatusRequest{})), junk.get(), count);
                      }
                      (void)control::receive_packet(socket.get());
                    }
                    wait_for([&] { return open_descriptors(fabric.pid()) <= before; });
                    verdict.expect(open_descriptors(fabric.pid()) <= before, "the supervisor keeps descriptors that were sent to it");
                  }});
  list.push_back({"descriptors come until the supervisor has none left", On::SmallOnly, [](Fabric& fabric, Pages, Verdict& verdict) {
                    limit_descriptors(fabric.pid(), open_descriptors(fabric.pid()) + 12);
                    const base::OwnedFd junk = regular_file();
                    for (int round = 0; round < 200; ++round) {
                      const base::OwnedFd socket = fabric.connect();
                      if (socket) send_with_descriptors(socket.get(), control::encode(1, control::Request(control::StatusRequest{})), junk.get(), 253);
                    }
                    wait_for([&] { return fabric.answers(); });
                    verdict.expect(fabric.answers(), "it does not answer any more");
                  }});
  list.push_back({"connections come until the supervisor has no descriptor left", On::SmallOnly, [](Fabric& fabric, Pages, Verdict& verdict) {
                    limit_descriptors(fabric.pid(), open_descriptors(fabric.pid()) + 8);
                    std::vector<base::OwnedFd> sockets;
                    for (int i = 0; i < 40; ++i) sockets.push_back(fabric.connect());
                    const uint64_t before = processor_ticks(fabric.pid());
                    std::this_thread::sleep_for(std::chrono::milliseconds(500));
                    // Fifty ticks would be a whole processor: it must not spin on what it cannot accept.
                    verdict.expect(processor_ticks(fabric.pid()) - before < 20, "it spins while it has no descriptor left");
                    verdict.expect(fabric.bystanders_talk(), "who is attached is disturbed");
                    sockets.clear();
                    wait_for([&] { return fabric.answers(); });
                    verdict.expect(fabric.answers(), "it does not answer when the flood is over");
                  }});
  list.push_back({"a stranger asks the keeper for the memory, and to end", On::SmallOnly, [](Fabric& fabric, Pages, Verdict& verdict) {
                    const base::OwnedFd junk = memfd(kSegmentBytes, true);
                    const std::array fds = {junk.get(), junk.get(), junk.get()};
                    const control::Request requests[] = {control::AdoptRequest{}, control::KeepRequest{{kSegmentBytes, kSegmentBytes}}, control::EndRequest{}};
                    for (const control::Request& request : requests) {
                      const base::OwnedFd socket = fabric.connect(fabric.endpoint().keeper_socket);
                      (void)control::send_packet(socket.get(), control::encode(1, request), fds);
                      auto packet = control::receive_packet(socket.get());
                      if (!packet || packet->bytes.empty()) continue;
                      auto reply = control::decode_reply(packet->bytes);
                      verdict.expect(reply && std::holds_alternative<Error>(reply->body), "the keeper does as it is told");
                      verdict.expect(packet->fds.empty(), "it hands descriptors out");
                    }
                    const base::OwnedFd socket = fabric.connect(fabric.endpoint().keeper_socket);
                    (void)send(socket.get(), "garbage", 7, MSG_NOSIGNAL);
                    verdict.expect(::kill(fabric.keeper(), 0) == 0, "the keeper has ended");
                    fabric.kill_supervisor();
                    verdict.expect(fabric.restart() && fabric.says("took over"), "its memory cannot be taken over any more");
                  }});
  list.push_back({"descriptors come to the keeper until it has none left", On::SmallOnly, [](Fabric& fabric, Pages, Verdict& verdict) {
                    const pid_t keeper = fabric.keeper();
                    limit_descriptors(keeper, open_descriptors(keeper) + 8);
                    const base::OwnedFd junk = regular_file();
                    for (int round = 0; round < 50; ++round) {
                      const base::OwnedFd socket = fabric.connect(fabric.endpoint().keeper_socket);
                      if (socket) send_with_descriptors(socket.get(), control::encode(1, control::Request(control::StatusRequest{})), junk.get(), 253);
                    }
                    fabric.kill_supervisor();
                    verdict.expect(fabric.restart() && fabric.says("took over"), "its memory cannot be taken over any more: " + fabric.log());
                  }});
}

}  // namespace ripstop::proof
