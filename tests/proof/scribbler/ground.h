// What is scribbled on: a small fabric in a valid state in which there is something of everything, and what is
// needed to get it back as it was.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "proof/world.h"

namespace ripstop::proof {

class Ground {
 public:
  enum class Kind { FanOut, Direct };
  explicit Ground(Kind kind);

  // The memory as it was, for everybody.
  void restore();

  std::span<std::byte> node() const { return node_; }
  std::span<const std::byte> control() const { return world_->control(); }
  World& world() { return *world_; }
  const layout::NodeGeometry& geometry() const { return world_->segments().superblock().nodes[0]; }

  // Offsets in the node of all words that mean something, 8 bytes each: headers, owners, blocks without most
  // of their histograms, rings, chunk headers and what lies in chunks that are lists.
  const std::vector<uint32_t>& words() const { return words_; }
  // The same places as structures that can be taken for one another.
  struct Structure {
    uint32_t offset;
    uint32_t bytes;
  };
  const std::vector<std::vector<Structure>>& kinds() const { return kinds_; }
  // Values that the node's words have, each once: references, states, names, counts.
  const std::vector<uint64_t>& values() const { return values_; }

  // An agent and its subscriptions once more, for inboxes that are made anew: they live as long as the ground.
  struct Receiver {
    std::shared_ptr<detail::AgentCore> core;
    std::vector<std::unique_ptr<detail::SubscriberCore>> subscriptions;
  };
  Receiver& receiver(std::size_t member);

  // Takes what an inbox of the member's that is made anew finds, until it finds nothing, and hands each message
  // to `read`, which may take it away until `end`; `corrupt` is called where the answer is Corrupt.
  void take_all(std::size_t member, const std::function<void(Message&)>& read, const std::function<void()>& corrupt = {},
                const std::function<void()>& end = {});

  // An agent's library anew, as it is after attaching: nothing in hand, nothing remembered.
  std::shared_ptr<detail::AgentCore> reborn(std::size_t member) const;

 private:
  void make_fan_out();
  void make_direct();
  void leave_letters();
  void name_an_intent();
  void list_words();

  std::unique_ptr<World> world_;
  std::span<std::byte> node_;
  std::vector<std::byte> saved_node_;
  std::vector<std::byte> saved_control_;
  std::vector<uint32_t> words_;
  std::vector<std::vector<Structure>> kinds_;
  std::vector<uint64_t> values_;
  std::map<std::size_t, Receiver> receivers_;  // By member.
};

}  // namespace ripstop::proof
