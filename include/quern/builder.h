#pragma once
// Tensor programs in C++: the same definitions as in the language (docs/language.md), which they print as.
//
//   ProgramBuilder b("linear_gelu");
//   const Dim m = b.symbol("m");
//   const Tensor x = b.input("x", DType::bf16, {m, 4096});
//   const Tensor w = b.input("w", DType::bf16, {4096, 1024}, {.constant = true});
//   const Tensor y = b.compute("y", {m, 1024}, [&](Expr i, Expr j) {
//     const Axis p("p", 4096);
//     return cast(DType::bf16, gelu(sum({p}, cast(DType::f32, x(i, p)) * cast(DType::f32, w(p, j)))));
//   });
//   b.output(y);
//   const Program program = b.build();
//
// A builder and its tensors belong to one thread at a time. quern/operators.h has the named operators.

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "quern/dtype.h"
#include "quern/export.h"
#include "quern/expr.h"
#include "quern/program.h"

namespace quern {

namespace ir {
struct Tensor;
}  // namespace ir

class BuilderState;  // what a builder and its tensors share

// A tensor of a program that is being built.
class QUERN_API Tensor {
 public:
  const std::string& name() const;
  DType dtype() const;
  int rank() const { return static_cast<int>(shape_.size()); }
  const std::vector<Dim>& shape() const { return shape_; }

  // The element at `index`, one i64 expression per dimension. Error where their number or dtype is another.
  Read at(const std::vector<Expr>& index) const;
  template <typename... Index>
  Read operator()(const Index&... index) const {
    return at({Expr(index)...});
  }

  // Below is the way between this and the library's own form.
  Tensor(std::shared_ptr<BuilderState> state, std::shared_ptr<const ir::Tensor> tensor);
  const std::shared_ptr<BuilderState>& state() const { return state_; }
  const std::shared_ptr<const ir::Tensor>& tensor() const { return tensor_; }

 private:
  std::shared_ptr<BuilderState> state_;
  std::shared_ptr<const ir::Tensor> tensor_;
  std::vector<Dim> shape_;
};

struct InputOptions {
  std::vector<Dim> strides = {};  // in elements, one per dimension; empty: dense, last axis fastest
  bool constant = false;          // the same contents over calls: may be repacked once
};

struct OutputOptions {
  std::vector<Dim> strides = {};  // as of inputs; they hit no element twice
  std::string updates = {};       // the input whose contents the output starts as, in place; empty: none
};

// What compute's function is called with: as many indices as it takes, or all of them in a vector.
template <typename F>
concept ElementFunction =
    std::invocable<F, const std::vector<Expr>&> || std::invocable<F> || std::invocable<F, Expr> ||
    std::invocable<F, Expr, Expr> || std::invocable<F, Expr, Expr, Expr> || std::invocable<F, Expr, Expr, Expr, Expr> ||
    std::invocable<F, Expr, Expr, Expr, Expr, Expr> || std::invocable<F, Expr, Expr, Expr, Expr, Expr, Expr>;

// Throws Error: `name` has `rank` dimensions, its function takes another number of indices.
[[noreturn]] QUERN_API void fail_index_count(const std::string& name, std::size_t rank);

// Collects inputs, definitions, facts and outputs into a program. Sizes, ranges and facts are of numbers and symbols
// of this builder; whatever else one holds (a read, a reduction, an axis) is an Error, at the call or in build().
class QUERN_API ProgramBuilder {
 public:
  // `name` is the kernel's: letters, digits and `_`.
  explicit ProgramBuilder(std::string name);

  // The size of that name, bound at each launch by the first dimension that is the symbol alone. The same one for the
  // same name.
  Dim symbol(const std::string& name);

  Tensor input(const std::string& name, DType dtype, const std::vector<Dim>& shape, const InputOptions& options = {});

  // name[axes] = value for all points of the axes, which differ and start at 0. The tensor has the dtype of `value`.
  Tensor compute(const std::string& name, const std::vector<Axis>& axes, const Expr& value);

  // The same over axes i, j, k, ... of a shape; `function` gets their indices.
  template <ElementFunction F>
  Tensor compute(const std::string& name, const std::vector<Dim>& shape, F&& function) {
    const std::vector<Axis> axes = axes_of(shape);
    const std::vector<Expr> index(axes.begin(), axes.end());
    return compute(name, axes, element(name, function, index));
  }

  // Makes a computed tensor an output; outputs are arguments in the order of these calls, after the inputs.
  void output(const Tensor& tensor, OutputOptions options = {});

  // Facts that kernels may rely on; a launch that breaks one throws Error where it can see it.
  void require(const Expr& condition);                                    // over symbols, such as m % 16 == 0
  void require_aligned(const Tensor& argument, std::int64_t bytes);       // the pointer
  void require_nondecreasing(const Tensor& input);                        // a vector of integers
  void require_range(const Tensor& input, const Dim& lo, const Dim& hi);  // its integer elements lie in lo..hi
  void require_exact();                                                   // a*b+c is never fused

  // The program, verified; the builder can go on. Error where it breaks a rule of the language.
  Program build() const;

 private:
  static std::vector<Axis> axes_of(const std::vector<Dim>& shape);

  template <typename F>
  static Expr element(const std::string& name, F& function, const std::vector<Expr>& index) {
    if constexpr (std::invocable<F&, const std::vector<Expr>&>) {
      return function(index);
    } else {
      return spread(name, function, index, std::make_index_sequence<kMaxIndices + 1>());
    }
  }

  static constexpr std::size_t kMaxIndices = 6;

  // Calls `function` with the indices where it takes that many.
  template <typename F, std::size_t... Counts>
  static Expr spread(const std::string& name, F& function, const std::vector<Expr>& index,
                     std::index_sequence<Counts...>) {
    std::shared_ptr<Expr> result;
    const auto attempt = [&]<std::size_t... I>(std::index_sequence<I...>) {
      if constexpr (std::invocable<F&, decltype((void(I), std::declval<Expr>()))...>) {
        if (index.size() == sizeof...(I)) result = std::make_shared<Expr>(function(index[I]...));
      }
    };
    (attempt(std::make_index_sequence<Counts>()), ...);
    if (result == nullptr) fail_index_count(name, index.size());
    return *result;
  }

  std::shared_ptr<BuilderState> state_;
};

}  // namespace quern
