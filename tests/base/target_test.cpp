#include "base/target.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace quern {
namespace {

TEST(Target, EveryKnownTargetRoundTrips) {
  ASSERT_EQ(known_targets().size(), 16u);
  for (const std::string& text : known_targets()) EXPECT_EQ(to_text(parse_target(text)), text);
}

TEST(Target, KindAndLimitsComeFromTheRow) {
  const Target hopper = parse_target("cuda:sm_90a");
  EXPECT_EQ(hopper.kind, TargetKind::cuda);
  EXPECT_EQ(hopper.gpu.shared_per_block, 232448);
  EXPECT_EQ(hopper.gpu.max_cluster, 8);
  EXPECT_TRUE(hopper.gpu.features.wgmma);
  EXPECT_EQ(hopper.cpu, CpuLimits{});
  EXPECT_FALSE(parse_target("cuda:sm_100a").gpu.features.wgmma);
  EXPECT_FALSE(parse_target("cuda:sm_86").gpu.features.fp8_cvt);
  EXPECT_TRUE(parse_target("cuda:sm_89").gpu.features.fp8_cvt);
}

TEST(Target, TheSimulatorHasTheLimitsOfItsArchitecture) {
  const Target sim = parse_target("sim:sm_86");
  EXPECT_EQ(sim.kind, TargetKind::sim);
  EXPECT_EQ(sim.gpu, parse_target("cuda:sm_86").gpu);
}

TEST(Target, RowsAreConsistent) {
  for (const std::string& text : known_targets()) {
    const Target target = parse_target(text);
    SCOPED_TRACE(text);
    EXPECT_GT(target.peak.f32, 0);
    EXPECT_GT(target.peak.bandwidth, 0);
    if (!target.is_gpu()) {
      EXPECT_GT(target.cpu.vector_bytes, 0);
      EXPECT_LE(target.cpu.l1_bytes, target.cpu.l2_bytes);
      continue;
    }
    EXPECT_EQ(target.gpu.shared_per_block + target.gpu.shared_reserved, target.gpu.shared_per_sm);
    EXPECT_EQ(target.gpu.warps_per_sm * 32, target.gpu.threads_per_sm);
    EXPECT_EQ(target.gpu.max_cluster > 1, target.gpu.features.tma);
  }
}

TEST(Target, UnknownTextsListTheKnownOnes) {
  for (const char* text : {"", "cuda", "cuda:sm_75", "cuda:sm_90", "rocm:gfx90a", "cpu:", "CPU", "sim"}) {
    try {
      parse_target(text);
      ADD_FAILURE() << text << " was accepted";
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("known targets: cpu (this machine), cuda:sm_80, cuda:sm_86"),
                std::string::npos)
          << e.what();
    }
  }
}

TEST(Target, HostIsACpuOfAKnownLevel) {
  const Target host = parse_target("cpu");
  EXPECT_EQ(host, host_cpu_target());
  EXPECT_EQ(parse_target(to_text(host)).cpu.vector_bytes, host.cpu.vector_bytes);
  EXPECT_GE(host.cpu.cores, 1);
  EXPECT_GE(host.cpu.l1_bytes, 4096);
}

TEST(Target, ThreadsAreTheCoresUnlessSet) {
  unsetenv("QUERN_THREADS");
  EXPECT_EQ(host_threads(), host_cpu_target().cpu.cores);
  setenv("QUERN_THREADS", "3", 1);
  EXPECT_EQ(host_threads(), 3);
  setenv("QUERN_THREADS", "0", 1);
  EXPECT_THROW(host_threads(), Error);
  unsetenv("QUERN_THREADS");
}

TEST(Target, CapabilitiesFindTheirArchitecture) {
  EXPECT_EQ(arch_for_capability(8, 0), "sm_80");
  EXPECT_EQ(arch_for_capability(8, 6), "sm_86");
  EXPECT_EQ(arch_for_capability(8, 7), "sm_86");
  EXPECT_EQ(arch_for_capability(8, 9), "sm_89");
  EXPECT_EQ(arch_for_capability(9, 0), "sm_90a");
  EXPECT_EQ(arch_for_capability(10, 0), "sm_100a");
  EXPECT_EQ(arch_for_capability(10, 3), "");
  EXPECT_EQ(arch_for_capability(12, 0), "sm_120a");
  EXPECT_EQ(arch_for_capability(7, 5), "");
}

TEST(Target, PeaksFollowTheDtype) {
  const Target hopper = parse_target("cuda:sm_90a");
  EXPECT_DOUBLE_EQ(peak_flops(hopper, DType::bf16, true), 989.5e12);
  EXPECT_DOUBLE_EQ(peak_flops(hopper, DType::f32, true), 494.7e12);
  EXPECT_DOUBLE_EQ(peak_flops(hopper, DType::f32, false), 66.9e12);
  EXPECT_DOUBLE_EQ(peak_flops(parse_target("cuda:sm_86"), DType::f8e4m3, true), 37.4e12)
      << "no such unit: ordinary rate";
}

}  // namespace
}  // namespace quern
