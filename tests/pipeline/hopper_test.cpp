// The strategies of Hopper's tensor cores in the simulator: small, odd and edge sizes under schedules drawn from the
// legal ones.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "compiler/strategies/strategy.h"
#include "ir/kernel_printer.h"
#include "ir/kernel_rewrite.h"
#include "ir/parser.h"
#include "pipeline/compile.h"
#include "pipeline/schedule_program.h"
#include "runtime/device.h"
#include "tests/pipeline/differential.h"

namespace quern::pipeline {
namespace {

struct Case {
  const char* name;
  const char* program;
  const char* strategy = "wgmma";
};
void PrintTo(const Case& c, std::ostream* stream) { *stream << c.name; }

constexpr Case kCases[] = {
    {"RowsByRows",
     "kernel f(x: bf16[200, 72], w: bf16[136, 72]) -> (y: bf16[200, 136]) { y[i, j] = bf16(sum[p](f32(x[i, p]) * "
     "f32(w[j, p]))) }"},
    {"ColumnsByColumns",
     "kernel f(x: f16[72, 264], w: f16[72, 136]) -> (y: f16[264, 136]) { y[i, j] = f16(sum[p](f32(x[p, i]) * f32(w[p, "
     "j]))) }"},
    {"OddSizes",
     "kernel f(x: bf16[67, 37], w: bf16[37, 33]) -> (y: bf16[67, 33]) { y[i, j] = bf16(sum[p](f32(x[i, p]) * f32(w[p, "
     "j]))) }"},
    {"OneElement",
     "kernel f(x: bf16[1, 1], w: bf16[1, 1]) -> (y: f32[1, 1]) { y[i, j] = sum[p](f32(x[i, p]) * f32(w[p, j])) }"},
    {"NothingToSum",
     "kernel f(x: bf16[5, 0], w: bf16[0, 9]) -> (y: f32[5, 9]) { y[i, j] = sum[p](f32(x[i, p]) * f32(w[p, j])) }"},
    {"ABatchWithBiasResidualAndTwoOutputs",
     R"(kernel f(x: bf16[3, 72, 64], w: bf16[3, 64, 136], b: f32[136], r: bf16[3, 72, 136])
         -> (y: bf16[3, 72, 136], z: f32[3, 72, 136]) {
       s[n, i, j] = sum[p](f32(x[n, i, p]) * f32(w[n, p, j]))
       y[n, i, j] = bf16(gelu(s[n, i, j] + b[j]) + f32(r[n, i, j]))
       z[n, i, j] = s[n, i, j] * 0.5 })"},
    {"AStridedPaddedConvolution",
     R"(kernel f(x: bf16[2, 13, 11, 72], w: bf16[40, 3, 3, 72], b: f32[40]) -> (y: bf16[2, 7, 6, 40]) {
       s[n, h, v, o] = sum[r in 3, q in 3, c](f32(x[n, h * 2 + r - 1, v * 2 + q - 1, c] else 0) * f32(w[o, r, q, c]))
       y[n, h, v, o] = bf16(relu(s[n, h, v, o] + b[o])) })"},
    {"ADilatedConvolutionOfThreeChannels",
     R"(kernel f(x: bf16[1, 13, 11, 3], w: bf16[16, 3, 3, 3]) -> (y: bf16[1, 11, 9, 16]) {
       y[n, h, v, o] = bf16(sum[r in 3, q in 3, c](
         f32(x[n, h + r * 2 - 1, v + q * 2 - 1, c] else 0) * f32(w[o, r, q, c]))) })"},
    {"AnUnpaddedConvolution",
     R"(kernel f(x: bf16[2, 11, 9, 40], w: bf16[24, 2, 3, 40]) -> (y: bf16[2, 5, 7, 24]) {
       y[n, h, v, o] = bf16(sum[r in 2, q in 3, c](f32(x[n, h * 2 + r, v + q, c]) * f32(w[o, r, q, c]))) })"},
    {"AConvolutionOfPixels",
     R"(kernel f(x: f16[3, 7, 9, 72], w: f16[40, 72]) -> (y: f16[3, 4, 5, 40]) {
       y[n, h, v, o] = f16(sum[c](f32(x[n, h * 2, v * 2, c]) * f32(w[o, c]))) })"},
    {"ALayerOnActivationsOfThreeAxes",
     R"(kernel f(x: bf16[3, 70, 72], w: bf16[72, 136], b: f32[136], r: bf16[3, 70, 136]) -> (y: bf16[3, 70, 136]) {
       s[n, i, j] = sum[p](f32(x[n, i, p]) * f32(w[p, j]))
       y[n, i, j] = bf16(gelu(s[n, i, j] + b[j]) + f32(r[n, i, j])) })"},
    {"ALayerOnOddActivationsOfFourAxes",
     R"(kernel f(x: f16[2, 5, 13, 37], w: f16[33, 37]) -> (y: f16[2, 5, 13, 33], t: f32[2, 5, 13]) {
       s[n, h, i, j] = sum[p](f32(x[n, h, i, p]) * f32(w[j, p]))
       y[n, h, i, j] = f16(s[n, h, i, j])
       t[n, h, i] = sum[j](f32(y[n, h, i, j])) })"},
    {"ProductsOfTwoBatchAxesInAnyPlace",
     R"(kernel f(x: bf16[70, 2, 3, 72], w: bf16[2, 72, 3, 96]) -> (y: bf16[2, 70, 3, 96], t: bf16[3, 2, 96, 70]) {
       s[z, i, h, j] = sum[p](f32(x[i, z, h, p]) * f32(w[z, p, h, j]))
       y[z, i, h, j] = bf16(s[z, i, h, j])
       t[h, z, j, i] = bf16(relu(s[z, i, h, j])) })"},
    {"ProductsOfMoreAxesThanATensorMapHas",
     R"(kernel f(x: bf16[2, 1, 3, 2, 37, 64], w: bf16[2, 1, 3, 2, 40, 64]) -> (y: bf16[2, 1, 3, 2, 37, 40]) {
       y[a, b, c, d, i, j] = bf16(sum[p](f32(x[a, b, c, d, i, p]) * f32(w[a, b, c, d, j, p]))) })"},
    {"SumsOverMoreAxesThanATensorMapHas",
     R"(kernel f(x: bf16[2, 37, 2, 1, 2, 40], w: bf16[2, 2, 1, 2, 40, 33]) -> (y: bf16[2, 37, 33]) {
       y[b, i, j] = bf16(sum[p, q, r, s](f32(x[b, i, p, q, r, s]) * f32(w[b, p, q, r, s, j]))) })"},
    {"ProductsWhoseBatchMemoryWalks",
     R"(kernel f(x: bf16[70, 64, 8], w: bf16[64, 40, 8]) -> (y: bf16[8, 70, 40]) {
       y[b, i, j] = bf16(sum[p](f32(x[i, p, b]) * f32(w[p, j, b]))) })"},
    {"SumsOverAnEmptyOuterAxis",
     R"(kernel f(x: bf16[70, 0, 64], w: bf16[0, 64, 40]) -> (y: f32[70, 40]) {
       y[i, j] = sum[q, p](f32(x[i, q, p]) * f32(w[q, p, j])) })"},
    {"IntegersOfTwoBytes",
     R"(kernel f(x: bf16[70, 64], w: bf16[64, 40], r: bf16[40]) -> (y: i16[70, 40]) {
       y[i, j] = i16(sum[p](f32(x[i, p]) * f32(w[p, j])) + f32(r[j])) })"},
    {"SumsOfTilesOfRows",
     R"(kernel f(x: bf16[70, 64], w: bf16[64, 384]) -> (y: bf16[70, 384], r: f32[70, 4]) {
       s[i, j] = sum[p](f32(x[i, p]) * f32(w[p, j]))
       y[i, j] = bf16(s[i, j])
       r[i, t] = sum[u in 96](f32(y[i, t * 96 + u])) })"},
    {"AConvolutionOfLongStepsFarApart",
     R"(kernel f(x: bf16[2, 40, 200, 64], w: bf16[40, 2, 2, 64]) -> (y: bf16[2, 4, 8, 40]) {
       y[n, h, v, o] = bf16(sum[r in 2, q in 2, c](
         f32(x[n, h * 10 + r - 1, v + q * 190 - 3, c] else 0) * f32(w[o, r, q, c]))) })"},
    {"AConvolutionOfOneSpatialAxis",
     R"(kernel f(x: bf16[2, 41, 64], w: bf16[40, 3, 64]) -> (y: bf16[2, 39, 40]) {
       y[n, h, o] = bf16(sum[r in 3, c](f32(x[n, h + r, c]) * f32(w[o, r, c]))) })"},
    {"AConvolutionOfOneRow",
     R"(kernel f(x: bf16[8, 1, 40, 64], w: bf16[24, 3, 64]) -> (y: bf16[8, 1, 38, 24]) {
       y[n, h, v, o] = bf16(sum[q in 3, c](f32(x[n, h, v + q, c]) * f32(w[o, q, c]))) })"},
    {"AConvolutionOfWholeImages",
     R"(kernel f(x: bf16[70, 3, 5, 64], w: bf16[24, 3, 5, 64]) -> (y: bf16[70, 1, 1, 24]) {
       y[n, h, v, o] = bf16(sum[r in 3, q in 5, c](f32(x[n, h + r, v + q, c]) * f32(w[o, r, q, c]))) })"},
    {"SumsOfRows",
     R"(kernel f(x: bf16[70, 72], w: bf16[200, 72], b: f32[200], g: f32[200])
         -> (y: bf16[70, 200], r: f32[70], q: f32[70]) {
       s[i, j] = sum[p](f32(x[i, p]) * f32(w[j, p]))
       y[i, j] = bf16(relu(s[i, j] + b[j]) + 0.5)
       r[i] = sum[j](f32(y[i, j]) * g[j])
       q[i] = sum[j](s[i, j] * s[i, j] + 1.0) })"},
    {"SumsOfRowsAloneOfABatch",
     R"(kernel f(x: bf16[2, 67, 64], w: bf16[2, 64, 33]) -> (r: f32[67, 2]) {
       s[z, i, j] = sum[p](f32(x[z, i, p]) * f32(w[z, p, j]))
       r[i, z] = sum[j](abs(s[z, i, j])) })"},
    {"SumsOfPixels",
     R"(kernel f(x: bf16[2, 9, 7, 64], w: bf16[40, 3, 3, 64]) -> (y: bf16[2, 9, 7, 40], t: f32[2, 9, 7]) {
       s[n, h, v, o] = sum[r in 3, q in 3, c](f32(x[n, h + r - 1, v + q - 1, c] else 0) * f32(w[o, r, q, c]))
       y[n, h, v, o] = bf16(s[n, h, v, o])
       t[n, h, v] = sum[o](f32(y[n, h, v, o])) })"},
    {"CausalAttention",
     R"(kernel f(q: bf16[1, 2, 150, 64], k: bf16[1, 2, 170, 64], v: bf16[1, 2, 170, 64]) -> (y: bf16[1, 2, 150, 64]) {
       s[b, h, i, j] = sum[p](f32(q[b, h, i, p]) * f32(k[b, h, j, p]))
       a[b, h, i, j] = j <= i ? s[b, h, i, j] * 0.125 : -inf
       m[b, h, i] = max[j](a[b, h, i, j])
       e[b, h, i, j] = exp(a[b, h, i, j] - m[b, h, i])
       y[b, h, i, c] = bf16(sum[j](f32(bf16(e[b, h, i, j])) * f32(v[b, h, j, c])) / sum[j](e[b, h, i, j])) })",
     "attention"},
    {"AttentionOfSharedHeadsWithSlopesAndResidual",
     R"(kernel f(q: f16[70, 4, 96], k: f16[129, 2, 96], v: f16[129, 2, 32], slope: f32[4], r: f16[70, 4, 32])
         -> (y: f16[70, 4, 32], z: f32[4, 70, 32]) {
       s[h, i, j] = sum[p](f32(q[i, h, p]) * f32(k[j, h // 2, p]))
       a[h, i, j] = s[h, i, j] * 0.1 - slope[h] * f32(i - j)
       m[h, i] = max[j](a[h, i, j])
       l[h, i] = sum[j](exp(a[h, i, j] - m[h, i]))
       o[h, i, c] = sum[j](f32(f16(exp(a[h, i, j] - m[h, i]))) * f32(v[j, h // 2, c]))
       wide[i, h, c] = f32(r[i, h, c])
       y[i, h, c] = f16(o[h, i, c] / l[h, i] + wide[i, h, c])
       z[h, i, c] = o[h, i, c] })",
     "attention"},
    {"AttentionOfASoftmaxOfRoundedScores",
     R"(kernel f(q: bf16[2, 2, 70, 64], k: bf16[2, 2, 90, 64], v: bf16[2, 2, 90, 64]) -> (y: bf16[2, 2, 70, 64]) {
       s[b, h, i, j] = bf16(sum[p](f32(q[b, h, i, p]) * f32(k[b, h, j, p])))
       a[b, h, i, j] = j <= i ? f32(s[b, h, i, j]) * 0.125 : -inf
       e[b, h, i, j] = exp(a[b, h, i, j] - max[l](a[b, h, i, l]))
       w[b, h, i, j] = bf16(e[b, h, i, j] / sum[l](e[b, h, i, l]))
       y[b, h, i, c] = bf16(sum[j](f32(w[b, h, i, j]) * f32(v[b, h, j, c]))) })",
     "attention"},
    {"AttentionOfNarrowValues",
     R"(kernel f(q: bf16[2, 70, 128], k: bf16[2, 90, 128], v: bf16[2, 90, 96]) -> (y: bf16[2, 70, 96]) {
       s[b, i, j] = sum[p](f32(q[b, i, p]) * f32(k[b, j, p])) * 0.125
       e[b, i, j] = exp(s[b, i, j] - max[l](s[b, i, l]))
       y[b, i, c] = bf16(sum[j](f32(bf16(e[b, i, j])) * f32(v[b, j, c])) / sum[j](e[b, i, j])) })",
     "attention"},
    {"AttentionWhoseFirstRowsSeeNothing",  // and are no numbers, whatever follows
     R"(kernel f(q: bf16[1, 70, 32], k: bf16[1, 90, 32], v: bf16[1, 90, 32]) -> (y: bf16[1, 70, 32]) {
       s[b, i, j] = sum[p](f32(q[b, i, p]) * f32(k[b, j, p]))
       a[b, i, j] = j + 10 <= i ? s[b, i, j] : -inf
       e[b, i, j] = exp(a[b, i, j] - max[l](a[b, i, l]))
       y[b, i, c] = bf16(sum[j](f32(bf16(e[b, i, j])) * f32(v[b, j, c])) / max(sum[j](e[b, i, j]), 1.0)) })",
     "attention"},
    {"AttentionOfManyBatchAxes",
     R"(kernel f(q: bf16[1, 2, 1, 2, 70, 32], k: bf16[1, 2, 1, 2, 90, 32], v: bf16[1, 2, 1, 2, 90, 32])
         -> (y: bf16[1, 2, 1, 2, 70, 32]) {
       s[a, b, g, h, i, j] = sum[p](f32(q[a, b, g, h, i, p]) * f32(k[a, b, g, h, j, p]))
       e[a, b, g, h, i, j] = exp(s[a, b, g, h, i, j] - max[l](s[a, b, g, h, i, l]))
       y[a, b, g, h, i, c] = bf16(sum[j](f32(bf16(e[a, b, g, h, i, j])) * f32(v[a, b, g, h, j, c]))
                                  / sum[j](e[a, b, g, h, i, j])) })",
     "attention"},
    {"AttentionOfGroupsThatShareKeys",
     R"(kernel f(q: bf16[2, 3, 70, 32], k: bf16[2, 90, 32], v: bf16[2, 90, 32]) -> (y: bf16[2, 3, 70, 32]) {
       s[b, g, i, j] = sum[p](f32(q[b, g, i, p]) * f32(k[b, j, p]))
       a[b, g, i, j] = j <= i ? s[b, g, i, j] : -inf
       e[b, g, i, j] = exp(a[b, g, i, j] - max[l](a[b, g, i, l]))
       y[b, g, i, c] = bf16(sum[j](f32(bf16(e[b, g, i, j])) * f32(v[b, j, c])) / sum[j](e[b, g, i, j])) })",
     "attention"},
    {"AttentionThroughAWindow",
     R"(kernel f(q: bf16[1, 100, 32], k: bf16[1, 100, 32], v: bf16[1, 100, 32]) -> (y: f16[1, 100, 32]) {
       s[b, i, j] = sum[p](f32(q[b, i, p]) * f32(k[b, j, p]))
       a[b, i, j] = j <= i && i - j < 40 ? s[b, i, j] : -inf
       m[b, i] = max[j](a[b, i, j])
       e[b, i, j] = exp(a[b, i, j] - m[b, i])
       y[b, i, c] = f16(sum[j](f32(bf16(e[b, i, j])) * f32(v[b, j, c])) / sum[j](e[b, i, j])) })",
     "attention"},
};

// A device of so few processors that each has several tiles.
Target narrow(Target target) {
  target.gpu.sm_count = 2;
  return target;
}

TEST(Hopper, ConsumersTakeTurnsAndReadTheFirstOperandFromRegisters) {
  runtime::Device& simulator = runtime::open_device("sim:sm_90a");
  const Target target = narrow(simulator.info().target);
  const ir::Program program = ir::parse_program(
      "kernel f(x: bf16[250, 200], w: bf16[200, 190]) -> (y: bf16[250, 190]) {\n"
      "y[i, j] = bf16(sum[p](f32(x[i, p]) * f32(w[p, j]))) }");
  const Reference reference(program, {}, 1);
  for (const char* schedule :
       {"block=64x64x64 tiles=pingpong stages=2", "block=64x64x64 tiles=pingpong stages=5",
        "block=64x48x64 consumers=3 tiles=pingpong stages=3", "block=64x64x64 tiles=pingpong stages=4 cluster=2x1",
        "block=128x64x64 a=registers stages=2", "block=64x64x64 tiles=pingpong a=registers"}) {
    const std::string text = std::string("wgmma ") + schedule;
    const Artifact artifact = compile(schedule_program(program, target, choose_text(text)), target);
    EXPECT_EQ(reference.mismatch(artifact, simulator), "") << text;
  }
}

// By its rows, or by k where half of the rows would be a narrower span of the swizzle.
TEST(Hopper, BlocksOfAClusterShareATile) {
  runtime::Device& simulator = runtime::open_device("sim:sm_90a");
  Target target = simulator.info().target;
  target.gpu.sm_count = 4;
  const ir::Program program = ir::parse_program(
      "kernel f(x: f16[72, 136], w: f16[72, 200]) -> (y: f16[136, 200]) {\n"
      "y[i, j] = f16(sum[p](f32(x[p, i]) * f32(w[p, j]))) }");
  const Reference reference(program, {}, 1);
  for (const auto& [schedule, part] : {std::pair("block=64x128x64 consumers=1 cluster=2x1", "j in 64, p in 64"),
                                       {"block=64x96x64 consumers=1 cluster=2x1", "j in 96, p in 32"},
                                       {"block=64x160x64 tiles=pingpong cluster=2x1 stages=3", "j in 160, p in 32"},
                                       {"block=64x64x64 consumers=1 cluster=1x2", "i in 64, p in 32"},
                                       {"block=128x64x64 consumers=2 cluster=1x2", "i in 64, p in 64"}}) {
    const std::string text = std::string("wgmma ") + schedule;
    const Artifact artifact = compile(schedule_program(program, target, choose_text(text)), target);
    EXPECT_NE(
        to_string(artifact.kernels[0].tile).find(std::string("map (") + part + ") via tma_load on full[s] multicast"),
        std::string::npos)
        << text;
    EXPECT_EQ(reference.mismatch(artifact, simulator), "") << text;
  }
}

TEST(Hopper, RowsAreWalkedInGroupsOfAnySize) {
  runtime::Device& simulator = runtime::open_device("sim:sm_90a");
  const Target target = narrow(simulator.info().target);
  const ir::Program program = ir::parse_program(
      "kernel f(x: bf16[m, 64], w: bf16[64, n]) -> (y: bf16[m, n]) {\n"
      "y[i, j] = bf16(sum[p](f32(x[i, p]) * f32(w[p, j]))) }");
  for (const auto& sizes : {std::array<std::int64_t, 2>{64, 4096}, {130, 40}}) {
    const Reference reference(program, sizes, 1);
    for (const char* order : {"raster=65536", "raster=64 order=hilbert"}) {
      const std::string text = std::string("wgmma block=64x16x64 consumers=1 ") + order;
      const Artifact artifact = compile(schedule_program(program, target, choose_text(text)), target);
      EXPECT_EQ(reference.mismatch(artifact, simulator), "") << text << " n=" << sizes[1];
    }
  }
}

// The last chunk of the columns lies partly beyond them, as the last tile of the rows does; what lies within is read in
// pairs.
TEST(Hopper, OperandsOfTheEpilogueAreReadInPairs) {
  runtime::Device& simulator = runtime::open_device("sim:sm_90a");
  const Target target = narrow(simulator.info().target);
  const ir::Program program = ir::parse_program(
      "kernel f(x: bf16[150, 72], w: bf16[72, 104], b: bf16[104], r: bf16[150, 104]) -> (y: bf16[150, 104]) {\n"
      "s[i, j] = sum[p](f32(x[i, p]) * f32(w[p, j]))\n"
      "y[i, j] = bf16(gelu(s[i, j] + f32(b[j])) + f32(r[i, j])) }");
  const std::string schedule = "wgmma block=64x64x64 consumers=1";
  const Artifact artifact = compile(schedule_program(program, target, choose_text(schedule)), target);
  std::set<std::string> pairs;
  ir::visit(artifact.kernels[0].thread.body, [&](const ir::Stmt& stmt, const ir::Enclosing&) {
    const auto* move = ir::get_if<ir::Move>(stmt);
    if (move && move->width == 2) pairs.insert(move->from->name);
    return true;
  });
  EXPECT_EQ(pairs, (std::set<std::string>{"b", "r"}));
  EXPECT_EQ(Reference(program, {}, 1).mismatch(artifact, simulator), "");
}

// Rows come in bulk where there are some; where there are none, another variant serves.
TEST(Hopper, SizesAreToldAtRunTime) {
  runtime::Device& simulator = runtime::open_device("sim:sm_90a");
  const Target target = narrow(simulator.info().target);
  for (const auto& [text, sizes] : {
           std::pair("kernel f(x: bf16[m, 72], w: bf16[72, 136]) -> (y: bf16[m, 136]) {\n"
                     "y[i, j] = bf16(sum[p](f32(x[i, p]) * f32(w[p, j]))) }",
                     std::vector<std::int64_t>{0, 1, 67, 300}),
           std::pair("kernel f(x: bf16[m, 7, 72], w: bf16[72, 136]) -> (y: bf16[m, 7, 136]) {\n"
                     "y[b, i, j] = bf16(sum[p](f32(x[b, i, p]) * f32(w[p, j]))) }",
                     std::vector<std::int64_t>{0, 1, 20}),
           std::pair("kernel f(x: bf16[70, r, 64], w: bf16[r, 64, 40]) -> (y: f32[70, 40]) {\n"
                     "y[i, j] = sum[q, p](f32(x[i, q, p]) * f32(w[q, p, j])) }",
                     std::vector<std::int64_t>{0, 1, 3}),
           std::pair("kernel f(x: bf16[n, 7, 9, 64], w: bf16[24, 3, 3, 64]) -> (y: bf16[n, 7, 9, 24]) {\n"
                     "y[b, h, v, o] = bf16(sum[r in 3, q in 3, c](f32(x[b, h + r - 1, v + q - 1, c] else 0) * "
                     "f32(w[o, r, q, c]))) }",
                     std::vector<std::int64_t>{0, 1, 4}),
       }) {
    const ir::Program program = ir::parse_program(text);
    const Artifact artifact = compile(schedule_program(program, target, choose_fallback(target)), target);
    EXPECT_NE(artifact.source.find("tma_load"), std::string::npos) << text;
    for (const std::int64_t size : sizes) {
      EXPECT_EQ(mismatch(artifact, program, std::array{size}, simulator, 1), "") << size << "\n" << text;
    }
  }
}

class HopperCases : public testing::TestWithParam<Case> {};

TEST_P(HopperCases, AgreesWithTheReferenceAndHasNoFindings) {
  runtime::Device& simulator = runtime::open_device("sim:sm_90a");
  const Target target = narrow(simulator.info().target);
  const ir::Program program = ir::parse_program(GetParam().program);
  std::string text;
  std::mt19937_64 random(std::hash<std::string>()(GetParam().name));
  const ChooseSchedule choose = [&](const ir::Program& kernel, const compiler::Strategy& strategy) {
    if (strategy.fields.strategy != GetParam().strategy) return strategy.fallback(kernel, target);
    std::vector<compiler::Schedule> legal;
    for (const compiler::Schedule& s : strategy.candidates(kernel, target)) {
      if (strategy.check(kernel, s, target)) legal.push_back(s);
    }
    const compiler::Schedule chosen = legal.at(random() % legal.size());
    text = compiler::to_string(chosen);
    return chosen;
  };
  const Reference reference(program, {}, 1);
  for (int turn = 0; turn < 6; ++turn) {
    const Artifact artifact = compile(schedule_program(program, target, choose), target);
    EXPECT_NE(text, "") << "served by another strategy";
    EXPECT_EQ(reference.mismatch(artifact, simulator), "") << text;
  }
}

INSTANTIATE_TEST_SUITE_P(Simulator, HopperCases, testing::ValuesIn(kCases),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace quern::pipeline
