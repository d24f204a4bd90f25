#pragma once
// How the project reports what a user may want to know; quern/log.h says where it goes.

#include <string_view>

#include "quern/log.h"

namespace quern {

// Report something that the user may want to know (info) or should act upon (warning). Thread-safe.
void log_info(std::string_view message) noexcept;
void log_warning(std::string_view message) noexcept;

}  // namespace quern
