// What is explored: a few actors on one small fabric, and what must be true when nobody can go on.
//
// A scene is made once and remembered; each run begins with it as it was made. Its own fields are its ledger:
// they lie outside of the memory under test. An actor that enters something there says so with note(),
// so that two runs that differ in the ledger are not taken for one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ripstop::explorer {

// What an actor says, or waits for, while it runs.
//
// It has entered `what` into the ledger.
void note(uint64_t what) noexcept;
// How often somebody else has changed the shared memory. Read it, look, and if there was nothing to do
// await_change() with what was read: it goes on when somebody has changed something since.
uint64_t changes() noexcept;
void await_change(uint64_t seen) noexcept;

enum class Harm : uint8_t { None, Lost, Doubled, Leaked, Blocked, Wrong };
const char* to_text(Harm harm) noexcept;

struct Finding {
  Harm harm = Harm::None;
  std::string words;
};

// A thread of an agent.
struct Actor {
  std::string name;
  uint32_t agent;  // Whose death is the death of all its actors.
  bool is_mortal;
  std::function<void()> act;
};

class Scene {
 public:
  Scene() = default;
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;
  virtual ~Scene() = default;

  // The memory that the actors share.
  virtual std::vector<std::span<std::byte>> shared() = 0;
  // What a word of it is, for people. `offset` into the region of that index.
  virtual std::string name_of(std::size_t region, std::size_t offset) = 0;
  // What the supervisor does after a death: an actor as well, and begun anew if it is killed itself.
  virtual void recover() = 0;
  // Nobody can go on: those whose actor is in `asleep` (by index) sleep in the kernel, the others are done
  // or dead. Called once, not as an actor.
  virtual Finding judge(const std::vector<bool>& asleep) = 0;

  // As the kernel knows it.
  bool is_dead(uint32_t agent) const noexcept;

  std::vector<Actor> actors;
  bool supervisor_is_mortal = true;
  uint64_t dead = 0;  // Bit i: agent i.
};

// How far a scene is explored.
struct Bounds {
  uint32_t preemptions = 3;
  uint32_t kills = 1;
  uint32_t holds = 0;  // Stores that linger in their processor's buffer, with all that follow them.
};

struct Play {
  std::string name;
  std::string what;
  std::vector<Bounds> short_bounds;
  std::vector<Bounds> long_bounds;
  std::function<std::unique_ptr<Scene>()> make;
};

}  // namespace ripstop::explorer
