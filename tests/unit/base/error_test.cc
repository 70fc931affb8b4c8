#include "ripstop/error.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "ripstop/result.h"

namespace ripstop {
namespace {

TEST(Error, SaysWhatWhyAndWhatToDo) {
  const Error error{Errc::NameTaken, 0, "agent planner is attached", "by process 7", "take another name\nor end it"};
  EXPECT_EQ(to_string(error),
            "error RS-0102: agent planner is attached\n"
            "  why   by process 7\n"
            "  fix   take another name\n"
            "        or end it\n"
            "  more  shmctl explain RS-0102");
}

TEST(Error, WithoutATextItSaysWhatItsCodeMeans) {
  const std::string text = to_string(Error{Errc::PoolEmpty, 0, "", "", ""});
  EXPECT_EQ(text.find("error RS-0201: "), 0u);
  EXPECT_GT(text.find('\n'), std::string("error RS-0201: ").size()) << text;
}

TEST(Error, OfASystemCallNamesCallAndReason) {
  const Error error = system_error("mmap of a segment", ENOMEM);
  EXPECT_EQ(error.code, Errc::System);
  EXPECT_EQ(error.sys_errno, ENOMEM);
  EXPECT_EQ(error.what, "mmap of a segment: Cannot allocate memory");
  EXPECT_EQ(system_error("x", 99999).what, "x: errno 99999");
}

TEST(Error, EveryCodeEndsAProgramWithAStatus) {
  EXPECT_EQ(exit_status(Errc::Usage), 2);
  EXPECT_EQ(exit_status(Errc::NoSupervisor), 5);
  EXPECT_EQ(exit_status(static_cast<Errc>(9999)), 1);
}

TEST(Result, HoldsAValueOrAnError) {
  Result<int> value = 5;
  ASSERT_TRUE(value);
  EXPECT_EQ(*value, 5);
  const Result<int> failed = Error{Errc::Timeout, 0, "", "", ""};
  EXPECT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Errc::Timeout);
  EXPECT_TRUE(Result<void>());
}

TEST(ResultDeathTest, AskingAFailedOneForItsValueAborts) {
  Result<int> failed(Error{Errc::Timeout, 0, "", "", ""});
  EXPECT_DEATH(static_cast<void>(*failed), "");
}

}  // namespace
}  // namespace ripstop
