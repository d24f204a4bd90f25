#pragma once
// The launch plan: the host side of a compiled program as data. It is stored beside the binaries and is all that is
// needed to launch them: which variant serves a call, its grids, parameters, tensor maps and workspace. Plain values;
// thread-safe as long as nobody writes.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/plan_expr.h"
#include "quern/dtype.h"

namespace quern {

// Written into the serialised form; a plan of another version is refused.
inline constexpr int kPlanVersion = 2;

// Workspace slots begin at multiples of this many bytes.
inline constexpr std::int64_t kWorkspaceAlignment = 256;

// Where a symbol's value is found in a call. A symbol is its index in Plan::symbols everywhere else.
struct PlanSymbol {
  enum class Source : std::uint8_t { dimension, stride };
  std::string name;
  Source source = Source::dimension;
  int argument = 0;   // index in Plan::arguments
  int dimension = 0;  // axis of that argument
  bool operator==(const PlanSymbol&) const = default;
};

// One tensor of the call, inputs and outputs alike, in the order of the pointers passed to a launch.
struct PlanArgument {
  std::string name;
  DType dtype = DType::f32;
  std::vector<PlanExpr> shape;    // elements
  std::vector<PlanExpr> strides;  // elements; as many as `shape`
  bool is_output = false;
  bool is_const = false;  // an input with the same contents over calls: `once` steps may read it
  int updates = -1;       // an output that starts as this argument's contents and may share its memory; -1: none
  bool operator==(const PlanArgument&) const = default;
};

// Holds when the expression is not 0.
struct ConditionGuard {
  PlanExpr condition;
  bool operator==(const ConditionGuard&) const = default;
};

// Holds when the argument's pointer is a multiple of `bytes`.
struct AlignmentGuard {
  int argument = 0;
  std::int64_t bytes = 1;
  bool operator==(const AlignmentGuard&) const = default;
};

using Guard = std::variant<ConditionGuard, AlignmentGuard>;

// Scratch memory of one call. A persistent slot holds what `once` steps computed and outlives the call.
struct WorkspaceSlot {
  PlanExpr bytes;
  bool persistent = false;
  bool operator==(const WorkspaceSlot&) const = default;
};

// An address: an argument or a workspace slot of the variant, plus an offset.
struct PlanPointer {
  enum class Base : std::uint8_t { argument, workspace };
  Base base = Base::argument;
  int index = 0;
  PlanExpr byte_offset;
  bool operator==(const PlanPointer&) const = default;
};

// A number computed at the launch, passed as `type` (wrapped; f32: rounded to nearest).
struct ScalarParameter {
  enum class Type : std::uint8_t { i32, i64, u32, u64, f32 };
  Type type = Type::i32;
  PlanExpr value;
  bool operator==(const ScalarParameter&) const = default;
};

// The constants of fast_division.h for `divisor`, passed as one struct of two u32: multiplier, then shift.
struct FastDivisionParameter {
  PlanExpr divisor;
  bool operator==(const FastDivisionParameter&) const = default;
};

// A tensor map (CUDA TMA descriptor) in words of the tensor; passed by value as 128 bytes aligned to 64. Axis 0 is the
// innermost one. The dtype says how out-of-range elements are filled; 8-bit floats move as bytes.
struct TensorMapParameter {
  enum class Mode : std::uint8_t { tiled, im2col };
  enum class Swizzle : std::uint8_t { none, b32, b64, b128 };
  enum class Fill : std::uint8_t { zero, nan };
  enum class L2Promotion : std::uint8_t { none, b64, b128, b256 };

  Mode mode = Mode::tiled;
  PlanPointer base;
  DType dtype = DType::f32;
  std::vector<PlanExpr> dims;          // elements, 1 to 5 (im2col: 3 to 5, channels first, images last)
  std::vector<PlanExpr> byte_strides;  // of axes 1 and up: one fewer than dims, multiples of 16
  std::vector<int> element_strides;    // as many as dims, 1 to 8 (im2col: the convolution's stride)
  std::vector<int> box;                // tiled: elements moved per axis, at most 256
  std::vector<PlanExpr> lower_corner;  // im2col: first base pixel, spatial axes innermost first
  std::vector<PlanExpr> upper_corner;  // im2col: last base pixel, relative to the axis' last element
  int channels = 0;                    // im2col: channels moved per pixel
  int pixels = 0;                      // im2col: pixels moved
  Swizzle swizzle = Swizzle::none;
  Fill fill = Fill::zero;
  L2Promotion l2_promotion = L2Promotion::b128;
  bool operator==(const TensorMapParameter&) const = default;
};

// The bytes within which a swizzle permutes chunks of 16; none: 0.
constexpr int swizzle_bytes(TensorMapParameter::Swizzle swizzle) {
  return swizzle == TensorMapParameter::Swizzle::none ? 0 : 16 << static_cast<int>(swizzle);
}

using PlanParameter = std::variant<PlanPointer, ScalarParameter, FastDivisionParameter, TensorMapParameter>;

// One kernel launch. A grid with a zero in it launches nothing.
struct Launch {
  std::string kernel;                           // its name in the binary
  std::array<PlanExpr, 3> grid = {1, 1, 1};     // blocks
  int threads = 1;                              // per block
  std::array<PlanExpr, 3> cluster = {1, 1, 1};  // blocks; all 1: no cluster
  PlanExpr shared_bytes;                        // dynamic shared memory
  std::vector<PlanParameter> parameters;        // in the kernel's order
  bool operator==(const Launch&) const = default;
};

// Fills `bytes` bytes with `value`.
struct Memset {
  PlanPointer destination;
  PlanExpr bytes;
  std::uint8_t value = 0;
  bool operator==(const Memset&) const = default;
};

struct Step {
  std::variant<Launch, Memset> action;
  bool once = false;  // depends on const arguments and sizes alone, writes persistent slots alone
  bool operator==(const Step&) const = default;
};

// One way to serve a call, for the calls in which all guards hold.
struct Variant {
  std::string name;  // for messages
  std::string note;  // what its kernels do otherwise than their schedules say, and why; mostly empty
  std::vector<Guard> guards;
  std::vector<WorkspaceSlot> workspace;
  std::vector<Step> steps;
  bool operator==(const Variant&) const = default;
};

// The first variant whose guards all hold serves a call.
struct Plan {
  std::string name;    // the tensor program's
  std::string target;  // text of the Target that the kernels were compiled for
  std::vector<PlanSymbol> symbols;
  std::vector<PlanArgument> arguments;
  std::vector<Variant> variants;
  bool operator==(const Plan&) const = default;
};

// Throws Error naming the first thing that is not sound: an index outside its list, lists of unequal length, a number
// outside its range. What passes evaluates and binds without further checks of the plan itself.
void validate(const Plan& plan);

// Readable JSON, keys in a fixed order, with kPlanVersion.
std::string to_json(const Plan& plan);

// The plan written as `json`, validated. Throws Error for garbage and for other versions.
Plan plan_from_json(std::string_view json);

// Does `guard` hold for these pointers (one per argument)?
bool holds(const Guard& guard, const PlanContext& context, std::span<const void* const> arguments);

// "m % 16 == 0", "x aligned to 16 bytes".
std::string to_text(const Guard& guard, const Plan& plan);

// Index of the first variant whose guards all hold. Throws Error that tells which guard of each variant failed.
int select_variant(const Plan& plan, const PlanContext& context, std::span<const void* const> arguments);

// Bytes of the non-persistent (or the persistent) slots of a variant together. The slots of each kind lie one after the
// other in this order, each rounded up to kWorkspaceAlignment.
std::int64_t workspace_bytes(const Variant& variant, const PlanContext& context, bool persistent = false);

// Where slot `index` begins among the slots of its kind.
std::int64_t workspace_offset(const Variant& variant, int index, const PlanContext& context);

// Does a grid or a parameter of `launch` depend on DeviceLimit::resident_blocks? Its cluster and shared memory depend
// on no symbol then, so that the number can be found once.
bool uses_resident_blocks(const Launch& launch);

// The symbols that `once` steps and persistent slots of a variant depend on, by index, ascending.
std::vector<int> once_symbols(const Variant& variant);

// Bytes from an argument's pointer down to its lowest element and up past its highest one; both 0 when it has no
// elements. Strides may be negative.
struct ByteExtent {
  std::int64_t below = 0;
  std::int64_t above = 0;
};
ByteExtent byte_extent(const PlanArgument& argument, const PlanContext& context);

}  // namespace quern
