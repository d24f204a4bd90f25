#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "base/target.h"
#include "compiler/lift_reductions.h"
#include "compiler/strategies/strategy.h"
#include "ir/parser.h"

namespace quern::compiler {
namespace {

// Why wgmma does not take the one kernel of a program; empty: it does.
std::string reason(std::string_view parameters, std::string_view definitions, std::string_view target = "cuda:sm_90a") {
  const std::string text = fmt::format("kernel f({}) {{\n{}\n}}", parameters, definitions);
  const ir::Program program = lift_reductions(ir::parse_program(text));
  return strategy_named("wgmma").matches(program, parse_target(target)).reason;
}

constexpr std::string_view kMatrices = "x: bf16[m, k], w: bf16[k, n]) -> (y: f32[m, n]";
constexpr std::string_view kProduct = "y[i, j] = sum[p](f32(x[i, p]) * f32(w[p, j]))";

TEST(WgmmaMatch, TakesProductsInPlace) { EXPECT_EQ(reason(kMatrices, kProduct), ""); }

TEST(WgmmaMatch, TakesBatchesOfSeveralAxesAndLayersOnSeveral) {
  EXPECT_EQ(reason("x: bf16[a, b, m, k], w: bf16[a, k, b, n]) -> (y: bf16[m, a, b, n]",
                   "y[i, c, h, j] = bf16(sum[p](f32(x[c, h, i, p]) * f32(w[c, p, h, j])))"),
            "");
  EXPECT_EQ(reason("x: bf16[b, m, k], w: bf16[k, n]) -> (y: f32[b, m, n]",
                   "y[c, i, j] = sum[p](f32(x[c, i, p]) * f32(w[p, j]))"),
            "");
  EXPECT_EQ(reason("x: bf16[b, m, k], w: bf16[k, k]) -> (y: f32[b, m, k]",
                   "y[c, i, j] = sum[p](f32(x[c, i, p]) * f32(w[p, j])) + f32(x[c, i, j])"),
            "");
}

TEST(WgmmaMatch, TakesConvolutionsOfOnePosition) {
  EXPECT_EQ(reason("x: bf16[8, 1, 100, 64], f: bf16[64, 1, 3, 64]) -> (y: bf16[8, 1, 98, 64]",
                   "y[b, h, q, o] = bf16(sum[u, v, i](f32(x[b, h + u, q + v, i]) * f32(f[o, u, v, i])))"),
            "");
}

TEST(WgmmaMatch, SaysWhatTheTargetLacks) {
  EXPECT_EQ(reason(kMatrices, kProduct, "cuda:sm_80"), "cuda:sm_80 has no wgmma");
  EXPECT_EQ(reason(kMatrices, kProduct, "cpu:x86-64-v3"), "cpu:x86-64-v3 has no wgmma");
}

TEST(WgmmaMatch, SaysWhatIsWrongWithTheSum) {
  EXPECT_EQ(reason("x: f32[m]) -> (y: f32[m]", "y[i] = x[i] + 1.0"),
            "it is no sum of products of two factors over whole axes, each of which is a row, a column or a depth");
  EXPECT_EQ(reason(kMatrices, "y[i, j] = sum[p]{order = fixed}(f32(x[i, p]) * f32(w[p, j]))"),
            "y is summed in a given order");
  EXPECT_EQ(reason("x: f16[m, k], w: f16[k, n]) -> (y: f16[m, n]", "y[i, j] = sum[p]{acc=f32}(x[i, p] * w[p, j])"),
            "the products of y are formed in f16, not in f32");
  EXPECT_EQ(reason("x: bf16[m, k], w: bf16[k, n, h]) -> (y: f32[m, n, h]",
                   "y[i, j, l] = sum[p](f32(x[i, p]) * f32(w[p, j, l]))"),
            "the factor f32(w[p, j, l]) has 2 axes of its own, not one");
}

TEST(WgmmaMatch, SaysWhichFactorItCannotRead) {
  EXPECT_EQ(reason("x: f32[m, k], w: f32[k, n]) -> (y: f32[m, n]", "y[i, j] = sum[p](x[i, p] * w[p, j])"),
            "x is of f32, not of bf16 or f16 widened to f32");
  EXPECT_EQ(reason(kMatrices, "y[i, j] = sum[p](relu(f32(x[i, p])) * f32(w[p, j]))"),
            "the factor relu(f32(x[i, p])) is computed, not read from an input of the kernel");
  EXPECT_EQ(reason("x: bf16[m, k], w: f16[k, n]) -> (y: f32[m, n]", kProduct), "it multiplies bf16 by f16");
  EXPECT_EQ(reason("x: bf16[m + k, k], w: bf16[k, n]) -> (y: f32[m, n]",
                   "y[i in m, j] = sum[p in k](f32(x[i + p, p]) * f32(w[p, j]))"),
            "no bulk copy brings tiles of x[i + p, p]");
  EXPECT_EQ(
      reason("x: bf16[m, 64], w: bf16[64, n]) -> (y: f32[m, n]", "y[i, j] = sum[p in 32](f32(x[i, p]) * f32(w[p, j]))"),
      "the sum over p does not end where x does");
  EXPECT_EQ(reason("x: bf16[m, k], w: bf16[n]) -> (y: f32[m, n]", "y[i, j] = sum[p](f32(x[i, p]) * f32(w[j]))"),
            "w does not depend on p, along which the sum is cut into steps");
  EXPECT_EQ(
      reason("x: bf16[k, m], w: bf16[h, n]) -> (y: f32[m, n]", "y[i, j] = sum[p, q](f32(x[p, i]) * f32(w[q, j]))"),
      "no axis of the sum stands in both factors");
  // Any axis of the sum that both have is cut into steps.
  EXPECT_EQ(reason("x: bf16[k, m], w: bf16[k, h, n]) -> (y: f32[m, n]",
                   "y[i, j] = sum[p, q](f32(x[p, i]) * f32(w[p, q, j]))"),
            "");
}

TEST(WgmmaMatch, TapsAreOfTheSumAlone) {
  const auto of_row = [](std::string_view row) {
    return reason("x: bf16[2, 150, 16, 64], w: bf16[32, 3, 64]) -> (y: bf16[2, 10, 16, 32]",
                  fmt::format("y[n, h, v, o] = bf16(sum[r in 3, c](f32(x[n, {}, v, c]) * f32(w[o, r, c])))", row));
  };
  EXPECT_EQ(of_row("h + r + 120"), "");
  EXPECT_EQ(of_row("h + v"), "no bulk copy brings tiles of x[n, h + v, v, c]");
}

TEST(WgmmaMatch, SumsOfTilesOfRowsAreOfATilesColumns) {
  const auto of_width = [](int width) {
    return reason(fmt::format("x: bf16[m, k], w: bf16[k, {0}]) -> (y: bf16[m, {0}], r: f32[m, 4]", 4 * width),
                  fmt::format("s[i, j] = sum[p](f32(x[i, p]) * f32(w[p, j]))\ny[i, j] = bf16(s[i, j])\n"
                              "r[i, t] = sum[u in {0}](s[i, t * {0} + u])",
                              width));
  };
  EXPECT_EQ(of_width(96), "");
  EXPECT_EQ(of_width(100), "rows are summed in tiles of 100 columns, not of a multiple of 16 from 16 to 256");
}

// A product with so many outputs of 2-byte elements.
std::string with_outputs(int count) {
  std::string outputs, definitions = "s[i, j] = sum[p](f32(x[i, p]) * f32(w[p, j]))\n";
  for (int i = 0; i < count; ++i) {
    outputs += fmt::format("{}y{}: bf16[1024, 1024]", i == 0 ? "" : ", ", i);
    definitions += fmt::format("y{0}[i, j] = bf16(s[i, j] + {0}.0)\n", i);
  }
  return fmt::format("kernel f(x: bf16[1024, 64], w: bf16[64, 1024]) -> ({}) {{\n{}}}", outputs, definitions);
}

TEST(WgmmaMatch, TheDefaultHasRoomForItsOutputs) {
  const Strategy& strategy = strategy_named("wgmma");
  const Target target = parse_target("cuda:sm_90a");
  for (const int count : {1, 4, 6, 12, 40}) {
    const ir::Program program = lift_reductions(ir::parse_program(with_outputs(count)));
    EXPECT_EQ(strategy.check(program, strategy.fallback(program, target), target).reason, "") << count;
  }
  EXPECT_EQ(strategy.matches(lift_reductions(ir::parse_program(with_outputs(60))), target).reason,
            "60 outputs of 2-byte elements take more shared memory than there is");
}

constexpr std::string_view kHalfProduct = "y[i, j] = bf16(sum[p](f32(x[i, p]) * f32(w[p, j])))";

// What the kernel says of its loads, where all arguments are aligned.
std::string comment(std::string_view parameters, std::string_view definition = kHalfProduct) {
  const std::string text = fmt::format("kernel f({}) {{\n{}\n}}", parameters, definition);
  const ir::Program program = lift_reductions(ir::parse_program(text));
  const Target target = parse_target("cuda:sm_90a");
  std::vector<ir::Fact> facts = program.facts;
  for (const ir::TensorRef& tensor : ir::arguments(program)) {
    facts.push_back({.kind = ir::Fact::Kind::aligned, .tensor = tensor, .bytes = 16});
  }
  const Strategy& strategy = strategy_named("wgmma");
  return strategy.emit(program, strategy.fallback(program, target), target, facts).comment;
}

TEST(WgmmaMatch, CopiesInBulkWhereRowsLieUpwardsAtMultiplesOf16Bytes) {
  const auto of_strides = [](std::string_view x) {
    return comment(fmt::format("x: bf16[80, 96] strides ({}, 1), w: bf16[96, 72]) -> (y: bf16[80, 72]", x));
  };
  EXPECT_EQ(of_strides("96"), "");
  EXPECT_EQ(of_strides("104"), "");
  const std::string ordinary = "ordinary loads instead of bulk copies: ";
  EXPECT_EQ(of_strides("100"), ordinary + "rows of x may not begin at multiples of 16 bytes");
  EXPECT_EQ(of_strides("-96"), ordinary + "not all strides of x are known to be above 0");
  EXPECT_EQ(of_strides("0"), ordinary + "not all strides of x are known to be above 0");
  EXPECT_EQ(comment("x: bf16[m, 96], w: bf16[96, 72]) -> (y: bf16[m, 72]"), ordinary + "x may be empty");
  EXPECT_EQ(comment("x: bf16[64, 64, 8], w: bf16[64, 64, 8]) -> (y: bf16[8, 64, 64]",
                    "y[b, i, j] = bf16(sum[p](f32(x[i, p, b]) * f32(w[p, j, b])))"),
            ordinary + "memory walks x along b, of the batch");
  const auto layer = [&](std::string_view x, std::string_view more) {
    return comment(fmt::format("x: bf16[4, 8, 64]{}, w: bf16[64, 64]) -> (y: bf16[4, 8, 64]", x),
                   fmt::format("y[b, i, j] = bf16(sum[p](f32(x[b, i, p]) * f32(w[p, j])){})", more));
  };
  EXPECT_EQ(layer("", ""), "");
  EXPECT_EQ(layer(" strides (640, 64, 1)", ""), ordinary + "x of several axes of rows has written strides");
  EXPECT_EQ(layer("", " + f32(x[b, i, j])"),
            ordinary + "x of several axes of rows is read elsewhere in the kernel too");
}

TEST(WgmmaMatch, TheDefaultCopiesWhatDoesNotLieAlignedToRowsThatDo) {
  const Strategy& strategy = strategy_named("wgmma");
  const Target target = parse_target("cuda:sm_90a");
  const auto pads = [&](std::string_view x) {
    const ir::Program program = lift_reductions(ir::parse_program(fmt::format(
        "kernel f(x: bf16[4096, 4096]{}, w: bf16[4096, 4096]) -> (y: bf16[4096, 4096]) {{\n{}\n}}", x, kHalfProduct)));
    return get(strategy.fallback(program, target), strategy.fields, "pad") == 1;
  };
  EXPECT_FALSE(pads(""));
  EXPECT_FALSE(pads(" strides (4104, 1)"));
  EXPECT_TRUE(pads(" strides (4097, 1)"));
  EXPECT_TRUE(pads(" strides (1, 4096)"));
}

TEST(WgmmaMatch, CopiesWindowsInBulkAsFarAsMapsTellThem) {
  const auto of = [](std::string_view index, std::string_view shape = "2, 600, 16, 64") {
    return comment(fmt::format("x: bf16[{}], w: bf16[32, 3, 64]) -> (y: bf16[2, 10, 16, 32]", shape),
                   fmt::format("y[n, h, v, o] = bf16(sum[r in 3, c](f32(x[n, {}, v, c]) * f32(w[o, r, c])))", index));
  };
  const std::string ordinary = "ordinary loads instead of bulk copies: ";
  EXPECT_EQ(of("h + r + 120", "2, 150, 16, 64"), "");
  EXPECT_EQ(of("h + r + 128", "2, 150, 16, 64"),
            ordinary + "the first tap's window begins or ends 128 elements beside x, of -128 to 127");
  EXPECT_EQ(of("h + r"), ordinary + "the first tap's window begins or ends -590 elements beside x, of -128 to 127");
  EXPECT_EQ(of("h * 9 + r"), ordinary + "steps of 9 along x, of at most 8");
  EXPECT_EQ(of("h + r * 128"), ordinary + "taps that reach over 257 elements along x, of at most 256");
  EXPECT_EQ(comment("x: bf16[2, 12, 64], w: bf16[32, 3, 64]) -> (y: bf16[2, 10, 32]",
                    "y[n, h, o] = bf16(sum[r in 3, c](f32(x[n, h + r, c]) * f32(w[o, r, c])))"),
            ordinary + "1 spatial axes of x, of which bulk copies take 2");
}

}  // namespace
}  // namespace quern::compiler
