#include "compiler/narrow_indices.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "compiler/index_reach.h"
#include "ir/simplify.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

// Whether a constant in it needs more than 32 bits.
bool is_wide(const Expr& e) {
  if (e->kind == ExprKind::constant) {
    return e->dtype == DType::i64 && e->integer != static_cast<std::int32_t>(e->integer);
  }
  return std::any_of(e->args.begin(), e->args.end(), is_wide);
}

// Whether the low 32 bits of the operands tell those of the result.
bool is_ring(Op op) {
  return op == Op::add || op == Op::sub || op == Op::mul || op == Op::neg || op == Op::bit_and || op == Op::bit_or ||
         op == Op::bit_xor || op == Op::bit_not;
}

class Narrower {
 public:
  explicit Narrower(const Kernel& kernel) : reach_(kernel) {}

  Kernel run(Kernel kernel) {
    assumptions_ = assumptions_of(kernel);
    for (VarRef* var : {&kernel.warp, &kernel.lane}) *var = narrow(*var);
    for (VarRef& var : kernel.block) var = narrow(var);
    // Symbols stay parameters of 64 bits, in which grids, facts and tensor maps speak; the body takes what it uses.
    Stmt body = rewrite(kernel.body);
    std::vector<Stmt> all;
    for (const VarRef& symbol : kernel.symbols) {
      const auto it = vars_.find(symbol.get());
      if (it != vars_.end()) all.push_back(make_stmt(Let{it->second, cast(DType::i32, Expr(symbol))}));
    }
    all.push_back(std::move(body));
    kernel.body = block(std::move(all));
    return kernel;
  }

 private:
  VarRef narrow(const VarRef& var) {
    if (var->dtype != DType::i64 || data_.contains(var.get())) return var;
    VarRef& known = vars_[var.get()];
    if (!known) known = make_var(var->name, DType::i32);
    return known;
  }

  // An integer expression as an i32 one of the same value.
  Expr index(const Expr& e) {
    if (!e || e->dtype != DType::i64) return e ? value(e) : e;
    if (is_wide(e)) return cast(DType::i32, value(e));
    switch (e->kind) {
      case ExprKind::constant:
        return constant(DType::i32, e->integer);
      case ExprKind::variable:
        return cast(DType::i32, Expr(narrow(e->var)));
      case ExprKind::call: {
        // The low digits of data tell those of a sum, but not its sign or its quotient.
        if (uses_data(e) && !is_ring(e->op)) return cast(DType::i32, value(e));
        std::vector<Expr> args;
        for (const Expr& arg : e->args) args.push_back(index(arg));
        return call(e->op, std::move(args));
      }
      case ExprKind::cast:
        if (e->args[0]->dtype == DType::i32) return value(e->args[0]);
        return cast(DType::i32, value(e->args[0]));
      default:
        return cast(DType::i32, value(e));
    }
  }

  Expr value(const Expr& e) {
    if (!e || e->kind == ExprKind::constant) return e;
    if (e->kind == ExprKind::read) return read(e->tensor, {index(e->args[0])});
    if (e->kind == ExprKind::variable) {
      const VarRef var = narrow(e->var);
      return var == e->var ? e : cast(DType::i64, Expr(var));
    }
    const bool of_indices = e->dtype == DType::i64 || e->args[0]->dtype == DType::i64;
    if (of_indices && !uses_data(e) && !is_wide(e) && reach_.fits(e, assumptions_)) {
      if (e->dtype == DType::i64) return cast(DType::i64, index(e));
      if (e->kind == ExprKind::cast) return cast(e->dtype, index(e->args[0]));
      std::vector<Expr> args;
      for (const Expr& arg : e->args) args.push_back(index(arg));
      return call(e->op, std::move(args));
    }
    std::vector<Expr> args;
    for (const Expr& arg : e->args) args.push_back(value(arg));
    return with_children(e, std::move(args), e->fill, e->where);
  }

  Stmt rewrite(const Stmt& stmt) {
    if (!stmt) return stmt;
    return std::visit([&](const auto& node) { return rewrite_node(node); }, stmt->value);
  }

  Stmt rewrite_node(const Block& node) {
    Block result;
    for (const Stmt& s : node.body) result.body.push_back(rewrite(s));
    return make_stmt(std::move(result));
  }
  Stmt rewrite_node(const Alloc& node) { return make_stmt(node); }
  Stmt rewrite_node(const For& node) {
    const Assumptions outer = assumptions_;
    reach_.enter(node, outer);
    assumptions_ = assumptions_.with(Axis{node.var, node.lo, node.hi}, node.step);
    Stmt body = rewrite(node.body);
    assumptions_ = outer;
    return make_stmt(
        For{narrow(node.var), index(node.lo), index(node.hi), index(node.step), node.kind, std::move(body)});
  }
  Stmt rewrite_node(const If& node) {
    return make_stmt(If{value(node.condition), rewrite(node.then), rewrite(node.otherwise)});
  }
  // What holds an element of a tensor may need all its digits.
  bool uses_data(const Expr& e) const {
    if (e->kind == ExprKind::read || (e->kind == ExprKind::variable && data_.contains(e->var.get()))) return true;
    return std::any_of(e->args.begin(), e->args.end(), [&](const Expr& arg) { return uses_data(arg); });
  }

  Stmt rewrite_node(const Let& node) {
    if (node.var->dtype == DType::i64 && (uses_data(node.value) || is_wide(node.value))) data_.insert(node.var.get());
    if (narrow(node.var) == node.var) return make_stmt(Let{node.var, value(node.value)});
    return make_stmt(Let{narrow(node.var), index(node.value)});
  }
  Stmt rewrite_node(const Store& node) {
    return make_stmt(Store{node.buffer, {index(node.index[0])}, value(node.value), node.atomic, node.hint});
  }
  Stmt rewrite_node(const Move& node) {
    return make_stmt(Move{node.to, index(node.to_index), node.from, index(node.from_index), node.width, node.hint});
  }
  Stmt rewrite_node(const Intrinsic& node) {
    Intrinsic result{node.id, {}};
    // Places and elements keep their dtype; what is computed from indices is narrowed.
    for (const Expr& arg : node.args) {
      const bool kept = is_constant(arg) || arg->kind == ExprKind::read;
      result.args.push_back(kept ? value(arg) : index(arg));
    }
    return make_stmt(std::move(result));
  }
  template <typename Tile>
  Stmt rewrite_node(const Tile&) {
    unreachable("narrow_indices takes thread form");
  }

  IndexReach reach_;
  Assumptions assumptions_;
  std::unordered_map<const Variable*, VarRef> vars_;
  std::unordered_set<const Variable*> data_;  // lets that stay i64
};

}  // namespace

Kernel narrow_indices(const Kernel& kernel) { return Narrower(kernel).run(kernel); }

}  // namespace quern::compiler
