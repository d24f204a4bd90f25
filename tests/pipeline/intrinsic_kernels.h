#pragma once
// A small kernel for each intrinsic and each kind of product, on integers that every dtype holds and whose sums are
// exact: run in the simulator and on a GPU, the results are equal bit for bit.

#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

#include "ir/kernel.h"
#include "pipeline/compile.h"
#include "runtime/simulator/report.h"

namespace quern::pipeline {

struct IntrinsicKernel {
  std::string name;
  std::string text;  // tile or thread form; parameters that are read stand before those that are written
};
void PrintTo(const IntrinsicKernel& kernel, std::ostream* stream);

const std::vector<IntrinsicKernel>& intrinsic_kernels();

// In thread form, verified.
ir::Kernel thread_form(const IntrinsicKernel& kernel);

// Contents of the parameters: small integers of those that are read, zeros of the others.
using Contents = std::vector<std::vector<std::byte>>;
Contents contents_before(const ir::Kernel& kernel);

// What they are after a run in the simulator, and what it reports.
Contents simulated(const ir::Kernel& kernel, runtime::simulator::Report& report);
// Compiled for a GPU and run there.
Contents on_device(const ir::Kernel& kernel, runtime::Device& device);
// Compiled alone, for a target without a device.
Artifact compiled(const ir::Kernel& kernel, const Target& target);

}  // namespace quern::pipeline
