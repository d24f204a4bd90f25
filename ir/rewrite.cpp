#include "ir/rewrite.h"

#include <unordered_set>
#include <utility>

namespace quern::ir {
namespace {

class Transformer {
 public:
  explicit Transformer(const std::function<Expr(const Expr&)>& function) : function_(function) {}

  Expr operator()(const Expr& e) {
    if (!e) return e;
    if (!e.is_shared()) return function_(with_new_children(e));
    const auto known = done_.find(e.get());
    if (known != done_.end()) return known->second;
    Expr result = function_(with_new_children(e));
    kept_.push_back(e);
    return done_[e.get()] = result;
  }

 private:
  Expr with_new_children(const Expr& e) {
    std::vector<Expr> args;  // empty as long as none has changed
    for (std::size_t i = 0; i < e->args.size(); ++i) {
      Expr arg = (*this)(e->args[i]);
      if (args.empty() && arg.same(e->args[i])) continue;
      if (args.empty()) args = e->args;
      args[i] = std::move(arg);
    }
    Expr fill = (*this)(e->fill);
    Expr where = (*this)(e->where);
    std::vector<Axis> axes;
    const bool other_ranges = e->reduce && ranges_change(*e->reduce, axes);
    if (!other_ranges && args.empty() && fill.same(e->fill) && where.same(e->where)) return e;
    if (args.empty()) args = e->args;
    if (!other_ranges) return with_children(e, std::move(args), std::move(fill), std::move(where));
    return reduce(e->reduce->reducer, std::move(axes), std::move(args), std::move(where), e->reduce->contract);
  }

  bool ranges_change(const ReduceInfo& info, std::vector<Axis>& axes) {
    bool changed = false;
    for (const Axis& axis : info.axes) {
      axes.push_back({axis.var, (*this)(axis.lo), (*this)(axis.hi)});
      changed = changed || !axes.back().lo.same(axis.lo) || !axes.back().hi.same(axis.hi);
    }
    return changed;
  }

  const std::function<Expr(const Expr&)>& function_;
  std::unordered_map<const Node*, Expr> done_;
  std::vector<Expr> kept_;  // so that no address in done_ is used again
};

void visit(const Expr& e, const std::function<bool(const Expr&)>& function, std::unordered_set<const Node*>& seen) {
  if (!e || (e.is_shared() && !seen.insert(e.get()).second) || !function(e)) return;
  for (const Expr& arg : e->args) visit(arg, function, seen);
  visit(e->fill, function, seen);
  visit(e->where, function, seen);
  if (!e->reduce) return;
  for (const Axis& axis : e->reduce->axes) {
    visit(axis.lo, function, seen);
    visit(axis.hi, function, seen);
  }
}

}  // namespace

Expr transform(const Expr& e, const std::function<Expr(const Expr&)>& function) { return Transformer(function)(e); }

void visit(const Expr& e, const std::function<bool(const Expr&)>& function) {
  std::unordered_set<const Node*> seen;
  visit(e, function, seen);
}

Expr substitute(const Expr& e, const Substitution& replacements) {
  if (replacements.empty()) return e;
  return transform(e, [&](const Expr& node) {
    if (node->kind != ExprKind::variable) return node;
    const auto found = replacements.find(node->var);
    return found == replacements.end() ? node : found->second;
  });
}

Expr replace_node(const Expr& e, const Expr& from, const Expr& to) {
  if (e.same(from)) return to;
  std::vector<Expr> args;
  for (const Expr& arg : e->args) args.push_back(replace_node(arg, from, to));
  return with_children(e, std::move(args), e->fill, e->where);
}

Expr replace_tensors(const Expr& e, const TensorMap& replacements) {
  if (replacements.empty()) return e;
  return transform(e, [&](const Expr& node) {
    if (node->kind != ExprKind::read) return node;
    const auto found = replacements.find(node->tensor.get());
    return found == replacements.end() ? node : read(found->second, node->args, node->fill);
  });
}

std::vector<VarRef> free_variables(const Expr& e) {
  std::unordered_set<VarRef> bound;
  std::vector<VarRef> used;
  visit(e, [&](const Expr& node) {
    if (node->kind == ExprKind::variable) used.push_back(node->var);
    if (node->reduce) {
      for (const Axis& axis : node->reduce->axes) bound.insert(axis.var);
    }
    return true;
  });
  std::vector<VarRef> free;
  for (const VarRef& var : used) {
    if (bound.insert(var).second) free.push_back(var);
  }
  return free;
}

std::vector<TensorRef> tensors_read(const Expr& e) {
  std::unordered_set<TensorRef> seen;
  std::vector<TensorRef> tensors;
  visit(e, [&](const Expr& node) {
    if (node->kind == ExprKind::read && seen.insert(node->tensor).second) tensors.push_back(node->tensor);
    return true;
  });
  return tensors;
}

bool is_of_variables(const Expr& e) {
  bool alone = true;
  visit(e, [&](const Expr& node) {
    alone = alone && node->kind != ExprKind::read && node->kind != ExprKind::reduce;
    return alone;
  });
  return alone;
}

Expr freshen(const Expr& e) {
  std::unordered_map<VarRef, VarRef> renamed;
  visit(e, [&](const Expr& node) {
    if (node->reduce) {
      for (const Axis& axis : node->reduce->axes) renamed.emplace(axis.var, make_var(axis.var->name, axis.var->dtype));
    }
    return true;
  });
  if (renamed.empty()) return e;
  return transform(e, [&](const Expr& node) {
    if (node->kind == ExprKind::variable) {
      const auto found = renamed.find(node->var);
      return found == renamed.end() ? node : Expr(found->second);
    }
    if (!node->reduce) return node;
    std::vector<Axis> axes = node->reduce->axes;
    for (Axis& axis : axes) axis.var = renamed.at(axis.var);
    return reduce(node->reduce->reducer, std::move(axes), node->args, node->where, node->reduce->contract);
  });
}

}  // namespace quern::ir
