// The simulator from C++.

#include "quern/simulation.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "quern/quern.h"

namespace quern {
namespace {

Program matmul() {
  return Program::parse(
      "kernel f(x: f32[20, 9], w: f32[9, 33]) -> (y: f32[20, 33]) { y[i, j] = sum[p](x[i, p] * w[p, j]) }");
}

TEST(Simulation, ProgramsRunOnItAsOnADevice) {
  const Executable executable = compile(matmul(), {.device = "sim", .use_store = false});
  EXPECT_EQ(executable.target(), "sim:sm_90a");
  const std::vector<HostArray> inputs = random_inputs(matmul(), {});
  const RunReport report = run_host(executable, inputs, {}, {.check = true});
  EXPECT_TRUE(report.passed());
  ASSERT_TRUE(report.simulation.has_value());
  EXPECT_EQ(report.simulation->findings_text, "0 findings\n");
  EXPECT_NE(report.simulation->counts_text.find("100% coalesced"), std::string::npos);
}

TEST(Simulation, ArtifactsAreKernelProgramsAsText) {
  const std::string path = (std::filesystem::temp_directory_path() / "simulated.quern").string();
  compile(matmul(), {.target = "sim:sm_80", .use_store = false}).save(path);
  const Executable loaded = Executable::load(path);
  EXPECT_EQ(loaded.device()->info().id, "sim:sm_80");
  EXPECT_TRUE(run_host(loaded, random_inputs(matmul(), {}), {}, {.check = true}).passed());
  std::filesystem::remove(path);
}

TEST(Simulation, KernelProgramsTakeTheirSizes) {
  const std::string text =
      "kernel f (x: f32[n], y: f32[n]; n) grid (b in n // 32) warps 1 lanes 32 thread (warp, lane) {\n"
      "  y[b * 32 + lane] = x[b * 32 + lane]\n}\n";
  EXPECT_TRUE(simulate(text, {{"n", 64}}).clean());
  const Simulation outside = simulate(text, {{"n", 0}});
  EXPECT_TRUE(outside.clean()) << "an empty grid runs nothing";
  const auto refusal = [&](const Sizes& sizes) -> std::string {
    try {
      simulate(text, sizes);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(refusal({}), "symbol n of f has no value; give it one, as in -D n=1024 or Sizes{{\"n\", 1024}}");
  EXPECT_EQ(refusal({{"n", 64}, {"m", 3}}), "kernel f has no symbol m; its symbols: n");
  EXPECT_THROW(simulate("kernel f("), Error);
  // What the target does not have, and warps that no GPU has.
  const char* barrier =
      "kernel f (y: f32[32]) grid (b in 1) warps 1 lanes 32 thread (warp, lane) {\n  barrier full: u64[1]\n"
      "  if lane == 0 {\n    mbarrier_init(full[0], 1)\n  }\n  y[lane] = 1.0\n}\n";
  EXPECT_THROW(simulate(barrier, {}, {.target = "sim:sm_80"}), Error);
  EXPECT_THROW(
      simulate("kernel f (y: f32[16]) grid (b in 1) warps 1 lanes 16 thread (warp, lane) {\n  y[lane] = 1.0\n}"),
      Error);
  EXPECT_THROW(simulate(text, {{"n", 64}}, {.target = "cuda:sm_90a"}), Error);
}

TEST(Simulation, HasNoTime) {
  const Executable executable = compile(matmul(), {.device = "sim", .use_store = false});
  EXPECT_THROW(run_host(executable, random_inputs(matmul(), {}), {}, {.samples = 1}), Error);
}

}  // namespace
}  // namespace quern
