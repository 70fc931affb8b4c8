// What the kernel says of another process.
#pragma once

#include <sys/types.h>

#include <fstream>
#include <string>

namespace ripstop::test {

// How often it went to sleep of itself: a process that does not wake has no more of them. -1: no such process.
inline long voluntary_switches(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  std::string word;
  while (status >> word) {
    if (word != "voluntary_ctxt_switches:") continue;
    status >> word;
    return std::stol(word);
  }
  return -1;
}

}  // namespace ripstop::test
