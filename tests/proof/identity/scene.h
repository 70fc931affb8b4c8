// What D1's cases have in common: a victim with hands full, a witness beside it, and a talker to both.
//
// Numbers are published on one topic; the witness takes all of them and says what it missed or saw twice. So
// the oracle is two processes outside the fabric's memory, which were told what to expect.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proof/live/child.h"
#include "proof/live/fabric.h"
#include "proof/live/suite.h"
#include "ripstop/agent.h"

namespace ripstop::identity {

using live::Child;
using live::Fabric;
using live::Fault;
using live::Findings;
using live::Link;

inline constexpr uint32_t kChunkCount = 512;  // live::small_settings().

// An agent with messages in hand and in its lane, a loan that is being filled, and the end of a channel.
struct Held {
  Agent agent;
  Publisher<Bytes> publisher;
  Subscriber<Bytes> subscriber;
  std::vector<Message<Bytes>> in_hand;
  std::optional<Loan<Bytes>> loan;
};
std::unique_ptr<Held> hold(const std::string& name = "victim");

AgentOptions options_of(const std::string& name, int timeout_ms = 5000);
// Attaches and detaches in a process of its own; outcome_of().
std::string try_attach(const std::string& name);
using live::is_error;
using live::outcome_of;
using live::words_of;

class Scene {
 public:
  // `act`: what the victim does when it is told to; it holds what hold() gives it.
  using Act = std::function<int(const Link&, Held&)>;
  explicit Scene(Findings& findings, const Act& act = {}, std::vector<std::string> settings = {});

  // Everything is up, and the victim's hands are full. Nothing else of it is to be asked when it is false.
  bool ready() const noexcept { return ready_; }
  Fabric& fabric() noexcept { return fabric_; }
  Child& victim() noexcept { return *victim_; }
  const Child& talker() const noexcept { return *talker_; }
  Findings& findings() noexcept { return findings_; }
  // The victim does its act.
  void act() { victim_->link().tell("act"); }

  // `count` more numbers are published: how many receivers the last one reached, -1 when a send fails.
  int talk(int count);
  // The victim's name goes, and then nothing of it is left but what the witness has to show.
  void expect_settled(int timeout_ms = 3'000);
  // It still has its place; messages reach it and the witness.
  void expect_alive();
  // All numbers were taken by the witness, in order, once. Ends witness and talker, then the fabric.
  void finish();
  // For a case that ends the supervisor itself.
  void finish_agents();

 private:
  Findings& findings_;
  Fabric fabric_;
  std::unique_ptr<Child> witness_;
  std::unique_ptr<Child> victim_;
  std::unique_ptr<Child> talker_;
  int published_ = 0;
  bool ready_ = false;
};

// The cases, by what they are about.
std::vector<live::Case> death_cases();
std::vector<live::Case> fork_cases();
std::vector<live::Case> identity_cases();
std::vector<live::Case> supervisor_cases();
std::vector<live::Case> namespace_cases();

}  // namespace ripstop::identity
