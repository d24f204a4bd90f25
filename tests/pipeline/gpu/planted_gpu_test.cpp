// One planted fault on the hardware, for compute-sanitizer to find: QUERN_PLANTED names it, QUERN_PLANTED_CLEAN=1 takes
// its clean twin. Without a tool around it a fault may do anything, so that nothing runs unasked (scripts/gpu planted).

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "tests/pipeline/intrinsic_kernels.h"
#include "tests/runtime/simulator/planted.h"

namespace quern::pipeline {
namespace {

TEST(GpuPlanted, RunsTheOneThatIsAskedFor) {
  const char* name = std::getenv("QUERN_PLANTED");
  if (name == nullptr) GTEST_SKIP() << "QUERN_PLANTED names none";
  const auto all = runtime::simulator::planted_faults();
  const auto found = std::ranges::find_if(all, [&](const auto& planted) { return std::string(planted.name) == name; });
  ASSERT_NE(found, all.end()) << name;
  runtime::Device* gpu = nullptr;
  try {
    gpu = &runtime::open_device("cuda");
  } catch (const Error& e) {
    GTEST_SKIP() << e.what();
  }
  const char* body = std::getenv("QUERN_PLANTED_CLEAN") != nullptr ? found->clean : found->faulty;
  const std::string text = runtime::simulator::kernel_text(body, found->elements, found->blocks, found->warps);
  on_device(thread_form({name, text}), Numbers::integers, *gpu);
}

}  // namespace
}  // namespace quern::pipeline
