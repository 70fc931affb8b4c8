// Where the payloads of `pub` come from: one text again and again, a file, or lines.
#pragma once

#include <string>

#include "shmctl/verb.h"

namespace ripstop::shmctl {

class Payloads {
 public:
  // By the verb's second argument: "-" or none the lines of standard input, "@FILE" the file as one
  // payload, anything else itself.
  // Errors: Usage (nothing was given and standard input is a terminal), System (the file).
  static Result<Payloads> open(const Command& command);

  // Whether there is an end to them.
  bool lines() const { return lines_; }
  // False: there is no more.
  bool next(std::string& payload) const;

 private:
  std::string fixed_;
  bool lines_ = false;
};

}  // namespace ripstop::shmctl
