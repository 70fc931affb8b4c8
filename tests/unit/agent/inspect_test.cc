// Method: a fabric in this process's memory with an unmapped page on either side of each segment. Words
// are written behind everybody's back, and an Inspector looks: what is out of bounds must be counted,
// and a step beyond a segment would be a SIGSEGV.
#include "ripstop/inspect.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <random>
#include <thread>

#include "agent/inspect_core.h"
#include "agent/process_look.h"
#include "fabric/fake_fabric.h"

namespace ripstop {
namespace {

using detail::InspectCore;
using fabric::FakeFabric;
using fabric::FakeShape;

class InspectTest : public testing::Test {
 protected:
  InspectTest() : fabric_(FakeShape{.node_count = 2}) {
    layout::Superblock& super = fabric_.superblock();
    std::strcpy(super.fabric_name, "fake");
    // The fake has neither topics nor subscriptions; their tables are empty.
    super.topic_bucket_count = 1;
    super.topics_offset = super.buckets_offset = super.subscriptions_offset = super.routes_offset =
        super.agents_offset;
    super.agent_high = super.agent_capacity;
    super.ring_high = super.ring_capacity;
    super.state = 1;
    attach(1, "planner");
    attach(2, "solver");
  }

  void attach(uint32_t id, const char* name) {
    layout::AgentEntry& entry = fabric_.entry(id);
    entry.pid = static_cast<uint32_t>(getpid());
    entry.attach_time_ns = base::monotonic_ns();
    std::strcpy(entry.name, name);
    fabric_.attach(id);
  }

  Result<Inspector> open() {
    layout::Superblock& super = fabric_.superblock();
    const std::span<const std::byte> control(reinterpret_cast<const std::byte*>(&super),
                                             super.control_bytes);
    const std::span<const std::byte> nodes[] = {fabric_.node_bytes(0), fabric_.node_bytes(1)};
    auto core = InspectCore::create(
        control, nodes, {.read_via = "supervisor", .supervisor_silence = "", .maps = nullptr});
    if (!core) return core.error();
    return Inspector(std::move(*core));
  }

  Inspector inspector() {
    auto opened = open();
    EXPECT_TRUE(opened) << (opened ? "" : to_string(opened.error()));
    return std::move(*opened);
  }

  // A message for `agent` in its normal lane, at `position`: as a publisher leaves it.
  void put(uint32_t agent, uint64_t position, layout::ChunkId chunk, uint64_t age_ns) {
    layout::ChunkHeader* header = fabric_.chunks().find(chunk);
    ASSERT_NE(header, nullptr);
    header->publish_time_ns = base::monotonic_ns() - age_ns;
    header->payload_bytes = 5;
    std::memcpy(reinterpret_cast<char*>(header) + layout::kChunkHeaderBytes, "hello", 5);
    header->receivers[0] = fabric_.name(agent);
    header->source = fabric_.name(1);
    header->holders.high = 1;
    const ring::MpmcRing lane = fabric_.lane(agent, 2);
    layout::Slot& slot = lane.slot(position);
    slot.low = layout::make_reference(chunk, header->holders.low);
    slot.high = layout::pack({lane.turn(position), 0, 0, 0, layout::Phase::Full});
  }

  // Everything an Inspector can be asked; returns how much of it was out of bounds.
  uint64_t look_at_everything() {
    const Inspector look = inspector();
    uint64_t corrupt = 0;
    (void)look.fabric();
    for (const NodeView& node : look.nodes()) corrupt += node.corrupt;
    for (const AgentView& agent : look.agents()) corrupt += agent.corrupt;
    (void)look.topics();
    for (const RingView& ring : look.rings()) corrupt += ring.corrupt;
    for (const char* label :
         {"planner/critical", "planner/normal", "solver/background", "1", "2"}) {
      const auto ring = look.ring(label);
      if (ring) corrupt += ring->corrupt;
    }
    for (const char* label : {"0/0/0", "1/3/7", "0/5/3"}) {
      const auto chunk = look.chunk(label);
      if (chunk) corrupt += chunk->corrupt;
    }
    return corrupt;
  }

  FakeFabric fabric_;
};

TEST_F(InspectTest, TellsWhoIsAttached) {
  const auto agents = inspector().agents();
  ASSERT_EQ(agents.size(), 2u);
  EXPECT_EQ(agents[0].name, "planner");
  EXPECT_EQ(agents[0].lanes.size(), 5u);
  EXPECT_EQ(agents[0].waiting, 0u);
  EXPECT_TRUE(agents[0].process.alive);
  EXPECT_EQ(agents[0].corrupt, 0u);
  EXPECT_EQ(inspector().fabric().agent_count, 2u);
}

TEST_F(InspectTest, CountsTheChunksOfEveryClass) {
  fabric_.chunks().find(0)->holders.high = layout::kPublisherHold;
  fabric_.chunks().find(1)->holders.high = 3;
  const auto nodes = inspector().nodes();
  ASSERT_EQ(nodes.size(), 2u);
  const ClassView& small = nodes[0].classes[0];
  EXPECT_EQ(small.chunks_total, 32u);
  EXPECT_EQ(small.chunks_loaned, 1u);
  EXPECT_EQ(small.chunks_held, 1u);
  EXPECT_EQ(small.chunks_free, 30u);
}

TEST_F(InspectTest, TellsWhatWaitsAndTheAgeOfTheFirst) {
  put(2, 5, 3, 4'000'000'000);  // Position 5 is of the second turn: it came after position 2.
  put(2, 2, 4, 9'000'000'000);
  const auto agent = inspector().agent("solver");
  ASSERT_TRUE(agent);
  EXPECT_EQ(agent->waiting, 2u);
  ASSERT_TRUE(agent->oldest_wait_ns);
  EXPECT_GE(*agent->oldest_wait_ns, 9'000'000'000u);
}

TEST_F(InspectTest, AMessageReadInPlaceIsInHandAndDoesNotWait) {
  put(2, 2, 4, 9'000'000'000);
  put(2, 3, 5, 4'000'000'000);
  fabric_.block(2).counters.taken_count = 1;  // And released none.
  const auto agent = inspector().agent("solver");
  ASSERT_TRUE(agent);
  EXPECT_EQ(agent->waiting, 1u);
  EXPECT_EQ(agent->taken, 1u);
  ASSERT_TRUE(agent->oldest_wait_ns);
  EXPECT_LT(*agent->oldest_wait_ns, 8'000'000'000u);
}

TEST_F(InspectTest, ShowsTheWordsOfASlotAndOfItsChunk) {
  put(2, 0, layout::make_chunk_id(1, 2, 3), 1'000'000);
  const auto ring = inspector().ring("solver/normal");
  ASSERT_TRUE(ring);
  ASSERT_EQ(ring->slots.size(), 4u);
  EXPECT_EQ(ring->slots[0].phase, "full");
  EXPECT_EQ(ring->slots[0].chunk, "1/2/3");
  EXPECT_TRUE(ring->slots[0].current);
  const auto chunk = inspector().chunk("1/2/3");
  ASSERT_TRUE(chunk);
  EXPECT_EQ(chunk->state, "held");
  EXPECT_EQ(chunk->holders, std::vector<std::string>{"delivery 0: solver"});
  EXPECT_EQ(std::string(chunk->payload_start.begin(), chunk->payload_start.end()), "hello");
}

TEST_F(InspectTest, NamesWhatIsNotThere) {
  const Inspector look = inspector();
  EXPECT_EQ(look.agent("nobody").error().code, Errc::NotFound);
  EXPECT_EQ(look.topic("nothing").error().code, Errc::NotFound);
  EXPECT_EQ(look.ring("99").error().code, Errc::NotFound);
  EXPECT_EQ(look.ring("solver/urgent").error().code, Errc::NotFound);
  EXPECT_EQ(look.chunk("0/63/0").error().code, Errc::NotFound);
  EXPECT_EQ(look.chunk("4294967295").error().code, Errc::NotFound);
  EXPECT_EQ(look.chunk("99/0/0").error().code, Errc::NotFound);
  EXPECT_EQ(look.chunk("first").error().code, Errc::Usage);
  EXPECT_EQ(look.chunk("1/2").error().code, Errc::Usage);
  EXPECT_TRUE(look.agent("#2"));
}

TEST_F(InspectTest, ASlotThatNamesNoChunkIsCorrupt) {
  layout::Slot& slot = fabric_.lane(2, 2).slot(0);
  slot.low = layout::make_reference(layout::make_chunk_id(15, 9, 9), 7);
  slot.high = layout::pack({0, 0, 0, 0, layout::Phase::Full});
  const auto agent = inspector().agent("solver");
  ASSERT_TRUE(agent);
  EXPECT_EQ(agent->corrupt, 1u);
  EXPECT_EQ(agent->waiting, 0u);
  EXPECT_EQ(inspector().ring("solver/normal")->corrupt, 1u);
}

TEST_F(InspectTest, SurvivesAnyBytesInTheNodeSegments) {
  std::mt19937_64 random(20261123);
  uint64_t corrupt = 0;
  for (int round = 0; round < 60; ++round) {
    for (uint32_t node = 0; node < 2; ++node) {
      const std::span<std::byte> bytes = fabric_.node_bytes(node);
      for (std::size_t at = 0; at + 8 <= bytes.size(); at += 8) {
        // Every third round few words, so that the rest still leads somewhere.
        if (round % 3 == 0 && random() % 16 != 0) continue;
        const uint64_t word = random() >> (random() % 60);
        std::memcpy(bytes.data() + at, &word, sizeof word);
      }
    }
    corrupt += look_at_everything();
  }
  EXPECT_GT(corrupt, 0u);
}

TEST_F(InspectTest, AgentsMayAttachWhileItLooks) {
  // The number of entries in use grows and shrinks under its eyes. What it set aside for the smaller one must
  // not be written to by the larger.
  for (uint32_t id = 3; id < fabric_.superblock().agent_capacity; ++id) attach(id, "crowd");
  const Inspector inspector = this->inspector();
  std::atomic<bool> over{false};
  std::thread attaching([&] {
    for (uint32_t high = 2; !over; high = high == 2 ? fabric_.superblock().agent_capacity : 2) fabric_.superblock().agent_high = high;
  });
  for (int look = 0; look < 500; ++look) {
    const std::size_t count = inspector.agents().size();
    EXPECT_TRUE(count == 1 || count == fabric_.superblock().agent_capacity - 1) << count;
  }
  over = true;
  attaching.join();
}

TEST_F(InspectTest, SurvivesAnyBytesInTheTablesOfTheControlSegment) {
  std::mt19937_64 random(7);
  layout::Superblock& super = fabric_.superblock();
  auto* control = reinterpret_cast<std::byte*>(&super);
  const uint64_t first = super.agents_offset;
  const uint64_t last = super.rings_offset + super.ring_capacity * sizeof(layout::RingEntry);
  for (int round = 0; round < 100; ++round) {
    for (uint64_t at = first; at < last; ++at) {
      if (random() % 4 == 0) control[at] = static_cast<std::byte>(random());
    }
    super.agent_high = static_cast<uint32_t>(random());
    super.ring_high = static_cast<uint32_t>(random());
    (void)look_at_everything();
  }
}

TEST_F(InspectTest, RefusesAnotherLayoutAndADamagedSuperblock) {
  fabric_.superblock().layout_hash ^= 1;
  EXPECT_EQ(open().error().code, Errc::LayoutMismatch);
  fabric_.superblock().layout_hash ^= 1;
  fabric_.superblock().magic = 0;
  EXPECT_EQ(open().error().code, Errc::Corrupt);
}

TEST(ProcessLook, SeesAStoppedAndADeadProcess) {
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  const auto pid = static_cast<uint32_t>(child);
  EXPECT_TRUE(agent::look_at_process(pid, 0).alive);
  kill(child, SIGSTOP);
  int status = 0;
  waitpid(child, &status, WUNTRACED);
  EXPECT_EQ(agent::look_at_process(pid, 0).state, 'T');
  kill(child, SIGKILL);
  waitid(P_PID, pid, nullptr, WEXITED | WNOWAIT);
  EXPECT_EQ(agent::look_at_process(pid, 0).state, 'Z');
  EXPECT_FALSE(agent::look_at_process(pid, 0).alive);
  waitpid(child, &status, 0);
  EXPECT_EQ(agent::look_at_process(pid, 0).state, 0);
}

TEST(ProcessLook, ASuccessorOfTheNumberIsNotTheProcessMeant) {
  // This process started long after one second past boot.
  EXPECT_FALSE(agent::look_at_process(static_cast<uint32_t>(getpid()), 1).alive);
  EXPECT_TRUE(agent::look_at_process(static_cast<uint32_t>(getpid()), base::monotonic_ns()).alive);
}

}  // namespace
}  // namespace ripstop
