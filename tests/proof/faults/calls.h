// The system calls that can fail, and how.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace ripstop::faults {

// Beside errno's numbers.
inline constexpr int kShort = -1;  // It does half of what was asked.
inline constexpr int kDies = -2;   // SIGKILL instead of the call.

// What can happen at this call instead of what it does; the last is always kDies. Empty: nothing, since it
// cannot fail (or is not a call of ours: the end of the process).
std::span<const int> faults_of(uint64_t number);

std::string name_of(uint64_t number);
std::string name_of_fault(int fault);

}  // namespace ripstop::faults
