#include "player.h"

#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mouth.h"
#include "payload.h"
#include "ripstop/ripstop.h"

namespace chaos {

namespace {

using namespace std::chrono_literals;
using ripstop::Agent;
using ripstop::Bytes;
using ripstop::Errc;
using ripstop::TakeOutcome;

// Errors that pass when the supervisor is back, or has settled the one before.
bool passes(Errc code) {
  return code == Errc::NameTaken || code == Errc::NoSupervisor || code == Errc::SupervisorGone;
}

class PlayerProcess {
 public:
  PlayerProcess(Ledger& ledger, uint32_t player, uint32_t incarnation, uint64_t seed)
      : ledger_(ledger),
        page_(ledger.pages[player]),
        player_(player),
        incarnation_(incarnation),
        dice_(mix(seed) ^ mix((uint64_t{player} << 32) | incarnation)),
        writer_(page_) {}

  int run() {
    if (const int status = start(); status != 0) return status;
    page_.attached = 1;
    while (page_.leave == 0 && ledger_.phase != kPhaseEnd) {
      beat(Doing::Resting);
      const uint32_t phase = ledger_.phase;
      if (phase % 2 == 1) {
        rest(phase);
      } else {
        speak();
        hear(16, dice_.chance(50) ? 0ns : std::chrono::nanoseconds(dice_.below(2'000'000)));
      }
      if (status_ != 0) return status_;
    }
    beat(Doing::Detaching);
    if (dice_.chance(50)) in_hand_.clear();  // Or end after the agent: harmless, says agent.h.
    mouths_.clear();
    (void)agent_->detach();
    return kLeft;
  }

 private:
  void beat(Doing doing) {
    page_.doing = doing;
    page_.beat.fetch_add(1, std::memory_order_relaxed);  // The parent only looks whether it moves.
  }

  int failed(const std::string& words) {
    std::snprintf(page_.words, sizeof page_.words, "%s", words.c_str());
    return status_ = kFailed;
  }
  int failed(const char* call, const ripstop::Error& error) {
    if (error.code == Errc::Timeout) return status_ = kAskedTooLong;
    return failed(std::string(call) + ": " + ripstop::to_string(error));
  }

  int start() {
    const Player& me = cast()[player_];
    beat(Doing::Attaching);
    while (!agent_) {
      ripstop::AgentOptions options;
      options.name = me.name;
      options.wait = me.wait;
      auto attached = Agent::attach(options);
      if (attached) {
        agent_ = std::move(*attached);
      } else if (!passes(attached.error().code)) {
        return failed("attach", attached.error());
      } else {
        usleep(3000);
      }
    }
    beat(Doing::Opening);
    for (const Hears& each : me.hears) {
      if (const int status = subscribe(each); status != 0) return status;
    }
    for (const Says& each : me.says) {
      auto mouth = Mouth::open(*agent_, each, player_, incarnation_);
      while (!mouth && passes(mouth.error().code)) {
        usleep(3000);
        mouth = Mouth::open(*agent_, each, player_, incarnation_);
      }
      if (!mouth) return failed("publisher", mouth.error());
      mouths_.push_back(std::move(*mouth));
    }
    return 0;
  }

  int subscribe(const Hears& hears) {
    Entry& entry = writer_.begin(Kind::Subscribed, hears.topic);
    writer_.publish();
    for (;;) {
      auto subscriber = agent_->subscriber(
          topic_name(hears.topic),
          {.overflow = hears.overflow, .own_ring = hears.own_ring, .slot_count = hears.slot_count});
      if (subscriber) {
        Writer::finish(entry);
        ears_.emplace_back(hears, std::move(*subscriber));
        return 0;
      }
      if (!passes(subscriber.error().code)) return failed("subscriber", subscriber.error());
      usleep(3000);
    }
  }

  void speak() {
    const uint64_t now = ripstop::now_ns();
    for (Mouth& mouth : mouths_) {
      if (now < mouth.next_ns && !std::exchange(mouth.asked, false)) continue;
      beat(Doing::Sending);
      if (auto said = mouth.speak(writer_, dice_); !said) failed("loan", said.error());
      if (!mouth.trouble.empty()) failed(mouth.trouble);
      // A long burst is not one step: the parent must see that it gets on.
      page_.beat.fetch_add(1, std::memory_order_relaxed);
    }
  }

  // Takes up to `count` messages, the first with a wait.
  void hear(int count, std::chrono::nanoseconds timeout) {
    beat(Doing::Taking);
    for (int i = 0; i < count && status_ == 0; ++i) {
      const uint64_t begin_ns = ripstop::now_ns();
      auto taken = agent_->next(i == 0 ? timeout : 0ns);
      if (taken) {
        note_taken(std::move(*taken));
        continue;
      }
      switch (taken.outcome()) {
        case TakeOutcome::Empty:
          // An end is noted once; the next one says more only after something was there.
          if (begin_ns > last_empty_ns_ + 50'000'000) {
            writer_.note(Kind::Empty, 0, 0, begin_ns);
            last_empty_ns_ = begin_ns;
          }
          if (dice_.chance(30)) let_go();
          return;
        case TakeOutcome::HeldFull: let_go(); break;
        default: failed("next(): " + std::string(ripstop::to_string(taken.outcome())));
      }
    }
  }

  void note_taken(ripstop::Message<Bytes> message) {
    page_.taken_count.fetch_add(1, std::memory_order_relaxed);  // Read after the process has ended.
    Heard heard = listen(message);
    Entry& entry = writer_.begin(Kind::Took, heard.label.topic);
    entry.number = heard.label.number;
    entry.peer = heard.label.player;
    entry.peer_incarnation = heard.label.incarnation;
    entry.priority = heard.label.priority;
    entry.outcome = heard.torn ? 1 : 0;
    Writer::finish(entry);
    writer_.publish();
    for (Mouth& mouth : mouths_) mouth.asked |= mouth.says().answers == heard.label.topic;
    if (in_hand_.size() < 8 && dice_.chance(10)) {
      in_hand_.push_back(std::move(message));
    } else {
      message.release();
      page_.released_count.fetch_add(1, std::memory_order_relaxed);  // As taken_count.
    }
    if (!in_hand_.empty() && dice_.chance(8)) {
      in_hand_.erase(in_hand_.begin() + static_cast<std::ptrdiff_t>(dice_.below(in_hand_.size())));
      page_.released_count.fetch_add(1, std::memory_order_relaxed);  // As taken_count.
    }
  }

  void let_go() {
    page_.released_count.fetch_add(in_hand_.size(), std::memory_order_relaxed);  // As taken_count.
    in_hand_.clear();
  }

  // A quiet phase: nothing is published; what is there is taken, until there is nothing.
  void rest(uint32_t phase) {
    for (Mouth& mouth : mouths_) mouth.be_silent();
    let_go();
    page_.silent = phase;
    while (ledger_.phase == phase && ledger_.drain != phase && page_.leave == 0 && status_ == 0) {
      hear(64, 1ms);
      let_go();
      page_.silent = phase;
    }
    while (ledger_.phase == phase && page_.leave == 0 && status_ == 0) {
      last_empty_ns_ = 0;
      const uint64_t before = page_.taken_count;
      hear(64, 5ms);
      let_go();
      if (page_.taken_count != before) continue;
      if (page_.drained != phase) {
        for (auto& [hears, subscriber] : ears_) {
          if (lossy(hears)) writer_.note(Kind::Dropped, hears.topic, static_cast<uint32_t>(subscriber.dropped_count()), 0);
        }
        page_.drained = phase;
      }
      usleep(2000);
    }
  }

  Ledger& ledger_;
  Page& page_;
  uint32_t player_;
  uint32_t incarnation_;
  Dice dice_;
  Writer writer_;
  int status_ = 0;
  uint64_t last_empty_ns_ = 0;
  std::optional<Agent> agent_;
  std::vector<std::pair<Hears, ripstop::Subscriber<Bytes>>> ears_;
  std::vector<Mouth> mouths_;
  std::vector<ripstop::Message<Bytes>> in_hand_;
};

}  // namespace

int play(Ledger& ledger, uint32_t player, uint32_t incarnation, uint64_t seed) {
  return PlayerProcess(ledger, player, incarnation, seed).run();
}

}  // namespace chaos
