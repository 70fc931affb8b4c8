// A copy of memory that follows it: whether anything changed since the last look.
#pragma once

#include <cstddef>
#include <cstring>
#include <vector>

#include "proof/world.h"

namespace ripstop::proof {

class Replica {
 public:
  explicit Replica(std::vector<World::Part> parts) : parts_(std::move(parts)) {
    for (const World::Part& part : parts_) copies_.emplace_back(part.first, part.first + part.bytes);
  }

  // Whether the memory is another than at the last call; makes the copy like it. Allocates nothing.
  bool has_changed() noexcept {
    bool changed = false;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (std::memcmp(copies_[i].data(), parts_[i].first, parts_[i].bytes) == 0) continue;
      changed = true;
      std::memcpy(copies_[i].data(), parts_[i].first, parts_[i].bytes);
    }
    return changed;
  }

 private:
  std::vector<World::Part> parts_;
  std::vector<std::vector<std::byte>> copies_;
};

}  // namespace ripstop::proof
