#include "runtime/simulator/window.h"

#include <fmt/format.h>

#include "base/strided_layout.h"

namespace quern::runtime::simulator {

void mark_holes(Window& window, std::span<const std::int64_t> shape, std::span<const std::int64_t> strides) {
  std::int64_t elements = 1;
  for (const std::int64_t extent : shape) elements *= extent;
  const std::int64_t places = window.bytes / window.granule;
  if (elements == places || elements == 0) return;
  for (std::int64_t place = 0; place < places; ++place) window.shadow.set_hole(place);
  const StridedLayout layout({shape.begin(), shape.end()}, {strides.begin(), strides.end()});
  layout.each([&](std::int64_t, std::int64_t place) { window.shadow.set_hole(place, false); });
}

void check_written(const Window& output, const std::string& kernel, std::vector<Finding>& findings) {
  std::int64_t missing = 0, first = 0, elements = 0;
  for (std::int64_t e = 0; e < output.bytes / output.granule; ++e) {
    if (output.shadow.is_hole(e)) continue;
    ++elements;
    if (output.shadow.written(e)) continue;
    if (missing++ == 0) first = e - output.origin / output.granule;
  }
  if (missing == 0) return;
  findings.push_back({.kind = FindingKind::unwritten,
                      .kernel = kernel,
                      .statement = {},
                      .other_statement = {},
                      .axes = {},
                      .threads = {},
                      .buffer = output.name,
                      .element = first,
                      .message = fmt::format("{} of {} elements of the output {} were never written", missing, elements,
                                             output.name)});
}

}  // namespace quern::runtime::simulator
