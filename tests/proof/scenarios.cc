#include "proof/states.h"

namespace ripstop::proof {

std::vector<Scenario> scenarios() {
  Scenarios list;
  add_sends(list);
  add_direct_lanes(list);
  add_loans(list);
  add_receivers(list);
  add_leases(list);
  add_channels(list);
  add_requests(list);
  return list;
}

}  // namespace ripstop::proof
