#include "ir/evaluate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "ir/parser.h"
#include "ir/scalar.h"

namespace quern::ir {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

template <typename T>
constexpr DType dtype_of = DType::f32;
template <>
constexpr DType dtype_of<double> = DType::f64;
template <>
constexpr DType dtype_of<std::int64_t> = DType::i64;
template <>
constexpr DType dtype_of<std::int32_t> = DType::i32;

template <typename T>
HostTensor host(std::vector<T>& data, std::vector<std::int64_t> shape, std::vector<std::int64_t> strides = {}) {
  return {dtype_of<T>, std::move(shape), std::move(strides), data.data()};
}

// One f32 output of `shape`.
std::vector<float> run(std::string_view text, std::vector<std::int64_t> symbols, std::vector<HostTensor> inputs,
                       std::vector<std::int64_t> shape) {
  const std::int64_t size = std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
  std::vector<float> out(static_cast<std::size_t>(size), -77.0f);
  evaluate(parse_program(text), symbols, inputs, std::vector{host(out, std::move(shape))});
  return out;
}

std::vector<std::int64_t> run_i64(std::string_view text, std::vector<std::int64_t> symbols,
                                  std::vector<HostTensor> inputs, std::int64_t size) {
  std::vector<std::int64_t> out(static_cast<std::size_t>(size), -77);
  evaluate(parse_program(text), symbols, inputs, std::vector{host(out, {size})});
  return out;
}

TEST(Evaluate, MatmulAgainstLoops) {
  std::vector<float> a(2 * 3), b(3 * 4);
  std::iota(a.begin(), a.end(), 1.0f);
  std::iota(b.begin(), b.end(), -5.0f);
  const auto c = run("kernel f(a: f32[m, k], b: f32[k, n]) -> (c: f32[m, n]) { c[i, j] = sum[p](a[i, p] * b[p, j]) }",
                     {2, 3, 4}, {host(a, {2, 3}), host(b, {3, 4})}, {2, 4});
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t j = 0; j < 4; ++j) {
      float sum = 0;
      for (std::size_t p = 0; p < 3; ++p) sum += a[i * 3 + p] * b[p * 4 + j];
      EXPECT_EQ(c[i * 4 + j], sum);
    }
  }
}

TEST(Evaluate, ConvolutionPadsByItsFill) {
  std::vector<float> x{1, 2, 3, 4}, f{1, 10, 100};
  const auto y =
      run("kernel f(x: f32[n], f: f32[3]) -> (y: f32[n]) { y[i] = sum[u in 3]((x[i + u - 1] else 0) * f[u]) }", {4},
          {host(x, {4}), host(f, {3})}, {4});
  EXPECT_EQ(y, (std::vector<float>{210, 321, 432, 43}));
}

TEST(Evaluate, OneElementOfASoftmaxCostsItsRow) {
  const std::int64_t rows = 1000, columns = 4096;
  std::vector<float> x(static_cast<std::size_t>(rows * columns));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 7);
  const Program softmax = parse_program(R"(kernel softmax(x: f32[m, n]) -> (y: f32[m, n]) {
    top[i] = max[j](x[i, j]);  e[i, j] = exp(x[i, j] - top[i]);  y[i, j] = e[i, j] / sum[j2](e[i, j2]) })");
  const std::int64_t symbols[] = {rows, columns};
  std::vector<Coordinate> at;
  for (std::int64_t j = 0; j < 200; ++j) at.push_back({999, j * 7 % columns});
  const auto y = evaluate_elements(softmax, symbols, std::vector{host(x, {rows, columns})}, 0, at);
  double sum = 0;
  for (std::int64_t j = 0; j < columns; ++j) sum += std::exp(x[static_cast<std::size_t>(999 * columns + j)] - 6.0);
  for (std::size_t n = 0; n < at.size(); ++n) {
    const double own = std::exp(x[static_cast<std::size_t>(999 * columns + at[n][1])] - 6.0);
    EXPECT_NEAR(y[n].real, own / sum, 1e-7 * own / sum);
  }
}

TEST(Evaluate, ArgmaxTakesTheFirstAndNanWins) {
  const char* text = "kernel f(x: f32[m, n]) -> (y: i64[m]) { y[i] = argmax[j](x[i, j]) }";
  std::vector<float> x{1, 3, 3, 2, 5, kNan, 9, kNan, -kInfinity, -kInfinity, -kInfinity, -kInfinity};
  EXPECT_EQ(run_i64(text, {3, 4}, {host(x, {3, 4})}, 3), (std::vector<std::int64_t>{1, 1, 0}));
  EXPECT_EQ(run_i64(text, {2, 0}, {host(x, {2, 0})}, 2), (std::vector<std::int64_t>{-1, -1}));
  const char* two = "kernel f(x: f32[m, n]) -> (y: i64[1]) { y[i] = argmin[a in m, b in n](x[a, b]) }";
  std::vector<float> z{4, 3, 2, 2, 1, 1};
  EXPECT_EQ(run_i64(two, {2, 3}, {host(z, {2, 3})}, 1), (std::vector<std::int64_t>{4}));
}

// Far below 0, where 1 + tanh would be 0.
TEST(Evaluate, GeluOfTanhLosesNoDigits) {
  std::vector<float> x{-8};
  const float y = run("kernel f(x: f32[1]) -> (y: f32[1]) { y[i] = gelu_tanh(x[i]) }", {}, {host(x, {1})}, {1})[0];
  EXPECT_NEAR(y, -3.107782937501113e-21, 1e-27);
}

TEST(Evaluate, EmptyReductionsGiveTheirIdentity) {
  std::vector<float> none;
  const std::vector<std::pair<std::string, float>> cases = {
      {"sum", 0.0f},    {"prod", 1.0f}, {"max", -kInfinity}, {"min", kInfinity}, {"logsumexp", -kInfinity},
      {"welford", 0.0f}};
  for (const auto& [name, identity] : cases) {
    const std::string text = "kernel f(x: f32[n]) -> (y: f32[1]) { y[i] = " + name + "[j in n](x[j]) }";
    EXPECT_EQ(run(text, {0}, {host(none, {0})}, {1}), std::vector<float>{identity}) << name;
  }
}

TEST(Evaluate, LogsumexpAndVarianceAgainstFormulas) {
  std::vector<float> x{1.5f, -2.25f, 7.0f, 0.125f, 3.0f};
  double sum = 0, mean = 0, variance = 0;
  for (const float v : x) {
    sum += std::exp(static_cast<double>(v));
    mean += v / 5.0;
  }
  for (const float v : x) variance += (v - mean) * (v - mean) / 5;
  EXPECT_NEAR(run("kernel f(x: f32[n]) -> (y: f32[1]) { y[i] = logsumexp[j](x[j]) }", {5}, {host(x, {5})}, {1})[0],
              std::log(sum), 1e-6);
  EXPECT_NEAR(run("kernel f(x: f32[n]) -> (y: f32[1]) { y[i] = welford[j](x[j]) }", {5}, {host(x, {5})}, {1})[0],
              variance, 1e-5);
  std::vector<float> large{1000, 1000, -kInfinity};
  EXPECT_NEAR(run("kernel f(x: f32[n]) -> (y: f32[1]) { y[i] = logsumexp[j](x[j]) }", {3}, {host(large, {3})}, {1})[0],
              1000 + std::log(2.0), 1e-4);
}

TEST(Evaluate, ScansGathersAndRaggedGroups) {
  std::vector<float> x{1, 2, 3, 4};
  EXPECT_EQ(
      run("kernel f(x: f32[n]) -> (c: f32[n]) { c[j] = sum[p in n where p <= j](x[p]) }", {4}, {host(x, {4})}, {4}),
      (std::vector<float>{1, 3, 6, 10}));
  std::vector<std::int32_t> idx{3, 0, 3, 1};
  EXPECT_EQ(run("kernel f(x: f32[n], g: i32[n]) -> (y: f32[n]) with g in 0..n { y[j] = x[g[j]] }", {4},
                {host(x, {4}), host(idx, {4})}, {4}),
            (std::vector<float>{4, 1, 4, 2}));
  EXPECT_EQ(run("kernel f(x: f32[n], g: i32[n]) -> (y: f32[n]) { y[v] = sum[t in n where i64(g[t]) == v](x[t]) }", {4},
                {host(x, {4}), host(idx, {4})}, {4}),
            (std::vector<float>{2, 4, 0, 4}));
}

TEST(Evaluate, StridesOfEverySign) {
  std::vector<float> x{1, 2, 3, 4, 5, 6};
  const char* text = "kernel f(x: f32[m, n] strides (s, t)) -> (y: f32[m, n]) { y[i, j] = x[i, j] * 2 }";
  const Program program = parse_program(text);
  const auto with = [&](std::int64_t s, std::int64_t t, float* data) {
    std::vector<float> out(6);
    std::vector<std::int64_t> symbols;
    for (const VarRef& symbol : program.symbols) {
      symbols.push_back(symbol->name == "m" ? 2 : symbol->name == "n" ? 3 : symbol->name == "s" ? s : t);
    }
    evaluate(program, symbols, std::vector{HostTensor{DType::f32, {2, 3}, {s, t}, data}},
             std::vector{host(out, {2, 3})});
    return out;
  };
  EXPECT_EQ(with(3, 1, x.data()), (std::vector<float>{2, 4, 6, 8, 10, 12}));
  EXPECT_EQ(with(1, 2, x.data()), (std::vector<float>{2, 6, 10, 4, 8, 12}));
  EXPECT_EQ(with(0, 1, x.data()), (std::vector<float>{2, 4, 6, 2, 4, 6}));
  EXPECT_EQ(with(-3, -1, x.data() + 5), (std::vector<float>{12, 10, 8, 6, 4, 2}));
}

TEST(Evaluate, UpdatesInPlace) {
  std::vector<float> x{1, 2, 3};
  const Program program = parse_program("kernel f(x: f32[n]) -> (y: f32[n] update x) { y[i] = x[i] + x[n - 1 - i] }");
  const std::int64_t symbols[] = {3};
  const HostTensor memory = host(x, {3});
  evaluate(program, symbols, std::span(&memory, 1), std::span(&memory, 1));
  EXPECT_EQ(x, (std::vector<float>{4, 4, 4}));
}

TEST(Evaluate, EveryOperationRoundsToItsDtype) {
  std::vector<float> x{1.0f};
  // 1 + 2^-9 is not a bf16.
  EXPECT_EQ(run("kernel f(x: f32[1]) -> (y: f32[1]) { y[i] = f32(bf16(x[i]) + bf16(0.001953125)) }", {}, {host(x, {1})},
                {1})[0],
            1.0f);
  EXPECT_EQ(run("kernel f(x: f32[1]) -> (y: f32[1]) { y[i] = f32(f8e4m3(x[i] * 1000.0)) }", {}, {host(x, {1})}, {1})[0],
            448.0f);
}

TEST(Evaluate, SelectionsReadTheirSideOnly) {
  std::vector<float> x{1, 2};
  EXPECT_EQ(run("kernel f(x: f32[n]) -> (y: f32[4]) { y[i] = i < n ? x[i] : -1 }", {2}, {host(x, {2})}, {4}),
            (std::vector<float>{1, 2, -1, -1}));
  EXPECT_EQ(run("kernel f(x: f32[n]) -> (y: f32[1]) { y[i] = sum[j in 4 where j < n && x[j] > 1](x[j]) }", {2},
                {host(x, {2})}, {1})[0],
            2.0f);
}

std::string message(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Evaluate, SaysWhatIsWrong) {
  std::vector<float> x{1, 2};
  EXPECT_EQ(message([&] {
              run("kernel f(x: f32[n], k: i64[]) -> (y: f32[1]) { y[i] = x[k[]] }", {2},
                  {host(x, {2}), HostTensor{DType::i64, {}, {}, std::vector<std::int64_t>{7}.data()}}, {1});
            }).substr(0, 55),
            "x is read outside: index 7 of dimension 0, which has 2 ");
  EXPECT_EQ(message([&] { run("kernel f(x: f32[n]) -> (y: f32[n]) { y[i] = x[i] }", {3}, {host(x, {2})}, {3}); }),
            "x has shape [3], got [2]");
  std::vector<double> d{1, 2};
  EXPECT_EQ(message([&] { run("kernel f(x: f32[n]) -> (y: f32[n]) { y[i] = x[i] }", {2}, {host(d, {2})}, {2}); }),
            "x is f32, got f64");
}

TEST(Evaluate, ScalarsAtValuesOfTheirVariables) {
  const VarRef a = make_var("a", DType::f32), i = make_var("i");
  const Expr e = select(less(i, 3), Expr(a) * constant(DType::f32, 2.0), constant(DType::f32, 0.0));
  const std::pair<VarRef, Scalar> at[] = {{a, {.real = 1.5}}, {i, {.integer = 2}}};
  EXPECT_EQ(evaluate_scalar(e, at).real, 3.0);
}

}  // namespace
}  // namespace quern::ir
