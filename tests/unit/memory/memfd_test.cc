#include "memory/memfd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>

#include "memory/segment.h"

namespace ripstop::memory {
namespace {

Memfd make(std::size_t bytes, layout::PageKind kind = layout::PageKind::Small) {
  auto memfd = create_memfd({"ripstop:test", bytes, kind, false, {}});
  EXPECT_TRUE(memfd) << (memfd ? "" : to_string(memfd.error()));
  return memfd ? std::move(*memfd) : Memfd{};
}

TEST(Memfd, EveryPageIsThereWhenItReturns) {
  const Memfd memfd = make(1 << 20);
  struct stat status{};
  ASSERT_EQ(fstat(memfd.fd.get(), &status), 0);
  EXPECT_EQ(status.st_size, 1 << 20);
  EXPECT_EQ(status.st_blocks * 512, 1 << 20);
}

TEST(Memfd, ItsSizeIsSealed) {
  const Memfd memfd = make(4096);
  EXPECT_EQ(ftruncate(memfd.fd.get(), 0), -1);
  EXPECT_EQ(ftruncate(memfd.fd.get(), 8192), -1);
  EXPECT_EQ(fcntl(memfd.fd.get(), F_ADD_SEALS, F_SEAL_WRITE), -1);
}

TEST(Memfd, WhateverPagesAreAskedForItSaysWhatItGot) {
  const Memfd memfd = make(3 << 20, layout::PageKind::Huge);
  EXPECT_GE(memfd.bytes, std::size_t{3} << 20);
  const std::size_t page_bytes = memfd.pages_got == layout::PageKind::Small ? kSmallPageBytes : kHugePageBytes;
  EXPECT_EQ(memfd.bytes % page_bytes, 0u);
}

TEST(Memfd, MoreThanIsAvailableIsAnErrorWithTheNumbers) {
  const auto memfd = create_memfd({"ripstop:test", std::size_t{1} << 45, layout::PageKind::Small, false, {}});
  ASSERT_FALSE(memfd);
  EXPECT_EQ(memfd.error().code, Errc::NoMemory);
  EXPECT_NE(memfd.error().why.find("MiB are needed"), std::string::npos);
}

TEST(Memfd, RequiredHugePagesThatAreNotThereAreAnErrorWithTheNumbers) {
  const auto memfd = create_memfd({"ripstop:test", std::size_t{1} << 45, layout::PageKind::Huge, true, {}});
  ASSERT_FALSE(memfd);
  EXPECT_EQ(memfd.error().code, Errc::NoHugepages);
}

TEST(Memfd, AReadOnlyDescriptorCannotBeMappedWritable) {
  const Memfd memfd = make(4096);
  const auto read_only = reopen_read_only(memfd.fd.get());
  ASSERT_TRUE(read_only) << to_string(read_only.error());
  EXPECT_TRUE(Segment::map(read_only->get(), Access::ReadOnly, 4096));
  const auto writable = Segment::map(read_only->get(), Access::ReadWrite, 4096);
  ASSERT_FALSE(writable);
  EXPECT_EQ(writable.error().code, Errc::Denied);
  struct stat status{};
  ASSERT_EQ(fstat(read_only->get(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0400u);
}

TEST(Segment, AFileThatIsTooShortIsCorrupt) {
  const Memfd memfd = make(4096);
  const auto segment = Segment::map(memfd.fd.get(), Access::ReadWrite, 8192);
  ASSERT_FALSE(segment);
  EXPECT_EQ(segment.error().code, Errc::Corrupt);
}

TEST(Segment, ALargeOneIsAlignedToAHugePage) {
  const Memfd memfd = make(3 << 20);
  for (int i = 0; i < 3; ++i) {
    const auto segment = Segment::map(memfd.fd.get(), Access::ReadWrite, memfd.bytes);
    ASSERT_TRUE(segment);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(segment->data()) % kHugePageBytes, 0u);
  }
}

TEST(Segment, TwoMappingsAreTheSameMemory) {
  const Memfd memfd = make(4096);
  const auto one = Segment::map(memfd.fd.get(), Access::ReadWrite, 4096);
  const auto two = Segment::map(memfd.fd.get(), Access::ReadOnly, 4096);
  ASSERT_TRUE(one && two);
  one->data()[7] = std::byte{42};
  EXPECT_EQ(two->data()[7], std::byte{42});
}

TEST(Segment, AChildHasNoMappingOfAHiddenOneAndUnmapsNothing) {
  const Memfd memfd = make(4096);
  auto segment = Segment::map(memfd.fd.get(), Access::ReadWrite, 4096, {.hidden_from_children = true});
  ASSERT_TRUE(segment);
  const pid_t pid = fork();
  if (pid == 0) {
    // Something else takes the address; dropping the inherited Segment leaves it alone.
    std::byte* place = segment->data();
    unsigned char resident = 0;
    if (mincore(place, 4096, &resident) == 0) _exit(1);
    void* other = mmap(place, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (other != place) _exit(2);
    *segment = Segment();
    *place = std::byte{1};
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace ripstop::memory
