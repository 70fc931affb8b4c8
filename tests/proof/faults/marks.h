// System calls by which probe.cc speaks to the tracer: prctl with numbers that the kernel does not know.
#pragma once

namespace ripstop::faults {

inline constexpr unsigned long kMarkMain = 0x52530001;        // main begins.
inline constexpr unsigned long kMarkAllocation = 0x52530002;  // An allocation is about to fail.

}  // namespace ripstop::faults
