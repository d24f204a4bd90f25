#pragma once
// Runs the code of ir/evaluate_code.h, over plain scalars or over scalars with error bounds. Inside ir/.
//
// An Arithmetic has a type Value and, all const:
//   Value exact(DType, Scalar)                          of what is known exactly
//   Value call(const Instruction&, std::span<Value>)    any row but select, && and ||
//   Value cast(DType to, DType from, Value)
//   Value rescaled(DType to, Value weight, Value)       of a weight rounded to `to`, perhaps at another scale
//   Value weighted(DType, Value weight, Value)          of a term with that weight, which may be left out if it is 0
//   Scalar value(Value)                                 the reference value
//   std::optional<Scalar> certain(Value)                the scalar, where it is the only possible value
//   Value either_of(DType, Value taken, Value other)    of a selection whose condition is uncertain
//   Value unknown(DType, Scalar value)                  of a read at an uncertain place
//   Value expanded(const Instruction&, std::span<const Value> operands, Value)
// and a member template reduce(Machine&, const ReduceCode&, DType), which runs a reduction.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "ir/evaluate_code.h"
#include "ir/scalar.h"

namespace quern::ir {

// Values kept by their row-major place: dense where they are few.
template <typename Value>
class Table {
 public:
  explicit Table(std::span<const std::int64_t> extents) {
    std::int64_t size = 1;
    for (const std::int64_t extent : extents) {
      if (__builtin_mul_overflow(size, extent, &size) || size > kMaxDense) {
        is_dense_ = false;
        return;
      }
    }
    dense_.resize(static_cast<std::size_t>(size));
    known_.resize(static_cast<std::size_t>(size));
  }

  const Value* find(std::int64_t place) const {
    if (is_dense_) {
      const auto i = static_cast<std::size_t>(place);
      return known_[i] ? &dense_[i] : nullptr;
    }
    const auto it = sparse_.find(place);
    return it == sparse_.end() ? nullptr : &it->second;
  }

  void set(std::int64_t place, const Value& value) {
    if (!is_dense_) {
      sparse_.insert_or_assign(place, value);
      return;
    }
    dense_[static_cast<std::size_t>(place)] = value;
    known_[static_cast<std::size_t>(place)] = true;
  }

 private:
  static constexpr std::int64_t kMaxDense = std::int64_t{1} << 22;

  bool is_dense_ = true;
  std::vector<Value> dense_;
  std::vector<bool> known_;
  std::unordered_map<std::int64_t, Value> sparse_;
};

// Throws Error: a read without a fill at `index` of dimension `d`.
[[noreturn]] void fail_outside(const ReadCode& read, std::size_t d, std::int64_t index);
// A point of a reduction: whether its condition holds for the reference, and whether it surely does.
struct Point {
  bool holds = true;
  bool certain = true;
};

// The strides in elements, written or dense.
std::vector<std::int64_t> strides_of(const HostTensor& tensor);
// Throws Error unless there are as many inputs as the program has, of its dtypes and shapes.
void check_tensors(const Program& program, std::span<const std::int64_t> symbols, std::span<const HostTensor> inputs);
std::uint32_t definition_number(const Code& code, const Tensor& tensor);

template <typename Arithmetic>
class Machine {
 public:
  using Value = typename Arithmetic::Value;

  Machine(const Code& code, std::span<const HostTensor> inputs, Arithmetic how = {})
      : arithmetic(std::move(how)), code_(code), slots_(code.initial_slots), locals_(code.locals) {
    for (const HostTensor& input : inputs) inputs_.push_back({&input, strides_of(input)});
    for (const auto& extents : code.table_extents) tables_.emplace_back(extents);
  }

  Arithmetic arithmetic;
  Value& local(std::uint32_t number) { return locals_[number]; }
  const Code& code() const { return code_; }

  // The element of a definition at a coordinate inside its tensor.
  Value element(std::uint32_t number, std::span<const std::int64_t> coordinate) {
    const DefinitionCode& definition = code_.definitions[number];
    std::int64_t place = 0;
    if (definition.table != kNone) {
      for (std::size_t d = 0; d < coordinate.size(); ++d) place = place * definition.shape[d] + coordinate[d];
      if (const Value* known = tables_[definition.table].find(place)) return *known;
    }
    const Value value = compute(definition, coordinate);
    // What is read speculatively may be another's fault.
    if (definition.table != kNone && speculative_ == 0) tables_[definition.table].set(place, value);
    return value;
  }

  Value eval(std::uint32_t number) {
    using enum Instruction::Kind;
    const Instruction& i = code_.instructions[number];
    switch (i.kind) {
      case constant:
        return arithmetic.exact(i.dtype, i.value);
      case index:
        return arithmetic.exact(i.dtype, {.integer = slots_[i.number]});
      case local:
        return locals_[i.number];
      case select:
        return choose(i);
      case both:
      case either:
        return connect(i);
      case cast: {
        if (i.places) return arithmetic.exact(i.dtype, place(number));
        return arithmetic.cast(i.dtype, i.from, eval(code_.operand(i, 0)));
      }
      case rescaled: {
        const Value value = eval(code_.operand(i, 0));
        return arithmetic.rescaled(i.from, eval(code_.operand(i, 1)), value);
      }
      case weighted: {
        const Value value = eval(code_.operand(i, 0));
        return arithmetic.weighted(i.dtype, eval(code_.operand(i, 1)), value);
      }
      case call: {
        if (i.places) return arithmetic.exact(i.dtype, place(number));
        std::array<Value, 3> operands;
        for (std::uint32_t n = 0; n < i.count; ++n) operands[n] = eval(code_.operand(i, n));
        return arithmetic.call(i, std::span(operands.data(), i.count));
      }
      case read:
        return read_element(i);
      case reduce:
        return reduction(i);
      case let: {
        for (std::uint32_t n = 0; n + 1 < i.count; ++n) locals_[i.number + n] = eval(code_.operand(i, n));
        const Value value = eval(code_.operand(i, i.count - 1));
        return arithmetic.expanded(i, std::span<const Value>(&locals_[i.number], i.count - 1), value);
      }
    }
    unreachable("a kind of instruction");
  }

  // What depends on axes and symbols alone.
  Scalar place(std::uint32_t number) const {
    using enum Instruction::Kind;
    const Instruction& i = code_.instructions[number];
    switch (i.kind) {
      case constant:
        return i.value;
      case index:
        return {.integer = slots_[i.number]};
      case cast:
        return convert(i.dtype, i.from, place(code_.operand(i, 0)));
      case select:
        return place(code_.operand(i, place(code_.operand(i, 0)).integer != 0 ? 1 : 2));
      case both:
        return place(code_.operand(i, 0)).integer != 0 ? place(code_.operand(i, 1)) : Scalar{};
      case either:
        return place(code_.operand(i, 0)).integer != 0 ? Scalar{.integer = 1} : place(code_.operand(i, 1));
      case call: {
        std::array<Scalar, 3> operands;
        for (std::uint32_t n = 0; n < i.count; ++n) operands[n] = place(code_.operand(i, n));
        if (i.dtype == DType::i64) {
          // Index arithmetic, in the shortest way.
          const auto a = static_cast<std::uint64_t>(operands[0].integer);
          const auto b = static_cast<std::uint64_t>(operands[1].integer);
          if (i.op == Op::add) return {.integer = static_cast<std::int64_t>(a + b)};
          if (i.op == Op::sub) return {.integer = static_cast<std::int64_t>(a - b)};
          if (i.op == Op::mul) return {.integer = static_cast<std::int64_t>(a * b)};
        }
        return fit(i.dtype, row(i.op).reference(i.from, std::span(operands.data(), i.count)));
      }
      default:
        unreachable("a place reads nothing");
    }
  }

  // Calls body(Point) for every point of the loops where the condition may hold; the slots hold its coordinates.
  template <typename Body>
  void for_each(const ReduceCode& reduce, const Body& body) {
    const std::vector<Loop>& loops = reduce.loops;
    std::vector<std::int64_t> saved;
    bool empty = false;
    for (const Loop& loop : loops) {
      saved.push_back(slots_[loop.slot]);
      empty = empty || loop.extent() == 0;
    }
    if (!empty) {
      for (const Loop& loop : loops) slots_[loop.slot] = loop.lo;
      do {
        visit_point(reduce, body);
      } while (advance(loops));
    }
    for (std::size_t d = 0; d < loops.size(); ++d) slots_[loops[d].slot] = saved[d];
  }

  // The row-major position of the current point.
  std::int64_t position(const ReduceCode& reduce) const {
    std::int64_t result = 0;
    for (const Loop& loop : reduce.loops) result = result * loop.extent() + slots_[loop.slot] - loop.lo;
    return result;
  }

 private:
  struct Input {
    const HostTensor* tensor;
    std::vector<std::int64_t> strides;
  };

  template <typename Body>
  void visit_point(const ReduceCode& reduce, const Body& body) {
    if (reduce.where == kNone) return body(Point{});
    if (code_.instructions[reduce.where].places) {
      if (place(reduce.where).integer != 0) body(Point{});
      return;
    }
    const Value condition = eval(reduce.where);
    const bool holds = arithmetic.value(condition).integer != 0;
    if (!arithmetic.certain(condition)) {
      ++speculative_;
      body(Point{holds, false});
      --speculative_;
    } else if (holds) {
      body(Point{});
    }
  }

  // The next point, the last loop fastest; false after the last one.
  bool advance(const std::vector<Loop>& loops) {
    for (std::size_t d = loops.size(); d-- > 0;) {
      if (++slots_[loops[d].slot] < loops[d].hi) return true;
      slots_[loops[d].slot] = loops[d].lo;
    }
    return false;
  }

  Value compute(const DefinitionCode& definition, std::span<const std::int64_t> coordinate) {
    const std::vector<Loop>& loops = definition.loops;
    std::array<std::int64_t, 8> few;
    std::vector<std::int64_t> many;
    std::int64_t* saved = few.data();
    if (loops.size() > few.size()) {
      many.resize(loops.size());
      saved = many.data();
    }
    for (std::size_t d = 0; d < loops.size(); ++d) {
      saved[d] = slots_[loops[d].slot];
      slots_[loops[d].slot] = coordinate[d];
    }
    const Value value = eval(definition.value);
    for (std::size_t d = 0; d < loops.size(); ++d) slots_[loops[d].slot] = saved[d];
    return value;
  }

  Value choose(const Instruction& i) {
    const Value condition = eval(code_.operand(i, 0));
    if (const auto known = arithmetic.certain(condition)) return eval(code_.operand(i, known->integer != 0 ? 1 : 2));
    ++speculative_;
    const Value a = eval(code_.operand(i, 1)), b = eval(code_.operand(i, 2));
    --speculative_;
    const bool first = arithmetic.value(condition).integer != 0;
    return arithmetic.either_of(i.dtype, first ? a : b, first ? b : a);
  }

  Value connect(const Instruction& i) {
    const bool all = i.kind == Instruction::Kind::both;
    const Value left = eval(code_.operand(i, 0));
    const auto known = arithmetic.certain(left);
    if (known) return (known->integer != 0) == all ? eval(code_.operand(i, 1)) : left;
    ++speculative_;
    const Value right = eval(code_.operand(i, 1));
    --speculative_;
    if (const auto other = arithmetic.certain(right); other && (other->integer != 0) != all) return right;
    const bool l = arithmetic.value(left).integer != 0, r = arithmetic.value(right).integer != 0;
    return arithmetic.unknown(i.dtype, {.integer = all ? l && r : l || r});
  }

  Value read_element(const Instruction& i) {
    const ReadCode& read = code_.reads[i.number];
    std::array<std::int64_t, 8> few;
    std::vector<std::int64_t> many;
    std::int64_t* coordinate = few.data();
    if (i.count > few.size()) {
      many.resize(i.count);
      coordinate = many.data();
    }
    bool certain = true;
    for (std::uint32_t d = 0; d < i.count; ++d) {
      const std::uint32_t operand = code_.operand(i, d);
      if (const Instruction& at = code_.instructions[operand]; at.kind == Instruction::Kind::index) {
        coordinate[d] = slots_[at.number];
      } else if (at.places) {
        coordinate[d] = place(operand).integer;
      } else {
        const Value value = eval(operand);
        certain = certain && arithmetic.certain(value);
        coordinate[d] = arithmetic.value(value).integer;
      }
      if (coordinate[d] >= 0 && coordinate[d] < read.shape[d]) continue;
      if (read.fill != kNone) {
        const Value value = eval(read.fill);
        return certain ? value : arithmetic.unknown(i.dtype, arithmetic.value(value));
      }
      if (speculative_ == 0) fail_outside(read, d, coordinate[d]);
      return arithmetic.unknown(i.dtype, {});
    }
    const std::span<const std::int64_t> at(coordinate, i.count);
    if (read.input != kNone) {
      const Scalar value = load_input(read.input, at);
      return certain ? arithmetic.exact(i.dtype, value) : arithmetic.unknown(i.dtype, value);
    }
    const Value value = element(read.definition, at);
    return certain ? value : arithmetic.unknown(i.dtype, arithmetic.value(value));
  }

  Scalar load_input(std::uint32_t number, std::span<const std::int64_t> coordinate) const {
    const Input& input = inputs_[number];
    std::int64_t offset = 0;
    for (std::size_t d = 0; d < coordinate.size(); ++d) offset += coordinate[d] * input.strides[d];
    const DType dtype = input.tensor->dtype;
    return load(dtype, static_cast<const std::byte*>(input.tensor->data) + offset * byte_size(dtype));
  }

  Value reduction(const Instruction& i) {
    const ReduceCode& reduce = code_.reduces[i.number];
    if (reduce.table == kNone) return arithmetic.reduce(*this, reduce, i.dtype);
    std::int64_t key = 0;
    for (const Loop& loop : reduce.key) key = key * loop.extent() + slots_[loop.slot] - loop.lo;
    if (const Value* known = tables_[reduce.table].find(key)) return *known;
    const Value value = arithmetic.reduce(*this, reduce, i.dtype);
    if (speculative_ == 0) tables_[reduce.table].set(key, value);
    return value;
  }

  const Code& code_;
  std::vector<std::int64_t> slots_;
  std::vector<Value> locals_;
  std::vector<Input> inputs_;
  std::vector<Table<Value>> tables_;
  int speculative_ = 0;
};

// Folds the states of a reducer step by step. `observe(element, point)` sees every element that may count.
template <typename Arithmetic, typename Observe>
typename Arithmetic::Value fold(Machine<Arithmetic>& machine, const ReduceCode& reduce, const Observe& observe) {
  using Value = typename Arithmetic::Value;
  const FoldCode& code = *reduce.fold;
  std::vector<Value> state, lifted(code.lift.size());
  for (const std::uint32_t value : code.identity) state.push_back(machine.eval(value));
  const auto set_left = [&] {
    for (std::size_t s = 0; s < state.size(); ++s) machine.local(code.left[s]) = state[s];
  };
  machine.for_each(reduce, [&](Point point) {
    const Value element = machine.eval(reduce.argument);
    observe(element, point);
    if (!point.holds) return;
    machine.local(code.element) = element;
    machine.local(code.index) = machine.arithmetic.exact(DType::i64, {.integer = machine.position(reduce)});
    for (std::size_t s = 0; s < state.size(); ++s) lifted[s] = machine.eval(code.lift[s]);
    for (std::size_t s = 0; s < state.size(); ++s) machine.local(code.right[s]) = lifted[s];
    set_left();
    for (std::size_t s = 0; s < state.size(); ++s) state[s] = machine.eval(code.combine[s]);
  });
  set_left();
  return machine.eval(code.finish);
}

}  // namespace quern::ir
