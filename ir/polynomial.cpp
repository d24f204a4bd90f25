#include "ir/polynomial.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/numeric.h"
#include "ir/tensor.h"

namespace quern::ir {
namespace {

// The lowest number counts as overflow too, since its negation does.
constexpr std::int64_t kLowest = std::numeric_limits<std::int64_t>::min();

std::int64_t checked_add(std::int64_t a, std::int64_t b, bool& overflow) {
  std::int64_t result;
  if (__builtin_add_overflow(a, b, &result) || result == kLowest) overflow = true;
  return result;
}

std::int64_t checked_multiply(std::int64_t a, std::int64_t b, bool& overflow) {
  std::int64_t result;
  if (__builtin_mul_overflow(a, b, &result) || result == kLowest) overflow = true;
  return result;
}

std::size_t mix(std::size_t seed, std::size_t value) { return (seed ^ value) * 0x9e3779b97f4a7c15ULL + (seed >> 29); }

std::size_t address(const void* p) { return std::hash<const void*>()(p); }

}  // namespace

// --- Polynomials ----------------------------------------------------------------------------------------------------

Polynomial add(const Polynomial& a, const Polynomial& b, std::int64_t scale) {
  Polynomial sum;
  sum.overflow = a.overflow || b.overflow;
  sum.constant = checked_add(a.constant, checked_multiply(b.constant, scale, sum.overflow), sum.overflow);
  sum.terms.reserve(a.terms.size() + b.terms.size());
  auto x = a.terms.begin();
  auto y = b.terms.begin();
  while (x != a.terms.end() || y != b.terms.end()) {
    Term term;
    if (y == b.terms.end() || (x != a.terms.end() && x->monomial < y->monomial)) {
      term = *x++;
    } else {
      term = {y->monomial, checked_multiply(y->coefficient, scale, sum.overflow)};
      if (x != a.terms.end() && x->monomial == y->monomial) {
        term.coefficient = checked_add(term.coefficient, x->coefficient, sum.overflow);
        ++x;
      }
      ++y;
    }
    if (term.coefficient != 0) sum.terms.push_back(term);
  }
  return sum;
}

Polynomial scaled(const Polynomial& a, std::int64_t scale) { return add({}, a, scale); }

Polynomial wrapped(Polynomial p, DType dtype) {
  const int unused = 64 - 8 * byte_size(dtype);
  const auto wrap = [&](std::int64_t& value) {
    const std::int64_t narrow = static_cast<std::int64_t>(static_cast<std::uint64_t>(value) << unused) >> unused;
    p.overflow = p.overflow || narrow != value || narrow == kLowest;
    value = narrow;
  };
  for (Term& term : p.terms) wrap(term.coefficient);
  std::erase_if(p.terms, [](const Term& term) { return term.coefficient == 0; });
  wrap(p.constant);
  return p;
}

std::int64_t coefficient(const Polynomial& a, std::uint32_t monomial) {
  const auto it = std::lower_bound(a.terms.begin(), a.terms.end(), monomial,
                                   [](const Term& term, std::uint32_t m) { return term.monomial < m; });
  return it != a.terms.end() && it->monomial == monomial ? it->coefficient : 0;
}

std::int64_t content(const Polynomial& a) {
  std::int64_t divisor = 0;
  for (const Term& term : a.terms) divisor = std::gcd(divisor, term.coefficient);
  return divisor;
}

// --- The pool: unique nodes -----------------------------------------------------------------------------------------

std::size_t Pool::ShallowHash::operator()(const Node* n) const {
  std::size_t h =
      mix(static_cast<std::size_t>(n->kind) * 64 + static_cast<std::size_t>(n->dtype), static_cast<std::size_t>(n->op));
  h = mix(h, static_cast<std::size_t>(n->integer) ^ std::bit_cast<std::uint64_t>(n->real));
  h = mix(h, address(n->var.get()) ^ address(n->tensor.get()) ^ address(n->reduce.get()));
  h = mix(h, address(n->fill.get()) ^ address(n->where.get()));
  for (const Expr& arg : n->args) h = mix(h, address(arg.get()));
  return h;
}

bool Pool::ShallowEqual::operator()(const Node* a, const Node* b) const {
  return a->kind == b->kind && a->dtype == b->dtype && a->op == b->op && a->integer == b->integer &&
         std::bit_cast<std::uint64_t>(a->real) == std::bit_cast<std::uint64_t>(b->real) && a->var == b->var &&
         a->tensor == b->tensor && a->reduce == b->reduce && a->fill.same(b->fill) && a->where.same(b->where) &&
         std::equal(a->args.begin(), a->args.end(), b->args.begin(), b->args.end(),
                    [](const Expr& x, const Expr& y) { return x.same(y); });
}

Expr Pool::intern(const Expr& e) {
  const auto [it, is_new] = unique_.try_emplace(e.get(), e.get());
  if (!is_new) return nodes_.find(it->second)->second.expr;
  nodes_.emplace(e.get(), Entry{e, static_cast<std::uint32_t>(nodes_.size())});
  return e;
}

Expr Pool::import(const Expr& e) {
  if (!e || nodes_.contains(e.get())) return e;
  if (const auto it = imported_.find(e.get()); it != imported_.end()) return it->second;
  std::vector<Expr> args;
  args.reserve(e->args.size());
  for (const Expr& arg : e->args) args.push_back(import(arg));
  Expr ours = intern(with_children(e, std::move(args), import(e->fill), import(e->where)));
  imported_.emplace(e.get(), ours);
  foreign_.push_back(e);
  return ours;
}

// --- Monomials ------------------------------------------------------------------------------------------------------

std::size_t Pool::AtomsHash::operator()(const Atoms& atoms) const {
  std::size_t h = atoms.size();
  for (const Node* atom : atoms) h = mix(h, address(atom));
  return h;
}

std::uint32_t Pool::monomial(Atoms atoms) {
  const auto number = [this](const Node* node) { return nodes_.find(node)->second.number; };
  std::sort(atoms.begin(), atoms.end(), [&](const Node* a, const Node* b) { return number(a) < number(b); });
  const auto [it, is_new] = monomial_numbers_.try_emplace(atoms, static_cast<std::uint32_t>(monomials_.size()));
  if (is_new) monomials_.push_back(std::move(atoms));
  return it->second;
}

Polynomial Pool::atom(const Expr& e) {
  Polynomial p;
  p.terms.push_back({monomial({e.get()}), 1});
  return p;
}

Polynomial Pool::multiply(const Polynomial& a, const Polynomial& b) {
  if (a.is_constant()) return add({}, b, a.constant);
  Polynomial product = add({}, a, b.constant);
  product.overflow = product.overflow || b.overflow;
  for (const Term& y : b.terms) {
    Polynomial part;
    part.overflow = product.overflow;
    for (const Term& x : a.terms) {
      Atoms joined = monomials_[x.monomial];
      const Atoms& more = monomials_[y.monomial];
      joined.insert(joined.end(), more.begin(), more.end());
      part.terms.push_back(
          {monomial(std::move(joined)), checked_multiply(x.coefficient, y.coefficient, part.overflow)});
    }
    if (a.constant != 0) part.terms.push_back({y.monomial, checked_multiply(a.constant, y.coefficient, part.overflow)});
    std::erase_if(part.terms, [](const Term& term) { return term.coefficient == 0; });
    std::sort(part.terms.begin(), part.terms.end(),
              [](const Term& s, const Term& t) { return s.monomial < t.monomial; });
    product = add(product, part);
  }
  return product;
}

const Polynomial& Pool::polynomial(const Expr& e) {
  if (const auto it = polynomials_.find(e.get()); it != polynomials_.end()) return it->second;
  Polynomial p;
  if (const auto value = as_integer(e)) {
    p.constant = *value;
  } else if (is_call(e, Op::add)) {
    p = add(polynomial(e->args[0]), polynomial(e->args[1]));
  } else if (is_call(e, Op::sub)) {
    p = add(polynomial(e->args[0]), polynomial(e->args[1]), -1);
  } else if (is_call(e, Op::neg)) {
    p = scaled(polynomial(e->args[0]), -1);
  } else if (is_call(e, Op::mul)) {
    const Polynomial a = polynomial(e->args[0]);
    const Polynomial b = polynomial(e->args[1]);
    p = (a.terms.size() + 1) * (b.terms.size() + 1) <= kMaxTerms ? multiply(a, b) : atom(e);
  } else {
    p = atom(e);
  }
  return polynomials_.emplace(e.get(), wrapped(std::move(p), e->dtype)).first->second;
}

// --- Back to expressions --------------------------------------------------------------------------------------------

int Pool::compare(const Node* a, const Node* b) const {
  if (a == b) return 0;
  const auto by = [](const auto& x, const auto& y) { return x < y ? -1 : y < x ? 1 : 0; };
  // Variables first, constants last.
  const auto rank = [](const Node* n) {
    return n->kind == ExprKind::variable ? 0 : n->kind == ExprKind::constant ? 9 : static_cast<int>(n->kind);
  };
  if (const int order = by(rank(a), rank(b))) return order;
  if (const int order = by(a->dtype, b->dtype)) return order;
  switch (a->kind) {
    case ExprKind::constant:
      if (const int order = by(a->integer, b->integer)) return order;
      return by(a->real, b->real);
    case ExprKind::variable:
      return a->var == b->var ? 0 : by(a->var->name, b->var->name);
    case ExprKind::call:
      if (const int order = by(a->op, b->op)) return order;
      break;
    case ExprKind::read:
      if (a->tensor != b->tensor) {
        if (const int order = by(a->tensor->name, b->tensor->name)) return order;
      }
      break;
    case ExprKind::reduce:
      if (const int order = by(a->reduce->reducer, b->reduce->reducer)) return order;
      break;
    case ExprKind::cast:
      break;
  }
  if (const int order = by(a->args.size(), b->args.size())) return order;
  for (std::size_t i = 0; i < a->args.size(); ++i) {
    if (const int order = compare(a->args[i].get(), b->args[i].get())) return order;
  }
  return 0;
}

bool Pool::before(const Node* a, const Node* b) const {
  const int order = compare(a, b);
  if (order != 0) return order < 0;
  return nodes_.at(a).number < nodes_.at(b).number;
}

// Higher degrees first, then larger coefficients, then names: b*128*n + i*n + j.
bool Pool::term_before(const Term& a, const Term& b) const {
  const Atoms& x = monomials_[a.monomial];
  const Atoms& y = monomials_[b.monomial];
  if (x.size() != y.size()) return x.size() > y.size();
  const auto magnitude = [](std::int64_t c) {
    return c < 0 ? 0 - static_cast<std::uint64_t>(c) : static_cast<std::uint64_t>(c);
  };
  if (a.coefficient != b.coefficient && magnitude(a.coefficient) != magnitude(b.coefficient)) {
    return magnitude(a.coefficient) > magnitude(b.coefficient);
  }
  return std::lexicographical_compare(x.begin(), x.end(), y.begin(), y.end(),
                                      [this](const Node* s, const Node* t) { return before(s, t); });
}

Expr Pool::factor(const Node* atom, DType dtype) { return intern(cast(dtype, expr(atom))); }

Expr Pool::product(std::uint32_t monomial, std::int64_t times, DType dtype) {
  Atoms atoms = monomials_[monomial];
  std::sort(atoms.begin(), atoms.end(), [this](const Node* a, const Node* b) { return before(a, b); });
  Expr result = factor(atoms[0], dtype);
  for (std::size_t i = 1; i < atoms.size(); ++i) result = intern(result * factor(atoms[i], dtype));
  if (times == 1) return result;
  return intern(result * intern(constant(dtype, wrap_integer(dtype, times))));
}

Expr Pool::sum(std::vector<Term> terms, std::int64_t rest, DType dtype) {
  // Negating the lowest integer is undefined: it stays as it is.
  const auto negatable = [](std::int64_t value) { return value < 0 && value != kLowest; };
  // An atom that several products share is written once: (b*128 + i)*n.
  std::unordered_map<const Node*, int> uses;
  const Node* shared = nullptr;
  for (const Term& term : terms) {
    const Atoms& factors = monomials_[term.monomial];
    for (std::size_t i = 0; i < factors.size(); ++i) {
      if (i > 0 && factors[i] == factors[i - 1]) continue;
      // A product counts double, so that n + i*n is factored and n + m is not.
      int& count = uses[factors[i]];
      count += factors.size() > 1 ? 2 : 1;
      if (count < 3) continue;
      if (!shared || count > uses[shared] || (count == uses[shared] && before(factors[i], shared))) shared = factors[i];
    }
  }
  std::vector<std::pair<Expr, std::int64_t>> summands;  // with the sign of the number
  if (shared) {
    std::vector<Term> group;
    std::int64_t group_constant = 0;
    std::erase_if(terms, [&](const Term& term) {
      Atoms factors = monomials_[term.monomial];
      const auto it = std::find(factors.begin(), factors.end(), shared);
      if (it == factors.end()) return false;
      factors.erase(it);
      if (factors.empty()) {
        group_constant = term.coefficient;
      } else {
        group.push_back({monomial(std::move(factors)), term.coefficient});
      }
      return true;
    });
    const bool negative =
        (group_constant == 0 || negatable(group_constant)) &&
        std::all_of(group.begin(), group.end(), [&](const Term& t) { return negatable(t.coefficient); });
    if (negative) {
      group_constant = -group_constant;
      for (Term& term : group) term.coefficient = -term.coefficient;
    }
    const Expr others = sum(std::move(group), group_constant, dtype);
    summands.emplace_back(intern(others * factor(shared, dtype)), negative ? -1 : 1);
  }
  std::sort(terms.begin(), terms.end(), [this](const Term& a, const Term& b) { return term_before(a, b); });
  for (const Term& term : terms) {
    const bool negative = negatable(term.coefficient);
    summands.emplace_back(product(term.monomial, negative ? -term.coefficient : term.coefficient, dtype),
                          negative ? -1 : 1);
  }
  // Start from a positive summand, so that nothing is negated.
  std::stable_partition(summands.begin(), summands.end(), [](const auto& s) { return s.second > 0; });
  Expr total;
  for (const auto& [value, sign] : summands) {
    if (!total) {
      total = sign > 0 ? value : Expr();
      if (sign > 0) continue;
      total = intern(constant(dtype, wrap_integer(dtype, rest)));
      rest = 0;
    }
    total = intern(sign > 0 ? total + value : total - value);
  }
  if (!total) return intern(constant(dtype, wrap_integer(dtype, rest)));
  if (rest == 0) return total;
  const bool subtract = negatable(rest);
  const Expr offset = intern(constant(dtype, wrap_integer(dtype, subtract ? -rest : rest)));
  return intern(subtract ? total - offset : total + offset);
}

Expr Pool::expression(const Polynomial& p, DType dtype) { return sum(p.terms, p.constant, dtype); }

}  // namespace quern::ir
