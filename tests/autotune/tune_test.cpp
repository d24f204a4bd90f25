// What is pure in tuning: the winner of a list of medians, the key of a problem, the distance of two.

#include "autotune/tune.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "autotune/problem.h"
#include "autotune/session.h"
#include "autotune/statistics.h"
#include "ir/bind.h"
#include "ir/parser.h"
#include "tests/ir/message.h"

namespace quern::autotune {
namespace {

using quern::test::error_of;

constexpr double kNever = std::numeric_limits<double>::infinity();

TEST(Statistics, TheMedianOfNothingIsInfinite) {
  EXPECT_EQ(median({}), kNever);
  EXPECT_EQ(median(std::vector<double>{3}), 3);
  EXPECT_EQ(median(std::vector<double>{9, 1, 2}), 2);
  EXPECT_EQ(median(std::vector<double>{4, 1, 2, 100}), 3);
}

TEST(Winner, IsTheFirstWithinTheBandOfTheBest) {
  EXPECT_EQ(pick_winner({}), -1);
  EXPECT_EQ(pick_winner({kNever, kNever}), -1);
  EXPECT_EQ(pick_winner({kNever, 3, 1, 2}), 2);
  EXPECT_EQ(pick_winner({1 + kNearTie / 2, 1}), 0);
  EXPECT_EQ(pick_winner({1 + kNearTie * 2, 1}), 1);
}

// Tuning twice gives the same answer where the candidates are nearly equal.
TEST(Winner, NoiseWithinTheBandDoesNotChangeIt) {
  for (int noise = 0; noise < 100; ++noise) {
    std::vector<double> medians = {1.5, 1, 1, 1, 2};
    for (std::size_t i = 0; i < medians.size(); ++i)
      medians[i] *= 1 + kNearTie * 0.9 * std::abs(std::sin(noise * 7 + static_cast<double>(i)));
    EXPECT_EQ(pick_winner(medians), 1) << noise;
  }
}

Problem problem(const char* text, const Sizes& sizes = {}) { return problem_of(ir::parse_program(text), sizes); }

TEST(Problem, ItsKeyIsNeverAName) {
  const Problem a = problem("kernel f(x: f32[8, 4], w: f32[4]) -> (y: f32[8]) { y[i] = sum[j](x[i, j] * w[j]) }");
  const Problem b = problem("kernel g(p: f32[8, 4], q: f32[4]) -> (r: f32[8]) { r[u] = sum[v](p[u, v] * q[v]) }");
  EXPECT_EQ(a.digest, b.digest);
  EXPECT_EQ(a.program, b.program);
  EXPECT_EQ(a.title, "f 8x4");
  EXPECT_EQ(b.title, "g 8x4");
}

TEST(Problem, WhatChangesTheCodeChangesTheKey) {
  const Problem base = problem("kernel f(x: f32[8]) -> (y: f32[8]) { y[i] = x[i] + 1 }");
  for (const char* other : {"kernel f(x: f32[9]) -> (y: f32[9]) { y[i] = x[i] + 1 }",
                            "kernel f(x: f64[8]) -> (y: f64[8]) { y[i] = x[i] + 1 }",
                            "kernel f(x: f32[8]) -> (y: f32[8]) { y[i] = x[i] + 2 }",
                            "kernel f(x: f32[8] strides(2)) -> (y: f32[8]) { y[i] = x[i] + 1 }",
                            "kernel f(x: f32[8] const) -> (y: f32[8]) { y[i] = x[i] + 1 }",
                            "kernel f(x: f32[8]) -> (y: f32[8]) with aligned(x, 16) { y[i] = x[i] + 1 }"}) {
    EXPECT_NE(problem(other).digest, base.digest) << other;
  }
}

TEST(Problem, OnlySizesDifferWithinOneStructure) {
  const Problem a = problem("kernel f(x: f32[8, 4]) -> (y: f32[8]) { y[i] = sum[j](x[i, j]) }");
  const Problem b = problem("kernel f(x: f32[16, 32]) -> (y: f32[16]) { y[i] = sum[j](x[i, j]) }");
  const Problem square = problem("kernel f(x: f32[4, 4]) -> (y: f32[4]) { y[i] = sum[j](x[i, j]) }");
  const Problem product = problem("kernel f(x: f32[8, 4]) -> (y: f32[8]) { y[i] = prod[j](x[i, j]) }");
  EXPECT_EQ(a.structure, b.structure);
  EXPECT_EQ(a.structure, square.structure);
  EXPECT_NE(a.structure, product.structure);
  EXPECT_EQ(b.shape, (std::vector<std::int64_t>{16, 32}));
}

TEST(Problem, SymbolsTakeTheSizesGiven) {
  const char* text = "kernel f(x: f32[n]) -> (y: f32[n]) { y[i] = x[i] + 1 }";
  EXPECT_EQ(problem(text, {{"n", 8}}).shape, (std::vector<std::int64_t>{8}));
  EXPECT_NE(problem(text, {{"n", 8}}).digest, problem(text, {{"n", 9}}).digest);
  EXPECT_EQ(problem(text, {{"n", 8}}).structure, problem(text, {{"n", 9}}).structure);
  EXPECT_EQ(problem(text, {{"n", 8}, {"q", 1}}).digest, problem(text, {{"n", 8}}).digest);
  EXPECT_EQ(error_of([&] { problem(text); }), "symbol n of f has no size; give one, such as -D n=1024");
}

TEST(Distance, CountsDoublings) {
  using Shape = std::vector<std::int64_t>;
  EXPECT_EQ(distance(Shape{8, 64}, Shape{8, 64}), 0);
  EXPECT_EQ(distance(Shape{8, 64}, Shape{16, 16}), 3);
  EXPECT_EQ(distance(Shape{16, 16}, Shape{8, 64}), 3);
  EXPECT_EQ(distance(Shape{0}, Shape{1}), 0);
  EXPECT_EQ(distance(Shape{1}, Shape{1, 1}), kNever);
}

runtime::DeviceInfo gpu() {
  return {.id = "cuda:0",
          .name = "GPU",
          .uuid = "GPU-1",
          .index = 0,
          .memory_bytes = 1,
          .target = parse_target("cuda:sm_90a")};
}

TEST(Device, IdentityIsNeitherIndexNorSerialNumber) {
  runtime::DeviceInfo other = gpu();
  other.id = "cuda:3";
  other.index = 3;
  other.uuid = "GPU-2";
  EXPECT_EQ(device_identity(gpu()), device_identity(other));
  other.target.gpu.sm_count += 1;
  EXPECT_NE(device_identity(gpu()), device_identity(other));
}

TEST(Winner, CountsWhereItIsLegal) {
  const ir::Program program = ir::parse_program("kernel f(x: f32[8]) -> (y: f32[8]) { y[i] = x[i] + 1 }");
  const compiler::Strategy& strategy = compiler::strategy_for(program, gpu().target);
  const auto legal = [&](const char* schedule) { return is_legal(schedule, program, strategy, gpu().target); };
  EXPECT_TRUE(legal("pointwise threads=64"));
  for (const char* other : {"pointwise threads=3", "pointwise speed=9", "reduction"}) EXPECT_FALSE(legal(other));
}

TEST(Keys, NameProblemDeviceAndStrategy) {
  const ir::Program program = ir::parse_program("kernel f(x: f32[8]) -> (y: f32[8]) { y[i] = x[i] + 1 }");
  const WinnerKey key = winner_key(program, compiler::strategy_for(program, gpu().target), gpu());
  EXPECT_TRUE(describe(key).starts_with("f 8 by pointwise on GPU cuda:sm_90a sms=")) << describe(key);
  WinnerKey other = key;
  other.device += "!";
  EXPECT_NE(id(other), id(key));
  other = key;
  other.strategy_version = "0";
  EXPECT_NE(id(other), id(key));
  other = key;
  other.problem.title = "another name";
  EXPECT_EQ(id(other), id(key));
}

TEST(Keys, OfBinariesHoldEverythingThatChangesThem) {
  const BinaryKey key = {.program = Digest::Builder().add("p").finish(),
                         .schedule = "s",
                         .target = "t",
                         .build = "b",
                         .compiler = "c",
                         .options = "o"};
  for (const auto field :
       {&BinaryKey::schedule, &BinaryKey::target, &BinaryKey::build, &BinaryKey::compiler, &BinaryKey::options}) {
    BinaryKey other = key;
    other.*field += "x";
    EXPECT_NE(id(other), id(key));
    EXPECT_EQ(id_without_compiler(other) == id_without_compiler(key), field == &BinaryKey::compiler);
  }
}

}  // namespace
}  // namespace quern::autotune
