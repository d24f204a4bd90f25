// Tensor maps and clusters on GPUs that have them.

#include <array>
#include <cstdlib>
#include <thread>
#include <utility>
#include <vector>

#include "tests/runtime/gpu/gpu_fixture.h"

namespace quern::runtime {
namespace {

const PlanExpr rows = PlanExpr::symbol(0);
const PlanExpr columns = PlanExpr::symbol(1);
constexpr int kRows = 8, kColumns = 32;  // of one box

// Each block loads one box by TMA and stores all of it, fill included; blocks of a cluster add their rank.
constexpr const char* kSource = R"(
struct alignas(64) TensorMap { unsigned long long words[16]; };
extern "C" __global__ void tile(const __grid_constant__ TensorMap map, float* out, int row) {
  __shared__ alignas(128) float box[8 * 32];
  __shared__ alignas(8) unsigned long long barrier;
  unsigned b = (unsigned)__cvta_generic_to_shared(&barrier), s = (unsigned)__cvta_generic_to_shared(box);
  unsigned rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  if (threadIdx.x == 0) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;\nfence.mbarrier_init.release.cluster;" ::"r"(b) : "memory");
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], 1024;" ::"r"(b) : "memory");
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];"
                 ::"r"(s), "l"(&map), "r"((int)blockIdx.x * 32), "r"(row), "r"(b) : "memory");
  }
  __syncthreads();
  asm volatile("{\n.reg .pred p;\nwait:\nmbarrier.try_wait.parity.shared::cta.b64 p, [%0], 0;\n@!p bra wait;\n}" ::"r"(b)
               : "memory");
  out[blockIdx.x * 256 + threadIdx.x] = box[threadIdx.x] + 10000 * rank;
}
)";

class GpuTensorMap : public Gpu {
 protected:
  void SetUp() override {
    Gpu::SetUp();
    if (!IsSkipped() && !device().info().target.gpu.features.tma) GTEST_SKIP() << "this GPU has no TMA";
  }
};

Plan tile_plan() {
  TensorMapParameter map{.base = {PlanPointer::Base::argument, 0, 0},
                         .dtype = DType::f32,
                         .dims = {columns, rows},
                         .byte_strides = {columns * 4},
                         .element_strides = {1, 1},
                         .box = {kColumns, kRows}};
  return {.name = "tile",
          .symbols = {{"rows", PlanSymbol::Source::dimension, 0, 0}, {"columns", PlanSymbol::Source::dimension, 0, 1}},
          .arguments = {{"x", DType::f32, {rows, columns}, {columns, 1}}, {"y", DType::f32, {512}, {1}, true}},
          .variants = {{.name = "tma",
                        .guards = {ConditionGuard{equal(columns % 4, 0)}, AlignmentGuard{0, 16}},
                        .steps = {{Launch{.kernel = "tile",
                                          .grid = {2, 1, 1},
                                          .threads = 256,
                                          .cluster = {2, 1, 1},
                                          .parameters = {map, PlanPointer{PlanPointer::Base::argument, 1, 0},
                                                         ScalarParameter{ScalarParameter::Type::i32, 2}}}}}}}};
}

TEST_F(GpuTensorMap, LoadsBoxesAndFillsBeyondTheEdges) {
  const auto program = load(tile_plan(), kSource);
  const Buffer y(device(), 512 * 4);
  // Several pointers and sizes by turns: each call must find its own map, remembered or not.
  struct Case {
    int rows, columns;
    Buffer x;
  };
  std::vector<Case> cases;
  for (auto [r, c] : {std::pair{10, 64}, {9, 60}, {3, 36}, {400, 128}}) {
    cases.push_back({r, c, upload(counting(static_cast<std::size_t>(r * c), 1))});
  }
  for (int repeat = 0; repeat < 3; ++repeat) {
    for (const Case& test : cases) {
      SCOPED_TRACE(testing::Message() << test.rows << " x " << test.columns);
      const std::array arguments = {test.x.data(), y.data()};
      const std::array<std::int64_t, 2> symbols = {test.rows, test.columns};
      if (repeat == 1) program->prepare(arguments, symbols, nullptr);
      program->launch(arguments, symbols, nullptr, nullptr);
      const auto result = download(y);
      for (int i = 0; i < 512; ++i) {
        const int block = i / 256, row = 2 + i % 256 / kColumns, column = block * kColumns + i % kColumns;
        const bool inside = row < test.rows && column < test.columns;
        const float expected = inside ? static_cast<float>(row * test.columns + column + 1) : 0;
        ASSERT_EQ(result[static_cast<std::size_t>(i)], expected + 10000 * static_cast<float>(block)) << i;
      }
    }
  }
}

TEST_F(GpuTensorMap, ThreadsFindTheirOwnMaps) {
  const auto program = load(tile_plan(), kSource);
  const auto work = [&](int thread) {
    // More tensors than maps are remembered, so that entries change under the readers' eyes.
    constexpr int kTensors = 12;
    const Stream stream(device());
    const Buffer y(device(), 512 * 4);
    std::vector<Buffer> tensors;
    for (int i = 0; i < kTensors; ++i) {
      tensors.push_back(upload(counting(10 * 64, static_cast<float>(10000 * (thread * kTensors + i)))));
    }
    const std::array<std::int64_t, 2> symbols = {10, 64};
    for (int i = 0; i < 300; ++i) {
      const Buffer& x = tensors[static_cast<std::size_t>(i * 7 % kTensors)];
      const std::array arguments = {x.data(), y.data()};
      for (int again = 0; again < 3; ++again) program->launch(arguments, symbols, stream.get(), nullptr);
      float first = 0;
      device().download(&first, y.data(), sizeof first, stream.get());
      ASSERT_EQ(first, static_cast<float>(10000 * (thread * kTensors + i * 7 % kTensors) + 2 * 64)) << i;
    }
  };
  std::vector<std::thread> threads;
  const char* most = std::getenv("QUERN_TEST_THREADS");  // compute-sanitizer is lost where several launch at once
  const int count = most != nullptr ? std::atoi(most) : 4;
  for (int t = 0; t < count; ++t) threads.emplace_back(work, t);
  for (std::thread& thread : threads) thread.join();
}

TEST_F(GpuTensorMap, WhatTheHardwareCannotDoIsOurFault) {
  Plan plan = tile_plan();
  plan.variants[0].guards.clear();
  const auto program = load(plan, kSource);
  const Buffer x(device(), 4096), y(device(), 2048);
  const std::array arguments = {x.data(), y.data()};
  const std::array<std::int64_t, 2> symbols = {4, 33};
  try {
    program->launch(arguments, symbols, nullptr, nullptr);
    FAIL();
  } catch (const InternalError& e) {
    EXPECT_NE(std::string(e.what()).find("the driver refuses a tensor map of f32 of rank 2"), std::string::npos)
        << e.what();
  }
}

}  // namespace
}  // namespace quern::runtime
