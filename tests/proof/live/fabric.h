// A real ripstopd in a runtime directory of its own, and what can be seen of it from outside.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "proof/live/suite.h"
#include "ripstop/inspect.h"

namespace ripstop::live {

// Where the build's ripstopd and other programs are; "" and the reason printed, when it is not known.
std::string build_file(const std::string& path);
bool build_has(const std::string& path);

// Little memory without huge pages, messages of the dead released at once: what leaks is seen.
std::vector<std::string> small_settings();

// One at a time: XDG_RUNTIME_DIR is the process's.
class Fabric {
 public:
  // Makes the directory. `settings`: KEY=VALUE, after small_settings().
  explicit Fabric(std::vector<std::string> settings = {});
  Fabric(const Fabric&) = delete;
  Fabric& operator=(const Fabric&) = delete;
  // Ends all of its processes and removes the directory.
  ~Fabric();

  // Where others of this process have made one since.
  void make_current() const;
  // Done by the supervisor's process before it becomes one: limits, groups.
  std::function<void()> before_exec;
  // Starts a supervisor and waits until it serves. False: it does not; log() says why.
  bool start();
  // Starts one without waiting. Its pid.
  pid_t launch();
  bool serves(int timeout_ms = 10'000) const;
  // SIGTERM; the exit status, 128 + the signal, or -1 when it had to be killed.
  int end();
  // Waits for an end of its own: as end().
  int wait(int timeout_ms = 10'000);
  void kill_supervisor();
  void kill_keeper();
  // The supervisor is left to somebody else's waitpid().
  pid_t release() noexcept;

  pid_t supervisor() const noexcept { return pid_; }
  pid_t keeper() const;
  const std::string& directory() const noexcept { return directory_; }
  const std::vector<std::string>& words() const noexcept { return words_; }
  std::string log() const;

  // What the kernel still knows of it: files, processes, memory. "" for nothing.
  std::string leavings() const;
  // All processes that were started in its directory, whoever their parents are.
  std::vector<pid_t> processes() const;

 private:
  std::string directory_;
  std::vector<std::string> words_;
  pid_t pid_ = -1;
};

// "ok", or the error as "RS-0107 what | why | fix".
std::string words_of(const Error& error);
template <class T>
std::string outcome_of(const Result<T>& result) {
  return result ? "ok" : words_of(result.error());
}
// Whether the words are an error of that code that says why, and what to do.
bool is_error(const std::string& words, Errc code);

// --- looks through a read-only map -------------------------------------------------------------------

uint64_t chunks_in_use();
bool is_attached(const std::string& name);
std::size_t agent_count();

// A process attaches two agents, has all `chunk_count` chunks of the first class at once and gives them back,
// and passes one message more than a lane has places from one agent to the other. "" when all of that went
// well and in order, else in words what did not.
std::string exchange_trouble(uint32_t chunk_count, const std::string& prefix = "probe");

// The end of a case: nobody is attached, no chunk in use, a message crosses and the capacity is whole; then
// the supervisor is told to end and leaves nothing.
void expect_whole(Findings& findings, uint32_t chunk_count);
void expect_clean_end(Findings& findings, Fabric& fabric);

}  // namespace ripstop::live
