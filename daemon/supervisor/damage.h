// Pages of node segments that were lost (memory/lost_pages.h): the supervisor outlives them, says in the control
// segment which node is poisoned, and tells a person once for each.
//
// Lifetime: the geometries and segments that are watched outlive it.
#pragma once

#include <deque>
#include <memory>

#include "base/owned_fd.h"
#include "layout/control_segment.h"
#include "memory/lost_pages.h"
#include "ripstop/result.h"

namespace ripstop::supervisor {

class Damage {
 public:
  // Errors: System.
  static Result<std::unique_ptr<Damage>> create();
  Damage(const Damage&) = delete;
  Damage& operator=(const Damage&) = delete;

  // Errors: System.
  Result<void> watch(const memory::Segment& node, layout::NodeGeometry& geometry);

  // Readable when report() has something to say.
  int bell() const noexcept { return bell_.get(); }
  void report();

 private:
  struct Node {
    layout::NodeGeometry* geometry;
    int bell;
    bool told;
  };
  explicit Damage(base::OwnedFd bell) noexcept : bell_(std::move(bell)) {}
  static void on_lost(void* node);

  base::OwnedFd bell_;
  std::deque<Node> nodes_;  // They do not move: the handler points at them.
  std::deque<memory::LostPages> watched_;
};

}  // namespace ripstop::supervisor
