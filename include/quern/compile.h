#pragma once
// From a program to something that runs: compile, launch, save, load, tune, explain.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quern/device.h"
#include "quern/export.h"
#include "quern/program.h"

namespace quern {

// Where the schedule of a kernel comes from when none is given.
enum class Policy : std::uint8_t {
  frozen,   // the store alone: neither compiles nor tunes; a miss is an Error naming the missing key
  nearest,  // the store's winner for this problem, else for the nearest shape, else the strategy's own choice
  tune,     // measures candidates on the device within the budget where the store has no winner
};

struct Options {
  std::string device = {};  // "cuda:0", "cuda", "cpu", "sim:sm_90a"; empty: the best one present
  std::string target = {};  // "cuda:sm_90a", "cpu:x86-64-v3": compile for it without a device
  Policy policy = Policy::nearest;
  double budget_seconds = 30;    // of tuning, for the whole program
  std::string schedule = {};     // of all kernels, separated by ';'; overrides the policy
  Sizes sizes = {};              // of symbols: where they are tuned, and nearest is measured from
  std::string store = {};        // path of the tuning store; empty: QUERN_STORE, else in the user's cache folder
  bool use_store = true;         // false: neither read nor written
  int compile_threads = 0;       // kernels compiled at once while tuning; 0: QUERN_THREADS, else as many as cores
  std::uint64_t seed = 1;        // of the data that tuning measures with
  std::string source_path = {};  // where the CUDA source is kept, for profilers; empty: nowhere
  std::string nvrtc = {};        // path of the NVRTC library; empty: searched
};

// The texts on the way from a program to its machine code. tensor, tile and thread are this library's languages, plan
// the launch plan as JSON. cuda, ptx, cubin and sass exist for GPUs, llvm and asm for CPUs.
enum class Stage : std::uint8_t { tensor, tile, thread, cuda, ptx, cubin, sass, llvm, assembly, plan };

// "tensor", ..., "asm", "plan"; Error listing them for another name.
QUERN_API Stage parse_stage(std::string_view name);
QUERN_API std::string_view name(Stage stage);

// What one kernel is and costs.
struct KernelReport {
  std::string name;
  std::string program;  // its part of the tensor program
  std::string strategy;
  std::string schedule;
  std::string origin;                    // of the schedule: "given", "store", "nearest: ...", "default"
  std::vector<std::string> passed_over;  // faster strategies that do not take it, and why: "wgmma: x is of f32, ..."
  std::vector<std::string> axes;         // roles: "m: i (4096)", "k: p (1024)"
  // Of one launch at the sizes asked for, each argument and intermediate touched once; -1 where a size is unknown.
  double bytes_read = -1;
  double bytes_written = -1;
  double operations = -1;        // a multiply-add counts two; every scalar function one
  double roofline_seconds = -1;  // the longer of what memory and arithmetic need at the nominal rates
  std::string bound;             // "memory" or "arithmetic"
  // Of a GPU's kernel; -1 where unknown.
  int registers = -1;
  int spill_bytes = -1;
  std::int64_t shared_bytes = -1;
};

struct Report {
  std::vector<KernelReport> kernels;  // in the order of launching
  std::vector<std::string> variants;  // of the plan: "fast: m % 8 == 0, x aligned to 16 bytes"
  std::int64_t workspace_bytes = -1;
  double bytes = -1;  // read and written by the whole program: its arguments, each once
  double operations = -1;
  double roofline_seconds = -1;  // of the whole program, its arguments moved once
  std::string bound;             // the program as a whole: "memory" or "arithmetic"
  double compile_seconds = 0;    // in Quern itself
  double backend_seconds = 0;    // in NVRTC or LLVM
  bool from_store = false;       // the binary was there already
};

// A compiled program; copies share it. Thread-safe: calls from several threads and streams need no lock of the caller.
class QUERN_API Executable {
 public:
  // Runs on `stream`: a CUstream of the primary context or of the caller's current one; ignored on the CPU, where the
  // call returns when the work is done. `arguments` are device pointers, inputs then outputs, aligned to their element;
  // `sizes` the values of the symbols, in the program's order. `workspace` has workspace_bytes(sizes) bytes aligned to
  // 256 and stays in use until the stream has passed this call; null: it is taken and given back in stream order.
  // Neither allocates nor locks once the same sizes have been prepared or launched. Throws Error for a wrong number of
  // arguments or sizes, sizes of 2^63 bytes or more, null, misaligned or overlapping pointers, where no variant serves
  // the call, and on the simulator where it finds anything.
  void launch(std::span<void* const> arguments, std::span<const std::int64_t> sizes = {}, void* stream = nullptr,
              void* workspace = nullptr) const;

  // Does all that a first launch would do besides launching, so that launches with these arguments may be captured
  // into a graph. Waits for the work it starts.
  void prepare(std::span<void* const> arguments, std::span<const std::int64_t> sizes = {},
               void* stream = nullptr) const;

  // Results computed from `const` inputs (repacked weights) are kept by pointer and sizes. Forgets them: call it before
  // the memory of such an input gets other contents, or is freed and may come back as another's. Not while a call runs.
  void forget_constants() const;

  // Bytes of scratch memory that a launch at these sizes takes. Throws Error for sizes as launch does.
  std::size_t workspace_bytes(std::span<const std::int64_t> sizes = {}) const;

  // Values of the symbols in the order that launch takes, from their names. Throws Error for one that is missing and
  // for a name that is none.
  std::vector<std::int64_t> size_values(const Sizes& sizes) const;

  const Program& program() const;
  // Of all kernels, separated by "; ": what Options::schedule takes.
  std::string schedule() const;
  std::string target() const;
  // Nothing where it was compiled for a target without a device; launching then throws Error.
  std::optional<Device> device() const;

  // One stage as text (cubin: the bytes). sass is what nvdisasm or cuobjdump prints; Error saying where they were
  // looked for. Error for a stage that the target does not have.
  std::string emit(Stage stage) const;

  Report report(const Sizes& sizes = {}) const;

  // Writes all that launching needs into one file, which appears whole or not at all: plan, binary, program, schedule,
  // with a checksum. Throws Error with the path and the system's reason.
  void save(const std::string& path) const;

  // The saved program on a device ("" : the best one that it was compiled for). Needs no compiler. Throws Error for a
  // file that is damaged, of an unknown format version, or for another target.
  static Executable load(const std::string& path, std::string_view device = "");

  // Below is the way between this and the library's own form.
  class State;
  explicit Executable(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  const State& state() const { return *state_; }

 private:
  std::shared_ptr<const State> state_;
};

// Throws Error where the target or its toolchain is missing, a size names no symbol of the program, a schedule is
// illegal (with the reason's numbers), or the policy is frozen and the store lacks the program. Thread-safe.
QUERN_API Executable compile(const Program& program, const Options& options = {});

// How far tuning is. Called from the thread that called tune; return false to stop: what was measured is kept.
struct TuneProgress {
  std::string_view kernel;  // "softmax 8192x8192"
  int kernel_index = 0;
  int kernel_count = 1;
  std::string_view schedule;   // the one just measured or rejected
  std::string_view rejection;  // why it cannot win; empty: it could
  int tried = 0;               // candidates of this kernel so far, out of
  int candidates = 0;
  double seconds = 0;       // median of this one
  double best_seconds = 0;  // of the best so far
  double elapsed_seconds = 0;
};
using TuneCallback = std::function<bool(const TuneProgress& progress)>;

struct TunedKernel {
  std::string title;     // "softmax 8192x8192"
  std::string schedule;  // the winner
  std::string fallback;  // the strategy's own choice
  double seconds = 0;    // medians
  double fallback_seconds = 0;
  int tried = 0;       // candidates measured by this call; 0 where the winner was in the store
  int candidates = 0;  // legal ones in this call; more than `tried` where the budget ended before them
  int rejected = 0;    // candidates illegal, not compiling, or wrong
  bool from_store = false;
};

struct TuneReport {
  std::vector<TunedKernel> kernels;
  int tried = 0;
  double elapsed_seconds = 0;
  bool stopped = false;  // by the callback; the samples are kept, the kernel in whose search it was has no winner
};

// Finds a schedule for every kernel of the program on options.device at options.sizes, and remembers it in the store.
// Kernels that have a winner are not measured again, be it one of a search that its budget ended; clear_store forgets
// it. Throws Error for a symbol without a size, a target instead of a device, and a device that measures no times.
QUERN_API TuneReport tune(const Program& program, const Options& options, const TuneCallback& callback = {});

}  // namespace quern
