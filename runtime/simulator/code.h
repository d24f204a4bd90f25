#pragma once
// A kernel in thread form as flat code for the simulator: expressions as values that name their operands, statements as
// steps with jumps, at the symbol values of one launch. Inside runtime/simulator/.

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ir/kernel.h"

namespace quern::runtime::simulator {

inline constexpr std::uint32_t kNone = ~std::uint32_t{0};

// A variable's place in a warp: the same number for all lanes, or one each.
struct Slot {
  bool uniform = true;
  std::uint32_t number = 0;
};

struct Value {
  enum class Kind : std::uint8_t { constant, variable, call, select, both, either, cast, read };
  Kind kind{};
  DType dtype{};
  DType from{};          // call, cast: of the operands
  ir::Op op{};           // call
  bool uniform = false;  // the same number in all lanes, and no float
  std::uint8_t count = 0;
  std::array<std::uint32_t, 3> args{};
  Slot slot;                 // variable
  std::uint32_t buffer = 0;  // read; args[0] is the flat index
  ir::Scalar constant;
};

struct BufferCode {
  std::string name;
  ir::Space space{};
  DType dtype{};
  int element_bytes = 0;
  std::int64_t elements = 0;  // not of global buffers
  // global: the parameter; shared: bytes in the block's shared memory; barrier: the first one's number; fragment: the
  // first element in the warp's registers
  std::int64_t place = 0;
  std::int64_t shared_offset = 0;  // of shared buffers and mbarriers, in bytes
  std::int64_t window = 0;         // of shared buffers: their number
};

struct Operand {
  char kind{};  // of the intrinsic's row
  std::uint32_t value = kNone;
  std::uint32_t buffer = kNone;  // of places
};

struct Step {
  enum class Kind : std::uint8_t { allocate, store, atomic, move, let, branch, jump, loop, next, intrinsic, end };
  Kind kind{};
  std::uint32_t statement = 0;                    // its number in Code::statements
  std::uint32_t a = kNone, b = kNone, c = kNone;  // store: index, value; move: to, from; let: value; branch: condition;
                                                  // loop, next: lo, hi, step
  std::uint32_t buffer = kNone;                   // allocate, store, move: where to
  std::uint32_t from = kNone;                     // move
  int width = 1;                                  // move
  Slot slot;                                      // let, loop, next
  std::uint32_t bound = 0;                        // loop, next: the uniform slot that keeps hi, lanes' or the warp's
  DType dtype{};                                  // let, loop: of the variable
  int target = 0;  // branch: the other side; jump; loop: behind it; next: the loop's body
  int join = 0;    // branch: behind it
  ir::IntrinsicId intrinsic{};
  ir::Reducer reducer{};           // atomic
  std::uint32_t combined = kNone;  // atomic: of the two slots below
  Slot left, right;                // atomic
  std::vector<Operand> operands;   // intrinsic
};

// Instructions of one execution by a warp, by what they compute with.
struct Work {
  std::int64_t floats = 0, integers = 0, special = 0;
};

struct Statement {
  const ir::StmtNode* node = nullptr;
  std::string text;                                // its first line
  int line = 0;                                    // in the CUDA text; 0: unknown
  std::vector<std::pair<std::string, Slot>> axes;  // the loops around it, outermost first
  Work work;
};

struct Code {
  std::string name;
  std::vector<Value> values;
  std::vector<Step> steps;
  std::vector<Statement> statements;
  std::vector<BufferCode> buffers;
  std::uint32_t numbers = 0;                   // uniform slots
  std::uint32_t vectors = 0;                   // slots with a value for each lane
  std::int64_t registers = 0;                  // elements of all fragments of a warp
  std::int64_t register_bytes = 0;             // of a lane, all fragments
  std::vector<std::int64_t> register_offsets;  // bytes of a lane where each buffer that is a fragment begins
  std::vector<std::uint32_t> fragments;        // the buffers that are fragments, by their number
  std::vector<std::int64_t> initial;           // uniform slots: symbols
  std::vector<Slot> block;                     // of the block's coordinates
  Slot warp, lane;
  std::int64_t shared_bytes = 0;
  int barriers = 0;  // mbarriers
  int warps = 1;
  std::array<std::int64_t, 3> cluster{1, 1, 1};
  std::array<std::int64_t, 3> grid{1, 1, 1};
};

// `symbols` are the values of kernel.symbols. `lines` are the lines of its statements in the CUDA text, in the order of
// ir::visit; may be empty.
Code compile_code(const ir::Kernel& kernel, const std::vector<std::int64_t>& symbols, const std::vector<int>& lines);

}  // namespace quern::runtime::simulator
