#include <gtest/gtest.h>

#include <vector>

#include "base/error.h"
#include "ir/parser.h"
#include "pipeline/compile.h"
#include "tests/pipeline/extern_program.h"

namespace quern::pipeline {
namespace {

TEST(GpuExtern, RunsBetweenOurKernels) {
  runtime::Device* gpu = nullptr;
  try {
    gpu = &runtime::open_device("cuda");
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
  const Target& target = gpu->info().target;
  const Artifact artifact =
      compile(schedule_program(ir::parse_program(test::kExternProgram), target, choose_fallback(target)), target);
  const auto loaded = gpu->load(artifact.plan, artifact.binary);
  const std::vector<std::int64_t> sizes{1000, 7};
  std::vector<float> x(7000), y(1000, -1);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 13);
  const runtime::Buffer from(*gpu, x.size() * sizeof(float)), to(*gpu, y.size() * sizeof(float));
  gpu->upload(from.data(), x.data(), from.size(), nullptr);
  gpu->upload(to.data(), y.data(), to.size(), nullptr);
  const std::vector<void*> arguments{from.data(), to.data()};
  loaded->launch(arguments, sizes, nullptr, nullptr);
  gpu->download(y.data(), to.data(), to.size(), nullptr);
  for (std::size_t i = 0; i < y.size(); ++i) {
    float sum = 0;
    for (std::size_t j = 0; j < 7; ++j) sum += x[i * 7 + j];
    EXPECT_EQ(y[i], 3 * sum + 1) << i;
  }
}

}  // namespace
}  // namespace quern::pipeline
