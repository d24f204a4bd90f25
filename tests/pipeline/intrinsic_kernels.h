#pragma once
// A small kernel for each intrinsic and each kind of product, run in the simulator and on a GPU. On integers that every
// dtype holds and whose sums are exact the results are equal bit for bit, on random numbers those of moves too and
// those of products within the bounds of a tensor program.

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
  std::string text;     // tile or thread form; parameters that are read stand before those that are written
  std::string program;  // what a product computes; empty: a move
  double roundoff = 0;  // of the accumulator, where it is coarser than its dtype
};
void PrintTo(const IntrinsicKernel& kernel, std::ostream* stream);

const std::vector<IntrinsicKernel>& intrinsic_kernels();

// In thread form, verified.
ir::Kernel thread_form(const IntrinsicKernel& kernel);

// between_tf32: 1 to 2 in steps of a quarter of a tf32's last digit, whose sums of cut, or of rounded, values are
// exact.
enum class Numbers { integers, random, between_tf32 };

// Contents of the parameters: numbers in those that are read, zeros in the others.
using Contents = std::vector<std::vector<std::byte>>;
Contents contents_before(const ir::Kernel& kernel, Numbers numbers);

// What they are after a run in the simulator, and what it reports.
Contents simulated(const ir::Kernel& kernel, Numbers numbers, runtime::simulator::Report& report);
// Compiled for a GPU and run there.
Contents on_device(const ir::Kernel& kernel, Numbers numbers, runtime::Device& device);
// The first element of y in the contents that is not what the program admits, or nothing.
std::string beyond_bounds(const IntrinsicKernel& kernel, Contents contents);

// Compiled alone, for a target without a device.
Artifact compiled(const ir::Kernel& kernel, const Target& target);

}  // namespace quern::pipeline
