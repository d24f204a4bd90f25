#include "tests/codegen/function_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

namespace quern::codegen {

using ir::Op;
using ir::Scalar;

namespace {

// Steps of an expansion, each with its own error and cancelling against the operand's magnitude.
constexpr double kExpansionUlp = 16;

// The largest error that `row` may have at a result of `exact`, for an operand of size `magnitude`.
double tolerance(const ir::ScalarFunction& row, DType dtype, double exact, double magnitude) {
  const DType computed = dtype == DType::f64 ? DType::f64 : DType::f32;
  const bool expands = row.expansion != nullptr && row.ulp == 0;
  const double size = expands ? std::max(std::abs(exact), magnitude) : std::abs(exact);
  const double ulp = expands ? kExpansionUlp : row.ulp;
  // The reference of f64 is computed in f64 itself.
  const double steps = ulp + (dtype == DType::f64 && ulp > 0.5 ? 1 : 0);
  const double own = steps * ir::spacing(computed, size);
  return computed == dtype ? own
                           : own + ir::spacing(dtype, std::abs(exact)) / 2 + ir::spacing(dtype, std::abs(exact)) * 1e-6;
}

bool close(const ir::ScalarFunction& row, DType operand, DType result, Scalar got, Scalar exact, double magnitude) {
  const Scalar rounded = row.types == ir::TypeRule::select ? exact : ir::fit(result, exact);
  if (ir::identical(result, got, rounded)) return true;
  const bool exactly = row.ulp <= 0.5 && row.expansion == nullptr;
  if (!is_float(result) || exactly || std::isnan(rounded.real) || std::isnan(got.real)) {
    // max(-0, +0) is either, and clamp and relu are made of it.
    return is_float(result) && got.real == 0 && rounded.real == 0 && row.arity > 0 &&
           (row.op == Op::min || row.op == Op::max || row.expansion);
  }
  if (got.real == rounded.real) return true;
  const double bound = tolerance(row, operand, exact.real, magnitude);
  if (std::isinf(got.real)) return std::abs(exact.real) + bound >= ir::largest_finite(result);
  if (std::isinf(rounded.real) && std::abs(got.real) < ir::largest_finite(result) * 0.999) return false;
  return std::abs(got.real - exact.real) <= bound || (std::isinf(rounded.real));
}

}  // namespace

void Elements::push(ir::Scalar value) {
  const std::size_t end = bytes.size();
  bytes.resize(end + static_cast<std::size_t>(byte_size(dtype)));
  ir::store(dtype, bytes.data() + end, value);
}

ir::Scalar Elements::at(std::size_t i) const {
  return ir::load(dtype, bytes.data() + i * static_cast<std::size_t>(byte_size(dtype)));
}

Elements samples(DType dtype, std::size_t count, std::uint64_t seed) {
  Elements result(dtype);
  const auto size = static_cast<std::size_t>(byte_size(dtype));
  const auto push_bits = [&](std::uint64_t bits) {
    const std::size_t end = result.bytes.size();
    result.bytes.resize(end + size);
    std::memcpy(result.bytes.data() + end, &bits, size);
  };
  if (size <= 2) {
    const std::uint64_t all = is_bool(dtype) ? 2 : std::uint64_t{1} << (8 * size);
    for (std::uint64_t bits = 0; bits < all; ++bits) push_bits(bits);
    return result;
  }
  const double inf = std::numeric_limits<double>::infinity();
  if (is_float(dtype)) {
    for (const double value :
         {0.0,     -0.0,      1.0,       -1.0,      0.5,     2.0,       inf,      -inf,     std::nan(""),
          127.0,   128.0,     255.5,     32767.5,   65504.0, 65519.9,   65520.0,  448.0,    464.0,
          465.0,   57344.0,   61440.0,   0x1p31,    0x1p32,  0x1p63,    0x1p64,   -0x1p31,  -0x1p63,
          1e-45,   -1e-45,    0x1p-126,  0x1p-24,   0x1p-25, 0x1.8p-25, 0x1p-133, 0x1p-134, 0x1p-9,
          0x1p-10, 0x1.8p-10, 3.3895e38, 3.3961e38, 3.4e38,  -3.4e38,   1e300,    1e-310}) {
      result.push(ir::fit(dtype, {.real = value}));
    }
  } else {
    for (const std::int64_t value :
         {0l, 1l, -1l, 2l, -2l, 127l, 128l, 255l, 32768l, 65519l, 65520l, 0x7fffffffl, -0x80000000l, (1l << 24) + 1,
          (1l << 53) + 1, (1l << 62) + (1l << 53) + 1, std::numeric_limits<std::int64_t>::max(),
          std::numeric_limits<std::int64_t>::min()}) {
      result.push(ir::fit(dtype, {.integer = value}));
    }
  }
  std::mt19937_64 random(seed);
  for (std::size_t i = 0; i < count; ++i) {
    // Bit patterns of all sizes, and floats and integers of a few digits, which meet ties.
    const std::uint64_t bits = random();
    const auto shift = static_cast<int>(random() % (8 * size));
    if (i % 2 == 0) {
      push_bits(is_float(dtype) ? bits
                                : static_cast<std::uint64_t>(static_cast<std::int64_t>(bits << (64 - 8 * size)) >>
                                                             (64 - 8 * size + static_cast<std::size_t>(shift))));
    } else if (is_float(dtype)) {
      const double digits = static_cast<double>(bits % 4096) - 2048;
      result.push(ir::fit(dtype, {.real = std::ldexp(digits, static_cast<int>(random() % 60) - 40)}));
    } else {
      push_bits((bits % 4096) << (shift / 2));
    }
  }
  return result;
}

Elements every(std::size_t step, const Elements& elements) {
  Elements result(elements.dtype);
  const auto size = static_cast<std::size_t>(byte_size(elements.dtype));
  for (std::size_t i = 0; i < elements.size(); i += step) {
    const auto first = elements.bytes.begin() + static_cast<std::ptrdiff_t>(i * size);
    result.bytes.insert(result.bytes.end(), first, first + static_cast<std::ptrdiff_t>(size));
  }
  return result;
}

std::vector<Elements> operands_of(const ir::ScalarFunction& row, DType dtype, std::size_t step) {
  const std::size_t count = row.arity == 1 ? 20000 : 4000;
  std::vector<Elements> operands(static_cast<std::size_t>(row.arity), Elements(dtype));
  if (row.arity == 1) {
    operands[0] = every(step, samples(dtype, count, 3));
    return operands;
  }
  const Elements values = samples(dtype, count, 5);
  const bool selects = row.types == ir::TypeRule::select;
  if (selects) operands[0] = Elements(DType::boolean);
  std::uint64_t state = 1;
  for (std::size_t i = 0; i < 16000 / step; ++i) {
    for (std::size_t o = 0; o < operands.size(); ++o) {
      state = state * 6364136223846793005 + 1442695040888963407;
      // Special values, which come first, meet each other often.
      const std::size_t among = i % 4 == 0 ? std::min<std::size_t>(values.size(), 40) : values.size();
      const bool shift = o == 1 && (row.op == Op::shift_left || row.op == Op::shift_right) && i % 2 == 0;
      if (selects && o == 0) {
        operands[o].push({.integer = static_cast<std::int64_t>(state >> 63)});
      } else if (shift) {
        operands[o].push(ir::fit(dtype, {.integer = static_cast<std::int64_t>((state >> 33) % 70)}));
      } else {
        operands[o].push(values.at((state >> 20) % among));
      }
    }
  }
  return operands;
}

std::optional<DType> result_of(const ir::ScalarFunction& row, DType dtype) {
  std::vector<DType> types(static_cast<std::size_t>(row.arity), dtype);
  if (row.types == ir::TypeRule::select) types[0] = DType::boolean;
  return ir::result_type(row.op, types);
}

std::string text_of(DType dtype, Scalar value) {
  return is_float(dtype) ? fmt::format("{} ({:a})", value.real, value.real) : fmt::format("{}", value.integer);
}

std::string deviation(const ir::ScalarFunction& row, const std::vector<Elements>& operands, const Elements& got,
                      std::size_t i) {
  std::vector<Scalar> values;
  std::string text;
  double magnitude = 0;
  for (const Elements& operand : operands) {
    values.push_back(operand.at(i));
    text += " " + text_of(operand.dtype, values.back());
    magnitude = std::max(magnitude, std::abs(values.back().real));
  }
  const DType dtype = operands.back().dtype;
  const Scalar exact = row.reference(dtype, values);
  if (close(row, dtype, got.dtype, got.at(i), exact, magnitude)) return {};
  return fmt::format("{} of {}{} is {}, not {}", row.name, name(dtype), text, text_of(got.dtype, got.at(i)),
                     text_of(got.dtype, exact));
}

std::string deviation(const Elements& from, const Elements& got, std::size_t i) {
  const Scalar expected = ir::convert(got.dtype, from.dtype, from.at(i));
  if (ir::identical(got.dtype, got.at(i), expected)) return {};
  return fmt::format("{}({} of {}) is {}, not {}", name(got.dtype), text_of(from.dtype, from.at(i)), name(from.dtype),
                     text_of(got.dtype, got.at(i)), text_of(got.dtype, expected));
}

}  // namespace quern::codegen
