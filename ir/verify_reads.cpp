#include "ir/verify_reads.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "base/error.h"
#include "ir/rewrite.h"
#include "ir/simplify.h"

namespace quern::ir {
namespace {

// The largest (or smallest) value that index arithmetic reaches over a box of axes, and where.
struct Corner {
  Expr value;
  std::map<VarRef, Expr> at;
};

class Checker {
 public:
  Checker(const Program& program, const Definition& definition, Names& names)
      : program_(program), definition_(definition), names_(names) {}

  void run(const Assumptions& facts) {
    Assumptions inside = facts;
    for (const Axis& axis : definition_.axes) enter(axis, inside);
    check(definition_.value, inside, true);
  }

 private:
  const std::string& owner() const { return definition_.tensor->name; }

  void enter(const Axis& axis, Assumptions& facts) {
    if (!axes_.emplace(axis.var, axis).second) {
      fail("the definition of {} reduces over its axis {} twice at once; give one of the two an axis of its own",
           owner(), axis.var->name);
    }
    if (prove(less_equal(axis.hi, axis.lo), facts) == true) empty_.insert(axis.var);
    facts = facts.with(axis);
  }

  // `certain`: the node is evaluated at every point of the axes in scope.
  void check(const Expr& e, const Assumptions& facts, bool certain) {
    switch (e->kind) {
      case ExprKind::constant:
        return;
      case ExprKind::variable:
        return check_variable(e->var);
      case ExprKind::reduce:
        return check_reduction(e, facts, certain);
      case ExprKind::call:
        if (e->op == Op::select) return check_select(e, facts, certain);
        break;
      case ExprKind::read:
        if (e->fill) check(e->fill, facts, false);
        break;
      case ExprKind::cast:
        break;
    }
    for (const Expr& arg : e->args) check(arg, facts, certain);
    if (e->kind == ExprKind::read && !e->fill) check_read(e, facts, certain);
  }

  void check_variable(const VarRef& var) const {
    if (axes_.contains(var)) return;
    if (std::find(program_.symbols.begin(), program_.symbols.end(), var) != program_.symbols.end()) return;
    fail("the definition of {} uses {}, which is neither an axis in scope nor a symbol of kernel {}", owner(),
         var->name, program_.name);
  }

  void check_select(const Expr& e, const Assumptions& facts, bool certain) {
    check(e->args[0], facts, certain);
    const std::optional<bool> known = prove(e->args[0], facts);
    for (const bool side : {true, false}) {
      if (known && *known != side) continue;  // never evaluated
      const Expr& branch = e->args[side ? 1 : 2];
      if (known) {
        check(branch, facts, certain);
      } else {
        check(branch, facts.with(side ? e->args[0] : negate(e->args[0])), false);
      }
    }
  }

  void check_reduction(const Expr& e, const Assumptions& facts, bool certain) {
    const ReduceInfo& info = *e->reduce;
    const ReducerRow& reducer = row(info.reducer);
    check_element(info, e->args[0]->dtype);
    Assumptions inside = facts;
    for (const Axis& axis : info.axes) {
      for (const Expr& bound : {axis.lo, axis.hi}) {
        ensure(is_of_variables(bound), "ranges read no tensor and reduce nothing");
        for (const VarRef& var : free_variables(bound)) {
          if (axes_.contains(var)) {
            fail(
                "in {}, the range of {} depends on axis {}; ranges are over symbols, conditions are written: {} where "
                "{} < ...",
                owner(), axis.var->name, var->name, axis.var->name, axis.var->name);
          }
          check_variable(var);
        }
      }
      const bool arg = info.reducer == Reducer::argmax || info.reducer == Reducer::argmin;
      if (arg && prove(less_equal(axis.hi, axis.lo), facts) == true) {
        fail("in {}, {} runs over nothing: axis {} has the range {}..{}", owner(), reducer.name, axis.var->name,
             to_string(axis.lo, names_), to_string(axis.hi, names_));
      }
    }
    for (const Axis& axis : info.axes) enter(axis, inside);
    if (e->where) {
      check(e->where, inside, certain);
      const std::optional<bool> known = prove(e->where, inside);
      if (known != false) check(e->args[0], inside.with(e->where), certain && known == true);
    } else {
      check(e->args[0], inside, certain);
    }
    for (const Axis& axis : info.axes) {
      axes_.erase(axis.var);
      empty_.erase(axis.var);
    }
  }

  void check_element(const ReduceInfo& info, DType element) const {
    const ReducerRow& reducer = row(info.reducer);
    if (!reducer.accepts(element)) fail("in {}, {} does not reduce {}", owner(), reducer.name, name(element));
    const auto acc = info.contract.accumulator;
    if (acc && (is_float(*acc) != is_float(element) || !reducer.accepts(*acc))) {
      fail("in {}, {} of {} cannot accumulate in {}", owner(), reducer.name, name(element), name(*acc));
    }
    if (info.contract.grade != Grade::exact && element != DType::f32) {
      fail("in {}, {} of {} has a grade below exact; grades are for products in f32", owner(), reducer.name,
           name(element));
    }
  }

  // --- reads outside ---

  void check_read(const Expr& e, const Assumptions& facts, bool certain) {
    if (!empty_.empty()) return;  // it never happens
    for (std::size_t d = 0; d < e->args.size(); ++d) {
      const Expr index = cast(DType::i64, e->args[d]);
      const Expr& extent = e->tensor->shape[d];
      if (certain) {
        check_corner(e, d, facts, true);
        check_corner(e, d, facts, false);
      } else if (prove(less_equal(extent, index), facts) == true || prove(less(index, Expr(0)), facts) == true) {
        fail("{} reads {} outside: dimension {} of {} is {}; mend the condition, or give the value outside: {} else 0",
             owner(), shown(e), d, e->tensor->name, to_string(extent, names_), shown(e));
      }
    }
  }

  std::string shown(const Expr& e) { return to_string(e, names_); }

  void check_corner(const Expr& e, std::size_t d, const Assumptions& facts, bool largest) {
    Corner corner;
    if (!reach(e->args[d], largest, corner)) return;
    const Expr& extent = e->tensor->shape[d];
    const Expr outside = largest ? less_equal(extent, corner.value) : less(corner.value, Expr(0));
    if (prove(outside, facts) != true) return;
    std::string at;
    for (const auto& [var, value] : corner.at) {
      at += fmt::format("{}{} = {}", at.empty() ? " at " : ", ", names_.of(var), to_string(simplify(value), names_));
    }
    fail(
        "{} reads {} outside:{} index {} is {}, but dimension {} of {} is {}; shrink the axis, or give the value "
        "outside: {} else 0",
        owner(), shown(e), at, d, to_string(simplify(corner.value), names_), d, e->tensor->name,
        to_string(extent, names_), shown(e));
  }

  // False where the value's monotony is not plain: an axis that occurs twice, products of axes, data.
  bool reach(const Expr& e, bool largest, Corner& corner) {
    if (free_axes(e) == 0) {
      if (!tensors_read(e).empty()) return false;
      corner.value = e;
      return true;
    }
    if (e->kind == ExprKind::variable) {
      const Axis& axis = axes_.at(e->var);
      corner.value = largest ? axis.hi - Expr(1) : axis.lo;
      return corner.at.emplace(e->var, corner.value).second;
    }
    if (e->kind != ExprKind::call || e->dtype != DType::i64) return false;
    const bool negative_second = e->op == Op::sub;
    switch (e->op) {
      case Op::neg:
        if (!reach(e->args[0], !largest, corner)) return false;
        corner.value = -corner.value;
        return true;
      case Op::add:
      case Op::sub:
      case Op::min:
      case Op::max: {
        if (!reach(e->args[0], largest, corner)) return false;
        const Expr left = corner.value;
        if (!reach(e->args[1], negative_second ? !largest : largest, corner)) return false;
        corner.value = call(e->op, {left, corner.value});
        return true;
      }
      case Op::mul:
      case Op::floor_div: {
        // One side is a known number.
        const std::size_t constant = e->op == Op::mul && as_integer(e->args[0]) ? 0 : 1;
        const auto factor = as_integer(e->args[constant]);
        if (!factor || *factor == 0 || !reach(e->args[1 - constant], (*factor > 0) == largest, corner)) return false;
        corner.value = call(e->op, {corner.value, e->args[constant]});
        return true;
      }
      default:
        return false;
    }
  }

  std::size_t free_axes(const Expr& e) const {
    const std::vector<VarRef> vars = free_variables(e);
    return static_cast<std::size_t>(
        std::count_if(vars.begin(), vars.end(), [&](const VarRef& var) { return axes_.contains(var); }));
  }

  const Program& program_;
  const Definition& definition_;
  Names& names_;
  std::map<VarRef, Axis> axes_;  // in scope
  std::set<VarRef> empty_;       // those among them that run over nothing for certain
};

}  // namespace

void check_reads(const Program& program, const Definition& definition, const Assumptions& facts, Names& names) {
  Checker(program, definition, names).run(facts);
}

}  // namespace quern::ir
