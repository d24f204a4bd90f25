#include "api/builder.h"

#include <algorithm>
#include <utility>

#include "api/expr.h"
#include "api/operators.h"
#include "base/error.h"
#include "ir/printer.h"
#include "ir/rewrite.h"
#include "ir/simplify.h"
#include "ir/verify.h"

namespace quern {
namespace {

// The builder's symbols in the arguments, in the order in which their text names them. What else a size is made of, an
// axis or another builder's symbol, the verifier refuses.
std::vector<ir::VarRef> symbols_of(const ir::Program& program, const BuilderState& state) {
  std::vector<ir::VarRef> symbols;
  const auto collect = [&](const std::vector<ir::Expr>& sizes) {
    for (const ir::Expr& size : sizes) {
      for (const ir::VarRef& symbol : ir::free_variables(size)) {
        if (std::ranges::count(state.symbols, symbol) > 0 && std::ranges::count(symbols, symbol) == 0) {
          symbols.push_back(symbol);
        }
      }
    }
  };
  for (const ir::TensorRef& tensor : ir::arguments(program)) {
    collect(tensor->shape);
    collect(tensor->strides);
  }
  return symbols;
}

ir::TensorRef find_input(const BuilderState& state, const std::string& name, const std::string& output) {
  const auto found = std::find_if(state.inputs.begin(), state.inputs.end(),
                                  [&](const ir::TensorRef& input) { return input->name == name; });
  if (found == state.inputs.end()) fail("output {} updates {}, which is no input of {}", output, name, state.name);
  return *found;
}

std::vector<Dim> shape_of(const ir::Tensor& tensor) { return api::wrap(tensor.shape); }

}  // namespace

namespace api {

Tensor define(const std::shared_ptr<BuilderState>& state, std::string_view name, const std::vector<Axis>& axes,
              const Expr& value) {
  ir::Definition definition;
  std::vector<ir::Expr> shape;
  for (const Axis& axis : axes) {
    if (std::ranges::count(definition.axes, axis.variable(), &ir::Axis::var) > 0) {
      fail("{} runs over its axis {} twice; give one of the two an axis of its own", name, axis.name());
    }
    definition.axes.push_back(unwrap(axis, name));
    if (!ir::is_integer(definition.axes.back().lo, 0)) {
      fail("axis {} of {} begins at {}; the axes of a definition begin at 0", axis.name(), name, axis.lo().text());
    }
    shape.push_back(definition.axes.back().hi);
  }
  definition.value = unwrap(value);
  definition.tensor = ir::make_tensor(std::string(name), definition.value->dtype, std::move(shape));
  state->definitions.push_back(definition);
  return {state, definition.tensor};
}

std::string type_of(const Tensor& tensor) {
  ir::Names names;
  return fmt::format("{}{}", name(tensor.dtype()), ir::to_string(tensor.tensor()->shape, names));
}

}  // namespace api

Tensor::Tensor(std::shared_ptr<BuilderState> state, std::shared_ptr<const ir::Tensor> tensor)
    : state_(std::move(state)), tensor_(std::move(tensor)), shape_(shape_of(*tensor_)) {}

const std::string& Tensor::name() const { return tensor_->name; }
DType Tensor::dtype() const { return tensor_->dtype; }

Read Tensor::at(const std::vector<Expr>& index) const {
  if (index.size() != shape_.size()) {
    fail("{}, {}, is read with {} ind{}; it takes one per dimension", name(), api::type_of(*this), index.size(),
         index.size() == 1 ? "ex" : "ices");
  }
  std::vector<ir::Expr> places;
  for (std::size_t d = 0; d < index.size(); ++d) {
    places.push_back(api::unwrap(index[d]));
    if (!is_integer(places.back()->dtype)) {
      fail("index {} of {} is {}; an index is an integer, as in cast(DType::i64, x)", d, name(),
           quern::name(places.back()->dtype));
    }
  }
  return Read(api::wrap(ir::read(tensor_, std::move(places))));
}

void fail_index_count(const std::string& name, std::size_t rank) {
  fail("{} has {} dimension{}; its function takes another number of indices", name, rank, rank == 1 ? "" : "s");
}

ProgramBuilder::ProgramBuilder(std::string name) : state_(std::make_shared<BuilderState>(std::move(name))) {}

Dim ProgramBuilder::symbol(const std::string& name) {
  for (const ir::VarRef& symbol : state_->symbols) {
    if (symbol->name == name) return api::wrap(ir::Expr(symbol));
  }
  state_->symbols.push_back(ir::make_var(name));
  return api::wrap(ir::Expr(state_->symbols.back()));
}

Tensor ProgramBuilder::input(const std::string& name, DType dtype, const std::vector<Dim>& shape,
                             const InputOptions& options) {
  state_->inputs.push_back(ir::make_tensor(name, dtype, api::unwrap_sizes(shape, "a dimension of " + name),
                                           api::unwrap_sizes(options.strides, "a stride of " + name),
                                           options.constant));
  return {state_, state_->inputs.back()};
}

Tensor ProgramBuilder::compute(const std::string& name, const std::vector<Axis>& axes, const Expr& value) {
  return api::define(state_, name, axes, value);
}

void ProgramBuilder::output(const Tensor& tensor, OutputOptions options) {
  if (tensor.state() != state_) fail("{} belongs to another builder than {}", tensor.name(), state_->name);
  const auto same = [&](const ir::TensorRef& other) { return other == tensor.tensor(); };
  if (std::any_of(state_->inputs.begin(), state_->inputs.end(), same)) {
    fail("{0} is an input of {1}; compute a copy of it for the output", tensor.name(), state_->name);
  }
  for (const BuilderState::MarkedOutput& output : state_->outputs) {
    if (same(output.tensor)) fail("{} is an output of {} already", tensor.name(), state_->name);
  }
  state_->outputs.push_back({tensor.tensor(), std::move(options)});
}

void ProgramBuilder::require(const Expr& condition) {
  const ir::Expr fact = api::unwrap_known(condition, "a fact of " + state_->name);
  if (!is_bool(fact->dtype)) {
    fail("a fact is a condition over symbols, as in m % 16 == 0; {} is {}", condition.text(), name(fact->dtype));
  }
  state_->facts.push_back({.kind = ir::Fact::Kind::condition, .condition = fact});
}

void ProgramBuilder::require_aligned(const Tensor& argument, std::int64_t bytes) {
  state_->facts.push_back({.kind = ir::Fact::Kind::aligned, .tensor = argument.tensor(), .bytes = bytes});
}

void ProgramBuilder::require_nondecreasing(const Tensor& input) {
  state_->facts.push_back({.kind = ir::Fact::Kind::nondecreasing, .tensor = input.tensor()});
}

void ProgramBuilder::require_range(const Tensor& input, const Dim& lo, const Dim& hi) {
  const std::string what = "an end of the range of " + input.name();
  state_->facts.push_back({.kind = ir::Fact::Kind::range,
                           .tensor = input.tensor(),
                           .lo = api::unwrap_size(lo, what),
                           .hi = api::unwrap_size(hi, what)});
}

void ProgramBuilder::require_exact() { state_->facts.push_back({.kind = ir::Fact::Kind::exact}); }

Program ProgramBuilder::build() const {
  auto program = std::make_shared<ir::Program>();
  program->name = state_->name;
  program->inputs = state_->inputs;
  program->facts = state_->facts;
  ir::TensorMap outputs;
  for (const auto& [tensor, options] : state_->outputs) {
    ir::Output output;
    if (!options.updates.empty()) output.updates = find_input(*state_, options.updates, tensor->name);
    output.tensor = ir::make_tensor(tensor->name, tensor->dtype, tensor->shape,
                                    api::unwrap_sizes(options.strides, "a stride of " + tensor->name));
    outputs[tensor.get()] = output.tensor;
    program->outputs.push_back(std::move(output));
  }
  const auto image = [&](const ir::TensorRef& tensor) {
    const auto found = outputs.find(tensor.get());
    return found == outputs.end() ? tensor : found->second;
  };
  for (const ir::Definition& definition : state_->definitions) {
    program->definitions.push_back(
        {image(definition.tensor), definition.axes, ir::replace_tensors(definition.value, outputs)});
  }
  for (ir::Fact& fact : program->facts) {
    if (fact.tensor) fact.tensor = image(fact.tensor);
  }
  program->symbols = symbols_of(*program, *state_);
  ir::verify(*program);
  return Program(std::move(program));
}

std::vector<Axis> ProgramBuilder::axes_of(const std::vector<Dim>& shape) { return api::axes_over(shape); }

}  // namespace quern
