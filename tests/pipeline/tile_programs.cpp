#include "tests/pipeline/tile_programs.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "base/error.h"
#include "codegen/cuda/module.h"
#include "compiler/expand_tiles.h"
#include "compiler/hoist.h"
#include "compiler/narrow_indices.h"
#include "ir/kernel_parser.h"
#include "ir/kernel_verify.h"
#include "ir/parser.h"
#include "pipeline/plan_of.h"
#include "runtime/simulator/binary.h"
#if QUERN_WITH_CUDA
#include "runtime/cuda/nvrtc.h"
#endif

namespace quern::pipeline {
namespace {

const TileProgram kTilePrograms[] = {
    {"persistent_gemm",
     R"(kernel persistent_gemm(x: bf16[m, k], w: bf16[n, k], bias: f32[n]) -> (y: bf16[m, n], rows: f32[m]) {
       s[i, j] = sum[p](f32(x[i, p]) * f32(w[j, p]))
       g[i, j] = gelu(s[i, j] + bias[j])
       y[i, j] = bf16(g[i, j])
       rows[i] = sum[j](g[i, j]) })",
     true,
     {"cuda:sm_90a"},
     {"wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16", "cp.async.bulk.tensor.2d.shared::cluster.global.tile",
      "cp.async.bulk.tensor.2d.global.shared::cta.tile", "stmatrix.sync.aligned.m8n8.x4", "setmaxnreg.inc",
      "mbarrier.try_wait.parity"},
     {{128, 256, 64}, {1024, 512, 320}, {2048, 4352, 1024}}},
    {"mma_sync_matmul",
     R"(kernel mma_sync_matmul(x: f16[m, k], w: f16[n, k]) -> (y: f32[m, n]) {
       y[i, j] = sum[p](f32(x[i, p]) * f32(w[j, p])) })",
     false,
     {"cuda:sm_80", "cuda:sm_90a"},
     {"mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", "ldmatrix.sync.aligned.m8n8.x4.shared.b16"},
     {{128, 64, 32}, {256, 192, 96}}},
    {"mma_sync_transposed",
     R"(kernel mma_sync_transposed(x: bf16[k, m], w: bf16[k, n]) -> (y: f32[m, n]) {
       y[i, j] = sum[p](f32(x[p, i]) * f32(w[p, j])) })",
     false,
     {"cuda:sm_80", "cuda:sm_90a"},
     {"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16"},
     {{64, 64, 32}, {192, 128, 96}}},
    {"mma_sync_tf32",
     R"(kernel mma_sync_tf32(x: f32[m, k], w: f32[k, n]) -> (y: f32[m, n]) {
       y[i, j] = sum[p]{grade=tf32}(x[i, p] * w[p, j]) })",
     false,
     {"cuda:sm_80", "cuda:sm_90a"},
     {"mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", "ldmatrix.sync.aligned.m8n8.x4.shared.b16"},
     {{32, 32, 32}, {96, 64, 160}}},
    {"wgmma_registers",
     R"(kernel wgmma_registers(x: bf16[m, k], w: bf16[n, k]) -> (y: f32[m, n]) {
       y[i, j] = sum[p](f32(relu(x[i, p])) * f32(w[j, p])) })",
     false,
     {"cuda:sm_90a"},
     {"wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16", "fence.proxy.async.shared::cta"},
     {{64, 64, 64}, {128, 192, 320}}},
    {"cluster_gemm",
     R"(kernel cluster_gemm(x: bf16[m, k], w: bf16[n, k]) -> (y: f32[m, n]) {
       y[i, j] = sum[p](f32(x[i, p]) * f32(w[j, p])) })",
     false,
     {"cuda:sm_90a"},
     {"mbarrier::complete_tx::bytes.multicast::cluster", "mbarrier.arrive.release.cluster.shared::cluster.b64",
      "mbarrier.try_wait.parity.acquire.cluster", "mapa.shared::cluster.u32"},
     {{128, 128, 64}, {256, 384, 640}}},
    {"convolution",
     R"(kernel convolution(x: bf16[n, h, w, c], f: bf16[o, 3, 4, c]) -> (y: f32[n * h * w, o]) {
       y[p, j] = sum[u in 3, v in 4, q](
         f32(x[p // (h * w), p // w % h + u - 1, p % w + v - 2, q] else 0.0) * f32(f[j, u, v, q])) })",
     true,
     {"cuda:sm_90a"},
     {"cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier", "multicast::cluster",
      "cp.reduce.async.bulk.tensor.2d.global.shared::cta.add"},
     {{1, 16, 16, 64, 64}, {4, 8, 24, 64, 128}}},
};

// The kernel adds to its outputs.
void zero_outputs(Plan& plan) {
  std::vector<Step>& steps = plan.variants[0].steps;
  for (std::size_t i = 0; i < plan.arguments.size(); ++i) {
    const PlanArgument& argument = plan.arguments[i];
    if (!argument.is_output) continue;
    PlanExpr bytes = byte_size(argument.dtype);
    for (const PlanExpr& extent : argument.shape) bytes = bytes * extent;
    Memset zero{.destination = {.index = static_cast<int>(i)}, .bytes = bytes};
    steps.insert(steps.begin(), {.action = zero});
  }
}

std::string text_of(const TileProgram& program) {
  std::ifstream file(QUERN_SOURCE_DIR "/tests/ir/data/" + std::string(program.name) + ".tile");
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

void PrintTo(const TileProgram& program, std::ostream* stream) { *stream << program.name; }

std::span<const TileProgram> tile_programs() { return kTilePrograms; }

ir::Program program_of(const TileProgram& program) {
  const ir::Kernel kernel = ir::parse_kernel(text_of(program));
  ir::Program result = ir::parse_program(program.program);
  const auto place = [&](const ir::VarRef& symbol) {
    return std::ranges::find(kernel.symbols, symbol->name, &ir::Variable::name) - kernel.symbols.begin();
  };
  std::ranges::sort(result.symbols, {}, place);
  return result;
}

Artifact artifact_of(const TileProgram& tile_program, const Target& target, const ChangeKernel& change) {
  const ir::Kernel tile = ir::parse_kernel(text_of(tile_program));
  ir::verify(tile);
  ir::Kernel thread = compiler::expand_tiles(tile);
  ir::verify(thread);
  thread = compiler::hoist(compiler::narrow_indices(thread));
  if (change) thread = change(thread);
  ir::verify(thread);

  const ir::Program program = program_of(tile_program);
  Artifact artifact;
  artifact.plan = plan_frame(program, target);
  const std::vector<ir::Kernel> kernels{thread};
  // What the kernel says is over its own symbols, which stand for the program's.
  ir::Program own = program;
  own.symbols = thread.symbols;
  artifact.plan.variants.push_back(plan_variant(own, {}, {}, kernels, std::vector<ir::Program>{own}));
  if (tile_program.adds) zero_outputs(artifact.plan);
  validate(artifact.plan);
  artifact.binary.target = to_text(target);
  const codegen::CudaModule module = codegen::print_module(kernels, target);
  artifact.source = module.source;
  if (target.kind == TargetKind::sim) {
    const std::vector<runtime::simulator::StoredKernel> stored{{thread, module.lines[0]}};
    artifact.binary.bytes = runtime::simulator::to_bytes(stored);
    return artifact;
  }
#if QUERN_WITH_CUDA
  runtime::cuda::CompiledCuda compiled =
      runtime::cuda::Nvrtc::get().compile(module.source, std::string(tile_program.name) + ".cu", target.arch);
  artifact.binary.bytes = std::move(compiled.cubin);
  artifact.ptx = std::move(compiled.ptx);
  for (const auto& kernel : compiled.kernels) {
    artifact.resources.push_back(
        {kernel.kernel, kernel.registers, kernel.spill_store_bytes + kernel.spill_load_bytes, kernel.shared_bytes});
  }
#endif
  return artifact;
}

}  // namespace quern::pipeline
