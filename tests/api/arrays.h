#pragma once
// Arrays of doubles for hand-written oracles, and the ways to run a program on them.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "api/host.h"
#include "ir/evaluate.h"
#include "quern/host.h"
#include "quern/quern.h"
#include "tests/ir/message.h"

namespace quern::test {

using Shape = std::vector<std::int64_t>;

// A dense array of doubles, read and written at multi-indices.
struct Grid {
  Shape shape;
  std::vector<double> data;

  explicit Grid(Shape of) : shape(std::move(of)) {
    std::int64_t size = 1;
    for (const std::int64_t extent : shape) size *= extent;
    data.resize(static_cast<std::size_t>(size));
  }

  std::size_t offset(const Shape& index) const {
    std::int64_t flat = 0;
    for (std::size_t d = 0; d < shape.size(); ++d) flat = flat * shape[d] + index[d];
    return static_cast<std::size_t>(flat);
  }
  double& operator()(const Shape& index) { return data[offset(index)]; }
  double operator()(const Shape& index) const { return data[offset(index)]; }

  // The element, or 0 outside.
  double or_zero(const Shape& index) const {
    for (std::size_t d = 0; d < shape.size(); ++d) {
      if (index[d] < 0 || index[d] >= shape[d]) return 0;
    }
    return (*this)(index);
  }

  // Calls `function(index)` for every place.
  template <typename F>
  void each(const F& function) const {
    Shape index(shape.size(), 0);
    for (std::size_t i = 0; i < data.size(); ++i) {
      function(index);
      for (std::size_t d = shape.size(); d-- > 0 && ++index[d] == shape[d];) index[d] = 0;
    }
  }
};

inline HostArray to_array(const Grid& grid, DType dtype) {
  HostArray array(dtype, grid.shape);
  for (std::size_t i = 0; i < grid.data.size(); ++i) array.set_value(static_cast<std::int64_t>(i), grid.data[i]);
  return array;
}

inline Grid to_grid(const HostArray& array) {
  Grid grid(array.shape);
  for (std::size_t i = 0; i < grid.data.size(); ++i) grid.data[i] = array.value(static_cast<std::int64_t>(i));
  return grid;
}

// Random elements that `dtype` holds exactly: floats around 0, small integers.
inline Grid random_grid(const Shape& shape, DType dtype, unsigned seed) {
  std::mt19937 engine(seed);
  Grid grid(shape);
  for (double& value : grid.data) {
    value = is_float(dtype) ? std::uniform_real_distribution(-2.0, 2.0)(engine)
                            : std::uniform_int_distribution(is_unsigned_integer(dtype) ? 0 : -4, 5)(engine);
  }
  return to_grid(to_array(grid, dtype));
}

// The first output by the reference evaluator.
inline HostArray evaluate(const Program& program, const std::vector<HostArray>& inputs, const Sizes& sizes = {}) {
  const ir::Program& p = program.ir();
  const api::SymbolValues symbols(p, infer_sizes(program, inputs, sizes));
  std::vector<HostArray> outputs;
  for (const ir::Output& output : p.outputs) outputs.emplace_back(output.tensor->dtype, symbols.shape(*output.tensor));
  const auto view = [](const HostArray& array) {
    return ir::HostTensor{array.dtype, array.shape, {}, const_cast<std::byte*>(array.data.data())};
  };
  std::vector<ir::HostTensor> in;
  std::vector<ir::HostTensor> out;
  for (const HostArray& array : inputs) in.push_back(view(array));
  for (const HostArray& array : outputs) out.push_back(view(array));
  ir::evaluate(p, symbols.values(), in, out);
  return outputs.at(0);
}

// `actual` is `expected` but for `tolerance`, relative to magnitudes above 1. A NaN equals a NaN.
inline void expect_near(const Grid& expected, const HostArray& actual, double tolerance, const std::string& what) {
  ASSERT_EQ(actual.shape, expected.shape) << what;
  for (std::size_t i = 0; i < expected.data.size(); ++i) {
    const double got = actual.value(static_cast<std::int64_t>(i));
    const double bound = tolerance * std::max(1.0, std::abs(expected.data[i]));
    const bool fits = std::isnan(expected.data[i]) ? std::isnan(got) : std::abs(got - expected.data[i]) <= bound;
    ASSERT_TRUE(fits) << what << ": element " << i << " is " << got << ", expected " << expected.data[i];
  }
}

// Devices that need no hardware: the simulator and, where the build has it, this machine's CPU.
inline std::vector<const char*> host_devices() {
  if (!QUERN_WITH_CPU) return {"sim"};
  return {"sim", "cpu"};
}

// The first output by the kernels that the program is compiled to for this machine's CPU.
inline HostArray compiled(const Program& program, const std::vector<HostArray>& inputs, const Sizes& sizes = {}) {
  const Executable executable = compile(program, {.device = "cpu", .use_store = false});
  return run_host(executable, inputs, sizes).outputs.at(0);
}

// The program of the one tensor that `make` computes from inputs of these shapes, called a, b, c, ..., and its text is
// one that reads back as the program.
template <typename F>
Program program_of(DType dtype, const std::vector<Shape>& shapes, const F& make) {
  ProgramBuilder builder("test");
  std::vector<Tensor> inputs;
  for (const Shape& shape : shapes) {
    const std::vector<Dim> dims(shape.begin(), shape.end());
    inputs.push_back(builder.input(std::string(1, static_cast<char>('a' + inputs.size())), dtype, dims));
  }
  builder.output(make(inputs));
  const Program program = builder.build();
  EXPECT_TRUE(Program::parse(program.text()) == program) << program.text();
  return program;
}

// Bounds of the relative error of a result that was computed in `dtype`'s wide form and rounded once.
inline double tolerance_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return 1e-12;
    case DType::f32:
      return 2e-5;
    case DType::f16:
      return 2e-3;
    case DType::bf16:
      return 1e-2;
    default:
      return 0;
  }
}

// Checks what `make` computes from random inputs of these shapes against `oracle(grids)`: by the reference evaluator,
// and compiled.
template <typename F, typename Oracle>
void check_operator(DType dtype, const std::vector<Shape>& shapes, const F& make, const Oracle& oracle,
                    const std::string& what = "") {
  const Program program = program_of(dtype, shapes, make);
  std::vector<Grid> grids;
  std::vector<HostArray> inputs;
  for (const Shape& shape : shapes) {
    grids.push_back(random_grid(shape, dtype, static_cast<unsigned>(grids.size() + 1)));
    inputs.push_back(to_array(grids.back(), dtype));
  }
  const Grid expected = oracle(grids);
  expect_near(expected, evaluate(program, inputs), tolerance_of(dtype), what + "\n" + program.text());
#if QUERN_WITH_CPU
  // One dtype is enough here: what compiled programs compute has tests of its own.
  if (dtype != DType::f32) return;
  expect_near(expected, compiled(program, inputs), tolerance_of(dtype), what + ", compiled\n" + program.text());
#endif
}

}  // namespace quern::test
