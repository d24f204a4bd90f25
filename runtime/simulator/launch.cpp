#include "runtime/simulator/launch.h"

#include <fmt/format.h>

#include "runtime/simulator/team.h"

namespace quern::runtime::simulator {
namespace {

// What the architecture does not have.
bool exceeds_limits(Launch& launch) {
  const Code& code = launch.code;
  const GpuLimits& limits = launch.target.gpu;
  const auto refuse = [&](std::string message) {
    launch.findings.push_back({.kind = FindingKind::limit,
                               .kernel = code.name,
                               .statement = {},
                               .other_statement = {},
                               .axes = {},
                               .threads = {},
                               .buffer = {},
                               .message = std::move(message)});
  };
  const std::size_t before = launch.findings.size();
  if (code.shared_bytes > limits.shared_per_block) {
    refuse(fmt::format("{} B of shared memory, {} has {} for a block", code.shared_bytes, launch.target.arch,
                       limits.shared_per_block));
  }
  if (code.warps * kLanes > limits.threads_per_block) {
    refuse(fmt::format("{} threads, {} has {} for a block", code.warps * kLanes, launch.target.arch,
                       limits.threads_per_block));
  }
  const std::int64_t cluster = code.cluster[0] * code.cluster[1] * code.cluster[2];
  if (cluster > limits.max_cluster) {
    refuse(fmt::format("a cluster of {} blocks, {} has {}", cluster, launch.target.arch, limits.max_cluster));
  }
  constexpr std::array<std::int64_t, 3> kMostBlocks = {2147483647, 65535, 65535};
  for (std::size_t d = 0; d < 3; ++d) {
    if (code.grid[d] > kMostBlocks[d]) {
      refuse(fmt::format("{} blocks along axis {} of the grid, which takes {}", code.grid[d], d, kMostBlocks[d]));
    }
    if (code.grid[d] % code.cluster[d] != 0) {
      refuse(fmt::format("{} blocks along axis {} of the grid are no whole clusters of {}", code.grid[d], d,
                         code.cluster[d]));
    }
  }
  return launch.findings.size() > before;
}

}  // namespace

Report report_of(Launch launch, std::int64_t blocks) {
  Report report;
  report.findings = std::move(launch.findings);
  KernelCounts& counts = report.kernels.emplace_back();
  counts.kernel = launch.code.name;
  counts.blocks = blocks;
  for (std::size_t s = 0; s < launch.counts.size(); ++s) {
    if (launch.counts[s].warps == 0) continue;
    counts.total += launch.counts[s];
    counts.statements.push_back({launch.code.statements[s].text, launch.code.statements[s].line, launch.counts[s]});
  }
  return report;
}

void run(Launch& launch) {
  if (exceeds_limits(launch)) return;
  const Code& code = launch.code;
  std::uint32_t number = 0;
  for (std::int64_t z = 0; z < code.grid[2]; z += code.cluster[2]) {
    for (std::int64_t y = 0; y < code.grid[1]; y += code.cluster[1]) {
      for (std::int64_t x = 0; x < code.grid[0]; x += code.cluster[0]) {
        Team(launch, {x, y, z}, ++number).run();
        if (launch.is_full()) return;
      }
    }
  }
}

}  // namespace quern::runtime::simulator
