#include "compiler/carry.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <unordered_set>

#include "ir/kernel_rewrite.h"
#include "ir/simplify.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

// number mod by, or how often that has wrapped: number div by, mod turns.
struct Remainder {
  Expr number;  // counter + c
  std::int64_t by = 1, turns = 0;
};

std::optional<std::int64_t> divisor_of(const Expr& e, Op op) {
  if (e->kind != ExprKind::call || e->op != op) return std::nullopt;
  const auto divisor = as_integer(e->args[1]);
  return divisor && *divisor > 0 ? divisor : std::nullopt;
}

bool takes_a_shift(std::int64_t divisor) { return std::has_single_bit(static_cast<std::uint64_t>(divisor)); }

// One loop's remainders, and the registers that carry them.
class Loop {
 public:
  explicit Loop(const For& loop) : loop_(loop) {
    visit(loop.body, [&](const Stmt& stmt, const Enclosing&) {
      if (const For* inner = get_if<For>(stmt)) inside_.insert(inner->var.get());
      if (const Let* let = get_if<Let>(stmt)) {
        if (is_integer(let->var->dtype) && tensors_read(let->value).empty()) {
          values_[let->var] = substitute(let->value, values_);
        } else {
          inside_.insert(let->var.get());
        }
      }
      return true;
    });
  }

  // The loop with what comes before it.
  std::vector<Stmt> rewritten() {
    // What is a remainder as a whole needs no name besides its register's.
    const auto drop = [&](const Stmt& stmt) {
      const Let* let = get_if<Let>(stmt);
      if (!let) return stmt;
      const std::optional<Remainder> remainder = remainder_in(let->value);
      if (!remainder) return stmt;
      registers_of_lets_[let->var] = register_of(*remainder, let->var->name);
      return Stmt();
    };
    Stmt body = transform(loop_.body, {}, drop);
    body = substitute(body, registers_of_lets_);
    const auto in_register = [&](const Expr& e) {
      const std::optional<Remainder> remainder = remainder_in(e);
      if (!remainder) return e;
      return register_of(*remainder, remainder->turns == 2 ? "parity" : remainder->turns > 0 ? "turns" : "rest");
    };
    body = transform(body, [&](const Expr& e) { return transform(e, in_register); });
    if (carried_.empty()) return {make_stmt(For(loop_))};

    std::vector<Stmt> all, next = statements(without_unused_names(body));
    for (const Carried& each : carried_) {
      all.push_back(make_stmt(Alloc{each.held}));
      all.push_back(each.store(first(each)));
    }
    for (const Carried& each : carried_) next.push_back(each.store(following(each)));
    For loop = loop_;
    loop.body = block(std::move(next));
    all.push_back(make_stmt(std::move(loop)));
    return all;
  }

 private:
  struct Carried {
    Remainder of;
    BufferRef held;

    Expr number(std::int64_t n) const { return constant(held->dtype, n); }
    Expr value() const { return read(held, {Expr(0)}); }
    Stmt store(const Expr& to) const { return make_stmt(Store{.buffer = held, .index = {Expr(0)}, .value = to}); }
  };

  Expr first(const Carried& each) const {
    const Expr number = substitute(each.of.number, {{loop_.var, loop_.lo}});
    const Expr by = each.number(each.of.by);
    return simplify(each.of.turns > 0 ? mod(div(number, by), each.number(each.of.turns)) : mod(number, by));
  }

  // In the next iteration. Turns stand behind the remainders that they depend on.
  Expr following(const Carried& each) {
    const std::int64_t end = each.of.turns > 0 ? each.of.turns : each.of.by;
    const Expr one = each.number(1), none = each.number(0), value = each.value();
    const Expr on = end == 2 ? one - value : select(equals(value, each.number(end - 1)), none, value + one);
    return each.of.turns == 0 ? on : select(equals(register_of({each.of.number, each.of.by}, {}), none), on, value);
  }

  std::optional<Remainder> remainder_in(const Expr& e) const {
    const auto divisor = divisor_of(e, Op::mod);
    if (!divisor) return std::nullopt;
    const Expr& of = e->args[0];
    if (const auto by = divisor_of(of, Op::floor_div); by && !takes_a_shift(*by)) {
      const Expr number = number_in(of->args[0]);
      if (number) return Remainder{number, *by, *divisor};
    }
    const Expr number = takes_a_shift(*divisor) ? Expr() : number_in(of);
    return number ? std::optional(Remainder{number, *divisor}) : std::nullopt;
  }

  // counter + c in what is known before the loop; nothing where `e` is something else.
  Expr number_in(const Expr& e) const {
    if (!is_integer(e->dtype) || !tensors_read(e).empty()) return {};
    const Expr number = substitute(e, values_);
    const std::vector<VarRef> used = free_variables(number);
    if (std::ranges::any_of(used, [&](const VarRef& var) { return inside_.contains(var.get()); })) return {};
    const std::optional<Expr> by = coefficient(number, loop_.var);
    return by && is_integer(*by, 1) ? number : Expr();
  }

  // Sums that had names for their remainders' sake.
  Stmt without_unused_names(const Stmt& body) const {
    std::unordered_set<const Variable*> used;
    for_each_expr_below(body, [&](const Expr& e) {
      for (const VarRef& var : free_variables(e)) used.insert(var.get());
    });
    return transform(body, {}, [&](const Stmt& stmt) {
      const Let* let = get_if<Let>(stmt);
      return let && values_.contains(let->var) && !used.contains(let->var.get()) ? Stmt() : stmt;
    });
  }

  // The value of its register. The remainder behind a number of turns is carried too, before it.
  Expr register_of(const Remainder& remainder, const std::string& name) {
    for (const Carried& each : carried_) {
      const bool is_it = each.of.by == remainder.by && each.of.turns == remainder.turns;
      if (is_it && is_integer(simplify(each.of.number - remainder.number), 0)) return each.value();
    }
    if (remainder.turns > 0) register_of({remainder.number, remainder.by}, "rest");
    const Layout one = row_major(std::vector<std::int64_t>{1});
    carried_.push_back({remainder, make_buffer(name, remainder.number->dtype, Space::fragment, one)});
    return carried_.back().value();
  }

  const For& loop_;
  Substitution values_;                         // of what has names in the loop
  std::unordered_set<const Variable*> inside_;  // other variables of the loop
  Substitution registers_of_lets_;
  std::vector<Carried> carried_;
};

bool divides(const Stmt& body) {
  bool found = false;
  for_each_expr_below(body, [&](const Expr& whole) {
    if (found) return;
    visit(whole, [&](const Expr& e) {
      const auto by = divisor_of(e, Op::mod);
      found = found || (by && (!takes_a_shift(*by) || divisor_of(e->args[0], Op::floor_div)));
      return !found;
    });
  });
  return found;
}

bool counts_by_one(const For& loop) { return loop.kind == ForKind::rolled && (!loop.step || is_integer(loop.step, 1)); }

std::vector<Stmt> carried(const Stmt& stmt) {
  std::vector<Stmt> all;
  for (const Stmt& each : statements(stmt)) {
    if (const For* loop = get_if<For>(each)) {
      For inner = *loop;
      inner.body = block(carried(loop->body));
      if (counts_by_one(inner) && divides(inner.body) && !holds_wgmma(inner.body)) {
        for (Stmt& part : Loop(inner).rewritten()) all.push_back(std::move(part));
      } else {
        all.push_back(make_stmt(std::move(inner)));
      }
    } else if (const If* branch = get_if<If>(each)) {
      const Stmt otherwise = branch->otherwise ? block(carried(branch->otherwise)) : nullptr;
      all.push_back(make_stmt(If{branch->condition, block(carried(branch->then)), otherwise}));
    } else {
      all.push_back(get_if<Block>(each) ? make_stmt(Block{carried(each)}) : each);
    }
  }
  return all;
}

}  // namespace

Kernel carry(const Kernel& kernel) {
  Kernel result = kernel;
  result.body = block(carried(kernel.body));
  return result;
}

}  // namespace quern::compiler
