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

// A fold on its way: registers join first, then lanes, then warps.
struct Expander::Folding {
  const Fold& fold;
  State from, to;
  Expr source, target;  // where a register of `from` lies, and of `to` that it joins
  std::vector<RegisterDigit> kept, folded;
  std::int64_t kept_registers = 1;
  std::vector<Expr> identity;

  Stmt start() const {
    std::vector<Stmt> parts;
    for (std::size_t p = 0; p < to.size(); ++p) parts.push_back(assign(to[p], target, identity[p]));
    return block(std::move(parts));
  }
  std::vector<ThreadDigit> digits(Place place) const { return thread_digits(fold.from[0]->layout, fold.over, place); }
};

// Where a register of `from` lands in `to`: the kept modes' register digits, dense in to's own layout.
Expander::Folding Expander::folding(const Fold& fold) {
  Folding f{.fold = fold};
  for (const BufferRef& part : fold.from) f.from.push_back(flat_.at(part.get()));
  for (const BufferRef& part : fold.to) f.to.push_back(flat_.at(part.get()));
  const Layout& layout = fold.from[0]->layout;
  const Distributed values = distribute(layout);
  Expr source = 0, target = 0;
  std::size_t next_kept = 0;
  for (std::size_t m = 0; m < layout.modes.size(); ++m) {
    const bool is_folded = std::find(fold.over.begin(), fold.over.end(), static_cast<int>(m)) != fold.over.end();
    Mode target_digits;
    if (!is_folded)
      std::ranges::copy_if(fold.to[0]->layout.modes[next_kept++], std::back_inserter(target_digits),
                           [](const Digit& d) { return d.extent > 1; });
    std::size_t g = 0;
    for (const Digit& digit : layout.modes[m]) {
      if (digit.extent == 1) continue;
      const std::size_t at = g++;
      if (digit.place != Place::reg) continue;
      const Expr value = values.digits[m][at];
      source = source + value * digit.stride;
      (is_folded ? f.folded : f.kept).push_back({value->var, digit.extent, digit.stride, false});
      if (is_folded) continue;
      f.kept_registers *= digit.extent;
      target = target + value * target_digits[at].stride;
    }
  }
  f.source = simplify(source, assumptions_);
  f.target = simplify(target, assumptions_);
  std::vector<DType> parts;
  for (const BufferRef& part : f.from) parts.push_back(part->dtype);
  f.identity = row(fold.reducer).identity(*accumulator_of(fold.reducer, parts));
  return f;
}

// The first one starts the state, which the others join.
void Expander::fold_registers(const Folding& f, std::vector<Stmt>& body) {
  body.push_back(loop_over(f.kept, f.start(), false));
  std::vector<RegisterDigit> all = f.kept;
  all.insert(all.end(), f.folded.begin(), f.folded.end());
  body.push_back(loop_over(all, combine_into(f.fold.reducer, f.to, f.target, elements(f.from, f.source)), false));
}

// A butterfly per folded lane digit.
void Expander::fold_lanes(const Folding& f, std::vector<Stmt>& body) {
  for (const auto& [digit, is_folded] : f.digits(Place::lane)) {
    if (!is_folded) continue;
    ensure((digit.extent & (digit.extent - 1)) == 0, "a folded lane digit is a power of two");
    for (std::int64_t step = digit.extent / 2; step >= 1; step /= 2) {
      std::vector<Stmt> exchange;
      std::vector<Expr> other;
      for (const BufferRef& part : f.to) {
        const BufferRef received = declare("other", part->dtype, Space::fragment, 1);
        exchange.push_back(make_stmt(Alloc{received}));
        exchange.push_back(make_stmt(Intrinsic{
            IntrinsicId::shuffle_xor, {element(received, 0), element(part, f.target), Expr(step * digit.stride)}}));
        other.push_back(element(received, 0));
      }
      exchange.push_back(combine_into(f.fold.reducer, f.to, f.target, other));
      body.push_back(loop_over(f.kept, block(std::move(exchange)), false));
    }
  }
}

// Each warp writes its state to scratch, all read those of their group.
void Expander::fold_warps(const Folding& f, std::vector<Stmt>& body) {
  std::vector<Digit> over;
  for (const auto& [digit, is_folded] : f.digits(Place::warp)) {
    if (is_folded) over.push_back(digit);
  }
  if (over.empty()) return;
  const std::int64_t per_warp = scope_.lanes * f.kept_registers;
  const Expr own = scope_.group * (scope_.warps * per_warp) + scope_.lane + f.target * scope_.lanes;
  const Expr place = simplify(scope_.warp * per_warp + own, assumptions_);
  std::vector<Stmt> write;
  State scratch;
  for (const BufferRef& part : f.to) {
    scratch.push_back(declare("scratch", part->dtype, Space::shared, scope_.groups * scope_.warps * per_warp));
    kernel_.shared.push_back(scratch.back());
    write.push_back(make_stmt(Store{.buffer = scratch.back(), .index = {place}, .value = element(part, f.target)}));
  }
  body.push_back(barrier());
  body.push_back(loop_over(f.kept, block(std::move(write)), false));
  body.push_back(barrier());

  // This warp's number with the folded digits taken out, and put back as loops.
  Expr group = scope_.warp, other_warp = 0;
  std::vector<RegisterDigit> nest = f.kept;
  for (const Digit& digit : over) {
    const VarRef var = make_var("w");
    assumptions_ = assumptions_.with(Axis{var, 0, digit.extent});
    group = group - mod(div(scope_.warp, Expr(digit.stride)), Expr(digit.extent)) * digit.stride;
    other_warp = other_warp + Expr(var) * digit.stride;
    nest.push_back({var, digit.extent, 0, false});
  }
  const Expr others = simplify((group + other_warp) * per_warp + own, assumptions_);
  body.push_back(loop_over(f.kept, f.start(), false));
  body.push_back(loop_over(nest, combine_into(f.fold.reducer, f.to, f.target, elements(scratch, others)), false));
}

Stmt Expander::expand(const Fold& fold) {
  return nested([&] {
    const Folding f = folding(fold);
    std::vector<Stmt> body;
    fold_registers(f, body);
    fold_lanes(f, body);
    fold_warps(f, body);
    return block(std::move(body));
  });
}

}  // namespace quern::compiler
