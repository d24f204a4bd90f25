// Structural equality of kernels: both are walked side by side; what the second declares is renamed to what the first
// declared in its place.

#include <algorithm>

#include "ir/kernel_rewrite.h"

namespace quern::ir {
namespace {

class KernelMatcher {
 public:
  bool match(const Kernel& a, const Kernel& b) {
    if (a.name != b.name || a.comment != b.comment || a.form != b.form || a.cluster != b.cluster ||
        a.warps != b.warps || a.lanes != b.lanes || a.min_blocks_per_sm != b.min_blocks_per_sm) {
      return false;
    }
    if (!all(a.symbols, b.symbols, [&](const VarRef& x, const VarRef& y) { return bind(x, y); })) return false;
    const auto declared = [&](const BufferRef& x, const BufferRef& y) { return bind(x, y); };
    if (!all(a.params, b.params, declared) || !all(a.shared, b.shared, declared)) return false;
    if (!all(a.maps, b.maps, [&](const auto& x, const auto& y) { return match(x, y); })) return false;
    if (!all(a.facts, b.facts, [&](const Fact& x, const Fact& y) { return match(x, y); })) return false;
    if (!match(a.grid, b.grid)) return false;
    if (!all(a.block, b.block, [&](const VarRef& x, const VarRef& y) { return bind(x, y); })) return false;
    return bind(a.warp, b.warp) && bind(a.lane, b.lane) && match_body(a.body, b.body);
  }

 private:
  template <typename T, typename F>
  static bool all(const std::vector<T>& a, const std::vector<T>& b, F&& same) {
    return std::ranges::equal(a, b, same);
  }

  bool bind(const VarRef& a, const VarRef& b) {
    if (!a || !b) return !a && !b;
    if (a->dtype != b->dtype) return false;
    variables_[b] = Expr(a);
    return true;
  }

  bool bind(const BufferRef& a, const BufferRef& b) {
    if (a->dtype != b->dtype || a->constant != b->constant || a->space != b->space || !(a->layout == b->layout) ||
        a->alignment != b->alignment || !match(a->shape, b->shape) || !match(a->strides, b->strides)) {
      return false;
    }
    tensors_[b.get()] = a;
    return true;
  }

  bool match(const Expr& a, const Expr& b) const {
    if (!a || !b) return !a && !b;
    return equal(a, replace_tensors(substitute(b, variables_), tensors_));
  }
  bool match(const std::vector<Expr>& a, const std::vector<Expr>& b) const {
    return all(a, b, [&](const Expr& x, const Expr& y) { return match(x, y); });
  }
  bool match_default(const Expr& a, const Expr& b, const Expr& otherwise) const {
    return match(a ? a : otherwise, b ? b : otherwise);
  }

  bool same(const TensorRef& a, const TensorRef& b) const {
    if (!a || !b) return !a && !b;
    const auto found = tensors_.find(b.get());
    return found != tensors_.end() && found->second == a;
  }
  bool same(const std::vector<BufferRef>& a, const std::vector<BufferRef>& b) const {
    return all(a, b, [&](const BufferRef& x, const BufferRef& y) { return same(x, y); });
  }

  bool match(const Fact& a, const Fact& b) const {
    const auto variable = [](const VarRef& var) { return var ? Expr(var) : Expr(); };
    return a.kind == b.kind && a.bytes == b.bytes && match(a.condition, b.condition) && same(a.tensor, b.tensor) &&
           match(variable(a.symbol), variable(b.symbol)) && match(a.lo, b.lo) && match(a.hi, b.hi);
  }

  bool match(const TensorMapParam& a, const TensorMapParam& b) const {
    return same(a.buffer, b.buffer) && match_default(a.byte_offset, b.byte_offset, 0) && a.mode == b.mode &&
           match(a.dims, b.dims) && match(a.byte_strides, b.byte_strides) && a.element_strides == b.element_strides &&
           a.box == b.box && match(a.lower_corner, b.lower_corner) && match(a.upper_corner, b.upper_corner) &&
           a.channels == b.channels && a.pixels == b.pixels && a.swizzle == b.swizzle && a.fill == b.fill &&
           a.l2_promotion == b.l2_promotion;
  }

  bool match_body(const Stmt& a, const Stmt& b) {
    const std::vector<Stmt> x = statements(a), y = statements(b);
    return all(x, y, [&](const Stmt& p, const Stmt& q) { return match(p, q); });
  }

  bool match(const Stmt& a, const Stmt& b) {
    if (a->value.index() != b->value.index()) return false;
    return std::visit(
        [&]<typename T>(const T& x) {
          const T& y = std::get<T>(b->value);
          return match(x, y);
        },
        a->value);
  }

  bool match(const Block& a, const Block& b) {
    return all(a.body, b.body, [&](const Stmt& p, const Stmt& q) { return match(p, q); });
  }
  bool match(const Alloc& a, const Alloc& b) { return bind(a.buffer, b.buffer); }
  bool match(const For& a, const For& b) {
    return a.kind == b.kind && match(a.lo, b.lo) && match(a.hi, b.hi) && match_default(a.step, b.step, 1) &&
           bind(a.var, b.var) && match_body(a.body, b.body);
  }
  bool match(const If& a, const If& b) {
    return match(a.condition, b.condition) && match_body(a.then, b.then) && match_body(a.otherwise, b.otherwise);
  }
  bool match(const Let& a, const Let& b) { return match(a.value, b.value) && bind(a.var, b.var); }
  bool match(const Store& a, const Store& b) const {
    return same(a.buffer, b.buffer) && match(a.index, b.index) && match(a.value, b.value) && a.atomic == b.atomic &&
           a.hint == b.hint;
  }
  bool match(const Move& a, const Move& b) const {
    return same(a.to, b.to) && match(a.to_index, b.to_index) && same(a.from, b.from) &&
           match(a.from_index, b.from_index) && a.width == b.width && a.hint == b.hint;
  }
  bool match(const Intrinsic& a, const Intrinsic& b) const { return a.id == b.id && match(a.args, b.args); }
  bool match(const Axis& a, const Axis& b) { return match(a.lo, b.lo) && match(a.hi, b.hi) && bind(a.var, b.var); }
  bool match(const Map& a, const Map& b) {
    return a.distribution == b.distribution && a.via == b.via && a.multicast == b.multicast &&
           all(a.axes, b.axes, [&](const Axis& x, const Axis& y) { return match(x, y); }) && match(a.where, b.where) &&
           match(a.barrier, b.barrier) && match_body(a.body, b.body);
  }
  bool match(const Fold& a, const Fold& b) const {
    return a.reducer == b.reducer && a.over == b.over && same(a.to, b.to) && same(a.from, b.from);
  }
  bool match(const Mma& a, const Mma& b) {
    return a.kind == b.kind && match(a.i, b.i) && match(a.j, b.j) && match(a.k, b.k) && same(a.acc, b.acc) &&
           match(a.a, b.a) && match(a.b, b.b) && match_default(a.accumulate, b.accumulate, boolean(true));
  }
  bool match(const Role& a, const Role& b) {
    return a.name == b.name && a.lo == b.lo && a.hi == b.hi && a.registers == b.registers && a.elected == b.elected &&
           a.groups == b.groups && bind(a.group, b.group) && match_body(a.body, b.body);
  }

  Substitution variables_;
  TensorMap tensors_;
};

}  // namespace

bool equal(const Kernel& a, const Kernel& b) { return KernelMatcher().match(a, b); }

}  // namespace quern::ir
