#include "compiler/vectorize.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "ir/rewrite.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

constexpr std::int64_t kAccessBytes = 16;

class Vectorizer {
 public:
  Vectorizer(const For& loop, const Assumptions& assumptions)
      : loop_(loop), width_(*as_integer(loop.hi)), assumptions_(assumptions), bound_{loop.var} {
    find_bound(loop.body);
  }

  // Whether an access of several elements came out.
  bool found_wide() const { return !before_.empty() || !after_.empty(); }

  Stmt run() {
    if (varies_within(loop_.body)) return make_stmt(loop_);
    Stmt body = rewrite(loop_.body);
    std::vector<Stmt> all = before_;
    all.push_back(make_stmt(For{loop_.var, 0, width_, 1, ForKind::unroll, std::move(body)}));
    all.insert(all.end(), after_.begin(), after_.end());
    return block(std::move(all));
  }

 private:
  // A buffer accessed at base + v, held in `registers` for the time of the loop.
  struct Access {
    TensorRef buffer;
    Expr base;
    Expr condition, otherwise;  // of a guarded read
    BufferRef registers;
  };

  // Whether a condition of the body differs between the elements of the loop.
  bool varies_within(const Stmt& stmt) const {
    if (const If* branch = get_if<If>(stmt)) return branch != nullptr;
    if (const Block* block = get_if<Block>(stmt)) {
      return std::any_of(block->body.begin(), block->body.end(), [&](const Stmt& s) { return varies_within(s); });
    }
    return !get_if<Store>(stmt) && !get_if<Let>(stmt) && !get_if<Alloc>(stmt);
  }

  void find_bound(const Stmt& stmt) {
    if (const Let* let = get_if<Let>(stmt)) bound_.push_back(let->var);
    if (const Block* block = get_if<Block>(stmt)) {
      for (const Stmt& s : block->body) find_bound(s);
    }
  }

  // Whether an expression can stand in front of the loop.
  bool is_known_before(const Expr& e) const {
    return std::ranges::none_of(bound_, [&](const VarRef& var) { return uses(e, var); });
  }

  Stmt rewrite(const Stmt& stmt) {
    if (const Block* node = get_if<Block>(stmt)) {
      std::vector<Stmt> body;
      for (const Stmt& s : node->body) body.push_back(rewrite(s));
      return block(std::move(body));
    }
    if (const Let* node = get_if<Let>(stmt)) return make_stmt(Let{node->var, rewrite(node->value)});
    if (const Store* node = get_if<Store>(stmt)) return rewrite(*node);
    return stmt;
  }

  Stmt rewrite(const Store& store) {
    Store narrow = store;
    narrow.value = rewrite(store.value);
    const std::int64_t width = store.atomic ? 1 : joined(*store.buffer, store.index[0]);
    if (width == 1) return make_stmt(std::move(narrow));
    const Expr base = at_start(store.index[0]);
    const BufferRef registers = allocate(*store.buffer);
    for (std::int64_t first = 0; first < width_; first += width) {
      after_.push_back(make_stmt(Move{store.buffer, simplify(base + first, assumptions_), registers, first,
                                      static_cast<int>(width), store.hint}));
    }
    narrow.buffer = registers;
    narrow.index = {Expr(loop_.var)};
    narrow.hint = CacheHint::none;
    return make_stmt(std::move(narrow));
  }

  Expr rewrite(const Expr& e) {
    if (e->kind == ExprKind::read) return load(e, {}, {});
    if (is_call(e, Op::select) && e->args[1]->kind == ExprKind::read && is_known_before(e->args[0]) &&
        !contains_read(e->args[0]) && is_known_before(at_start(e->args[2]))) {
      return load(e->args[1], e->args[0], e->args[2]);
    }
    std::vector<Expr> args;
    const bool guarded = is_call(e, Op::select) || is_call(e, Op::logical_and) || is_call(e, Op::logical_or);
    for (std::size_t i = 0; i < e->args.size(); ++i) {
      // A read that a condition guards stays where it is: hoisted, it would happen. What is in registers is there.
      args.push_back(guarded && i > 0 ? loaded(e->args[i]) : rewrite(e->args[i]));
    }
    return with_children(e, std::move(args), e->fill, e->where);
  }

  // Where a load has left the element that is read at `base` under a condition; nothing where there was none.
  Expr find(const Expr& access, const Expr& base, const Expr& condition, const Expr& otherwise) const {
    const auto are_equal = [](const Expr& a, const Expr& b) { return a && b ? equal(a, b) : !a && !b; };
    for (const Access& known : loads_) {
      if (known.buffer == access->tensor && equal(known.base, base) && are_equal(known.condition, condition) &&
          are_equal(known.otherwise, otherwise)) {
        return read(known.registers, {Expr(loop_.var)});
      }
    }
    return {};
  }

  // What is in registers already, from there; everything else as it is.
  Expr loaded(const Expr& e) const {
    if (e->kind == ExprKind::read && joined(*e->tensor, e->args[0]) > 1) {
      if (const Expr known = find(e, at_start(e->args[0]), {}, {})) return known;
    }
    std::vector<Expr> args;
    for (const Expr& arg : e->args) args.push_back(loaded(arg));
    return with_children(e, std::move(args), e->fill, e->where);
  }

  // The element of `access` (under `condition`, else `otherwise`) out of registers, or as it was.
  Expr load(const Expr& access, const Expr& condition, const Expr& otherwise) {
    const std::int64_t width = joined(*access->tensor, access->args[0]);
    if (width == 1) return condition ? select(condition, access, otherwise) : access;
    const Expr base = at_start(access->args[0]);
    if (const Expr known = find(access, base, condition, otherwise)) return known;
    const BufferRef registers = allocate(*access->tensor);
    std::vector<Stmt> moves;
    for (std::int64_t first = 0; first < width_; first += width) {
      moves.push_back(make_stmt(Move{registers, first, access->tensor, simplify(base + first, assumptions_),
                                     static_cast<int>(width), CacheHint::none}));
    }
    if (condition) {
      const VarRef v = make_var(loop_.var->name, loop_.var->dtype);
      Stmt fill = make_stmt(
          Store{.buffer = registers, .index = {Expr(v)}, .value = substitute(otherwise, {{loop_.var, Expr(v)}})});
      before_.push_back(make_stmt(
          If{condition, block(std::move(moves)), make_stmt(For{v, 0, width_, 1, ForKind::unroll, std::move(fill)})}));
    } else {
      before_.insert(before_.end(), moves.begin(), moves.end());
    }
    loads_.push_back({access->tensor, base, condition, otherwise, registers});
    return read(registers, {Expr(loop_.var)});
  }

  // Elements per access where `index` walks `buffer` at unit stride from an aligned place; 1 where it does not.
  std::int64_t joined(const Tensor& tensor, const Expr& index) const {
    const Buffer& buffer = as_buffer(tensor);
    if (buffer.space != Space::global && buffer.space != Space::shared) return 1;
    const auto stride = coefficient(index, loop_.var, assumptions_);
    if (!stride || !is_integer(*stride, 1)) return 1;
    const Expr base = at_start(index);
    if (!is_known_before(base)) return 1;
    const std::int64_t size = byte_size(tensor.dtype), known = divisor(base, assumptions_);
    std::int64_t width = std::min(width_, kAccessBytes / size);
    while (width > 1 && (known % width != 0 || buffer.alignment % (width * size) != 0)) width /= 2;
    return width;
  }

  Expr at_start(const Expr& index) const { return simplify(substitute(index, {{loop_.var, Expr(0)}}), assumptions_); }

  static bool contains_read(const Expr& e) {
    return e->kind == ExprKind::read || std::any_of(e->args.begin(), e->args.end(), contains_read);
  }

  BufferRef allocate(const Tensor& tensor) {
    const std::vector<std::int64_t> extent{width_};
    BufferRef registers = make_buffer(tensor.name + "_v", tensor.dtype, Space::fragment, row_major(extent));
    before_.push_back(make_stmt(Alloc{registers}));
    return registers;
  }

  const For& loop_;
  std::int64_t width_;
  const Assumptions& assumptions_;
  std::vector<VarRef> bound_;  // in the loop
  std::vector<Stmt> before_, after_;
  std::vector<Access> loads_;
};

// Whether a condition that holds at two values of `var` holds between them: affine comparisons, all of them.
bool is_convex(const Expr& condition, const VarRef& var, const Assumptions& assumptions) {
  if (!uses(condition, var)) return true;
  if (condition->kind != ExprKind::call) return false;
  const auto& args = condition->args;
  if (condition->op == Op::logical_and) {
    return is_convex(args[0], var, assumptions) && is_convex(args[1], var, assumptions);
  }
  const bool compares = condition->op == Op::lt || condition->op == Op::le || condition->op == Op::gt ||
                        condition->op == Op::ge || condition->op == Op::eq;
  return compares && is_integer(args[0]->dtype) && coefficient(args[0], var, assumptions) &&
         coefficient(args[1], var, assumptions);
}

// A condition that elements at the edge of a tensor differ in: all of them at once where it holds for all, else one by
// one.
Stmt at_edges(const For& loop, const If& branch, const Assumptions& assumptions) {
  if (!is_convex(branch.condition, loop.var, assumptions)) return make_stmt(loop);
  const auto at = [&](const Expr& place) { return substitute(branch.condition, {{loop.var, place}}); };
  const Expr all = simplify(both(at(0), at(loop.hi - 1)), assumptions);
  For inner = loop;
  inner.body = branch.then;
  const Assumptions inside = assumptions.with(all);
  Vectorizer vectorizer(inner, inside);
  Stmt wide = vectorizer.run();
  return vectorizer.found_wide() ? make_stmt(If{all, std::move(wide), make_stmt(loop)}) : make_stmt(loop);
}

// Conditions that hold for all elements or none come out of the loop.
Stmt hoist(const For& loop, const Assumptions& assumptions) {
  const If* branch = get_if<If>(loop.body);
  if (!branch || branch->otherwise) return Vectorizer(loop, assumptions).run();
  if (uses(branch->condition, loop.var)) return at_edges(loop, *branch, assumptions);
  For inner = loop;
  inner.body = branch->then;
  return make_stmt(If{branch->condition, hoist(inner, assumptions)});
}

}  // namespace

Stmt vectorize(const For& loop, const Assumptions& assumptions) { return hoist(loop, assumptions); }

}  // namespace quern::compiler
