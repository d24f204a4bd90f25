#include "ir/generate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "base/error.h"
#include "ir/evaluate_code.h"
#include "ir/scalar.h"

namespace quern::ir {
namespace {

// The standard's distributions differ between libraries; these do not.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed * 0x9e3779b97f4a7c15ULL + 1) {}

  // 0 .. n - 1
  std::int64_t below(std::int64_t n) { return static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(n)); }
  bool chance(int percent) { return below(100) < percent; }
  double unit() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }
  template <typename T>
  const T& pick(const std::vector<T>& from) {
    return from[static_cast<std::size_t>(below(static_cast<std::int64_t>(from.size())))];
  }
  DType dtype() { return static_cast<DType>(below(kDTypeCount)); }
  DType dtype_where(bool (*wanted)(DType)) {
    DType type;
    do type = dtype();
    while (!wanted(type));
    return type;
  }

 private:
  std::mt19937_64 engine_;
};

// A random value of a dtype, most of them small.
Scalar random_scalar(Random& random, DType dtype, bool special) {
  if (is_bool(dtype)) return {.integer = random.below(2)};
  if (!is_float(dtype)) {
    if (random.chance(3)) return {.integer = random.chance(50) ? lowest_integer(dtype) : highest_integer(dtype)};
    return fit(dtype, {.integer = random.below(17) - (is_signed_integer(dtype) ? 8 : 0)});
  }
  if (special && random.chance(10)) {
    const double values[] = {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
                             std::numeric_limits<double>::quiet_NaN(), -0.0};
    return {.real = fit_real(dtype, values[random.below(4)])};
  }
  if (random.chance(30)) return {.real = static_cast<double>(random.below(9) - 4)};
  return {.real = fit_real(dtype, random.unit() * 4 - 2)};
}

Expr literal(Random& random, DType dtype) {
  const Scalar value = random_scalar(random, dtype, false);
  return is_float(dtype) ? constant(dtype, value.real) : constant(dtype, value.integer);
}

bool can_give(TypeRule rule, DType dtype) {
  switch (rule) {
    case TypeRule::numeric:
      return !is_bool(dtype);
    case TypeRule::floating:
      return is_float(dtype);
    case TypeRule::integral:
      return is_integer(dtype);
    case TypeRule::integral_or_bool:
      return !is_float(dtype);
    case TypeRule::comparison:
    case TypeRule::logical:
      return is_bool(dtype);
    case TypeRule::select:
      return true;
  }
  return false;
}

class Generator {
 public:
  Generator(std::uint64_t seed, const GenerateOptions& options) : random_(seed), options_(options) {
    program_.name = "generated_" + std::to_string(seed);
  }

  Program run() {
    make_dimensions();
    const std::int64_t definitions = 1 + random_.below(options_.max_definitions);
    const std::int64_t outputs = 1 + random_.below(std::min<std::int64_t>(definitions, 2));
    for (std::int64_t d = 0; d < definitions; ++d) define(d >= definitions - outputs, static_cast<int>(d));
    bind_symbols();
    add_facts();
    return std::move(program_);
  }

 private:
  void make_dimensions() {
    for (int i = 0; i < 2; ++i) dimensions_.emplace_back(1 + random_.below(options_.max_extent));
    if (!options_.symbols || random_.chance(25)) return;
    for (const char* hint : {"n", "m"}) {
      if (!program_.symbols.empty() && random_.chance(50)) break;
      program_.symbols.push_back(make_var(hint));
      dimensions_.emplace_back(program_.symbols.back());
    }
    const Expr n = program_.symbols[0];
    const Expr derived[] = {n + 1, n * 2, div(n + 3, 4), n + dimensions_[0]};
    if (random_.chance(40)) dimensions_.push_back(derived[random_.below(4)]);
  }

  std::vector<Expr> shape() {
    std::vector<Expr> result(static_cast<std::size_t>(random_.below(options_.max_rank + 1)));
    for (Expr& extent : result) extent = random_.pick(dimensions_);
    return result;
  }

  TensorRef new_input(DType dtype, std::vector<Expr> dims) {
    std::vector<Expr> strides;
    // Now and then the first dimension is the fastest.
    if (dims.size() > 1 && random_.chance(15)) {
      Expr step = 1;
      for (const Expr& extent : dims) {
        strides.push_back(step);
        step = is_integer(step, 1) ? extent : step * extent;
      }
    }
    const std::string name = "x" + std::to_string(program_.inputs.size());
    program_.inputs.push_back(make_tensor(name, dtype, std::move(dims), std::move(strides), random_.chance(10)));
    readable_.push_back(program_.inputs.back());
    return program_.inputs.back();
  }

  void define(bool is_output, int number) {
    DType dtype = random_.dtype();
    std::vector<Expr> dims = shape();
    const TensorRef updates = is_output && random_.chance(25) ? updated(dtype, dims) : nullptr;
    if (updates) dtype = updates->dtype, dims = updates->shape;
    std::vector<Axis> axes;
    for (std::size_t d = 0; d < dims.size(); ++d) axes.push_back({make_var("i" + std::to_string(d)), 0, dims[d]});
    scope_ = axes;
    reductions_ = 0;
    Expr e = value(dtype, options_.max_depth);
    if (updates && random_.chance(50)) e = select(value(DType::boolean, 2), e, own_element(updates));
    const TensorRef tensor = make_tensor((is_output ? "y" : "t") + std::to_string(number), dtype, dims);
    program_.definitions.push_back({tensor, std::move(axes), e});
    if (is_output) {
      program_.outputs.push_back({tensor, updates});
    } else {
      readable_.push_back(tensor);
    }
  }

  // Of a tensor with the definition's axes.
  Expr own_element(const TensorRef& tensor) const {
    std::vector<Expr> index;
    for (const Axis& axis : scope_) index.emplace_back(axis.var);
    return read(tensor, std::move(index));
  }

  // An input for an output to update, which anything may read: one that there is, or a new one of the dtype and shape.
  TensorRef updated(DType dtype, const std::vector<Expr>& dims) {
    std::vector<TensorRef> fitting;
    for (const TensorRef& input : program_.inputs) {
      const bool taken = std::ranges::any_of(program_.outputs, [&](const Output& o) { return o.updates == input; });
      if (!taken && !input->constant && input->strides.empty()) fitting.push_back(input);
    }
    if (!fitting.empty() && random_.chance(70)) return random_.pick(fitting);
    const TensorRef input = make_tensor("x" + std::to_string(program_.inputs.size()), dtype, dims);
    program_.inputs.push_back(input);
    readable_.push_back(input);
    return input;
  }

  void bind_symbols() {
    if (!program_.symbols.empty()) {
      new_input(random_.dtype(), std::vector<Expr>(program_.symbols.begin(), program_.symbols.end()));
    }
    // In the order of their first use, as the text form finds them.
    std::vector<VarRef> ordered;
    const auto use = [&](const auto& self, const Expr& e) -> void {
      if (e->kind == ExprKind::variable && std::find(ordered.begin(), ordered.end(), e->var) == ordered.end()) {
        ordered.push_back(e->var);
      }
      for (const Expr& arg : e->args) self(self, arg);
    };
    for (const TensorRef& tensor : arguments(program_)) {
      for (const Expr& extent : tensor->shape) use(use, extent);
      for (const Expr& stride : tensor->strides) use(use, stride);
    }
    program_.symbols = std::move(ordered);
  }

  void add_facts() {
    if (random_.chance(10)) program_.facts.push_back({.kind = Fact::Kind::exact});
    if (random_.chance(10) && !program_.inputs.empty()) {
      program_.facts.push_back({.kind = Fact::Kind::aligned, .tensor = program_.inputs[0], .bytes = 16});
    }
    if (program_.symbols.empty()) return;
    const VarRef n = program_.symbols[0];
    if (random_.chance(20)) {
      program_.facts.push_back({.kind = Fact::Kind::condition, .condition = equals(mod(n, 2), 0)});
    }
    if (random_.chance(20)) program_.facts.push_back({.kind = Fact::Kind::range, .symbol = n, .lo = 1, .hi = 9});
  }

  // --- Expressions ---

  Expr value(DType dtype, int depth) {
    if (depth <= 1) return leaf(dtype);
    const std::int64_t choice = random_.below(100);
    if (choice < 50) return function(dtype, depth);
    if (choice < 65) return cast(dtype, value(random_.dtype(), depth - 1));
    if (choice < 78) return reduction(dtype, depth);
    return choice < 95 ? element(dtype, depth) : leaf(dtype);
  }

  Expr leaf(DType dtype) {
    if (dtype == DType::i64 && random_.chance(60)) return place();
    return random_.chance(50) ? element(dtype, 1) : literal(random_, dtype);
  }

  // An axis, a symbol or a number.
  Expr place() {
    if (!scope_.empty() && random_.chance(70)) return random_.pick(scope_).var;
    if (!program_.symbols.empty() && random_.chance(60)) return random_.pick(program_.symbols);
    return random_.below(5);
  }

  Expr function(DType dtype, int depth) {
    std::vector<const ScalarFunction*> fitting;
    for (const ScalarFunction& f : scalar_functions()) {
      if (can_give(f.types, dtype)) fitting.push_back(&f);
    }
    const ScalarFunction& f = *random_.pick(fitting);
    DType operand = dtype;
    if (f.types == TypeRule::comparison) operand = random_.dtype();
    std::vector<Expr> args;
    for (int i = 0; i < f.arity; ++i) {
      const bool condition = f.types == TypeRule::select && i == 0;
      args.push_back(value(condition ? DType::boolean : operand, depth - 1));
    }
    return call(f.op, std::move(args));
  }

  Expr element(DType dtype, int depth) {
    std::vector<TensorRef> fitting;
    for (const TensorRef& tensor : readable_) {
      if (tensor->dtype == dtype) fitting.push_back(tensor);
    }
    const bool enough = program_.inputs.size() >= 6;
    if (fitting.empty() && enough) return literal(random_, dtype);
    if (depth > 1 && !enough && random_.chance(10)) return gathered(dtype);
    const bool known = !fitting.empty() && (enough || random_.chance(80));
    const TensorRef tensor = known ? random_.pick(fitting) : new_input(dtype, shape());
    std::vector<Expr> index;
    bool inside = true;
    for (const Expr& extent : tensor->shape) {
      std::vector<Expr> axes;
      for (const Axis& axis : scope_) {
        if (equal(axis.hi, extent)) axes.emplace_back(axis.var);
      }
      if (!axes.empty() && random_.chance(80)) {
        index.push_back(random_.pick(axes));
      } else {
        index.push_back(value(DType::i64, std::min(depth, 3) - 1));
        inside = false;
      }
    }
    return read(tensor, std::move(index), inside ? Expr() : value(dtype, 1));
  }

  // Through an index tensor whose elements are promised to lie inside.
  Expr gathered(DType dtype) {
    const Expr extent = 1 + random_.below(options_.max_extent);
    std::vector<Expr> dims, index;
    if (!scope_.empty()) {
      const Axis& axis = random_.pick(scope_);
      dims.push_back(axis.hi);
      index.emplace_back(axis.var);
    }
    const TensorRef places = new_input(random_.chance(50) ? DType::i32 : DType::i64, dims);
    const TensorRef data = new_input(dtype, {extent});
    program_.facts.push_back({.kind = Fact::Kind::range, .tensor = places, .lo = 0, .hi = extent});
    return read(data, {read(places, index)});
  }

  Expr reduction(DType dtype, int depth) {
    std::vector<const ReducerRow*> fitting;
    for (const ReducerRow& reducer : reducers()) {
      if (reducer.ordered ? dtype == DType::i64 : reducer.accepts(dtype)) fitting.push_back(&reducer);
    }
    if (reductions_ >= 2 || fitting.empty()) return leaf(dtype);
    ++reductions_;
    const ReducerRow& reducer = *random_.pick(fitting);
    const DType operand = reducer.ordered ? random_.dtype_where(reducer.accepts) : dtype;
    std::vector<Axis> axes;
    const std::size_t outside = scope_.size();
    const std::int64_t count = random_.chance(25) ? 2 : 1;
    for (std::int64_t a = 0; a < count; ++a) {
      const Expr hi = random_.pick(dimensions_);
      const bool later = as_integer(hi).value_or(2) > 1 && random_.chance(15);
      axes.push_back({make_var("r" + std::to_string(outside + static_cast<std::size_t>(a))), later ? 1 : 0, hi});
      scope_.push_back(axes.back());
    }
    const Expr where = random_.chance(30) ? value(DType::boolean, std::min(depth - 1, 3)) : Expr();
    const Expr argument = value(operand, depth - 1);
    scope_.resize(outside);
    Contract contract;
    if (random_.chance(30)) {
      // Nobody accumulates in an f8.
      bool (*wide)(DType) = [](DType type) { return quern::is_float(type) && byte_size(type) > 1; };
      if (!is_bool(operand)) contract.accumulator = random_.dtype_where(is_float(operand) ? wide : quern::is_integer);
      if (operand == DType::f32) contract.grade = static_cast<Grade>(random_.below(3));
      if (random_.chance(50)) contract.order = Order::fixed;
    }
    return reduce(reducer.reducer, std::move(axes), {argument}, where, contract);
  }

  Random random_;
  const GenerateOptions& options_;
  Program program_;
  std::vector<Expr> dimensions_;
  std::vector<TensorRef> readable_;
  std::vector<Axis> scope_;
  int reductions_ = 0;  // in this definition
};

std::int64_t size_of(const Expr& e, const Program& program, std::span<const std::int64_t> sizes) {
  std::vector<std::pair<VarRef, Scalar>> variables;
  for (std::size_t i = 0; i < sizes.size(); ++i)
    variables.emplace_back(program.symbols[i], Scalar{.integer = sizes[i]});
  return evaluate_scalar(e, variables).integer;
}

OwnedTensor allocate(const Tensor& tensor, const Program& program, std::span<const std::int64_t> sizes) {
  OwnedTensor owned;
  owned.host.dtype = tensor.dtype;
  owned.host.shape = shape_at(tensor, program.symbols, sizes);
  std::int64_t last = 0;  // the farthest element
  bool empty = false;
  const std::vector<Expr> strides = element_strides(tensor);
  for (std::size_t d = 0; d < strides.size(); ++d) {
    owned.host.strides.push_back(size_of(strides[d], program, sizes));
    last += owned.host.strides[d] * (owned.host.shape[d] - 1);
    empty = empty || owned.host.shape[d] == 0;
  }
  owned.bytes.resize(empty ? 0 : static_cast<std::size_t>((last + 1) * byte_size(tensor.dtype)));
  owned.host.data = owned.bytes.data();
  return owned;
}

void count(const Expr& e, Coverage& coverage) {
  if (!e) return;
  ++coverage.kinds[static_cast<std::size_t>(e->kind)];
  ++coverage.dtypes[static_cast<std::size_t>(e->dtype)];
  if (e->kind == ExprKind::call) ++coverage.functions[static_cast<std::size_t>(e->op)];
  if (e->kind == ExprKind::read) {
    coverage.fills += e->fill ? 1 : 0;
    coverage.indirect +=
        std::any_of(e->args.begin(), e->args.end(), [](const Expr& i) { return i->kind == ExprKind::read; });
  }
  if (e->kind == ExprKind::reduce) {
    ++coverage.reducers[static_cast<std::size_t>(e->reduce->reducer)];
    coverage.conditions += e->where ? 1 : 0;
    coverage.contracts += e->reduce->contract == Contract{} ? 0 : 1;
    coverage.several_axes += e->reduce->axes.size() > 1 ? 1 : 0;
  }
  for (const Expr& arg : e->args) count(arg, coverage);
  count(e->fill, coverage);
  count(e->where, coverage);
}

}  // namespace

Program generate_program(std::uint64_t seed, const GenerateOptions& options) { return Generator(seed, options).run(); }

std::vector<std::int64_t> generate_sizes(const Program& program, std::uint64_t seed) {
  Random random(seed);
  for (int attempt = 0; attempt < 1000; ++attempt) {
    std::vector<std::int64_t> sizes;
    for (std::size_t i = 0; i < program.symbols.size(); ++i) sizes.push_back(random.below(7));
    const bool holds = std::all_of(program.facts.begin(), program.facts.end(), [&](const Fact& fact) {
      if (fact.kind == Fact::Kind::condition) return size_of(fact.condition, program, sizes) != 0;
      if (fact.kind != Fact::Kind::range || !fact.symbol) return true;
      const std::int64_t value = size_of(Expr(fact.symbol), program, sizes);
      return value >= size_of(fact.lo, program, sizes) && value < size_of(fact.hi, program, sizes);
    });
    if (holds) return sizes;
  }
  fail("no small sizes fulfil the facts of {}", program.name);
}

std::vector<OwnedTensor> generate_inputs(const Program& program, std::span<const std::int64_t> sizes,
                                         std::uint64_t seed, bool special_values) {
  Random random(seed);
  std::vector<OwnedTensor> inputs;
  for (const TensorRef& tensor : program.inputs) {
    OwnedTensor owned = allocate(*tensor, program, sizes);
    const auto range = std::find_if(program.facts.begin(), program.facts.end(), [&](const Fact& fact) {
      return fact.kind == Fact::Kind::range && fact.tensor == tensor;
    });
    const auto size = static_cast<std::size_t>(byte_size(tensor->dtype));
    for (std::size_t begin = 0; begin < owned.bytes.size(); begin += size) {
      Scalar value = random_scalar(random, tensor->dtype, special_values);
      if (range != program.facts.end()) {
        const std::int64_t lo = size_of(range->lo, program, sizes), hi = size_of(range->hi, program, sizes);
        value.integer = lo + random.below(std::max<std::int64_t>(hi - lo, 1));
      }
      store(tensor->dtype, &owned.bytes[begin], value);
    }
    inputs.push_back(std::move(owned));
  }
  return inputs;
}

std::vector<OwnedTensor> allocate_outputs(const Program& program, std::span<const std::int64_t> sizes) {
  std::vector<OwnedTensor> outputs;
  for (const Output& output : program.outputs) outputs.push_back(allocate(*output.tensor, program, sizes));
  return outputs;
}

void count(const Program& program, Coverage& coverage) {
  for (const Definition& definition : program.definitions) count(definition.value, coverage);
  for (const Fact& fact : program.facts) ++coverage.facts[static_cast<std::size_t>(fact.kind)];
  for (const Output& output : program.outputs) coverage.updates += output.updates ? 1 : 0;
  for (const TensorRef& input : program.inputs) coverage.strides += input->strides.empty() ? 0 : 1;
  coverage.intermediates += static_cast<int>(program.definitions.size() - program.outputs.size());
  coverage.symbolic += program.symbols.empty() ? 0 : 1;
}

}  // namespace quern::ir
