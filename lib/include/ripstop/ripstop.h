// Everything, with the typed front for Cap'n Proto.
#pragma once

#include "ripstop/agent.h"
#include "ripstop/capnp.h"
#include "ripstop/channel.h"
#include "ripstop/error.h"
#include "ripstop/publisher.h"
#include "ripstop/result.h"
#include "ripstop/subscriber.h"
#include "ripstop/types.h"
