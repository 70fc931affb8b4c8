// Cap'n Proto throws; nothing thrown leaves this file but std::bad_alloc. Bounds on what it reads: the packet's size, four
// levels, and no more words than the packet has, so that pointers into one another cost nothing.
#include "control/wire.h"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "control/control.capnp.h"

namespace ripstop::control {

namespace {

constexpr std::size_t kTextBytesMax = 4096;
constexpr int kNestingMax = 4;

Error protocol_error(std::string why) {
  return {Errc::Protocol, 0, "a control message makes no sense", std::move(why),
          "see that both sides are of the same version:     shmctl version"};
}

std::string text_of(capnp::Text::Reader text) {
  return {text.begin(), std::min(text.size(), kTextBytesMax)};
}

std::vector<uint64_t> numbers_of(capnp::List<uint64_t>::Reader list) {
  std::vector<uint64_t> numbers;
  for (unsigned i = 0; i < list.size() && i < kPacketFdsMax; ++i) numbers.push_back(list[i]);
  return numbers;
}

void fill(capnp::List<uint64_t>::Builder list, const std::vector<uint64_t>& numbers) {
  for (unsigned i = 0; i < numbers.size(); ++i) list.set(i, numbers[i]);
}

KeptProcess process_of(schema::Process::Reader from) { return {from.getAgentId(), from.getIncarnation()}; }

std::vector<KeptProcess> processes_of(capnp::List<schema::Process>::Reader list) {
  std::vector<KeptProcess> processes;
  for (unsigned i = 0; i < list.size() && i < kProcessesPerPacket; ++i) processes.push_back(process_of(list[i]));
  return processes;
}

void fill(schema::Process::Builder to, const KeptProcess& process) {
  to.setAgentId(process.agent_id);
  to.setIncarnation(process.incarnation);
}

void fill(capnp::List<schema::Process>::Builder list, const std::vector<KeptProcess>& processes) {
  for (unsigned i = 0; i < processes.size(); ++i) fill(list[i], processes[i]);
}

unsigned list_size(const std::vector<KeptProcess>& processes) { return static_cast<unsigned>(processes.size()); }
unsigned list_size(const std::vector<uint64_t>& numbers) { return static_cast<unsigned>(numbers.size()); }

// One overload per message: how it is written.
struct WriteRequest {
  schema::Request::Builder to;

  void operator()(const AttachRequest& r) {
    auto body = to.initAttach();
    body.setName(r.name.c_str());
    body.setAbi(r.abi_version);
    body.setLayoutHash(r.layout_hash);
    body.setNode(r.node);
    body.setOsNode(r.os_node);
    body.setFlags(r.flags);
    body.setResumeAgentId(r.resume_agent_id);
    body.setResumeIncarnation(r.resume_incarnation);
    body.setResumeFabricId(r.resume_fabric_id);
    body.setTicket(r.ticket);
  }
  void operator()(const TopicRequest& r) { to.initTopic().setName(r.name.c_str()); }
  void operator()(const SubscribeRequest& r) {
    auto body = to.initSubscribe();
    body.setTopic(r.topic.c_str());
    body.setOverflow(r.overflow);
    body.setOwnRing(r.own_ring);
    body.setSlotCount(r.slot_count);
    body.setRow(r.row);
    body.setTicket(r.ticket);
  }
  void operator()(const UnsubscribeRequest& r) { to.initUnsubscribe().setSubscriptionId(r.subscription_id); }
  void operator()(const ChannelOpenRequest& r) {
    auto body = to.initChannelOpen();
    body.setName(r.name.c_str());
    body.setEnd(static_cast<uint8_t>(r.end));
    body.setPayloadBytes(r.payload_bytes);
    body.setSlotCount(r.slot_count);
    body.setTicket(r.ticket);
  }
  void operator()(const ChannelCloseRequest& r) {
    auto body = to.initChannelClose();
    body.setRingId(r.ring_id);
    body.setEnd(static_cast<uint8_t>(r.end));
  }
  void operator()(const DetachRequest&) { to.setDetach(); }
  void operator()(const ObserveRequest&) { to.setObserve(); }
  void operator()(const StatusRequest&) { to.setStatus(); }
  void operator()(const DrainRequest&) { to.setDrain(); }
  void operator()(const KeepRequest& r) { fill(to.initKeep(list_size(r.segment_bytes)), r.segment_bytes); }
  void operator()(const AdoptRequest&) { to.setAdopt(); }
  void operator()(const EndRequest&) { to.setEnd(); }
  void operator()(const KeepProcessesRequest& r) { fill(to.initKeepProcesses(list_size(r.processes)), r.processes); }
  void operator()(const ForgetProcessRequest& r) { fill(to.initForgetProcess(), r.process); }
  void operator()(const FetchProcessesRequest& r) { to.setFetchProcesses(r.from); }
  void operator()(const LettersRequest& r) {
    auto body = to.initLetters();
    body.setAction(static_cast<uint8_t>(r.action));
    body.setSerial(r.serial);
  }
};

struct WriteReply {
  schema::Reply::Builder to;

  void operator()(const Error& r) {
    auto body = to.initError();
    body.setCode(static_cast<uint16_t>(r.code));
    body.setSysErrno(r.sys_errno);
    body.setWhat(r.what.c_str());
    body.setWhy(r.why.c_str());
    body.setFix(r.fix.c_str());
  }
  void operator()(const DoneReply&) { to.setDone(); }
  void operator()(const AttachReply& r) {
    auto body = to.initAttached();
    body.setAgentId(r.agent_id);
    body.setIncarnation(r.incarnation);
    body.setNodeIndex(r.node_index);
    fill(body.initSegmentBytes(list_size(r.segment_bytes)), r.segment_bytes);
  }
  void operator()(const TopicReply& r) { to.initTopic().setId(r.id); }
  void operator()(const SubscribeReply& r) {
    auto body = to.initSubscribed();
    body.setSubscriptionId(r.subscription_id);
    body.setTopicId(r.topic_id);
    body.setRingId(r.ring_id);
  }
  void operator()(const ChannelReply& r) {
    auto body = to.initChannel();
    body.setRingId(r.ring_id);
    body.setIncarnation(r.incarnation);
  }
  void operator()(const ObserveReply& r) { fill(to.initObserved(list_size(r.segment_bytes)), r.segment_bytes); }
  void operator()(const StatusReply& r) {
    auto body = to.initStatus();
    body.setPid(r.pid);
    body.setKeeperPid(r.keeper_pid);
    body.setState(r.state);
    body.setEpoch(r.epoch);
    body.setAgentCount(r.agent_count);
    body.setFabric(r.fabric.c_str());
    body.setVersion(r.version.c_str());
  }
  void operator()(const CountReply& r) { to.setCount(r.count); }
  void operator()(const ProcessesReply& r) { fill(to.initProcesses(list_size(r.processes)), r.processes); }
};

Result<ChannelEnd> end_of(uint8_t value) {
  if (value > static_cast<uint8_t>(ChannelEnd::Receiver)) return protocol_error("a channel has two ends");
  return static_cast<ChannelEnd>(value);
}

Result<Request> read_request(schema::Request::Reader from) {
  switch (from.which()) {
    case schema::Request::ATTACH: {
      const auto body = from.getAttach();
      AttachRequest r;
      r.name = text_of(body.getName());
      r.node = body.getNode();
      r.os_node = body.getOsNode();
      r.flags = body.getFlags();
      r.resume_agent_id = body.getResumeAgentId();
      r.resume_incarnation = body.getResumeIncarnation();
      r.resume_fabric_id = body.getResumeFabricId();
      r.ticket = body.getTicket();
      r.abi_version = body.getAbi();
      r.layout_hash = body.getLayoutHash();
      return Request(std::move(r));
    }
    case schema::Request::TOPIC: return Request(TopicRequest{text_of(from.getTopic().getName())});
    case schema::Request::SUBSCRIBE: {
      const auto body = from.getSubscribe();
      return Request(SubscribeRequest{text_of(body.getTopic()), body.getOverflow(), body.getOwnRing(),
                                      body.getSlotCount(), body.getRow(), body.getTicket()});
    }
    case schema::Request::UNSUBSCRIBE:
      return Request(UnsubscribeRequest{from.getUnsubscribe().getSubscriptionId()});
    case schema::Request::CHANNEL_OPEN: {
      const auto body = from.getChannelOpen();
      auto end = end_of(body.getEnd());
      if (!end) return end.error();
      return Request(ChannelOpenRequest{text_of(body.getName()), *end, body.getPayloadBytes(), body.getSlotCount(),
                                        body.getTicket()});
    }
    case schema::Request::CHANNEL_CLOSE: {
      auto end = end_of(from.getChannelClose().getEnd());
      if (!end) return end.error();
      return Request(ChannelCloseRequest{from.getChannelClose().getRingId(), *end});
    }
    case schema::Request::DETACH: return Request(DetachRequest{});
    case schema::Request::OBSERVE: return Request(ObserveRequest{});
    case schema::Request::STATUS: return Request(StatusRequest{});
    case schema::Request::DRAIN: return Request(DrainRequest{});
    case schema::Request::KEEP: return Request(KeepRequest{numbers_of(from.getKeep())});
    case schema::Request::ADOPT: return Request(AdoptRequest{});
    case schema::Request::END: return Request(EndRequest{});
    case schema::Request::KEEP_PROCESSES: return Request(KeepProcessesRequest{processes_of(from.getKeepProcesses())});
    case schema::Request::FORGET_PROCESS: return Request(ForgetProcessRequest{process_of(from.getForgetProcess())});
    case schema::Request::FETCH_PROCESSES: return Request(FetchProcessesRequest{from.getFetchProcesses()});
    case schema::Request::LETTERS: {
      const auto body = from.getLetters();
      if (body.getAction() > static_cast<uint8_t>(LettersRequest::Action::Replay)) return protocol_error("letters are dropped or replayed");
      return Request(LettersRequest{static_cast<LettersRequest::Action>(body.getAction()), body.getSerial()});
    }
  }
  return protocol_error("no such request: " + std::to_string(static_cast<unsigned>(from.which())));
}

Result<Reply> read_reply(schema::Reply::Reader from) {
  switch (from.which()) {
    case schema::Reply::ERROR: {
      const auto body = from.getError();
      return Reply(Error{static_cast<Errc>(body.getCode()), body.getSysErrno(), text_of(body.getWhat()),
                         text_of(body.getWhy()), text_of(body.getFix())});
    }
    case schema::Reply::DONE: return Reply(DoneReply{});
    case schema::Reply::ATTACHED: {
      const auto body = from.getAttached();
      return Reply(AttachReply{body.getAgentId(), body.getIncarnation(), body.getNodeIndex(),
                               numbers_of(body.getSegmentBytes())});
    }
    case schema::Reply::TOPIC: return Reply(TopicReply{from.getTopic().getId()});
    case schema::Reply::SUBSCRIBED: {
      const auto body = from.getSubscribed();
      return Reply(SubscribeReply{body.getSubscriptionId(), body.getTopicId(), body.getRingId()});
    }
    case schema::Reply::CHANNEL:
      return Reply(ChannelReply{from.getChannel().getRingId(), from.getChannel().getIncarnation()});
    case schema::Reply::OBSERVED: return Reply(ObserveReply{numbers_of(from.getObserved())});
    case schema::Reply::STATUS: {
      const auto body = from.getStatus();
      return Reply(StatusReply{body.getPid(), body.getKeeperPid(), body.getState(), body.getEpoch(),
                               body.getAgentCount(), text_of(body.getFabric()), text_of(body.getVersion())});
    }
    case schema::Reply::COUNT: return Reply(CountReply{from.getCount()});
    case schema::Reply::PROCESSES: return Reply(ProcessesReply{processes_of(from.getProcesses())});
  }
  return protocol_error("no such reply: " + std::to_string(static_cast<unsigned>(from.which())));
}

template <class Schema, class Writer, class Body>
std::vector<std::byte> encode_as(uint64_t serial, const Body& body) {
  try {
    capnp::MallocMessageBuilder message;
    auto root = message.initRoot<Schema>();
    root.setSerial(serial);
    std::visit(Writer{root}, body);
    const auto words = capnp::messageToFlatArray(message);
    const auto bytes = words.asBytes();
    const auto* first = reinterpret_cast<const std::byte*>(bytes.begin());
    return {first, first + bytes.size()};
  } catch (const kj::Exception&) {
    throw std::bad_alloc();  // There is nothing else that can go wrong.
  }
}

template <class Schema, class Body, class Read>
Result<Numbered<Body>> decode_as(std::span<const std::byte> bytes, Read read) {
  if (bytes.empty() || bytes.size() > kPacketBytesMax || bytes.size() % sizeof(capnp::word) != 0) {
    return protocol_error(std::to_string(bytes.size()) + " bytes are no message");
  }
  auto words = kj::heapArray<capnp::word>(bytes.size() / sizeof(capnp::word));  // Aligned.
  std::memcpy(words.begin(), bytes.data(), bytes.size());
  const capnp::ReaderOptions limits{words.size() + 16, kNestingMax};
  try {
    capnp::FlatArrayMessageReader message(words, limits);
    if (message.getEnd() != words.end()) return protocol_error("bytes follow the message");
    const auto root = message.getRoot<Schema>();
    auto body = read(root);
    if (!body) return body.error();
    return Numbered<Body>{root.getSerial(), std::move(*body)};
  } catch (const kj::Exception& failure) {
    return protocol_error(failure.getDescription().cStr());
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& failure) {
    return protocol_error(failure.what());
  }
}

Error transfer_error(int sys_errno, const char* op) {
  if (sys_errno == EAGAIN || sys_errno == EWOULDBLOCK) {
    return {Errc::Timeout, sys_errno, "the peer did not answer in time", "it is stopped, or the machine is overloaded",
            "see what it does and try again:     shmctl status"};
  }
  if (sys_errno == EPIPE || sys_errno == ECONNRESET || sys_errno == ENOTCONN) {
    return {Errc::SupervisorGone, sys_errno, "the peer has closed the connection", "it ended, or it refused what was asked", "see whether it lives, then try again:     shmctl status"};
  }
  return system_error(op, sys_errno);
}

}  // namespace

std::vector<std::byte> encode(uint64_t serial, const Request& request) {
  return encode_as<schema::Request, WriteRequest>(serial, request);
}

std::vector<std::byte> encode(uint64_t serial, const Reply& reply) {
  return encode_as<schema::Reply, WriteReply>(serial, reply);
}

Result<Numbered<Request>> decode_request(std::span<const std::byte> bytes) {
  return decode_as<schema::Request, Request>(bytes, read_request);
}

Result<Numbered<Reply>> decode_reply(std::span<const std::byte> bytes) {
  return decode_as<schema::Reply, Reply>(bytes, read_reply);
}

Result<void> send_packet(int socket, std::span<const std::byte> bytes, std::span<const int> fds) {
  if (bytes.size() > kPacketBytesMax || fds.size() > kPacketFdsMax) {
    return protocol_error("a packet of " + std::to_string(bytes.size()) + " bytes was to be sent, 65536 are allowed");
  }
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kPacketFdsMax * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  ssize_t sent = 0;
  do {
    sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return transfer_error(errno, "sendmsg");
  return {};
}

Result<Packet> receive_packet(int socket) {
  Packet packet;
  packet.bytes.resize(kPacketBytesMax);
  iovec part{packet.bytes.data(), packet.bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kPacketFdsMax * sizeof(int)) + CMSG_SPACE(sizeof(ucred))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got = 0;
  do {
    got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return transfer_error(errno, "recvmsg");
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      packet.fds.emplace_back(fd);
    }
  }
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return protocol_error("a packet is too large");
  packet.bytes.resize(static_cast<std::size_t>(got));
  return packet;
}

}  // namespace ripstop::control
