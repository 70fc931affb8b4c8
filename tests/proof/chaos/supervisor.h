// The real ripstopd of the soak, in a runtime directory of its own.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace chaos {

class Supervisor {
 public:
  // Makes the directory; false with words on standard error when there is no ripstopd.
  bool prepare(const char* own_program);
  ~Supervisor();

  bool start();
  void kill();
  // Asks it to end; its exit status, or 128 + the signal.
  int end();
  // Whether it ended by itself: that it must not.
  bool ended_by_itself(int& status);
  bool running() const { return pid_ > 0; }
  // It answers, and it is this one that does.
  bool serves() const;
  std::string log_tail() const;
  uint64_t resident_bytes() const;
  bool keep_directory = false;

 private:
  std::string program_;
  std::string directory_;
  pid_t pid_ = -1;
};

}  // namespace chaos
