#pragma once
// Tensor program + schedule + target -> artifact: the one function that reads as the whole way.

#include <string>
#include <vector>

#include "base/error.h"
#include "base/plan.h"
#include "base/target.h"
#include "ir/kernel.h"
#include "pipeline/schedule_program.h"
#include "runtime/device.h"

namespace quern::pipeline {

struct CompileOptions {
  // Only the variant for aligned pointers and 32-bit offsets: enough to measure a candidate.
  bool fast_variant_only = false;
  bool line_info = false;   // source lines for profilers (CUDA)
  std::string source_path;  // where the CUDA source will be kept; empty: nowhere
  std::string nvrtc_path;   // of the NVRTC library; empty: searched
  bool binary = true;       // false: text only, for --emit
};

// One kernel of one variant on its way, for --emit and explain.
struct LoweredKernel {
  ir::Kernel tile, thread;
  std::size_t number = 0;  // of the program's kernels
  int variant = 0;
  std::string schedule;
  std::string note;  // what it does otherwise than the schedule says, and why; mostly empty
};

// Seconds spent in our own code and in the compiler behind it.
struct CompileTimes {
  double own = 0;
  double backend = 0;
};

struct Resources {
  std::string kernel;
  int registers = 0, spill_bytes = 0;
  std::int64_t shared_bytes = 0;
};

struct Artifact {
  Plan plan;
  runtime::Binary binary;
  std::vector<LoweredKernel> kernels;
  std::string source;  // CUDA C (empty on the CPU)
  std::string ptx;
  std::vector<Resources> resources;  // CUDA, of the entry kernels
  CompileTimes times;
};

// A kernel's registers do not suffice for what it computes beside its accumulators.
class SpillError : public Error {
 public:
  SpillError(const std::string& what, std::size_t kernel) : Error(what), kernel_(kernel) {}
  std::size_t kernel() const { return kernel_; }  // its number in the scheduled program

 private:
  std::size_t kernel_;
};

// Throws SpillError where a kernel that shares out the registers among its warps itself (setmaxnreg) spills some: its
// accumulators have to stay where they are while the tensor cores add to them. One that brings its operands by ordinary
// loads may: it is slower already, and says so.
void check_spills(const std::vector<LoweredKernel>& kernels, const std::vector<Resources>& resources);

// Thread-safe. Throws Error where the target's toolchain is missing, or as check_spills() does.
Artifact compile(const ScheduledProgram& scheduled, const Target& target, const CompileOptions& options = {});

}  // namespace quern::pipeline
