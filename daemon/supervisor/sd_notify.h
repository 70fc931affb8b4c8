// Tells systemd how the service is doing, when systemd asked to know (sd_notify(3)).
#pragma once

#include <span>
#include <string_view>

namespace ripstop::supervisor {

// "READY=1", "STOPPING=1", "STATUS=…", one per line, with copies of `fds`. Without $NOTIFY_SOCKET: nothing.
// Never waits: what systemd does not take is not told.
void sd_notify(std::string_view state, std::span<const int> fds = {}) noexcept;

}  // namespace ripstop::supervisor
