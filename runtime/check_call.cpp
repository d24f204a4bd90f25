#include "runtime/check_call.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/strided_layout.h"

namespace quern::runtime {
namespace {

using Address = std::uintptr_t;

struct Range {
  Address begin = 0, end = 0;
  bool empty() const { return begin == end; }
};

Range bytes_of(const PlanArgument& argument, const PlanContext& context, const void* pointer) {
  const ByteExtent extent = byte_extent(argument, context);
  const Address base = reinterpret_cast<Address>(pointer);
  return {base - static_cast<Address>(extent.below), base + static_cast<Address>(extent.above)};
}

std::int64_t largest_byte_stride(const PlanArgument& argument, const PlanContext& context) {
  std::int64_t largest = 0;
  for (std::size_t i = 0; i < argument.shape.size(); ++i) {
    if (evaluate(argument.shape[i], context) > 1) {
      largest = std::max<std::int64_t>(largest, std::abs(evaluate(argument.strides[i], context)));
    }
  }
  return largest * byte_size(argument.dtype);
}

// Bytes that one row of stride `row` spans, when the tensor is made of such rows.
std::int64_t row_width(const PlanArgument& argument, const PlanContext& context, std::int64_t row) {
  const std::int64_t element = byte_size(argument.dtype);
  std::int64_t width = element;
  for (std::size_t i = 0; i < argument.shape.size(); ++i) {
    const std::int64_t stride = std::abs(evaluate(argument.strides[i], context)) * element;
    if (stride != row) width += (evaluate(argument.shape[i], context) - 1) * stride;
  }
  return width;
}

// Do two tensors whose address ranges meet lie in different columns of the same rows, as slices of one matrix do?
// Only positive strides are looked at; anything else counts as sharing.
bool in_different_columns(const PlanArgument& a, Range range_a, const PlanArgument& b, Range range_b,
                          const PlanContext& context) {
  const std::int64_t row = largest_byte_stride(a, context);
  if (row == 0 || row != largest_byte_stride(b, context)) return false;
  const std::int64_t width_a = row_width(a, context, row), width_b = row_width(b, context, row);
  const auto step = static_cast<Address>(row);
  // The distance of b's first column after a's, around the row.
  const auto distance = static_cast<std::int64_t>((range_b.begin % step + step - range_a.begin % step) % step);
  return width_a <= distance && distance + width_b <= row;
}

// Sizes by their symbols, "m = 4, n = 8".
std::string given(const Plan& plan, const PlanContext& context) {
  std::string text;
  for (std::size_t i = 0; i < plan.symbols.size(); ++i) {
    text += fmt::format("{}{} = {}", i == 0 ? "" : ", ", plan.symbols[i].name, context.symbols[i]);
  }
  return text;
}

std::vector<std::int64_t> values_of(const std::vector<PlanExpr>& list, const PlanContext& context) {
  std::vector<std::int64_t> values;
  values.reserve(list.size());
  for (const PlanExpr& e : list) values.push_back(evaluate(e, context));
  return values;
}

[[noreturn]] void fail_dimension(const Plan& plan, const PlanArgument& argument, std::size_t dimension,
                                 const PlanContext& context, std::string_view value, std::string_view way_out) {
  std::vector<std::string> names;
  names.reserve(plan.symbols.size());
  for (const PlanSymbol& symbol : plan.symbols) names.push_back(symbol.name);
  fail("dimension {} of argument '{}' of '{}' is {}, {} at {}; {}", dimension, argument.name, plan.name,
       to_text(argument.shape[dimension], names), value, given(plan, context), way_out);
}

// Sizes below 0 and what offsets cannot count are refused before anything computes with them.
void check_bytes(const Plan& plan, const PlanArgument& argument, const PlanContext& context) {
  std::int64_t bytes = byte_size(argument.dtype);
  bool fits = true, is_empty = false;
  for (std::size_t i = 0; i < argument.shape.size(); ++i) {
    const std::optional<std::int64_t> size = evaluate_exactly(argument.shape[i], context);
    if (!size) fail_dimension(plan, argument, i, context, "2^63 or more", "use smaller sizes");
    if (*size < 0) fail_dimension(plan, argument, i, context, fmt::to_string(*size), "sizes are not negative");
    is_empty = is_empty || *size == 0;
    const std::optional<std::int64_t> stride = evaluate_exactly(argument.strides[i], context);
    std::int64_t reach = stride.value_or(0);
    fits = fits && stride && !__builtin_mul_overflow(reach, *size - 1, &reach) &&
           !__builtin_mul_overflow(reach, byte_size(argument.dtype), &reach) &&
           !(reach < 0 ? __builtin_sub_overflow(bytes, reach, &bytes) : __builtin_add_overflow(bytes, reach, &bytes));
  }
  if (fits || is_empty) return;
  fail("argument '{}' of '{}' is {}[{}], 2^63 bytes or more, which no memory has; use smaller sizes", argument.name,
       plan.name, name(argument.dtype), fmt::join(values_of(argument.shape, context), ", "));
}

// Strides may be numbers of the caller's, of which only the call tells whether each element has an address of its own.
void check_strides(const Plan& plan, const PlanArgument& output, const PlanContext& context) {
  thread_local std::vector<StridedDimension> dimensions;  // kept, so that only the first calls allocate
  dimensions.clear();
  for (std::size_t i = 0; i < output.shape.size(); ++i) {
    const std::int64_t extent = evaluate(output.shape[i], context);
    if (extent <= 0) return;
    dimensions.push_back({evaluate(output.strides[i], context), extent});
  }
  if (!may_overlap(dimensions)) return;
  fail(
      "output '{}' of '{}' is {}[{}] with the strides ({}), by which elements share an address; only inputs may repeat",
      output.name, plan.name, name(output.dtype), fmt::join(values_of(output.shape, context), ", "),
      fmt::join(values_of(output.strides, context), ", "));
}

void check_pointer(const PlanArgument& argument, const PlanContext& context, const void* pointer) {
  const int element = byte_size(argument.dtype);
  if (pointer == nullptr) {
    const ByteExtent extent = byte_extent(argument, context);
    if (extent.above != 0) fail("argument '{}' is null but has {} bytes", argument.name, extent.below + extent.above);
  } else if (reinterpret_cast<Address>(pointer) % static_cast<Address>(element) != 0) {
    fail("argument '{}' at {} is not aligned to its {} elements of {} bytes", argument.name, fmt::ptr(pointer),
         name(argument.dtype), element);
  }
}

void check_overlap(const Plan& plan, const PlanContext& context, std::span<void* const> arguments, std::size_t output) {
  const PlanArgument& out = plan.arguments[output];
  const Range out_range = bytes_of(out, context, arguments[output]);
  if (out_range.empty()) return;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const PlanArgument& other = plan.arguments[i];
    if (i == output || (other.is_output && i < output)) continue;  // pairs of outputs once
    const bool in_place = out.updates == static_cast<int>(i) && arguments[i] == arguments[output];
    const Range range = bytes_of(other, context, arguments[i]);
    if (in_place || range.empty() || range.end <= out_range.begin || out_range.end <= range.begin) continue;
    if (in_different_columns(out, out_range, other, range, context)) continue;
    fail(
        "output '{}' (bytes {:#x} to {:#x}) overlaps argument '{}' (bytes {:#x} to {:#x}); outputs need memory of "
        "their own",
        out.name, out_range.begin, out_range.end, other.name, range.begin, range.end);
  }
}

}  // namespace

void check_sizes(const Plan& plan, const PlanContext& context) {
  if (context.symbols.size() != plan.symbols.size()) {
    fail("'{}' takes {} sizes, got {}", plan.name, plan.symbols.size(), context.symbols.size());
  }
  for (std::size_t i = 0; i < plan.symbols.size(); ++i) {
    if (plan.symbols[i].source == PlanSymbol::Source::dimension && context.symbols[i] < 0) {
      fail("size '{}' of '{}' is {}; sizes are not negative", plan.symbols[i].name, plan.name, context.symbols[i]);
    }
  }
  for (const PlanArgument& argument : plan.arguments) check_bytes(plan, argument, context);
}

void check_call(const Plan& plan, const PlanContext& context, std::span<void* const> arguments) {
  if (arguments.size() != plan.arguments.size()) {
    fail("'{}' takes {} tensors, got {}", plan.name, plan.arguments.size(), arguments.size());
  }
  check_sizes(plan, context);
  for (const PlanArgument& argument : plan.arguments) {
    if (argument.is_output) check_strides(plan, argument, context);
  }
  for (std::size_t i = 0; i < arguments.size(); ++i) check_pointer(plan.arguments[i], context, arguments[i]);
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (plan.arguments[i].is_output) check_overlap(plan, context, arguments, i);
  }
}

}  // namespace quern::runtime
