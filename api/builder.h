#pragma once
// What a ProgramBuilder and its tensors share.

#include <string>
#include <string_view>
#include <vector>

#include "ir/tensor.h"
#include "quern/builder.h"

namespace quern {

class BuilderState {
 public:
  explicit BuilderState(std::string kernel) : name(std::move(kernel)) {}

  struct MarkedOutput {
    ir::TensorRef tensor;
    OutputOptions options;
  };

  std::string name;
  std::vector<ir::VarRef> symbols;
  std::vector<ir::TensorRef> inputs;
  std::vector<ir::Definition> definitions;
  std::vector<MarkedOutput> outputs;
  std::vector<ir::Fact> facts;
};

namespace api {

// name[axes] = value in the builder of `state`.
Tensor define(const std::shared_ptr<BuilderState>& state, std::string_view name, const std::vector<Axis>& axes,
              const Expr& value);

// "f32[m, 3]", for messages.
std::string type_of(const Tensor& tensor);

}  // namespace api
}  // namespace quern
