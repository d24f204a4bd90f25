// Plans on a real GPU: variants, parameters, workspaces, once steps, capture, and what a launch costs.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <new>
#include <thread>

#include "runtime/cuda/driver.h"
#include "tests/runtime/gpu/gpu_fixture.h"

namespace {
std::atomic<long> allocations{0};
}

// Not inlined: GCC 12 would take the free() in one for a mismatch of the other.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace quern::runtime {
namespace {

const PlanExpr n = PlanExpr::symbol(0);
using Base = PlanPointer::Base;

constexpr const char* kSource = R"(
struct FastDivision { unsigned multiplier, shift; };
extern "C" __global__ void add(const float* a, const float* b, float* c, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) c[i] = a[i] + b[i];
}
extern "C" __global__ void add4(const float4* a, const float4* b, float4* c, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) c[i] = {a[i].x + b[i].x, a[i].y + b[i].y, a[i].z + b[i].z, a[i].w + b[i].w + 1000};
}
extern "C" __global__ void twice(const float* a, float* b, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) b[i] = 2 * a[i];
}
extern "C" __global__ void scalars(float* out, int n, long long wide, unsigned u, float f, FastDivision by) {
  if (threadIdx.x == 0) {
    out[0] = n; out[1] = (float)(wide >> 32); out[2] = u; out[3] = f;
    out[4] = (__umulhi(1000003u, by.multiplier) + 1000003u) >> by.shift;
    out[5] = gridDim.x;
  }
}
)";

Launch over_n(std::string kernel, PlanExpr count, std::vector<PlanParameter> parameters) {
  return {.kernel = std::move(kernel),
          .grid = {ceil_div(count, 256), 1, 1},
          .threads = 256,
          .parameters = std::move(parameters)};
}

PlanArgument vector_argument(std::string name, bool is_output = false, bool is_const = false) {
  return {.name = std::move(name),
          .dtype = DType::f32,
          .shape = {n},
          .strides = {1},
          .is_output = is_output,
          .is_const = is_const};
}

Plan skeleton(std::string name) {
  return {.name = std::move(name),
          .symbols = {{"n", PlanSymbol::Source::dimension, 0, 0}},
          .arguments = {vector_argument("a"), vector_argument("b"), vector_argument("c", true)}};
}

// c = a + b; the vectorised variant adds 1000 to every fourth element, so that the choice shows.
Plan add_plan() {
  const auto arguments = [](PlanExpr count) {
    return std::vector<PlanParameter>{PlanPointer{Base::argument, 0, 0}, PlanPointer{Base::argument, 1, 0},
                                      PlanPointer{Base::argument, 2, 0},
                                      ScalarParameter{ScalarParameter::Type::i32, std::move(count)}};
  };
  Plan plan = skeleton("add");
  plan.variants = {
      {.name = "vector",
       .guards = {ConditionGuard{equal(n % 4, 0)}, AlignmentGuard{0, 16}, AlignmentGuard{1, 16}, AlignmentGuard{2, 16}},
       .steps = {{over_n("add4", floor_div(n, 4), arguments(floor_div(n, 4)))}}},
      {.name = "scalar", .steps = {{over_n("add", n, arguments(n))}}}};
  return plan;
}

// c = 2 a + b, the product in a workspace; with `is_const` it is computed once.
Plan workspace_plan(bool is_const) {
  Plan plan = skeleton("workspace");
  plan.arguments[0].is_const = is_const;
  const ScalarParameter count{ScalarParameter::Type::i32, n};
  plan.variants = {
      {.name = "only",
       .workspace = {{.bytes = n * 4, .persistent = is_const}},
       .steps = {{over_n("twice", n, {PlanPointer{Base::argument, 0, 0}, PlanPointer{Base::workspace, 0, 0}, count}),
                  is_const},
                 {over_n("add", n,
                         {PlanPointer{Base::workspace, 0, 0}, PlanPointer{Base::argument, 1, 0},
                          PlanPointer{Base::argument, 2, 0}, count})}}}};
  return plan;
}

// Makes the primary context current, as a program does that calls the driver itself.
class PrimaryContext {
 public:
  PrimaryContext() {
    CUcontext context = nullptr;
    EXPECT_EQ(cuda::driver().cuDevicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
    EXPECT_EQ(cuda::driver().cuCtxPushCurrent(context), CUDA_SUCCESS);
  }
  PrimaryContext(const PrimaryContext&) = delete;
  PrimaryContext& operator=(const PrimaryContext&) = delete;
  ~PrimaryContext() {
    CUcontext popped = nullptr;
    cuda::driver().cuCtxPopCurrent(&popped);
  }
};

std::size_t free_bytes() {
  const PrimaryContext context;
  std::size_t free = 0, total = 0;
  EXPECT_EQ(cuda::driver().cuMemGetInfo(&free, &total), CUDA_SUCCESS);
  return free;
}

// Host time of 10^4 calls, in batches short of filling the driver's queue, which would block.
template <typename Call>
double microseconds_per_call(const Stream& stream, Call&& call) {
  std::chrono::steady_clock::duration spent{};
  for (int batch = 0; batch < 100; ++batch) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 100; ++i) call();
    spent += std::chrono::steady_clock::now() - start;
    stream.synchronize();
  }
  return std::chrono::duration<double, std::micro>(spent).count() / 1e4;
}

// One kernel through the driver alone: blocks of 256 threads, one of them.
class BareKernel {
 public:
  BareKernel(const char* name, const std::string& source, const std::string& arch) {
    const auto& d = cuda::driver();
    cubin_ = cuda::Nvrtc::get().compile(source, "bare.cu", arch).cubin;
    EXPECT_EQ(d.cuLibraryLoadData(&library_, cubin_.data(), nullptr, nullptr, 0, nullptr, nullptr, 0), CUDA_SUCCESS);
    EXPECT_EQ(d.cuLibraryGetKernel(&kernel_, library_, name), CUDA_SUCCESS);
  }
  ~BareKernel() { cuda::driver().cuLibraryUnload(library_); }

  void launch(void** parameters, void* stream) const {
    CUlaunchConfig config{};
    config.gridDimX = config.gridDimY = config.gridDimZ = 1;
    config.blockDimX = 256;
    config.blockDimY = config.blockDimZ = 1;
    config.hStream = static_cast<CUstream>(stream);
    cuda::driver().cuLaunchKernelEx(&config, reinterpret_cast<CUfunction>(kernel_), parameters, nullptr);
  }

 private:
  PrimaryContext context_;
  std::vector<std::byte> cubin_;
  CUlibrary library_ = nullptr;
  CUkernel kernel_ = nullptr;
};

using GpuLaunch = Gpu;

TEST_F(GpuLaunch, TheFirstVariantWhoseGuardsHoldRuns) {
  const auto program = load(add_plan(), kSource);
  const std::size_t count = 1000;
  const Buffer a = upload(counting(count + 1, 1)), b = upload(counting(count, 5)), c(device(), count * 4);
  const auto run = [&](void* x, std::int64_t size) {
    device().fill(c.data(), 0, c.size(), nullptr);
    const std::array arguments = {x, b.data(), c.data()};
    const std::array symbols = {size};
    program->launch(arguments, symbols, nullptr, nullptr);
    return download(c);
  };
  const auto vectorised = run(a.data(), 1000);
  EXPECT_EQ(vectorised[2], 3 + 7);
  EXPECT_EQ(vectorised[999], 1000 + 1004 + 1000);
  const auto odd = run(a.data(), 999);
  EXPECT_EQ(odd[998], 999 + 1003);
  EXPECT_EQ(odd[999], 0) << "not its own";
  const auto misaligned = run(static_cast<float*>(a.data()) + 1, 1000);
  EXPECT_EQ(misaligned[999], 1001 + 1004);
}

TEST_F(GpuLaunch, ScalarsArriveAsTheirTypes) {
  Plan plan{.name = "scalars",
            .symbols = {{"n", PlanSymbol::Source::dimension, 0, 0}},
            .arguments = {vector_argument("out", true)}};
  const PlanExpr resident = PlanExpr::limit(DeviceLimit::resident_blocks);
  plan.variants = {
      {.name = "only",
       .steps = {
           {Launch{.kernel = "scalars",
                   .grid = {min(1 << 20, resident), 1, 1},
                   .threads = 1024,
                   .parameters = {PlanPointer{Base::argument, 0, 4}, ScalarParameter{ScalarParameter::Type::i32, n - 1},
                                  ScalarParameter{ScalarParameter::Type::i64, n * (1LL << 32)},
                                  ScalarParameter{ScalarParameter::Type::u32, n * 1000},
                                  ScalarParameter{ScalarParameter::Type::f32, n}, FastDivisionParameter{n}}}}}}};
  const auto program = load(plan, kSource);
  const Buffer out = upload(std::vector<float>(7, -1));
  const std::array arguments = {out.data()};
  const std::array<std::int64_t, 1> symbols = {7};
  program->launch(arguments, symbols, nullptr, nullptr);
  const int sms = device().info().target.gpu.sm_count;
  EXPECT_EQ(download(out), (std::vector<float>{-1, 6, 7, 7000, 7, 1000003 / 7, static_cast<float>(2 * sms)}))
      << "two blocks of 1024 threads are resident on each SM";
}

TEST_F(GpuLaunch, NothingRunsForEmptyTensors) {
  const auto program = load(workspace_plan(false), kSource);
  const std::array<void*, 3> arguments = {};
  const std::array<std::int64_t, 1> symbols = {0};
  EXPECT_EQ(program->workspace_bytes(symbols), 0u);
  program->launch(arguments, symbols, nullptr, nullptr);
  device().synchronize(nullptr);
}

TEST_F(GpuLaunch, TwoStreamsMayRunOneProgramAtOnce) {
  const auto program = load(workspace_plan(false), kSource);
  const std::size_t count = 1 << 18;
  const std::array<std::int64_t, 1> symbols = {static_cast<std::int64_t>(count)};
  EXPECT_EQ(program->workspace_bytes(symbols), count * 4);
  const auto work = [&](float first) {
    const Buffer a = upload(counting(count, first)), b = upload(counting(count, 0)), c(device(), count * 4);
    const Stream stream(device());
    const std::array arguments = {a.data(), b.data(), c.data()};
    for (int i = 0; i < 200; ++i) program->launch(arguments, symbols, stream.get(), nullptr);
    stream.synchronize();
    const auto result = download(c);
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_EQ(result[i], 2 * (first + static_cast<float>(i)) + static_cast<float>(i)) << i;
    }
  };
  std::thread other(work, 1000.0f);
  work(0.0f);
  other.join();
}

TEST_F(GpuLaunch, TheCallersWorkspaceIsUsed) {
  const auto program = load(workspace_plan(false), kSource);
  const Buffer a = upload({1, 2, 3}), b = upload({0, 0, 0}), c(device(), 12), workspace(device(), 256);
  const std::array arguments = {a.data(), b.data(), c.data()};
  const std::array<std::int64_t, 1> symbols = {3};
  device().fill(workspace.data(), 0, workspace.size(), nullptr);
  program->launch(arguments, symbols, nullptr, workspace.data());
  EXPECT_EQ(download(c), (std::vector<float>{2, 4, 6}));
  EXPECT_EQ(download(workspace)[2], 6);
}

TEST_F(GpuLaunch, APreparedProgramCanBeCaptured) {
  const auto& d = cuda::driver();
  const PrimaryContext context;
  const auto program = load(workspace_plan(true), kSource);
  const Buffer a = upload({1, 2, 3}), b = upload({10, 10, 10}), c = upload({0, 0, 0});
  const std::array arguments = {a.data(), b.data(), c.data()};
  const std::array<std::int64_t, 1> symbols = {3};
  const Stream stream(device());
  const auto on = static_cast<CUstream>(stream.get());
  CUgraph graph = nullptr;

  ASSERT_EQ(d.cuStreamBeginCapture(on, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), CUDA_SUCCESS);
  try {
    program->launch(arguments, symbols, stream.get(), nullptr);
    ADD_FAILURE() << "captured without prepare()";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("call prepare() with these arguments before capturing"), std::string::npos)
        << e.what();
  }
  d.cuStreamEndCapture(on, &graph);
  if (graph != nullptr) d.cuGraphDestroy(graph);

  program->prepare(arguments, symbols, stream.get());
  ASSERT_EQ(d.cuStreamBeginCapture(on, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  program->launch(arguments, symbols, stream.get(), nullptr);
  ASSERT_EQ(d.cuStreamEndCapture(on, &graph), CUDA_SUCCESS);
  EXPECT_EQ(download(c), (std::vector<float>{0, 0, 0})) << "captured, not run";

  CUgraphExec executable = nullptr;
  ASSERT_EQ(d.cuGraphInstantiateWithFlags(&executable, graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(d.cuGraphLaunch(executable, on), CUDA_SUCCESS);
  stream.synchronize();
  EXPECT_EQ(download(c), (std::vector<float>{12, 14, 16}));
  d.cuGraphExecDestroy(executable);
  d.cuGraphDestroy(graph);
}

TEST_F(GpuLaunch, OnceStepsRunOncePerConstArgument) {
  const auto program = load(workspace_plan(true), kSource);
  const Buffer a = upload({1, 2, 3}), other = upload({5, 5, 5}), b = upload({0, 0, 0}), c(device(), 12);
  const std::array<std::int64_t, 1> symbols = {3};
  const auto run = [&](const Buffer& x) {
    const std::array arguments = {x.data(), b.data(), c.data()};
    program->launch(arguments, symbols, nullptr, nullptr);
    return download(c);
  };
  EXPECT_EQ(run(a), (std::vector<float>{2, 4, 6}));
  EXPECT_EQ(run(other), (std::vector<float>{10, 10, 10}));
  device().fill(a.data(), 0, a.size(), nullptr);  // breaks the promise, so that reuse shows
  EXPECT_EQ(run(a), (std::vector<float>{2, 4, 6}));
}

TEST_F(GpuLaunch, LaunchesAllocateNothingAndCostLittle) {
  const auto program = load(add_plan(), kSource);
  const Buffer a = upload(counting(1024, 0)), b = upload(counting(1024, 0)), c(device(), 4096);
  const std::array arguments = {a.data(), b.data(), c.data()};
  const std::array<std::int64_t, 1> symbols = {1024};
  const Stream stream(device());
  program->prepare(arguments, symbols, stream.get());
  program->launch(arguments, symbols, stream.get(), nullptr);
  stream.synchronize();
  const std::size_t free_before = free_bytes();
  const long allocated = allocations;
  const double ours =
      microseconds_per_call(stream, [&] { program->launch(arguments, symbols, stream.get(), nullptr); });
  EXPECT_EQ(allocations, allocated);

  EXPECT_EQ(free_bytes(), free_before);
  const BareKernel bare("add4", kSource, device().info().target.arch);
  int count = 256;
  void* pointers[] = {a.data(), b.data(), c.data()};
  void* parameters[] = {&pointers[0], &pointers[1], &pointers[2], &count};
  const double theirs = microseconds_per_call(stream, [&] { bare.launch(parameters, stream.get()); });
  std::printf("host time per launch: %.2f us, bare driver call %.2f us\n", ours, theirs);
  EXPECT_LT(ours, theirs + 10) << "far from the 1 us that is wanted, even for a debug build on a busy machine";
}

TEST_F(GpuLaunch, LeavesTheCallersContextAsItWas) {
  const auto program = load(add_plan(), kSource);
  const Buffer a = upload({1}), b = upload({2}), c(device(), 4);
  const std::array arguments = {a.data(), b.data(), c.data()};
  const std::array<std::int64_t, 1> symbols = {1};
  std::thread([&] {
    program->launch(arguments, symbols, nullptr, nullptr);
    CUcontext current = nullptr;
    EXPECT_EQ(cuda::driver().cuCtxGetCurrent(&current), CUDA_SUCCESS);
    EXPECT_EQ(current, nullptr);
  }).join();
  EXPECT_EQ(download(c)[0], 3);
}

TEST_F(GpuLaunch, ABinaryForAnotherTargetIsRefused) {
  Plan plan = add_plan();
  plan.target = "cuda:sm_80";
  const std::string other = device().info().target.arch == "sm_80" ? "cuda:sm_86" : "cuda:sm_80";
  EXPECT_THROW(device().load(plan, {other, {}}), Error);
}

TEST_F(GpuLaunch, APlanThatDoesNotFitItsKernelIsOurFault) {
  Plan more = add_plan();
  std::get<Launch>(more.variants[1].steps[0].action).parameters.push_back(ScalarParameter{});
  EXPECT_THROW(load(more, kSource), InternalError);
  Plan wider = add_plan();
  std::get<Launch>(wider.variants[1].steps[0].action).parameters[3] = ScalarParameter{ScalarParameter::Type::i64, n};
  EXPECT_THROW(load(wider, kSource), InternalError);
}

}  // namespace
}  // namespace quern::runtime
