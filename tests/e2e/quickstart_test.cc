// Method: the README's program as its reader runs it: a supervisor, a subscriber in another terminal,
// and the program itself.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <thread>

#include "e2e/program_run.h"
#include "ripstop/inspect.h"

namespace ripstop::e2e {
namespace {

using namespace std::chrono_literals;

template <class Condition>
bool wait_until(Condition condition) {
  for (int i = 0; i < 5000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(1ms);
  }
  return false;
}

class Quickstart : public testing::Test {
 protected:
  void SetUp() override {
    const char* build = std::getenv("RIPSTOP_BUILD_DIR");
    if (build == nullptr) GTEST_SKIP() << "RIPSTOP_BUILD_DIR does not name a build";
    build_ = build;
    char name[] = "/tmp/ripstop-quickstart-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    setenv("XDG_RUNTIME_DIR", name, 1);
    unsetenv("RIPSTOP_FABRIC");
  }
  void TearDown() override {
    if (supervisor_) {
      EXPECT_EQ(supervisor_->end(SIGTERM).status, 0);
    }
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  void start_supervisor() {
    supervisor_ = std::make_unique<Running>(
        std::vector<std::string>{build_ + "/daemon/ripstopd", "--set", "hugepages=off", "--set", "drain_timeout_ms=0"},
        directory_ + "/ripstopd");
    ASSERT_TRUE(wait_until([] { return Inspector::open().has_value(); })) << read_file(directory_ + "/ripstopd.err");
  }
  Ended run_quickstart() {
    return Running({build_ + "/tests/public/quickstart"}, directory_ + "/quickstart").wait();
  }

  std::string build_;
  std::string directory_;
  std::unique_ptr<Running> supervisor_;
};

constexpr const char* kTopic = "agent.planner.task.assign";

TEST_F(Quickstart, TheReadmesProgramGetsItsMessageAcross) {
  const std::string shmctl_program = build_ + "/tools/shmctl";
  if (access(shmctl_program.c_str(), X_OK) != 0) GTEST_SKIP() << "shmctl, the subscriber, is not built with sanitizers";
  start_supervisor();
  Running subscriber({shmctl_program, "sub", kTopic, "--count", "1", "--timeout", "20s", "-o", "jsonl"},
                     directory_ + "/shmctl");
  ASSERT_TRUE(wait_until([] {
    const auto topic = Inspector::open()->topic(kTopic);
    return topic && topic->subscribers.size() == 1;
  })) << read_file(directory_ + "/shmctl.err");
  const Ended quickstart = run_quickstart();
  EXPECT_EQ(quickstart.status, 0) << quickstart.err;
  EXPECT_EQ(quickstart.err, "");
  const Ended shmctl = subscriber.wait();
  EXPECT_EQ(shmctl.status, 0) << shmctl.err;
  EXPECT_EQ(std::count(shmctl.out.begin(), shmctl.out.end(), '\n'), 1) << shmctl.out;
  EXPECT_NE(shmctl.out.find("planner"), std::string::npos) << shmctl.out;
  EXPECT_NE(shmctl.out.find("high"), std::string::npos) << shmctl.out;
}

TEST_F(Quickstart, WithoutASubscriberItSaysThatNobodyGotTheMessage) {
  start_supervisor();
  const Ended quickstart = run_quickstart();
  EXPECT_EQ(quickstart.status, 1);
  EXPECT_NE(quickstart.err.find("no receiver"), std::string::npos) << quickstart.err;
}

TEST_F(Quickstart, WithoutASupervisorItSaysHowToStartOne) {
  const Ended quickstart = run_quickstart();
  EXPECT_EQ(quickstart.status, 5);
  EXPECT_NE(quickstart.err.find("RS-0107"), std::string::npos) << quickstart.err;
  EXPECT_NE(quickstart.err.find("ripstopd"), std::string::npos) << quickstart.err;
}

}  // namespace
}  // namespace ripstop::e2e
