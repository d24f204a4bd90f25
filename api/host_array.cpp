// Arrays in host memory: their elements, the sizes that follow from them, random ones.

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

#include "api/host.h"
#include "base/error.h"
#include "ir/evaluate.h"
#include "ir/printer.h"
#include "ir/rewrite.h"
#include "ir/scalar.h"
#include "quern/host.h"
#include "runtime/host_memory.h"

namespace quern {
namespace {

std::string text_of(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t d = 0; d < shape.size(); ++d) text += fmt::format("{}{}", d == 0 ? "" : ", ", shape[d]);
  return text + "]";
}

std::string text_of(const ir::Tensor& tensor) {
  ir::Names names;
  return fmt::format("{}{}", name(tensor.dtype), ir::to_string(tensor.shape, names));
}

std::size_t bytes_of(const HostArray& array) {
  std::int64_t bytes = byte_size(array.dtype);
  if (std::ranges::count(array.shape, 0) > 0) return 0;
  for (const std::int64_t extent : array.shape) {
    if (__builtin_mul_overflow(bytes, extent, &bytes)) {
      fail("{} has more bytes than any memory, 2^63 or more; use smaller sizes", array.type());
    }
  }
  return static_cast<std::size_t>(bytes);
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
std::map<const ir::Tensor*, Range> ranges_of(const ir::Program& program, const api::SymbolValues& symbols) {
  std::map<const ir::Tensor*, Range> ranges;
  const auto restrict = [&](const ir::Tensor* tensor, const Range& range) {
    ranges[tensor] = meet(ranges[tensor], range);
  };
  for (const ir::Fact& fact : program.facts) {
    if (fact.kind == ir::Fact::Kind::range && fact.tensor) {
      restrict(fact.tensor.get(), {symbols.value(fact.lo), symbols.value(fact.hi)});
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
        restrict(index->tensor.get(), {0, symbols.value(e->tensor->shape[d])});
      }
      return true;
    });
  }
  return ranges;
}

constexpr std::size_t kPool = 4096;

// Elements drawn from a pool of random ones, which are converted once.
void fill_floats(HostArray& array, Random& random) {
  const auto bytes = static_cast<std::size_t>(byte_size(array.dtype));
  std::vector<std::byte> pool(kPool * bytes);
  for (std::size_t i = 0; i < kPool; ++i) {
    const double unit = static_cast<double>(random.next() >> 11) * 0x1p-53;
    ir::store(array.dtype, &pool[i * bytes], ir::fit(array.dtype, {.real = 4 * unit - 2}));
  }
  std::uint64_t bits = 0;
  const std::size_t count = array.data.size() / bytes;
  for (std::size_t i = 0; i < count; ++i) {
    if (i % 5 == 0) bits = random.next();
    std::memcpy(&array.data[i * bytes], &pool[bits % kPool * bytes], bytes);
    bits /= kPool;
  }
}

void fill_integers(HostArray& array, const Range& range, bool sorted, Random& random) {
  const auto bytes = static_cast<std::size_t>(byte_size(array.dtype));
  const Range narrow = is_unsigned_integer(array.dtype) || is_bool(array.dtype) ? Range{0, 8} : Range{-4, 5};
  const bool stated = range.lo != Range().lo || range.hi != Range().hi;
  Range of = stated ? range : narrow;
  if (is_bool(array.dtype)) of = {0, 2};
  const auto width = of.hi > of.lo ? static_cast<std::uint64_t>(of.hi) - static_cast<std::uint64_t>(of.lo) : 1;
  const auto draw = [&] { return of.lo + static_cast<std::int64_t>(random.next() % width); };
  const auto put = [&](std::size_t i, std::int64_t value) {
    ir::store(array.dtype, &array.data[i * bytes], ir::fit(array.dtype, {.integer = value}));
  };
  const std::size_t count = array.data.size() / bytes;
  if (!sorted) {
    for (std::size_t i = 0; i < count; ++i) put(i, draw());
    return;
  }
  std::vector<std::int64_t> values(count);
  std::ranges::generate(values, draw);
  std::ranges::sort(values);
  for (std::size_t i = 0; i < count; ++i) put(i, values[i]);
}

}  // namespace

namespace api {

SymbolValues::SymbolValues(const ir::Program& program, const Sizes& sizes) {
  for (const ir::VarRef& symbol : program.symbols) {
    const auto found = sizes.find(symbol->name);
    if (found == sizes.end()) {
      fail("symbol {} of {} has no size; give it one, as in -D {}=1024 or Sizes{{{{\"{}\", 1024}}}}", symbol->name,
           program.name, symbol->name, symbol->name);
    }
    if (found->second < 0)
      fail("symbol {} of {} is {}; a size is at least 0", symbol->name, program.name, found->second);
    variables_.emplace_back(symbol, ir::Scalar{.integer = found->second});
    values_.push_back(found->second);
  }
}

std::int64_t SymbolValues::value(const ir::Expr& size) const {
  if (const auto number = ir::as_integer(size)) return *number;
  return ir::evaluate_scalar(size, variables_).integer;
}

std::vector<std::int64_t> SymbolValues::shape(const ir::Tensor& tensor) const {
  std::vector<std::int64_t> result;
  result.reserve(tensor.rank());
  for (const ir::Expr& size : tensor.shape) result.push_back(value(size));
  return result;
}

}  // namespace api

HostArray::HostArray(DType of, std::vector<std::int64_t> dims) : dtype(of), shape(std::move(dims)) {
  const std::size_t bytes = bytes_of(*this);
  runtime::require_host_memory(bytes, type());
  data.resize(bytes);
}

std::int64_t HostArray::size() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::string HostArray::type() const { return std::string(name(dtype)) + text_of(shape); }

double HostArray::value(std::int64_t index) const {
  const ir::Scalar scalar = ir::load(dtype, &data[static_cast<std::size_t>(index * byte_size(dtype))]);
  if (is_float(dtype)) return scalar.real;
  return dtype == DType::u64 ? static_cast<double>(static_cast<std::uint64_t>(scalar.integer))
                             : static_cast<double>(scalar.integer);
}

void HostArray::set_value(std::int64_t index, double value) {
  const DType from = DType::f64;
  ir::store(dtype, &data[static_cast<std::size_t>(index * byte_size(dtype))],
            ir::convert(dtype, from, {.real = value}));
}

Sizes infer_sizes(const Program& program, std::span<const HostArray> inputs, const Sizes& given) {
  const ir::Program& p = program.ir();
  if (inputs.size() != p.inputs.size()) {
    fail("{} takes {} input{}, here {} {}", p.name, p.inputs.size(), p.inputs.size() == 1 ? "" : "s",
         inputs.size() == 1 ? "is" : "are", inputs.size());
  }
  Sizes sizes = given;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const ir::Tensor& tensor = *p.inputs[i];
    if (inputs[i].dtype != tensor.dtype || inputs[i].shape.size() != tensor.rank()) {
      fail("input {} of {} is {}, here is {}", tensor.name, p.name, text_of(tensor), inputs[i].type());
    }
    for (std::size_t d = 0; d < tensor.rank(); ++d) {
      if (tensor.shape[d]->kind != ir::ExprKind::variable) continue;
      sizes.emplace(tensor.shape[d]->var->name, inputs[i].shape[d]);
    }
  }
  const api::SymbolValues symbols(p, sizes);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::vector<std::int64_t> expected = symbols.shape(*p.inputs[i]);
    if (inputs[i].shape == expected) continue;
    fail("input {} of {} is {}, which is {} for the other sizes, here is {}", p.inputs[i]->name, p.name,
         text_of(*p.inputs[i]), text_of(expected), text_of(inputs[i].shape));
  }
  return sizes;
}

std::vector<HostArray> random_inputs(const Program& program, const Sizes& sizes, std::uint64_t seed) {
  const ir::Program& p = program.ir();
  const api::SymbolValues symbols(p, sizes);
  const auto ranges = ranges_of(p, symbols);
  std::vector<HostArray> arrays;
  for (const ir::TensorRef& input : p.inputs) {
    Random random(seed * 0x2545f4914f6cdd1dULL + arrays.size());
    HostArray array(input->dtype, symbols.shape(*input));
    const auto range = ranges.find(input.get());
    const bool sorted = std::any_of(p.facts.begin(), p.facts.end(), [&](const ir::Fact& fact) {
      return fact.kind == ir::Fact::Kind::nondecreasing && fact.tensor == input;
    });
    if (is_float(input->dtype)) {
      fill_floats(array, random);
    } else {
      fill_integers(array, range == ranges.end() ? Range() : range->second, sorted, random);
    }
    arrays.push_back(std::move(array));
  }
  return arrays;
}

}  // namespace quern
