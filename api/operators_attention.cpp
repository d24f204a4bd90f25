// Attention.

#include <cmath>
#include <limits>

#include "api/expr.h"
#include "api/operators.h"
#include "base/error.h"

namespace quern {
namespace {

using api::define;
using api::described;
using api::indices_of;

// The axes of the scores: the batch's, then queries and keys.
struct Scores {
  std::vector<Axis> batch;
  Axis query, key;

  std::vector<Axis> rows() const { return joined(query); }
  std::vector<Axis> all() const {
    std::vector<Axis> axes = rows();
    axes.push_back(key);
    return axes;
  }
  std::vector<Axis> joined(const Axis& last) const {
    std::vector<Axis> axes = batch;
    axes.push_back(last);
    return axes;
  }
  std::vector<Expr> at(const Axis& own, const Axis& last) const {
    std::vector<Expr> index = indices_of(batch);
    index.emplace_back(own);
    index.emplace_back(last);
    return index;
  }
};

Scores scores_of(const Tensor& q, const Tensor& k) {
  const std::size_t outer = q.shape().size() - 2;
  std::vector<Axis> batch;
  for (std::size_t d = 0; d < outer; ++d) {
    batch.emplace_back(d + 1 < outer || outer == 1 ? "b" : "h", q.shape()[d]);
  }
  return {batch, Axis("i", q.shape()[outer]), Axis("j", k.shape()[outer])};
}

void check(const Tensor& q, const Tensor& k, const Tensor& v) {
  api::common_state({q, k, v});
  const std::size_t rank = q.shape().size();
  if (!is_float(q.dtype()) || k.dtype() != q.dtype() || v.dtype() != q.dtype()) {
    fail("attention takes three tensors of one float dtype, not {}, {}, {}", described(q), described(k), described(v));
  }
  bool agree = rank >= 2 && k.shape().size() == rank && v.shape().size() == rank;
  for (std::size_t d = 0; agree && d + 2 < rank; ++d) {
    agree = api::provably_equal(q.shape()[d], k.shape()[d]) && api::provably_equal(q.shape()[d], v.shape()[d]);
  }
  agree = agree && api::provably_equal(q.shape()[rank - 1], k.shape()[rank - 1]) &&
          api::provably_equal(k.shape()[rank - 2], v.shape()[rank - 2]);
  if (!agree) {
    fail("attention takes q [..., i, d], k [..., j, d], v [..., j, e]; {}, {}, {} are not such", described(q),
         described(k), described(v));
  }
}

Expr scale_of(const Tensor& q, const AttentionOptions& options) {
  if (options.scale) return *options.scale;
  const Dim& d = q.shape().back();
  if (const auto number = d.as_integer()) return 1 / std::sqrt(static_cast<double>(*number));
  return rsqrt(cast(api::compute_dtype(q.dtype()), d));
}

}  // namespace

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  check(q, k, v);
  const auto& state = q.state();
  const Expr scale = scale_of(q, options);
  const Scores a = scores_of(q, k);
  const Axis p("p", q.shape().back());
  const Tensor s =
      define(state, "s", a.all(), sum({p}, api::widened(q.at(a.at(a.query, p))) * api::widened(k.at(a.at(a.key, p)))));
  const Scores b = scores_of(q, k);
  const Expr scaled = s.at(indices_of(b.all())) * scale;
  const Expr hidden = cast(s.dtype(), Expr(-std::numeric_limits<double>::infinity()));
  const Tensor logit =
      define(state, "logit", b.all(), options.causal ? select(Expr(b.key) <= Expr(b.query), scaled, hidden) : scaled);
  const Scores c = scores_of(q, k);
  const Tensor largest = define(state, "largest", c.rows(), reduce("max", {c.key}, logit.at(indices_of(c.all()))));
  const Scores d = scores_of(q, k);
  const Tensor e = define(state, "e", d.all(), exp(logit.at(indices_of(d.all())) - largest.at(indices_of(d.rows()))));
  const Scores f = scores_of(q, k);
  const Tensor total = define(state, "total", f.rows(), sum({f.key}, e.at(indices_of(f.all()))));
  const Scores g = scores_of(q, k);
  const Axis column("c", v.shape().back());
  const Expr numerator = cast(s.dtype(), cast(q.dtype(), e.at(indices_of(g.all()))));
  std::vector<Axis> axes = g.rows();
  axes.push_back(column);
  const Expr mixed = sum({g.key}, numerator * api::widened(v.at(g.at(g.key, column))));
  return define(state, options.name, axes, cast(q.dtype(), mixed / total.at(indices_of(g.rows()))));
}

}  // namespace quern
