// Places of the fabric's own tables, chunks and rings.
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "proof/exhaustion/cases.h"
#include "proof/live/child.h"
#include "proof/live/fabric.h"
#include "ripstop/agent.h"

namespace ripstop::exhaustion {

namespace {

using live::Case;
using live::Child;
using live::Fabric;
using live::Fault;
using live::Findings;
using live::is_error;
using live::Link;
using live::outcome_of;
using live::wait_until;
using namespace std::chrono_literals;

constexpr uint32_t kChunkCount = 512;

AgentOptions options_of(const std::string& name) {
  AgentOptions options;
  options.name = name;
  options.wait = Wait::Sleep;
  return options;
}

SendOptions at_once() {
  SendOptions options;
  options.timeout = 0ns;
  return options;
}

// Takes until it is refused, holds all of it, and says "COUNT|the refusal". At a word it gives everything back and takes
// again; that is said, too. `take` answers "ok" or the refusal.
class Greedy {
 public:
  virtual ~Greedy() = default;
  virtual std::string take() = 0;
  virtual void give_back() = 0;
};
using MakeGreedy = std::function<std::unique_ptr<Greedy>(Agent&)>;

constexpr int kTakenMax = 100'000;

int be_greedy(const Link& link, const MakeGreedy& make) {
  auto agent = Agent::attach(options_of("greedy"));
  if (!agent) return link.tell("0|" + outcome_of(agent)), 1;
  auto greedy = make(*agent);
  if (!greedy) return link.tell("0|cannot begin"), 1;
  for (;;) {
    int count = 0;
    std::string refusal;
    for (; count < kTakenMax; ++count) {
      refusal = greedy->take();
      if (refusal != "ok") break;
    }
    link.tell(std::to_string(count) + "|" + refusal);
    if (!link.hear(60'000)) return 0;
    greedy->give_back();
  }
}

struct Taken {
  int count = 0;
  std::string refusal;
};
Taken taken_of(const std::string& words) {
  const std::size_t bar = words.find('|');
  if (bar == std::string::npos) return {0, "no answer: " + words};
  return {std::atoi(words.c_str()), words.substr(bar + 1)};
}

// The whole story: all is taken, refused, given back and taken again, its holder killed, and taken again.
void expect_all_again(Findings& f, std::vector<std::string> settings, const MakeGreedy& make, Errc code, int least, uint32_t chunk_count = kChunkCount) {
  Fabric fabric(std::move(settings));
  if (!f.expect(fabric.start(), "the supervisor does not serve: " + fabric.log())) return;
  const auto body = [&](const Link& link) -> int { return be_greedy(link, make); };
  Taken first;
  {
    Child greedy(body);
    first = taken_of(greedy.link().hear(30'000).value_or(""));
    f.expect(first.count >= least, "only " + std::to_string(first.count) + " could be taken, " + std::to_string(least) + " at least are there: " + first.refusal);
    f.expect(is_error(first.refusal, code), "the refusal is: " + first.refusal);
    const Taken again = taken_of(greedy.ask("again", 30'000));
    f.expect(again.count == first.count, "after it was given back " + std::to_string(again.count) + " of " + std::to_string(first.count) + " could be taken: " + again.refusal, Fault::Leaked);
    greedy.kill();  // With all of it in its hands.
  }
  f.expect(wait_until([] { return live::agent_count() == 0; }), "the killed one stays", Fault::Leaked);
  {
    Child greedy(body);
    const Taken after = taken_of(greedy.link().hear(30'000).value_or(""));
    f.expect(after.count == first.count, "after a kill " + std::to_string(after.count) + " of " + std::to_string(first.count) + " could be taken: " + after.refusal, Fault::Leaked);
    greedy.kill();
  }
  f.note(std::to_string(first.count) + " taken");
  live::expect_whole(f, chunk_count);
  live::expect_clean_end(f, fabric);
}

// Of things that are opened.
template <class T>
class Opens : public Greedy {
 public:
  explicit Opens(std::function<Result<T>(int)> open) : open_(std::move(open)) {}
  std::string take() override {
    auto opened = open_(static_cast<int>(all_.size()));
    const std::string words = outcome_of(opened);
    if (opened) all_.push_back(std::make_unique<T>(std::move(*opened)));
    return words;
  }
  void give_back() override { all_.clear(); }

 private:
  std::function<Result<T>(int)> open_;
  std::vector<std::unique_ptr<T>> all_;
};

template <class T, class Open>
MakeGreedy opening(Open open) {
  return [open](Agent& agent) { return std::make_unique<Opens<T>>([&agent, open](int number) { return open(agent, number); }); };
}

class Loans : public Greedy {
 public:
  Loans(Publisher<Bytes> publisher, std::size_t bytes) : publisher_(std::move(publisher)), bytes_(bytes) {}
  std::string take() override {
    auto loan = publisher_.loan(bytes_);
    if (!loan) return outcome_of(loan);
    loans_.push_back(std::move(*loan));
    return "ok";
  }
  void give_back() override { loans_.clear(); }

 private:
  Publisher<Bytes> publisher_;
  std::size_t bytes_;
  std::vector<Loan<Bytes>> loans_;
};

MakeGreedy loaning(std::size_t bytes) {
  return [bytes](Agent& agent) -> std::unique_ptr<Greedy> {
    auto publisher = agent.publisher("p1.loans");
    if (!publisher) return nullptr;
    return std::make_unique<Loans>(std::move(*publisher), bytes);
  };
}

// A receiver that takes nothing, or goes on in order when it is told to; a sender that fills it. Nothing that was
// reported as delivered may be missing, nothing else may come.
void fill_a_ring(Findings& f, SubscriberOptions options, SendOutcome refusal, bool receiver_dies) {
  Fabric fabric;
  if (!f.expect(fabric.start(), "the supervisor does not serve: " + fabric.log())) return;
  Child receiver([&](const Link& link) -> int {
    auto agent = Agent::attach(options_of("receiver"));
    auto subscriber = agent ? agent->subscriber("p1.ring", options) : Result<Subscriber<Bytes>>(agent.error());
    link.tell(outcome_of(subscriber));
    while (link.hear(60'000)) {
      std::string numbers;
      while (auto message = subscriber->take(100ms)) numbers += std::string(message->text()) + " ";
      link.tell(numbers.empty() ? "nothing" : numbers);
    }
    return 0;
  });
  f.expect(receiver.link().hear().value_or("") == "ok", "no subscription");
  Child sender([&](const Link& link) -> int {
    auto agent = Agent::attach(options_of("sender"));
    auto publisher = agent ? agent->publisher("p1.ring") : Result<Publisher<Bytes>>(agent.error());
    if (!publisher) return link.tell(outcome_of(publisher)), 1;
    int number = 0;
    do {
      std::string delivered;
      SendOutcome outcome = SendOutcome::Delivered;
      for (int i = 0; i < 400 && outcome == SendOutcome::Delivered; ++i) {
        const auto sent = publisher->send_copy(std::to_string(number), at_once());
        if (!sent) return link.tell(outcome_of(sent)), 1;
        outcome = sent->outcome;
        if (*sent) delivered += std::to_string(number) + " ";
        ++number;
      }
      link.tell(std::string(to_string(outcome)) + "|" + delivered);
    } while (link.hear(60'000));
    return 0;
  });
  const auto outcome_and_numbers = [](const std::string& words) { return std::pair(words.substr(0, words.find('|')), words.substr(words.find('|') + 1)); };
  const auto [outcome, delivered] = outcome_and_numbers(sender.link().hear(20'000).value_or("no answer|"));
  f.expect(outcome == to_string(refusal), "it ends with " + outcome);
  if (receiver_dies) {
    receiver.kill();
    f.expect(wait_until([] { return live::chunks_in_use() == 0; }), std::to_string(live::chunks_in_use()) + " chunks of the dead receiver's stay", Fault::Leaked);
    const auto [after, none] = outcome_and_numbers(sender.ask("again", 20'000));
    f.expect(after == to_string(SendOutcome::NoReceiver), "after its death: " + after);
  } else {
    const std::string first = receiver.ask("take");
    if (options.overflow == Overflow::DropOldest) {
      // The last ones are there.
      f.expect(delivered.ends_with(first), "it has not the last of them: " + first.substr(0, 60), Fault::Lost);
    } else {
      f.expect(first == delivered, "delivered: " + delivered.substr(0, 100) + "; taken: " + first.substr(0, 100), Fault::Lost);
      const auto [again, second] = outcome_and_numbers(sender.ask("again", 20'000));
      // A publisher that has sent so much may have a lane of its own by now, and more room.
      f.expect(std::count(second.begin(), second.end(), ' ') >= std::count(delivered.begin(), delivered.end(), ' '), "fewer messages fit the second time", Fault::Leaked);
      f.expect(receiver.ask("take") == second, "the second time others are taken than delivered", Fault::Lost);
    }
    receiver.kill();
  }
  sender.kill();
  live::expect_whole(f, kChunkCount);
  live::expect_clean_end(f, fabric);
}

}  // namespace

std::vector<Case> fabric_cases() {
  std::vector<Case> cases;
  const auto add = [&](std::string name, std::string expected, std::function<void(Findings&)> run) {
    cases.push_back({std::move(name), std::move(expected), std::move(run)});
  };
  const std::string again = "; all of it can be had again when it is given back, and when its holder is killed";
  const std::vector<std::string> classes = {
      R"(classes=[{"payload_bytes": 256, "chunk_count": 512}, {"payload_bytes": "1KiB", "chunk_count": 128}, {"payload_bytes": "64KiB", "chunk_count": 8}, {"payload_bytes": "1MiB", "chunk_count": 3}])"};
  for (const auto& [bytes, least] : {std::pair<std::size_t, int>{1 << 20, 3}, {65536, 11}, {1024, 139}, {256, 651}}) {
    add("chunks-of-" + std::to_string(bytes) + "-bytes", "PoolEmpty names the class and who has it, when this class and the larger ones are empty" + again,
        [=, b = bytes, l = least](Findings& f) { expect_all_again(f, classes, loaning(b), Errc::PoolEmpty, l); });
  }
  add("agents", "AgentsFull, with the number there is" + again, [](Findings& f) {
    // One of seven is the greedy one itself.
    expect_all_again(f, {"agents=8"}, opening<Agent>([](Agent&, int number) { return Agent::attach(options_of("a" + std::to_string(number))); }), Errc::AgentsFull, 6);
  });
  add("topics", "TopicsFull; those there are work on, and stay when their agents end: a topic is never forgotten", [](Findings& f) {
    Fabric fabric({"topics=16"});
    if (!f.expect(fabric.start(), "the supervisor does not serve: " + fabric.log())) return;
    {
      Child taker([](const Link& link) -> int {
        auto agent = Agent::attach(options_of("taker"));
        int count = 0;
        std::string words;
        for (; count < 1000; ++count) {
          words = outcome_of(agent->publisher("p1.t" + std::to_string(count)));
          if (words != "ok") break;
        }
        const bool old_works = agent->publisher("p1.t0").has_value() && agent->subscriber("p1.t1").has_value();
        link.tell(is_error(words, Errc::TopicsFull) && count >= 15 && old_works ? "ok" : std::to_string(count) + " topics, then " + words + (old_works ? "" : "; the old ones do not work"));
        for (;;) pause();
        return 0;
      });
      const std::string words = taker.link().hear().value_or("no answer");
      f.expect(words == "ok", words);
      taker.kill();
    }
    Child after([](const Link& link) -> int {
      auto agent = Agent::attach(options_of("after"));
      link.tell(outcome_of(agent->publisher("p1.t0")));
      return 0;
    });
    f.expect(after.link().hear().value_or("") == "ok", "a topic that there is cannot be opened");
    after.wait();
    live::expect_clean_end(f, fabric);
  });
  add("subscriptions", "SubscriptionsFull" + again, [](Findings& f) {
    expect_all_again(f, {"subscriptions=16"}, opening<Subscriber<Bytes>>([](Agent& agent, int number) { return agent.subscriber("p1.s" + std::to_string(number % 8), {.own_ring = false}); }),
                     Errc::SubscriptionsFull, 15);
  });
  add("rings", "RingsFull" + again, [](Findings& f) {
    expect_all_again(f, {"rings=16"}, opening<Subscriber<Bytes>>([](Agent& agent, int number) {
                       return agent.subscriber("p1.r" + std::to_string(number % 8), {.own_ring = true, .slot_count = 4});
                     }), Errc::RingsFull, 15);
  });
  add("ring-arena", "RingsFull, whatever the number of rings" + again, [](Findings& f) {
    expect_all_again(f, {"rings=1024", "subscriptions=1024"}, opening<Subscriber<Bytes>>([](Agent& agent, int number) {
                       return agent.subscriber("p1.r" + std::to_string(number % 8), {.own_ring = true, .slot_count = 1024});
                     }), Errc::RingsFull, 8);
  });
  add("channels", "RingsFull" + again, [](Findings& f) {
    expect_all_again(f, {}, opening<Channel<Bytes>::Sender>([](Agent& agent, int number) { return agent.channel_sender("c" + std::to_string(number)); }), Errc::RingsFull, 4);
  });
  add("publishers-of-one-agent", "SendersFull after 64 topics" + again, [](Findings& f) {
    expect_all_again(f, {"topics=128"}, opening<Publisher<Bytes>>([](Agent& agent, int number) { return agent.publisher("p1.p" + std::to_string(number)); }), Errc::SendersFull, 64);
  });
  add("publishing-threads-of-one-agent", "SendersFull for the 17th thread; the sixteen go on; its end gives all back", [](Findings& f) {
    // A slab for each thread.
    constexpr uint32_t kMany = 2048;
    Fabric fabric({R"(classes=[{"payload_bytes": 256, "chunk_count": 2048}])"});
    if (!f.expect(fabric.start(), "the supervisor does not serve: " + fabric.log())) return;
    Child child([](const Link& link) -> int {
      auto agent = Agent::attach(options_of("threads"));
      auto publisher = agent->publisher("p1.threads");
      std::vector<std::thread> threads;
      std::string refusal = "none";
      int count = 0;
      std::atomic<bool> done{false};
      for (int i = 0; i < 20 && refusal == "none"; ++i) {
        std::string words;
        std::atomic<bool> tried{false};
        threads.emplace_back([&] {
          auto own = agent->publisher("p1.threads");
          words = outcome_of(own->loan(8));
          tried = true;
          while (!done) usleep(1000);
        });
        wait_until([&] { return tried.load(); });
        if (words == "ok") ++count;
        else refusal = words;
      }
      done = true;
      for (std::thread& thread : threads) thread.join();
      link.tell(count == 16 && is_error(refusal, Errc::SendersFull) ? "ok" : std::to_string(count) + " threads, then " + refusal);
      for (;;) pause();
      return 0;
    });
    const std::string words = child.link().hear(20'000).value_or("no answer");
    f.expect(words == "ok", words);
    child.kill();
    live::expect_whole(f, kMany);
    live::expect_clean_end(f, fabric);
  });
  add("held-messages", "HeldFull when as many are in hand as there are places; the others wait; released, all come in order", [](Findings& f) {
    Fabric fabric({"lanes.normal=16"});
    if (!f.expect(fabric.start(), "the supervisor does not serve: " + fabric.log())) return;
    Child child([](const Link& link) -> int {
      auto in = Agent::attach(options_of("holder"));
      auto out = Agent::attach(options_of("feeder"));
      auto subscriber = in->subscriber("p1.held");
      auto publisher = out->publisher("p1.held");
      std::vector<Message<Bytes>> in_hand;
      int sent_count = 0;
      TakeOutcome outcome = TakeOutcome::Ok;
      while (outcome == TakeOutcome::Ok && sent_count < 300) {
        while (*publisher->send_copy(std::to_string(sent_count), at_once())) ++sent_count;
        for (;;) {
          auto message = subscriber->take();
          outcome = message.outcome();
          if (!message) break;
          in_hand.push_back(std::move(*message));
        }
        if (outcome == TakeOutcome::Empty) outcome = TakeOutcome::Ok;
      }
      std::string wrong;
      if (outcome != TakeOutcome::HeldFull) wrong = "it ends with " + std::string(to_string(outcome));
      int number = 0;
      for (const auto& message : in_hand) {
        if (message.text() != std::to_string(number++)) wrong = "a message in hand is another one";
      }
      in_hand.clear();
      while (auto message = subscriber->take(50ms)) {
        if (message->text() != std::to_string(number++)) wrong = "after the release " + std::string(message->text()) + " comes";
      }
      if (number != sent_count) wrong += " lost: " + std::to_string(sent_count - number);
      link.tell(wrong.empty() ? "ok" : wrong);
      return 0;
    });
    const std::string words = child.link().hear(20'000).value_or("no answer");
    f.expect(words == "ok", words, Fault::Lost);
    child.kill();
    live::expect_whole(f, kChunkCount);
    live::expect_clean_end(f, fabric);
  });
  add("lane", "Full at once where the sender does not wait; what was delivered is taken, in order; as much fits again", [](Findings& f) { fill_a_ring(f, {}, SendOutcome::Full, false); });
  add("lane-of-one-that-dies", "Full; its death gives all back", [](Findings& f) { fill_a_ring(f, {}, SendOutcome::Full, true); });
  add("ring-that-fails", "as the lane", [](Findings& f) { fill_a_ring(f, {.overflow = Overflow::Fail, .slot_count = 16}, SendOutcome::Full, false); });
  add("ring-that-drops-what-is-new", "as the lane; the sender is told", [](Findings& f) { fill_a_ring(f, {.overflow = Overflow::DropNewest, .slot_count = 16}, SendOutcome::Full, false); });
  add("ring-that-drops-what-is-old", "delivered for ever; the last of them are there", [](Findings& f) { fill_a_ring(f, {.overflow = Overflow::DropOldest, .slot_count = 16}, SendOutcome::Delivered, false); });
  add("ring-of-one-that-dies", "its death gives all back", [](Findings& f) { fill_a_ring(f, {.overflow = Overflow::Fail, .slot_count = 16}, SendOutcome::Full, true); });
  add("dead-letters", "what finds no place among the dead letters is released and counted; the fabric goes on", [](Findings& f) {
    Fabric fabric({"on_death=dead_letter", "dead_letters=4", "dead_letter_share=50"});
    if (!f.expect(fabric.start(), "the supervisor does not serve: " + fabric.log())) return;
    for (int round = 0; round < 3; ++round) {
      Child receiver([](const Link& link) -> int {
        auto agent = Agent::attach(options_of("mortal"));
        auto subscriber = agent->subscriber("p1.letters");
        link.tell(outcome_of(subscriber));
        for (;;) pause();
        return 0;
      });
      f.expect(receiver.link().hear().value_or("") == "ok", "no subscription");
      Child sender([](const Link& link) -> int {
        auto agent = Agent::attach(options_of("sender"));
        auto publisher = agent->publisher("p1.letters");
        int count = 0;
        for (int i = 0; i < 8; ++i) count += static_cast<bool>(*publisher->send_copy("dear", at_once()));
        link.tell(std::to_string(count));
        return 0;
      });
      f.expect(sender.link().hear().value_or("") == "8", "they are not delivered");
      sender.wait();
      receiver.kill();
      f.expect(wait_until([] { return live::agent_count() == 0; }), "the dead one stays", Fault::Leaked);
    }
    const auto inspector = Inspector::open();
    if (f.expect(inspector.has_value(), "no look")) {
      const FabricView view = inspector->fabric();
      const uint64_t kept = view.dead_letters + view.waiting_letters;
      const uint64_t released = view.letters_without_place + view.letters_beyond_share + view.letters_unkept;
      f.expect(kept <= 4 && kept + released == 24, std::to_string(kept) + " are kept and " + std::to_string(released) + " counted as released, of 24", Fault::Lost);
      f.expect(live::chunks_in_use() == kept, std::to_string(live::chunks_in_use()) + " chunks for " + std::to_string(kept) + " letters", Fault::Leaked);
    }
    const std::string trouble = live::exchange_trouble(0);
    f.expect(trouble.empty(), trouble);
    live::expect_clean_end(f, fabric);
  });
  return cases;
}

}  // namespace ripstop::exhaustion
