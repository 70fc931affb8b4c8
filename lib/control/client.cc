// A request that ran into its timeout leaves its reply behind; it is known by its serial and dropped.
// Nothing here remembers an agent: reconnecting is agent_link.h's.
#include "control/client.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ripstop::control {

namespace {

constexpr int kStaleRepliesMax = 64;

Error unexpected(std::string why) {
  return {Errc::Protocol, 0, "the supervisor's answer makes no sense", std::move(why),
          "see that both sides are of the same version:     shmctl version"};
}

void set_timeout(int socket, std::chrono::milliseconds timeout) noexcept {
  // Zero would mean: for ever.
  const auto ms = std::max<std::chrono::milliseconds::rep>(timeout.count(), 1);
  const timeval value{static_cast<time_t>(ms / 1000), static_cast<suseconds_t>(ms % 1000 * 1000)};
  setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &value, sizeof value);
  setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &value, sizeof value);
}

Error connect_error(const Endpoint& endpoint, int sys_errno) {
  if (sys_errno == EACCES || sys_errno == EPERM) {
    struct stat status{};
    const bool seen = stat(endpoint.socket.c_str(), &status) == 0;
    return {Errc::Denied, sys_errno, "uid " + std::to_string(geteuid()) + " may not connect to " + endpoint.socket,
            seen ? "the socket belongs to uid " + std::to_string(status.st_uid) : "its directory is closed to this user",
            "run as that user, or configure \"socket_group\", or start a fabric of your own"};
  }
  if (sys_errno == EAGAIN || sys_errno == ETIMEDOUT) {
    return {Errc::Timeout, sys_errno, "the supervisor at " + endpoint.socket + " does not take connections",
            "its queue of connections stayed full", "see whether it is stopped or overloaded"};
  }
  return no_supervisor(endpoint, sys_errno);
}

Result<base::OwnedFd> connect_to(const Endpoint& endpoint, const std::string& path,
                                 std::chrono::milliseconds timeout) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return connect_error(endpoint, ENAMETOOLONG);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  base::OwnedFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return system_error("socket", errno);
  set_timeout(socket.get(), timeout);
  int failed = 0;
  do {
    failed = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
  } while (failed == EINTR);
  if (failed != 0) return connect_error(endpoint, failed);
  return socket;
}

// Maps what came with an answer: the control segment first, then the nodes.
Result<std::vector<memory::Segment>> map_all(const std::vector<uint64_t>& segment_bytes,
                                             const std::vector<base::OwnedFd>& fds, memory::Access node_access) {
  if (segment_bytes.size() < 2 || segment_bytes.size() != fds.size()) {
    return unexpected(std::to_string(fds.size()) + " descriptors came for " +
                      std::to_string(segment_bytes.size()) + " segments");
  }
  std::vector<memory::Segment> segments;
  for (std::size_t i = 0; i < fds.size(); ++i) {
    const bool is_control = i == 0;
    auto segment = memory::Segment::map(fds[i].get(), is_control ? memory::Access::ReadOnly : node_access,
                                        segment_bytes[i], {.hidden_from_children = !is_control, .sealed = true});
    if (!segment) return segment.error();
    segments.push_back(std::move(*segment));
  }
  return segments;
}

Result<Observation> map_observation(const ObserveReply& reply, const std::vector<base::OwnedFd>& fds) {
  auto segments = map_all(reply.segment_bytes, fds, memory::Access::ReadOnly);
  if (!segments) return segments.error();
  Observation observation;
  observation.control = std::move(segments->front());
  for (std::size_t i = 1; i < segments->size(); ++i) observation.nodes.push_back(std::move((*segments)[i]));
  return observation;
}

}  // namespace

Result<Client> Client::connect(const Endpoint& endpoint, std::chrono::milliseconds timeout) {
  auto socket = connect_to(endpoint, endpoint.socket, timeout);
  if (!socket) return socket.error();
  return Client(std::move(*socket), endpoint.socket);
}

Result<Client> Client::connect(std::string_view socket_path, std::chrono::milliseconds timeout) {
  return connect(endpoint_at(socket_path), timeout);
}

Result<Observation> Client::observe(const Endpoint& endpoint, std::chrono::milliseconds timeout) {
  Error failure;
  for (const std::string& path : {endpoint.socket, endpoint.keeper_socket}) {
    auto socket = connect_to(endpoint, path, timeout);
    if (!socket) {
      // What the supervisor's own socket said is what a person wants to know.
      if (failure.what.empty()) failure = socket.error();
      continue;
    }
    Client client(std::move(*socket), path);
    auto observation = client.observe();
    if (observation) return observation;
    if (observation.error().code == Errc::Denied) return observation;
    if (failure.what.empty()) failure = observation.error();
  }
  return failure;
}

Result<Client::Answer> Client::call(const Request& request) {
  const uint64_t serial = ++serial_;
  if (auto sent = send_packet(socket_.get(), encode(serial, request)); !sent) {
    if (sent.error().code != Errc::SupervisorGone) return sent.error();
    // It may have said why before it closed the connection: that can still be read.
  }
  for (int tries = 0; tries < kStaleRepliesMax; ++tries) {
    auto packet = receive_packet(socket_.get());
    if (!packet) return packet.error();
    if (packet->bytes.empty()) break;
    auto reply = decode_reply(packet->bytes);
    if (!reply) return reply.error();
    if (reply->serial != serial && reply->serial != 0) continue;
    if (const Error* error = std::get_if<Error>(&reply->body)) return *error;
    return Answer{std::move(reply->body), std::move(packet->fds)};
  }
  return Error{Errc::SupervisorGone, 0, "the supervisor at " + socket_path_ + " has closed the connection",
               "it ended, or it refused what was asked", "shmctl status"};
}

template <class T>
Result<T> Client::call_for(const Request& request, std::vector<base::OwnedFd>* fds) {
  auto answer = call(request);
  if (!answer) return answer.error();
  T* body = std::get_if<T>(&answer->reply);
  if (body == nullptr) return unexpected("it answers another question");
  if (fds != nullptr) *fds = std::move(answer->fds);
  return std::move(*body);
}

Result<Attachment> Client::attach(const AttachRequest& request) {
  AttachRequest asked = request;
  unsigned cpu = 0;
  unsigned os_node = 0;
  if (asked.node < 0 && getcpu(&cpu, &os_node) == 0) asked.os_node = os_node;
  std::vector<base::OwnedFd> fds;
  auto reply = call_for<AttachReply>(asked, &fds);
  if (!reply) return reply.error();
  base::OwnedFd bell;
  if (fds.size() > reply->segment_bytes.size()) {
    bell = std::move(fds.back());
    fds.pop_back();
  }
  auto segments = map_all(reply->segment_bytes, fds, memory::Access::ReadWrite);
  if (!segments) {
    // An agent that cannot map its memory holds nothing: give its entry back.
    static_cast<void>(detach());
    return segments.error();
  }
  Attachment attachment;
  attachment.agent_id = reply->agent_id;
  attachment.incarnation = reply->incarnation;
  attachment.node_index = reply->node_index;
  attachment.bell = std::move(bell);
  attachment.control = std::move(segments->front());
  for (std::size_t i = 1; i < segments->size(); ++i) attachment.nodes.push_back(std::move((*segments)[i]));
  return attachment;
}

Result<AttachReply> Client::resume(const AttachRequest& request) { return call_for<AttachReply>(request); }

Result<uint32_t> Client::topic_id(std::string_view topic) {
  auto reply = call_for<TopicReply>(TopicRequest{std::string(topic)});
  if (!reply) return reply.error();
  return reply->id;
}

Result<SubscribeReply> Client::subscribe(const SubscribeRequest& request) {
  return call_for<SubscribeReply>(request);
}

Result<void> Client::unsubscribe(uint32_t subscription_id) {
  auto reply = call_for<DoneReply>(UnsubscribeRequest{subscription_id});
  if (!reply) return reply.error();
  return {};
}

Result<ChannelReply> Client::open_channel(const ChannelOpenRequest& request) {
  return call_for<ChannelReply>(request);
}

Result<void> Client::close_channel(uint32_t ring_id, ChannelEnd end) {
  auto reply = call_for<DoneReply>(ChannelCloseRequest{ring_id, end});
  if (!reply) return reply.error();
  return {};
}

Result<void> Client::detach() {
  auto reply = call_for<DoneReply>(DetachRequest{});
  if (!reply) return reply.error();
  return {};
}

Result<Observation> Client::observe() {
  std::vector<base::OwnedFd> fds;
  auto reply = call_for<ObserveReply>(ObserveRequest{}, &fds);
  if (!reply) return reply.error();
  return map_observation(*reply, fds);
}

Result<StatusReply> Client::status() { return call_for<StatusReply>(StatusRequest{}); }

Result<uint32_t> Client::letters(const LettersRequest& request) {
  auto reply = call_for<CountReply>(request);
  if (!reply) return reply.error();
  return reply->count;
}

Result<void> Client::drain() {
  auto reply = call_for<DoneReply>(DrainRequest{});
  if (!reply) return reply.error();
  return {};
}

}  // namespace ripstop::control
