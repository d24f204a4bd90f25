#include "pipeline/externs.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#if QUERN_WITH_CUDA
#include "runtime/cuda/nvrtc.h"
#endif

namespace quern::pipeline {

namespace {

constexpr int kThreads = 256;

// By name.
std::map<std::string, const ir::Extern*> externs_of(const ScheduledProgram& scheduled) {
  std::map<std::string, const ir::Extern*> all;
  for (const ir::Extern& external : scheduled.program.externs) {
    const auto [known, is_new] = all.emplace(external.name, &external);
    if (!is_new && known->second->cuda != external.cuda) {
      fail("{} has two externs {} of different text; a CUDA function has one, give the other another name",
           scheduled.program.name, external.name);
    }
  }
  return all;
}

}  // namespace

std::string extern_source(const ScheduledProgram& scheduled) {
  std::string source;
  for (const auto& [name, external] : externs_of(scheduled)) source += external->cuda + "\n";
  return source;
}

Launch extern_launch(const ir::Extern& external) {
  Launch launch;
  launch.kernel = external.name;
  launch.grid[0] = PlanExpr::limit(DeviceLimit::resident_blocks);
  launch.threads = kThreads;
  return launch;
}

void blame_externs([[maybe_unused]] const ScheduledProgram& scheduled, [[maybe_unused]] const Target& target,
                   [[maybe_unused]] const CompileOptions& options) {
#if QUERN_WITH_CUDA
  for (const auto& [name, external] : externs_of(scheduled)) {
    try {
      runtime::cuda::Nvrtc::get(options.nvrtc_path).compile(external->cuda, name + ".cu", target.arch);
    } catch (const InternalError& error) {
      fail("the CUDA text of extern {} does not compile:\n{}", name, error.what());
    }
  }
#endif
}

void check_externs(const ScheduledProgram& scheduled, const std::vector<Resources>& kernels) {
  for (const auto& [name, external] : externs_of(scheduled)) {
    if (std::ranges::find(kernels, name, &Resources::kernel) != kernels.end()) continue;
    fail(
        "the CUDA text of extern {} defines no kernel of that name; declare it as extern \"C\" __global__ void {}(...)",
        name, name);
  }
}

}  // namespace quern::pipeline
