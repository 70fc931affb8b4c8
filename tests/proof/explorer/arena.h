// Where a scenario's objects live: a block of memory that is put back as it was before each run.
//
// While it is open, `new` takes from it and `delete` gives nothing back; a fiber that is abandoned in the
// middle leaves nothing behind.
#pragma once

#include <cstddef>

namespace ripstop::explorer {

class Arena {
 public:
  // From now on `new` takes from here, until close().
  static void open() noexcept;
  static void close() noexcept;
  // What is there now is what restore() puts back.
  static void remember() noexcept;
  static void restore() noexcept;
  // Forgets all of it; nothing may point there.
  static void clear() noexcept;
};

// Ordinary memory for as long as it lives, for what the explorer itself keeps.
class ArenaPause {
 public:
  ArenaPause() noexcept;
  ArenaPause(const ArenaPause&) = delete;
  ArenaPause& operator=(const ArenaPause&) = delete;
  ~ArenaPause();

 private:
  bool was_open_;
};

}  // namespace ripstop::explorer
