#include "tests/compiler/tile_reference.h"

#include <array>
#include <map>
#include <utility>

#include "base/error.h"
#include "ir/kernel_rewrite.h"
#include "ir/scalar.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

class TileReference {
 public:
  TileReference(const Kernel& kernel, std::span<const std::int64_t> symbols, std::span<const HostTensor> arguments)
      : kernel_(kernel) {
    for (std::size_t s = 0; s < symbols.size(); ++s) bind(kernel.symbols[s], symbols[s]);
    for (std::size_t p = 0; p < arguments.size(); ++p) tensors_.emplace_back(kernel.params[p], arguments[p]);
  }

  void run() {
    std::vector<std::int64_t> grid;
    std::int64_t blocks = 1;
    for (const Expr& extent : kernel_.grid) blocks *= grid.emplace_back(integer(extent));
    for (std::int64_t number = 0; number < blocks; ++number) {
      std::int64_t rest = number;
      for (std::size_t d = 0; d < grid.size(); ++d) {
        bind(kernel_.block[d], rest % grid[d]);
        rest /= grid[d];
      }
      const std::size_t outer = tensors_.size();
      for (const BufferRef& shared : kernel_.shared) {
        if (shared->space == Space::shared) declare(shared);
      }
      run(kernel_.body);
      tensors_.resize(outer);
      memory_.clear();
    }
  }

 private:
  void bind(const VarRef& var, std::int64_t value) { bind(var, Scalar{.integer = value}); }
  void bind(const VarRef& var, Scalar value) {
    for (auto& [known, held] : variables_) {
      if (known == var) return void(held = value);
    }
    variables_.emplace_back(var, value);
  }

  Scalar value(const Expr& e) const { return evaluate_scalar(e, variables_, tensors_); }
  std::int64_t integer(const Expr& e) const { return value(e).integer; }
  bool holds(const Expr& condition) const { return !condition || integer(condition) != 0; }

  void declare(const BufferRef& buffer) {
    std::vector<std::int64_t> shape;
    std::int64_t elements = 1;
    for (const Expr& extent : buffer->shape) elements *= shape.emplace_back(integer(extent));
    auto& bytes = memory_.emplace_back(static_cast<std::size_t>(elements * byte_size(buffer->dtype)));
    tensors_.emplace_back(buffer, HostTensor{buffer->dtype, std::move(shape), {}, bytes.data()});
  }

  const HostTensor& tensor(const Tensor& which) const {
    for (std::size_t t = tensors_.size(); t-- > 0;) {
      if (tensors_[t].first.get() == &which) return tensors_[t].second;
    }
    throw InternalError("a buffer is declared");
  }

  // Calls body() with the axes bound to each point of their ranges.
  template <typename Body>
  void each(std::span<const Axis> axes, const Body& body) {
    if (axes.empty()) return body();
    const std::int64_t lo = integer(axes[0].lo), hi = integer(axes[0].hi);
    for (std::int64_t at = lo; at < hi; ++at) {
      bind(axes[0].var, at);
      each(axes.subspan(1), body);
    }
  }

  std::byte* place(const Tensor& which, std::span<const std::int64_t> at) const {
    const HostTensor& host = tensor(which);
    std::int64_t offset = 0;
    for (std::size_t d = 0; d < at.size(); ++d) {
      ensure(at[d] >= 0 && at[d] < host.shape[d], "a store lies within its buffer");
      offset = offset * host.shape[d] + at[d];
    }
    return static_cast<std::byte*>(host.data) + offset * byte_size(host.dtype);
  }

  void run(const Stmt& stmt) {
    if (stmt) std::visit([&](const auto& node) { run_node(node); }, stmt->value);
  }

  void run_node(const Block& node) {
    const std::size_t outer = tensors_.size();
    for (const Stmt& stmt : node.body) run(stmt);
    tensors_.resize(outer);
  }
  void run_node(const Alloc& node) { declare(node.buffer); }
  void run_node(const For& node) {
    const std::int64_t hi = integer(node.hi), step = node.step ? integer(node.step) : 1;
    for (std::int64_t at = integer(node.lo); at < hi; at += step) {
      bind(node.var, at);
      run(node.body);
    }
  }
  void run_node(const If& node) { run(holds(node.condition) ? node.then : node.otherwise); }
  void run_node(const Let& node) { bind(node.var, value(node.value)); }
  void run_node(const Store& node) {
    std::vector<std::int64_t> at;
    for (const Expr& index : node.index) at.push_back(integer(index));
    std::byte* to = place(*node.buffer, at);
    Scalar stored = value(node.value);
    if (node.atomic) stored = combined(*node.atomic, node.buffer->dtype, load(node.buffer->dtype, to), stored);
    store(node.buffer->dtype, to, stored);
  }
  void run_node(const Intrinsic&) {}
  void run_node(const Role& node) { run(node.body); }
  void run_node(const Map& node) {
    each(node.axes, [&] {
      if (holds(node.where)) run(node.body);
    });
  }

  static Scalar combined(Reducer reducer, DType dtype, Scalar left, Scalar right) {
    const VarRef l = make_var("left", dtype), r = make_var("right", dtype);
    const std::vector<Expr> a{l}, b{r};
    const std::vector<std::pair<VarRef, Scalar>> values{{l, left}, {r, right}};
    return evaluate_scalar(row(reducer).combine(a, b)[0], values);
  }

  // Of reducers with a state of one value.
  void run_node(const Fold& node) {
    ensure(node.from.size() == 1, "the reference folds states of one value");
    const Buffer &from = *node.from[0], &to = *node.to[0];
    const HostTensor &source = tensor(from), &target = tensor(to);
    std::int64_t count = 1, results = 1;
    for (const std::int64_t extent : source.shape) count *= extent;
    for (const std::int64_t extent : target.shape) results *= extent;
    std::vector<bool> begun(static_cast<std::size_t>(results));
    for (std::int64_t number = 0; number < count; ++number) {
      std::vector<std::int64_t> at(source.shape.size()), kept;
      std::int64_t rest = number;
      for (std::size_t d = at.size(); d-- > 0; rest /= source.shape[d]) at[d] = rest % source.shape[d];
      std::int64_t place_of = 0;
      for (std::size_t d = 0; d < at.size(); ++d) {
        if (std::find(node.over.begin(), node.over.end(), static_cast<int>(d)) != node.over.end()) continue;
        place_of = place_of * source.shape[d] + at[d];
        kept.push_back(at[d]);
      }
      const Scalar element = load(from.dtype, place(from, at));
      std::byte* result = place(to, kept);
      const bool first = !begun[static_cast<std::size_t>(place_of)];
      begun[static_cast<std::size_t>(place_of)] = true;
      store(to.dtype, result, first ? element : combined(node.reducer, to.dtype, load(to.dtype, result), element));
    }
  }

  void run_node(const Mma& node) {
    each(std::array{node.i, node.j}, [&] {
      const std::array<std::int64_t, 2> at{integer(Expr(node.i.var)), integer(Expr(node.j.var))};
      std::byte* to = place(*node.acc, at);
      const DType dtype = node.acc->dtype;
      double sum = node.accumulate && !holds(node.accumulate) ? 0 : load(dtype, to).real;
      each(std::array{node.k}, [&] { sum += value(node.a).real * value(node.b).real; });
      store(dtype, to, {.real = fit_real(dtype, sum)});
    });
  }

  template <typename Other>
  void run_node(const Other&) {
    throw InternalError("the reference runs tile form");
  }

  const Kernel& kernel_;
  std::vector<std::pair<VarRef, Scalar>> variables_;
  std::vector<std::pair<TensorRef, HostTensor>> tensors_;
  std::vector<std::vector<std::byte>> memory_;
};

}  // namespace

void run_tiles(const Kernel& kernel, std::span<const std::int64_t> symbols, std::span<const HostTensor> arguments) {
  ensure(kernel.form == Form::tile, "the reference runs tile form");
  TileReference(kernel, symbols, arguments).run();
}

}  // namespace quern::compiler
