#pragma once
// How the rest of the project raises quern::Error and quern::InternalError.

#include <fmt/format.h>

#include <source_location>
#include <string_view>
#include <utility>

#include "quern/error.h"

namespace quern {

// Throws Error with a formatted text: what the user can mend.
template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

// Throws InternalError unless `condition` holds. `what` states the condition that was broken.
inline void ensure(bool condition, std::string_view what,
                   std::source_location where = std::source_location::current()) {
  if (!condition) [[unlikely]]
    throw InternalError(std::string(what), where);
}

// Throws InternalError: a place that a correct program never reaches.
[[noreturn]] inline void unreachable(std::string_view what,
                                     std::source_location where = std::source_location::current()) {
  throw InternalError(std::string(what), where);
}

}  // namespace quern
