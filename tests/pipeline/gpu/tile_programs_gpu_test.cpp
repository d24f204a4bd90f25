#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "base/error.h"
#include "tests/pipeline/differential.h"
#include "tests/pipeline/tile_programs.h"

namespace quern::pipeline {
namespace {

class GpuTilePrograms : public testing::TestWithParam<TileProgram> {};

TEST_P(GpuTilePrograms, AgreeWithTheReference) {
  runtime::Device* gpu = nullptr;
  try {
    gpu = &runtime::open_device("cuda");
  } catch (const Error& e) {
    GTEST_SKIP() << e.what();
  }
  const Target& target = gpu->info().target;
  if (std::ranges::find(GetParam().targets, to_text(target)) == GetParam().targets.end()) {
    GTEST_SKIP() << GetParam().name << " is not for " << to_text(target);
  }
  const Artifact artifact = artifact_of(GetParam(), target);
  for (const std::vector<std::int64_t>& sizes : GetParam().sizes) {
    EXPECT_EQ(mismatch(artifact, program_of(GetParam()), sizes, *gpu, 7), "");
  }
}

INSTANTIATE_TEST_SUITE_P(Gpu, GpuTilePrograms, testing::ValuesIn(tile_programs()),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace quern::pipeline
