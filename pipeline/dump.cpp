#include "pipeline/dump.h"

#include <fmt/format.h>

#include <cstdlib>

#include "base/log.h"

namespace quern::pipeline {

bool dumps() { return std::getenv("QUERN_DUMP") != nullptr; }

void dump(std::string_view pass, const std::function<std::string()>& text) {
  const char* wanted = std::getenv("QUERN_DUMP");
  if (wanted == nullptr || (pass != wanted && std::string_view(wanted) != "all")) return;
  log_info(fmt::format("after {}:\n{}", pass, text()));
}

}  // namespace quern::pipeline
