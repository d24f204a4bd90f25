#pragma once
// One launch of one kernel: its code, its memory, what it finds and counts. Inside runtime/simulator/.

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "base/target.h"
#include "ir/meaning.h"
#include "runtime/simulator/code.h"
#include "runtime/simulator/report.h"
#include "runtime/simulator/window.h"

namespace quern::runtime::simulator {

struct Settings {
  bool checks = true;      // false: values alone, as fast as can be
  std::uint64_t seed = 1;  // of when asynchronous work completes and which warp goes on
};

struct Launch {
  Launch(Code what, const Target& on, const Settings& how) : code(std::move(what)), target(on), settings(how) {
    counts.resize(code.statements.size());
  }

  Code code;
  const Target& target;
  Settings settings;
  std::vector<Window*> globals;          // of the kernel's parameters
  std::vector<ir::BoundTensorMap> maps;  // base.owner: the parameter
  std::vector<Counts> counts;            // of each statement
  std::vector<Finding> findings;
  // What was found already: kind, the two statements, buffer.
  struct Known {
    std::size_t place;        // in `findings`
    std::uint32_t statement;  // of the two the one that was at hand
  };
  std::map<std::tuple<FindingKind, std::uint32_t, std::uint32_t, std::string>, Known> known;

  static constexpr std::size_t kMostFindings = 100;
  static constexpr std::size_t kMostThreads = 8;
  bool is_full() const { return findings.size() >= kMostFindings; }
};

// What it found and counted.
Report report_of(Launch launch, std::int64_t blocks);

// Runs all blocks. Findings and counts are left in `launch`.
void run(Launch& launch);

}  // namespace quern::runtime::simulator
