#include "agent/sequence_window.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace ripstop::detail {
namespace {

TEST(SequenceWindow, InOrderNothingIsLost) {
  SequenceWindow window;
  for (uint64_t sequence = 5; sequence < 500; ++sequence) {
    const auto verdict = window.see(1, sequence);
    EXPECT_EQ(verdict.lost_change, 0);
    EXPECT_FALSE(verdict.duplicate);
  }
}

TEST(SequenceWindow, AGapIsCountedOnce) {
  SequenceWindow window;
  (void)window.see(1, 10);
  EXPECT_EQ(window.see(1, 14).lost_change, 3);
  EXPECT_EQ(window.see(1, 15).lost_change, 0);
}

TEST(SequenceWindow, ALateMessageTakesItsLossBack) {
  SequenceWindow window;
  (void)window.see(1, 10);
  EXPECT_EQ(window.see(1, 12).lost_change, 1);
  EXPECT_EQ(window.see(1, 11).lost_change, -1);
  EXPECT_TRUE(window.see(1, 11).duplicate);
}

TEST(SequenceWindow, ARepetitionIsADuplicate) {
  SequenceWindow window;
  for (uint64_t sequence = 1; sequence <= 100; ++sequence) (void)window.see(1, sequence);
  for (uint64_t sequence = 37; sequence <= 100; ++sequence) EXPECT_TRUE(window.see(1, sequence).duplicate) << sequence;
}

TEST(SequenceWindow, WhatWasSentBeforeTheFirstWasNeverOurs) {
  SequenceWindow window;
  (void)window.see(1, 100);
  const auto verdict = window.see(1, 99);
  EXPECT_EQ(verdict.lost_change, 0);
  EXPECT_FALSE(verdict.duplicate);
}

TEST(SequenceWindow, AGapWiderThanTheWindowForgetsNothingOfItsCount) {
  SequenceWindow window;
  (void)window.see(1, 1);
  EXPECT_EQ(window.see(1, 1'000'001).lost_change, 999'999);
  EXPECT_TRUE(window.see(1, 1'000'001).duplicate);
  EXPECT_EQ(window.see(1, 1'000'001 - 63).lost_change, -1) << "just inside";
  EXPECT_EQ(window.see(1, 1'000'001 - 64).lost_change, -1) << "just outside: late";
}

TEST(SequenceWindow, PublishersDoNotDisturbOneAnother) {
  SequenceWindow window;  // Far more than its table starts with, with numbers that lie close.
  for (uint64_t round = 1; round <= 3; ++round) {
    for (uint64_t publisher = 1; publisher <= 1'000; ++publisher) {
      const auto verdict = window.see(publisher << 8, publisher + round);
      ASSERT_EQ(verdict.lost_change, 0) << publisher;
      ASSERT_FALSE(verdict.duplicate);
    }
  }
}

TEST(SequenceWindow, NamesWithoutEndTakeNoMemoryWithoutEnd) {
  // A scribbled header names a publisher that never was, and so does the next one.
  SequenceWindow window;
  for (uint64_t publisher = 1; publisher <= 10 * SequenceWindow::kPublishersMax; ++publisher) {
    ASSERT_EQ(window.see(publisher * 0x9e3779b97f4a7c15u, 7).lost_change, 0);
    ASSERT_LE(window.capacity(), 2 * SequenceWindow::kPublishersMax);
  }
  (void)window.see(5, 1);
  EXPECT_EQ(window.see(5, 3).lost_change, 1) << "it counts on afterwards";
}

TEST(SequenceWindow, TheSumOfItsVerdictsIsWhatIsMissing) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<uint64_t> sequences;
    uint64_t missing = 0;
    for (uint64_t sequence = 1; sequence <= 2'000; ++sequence) {
      if (sequence > 1 && sequence < 2'000 && random() % 10 == 0) ++missing;
      else sequences.push_back(sequence);
    }
    // Overtaken by at most 30.
    for (std::size_t i = 1; i + 31 < sequences.size(); i += 16) {
      std::shuffle(sequences.begin() + static_cast<std::ptrdiff_t>(i), sequences.begin() + static_cast<std::ptrdiff_t>(i + 16), random);
    }
    SequenceWindow window;
    int64_t lost = 0;
    for (const uint64_t sequence : sequences) {
      const auto verdict = window.see(9, sequence);
      lost += verdict.lost_change;
      EXPECT_FALSE(verdict.duplicate);
    }
    EXPECT_EQ(lost, static_cast<int64_t>(missing));
  }
}

}  // namespace
}  // namespace ripstop::detail
