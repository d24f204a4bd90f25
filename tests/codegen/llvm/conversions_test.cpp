// Every conversion between dtypes, of all values of up to 16 bits and of samples of the wider ones, on every feature
// level, against ir/scalar.h.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "ir/scalar.h"
#include "tests/codegen/llvm/cpu_runner.h"
#include "tests/codegen/llvm/elementwise.h"

namespace quern::codegen {
namespace {

class LlvmConversions : public testing::TestWithParam<Target> {};

INSTANTIATE_TEST_SUITE_P(Targets, LlvmConversions, testing::ValuesIn(runnable_targets()),
                         [](const auto& instance) { return test_name(instance.param); });

void check(const Target& target, DType to, const Elements& from, bool uniform) {
  const Formula cast = [&](std::span<const ir::Expr> x) { return ir::cast(to, x[0]); };
  const Elements got = run_elementwise(target, cast, std::span(&from, 1), uniform);
  int wrong = 0;
  for (std::size_t i = 0; i < from.size() && wrong < 5; ++i) {
    const std::string text = deviation(from, got, i);
    EXPECT_EQ(text, "") << (uniform ? "as a scalar" : "");
    wrong += text.empty() ? 0 : 1;
  }
}

// The host's level sees every value, in vectors and as scalars; the others one in seven.
TEST_P(LlvmConversions, FollowTheLanguage) {
  const bool host = GetParam().arch == host_cpu_target().arch;
  for (int f = 0; f < kDTypeCount; ++f) {
    const Elements from = every(host ? 1 : 7, samples(static_cast<DType>(f), 3000, 17));
    for (int t = 0; t < kDTypeCount; ++t) {
      if (t == f) continue;
      check(GetParam(), static_cast<DType>(t), from, false);
      if (host) check(GetParam(), static_cast<DType>(t), every(31, from), true);
    }
  }
}

// Rounding on the way must not make a value that differs from one rounding.
TEST_P(LlvmConversions, OfSumsInNarrowFloatsRoundOnce) {
  for (const DType dtype : {DType::f16, DType::bf16, DType::f8e4m3, DType::f8e5m2}) {
    const Elements a = every(byte_size(dtype) == 1 ? 1 : 11, samples(dtype, 0, 1));
    Elements b(dtype);
    for (std::size_t i = 0; i < a.size(); ++i) b.push(a.at((i * 40503 + 7) % a.size()));
    const Elements operands[] = {a, b};
    for (const ir::Op op : {ir::Op::add, ir::Op::mul, ir::Op::div}) {
      const Formula f = [&](std::span<const ir::Expr> x) { return ir::call(op, {x[0], x[1]}); };
      const Elements got = run_elementwise(GetParam(), f, operands);
      for (std::size_t i = 0; i < a.size(); ++i) {
        const std::array<ir::Scalar, 2> values = {a.at(i), b.at(i)};
        const ir::Scalar expected = ir::fit(dtype, ir::row(op).reference(dtype, values));
        ASSERT_TRUE(ir::identical(dtype, got.at(i), expected))
            << ir::row(op).name << "(" << text_of(dtype, values[0]) << ", " << text_of(dtype, values[1]) << ") of "
            << name(dtype) << " is " << text_of(dtype, got.at(i)) << ", not " << text_of(dtype, expected);
      }
    }
  }
}

}  // namespace
}  // namespace quern::codegen
