// What a person wants to know when a supervisor has started, on one screen.
#pragma once

#include <cstdint>

#include "control/endpoint.h"
#include "supervisor/access_policy.h"
#include "supervisor/config.h"
#include "supervisor/segment_manager.h"

namespace ripstop::supervisor {

// Prints it to standard output.
void print_start_report(const Config& config, const control::Endpoint& endpoint, const AccessPolicy& policy,
                        const SegmentManager& segments, uint64_t hugepages_added);

}  // namespace ripstop::supervisor
