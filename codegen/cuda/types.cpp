#include "codegen/cuda/types.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/error.h"
#include "ir/scalar.h"

namespace quern::codegen {
namespace {

constexpr std::array<std::string_view, kDTypeCount> kTypes = {"double",
                                                              "float",
                                                              "f16",
                                                              "bf16",
                                                              "f8e4m3",
                                                              "f8e5m2",
                                                              "long long",
                                                              "int",
                                                              "short",
                                                              "signed char",
                                                              "unsigned long long",
                                                              "unsigned",
                                                              "unsigned short",
                                                              "unsigned char",
                                                              "bool"};

// A decimal literal needs a point or an exponent to be a float.
std::string decimal(std::string digits) {
  return digits.find_first_of(".e") == std::string::npos ? digits + ".0" : digits;
}

std::string signed_literal(std::int64_t value, bool exact) {
  // The lowest numbers have no literal: the minus sign is applied to one that is too large.
  if (value == std::numeric_limits<std::int64_t>::min()) return "(-9223372036854775807ll - 1)";
  const bool is_int =
      value > std::numeric_limits<std::int32_t>::min() && value <= std::numeric_limits<std::int32_t>::max();
  return fmt::format("{}{}", value, exact || !is_int ? "ll" : "");
}

}  // namespace

std::string_view value_type(DType dtype) { return kTypes[static_cast<std::size_t>(dtype)]; }

std::string_view element_type(DType dtype) { return value_type(is_bool(dtype) ? DType::u8 : dtype); }

bool is_narrow_float(DType dtype) { return is_float(dtype) && byte_size(dtype) < 4; }

std::string float_literal(double value, bool is_f64) {
  if (std::isnan(value)) return is_f64 ? "(double)not_a_number()" : "not_a_number()";
  if (std::isinf(value)) return fmt::format("{}{}infinity()", value < 0 ? "-" : "", is_f64 ? "(double)" : "");
  return is_f64 ? decimal(fmt::format("{}", value)) : decimal(fmt::format("{}", static_cast<float>(value))) + "f";
}

std::string literal(const ir::Node& constant, bool exact) {
  const DType dtype = constant.dtype;
  if (is_narrow_float(dtype)) {
    std::uint16_t bits = 0;
    ir::store(dtype, &bits, {.real = constant.real});
    return fmt::format("{}{{{}}}", value_type(dtype), bits ? fmt::format("{:#x}", bits) : "0");
  }
  if (is_float(dtype)) return float_literal(constant.real, dtype == DType::f64);
  if (is_bool(dtype)) return constant.integer ? "true" : "false";
  if (dtype == DType::u64) return fmt::format("{}ull", static_cast<std::uint64_t>(constant.integer));
  if (dtype == DType::u32) return fmt::format("{}u", constant.integer);
  if (dtype == DType::i64) return signed_literal(constant.integer, exact);
  if (constant.integer == std::numeric_limits<std::int32_t>::min()) return "(-2147483647 - 1)";
  return fmt::format("{}", constant.integer);
}

}  // namespace quern::codegen
