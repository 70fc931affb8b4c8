// The control messages as values, and their way through a socket.
//
// Whatever comes in is untrusted: its size, its structure, its texts and its number of descriptors are
// bounded here, and the answer to anything else is Protocol.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/owned_fd.h"
#include "layout/control_segment.h"
#include "layout/layout_hash.h"
#include "ripstop/result.h"

namespace ripstop::control {

inline constexpr std::size_t kPacketBytesMax = 64 * 1024;
inline constexpr std::size_t kPacketFdsMax = 2 + layout::kNodeCountMax;  // Control segment, nodes, bell.

// --- requests; the fields are explained in control.capnp ------------------------------------------

struct AttachRequest {
  std::string name;
  int32_t node = -1;
  uint32_t os_node = 0;
  uint32_t flags = 0;
  uint32_t resume_agent_id = 0;
  uint64_t resume_incarnation = 0;
  uint64_t resume_fabric_id = 0;
  uint64_t ticket = 0;
  uint32_t abi_version = layout::kAbiVersion;
  uint64_t layout_hash = layout::layout_hash();
};
struct TopicRequest {
  std::string name;
};
struct SubscribeRequest {
  std::string topic;
  uint8_t overflow = 0;
  bool own_ring = false;
  uint32_t slot_count = 0;
  uint32_t row = 0;
  uint32_t ticket = 0;
};
struct UnsubscribeRequest {
  uint32_t subscription_id = 0;
};
enum class ChannelEnd : uint8_t { Sender = 0, Receiver = 1 };
struct ChannelOpenRequest {
  std::string name;
  ChannelEnd end = ChannelEnd::Sender;
  uint32_t payload_bytes = 0;
  uint32_t slot_count = 0;
  uint32_t ticket = 0;
};
struct ChannelCloseRequest {
  uint32_t ring_id = 0;
  ChannelEnd end = ChannelEnd::Sender;
};
struct DetachRequest {};
struct ObserveRequest {};
struct StatusRequest {};
struct DrainRequest {};
struct KeepRequest {
  std::vector<uint64_t> segment_bytes;
};
struct AdoptRequest {};
struct EndRequest {};
// An agent's process, as its keeper names it.
struct KeptProcess {
  uint32_t agent_id = 0;
  uint64_t incarnation = 0;
};
inline constexpr std::size_t kProcessesPerPacket = 16;
struct KeepProcessesRequest {
  std::vector<KeptProcess> processes;
};
struct ForgetProcessRequest {
  KeptProcess process;
};
struct FetchProcessesRequest {
  uint32_t from = 0;
};
struct LettersRequest {
  enum class Action : uint8_t { Drop = 0, Replay = 1 };
  Action action = Action::Drop;
  uint64_t serial = 0;
};

using Request = std::variant<AttachRequest, TopicRequest, SubscribeRequest, UnsubscribeRequest, ChannelOpenRequest,
                             ChannelCloseRequest, DetachRequest, ObserveRequest, StatusRequest, DrainRequest,
                             KeepRequest, AdoptRequest, EndRequest, LettersRequest, KeepProcessesRequest,
                             ForgetProcessRequest, FetchProcessesRequest>;

// --- replies ----------------------------------------------------------------------------------------

struct DoneReply {};
struct AttachReply {
  uint32_t agent_id = 0;
  uint64_t incarnation = 0;
  uint32_t node_index = 0;
  std::vector<uint64_t> segment_bytes;
};
struct TopicReply {
  uint32_t id = 0;
};
struct SubscribeReply {
  uint32_t subscription_id = 0;
  uint32_t topic_id = 0;
  uint32_t ring_id = 0;
};
struct ChannelReply {
  uint32_t ring_id = 0;
  uint64_t incarnation = 0;
};
struct ObserveReply {
  std::vector<uint64_t> segment_bytes;
};
struct StatusReply {
  uint32_t pid = 0;
  uint32_t keeper_pid = 0;
  uint32_t state = 0;
  uint64_t epoch = 0;
  uint32_t agent_count = 0;
  std::string fabric;
  std::string version;
};

struct CountReply {
  uint32_t count = 0;
};

struct ProcessesReply {
  std::vector<KeptProcess> processes;
};

using Reply = std::variant<Error, DoneReply, AttachReply, TopicReply, SubscribeReply, ChannelReply, ObserveReply,
                           StatusReply, CountReply, ProcessesReply>;

template <class Body>
struct Numbered {
  uint64_t serial = 0;
  Body body;
};

// --- bytes --------------------------------------------------------------------------------------------

std::vector<std::byte> encode(uint64_t serial, const Request& request);
std::vector<std::byte> encode(uint64_t serial, const Reply& reply);

// Errors: Protocol (not a message, not of this schema, out of bounds, trailing bytes).
Result<Numbered<Request>> decode_request(std::span<const std::byte> bytes);
Result<Numbered<Reply>> decode_reply(std::span<const std::byte> bytes);

struct Packet {
  std::vector<std::byte> bytes;  // Empty: the peer has closed.
  std::vector<base::OwnedFd> fds;
};

// Sends one packet with copies of `fds`. Waits as long as the socket's own timeout says.
// Errors: Protocol (too large), Timeout, SupervisorGone (the peer has closed), System.
Result<void> send_packet(int socket, std::span<const std::byte> bytes, std::span<const int> fds = {});

// Errors: Protocol (too large, too many descriptors), Timeout, SupervisorGone, System.
Result<Packet> receive_packet(int socket);

}  // namespace ripstop::control
