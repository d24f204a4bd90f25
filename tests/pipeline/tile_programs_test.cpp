#include "tests/pipeline/tile_programs.h"

#include <gtest/gtest.h>

#include "base/error.h"
#if QUERN_WITH_CUDA
#include "runtime/cuda/nvrtc.h"

namespace quern::pipeline {
namespace {

class TilePrograms : public testing::TestWithParam<TileProgram> {};

// compile() refuses serialised wgmma and an ignored setmaxnreg.
TEST_P(TilePrograms, ExpandToAnExpertsKernelAndCompile) {
  try {
    runtime::cuda::Nvrtc::get();
  } catch (const Error& e) {
    GTEST_SKIP() << e.what();
  }
  for (const char* target : GetParam().targets) {
    const Artifact artifact = artifact_of(GetParam(), parse_target(target));
    for (const char* instruction : GetParam().ptx) {
      EXPECT_NE(artifact.ptx.find(instruction), std::string::npos) << target << " lacks " << instruction;
    }
    ASSERT_EQ(artifact.resources.size(), 1u);
    EXPECT_EQ(artifact.resources[0].spill_bytes, 0) << target;
    EXPECT_TRUE(std::holds_alternative<Launch>(artifact.plan.variants[0].steps.back().action));
  }
}

INSTANTIATE_TEST_SUITE_P(Data, TilePrograms, testing::ValuesIn(tile_programs()),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace quern::pipeline
#endif
