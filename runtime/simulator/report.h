#pragma once
// What a simulated launch found and counted, as values, text and JSON.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quern::runtime::simulator {

enum class FindingKind : std::uint8_t {
  uninitialised,  // a read of memory or registers that nobody wrote
  out_of_bounds,  // an access outside of its buffer
  misaligned,     // a wide access that is not aligned to its size
  race,           // two accesses, one of them a write, that nothing orders
  missing_fence,  // the asynchronous proxy reads or overwrites ordinary stores without a fence between
  in_flight,      // registers of a wgmma touched before it is waited for, or handed to it without a fence
  barrier,        // a wrong count, a barrier that was never initialised, part of a warp at a barrier of all of it
  exited,         // an access to the memory of a block that has ended
  deadlock,       // threads that wait for ever
  limit,          // more than the architecture has
  unwritten,      // an output element that nobody wrote
  misuse,         // operands that an instruction does not allow
};
std::string_view name(FindingKind kind);  // "race", "out-of-bounds", ...

struct Finding {
  FindingKind kind{};
  std::string kernel;
  std::string statement;        // of the kernel program, its first line; empty: none
  int line = 0;                 // of the CUDA text; 0: unknown
  std::string other_statement;  // of a race: the earlier access
  int other_line = 0;
  std::vector<std::pair<std::string, std::int64_t>> axes;  // the loops around it, outermost first
  std::array<std::int64_t, 3> block{};
  std::vector<int> threads;  // of the block, the first few
  std::string buffer;
  std::int64_t element = -1;  // flat; -1: none
  std::string message;
  std::int64_t count = 1;  // how often
};

// Of one statement of a kernel, or of all of them. Memory of a warp's access: sectors are 32 bytes of global memory,
// wavefronts passes of shared memory over its 32 banks of 4 bytes.
struct Counts {
  std::int64_t warps = 0;                            // executions by a warp
  std::int64_t threads = 0;                          // by a thread
  std::int64_t global_read = 0, global_written = 0;  // bytes asked for
  std::int64_t sectors = 0, sectors_needed = 0;      // moved, and what their distinct bytes would take packed
  std::int64_t shared_read = 0, shared_written = 0;  // bytes asked for
  std::int64_t wavefronts = 0, wavefronts_needed = 0;
  std::int64_t bulk_read = 0, bulk_written = 0;  // bytes of global memory moved by the asynchronous proxy
  std::int64_t float_work = 0, integer_work = 0, special_work = 0;  // instructions of a warp
  std::int64_t products = 0;                                        // multiply-adds of the tensor cores
  std::int64_t atomics = 0;                                         // of a thread
  std::int64_t barrier_waits = 0;                                   // of a warp

  Counts& operator+=(const Counts& other);
  std::int64_t bank_conflicts() const { return wavefronts - wavefronts_needed; }
  double coalescing() const {
    return sectors == 0 ? 1 : static_cast<double>(sectors_needed) / static_cast<double>(sectors);
  }
};

struct StatementCounts {
  std::string statement;
  int line = 0;
  Counts counts;
};

struct KernelCounts {
  std::string kernel;
  std::int64_t blocks = 0;
  Counts total;
  std::vector<StatementCounts> statements;  // those that ran and moved or computed something
};

struct Report {
  std::vector<Finding> findings;
  std::vector<KernelCounts> kernels;  // in the order of launching

  bool clean() const { return findings.empty(); }
  Counts total() const;
};

// Appends what a further launch found and counted.
void add(Report launch, Report& report);

std::string to_text(const Finding& finding);
// All findings, and how many there are.
std::string findings_text(const Report& report);
// The counts: a line for each statement that moves data, and the sums.
std::string counts_text(const Report& report);
std::string to_json(const Report& report);

}  // namespace quern::runtime::simulator
