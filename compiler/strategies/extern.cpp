// extern: a user's own CUDA kernel, launched as it is. There is nothing to choose and nothing to write.

#include "base/error.h"
#include "compiler/strategies/table.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

const FieldList kFields{"extern", {}};

Verdict matches(const Program& program, const Target&) { return {program.externs.empty() ? "it is no extern" : ""}; }
Schedule fallback(const Program&, const Target&) { return default_schedule(kFields); }
std::vector<Schedule> candidates(const Program&, const Target&) { return {default_schedule(kFields)}; }

Verdict check(const Program& program, const Schedule&, const Target& target) {
  if (target.kind == TargetKind::cuda) return {};
  return {
      fmt::format("extern {} is CUDA text, which runs on GPUs alone; write it as definitions, or choose a cuda target",
                  program.externs[0].name)};
}

std::optional<Rewrite> rewrite(const Program&, const Schedule&) { return std::nullopt; }
Kernel emit(const Program&, const Schedule&, const Target&, std::span<const Fact>) {
  unreachable("an extern is written already");
}

}  // namespace

const Strategy kExtern{kFields, matches, fallback, candidates, check, rewrite, emit};

}  // namespace quern::compiler
