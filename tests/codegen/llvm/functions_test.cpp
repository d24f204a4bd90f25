// Every scalar function in every dtype that it takes, against its row's reference and bound.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ir/scalar.h"
#include "tests/codegen/llvm/cpu_runner.h"
#include "tests/codegen/llvm/elementwise.h"

namespace quern::codegen {
namespace {

using ir::Op;
using ir::Scalar;

class LlvmFunctions : public testing::TestWithParam<Target> {};

INSTANTIATE_TEST_SUITE_P(Targets, LlvmFunctions, testing::ValuesIn(runnable_targets()),
                         [](const auto& instance) { return test_name(instance.param); });

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
  const Scalar rounded = ir::fit(result, exact);
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

// One in `step` of the values that the whole test sees.
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

void check(const Target& target, const ir::ScalarFunction& row, DType dtype, bool uniform, std::size_t step) {
  const auto result = result_of(row, dtype);
  if (!result) return;
  std::vector<Elements> operands = operands_of(row, dtype, step);
  const Formula f = [&](std::span<const ir::Expr> x) { return ir::call(row.op, {x.begin(), x.end()}); };
  const Elements got = run_elementwise(target, f, operands, uniform);
  int wrong = 0;
  for (std::size_t i = 0; i < got.size() && wrong < 4; ++i) {
    std::vector<Scalar> values;
    std::string text;
    double magnitude = 0;
    for (const Elements& operand : operands) {
      values.push_back(operand.at(i));
      text += is_float(operand.dtype) ? fmt::format(" {:a}", values.back().real)
                                      : fmt::format(" {}", values.back().integer);
      magnitude = std::max(magnitude, std::abs(values.back().real));
    }
    const Scalar exact = row.reference(dtype, values);
    if (close(row, dtype, *result, got.at(i), exact, magnitude)) continue;
    ++wrong;
    ADD_FAILURE() << row.name << " of " << name(dtype) << text << (uniform ? " (scalar)" : "") << " is "
                  << fmt::format("{:a} / {}, not {:a} / {}", got.at(i).real, got.at(i).integer, exact.real,
                                 exact.integer);
  }
}

// The host's level sees every dtype and many values, in vectors and as scalars; the others what is lowered differently.
TEST_P(LlvmFunctions, MeetTheirBounds) {
  const bool host = GetParam().arch == host_cpu_target().arch;
  for (const ir::ScalarFunction& row : ir::scalar_functions()) {
    for (int d = 0; d < kDTypeCount; ++d) {
      const auto dtype = static_cast<DType>(d);
      const bool differs = dtype == DType::f64 || dtype == DType::f32 || dtype == DType::i32 || dtype == DType::u64;
      if (host || differs) check(GetParam(), row, dtype, false, host ? 5 : 37);
      if (host && differs) check(GetParam(), row, dtype, true, 37);
    }
  }
}

}  // namespace
}  // namespace quern::codegen
