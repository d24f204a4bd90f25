#pragma once
// Random small programs, sizes and inputs from a seed, for tests and fuzzing: the same seed gives the same program on
// every machine. Every program obeys the rules (ir/verify.h), and evaluating it reads nothing outside a tensor.

#include <array>
#include <cstdint>
#include <vector>

#include "ir/evaluate.h"
#include "ir/tensor.h"

namespace quern::ir {

struct GenerateOptions {
  int max_definitions = 4;
  int max_depth = 5;  // of a definition's expression, reductions included
  int max_rank = 3;
  std::int64_t max_extent = 5;  // of written dimensions
  bool symbols = true;
  bool special_values = false;  // infinities and NaN among the inputs
};

Program generate_program(std::uint64_t seed, const GenerateOptions& options = {});

// Values of program.symbols, 0 among them, with which its facts hold.
std::vector<std::int64_t> generate_sizes(const Program& program, std::uint64_t seed);

// A tensor with its memory.
struct OwnedTensor {
  HostTensor host;  // points into `bytes`
  std::vector<std::byte> bytes;
};

// Inputs within their declared ranges: small numbers of both signs, many of them exact in narrow dtypes.
std::vector<OwnedTensor> generate_inputs(const Program& program, std::span<const std::int64_t> sizes,
                                         std::uint64_t seed, bool special_values = false);
// Outputs to fill, zeroed.
std::vector<OwnedTensor> allocate_outputs(const Program& program, std::span<const std::int64_t> sizes);

// How often what the languages have occurs in programs.
struct Coverage {
  std::array<int, kOpCount> functions{};
  std::array<int, kReducerCount> reducers{};
  std::array<int, 6> kinds{};  // of nodes
  std::array<int, kDTypeCount> dtypes{};
  std::array<int, 5> facts{};
  int fills = 0, conditions = 0, contracts = 0, several_axes = 0, indirect = 0, intermediates = 0, updates = 0;
  int strides = 0, symbolic = 0;
};
void count(const Program& program, Coverage& coverage);

}  // namespace quern::ir
