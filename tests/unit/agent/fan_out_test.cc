#include "agent/fan_out.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "fabric/fake_fabric.h"
#include "memory/holders.h"

namespace ripstop::detail {
namespace {

using fabric::FakeFabric;
using fabric::FakeShape;
using layout::ChunkRole;
using memory::Loaned;

class FanOutTest : public testing::Test {
 protected:
  static constexpr uint32_t kChunkCount = 4 * 64;

  Loaned loan_root() {
    const Loaned root = *heap_.loan(0);
    root.header->role = ChunkRole::Root;
    root.header->flags = 0;
    root.header->link = 0;
    return root;
  }
  struct Named {
    std::vector<uint32_t> names;
    std::vector<Delivery> deliveries;
    Links links;
    std::optional<uint64_t> bits;
  };
  Named name(const Loaned& root, uint32_t count, Links links = {}) {
    Named named;
    named.names.resize(count);
    std::iota(named.names.begin(), named.names.end(), 0x4001);
    for (uint32_t i = 0; i < count; ++i) named.deliveries.push_back({i, 0, 0});
    named.links = std::move(links);
    named.bits = name_receivers(heap_, root, named.names, named.deliveries, named.links);
    return named;
  }
  // The name that a delivery's bit has in memory, as recovery would find it.
  uint32_t name_in_memory(const Loaned& root, const Delivery& delivery) {
    layout::ChunkHeader& header = *fabric_.chunks().find(layout::reference_chunk(delivery.reference));
    if (header.role == ChunkRole::Branch) {
      const layout::ReceiverNames& names = memory::receiver_names(header);
      return delivery.bit < names.count ? names.names[delivery.bit] : 0;
    }
    EXPECT_EQ(&header, root.header);
    if (header.receivers[0] != 0) return delivery.bit < 4 ? header.receivers[delivery.bit] : 0;
    const layout::ChunkHeader& list = *fabric_.chunks().find(layout::reference_chunk(header.link));
    EXPECT_EQ(list.role, ChunkRole::ReceiverList);
    return memory::receiver_names(const_cast<layout::ChunkHeader&>(list)).names[delivery.bit];
  }
  FakeFabric fabric_{FakeShape{1, 4, {{256, 64, 4}}, {4, 4, 4, 4, 4}, 0, 4}};
  memory::SlabHeap heap_{fabric_.chunks(), 0, 1, 100};
};

TEST_F(FanOutTest, EveryDeliveryHasABitOfItsOwnAndItsNameInMemory) {
  for (const uint32_t count : {1u, 2u, 4u, 5u, 52u, 53u, 54u, 105u, 106u, 107u, 200u, 2'808u, 2'809u, 2'810u, 2'811u,
                               2'862u, 2'863u, 4'000u}) {
    const Loaned root = loan_root();
    Named named = name(root, count);
    ASSERT_TRUE(named.bits) << count;
    if (!named.links.empty()) chain_links(root, named.links);
    memory::commit(*root.header, *named.bits);
    std::set<std::pair<layout::Reference, uint32_t>> bits;
    for (uint32_t i = 0; i < count; ++i) {
      const Delivery& delivery = named.deliveries[i];
      ASSERT_TRUE(bits.insert({delivery.reference, delivery.bit}).second) << count << ": one bit for two";
      const auto holders = memory::read_holders(*fabric_.chunks().find(layout::reference_chunk(delivery.reference)));
      ASSERT_NE(holders.bits >> delivery.bit & 1, 0u) << count << ' ' << i;
      ASSERT_EQ(name_in_memory(root, delivery), named.names[i]) << count << ": receiver " << i << " is named nowhere";
    }
    for (const Delivery& delivery : named.deliveries) {
      ASSERT_NE(memory::release(fabric_.chunks(), delivery.reference, delivery.bit), memory::Release::Gone);
    }
    ASSERT_EQ(fabric_.census().free_count, kChunkCount) << count;
    heap_.sent(root);
    for (const Loaned& link : named.links) heap_.sent(link);
  }
}

TEST_F(FanOutTest, UpToFourNamesStandInTheHeader) {
  const Loaned root = loan_root();
  root.header->receivers[3] = 99;  // Of an earlier life.
  const Named named = name(root, 3);
  EXPECT_TRUE(named.links.empty());
  EXPECT_EQ(*named.bits, 0b111u);
  EXPECT_EQ(root.header->receivers[2], 0x4003u);
  EXPECT_EQ(root.header->receivers[3], 0u);
}

TEST_F(FanOutTest, TheListComesBeforeAndBranchesBehindOtherLinks) {
  Links continuation;
  continuation.push_back(*heap_.loan(0));
  continuation[0].header->role = ChunkRole::Continuation;
  const Loaned few = loan_root();
  const Named listed = name(few, 5, continuation);
  ASSERT_EQ(listed.links.size(), 2u);
  EXPECT_EQ(listed.links[0].header->role, ChunkRole::ReceiverList);
  continuation[0] = *heap_.loan(0);
  continuation[0].header->role = ChunkRole::Continuation;
  const Loaned many = loan_root();
  const Named branched = name(many, 70, continuation);
  ASSERT_EQ(branched.links.size(), 3u);
  EXPECT_EQ(branched.links[0].header->role, ChunkRole::Continuation);
  EXPECT_EQ(branched.links[1].header->role, ChunkRole::Branch);
}

TEST_F(FanOutTest, ATreeIsNotDeeperThanARelaseGoesUp) {
  const Loaned root = loan_root();
  Named named = name(root, 4'000);
  for (const Delivery& delivery : named.deliveries) {
    layout::ChunkHeader* at = fabric_.chunks().find(layout::reference_chunk(delivery.reference));
    int depth = 0;
    while (at->role == ChunkRole::Branch && depth < 10) {
      at = fabric_.chunks().find(layout::reference_chunk(at->root));
      ++depth;
    }
    ASSERT_EQ(at, root.header);
    ASSERT_LE(depth, memory::kBranchDepthMax);
  }
}

TEST_F(FanOutTest, WithoutChunksForTheNamesEverythingIsGivenBack) {
  for (const uint32_t count : {5u, 200u, 4'000u}) {
    std::vector<Loaned> rest;
    const Loaned root = loan_root();
    // Leave one chunk fewer than the tree needs.
    const std::size_t needed = count == 5 ? 1 : count == 200 ? 4 : 68;
    while (fabric_.census().free_count >= needed) rest.push_back(*heap_.loan(0));
    const uint32_t loaned_count = fabric_.census().loaned_count;
    const Named named = name(root, count);
    EXPECT_FALSE(named.bits);
    EXPECT_TRUE(named.links.empty());
    EXPECT_EQ(fabric_.census().loaned_count, loaned_count) << count;
    EXPECT_EQ(fabric_.census().held_count, 0u) << count;
    rest.push_back(root);
    for (const Loaned& loaned : rest) {
      memory::abort_loan(*loaned.header, loaned.generation);
      heap_.aborted(loaned);
    }
  }
}

TEST_F(FanOutTest, OneChunkMoreIsEnough) {
  const Loaned root = loan_root();
  while (fabric_.census().free_count > 4) (void)heap_.loan(0);
  EXPECT_TRUE(name(root, 200).bits);
  EXPECT_EQ(fabric_.census().free_count, 0u);
}

}  // namespace
}  // namespace ripstop::detail
