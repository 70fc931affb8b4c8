// Method: a real ripstopd in a runtime directory of the test's own, real agents made by the library in
// children, and shmctl as a person or a script would call it.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <thread>

#include <nlohmann/json.hpp>

#include "e2e/program_run.h"
#include "ripstop/agent.h"

namespace ripstop {
namespace {

using e2e::Ended;
using e2e::Running;
using Json = nlohmann::ordered_json;
using namespace std::chrono_literals;

class ShmctlTest : public testing::Test {
 protected:
  void SetUp() override {
    const char* build = std::getenv("RIPSTOP_BUILD_DIR");
    ASSERT_NE(build, nullptr) << "RIPSTOP_BUILD_DIR names the build";
    build_ = build;
    char name[] = "/tmp/ripstop-shmctl-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    setenv("XDG_RUNTIME_DIR", name, 1);
    unsetenv("RIPSTOP_FABRIC");
    unsetenv("COLUMNS");
    unsetenv("NO_COLOR");
  }

  void TearDown() override {
    for (const pid_t pid : children_) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
    if (supervisor_) supervisor_->end(SIGTERM);
    if (keeper_pid_ > 0) kill(keeper_pid_, SIGKILL);
    std::filesystem::remove_all(directory_);
  }

  void start_supervisor(const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {build_ + "/daemon/ripstopd", "--set", "hugepages=off", "--set",
                                 "agents=16", "--set",
                                 R"(classes=[{"payload_bytes": 256, "chunk_count": 256}])", "--set",
                                 "drain_timeout_ms=0"};
    words.insert(words.end(), more.begin(), more.end());
    supervisor_ = std::make_unique<Running>(words, directory_ + "/ripstopd");
    for (int i = 0; i < 200 && shmctl({"status"}).status != 0; ++i)
      std::this_thread::sleep_for(20ms);
    keeper_pid_ = json({"status"}, 0)["fabric"]["keeper_pid"];
  }

  Running start_shmctl(std::vector<std::string> words) {
    words.insert(words.begin(), build_ + "/tools/shmctl");
    return Running(words, directory_ + "/shmctl" + std::to_string(++runs_));
  }
  Ended shmctl(std::vector<std::string> words) { return start_shmctl(std::move(words)).wait(); }

  // The answer of a verb with --json.
  Json json(std::vector<std::string> words, int status) {
    words.push_back("--json");
    const Ended ended = shmctl(words);
    EXPECT_EQ(ended.status, status) << words[0] << ": " << ended.err;
    Json parsed = Json::parse(ended.out, nullptr, false);
    EXPECT_FALSE(parsed.is_discarded()) << words[0] << ": " << ended.out;
    return parsed;
  }

  // A process with an agent that subscribes to `topic`; it takes when `takes`.
  pid_t start_agent(const std::string& name, const std::string& topic, bool takes) {
    return start_worker(name, topic, [takes](Subscriber<Bytes>& subscriber) {
      while (takes) (void)subscriber.take(1s);
    });
  }
  // The same, with something else to do.
  pid_t start_worker(const std::string& name, const std::string& topic,
                     const std::function<void(Subscriber<Bytes>&)>& work) {
    const pid_t pid = fork();
    if (pid == 0) {
      auto agent = Agent::attach({.name = name, .wait = Wait::Sleep});
      if (!agent) _exit(exit_code(agent.error()));
      auto subscriber = agent->subscriber(topic);
      if (!subscriber) _exit(exit_code(subscriber.error()));
      work(*subscriber);
      while (true) pause();
    }
    children_.push_back(pid);
    EXPECT_EQ(shmctl({"wait", "topic", topic, "--timeout", "5s"}).status, 0);
    EXPECT_EQ(shmctl({"wait", "agent", name, "--timeout", "5s"}).status, 0);
    return pid;
  }

  std::string build_;
  std::string directory_;
  std::unique_ptr<Running> supervisor_;
  pid_t keeper_pid_ = 0;
  std::vector<pid_t> children_;
  int runs_ = 0;
};

std::size_t widest_line(const std::string& text) {
  std::size_t widest = 0;
  std::size_t width = 0;
  for (const char c : text) {
    if (c == '\n') {
      widest = std::max(widest, width);
      width = 0;
    } else {
      width += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    }
  }
  return std::max(widest, width);
}

// Whether `value` is what `schema` says, so far as our schemas go; the first path that is not.
std::string mismatch(const Json& value, const Json& schema, const std::string& path) {
  if (schema.contains("const"))
    return value == schema["const"] ? "" : path + " is not the constant";
  const auto fits = [&value](const std::string& type) {
    return type == "null"      ? value.is_null()
           : type == "string"  ? value.is_string()
           : type == "boolean" ? value.is_boolean()
           : type == "integer" ? value.is_number_integer()
           : type == "number"  ? value.is_number()
           : type == "array"   ? value.is_array()
                               : value.is_object();
  };
  bool any = false;
  for (const Json& type :
       schema["type"].is_array() ? schema["type"] : Json::array({schema["type"]}))
    any |= fits(type);
  if (!any) return path + " has another type: " + value.dump();
  if (value.is_object()) {
    for (const auto& [key, part] : value.items()) {
      if (!schema["properties"].contains(key)) return path + "." + key + " is not in the schema";
      if (std::string bad = mismatch(part, schema["properties"][key], path + "." + key);
          !bad.empty())
        return bad;
    }
  }
  if (value.is_array()) {
    for (const Json& item : value) {
      if (std::string bad = mismatch(item, schema["items"], path + "[]"); !bad.empty()) return bad;
    }
  }
  return "";
}

TEST_F(ShmctlTest, WithoutASupervisorSaysWhyAndWhatToType) {
  for (const char* verb : {"status", "agents", "topics", "segments", "top"}) {
    const Ended ended = shmctl({verb});
    EXPECT_EQ(ended.status, 5) << verb;
    EXPECT_EQ(ended.err.rfind("error RS-0107: ", 0), 0u) << ended.err;
    EXPECT_NE(ended.err.find("\n  fix   ripstopd"), std::string::npos) << ended.err;
    EXPECT_NE(ended.err.find("\n  more  shmctl explain RS-0107"), std::string::npos);
    EXPECT_TRUE(ended.out.empty());
  }
}

TEST_F(ShmctlTest, RefusesWrongWordsWithStatusTwoAndTheNearestName) {
  EXPECT_EQ(shmctl({"agnts"}).status, 2);
  EXPECT_NE(shmctl({"agnts"}).err.find("did you mean agents?"), std::string::npos);
  EXPECT_NE(shmctl({"agents", "--sotr", "x"}).err.find("did you mean --sort?"), std::string::npos);
  EXPECT_EQ(shmctl({"pub"}).status, 2);
  EXPECT_EQ(shmctl({"sub", "a..b"}).status, 2);
  EXPECT_EQ(shmctl({"explain", "RS-9999"}).status, 3);
}

TEST_F(ShmctlTest, AnEmptyFabricSaysWhatToType) {
  start_supervisor();
  EXPECT_NE(shmctl({}).out.find("shmctl sub hello"), std::string::npos);
  EXPECT_NE(shmctl({"agents"}).out.find("shmctl sub hello"), std::string::npos);
  EXPECT_NE(shmctl({"topics"}).out.find("shmctl sub hello"), std::string::npos);
}

TEST_F(ShmctlTest, PublishesAndReceives) {
  start_supervisor();
  Running sub = start_shmctl({"sub", "hello", "-n", "2", "--timeout", "10s", "-o", "jsonl"});
  ASSERT_EQ(shmctl({"wait", "topic", "hello", "--timeout", "5s"}).status, 0);
  const Json first = json({"pub", "hello", "how do you do"}, 0);
  EXPECT_EQ(first["sent_count"], 1);
  EXPECT_EQ(first["delivery_count"], 1);
  EXPECT_EQ(shmctl({"pub", "hello", "two"}).status, 0);
  const Ended ended = sub.wait();
  EXPECT_EQ(ended.status, 0) << ended.err;
  const Json line = Json::parse(ended.out.substr(0, ended.out.find('\n')));
  EXPECT_EQ(line["text"], "how do you do");
  EXPECT_EQ(line["sequence"], 1);
}

TEST_F(ShmctlTest, RawOutputIsThePayloadAndNothingElse) {
  start_supervisor();
  Running sub = start_shmctl({"sub", "bytes", "-n", "1", "--timeout", "10s", "-o", "raw"});
  ASSERT_EQ(shmctl({"wait", "topic", "bytes", "--timeout", "5s"}).status, 0);
  const std::string payload("\0\x01\xff\n", 4);
  std::ofstream(directory_ + "/payload", std::ios::binary) << payload;
  EXPECT_EQ(shmctl({"pub", "bytes", "@" + directory_ + "/payload"}).status, 0);
  EXPECT_EQ(sub.wait().out, payload);
}

TEST_F(ShmctlTest, NobodyThereIsAnErrorAndNamesNoTopic) {
  start_supervisor();
  start_agent("solver", "tasks", true);
  const Ended ended = shmctl({"pub", "taks", "x"});
  EXPECT_EQ(ended.status, 3);
  EXPECT_NE(ended.err.find("did you mean tasks?"), std::string::npos) << ended.err;
  EXPECT_EQ(shmctl({"topics"}).out.find("taks"), std::string::npos);
}

TEST_F(ShmctlTest, WaitsForASubscriberAndGivesUpInTime) {
  start_supervisor();
  EXPECT_EQ(shmctl({"pub", "later", "x", "--wait-for-subscriber", "--timeout", "100ms"}).status, 4);
  Running pub = start_shmctl({"pub", "later", "x", "--wait-for-subscriber", "--timeout", "10s"});
  EXPECT_EQ(shmctl({"sub", "later", "-n", "1", "--timeout", "10s"}).status, 0);
  EXPECT_EQ(pub.wait().status, 0);
  EXPECT_EQ(shmctl({"sub", "later", "-n", "1", "--timeout", "50ms"}).status, 4);
}

TEST_F(ShmctlTest, AFullLaneIsRefusedByPressure) {
  start_supervisor();
  start_agent("sleeper", "tasks", false);
  const Ended ended = shmctl({"pub", "tasks", "x", "-n", "200", "--timeout", "1ms"});
  EXPECT_EQ(ended.status, 7) << ended.err;
}

TEST_F(ShmctlTest, TapWatchesAndTheOthersStillReceive) {
  start_supervisor();
  Running tap = start_shmctl({"tap", "beat", "-n", "5", "--timeout", "10s", "-o", "jsonl"});
  ASSERT_EQ(shmctl({"wait", "topic", "beat", "--timeout", "5s"}).status, 0);
  start_agent("listener", "beat", true);
  EXPECT_EQ(json({"pub", "beat", "tick", "-n", "5"}, 0)["receiver_count"], 2);
  const Ended ended = tap.wait();
  EXPECT_EQ(ended.status, 0) << ended.err;
  EXPECT_EQ(std::count(ended.out.begin(), ended.out.end(), '\n'), 5);
}

TEST_F(ShmctlTest, ReceivesByPatternAndShowsWhoReceivesAndWhy) {
  start_supervisor();
  Running sub = start_shmctl({"sub", "agent.*.plan", "-n", "2", "--timeout", "10s"});
  ASSERT_EQ(shmctl({"wait", "topic", "agent.*.plan", "--timeout", "5s"}).status, 0);
  ASSERT_EQ(shmctl({"wait", "topic", "agent.solver.plan", "--timeout", "5s"}).status, 0) << "a pattern names it";
  start_agent("listener", "agent.solver.plan", true);
  EXPECT_EQ(json({"pub", "agent.solver.plan", "one"}, 0)["receiver_count"], 2);
  const Json topic = json({"show", "topic", "agent.solver.plan"}, 0)["topic"];
  ASSERT_EQ(topic["subscribers"].size(), 2u);
  EXPECT_EQ(topic["subscribers"][0]["topic"], "agent.solver.plan");
  EXPECT_EQ(topic["subscribers"][1]["topic"], "agent.*.plan");
  const Json pattern = json({"show", "topic", "agent.*.plan"}, 0)["topic"];
  EXPECT_EQ(pattern["is_pattern"], true);
  EXPECT_EQ(pattern["topics"], Json({"agent.solver.plan"}));
  const Json rows = json({"topics"}, 0)["rows"];
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["subscriber_count"], 2);
  EXPECT_EQ(rows[1]["name"], "agent.*.plan");
  // A topic that nobody has named yet, but that a pattern names.
  EXPECT_EQ(shmctl({"pub", "agent.planner.plan", "two"}).status, 0);
  const Ended ended = sub.wait();
  EXPECT_EQ(ended.status, 0) << ended.err;
  EXPECT_NE(ended.out.find("agent.solver.plan #1"), std::string::npos) << ended.out;
  EXPECT_NE(ended.out.find("agent.planner.plan #1"), std::string::npos) << ended.out;
  Running tap = start_shmctl({"tap", "#", "-n", "1", "--timeout", "10s", "-o", "jsonl"});
  ASSERT_EQ(shmctl({"wait", "topic", "**", "--timeout", "5s"}).status, 0);
  EXPECT_EQ(shmctl({"pub", "anything", "three"}).status, 0);
  EXPECT_EQ(Json::parse(tap.wait().out)["topic"], "anything");
  const Json rates = json({"hz", "agent.**", "-n", "1", "--interval", "50ms"}, 0)["rows"];
  ASSERT_GE(rates.size(), 1u);
  EXPECT_EQ(rates[0]["topic"], "agent.**");
  const Ended refused = shmctl({"sub", "a.**.b"});
  EXPECT_EQ(refused.status, 2);
  EXPECT_NE(refused.err.find("not the last token"), std::string::npos) << refused.err;
}

TEST_F(ShmctlTest, AStrictFabricNamesTheNearestTopic) {
  start_supervisor({"--set", "strict_topics=true", "--set", R"(declare_topics=["agent.planner.plan", "jobs.**"])"});
  const Ended refused = shmctl({"sub", "agent.planer.plan", "-n", "1", "--timeout", "1s"});
  EXPECT_EQ(refused.status, 3);
  EXPECT_NE(refused.err.find("did you mean agent.planner.plan?"), std::string::npos) << refused.err;
  EXPECT_EQ(shmctl({"topics"}).out.find("planer"), std::string::npos);
  EXPECT_EQ(shmctl({"sub", "jobs.mend", "-n", "1", "--timeout", "50ms"}).status, 4);
}

TEST_F(ShmctlTest, TellsStuckFromStopped) {
  start_supervisor();
  start_agent("sleeper", "tasks", false);
  const pid_t frozen = start_agent("frozen", "tasks", true);
  kill(frozen, SIGSTOP);
  ASSERT_EQ(shmctl({"pub", "tasks", "x", "-n", "3"}).status, 0);
  std::this_thread::sleep_for(1200ms);
  const Json rows = json({"agents", "--sort", "name"}, 0)["rows"];
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["state"], "stopped") << rows[0];
  EXPECT_EQ(rows[1]["state"], "stuck") << rows[1];
  EXPECT_EQ(rows[1]["waiting"], 3);
  EXPECT_EQ(json({"agents", "--filter", "state=stuck"}, 0)["rows"].size(), 1u);
  const Json alarms = json({"status"}, 0)["alarms"];
  EXPECT_EQ(alarms.size(), 2u) << alarms;
}

TEST_F(ShmctlTest, TellsWhoWorksWhoIsSlowAndWhoRests) {
  start_supervisor();
  start_agent("resting", "rest", true);
  start_agent("working", "work", true);
  start_worker("computing", "compute", [](Subscriber<Bytes>& subscriber) {
    auto in_hand = subscriber.take(30s);
    for (std::atomic<uint64_t> count = 0;; ++count) {
    }
  });
  start_worker("slow", "slowly", [](Subscriber<Bytes>& subscriber) {
    for (;;) {
      (void)subscriber.take(30s);
      std::this_thread::sleep_for(300ms);
    }
  });
  // Its first thread has ended, which /proc shows as a zombie; its others go on.
  start_worker("headless", "rest.too", [](Subscriber<Bytes>&) {
    std::thread([] { pause(); }).detach();
    syscall(SYS_exit, 0);
  });
  for (const char* topic : {"compute", "slowly"}) ASSERT_EQ(shmctl({"pub", topic, "x", "-n", "20"}).status, 0);
  std::this_thread::sleep_for(1200ms);
  ASSERT_EQ(shmctl({"pub", "work", "x"}).status, 0);
  const Json rows = json({"agents", "--sort", "name"}, 0)["rows"];
  std::map<std::string, std::string> states;
  for (const Json& row : rows) states[row["name"]] = row["state"];
  EXPECT_EQ(states, (std::map<std::string, std::string>{{"computing", "busy"},
                                                        {"headless", "idle"},
                                                        {"resting", "idle"},
                                                        {"slow", "lagging"},
                                                        {"working", "active"}}))
      << rows.dump(1);
}

// Only while no supervisor settles them are the dead to be seen at all.
TEST_F(ShmctlTest, TellsTheDeadAndTheZombiesWhileThereIsNoSupervisor) {
  start_supervisor();
  const pid_t zombie = start_agent("zombie", "tasks", true);
  const pid_t gone = start_agent("gone", "tasks", true);
  start_agent("alive", "tasks", true);
  supervisor_->end(SIGKILL);
  supervisor_.reset();
  for (const pid_t pid : {zombie, gone}) kill(pid, SIGKILL);
  waitpid(gone, nullptr, 0);
  std::erase(children_, gone);
  siginfo_t ended{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(zombie), &ended, WEXITED | WNOWAIT), 0);
  const Json rows = json({"agents", "--sort", "name"}, 0)["rows"];
  ASSERT_EQ(rows.size(), 3u) << rows;
  EXPECT_EQ(rows[0]["state"], "idle") << rows[0];
  EXPECT_EQ(rows[1]["state"], "dead") << rows[1];
  EXPECT_EQ(rows[2]["state"], "zombie") << rows[2];
  EXPECT_NE(std::string(rows[1]["why"]).find("has ended"), std::string::npos) << rows[1];
  EXPECT_NE(std::string(rows[2]["why"]).find("parent"), std::string::npos) << rows[2];
}

TEST_F(ShmctlTest, ShowsEverythingDownToTheWords) {
  start_supervisor();
  start_agent("sleeper", "tasks", false);
  ASSERT_EQ(shmctl({"pub", "tasks", "payload"}).status, 0);
  EXPECT_EQ(json({"show", "agent", "sleeper"}, 0)["agent"]["lanes"].size(), 5u);
  EXPECT_EQ(json({"show", "topic", "tasks"}, 0)["topic"]["subscribers"][0]["agent"], "sleeper");
  const Json ring = json({"show", "ring", "sleeper/normal"}, 0)["ring"];
  EXPECT_EQ(ring["waiting"], 1);
  std::string chunk;
  for (const Json& slot : ring["slots"]) {
    if (slot["phase"] == "full") chunk = slot["chunk"];
  }
  const Json view = json({"show", "chunk", chunk}, 0)["chunk"];
  EXPECT_EQ(view["state"], "held");
  EXPECT_EQ(view["payload_start"], "7061796c6f6164");
  EXPECT_EQ(shmctl({"show", "agent", "sleepr"}).status, 3);
  EXPECT_NE(shmctl({"show", "agent", "sleepr"}).err.find("did you mean sleeper?"),
            std::string::npos);
}

TEST_F(ShmctlTest, EveryAnswerIsWhatItsSchemaSays) {
  start_supervisor();
  start_agent("sleeper", "tasks", false);
  ASSERT_EQ(shmctl({"pub", "tasks", "payload"}).status, 0);
  const Json schemas = Json::parse(shmctl({"schema"}).out);
  const std::vector<std::vector<std::string>> commands = {
      {"status"},
      {"agents"},
      {"topics"},
      {"segments"},
      {"top", "--once", "-i", "50ms"},
      {"show", "agent", "sleeper"},
      {"show", "topic", "tasks"},
      {"show", "ring"},
      {"show", "ring", "sleeper/normal"},
      {"show", "chunk", "0/0/0"},
      {"pub", "tasks", "x"},
      {"hz", "tasks", "-n", "1", "-i", "50ms"},
      {"explain"},
      {"version"},
      {"bench", "pingpong", "-d", "20ms"},
      {"bench", "fanout", "-d", "20ms", "-r", "2"}};
  for (const auto& command : commands) {
    const Json answer = json(command, 0);
    EXPECT_EQ(answer["v"], 1) << command[0];
    EXPECT_EQ(mismatch(answer, schemas[command[0]], command[0]), "");
  }
}

TEST_F(ShmctlTest, TablesFitEightyColumns) {
  start_supervisor();
  const std::string long_name = "an-agent-with-a-name-of-some-sixty-letters-as-people-like-them-so";
  start_agent(long_name.substr(0, 64),
              "a-topic.with-a-long-name.that-goes-on-and-on.for-more-than.eighty-columns.or-so.or-"
              "thereabouts",
              false);
  const std::vector<std::vector<std::string>> commands = {
      {},
      {"agents"},
      {"topics"},
      {"segments"},
      {"top", "--once", "-i", "20ms"},
      {"--help"},
      {"explain"},
      {"help", "pub"},
      {"show", "agent", long_name.substr(0, 64)},
      {"explain", "RS-0107"},
      {"explain", "RS-0201"},
      {"version"}};
  for (const auto& command : commands) {
    const Ended ended = shmctl(command);
    EXPECT_EQ(ended.status, 0) << ended.err;
    EXPECT_LE(widest_line(ended.out), 80u) << ended.out;
    EXPECT_EQ(ended.out.find('\x1b'), std::string::npos) << "colours outside a terminal";
  }
}

TEST_F(ShmctlTest, ReadsThroughTheKeeperWhenTheSupervisorWasKilledOrHangs) {
  start_supervisor();
  start_agent("sleeper", "tasks", false);
  const auto reads = [&](const char* how) {
    for (const std::vector<std::string>& command :
         std::vector<std::vector<std::string>>{{"agents"},
                                               {"topics"},
                                               {"segments"},
                                               {"show", "agent", "sleeper"},
                                               {"show", "ring", "sleeper/normal"},
                                               {"hz", "tasks", "-n", "1", "-i", "20ms"},
                                               {"top", "--once", "-i", "20ms"},
                                               {"version"}}) {
      EXPECT_EQ(shmctl(command).status, 0) << how << " " << command[0];
    }
    const Json status = json({"status"}, 0);
    EXPECT_EQ(status["fabric"]["read_via"], "keeper") << how;
    EXPECT_EQ(status["alarms"][0]["subject"], "supervisor") << how;
    EXPECT_EQ(status["agents"][0]["name"], "sleeper") << how;
  };
  supervisor_->signal(SIGSTOP);
  reads("stopped");
  supervisor_->signal(SIGCONT);
  EXPECT_EQ(json({"status"}, 0)["fabric"]["read_via"], "supervisor");
  supervisor_->end(SIGKILL);
  supervisor_.reset();
  reads("killed");
  EXPECT_EQ(shmctl({"pub", "tasks", "x"}).status, 5);
}

// Of an agent that was killed with three messages. One is replayed to another agent, the others are dropped.
TEST_F(ShmctlTest, ListsReplaysAndDropsDeadLettersAndListsThemWithoutASupervisor) {
  start_supervisor({"--set", "successor_grace_ms=0"});
  EXPECT_EQ(json({"dlq"}, 0)["rows"].size(), 0u);
  const pid_t sleeper = start_agent("sleeper", "tasks", false);
  for (const char* text : {"one", "two", "three"})
    ASSERT_EQ(shmctl({"pub", "tasks", text}).status, 0);
  kill(sleeper, SIGKILL);
  Json rows;
  for (int i = 0; i < 200 && rows.size() != 3; ++i) rows = json({"dlq", "ls"}, 0)["rows"];
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0]["agent"], "sleeper");
  EXPECT_EQ(rows[0]["topic"], "tasks");
  EXPECT_EQ(rows[0]["reason"], "died");
  EXPECT_EQ(rows[0]["state"], "dead");
  const Json schemas = Json::parse(shmctl({"schema"}).out);
  EXPECT_EQ(mismatch(json({"dlq"}, 0), schemas["dlq"], std::string("dlq")), "");
  EXPECT_NE(shmctl({"status"}).out.find("3 dead letters"), std::string::npos);

  const std::string number = rows[1]["number"].dump();
  EXPECT_EQ(shmctl({"dlq", "replay", number}).status, 3) << "nobody subscribes";
  EXPECT_EQ(shmctl({"dlq", "replay", "4711"}).status, 3);
  EXPECT_EQ(shmctl({"dlq", "drop"}).status, 2);
  EXPECT_EQ(shmctl({"dlq", "eat"}).status, 2);
  start_agent("second", "tasks", true);
  EXPECT_EQ(shmctl({"dlq", "replay", number}).out, "1 dead letter replayed\n");
  Json second;
  for (int i = 0; i < 200 && second["taken_count"] != 1; ++i)
    second = json({"show", "agent", "second"}, 0)["agent"];
  EXPECT_EQ(second["taken_count"], 1);
  EXPECT_EQ(json({"dlq"}, 0)["rows"].size(), 2u);

  supervisor_->signal(SIGSTOP);
  EXPECT_EQ(json({"dlq"}, 0)["rows"].size(), 2u);
  supervisor_->signal(SIGCONT);
  EXPECT_EQ(shmctl({"dlq", "drop", "all"}).status, 2) << "nobody can answer its question";
  EXPECT_NE(shmctl({"dlq", "drop", "all", "--dry-run"}).out.find("2 dead letters would be dropped"), std::string::npos);
  EXPECT_EQ(json({"dlq"}, 0)["rows"].size(), 2u);
  EXPECT_EQ(shmctl({"dlq", "drop", "all", "--yes"}).out, "2 dead letters dropped\n");
  const Json fabric = json({"status"}, 0)["fabric"];
  EXPECT_EQ(fabric["dead_letters"], 0);
  EXPECT_EQ(fabric["letters_dropped"], 2);
}

TEST_F(ShmctlTest, WritesItsManualAndCompletionsItself) {
  const Ended man = shmctl({"man"});
  EXPECT_EQ(man.status, 0);
  EXPECT_EQ(man.out.rfind(".Dd ", 0), 0u);
  const std::string bash = shmctl({"completion", "bash"}).out;
  std::ofstream(directory_ + "/completion.bash") << bash;
  const std::string try_it =
      "source " + directory_ +
      "/completion.bash; COMP_WORDS=(shmctl seg); COMP_CWORD=1; _shmctl; echo ${COMPREPLY[@]}";
  const Ended completed = Running({"/bin/bash", "-c", try_it}, directory_ + "/bash").wait();
  EXPECT_EQ(completed.out, "segments\n") << completed.err;
  EXPECT_NE(shmctl({"completion", "zsh"}).out.find("#compdef shmctl"), std::string::npos);
  EXPECT_NE(shmctl({"completion", "fish"}).out.find("complete -c shmctl"), std::string::npos);
  EXPECT_EQ(shmctl({"completion", "tcsh"}).status, 2);
}

TEST_F(ShmctlTest, EndsQuietlyWhenItsReaderHasGone) {
  start_supervisor();
  const std::string try_it = build_ + "/tools/shmctl explain | head -1";
  const Ended ended = Running({"/bin/bash", "-c", try_it}, directory_ + "/pipe").wait();
  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(ended.err, "");
}

TEST_F(ShmctlTest, AnInterruptedSubscriberDetachesAndSaysSo) {
  start_supervisor();
  Running sub = start_shmctl({"sub", "hello"});
  ASSERT_EQ(shmctl({"wait", "topic", "hello", "--timeout", "5s"}).status, 0);
  EXPECT_EQ(sub.end(SIGINT).status, 130);
  EXPECT_EQ(json({"status"}, 0)["fabric"]["death_count"], 0);
}

TEST_F(ShmctlTest, CsvHasAHeaderAndALineForEachRow) {
  start_supervisor();
  const std::string csv = shmctl({"segments", "-o", "csv"}).out;
  EXPECT_EQ(csv.rfind("node,payload_bytes,", 0), 0u) << csv;
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 2);
}

}  // namespace
}  // namespace ripstop
