#include "memory/holders.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "fabric/fake_fabric.h"
#include "fabric/staged_send.h"

namespace ripstop::memory {
namespace {

using fabric::FakeFabric;
using fabric::FakeShape;
using fabric::StagedSend;
using layout::ChunkRole;

class HoldersTest : public testing::Test {
 protected:
  layout::ChunkHeader& chunk(uint32_t index) { return *fabric_.chunks().find(layout::make_chunk_id(0, 0, index)); }
  static layout::Reference reference(uint32_t index, uint64_t generation) {
    return layout::make_reference(layout::make_chunk_id(0, 0, index), generation);
  }
  FakeFabric fabric_;
};

TEST_F(HoldersTest, AChunkGoesThroughItsLife) {
  layout::ChunkHeader& header = chunk(0);
  EXPECT_TRUE(is_free(header));
  EXPECT_EQ(mark_loaned(header), 1u);
  EXPECT_FALSE(is_free(header));
  commit(header, 0b11);
  EXPECT_EQ(release(fabric_.chunks(), reference(0, 1), 0), Release::Held);
  EXPECT_EQ(release(fabric_.chunks(), reference(0, 1), 1), Release::Freed);
  EXPECT_TRUE(is_free(header));
  EXPECT_EQ(read_holders(header).generation, 2u);
}

TEST_F(HoldersTest, AnAbortedLoanIsFreeInANewLife) {
  layout::ChunkHeader& header = chunk(0);
  const uint64_t generation = mark_loaned(header);
  abort_loan(header, generation);
  EXPECT_TRUE(is_free(header));
  EXPECT_EQ(read_holders(header).generation, generation + 1);
}

TEST_F(HoldersTest, ASecondReleaseChangesNothing) {
  layout::ChunkHeader& header = chunk(0);
  (void)mark_loaned(header);
  commit(header, 0b111);
  EXPECT_EQ(release(fabric_.chunks(), reference(0, 1), 1), Release::Held);
  EXPECT_EQ(release(fabric_.chunks(), reference(0, 1), 1), Release::Gone);
  EXPECT_EQ(read_holders(header).bits, 0b101u);
}

TEST_F(HoldersTest, AReleaseOfAnEarlierLifeChangesNothing) {
  layout::ChunkHeader& header = chunk(0);
  (void)mark_loaned(header);
  commit(header, 1);
  EXPECT_EQ(release(fabric_.chunks(), reference(0, 1), 0), Release::Freed);
  (void)mark_loaned(header);
  EXPECT_EQ(release(fabric_.chunks(), reference(0, 1), 63), Release::Gone);
  commit(header, 1);
  EXPECT_EQ(release(fabric_.chunks(), reference(0, 1), 0), Release::Gone);
  EXPECT_EQ(read_holders(header).bits, 1u);
}

TEST_F(HoldersTest, ALifeOf36BitsLaterLooksTheSameAndIsDocumentedToTakeHours) {
  layout::ChunkHeader& header = chunk(0);
  header.holders.low.store((uint64_t{1} << layout::kGenerationBits) + 1);
  header.holders.high.store(1);
  EXPECT_EQ(release(fabric_.chunks(), reference(0, 1), 0), Release::Freed);
  EXPECT_EQ(read_holders(header).generation, (uint64_t{1} << layout::kGenerationBits) + 2) << "all 64 bits go on";
}

TEST_F(HoldersTest, AReferenceToNothingIsGone) {
  EXPECT_EQ(release(fabric_.chunks(), layout::make_reference(layout::make_chunk_id(15, 0, 0), 1), 0), Release::Gone);
  EXPECT_EQ(release(fabric_.chunks(), 0, 0), Release::Gone);
}

TEST_F(HoldersTest, AReleaseThroughAnotherMappingCounts) {
  layout::ChunkHeader& header = chunk(3);
  (void)mark_loaned(header);
  commit(header, 1);
  EXPECT_EQ(release(fabric_.second_map().chunks(), reference(3, 1), 0), Release::Freed);
  EXPECT_TRUE(is_free(header));
}

// Messages with links, built by the publisher's own code.
class LinkedHoldersTest : public testing::Test {
 protected:
  explicit LinkedHoldersTest(FakeShape shape = {1, 8, {{256, 64, 4}}, {8, 8, 8, 8, 8}, 0, 4}) : fabric_(shape) {
    for (uint32_t agent = 1; agent < 8; ++agent) fabric_.attach(agent);
  }
  // A committed message for `count` receivers; agents repeat, for no push is made.
  StagedSend committed(uint32_t count, uint32_t continuation_count) {
    std::vector<uint32_t> receivers;
    for (uint32_t i = 0; i < count; ++i) receivers.push_back(1 + i % 7);
    StagedSend send(fabric_, heap_, 1, receivers);
    EXPECT_TRUE(send.loan(continuation_count));
    EXPECT_TRUE(send.name());
    send.commit();
    return send;
  }
  void release_all(StagedSend& send, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::shuffle(send.deliveries.begin(), send.deliveries.end(), random);
    for (std::size_t i = 0; i < send.deliveries.size(); ++i) {
      ASSERT_FALSE(is_free(*send.root().header)) << "freed before its last release";
      const Release outcome = release(fabric_.chunks(), send.deliveries[i].reference, send.deliveries[i].bit);
      ASSERT_NE(outcome, Release::Gone) << i;
    }
  }
  void expect_all_free() { EXPECT_EQ(fabric_.census().free_count, fabric_.chunk_count()); }

  FakeFabric fabric_;
  SlabHeap heap_{fabric_.chunks(), 0, 1, 100};
};

TEST_F(LinkedHoldersTest, TheLastReleaseFreesTheLinks) {
  for (const uint32_t count : {1u, 4u, 5u, 53u, 54u, 106u, 200u}) {
    for (const uint32_t continuation_count : {0u, 1u, 3u}) {
      StagedSend send = committed(count, continuation_count);
      release_all(send, count);
      expect_all_free();
      send.end();
    }
  }
}

TEST_F(LinkedHoldersTest, ADoubleReleaseOfAnyDeliveryIsHarmless) {
  StagedSend send = committed(130, 2);
  for (const detail::Delivery& delivery : send.deliveries) {
    EXPECT_NE(release(fabric_.chunks(), delivery.reference, delivery.bit), Release::Gone);
    EXPECT_EQ(release(fabric_.chunks(), delivery.reference, delivery.bit), Release::Gone);
  }
  expect_all_free();
  for (const detail::Delivery& delivery : send.deliveries) {
    EXPECT_EQ(release(fabric_.chunks(), delivery.reference, delivery.bit), Release::Gone);
  }
  expect_all_free();
}

TEST_F(LinkedHoldersTest, ABranchIsFreeAsSoonAsItsOwnDeliveriesAre) {
  StagedSend send = committed(2 * layout::kDeliveryCount, 0);
  ASSERT_EQ(send.links.size(), 2u);
  for (std::size_t i = 0; i < layout::kDeliveryCount; ++i) (void)release(fabric_.chunks(), send.deliveries[i].reference, send.deliveries[i].bit);
  EXPECT_TRUE(is_free(*send.links[0].header));
  EXPECT_FALSE(is_free(*send.links[1].header));
  EXPECT_FALSE(is_free(*send.root().header));
}

// A releaser that died after its swap left {g, closing}; the stages in which its links may be.
TEST_F(LinkedHoldersTest, ClosingIsFinishedFromWhereverTheDeadReleaserCame) {
  for (std::size_t freed = 0; freed <= 3; ++freed) {
    StagedSend send = committed(5, 2);  // A list and two continuations.
    ASSERT_EQ(send.links.size(), 3u);
    layout::ChunkHeader& root = *send.root().header;
    root.holders.high.store(layout::kClosing);
    for (std::size_t i = 0; i < freed; ++i) {  // Last first.
      const memory::Loaned& link = send.links[2 - i];
      link.header->holders.low.store(link.generation + 1);
      link.header->holders.high.store(0);
    }
    finish_closing(fabric_.chunks(), root, send.root().chunk, send.root().generation);
    EXPECT_EQ(fabric_.census().free_count, fabric_.chunk_count()) << freed << " links were given back";
    finish_closing(fabric_.chunks(), root, send.root().chunk, send.root().generation);
    EXPECT_EQ(read_holders(root).generation, send.root().generation + 1) << "finished twice";
    send.end();
  }
}

TEST_F(LinkedHoldersTest, ABranchThatWasLeftClosingGivesUpItsHoldOnTheMessage) {
  StagedSend send = committed(62, 0);
  for (std::size_t i = 0; i < 62; ++i) {
    if (send.deliveries[i].reference == send.links[0].reference()) continue;
    (void)release(fabric_.chunks(), send.deliveries[i].reference, send.deliveries[i].bit);
  }
  EXPECT_FALSE(is_free(*send.root().header));
  send.links[0].header->holders.high.store(layout::kClosing);
  finish_closing(fabric_.chunks(), *send.links[0].header, send.links[0].chunk, send.links[0].generation);
  expect_all_free();
}

// The last releaser of the root sees a branch whose own releaser is a step further: its chunk is free and
// has begun a new message as a branch of that.
TEST_F(LinkedHoldersTest, AWalkAlongTheLinksDoesNotReachIntoAnotherMessage) {
  StagedSend old = committed(122, 0);
  const layout::Reference root = old.root().reference();
  // Everything is released but for the root's own closing, which a slow releaser does now.
  layout::ChunkHeader& header = *old.root().header;
  header.holders.high.store(layout::kClosing);
  for (const Loaned& link : old.links) {
    link.header->holders.low.store(link.generation + 1);
    link.header->holders.high.store(0);
    heap_.sent(link);
  }
  StagedSend fresh = committed(122, 0);  // Its branches lie wherever the old ones lay, or beside.
  // What the slow walker reads: the old root's chain leads, by reuse, to a branch of the new message.
  header.link = fresh.links[0].reference();
  const Holders before = read_holders(*fresh.links[0].header);
  finish_closing(fabric_.chunks(), header, layout::reference_chunk(root), old.root().generation);
  EXPECT_EQ(read_holders(*fresh.links[0].header).generation, before.generation) << "a living message lost its branch";
  EXPECT_EQ(read_holders(*fresh.links[0].header).bits, before.bits);
  EXPECT_TRUE(is_free(header));
}

TEST_F(LinkedHoldersTest, AnAbortedMessageGivesItsLinksBack) {
  StagedSend send(fabric_, heap_, 1, std::vector<uint32_t>(100, 2));
  ASSERT_TRUE(send.loan(2));
  ASSERT_TRUE(send.name());
  abort_message(fabric_.chunks(), *send.root().header, send.root().generation);
  expect_all_free();
}

TEST_F(LinkedHoldersTest, GarbageInHeadersEndsEveryRelease) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 3'000; ++round) {
    for (uint32_t index = 0; index < 64; ++index) {
      layout::ChunkHeader& header = *fabric_.chunks().find(layout::make_chunk_id(0, 0, index));
      const auto any = [&] { return layout::make_reference(layout::make_chunk_id(0, 0, random() % 64), random() % 2 + 1); };
      header.holders.low.store(random() % 2 + 1);
      header.holders.high.store(random() % 4 == 0 ? layout::kClosing : uint64_t{1} << (random() % 4));
      header.role = static_cast<ChunkRole>(random() % 5);
      header.flags = static_cast<uint8_t>(random());
      header.link = any();
      header.root = random() % 8 == 0 ? random() : any();
      receiver_names(header).count = static_cast<uint32_t>(random());
      receiver_names(header).root_bit = static_cast<uint32_t>(random() % 8 == 0 ? random() : random() % 4);
    }
    for (int i = 0; i < 8; ++i) {
      const auto id = layout::make_chunk_id(0, 0, random() % 64);
      (void)release(fabric_.chunks(), layout::make_reference(id, random() % 2 + 1), random() % 4);
      finish_closing(fabric_.chunks(), *fabric_.chunks().find(id), id, random() % 2 + 1);
    }
  }
}

class WideHoldersTest : public LinkedHoldersTest {
 protected:
  WideHoldersTest() : LinkedHoldersTest({1, 8, {{256, 64, 4}}, {8, 8, 8, 8, 8}, 0, 4}) {}
};

TEST_F(WideHoldersTest, AFanOutTo4000IsATreeThatFreesItself) {
  for (const uint32_t count : {3'721u, 3'722u, 3'782u, 4'000u}) {
    StagedSend send = committed(count, 1);
    release_all(send, count);
    expect_all_free();
    send.end();
  }
}

}  // namespace
}  // namespace ripstop::memory
