// A look at a fabric from outside: who is attached, what waits, what memory is used, down to slot and
// holder words. Read-only maps, no message, no lock: it costs the watched nothing, and works when the
// supervisor is dead or hung.
//
//   auto fabric = ripstop::Inspector::open({.fabric = "default"});
//   for (const auto& agent : fabric->agents()) std::puts(agent.name.c_str());
//
// Everything is copied once and bounded. What is out of bounds is left out, counted in `corrupt`, and
// never followed. Readings of a moving fabric are true word by word, not all of one instant.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ripstop/result.h"
#include "ripstop/types.h"

namespace ripstop {

namespace detail {
class InspectCore;
}  // namespace detail

struct InspectOptions {
  std::string fabric = "default";          // $RIPSTOP_FABRIC overrides an unchanged default.
  std::string socket;                      // The supervisor's; empty: where that fabric's lies.
  std::chrono::milliseconds timeout{500};  // For the supervisor, then for the keeper.
  // A page of the memory that is gone reads as zeros instead of ending this process by SIGBUS. Sets the
  // process's handler of that signal: for programs that are there to look.
  bool survive_lost_pages = false;
};

// A process as the kernel shows it, without its cooperation.
struct ProcessView {
  uint32_t pid = 0;
  bool alive =
      false;  // It exists and is no zombie, and is the one meant, not a successor of its number.
  // 'R' runs (any thread), 'S' sleeps, 'D' waits in the kernel, 'T' stopped, 't' traced, 'Z' zombie, 0 gone.
  char state = 0;
  uint64_t cpu_ns = 0;  // User and system time of all threads.
  uint64_t resident_bytes = 0;
  std::string program;     // Its comm.
  std::string blocked_in;  // The system call of its main thread, "" when it runs or is not told.
};

struct FabricView {
  std::string name;
  uint64_t fabric_id = 0;
  uint32_t abi_version = 0;
  uint64_t layout_hash = 0;
  std::string state;     // starting, serving, draining, ended.
  std::string read_via;  // supervisor, keeper.
  std::string
      supervisor_silence;  // Why the supervisor was not the one who answered; "" when it was.
  ProcessView supervisor;
  ProcessView keeper;
  uint64_t epoch = 0;           // Take-overs of the memory by a supervisor, the first included.
  uint64_t create_time_ns = 0;  // CLOCK_REALTIME.
  uint64_t control_bytes = 0;
  uint64_t total_bytes = 0;  // Control segment and node segments.
  uint32_t agent_count = 0;  // Live, observers included.
  uint32_t agent_capacity = 0;
  uint32_t topic_count = 0;
  uint32_t topic_capacity = 0;
  uint32_t subscription_count = 0;
  uint32_t subscription_capacity = 0;
  uint32_t ring_count = 0;
  uint32_t ring_capacity = 0;
  uint64_t attach_count = 0;
  uint64_t detach_count = 0;
  uint64_t death_count = 0;
  uint64_t recovered_messages = 0;
  uint64_t recovered_chunks = 0;
  uint64_t completed_sends = 0;
  uint64_t corrupt_words = 0;
  uint32_t dead_letters = 0;
  uint32_t waiting_letters = 0;  // For a successor of their agent.
  uint32_t letter_capacity = 0;  // Both together.
  // Released instead, since the fabric began:
  uint64_t letters_unkept = 0;         // The configuration keeps none.
  uint64_t letters_without_place = 0;  // A newer one needed the place, or there was none.
  uint64_t letters_beyond_share = 0;   // Too many chunks of their class would have been kept.
  uint64_t letters_dropped = 0;        // By hand.
  uint64_t messages_revoked = 0;       // Went on without their agent, which had them in hand for too long.
};

// One size class on one node.
struct ClassView {
  uint32_t payload_bytes = 0;
  uint32_t stride_bytes = 0;
  uint32_t slabs_owned = 0;
  uint32_t slabs_free = 0;
  uint32_t chunks_total = 0;
  uint32_t chunks_free = 0;
  uint32_t chunks_loaned = 0;  // Being filled.
  uint32_t chunks_held = 0;    // Sent, and in somebody's lane or hand.
};

struct NodeView {
  uint32_t index = 0;
  uint32_t numa_node = 0;
  uint64_t segment_bytes = 0;
  uint64_t ring_arena_bytes = 0;
  std::string pages_asked;  // small, transparent, huge.
  std::string pages_got;
  bool bound = false;
  bool poisoned = false;    // It lost a page: the supervisor met a hole, or this look did.
  uint32_t lost_pages = 0;  // As far as they were met.
  uint32_t agent_count = 0;
  std::vector<ClassView> classes;
  uint32_t corrupt = 0;
};

// Percentiles of publish-to-take times, at most 1.6 % off.
struct LatencyView {
  uint64_t count = 0;
  uint64_t p50_ns = 0;
  uint64_t p95_ns = 0;
  uint64_t p99_ns = 0;
  uint64_t p999_ns = 0;
  uint64_t max_ns = 0;
};

// A queue in front of an agent: one of its lanes, or a ring of its own.
struct LaneView {
  std::string label;     // critical … background, or "ring 7".
  uint32_t ring_id = 0;  // 0: a lane of the inbox.
  uint32_t capacity = 0;
  uint32_t waiting = 0;  // Committed, not yet taken.
  uint32_t taken =
      0;  // In somebody's hand, in place. A lane read in place counts the first in the queue.
  std::optional<uint64_t> oldest_ns;  // Age of the first that waits.
};

struct PublisherView {
  uint32_t topic_id = 0;
  std::string topic;
  std::string agent;
  uint32_t agent_id = 0;
  uint64_t sequence = 0;
  uint64_t message_count = 0;
  uint64_t byte_count = 0;
  uint64_t delivery_count = 0;
  uint64_t full_count = 0;
  uint64_t none_count = 0;
  std::optional<uint64_t> last_ns;  // Age of the last send.
};

struct SubscriptionView {
  uint32_t topic_id = 0;
  std::string topic;  // Or the pattern.
  std::string agent;
  uint32_t agent_id = 0;
  uint32_t ring_id = 0;  // 0: the inbox.
  std::string overflow;
  uint64_t message_count = 0;
  uint64_t byte_count = 0;
  uint64_t lost_count = 0;
  uint64_t duplicate_count = 0;
  uint64_t dropped_count = 0;
  std::optional<uint64_t> last_ns;   // Age of the last take.
  std::optional<uint64_t> since_ns;  // Age of the subscription.
};

// Is it dead, stuck, or just thinking?
enum class Health : uint8_t {
  Idle = 0,     // Nothing waits for it, nothing is in its hand.
  Active = 1,   // It takes or publishes.
  Busy = 2,     // It has a message in hand, takes no other, and uses the processor: thinking.
  Lagging = 3,  // It takes, but what waits is old or the lane fills.
  Stuck = 4,    // Messages wait, it takes none, and it does not compute.
  Stopped = 5,  // SIGSTOP or a debugger.
  Zombie = 6,   // It has ended, and its parent has not waited for it. Settled as the dead are.
  Dead = 7,
};
std::string_view to_string(Health health) noexcept;

struct AgentView {
  uint32_t id = 0;
  std::string name;
  bool live = false;  // As the registry has it; false: its death is being settled.
  bool observer = false;
  bool remote = false;
  ProcessView process;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t node = 0;
  uint64_t incarnation = 0;
  uint64_t age_ns = 0;        // Since it attached.
  uint64_t shared_bytes = 0;  // Its block: inbox, counters, held table. Slabs apart.
  uint32_t slabs_owned = 0;
  uint64_t slab_bytes = 0;

  std::vector<LaneView> lanes;  // The inbox's five, rings of its own, direct lanes.
  uint32_t waiting = 0;         // Summed.
  uint32_t taken = 0;           // Summed over the lanes; messages in hand are these and `held`.
  uint32_t held = 0;
  std::optional<uint64_t> oldest_wait_ns;
  double fullest = 0;  // Of the lanes, 0 to 1.

  uint64_t taken_count = 0;
  uint64_t released_count = 0;
  uint64_t orphan_count = 0;
  uint64_t corrupt_count = 0;
  uint64_t sleep_count = 0;
  uint64_t published_count = 0;
  uint64_t dropped_count = 0;
  uint64_t lost_count = 0;
  std::optional<uint64_t> last_take_ns;  // Ages.
  std::optional<uint64_t> last_publish_ns;
  std::optional<uint64_t> last_look_ns;
  bool asleep = false;  // Its doorbell is armed.
  bool rung = false;    // Armed, and rung: a wake-up is on its way.

  std::vector<PublisherView> publishers;
  std::vector<SubscriptionView> subscriptions;
  LatencyView latency;
  uint32_t corrupt = 0;  // Words of its block that were out of bounds in this look.

  Health health = Health::Idle;
  std::string why;  // The evidence for it, one line.
};

// What two looks at an agent say of its health, the later with the evidence of the earlier beside it
// (CPU time used and messages taken between them). One look alone: `earlier` null.
struct Judgement {
  Health health = Health::Idle;
  std::string why;
};
Judgement judge(const AgentView& now, const AgentView* earlier);

struct TopicView {
  uint32_t id = 0;
  std::string name;
  uint64_t route_version = 0;
  std::vector<PublisherView> publishers;
  std::vector<SubscriptionView> subscribers;  // Those to a pattern that names it, too.
  bool is_pattern = false;          // A pattern that is subscribed to: no publishers, no counts of theirs.
  std::vector<std::string> topics;  // Of a pattern: the topics that it names.
  uint64_t message_count = 0;  // Summed over the publishers that are attached.
  uint64_t byte_count = 0;
  uint64_t delivery_count = 0;
  uint64_t full_count = 0;
  uint64_t none_count = 0;
  uint64_t dropped_count = 0;
  std::optional<uint64_t> last_publish_ns;
};

// A slot in words and as it lies there.
struct SlotView {
  uint32_t index = 0;
  std::string phase;  // empty, full, taken, closed.
  uint64_t turn = 0;
  uint32_t bit = 0;
  uint32_t attempt = 0;
  std::string owner;        // Of a taken slot: who has it.
  std::string chunk;        // Of a full or taken slot: "0/12/3" (node/slab/chunk).
  uint64_t generation = 0;  // The low 36 bits.
  uint64_t low = 0;
  uint64_t high = 0;
  bool current = false;  // The chunk still lives that generation and its holder bit is set.
  bool corrupt = false;  // It names a chunk or an agent that does not exist.
};

struct RingView {
  std::string label;
  uint32_t id = 0;   // 0: a lane.
  std::string kind;  // lane, queue, channel.
  std::string owner;
  std::string producer;  // Of a channel.
  std::string overflow;
  uint32_t node = 0;
  uint32_t slot_count = 0;
  uint32_t slot_bytes = 0;
  uint64_t incarnation = 0;
  uint64_t head = 0;
  uint64_t tail = 0;
  uint32_t waiting = 0;
  uint32_t taken = 0;
  uint32_t closed = 0;
  uint32_t doorbell = 0;
  uint32_t space_waiters = 0;
  std::vector<SlotView> slots;  // Not of a channel.
  uint32_t corrupt = 0;
};

struct ChunkView {
  std::string label;  // "0/12/3".
  uint32_t id = 0;
  uint32_t payload_bytes_max = 0;
  std::string slab_owner;
  uint64_t slab_version = 0;
  uint64_t generation = 0;
  uint64_t bits = 0;
  std::string state;                 // free, loaned, held, closing.
  std::vector<std::string> holders;  // In words: "publisher", "delivery 0: solver".
  std::string role;
  std::string topic;
  std::string source;
  uint64_t sequence = 0;
  std::optional<uint64_t> age_ns;  // Since it was sent.
  uint64_t deadline_ns = 0;
  uint32_t payload_bytes = 0;
  uint32_t schema_id = 0;
  uint64_t correlation = 0;
  std::string priority;
  std::string content_type;
  std::string link;  // "" or a chunk's label.
  std::string root;
  std::vector<uint8_t> payload_start;  // At most 64 bytes.
  uint32_t corrupt = 0;
};

// A message that nobody handled.
struct LetterView {
  uint64_t serial = 0;  // Its number.
  bool waits = false;   // For a successor of its agent; false: it is a dead letter.
  std::string reason;   // died, detached, no_room, closed, overdue.
  std::string agent;    // Whom it was for, "" when that is not known any more.
  uint32_t topic_id = 0;
  std::string topic;
  uint64_t sequence = 0;
  uint32_t attempt = 0;  // Of its last delivery, from 0.
  std::string priority;
  uint32_t payload_bytes = 0;
  std::string chunk;               // "0/12/3".
  uint64_t age_ns = 0;             // Since it was kept.
  std::optional<uint64_t> wait_ns; // How much longer it waits.
};

// This library's own numbers, to hold against a fabric's.
struct LibraryView {
  std::string version;
  uint32_t abi_version = 0;
  uint64_t layout_hash = 0;
};

class Inspector {
 public:
  // Asks the supervisor for read-only descriptors; when it does not answer in time, the keeper.
  // Errors: NoSupervisor (neither answers), Denied, AbiMismatch, LayoutMismatch, Corrupt (the control
  // segment contradicts itself), System.
  static Result<Inspector> open(InspectOptions options = {});

  FabricView fabric() const;
  // Counts the chunks by reading every holder word.
  std::vector<NodeView> nodes() const;
  // Live and dying agents in id order, judged by one look.
  std::vector<AgentView> agents() const;
  // Topics in id order, with those who are attached to them.
  std::vector<TopicView> topics() const;
  // Patterns that are subscribed to, with those who do.
  std::vector<TopicView> patterns() const;
  // Rings and channels of the arenas that are in use, without their slots.
  std::vector<RingView> rings() const;

  // Dead letters and what waits for a successor, the oldest first.
  std::vector<LetterView> letters() const;

  // By name, or by "#id"; topic() also by a pattern that is subscribed to.
  // Errors: NotFound.
  Result<AgentView> agent(std::string_view name) const;
  Result<TopicView> topic(std::string_view name) const;
  // "planner/normal" (a lane), "7" (a ring's number), or a channel's name.
  // Errors: NotFound, Corrupt (it lies outside its segment).
  Result<RingView> ring(std::string_view label) const;
  // "0/12/3" (node/slab/chunk), or the 28-bit number.
  // Errors: NotFound, Usage (neither form).
  Result<ChunkView> chunk(std::string_view label) const;

  static LibraryView library();
  // The fabrics whose sockets lie where this user's do, sorted; whether they answer is not asked.
  static std::vector<std::string> fabric_names();

  // Over a core that is mapped already: for open() and for tests.
  explicit Inspector(std::shared_ptr<const detail::InspectCore> core) noexcept;

 private:
  std::shared_ptr<const detail::InspectCore> core_;
};

}  // namespace ripstop
