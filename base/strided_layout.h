#pragma once
// Where the elements of a strided tensor lie in the block of memory that just holds them all.

#include <compare>
#include <cstdint>
#include <span>
#include <vector>

namespace quern {

struct StridedDimension {
  std::int64_t stride = 0;  // in elements
  std::int64_t extent = 0;
  auto operator<=>(const StridedDimension&) const = default;
};

// Whether two elements share an address, certainly or, where there are too many to look at each, possibly. Sorts the
// dimensions; allocates nothing where each of them steps over what the smaller ones span, as in every usual layout.
bool may_overlap(std::span<StridedDimension> dimensions);

class StridedLayout {
 public:
  StridedLayout(std::vector<std::int64_t> shape, std::vector<std::int64_t> strides);

  const std::vector<std::int64_t>& shape() const { return shape_; }
  const std::vector<std::int64_t>& strides() const { return strides_; }
  std::int64_t size() const { return size_; }      // of the block, in elements
  std::int64_t origin() const { return origin_; }  // place of the element at 0, ..., 0, which pointers name

  // Calls `function(number, place)` for each element in row-major order.
  template <typename F>
  void each(const F& function) const {
    std::vector<std::int64_t> at(shape_.size(), 0);
    std::int64_t place = origin_;
    for (std::int64_t number = 0; number < elements_; ++number) {
      function(number, place);
      advance(at, place);
    }
  }

 private:
  // To the next element in row-major order; behind the last one to the first.
  void advance(std::vector<std::int64_t>& at, std::int64_t& place) const;

  std::vector<std::int64_t> shape_, strides_;
  std::int64_t elements_ = 1;
  std::int64_t size_ = 0, origin_ = 0;
};

}  // namespace quern
