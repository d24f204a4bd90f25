#pragma once
// Tensor programs at given sizes as flat code for the evaluator (ir/evaluate.h) and the bounds of checks (ir/bounds.h).
// Inside ir/.

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "ir/evaluate.h"

namespace quern::ir {

inline constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

struct Instruction {
  enum class Kind : std::uint8_t {
    constant,
    index,  // an axis or a symbol
    local,
    call,
    select,
    both,    // &&: the right side only where the left one holds
    either,  // ||
    cast,
    read,
    reduce,
    rescaled,  // a factor of a sum's term, and the weight that is rounded to `from` on its way (ir/rescaling.h)
    weighted,  // the term of such a factor, and the weight
    let,       // all operands but the last into locals from `number` on; the value is the last one's: op's expansion
  };
  Kind kind{};
  DType dtype{};
  DType from{};            // call, cast: the operands'
  Op op{};                 // call
  bool places = false;     // an integer or bool that depends on nothing but axes and symbols
  std::uint32_t args = 0;  // the first of `count` places in Code::operands
  std::uint32_t count = 0;
  std::uint32_t number = 0;  // index, local: the slot; read, reduce: the place in its list
  Scalar value;              // constant
};

// An axis at its sizes.
struct Loop {
  std::uint32_t slot = 0;
  std::int64_t lo = 0, hi = 0;
  std::int64_t extent() const { return hi > lo ? hi - lo : 0; }
};

struct ReadCode {
  std::uint32_t input = kNone;       // among the host tensors
  std::uint32_t definition = kNone;  // or among the definitions
  std::vector<std::int64_t> shape;
  std::uint32_t fill = kNone;
  const Tensor* tensor = nullptr;
};

// Local slots of one state, its instructions in an accumulator of f64 for floats.
struct FoldCode {
  std::vector<std::uint32_t> identity, lift, combine;
  std::uint32_t finish = kNone;
  std::uint32_t element = 0;               // local
  std::uint32_t index = 0;                 // local: the row-major position
  std::vector<std::uint32_t> left, right;  // locals
};

struct ReduceCode {
  Reducer reducer{};
  Contract contract;
  std::vector<Loop> loops;
  std::uint32_t argument = 0;
  std::uint32_t where = kNone;
  DType element{};
  DType accumulator{};  // as contracted
  // Of a state of one value: the function that combines, and its identity (of f64 for floats). Else the fold.
  Op combine{};
  Scalar identity;
  std::optional<FoldCode> fold;
  std::vector<Loop> key;        // the outer axes that it depends on, if kept
  std::uint32_t table = kNone;  // kept values
};

struct DefinitionCode {
  const Tensor* tensor = nullptr;
  std::vector<Loop> loops;
  std::uint32_t value = 0;
  std::uint32_t table = kNone;  // kept values; none where nobody reads it
  std::vector<std::int64_t> shape;
};

struct Code {
  std::vector<Instruction> instructions;
  std::vector<std::uint32_t> operands;
  std::vector<ReadCode> reads;
  std::vector<ReduceCode> reduces;
  std::vector<DefinitionCode> definitions;
  std::vector<std::vector<std::int64_t>> table_extents;  // of kept values
  std::uint32_t slots = 0;                               // integers: axes and symbols
  std::uint32_t locals = 0;                              // values of any dtype
  std::vector<std::int64_t> initial_slots;
  bool may_fuse = true;  // a * b + c; not where the program says `exact`

  std::uint32_t operand(const Instruction& i, std::uint32_t n) const { return operands[i.args + n]; }
};

// What the evaluator accumulates in: f64 for floats.
DType wide_accumulator(const ReduceCode& reduce);

// For bounds, activations become their expansions (as code generators spell them), else they stay calls of their rows;
// and sums say which of their terms' factors may be rounded at another scale.
Code compile(const Program& program, std::span<const std::int64_t> symbols, bool for_bounds);
Code compile(const Expr& e, std::span<const VarRef> variables, std::span<const TensorRef> tensors);

// The shape of a tensor at the given sizes.
std::vector<std::int64_t> shape_at(const Tensor& tensor, std::span<const VarRef> symbols,
                                   std::span<const std::int64_t> values);

}  // namespace quern::ir
