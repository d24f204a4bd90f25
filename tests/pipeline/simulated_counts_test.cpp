// What the untuned kernels do to memory, as the simulator counts it: each input byte read once where the schedule says
// so, whole sectors, no bank conflicts.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ir/parser.h"
#include "runtime/simulator/report.h"
#include "tests/pipeline/differential.h"

namespace quern::pipeline {
namespace {

struct Example {
  const char* name;
  const char* text;
  std::int64_t read, written;  // bytes of global memory asked for
  double coalesced;            // least share of the sectors moved that is needed
  std::int64_t conflicts;      // wavefronts beyond those needed
};
void PrintTo(const Example& example, std::ostream* stream) { *stream << example.name; }

constexpr std::int64_t kKiB = 1024;

const Example kExamples[] = {
    {"add", "kernel f(x: f32[16384], z: f32[16384]) -> (y: f32[16384]) { y[i] = x[i] + z[i] }", 128 * kKiB, 64 * kKiB,
     1, 0},
    // A row of biases for each of the 128 rows.
    {"bias_gelu",
     "kernel f(x: bf16[128, 512], b: bf16[512]) -> (y: bf16[128, 512]) {\n"
     "y[i, j] = bf16(gelu(f32(x[i, j]) + f32(b[j]))) }",
     256 * kKiB, 128 * kKiB, 1, 0},
    {"transpose", "kernel f(x: f32[256, 256]) -> (y: f32[256, 256]) { y[j, i] = x[i, j] }", 256 * kKiB, 256 * kKiB, 1,
     0},
    // Few rows are split in 16 parts, whose sums are summed by a second kernel.
    {"row_sum", "kernel f(x: f32[64, 4096]) -> (y: f32[64]) { y[i] = sum[j](x[i, j]) }", 1028 * kKiB, 4 * kKiB + 256, 1,
     0},
    {"column_sum", "kernel f(x: f32[1024, 256]) -> (y: f32[256]) { y[j] = sum[i](x[i, j]) }", 1040 * kKiB, 17 * kKiB, 1,
     0},
    {"softmax",
     R"(kernel f(x: bf16[8, 4096]) -> (y: bf16[8, 4096]) {
       t[i] = max[j](f32(x[i, j]))
       e[i, j] = exp(f32(x[i, j]) - t[i])
       y[i, j] = bf16(e[i, j] / sum[j2](e[i, j2])) })",
     64 * kKiB, 64 * kKiB, 1, 0},
    {"matmul",  // 16 x 2 blocks of 16 x 128 read their rows and columns once
     "kernel f(x: f32[256, 64], w: f32[64, 256]) -> (y: f32[256, 256]) { y[i, j] = sum[p](x[i, p] * w[p, j]) }",
     (2 * 64 + 16 * 64) * kKiB, 256 * kKiB, 1, 0},
    {"rms_norm",
     R"(kernel f(x: bf16[8, 4096], g: bf16[4096]) -> (y: bf16[8, 4096]) {
       s[i] = sum[j](f32(x[i, j]) * f32(x[i, j]))
       y[i, j] = bf16(f32(x[i, j]) * rsqrt(s[i] / 4096.0 + 0.00001) * f32(g[j])) })",
     128 * kKiB, 64 * kKiB, 1, 0},
};

runtime::simulator::Report simulated(const char* text) {
  runtime::Device& device = runtime::open_device("sim:sm_90a");
  const Target& target = device.info().target;
  const ir::Program program = ir::parse_program(text);
  const Artifact artifact = compile(schedule_program(program, target, choose_fallback(target)), target);
  const auto loaded = device.load(artifact.plan, artifact.binary);
  const DeviceArguments arguments = device_arguments(program, {}, device, 1);
  loaded->launch(arguments.pointers, {}, nullptr, nullptr);
  return *loaded->simulation();
}

class SimulatedCounts : public testing::TestWithParam<Example> {};

TEST_P(SimulatedCounts, AreWhatTheSchedulePromises) {
  const Example& example = GetParam();
  const runtime::simulator::Report report = simulated(example.text);
  EXPECT_TRUE(report.clean()) << findings_text(report);
  const runtime::simulator::Counts counts = report.total();
  EXPECT_EQ(counts.global_read, example.read) << counts_text(report);
  EXPECT_EQ(counts.global_written, example.written) << counts_text(report);
  EXPECT_GE(counts.coalescing(), example.coalesced) << counts_text(report);
  EXPECT_EQ(counts.bank_conflicts(), example.conflicts) << counts_text(report);
}

INSTANTIATE_TEST_SUITE_P(Simulator, SimulatedCounts, testing::ValuesIn(kExamples),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace quern::pipeline
