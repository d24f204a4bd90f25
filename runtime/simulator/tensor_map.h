#pragma once
// Tensor maps at the numbers of one launch. Inside runtime/simulator/.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "ir/meaning.h"

namespace quern::runtime::simulator {

// `map` of a plan (TensorMapParameter) or of a kernel (TensorMapParam), whose fields have the same names; `number`
// gives the value of one of its expressions.
template <typename Map, typename Number>
ir::BoundTensorMap bound_map(const Map& map, DType dtype, ir::Location base, const Number& number) {
  const auto numbers = [&](const auto& all) {
    std::vector<std::int64_t> values(all.size());
    std::ranges::transform(all, values.begin(), number);
    return values;
  };
  ir::BoundTensorMap result;
  result.mode = map.mode;
  result.dtype = dtype;
  result.fill = map.fill;
  result.base = base;
  result.dims = numbers(map.dims);
  result.byte_strides = numbers(map.byte_strides);
  for (const std::int64_t stride : result.byte_strides) {
    if (stride <= 0 || stride % 16 != 0)
      fail("a tensor map has a stride of {} bytes, no multiple of 16 above 0", stride);
  }
  result.byte_strides.insert(result.byte_strides.begin(), byte_size(dtype));
  result.element_strides.assign(map.element_strides.begin(), map.element_strides.end());
  result.element_strides.resize(map.dims.size(), 1);  // none are written where all are 1
  result.box.assign(map.box.begin(), map.box.end());
  result.lower = numbers(map.lower_corner);
  result.upper = numbers(map.upper_corner);
  result.channels = map.channels;
  result.pixels = map.pixels;
  result.swizzle_bytes = swizzle_bytes(map.swizzle);
  return result;
}

}  // namespace quern::runtime::simulator
