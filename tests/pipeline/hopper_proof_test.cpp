#include "tests/pipeline/hopper_proof.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "runtime/cuda/nvrtc.h"

namespace quern::pipeline {
namespace {

TEST(HopperProof, ExpandsToAnExpertsKernelAndCompiles) {
  try {
    runtime::cuda::Nvrtc::get();
  } catch (const Error& e) {
    GTEST_SKIP() << e.what();
  }
  // compile() refuses serialised wgmma and an ignored setmaxnreg.
  const Artifact artifact = proof_artifact();
  for (const char* instruction :
       {"wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16", "cp.async.bulk.tensor.2d.shared::cluster.global.tile",
        "cp.async.bulk.tensor.2d.global.shared::cta.tile", "stmatrix.sync.aligned.m8n8.x4", "setmaxnreg.inc",
        "mbarrier.try_wait.parity"}) {
    EXPECT_NE(artifact.ptx.find(instruction), std::string::npos) << instruction;
  }
  EXPECT_EQ(artifact.plan.variants[0].steps.size(), 1u);
}

}  // namespace
}  // namespace quern::pipeline
