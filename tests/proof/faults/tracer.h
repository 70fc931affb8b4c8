// A program that is run with one of its system calls replaced by a failure, or by its death.
//
// It is traced by a thread of the harness's, from the first instruction; calls are counted from the beginning of
// its main (probe.cc marks it), in one process: the program's own, or its first child's (the keeper's). A
// failed call is not made; a short one is made with half of its bytes.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace ripstop::faults {

enum class Whose : uint8_t { Program, FirstChild };

struct Plan {
  Whose whose = Whose::Program;
  uint64_t nth = 0;  // Of the calls that can fail; 0: none.
  // Which of the call's faults (calls.h), counted round when it has fewer: the calls of two runs may differ.
  std::size_t fault_index = 0;
  uint64_t allocation = 0;        // Instead: the N-th allocation fails; 0: none.
  uint64_t allocation_count = 1;  // And those after it.
};

struct Happened {
  bool hit = false;
  uint64_t call = 0;  // The call's number.
  int fault = 0;      // calls.h; ENOMEM for an allocation.
  std::vector<uint64_t> calls;  // All that were counted.
};

class Traced {
 public:
  // `output`: where standard output and error go, appended.
  Traced(std::vector<std::string> words, const std::string& output, Plan plan);
  Traced(const Traced&) = delete;
  Traced& operator=(const Traced&) = delete;
  // Kills what is left.
  ~Traced();

  pid_t pid() const noexcept { return pid_.load(); }
  // The exit status of the program, or 128 + the signal; -1: it goes on for longer.
  int wait(int timeout_ms);
  bool ended() const noexcept { return status_.load() >= 0; }
  // Waits until all that is traced has ended; false: it does not, and is killed.
  bool wait_for_all(int timeout_ms);
  // After wait_for_all().
  const Happened& happened() const noexcept { return happened_; }
  bool hit() const noexcept { return hit_.load(); }

 private:
  void trace();
  void know(pid_t pid);
  void run_child(const std::string& output);

  std::vector<std::string> words_;
  std::string output_;
  Plan plan_;
  Happened happened_;
  std::atomic<pid_t> pid_{0};
  std::atomic<int> status_{-1};
  std::atomic<bool> hit_{false};
  std::atomic<bool> all_ended_{false};
  std::mutex lock_;          // Of the line below, and of being late for it.
  std::set<pid_t> traced_;   // All that live.
  bool gives_up_ = false;
  std::thread thread_;
};

}  // namespace ripstop::faults
