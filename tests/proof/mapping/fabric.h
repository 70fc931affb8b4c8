// A real supervisor of two nodes in a directory of its own, two bystanders that talk to one another on the second
// node, and what there is to ask afterwards: does everybody live who did no harm.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "control/client.h"
#include "control/endpoint.h"
#include "control/wire.h"

namespace ripstop::proof {

enum class Pages { Small, Huge };

// What an agent gets from the supervisor, not mapped yet: the control segment, the nodes, the bell.
struct Descriptors {
  uint32_t agent_id = 0;
  uint32_t node_index = 0;
  std::vector<uint64_t> segment_bytes;
  std::vector<base::OwnedFd> fds;
  base::OwnedFd socket;  // Open for as long as the agent is one.
};

class Fabric {
 public:
  // `bystanders`: two of them, on the second node.
  explicit Fabric(Pages pages, bool bystanders = true);
  Fabric(const Fabric&) = delete;
  Fabric& operator=(const Fabric&) = delete;
  ~Fabric();

  const std::string& trouble() const { return trouble_; }  // Why it does not serve; empty: it does.
  pid_t pid() const { return pid_; }
  pid_t keeper() const;
  const control::Endpoint& endpoint() const { return endpoint_; }

  base::OwnedFd connect(const std::string& socket) const;
  base::OwnedFd connect() const { return connect(endpoint_.socket); }
  // Attaches by hand, on `node`. The Error, where it was refused.
  Result<Descriptors> attach(const std::string& name, int node) const;
  // An agent in a process of its own that lies on `node`, has mail, and sleeps.
  pid_t sleeper(const std::string& name, int node);

  void kill_supervisor();
  bool restart() { return launch() && wait_until_serving(); }
  bool launch();
  bool wait_until_serving() const;

  // Whether the supervisor lives and answers.
  bool answers() const;
  // Whether the bystanders still send and receive.
  bool bystanders_talk();
  // shmctl's words; "signal N" when it ended so. Empty: there is no shmctl.
  std::string shmctl(const std::string& arguments) const;
  std::string log() const;
  bool says(const std::string& text) const { return log().find(text) != std::string::npos; }

 private:
  void start_bystanders();

  Pages pages_;
  std::string directory_;
  std::string trouble_;
  control::Endpoint endpoint_;
  pid_t pid_ = -1;
  std::vector<pid_t> children_;
  int ask_ = -1;     // To the bystanders.
  int answer_ = -1;  // From them.
};

}  // namespace ripstop::proof
