#pragma once
// One kernel in thread form, written as text, run in the simulator on given memory.

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "runtime/simulator/kernel_run.h"

namespace quern::runtime::simulator {

struct Simulated {
  std::vector<Finding> findings;
  KernelCounts kernel;
  std::vector<std::vector<float>> memory;  // of each parameter, after the run

  // "race s", "uninitialised x": kinds and buffers of the findings.
  std::set<std::string> kinds() const;
  // Of the first statement whose text holds `text`.
  const Counts& of(const std::string& text) const;
};

// Runs the one kernel of `text`. Its parameters are f32 (or 4-byte integers, as bits), `memory` their contents; those
// named in `unwritten` begin as what nobody wrote. The grid is the kernel's own, which is constant.
Simulated simulate(const std::string& text, std::vector<std::vector<float>> memory,
                   const std::vector<std::string>& unwritten = {}, const Settings& settings = {});

}  // namespace quern::runtime::simulator
