#pragma once
// Integer polynomials over opaque atoms: the normal form that index arithmetic is simplified and compared in. Inside
// ir/: others use ir/simplify.h. A pool and what is made from it is for one thread.

#include <cstdint>
#include <memory>
#include <memory_resource>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ir/expr.h"

namespace quern::ir {

// coefficient * monomial, which the pool numbers.
struct Term {
  std::uint32_t monomial = 0;
  std::int64_t coefficient = 0;
  bool operator==(const Term&) const = default;
};

// constant + terms, sorted by monomial, none zero. Coefficients wrap; `overflow` says that some did, after which the
// polynomial is right modulo 2^64 only.
struct Polynomial {
  std::vector<Term> terms;
  std::int64_t constant = 0;
  bool overflow = false;

  bool is_constant() const { return terms.empty(); }
  bool operator==(const Polynomial&) const = default;
};

Polynomial add(const Polynomial& a, const Polynomial& b, std::int64_t scale = 1);  // a + scale * b
Polynomial scaled(const Polynomial& a, std::int64_t scale);
// Coefficients as signed numbers of the dtype's width (u32 too); `overflow` where that changes one.
Polynomial wrapped(Polynomial p, DType dtype);
std::int64_t coefficient(const Polynomial& a, std::uint32_t monomial);
// The greatest common divisor of all coefficients, 0 without terms.
std::int64_t content(const Polynomial& a);

// Unique nodes, and the numbers of atoms' products.
class Pool {
 public:
  // The one node of the pool that is like `e`, whose children are from the pool.
  Expr intern(const Expr& e);
  // All of `e` with its children.
  Expr import(const Expr& e);

  using Atoms = std::vector<const Node*>;
  std::uint32_t monomial(Atoms atoms);
  const Atoms& atoms(std::uint32_t monomial) const { return monomials_[monomial]; }
  Polynomial atom(const Expr& e);
  Polynomial multiply(const Polynomial& a, const Polynomial& b);
  // a * b stays one atom where it would have more terms than this.
  static constexpr std::size_t kMaxTerms = 16;

  // `e`, a node of the pool of an integer dtype, modulo 2^bits: sums and products are opened up, all else are atoms;
  // `overflow` where a coefficient does not fit the dtype as a signed number.
  const Polynomial& polynomial(const Expr& e);
  // The value in `dtype`, to which other atoms are cast; terms by degree, coefficient and name; common atoms are
  // factored out.
  Expr expression(const Polynomial& p, DType dtype);

  // A total order of nodes that doesn't depend on addresses: structure and names, then the order of interning.
  bool before(const Node* a, const Node* b) const;

  // A node of the pool as an expression, to build upon.
  Expr expr(const Node* node) const { return nodes_.at(node).expr; }

 private:
  struct Entry {
    Expr expr;
    std::uint32_t number;
  };
  struct ShallowHash {
    std::size_t operator()(const Node* node) const;
  };
  struct ShallowEqual {
    bool operator()(const Node* a, const Node* b) const;
  };
  struct AtomsHash {
    std::size_t operator()(const Atoms& atoms) const;
  };

  int compare(const Node* a, const Node* b) const;
  bool term_before(const Term& a, const Term& b) const;
  Expr sum(std::vector<Term> terms, std::int64_t constant, DType dtype);
  Expr factor(const Node* atom, DType dtype);
  Expr product(std::uint32_t monomial, std::int64_t times, DType dtype);

  std::pmr::monotonic_buffer_resource memory_;  // of the tables, which only grow
  std::pmr::unordered_map<const Node*, const Node*, ShallowHash, ShallowEqual> unique_{&memory_};
  std::pmr::unordered_map<const Node*, Entry> nodes_{&memory_};
  std::pmr::unordered_map<const Node*, Expr> imported_{&memory_};  // foreign node -> ours; both are kept alive
  std::vector<Expr> foreign_;
  std::vector<Atoms> monomials_;
  std::pmr::unordered_map<Atoms, std::uint32_t, AtomsHash> monomial_numbers_{&memory_};
  std::pmr::unordered_map<const Node*, Polynomial> polynomials_{&memory_};
};

}  // namespace quern::ir
