#if QUERN_WITH_CUDA

#include "runtime/cuda/context.h"

#include <gtest/gtest.h>

namespace quern::runtime::cuda {
namespace {

TEST(ExhaustedMemory, IsToldWithItsNumbers) {
  EXPECT_EQ(exhausted("cuda:1", 4096, 1024, 80000),
            "device memory exhausted on cuda:1: 4096 bytes wanted, 1024 of 80000 free; release other buffers or use "
            "smaller sizes");
}

}  // namespace
}  // namespace quern::runtime::cuda

#endif  // QUERN_WITH_CUDA
