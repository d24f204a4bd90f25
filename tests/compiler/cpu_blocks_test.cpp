// The blocks that products are cut into on CPUs, untuned.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "compiler/lift_reductions.h"
#include "compiler/strategies/contraction.h"
#include "compiler/strategies/strategy.h"
#include "ir/parser.h"

namespace quern::compiler {
namespace {

Schedule block_of(std::int64_t m, std::int64_t n, const Target& target) {
  const ir::Program program = lift_reductions(
      ir::parse_program(fmt::format("kernel f(a: f32[{0}, 256], b: f32[256, {1}]) -> (c: f32[{0}, {1}]) {{\n"
                                    "c[i, j] = sum[p](a[i, p] * b[p, j]) }}",
                                    m, n)));
  const Strategy& strategy = strategy_named("contraction");
  const Schedule schedule = strategy.fallback(program, target);
  EXPECT_EQ(strategy.check(program, schedule, target).reason, "");
  return schedule;
}

Target on(const char* name, int cores) {
  Target target = parse_target(name);
  target.cpu.cores = cores;
  return target;
}

class CpuBlocks : public testing::TestWithParam<const char*> {};

// No block is much smaller than the others: they differ by less than a register tile for each of them.
TEST_P(CpuBlocks, AreEven) {
  for (const int cores : {1, 2, 7}) {
    for (const std::int64_t m : {0, 1, 5, 97, 512, 1023, 2048, 5000}) {
      for (const std::int64_t n : {0, 1, 33, 512, 1000}) {
        const Schedule s = block_of(m, n, on(GetParam(), cores));
        for (const auto& [part, extent] : {std::pair(0, m), {1, n}}) {
          const std::int64_t block = get(s, kContractionFields, "block", part);
          const std::int64_t tile = get(s, kContractionFields, "thread", part);
          const std::int64_t blocks = (extent + block - 1) / block;
          EXPECT_LE(blocks * block - extent, std::max<std::int64_t>(blocks, 1) * tile) << m << "x" << n;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Compiler, CpuBlocks, testing::Values("cpu:x86-64-v3", "cpu:x86-64-v4"));

// What is packed for a block serves all of its rows: few rows would make packing as dear as the product.
TEST(CpuBlocks, AreAsLargeAsCachesHold) {
  EXPECT_TRUE(to_string(block_of(2048, 2048, on("cpu:x86-64-v3", 1))).starts_with("contraction block=258x512x256"));
  EXPECT_TRUE(to_string(block_of(2048, 2048, on("cpu:x86-64-v4", 1))).starts_with("contraction block=168x512x256"));
}

// What means nothing on a CPU has one value there.
TEST(CpuBlocks, RefuseStagesAndRaster) {
  const ir::Program program = lift_reductions(ir::parse_program(
      "kernel f(a: f32[9, 9], b: f32[9, 9]) -> (c: f32[9, 9]) { c[i, j] = sum[p](a[i, p] * b[p, j]) }"));
  for (const auto& [field, message] :
       {std::pair("stages=3", "stages=3 is for GPUs: on CPUs stages means nothing and stays 2; leave it out"),
        {"raster=1", "raster=1 is for GPUs: on CPUs raster means nothing and stays 8; leave it out"}}) {
    const Schedule schedule = parse_schedule(fmt::format("contraction {}", field));
    EXPECT_EQ(strategy_named("contraction").check(program, schedule, parse_target("cpu:x86-64-v3")).reason, message);
  }
}

}  // namespace
}  // namespace quern::compiler
