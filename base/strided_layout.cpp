#include "base/strided_layout.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <set>
#include <utility>

namespace quern {
namespace {

// Each element's address, one by one.
bool some_overlap(std::span<const StridedDimension> dimensions) {
  std::set<std::int64_t> addresses = {0};
  for (const auto& [stride, extent] : dimensions) {
    std::set<std::int64_t> next;
    for (const std::int64_t base : addresses) {
      for (std::int64_t i = 0; i < extent; ++i) {
        if (!next.insert(base + i * stride).second) return true;
      }
    }
    addresses = std::move(next);
  }
  return false;
}

}  // namespace

bool may_overlap(std::span<StridedDimension> dimensions) {
  constexpr std::int64_t kEnumerated = std::int64_t{1} << 16, kFar = std::numeric_limits<std::int64_t>::max();
  std::int64_t count = 1;
  for (auto& [stride, extent] : dimensions) {
    if (extent == 0) return false;
    if (__builtin_mul_overflow(count, extent, &count)) count = kFar;
    stride = std::abs(stride);
  }
  std::ranges::sort(dimensions);
  std::int64_t reach = 0;  // of the dimensions so far
  bool nested = true;
  for (const auto& [stride, extent] : dimensions) {
    if (extent == 1) continue;
    nested = nested && stride > reach;
    std::int64_t span = 0;
    if (__builtin_mul_overflow(stride, extent - 1, &span) || __builtin_add_overflow(reach, span, &reach)) reach = kFar;
  }
  return !nested && (count > kEnumerated || some_overlap(dimensions));
}

StridedLayout::StridedLayout(std::vector<std::int64_t> shape, std::vector<std::int64_t> strides)
    : shape_(std::move(shape)), strides_(std::move(strides)) {
  for (const std::int64_t extent : shape_) elements_ *= extent;
  if (elements_ == 0) return;
  size_ = 1;
  for (std::size_t d = 0; d < shape_.size(); ++d) {
    const std::int64_t span = (shape_[d] - 1) * strides_[d];
    size_ += span < 0 ? -span : span;
    origin_ -= span < 0 ? span : 0;
  }
}

void StridedLayout::advance(std::vector<std::int64_t>& at, std::int64_t& place) const {
  for (std::size_t d = at.size(); d-- > 0;) {
    place += strides_[d];
    if (++at[d] < shape_[d]) return;
    place -= at[d] * strides_[d];
    at[d] = 0;
  }
}

}  // namespace quern
