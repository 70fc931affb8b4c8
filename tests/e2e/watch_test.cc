// Method: a publisher sends with the library's own code, all but the doorbell, and stops itself there, as
// one that is stopped by a signal or loses its processor between push and ring. Nobody else is there to
// wake the receiver: without the supervisor's tick it would sleep until its timeout.
#include <sys/wait.h>

#include "agent/agent_core.h"
#include "agent/publisher_core.h"
#include "agent/subscriber_core.h"
#include "process_facts.h"
#include "public/real_fabric.h"

namespace ripstop::test {
namespace {

using detail::AgentCore;
using Clock = std::chrono::steady_clock;

std::shared_ptr<AgentCore> attach_core(const char* name) {
  AgentOptions options;
  options.name = name;
  options.wait = Wait::Sleep;
  return must(AgentCore::attach(std::move(options)));
}

uint64_t now_ns() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count());
}

enum class Leave { NoIntent, Intent };

// Sends `number` without ringing and stops; `leave`: what stands in the sender's intent then.
int stopped_publisher(const Link& link, Leave leave) {
  auto core = attach_core("stopped");
  auto publisher = must(core->open_publisher("watch.topic", {}));
  link.tell(1);
  while (const auto number = link.hear()) {
    const auto loan = must(publisher->loan(sizeof *number));
    std::memcpy(memory::payload(*loan.header), &*number, sizeof *number);
    detail::Links links;
    std::this_thread::sleep_for(50ms);  // Until the receiver sleeps.
    const Sent sent = publisher->send(loan, sizeof *number, links, {}, ContentType::Bytes, false);
    std::atomic<uint64_t>& intent = core->block().senders[0].root;
    if (leave == Leave::Intent) intent.store(loan.reference());
    link.tell(sent.receiver_count == 1 ? now_ns() : 0);
    raise(SIGSTOP);
    intent.store(0);
    link.tell(1);
  }
  return 0;
}

class Watched : public OnRealFabric {
 protected:
  static bool is_stopped(const AgentCore& core) {
    return (core.view().superblock().watch.load() & layout::kWatchStopped) != 0;
  }
  static pid_t supervisor() { return static_cast<pid_t>(must(Inspector::open()).fabric().supervisor.pid); }

  void receives_from_a_stopped_publisher(Leave leave) {
    Child child([leave](const Link& link) { return stopped_publisher(link, leave); });
    auto core = attach_core("sleeper");
    auto subscriber = must(core->open_subscriber("watch.topic", {}));
    ASSERT_TRUE(child.link().hear());
    for (uint64_t i = 0; i < 3; ++i) {
      // Once from a standstill of the tick, then while it may still run.
      ASSERT_TRUE(i != 0 || wait_until([&] { return is_stopped(*core); }));
      child.link().tell(i);
      auto message = core->inbox().take(subscriber.get(), 20'000'000'000);
      const uint64_t came_ns = now_ns();
      ASSERT_TRUE(message) << to_string(message.outcome());
      EXPECT_EQ(number_of(message->bytes()), i);
      const auto pushed_ns = child.link().hear();
      ASSERT_TRUE(pushed_ns && *pushed_ns != 0);
      EXPECT_LT(came_ns, *pushed_ns + 1'000'000'000) << "10 ms are promised";
      worst_ns_ = std::max(worst_ns_, came_ns > *pushed_ns ? came_ns - *pushed_ns : 0);
      int status = 0;
      ASSERT_EQ(waitpid(child.pid(), &status, WUNTRACED), child.pid());
      ASSERT_TRUE(WIFSTOPPED(status));
      if (leave == Leave::Intent) {
        std::this_thread::sleep_for(300ms);
        EXPECT_FALSE(is_stopped(*core)) << "it may push at any moment, and be stopped again";
      }
      ::kill(child.pid(), SIGCONT);
      ASSERT_TRUE(child.link().hear());
    }
    EXPECT_TRUE(wait_until([&] { return is_stopped(*core); }));
    RecordProperty("worst_us", std::to_string(worst_ns_ / 1000));
    std::printf("  longest from push to take: %.1f ms\n", static_cast<double>(worst_ns_) / 1e6);
  }

  uint64_t worst_ns_ = 0;
};

TEST_F(Watched, AReceiverWhosePublisherIsStoppedInItsSendIsWoken) { receives_from_a_stopped_publisher(Leave::Intent); }

TEST_F(Watched, AReceiverWhosePublisherIsStoppedInABatchIsWoken) { receives_from_a_stopped_publisher(Leave::NoIntent); }

TEST_F(Watched, WhenMessagesCeaseItStandsStillAndNobodyWakes) {
  auto sender = attach_core("sender");
  auto receiver = attach_core("receiver");
  auto publisher = must(sender->open_publisher("watch.idle", {}));
  auto subscriber = must(receiver->open_subscriber("watch.idle", {}));
  const auto send = [&] {
    auto loan = must(publisher->loan_bytes(8));
    return publisher->send_bytes(loan, {}, true).receiver_count == 1;
  };
  // It must have gone, not only be about to: the word says "stopped" until the supervisor hears the bell.
  ASSERT_TRUE(wait_until([&] { return is_stopped(*sender); }));
  const pid_t pid = supervisor();  // Asks it, which wakes it.
  const uint32_t stood_still = sender->view().superblock().watch.load();
  ASSERT_TRUE(send());
  auto in_hand = receiver->inbox().take(subscriber.get(), 1'000'000'000);  // Kept: it lies in its slot all the time.
  ASSERT_TRUE(in_hand);
  std::thread asleep([&] {
    auto message = receiver->inbox().take(subscriber.get(), 60'000'000'000);
    EXPECT_TRUE(message);
  });
  ASSERT_TRUE(wait_until([&] {
    return is_stopped(*sender) && sender->view().superblock().watch.load() != stood_still;
  }));
  std::this_thread::sleep_for(50ms);
  const long supervisor_before = voluntary_switches(pid);
  const uint64_t sleeps_before = receiver->block().counters.sleep_count.load();
  std::this_thread::sleep_for(2s);
  EXPECT_EQ(voluntary_switches(pid), supervisor_before);
  EXPECT_EQ(receiver->block().counters.sleep_count.load(), sleeps_before);
  ASSERT_TRUE(send());
  asleep.join();
}

TEST_F(Watched, WhileOthersSendASleeperWithAMessageInHandIsNotWokenByEveryTick) {
  auto sender = attach_core("sender");
  auto receiver = attach_core("receiver");
  auto other = attach_core("other");
  auto publisher = must(sender->open_publisher("watch.hand", {}));
  auto subscriber = must(receiver->open_subscriber("watch.hand", {}));
  auto busy = must(sender->open_publisher("watch.busy", {}));
  auto busy_subscriber = must(other->open_subscriber("watch.busy", {.overflow = Overflow::DropOldest, .own_ring = true}));
  const auto send = [](detail::PublisherCore& to) {
    auto loan = must(to.loan_bytes(8));
    return to.send_bytes(loan, {}, true).receiver_count == 1;
  };
  ASSERT_TRUE(send(*publisher));
  auto in_hand = receiver->inbox().take(subscriber.get(), 1'000'000'000);
  ASSERT_TRUE(in_hand);
  std::thread asleep([&] { EXPECT_TRUE(receiver->inbox().take(subscriber.get(), 60'000'000'000)); });
  const uint64_t sleeps_before = receiver->block().counters.sleep_count.load();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(send(*busy));
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_FALSE(is_stopped(*sender));
  EXPECT_LE(receiver->block().counters.sleep_count.load(), sleeps_before + 3);
  ASSERT_TRUE(send(*publisher));
  asleep.join();
}

}  // namespace
}  // namespace ripstop::test
