// Method: strace counts the system calls of a spinning ping-pong, for few messages and for many.
#include <fstream>
#include <sstream>

#include "real_fabric.h"

namespace ripstop::test {
namespace {

// The program that strace runs: a spinning ping-pong of $RIPSTOP_PING_COUNT messages in the fabric of the
// test that started it.
TEST(PingPongProgram, DISABLED_Runs) {
  const char* count_text = std::getenv("RIPSTOP_PING_COUNT");
  ASSERT_NE(count_text, nullptr);
  const uint64_t count = std::strtoull(count_text, nullptr, 10);
  Child child([&](const Link& link) {
    Agent agent = attach("pong", Wait::Spin);
    auto publisher = must(agent.publisher("calls.pong"));
    auto subscriber = must(agent.subscriber("calls.ping"));
    link.tell(1);
    if (!link.hear()) return 2;
    for (uint64_t i = 0; i < count; ++i) {
      auto message = subscriber.take(20s);
      if (!message || !send_number(publisher, number_of(message->bytes()))) return 3;
    }
    return 0;
  });
  Agent agent = attach("ping", Wait::Spin);
  auto publisher = must(agent.publisher("calls.ping"));
  auto subscriber = must(agent.subscriber("calls.pong"));
  ASSERT_TRUE(child.link().hear());
  child.link().tell(1);
  for (uint64_t i = 0; i < count; ++i) {
    ASSERT_TRUE(send_number(publisher, i));
    auto message = subscriber.take(20s);
    ASSERT_TRUE(message);
    ASSERT_EQ(number_of(message->bytes()), i);
  }
  EXPECT_EQ(child.wait(), 0);
}

struct Calls {
  uint64_t yields = 0;  // A spinning waiter's, while the other has no processor: by time, not by message.
  uint64_t others = 0;
};

// System calls of both sides of such a ping-pong; nothing when it failed.
std::optional<Calls> system_calls_of(uint64_t ping_count) {
  const std::string own = std::filesystem::read_symlink("/proc/self/exe");
  const std::string table = std::string(std::getenv("XDG_RUNTIME_DIR")) + "/strace";
  const std::string command = "RIPSTOP_PING_COUNT=" + std::to_string(ping_count) + " strace -f -c -o " + table +
                              " " + own + " --gtest_also_run_disabled_tests --gtest_filter=PingPongProgram.* >" +
                              table + ".log 2>&1";
  if (std::system(command.c_str()) != 0) return std::nullopt;
  std::ifstream in(table);
  Calls calls;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    double share = 0, seconds = 0, each = 0;
    uint64_t count = 0;
    if (line.ends_with(" total") || !(words >> share >> seconds >> each >> count)) continue;
    (line.ends_with(" sched_yield") ? calls.yields : calls.others) += count;
  }
  return calls;
}

TEST_F(Messaging, AMessageBetweenTwoAwakeProcessesNeedsNoSystemCall) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "counted without sanitizers: they make system calls of their own";
#endif
  if (std::system("strace -o /dev/null true >/dev/null 2>&1") != 0) {
    GTEST_SKIP() << "strace is not there or may not trace";
  }
  constexpr uint64_t kFew = 1000, kMany = 20'000;
  // Both are awake where each has a processor. Beside other work they may share one for a run; then the
  // waiting side yields it, and the next run is looked at.
  uint64_t yields = ~uint64_t{0};
  for (int run = 0; run < 10 && yields >= kMany / 10; ++run) {
    const auto few = system_calls_of(kFew);
    const auto many = system_calls_of(kMany);
    ASSERT_TRUE(few && many) << "the ping-pong under strace failed";
    EXPECT_GT(few->others, 50u);  // Start and end: strace did see the program.
    EXPECT_LT(many->others, few->others + 50) << few->others << " for few messages, " << many->others << " for many";
    yields = many->yields;
  }
  if (yields >= kMany / 10) GTEST_SKIP() << "no run of ten had two processors for itself: " << yields << " yields";
}

}  // namespace
}  // namespace ripstop::test
