// Folds of expand_tiles: a reduction over distributed fragments.

#include <algorithm>

#include "base/error.h"
#include "compiler/expander.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

using State = std::vector<BufferRef>;

std::vector<Expr> elements(const State& state, const Expr& index) {
  std::vector<Expr> result;
  for (const BufferRef& part : state) result.push_back(element(part, index));
  return result;
}

// state[index] = combine(state[index], other), all parts computed before one is written.
Stmt combine_into(Reducer reducer, const State& state, const Expr& index, const std::vector<Expr>& other) {
  const std::vector<Expr> combined = row(reducer).combine(elements(state, index), other);
  if (combined.size() == 1) return assign(state[0], index, combined[0]);
  std::vector<Stmt> body;
  std::vector<VarRef> parts;
  for (const Expr& part : combined) {
    parts.push_back(make_var("part", part->dtype));
    body.push_back(make_stmt(Let{parts.back(), part}));
  }
  for (std::size_t p = 0; p < parts.size(); ++p) body.push_back(assign(state[p], index, parts[p]));
  return block(std::move(body));
}

struct ThreadDigit {
  Digit digit;
  bool folded;
};

// The lane or warp digits of a layout, each with whether its mode is folded.
std::vector<ThreadDigit> thread_digits(const Layout& layout, const std::vector<int>& over, Place place) {
  std::vector<ThreadDigit> digits;
  for (std::size_t m = 0; m < layout.modes.size(); ++m) {
    const bool folded = std::find(over.begin(), over.end(), static_cast<int>(m)) != over.end();
    for (const Digit& digit : layout.modes[m]) {
      if (digit.place == place && digit.extent > 1) digits.push_back({digit, folded});
    }
  }
  return digits;
}

}  // namespace

Stmt Expander::expand(const Fold& fold) {
  return nested([&] {
    const Layout& layout = fold.from[0]->layout;
    const Distributed values = distribute(layout);
    State from, to;
    for (const BufferRef& part : fold.from) from.push_back(flat_.at(part.get()));
    for (const BufferRef& part : fold.to) to.push_back(flat_.at(part.get()));

    // Where a register of `from` lands in `to`: the kept modes' register digits, dense in to's own layout.
    Expr source = 0, target = 0;
    std::vector<RegisterDigit> kept, folded;
    std::int64_t kept_registers = 1;
    int next_kept = 0;
    for (std::size_t m = 0; m < layout.modes.size(); ++m) {
      const bool is_folded = std::find(fold.over.begin(), fold.over.end(), static_cast<int>(m)) != fold.over.end();
      Mode target_digits;
      if (!is_folded) {
        for (const Digit& d : fold.to[0]->layout.modes[static_cast<std::size_t>(next_kept)]) {
          if (d.extent > 1) target_digits.push_back(d);
        }
        ++next_kept;
      }
      std::size_t g = 0;
      for (const Digit& digit : layout.modes[m]) {
        if (digit.extent == 1) continue;
        if (digit.place == Place::reg) {
          const Expr value = values.digits[m][g];
          source = source + value * digit.stride;
          const RegisterDigit loop{value->var, digit.extent, digit.stride, false};
          if (is_folded) {
            folded.push_back(loop);
          } else {
            kept.push_back(loop);
            kept_registers *= digit.extent;
            target = target + value * target_digits[g].stride;
          }
        }
        ++g;
      }
    }
    source = simplify(source, assumptions_);
    target = simplify(target, assumptions_);

    std::vector<Stmt> body;
    // 1. Registers: the first one starts the state, which the others join.
    std::vector<DType> parts;
    for (const BufferRef& part : from) parts.push_back(part->dtype);
    const std::vector<Expr> identity = row(fold.reducer).identity(*accumulator_of(fold.reducer, parts));
    std::vector<Stmt> start;
    for (std::size_t p = 0; p < to.size(); ++p) start.push_back(assign(to[p], target, identity[p]));
    body.push_back(loop_over(kept, block(std::move(start)), false));
    std::vector<RegisterDigit> all = kept;
    all.insert(all.end(), folded.begin(), folded.end());
    body.push_back(loop_over(all, combine_into(fold.reducer, to, target, elements(from, source)), false));

    // 2. Lanes: a butterfly per folded lane digit.
    for (const auto& [digit, is_folded] : thread_digits(layout, fold.over, Place::lane)) {
      if (!is_folded) continue;
      ensure((digit.extent & (digit.extent - 1)) == 0, "a folded lane digit is a power of two");
      for (std::int64_t step = digit.extent / 2; step >= 1; step /= 2) {
        std::vector<Stmt> exchange;
        std::vector<Expr> other;
        for (const BufferRef& part : to) {
          const BufferRef received = declare("other", part->dtype, Space::fragment, 1);
          exchange.push_back(make_stmt(Alloc{received}));
          exchange.push_back(make_stmt(Intrinsic{
              IntrinsicId::shuffle_xor, {element(received, 0), element(part, target), Expr(step * digit.stride)}}));
          other.push_back(element(received, 0));
        }
        exchange.push_back(combine_into(fold.reducer, to, target, other));
        body.push_back(loop_over(kept, block(std::move(exchange)), false));
      }
    }

    // 3. Warps: each writes its state to scratch, all read those of their group.
    std::vector<Digit> over_warps;
    for (const auto& [digit, is_folded] : thread_digits(layout, fold.over, Place::warp)) {
      if (is_folded) over_warps.push_back(digit);
    }
    if (!over_warps.empty()) {
      const std::int64_t per_warp = scope_.lanes * kept_registers;
      std::vector<Stmt> write, gather;
      std::vector<BufferRef> scratch;
      for (const BufferRef& part : to) {
        scratch.push_back(declare("scratch", part->dtype, Space::shared, scope_.groups * scope_.warps * per_warp));
        kernel_.shared.push_back(scratch.back());
      }
      const Expr own = scope_.group * (scope_.warps * per_warp) + scope_.lane + target * scope_.lanes;
      for (std::size_t p = 0; p < to.size(); ++p) {
        write.push_back(make_stmt(Store{.buffer = scratch[p],
                                        .index = {simplify(scope_.warp * per_warp + own, assumptions_)},
                                        .value = element(to[p], target)}));
      }
      body.push_back(barrier());
      body.push_back(loop_over(kept, block(std::move(write)), false));
      body.push_back(barrier());

      // This warp's number with the folded digits taken out, and put back as loops.
      Expr group = scope_.warp;
      Expr other_warp = 0;
      std::vector<RegisterDigit> loops;
      for (const Digit& digit : over_warps) {
        const VarRef var = make_var("w");
        assumptions_ = assumptions_.with(Axis{var, 0, digit.extent});
        group = group - mod(div(scope_.warp, Expr(digit.stride)), Expr(digit.extent)) * digit.stride;
        other_warp = other_warp + Expr(var) * digit.stride;
        loops.push_back({var, digit.extent, 0, false});
      }
      const Expr place = simplify((group + other_warp) * per_warp + own, assumptions_);
      std::vector<Stmt> restart;
      for (std::size_t p = 0; p < to.size(); ++p) restart.push_back(assign(to[p], target, identity[p]));
      body.push_back(loop_over(kept, block(std::move(restart)), false));
      std::vector<RegisterDigit> nest = kept;
      nest.insert(nest.end(), loops.begin(), loops.end());
      body.push_back(loop_over(nest, combine_into(fold.reducer, to, target, elements(scratch, place)), false));
    }
    return block(std::move(body));
  });
}

}  // namespace quern::compiler
