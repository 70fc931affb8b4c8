// One session per connection, one process per agent: what a peer asks, and what its end means.
//
// An agent's life hangs on its process, which its pidfd reports at once, not on its connection. When
// the connection ends first, the kernel is asked: does the process still map our memory? Then it keeps
// its agent and may reconnect; if not, it has executed another program and the agent is settled.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "control/peer.h"
#include "control/wire.h"
#include "supervisor/access_policy.h"
#include "supervisor/event_loop.h"
#include "supervisor/keeper_watch.h"
#include "supervisor/registry.h"
#include "supervisor/segment_manager.h"

namespace ripstop::supervisor {

class Sessions {
 public:
  // Lifetime: all arguments outlive it. `drain`: somebody asked the supervisor to end. `on_settled`: an agent
  // has ended, and what it left may wait for a successor.
  Sessions(EventLoop& loop, const SegmentManager& segments, Registry& registry, const AccessPolicy& policy,
           KeeperWatch& keeper, std::function<void()> drain, std::function<void()> on_settled);
  ~Sessions();
  Sessions(const Sessions&) = delete;
  Sessions& operator=(const Sessions&) = delete;

  // A connection that has just been accepted.
  void open(base::OwnedFd socket);

  // After a take-over: watches the processes of all agents in the registry, settles those that ended
  // while no supervisor was there. `kept`: those that the last supervisor had put into safety; of others the
  // kernel is asked who bears their number. Returns how many live. Which of them have executed another program
  // meanwhile is found out afterwards, one at a time between requests: reading a process's maps takes
  // longer than all the rest, and the fabric waits for its control calls.
  // Errors: System (a living process cannot be watched, for want of descriptors mostly): nothing may be
  // settled then, nor served.
  Result<std::size_t> find_agents(std::vector<KeptPidfd> kept);

  // Kills the process of an agent whose hard lease is over; its pidfd says when it is dead. Once is enough:
  // nothing happens when it was killed before.
  void kill_agent(uint32_t agent_id, uint64_t lease_ms);

  // From now on attach is answered with Draining.
  void refuse_attaches() noexcept { draining_ = true; }
  std::size_t agent_count() const noexcept { return processes_.size(); }
  // "planner (pid 4711, agent 3)", one each.
  std::vector<std::string> agent_names() const;

 private:
  struct Session;
  struct Process {
    base::OwnedFd pidfd;
    int session_fd = -1;  // -1: its connection is lost.
    bool killed = false;  // By us.
  };
  struct Answer {
    control::Reply reply;
    std::vector<int> fds;
  };

  void on_socket(Session& session, uint32_t events);
  void close(Session& session);
  void on_process_end(uint32_t agent_id);
  // The process of an agent in the registry. Nothing: it has ended, or it is another one's.
  Result<std::optional<base::OwnedFd>> find_process(uint32_t agent_id, std::map<uint32_t, KeptPidfd>& kept) const;
  // False: the process cannot be watched.
  bool watch_process(uint32_t agent_id, base::OwnedFd pidfd, int session_fd);
  void end_agent(uint32_t agent_id, bool died, const char* how);
  // Settles the agent if its process does not map our memory any more, unless that was asked before.
  void prove(uint32_t agent_id);
  void prove_next();
  bool maps_our_memory(uint32_t pid) const;
  bool maps_list_names_us(const std::string& path) const;

  Answer answer(Session& session, const control::Request& request);
  Answer attach(Session& session, const control::AttachRequest& request);
  Answer resume(Session& session, const control::AttachRequest& request);
  // Whether that agent is of the process behind the session.
  bool is_of(const Session& session, uint32_t agent_id) const;
  Answer resumed(Session& session, uint32_t agent_id);
  Answer attached(uint32_t agent_id) const;
  uint32_t node_for(const control::AttachRequest& request) const noexcept;
  control::StatusReply status() const;

  EventLoop& loop_;
  const SegmentManager& segments_;
  Registry& registry_;
  const AccessPolicy& policy_;
  KeeperWatch& keeper_;
  std::function<void()> drain_;
  std::function<void()> on_settled_;
  std::vector<uint64_t> node_inodes_;
  std::map<int, std::unique_ptr<Session>> sessions_;  // By socket.
  std::map<uint32_t, Process> processes_;             // By agent.
  std::set<uint32_t> unproven_;                       // Agents whose maps were not looked at since the take-over.
  base::OwnedFd unproven_bell_;                       // Readable while there are any.
  bool draining_ = false;
};

}  // namespace ripstop::supervisor
