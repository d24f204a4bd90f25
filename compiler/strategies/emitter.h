#pragma once
// What the strategies share when they write tile form: a kernel's frame, and the lowering of a definition's expression
// to buffers, with producers inlined and materialised tensors taken from their fragments.

#include <map>
#include <span>
#include <utility>
#include <vector>

#include "base/target.h"
#include "ir/kernel.h"
#include "ir/rewrite.h"

namespace quern::compiler {

// The bytes that a tensor's pointer is known to be a multiple of: its element's, unless a fact says more.
std::int64_t alignment_of(const ir::Tensor& tensor, std::span<const ir::Fact> facts);

// A kernel without a body: parameters for the program's inputs and outputs (aligned as the facts say), its symbols, and
// the target's lanes.
ir::Kernel kernel_frame(const ir::Program& program, std::span<const ir::Fact> facts, const Target& target);

// Lowers expressions of one program for one kernel.
class Emitter {
 public:
  Emitter(const ir::Program& program, const ir::Kernel& kernel);

  // From now on a read of `tensor` takes `fragment` at these axes of the map at hand.
  void materialize(const ir::Tensor& tensor, ir::BufferRef fragment, std::vector<ir::Expr> index);
  // From now on reads of `tensor` at exactly this index (after substitution) take `place` instead.
  void stage(const ir::Expr& read, ir::Expr place);

  // The body of one map: expressions lowered at the same axes share their inlined producers as lets.
  class Scope {
   public:
    Scope(const Emitter& emitter, ir::Substitution axes) : emitter_(emitter), axes_(std::move(axes)) {}

    // From here on definitions' axes have these values (other definitions of the same map).
    void enter(ir::Substitution axes) { axes_ = std::move(axes); }
    ir::Expr lower(const ir::Expr& e) { return lower(e, axes_, false); }
    // The same of what stands under a condition: nothing of it is computed ahead.
    ir::Expr lower_conditional(const ir::Expr& e) { return lower(e, axes_, true); }
    // `e` where `where` holds or is absent, `otherwise` elsewhere; what it reads is not read there.
    ir::Expr lower_guarded(const ir::Expr& e, const ir::Expr& where, const ir::Expr& otherwise);
    void let(ir::VarRef var, ir::Expr value);
    void store(const ir::TensorRef& buffer, std::vector<ir::Expr> index, ir::Expr value);
    // tensor[index] = value, to global memory.
    void store_at(const ir::Tensor& tensor, std::vector<ir::Expr> index, ir::Expr value) {
      store(emitter_.param(tensor), std::move(index), std::move(value));
    }
    // tensor[axes] = value of its definition, to global memory.
    void store_output(const ir::Definition& definition);
    ir::Stmt finish() { return body_.size() == 1 ? body_[0] : ir::block(std::move(body_)); }

   private:
    ir::Expr lower(const ir::Expr& e, const ir::Substitution& axes, bool guarded);
    ir::Expr lower_read(const ir::Expr& e, const ir::Substitution& axes, bool guarded);

    const Emitter& emitter_;
    ir::Substitution axes_;
    std::vector<ir::Stmt> body_;
    std::vector<std::pair<ir::Expr, ir::VarRef>> known_;  // reads of inlined producers
  };

  ir::TensorRef param(const ir::Tensor& tensor) const;

 private:
  const ir::Program& program_;
  std::map<const ir::Tensor*, ir::BufferRef> params_;
  std::map<const ir::Tensor*, std::pair<ir::BufferRef, std::vector<ir::Expr>>> fragments_;
  std::vector<std::pair<ir::Expr, ir::Expr>> staged_;
};

// All reads of program inputs that the definitions make, with inlined producers' reads at the readers' indices:
// expressions of the axes of the definitions (substituted by `axes` where they are given).
std::vector<ir::Expr> global_reads(const ir::Program& program, const ir::Expr& e, const ir::Substitution& axes);
// Those of them that happen wherever `e` is computed: not on one side of a selection, nor where a read of an inlined
// producer takes its fill. Only these may be made ahead of time.
std::vector<ir::Expr> certain_reads(const ir::Program& program, const ir::Expr& e, const ir::Substitution& axes);

}  // namespace quern::compiler
