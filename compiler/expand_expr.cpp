// Expressions of expand_tiles: variables substituted, buffers flat, fills guarded.

#include "base/error.h"
#include "compiler/expander.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

Expr Expander::rewrite(const Expr& e) {
  if (!e) return e;
  switch (e->kind) {
    case ExprKind::constant:
      return e;
    case ExprKind::variable: {
      const auto it = substitution_.find(e->var.get());
      return it == substitution_.end() ? e : it->second;
    }
    case ExprKind::read:
      return rewrite_read(e);
    case ExprKind::reduce:
      unreachable("a kernel program holds no reductions");
    case ExprKind::call:
    case ExprKind::cast:
      break;
  }
  std::vector<Expr> args;
  args.reserve(e->args.size());
  for (const Expr& arg : e->args) args.push_back(rewrite(arg));
  return with_children(e, std::move(args), {}, {});
}

Expr Expander::simplified(const Expr& e) { return simplify(rewrite(e), assumptions_); }

Expr Expander::rewrite_read(const Expr& e) {
  const Buffer& buffer = as_buffer(*e->tensor);
  const std::vector<Expr> index = placed(buffer, e->args);
  const Expr value = read(flat(buffer), {flat_index(buffer, index)});
  if (!e->fill) return value;
  const Expr condition = inside(buffer, index);
  return condition ? select(condition, value, rewrite(e->fill)) : value;
}

// The indices after substitution; a fragment's name the tile's axes, which register_index looks up itself.
std::vector<Expr> Expander::placed(const Buffer& buffer, const std::vector<Expr>& index) {
  if (buffer.space == Space::fragment) return index;
  std::vector<Expr> result;
  for (const Expr& i : index) result.push_back(cast(DType::i64, rewrite(i)));
  return result;
}

TensorRef Expander::flat(const Tensor& buffer) {
  const auto it = flat_.find(&buffer);
  ensure(it != flat_.end(), fmt::format("the buffer {} is declared before it is used", buffer.name));
  return it->second;
}

Expr Expander::flat_index(const Buffer& buffer, const std::vector<Expr>& index) {
  switch (buffer.space) {
    case Space::fragment:
      return register_index(buffer, index);
    case Space::shared:
    case Space::barrier:
      return simplify(apply(buffer.layout, Place::address, index), assumptions_);
    case Space::global:
      break;
  }
  const std::vector<Expr> strides = element_strides(buffer);
  Expr offset = 0;
  for (std::size_t d = 0; d < index.size(); ++d) offset = offset + index[d] * strides[d];
  return simplify(offset, assumptions_);
}

Mode significant(const Mode& mode) {
  Mode digits;
  for (const Digit& digit : mode) {
    if (digit.extent > 1) digits.push_back(digit);
  }
  return digits;
}

// The register of a fragment at axes of the map at hand, whose digits it shares. A slice, axis + a multiple of the
// axis' extent, walks on along the digit that the map cuts short.
Expr Expander::register_index(const Buffer& fragment, const std::vector<Expr>& index) {
  Expr offset = 0;
  for (std::size_t d = 0; d < index.size(); ++d) {
    const Mode digits = significant(fragment.layout.modes[d]);
    if (digits.empty()) continue;
    ensure(tile_.has_value(), fmt::format("the fragment {} is indexed by the axes of a map", fragment.name));
    std::size_t axis = 0;
    while (axis < tile_->axes->size() && !uses(index[d], (*tile_->axes)[axis].var)) ++axis;
    ensure(axis < tile_->axes->size(), fmt::format("the fragment {} is indexed by axes", fragment.name));
    const Mode held = significant(tile_->layout->modes[axis]);
    ensure(held.size() == digits.size(), fmt::format("the fragment {} is distributed as its map", fragment.name));
    std::int64_t weight = 1;
    for (std::size_t g = 0; g < digits.size(); ++g) {
      const bool last = g + 1 == digits.size() && digits[g].place == Place::reg;
      const bool alike = (held[g].extent == digits[g].extent || (last && held[g].extent < digits[g].extent)) &&
                         held[g].place == digits[g].place &&
                         (held[g].place == Place::reg || held[g].stride == digits[g].stride);
      ensure(alike, fmt::format("the fragment {} is distributed as its map", fragment.name));
      if (digits[g].place == Place::reg) offset = offset + tile_->values->digits[axis][g] * digits[g].stride;
      if (!last) weight *= digits[g].extent;
    }
    const Expr rest =
        simplify(rewrite(simplify(index[d] - Expr((*tile_->axes)[axis].var), assumptions_)), assumptions_);
    if (!is_integer(rest, 0)) {
      ensure(divisor(rest, assumptions_) % extent(held) == 0 && digits.back().place == Place::reg,
             fmt::format("a slice of the fragment {} begins at a multiple of its length", fragment.name));
      offset = offset + div(rest, weight) * digits.back().stride;
    }
  }
  return simplify(offset, assumptions_);
}

// The condition that `index` lies within the tensor, without the parts that are known; absent when all are.
Expr Expander::inside(const Tensor& tensor, const std::vector<Expr>& index) {
  Expr condition;
  for (std::size_t d = 0; d < index.size(); ++d) {
    for (const Expr& part : {less_equal(0, index[d]), less(index[d], tensor.shape[d])}) {
      const Expr known = simplify(part, assumptions_);
      if (!is_integer(known, 1)) condition = both(condition, known);
    }
  }
  return condition;
}

BufferRef Expander::declare(std::string name, DType dtype, Space space, std::int64_t elements) {
  return make_buffer(std::move(name), dtype, space, row_major(std::vector<std::int64_t>{elements}));
}

}  // namespace quern::compiler
