// A limit for what must not hang, in time that this process could have run: a machine that stands still,
// or a tester who stops everything for minutes, uses none of it up.
#pragma once

namespace ripstop::proof {

// Ends this process by SIGALRM when so many seconds have passed in which it was not stopped.
void lose_patience_after(int seconds);

}  // namespace ripstop::proof
