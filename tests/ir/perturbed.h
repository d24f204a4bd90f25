#pragma once
// A machine that is as wrong as the contract allows: functions off by their rows' bounds, sums in random trees in
// their accumulators, products fused or not. Its results must lie within ir/bounds.h.

#include <map>
#include <random>
#include <span>
#include <vector>

#include "ir/evaluate.h"

namespace quern::ir {

class Perturbed {
 public:
  Perturbed(const Program& program, std::span<const std::int64_t> symbols, std::span<const HostTensor> inputs,
            std::uint64_t seed);

  Scalar element(const Tensor& tensor, std::span<const std::int64_t> coordinate);

 private:
  using State = std::vector<Scalar>;

  Scalar eval(const Expr& e, bool may_stay_wide = false);
  Scalar call(const Expr& e, bool may_stay_wide);
  Scalar read(const Expr& e);
  Scalar reduce(const Expr& e);
  void collect(const Expr& e, std::size_t axis, std::int64_t position, DType acc, std::vector<State>& states);
  State combine(const Expr& e, DType acc, const State& left, const State& right);
  std::int64_t size(const Expr& e) { return eval(e).integer; }
  double random_sign();

  const Program& program_;
  std::span<const HostTensor> inputs_;
  std::mt19937_64 random_;
  bool may_fuse_ = true;
  std::map<const Variable*, std::int64_t> places_;
};

}  // namespace quern::ir
