// A machine of its own for the actors of a scene: fibers that change places before each access to shared
// memory, as a search decides.
//
// How it works: the library and the scenes are compiled with -fsanitize=thread and linked to hooks.cc, not
// to ThreadSanitizer's runtime; so the compiler announces every access. Points, at which the search chooses
// who goes on or who is killed, are before
//   an atomic access to a word that two actors touch and one of them changes,
//   a plain access to a word of which somebody's plain access was not ordered by atomic ones (as vector
//   clocks say): what is ordered cannot be told from what happened a moment before,
//   an actor's change of a word that recovery reads when that actor is dead: only for a kill.
// Which words those are is learned from all runs, and the search begins anew when it learns more.
//
// A kill abandons a fiber. A supervisor's fiber begins, and is killed and begun again like any other.
// Who waits, in a futex or for a change, does not go on before there is a reason to.
//
// Stores may be held back, as an x86 processor does: they and all that follow them become visible in order,
// one after the other, before others look at them or when the fiber passes a fence. The fiber itself sees
// them, so they are written into the memory while it runs, and taken out again when another does.
#pragma once

#include <array>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "proof/explorer/scene.h"

namespace ripstop::explorer {

inline constexpr uint32_t kFibersMax = 12;
inline constexpr uint32_t kActorsMax = 6;  // The fibers behind them are supervisors.
inline constexpr uint32_t kOptionsMax = 2 * kFibersMax + 4;

// What can happen next. `fiber`: who.
struct Option {
  enum Kind : uint8_t {
    Go,      // Who runs goes on.
    Switch,  // Another one does.
    Kill,    // Who runs is killed.
    Hold,    // Its store lingers in the buffer.
    Flush,   // What another one has in its buffer becomes visible, up to the word that is about to be touched.
    Rest,    // Nobody does anything any more.
  };
  Kind kind;
  uint8_t fiber;
  friend bool operator==(const Option&, const Option&) = default;
};
// As schedules are written: B, !, ^, ~B.
std::string to_text(Option option);

// Where in a run something is chosen: after so many accesses to shared memory, at a point (:), at a store (^), or
// where who ran cannot go on (/).
struct Place {
  uint64_t access_count;
  char kind;
  friend bool operator==(const Place&, const Place&) = default;
};

// Who decides. The answer is an index into `options`; -1: the run is given up.
class Chooser {
 public:
  virtual ~Chooser() = default;
  virtual int choose(std::span<const Option> options, const Place& place, uint64_t state) = 0;
  // Whether it repeats what was run before: then it looks at no state.
  virtual bool repeats() const { return false; }
};

enum class End : uint8_t { Quiet, GivenUp, Endless };

class Machine {
 public:
  // Makes `scene` the one that is played, as it is now.
  void prepare(Scene& scene);
  // Memory and scene as they were then.
  void put_back();
  // Plays it once.
  End run(const Bounds& bounds, Chooser& chooser);
  // Asks the scene, after a run that ended Quiet.
  Finding judge();
  // Whether a run has shown conflicts that were not known at its beginning; then what was found so far counts
  // for nothing.
  bool has_learned() const noexcept { return has_learned_; }
  // They are points from now on.
  void heed_learned() noexcept;
  // Says each access and choice.
  bool is_traced = false;
  // Each access is a point, whatever was learned.
  bool heeds_all = false;
  // Whether all that the run has changed was announced, and the hash says what the memory says. After a run
  // and before judge().
  bool is_well_kept() const;

  uint64_t point_count() const noexcept { return point_count_; }  // Of the last run.

  // --- what actors and hooks call -------------------------------------------------------------------------
  enum class Access : uint8_t { Read, Write };
  using Clocks = std::array<uint16_t, kFibersMax>;
  // A plain access, before it is made.
  void touch(const void* place, std::size_t bytes, Access access) noexcept;
  // Before an atomic one: a chance for others. Answers whether the place is shared.
  bool before_atomic(const void* place, std::size_t bytes, Access access) noexcept;
  // After it. `value`: what was read. `has_changed`: it was a swap, and it succeeded.
  void saw(uint64_t value) noexcept;
  void ordered(const void* place, std::size_t bytes, bool has_changed) noexcept;
  // A supervisor learns of a death: what the dead did comes before what it does.
  void inherit() noexcept;
  // In the place of an atomic store to shared memory.
  void store(void* place, const void* value, std::size_t bytes, bool is_fence) noexcept;
  // A fence: what lingers becomes visible. fence_all(): everybody's, as membarrier does, and a point.
  void drain_own() noexcept;
  void fence_all() noexcept;
  // Around a change that is made at once.
  void before_change(void* place, std::size_t bytes) noexcept;
  void after_change() noexcept;
  void fall_asleep(const void* word) noexcept;
  uint32_t wake(const void* word, uint32_t count) noexcept;
  void note(uint64_t what) noexcept;
  uint64_t changes() const noexcept;
  void await_change(uint64_t seen) noexcept;
  // Each of an actor's looks at the clock is a good while after the last.
  uint64_t clock_ns() noexcept;
  bool is_running() const noexcept { return current_ != nullptr; }

 private:
  static constexpr uint32_t kNoWord = ~uint32_t{0};
  static constexpr uint32_t kChangeWords = 64;  // Of the largest plain write.
  static constexpr uint32_t kBufferMax = 64;
  static constexpr uint32_t kNobody = ~uint32_t{0};  // The agent of a fiber that has no actor.
  static constexpr unsigned kActorsMask = (1u << kActorsMax) - 1;

  enum class Life : uint8_t { New, Ready, Asleep, Watching, Done, Killed };
  struct Held {
    std::byte* place;
    uint32_t bytes;
    uint64_t value[2];
    uint64_t under[2];  // What the memory says while the fiber runs.
  };
  struct Fiber {
    Life life = Life::New;
    uint8_t index = 0;
    bool is_mortal = false;
    uint32_t agent = 0;  // 0: the supervisor.
    uint64_t seen = 0;   // A hash over all that it has read: it is a function of that.
    uint64_t noted = 0;
    uint64_t own_changes = 0;
    uint64_t awaited = 0;
    uint64_t clock_reads = 0;
    Clocks clocks{};  // Of each fiber, how much happened before what this one does.
    const void* asleep_on = nullptr;
    uint32_t held_count = 0;
    Held held[kBufferMax];
    std::jmp_buf begin;
    std::jmp_buf here;
    std::byte* stack = nullptr;
  };
  struct Region {
    std::byte* first;
    std::size_t bytes;
    uint32_t first_word;
  };

  uint32_t word_of(const void* place) const noexcept {
    for (const Region& region : regions_) {
      const auto offset = static_cast<std::size_t>(static_cast<const std::byte*>(place) - region.first);
      if (offset < region.bytes) return region.first_word + static_cast<uint32_t>(offset / 8);
    }
    return kNoWord;
  }
  uint64_t& value_of(uint32_t word) const noexcept;
  static uint64_t mix(uint64_t a, uint64_t b) noexcept;
  // What is known of a word, from all runs. Bit i: fiber i.
  struct Word {
    uint16_t readers = 0;
    uint16_t writers = 0;
    // Of these actors, that were not dead, a supervisor's access was seen; those of the dead were read after.
    uint16_t read_beside = 0;
    uint16_t written_beside = 0;
    uint16_t inherited_from = 0;
    bool is_raced = false;
    friend bool operator==(const Word&, const Word&) = default;
  };
  // What it says of accesses, since the search began anew.
  enum Heed : uint8_t { kHashed = 1, kAtomicPoint = 2, kPlainPoint = 4, kKillPoint = 8 };
  // Who did what to a word in this run, for the order of plain accesses.
  struct Order {
    uint32_t run = 0;
    uint8_t writer = 0;
    uint16_t written = 0;
    Clocks read{};
    Clocks released{};
  };

  static uint8_t heed(const Word& word) noexcept;
  void learn(uint32_t word, Access access) noexcept;
  Order& order_of(uint32_t word) noexcept;
  void check_order(uint32_t word, Access access) noexcept;
  void acquire(uint32_t word) noexcept;
  void release(uint32_t word) noexcept;
  void inherit(Fiber& fiber) noexcept;
  void count_access() noexcept;
  // Lets others go first, if there is a reason.
  bool pass(uint32_t word, uint32_t count, Access access, Heed kind, const void* place, std::size_t bytes) noexcept;
  void point(const void* place, std::size_t bytes, bool may_switch) noexcept;
  void finish_plain_write() noexcept;
  void changed(Fiber* by, uint32_t word, uint64_t before, uint64_t after) noexcept;
  void change_now(Fiber& by, const Held& held) noexcept;
  void flush(Fiber& fiber, uint32_t count) noexcept;
  void drain_all() noexcept;
  static void show(Fiber& fiber) noexcept;   // Its buffer into the memory.
  static void hide(Fiber& fiber) noexcept;
  uint32_t reach(const Fiber& fiber, const void* place, std::size_t bytes) const noexcept;
  bool can_run(const Fiber& fiber) const noexcept;
  uint64_t state() const noexcept;
  Option choose(std::span<const Option> options, char kind) noexcept;
  void switch_to(Fiber& fiber) noexcept;
  // Who runs cannot go on: somebody else does, or the run is over.
  void leave(bool may_be_killed) noexcept;
  void kill() noexcept;
  void begin_supervisor() noexcept;
  [[noreturn]] void end(End end) noexcept;
  static void enter_fiber();
  void make_stack(Fiber& fiber);
  std::string name_of(uint32_t word) const;
  void trace(const char* what, const void* place, std::size_t bytes);

  Scene* scene_ = nullptr;
  Bounds left_;
  Chooser* chooser_ = nullptr;
  std::vector<Region> regions_;
  std::vector<uint64_t> pristine_;
  std::vector<Word> words_;
  std::vector<uint8_t> heeds_;
  std::vector<Order> orders_;
  std::vector<uint32_t> dirty_;       // Words that the run has changed.
  std::vector<uint32_t> dirty_run_;   // In which run a word was entered there.
  uint32_t run_ = 0;
  uint16_t living_ = 0;  // Bit i: actor i was not killed.
  bool has_learned_ = false;
  Fiber fibers_[kFibersMax];
  uint32_t fiber_count_ = 0;
  Fiber* current_ = nullptr;
  uint64_t hash_ = 0;
  uint64_t change_count_ = 0;
  uint64_t point_count_ = 0;
  uint64_t access_count_ = 0;
  // A plain write that was announced and is not made yet, or not looked at.
  uint32_t written_word_ = kNoWord;
  uint32_t written_count_ = 0;
  uint64_t written_before_[kChangeWords];
  std::byte* written_place_ = nullptr;
  std::size_t written_bytes_ = 0;
  std::jmp_buf back_;
  End end_ = End::Quiet;
};

extern Machine machine;

}  // namespace ripstop::explorer
