#include "tests/pipeline/hopper_proof.h"

#include <fstream>
#include <iterator>

#include "base/error.h"
#include "codegen/cuda/module.h"
#include "compiler/expand_tiles.h"
#include "compiler/narrow_indices.h"
#include "ir/kernel_parser.h"
#include "ir/kernel_verify.h"
#include "ir/parser.h"
#include "pipeline/plan_of.h"
#if QUERN_WITH_CUDA
#include "runtime/cuda/nvrtc.h"
#endif

namespace quern::pipeline {

ir::Program proof_program() {
  ir::Program program = ir::parse_program(R"(
    kernel persistent_gemm(x: bf16[m, k], w: bf16[n, k], bias: f32[n]) -> (y: bf16[m, n], rows: f32[m]) {
      s[i, j] = sum[p](f32(x[i, p]) * f32(w[j, p]))
      g[i, j] = gelu(s[i, j] + bias[j])
      y[i, j] = bf16(g[i, j])
      rows[i] = sum[j](g[i, j])
    })");
  // The kernel takes m, n, k in this order.
  std::swap(program.symbols[1], program.symbols[2]);
  return program;
}

Artifact proof_artifact() {
  std::ifstream file(QUERN_SOURCE_DIR "/tests/ir/data/persistent_gemm.tile");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const ir::Kernel tile = ir::parse_kernel(text);
  ir::verify(tile);
  ir::Kernel thread = compiler::expand_tiles(tile);
  ir::verify(thread);
  thread = compiler::narrow_indices(thread);
  ir::verify(thread);

  const Target target = parse_target("cuda:sm_90a");
  const ir::Program program = proof_program();
  Artifact artifact;
  artifact.plan = plan_frame(program, target);
  const std::vector<ir::Kernel> kernels{thread};
  // The kernel's map dimensions are over its own symbols, which stand for the program's.
  ir::Program own = program;
  own.symbols = thread.symbols;
  artifact.plan.variants.push_back(plan_variant(own, {}, {}, kernels, std::vector<ir::Program>{own}));
  validate(artifact.plan);
  artifact.binary.target = to_text(target);
  const codegen::CudaModule module = codegen::print_module(kernels, target);
  artifact.source = module.source;
#if QUERN_WITH_CUDA
  runtime::cuda::CompiledCuda compiled = runtime::cuda::Nvrtc::get().compile(module.source, "proof.cu", target.arch);
  artifact.binary.bytes = std::move(compiled.cubin);
  artifact.ptx = std::move(compiled.ptx);
#endif
  return artifact;
}

}  // namespace quern::pipeline
