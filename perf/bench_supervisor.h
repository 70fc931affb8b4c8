// A supervisor of its own for benches that need whole agents: the ripstopd of the same build, in a
// directory of its own, ended with the bench.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "ripstop/agent.h"

namespace ripstop::perf {

class BenchSupervisor {
 public:
  // Starts it. ready() is false where there is no ripstopd or it does not start; why() says so.
  // `settings`: as behind ripstopd's --set, for example "agents=1000".
  explicit BenchSupervisor(std::vector<std::string> settings = {});
  BenchSupervisor(const BenchSupervisor&) = delete;
  BenchSupervisor& operator=(const BenchSupervisor&) = delete;
  ~BenchSupervisor();

  bool ready() const noexcept { return why_.empty(); }
  const std::string& why() const noexcept { return why_; }
  AgentOptions options(std::string name) const;
  pid_t pid() const noexcept { return pid_; }
  const std::string& socket() const noexcept { return socket_; }

  // Ends it as a crash would; the keeper and the agents go on.
  void kill();
  // Starts another one in its place, and returns before that one serves.
  void start();

 private:
  void wait_until_it_serves();

  std::vector<std::string> settings_;
  std::string program_;
  std::string directory_;
  std::string socket_;
  std::string why_;
  pid_t pid_ = -1;
};

// Started at the first call, one for the program.
BenchSupervisor& supervisor();

}  // namespace ripstop::perf
