// Direct lanes on ONE mapping: a publisher that opens and closes them, members that read where it writes.
//
// Seen to fail under TSan (g++ 12): R(commit), memory::commit, release -> relaxed; A(release), memory::is_free,
// acquire -> relaxed.
#include <thread>
#include <vector>

#include "agent/direct_inbox.h"
#include "agent/direct_lane.h"
#include "base/check.h"
#include "stress/stress_fabric.h"

namespace ripstop::stress {
namespace {

constexpr uint32_t kPublishers = 2;
constexpr uint32_t kMembers = 2;
constexpr uint32_t kPriority = 2;
constexpr uint32_t kRow = 3;
constexpr uint64_t kLaneLength = 300;  // Messages, then the next lane.

class DirectStress : public StressFabric {
 protected:
  // Agents 1 and 2 publish, 3 and 4 are the members of their lanes.
  DirectStress() : StressFabric(FakeShape{1, 5, {{256, 16, 12}}, {4, 4, 4, 4, 4}, 1, 4}) {}

  detail::Receiver receiver(uint32_t agent) {
    layout::RouteReceiver entry{};
    entry.agent = agent;
    entry.incarnation = fabric_.incarnation(agent);
    entry.agent_incarnation_low = static_cast<uint32_t>(entry.incarnation);
    uint32_t corrupt_count = 0;
    auto receivers = detail::resolve_receivers(fabric_.map(), {entry}, corrupt_count);
    RIPSTOP_CHECK(receivers.size() == 1 && corrupt_count == 0);
    return receivers[0];
  }

  // Sends `count` messages through one lane after the other. A lane that cannot be opened (its members are
  // draining earlier ones) is asked for again.
  void publish(uint32_t agent, uint64_t count) {
    detail::DirectLane lane(fabric_.map(), {agent, fabric_.incarnation(agent), fabric_.name(agent), kRow, 0});
    std::vector<detail::Receiver> members;
    for (uint32_t member = 1; member <= kMembers; ++member) members.push_back(receiver(kPublishers + member));
    for (uint64_t number = 1; number <= count;) {
      if (number % kLaneLength == 0) lane.close();
      while (!lane.is_open() && !lane.open(members, kPriority, 0)) {
        if (!patient()) return;
        std::this_thread::yield();
      }
      const auto loaned = lane.loan(0);
      if (!loaned) {
        if (!patient()) return;
        std::this_thread::yield();
        continue;
      }
      fill(*loaned, agent, number);
      layout::ChunkHeader& header = *loaned->header;
      header.flags = layout::kFlagDirect;
      header.source = fabric_.name(agent);
      header.publisher_row = kRow;
      header.sequence = number++;
      memory::commit(header, lane.bits());
      lane.sent();
    }
    lane.close();
  }

  // Takes `count` messages of each publisher, each publisher's in order.
  void take(uint32_t agent, uint64_t count) {
    detail::DirectInbox inbox(chunks(), fabric_.block(agent));
    uint64_t last[kPublishers + 1] = {};
    uint32_t offender = 0;
    struct InHand {
      layout::Reference reference;
      uint32_t bit;
      detail::DirectSource* source;
    };
    std::vector<InHand> in_hand;
    const auto release_all = [&] {
      bool any_ended = false;
      for (const InHand& each : in_hand) {
        EXPECT_NE(memory::release(chunks(), each.reference, each.bit), memory::Release::Gone);
        each.source->released(layout::chunk_index(layout::reference_chunk(each.reference)));
        any_ended = any_ended || each.source->has_ended();
      }
      in_hand.clear();
      if (any_ended) (void)inbox.refresh(offender);  // As the inbox does at the last release of a lane that has ended.
    };
    for (uint64_t left = kPublishers * count; left > 0;) {
      if (!patient()) return;
      if (inbox.changed() && inbox.refresh(offender) != 0) {
        ADD_FAILURE() << "an entry makes no sense";
        return give_up();
      }
      detail::DirectSource::Found found;
      detail::DirectSource* source = inbox.find(kPriority, found);
      if (source != nullptr) {
        const layout::Reference reference = layout::make_reference(source->chunk_number(), found.generation);
        const auto [publisher, number] = check(chunks(), reference);
        if (publisher < 1 || publisher > kPublishers || number != last[publisher] + 1 || number != found.sequence) {
          ADD_FAILURE() << "torn, lost or out of order: " << publisher << " " << number << " behind " << last[publisher & 1];
          return give_up();
        }
        last[publisher] = number;
        in_hand.push_back({reference, source->bit(), source});
        source->taken(found);
        --left;
      }
      // A few stay in hand, as a reader that looks ahead has them.
      if (in_hand.size() > 5 || (source == nullptr && !in_hand.empty())) {
        release_all();
      }
      if (source == nullptr) std::this_thread::yield();
    }
    release_all();
  }
};

TEST_F(DirectStress, MembersTakeEachMessageOnceAndInOrderThroughManyLanes) {
  constexpr uint64_t kEach = kMessages / 8;
  std::vector<std::thread> threads;
  for (uint32_t agent = 1; agent <= kPublishers; ++agent) threads.emplace_back([this, agent] { publish(agent, kEach); });
  for (uint32_t member = 1; member <= kMembers; ++member) {
    threads.emplace_back([this, member] { take(kPublishers + member, kEach); });
  }
  for (std::thread& thread : threads) thread.join();
  expect_all_free();
  Operations::count(kPublishers * kMembers * kEach);
}

}  // namespace
}  // namespace ripstop::stress
