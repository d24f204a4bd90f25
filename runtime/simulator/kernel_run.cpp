#include "runtime/simulator/kernel_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"
#include "ir/evaluate.h"
#include "ir/printer.h"
#include "ir/rewrite.h"
#include "runtime/simulator/tensor_map.h"

namespace quern::runtime::simulator {
namespace {

// Expressions over a kernel's symbols as numbers.
class Numbers {
 public:
  Numbers(const ir::Kernel& kernel, std::span<const std::int64_t> symbols) : kernel_(kernel) {
    ensure(symbols.size() == kernel.symbols.size(), "every symbol has a value");
    for (std::size_t s = 0; s < symbols.size(); ++s) {
      const ir::VarRef& symbol = kernel.symbols[s];
      values_.emplace_back(symbol, ir::Scalar{.integer = symbols[s]});
      const std::string own = fmt::format("{} = {}", symbol->name, symbols[s]);
      text_ = s == 0 ? own : text_ + ", " + own;
    }
    for (const ir::Fact& fact : kernel.facts) check(fact);
  }

  std::int64_t operator()(const ir::Expr& e) const {
    bool fits = true;
    ir::visit(e, [&](const ir::Expr& part) {
      fits = fits && stays_in_range(part);
      return true;
    });
    if (fits) return ir::evaluate_scalar(e, values_).integer;
    fail("{} of kernel {} does not fit 64 bits with {}; give smaller sizes", ir::to_string(e), kernel_.name, text_);
  }
  std::vector<std::int64_t> operator()(const std::vector<ir::Expr>& all) const {
    std::vector<std::int64_t> result;
    result.reserve(all.size());
    for (const ir::Expr& e : all) result.push_back((*this)(e));
    return result;
  }
  // What counts something.
  std::int64_t extent(const ir::Expr& e, const std::string& of) const {
    const std::int64_t value = (*this)(e);
    if (value >= 0) return value;
    fail("an extent of {} in kernel {} is {} with {}; sizes are 0 or more", of, kernel_.name, value, text_);
  }

 private:
  void check(const ir::Fact& fact) const {
    bool holds = true;
    if (fact.kind == ir::Fact::Kind::condition) holds = ir::evaluate_scalar(fact.condition, values_).integer != 0;
    if (fact.kind == ir::Fact::Kind::range && fact.symbol) {
      const std::int64_t value = ir::evaluate_scalar(fact.symbol, values_).integer;
      holds = (*this)(fact.lo) <= value && value < (*this)(fact.hi);
    }
    if (holds) return;
    const std::string text =
        fact.kind == ir::Fact::Kind::condition
            ? ir::to_string(fact.condition)
            : fmt::format("{} in {}..{}", fact.symbol->name, ir::to_string(fact.lo), ir::to_string(fact.hi));
    fail("kernel {} is for {}, which does not hold with {}", kernel_.name, text, text_);
  }

  // Whether a sum or product is its value, not what is left of it in 64 bits.
  bool stays_in_range(const ir::Expr& e) const {
    if (e->kind != ir::ExprKind::call || e->args.size() != 2) return true;
    const std::int64_t a = ir::evaluate_scalar(e->args[0], values_).integer;
    const std::int64_t b = ir::evaluate_scalar(e->args[1], values_).integer;
    std::int64_t result = 0;
    if (e->op == ir::Op::add) return !__builtin_add_overflow(a, b, &result);
    if (e->op == ir::Op::sub) return !__builtin_sub_overflow(a, b, &result);
    return e->op != ir::Op::mul || !__builtin_mul_overflow(a, b, &result);
  }

  const ir::Kernel& kernel_;
  std::vector<std::pair<ir::VarRef, ir::Scalar>> values_;
  std::string text_ = "no symbols";
};

ir::BoundTensorMap bound(const ir::TensorMapParam& map, const ir::Kernel& kernel, const Numbers& number) {
  const auto parameter = std::ranges::find(kernel.params, map.buffer);
  ensure(parameter != kernel.params.end(), "a tensor map is of a parameter");
  const ir::Location base{ir::Space::global, static_cast<int>(parameter - kernel.params.begin()),
                          map.byte_offset ? number(map.byte_offset) : 0};
  return bound_map(map, map.buffer->dtype, base, [&](const ir::Expr& e) { return number(e); });
}

}  // namespace

std::int64_t parameter_bytes(const ir::Kernel& kernel, std::size_t parameter, std::span<const std::int64_t> symbols) {
  const ir::Buffer& buffer = *kernel.params.at(parameter);
  const Numbers number(kernel, symbols);
  std::int64_t last = 0;
  bool fits = true, is_empty = false;
  const std::vector<ir::Expr> strides = ir::element_strides(buffer);
  for (std::size_t d = 0; d < buffer.shape.size(); ++d) {
    const std::int64_t extent = number.extent(buffer.shape[d], buffer.name);
    is_empty = is_empty || extent == 0;
    std::int64_t reach = 0;
    fits = fits && !__builtin_mul_overflow(extent - 1, number.extent(strides[d], buffer.name), &reach) &&
           !__builtin_add_overflow(last, reach, &last);
  }
  if (is_empty) return 0;
  std::int64_t bytes = 0;
  if (fits && last < std::numeric_limits<std::int64_t>::max() &&
      !__builtin_mul_overflow(last + 1, byte_size(buffer.dtype), &bytes)) {
    return bytes;
  }
  fail("parameter {} of kernel {} takes more than 2^63 bytes; give smaller sizes", buffer.name, kernel.name);
}

Report run_kernel(const ir::Kernel& kernel, std::span<const std::int64_t> symbols,
                  std::span<const KernelArgument> arguments, const Target& target, const Settings& settings,
                  const std::vector<int>& lines) {
  ensure(arguments.size() == kernel.params.size(), "every parameter has memory");
  const Numbers number(kernel, symbols);
  Launch launch(compile_code(kernel, {symbols.begin(), symbols.end()}, lines), target, settings);
  std::int64_t blocks = 1;
  for (std::size_t d = 0; d < kernel.grid.size(); ++d) {
    launch.code.grid[d] = number.extent(kernel.grid[d], "the grid");
    blocks *= launch.code.grid[d];
  }
  std::vector<Window> windows(arguments.size());
  for (std::size_t p = 0; p < arguments.size(); ++p) {
    Window& window = windows[p];
    window.name = kernel.params[p]->name;
    window.data = arguments[p].data.data();
    window.granule = byte_size(kernel.params[p]->dtype);
    window.bytes = parameter_bytes(kernel, p, symbols);
    if (window.bytes > static_cast<std::int64_t>(arguments[p].data.size())) {
      fail("parameter {} takes {} bytes, its memory has {}", window.name, window.bytes, arguments[p].data.size());
    }
    window.shadow.reset(window.bytes / window.granule);
    if (arguments[p].written) window.shadow.set_all_written();
    if (settings.checks && !kernel.params[p]->strides.empty()) {
      mark_holes(window, number(kernel.params[p]->shape), number(kernel.params[p]->strides));
    }
    launch.globals.push_back(&window);
  }
  for (const ir::TensorMapParam& map : kernel.maps) launch.maps.push_back(bound(map, kernel, number));
  if (blocks > 0) run(launch);
  for (std::size_t p = 0; p < arguments.size() && settings.checks; ++p) {
    if (arguments[p].is_output) check_written(windows[p], kernel.name, launch.findings);
  }
  return report_of(std::move(launch), blocks);
}

}  // namespace quern::runtime::simulator
