// The contraction on a CPU: a task computes a block of m x n. For each part of k it packs the operands' blocks into its
// scratch (a: row by row; b: panels as wide as a register tile), zeros beyond the edges, and walks the register tiles:
// an outer product per k of a column of broadcasts and two or so vectors (Goto and van de Geijn, Anatomy of
// high-performance matrix multiplication, 2008). Between parts of k the accumulators rest in scratch. A second operand
// that lies in panels already (contraction_pack.cpp) is read where it is.

#include <algorithm>

#include "base/error.h"
#include "compiler/strategies/contraction.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

constexpr const FieldList& kFields = kContractionFields;
constexpr std::int64_t kPitchBytes = 64;  // keeps rows of the packed block out of each other's cache sets

class Writer {
 public:
  Writer(const Program& program, const Schedule& schedule, const Target& target, std::span<const Fact> facts)
      : program_(program),
        problem_(analyze_operands(program, facts)),
        kernel_(kernel_frame(program, facts, target)),
        known_(known_in(program, facts)),
        emitter_(program, kernel_),
        mc_(get(schedule, kFields, "block", 0)),
        nc_(get(schedule, kFields, "block", 1)),
        kc_(get(schedule, kFields, "block", 2)),
        mr_(get(schedule, kFields, "thread", 0)),
        nr_(get(schedule, kFields, "thread", 1)) {
    kernel_.warps = 1;
  }

  Kernel run() {
    const Expr tiles_m = simplify(ceil_div(problem_.m, mc_), known_),
               tiles_n = simplify(ceil_div(problem_.n, nc_), known_);
    const Expr tiles = simplify(tiles_m * tiles_n, known_);
    kernel_.grid = {simplify(problem_.batch * tiles, known_)};
    const VarRef id = make_var("block");
    kernel_.block = {id};
    batch_ = make_var("batch"), m0_ = make_var("m0"), n0_ = make_var("n0"), k0_ = make_var("k0");
    known_ = known_.with(Axis{batch_, 0, problem_.batch})
                 .with(Axis{n0_, 0, simplify(tiles_n * nc_, known_)}, nc_)
                 .with(Axis{k0_, 0, max(problem_.k, 1)}, kc_);
    in_panels_ = static_cast<bool>(panel_read(make_var("jb"), make_var("k"), make_var("j")));
    declare_scratch();
    const auto extent = as_integer(problem_.k);
    one_part_ = extent && *extent <= kc_;
    const VarRef depth = make_var("depth");
    depth_ = extent && *extent > 0 && *extent % kc_ == 0 ? Expr(kc_) : one_part_ ? Expr(*extent) : Expr(depth);
    std::vector<Stmt> part;
    if (depth_->kind == ExprKind::variable) part.push_back(let(depth, min(problem_.k - k0_, kc_)));
    part.push_back(pack(problem_.a, true));
    if (!in_panels_) part.push_back(pack(problem_.b, false));
    part.push_back(tiles_of_block());
    std::vector<Stmt> body{let(batch_, div(Expr(id), tiles)), let(m0_, div(mod(Expr(id), tiles), tiles_n) * mc_),
                           let(n0_, mod(Expr(id), tiles_n) * nc_)};
    // An empty sum is one empty part: the results are still written.
    body.push_back(make_stmt(For{k0_, 0, max(problem_.k, 1), kc_, ForKind::rolled, block(std::move(part))}));
    kernel_.body = block(std::move(body));
    return kernel_;
  }

 private:
  static Stmt let(const VarRef& var, const Expr& value) { return make_stmt(Let{var, value}); }

  DType accumulator() const {
    const Expr& value = problem_.contraction.product->value;
    return value->reduce->contract.accumulator.value_or(value->args[0]->dtype);
  }

  BufferRef scratch(std::string name, DType dtype, const Layout& layout) {
    const BufferRef buffer = make_buffer(std::move(name), dtype, Space::shared, layout, kPitchBytes);
    kernel_.shared.push_back(buffer);
    return buffer;
  }

  void declare_scratch() {
    // Packed operands hold the factors themselves, converted once.
    const DType dtype = problem_.b.factor->dtype;
    const std::int64_t pad = kPitchBytes / byte_size(dtype);
    a_ = scratch("a_s", dtype, padded(std::vector<std::int64_t>{mc_, kc_}, pad));
    c_ = scratch("c_s", accumulator(), row_major(std::vector<std::int64_t>{mc_, nc_}));
    const std::int64_t lanes = kernel_.lanes;
    acc_layout_ = {{{{mr_, Place::reg, nr_ / lanes}}, {{lanes, Place::lane, 1}, {nr_ / lanes, Place::reg, 1}}}, {}};
    if (in_panels_) return;
    // Panels lie a row further apart than they are long: in step they would share the sets of the first-level cache.
    const Digit panel{nc_ / nr_, Place::address, kc_ * nr_ + pad};
    b_ = scratch("b_s", dtype, Layout{{{panel}, {{kc_, Place::address, nr_}}, {{nr_, Place::address, 1}}}, {}});
  }

  // The second operand at panel `jb` of the block, row k of the part and column j of the panel, where memory holds just
  // that: neighbouring columns side by side, from an aligned place on. Else nothing.
  Expr panel_read(const VarRef& jb, const VarRef& k, const VarRef& j) const {
    const Operand& b = problem_.b;
    if (!b.plain || !b.factor.same(b.source) || b.source->fill || b.source->args.empty()) return {};
    const Tensor& tensor = *b.source->tensor;
    if (!tensor.strides.empty() || !is_integer(tensor.shape.back(), nr_)) return {};
    const auto walks = [&](const Axis& axis) { return uses(b.source, axis.var) && !is_integer(axis.hi, 0); };
    if (!std::ranges::all_of(problem_.contraction.k, walks)) return {};
    // Flat coordinates first: taken apart and put together again they stay what they are.
    const VarRef column = make_var("column"), row = make_var("row");
    const Assumptions flat = known_.with(Axis{column, 0, problem_.n}).with(Axis{row, 0, problem_.k});
    const Assumptions known = known_.with(Axis{jb, 0, nc_ / nr_}).with(Axis{j, 0, nr_}).with(Axis{k, 0, kc_});
    const Substitution block{{column, Expr(n0_) + Expr(jb) * nr_ + j}, {row, Expr(k0_) + k}};
    const Expr placed = substitute(b.source, place_axes(problem_.contraction, batch_, {}, Expr(column), Expr(row)));
    std::vector<Expr> index;
    for (const Expr& arg : placed->args) index.push_back(simplify(substitute(simplify(arg, flat), block), known));
    const bool columns_last = is_variable(index.back(), j) &&
                              std::none_of(index.begin(), index.end() - 1, [&](const Expr& e) { return uses(e, j); });
    if (!columns_last) return {};
    return read(emitter_.param(tensor), std::move(index));
  }

  // One operand's block, a row of vectors at a time; memory's own direction goes along the lanes.
  Stmt pack(const Operand& operand, bool is_a) {
    const std::int64_t lanes = kernel_.lanes;
    const bool along_k = operand.k_contiguous;
    const VarRef i = make_var("i"), p = make_var("p"), outer = make_var("row"), inner = make_var("column");
    const Expr own_extent = is_a ? problem_.m : problem_.n;
    const std::int64_t own_block = is_a ? mc_ : nc_;
    const Expr origin = is_a ? Expr(m0_) : Expr(n0_);
    // What the register tiles will read: whole tiles of what is there.
    const std::int64_t unit = is_a ? mr_ : nr_;
    const Expr own_used = min(ceil_div(own_extent - origin, unit) * unit, own_block);
    const Expr own = origin + (along_k ? Expr(outer) : Expr(inner) + i),
               k = Expr(k0_) + (along_k ? Expr(inner) + i : Expr(outer));
    const Expr own_within = own - origin, k_within = k - k0_;
    Emitter::Scope scope(emitter_, is_a ? place_axes(problem_.contraction, batch_, own, {}, k)
                                        : place_axes(problem_.contraction, batch_, {}, own, k));
    const Expr where = both(less(own, own_extent), less(k, problem_.k));
    const Expr zero = constant(operand.dtype(), std::int64_t{0});
    const Expr source = scope.lower_guarded(operand.source, where, zero);
    const Expr value = replace_node(operand.factor, operand.source, source);
    const BufferRef& to = is_a ? a_ : b_;
    std::vector<Expr> index;
    if (is_a) {
      index = {own_within, k_within};
    } else {
      index = {div(own_within, nr_), k_within, mod(own_within, nr_)};
    }
    scope.store(to, std::move(index), value);
    const Layout row{{{{lanes, Place::lane, 1}}}, {}};
    const Expr limit = along_k ? depth_ : own_used;
    Stmt map = make_stmt(Map{
        .axes = {{i, 0, lanes}}, .distribution = row, .where = less(Expr(inner) + i, limit), .body = scope.finish()});
    return make_stmt(For{outer, 0, along_k ? own_used : depth_, 1, ForKind::rolled,
                         make_stmt(For{inner, 0, limit, lanes, ForKind::rolled, std::move(map)})});
  }

  Stmt tiles_of_block() {
    const VarRef ib = make_var("ib"), jb = make_var("jb");
    const Expr rows = min(ceil_div(problem_.m - m0_, mr_), mc_ / mr_),
               columns = min(ceil_div(problem_.n - n0_, nr_), nc_ / nr_);
    const BufferRef acc = make_buffer("acc", accumulator(), Space::fragment, acc_layout_);
    const Axis i{make_var("i"), 0, mr_}, j{make_var("j"), 0, nr_}, k{make_var("k"), 0, depth_};
    const std::vector<Expr> at{Expr(i.var), Expr(j.var)};
    const std::vector<Expr> rest{Expr(ib) * mr_ + i.var, Expr(jb) * nr_ + j.var};
    const auto over_tile = [&](Emitter::Scope& scope, const Expr& where) {
      return make_stmt(Map{.axes = {i, j}, .distribution = acc_layout_, .where = where, .body = scope.finish()});
    };
    Emitter::Scope clear(emitter_, {}), resume(emitter_, {}), keep(emitter_, {}), finish(emitter_, {});
    clear.store(acc, at, constant(acc->dtype, std::int64_t{0}));
    resume.store(acc, at, read(c_, rest));
    keep.store(c_, rest, read(acc, at));
    const Expr m = Expr(m0_) + Expr(ib) * mr_ + i.var, n = Expr(n0_) + Expr(jb) * nr_ + j.var;
    emitter_.materialize(*problem_.contraction.product->tensor, acc, at);
    store_results(program_, problem_.contraction, finish, place_axes(problem_.contraction, batch_, m, n, {}));
    const Expr inside = both(less(m, problem_.m), less(n, problem_.n));
    const Expr first = equals(Expr(k0_), 0), last = less_equal(problem_.k, Expr(k0_) + kc_);
    const Stmt start =
        one_part_ ? over_tile(clear, {}) : make_stmt(If{first, over_tile(clear, {}), over_tile(resume, {})});
    const Stmt end =
        one_part_ ? over_tile(finish, inside) : make_stmt(If{last, over_tile(finish, inside), over_tile(keep, {})});
    const Stmt product =
        make_stmt(Mma{.kind = MmaKind::simt,
                      .i = i,
                      .j = j,
                      .k = k,
                      .acc = acc,
                      .a = read(a_, {Expr(ib) * mr_ + i.var, Expr(k.var)}),
                      .b = in_panels_ ? panel_read(jb, k.var, j.var) : read(b_, {Expr(jb), Expr(k.var), Expr(j.var)})});
    const Stmt tile = block({make_stmt(Alloc{acc}), start, product, end});
    return make_stmt(For{jb, 0, columns, 1, ForKind::rolled, make_stmt(For{ib, 0, rows, 1, ForKind::rolled, tile})});
  }

  const Program& program_;
  ContractionProblem problem_;
  Kernel kernel_;
  Assumptions known_;
  Emitter emitter_;
  std::int64_t mc_, nc_, kc_, mr_, nr_;
  VarRef batch_, m0_, n0_, k0_;
  Expr depth_;
  bool one_part_ = false;
  bool in_panels_ = false;
  BufferRef a_, b_, c_;
  Layout acc_layout_;
};

}  // namespace

Kernel emit_contraction_cpu(const Program& program, const Schedule& schedule, const Target& target,
                            std::span<const Fact> facts) {
  return Writer(program, schedule, target, facts).run();
}

}  // namespace quern::compiler
