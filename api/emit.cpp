// The stages on the way from a program to machine code, as text.

#include <array>

#include "api/executable.h"
#include "base/error.h"
#include "ir/kernel_printer.h"
#if QUERN_WITH_CPU
#include "codegen/llvm/llvm.h"
#endif

namespace quern {
namespace {

struct StageRow {
  Stage stage;
  std::string_view name;
  enum class On : std::uint8_t { all, gpu, cuda, cpu } on;
};

constexpr std::array kStages = {
    StageRow{Stage::tensor, "tensor", StageRow::On::all}, StageRow{Stage::tile, "tile", StageRow::On::all},
    StageRow{Stage::thread, "thread", StageRow::On::all}, StageRow{Stage::cuda, "cuda", StageRow::On::gpu},
    StageRow{Stage::ptx, "ptx", StageRow::On::cuda},      StageRow{Stage::cubin, "cubin", StageRow::On::cuda},
    StageRow{Stage::sass, "sass", StageRow::On::cuda},    StageRow{Stage::llvm, "llvm", StageRow::On::cpu},
    StageRow{Stage::assembly, "asm", StageRow::On::cpu},  StageRow{Stage::plan, "plan", StageRow::On::all},
};

const StageRow& row_of(Stage stage) { return kStages[static_cast<std::size_t>(stage)]; }

std::string known_stages() {
  std::string text;
  for (const StageRow& row : kStages) text += fmt::format("{}{}", text.empty() ? "" : ", ", row.name);
  return text;
}

}  // namespace

Stage parse_stage(std::string_view name) {
  for (const StageRow& row : kStages) {
    if (row.name == name) return row.stage;
  }
  fail("unknown stage '{}'; there are: {}", name, known_stages());
}

std::string_view name(Stage stage) { return row_of(stage).name; }

namespace api {
namespace {

pipeline::Artifact compile_again(const Compiled& compiled, const pipeline::CompileOptions& options) {
  const Scheduled scheduled = schedule_program(compiled.program, compiled.target, compiled.schedule);
  return pipeline::compile(scheduled.program, compiled.target, options);
}

// Without machine code.
pipeline::Artifact lower(const Compiled& compiled) { return compile_again(compiled, {.binary = false}); }

std::string kernels_text(const Compiled& compiled, ir::Kernel pipeline::LoweredKernel::* form) {
  const pipeline::Artifact artifact = lower(compiled);
  std::string text;
  for (const pipeline::LoweredKernel& kernel : artifact.kernels) text += ir::to_string(kernel.*form) + "\n";
  return text;
}

std::string cpu_text([[maybe_unused]] const Compiled& compiled, [[maybe_unused]] Stage stage) {
#if QUERN_WITH_CPU
  const pipeline::Artifact artifact = lower(compiled);
  std::vector<ir::Kernel> threads;
  threads.reserve(artifact.kernels.size());
  for (const pipeline::LoweredKernel& kernel : artifact.kernels) threads.push_back(kernel.thread);
  return stage == Stage::llvm ? codegen::emit_llvm(threads, compiled.target, true)
                              : codegen::emit_asm(threads, compiled.target);
#else
  fail("stage {} needs LLVM, which this build of Quern was made without (QUERN_CPU=OFF)", name(stage));
#endif
}

void check_exists(const StageRow& row, const Target& target) {
  if (row.on == StageRow::On::all) return;
  if ((row.on == StageRow::On::cpu) == target.is_gpu()) {
    fail("there is no {} of a program for {}; it exists for {}s", row.name, to_text(target),
         row.on == StageRow::On::cpu ? "CPU" : "GPU");
  }
  if (row.on == StageRow::On::cuda && target.kind == TargetKind::sim) {
    fail("there is no {} of a program for {}, which runs its thread form; compile it for cuda:{}", row.name,
         to_text(target), target.arch);
  }
}

}  // namespace

std::string emit(const Compiled& compiled, Stage stage, const std::string& nvrtc) {
  check_exists(row_of(stage), compiled.target);
  const std::vector<std::byte>& binary = compiled.binary.bytes;
  switch (stage) {
    case Stage::tensor:
      return compiled.program.text();
    case Stage::tile:
      return kernels_text(compiled, &pipeline::LoweredKernel::tile);
    case Stage::thread:
      return kernels_text(compiled, &pipeline::LoweredKernel::thread);
    case Stage::cuda:
      return lower(compiled).source;
    case Stage::ptx:
      return compile_again(compiled, {.nvrtc_path = nvrtc}).ptx;
    case Stage::cubin:
      return {reinterpret_cast<const char*>(binary.data()), binary.size()};
    case Stage::sass:
      return disassemble(binary);
    case Stage::llvm:
    case Stage::assembly:
      return cpu_text(compiled, stage);
    case Stage::plan:
      return to_json(compiled.plan);
  }
  unreachable("a stage");
}

}  // namespace api
}  // namespace quern
