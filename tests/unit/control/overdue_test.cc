// Method: messages are staged into a fabric's memory, and its clock is the test's.
#include "control/overdue.h"

#include <gtest/gtest.h>

#include "fabric/fake_fabric.h"
#include "fabric/staged_send.h"
#include "memory/evict.h"

namespace ripstop::control {
namespace {

using fabric::FakeFabric;
using fabric::StagedSend;

constexpr uint32_t kPublisher = 1;
constexpr uint32_t kReceiver = 2;
constexpr uint64_t kLease = 100;

class OverdueTest : public testing::Test {
 protected:
  void SetUp() override {
    fabric_.attach(kPublisher);
    fabric_.attach(kReceiver);
    fabric_.superblock().agent_high.store(8);
    fabric_.superblock().ring_high.store(3);
    heap_.emplace(fabric_.chunks(), 0, kPublisher, fabric_.incarnation(kPublisher));
  }
  void push(uint32_t ring_id = 0) {
    StagedSend send(fabric_, *heap_, kPublisher, {kReceiver}, 2, ring_id);
    ASSERT_TRUE(send.whole());
  }
  // Looks at time `now`; whether the receiver is overdue.
  bool is_overdue(uint64_t now) {
    const auto found = overdue_.find(now, kLease);
    EXPECT_LE(found.size(), 1u);
    return !found.empty() && found.front() == kReceiver;
  }

  FakeFabric fabric_;
  std::optional<memory::SlabHeap> heap_;
  Overdue overdue_{fabric_.map()};
};

TEST_F(OverdueTest, MailThatLiesForALeaseIsOverdue) {
  EXPECT_FALSE(is_overdue(1000));
  EXPECT_FALSE(is_overdue(5000));  // It may wait for ever.
  push();
  EXPECT_FALSE(is_overdue(5050));
  EXPECT_FALSE(is_overdue(5099));
  EXPECT_TRUE(is_overdue(5100));
  EXPECT_TRUE(is_overdue(5200));
}

TEST_F(OverdueTest, TakingOrReleasingBeginsANewLease) {
  push();
  push();
  EXPECT_FALSE(is_overdue(1000));
  fabric_.block(kReceiver).counters.taken_count.store(1);
  EXPECT_FALSE(is_overdue(1150));
  fabric_.block(kReceiver).counters.released_count.store(1);
  EXPECT_FALSE(is_overdue(1300));
  EXPECT_TRUE(is_overdue(1400));
}

TEST_F(OverdueTest, ARingOfItsOwnAndAHeldMessageCount) {
  fabric_.open_queue(1, kReceiver);
  push(1);
  EXPECT_FALSE(is_overdue(1000));
  EXPECT_TRUE(is_overdue(1100));

  // Moved to the held table, and then released there.
  auto ring = fabric_.map().queue(1)->ring;
  const ring::SlotView slot = ring.read(0);
  ASSERT_GE(memory::hold(fabric_.chunks(), fabric_.block(kReceiver), slot), 0);
  ASSERT_TRUE(ring.finish(0, slot, fabric_.map().queue(1)->incarnation));
  EXPECT_TRUE(is_overdue(1200));
  EXPECT_NE(memory::release(fabric_.chunks(), slot.low, layout::unpack(slot.state).bit), memory::Release::Gone);
  EXPECT_FALSE(is_overdue(1300)) << "an entry without its bit is empty";
}

TEST_F(OverdueTest, AnotherAgentInItsPlaceBeginsANew) {
  push();
  EXPECT_FALSE(is_overdue(1000));
  fabric_.kill(kReceiver);
  EXPECT_FALSE(is_overdue(1100)) << "the dead are settled, not killed";
  fabric_.attach(kReceiver);
  push();
  EXPECT_FALSE(is_overdue(1200));
  EXPECT_TRUE(is_overdue(1300));
}

}  // namespace
}  // namespace ripstop::control
