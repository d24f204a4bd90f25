#include "ir/bounds.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "ir/generate.h"
#include "ir/parser.h"
#include "ir/printer.h"
#include "ir/scalar.h"
#include "tests/ir/perturbed.h"

namespace quern::ir {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<HostTensor> hosts(const std::vector<OwnedTensor>& tensors) {
  std::vector<HostTensor> result;
  for (const OwnedTensor& tensor : tensors) result.push_back(tensor.host);
  return result;
}

struct Case {
  Program program;
  std::vector<std::int64_t> sizes;
  std::vector<std::vector<float>> data;
  std::vector<HostTensor> inputs;

  // f32 inputs of normal random numbers.
  Case(std::string_view text, const std::map<std::string, std::int64_t>& symbols, std::uint64_t seed = 1)
      : program(parse_program(text)) {
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    for (const VarRef& symbol : program.symbols) sizes.push_back(symbols.at(symbol->name));
    for (const TensorRef& input : program.inputs) {
      HostTensor host{input->dtype, {}, {}, nullptr};
      std::size_t count = 1;
      for (const Expr& extent : input->shape) {
        host.shape.push_back(extent->kind == ExprKind::variable ? symbols.at(extent->var->name) : extent->integer);
        count *= static_cast<std::size_t>(host.shape.back());
      }
      std::vector<float>& values = data.emplace_back(count);
      for (float& value : values) value = normal(random);
      inputs.push_back(std::move(host));
    }
    for (std::size_t i = 0; i < inputs.size(); ++i) inputs[i].data = data[i].data();
  }

  Checked at(const Coordinate& coordinate, std::size_t output = 0) const {
    return evaluate_with_bounds(program, sizes, inputs, output, std::span(&coordinate, 1))[0];
  }
};

// How far a right result may lie from the value, on the farther side.
double width(const Checked& checked) { return bound_beside(checked, checked.value); }

TEST(Bounds, WhatHasNoRoundingHasNoTolerance) {
  const Case copy("kernel f(x: f32[n]) -> (y: f32[n]) { y[i] = max(x[n - 1 - i], 0) }", {{"n", 8}});
  EXPECT_EQ(width(copy.at({3})), 0);
  const Case sum("kernel f(x: f32[n], z: f32[n]) -> (y: f32[n]) { y[i] = x[i] + z[i] }", {{"n", 8}});
  EXPECT_EQ(width(sum.at({3})), 0);
  Case integers("kernel f(x: f32[n]) -> (y: f32[1]) { y[i] = sum[j](x[j]) }", {{"n", 1000}});
  for (std::size_t i = 0; i < 1000; ++i) integers.data[0][i] = static_cast<float>(i % 17) - 8.0f;
  EXPECT_EQ(width(integers.at({0})), 0);
  const Case rounded("kernel f(x: f32[n]) -> (y: bf16[n]) { y[i] = bf16(x[i]) }", {{"n", 8}});
  EXPECT_EQ(width(rounded.at({3})), 0);
}

TEST(Bounds, ProductsMayBeFusedUnlessExact) {
  const char* text = "kernel f(x: f32[n], z: f32[n]) -> (y: f32[n]) { y[i] = x[i] * x[i] + z[i] }";
  const Case fused(text, {{"n", 8}});
  int differ = 0;
  for (std::int64_t i = 0; i < 8; ++i) {
    const Checked checked = fused.at({i});
    const float x = fused.data[0][static_cast<std::size_t>(i)], z = fused.data[1][static_cast<std::size_t>(i)];
    EXPECT_LT(width(checked), 1e-6);
    EXPECT_TRUE(admits(checked, std::fma(x, x, z)));
    EXPECT_TRUE(admits(checked, x * x + z));
    differ += width(checked) > 0 ? 1 : 0;
  }
  EXPECT_GT(differ, 0);
  // Under a name, behind a choice, and in an output that another one reads.
  for (const char* other : {"kernel f(x: f32[n], z: f32[n]) -> (y: f32[n]) { t[i] = x[i] * x[i]\n y[i] = t[i] + z[i] }",
                            "kernel f(x: f32[n], z: f32[n]) -> (y: f32[n]) { y[i] = (i < n ? x[i] * x[i] : 0) + z[i] }",
                            "kernel f(x: f32[n], z: f32[n]) -> (y: f32[n]) { y[i] = z[i] + -(x[i] * -x[i]) }",
                            "kernel f(x: f32[n], z: f32[n]) -> (y: f32[n], t: f32[n]) { t[i] = x[i] * x[i]\n"
                            "y[i] = t[i] + z[i] }"}) {
    const Case same(other, {{"n", 8}});
    for (std::int64_t i = 0; i < 8; ++i) {
      const Checked checked = same.at({i}), expected = fused.at({i});
      EXPECT_EQ(checked.lo, expected.lo) << other;
      EXPECT_EQ(checked.hi, expected.hi) << other;
      if (same.program.outputs.size() > 1) {
        EXPECT_EQ(width(same.at({i}, 1)), 0);
      }
    }
  }
  // Of a factor that is not certain, at either end.
  const Case both("kernel f(x: f32[n], z: f32[n]) -> (y: f32[n]) { y[i] = z[i] * z[i] + x[i] * (x[i] - x[i] * z[i]) }",
                  {{"n", 1000}});
  for (std::int64_t i = 0; i < 1000; ++i) {
    const float x = both.data[0][static_cast<std::size_t>(i)], z = both.data[1][static_cast<std::size_t>(i)];
    for (const float factor : {x - x * z, std::fma(-x, z, x)}) {
      EXPECT_TRUE(admits(both.at({i}), std::fma(z, z, x * factor))) << x << " " << z;
      EXPECT_TRUE(admits(both.at({i}), std::fma(x, factor, z * z))) << x << " " << z;
    }
  }
  // An expansion's last product is one as well.
  const Case gelu("kernel f(x: f32[n], z: f32[n]) -> (y: f32[n]) { y[i] = gelu(x[i]) + z[i] }", {{"n", 1000}});
  for (std::int64_t i = 0; i < 1000; ++i) {
    const float x = gelu.data[0][static_cast<std::size_t>(i)], z = gelu.data[1][static_cast<std::size_t>(i)];
    const float weight = 1 + std::erf(x * std::numbers::sqrt2_v<float> / 2);
    EXPECT_TRUE(admits(gelu.at({i}), std::fma(0.5f * x, weight, z))) << x << " " << z;
    EXPECT_TRUE(admits(gelu.at({i}), 0.5f * x * weight + z)) << x << " " << z;
  }
  const Case exact("kernel f(x: f32[n], z: f32[n]) -> (y: f32[n]) with exact { y[i] = x[i] * x[i] + z[i] }",
                   {{"n", 8}});
  EXPECT_EQ(width(exact.at({3})), 0);
}

TEST(Bounds, SumsFollowTheirLengthAndMagnitude) {
  const Case c("kernel f(a: f32[m, k], b: f32[k, n]) -> (y: f32[m, n]) { y[i, j] = sum[p](a[i, p] * b[p, j]) }",
               {{"m", 2}, {"k", 2048}, {"n", 2}});
  const Checked checked = c.at({1, 0});
  double magnitude = 0;
  for (std::size_t p = 0; p < 2048; ++p)
    magnitude += std::abs(static_cast<double>(c.data[0][2048 + p]) * c.data[1][2 * p]);
  const double u = unit_roundoff(DType::f32);
  EXPECT_LE(width(checked), 2 * 2048 * u * magnitude * 1.01);
  EXPECT_GE(width(checked), 2047 * u * magnitude);
}

TEST(Bounds, ALostTermIsSeen) {
  Case c("kernel f(x: f32[n]) -> (y: f32[1]) { y[i] = sum[j](x[j]) }", {{"n", 1000}});
  const Checked checked = c.at({0});
  double sum = 0;
  for (std::size_t j = 0; j + 1 < 1000; ++j) sum += c.data[0][j];
  EXPECT_FALSE(admits(checked, sum));
  EXPECT_TRUE(admits(checked, sum + c.data[0][999]));
}

TEST(Bounds, GradesWiden) {
  const auto bound = [](const std::string& contract) {
    const Case c("kernel f(a: f32[m, k], b: f32[k, n]) -> (y: f32[m, n]) { y[i, j] = sum[p]" + contract +
                     "(a[i, p] * b[p, j]) }",
                 {{"m", 1}, {"k", 64}, {"n", 1}});
    return width(c.at({0, 0}));
  };
  EXPECT_LT(bound(""), bound("{grade=f32}"));
  EXPECT_LT(10 * bound("{grade=f32}"), bound("{grade=tf32}"));
  EXPECT_LT(10 * bound(""), bound("{acc=f16}"));
}

TEST(Bounds, NarrowOperandsLoseNothingInTf32) {
  const char* text =
      "kernel f(a: f32[k], b: f32[k]) -> (y: f32[1]) { y[i] = sum[p]{CONTRACT}(f32(bf16(a[p])) * f32(bf16(b[p]))) }";
  const auto bound = [&](const std::string& contract) {
    std::string with = text;
    with.replace(with.find("{CONTRACT}"), 10, contract);
    return width(Case(with, {{"k", 64}}).at({0}));
  };
  EXPECT_EQ(bound("{grade=tf32}"), bound(""));
}

// A sum just above the middle of 1 and the next bf16 below, 1 - 2^-8, whose error reaches below the middle.
TEST(Bounds, OneSideIsNoLicenceForTheOther) {
  Case c("kernel f(x: f32[n]) -> (y: bf16[1]) { y[i] = bf16(sum[j](x[j])) }", {{"n", 3}});
  c.data[0] = {1.0f, -0x1p-9f + 0x1p-30f, 0x1p-32f};
  c.inputs[0].data = c.data[0].data();
  const Checked checked = c.at({0});
  EXPECT_EQ(checked.value, 1);
  EXPECT_TRUE(admits(checked, 1));
  EXPECT_TRUE(admits(checked, 1 - 0x1p-8));
  EXPECT_FALSE(admits(checked, 1 + 0x1p-7));
  EXPECT_FALSE(admits(checked, 1 + 0x1p-8));
  EXPECT_EQ(bound_beside(checked, 0), 0x1p-8);
  EXPECT_EQ(bound_beside(checked, 2), 0);
  EXPECT_EQ(error_ratio(checked, 1 - 0x1p-7), 2);
  EXPECT_EQ(error_ratio(checked, 1 + 0x1p-7), kInfinity);
}

TEST(Bounds, UncertainChoicesAdmitBothSides) {
  // The sum is 0 but for rounding, and decides.
  Case c("kernel f(x: f32[n]) -> (y: f32[1]) { s[i in 1] = sum[j](x[j]);  y[i] = s[i] > 0 ? 1 : 2 }", {{"n", 3}});
  c.data[0] = {0.1f, 0.2f, -0.3f};
  c.inputs[0].data = c.data[0].data();
  const Checked checked = c.at({0});
  EXPECT_TRUE(admits(checked, 1));
  EXPECT_TRUE(admits(checked, 2));
  EXPECT_FALSE(admits(checked, 3.5));
}

TEST(Bounds, ArgmaxAdmitsWhatRoundingMayPick) {
  Case c("kernel f(x: f32[n]) -> (y: i64[1]) { y[i] = argmax[j](exp(x[j])) }", {{"n", 4}});
  c.data[0] = {0.0f, 1.0f, 0.5f, std::nextafter(1.0f, 2.0f)};
  c.inputs[0].data = c.data[0].data();
  const Checked checked = c.at({0});
  EXPECT_TRUE(admits(checked, 1));
  EXPECT_TRUE(admits(checked, 3));
  EXPECT_FALSE(admits(checked, 0));
}

TEST(Bounds, RoundedNumeratorsMayHaveAnotherScale) {
  const auto bound_of = [](const char* element) {
    const std::string text = std::string(
                                 "kernel f(x: f32[n]) -> (y: f32[1]) {\n m[i] = max[j](x[j])\n"
                                 " y[i] = sum[j](f32(bf16(") +
                             element + ")) * x[j]) }";
    return width(Case(text, {{"n", 16}}).at({0}));
  };
  const double rounded = bound_of("exp(x[j] - m[i])");
  EXPECT_GT(rounded, 0x1p-10);  // of a few terms, each off by up to 2^-8 of itself
  EXPECT_LT(rounded, 16 * 0x1p-8 * 3);
  EXPECT_LT(bound_of("exp(x[j] - 2 * m[i])"), 0x1p-12);  // of no softmax
  const double divided = bound_of("exp(x[j] - m[i]) / sum[l](exp(x[l] - m[i]))");
  EXPECT_GT(divided, 0x1p-13);
  EXPECT_LT(divided, 3 * 0x1p-8);                                                   // of terms whose weights sum to 1
  EXPECT_LT(bound_of("exp(x[j] - m[i]) / sum[l](exp(x[l] - 2 * m[i]))"), 0x1p-12);  // by another sum
}

// A sum of rounded numerators times v in one pass: with a running maximum, and all that was summed rescaled when it
// grows.
float sum_in_one_pass(const std::vector<float>& x, const std::vector<float>& v) {
  float largest = -std::numeric_limits<float>::infinity(), sum = 0;
  for (std::size_t j = 0; j < x.size(); ++j) {
    const float before = largest;
    largest = std::max(largest, x[j]);
    sum *= std::exp(before - largest);
    sum += static_cast<float>(fit_real(DType::bf16, std::exp(x[j] - largest))) * v[j];
  }
  return sum;
}

TEST(Bounds, SumsOfRoundedNumeratorsMayBeTakenInOnePass) {
  const char* text =
      "kernel f(x: f32[n], v: f32[n]) -> (y: f32[1]) {\n m[i] = max[j](x[j])\n w[i, j] = bf16(exp(x[j] - m[i]))\n"
      " y[i] = sum[j](f32(w[i, j]) * v[j]) }";
  int differ = 0;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const Case c(text, {{"n", 12}}, seed);
    const Checked checked = c.at({0});
    const double got = sum_in_one_pass(c.data[0], c.data[1]);
    EXPECT_TRUE(admits(checked, got)) << checked.value << " " << got;
    differ += std::abs(got - checked.value) > 1e-5 ? 1 : 0;
  }
  EXPECT_GT(differ, 10);
}

// The bound of y at two indices, of z at one, where these definitions read the softmax of n rows of n logits.
double bound_of_weights(const std::string& definitions, const Coordinate& at) {
  const std::string text =
      "kernel f(x: f32[n, n]) -> (y: f32[n, n], z: f32[n]) {\n"
      " e[i, j] = exp(x[i, j] - max[l](x[i, l]))\n t[i] = sum[j](e[i, j])\n" +
      definitions + "}";
  const Case c(text, {{"n", 8}});
  return width(c.at(at, at.size() == 2 ? 0 : 1));
}

TEST(Bounds, OnlyASumAlongTheSoftmaxRescales) {
  const auto of_sum = [](const std::string& z) {
    return bound_of_weights("w[i, j] = bf16(e[i, j])\n y[i, j] = f32(w[i, j])\n z[c] = " + z, {3});
  };
  const double roomy = 0x1p-10, plain = 0x1p-12;
  EXPECT_GT(of_sum("sum[j](f32(w[c, j]) * x[c, j])"), roomy);
  EXPECT_GT(of_sum("sum[j](f32(bf16(e[c, j] / t[c])) * x[c, j])"), roomy);
  EXPECT_LT(of_sum("sum[i](f32(w[i, c]) * x[i, c])"), plain);               // over rows
  EXPECT_LT(of_sum("sum[i](f32(bf16(e[i, c] / t[i])))"), plain);            // over rows
  EXPECT_LT(of_sum("sum[j in 0..n - 1](f32(w[c, j]))"), plain);             // of some of what the maximum is of
  EXPECT_LT(of_sum("sum[i, j](f32(w[c, j]) * x[i, j])"), plain);            // over more than the row
  EXPECT_LT(of_sum("sum[j]{order=fixed}(f32(w[c, j]) * x[c, j])"), plain);  // in one order
  EXPECT_LT(of_sum("sum[j](f32(w[c, j]) + x[c, j])"), plain);               // of no factor
  EXPECT_EQ(of_sum("max[j](f32(w[c, j]))"), 0);
}

TEST(Bounds, WeightsAreRoundedWhereTheProgramSaysSoForAllOtherReaders) {
  const std::string z = "\n z[c] = sum[j](f32(w[c, j]) * x[c, j])";
  EXPECT_EQ(bound_of_weights("w[i, j] = bf16(e[i, j])\n y[i, j] = f32(w[i, j])" + z, {2, 3}), 0);
  EXPECT_EQ(bound_of_weights("w[i, j] = bf16(e[i, j] / t[i])\n y[i, j] = f32(w[i, j])" + z, {2, 3}), 0);
  EXPECT_EQ(bound_of_weights("w[i, j] = bf16(e[i, j])\n u[i, j] = f32(w[i, j])\n y[i, j] = u[i, j]" + z, {2, 3}), 0);
}

TEST(Bounds, RowsThatSeeNothingAreNoNumbers) {
  const Case c(
      "kernel f(x: f32[n], v: f32[n]) -> (y: f32[2]) {\n a[i in 2, j] = j < 4 * i ? x[j] : -inf\n"
      " e[i, j] = exp(a[i, j] - max[l](a[i, l]))\n y[i] = sum[j](f32(bf16(e[i, j])) * v[j]) }",
      {{"n", 8}});
  EXPECT_TRUE(admits(c.at({0}), std::nan("")));
  EXPECT_FALSE(admits(c.at({0}), 0));
  EXPECT_FALSE(admits(c.at({1}), std::nan("")));
}

TEST(Bounds, TermsOfWeightZeroMayBeLeftOut) {
  Case c(
      "kernel f(x: f32[n], v: f32[n]) -> (y: f32[2]) {\n a[i in 2, j] = j < 4 + 4 * i ? x[j] : -inf\n"
      " e[i, j] = exp(a[i, j] - max[l](a[i, l]))\n y[i] = sum[j](f32(bf16(e[i, j])) * v[j]) }",
      {{"n", 8}});
  c.data[1] = std::vector<float>(8, 1.0f);
  c.data[1][7] = std::numeric_limits<float>::quiet_NaN();
  c.inputs[1].data = c.data[1].data();
  EXPECT_TRUE(admits(c.at({0}), std::nan("")));
  EXPECT_TRUE(admits(c.at({0}), 1.5)) << "row 0 does not see the last key";
  EXPECT_TRUE(admits(c.at({1}), std::nan("")));
  EXPECT_FALSE(admits(c.at({1}), 1.5)) << "row 1 does";
}

TEST(Bounds, NarrowFunctionsAreExpandedInSinglePrecision) {
  Case c("kernel f(x: f32[n]) -> (y: f16[n]) { y[i] = gelu(f16(x[i])) }", {{"n", 1}});
  c.data[0] = {-4.6875f};  // where 1 + erf cancels
  const Checked checked = c.at({0});
  EXPECT_GT(width(checked), 0);
  EXPECT_LT(width(checked), 1e-6);
}

TEST(Bounds, ExpansionsReadTheirOwnOperands) {
  const Case c("kernel f(x: f32[n]) -> (y: f64[1]) { y[i] = sigmoid(welford[j](f64(x[j]))) }", {{"n", 8}});
  EXPECT_LT(width(c.at({0})), 1e-12);
}

TEST(Bounds, SpecialValuesAreMetExactly) {
  Case c("kernel f(x: f32[n]) -> (y: f32[n]) { y[i] = log(x[i]) }", {{"n", 3}});
  c.data[0] = {0.0f, -1.0f, 2.0f};
  c.inputs[0].data = c.data[0].data();
  EXPECT_TRUE(admits(c.at({0}), -kInfinity));
  EXPECT_FALSE(admits(c.at({0}), 1e30));
  EXPECT_TRUE(admits(c.at({1}), std::nan("")));
  EXPECT_FALSE(admits(c.at({1}), 0));
  EXPECT_FALSE(admits(c.at({2}), std::nan("")));
}

TEST(Bounds, HoldForWhateverTheContractAllows) {
  const std::pair<const char*, std::map<std::string, std::int64_t>> cases[] = {
      {"kernel f(a: f32[m, k], b: f32[k, n]) -> (y: f32[m, n]) { y[i, j] = sum[p](a[i, p] * b[p, j]) }",
       {{"m", 3}, {"k", 300}, {"n", 2}}},
      {"kernel f(x: f32[m, n]) -> (y: f32[m, n]) { t[i] = max[j](x[i, j]);  e[i, j] = exp(x[i, j] - t[i]);"
       "  y[i, j] = e[i, j] / sum[j2](e[i, j2]) }",
       {{"m", 2}, {"n", 100}}},
      {"kernel f(x: f32[n, k]) -> (y: f32[n]) { y[i] = logsumexp[j](x[i, j] * 4) }", {{"n", 3}, {"k", 200}}},
      {"kernel f(x: f32[n, k]) -> (y: f32[n]) { y[i] = welford[j](x[i, j] + 3) }", {{"n", 3}, {"k", 200}}},
      {"kernel f(x: f32[n, k]) -> (y: f32[n, k]) { v[i] = welford[j](x[i, j]);"
       "  y[i, j] = (x[i, j] - sum[j2](x[i, j2]) / f32(k)) * rsqrt(v[i] + 0.00001) }",
       {{"n", 2}, {"k", 64}}},
      {"kernel f(x: f32[n], w: f32[n]) -> (y: bf16[n]) { y[i] = bf16(gelu(x[i] * w[i] + 1)) }", {{"n", 64}}},
      {"kernel f(x: f32[n], w: f32[n]) -> (y: f16[n]) { y[i] = f16(silu(x[i]) * tanh(w[i]) + softplus(x[i])) }",
       {{"n", 64}}},
      {"kernel f(x: f32[n, k]) -> (y: f32[n]) { y[i] = prod[j](x[i, j]) }", {{"n", 3}, {"k", 30}}},
      {"kernel f(x: f32[n, k]) -> (y: f16[n]) { y[i] = sum[j]{acc=f16}(f16(x[i, j])) }", {{"n", 3}, {"k", 200}}},
      {"kernel f(x: f32[n, k]) -> (y: f32[n]) { y[i] = sum[j]{grade=tf32}(x[i, j] * x[i, k - 1 - j]) }",
       {{"n", 3}, {"k", 100}}},
  };
  for (const auto& [text, symbols] : cases) {
    const Case c(text, symbols, 17);
    OwnedTensor out = std::move(allocate_outputs(c.program, c.sizes)[0]);
    const std::size_t count = out.bytes.size() / static_cast<std::size_t>(byte_size(out.host.dtype));
    for (std::size_t n = 0; n < std::min<std::size_t>(count, 8); ++n) {
      Coordinate at(out.host.shape.size());
      for (std::size_t d = at.size(), rest = n; d-- > 0;) {
        at[d] = static_cast<std::int64_t>(rest) % out.host.shape[d];
        rest /= static_cast<std::size_t>(out.host.shape[d]);
      }
      const Checked checked = c.at(at);
      ASSERT_TRUE(std::isfinite(width(checked))) << text;
      for (std::uint64_t seed = 0; seed < 4; ++seed) {
        const double got = Perturbed(c.program, c.sizes, c.inputs, seed).element(*c.program.outputs[0].tensor, at).real;
        ASSERT_TRUE(admits(checked, got)) << text << "\n"
                                          << checked.value << " +- " << width(checked) << ", got " << got;
      }
    }
  }
}

TEST(Bounds, HoldForGeneratedPrograms) {
  int finite = 0, all = 0;
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    const Program program = generate_program(seed);
    const auto sizes = generate_sizes(program, seed);
    const auto inputs = generate_inputs(program, sizes, seed, seed % 5 == 0);
    const auto memory = hosts(inputs);
    for (std::size_t o = 0; o < program.outputs.size(); ++o) {
      const Tensor& tensor = *program.outputs[o].tensor;
      const HostTensor out = allocate_outputs(program, sizes)[o].host;
      std::vector<Coordinate> at{{}};
      for (const std::int64_t extent : out.shape) {
        std::vector<Coordinate> longer;
        for (const Coordinate& c : at) {
          for (std::int64_t i = 0; i < extent; i += 2) {
            longer.push_back(c);
            longer.back().push_back(i);
          }
        }
        at = std::move(longer);
      }
      const auto checked = evaluate_with_bounds(program, sizes, memory, o, at);
      Perturbed machine(program, sizes, memory, seed);
      for (std::size_t n = 0; n < at.size(); ++n) {
        const Scalar value = machine.element(tensor, at[n]);
        const double got = convert(DType::f64, tensor.dtype, value).real;
        ASSERT_TRUE(admits(checked[n], got)) << "seed " << seed << "\n"
                                             << to_string(program) << "\nsizes " << testing::PrintToString(sizes)
                                             << " output " << o << " at " << testing::PrintToString(at[n]) << ": "
                                             << checked[n].value << " +- " << width(checked[n]) << ", got " << got;
        ++all;
        finite += std::isfinite(width(checked[n])) ? 1 : 0;
      }
    }
  }
  EXPECT_GT(finite, all * 8 / 10);
}

}  // namespace
}  // namespace quern::ir
