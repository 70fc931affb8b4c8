// Why a delivery keeps its bit when it is handed to a successor: the bit was its place's, and that is given
// up; so one store of the entry's word says where it belongs now. Where one letter becomes several (replay),
// or where somebody else may still clear the bit (direct lanes), fresh bits are written into entries first,
// which count as empty until one swap of the holders drops the old bit and sets them all: that commits.
//
// Edges.  R(directory) -> A(directory)  an entry's bytes, supervisor to reader.
//         R(release) -> A(release)      as in memory/holders.h: the holders change.
#include "control/dead_letters.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/clock.h"
#include "memory/holders.h"
#include "ring/doorbell.h"

namespace ripstop::control {

namespace {

using layout::LetterEnd;
using layout::LetterEntry;
using layout::LetterReason;
using layout::LetterState;

// Below those that direct lanes give their members.
constexpr uint32_t kBelowLanes = layout::kDirectBitFirst - layout::kDirectMembersMax;

uint64_t word_of(const LetterEntry& entry) noexcept {
  return entry.word.load(std::memory_order_relaxed);  // Relaxed: only we write it.
}

}  // namespace

DeadLetters::DeadLetters(const FabricMap& map, layout::Superblock& super, std::span<LetterEntry> table, const LetterPolicy& policy)
    : map_(map), super_(super), table_(table), policy_(policy), classes_(table.size()), class_counts_(map.chunks().classes().size()) {
  for (uint32_t index = static_cast<uint32_t>(table_.size()); index-- > 0;) {
    last_serial_ = std::max(last_serial_, layout::letter_word_serial(word_of(table_[index])));
    if (state(index) == LetterState::Free || !(is_open(map_, delivery(index)) || is_announced(index))) {
      free(index);
      continue;
    }
    by_delivery_[{table_[index].reference, table_[index].bit}] = index;
    classes_[index] = classes_of(table_[index].reference);
    if (!lies_here(index)) {
      ++handed_count_;
      continue;
    }
    by_age_[layout::letter_word_serial(word_of(table_[index]))] = index;
    count_chunks(index, 1);
  }
}

LetterState DeadLetters::state(uint32_t index) const noexcept { return layout::letter_word_state(word_of(table_[index])); }

bool DeadLetters::lies_here(uint32_t index) const noexcept {
  return state(index) == LetterState::Waiting || state(index) == LetterState::Dead;
}

Delivery DeadLetters::delivery(uint32_t index) const noexcept {
  const LetterEntry& entry = table_[index];
  return {entry.reference, entry.bit, layout::letter_word_attempt(word_of(entry))};
}

DeadLetters::Classes DeadLetters::classes_of(layout::Reference reference) const {
  const memory::ChunkMap& chunks = map_.chunks();
  const layout::Reference root = root_reference(map_, reference);
  Classes classes;
  const auto add = [&](layout::Reference chunk) { classes.push_back(chunks.slab_of(layout::reference_chunk(chunk)).class_index); };
  if (root == 0) return classes;
  if (root != reference) add(reference);  // A branch, which this delivery holds too.
  add(root);
  const layout::ChunkHeader& message = *chunks.find(layout::reference_chunk(root));
  layout::Reference next = (message.flags & layout::kFlagLinked) != 0 ? message.link : 0;
  for (uint32_t steps = 0; next != 0 && steps < memory::kLinksMax; ++steps) {
    const layout::ChunkHeader* link = chunks.find(layout::reference_chunk(next));
    // Other branches come and go with their own deliveries.
    if (link == nullptr || !layout::same_generation(next, memory::read_holders(*link).generation) || link->role == layout::ChunkRole::Branch) break;
    add(next);
    next = link->link;
  }
  return classes;
}

void DeadLetters::count_chunks(uint32_t index, int by) noexcept {
  for (const uint32_t class_index : classes_[index]) class_counts_[class_index] += static_cast<uint32_t>(by);
}

void DeadLetters::count(LetterEnd end, uint64_t by) noexcept {
  super_.letters_released[static_cast<std::size_t>(end)].fetch_add(by, std::memory_order_relaxed);  // A counter.
}

// --- entries ------------------------------------------------------------------------------------------

void DeadLetters::publish(uint32_t index, LetterState to, LetterReason reason, uint32_t attempt) {
  const uint64_t old = word_of(table_[index]);
  const bool is_new = layout::letter_word_state(old) == LetterState::Free;
  const bool lay_here = !is_new && lies_here(index);
  const uint64_t serial = is_new ? ++last_serial_ : layout::letter_word_serial(old);
  const uint64_t word = layout::make_letter_word(serial, std::min(attempt, layout::kAttemptMax), reason, to);
  table_[index].word.store(word, std::memory_order_release);  // R(directory)
  by_delivery_[{table_[index].reference, table_[index].bit}] = index;
  if (lies_here(index) && !lay_here) {
    by_age_[serial] = index;
    count_chunks(index, 1);
    if (!is_new) --handed_count_;
  } else if (!lies_here(index)) {
    if (lay_here) by_age_.erase(serial), count_chunks(index, -1);
    if (is_new || lay_here) ++handed_count_;
  }
}

void DeadLetters::free(uint32_t index) {
  const uint64_t word = word_of(table_[index]);
  const auto known = by_delivery_.find({table_[index].reference, table_[index].bit});
  if (known != by_delivery_.end() && known->second == index) {
    by_delivery_.erase(known);
    if (by_age_.erase(layout::letter_word_serial(word)) != 0) count_chunks(index, -1);
    else --handed_count_;
  }
  // R(directory). The serial stays: the next one is higher.
  table_[index].word.store(layout::make_letter_word(layout::letter_word_serial(word), 0, LetterReason::Died, LetterState::Free),
                           std::memory_order_release);
  free_.push_back(index);
}

void DeadLetters::release(uint32_t index, LetterEnd end) {
  const Delivery gone = delivery(index);
  if (memory::release(map_.chunks(), gone.reference, gone.bit) != memory::Release::Gone) count(end);
  free(index);
}

void DeadLetters::settle(uint32_t index, LetterReason reason) {
  if (policy_.keeps) publish(index, LetterState::Dead, reason, delivery(index).attempt);
  else release(index, LetterEnd::Policy);
}

void DeadLetters::sweep() {
  for (uint32_t index = 0; index < table_.size() && handed_count_ != 0; ++index) {
    if (state(index) == LetterState::Handed && !is_open(map_, delivery(index))) free(index);
  }
}

bool DeadLetters::release_oldest(std::optional<uint32_t> class_index, LetterEnd end) {
  for (const auto& [serial, index] : by_age_) {
    const Classes& classes = classes_[index];
    if (class_index && std::find(classes.begin(), classes.end(), *class_index) == classes.end()) continue;
    release(index, end);
    return true;
  }
  return false;
}

uint64_t DeadLetters::share_of(uint32_t class_index) const noexcept {
  const layout::ClassGeometry& geometry = map_.superblock().classes[class_index];
  const uint64_t chunk_count = uint64_t{geometry.slab_chunks} * geometry.slab_count * map_.chunks().node_count();
  return std::max<uint64_t>(1, chunk_count * policy_.share_percent / 100);
}

bool DeadLetters::make_room(const Classes& classes) {
  for (const uint32_t class_index : classes) {
    const auto needed = static_cast<uint64_t>(std::count(classes.begin(), classes.end(), class_index));
    while (class_counts_[class_index] + needed > share_of(class_index) && release_oldest(class_index, LetterEnd::ShareFull)) {
    }
  }
  if (free_.empty()) sweep();
  return !free_.empty() || release_oldest(std::nullopt, LetterEnd::TableFull);
}

std::optional<uint32_t> DeadLetters::prepare(const Delivery& delivery, std::string_view name, uint8_t place, bool stays) {
  if (table_.empty() || delivery.bit >= layout::kDeliveryCount) return std::nullopt;
  const layout::ChunkHeader* message = find_message(map_, delivery.reference);
  if (message == nullptr) return std::nullopt;
  Classes classes = classes_of(delivery.reference);
  if (!make_room(stays ? classes : Classes())) return std::nullopt;
  const uint32_t index = free_.back();
  free_.pop_back();
  classes_[index] = std::move(classes);
  LetterEntry& entry = table_[index];
  entry.reference = delivery.reference;
  entry.bit = static_cast<uint8_t>(delivery.bit);
  entry.sequence = message->sequence;
  entry.publish_time_ns = message->publish_time_ns;
  entry.since_ns = base::monotonic_ns();
  entry.topic_id = message->topic_id;
  entry.source = message->source;
  entry.payload_bytes = message->payload_bytes;
  entry.lane = static_cast<uint8_t>(std::min<uint32_t>(message->priority, layout::kLaneCount - 1));
  entry.publisher_row = message->publisher_row;
  entry.place = place;
  entry.destination = 0;
  entry.until_ns = 0;
  std::memset(entry.name, 0, sizeof entry.name);
  (void)name.copy(entry.name, sizeof entry.name - 1);  // No name is a null pointer, which memcpy must not see.
  return index;
}

// --- taking over --------------------------------------------------------------------------------------

bool DeadLetters::take(const Delivery& delivery, const Address& address) {
  if (!is_open(map_, delivery) || has(delivery)) return false;
  const bool waits = address.until_ns != 0;
  const auto index = waits || policy_.keeps ? prepare(delivery, address.name, address.place, true) : std::nullopt;
  if (!index) {
    if (memory::release(map_.chunks(), delivery.reference, delivery.bit) == memory::Release::Gone) return false;
    count(waits || policy_.keeps ? LetterEnd::TableFull : LetterEnd::Policy);
    return true;
  }
  table_[*index].until_ns = address.until_ns;
  publish(*index, waits ? LetterState::Waiting : LetterState::Dead, address.reason, delivery.attempt);
  return true;
}

bool DeadLetters::take_from_lane(const Delivery& delivery, const Address& address) {
  layout::ChunkHeader* header = map_.chunks().find(layout::reference_chunk(delivery.reference));
  if (header == nullptr) return false;
  memory::Holders holders = memory::read_holders(*header);
  const uint64_t mine = uint64_t{1} << delivery.bit;
  const auto bits = unused_bits(delivery.reference, holders.bits, kBelowLanes, 1);
  const bool waits = address.until_ns != 0;
  if (bits.empty() || (!waits && !policy_.keeps)) return take(delivery, address);
  const auto index = prepare({delivery.reference, bits[0]}, address.name, address.place, true);
  if (!index) return take(delivery, address);
  table_[*index].until_ns = address.until_ns;
  publish(*index, waits ? LetterState::Waiting : LetterState::Dead, address.reason, delivery.attempt);
  // As often as others release: each of them once.
  while (layout::same_generation(delivery.reference, holders.generation) && (holders.bits & mine) != 0) {
    base::Pair expected{holders.generation, holders.bits};
    // R(release)
    if (header->holders.compare_exchange(expected, {holders.generation, (holders.bits & ~mine) | uint64_t{1} << bits[0]})) return true;
    holders = {expected.low, expected.high};
  }
  free(*index);  // It was handled meanwhile.
  return false;
}

uint64_t DeadLetters::take_back(uint32_t agent_id, uint64_t incarnation, const Address& address) {
  uint64_t count = 0;
  for (uint32_t index = 0; index < table_.size() && handed_count_ != 0; ++index) {
    LetterEntry& entry = table_[index];
    if (state(index) != LetterState::Handed || layout::receiver_agent(static_cast<uint32_t>(entry.destination)) != agent_id ||
        entry.destination >> 32 != (incarnation & 0xffffffff)) {
      continue;
    }
    if (!is_open(map_, delivery(index))) {
      free(index);
      continue;
    }
    ++count;
    entry.until_ns = address.until_ns;
    if (address.until_ns != 0) publish(index, LetterState::Waiting, address.reason, delivery(index).attempt);
    else settle(index, address.reason);
  }
  return count;
}

// --- handing over -------------------------------------------------------------------------------------

void DeadLetters::wait_for(std::string_view name, uint64_t until_ns) {
  for (const auto& [serial, index] : by_age_) {
    if (state(index) == LetterState::Waiting && name == table_[index].name) table_[index].until_ns = until_ns;
  }
}

// Each publisher's by sequence, and among publishers by time as far as that allows.
std::vector<uint32_t> DeadLetters::in_publisher_order(std::vector<uint32_t> indices) const {
  const auto publisher = [&](uint32_t index) { return std::pair(table_[index].source, table_[index].publisher_row); };
  std::sort(indices.begin(), indices.end(), [&](uint32_t a, uint32_t b) {
    return std::pair(publisher(a), table_[a].sequence) < std::pair(publisher(b), table_[b].sequence);
  });
  std::vector<std::pair<uint64_t, uint32_t>> timed;
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const bool follows = i > 0 && publisher(indices[i - 1]) == publisher(indices[i]);
    const uint64_t time_ns = table_[indices[i]].publish_time_ns;
    timed.emplace_back(follows ? std::max(timed.back().first, time_ns) : time_ns, indices[i]);
  }
  std::stable_sort(timed.begin(), timed.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::transform(timed.begin(), timed.end(), indices.begin(), [](const auto& each) { return each.second; });
  return indices;
}

// The entry says where it belongs; what has arrived is left alone.
void DeadLetters::push(uint32_t index) {
  const LetterEntry& entry = table_[index];
  const auto receiver = static_cast<uint32_t>(entry.destination);
  switch (complete(map_, receiver, entry.lane, delivery(index))) {
    case Arrival::There: return;
    case Arrival::Full: return settle(index, LetterReason::NoRoom);
    case Arrival::NoPlace: return settle(index, LetterReason::Closed);
    case Arrival::Pushed: break;
  }
  uint32_t last_rung = 0;
  ring::ring_doorbell(map_.block(layout::receiver_agent(receiver))->front.doorbell, last_rung);
}

void DeadLetters::hand_over(uint32_t topic_id, const Destination& to) {
  std::vector<uint32_t> indices;
  for (const auto& [serial, index] : by_age_) {
    const LetterEntry& entry = table_[index];
    const bool is_theirs = entry.topic_id == topic_id && entry.place == to.place && to.name == entry.name;
    if (state(index) == LetterState::Waiting && is_theirs) indices.push_back(index);
  }
  for (const uint32_t index : in_publisher_order(std::move(indices))) {
    LetterEntry& entry = table_[index];
    entry.destination = (to.owner_incarnation & 0xffffffff) << 32 | to.receiver;
    publish(index, LetterState::Handed, layout::letter_word_reason(word_of(entry)), delivery(index).attempt + 1);
    push(index);
  }
}

std::vector<uint32_t> DeadLetters::awaited_topics(std::string_view name) const {
  std::vector<uint32_t> topic_ids;
  for (const auto& [serial, index] : by_age_) {
    const uint32_t topic_id = table_[index].topic_id;
    const bool is_new = std::find(topic_ids.begin(), topic_ids.end(), topic_id) == topic_ids.end();
    if (state(index) == LetterState::Waiting && name == table_[index].name && is_new) topic_ids.push_back(topic_id);
  }
  return topic_ids;
}

std::vector<std::string> DeadLetters::awaited() const {
  std::vector<std::string> names;
  for (const auto& [serial, index] : by_age_) {
    const bool is_new = std::find(names.begin(), names.end(), table_[index].name) == names.end();
    if (state(index) == LetterState::Waiting && is_new) names.emplace_back(table_[index].name);
  }
  return names;
}

void DeadLetters::expire(uint64_t now_ns) {
  std::vector<uint32_t> over;
  for (const auto& [serial, index] : by_age_) {
    if (state(index) == LetterState::Waiting && table_[index].until_ns <= now_ns) over.push_back(index);
  }
  for (const uint32_t index : over) settle(index, layout::letter_word_reason(word_of(table_[index])));
}

uint64_t DeadLetters::next_expiry_ns() const {
  uint64_t next_ns = 0;
  for (const auto& [serial, index] : by_age_) {
    if (state(index) != LetterState::Waiting) continue;
    next_ns = next_ns == 0 ? table_[index].until_ns : std::min(next_ns, table_[index].until_ns);
  }
  return next_ns;
}

void DeadLetters::finish() {
  std::vector<uint32_t> handed;
  for (uint32_t index = 0; index < table_.size(); ++index) {
    if (state(index) == LetterState::Handed) handed.push_back(index);
  }
  for (const uint32_t index : in_publisher_order(std::move(handed))) push(index);
}

// --- copies -------------------------------------------------------------------------------------------

bool DeadLetters::is_announced(uint32_t index) const noexcept {
  const layout::Reference reference = table_[index].reference;
  const layout::ChunkHeader* header = map_.chunks().find(layout::reference_chunk(reference));
  if (header == nullptr) return false;
  const memory::Holders holders = memory::read_holders(*header);
  return layout::same_generation(reference, holders.generation) && holders.bits == layout::kPublisherHold;
}

std::optional<uint32_t> DeadLetters::announce(const Delivery& copy, const Address& address, const Destination* to) {
  const auto index = prepare(copy, address.name, address.place, to == nullptr);
  if (!index) return std::nullopt;
  if (to != nullptr) table_[*index].destination = (to->owner_incarnation & 0xffffffff) << 32 | to->receiver;
  publish(*index, to != nullptr ? LetterState::Handed : LetterState::Dead, address.reason, copy.attempt);
  return index;
}

void DeadLetters::send_on(uint32_t index) {
  if (state(index) == LetterState::Handed) push(index);
}

std::optional<uint32_t> DeadLetters::find(const Delivery& delivery) const {
  const auto known = by_delivery_.find({delivery.reference, delivery.bit});
  return known == by_delivery_.end() ? std::nullopt : std::optional(known->second);
}

std::vector<uint32_t> DeadLetters::announced() const {
  std::vector<uint32_t> indices;
  for (const auto& [key, index] : by_delivery_) {
    if (is_announced(index)) indices.push_back(index);
  }
  return indices;
}

uint32_t DeadLetters::handed_to(const Delivery& delivery) const {
  const auto index = find(delivery);
  return index && state(*index) == LetterState::Handed ? static_cast<uint32_t>(table_[*index].destination) : 0;
}

// --- by hand ------------------------------------------------------------------------------------------

std::vector<uint32_t> DeadLetters::dead(uint64_t serial) const {
  std::vector<uint32_t> indices;
  for (const auto& [each, index] : by_age_) {
    if ((serial == 0 || each == serial) && state(index) == LetterState::Dead) indices.push_back(index);
  }
  return in_publisher_order(std::move(indices));
}

uint32_t DeadLetters::drop(uint64_t serial) {
  const std::vector<uint32_t> indices = dead(serial);
  for (const uint32_t index : indices) release(index, LetterEnd::Dropped);
  return static_cast<uint32_t>(indices.size());
}

std::vector<uint32_t> DeadLetters::unused_bits(layout::Reference reference, uint64_t taken, uint32_t highest, std::size_t count) const {
  std::vector<uint32_t> bits;
  for (uint32_t bit = highest + 1; bit-- > 0 && bits.size() < count;) {
    if (((taken >> bit) & 1) == 0 && !has({reference, bit})) bits.push_back(bit);
  }
  return bits;
}

bool DeadLetters::replay_to(uint32_t index, std::span<const Destination> receivers) {
  const Delivery old = delivery(index);
  const LetterReason reason = layout::letter_word_reason(word_of(table_[index]));
  layout::ChunkHeader* header = map_.chunks().find(layout::reference_chunk(old.reference));
  if (receivers.empty() || header == nullptr) return false;
  memory::Holders holders = memory::read_holders(*header);
  const auto bits = unused_bits(old.reference, holders.bits, layout::kDirectBitFirst, receivers.size());
  // The letter must not make room for itself.
  if (bits.size() < receivers.size() || free_.size() < receivers.size()) return false;
  std::vector<uint32_t> fresh;
  uint64_t mask = 0;
  const auto give_up = [&] {
    for (const uint32_t each : fresh) free(each);
    return false;
  };
  for (std::size_t i = 0; i < receivers.size(); ++i) {
    const auto made = prepare({old.reference, bits[i]}, receivers[i].name, receivers[i].place, false);
    if (!made) return give_up();
    table_[*made].destination = (receivers[i].owner_incarnation & 0xffffffff) << 32 | receivers[i].receiver;
    publish(*made, LetterState::Handed, reason, old.attempt + 1);
    fresh.push_back(*made);
    mask |= uint64_t{1} << bits[i];
  }
  const uint64_t mine = uint64_t{1} << old.bit;
  for (;;) {  // As often as others release: each of them once.
    if (!layout::same_generation(old.reference, holders.generation) || (holders.bits & mine) == 0) return give_up();
    base::Pair expected{holders.generation, holders.bits};
    if (header->holders.compare_exchange(expected, {holders.generation, (holders.bits & ~mine) | mask})) break;  // R(release)
    holders = {expected.low, expected.high};
  }
  free(index);
  for (const uint32_t each : fresh) push(each);
  return true;
}

}  // namespace ripstop::control
