#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "base/error.h"
#include "base/numeric.h"
#include "ir/bounds.h"
#include "tests/pipeline/hopper_proof.h"

namespace quern::pipeline {
namespace {

// m, n, k
using Shape = std::vector<std::int64_t>;

class GpuHopperProof : public testing::TestWithParam<Shape> {};

TEST_P(GpuHopperProof, AgreesWithTheReference) {
  runtime::Device* gpu = nullptr;
  try {
    gpu = &runtime::open_device("cuda");
  } catch (const Error& e) {
    GTEST_SKIP() << e.what();
  }
  if (gpu->info().target.arch != "sm_90a")
    GTEST_SKIP() << "the proof is for sm_90a, here is " << gpu->info().target.arch;
  const Shape& sizes = GetParam();
  const std::int64_t m = sizes[0], n = sizes[1], k = sizes[2];
  const Artifact artifact = proof_artifact();
  const auto loaded = gpu->load(artifact.plan, artifact.binary);

  std::mt19937 random(static_cast<unsigned>(m + n + k));
  std::uniform_real_distribution<double> value(-1, 1);
  std::vector<std::uint16_t> x(static_cast<std::size_t>(m * k)), w(static_cast<std::size_t>(n * k)),
      y(static_cast<std::size_t>(m * n));
  std::vector<float> bias(static_cast<std::size_t>(n)), rows(static_cast<std::size_t>(m));
  for (std::int64_t i = 0; i < m * k; ++i) store_element(DType::bf16, x.data(), i, value(random));
  for (std::int64_t i = 0; i < n * k; ++i) store_element(DType::bf16, w.data(), i, value(random));
  for (float& b : bias) b = static_cast<float>(value(random));

  const std::pair<void*, std::size_t> host[] = {{x.data(), x.size() * 2},
                                                {w.data(), w.size() * 2},
                                                {bias.data(), bias.size() * 4},
                                                {y.data(), y.size() * 2},
                                                {rows.data(), rows.size() * 4}};
  std::vector<runtime::Buffer> buffers;
  std::vector<void*> pointers;
  for (const auto& [data, bytes] : host) {
    buffers.emplace_back(*gpu, bytes);
    gpu->upload(buffers.back().data(), data, bytes, nullptr);
    pointers.push_back(buffers.back().data());
  }
  gpu->fill(pointers[3], 0xff, y.size() * 2, nullptr);
  gpu->fill(pointers[4], 0, rows.size() * 4, nullptr);
  loaded->launch(pointers, sizes, nullptr, nullptr);
  gpu->synchronize(nullptr);
  gpu->download(y.data(), pointers[3], y.size() * 2, nullptr);
  gpu->download(rows.data(), pointers[4], rows.size() * 4, nullptr);

  std::vector<ir::HostTensor> inputs{
      {DType::bf16, {m, k}, {}, x.data()}, {DType::bf16, {n, k}, {}, w.data()}, {DType::f32, {n}, {}, bias.data()}};
  std::vector<ir::Coordinate> places{{0, 0}, {m - 1, n - 1}, {0, n - 1}, {m - 1, 0}};
  for (int q = 0; q < 2000; ++q) {
    places.push_back({static_cast<std::int64_t>(random() % static_cast<unsigned>(m)),
                      static_cast<std::int64_t>(random() % static_cast<unsigned>(n))});
  }
  const ir::Program program = proof_program();
  const std::vector<ir::Checked> expected = ir::evaluate_with_bounds(program, sizes, inputs, 0, places);
  for (std::size_t p = 0; p < places.size(); ++p) {
    const double computed = load_element(DType::bf16, y.data(), places[p][0] * n + places[p][1]);
    ASSERT_TRUE(ir::admits(expected[p], computed))
        << "y[" << places[p][0] << ", " << places[p][1] << "] is " << computed << ", the reference "
        << expected[p].value << " within " << expected[p].bound;
  }
  std::vector<ir::Coordinate> row_places{{0}, {m - 1}, {m / 2}, {63}, {64}};
  const std::vector<ir::Checked> sums = ir::evaluate_with_bounds(program, sizes, inputs, 1, row_places);
  for (std::size_t p = 0; p < row_places.size(); ++p) {
    EXPECT_TRUE(ir::admits(sums[p], rows[static_cast<std::size_t>(row_places[p][0])]))
        << "rows[" << row_places[p][0] << "] is " << rows[static_cast<std::size_t>(row_places[p][0])]
        << ", the reference " << sums[p].value << " within " << sums[p].bound;
  }
}

INSTANTIATE_TEST_SUITE_P(Gpu, GpuHopperProof,
                         testing::Values(Shape{128, 256, 64}, Shape{1024, 512, 320}, Shape{2048, 4352, 1024}));

}  // namespace
}  // namespace quern::pipeline
