// The names of topics in order: which of them a pattern names.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ripstop::supervisor {

class TopicNames {
 public:
  // `hash`: base::name_hash() of the name, which outlives us.
  void add(std::string_view name, uint64_t hash) { names_.emplace(name, hash); }
  bool empty() const noexcept { return names_.empty(); }

  // The shards of the route epoch (a bit each) that topics of a canonical pattern are in. Looks at the names
  // that begin as the pattern does, and at kLooksMax of them: beyond, they are in all shards.
  uint64_t shards_of(std::string_view pattern) const;

  std::vector<std::string> all() const;

 private:
  static constexpr uint32_t kLooksMax = 4096;
  std::map<std::string_view, uint64_t> names_;
};

}  // namespace ripstop::supervisor
