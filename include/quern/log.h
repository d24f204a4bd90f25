#pragma once
// Where the library's warnings and notes go. The library itself prints nothing.

#include <cstdint>
#include <functional>
#include <string_view>

#include "quern/export.h"

namespace quern {

enum class LogLevel : std::uint8_t { info, warning };

// Receives one message: a sentence without a line break at its end. It may be called from any thread, from several at
// once, and from destructors; what it throws is dropped.
using LogCallback = std::function<void(LogLevel level, std::string_view message)>;

// Sends the messages of the whole process to `callback` from now on; an empty one, the default, drops them.
// Thread-safe. A message that another thread is sending meanwhile may still reach the old callback.
QUERN_API void set_log_callback(LogCallback callback);

}  // namespace quern
