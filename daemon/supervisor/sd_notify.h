// Tells systemd how the service is doing, when systemd asked to know (sd_notify(3)).
#pragma once

#include <string_view>

namespace ripstop::supervisor {

// "READY=1", "STOPPING=1", "STATUS=…", one per line. Without $NOTIFY_SOCKET: nothing.
void sd_notify(std::string_view state) noexcept;

}  // namespace ripstop::supervisor
