// What wgmma computes: contractions whose factors bulk copies bring in tiles.

#include <algorithm>

#include "base/error.h"
#include "compiler/strategies/wgmma.h"
#include "ir/printer.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

constexpr std::int64_t kMostStride = 8, kMostOffset = 255, kLeastCorner = -128, kMostCorner = 127;  // of im2col

bool is_axis(const Expr& index, const std::vector<Axis>& axes) {
  return std::ranges::any_of(axes, [&](const Axis& axis) { return is_variable(index, axis.var); });
}

bool is_zero(const Expr& fill) {
  return is_constant(fill) && (is_float(fill->dtype) ? fill->real == 0 : fill->integer == 0);
}

// Every index is an axis of its own.
bool is_tile(const Expr& source, const Contraction& c, const std::vector<Axis>& own) {
  if (source->fill && !is_zero(source->fill)) return false;
  std::vector<const Variable*> seen;
  for (const Expr& index : source->args) {
    if (!is_axis(index, c.batch) && !is_axis(index, own) && !is_axis(index, c.k)) return false;
    if (std::ranges::find(seen, index->var.get()) != seen.end()) return false;
    seen.push_back(index->var.get());
  }
  return true;
}

int reads_of(const Program& program, const Tensor& tensor) {
  int count = 0;
  for (const Definition& definition : program.definitions) {
    visit(definition.value, [&](const Expr& e) {
      count += e->kind == ExprKind::read && e->tensor.get() == &tensor ? 1 : 0;
      return true;
    });
  }
  return count;
}

// Why it is no x[position, ..., k], whose positions are all the axes of m, in their order and dense, and which is read
// nowhere else; empty: it is.
std::string why_no_rows(const Program& program, const Expr& source, const Contraction& c) {
  const Tensor& tensor = *source->tensor;
  const auto is_position = [&](std::size_t d) {
    return is_variable(source->args[d], c.m[d].var) &&
           (d == 0 || equal(simplify(c.m[d].hi), simplify(tensor.shape[d])));
  };
  bool is_matrix = c.batch.empty() && c.k.size() == 1 && source->args.size() == c.m.size() + 1 &&
                   is_axis(source->args.back(), c.k) && (!source->fill || is_zero(source->fill));
  for (std::size_t d = 0; is_matrix && d < c.m.size(); ++d) is_matrix = is_position(d);
  if (!is_matrix) return fmt::format("no bulk copy brings tiles of {}", to_string(source));
  if (!tensor.strides.empty()) return fmt::format("{} of several axes of rows has written strides", tensor.name);
  if (reads_of(program, tensor) > 1) {
    return fmt::format("{} of several axes of rows is read elsewhere in the kernel too", tensor.name);
  }
  return {};
}

// The stride of an index of a convolution from position to position; 1 where there is one alone.
std::optional<std::int64_t> stride_of(const Expr& index, const Axis& position, const Assumptions& known) {
  if (is_integer(simplify(position.hi, known), 1)) return 1;
  const auto stride = coefficient(index, position.var, known);
  return stride ? as_integer(*stride) : std::nullopt;
}

// Whether an index at position 0 depends on axes of the sum alone.
bool is_tap(const Expr& index, const Contraction& c) {
  const auto stands_in = [&](const Axis& axis) { return uses(index, axis.var); };
  return tensors_read(index).empty() && std::ranges::none_of(c.m, stands_in) && std::ranges::none_of(c.n, stands_in);
}

Expr tap_of(const Expr& index, const Axis& position, const Assumptions& known) {
  return simplify(substitute(index, {{position.var, Expr(0)}}), known);
}

// x[image, ..., position * stride + tap, channel]: images and positions are the axes of m, taps and channel those of k.
bool is_convolution(const Expr& source, const Contraction& c, const Assumptions& known) {
  const std::vector<Expr>& index = source->args;
  const std::size_t rank = index.size();
  if (rank < 3 || c.m.size() != rank - 1 || !c.batch.empty()) return false;
  if (source->fill && !is_zero(source->fill)) return false;
  if (!is_variable(index[0], c.m[0].var) || !is_axis(index[rank - 1], c.k)) return false;
  for (std::size_t d = 1; d + 1 < rank; ++d) {
    const auto stride = stride_of(index[d], c.m[d], known);
    if (!stride || *stride < 1 || !is_tap(tap_of(index[d], c.m[d], known), c)) return false;
  }
  return true;
}

// What of a convolution no im2col map says (hopper.md 3.2); empty: one says it all.
std::string beyond_im2col(const Expr& source, const Contraction& c, const Assumptions& known) {
  const Tensor& tensor = *source->tensor;
  const std::size_t rank = source->args.size();
  if (rank != 4) return fmt::format("{} spatial axes of {}, of which bulk copies take 2", rank - 2, tensor.name);
  for (std::size_t d = 1; d + 1 < rank; ++d) {
    const std::int64_t stride = *stride_of(source->args[d], c.m[d], known);
    if (stride > kMostStride)
      return fmt::format("steps of {} along {}, of at most {}", stride, tensor.name, kMostStride);
    const Interval taps = range(tap_of(source->args[d], c.m[d], known), known);
    if (!taps.lo || !taps.hi) return fmt::format("the taps along axis {} of {} are not known", d, tensor.name);
    if (*taps.hi - *taps.lo > kMostOffset) {
      return fmt::format("taps that reach over {} elements along {}, of at most {}", *taps.hi - *taps.lo + 1,
                         tensor.name, kMostOffset + 1);
    }
    // Where the first tap's window begins beside the image, and where it ends beside it.
    const Expr upper = Expr(*taps.lo) + (c.m[d].hi - 1) * stride - (tensor.shape[d] - 1);
    const Interval corner = range(simplify(upper, known), known);
    for (const auto& end : {taps.lo, corner.lo, corner.hi}) {
      if (!end) return fmt::format("where windows end along axis {} of {} is not known", d, tensor.name);
      if (*end >= kLeastCorner && *end <= kMostCorner) continue;
      return fmt::format("the first tap's window begins or ends {} elements beside {}, of {} to {}", *end, tensor.name,
                         kLeastCorner, kMostCorner);
    }
  }
  return {};
}

// The element of an input that a factor widens.
Expr widened_input(const Program& program, const Expr& factor) {
  const Expr source = widened_half(program, factor);
  return source && is_input(program, *source->tensor) ? source : Expr();
}

// Why tensor cores do not form this product; empty where they do.
std::string why_no_product(const Program& program, const Contraction& c) {
  const auto updates = [&](const Contraction::RowSum& sum) {
    return std::ranges::any_of(program.outputs,
                               [&](const Output& o) { return o.tensor == sum.definition->tensor && o.updates; });
  };
  if (std::ranges::any_of(c.row_sums, updates)) return "a sum of its rows updates an output";
  const Definition& product = *c.product;
  const Contract& contract = product.value->reduce->contract;
  const DType sum = contract.accumulator.value_or(product.value->dtype);
  if (product.value->dtype != DType::f32) {
    return fmt::format("the products of {} are formed in {}, not in f32", product.tensor->name,
                       name(product.value->dtype));
  }
  if (sum != DType::f32) return fmt::format("{} is summed in {}, not in f32", product.tensor->name, name(sum));
  if (contract.order != Order::any) return fmt::format("{} is summed in a given order", product.tensor->name);
  if (c.k.empty()) return "it sums over no axis";
  if (c.n.size() != 1) return fmt::format("the factor {} has {} axes of its own, not one", to_string(c.b), c.n.size());
  return {};
}

// Why no tile of products has the columns that sums of rows' tiles are of; empty where one has.
std::string why_no_width(const Contraction& c) {
  std::int64_t width = 0;
  for (const Contraction::RowSum& sum : c.row_sums) {
    if (sum.width == 0) continue;
    if (width != 0 && width != sum.width)
      return fmt::format("rows are summed in tiles of {} and of {}", width, sum.width);
    width = sum.width;
  }
  if (width == 0 || is_wgmma_width(width)) return {};
  return fmt::format("rows are summed in tiles of {} columns, not of a multiple of 16 from 16 to 256", width);
}

// Why a factor is no element of an input of 2-byte floats.
std::string why_no_element(const Program& program, const Expr& factor) {
  const Expr& inner = factor->kind == ExprKind::cast ? factor->args[0] : factor;
  if (inner->kind != ExprKind::read || !is_input(program, *inner->tensor)) {
    return fmt::format("the factor {} is computed, not read from an input of the kernel", to_string(factor));
  }
  return fmt::format("{} is of {}, not of bf16 or f16 widened to f32", inner->tensor->name, name(inner->dtype));
}

}  // namespace

std::variant<WgmmaProblem, std::string> analyze_wgmma(const Program& program) {
  const auto contraction = analyze_contraction(program, true);
  if (!contraction) {
    return "it is no sum of products of two factors over whole axes, each of which is a row, a column or a depth";
  }
  WgmmaProblem problem{*contraction, {}, {}, {}, {}, {}, {}, {}};
  const Contraction& c = problem.contraction;
  if (std::string reason = why_no_product(program, c); !reason.empty()) return reason;
  if (std::string reason = why_no_width(c); !reason.empty()) return reason;
  problem.a.source = widened_input(program, c.a);
  problem.b.source = widened_input(program, c.b);
  const Expr &a = problem.a.source, &b = problem.b.source;
  if (!a || !b) return why_no_element(program, a ? c.b : c.a);
  if (a->args.empty()) return fmt::format("{} is one element, not a matrix", a->tensor->name);
  if (a->dtype != b->dtype) return fmt::format("it multiplies {} by {}", name(a->dtype), name(b->dtype));
  std::vector<Axis> axes = c.product->axes;
  axes.insert(axes.end(), c.k.begin(), c.k.end());
  const Assumptions known = known_in(program, program.facts, axes);
  problem.a.im2col = is_convolution(a, c, known);
  if (problem.a.im2col) problem.a.beyond_im2col = beyond_im2col(a, c, known);
  if (!problem.a.beyond_im2col.empty() &&
      std::ranges::all_of(a->args, [](const Expr& index) { return index->kind == ExprKind::variable; })) {
    // No windows at all: what they are beyond does not matter where they are rows.
    problem.a.beyond_im2col = why_no_rows(program, a, c);
    problem.a.im2col = !problem.a.beyond_im2col.empty();
  }
  problem.a.is_rows = !problem.a.im2col && c.m.size() > 1;
  if (problem.a.is_rows) {
    if (const std::string reason = why_no_rows(program, a, c); !reason.empty()) return reason;
  } else if (!problem.a.im2col && !is_tile(a, c, c.m)) {
    return fmt::format("no bulk copy brings tiles of {}", to_string(a));
  }
  if (!is_tile(b, c, c.n)) return fmt::format("no bulk copy brings tiles of {}", to_string(b));
  // The axis that memory walks, where it is one of k.
  const auto innermost = [&](const Expr& source) {
    return std::ranges::find_if(c.k, [&](const Axis& axis) { return is_variable(source->args.back(), axis.var); });
  };
  const auto a_inner = innermost(a), b_inner = innermost(b);
  const auto in_both = std::ranges::find_if(c.k, [&](const Axis& k) { return uses(a, k.var) && uses(b, k.var); });
  const auto inner = a_inner != c.k.end() ? a_inner : b_inner != c.k.end() ? b_inner : in_both;
  if (inner == c.k.end()) return "no axis of the sum stands in both factors";
  if (b_inner != c.k.end() && b_inner != inner) {
    return fmt::format("{} and {} walk the axes of the sum in different orders", to_string(a), to_string(b));
  }
  problem.a.k_contiguous = a_inner != c.k.end();
  problem.b.k_contiguous = b_inner != c.k.end();
  // Beyond the axis both bring zeros: what one of them holds there may be a NaN.
  for (const Expr& source : {a, b}) {
    if (!uses(source, inner->var))
      return fmt::format("{} does not depend on {}, along which the sum is cut into steps", source->tensor->name,
                         inner->var->name);
    if (!spans(source, *inner))
      return fmt::format("the sum over {} does not end where {} does", inner->var->name, source->tensor->name);
  }
  for (auto axis = c.k.begin(); axis != c.k.end(); ++axis) {
    if (axis != inner) problem.outer_k.push_back(*axis);
  }
  problem.inner_k = *inner;
  problem.m = extent_product(c.m);
  problem.n = extent_product(c.n);
  problem.batch = extent_product(c.batch);
  return problem;
}

WgmmaProblem wgmma_problem(const Program& program) {
  auto analysis = analyze_wgmma(program);
  ensure(std::holds_alternative<WgmmaProblem>(analysis), "the strategy matches the kernel");
  return std::get<WgmmaProblem>(std::move(analysis));
}

BufferRef as_matrix(Kernel& kernel, const TensorRef& param, const Expr& rows, const Expr& columns) {
  const auto at = std::ranges::find_if(kernel.params, [&](const BufferRef& p) { return p == param; });
  ensure(at != kernel.params.end(), "a matrix is a parameter");
  auto matrix = std::make_shared<Buffer>(**at);
  matrix->shape = {rows, columns};
  for (Fact& fact : kernel.facts) {
    if (fact.tensor == param) fact.tensor = matrix;
  }
  *at = matrix;
  return matrix;
}

bool is_row_major(const WgmmaProblem& problem, const Definition& definition, const AxisMap& to_space) {
  const Contraction& c = problem.contraction;
  if (definition.axes.empty() || byte_size(definition.tensor->dtype) != 2) return false;
  std::vector<Expr> index;
  for (const Axis& axis : definition.axes) index.push_back(substitute(Expr(axis.var), to_space));
  if (!is_variable(index.back(), c.n[0].var)) return false;
  // One axis of m, or all of them in their order and dense, which are rows of a matrix.
  std::vector<const Variable*> expected;
  for (const Axis& axis : c.m) expected.push_back(axis.var.get());
  std::vector<const Variable*> found;
  for (std::size_t d = 0; d + 1 < index.size(); ++d) {
    if (is_axis(index[d], c.m)) {
      found.push_back(index[d]->var.get());
    } else if (!is_axis(index[d], c.batch)) {
      return false;
    }
  }
  if (found != expected) return false;
  return c.m.size() == 1 || (definition.tensor->strides.empty() && found.size() + 1 == index.size());
}

int wgmma_staged_outputs(const Program& program, const WgmmaProblem& problem) {
  int count = 0;
  for (const Contraction::Member& member : problem.contraction.epilogue) {
    const bool leaves = is_output(program, *member.definition->tensor);
    count += leaves && is_row_major(problem, *member.definition, member.to_space) ? 1 : 0;
  }
  return count;
}

}  // namespace quern::compiler
