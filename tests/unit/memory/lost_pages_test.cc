// Method: a memfd without seals, cut short behind everybody's back: its last pages are gone, as a hole that
// cannot be filled is. In a child where the process shall end.
#include "memory/lost_pages.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/memfd.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "base/owned_fd.h"
#include "memory/memfd.h"

namespace ripstop::memory {
namespace {

constexpr std::size_t kPage = kSmallPageBytes;

class LostPagesTest : public testing::Test {
 protected:
  // `page_count` pages, each full of its number plus one; all behind the first are gone.
  Segment torn(std::size_t page_count, Access access = Access::ReadWrite, unsigned flags = 0) {
    const std::size_t page_bytes = flags == 0 ? kPage : kHugePageBytes;
    fd_ = base::OwnedFd(memfd_create("ripstop:test", MFD_CLOEXEC | flags));
    EXPECT_EQ(ftruncate(fd_.get(), static_cast<off_t>(page_count * page_bytes)), 0);
    auto segment = Segment::map(fd_.get(), access, page_count * page_bytes);
    EXPECT_TRUE(segment) << (segment ? "" : to_string(segment.error()));
    if (access == Access::ReadWrite) {
      for (std::size_t i = 0; i < page_count; ++i) std::memset(segment->data() + i * page_bytes, static_cast<int>(i + 1), page_bytes);
    }
    EXPECT_EQ(ftruncate(fd_.get(), static_cast<off_t>(page_bytes)), 0);
    return std::move(*segment);
  }
  // How a child ends that does as `body` says: 0, or the signal.
  template <class Body>
  static int signal_of(Body body) {
    const pid_t pid = fork();
    if (pid == 0) {
      signal(SIGBUS, SIG_DFL);  // Not what a sanitizer does with it.
      body();
      _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }

  base::OwnedFd fd_;
};

TEST_F(LostPagesTest, ALostPageReadsAsZerosAndItsNeighbourIsWhatItWas) {
  const Segment segment = torn(3);
  int told = 0;
  const auto count = [](void* context) { ++*static_cast<int*>(context); };
  auto watched = LostPages::watch(segment, Access::ReadWrite, count, &told);
  ASSERT_TRUE(watched);
  EXPECT_EQ(segment.data()[kPage + 100], std::byte{0});
  EXPECT_EQ(segment.data()[100], std::byte{1});
  EXPECT_EQ(told, 1);
  segment.data()[kPage + 100] = std::byte{7};  // And is a page to write to.
  EXPECT_EQ(segment.data()[kPage + 100], std::byte{7});
  EXPECT_EQ(watched->count(), 1u) << "told once a page";
  segment.data()[3 * kPage - 1] = std::byte{7};
  EXPECT_EQ(watched->count(), 2u);
}

TEST_F(LostPagesTest, SoDoesOneThatIsMappedReadOnly) {
  const Segment segment = torn(2, Access::ReadOnly);
  auto watched = LostPages::watch(segment, Access::ReadOnly, nullptr, nullptr);
  ASSERT_TRUE(watched);
  EXPECT_EQ(segment.data()[kPage], std::byte{0});
  EXPECT_EQ(watched->count(), 1u);
}

TEST_F(LostPagesTest, AHugePageIsReplacedWhole) {
  const int probe = memfd_create("ripstop:probe", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
  void* place = probe < 0 || ftruncate(probe, 2 * kHugePageBytes) != 0
                    ? MAP_FAILED
                    : mmap(nullptr, 2 * kHugePageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, probe, 0);
  close(probe);
  if (place == MAP_FAILED) GTEST_SKIP() << "no two free huge pages";
  munmap(place, 2 * kHugePageBytes);
  const Segment segment = torn(2, Access::ReadWrite, MFD_HUGETLB | MFD_HUGE_2MB);
  auto watched = LostPages::watch(segment, Access::ReadWrite, nullptr, nullptr);
  ASSERT_TRUE(watched);
  EXPECT_EQ(segment.page_bytes(), kHugePageBytes);
  EXPECT_EQ(segment.data()[kHugePageBytes + 5000], std::byte{0});
  EXPECT_EQ(segment.data()[2 * kHugePageBytes - 1], std::byte{0});
  EXPECT_EQ(segment.data()[kHugePageBytes - 1], std::byte{1});
  EXPECT_EQ(watched->count(), 1u);
}

TEST_F(LostPagesTest, AFaultElsewhereEndsTheProcessAsBefore) {
  const Segment segment = torn(2);
  EXPECT_EQ(signal_of([&] {
              const Segment other = torn(2);
              auto watched = LostPages::watch(other, Access::ReadWrite, nullptr, nullptr);
              segment.data()[kPage] = std::byte{1};
            }),
            SIGBUS);
  EXPECT_EQ(signal_of([&] {
              { auto watched = LostPages::watch(segment, Access::ReadWrite, nullptr, nullptr); }
              segment.data()[kPage] = std::byte{1};
            }),
            SIGBUS)
      << "watched no more";
}

TEST_F(LostPagesTest, ASignalThatSomebodySendsEndsTheProcessAsBefore) {
  const Segment segment = torn(2);
  EXPECT_EQ(signal_of([&] {
              auto watched = LostPages::watch(segment, Access::ReadWrite, nullptr, nullptr);
              kill(getpid(), SIGBUS);
            }),
            SIGBUS);
}

TEST_F(LostPagesTest, ThereIsRoomForMoreSegmentsThanAFabricHas) {
  const Segment segment = torn(2);
  std::vector<LostPages> watched;
  Errc end = Errc::Usage;
  for (int i = 0; i < 100; ++i) {
    auto next = LostPages::watch(segment, Access::ReadWrite, nullptr, nullptr);
    if (!next) {
      end = next.error().code;
      break;
    }
    watched.push_back(std::move(*next));
  }
  EXPECT_GE(watched.size(), std::size_t{layout::kNodeCountMax});
  EXPECT_EQ(end, Errc::System) << "and an end of it";
}

}  // namespace
}  // namespace ripstop::memory
