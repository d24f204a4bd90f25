#include "ir/evaluate.h"

#include <array>
#include <utility>

#include "base/error.h"
#include "ir/machine.h"
#include "ir/scalar.h"

namespace quern::ir {
namespace {

// Plain scalars.
struct Exact {
  using Value = Scalar;

  Scalar exact(DType, Scalar value) const { return value; }
  std::optional<Scalar> certain(Scalar value) const { return value; }
  Scalar value(Scalar value) const { return value; }
  Scalar either_of(DType, Scalar taken, Scalar) const { return taken; }
  Scalar unknown(DType, Scalar value) const { return value; }
  Scalar expanded(const Instruction&, std::span<const Scalar>, Scalar value) const { return value; }
  Scalar rescaled(DType, Scalar, Scalar value) const { return value; }
  Scalar weighted(DType, Scalar, Scalar value) const { return value; }
  Scalar cast(DType to, DType from, Scalar value) const {
    if (to == DType::f32 && is_float(from)) return {.real = static_cast<float>(value.real)};
    return convert(to, from, value);
  }

  Scalar call(const Instruction& i, std::span<const Scalar> x) const {
    if (i.dtype == DType::f32) {
      // The common ones, in the shortest way.
      if (i.op == Op::add) return {.real = static_cast<float>(x[0].real + x[1].real)};
      if (i.op == Op::sub) return {.real = static_cast<float>(x[0].real - x[1].real)};
      if (i.op == Op::mul) return {.real = static_cast<float>(x[0].real * x[1].real)};
    }
    return fit(i.dtype, row(i.op).reference(i.from, x));
  }

  template <typename M>
  Scalar reduce(M& machine, const ReduceCode& reduce, DType dtype) const {
    if (reduce.fold) return fold(machine, reduce, [](Scalar, Point) {});
    const bool real = is_float(reduce.accumulator);
    if (reduce.reducer == Reducer::sum && real && is_float(reduce.element)) {
      double sum = 0;
      machine.for_each(reduce, [&](Point) { sum += machine.eval(reduce.argument).real; });
      return {.real = fit_real(dtype, sum)};
    }
    return step_by_step(machine, reduce, dtype);
  }

  // Reducers of one value.
  template <typename M>
  Scalar step_by_step(M& machine, const ReduceCode& reduce, DType dtype) const {
    const DType acc = wide_accumulator(reduce);
    const ScalarFunction& combine = row(reduce.combine);
    Scalar state = reduce.identity;
    machine.for_each(reduce, [&](Point) {
      const std::array both = {state, convert(acc, reduce.element, machine.eval(reduce.argument))};
      state = fit(acc, combine.reference(acc, both));
    });
    return convert(dtype, acc, state);
  }
};

void check_tensor(const Tensor& tensor, const HostTensor& host, std::span<const std::int64_t> shape) {
  if (host.dtype != tensor.dtype) fail("{} is {}, got {}", tensor.name, name(tensor.dtype), name(host.dtype));
  const auto text = [](std::span<const std::int64_t> dims) { return fmt::format("[{}]", fmt::join(dims, ", ")); };
  if (!std::equal(shape.begin(), shape.end(), host.shape.begin(), host.shape.end())) {
    fail("{} has shape {}, got {}", tensor.name, text(shape), text(host.shape));
  }
}

}  // namespace

void check_tensors(const Program& program, std::span<const std::int64_t> symbols, std::span<const HostTensor> inputs) {
  if (inputs.size() != program.inputs.size()) {
    fail("{} takes {} inputs, got {}", program.name, program.inputs.size(), inputs.size());
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    check_tensor(*program.inputs[i], inputs[i], shape_at(*program.inputs[i], program.symbols, symbols));
  }
}

void fail_outside(const ReadCode& read, std::size_t d, std::int64_t index) {
  fail(
      "{} is read outside: index {} of dimension {}, which has {} elements; guard the read, or give it a fill with "
      "`else`",
      read.tensor->name, index, d, read.shape[d]);
}

std::vector<std::int64_t> strides_of(const HostTensor& tensor) {
  if (!tensor.strides.empty()) return tensor.strides;
  std::vector<std::int64_t> strides(tensor.shape.size());
  std::int64_t stride = 1;
  for (std::size_t d = strides.size(); d-- > 0; stride *= std::max<std::int64_t>(tensor.shape[d], 1))
    strides[d] = stride;
  return strides;
}

std::uint32_t definition_number(const Code& code, const Tensor& tensor) {
  for (std::size_t i = 0; i < code.definitions.size(); ++i) {
    if (code.definitions[i].tensor == &tensor) return static_cast<std::uint32_t>(i);
  }
  unreachable("an output is defined");
}

void evaluate(const Program& program, std::span<const std::int64_t> symbols, std::span<const HostTensor> inputs,
              std::span<const HostTensor> outputs) {
  check_tensors(program, symbols, inputs);
  if (outputs.size() != program.outputs.size()) {
    fail("{} has {} outputs, got {}", program.name, program.outputs.size(), outputs.size());
  }
  const Code code = compile(program, symbols, false);
  Machine<Exact> machine(code, inputs);
  // Outputs may be the memory of inputs, so that nothing is stored before everything is read.
  std::vector<std::vector<std::byte>> results;
  for (std::size_t o = 0; o < outputs.size(); ++o) {
    const Tensor& tensor = *program.outputs[o].tensor;
    const std::uint32_t number = definition_number(code, tensor);
    const std::vector<std::int64_t>& shape = code.definitions[number].shape;
    check_tensor(tensor, outputs[o], shape);
    std::int64_t count = 1;
    for (const std::int64_t extent : shape) count *= extent;
    const int size = byte_size(tensor.dtype);
    std::vector<std::byte>& bytes = results.emplace_back(static_cast<std::size_t>(count * size));
    Coordinate at(shape.size());
    for (std::int64_t place = 0; place < count; ++place) {
      store(tensor.dtype, &bytes[static_cast<std::size_t>(place * size)], machine.element(number, at));
      for (std::size_t d = shape.size(); d-- > 0;) {
        if (++at[d] < shape[d]) break;
        at[d] = 0;
      }
    }
  }
  for (std::size_t o = 0; o < outputs.size(); ++o) {
    const std::vector<std::int64_t> strides = strides_of(outputs[o]);
    const auto size = static_cast<std::size_t>(byte_size(outputs[o].dtype));
    Coordinate at(strides.size());
    for (std::size_t begin = 0; begin < results[o].size(); begin += size) {
      std::int64_t offset = 0;
      for (std::size_t d = 0; d < at.size(); ++d) offset += at[d] * strides[d];
      std::byte* to = static_cast<std::byte*>(outputs[o].data) + offset * static_cast<std::int64_t>(size);
      std::copy_n(&results[o][begin], size, to);
      for (std::size_t d = at.size(); d-- > 0;) {
        if (++at[d] < outputs[o].shape[d]) break;
        at[d] = 0;
      }
    }
  }
}

std::vector<Scalar> evaluate_elements(const Program& program, std::span<const std::int64_t> symbols,
                                      std::span<const HostTensor> inputs, std::size_t output,
                                      std::span<const Coordinate> coordinates) {
  check_tensors(program, symbols, inputs);
  const Code code = compile(program, symbols, false);
  Machine<Exact> machine(code, inputs);
  const std::uint32_t number = definition_number(code, *program.outputs[output].tensor);
  std::vector<Scalar> values;
  values.reserve(coordinates.size());
  for (const Coordinate& coordinate : coordinates) values.push_back(machine.element(number, coordinate));
  return values;
}

Scalar evaluate_scalar(const Expr& e, std::span<const std::pair<VarRef, Scalar>> variables,
                       std::span<const std::pair<TensorRef, HostTensor>> tensors) {
  std::vector<VarRef> vars;
  std::vector<TensorRef> refs;
  std::vector<HostTensor> hosts;
  for (const auto& [var, value] : variables) vars.push_back(var);
  for (const auto& [tensor, host] : tensors) {
    refs.push_back(tensor);
    hosts.push_back(host);
  }
  const Code code = compile(e, vars, refs);
  Machine<Exact> machine(code, hosts);
  for (std::size_t i = 0; i < variables.size(); ++i) {
    machine.local(static_cast<std::uint32_t>(i)) = variables[i].second;
  }
  return machine.element(0, {});
}

}  // namespace quern::ir
