// The control segment, read with bounds: for agents, shmctl and the supervisor itself.
//
// Offsets and counts are checked once and kept in private memory; after that no index from shared
// memory leads out of the segment, whatever it says.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "layout/control_segment.h"
#include "ripstop/result.h"

namespace ripstop::control {

class ControlView {
 public:
  // Errors:   AbiMismatch, LayoutMismatch (both name both sides), Corrupt (says which part lies where
  //           it cannot).
  // Lifetime: `segment` outlives the view; copies of the view are as good.
  static Result<ControlView> open(std::span<const std::byte> segment);

  const layout::Superblock& superblock() const noexcept { return *superblock_; }
  std::span<const layout::ClassGeometry> classes() const noexcept {
    return {superblock_->classes, class_count_};
  }
  std::span<const layout::NodeGeometry> nodes() const noexcept { return {superblock_->nodes, node_count_}; }
  // Empty for a node that is not there.
  std::span<const layout::SlabEntry> slab_entries(uint32_t node_index) const noexcept;

  // Entries are null beyond the capacity. Subscription and ring 0 are never in use.
  const layout::AgentEntry* agent_entry(uint32_t id) const noexcept { return entry(agents_, id); }
  const layout::TopicEntry* topic_entry(uint32_t id) const noexcept { return entry(topics_, id); }
  const layout::SubscriptionEntry* subscription_entry(uint32_t id) const noexcept { return entry(subscriptions_, id); }
  const layout::RingEntry* ring_entry(uint32_t id) const noexcept { return entry(rings_, id); }
  const layout::LetterEntry* letter_entry(uint32_t id) const noexcept { return entry(letters_, id); }
  uint32_t letter_capacity() const noexcept { return letters_.count; }

  uint32_t agent_capacity() const noexcept { return agents_.count; }
  uint32_t topic_capacity() const noexcept { return topics_.count; }
  uint32_t subscription_capacity() const noexcept { return subscriptions_.count; }
  uint32_t ring_capacity() const noexcept { return rings_.count; }

  // How many entries of a table can be in use: [0, high).
  uint32_t agent_high() const noexcept { return high(superblock_->agent_high, agents_.count); }
  uint32_t topic_high() const noexcept { return high(superblock_->topic_high, topics_.count); }
  uint32_t subscription_high() const noexcept { return high(superblock_->subscription_high, subscriptions_.count); }
  uint32_t ring_high() const noexcept { return high(superblock_->ring_high, rings_.count); }

  // The topic of that name, if anybody has named it before.
  std::optional<uint32_t> find_topic(std::string_view name) const noexcept;
  // The name of a topic in use; empty when it is not.
  std::string_view topic_name(uint32_t topic_id) const noexcept;

  // Copies who receives a topic. False when the supervisor kept changing it while we looked, or died
  // in the middle of damage: try again at the next message.
  bool copy_route(uint32_t topic_id, std::vector<layout::RouteReceiver>& receivers) const;

  // The trie of patterns, {version, unit}; whoever reads it does as copy_route() does (pattern_view.h).
  uint64_t pattern_root() const noexcept {
    // A(route): pairs with R(route) in the supervisor's pattern book, which writes the nodes before.
    return superblock_->pattern_root.load(std::memory_order_acquire);
  }
  // Whether it still is `root`, after a copy that may have been overtaken.
  bool has_pattern_root(uint64_t root) const noexcept {
    // A(route): nothing of the copy is read after the word that says whether it was whole.
    std::atomic_thread_fence(std::memory_order_acquire);
    return superblock_->pattern_root.load(std::memory_order_relaxed) == root;  // Relaxed: the fence orders it.
  }
  // `unit_count` units of the route arena; null: they do not lie there. Read by copy_words() alone.
  const std::byte* route_units(uint64_t unit, uint64_t unit_count) const noexcept {
    if (unit == 0 || unit >= route_units_ || unit_count > route_units_ - unit) return nullptr;
    return routes_ + unit * layout::kRouteUnitBytes;
  }
  // Copies whole words that the supervisor may be overwriting; the caller finds out afterwards.
  static void copy_words(void* to, const void* from, std::size_t bytes) noexcept;

  // Moves whenever a route of the shard changed: read it, then copy the route.
  static uint32_t shard_of(uint64_t name_hash) noexcept {
    return static_cast<uint32_t>(name_hash) & (layout::kEpochShards - 1);
  }
  // Where a topic of that hash is listed: other bits than the shard's.
  static uint32_t bucket_of(uint64_t name_hash, uint32_t bucket_count) noexcept {
    return static_cast<uint32_t>(name_hash >> 32) & (bucket_count - 1);
  }
  uint64_t route_epoch(uint32_t shard) const noexcept {
    // A(route): pairs with R(route) in the supervisor's registry, which stores the route before.
    return superblock_->route_epoch[shard & (layout::kEpochShards - 1)].load(std::memory_order_acquire);
  }

  // A name field's text, which ends at the first zero.
  static std::string_view text_of(const char* field, std::size_t bytes) noexcept;

 private:
  template <class T>
  struct Table {
    const T* first = nullptr;
    uint32_t count = 0;
  };
  template <class T>
  static const T* entry(const Table<T>& table, uint32_t id) noexcept {
    return id < table.count ? table.first + id : nullptr;
  }
  static uint32_t high(const std::atomic<uint32_t>& word, uint32_t capacity) noexcept {
    // A(directory): pairs with R(directory) in the supervisor's registry.
    const uint32_t value = word.load(std::memory_order_acquire);
    return value < capacity ? value : capacity;
  }
  // Null when it does not lie in the segment.
  template <class T>
  const T* place(uint64_t offset, uint64_t count) const noexcept;
  Result<void> check_tables();
  Result<void> check_node(uint32_t node_index);

  ControlView() = default;

  std::span<const std::byte> segment_;
  const layout::Superblock* superblock_ = nullptr;
  uint32_t class_count_ = 0;
  uint32_t node_count_ = 0;
  Table<layout::AgentEntry> agents_;
  Table<layout::TopicEntry> topics_;
  Table<layout::TopicBucket> buckets_;
  Table<layout::SubscriptionEntry> subscriptions_;
  Table<layout::RingEntry> rings_;
  Table<layout::LetterEntry> letters_;
  std::vector<Table<layout::SlabEntry>> slabs_;
  const std::byte* routes_ = nullptr;
  uint64_t route_units_ = 0;
};

}  // namespace ripstop::control
