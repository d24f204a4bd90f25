// The simulator from C++.

#include "quern/simulation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "quern/quern.h"
#include "tests/api/arrays.h"

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

// Of f8e5m2 no arithmetic results in an infinity, but what is only moved stays as it is.
TEST(Simulation, InfinitiesOfF8AreKeptWhereTheyMove) {
  constexpr auto kInfinity = std::byte{0x7c}, kLargest = std::byte{0x7b};
  HostArray x(DType::f8e5m2, {3});
  std::ranges::fill(x.data, kInfinity);
  for (const auto& [value, expected] :
       {std::pair("x[i]", kInfinity), std::pair("i > 0 ? x[i] : x[0]", kInfinity),
        std::pair("i > 0 ? f8e5m2(x[i]) : f8e5m2(1)", kInfinity), std::pair("f8e5m2(f32(x[i]))", kLargest),
        std::pair("max(x[i], x[0])", kLargest)}) {
    const Program program =
        Program::parse(std::string("kernel f(x: f8e5m2[3]) -> (y: f8e5m2[3]) { y[i] = ") + value + " }");
    for (const char* device : test::host_devices()) {
      const Executable executable = compile(program, {.device = device, .use_store = false});
      const RunReport report = run_host(executable, std::span(&x, 1), {}, {.check = true});
      EXPECT_TRUE(report.passed()) << device << " " << value << ": " << report.checks.at(0).text();
      EXPECT_EQ(report.outputs.at(0).data.back(), expected) << device << " " << value;
    }
  }
}

// All of them are lower than, or as low as, what a search begins with; of an infinity the variance is infinite or a
// NaN.
TEST(Simulation, InfinitiesAreReducedRight) {
  for (const char* text : {"kernel f(x: f8e5m2[3]) -> (y: i64[]) { y[] = argmax[j in 2](x[j + 3] else -inf) }",
                           "kernel f(x: f8e5m2[3]) -> (y: i64[]) { y[] = argmin[j in 2](x[j + 3] else inf) }",
                           "kernel f(x: f32[2]) -> (y: f32[]) { y[] = welford[j in 3](x[j] else inf) }"}) {
    const Program program = Program::parse(text);
    for (const char* device : test::host_devices()) {
      const Executable executable = compile(program, {.device = device, .use_store = false});
      EXPECT_TRUE(run_host(executable, random_inputs(program, {}), {}, {.check = true}).passed())
          << device << ": " << text;
    }
  }
}

// Far below 0, where 1 + tanh would be 0.
TEST(Simulation, GeluOfTanhLosesNoDigits) {
  const Program program = Program::parse("kernel f(x: f64[1]) -> (y: f64[1]) { y[i] = gelu_tanh(x[i]) }");
  HostArray x(DType::f64, {1});
  x.set_value(0, -8);
  for (const char* device : test::host_devices()) {
    const Executable executable = compile(program, {.device = device, .use_store = false});
    const RunReport report = run_host(executable, std::span(&x, 1), {}, {.check = true});
    EXPECT_TRUE(report.passed()) << device;
    EXPECT_NEAR(report.outputs.at(0).value(0), -3.107782937501113e-21, 1e-33) << device;
  }
}

TEST(Simulation, HasNoTimesToTuneBy) {
  const auto refusal = [](const auto& work) -> std::string {
    try {
      work();
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  const char* message =
      "sim:sm_90a has no timing: it tells what a kernel does, not how long it takes; tune on a GPU (cuda) or on the "
      "CPU "
      "(cpu)";
  EXPECT_EQ(refusal([] { tune(matmul(), {.device = "sim", .use_store = false}); }), message);
  EXPECT_EQ(refusal([] { compile(matmul(), {.device = "sim", .policy = Policy::tune, .use_store = false}); }), message);
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

// The text of an Error.
std::string refusal(const std::string& kernel, const Sizes& sizes) {
  try {
    simulate(kernel, sizes);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(Simulation, KernelProgramsAreTriedAtSizesTheyAreFor) {
  const std::string text =
      "kernel f (x: f32[4 * n], y: f32[n - 4]; n)\n  grid (b in n // 32) warps 1 lanes 32\n  with n % 32 == 0, n in "
      "0..4611686018427387905\n  thread (warp, lane) {\n  y[lane] = x[lane]\n}\n";
  EXPECT_EQ(refusal(text, {{"n", -32}}),
            "kernel f is for n in 0..4611686018427387905, which does not hold with n = -32");
  EXPECT_EQ(refusal(text, {{"n", 33}}), "kernel f is for n % 32 == 0, which does not hold with n = 33");
  EXPECT_EQ(refusal(text, {{"n", 0}}), "an extent of y in kernel f is -4 with n = 0; sizes are 0 or more");
  EXPECT_EQ(refusal(text, {{"n", std::int64_t{1} << 62}}),
            "4 * n of kernel f does not fit 64 bits with n = 4611686018427387904; give smaller sizes");
  EXPECT_EQ(refusal(text, {{"n", std::int64_t{1} << 60}}),
            "parameter x of kernel f takes more than 2^63 bytes; give smaller sizes");
  const std::string wide =
      "kernel f (y: f32[n * n]; n) grid (b in 1) warps 1 lanes 32 thread (warp, lane) {\n  y[lane] = 1.0\n}\n";
  EXPECT_EQ(refusal(wide, {{"n", std::int64_t{1} << 32}}),
            "n * n of kernel f does not fit 64 bits with n = 4294967296; give smaller sizes");
}

TEST(Simulation, KernelProgramsWriteAllThatTheyStoreTo) {
  const std::string text =
      "kernel f (x: f32[32], y: f32[32] strides (2)) grid (b in 1) warps 1 lanes 32 thread (warp, lane) {\n"
      "  if lane != 7 {\n    y[lane * 2] = x[lane]\n  }\n}\n";
  const Simulation partial = simulate(text, {});
  EXPECT_EQ(partial.findings, 1);
  EXPECT_NE(partial.findings_text.find("1 of 32 elements of the output y were never written"), std::string::npos)
      << partial.findings_text;
}

TEST(Simulation, WhatAKernelProgramGetsWrongIsToldWithItsLine) {
  const std::string head = "kernel f (y: f32[32])\n  grid (b in 1) warps 1 lanes 32 thread (warp, lane) {\n";
  EXPECT_EQ(refusal(head + "  y[lane] = 1.0\n  for i in 4 step 0 {\n    y[lane] = 2.0\n  }\n}\n", {}),
            "kernel f, line 4, in `for i in 4 step 0 {`: a loop's step is positive");
}

TEST(Simulation, HasNoTime) {
  const Executable executable = compile(matmul(), {.device = "sim", .use_store = false});
  EXPECT_THROW(run_host(executable, random_inputs(matmul(), {}), {}, {.samples = 1}), Error);
}

}  // namespace
}  // namespace quern
