// The control protocol's packets, of agents, tools and keepers: whatever is understood means the same when it is
// said again.
#include <cstdint>

#include "base/check.h"
#include "control/wire.h"

using namespace ripstop;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  if (const auto request = control::decode_request(bytes)) {
    const auto again = control::decode_request(control::encode(request->serial, request->body));
    RIPSTOP_CHECK(again && again->serial == request->serial && again->body.index() == request->body.index());
    RIPSTOP_CHECK(control::encode(again->serial, again->body) == control::encode(request->serial, request->body));
  }
  if (const auto reply = control::decode_reply(bytes)) {
    const auto again = control::decode_reply(control::encode(reply->serial, reply->body));
    RIPSTOP_CHECK(again && again->serial == reply->serial && again->body.index() == reply->body.index());
  }
  return 0;
}
