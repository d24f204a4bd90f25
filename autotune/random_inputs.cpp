#include "autotune/random_inputs.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>

#include "base/error.h"
#include "ir/evaluate.h"
#include "ir/rewrite.h"
#include "ir/scalar.h"
#include "runtime/host_memory.h"

namespace quern::autotune {
namespace {

std::int64_t number(const ir::Expr& size) {
  if (const auto literal = ir::as_integer(size)) return *literal;
  return ir::evaluate_scalar(size, {}).integer;
}

std::vector<std::int64_t> numbers(const std::vector<ir::Expr>& sizes) {
  std::vector<std::int64_t> values(sizes.size());
  std::ranges::transform(sizes, values.begin(), number);
  return values;
}

// SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every machine.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }

 private:
  std::uint64_t state_;
};

// The integers that an input may hold: lo..hi.
struct Range {
  std::int64_t lo = std::numeric_limits<std::int64_t>::min();
  std::int64_t hi = std::numeric_limits<std::int64_t>::max();
};

Range meet(const Range& a, const Range& b) { return {std::max(a.lo, b.lo), std::min(a.hi, b.hi)}; }

// What the facts and the places that it indexes say of each input.
std::map<const ir::Tensor*, Range> ranges_of(const ir::Program& program) {
  std::map<const ir::Tensor*, Range> ranges;
  const auto restrict = [&](const ir::Tensor* tensor, const Range& range) {
    ranges[tensor] = meet(ranges[tensor], range);
  };
  for (const ir::Fact& fact : program.facts) {
    if (fact.kind == ir::Fact::Kind::range && fact.tensor) {
      restrict(fact.tensor.get(), {number(fact.lo), number(fact.hi)});
    }
  }
  for (const ir::Definition& definition : program.definitions) {
    ir::visit(definition.value, [&](const ir::Expr& e) {
      if (e->kind != ir::ExprKind::read) return true;
      for (std::size_t d = 0; d < e->args.size(); ++d) {
        const ir::Node* index = e->args[d].get();
        while (index->kind == ir::ExprKind::cast) index = index->args[0].get();
        if (index->kind != ir::ExprKind::read || !ir::is_input(program, *index->tensor)) continue;
        // Extents of intermediates are expressions over symbols too.
        restrict(index->tensor.get(), {0, number(e->tensor->shape[d])});
      }
      return true;
    });
  }
  return ranges;
}

constexpr std::size_t kPool = 4096;

// Elements drawn from a pool of random ones, which are converted once.
void fill_floats(DType dtype, std::vector<std::byte>& data, Random& random) {
  const auto bytes = static_cast<std::size_t>(byte_size(dtype));
  std::vector<std::byte> pool(kPool * bytes);
  for (std::size_t i = 0; i < kPool; ++i) {
    const double unit = static_cast<double>(random.next() >> 11) * 0x1p-53;
    ir::store(dtype, &pool[i * bytes], ir::fit(dtype, {.real = 4 * unit - 2}));
  }
  std::uint64_t bits = 0;
  const std::size_t count = data.size() / bytes;
  for (std::size_t i = 0; i < count; ++i) {
    if (i % 5 == 0) bits = random.next();
    std::memcpy(&data[i * bytes], &pool[bits % kPool * bytes], bytes);
    bits /= kPool;
  }
}

void fill_integers(DType dtype, std::vector<std::byte>& data, const Range& range, bool sorted, Random& random) {
  const auto bytes = static_cast<std::size_t>(byte_size(dtype));
  const Range narrow = is_unsigned_integer(dtype) || is_bool(dtype) ? Range{0, 8} : Range{-4, 5};
  const bool stated = range.lo != Range().lo || range.hi != Range().hi;
  Range of = stated ? range : narrow;
  of = meet(of, {ir::lowest_integer(dtype), byte_size(dtype) < 8 ? ir::highest_integer(dtype) + 1 : Range().hi});
  const auto width = of.hi > of.lo ? static_cast<std::uint64_t>(of.hi) - static_cast<std::uint64_t>(of.lo) : 1;
  const auto draw = [&] { return of.lo + static_cast<std::int64_t>(random.next() % width); };
  const auto put = [&](std::size_t i, std::int64_t value) {
    ir::store(dtype, &data[i * bytes], ir::fit(dtype, {.integer = value}));
  };
  const std::size_t count = data.size() / bytes;
  if (!sorted) {
    for (std::size_t i = 0; i < count; ++i) put(i, draw());
    return;
  }
  std::vector<std::int64_t> values(count);
  std::ranges::generate(values, draw);
  std::ranges::sort(values);
  for (std::size_t i = 0; i < count; ++i) put(i, values[i]);
}

// What is read through one address is what was written there last.
void unite_shared(const ir::Tensor& tensor, std::vector<std::byte>& data) {
  const StridedLayout layout = layout_of(tensor);
  const auto bytes = static_cast<std::size_t>(byte_size(tensor.dtype));
  std::vector<std::byte> block(static_cast<std::size_t>(layout.size()) * bytes);
  const auto at = [bytes](std::int64_t element) { return static_cast<std::size_t>(element) * bytes; };
  layout.each([&](std::int64_t n, std::int64_t place) { std::memcpy(&block[at(place)], &data[at(n)], bytes); });
  layout.each([&](std::int64_t n, std::int64_t place) { std::memcpy(&data[at(n)], &block[at(place)], bytes); });
}

}  // namespace

StridedLayout layout_of(const ir::Tensor& tensor) {
  return {numbers(tensor.shape), numbers(ir::element_strides(tensor))};
}

std::vector<std::vector<std::byte>> random_inputs(const ir::Program& program, std::uint64_t seed) {
  const auto ranges = ranges_of(program);
  std::vector<std::vector<std::byte>> all;
  for (const ir::TensorRef& input : program.inputs) {
    Random random(seed * 0x2545f4914f6cdd1dULL + all.size());
    const std::size_t bytes = runtime::array_bytes(input->dtype, numbers(input->shape));
    runtime::require_host_memory(bytes, "input " + input->name);
    std::vector<std::byte>& data = all.emplace_back(bytes);
    const auto range = ranges.find(input.get());
    const bool sorted = std::any_of(program.facts.begin(), program.facts.end(), [&](const ir::Fact& fact) {
      return fact.kind == ir::Fact::Kind::nondecreasing && fact.tensor == input;
    });
    if (is_float(input->dtype)) {
      fill_floats(input->dtype, data, random);
    } else {
      fill_integers(input->dtype, data, range == ranges.end() ? Range() : range->second, sorted, random);
    }
    if (!input->strides.empty()) unite_shared(*input, data);
  }
  return all;
}

}  // namespace quern::autotune
