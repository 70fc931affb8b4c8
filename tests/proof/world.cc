#include "proof/world.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>

#include "base/check.h"
#include "base/clock.h"
#include "memory/segment.h"

namespace ripstop::proof {

namespace {

template <class T>
T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "proof: %s\n", to_string(result.error()).c_str());
    RIPSTOP_CHECK(result.has_value());
  }
  return std::move(*result);
}

SendOptions without_waiting() {
  SendOptions options;
  options.timeout = std::chrono::nanoseconds(0);
  return options;
}

}  // namespace

// --- one agent --------------------------------------------------------------------------------------

uint64_t World::read(const Message& message) {
  Payload payload{};
  if (message.bytes().size() < sizeof payload) return ~uint64_t{0};
  std::memcpy(&payload, message.bytes().data(), sizeof payload);
  if (payload.complement != ~payload.id) return ~uint64_t{0};
  for (const auto& segment : message.segments()) {  // Every further one repeats the first's number.
    uint64_t id = 0;
    std::memcpy(&id, segment.data(), sizeof id);
    if (id != payload.id) return ~uint64_t{0};
  }
  return message.corrupt() ? ~uint64_t{0} : payload.id;
}

std::optional<Message> Subscription::take() {
  last_taken = 0;
  auto taken = core->agent->inbox().take(core.get());
  if (!taken) return std::nullopt;
  last_taken = World::read(*taken);
  return std::move(*taken);
}

uint64_t Subscription::take_and_release() {
  (void)take();
  return last_taken;
}

void Member::open_publisher() { publisher = must(core->open_publisher(kTopic, {})); }

bool Member::take_loan() {
  auto loaned = publisher->loan_bytes(sizeof(Payload));
  if (!loaned) return false;
  loan.emplace(std::move(*loaned));
  return true;
}

void Member::take_further(uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    const memory::Loaned link = must(publisher->loan(sizeof(Payload), false));
    link.header->role = layout::ChunkRole::Continuation;
    link.header->payload_bytes = sizeof(Payload);
    further.push_back(link);
  }
}

Sent Member::send_loan() {
  const uint64_t id = the_world->next_id();
  the_world->note_sender(id, *this);
  const Payload payload{id, ~id};
  std::memcpy(loan->bytes().data(), &payload, sizeof payload);
  if (further.empty()) return last_sent.emplace(loan->send(without_waiting()));
  for (const memory::Loaned& link : further) std::memcpy(memory::payload(*link.header), &payload, sizeof payload);
  return last_sent.emplace(
      publisher->send(detail::PublisherCore::chunk_of(*loan), sizeof payload, further, without_waiting(), ContentType::Bytes));
}

Sent Member::send() {
  if (!take_loan()) return Sent{SendOutcome::PoolEmpty, 0, 0, 0, 0};
  const Sent sent = send_loan();
  loan.reset();
  return sent;
}

// --- the fabric ---------------------------------------------------------------------------------------

World::World(const Shape& shape) : shape_(shape) {
  the_world = this;
  supervisor::Config config = supervisor::default_config();
  config.fabric = "proof";
  config.hugepages = supervisor::Hugepages::Off;
  config.agents = shape.agents;
  config.topics = 2;
  config.dead_letters = shape.dead_letters;
  config.subscriptions = 96;
  config.rings = 80;
  config.ring_arena_bytes = 80 * 256;
  config.route_arena_bytes = 64 * 1024;
  config.lanes.fill(shape.lane_slots);
  config.slab_bytes = uint64_t{kPayloadBytes + layout::kChunkHeaderBytes} * shape.slab_chunks;
  config.classes = {{kPayloadBytes, uint64_t{shape.slabs} * shape.slab_chunks}};
  const std::vector<topology::NumaNode> nodes = {{0, {0}, 0}};
  segments_.emplace(must(supervisor::SegmentManager::create(config, nodes, false)));
  // A clock that hardly moves, a tick in 2^32 cycles: two runs of one operation write the same bytes.
  segments_->superblock().tsc_mult = segments_->superblock().tsc_mult == 0 ? 0 : 1;
  take_over();
  // A victim looks at the memory through the supervisor's mapping too, when it compares.
  for (const Mapping& mapping : mappings()) RIPSTOP_CHECK(madvise(mapping.address, mapping.bytes, MADV_DOFORK) == 0);
  for (int i = 0; i < 2; ++i) {
    const std::size_t bytes = segments_->segment_bytes()[static_cast<std::size_t>(i)];
    copy_fds_[i] = memfd_create("proof_copy", MFD_CLOEXEC);
    RIPSTOP_CHECK(copy_fds_[i] >= 0 && ftruncate(copy_fds_[i], static_cast<off_t>(bytes)) == 0);
    void* place = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, copy_fds_[i], 0);
    RIPSTOP_CHECK(place != MAP_FAILED);
    copies_[i] = static_cast<std::byte*>(place);
  }
}

Member& World::attach(const std::string& name) {
  supervisor::AgentIdentity identity;
  identity.name = name;
  identity.pid = 1;
  Member& member = members_.emplace_back();
  member.name = name;
  member.place = must(registry_->attach(identity, 0));
  control::Attachment attachment;
  attachment.agent_id = member.place.id;
  attachment.incarnation = member.place.incarnation;
  attachment.node_index = member.place.node_index;
  const int control = copied_ ? copy_fds_[0] : segments_->agent_fds()[0];
  const int node = copied_ ? copy_fds_[1] : segments_->agent_fds()[1];
  attachment.control = must(memory::Segment::map(control, memory::Access::ReadOnly, segments_->segment_bytes()[0]));
  attachment.bell = base::OwnedFd(dup(segments_->bell()));
  attachment.nodes.push_back(must(memory::Segment::map(node, memory::Access::ReadWrite, segments_->segment_bytes()[1])));
  AgentOptions options;
  options.name = name;
  member.core = must(detail::AgentCore::make(options, control::AgentLink::unconnected(std::move(attachment))));
  (void)must(registry_->topic(kTopic));
  return member;
}

Subscription& World::subscribe(Member& member, const SubscriberOptions& options, const char* to) {
  const auto row_index = static_cast<uint32_t>(member.subscriptions.size());
  control::SubscribeRequest request;
  request.topic = to;
  request.overflow = static_cast<uint8_t>(options.overflow);
  request.own_ring = options.own_ring || options.overflow != Overflow::Block;
  request.slot_count = options.slot_count == 0 ? shape_.lane_slots : options.slot_count;
  request.row = row_index;
  const auto reply = must(registry_->subscribe(member.place.id, request));
  layout::SubscriptionRow& row = member.core->block().subscriptions[row_index];
  row.state.store(1);
  row.topic_id.store(reply.topic_id);
  Subscription& subscription = member.subscriptions.emplace_back();
  subscription.overflow = options.overflow;
  subscription.ring_id = reply.ring_id;
  subscription.slot_count = request.own_ring ? request.slot_count : shape_.lane_slots;
  subscription.room = subscription.slot_count;
  detail::Source* ring = nullptr;
  if (request.own_ring) ring = member.core->inbox().add_ring(reply.ring_id, options.overflow == Overflow::DropOldest);
  subscription.core = std::make_unique<detail::SubscriberCore>(member.core, to, reply.topic_id, reply.subscription_id, ring, row);
  return subscription;
}

void World::open_channel(Member& member, control::ChannelEnd end) {
  control::ChannelOpenRequest request;
  request.name = kChannel;
  request.end = end;
  request.payload_bytes = kPayloadBytes;
  request.slot_count = 4;
  const auto reply = must(registry_->open_channel(member.place.id, request));
  const auto place = member.core->map().channel(reply.ring_id);
  RIPSTOP_CHECK(place.has_value());
  member.channel = std::make_unique<detail::ChannelCore>(member.core, reply.ring_id, *place, end == control::ChannelEnd::Sender);
}

void World::note_sender(uint64_t id, const Member& sender) {
  std::size_t index = 0;
  while (&members_[index] != &sender) ++index;
  senders_.at(id) = static_cast<uint8_t>(index);
}

uint64_t World::send(Member& publisher) {
  const Sent sent = publisher.send();
  RIPSTOP_CHECK(sent.outcome == SendOutcome::Delivered || sent.outcome == SendOutcome::Partial);
  ++publisher.sent_count;
  for (Member& member : members_) {
    for (Subscription& subscription : member.subscriptions) {
      if (subscription.overflow == Overflow::DropOldest && subscription.expected.size() == subscription.room) {
        subscription.expected.pop_front();
      }
      subscription.expected.push_back(last_id_);
    }
  }
  return last_id_;
}

void World::receive(Member& receiver) {
  for (Subscription& subscription : receiver.subscriptions) {
    RIPSTOP_CHECK(!subscription.expected.empty());
    RIPSTOP_CHECK(subscription.take_and_release() == subscription.expected.front());
    subscription.expected.pop_front();
  }
}

void World::keep(Member& receiver) {
  for (Subscription& subscription : receiver.subscriptions) {
    auto message = subscription.take();
    RIPSTOP_CHECK(message && World::read(*message) == subscription.expected.front());
    receiver.in_hand.push_back({std::move(*message), subscription.expected.front()});
    subscription.expected.pop_front();
    // It stays in its slot, but where a pusher may move it on.
    if (subscription.overflow != Overflow::DropOldest) --subscription.room;
  }
}

// --- its memory ---------------------------------------------------------------------------------------

std::span<std::byte> World::node() const {
  // The map's first block lies in the registry's own mapping.
  auto* block = reinterpret_cast<std::byte*>(map().block(1));
  std::byte* first = block - segments_->superblock().nodes[0].agent_blocks_offset;
  return {first, segments_->segment_bytes()[1]};
}

std::span<std::byte> World::control() const { return {segments_->control_data(), segments_->segment_bytes()[0]}; }

std::vector<World::Mapping> World::mappings_around(const void* control, const void* node) const {
  const auto has = [](const Mapping& mapping, const void* place) {
    return static_cast<std::size_t>(static_cast<const std::byte*>(place) - static_cast<const std::byte*>(mapping.address)) < mapping.bytes;
  };
  std::vector<Mapping> found;
  for (const Mapping& mapping : mappings()) {
    if (has(mapping, control) || has(mapping, node)) found.push_back(mapping);
  }
  return found;
}

std::vector<World::Mapping> World::mappings_of(const Member& member) const {
  return mappings_around(&member.core->view().superblock(), &member.core->block());
}

std::vector<World::Mapping> World::mappings_of_supervisor() const { return mappings_around(control().data(), node().data()); }

std::vector<World::Part> World::parts() const {
  const layout::Superblock& super = segments_->superblock();
  const layout::NodeGeometry& geometry = super.nodes[0];
  const std::span<std::byte> all = node();
  const std::byte* first = all.data();
  std::vector<Part> parts = {{first, geometry.agent_blocks_offset}};
  constexpr std::size_t kUntilHistogram = offsetof(layout::AgentBlock, latency_ns);
  const std::byte* block = first + geometry.agent_blocks_offset;
  for (uint32_t i = 0; i < geometry.agent_count; ++i, block += super.agent_block_bytes) {
    parts.push_back({block, kUntilHistogram});
    parts.push_back({block + sizeof(layout::AgentBlock), super.agent_block_bytes - sizeof(layout::AgentBlock)});
  }
  parts.push_back({first + geometry.ring_arena_offset, all.size() - geometry.ring_arena_offset});
  return parts;
}

std::vector<std::byte> World::save() const { return {node().begin(), node().end()}; }

void World::restore(const std::vector<std::byte>& saved) { std::memcpy(node().data(), saved.data(), saved.size()); }

std::vector<World::Mapping> World::mappings() const {
  std::vector<Mapping> found;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("memfd:ripstop:proof:") == std::string::npos) continue;
    std::uintptr_t first = 0;
    std::uintptr_t last = 0;
    char access[5] = {};
    RIPSTOP_CHECK(std::sscanf(line.c_str(), "%lx-%lx %4s", &first, &last, access) == 3);
    found.push_back({reinterpret_cast<void*>(first), last - first, access[1] == 'w' ? PROT_READ | PROT_WRITE : PROT_READ,
                     line.find(":control") != std::string::npos});
  }
  return found;
}

void World::prepare_copy() {
  if (mappings_.empty()) mappings_ = mappings();
  std::memcpy(copies_[0], segments_->control_data(), segments_->segment_bytes()[0]);
  std::memcpy(copies_[1], node().data(), segments_->segment_bytes()[1]);
}

void World::enter_copy() { enter_copy(mappings_); }

void World::enter_copy(std::span<const Mapping> mappings) {
  for (const Mapping& mapping : mappings) {
    void* place = mmap(mapping.address, mapping.bytes, mapping.protection, MAP_SHARED | MAP_FIXED | MAP_POPULATE,
                       copy_fds_[mapping.is_control ? 0 : 1], 0);
    RIPSTOP_CHECK(place == mapping.address);
  }
  copied_ = true;
}

void World::take_over() {
  constexpr uint64_t kGraceNs = 3'600'000'000'000;  // Longer than any sweep.
  registry_.emplace(*segments_, shape_.successors ? control::LetterPolicy{true, kGraceNs, 100} : control::LetterPolicy{});
}

}  // namespace ripstop::proof
