// The door: takes connections at the fabric's socket and hands them to the sessions.
#pragma once

#include <string>

#include "base/owned_fd.h"
#include "ripstop/result.h"
#include "supervisor/access_policy.h"
#include "supervisor/event_loop.h"
#include "supervisor/sessions.h"

namespace ripstop::supervisor {

class ControlServer {
 public:
  // Lifetime: all arguments outlive it. The socket's file goes with it.
  // Errors: System.
  static Result<std::unique_ptr<ControlServer>> create(EventLoop& loop, Sessions& sessions, const std::string& path,
                                                       const AccessPolicy& policy);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

 private:
  ControlServer(EventLoop& loop, Sessions& sessions, std::string path, base::OwnedFd listener);
  void on_connection();

  EventLoop& loop_;
  Sessions& sessions_;
  std::string path_;
  base::OwnedFd listener_;
  base::OwnedFd spare_;  // Given up for a moment when there are no descriptors left.
};

}  // namespace ripstop::supervisor
