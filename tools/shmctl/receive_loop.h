// What sub and tap have in common: take, print, until there were enough or somebody says stop.
#pragma once

#include "ripstop/subscriber.h"
#include "shmctl/verb.h"

namespace ripstop::shmctl {

// Subscribes to the verb's first argument, a topic or a pattern, and prints what comes. Heeds --count and --timeout.
// Returns the exit status: 0 (enough), 4 (the time was over before), 130 (^C).
int receive(const Command& command, const SubscriberOptions& options);

}  // namespace ripstop::shmctl
