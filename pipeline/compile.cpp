#include "pipeline/compile.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <iterator>
#include <utility>

#include "base/error.h"
#include "codegen/cuda/module.h"
#include "compiler/carry.h"
#include "compiler/expand_tiles.h"
#include "compiler/hoist.h"
#include "compiler/narrow_indices.h"
#include "compiler/peel_checks.h"
#include "ir/kernel_printer.h"
#include "ir/kernel_rewrite.h"
#include "ir/kernel_verify.h"
#include "ir/printer.h"
#include "pipeline/dump.h"
#include "pipeline/externs.h"
#include "pipeline/plan_of.h"
#include "pipeline/variants.h"
#include "runtime/simulator/binary.h"
#if QUERN_WITH_CPU
#include "codegen/llvm/llvm.h"
#endif
#if QUERN_WITH_CUDA
#include "runtime/cuda/nvrtc.h"
#endif

namespace quern::pipeline {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::vector<ir::Kernel> threads_of(const Artifact& artifact) {
  std::vector<ir::Kernel> kernels;
  for (const LoweredKernel& kernel : artifact.kernels) kernels.push_back(kernel.thread);
  return kernels;
}

// Whether a role of one thread, which issues bulk copies, has registers of its own.
bool shares_out_registers(const ir::Kernel& kernel) {
  bool found = false;
  ir::visit(kernel.body, [&](const ir::Stmt& stmt, const ir::Enclosing&) {
    const auto* role = std::get_if<ir::Role>(&stmt->value);
    return !(found = found || (role && role->registers > 0 && role->elected));
  });
  return found;
}

#if QUERN_WITH_CUDA
// The whole module; what is wrong in a user's own text is the user's to hear.
runtime::cuda::CompiledCuda compile_module(const ScheduledProgram& scheduled, const std::string& name,
                                           const codegen::CudaModule& module, const Target& target,
                                           const CompileOptions& options) {
  const auto& nvrtc = runtime::cuda::Nvrtc::get(options.nvrtc_path);
  const int threads = std::min(static_cast<int>(module.entries.size()), host_threads());
  try {
    return nvrtc.compile(module.source, name, target.arch,
                         {.line_info = options.line_info, .threads = threads, .extra = module.options});
  } catch (const InternalError&) {
    blame_externs(scheduled, target, options);
    throw;
  }
}
#endif

void compile_cuda([[maybe_unused]] Artifact& artifact, [[maybe_unused]] const ScheduledProgram& scheduled,
                  [[maybe_unused]] const codegen::CudaModule& module, [[maybe_unused]] const Target& target,
                  [[maybe_unused]] const CompileOptions& options) {
#if QUERN_WITH_CUDA
  const std::string name = options.source_path.empty() ? artifact.plan.name + ".cu" : options.source_path;
  runtime::cuda::CompiledCuda compiled = compile_module(scheduled, name, module, target, options);
  artifact.binary.bytes = std::move(compiled.cubin);
  artifact.ptx = std::move(compiled.ptx);
  for (const auto& kernel : compiled.kernels) {
    artifact.resources.push_back(
        {kernel.kernel, kernel.registers, kernel.spill_store_bytes + kernel.spill_load_bytes, kernel.shared_bytes});
  }
  check_externs(scheduled, artifact.resources);
  check_spills(artifact.kernels, artifact.resources);
#else
  fail("target {} needs CUDA, which this build of Quern was made without (QUERN_CUDA=OFF)", to_text(target));
#endif
}

void compile_cpu([[maybe_unused]] Artifact& artifact, [[maybe_unused]] const Target& target) {
#if QUERN_WITH_CPU
  artifact.binary.bytes = codegen::compile_cpu(threads_of(artifact), target).bytes;
#else
  fail("target {} needs LLVM, which this build of Quern was made without (QUERN_CPU=OFF)", to_text(target));
#endif
}

// The simulator runs thread form itself; its reports name lines of the CUDA text.
void store_for_simulator(Artifact& artifact, const codegen::CudaModule& module, int lines_above) {
  std::vector<runtime::simulator::StoredKernel> kernels;
  for (std::size_t k = 0; k < artifact.kernels.size(); ++k) {
    std::vector<int> lines = module.lines[k];
    for (int& line : lines) line += line > 0 ? lines_above : 0;
    kernels.push_back({artifact.kernels[k].thread, std::move(lines)});
  }
  artifact.binary.bytes = runtime::simulator::to_bytes(kernels);
}

// One kernel of one variant, pass by pass; each leaves a program that obeys the rules of its form.
LoweredKernel lower(const ScheduledKernel& kernel, std::size_t k, const VariantFacts& variant, int number,
                    const Target& target) {
  const auto passed = [](std::string_view pass, const ir::Kernel& program) {
    dump(pass, [&] { return ir::to_string(program); });
    ir::verify(program);
  };
  LoweredKernel result{
      .number = k, .variant = number, .schedule = compiler::to_string(kernel.schedule, kernel.strategy->fields)};
  ir::Kernel& tile = result.tile;
  tile = kernel.strategy->emit(kernel.program, kernel.schedule, target, variant.facts);
  tile.name = fmt::format("{}_{}_{}", kernel.program.name, k, number);
  result.note = tile.comment;
  tile.comment = fmt::format("{}\n{}\nvariant: {}{}{}", ir::to_string(kernel.program), result.schedule, variant.name,
                             result.note.empty() ? "" : "\n", result.note);
  passed("emit", tile);
  // From here on every buffer is flat and every thread speaks for itself.
  ir::Kernel& thread = result.thread;
  thread = compiler::expand_tiles(tile);
  passed("expand_tiles", thread);
  if (target.is_gpu()) thread = compiler::peel_checks(thread);
  passed("peel_checks", thread);
  // From here on indices have their final width.
  if (variant.narrow) thread = compiler::narrow_indices(thread);
  passed("narrow_indices", thread);
  if (target.is_gpu()) thread = compiler::carry(thread);
  passed("carry", thread);
  if (target.is_gpu()) thread = compiler::hoist(thread);
  passed("hoist", thread);
  return result;
}

struct LoweredVariant {
  Variant planned;
  std::vector<LoweredKernel> kernels;
};

LoweredVariant lower_variant(const ScheduledProgram& scheduled, const VariantFacts& variant, int number,
                             const Target& target) {
  LoweredVariant result;
  std::vector<ir::Kernel> threads;
  std::vector<ir::Program> programs;
  std::string note;
  for (std::size_t k = 0; k < scheduled.kernels.size(); ++k) {
    const ScheduledKernel& kernel = scheduled.kernels[k];
    programs.push_back(kernel.program);
    threads.emplace_back();
    if (!kernel.program.externs.empty()) continue;  // it is written already
    const LoweredKernel& lowered = result.kernels.emplace_back(lower(kernel, k, variant, number, target));
    threads.back() = lowered.thread;
    if (lowered.note.empty()) continue;
    // By number: a program that is equal up to names takes the plan from the store.
    note += fmt::format("{}kernel {}: {}", note.empty() ? "" : "; ", k + 1, lowered.note);
  }
  result.planned = plan_variant(scheduled.program, variant.guards, scheduled.workspace, threads, programs);
  result.planned.name = variant.name;
  result.planned.note = std::move(note);
  return result;
}

// Each variant on a thread of its own, where there is one to be had: they have nothing to do with one another. What the
// passes leave is dumped in order.
std::vector<LoweredVariant> lower_variants(const ScheduledProgram& scheduled, const Target& target, bool first_only) {
  const std::vector<VariantFacts> variants = variants_of(scheduled, target);
  const std::launch how = dumps() ? std::launch::deferred : std::launch::async | std::launch::deferred;
  std::vector<std::future<LoweredVariant>> others;
  for (std::size_t v = 1; v < (first_only ? 1 : variants.size()); ++v) {
    others.push_back(
        std::async(how, [&, v] { return lower_variant(scheduled, variants[v], static_cast<int>(v), target); }));
  }
  std::vector<LoweredVariant> result;
  result.push_back(lower_variant(scheduled, variants.front(), 0, target));
  for (std::future<LoweredVariant>& other : others) result.push_back(other.get());
  return result;
}

}  // namespace

void check_spills(const std::vector<LoweredKernel>& kernels, const std::vector<Resources>& resources) {
  for (const LoweredKernel& kernel : kernels) {
    const auto own = std::ranges::find(resources, kernel.tile.name, &Resources::kernel);
    if (own == resources.end() || own->spill_bytes == 0) continue;
    if (!shares_out_registers(kernel.tile)) continue;
    throw SpillError(fmt::format("kernel {} spills {} bytes of registers: '{}' leaves too few beside its accumulators "
                                 "for what it computes; take a smaller block, or tune",
                                 kernel.tile.name, own->spill_bytes, kernel.schedule),
                     kernel.number);
  }
}

Artifact compile(const ScheduledProgram& scheduled, const Target& target, const CompileOptions& options) {
  const Clock::time_point start = Clock::now();
  Artifact artifact;
  artifact.plan = plan_frame(scheduled.program, target);
  for (LoweredVariant& variant : lower_variants(scheduled, target, options.fast_variant_only)) {
    std::ranges::move(variant.kernels, std::back_inserter(artifact.kernels));
    artifact.plan.variants.push_back(std::move(variant.planned));
  }
  validate(artifact.plan);
  artifact.binary.target = to_text(target);

  codegen::CudaModule module;
  const std::string externs = extern_source(scheduled);
  if (target.is_gpu()) {
    module = codegen::print_module(threads_of(artifact), target);
    module.source = externs + module.source;
    artifact.source = module.source;
  }
  artifact.times.own = seconds_since(start);
  if (!options.binary) return artifact;
  const Clock::time_point backend = Clock::now();
  if (target.kind == TargetKind::sim) {
    store_for_simulator(artifact, module, static_cast<int>(std::ranges::count(externs, '\n')));
  } else if (target.is_gpu()) {
    compile_cuda(artifact, scheduled, module, target, options);
  } else {
    compile_cpu(artifact, target);
  }
  artifact.times.backend = seconds_since(backend);
  return artifact;
}

}  // namespace quern::pipeline
