#pragma once
// Programs on arrays in host memory: what the command `quern run` does, for tests and first steps. Everything is
// copied to the device and back.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "quern/compile.h"
#include "quern/dtype.h"
#include "quern/export.h"
#include "quern/program.h"
#include "quern/simulation.h"

namespace quern {

// A dense row-major array.
struct HostArray {
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> data;

  HostArray() = default;
  // Of zeros. Throws Error for a negative dimension, and with the bytes wanted and available where memory does not
  // suffice.
  QUERN_API HostArray(DType dtype, std::vector<std::int64_t> shape);

  QUERN_API std::int64_t size() const;  // elements
  QUERN_API std::string type() const;   // "f32[3, 4]"
  // One element, in row-major order; integers beyond 2^53 are rounded.
  QUERN_API double value(std::int64_t index) const;
  QUERN_API void set_value(std::int64_t index, double value);
};

// The values of the program's symbols that follow from the shapes of its inputs, one array per input in order, and
// `given`. Throws Error where dtype, rank or a dimension does not fit (both shapes shown), where two sizes disagree, a
// symbol stays without one, or `given` names none of the program's.
QUERN_API Sizes infer_sizes(const Program& program, std::span<const HostArray> inputs, const Sizes& given = {});

// Random inputs at these sizes, the same for the same seed on every machine: floats around 0 with magnitudes near 1,
// integers small, within the ranges that the program's facts state; indices fit the tensors that they index.
QUERN_API std::vector<HostArray> random_inputs(const Program& program, const Sizes& sizes, std::uint64_t seed = 1);

// What was found of one output against the reference evaluator.
struct OutputCheck {
  std::string output;
  std::int64_t checked = 0;    // elements
  std::int64_t elements = 0;   // of the output
  std::int64_t wrong = 0;      // outside the interval that follows from dtypes, reduction lengths and the data
  std::int64_t undecided = 0;  // with an infinite bound: rounding may decide whether they are numbers (ir/bounds.h)
  double worst_ratio = 0;      // largest error over the bound on its side of the expected value
  std::vector<std::int64_t> worst_index;
  double worst_value = 0, worst_expected = 0;
  double worst_bound = 0;  // on the side of worst_value

  bool passed() const { return wrong == 0; }
  QUERN_API std::string text() const;  // one line
};

// Compares outputs, one per output of the program, with the reference evaluator: every element of programs of up to
// 10^8 operations, of larger ones at least 4096 seeded elements and the edges, and, where `others` has the outputs of
// the same inputs by another schedule, the elements in which those differ most. Throws Error as infer_sizes does, and
// where an output does not fit, or an array's data its shape.
QUERN_API std::vector<OutputCheck> check_outputs(const Program& program, const Sizes& sizes,
                                                 std::span<const HostArray> inputs, std::span<const HostArray> outputs,
                                                 std::uint64_t seed = 1, std::span<const HostArray> others = {});

struct RunReport {
  std::vector<HostArray> outputs;
  std::vector<OutputCheck> checks;  // empty unless asked for
  std::vector<double> samples;      // seconds of each timed launch, caches as they are
  double seconds = 0;               // their median
  Report report;
  std::optional<Simulation> simulation;  // on the simulator

  // Whether all checks passed and the simulator found nothing.
  bool passed() const {
    if (simulation && !simulation->clean()) return false;
    for (const OutputCheck& check : checks) {
      if (!check.passed()) return false;
    }
    return true;
  }
};

struct RunOptions {
  bool check = false;
  bool check_all = true;  // every element, where that takes seconds at most; else chosen ones
  int warmup = 0;
  int samples = 0;                         // timed launches after the first one, whose outputs are returned
  std::uint64_t seed = 1;                  // of the elements checked
  std::function<bool()> interrupted = {};  // asked before each timed launch; true: the samples until then are all
};

// Runs a compiled program on inputs, one array per input in order. A check of a large program compiles and runs another
// schedule of it too. Throws Error as infer_sizes and launch do, and before the program runs where an input's data does
// not fit its shape, or an element of it breaks a fact or is an index outside of what it indexes; when checking, where
// any read without a fill leaves its tensor.
QUERN_API RunReport run_host(const Executable& executable, std::span<const HostArray> inputs, const Sizes& sizes = {},
                             const RunOptions& options = {});

}  // namespace quern
