#pragma once
// Ours and peers on one workload, side by side.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "bench/peer.h"
#include "quern/compile.h"

namespace quern::bench {

struct CompareOptions {
  int samples = 30;  // launches of each side that are timed in one run
  int runs = 1;
  double settle = 0;       // seconds for which a side runs before its turn is timed, so that clocks answer to it alone
  std::uint64_t seed = 1;  // of the data and of the elements checked
  std::function<bool()> interrupted = [] { return false; };
};

// One peer against ours. Seconds are medians of a run's samples, of which the medians over the runs stand here.
struct Comparison {
  std::string peer;
  std::string library;  // path and version
  std::string variant;  // the peer's fastest whose outputs are right
  int variants = 0;     // that it could choose from
  double ours = 0;
  double theirs = 0;
  double ratio = 0;            // theirs / ours, median over the runs: above 1 ours is faster
  std::vector<double> ratios;  // of each run
  std::string disagreement;    // what is wrong with the peer's output; empty: nothing
  std::string left_out;        // variants as fast that do not count, and what is wrong with their outputs; empty: none
};

struct WorkloadResult {
  std::vector<Comparison> comparisons;  // with those of the peers that have a form of the workload
  std::string check;                    // of our output against the reference, one line
  bool right = true;                    // ours
  Report report;
};

// Compares `executable`, which has no symbols, on its device. `source` is the program as the user wrote it, which peers
// read again where it is a builder call, with the sizes that were given for its symbols. All run on the same random
// data: their outputs are poisoned and checked, then they take turns, over sets of buffers that exceed twice the
// device's cache. Throws Error where none of the peers has a form of the workload, or the library of one is missing.
// Sets the threads of libraries on the CPU, for the whole process.
WorkloadResult compare(const Executable& executable, std::string_view source, const Sizes& sizes,
                       std::span<const Peer> against, const CompareOptions& options = {});

double median(std::vector<double> values);
double geometric_mean(std::span<const double> values);

}  // namespace quern::bench
