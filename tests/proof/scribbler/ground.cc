#include "scribbler/ground.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "base/check.h"
#include "proof/states.h"

namespace ripstop::proof {

namespace {

constexpr uint32_t kRings = 6;
constexpr uint32_t kTakesMax = 64;
// Of a histogram this many buckets: each is like the other.
constexpr std::size_t kBuckets = 4;

Shape shape_of(Ground::Kind kind) {
  Shape shape;
  shape.agents = 9;
  shape.slabs = kind == Ground::Kind::Direct ? 10 : 8;
  shape.dead_letters = 16;
  shape.successors = true;
  return shape;
}

}  // namespace

Ground::Ground(Kind kind) : world_(std::make_unique<World>(shape_of(kind))) {
  if (kind == Kind::Direct) make_direct();
  else make_fan_out();
  leave_letters();
  name_an_intent();
  // Nobody's process is looked at: it would be the machine's state that is tested.
  for (const Member& member : world_->members()) const_cast<layout::AgentEntry&>(world_->registry().agent(member.place.id)).pid = 0;
  auto* block = reinterpret_cast<std::byte*>(world_->map().block(1));
  node_ = {block - geometry().agent_blocks_offset, world_->segments().segment_bytes()[1]};
  saved_node_.assign(node_.begin(), node_.end());
  saved_control_.assign(world_->control().begin(), world_->control().end());
  list_words();
}

// More receivers than a header names; further segments; rings of their own of every policy; a queue that is
// full and has dropped; messages in hands and in held tables; an open loan; a channel in use; a sleeper.
void Ground::make_fan_out() {
  World& world = *world_;
  make_receivers(world, 3);
  for (std::size_t i = 0; i < kRings; ++i) {
    SubscriberOptions options;
    options.own_ring = true;
    options.overflow = i % 3 == 0 ? Overflow::DropOldest : Overflow::Block;
    (void)world.subscribe(world.members()[2 + i % 3], options);
  }
  world.open_channel(victim(world), control::ChannelEnd::Sender);
  world.open_channel(world.members()[2], control::ChannelEnd::Receiver);
  for (int i = 0; i < 2; ++i) RIPSTOP_CHECK(victim(world).channel->send(8, 1) == ChannelOutcome::Ok);
  for (int i = 0; i < 7; ++i) {
    (void)world.send(i % 2 == 0 ? victim(world) : other(world));
    for (Member& member : world.members()) {
      if (!member.subscriptions.empty()) world.receive(member);
    }
  }
  (void)world.send(other(world));
  world.keep(world.members()[3]);
  Member& sender = victim(world);
  auto root = sender.publisher->loan(sizeof(Payload));
  RIPSTOP_CHECK(root.has_value());
  sender.take_further(2);
  const Payload payload{world.next_id(), ~world.last_id()};
  for (const memory::Loaned& link : sender.further) std::memcpy(memory::payload(*link.header), &payload, sizeof payload);
  std::memcpy(memory::payload(*root->header), &payload, sizeof payload);
  SendOptions options;
  options.timeout = std::chrono::nanoseconds(0);
  RIPSTOP_CHECK(sender.publisher->send(*root, sizeof payload, sender.further, options, ContentType::Bytes).outcome == SendOutcome::Delivered);
  (void)world.send(other(world));
  RIPSTOP_CHECK(sender.take_loan());
  ring::Sleeper(world.members()[4].core->block().front.doorbell).arm();
}

void Ground::make_direct() {
  World& world = *world_;
  make_receivers(world, 3);
  open_direct(world, victim(world));
  open_direct(world, other(world));
  for (int i = 0; i < 3; ++i) (void)world.send(victim(world));
  for (int i = 0; i < 2; ++i) (void)world.send(other(world));
  world.keep(world.members()[3]);
  RIPSTOP_CHECK(victim(world).take_loan());
  fall_asleep(world);
}

// An agent that had mail died and is waited for; what another left is dead.
void Ground::leave_letters() {
  World& world = *world_;
  for (const char* name : {"gone", "lost"}) (void)world.subscribe(world.attach(name));
  (void)world.send(other(world));
  for (int i = 0; i < 2; ++i) {
    Member& member = world.members().back();
    const supervisor::AgentPlace place = member.place;
    // Its process is no more: nothing of it runs, and nothing of it is undone.
    member.subscriptions.clear();
    member.core.reset();
    world.members().pop_back();
    world.registry().settle(place.id, true);
    if (i == 0) world.registry().expire_letters(~uint64_t{0} - 1);
  }
}

// A publisher that was killed in the middle of its sends: both kinds of intent say so.
void Ground::name_an_intent() {
  World& world = *world_;
  layout::SenderIntent& intent = other(world).core->block().senders[1];
  const memory::ChunkMap& chunks = world.map().chunks();
  for (uint32_t slab = 0; slab < chunks.slab_count(0); ++slab) {
    for (uint32_t index = 0; index < chunks.slab(0, slab).chunk_count; ++index) {
      const layout::ChunkId id = layout::make_chunk_id(0, slab, index);
      const layout::ChunkHeader& header = *chunks.find(id);
      const memory::Holders holders = memory::read_holders(header);
      if (header.role != layout::ChunkRole::Root || (holders.bits & layout::kDeliveryHolds) == 0) continue;
      intent.generation.store(holders.generation);
      intent.sequence.store(header.sequence);
      intent.row.store(header.publisher_row);
      intent.root.store(layout::make_reference(id, holders.generation));
      intent.direct_root.store(layout::make_reference(id, holders.generation));
      intent.direct_count.store(1);
    }
  }
}

void Ground::list_words() {
  const layout::NodeGeometry& place = geometry();
  const layout::Superblock& super = world_->segments().superblock();
  const auto add = [&](uint64_t offset, uint64_t bytes) {
    for (uint64_t at = offset; at + 8 <= offset + bytes; at += 8) words_.push_back(static_cast<uint32_t>(at));
  };
  const auto structure = [](uint64_t offset, uint64_t bytes) {
    return Structure{static_cast<uint32_t>(offset), static_cast<uint32_t>(bytes)};
  };
  add(0, sizeof(layout::NodeHeader));
  add(place.slab_owners_offset, uint64_t{place.slab_count} * sizeof(layout::SlabOwner));
  std::vector<Structure> blocks, slots, held, senders, headers;
  for (uint32_t i = 0; i < place.agent_count; ++i) {
    const uint64_t block = place.agent_blocks_offset + uint64_t{i} * super.agent_block_bytes;
    add(block, offsetof(layout::AgentBlock, latency_ns) + kBuckets * sizeof(uint64_t));
    add(block + sizeof(layout::AgentBlock), super.agent_block_bytes - sizeof(layout::AgentBlock));
    blocks.push_back(structure(block, super.agent_block_bytes));
    for (std::size_t n = 0; n < layout::kHeldCount; ++n) held.push_back(structure(block + offsetof(layout::AgentBlock, held) + n * 16, 16));
    for (std::size_t n = 0; n < layout::kDirectCount; ++n) held.push_back(structure(block + offsetof(layout::AgentBlock, direct) + n * 16, 16));
    for (std::size_t n = 0; n < layout::kSenderCount; ++n) {
      senders.push_back(structure(block + offsetof(layout::AgentBlock, senders) + n * sizeof(layout::SenderIntent), sizeof(layout::SenderIntent)));
    }
    for (uint64_t at = block + sizeof(layout::AgentBlock); at + 16 <= block + super.agent_block_bytes; at += 16) slots.push_back(structure(at, 16));
  }
  uint64_t arena_end = place.ring_arena_offset;
  for (uint32_t ring_id = 1; ring_id < super.ring_high.load(); ++ring_id) {
    if (const auto* ring = world_->map().ring_entry(ring_id)) {
      const uint64_t slot_bytes = std::max<uint64_t>(ring->slot_bytes, sizeof(layout::Slot));
      arena_end = std::max(arena_end, ring->offset + sizeof(layout::RingBlock) + ring->slot_count * slot_bytes);
    }
  }
  add(place.ring_arena_offset, arena_end - place.ring_arena_offset);
  for (uint64_t at = place.ring_arena_offset; at + 16 <= arena_end; at += 16) slots.push_back(structure(at, 16));
  const memory::ChunkMap& chunks = world_->map().chunks();
  for (uint32_t slab = 0; slab < chunks.slab_count(0); ++slab) {
    for (uint32_t index = 0; index < chunks.slab(0, slab).chunk_count; ++index) {
      const auto* header = chunks.find(layout::make_chunk_id(0, slab, index));
      const auto offset = static_cast<uint64_t>(reinterpret_cast<const std::byte*>(header) - node_.data());
      const bool names = header->role == layout::ChunkRole::ReceiverList || header->role == layout::ChunkRole::Branch;
      add(offset, sizeof(layout::ChunkHeader) + (names ? 64 : 0));
      headers.push_back(structure(offset, sizeof(layout::ChunkHeader) + 64));
    }
  }
  kinds_ = {std::move(blocks), std::move(slots), std::move(held), std::move(senders), std::move(headers)};
  std::set<uint64_t> values;
  for (const uint32_t offset : words_) {
    uint64_t value = 0;
    std::memcpy(&value, node_.data() + offset, sizeof value);
    values.insert(value);
  }
  values_.assign(values.begin(), values.end());
}

void Ground::restore() {
  std::memcpy(node_.data(), saved_node_.data(), saved_node_.size());
  std::memcpy(world_->control().data(), saved_control_.data(), saved_control_.size());
}

Ground::Receiver& Ground::receiver(std::size_t member) {
  Receiver& rig = receivers_[member];
  if (rig.core == nullptr) {
    rig.core = reborn(member);
    for (const Subscription& one : world_->members()[member].subscriptions) {
      rig.subscriptions.push_back(std::make_unique<detail::SubscriberCore>(rig.core, kTopic, one.core->topic_id, one.core->subscription_id,
                                                                           nullptr, *one.core->row));
    }
  }
  return rig;
}

void Ground::take_all(std::size_t member, const std::function<void(Message&)>& read, const std::function<void()>& corrupt,
                      const std::function<void()>& end) {
  Receiver& rig = receiver(member);
  detail::AgentCore& core = *rig.core;
  const layout::Superblock& super = core.view().superblock();
  detail::Inbox inbox(core, core.map(), core.block(), core.incarnation(), Wait::Sleep, {super.tsc_base, super.tsc_base_ns, super.tsc_mult});
  for (std::size_t i = 0; i < rig.subscriptions.size(); ++i) {
    const Subscription& one = world_->members()[member].subscriptions[i];
    detail::SubscriberCore& subscription = *rig.subscriptions[i];
    subscription.ring = one.ring_id == 0 ? nullptr : inbox.add_ring(one.ring_id, one.overflow == Overflow::DropOldest);
    subscription.sequences = {};
    inbox.add(subscription);
  }
  for (uint32_t i = 0; i < kTakesMax; ++i) {
    auto taken = inbox.take(nullptr);
    if (taken) read(*taken);
    else if (taken.outcome() != TakeOutcome::Corrupt) break;
    else if (corrupt) corrupt();
  }
  if (end) end();
  for (const auto& subscription : rig.subscriptions) {
    inbox.withdraw(*subscription);
    inbox.remove(*subscription);
    subscription->ring = nullptr;
  }
}

std::shared_ptr<detail::AgentCore> Ground::reborn(std::size_t member) const {
  const Member& one = world_->members()[member];
  const supervisor::SegmentManager& segments = world_->segments();
  control::Attachment attachment;
  attachment.agent_id = one.place.id;
  attachment.incarnation = one.place.incarnation;
  attachment.node_index = one.place.node_index;
  auto control = memory::Segment::map(segments.agent_fds()[0], memory::Access::ReadOnly, segments.segment_bytes()[0]);
  auto node = memory::Segment::map(segments.agent_fds()[1], memory::Access::ReadWrite, segments.segment_bytes()[1]);
  RIPSTOP_CHECK(control && node);
  attachment.control = std::move(*control);
  attachment.nodes.push_back(std::move(*node));
  attachment.bell = base::OwnedFd(dup(segments.bell()));
  AgentOptions options;
  options.name = one.name;
  auto core = detail::AgentCore::make(options, control::AgentLink::unconnected(std::move(attachment)));
  RIPSTOP_CHECK(core.has_value());
  return std::move(*core);
}

}  // namespace ripstop::proof
