// D1: death and identity. Who is alive, dead, late, or somebody else is what the kernel says; each case brings
// real processes into one of these states and says first what is to happen.
//
//   proof_identity [--short | --long] [--list] [CASE...]
#include <iterator>

#include "proof/identity/scene.h"

int main(int argc, char** argv) {
  using namespace ripstop;
  live::SuiteOptions options;
  if (!live::parse_suite(argc, argv, options)) return 2;
  if (live::build_file("daemon/ripstopd").empty()) return 2;
  std::vector<live::Case> cases;
  for (auto part : {identity::death_cases(), identity::fork_cases(), identity::identity_cases(), identity::supervisor_cases(), identity::namespace_cases()}) {
    cases.insert(cases.end(), part.begin(), part.end());
  }
  return live::run_suite("D1", cases, options, "cases");
}
