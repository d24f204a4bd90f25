#include "runtime/simulator/binary.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "ir/kernel_parser.h"
#include "ir/kernel_printer.h"

namespace quern::runtime::simulator {

std::vector<std::byte> to_bytes(std::span<const StoredKernel> kernels) {
  nlohmann::json json = nlohmann::json::array();
  for (const StoredKernel& stored : kernels) {
    json.push_back({{"kernel", ir::to_string(stored.kernel)}, {"lines", stored.lines}});
  }
  const std::string text = json.dump();
  const auto* begin = reinterpret_cast<const std::byte*>(text.data());
  return {begin, begin + text.size()};
}

std::vector<StoredKernel> from_bytes(std::span<const std::byte> bytes) {
  std::vector<StoredKernel> kernels;
  try {
    const auto* begin = reinterpret_cast<const char*>(bytes.data());
    for (const auto& item : nlohmann::json::parse(begin, begin + bytes.size())) {
      kernels.push_back({ir::parse_kernel(item.at("kernel").get<std::string>()), item.at("lines")});
    }
  } catch (const nlohmann::json::exception& e) {
    fail("the binary holds no kernel programs for the simulator: {}", e.what());
  }
  return kernels;
}

}  // namespace quern::runtime::simulator
