#include "scribbler/steps.h"

namespace ripstop::proof {

uint64_t step_count = 0;

}  // namespace ripstop::proof
