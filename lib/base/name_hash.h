// The hash by which topics are found. Readers and the supervisor compute it alike; names are compared
// always, so a collision costs a comparison and never a wrong route.
#pragma once

#include <cstdint>
#include <string_view>

namespace ripstop::base {

// FNV-1a over the bytes, then a finaliser, because its low bits choose the bucket and the epoch shard.
constexpr uint64_t name_hash(std::string_view name) noexcept {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3u;
  }
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccdu;
  hash ^= hash >> 33;
  hash *= 0xc4ceb9fe1a85ec53u;
  hash ^= hash >> 33;
  return hash;
}

}  // namespace ripstop::base
