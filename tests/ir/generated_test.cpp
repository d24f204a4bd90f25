// Properties of programs from ir/generate.h. A failure prints the seed, which gives the program back.
#include <gtest/gtest.h>

#include "ir/bounds.h"
#include "ir/canonical.h"
#include "ir/evaluate.h"
#include "ir/generate.h"
#include "ir/parser.h"
#include "ir/printer.h"
#include "ir/scalar.h"
#include "ir/simplify.h"
#include "ir/verify.h"

namespace quern::ir {
namespace {

constexpr std::uint64_t kPrograms = 600;

std::vector<HostTensor> hosts(const std::vector<OwnedTensor>& tensors) {
  std::vector<HostTensor> result;
  for (const OwnedTensor& tensor : tensors) result.push_back(tensor.host);
  return result;
}

std::vector<Coordinate> all_coordinates(const std::vector<std::int64_t>& shape) {
  std::vector<Coordinate> result{{}};
  for (const std::int64_t extent : shape) {
    std::vector<Coordinate> longer;
    for (const Coordinate& at : result) {
      for (std::int64_t i = 0; i < extent; ++i) {
        longer.push_back(at);
        longer.back().push_back(i);
      }
    }
    result = std::move(longer);
  }
  return result;
}

std::string shown(const Program& program, std::uint64_t seed) {
  return "seed " + std::to_string(seed) + "\n" + to_string(program);
}

TEST(Generated, CoversEveryRowAndKind) {
  Coverage coverage;
  for (std::uint64_t seed = 0; seed < kPrograms; ++seed) count(generate_program(seed), coverage);
  for (const ScalarFunction& f : scalar_functions()) {
    EXPECT_GT(coverage.functions[static_cast<std::size_t>(f.op)], 0) << f.name;
  }
  for (const ReducerRow& r : reducers()) EXPECT_GT(coverage.reducers[static_cast<std::size_t>(r.reducer)], 0) << r.name;
  for (std::size_t k = 0; k < coverage.kinds.size(); ++k) EXPECT_GT(coverage.kinds[k], 0) << "kind " << k;
  for (int t = 0; t < kDTypeCount; ++t) {
    EXPECT_GT(coverage.dtypes[static_cast<std::size_t>(t)], 0) << name(static_cast<DType>(t));
  }
  EXPECT_GT(coverage.fills, 0);
  EXPECT_GT(coverage.conditions, 0);
  EXPECT_GT(coverage.contracts, 0);
  EXPECT_GT(coverage.several_axes, 0);
  EXPECT_GT(coverage.indirect, 0);
  EXPECT_GT(coverage.intermediates, 0);
  EXPECT_GT(coverage.updates, 0);
  EXPECT_GT(coverage.strides, 0);
  EXPECT_GT(coverage.symbolic, 0);
}

TEST(Generated, ObeysTheRulesAndReadsBack) {
  for (std::uint64_t seed = 0; seed < kPrograms; ++seed) {
    const Program program = generate_program(seed);
    ASSERT_NO_THROW(verify(program)) << shown(program, seed);
    const std::string text = to_string(program);
    Program back;
    ASSERT_NO_THROW(back = parse_program(text)) << shown(program, seed);
    ASSERT_TRUE(equal(program, back)) << shown(program, seed) << "\nread back\n" << to_string(back);
    ASSERT_EQ(to_string(back), text) << "seed " << seed;
  }
}

Program simplified(const Program& program) {
  Program result = program;
  const Assumptions facts = assumptions_of(program);
  for (Definition& definition : result.definitions) {
    Assumptions inside = facts;
    for (const Axis& axis : definition.axes) inside = inside.with(axis);
    definition.value = simplify(definition.value, inside);
  }
  return result;
}

TEST(Generated, SimplifyKeepsEveryBit) {
  for (std::uint64_t seed = 0; seed < kPrograms; ++seed) {
    const Program program = generate_program(seed);
    const Program simple = simplified(program);
    for (std::uint64_t run = 0; run < 2; ++run) {
      const auto sizes = generate_sizes(program, seed + 1000 * run);
      const auto inputs = generate_inputs(program, sizes, seed + 1000 * run, run == 1);
      auto expected = allocate_outputs(program, sizes), got = allocate_outputs(program, sizes);
      ASSERT_NO_THROW(evaluate(program, sizes, hosts(inputs), hosts(expected))) << shown(program, seed);
      ASSERT_NO_THROW(evaluate(simple, sizes, hosts(inputs), hosts(got))) << shown(simple, seed);
      for (std::size_t o = 0; o < expected.size(); ++o) {
        const DType dtype = expected[o].host.dtype;
        const auto size = static_cast<std::size_t>(byte_size(dtype));
        for (std::size_t begin = 0; begin < expected[o].bytes.size(); begin += size) {
          ASSERT_TRUE(identical(dtype, load(dtype, &expected[o].bytes[begin]), load(dtype, &got[o].bytes[begin])))
              << shown(program, seed) << "\nsimplified\n"
              << to_string(simple) << "\nsizes " << testing::PrintToString(sizes) << " run " << run << " output " << o
              << " element " << begin / size;
        }
      }
    }
  }
}

TEST(Generated, SimplifyIsDoneAfterOnce) {
  for (std::uint64_t seed = 0; seed < kPrograms; ++seed) {
    const Program once = simplified(generate_program(seed));
    ASSERT_EQ(to_string(simplified(once)), to_string(once)) << "seed " << seed;
  }
}

TEST(Generated, BoundsSurroundTheReference) {
  for (std::uint64_t seed = 0; seed < kPrograms / 2; ++seed) {
    const Program program = generate_program(seed);
    const auto sizes = generate_sizes(program, seed);
    const auto inputs = generate_inputs(program, sizes, seed, seed % 4 == 0);
    for (std::size_t o = 0; o < program.outputs.size(); ++o) {
      const DType dtype = program.outputs[o].tensor->dtype;
      const auto at = all_coordinates(allocate_outputs(program, sizes)[o].host.shape);
      const auto values = evaluate_elements(program, sizes, hosts(inputs), o, at);
      const auto checked = evaluate_with_bounds(program, sizes, hosts(inputs), o, at);
      for (std::size_t i = 0; i < at.size(); ++i) {
        const double value = convert(DType::f64, dtype, values[i]).real;
        ASSERT_TRUE(identical(DType::f64, {.real = value}, {.real = checked[i].value}))
            << shown(program, seed) << value << " " << checked[i].value;
        ASSERT_GE(bound_beside(checked[i], value), 0) << shown(program, seed);
        ASSERT_TRUE(admits(checked[i], value)) << shown(program, seed);
      }
    }
  }
}

}  // namespace
}  // namespace quern::ir
