// Built instead of atomic_queue.cc where the package is not there.
#include "proof/rivals/rival.h"

namespace ripstop::rivals {

std::unique_ptr<Rival> atomic_queue_2(std::string& absent) {
  absent = "libatomic-queue-dev is not installed:     tools/setup rivals";
  return nullptr;
}

}  // namespace ripstop::rivals
