#pragma once
// The machinery behind ir/simplify.h. Inside ir/: others use that header.

#include <memory>
#include <memory_resource>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ir/polynomial.h"
#include "ir/simplify.h"

namespace quern::ir {

// The values of a node. `exact`: its own arithmetic, down to the atoms of its polynomial, does not wrap.
struct Range {
  std::optional<std::int64_t> lo;
  std::optional<std::int64_t> hi;
  bool exact = true;
};

// What one extension of the assumptions adds, and what was learnt under it. All nodes are the pool's. Polynomials here
// are wide: over mathematical integers, seen through casts that keep the value.
class Assumptions::Scope {
 public:
  // lo <= node <= hi.
  struct Bound {
    const Node* node;
    Polynomial lo;
    std::optional<Polynomial> hi;
    Expr point;  // where both are the same expression, which may replace the node
  };
  struct Known {
    const Node* node;
    Interval interval;
    std::int64_t divisor = 1;
  };

  std::shared_ptr<Pool> pool;
  std::shared_ptr<Scope> parent;
  int level = 0;

  std::vector<Bound> bounds;
  std::vector<Known> known;
  std::vector<Polynomial> facts;                     // each >= 0
  std::vector<std::pair<const Node*, bool>> truths;  // conditions
  std::vector<std::pair<const Node*, Expr>> values;  // variables that stand for conditions
  std::vector<std::pair<const Tensor*, Interval>> elements;

  // Learnt. Foreign nodes are kept alive beside what became of them. Many small entries that all go with the scope.
  std::pmr::monotonic_buffer_resource memory;
  std::pmr::unordered_map<const Node*, std::pair<Expr, Expr>> simplified{&memory};
  std::pmr::unordered_map<const Node*, std::pair<Expr, Polynomial>> linear{&memory};
  std::pmr::unordered_map<const Node*, Range> ranges{&memory};
  std::pmr::unordered_map<const Node*, Interval> proven{&memory};  // what range() has told, by proofs too
  std::pmr::unordered_map<const Node*, std::int64_t> divisors{&memory};
  std::pmr::unordered_map<const Node*, Polynomial> wide{&memory};
};

// Works in one scope. Expressions given to its methods are the pool's and simplified, but for `simplify` itself.
class Simplifier {
 public:
  using Scope = Assumptions::Scope;
  explicit Simplifier(std::shared_ptr<Scope> scope) : scope_(std::move(scope)), pool_(*scope_->pool) {}

  Expr simplify(const Expr& e);

  // ir/interval.cpp
  Range range(const Expr& e);
  Range range(const Node& atom);
  Range range(const Polynomial& p, DType dtype);  // of the sum in `dtype`
  Interval interval(const Polynomial& wide);
  std::int64_t divisor(const Expr& e);
  std::int64_t divisor(const Polynomial& p);
  std::int64_t divisor(const Term& term);

  // ir/prove.cpp
  const Polynomial& wide(const Expr& e);
  bool nonnegative(const Polynomial& wide);
  // A number that `wide` is no less than: the best along one path of eliminations.
  std::optional<std::int64_t> lower_bound(Polynomial wide);

  // ir/simplify_index.cpp
  Expr divide(const Expr& a, const Expr& b);
  Expr remainder(const Expr& a, const Expr& b);
  Expr extreme(Op op, const Expr& a, const Expr& b);  // min, max of integers
  Expr bits(Op op, const Expr& a, const Expr& b);
  Polynomial recombine(Polynomial p, DType dtype);

  // ir/simplify_condition.cpp
  Expr compare(Op op, Expr a, Expr b);
  Expr inverse(const Expr& condition);
  Expr connect(Op op, const Expr& e);  // && and || of a node that is not simplified yet
  Expr choose(const Expr& e);          // select, likewise

  // A scope below this one where the condition holds.
  std::shared_ptr<Scope> where(const Expr& condition, bool pure);

 private:
  Expr compute(const Expr& e);
  Expr compute_call(const Expr& e);
  Expr compute_cast(const Expr& e);
  Expr compute_read(const Expr& e);
  Expr compute_reduce(const Expr& e);
  Expr integer_call(Op op, const Expr& node);
  Expr real_call(Op op, const Expr& node);
  Expr number(DType dtype, std::int64_t value) { return pool_.intern(constant(dtype, value)); }
  Expr make(Op op, std::vector<Expr> args) { return pool_.intern(call(op, std::move(args))); }
  Polynomial linear_form(const Expr& e);

  Range range_of_call(const Expr& e);
  Range range_of_bits(const Expr& e);
  std::int64_t divisor_of_atom(const Expr& e);

  struct Budget;
  bool nonnegative(const Polynomial& p, Budget& budget);
  bool try_facts(const Polynomial& p, Budget& budget);
  struct Split {
    Polynomial factor, rest;
    bool positive = false;
  };
  std::optional<Split> split_at(const Polynomial& p, const Node* atom);
  const Node* next_to_eliminate(const Polynomial& p, bool compound);
  bool eliminate(const Polynomial& p, const Node* atom, Budget& budget);
  const Scope::Bound* bound_of(const Node* node) const;

  Expr divide_by_constant(const Expr& a, std::int64_t c);
  Expr remainder_by_constant(const Expr& a, std::int64_t c);
  std::optional<std::pair<Polynomial, Polynomial>> aligned_parts(const Polynomial& p, std::int64_t c);
  std::optional<std::pair<Polynomial, Polynomial>> divide_polynomial(const Expr& a, const Expr& b);
  Polynomial exact_polynomial(const Expr& e);

  std::optional<Expr> order(Op op, const Expr& a, const Expr& b);
  Expr ordered(Polynomial difference, DType dtype, const Expr& unchanged);
  Expr equal_to_zero(Polynomial difference, DType dtype, const Expr& unchanged);
  Polynomial tightened(Polynomial p);
  std::optional<bool> truth(const Expr& condition) const;
  bool implies(const Expr& a, const Expr& b);
  std::optional<Polynomial> as_inequality(const Expr& condition);
  void assume(Scope& inner, const Expr& condition, bool value, bool pure);

 public:
  void learn(Scope& inner, const Polynomial& p);  // that p >= 0

  std::shared_ptr<Scope> scope_;
  Pool& pool_;
};

// A call of constants.
Expr fold(const Expr& e);

// Reads memory of a kernel, which may change.
bool reads_buffer(const Expr& e);

// The t whose window c * t .. c * t + c - 1 holds the whole interval, if there is one.
std::optional<std::int64_t> window(const Interval& interval, std::int64_t c);

std::int64_t floor_quotient(std::int64_t a, std::int64_t b);   // b > 0
std::int64_t floor_remainder(std::int64_t a, std::int64_t b);  // b > 0

}  // namespace quern::ir
