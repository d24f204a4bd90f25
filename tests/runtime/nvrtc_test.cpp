#if QUERN_WITH_CUDA

#include "runtime/cuda/nvrtc.h"

#include <gtest/gtest.h>

#include <future>

#include "base/error.h"
#include "base/target.h"

namespace quern::runtime::cuda {
namespace {

// The library, or null with the reason printed by the skipped test.
const Nvrtc* nvrtc(std::string& reason) {
  try {
    return &Nvrtc::get();
  } catch (const Error& e) {
    reason = e.what();
    return nullptr;
  }
}

#define NVRTC_OR_SKIP(name)                \
  std::string reason;                      \
  const Nvrtc* const name = nvrtc(reason); \
  if (name == nullptr) GTEST_SKIP() << reason

std::vector<std::string> architectures() {
  std::vector<std::string> list;
  for (const std::string& text : known_targets()) {
    if (text.starts_with("cuda:")) list.push_back(text.substr(5));
  }
  return list;
}

bool compiles(const Nvrtc& compiler, const std::string& statement, const std::string& arch) {
  const std::string source =
      "extern \"C\" __global__ void __launch_bounds__(384, 1) probe(unsigned p, float* g) {\n" + statement + "\n}\n";
  try {
    compiler.compile(source, "probe.cu", arch);
    return true;
  } catch (const InternalError&) {
    return false;
  }
}

TEST(Nvrtc, CompilesForEveryArchitectureWithoutAGpu) {
  NVRTC_OR_SKIP(compiler);
  const std::string source =
      "extern \"C\" __global__ void add(const float* a, const float* b, float* c, int n) {\n"
      "  __shared__ float s[64];\n"
      "  int i = blockIdx.x * blockDim.x + threadIdx.x;\n"
      "  s[threadIdx.x] = i < n ? a[i] : 0; __syncthreads();\n"
      "  if (i < n) c[i] = s[63 - threadIdx.x] + b[i];\n}\n";
  for (const std::string& arch : architectures()) {
    SCOPED_TRACE(arch);
    const CompiledCuda code = compiler->compile(source, "add.cu", arch, {.line_info = true});
    EXPECT_GT(code.cubin.size(), 1000u);
    EXPECT_NE(code.ptx.find(".target " + arch), std::string::npos);
    ASSERT_EQ(code.kernels.size(), 1u);
    EXPECT_EQ(code.kernels[0].kernel, "add");
    EXPECT_GT(code.kernels[0].registers, 0);
    EXPECT_EQ(code.kernels[0].shared_bytes, 256);
    EXPECT_EQ(code.kernels[0].spill_store_bytes, 0);
  }
}

// The feature column of base/target.cpp against the compiler's own opinion.
TEST(Nvrtc, ArchitecturesHaveTheFeaturesThatTheTargetTableSays) {
  NVRTC_OR_SKIP(compiler);
  for (const std::string& arch : architectures()) {
    SCOPED_TRACE(arch);
    const GpuFeatures f = parse_target("cuda:" + arch).gpu.features;
    EXPECT_EQ(
        compiles(*compiler, R"(asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(p), "l"(g));)", arch),
        f.cp_async);
    EXPECT_EQ(compiles(*compiler,
                       R"(asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, )"
                       R"({%4,%4,%4,%4}, {%4,%4}, {%0,%1,%2,%3};" : "+f"(g[0]), "+f"(g[1]), "+f"(g[2]), )"
                       R"("+f"(g[3]) : "r"(p));)",
                       arch),
              f.mma_bf16);
    EXPECT_EQ(compiles(*compiler,
                       R"(unsigned short h; asm volatile("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %1;" : "=h"(h) )"
                       R"(: "f"(g[0])); g[1] = h;)",
                       arch),
              f.fp8_cvt);
    EXPECT_EQ(compiles(*compiler,
                       R"(asm volatile("cp.async.bulk.tensor.1d.shared::cluster.global.mbarrier::)"
                       R"(complete_tx::bytes [%0], [%1, {%0}], [%0];" ::"r"(p), "l"(g));)",
                       arch),
              f.tma);
    EXPECT_EQ(compiles(*compiler, R"(asm volatile("wgmma.fence.sync.aligned;");)", arch), f.wgmma);
    EXPECT_EQ(compiles(*compiler, R"(asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");)", arch), f.setmaxnreg);
    EXPECT_EQ(
        compiles(*compiler, R"(asm volatile("stmatrix.sync.aligned.m8n8.x1.shared.b16 [%0], {%0};" ::"r"(p));)", arch),
        f.stmatrix);
  }
}

TEST(Nvrtc, AFailureCarriesTheLogAndTheNumberedSource) {
  NVRTC_OR_SKIP(compiler);
  try {
    compiler->compile("int a;\nundeclared b;\n", "broken.cu", "sm_80");
    FAIL();
  } catch (const InternalError& e) {
    const std::string text = e.what();
    EXPECT_NE(text.find("broken.cu (sm_80 of NVRTC "), std::string::npos) << text;
    EXPECT_NE(text.find("identifier \"undeclared\" is undefined"), std::string::npos) << text;
    EXPECT_NE(text.find("    2 undeclared b;"), std::string::npos) << text;
  }
}

TEST(Nvrtc, CompilesFromSeveralThreads) {
  NVRTC_OR_SKIP(compiler);
  std::vector<std::future<std::size_t>> sizes;
  for (int i = 0; i < 4; ++i) {
    sizes.push_back(std::async(std::launch::async, [compiler, i] {
      const std::string kernel = "k" + std::to_string(i);
      const std::string source = "extern \"C\" __global__ void " + kernel + "(float* y) { y[threadIdx.x] = 1; }";
      const CompiledCuda code = compiler->compile(source, kernel + ".cu", "sm_80");
      return code.kernels.at(0).kernel == kernel ? code.cubin.size() : 0;
    }));
  }
  for (auto& size : sizes) EXPECT_GT(size.get(), 0u);
}

TEST(Nvrtc, ReadsResourcesFromTheLog) {
  const auto kernels = parse_resources(
      "ptxas info    : 0 bytes gmem\n"
      "ptxas info    : Compiling entry function 'k2' for 'sm_90a'\n"
      "ptxas info    : Function properties for k2\n"
      "ptxas         .     16 bytes stack frame, 24 bytes spill stores, 32 bytes spill loads\n"
      "ptxas info    : Used 72 registers, used 1 barriers, 16 bytes cumulative stack size, 256 bytes smem\n"
      "ptxas info    : Compiling entry function 'k' for 'sm_90a'\n"
      "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
      "ptxas info    : Used 10 registers, 380 bytes cmem[0]");
  const std::vector<KernelResources> expected = {{"k2", 72, 16, 24, 32, 256, 1}, {"k", 10, 0, 0, 0, 0, 0}};
  EXPECT_EQ(kernels, expected);
}

TEST(Nvrtc, ObjectsToLogsThatBreakAPromise) {
  EXPECT_EQ(objection_in_log("ptxas info : Used 10 registers"), "");
  EXPECT_EQ(objection_in_log("ptxas warning : Potential Performance Loss: wgmma.mma_async instructions are serialized "
                             "due to ..."),
            "ptxas serialised wgmma instructions");
  EXPECT_EQ(objection_in_log("ptxas info : (C7508) setmaxnreg ignored to maintain minimum register requirements."),
            "ptxas ignored setmaxnreg");
  EXPECT_EQ(objection_in_log("a kernel named setmaxnreg\nthis line is ignored"), "");
}

TEST(Nvrtc, RefusesOldVersions) {
  EXPECT_EQ(objection_to_version(13, 0, "/x/libnvrtc.so.13"), "");
  EXPECT_EQ(objection_to_version(12, 8, "/x/libnvrtc.so.12"), "");
  EXPECT_EQ(objection_to_version(12, 2, "/x/libnvrtc.so.12"),
            "NVRTC too old: /x/libnvrtc.so.12 is version 12.2, Quern needs 12.8 or newer");
}

}  // namespace
}  // namespace quern::runtime::cuda

#endif  // QUERN_WITH_CUDA
