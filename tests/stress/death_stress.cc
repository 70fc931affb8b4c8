// Recovery while everybody else goes on, on ONE mapping: what it reads and writes of memory that living
// agents use is seen by ThreadSanitizer. A victim's thread ends as a killed process does, with nothing given
// back; joining it stands for the pidfd, which becomes readable when no instruction of the dead can follow.
//
// Seen to fail: A(release), memory::is_free, acquire -> relaxed; settle_slabs() giving back what others hold;
// settle() that leaves the messages in the dead's lanes.
#include <memory>
#include <thread>
#include <vector>

#include "control/settlement.h"
#include "stress/stress_fabric.h"

namespace ripstop::stress {
namespace {

constexpr uint32_t kVictim = 1;
constexpr uint32_t kPeer = 2;    // Sends to the victim.
constexpr uint32_t kTaker = 3;   // Takes what the victim sends.
constexpr uint32_t kOther = 4;   // Loans and sends beside them.
constexpr std::size_t kLane = 2;
#if defined(RIPSTOP_PAIR_TOLD)
constexpr uint32_t kLives = 150;
#else
constexpr uint32_t kLives = 400;
#endif

class DeathStress : public StressFabric {
 protected:
  // The two that send come to own three slabs each; the last three are the victims', one after the other.
  DeathStress() : StressFabric(FakeShape{1, 5, {{256, 16, 9}}, {4, 4, 32, 4, 4}, 1, 4}) {}

  // Publishes to a lane until told to end; full or closed lanes lose the message, which is released.
  uint64_t send_to(uint32_t sender, uint32_t to, const std::atomic<bool>& ending) {
    SlabHeap heap(chunks(), 0, sender, fabric_.incarnation(sender));
    uint64_t number = 0;
    while (!ending.load(std::memory_order_relaxed) && patient()) {  // Relaxed: orders nothing.
      const auto loaned = heap.loan(0);
      if (!loaned) {
        std::this_thread::yield();
        continue;
      }
      fill(*loaned, sender, ++number);
      const layout::Reference reference = loaned->reference();
      // Acquire: as a route that names the incarnation does.
      const uint64_t word = fabric_.entry(to).word.load(std::memory_order_acquire);
      memory::commit(*loaned->header, 1);
      heap.sent(*loaned);
      ring::MpmcRing lane = fabric_.lane(to, kLane);
      if (lane.push(layout::agent_word_incarnation(word), reference, 0, 0) != ring::Push::Ok) {
        (void)memory::release(chunks(), reference, 0);
        std::this_thread::yield();
      }
    }
    return number;
  }

  // Takes from a lane in place. Stops after `count` messages, with the last of them in its hands.
  bool take(uint32_t agent, uint64_t& head, uint64_t count, const std::atomic<bool>& ending) {
    ring::MpmcRing lane = fabric_.lane(agent, kLane);
    const uint64_t incarnation = fabric_.incarnation(agent);
    for (uint64_t taken = 0; taken < count;) {
      ring::SlotView view{};
      if (!lane.peek(head, view)) {
        if (ending.load(std::memory_order_relaxed) || !patient()) return false;  // Relaxed: orders nothing.
        std::this_thread::yield();
        continue;
      }
      EXPECT_NE(check(chunks(), view.low), kTorn);
      if (++taken == count && count != kForEver) return true;
      (void)memory::release(chunks(), view.low, 0);
      lane.empty(head++, incarnation);
    }
    return true;
  }

  // Lives: takes some, sends some, and ends with a loan that is never sent and a message in its hands.
  void live_and_die(SlabHeap& heap, uint32_t life) {
    const std::atomic<bool> never{false};
    uint64_t head = fabric_.lane(kVictim, kLane).head_hint().load();
    (void)take(kVictim, head, 1 + life % 40, never);
    for (uint64_t number = 1; number <= 1 + life % 7; ++number) {
      const auto loaned = loan(heap);
      if (!loaned) return;
      fill(*loaned, kVictim, number);
      memory::commit(*loaned->header, 1);
      heap.sent(*loaned);
      ring::MpmcRing lane = fabric_.lane(kTaker, kLane);
      while (lane.push(fabric_.incarnation(kTaker), loaned->reference(), 0, 0) != ring::Push::Ok) {
        if (!patient()) return;
        std::this_thread::yield();
      }
    }
    if (const auto never_sent = loan(heap)) fill(*never_sent, kVictim, 99);
  }

  static constexpr uint64_t kForEver = ~uint64_t{0};
};

TEST_F(DeathStress, TheDeadAreSettledWhileTheirPeersGoOn) {
  std::atomic<bool> ending{false};
  std::atomic<bool> senders_ended{false};
  uint64_t sent_count = 0;
  uint64_t other_count = 0;
  std::thread peer([&] { sent_count = send_to(kPeer, kVictim, ending); });
  std::thread other([&] { other_count = send_to(kOther, kTaker, ending); });
  std::thread taker([&] {
    uint64_t head = fabric_.lane(kTaker, kLane).head_hint().load();
    (void)take(kTaker, head, kForEver, senders_ended);
  });
  // A dead process runs no destructors: its heaps' are run when nobody owns their slabs any more.
  std::vector<std::unique_ptr<SlabHeap>> heaps;
  control::Settlement settlement = fabric_.settlement();
  control::Settled settled{};
  for (uint32_t life = 0; life < kLives && patient(); ++life) {
    heaps.push_back(std::make_unique<SlabHeap>(chunks(), 0, kVictim, fabric_.incarnation(kVictim)));
    std::thread victim([&] { live_and_die(*heaps.back(), life); });
    victim.join();
    const uint64_t incarnation = fabric_.incarnation(kVictim);
    fabric_.kill(kVictim);
    const control::Settled one = settlement.settle(kVictim, incarnation, {});
    settled.chunk_count += one.chunk_count;
    settled.message_count += one.message_count;
    settled.corrupt_count += one.corrupt_count;
    fabric_.attach(kVictim);
  }
  ending.store(true);
  peer.join();
  other.join();
  senders_ended.store(true);
  taker.join();
  const uint64_t incarnation = fabric_.incarnation(kVictim);
  fabric_.kill(kVictim);
  (void)settlement.settle(kVictim, incarnation, {});
  EXPECT_GE(settled.chunk_count, kLives) << "a loan of each life";
  EXPECT_GE(settled.message_count, kLives) << "a message in hand of each life";
  EXPECT_EQ(settled.corrupt_count, 0u);
  expect_all_free();
  Operations::count(sent_count + other_count + kLives);
}

}  // namespace
}  // namespace ripstop::stress
