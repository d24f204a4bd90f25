#include "base/strided_layout.h"

#include <utility>

namespace quern {

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
