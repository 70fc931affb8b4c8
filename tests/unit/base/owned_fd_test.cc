#include "base/owned_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace ripstop::base {
namespace {

bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

TEST(OwnedFd, ClosesWhenItEnds) {
  int fd = -1;
  {
    const OwnedFd owned(open("/dev/null", O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(owned);
    fd = owned.get();
    EXPECT_TRUE(is_open(fd));
  }
  EXPECT_FALSE(is_open(fd));
}

TEST(OwnedFd, AMoveLeavesNothingBehind) {
  OwnedFd first(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int fd = first.get();
  OwnedFd second(std::move(first));
  EXPECT_FALSE(first);
  EXPECT_EQ(second.get(), fd);
  OwnedFd third(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int closed = third.get();
  third = std::move(second);
  EXPECT_FALSE(is_open(closed));
  EXPECT_TRUE(is_open(fd));
}

TEST(OwnedFd, MovedOntoItselfItStaysOpen) {
  OwnedFd owned(open("/dev/null", O_RDONLY | O_CLOEXEC));
  OwnedFd& same = owned;
  owned = std::move(same);
  EXPECT_TRUE(is_open(owned.get()));
}

TEST(OwnedFd, WhatIsReleasedIsTheCallers) {
  OwnedFd owned(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int fd = owned.release();
  EXPECT_FALSE(owned);
  owned.reset();
  EXPECT_TRUE(is_open(fd));
  close(fd);
}

}  // namespace
}  // namespace ripstop::base
