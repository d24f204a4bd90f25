#pragma once
// What a tuning result belongs to: one kernel's tensor program at one choice of sizes, and how far two such problems
// are apart. Pure functions, thread-safe.

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/target.h"
#include "compiler/strategies/strategy.h"
#include "ir/tensor.h"
#include "runtime/device.h"

namespace quern::autotune {

// Values of a program's symbols, by name.
using Sizes = std::map<std::string, std::int64_t>;

// One kernel at one choice of sizes. Its shape lists the sizes of the symbols, and of every dimension written as a
// number, once for all the dimensions that an axis walks together: m, k, n of a matmul. The structure is the program
// with these sizes left out; only problems of one structure compare.
struct Problem {
  std::string title;    // for people: "linear_gelu 512x256x128"
  std::string program;  // canonical text
  Digest digest;        // of the program and its symbols' sizes
  Digest structure;
  std::vector<std::int64_t> shape;
};

// Sizes of symbols that the kernel lacks are left aside; Error for a symbol of the kernel without a size.
Problem problem_of(const ir::Program& kernel, const Sizes& sizes);

// The first symbol of the program without a size, or nothing.
std::optional<std::string> missing_size(const ir::Program& program, const Sizes& sizes);

// Values in the order of the program's symbols, which is that of Plan::symbols.
std::vector<std::int64_t> symbol_values(const ir::Program& program, const Sizes& sizes);

// The sum over the sizes of |log2(a / b)|: how many doublings lie between two shapes. Sizes below 1 count as 1.
// Infinite where the shapes are of different length.
double distance(std::span<const std::int64_t> a, std::span<const std::int64_t> b);

// Devices with equal texts run a kernel in equal time: name, architecture, processors, caches, bandwidth. Never an
// address, an index or a serial number.
std::string device_identity(const runtime::DeviceInfo& device);

// Everything of a target that a strategy or a code generator may look at.
std::string target_key(const Target& target);

// Changes with the fields that a strategy's schedules have, so that no schedule of other fields is taken for one.
std::string strategy_version(const compiler::Strategy& strategy);

}  // namespace quern::autotune
