// What one run of one rival measures: the command line of every rival_* program.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <vector>

namespace rivals {

enum class Scenario { Roundtrip, Stream, Fanout, Fanin, Cost, Memcpy };
// Spin: polls and never sleeps. Sleep: waits as the rival itself waits.
enum class Mode { Spin, Sleep };
enum class Placement { TwoCores, OneCore };

// One direction of traffic. A round trip has two of them, every other scenario one.
struct Link {
  unsigned index;
  unsigned sender_count;
  unsigned receiver_count;
};

struct Plan {
  Scenario scenario = Scenario::Roundtrip;
  Mode mode = Mode::Spin;
  Placement placement = Placement::TwoCores;
  bool touch = true;               // False: only the first word is written and read.
  std::size_t payload_bytes = 64;  // A multiple of 8, at least 16.
  unsigned peers = 1;              // Receivers of a fan-out, senders of a fan-in.
  double seconds = 0.3;
  unsigned rate_hz = 10000;      // Of Scenario::Cost.
  std::string scratch = "/tmp";  // A folder for sockets, removed by whoever made it.
  std::string server;            // Where the rival's server listens, if it has one.
  pid_t server_pid = 0;          // Its CPU time is part of the cost. 0: there is none.

  std::vector<Link> links() const;
  unsigned process_count() const;
  // More processes than cores: whoever polls has to yield now and then.
  bool oversubscribed() const;
  // How many messages a queue holds: as many as 16 MiB allow, from 4 to 1024, a power of two.
  std::size_t queue_length() const;
  // A name no other run of this machine uses at the same time.
  std::string unique_name(const Link& link) const;
};

// Parses `--scenario stream --size 64 ...`; prints what is wrong and exits with 2.
Plan parse_plan(int argc, char** argv);

}  // namespace rivals
