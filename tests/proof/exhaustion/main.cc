// P1: everything that a fabric has so and so much of is used up. What is asked for then is refused with a typed
// error that says what to do; nothing that was there is lost; and when the one who has taken it gives it back, or is
// killed, all of it can be had again.
//
//   proof_exhaustion [--short | --long] [--list] [CASE...]
#include "proof/exhaustion/cases.h"
#include "proof/live/fabric.h"

int main(int argc, char** argv) {
  using namespace ripstop;
  live::SuiteOptions options;
  if (!live::parse_suite(argc, argv, options)) return 2;
  if (live::build_file("daemon/ripstopd").empty()) return 2;
  std::vector<live::Case> cases = exhaustion::fabric_cases();
  for (live::Case& each : exhaustion::machine_cases()) cases.push_back(std::move(each));
  return live::run_suite("P1", cases, options, "cases");
}
