#include "proof/stop_court.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

#include "ring/doorbell.h"

namespace ripstop::proof {

namespace {

// Of processor time; a call that waits instead is found by the judge's patience.
constexpr uint64_t kPromptNs = 100'000'000;

uint64_t processor_ns() noexcept {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// One message of a survivor, and how many receivers it was told to have reached.
struct Told {
  uint64_t id;
  uint32_t receiver_count;
};

class Court {
 public:
  Court(World& world, const Scenario& scenario, Fate fate, Stopped& stopped, Verdict& verdict)
      : world_(world),
        scenario_(scenario),
        fate_(fate),
        stopped_(stopped),
        verdict_(verdict),
        victim_(world.members().front()),
        publisher_(&world.members()[1]),
        message_(world.next_id()) {
    if (scenario.send_count > 0) world.note_sender(message_, victim_);
    note_full();
  }

  void run() {
    go_on_without() && (fate_ != Fate::ResumedLate || change_everything()) && befall() && settle() && ask_everybody() &&
        ask_victim() && ask_letters() && is_well(look_for_leaks(world_, "after the drain")) && is_well(look_at_tables(world_)) &&
        is_well(fill_and_drain(world_, *publisher_, "the survivors")) && is_well(try_successor(world_, *publisher_)) &&
        is_well(look_for_leaks(world_, "after the successor"));
    verdict_.complete = true;
  }

 private:
  bool fail(Fault fault, const std::string& words) {
    verdict_.fault = fault;
    std::snprintf(verdict_.words, sizeof verdict_.words, "%s", words.c_str());
    return false;
  }
  bool is_well(const Finding& finding) { return !finding.is_fault() || fail(finding.fault, finding.words); }

  template <class Call>
  bool promptly(const char* what, Call call) {
    const uint64_t start_ns = processor_ns();
    call();
    return processor_ns() - start_ns < kPromptNs || fail(Fault::Blocked, std::string(what) + " took too long");
  }

  // --- the survivors ------------------------------------------------------------------------------

  bool send(uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
      const uint64_t last = world_.last_id();
      Sent sent;
      if (!promptly("a send", [&] { sent = publisher_->send(); })) return false;
      if (world_.last_id() != last) told_.push_back({world_.last_id(), sent.receiver_count});
    }
    return true;
  }

  bool take(bool keeps) {
    return is_well(for_each_survivor(world_, [&](Member& member, Subscription& subscription) -> Finding {
      std::optional<Message> message;
      if (!promptly("a take", [&] { message = subscription.take(); })) return {Fault::Blocked, verdict_.words};
      if (!message) return {};
      found_[&subscription].push_back(subscription.last_taken);
      if (keeps) member.in_hand.push_back({std::move(*message), subscription.last_taken});
      return {};
    }));
  }

  bool empty_all() {
    return is_well(for_each_survivor(world_, [&](Member& member, Subscription& subscription) -> Finding {
      if (!drain(subscription, found_[&subscription])) return {Fault::Blocked, member.name + " takes without end"};
      return {};
    }));
  }

  // It has taken all it could: what reached it is known.
  void end(Member& member, bool died) {
    for (Subscription& subscription : member.subscriptions) (void)drain(subscription, found_[&subscription]);
    world_.registry().settle(member.place.id, died);
    member.dead = true;
  }

  // A push, a take, a fan-out to somebody who comes and goes, a release, a full ring, evictions.
  bool go_on_without() {
    if (scenario_.meanwhile && !promptly("the supervisor", [&] { scenario_.meanwhile(world_); })) return false;
    if (!(send(1) && take(false))) return false;
    Member& guest = world_.attach("guest");
    (void)world_.subscribe(guest);
    if (!(send(1) && take(true) && send(1))) return false;
    end(guest, false);
    return send(world_.shape().lane_slots + 1);
  }

  // The stopped one will find nothing as it was.
  bool change_everything() {
    for (uint32_t lap = 0; lap < 3 * world_.shape().lane_slots; ++lap) {
      if (!(empty_all() && send(1))) return false;
    }
    end(*publisher_, true);  // Its slabs are orphans, with messages in flight.
    publisher_ = &world_.attach("heir");
    publisher_->open_publisher();
    for (uint32_t lap = 0; lap < 3 * world_.shape().slab_chunks; ++lap) {
      if (!(send(1) && empty_all())) return false;
    }
    if (Member* last = last_of_several()) {
      end(*last, true);
      (void)world_.subscribe(world_.attach("newcomer"));  // In its place, with the same number.
    }
    return send(1);
  }

  // The last receiver that was there from the beginning, when there is another one.
  Member* last_of_several() {
    Member* last = nullptr;
    uint32_t count = 0;
    for (Member& member : world_.members()) {
      if (member.dead || !is_receiver(member)) continue;
      last = &member;
      ++count;
    }
    return count > 1 ? last : nullptr;
  }
  static bool is_receiver(const Member& member) { return member.name.starts_with("receiver"); }

  // Those for whom the victim's message may find no room: before the others acted, or after.
  void note_full() {
    (void)for_each_survivor(world_, [&](Member& member, Subscription& subscription) {
      if (is_full(member, subscription)) full_.insert(&subscription);
      return Finding{};
    });
  }

  // --- the stopped one ----------------------------------------------------------------------------

  bool befall() {
    note_full();
    const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, stopped_.pid, 0));
    if (pidfd < 0) return fail(Fault::Wrong, "the stopped one is no more");
    if (fate_ == Fate::Killed) {
      kill(stopped_.pid, SIGKILL);
    } else {
      stopped_.gate.store(1);
      ring::futex_wake(stopped_.gate, 1);
    }
    pollfd ended{pidfd, POLLIN, 0};
    while (poll(&ended, 1, -1) <= 0) {
    }
    close(pidfd);
    if (fate_ == Fate::Killed || stopped_.over) return true;
    return fail(Fault::Wrong, "the resumed one crashed");
  }

  static bool is_full(const Member& member, const Subscription& subscription) {
    const control::FabricMap& map = member.core->map();
    if (subscription.ring_id == 0) {
      return map.lane(member.core->block(), static_cast<std::size_t>(Priority::Normal)).find_tail(member.place.incarnation).outcome == ring::Push::Full;
    }
    const auto queue = map.queue(subscription.ring_id);
    return queue && queue->ring.find_tail(queue->incarnation).outcome == ring::Push::Full;
  }

  bool settle() {
    (void)settle_victim(world_);
    victim_.dead = true;
    const uint64_t corrupt_count = world_.map().superblock().corrupt_words.load();
    return corrupt_count == 0 || fail(Fault::Wrong, "recovery found words out of bounds");
  }

  // --- what everybody was told --------------------------------------------------------------------

  bool ask_everybody() {
    if (!empty_all()) return false;
    const bool well = is_well(for_each_survivor(world_, [&](Member& member, Subscription& subscription) {
      return look_through(member, subscription, found_[&subscription]);
    }));
    if (!well) return false;
    for (const Told& told : told_) {
      if (!is_true(told.id, told.receiver_count)) {
        return fail(Fault::Lost, "message " + std::to_string(told.id) + " reached " + std::to_string(told.receiver_count) +
                                     " receivers, its sender was told; " + std::to_string(count_of(told.id)) + " have it");
      }
    }
    return true;
  }

  // Each once, each publisher's in its order, whole, and nothing that was there before is missing.
  Finding look_through(const Member& member, const Subscription& subscription, const Ids& found) {
    const std::string words = member.name + " found " + to_text(found) + ", had " + to_text(subscription.expected) + ", the victim's is " + std::to_string(message_);
    std::map<std::size_t, uint64_t> last;  // By sender.
    for (const uint64_t id : found) {
      if (id == ~uint64_t{0}) return {Fault::Wrong, "torn: " + words};
      if (std::count(found.begin(), found.end(), id) > 1) return {Fault::Doubled, words};
      uint64_t& before = last[world_.sender_of(id)];
      if (id < before) return {Fault::Wrong, "order: " + words};
      before = id;
    }
    if (subscription.overflow == Overflow::DropOldest) return {};
    for (const uint64_t id : subscription.expected) {
      if (std::find(found.begin(), found.end(), id) == found.end()) return {Fault::Lost, words};
    }
    return {};
  }

  // How many found it of those who live and lose nothing.
  uint32_t count_of(uint64_t id) {
    uint32_t count = 0;
    (void)for_each_survivor(world_, [&](Member&, Subscription& subscription) {
      if (subscription.overflow != Overflow::DropOldest && has_found(subscription, id)) ++count;
      return Finding{};
    });
    return count;
  }
  bool has_found(const Subscription& subscription, uint64_t id) {
    const Ids& found = found_[&subscription];
    return std::find(found.begin(), found.end(), id) != found.end();
  }

  // Who may have had it, and its sender cannot tell: the victim, whose policy drops, and who took it and
  // died since.
  bool is_true(uint64_t id, uint32_t told_count) {
    uint32_t silent_count = 0;
    for (const Member& member : world_.members()) {
      for (const Subscription& subscription : member.subscriptions) {
        const bool is_silent = &member == &victim_ || subscription.overflow == Overflow::DropOldest;
        if (is_silent || (member.dead && has_found(subscription, id))) ++silent_count;
      }
    }
    const uint32_t count = count_of(id);
    return count <= told_count && told_count <= count + silent_count;
  }

  bool ask_victim() {
    if (fate_ == Fate::Killed) return scenario_.send_count == 0 || is_whole();
    if (!stopped_.is_intact) return fail(Fault::Wrong, "what the resumed one had in its hands changed");
    if (scenario_.send_count > 0 && !is_true(message_, stopped_.has_sent ? stopped_.sent.receiver_count : 0)) {
      return fail(Fault::Lost, "the resumed one was told that " + std::to_string(stopped_.sent.receiver_count) +
                                   " receivers were reached; " + std::to_string(count_of(message_)) + " have it");
    }
    // What it was about to take may have gone on without it.
    if (victim_.subscriptions.empty() || stopped_.taken == 0 || scenario_.meanwhile) return true;
    const Subscription& own = victim_.subscriptions.front();
    if (own.overflow == Overflow::DropOldest || own.expected.empty() || stopped_.taken == own.expected.front()) return true;
    return fail(Fault::Lost, "the resumed one took " + std::to_string(stopped_.taken) + ", not " + std::to_string(own.expected.front()));
  }

  // A killed one's message has reached all or nobody, but for those who had no room when it was settled.
  bool is_whole() {
    if (count_of(message_) == 0) return true;
    return is_well(for_each_survivor(world_, [&](Member& member, Subscription& subscription) -> Finding {
      const Ids& found = found_[&subscription];
      if (subscription.overflow == Overflow::DropOldest || full_.contains(&subscription) || !is_receiver(member)) return {};
      if (std::find(found.begin(), found.end(), message_) != found.end()) return {};
      return {Fault::Lost, member.name + " has no message " + std::to_string(message_) + ", others have"};
    }));
  }

  // What it left waits for a successor, each once; which of its messages it had done with is K1's to say.
  bool ask_letters() {
    if (!world_.shape().successors) return true;
    world_.registry().expire_letters(~uint64_t{0});
    const Ids letters = dead_letters(world_, victim_.name);
    drop_letters(world_);
    if (std::adjacent_find(letters.begin(), letters.end()) != letters.end()) return fail(Fault::Doubled, "letters " + to_text(letters));
    std::size_t owed_count = victim_.in_hand.size();
    for (const Subscription& subscription : victim_.subscriptions) {
      if (subscription.overflow == Overflow::DropOldest) return true;
      owed_count += subscription.expected.size();
    }
    if (letters.size() + scenario_.release_count >= owed_count) return true;
    return fail(Fault::Lost, "letters " + to_text(letters) + ", and " + std::to_string(owed_count) + " messages were the victim's");
  }

  World& world_;
  const Scenario& scenario_;
  Fate fate_;
  Stopped& stopped_;
  Verdict& verdict_;
  Member& victim_;
  Member* publisher_;
  const uint64_t message_;  // The number that the victim gave, or will give.
  std::vector<Told> told_;
  std::map<const Subscription*, Ids> found_;
  std::set<const Subscription*> full_;
};

}  // namespace

const char* to_text(Fate fate) {
  constexpr const char* kTexts[] = {"killed", "resumed", "resumed late"};
  return kTexts[static_cast<std::size_t>(fate)];
}

void Stopped::wait_at_gate() noexcept {
  while (gate.load() == 0) ring::futex_wait(gate, 0, 0);
}

void Stopped::report(Member& victim) {
  is_intact = true;
  if (victim.core->usable()) {
    for (const Kept& kept : victim.in_hand) {
      const uint64_t id = World::read(kept.message);
      is_intact = is_intact && id != ~uint64_t{0} && (kept.id == 0 || id == kept.id);
    }
  }
  has_sent = victim.last_sent.has_value();
  if (has_sent) sent = *victim.last_sent;
  taken = victim.subscriptions.empty() ? 0 : victim.subscriptions.front().last_taken;
  over = true;
}

void judge_stop(World& world, const Scenario& scenario, Fate fate, Stopped& stopped, Verdict& verdict) {
  judge_in_child(verdict, [&] {
    world.enter_copy();
    Court(world, scenario, fate, stopped, verdict).run();
  });
}

}  // namespace ripstop::proof
