#pragma once
// Memory whose bounds are known: an argument, a slot of the workspace, a shared buffer of a block. Inside
// runtime/simulator/.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/simulator/report.h"
#include "runtime/simulator/shadow.h"

namespace quern::runtime::simulator {

struct Window {
  std::string name;
  std::byte* data = nullptr;
  std::int64_t bytes = 0;
  std::int64_t origin = 0;  // bytes from `data` to the first element, where strides are negative
  int granule = 1;          // bytes of an element
  bool is_shared = false;
  bool is_alive = true;  // false: the block that owns it has ended
  Shadow shadow;
};

// What lies between the elements of a strided tensor is never valid.
void mark_holes(Window& window, std::span<const std::int64_t> shape, std::span<const std::int64_t> strides);

// Adds a finding where elements of an output were never written.
void check_written(const Window& output, const std::string& kernel, std::vector<Finding>& findings);

}  // namespace quern::runtime::simulator
