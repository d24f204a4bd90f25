#pragma once
// contraction: out[batch, m, n] = sum over k of a[batch, m, k] * b[batch, k, n], for matmul, convolution (as an
// implicit matrix product) and einsum alike. What is here is shared by the targets' ways: contraction_gpu.cpp (block,
// warp and thread tiles over staged operands) and contraction_cpu.cpp (packed cache blocks over register tiles).

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "compiler/analysis.h"
#include "compiler/partition.h"
#include "compiler/schedule.h"
#include "compiler/strategies/emitter.h"
#include "compiler/strategies/space.h"

namespace quern::compiler {

// block: elements of m, n and k that a block holds at a time; thread: of m and n in one thread's (on the CPU one
// register tile's) accumulators; stages of shared memory; copy: through registers or asynchronously; split_k: parts of
// k that become a batch of their own, joined by a second kernel; raster: tiles of m that are walked together, for L2;
// pack: where the second operand is packed for the CPU, in each task or once for all calls; pad: whether matrices are
// copied to aligned rows first.
extern const FieldList kContractionFields;

// An operand's tile: what is staged, and how it becomes a factor.
struct Operand {
  ir::Expr source;            // what is staged, of the contraction's axes: a plain read, or a computed value
  ir::Expr factor;            // the factor with `source` standing for itself
  bool plain = false;         // source is one read of an input
  bool k_contiguous = false;  // memory walks k by one, rather than the operand's own axis
  DType dtype() const { return source->dtype; }
};

// Whether cp.async can bring the operand, which fills with zeros alone.
bool copies_asynchronously(const Operand& operand);

// A contraction with what the writers need of it.
struct ContractionProblem {
  Contraction contraction;
  Operand a, b;
  ir::Expr m, n, k, batch;  // extents
};

ContractionProblem analyze_operands(const ir::Program& program, std::span<const ir::Fact> facts);

// The axes at flat coordinates of batch, m, n, k (any may be absent).
ir::Substitution place_axes(const Contraction& contraction, const ir::Expr& batch, const ir::Expr& m, const ir::Expr& n,
                            const ir::Expr& k);

// Emits the epilogue: stores of the product and of what follows it, at the scope's axes; of the `chosen` ones alone,
// where that is given. Whether there are any.
bool store_results(const ir::Program& program, const Contraction& contraction, Emitter::Scope& scope,
                   const ir::Substitution& axes, const std::function<bool(const ir::Definition&)>& chosen = {});

// pack=once (contraction_pack.cpp): whether the second operand depends on const inputs alone, and the two kernels, of
// which the second is the contraction on panels of `width` columns.
bool can_pack_once(const ir::Program& program, const Contraction& contraction);
Partition pack_once(const ir::Program& program, std::int64_t width);

// pad=yes (contraction_pad.cpp): why it is not possible (empty: it is), whether the operands' rows begin at places that
// ask for it, and a copy of each that does not lie aligned, then the contraction.
std::string why_not_padded(const ContractionProblem& problem);
bool is_misaligned(const ContractionProblem& problem);
Partition pad_operands(const ir::Program& program);

// The program without the inputs that nothing reads any more, and with further ones.
void replace_inputs(ir::Program& program, const std::vector<ir::TensorRef>& added);

ir::Kernel emit_contraction_gpu(const ir::Program& program, const Schedule& schedule, const Target& target,
                                std::span<const ir::Fact> facts);
ir::Kernel emit_contraction_cpu(const ir::Program& program, const Schedule& schedule, const Target& target,
                                std::span<const ir::Fact> facts);

}  // namespace quern::compiler
