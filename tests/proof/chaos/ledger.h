// What the processes of the soak write down about themselves, in memory that is not the fabric's. A
// process that is killed leaves behind what it had written, so its parent knows of each call: it
// returned, it was running, it was never made.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cast.h"

namespace chaos {

enum class Kind : uint8_t {
  Sent = 1,    // `number` on `topic`: reached, full, gone and outcome once it is done.
  Took,        // `number` of `peer`'s incarnation `peer_incarnation`; outcome 1: the bytes were torn.
  Empty,       // A look at every subscription found nothing; it began at begin_ns.
  Subscribed,  // To `topic`.
  Dropped,     // `number` messages of `topic` made room for newer ones, says the library.
};

// Written before the call (begin_ns) and completed after it (done).
struct alignas(64) Entry {
  std::atomic<uint32_t> done;
  Kind kind;
  uint8_t topic;
  uint8_t priority;
  uint8_t outcome;
  uint32_t number;
  uint32_t peer_incarnation;
  uint32_t peer;
  uint32_t reached;
  uint32_t full;
  uint32_t gone;
  uint64_t begin_ns;
  uint64_t end_ns;
};
static_assert(sizeof(Entry) == 64);

inline constexpr uint64_t kEntryCount = 1 << 13;

enum class Doing : uint32_t { Starting, Attaching, Opening, Sending, Taking, Writing, Resting, Detaching };
const char* to_string(Doing doing);

// One process's, reused by its successors. `tail` is moved by the process, `head` by the parent.
struct Page {
  alignas(64) std::atomic<uint64_t> tail;
  std::atomic<uint64_t> beat;   // Moves whenever the process gets anywhere.
  std::atomic<Doing> doing;
  std::atomic<uint64_t> taken_count;
  std::atomic<uint64_t> released_count;
  std::atomic<uint32_t> silent;   // The quiet phase in which it publishes no more and has nothing in hand.
  std::atomic<uint32_t> drained;  // The quiet phase in which it found its subscriptions empty.
  std::atomic<uint32_t> attached;
  char words[512];  // Why it ended by itself.
  alignas(64) std::atomic<uint64_t> head;
  std::atomic<uint32_t> leave;  // The parent asks it to detach and end.
  alignas(64) Entry entries[kEntryCount];
};

// Odd phases are quiet: nobody publishes, nobody is killed, everything is looked at.
inline constexpr uint32_t kPhaseEnd = ~uint32_t{0};

struct Ledger {
  std::atomic<uint32_t> phase;
  std::atomic<uint32_t> drain;  // The quiet phase in which all are silent: what is there now is all there is.
  Page pages[kPlayerCount];

  // Anonymous shared memory; null when there is none.
  static Ledger* create();
};

// The writing end, in the process.
class Writer {
 public:
  explicit Writer(Page& page) : page_(page) {}

  // A fresh entry, not visible yet; waits for the parent to read when the page is full.
  Entry& begin(Kind kind, uint8_t topic);
  // The parent sees it from now on.
  void publish();
  void note(Kind kind, uint8_t topic, uint32_t number, uint64_t begin_ns);
  static void finish(Entry& entry);

 private:
  Page& page_;
};

}  // namespace chaos
