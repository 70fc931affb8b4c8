#include "proof/explorer/machine.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "proof/explorer/arena.h"

namespace ripstop::explorer {

namespace {

constexpr std::size_t kStackBytes = 256 * 1024;
constexpr uint64_t kClockStepNs = 60'000;
constexpr uint64_t kPointsMax = 50'000;
constexpr uint64_t kAccessesMax = 5'000'000;

}  // namespace

Machine machine;

void note(uint64_t what) noexcept { machine.note(what); }
uint64_t changes() noexcept { return machine.changes(); }
void await_change(uint64_t seen) noexcept { machine.await_change(seen); }

bool Scene::is_dead(uint32_t agent) const noexcept {
  const bool is = ((dead >> agent) & 1) != 0;
  machine.saw(is ? 1 : 0);
  if (is) machine.inherit();
  return is;
}

const char* to_text(Harm harm) noexcept {
  switch (harm) {
    case Harm::None: return "well";
    case Harm::Lost: return "lost";
    case Harm::Doubled: return "doubled";
    case Harm::Leaked: return "leaked";
    case Harm::Blocked: return "blocked";
    case Harm::Wrong: break;
  }
  return "wrong";
}

std::string to_text(Option option) {
  const std::string who(1, static_cast<char>('A' + option.fiber));
  switch (option.kind) {
    case Option::Go: return "+";
    case Option::Switch: return who;
    case Option::Kill: return "!";
    case Option::Hold: return "^";
    case Option::Flush: return "~" + who;
    case Option::Rest: break;
  }
  return ".";
}

// --- the memory -----------------------------------------------------------------------------------------

uint64_t Machine::mix(uint64_t a, uint64_t b) noexcept {
  const auto product = static_cast<unsigned __int128>(a ^ 0x9e3779b97f4a7c15u) * ((b ^ 0xd6e8feb86659fd93u) | 1);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64) ^ (a << 1) ^ (b << 7);
}

uint64_t& Machine::value_of(uint32_t word) const noexcept {
  std::size_t index = regions_.size() - 1;
  while (regions_[index].first_word > word) --index;
  return reinterpret_cast<uint64_t*>(regions_[index].first)[word - regions_[index].first_word];
}

uint8_t Machine::heed(const Word& word) noexcept {
  const unsigned all = word.readers | word.writers;
  if (word.writers == 0 || (all & (all - 1)) == 0) return 0;
  uint8_t heed = kHashed;
  // Between actors, or between one and a supervisor beside it.
  const unsigned actors = static_cast<uint16_t>(word.readers | word.writers) & kActorsMask;
  const bool among_actors = (word.writers & kActorsMask) != 0 && (actors & (actors - 1)) != 0;
  const bool beside = (word.read_beside & word.writers) != 0 || (word.written_beside & actors) != 0;
  if (among_actors || beside) heed |= kAtomicPoint;
  if (word.is_raced) heed |= kPlainPoint;
  if ((word.inherited_from & word.writers) != 0 || (word.writers & ~kActorsMask) != 0) heed |= kKillPoint;
  return heed;
}

void Machine::learn(uint32_t word, Access access) noexcept {
  Word& known = words_[word];
  if (current_->agent != 0 && (((access == Access::Write ? known.writers : known.readers) >> current_->index) & 1) != 0) return;
  Word now = known;
  const auto me = static_cast<uint16_t>(1u << current_->index);
  (access == Access::Write ? now.writers : now.readers) |= me;
  if (current_->agent == 0) {
    (access == Access::Write ? now.written_beside : now.read_beside) |= living_;
    now.inherited_from |= static_cast<uint16_t>(kActorsMask & ~living_);
  }
  if (now == known) return;
  known = now;
  if (heed(known) != heeds_[word]) has_learned_ = true;
}

void Machine::heed_learned() noexcept {
  for (std::size_t word = 0; word < words_.size(); ++word) heeds_[word] = heed(words_[word]);
  has_learned_ = false;
}

Machine::Order& Machine::order_of(uint32_t word) noexcept {
  Order& order = orders_[word];
  if (order.run != run_) {
    order = Order{};
    order.run = run_;
  }
  return order;
}

// A plain access: whether what others did to the word came before it for sure.
void Machine::check_order(uint32_t word, Access access) noexcept {
  if ((heeds_[word] & kHashed) == 0) return;
  Order& order = order_of(word);
  const Fiber& me = *current_;
  bool is_ordered = order.written <= me.clocks[order.writer];
  if (access == Access::Write) {
    for (uint32_t i = 0; i < fiber_count_; ++i) is_ordered = is_ordered && (i == me.index || order.read[i] <= me.clocks[i]);
    order.writer = me.index;
    order.written = me.clocks[me.index];
  } else {
    order.read[me.index] = me.clocks[me.index];
  }
  if (is_ordered || words_[word].is_raced) return;
  words_[word].is_raced = true;
  has_learned_ = true;
}

void Machine::acquire(uint32_t word) noexcept {
  const Order& order = order_of(word);
  for (uint32_t i = 0; i < kFibersMax; ++i) {
    if (order.released[i] > current_->clocks[i]) current_->clocks[i] = order.released[i];
  }
}

void Machine::release(uint32_t word) noexcept {
  order_of(word).released = current_->clocks;
  ++current_->clocks[current_->index];
}

void Machine::ordered(const void* place, std::size_t bytes, bool has_changed) noexcept {
  const uint32_t first = word_of(place);
  if (first == kNoWord || current_ == nullptr) return;
  const uint32_t last = first + (bytes > 8 ? 1 : 0);
  for (uint32_t word = first; word <= last; ++word) {
    if ((heeds_[word] & kHashed) == 0) continue;
    acquire(word);
    if (has_changed) release(word);
  }
}

void Machine::inherit(Fiber& fiber) noexcept {
  for (uint32_t i = 0; i < fiber_count_; ++i) {
    if (fibers_[i].life != Life::Killed) continue;
    for (uint32_t c = 0; c < kFibersMax; ++c) fiber.clocks[c] = std::max(fiber.clocks[c], fibers_[i].clocks[c]);
  }
}

void Machine::inherit() noexcept {
  if (current_ != nullptr) inherit(*current_);
}

void Machine::count_access() noexcept {
  if (++access_count_ > kAccessesMax) end(End::Endless);
}

bool Machine::pass(uint32_t word, uint32_t count, Access access, Heed kind, const void* place, std::size_t bytes) noexcept {
  uint8_t heeds = 0;
  for (uint32_t i = 0; i < count; ++i) heeds |= heeds_[word + i];
  const bool is_shared = heeds_all || (heeds & kind) != 0;
  const bool is_for_kill = access == Access::Write && (heeds & kKillPoint) != 0 && left_.kills > 0 && current_->is_mortal;
  if (is_shared || is_for_kill) point(place, bytes, is_shared);
  return (heeds & kHashed) != 0 || heeds_all;
}

void Machine::changed(Fiber* by, uint32_t word, uint64_t before, uint64_t after) noexcept {
  if (dirty_run_[word] != run_) {
    dirty_run_[word] = run_;
    dirty_.push_back(word);
  }
  if (before == after) return;
  ++change_count_;
  if (by != nullptr) ++by->own_changes;
  if ((heeds_[word] & kHashed) != 0) hash_ ^= mix(word, before) ^ mix(word, after);
}

bool Machine::is_well_kept() const {
  uint64_t hash = 0;
  for (uint32_t word = 0; word < pristine_.size(); ++word) {
    const uint64_t value = value_of(word);
    if (value == pristine_[word]) continue;
    if (dirty_run_[word] != run_) return false;
    if ((heeds_[word] & kHashed) != 0) hash ^= mix(word, pristine_[word]) ^ mix(word, value);
  }
  return hash == hash_;
}

// --- stores that linger ------------------------------------------------------------------------------------

void Machine::show(Fiber& fiber) noexcept {
  for (uint32_t i = 0; i < fiber.held_count; ++i) {
    Held& held = fiber.held[i];
    std::memcpy(held.under, held.place, held.bytes);
    std::memcpy(held.place, held.value, held.bytes);
  }
}

void Machine::hide(Fiber& fiber) noexcept {
  for (uint32_t i = fiber.held_count; i-- > 0;) std::memcpy(fiber.held[i].place, fiber.held[i].under, fiber.held[i].bytes);
}

void Machine::change_now(Fiber& by, const Held& held) noexcept {
  const uint32_t first = word_of(held.place);
  const uint32_t last = word_of(held.place + held.bytes - 1);
  uint64_t before[3];
  for (uint32_t word = first; word <= last; ++word) before[word - first] = value_of(word);
  std::memcpy(held.place, held.value, held.bytes);
  for (uint32_t word = first; word <= last; ++word) changed(&by, word, before[word - first], value_of(word));
}

// Of a fiber that does not run now, or whose buffer is hidden.
void Machine::flush(Fiber& fiber, uint32_t count) noexcept {
  for (uint32_t i = 0; i < count; ++i) change_now(fiber, fiber.held[i]);
  fiber.held_count -= count;
  std::memmove(fiber.held, fiber.held + count, fiber.held_count * sizeof(Held));
}

void Machine::drain_own() noexcept {
  if (current_ == nullptr) return;
  finish_plain_write();
  if (current_->held_count == 0) return;
  hide(*current_);
  flush(*current_, current_->held_count);
}

void Machine::drain_all() noexcept {
  if (current_ == nullptr) return;
  drain_own();
  for (uint32_t i = 0; i < fiber_count_; ++i) flush(fibers_[i], fibers_[i].held_count);
}

void Machine::fence_all() noexcept {
  if (current_ == nullptr) return;
  finish_plain_write();
  point(nullptr, 0, true);
  drain_all();
}

// How many of a fiber's stores must be visible before those bytes are.
uint32_t Machine::reach(const Fiber& fiber, const void* place, std::size_t bytes) const noexcept {
  const auto* first = static_cast<const std::byte*>(place);
  for (uint32_t i = fiber.held_count; i-- > 0;) {
    if (fiber.held[i].place < first + bytes && first < fiber.held[i].place + fiber.held[i].bytes) return i + 1;
  }
  return 0;
}

// --- accesses -----------------------------------------------------------------------------------------------

void Machine::finish_plain_write() noexcept {
  if (written_word_ == kNoWord) return;
  const uint32_t first = written_word_;
  written_word_ = kNoWord;
  if (current_->held_count == 0) {
    for (uint32_t i = 0; i < written_count_; ++i) changed(current_, first + i, written_before_[i], value_of(first + i));
    return;
  }
  for (uint32_t i = 0; i < written_count_; ++i) {
    uint64_t& word = value_of(first + i);
    if (word == written_before_[i] || current_->held_count == kBufferMax) continue;
    current_->held[current_->held_count++] = {reinterpret_cast<std::byte*>(&word), 8, {word, 0}, {written_before_[i], 0}};
  }
}

void Machine::touch(const void* place, std::size_t bytes, Access access) noexcept {
  const uint32_t first = word_of(place);
  if (first == kNoWord) return;
  const uint32_t count = word_of(static_cast<const std::byte*>(place) + bytes - 1) - first + 1;
  if (current_ == nullptr) {  // While it is judged: only to be put back.
    if (access == Access::Write) {
      for (uint32_t i = 0; i < count; ++i) changed(current_, first + i, 0, 0);
    }
    return;
  }
  finish_plain_write();
  count_access();
  for (uint32_t i = 0; i < count; ++i) learn(first + i, access);
  const bool is_seen = pass(first, count, access, kPlainPoint, place, bytes);
  if (is_seen && is_traced) trace(access == Access::Write ? "writes" : "reads", place, bytes);
  for (uint32_t i = 0; i < count; ++i) check_order(first + i, access);
  if (access == Access::Read) {
    for (uint32_t i = 0; i < count; ++i) {
      if ((heeds_[first + i] & kHashed) != 0) saw(value_of(first + i));
    }
    return;
  }
  saw(0);
  if (count > kChangeWords) std::abort();
  written_word_ = first;
  written_count_ = count;
  for (uint32_t i = 0; i < count; ++i) written_before_[i] = value_of(first + i);
}

bool Machine::before_atomic(const void* place, std::size_t bytes, Access access) noexcept {
  const uint32_t first = word_of(place);
  if (first == kNoWord || current_ == nullptr) return false;
  finish_plain_write();
  count_access();
  const uint32_t count = bytes > 8 ? 2 : 1;
  for (uint32_t i = 0; i < count; ++i) learn(first + i, access);
  if (!pass(first, count, access, kAtomicPoint, place, bytes)) return false;
  if (is_traced) trace(access == Access::Write ? "changes" : "loads", place, bytes);
  return true;
}

void Machine::saw(uint64_t value) noexcept {
  if (current_ != nullptr) current_->seen = mix(current_->seen + 1, value);
}

void Machine::before_change(void* place, std::size_t bytes) noexcept {
  const uint32_t first = word_of(place);
  if (first == kNoWord) return;
  if (current_ != nullptr) drain_own();
  written_word_ = first;
  written_count_ = bytes > 8 ? 2 : 1;
  for (uint32_t i = 0; i < written_count_; ++i) written_before_[i] = value_of(first + i);
}

void Machine::after_change() noexcept {
  if (written_word_ == kNoWord) return;
  const uint32_t first = written_word_;
  written_word_ = kNoWord;
  for (uint32_t i = 0; i < written_count_; ++i) changed(current_, first + i, written_before_[i], value_of(first + i));
}

void Machine::store(void* place, const void* value, std::size_t bytes, bool is_fence) noexcept {
  const bool is_seen = before_atomic(place, bytes, Access::Write);
  if (current_ != nullptr && word_of(place) != kNoWord) {
    saw(0);
    for (uint32_t i = 0; i <= (bytes > 8 ? 1u : 0u); ++i) {
      if ((heeds_[word_of(place) + i] & kHashed) != 0) release(word_of(place) + i);
    }
    const bool lingers = !is_fence && current_->held_count > 0;
    bool holds = false;
    if (is_seen && !is_fence && !lingers && left_.holds > 0) {
      const Option options[] = {{Option::Go, current_->index}, {Option::Hold, current_->index}};
      holds = choose(options, '^').kind == Option::Hold;
      if (holds) --left_.holds;
    }
    if (is_fence) drain_own();
    if ((lingers || holds) && current_->held_count < kBufferMax) {
      Held& held = current_->held[current_->held_count++];
      held.place = static_cast<std::byte*>(place);
      held.bytes = static_cast<uint32_t>(bytes);
      std::memcpy(held.value, value, bytes);
      std::memcpy(held.under, place, bytes);
      std::memcpy(place, value, bytes);
      return;
    }
  }
  before_change(place, bytes);
  std::memcpy(place, value, bytes);
  after_change();
}

void Machine::note(uint64_t what) noexcept {
  if (current_ == nullptr) return;
  current_->noted = mix(current_->noted + 1, what);
}

uint64_t Machine::changes() const noexcept { return current_ == nullptr ? 0 : change_count_ - current_->own_changes; }

void Machine::await_change(uint64_t seen) noexcept {
  if (current_ == nullptr) return;
  finish_plain_write();
  if (changes() != seen) return;
  current_->life = Life::Watching;
  current_->awaited = seen;
  leave(false);
}

void Machine::fall_asleep(const void* word) noexcept {
  current_->life = Life::Asleep;
  current_->asleep_on = word;
  if (is_traced) trace("falls asleep on", word, 4);
  leave(false);
}

uint32_t Machine::wake(const void* word, uint32_t count) noexcept {
  uint32_t woken = 0;
  for (uint32_t i = 0; i < fiber_count_ && woken < count; ++i) {
    Fiber& fiber = fibers_[i];
    if (fiber.life != Life::Asleep || fiber.asleep_on != word) continue;
    fiber.life = Life::Ready;
    ++woken;
  }
  if (is_traced) trace(woken > 0 ? "wakes who sleeps on" : "wakes nobody on", word, 4);
  return woken;
}

uint64_t Machine::clock_ns() noexcept {
  return 1'000'000'000 + (current_ == nullptr ? 0 : ++current_->clock_reads * kClockStepNs);
}

// --- who goes on ----------------------------------------------------------------------------------------------

bool Machine::can_run(const Fiber& fiber) const noexcept {
  switch (fiber.life) {
    case Life::New:
    case Life::Ready: return true;
    case Life::Watching: return change_count_ - fiber.own_changes != fiber.awaited;
    case Life::Asleep:
    case Life::Done:
    case Life::Killed: break;
  }
  return false;
}

uint64_t Machine::state() const noexcept {
  uint64_t key = mix(hash_, (uint64_t{left_.preemptions} << 40) | (left_.kills << 20) | (left_.holds << 8) | current_->index);
  for (uint32_t i = 0; i < fiber_count_; ++i) {
    const Fiber& fiber = fibers_[i];
    if (fiber.agent == kNobody) continue;
    const bool is_over = fiber.life == Life::Done || fiber.life == Life::Killed;
    key = mix(key, static_cast<uint64_t>(fiber.life) * 2 + (can_run(fiber) ? 1 : 0));
    key = mix(key, is_over ? 0 : fiber.seen);
    key = mix(key, fiber.noted);
    for (uint32_t h = 0; h < fiber.held_count; ++h) {
      key = mix(key, word_of(fiber.held[h].place));
      key = mix(key, fiber.held[h].value[0]);
    }
  }
  return key;
}

Option Machine::choose(std::span<const Option> options, char kind) noexcept {
  const uint64_t now = chooser_->repeats() ? 0 : mix(state(), static_cast<uint64_t>(kind) << 8 | options.size());
  const int index = chooser_->choose(options, {access_count_, kind}, now);
  if (index < 0) end(End::GivenUp);
  const Option chosen = options[static_cast<std::size_t>(index)];
  if (is_traced && options.size() > 1 && index != 0) std::printf("    choice: %s\n", to_text(chosen).c_str());
  return chosen;
}

void Machine::point(const void* place, std::size_t bytes, bool may_switch) noexcept {
  if (++point_count_ > kPointsMax) end(End::Endless);
  bool is_first = true;
  for (;; is_first = false) {
    Fiber& me = *current_;
    Option options[kOptionsMax];
    std::size_t count = 0;
    options[count++] = {Option::Go, me.index};
    for (uint32_t i = 0; i < fiber_count_; ++i) {
      const Fiber& fiber = fibers_[i];
      if (&fiber == &me) continue;
      if (may_switch && reach(fiber, place, bytes) > 0) options[count++] = {Option::Flush, fiber.index};
      // Who has just been let go on does something first: it would have been passed by else.
      if (is_first && may_switch && left_.preemptions > 0 && can_run(fiber)) options[count++] = {Option::Switch, fiber.index};
    }
    if (is_first && me.is_mortal && left_.kills > 0) options[count++] = {Option::Kill, me.index};
    const Option chosen = choose({options, count}, ':');
    Fiber& other = fibers_[chosen.fiber];
    switch (chosen.kind) {
      case Option::Go:
        saw(0);  // Behind the point is another place than before it, whatever comes next.
        return;
      case Option::Switch:
        --left_.preemptions;
        switch_to(other);
        break;
      case Option::Flush:
        hide(me);
        flush(other, reach(other, place, bytes));
        show(me);
        break;
      case Option::Kill:
        kill();
        leave(false);
        [[fallthrough]];  // Who is dead does not come back.
      case Option::Hold:
      case Option::Rest: std::abort();
    }
  }
}

void Machine::switch_to(Fiber& fiber) noexcept {
  Fiber& me = *current_;
  hide(me);
  current_ = &fiber;
  show(fiber);
  if (is_traced) std::printf("  %c goes on\n", 'A' + fiber.index);
  if (_setjmp(me.here) == 0) {
    if (fiber.life == Life::New) {
      fiber.life = Life::Ready;
      _longjmp(fiber.begin, 1);
    }
    fiber.life = Life::Ready;
    _longjmp(fiber.here, 1);
  }
}

void Machine::leave(bool may_be_killed) noexcept {
  for (;;) {
    Fiber& me = *current_;
    Option options[kOptionsMax];
    std::size_t count = 0;
    bool has_held = false;
    for (uint32_t i = 0; i < fiber_count_; ++i) {
      if (can_run(fibers_[i])) options[count++] = {Option::Switch, fibers_[i].index};
      has_held = has_held || fibers_[i].held_count > 0;
    }
    if (count == 0 && has_held) {
      drain_all();
      continue;
    }
    if (count == 0) options[count++] = {Option::Rest, me.index};
    if (may_be_killed && me.is_mortal && left_.kills > 0) options[count++] = {Option::Kill, me.index};
    const Option chosen = choose({options, count}, '/');
    if (chosen.kind == Option::Rest) end(End::Quiet);
    if (chosen.kind == Option::Kill) {
      kill();
      may_be_killed = false;
      continue;
    }
    Fiber& other = fibers_[chosen.fiber];
    if (&other != &me) return switch_to(other);
    // It was woken, or what it waited for came, when its own buffer was drained.
    me.life = Life::Ready;
    return;
  }
}

void Machine::kill() noexcept {
  Fiber& me = *current_;
  --left_.kills;
  drain_own();
  me.life = Life::Killed;
  if (me.agent != 0) {
    scene_->dead |= uint64_t{1} << me.agent;
    for (uint32_t i = 0; i < fiber_count_; ++i) {
      Fiber& fiber = fibers_[i];
      if (fiber.agent != me.agent) continue;
      if (&fiber != &me) flush(fiber, fiber.held_count);
      fiber.life = Life::Killed;
      living_ &= static_cast<uint16_t>(~(1u << i));
    }
  }
  for (uint32_t i = 0; i < fiber_count_; ++i) {
    const Fiber& fiber = fibers_[i];
    if (fiber.agent == 0 && fiber.life != Life::Done && fiber.life != Life::Killed) return;  // It will see.
  }
  begin_supervisor();
}

void Machine::begin_supervisor() noexcept {
  if (fiber_count_ == kFibersMax) std::abort();
  Fiber& fiber = fibers_[fiber_count_++];
  fiber.life = Life::New;
  fiber.agent = 0;
  fiber.is_mortal = scene_->supervisor_is_mortal;
  inherit(fiber);
}

void Machine::end(End end) noexcept {
  hide(*current_);
  current_ = nullptr;
  written_word_ = kNoWord;
  end_ = end;
  _longjmp(back_, 1);
}

// --- a run -------------------------------------------------------------------------------------------------------

void Machine::enter_fiber() {
  Fiber& fiber = *machine.current_;
  if (_setjmp(fiber.begin) == 0) _longjmp(machine.back_, 1);
  // From here on, each time that a run begins with it.
  Machine& self = machine;
  Fiber& me = *self.current_;
  if (me.agent == 0) self.scene_->recover();
  else self.scene_->actors[me.index].act();
  self.finish_plain_write();
  self.current_->life = Life::Done;
  self.leave(true);
  std::abort();  // Nobody goes on with what is done.
}

void Machine::make_stack(Fiber& fiber) {
  void* stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack == MAP_FAILED) std::abort();
  fiber.stack = static_cast<std::byte*>(stack);
  static ucontext_t context;
  getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = kStackBytes;
  context.uc_link = nullptr;
  makecontext(&context, &Machine::enter_fiber, 0);
  current_ = &fiber;
  if (_setjmp(back_) == 0) setcontext(&context);
  current_ = nullptr;
}

void Machine::prepare(Scene& scene) {
  const ArenaPause pause;
  for (uint32_t i = 0; i < kFibersMax; ++i) {
    fibers_[i].index = static_cast<uint8_t>(i);
    if (fibers_[i].stack == nullptr) make_stack(fibers_[i]);
  }
  scene_ = &scene;
  if (scene.actors.size() > kActorsMax) std::abort();
  regions_.clear();
  pristine_.clear();
  for (const std::span<std::byte> region : scene.shared()) {
    regions_.push_back({region.data(), region.size(), static_cast<uint32_t>(pristine_.size())});
    const auto* words = reinterpret_cast<const uint64_t*>(region.data());
    pristine_.insert(pristine_.end(), words, words + region.size() / 8);
  }
  words_.assign(pristine_.size(), Word{});
  heeds_.assign(pristine_.size(), 0);
  orders_.assign(pristine_.size(), Order{});
  dirty_.clear();
  dirty_.reserve(pristine_.size());
  dirty_run_.assign(pristine_.size(), 0);
  run_ = 0;
  has_learned_ = false;
  Arena::remember();
}

void Machine::put_back() {
  for (const uint32_t word : dirty_) value_of(word) = pristine_[word];
  dirty_.clear();
  Arena::restore();
}

End Machine::run(const Bounds& bounds, Chooser& chooser) {
  put_back();
  ++run_;
  left_ = bounds;
  chooser_ = &chooser;
  hash_ = change_count_ = point_count_ = access_count_ = 0;
  written_word_ = kNoWord;
  living_ = kActorsMask;
  fiber_count_ = kActorsMax;
  for (uint32_t i = 0; i < kFibersMax; ++i) {
    Fiber& fiber = fibers_[i];
    fiber.life = Life::New;
    fiber.seen = fiber.noted = fiber.own_changes = fiber.clock_reads = 0;
    fiber.held_count = 0;
    fiber.clocks = {};
    fiber.clocks[i] = 1;
    if (i >= scene_->actors.size()) {
      fiber.life = Life::Done;
      fiber.agent = kNobody;
      continue;
    }
    fiber.agent = scene_->actors[i].agent;
    fiber.is_mortal = scene_->actors[i].is_mortal;
  }
  Arena::open();
  if (_setjmp(back_) == 0) {
    // As if somebody who is over now had run before.
    current_ = &fibers_[kFibersMax - 1];
    current_->life = Life::Done;
    leave(false);
  }
  Arena::close();
  return end_;
}

Finding Machine::judge() {
  std::vector<bool> asleep;
  for (std::size_t i = 0; i < scene_->actors.size(); ++i) {
    asleep.push_back(fibers_[i].life == Life::Asleep || fibers_[i].life == Life::Watching);
  }
  Arena::open();
  const Finding inside = scene_->judge(asleep);
  Arena::close();
  return {inside.harm, inside.words};
}

// --- what it says ---------------------------------------------------------------------------------------------------

std::string Machine::name_of(uint32_t word) const {
  std::size_t index = regions_.size() - 1;
  while (regions_[index].first_word > word) --index;
  return scene_->name_of(index, std::size_t{word - regions_[index].first_word} * 8);
}

void Machine::trace(const char* what, const void* place, std::size_t bytes) {
  const ArenaPause pause;
  Fiber* const me = std::exchange(current_, nullptr);  // What the scene looks at for a name is not its actors' doing.
  uint64_t value = 0;
  std::memcpy(&value, place, bytes < 8 ? bytes : 8);
  std::printf("  %5llu %c %s %s", static_cast<unsigned long long>(access_count_), 'A' + me->index, what,
              name_of(word_of(place)).c_str());
  std::printf(" (now %llx)\n", static_cast<unsigned long long>(value));
  current_ = me;
}

}  // namespace ripstop::explorer
