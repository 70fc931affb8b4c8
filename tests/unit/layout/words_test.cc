#include "layout/words.h"

#include <gtest/gtest.h>

#include <random>

namespace ripstop::layout {
namespace {

TEST(Words, AChunkIdIsNodeSlabAndIndex) {
  EXPECT_EQ(make_chunk_id(0, 0, 0), 0u);
  EXPECT_EQ(make_chunk_id(0, 0, 63), 0x3fu);
  EXPECT_EQ(make_chunk_id(0, 1, 0), 0x40u);
  EXPECT_EQ(make_chunk_id(1, 0, 0), 0x1000000u);
  EXPECT_EQ(make_chunk_id(15, (1u << 18) - 1, 63), 0xfffffffu);
  const ChunkId id = make_chunk_id(9, 0x2abcd, 33);
  EXPECT_EQ(chunk_node(id), 9u);
  EXPECT_EQ(chunk_slab(id), 0x2abcdu);
  EXPECT_EQ(chunk_index(id), 33u);
}

TEST(Words, AReferenceIsAChunkInOneOfItsLives) {
  EXPECT_EQ(make_reference(1, 1), 0x1'000000001u);
  EXPECT_EQ(make_reference(0xfffffff, kGenerationMask), ~uint64_t{0});
  const Reference reference = make_reference(0x1234567, 0xfedcba9876543210);
  EXPECT_EQ(reference_chunk(reference), 0x1234567u);
  EXPECT_EQ(reference_generation(reference), 0x876543210u);
  EXPECT_TRUE(same_generation(reference, 0xfedcba9876543210));
  EXPECT_TRUE(same_generation(reference, 0x876543210)) << "the low 36 bits count";
  EXPECT_FALSE(same_generation(reference, 0x876543211));
}

TEST(Words, ASlotsStateHasGoldenBits) {
  EXPECT_EQ(pack({0, 0, 0, 0, Phase::Empty}), 0u);
  EXPECT_EQ(pack({1, 0, 0, 0, Phase::Empty}), 0x10000000u);
  EXPECT_EQ(pack({0, 1, 0, 0, Phase::Empty}), 0x400000u);
  EXPECT_EQ(pack({0, 0, 1, 0, Phase::Empty}), 0x10000u);
  EXPECT_EQ(pack({0, 0, 0, 1, Phase::Empty}), 0x4u);
  EXPECT_EQ(pack({0, 0, 0, 0, Phase::Closed}), 3u);
  EXPECT_EQ(pack({kTurnMask, 63, 63, kOwnerDropped, Phase::Closed}), ~uint64_t{0});
  EXPECT_EQ(pack({kTurnMask + 1, 64, 64, kOwnerDropped + 1, Phase::Full}), 1u) << "too large a field is cut, never spills";
}

TEST(Words, UnpackGivesBackWhatWasPacked) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t word = random();
    EXPECT_EQ(pack(unpack(word)), word);
    EXPECT_EQ(word_turn(word), unpack(word).turn);
    EXPECT_EQ(word_phase(word), unpack(word).phase);
  }
}

TEST(Words, TurnsAreComparedOnTheirCircle) {
  EXPECT_EQ(turn_distance(5, 5), 0);
  EXPECT_EQ(turn_distance(6, 5), 1);
  EXPECT_EQ(turn_distance(5, 6), -1);
  EXPECT_EQ(turn_distance(0, kTurnMask), 1) << "behind the wrap";
  EXPECT_EQ(turn_distance(kTurnMask, 0), -1);
  EXPECT_EQ(turn_distance(kTurnMask / 2, 0), int64_t{1} * (kTurnMask / 2));
  EXPECT_LT(turn_distance(kTurnMask / 2 + 1, 0), 0) << "half way round is behind";
}

TEST(Words, AReceiverIsAnAgentInOneOfItsLives) {
  EXPECT_EQ(make_receiver(1, 1), 0x4001u);
  const uint32_t receiver = make_receiver(0x3ffd, 0xfffffffffff2abcd);
  EXPECT_EQ(receiver_agent(receiver), 0x3ffdu);
  EXPECT_EQ(receiver_incarnation(receiver), 0x2abcdu);
}

TEST(Words, ASlabsOwnerHasAVersion) {
  EXPECT_EQ(make_slab_owner(1, 0, 0), uint64_t{1} << 40);
  const uint64_t word = make_slab_owner(0x123456, 0x2bcd, 0x7ffffff);
  EXPECT_EQ(slab_owner_version(word), 0x123456u);
  EXPECT_EQ(slab_owner_agent(word), 0x2bcdu);
  EXPECT_EQ(slab_owner_incarnation(word), 0x3ffffffu) << "26 bits of the incarnation";
  EXPECT_EQ(slab_owner_version(make_slab_owner(0x1000000, 5, 5)), 0u) << "the version wraps";
}

TEST(Words, ALateEntrySaysWhatItWasMadeOf) {
  const LateWord word = unpack_late(pack(LateWord{0xabcdef1, 52, 60, true, true}));
  EXPECT_EQ(word.copy, 0xabcdef1u);
  EXPECT_EQ(word.bit, 52u);
  EXPECT_EQ(word.late_bit, 60u);
  EXPECT_TRUE(word.returned);
  EXPECT_TRUE(word.open);
  EXPECT_FALSE(unpack_late(pack(LateWord{1, 2, 3, false, true})).returned);
  EXPECT_FALSE(unpack_late(pack(LateWord{1, 2, 3, true, false})).open);
}

TEST(Words, TheBitsOfHoldersDoNotOverlap) {
  EXPECT_EQ(kDeliveryHolds | kLateHolds | kLinkHold | kClosing | kPublisherHold, ~uint64_t{0});
  EXPECT_EQ(kDeliveryHolds & (kLateHolds | kLinkHold | kClosing | kPublisherHold), 0u);
  EXPECT_EQ(kLateHolds & (kLinkHold | kClosing | kPublisherHold), 0u);
  EXPECT_GT(kOwnerSupervisor, kAgentIdMax);
  EXPECT_GT(kOwnerDropped, kOwnerSupervisor);
}

}  // namespace
}  // namespace ripstop::layout
