// One attack on the fabric's memory, and what must be so afterwards.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "mapping/fabric.h"

namespace ripstop::proof {

// What a case found out. Empty faults: it held.
struct Verdict {
  std::vector<std::string> faults;
  std::string skipped;  // Why it could not be tried here.

  void expect(bool holds, const std::string& otherwise) {
    if (!holds) faults.push_back(otherwise);
  }
};

enum class On { Both, SmallOnly, HugeOnly };

struct Attack {
  std::string name;
  On on;
  std::function<void(Fabric& fabric, Pages pages, Verdict& verdict)> run;
};

void add_seal_attacks(std::vector<Attack>& list);        // What descriptors and mappings of an agent allow.
void add_hole_attacks(std::vector<Attack>& list);        // Pages that go away.
void add_descriptor_attacks(std::vector<Attack>& list);  // Wrong ones, and too many.

// After every attack: the supervisor lives and answers, shmctl is not ended by a signal, the bystanders talk.
void expect_unharmed(Fabric& fabric, Verdict& verdict);

}  // namespace ripstop::proof
