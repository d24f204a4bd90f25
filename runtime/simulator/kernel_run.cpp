#include "runtime/simulator/kernel_run.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "ir/evaluate.h"
#include "runtime/simulator/tensor_map.h"

namespace quern::runtime::simulator {
namespace {

// Expressions over a kernel's symbols as numbers.
class Numbers {
 public:
  Numbers(const ir::Kernel& kernel, std::span<const std::int64_t> symbols) {
    ensure(symbols.size() == kernel.symbols.size(), "every symbol has a value");
    for (std::size_t s = 0; s < symbols.size(); ++s) {
      values_.emplace_back(kernel.symbols[s], ir::Scalar{.integer = symbols[s]});
    }
  }

  std::int64_t operator()(const ir::Expr& e) const { return ir::evaluate_scalar(e, values_).integer; }
  std::vector<std::int64_t> operator()(const std::vector<ir::Expr>& all) const {
    std::vector<std::int64_t> result;
    result.reserve(all.size());
    for (const ir::Expr& e : all) result.push_back((*this)(e));
    return result;
  }

 private:
  std::vector<std::pair<ir::VarRef, ir::Scalar>> values_;
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
  const std::vector<std::int64_t> shape = number(buffer.shape), strides = number(ir::element_strides(buffer));
  for (std::size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] <= 0) return 0;
    last += (shape[d] - 1) * strides[d];
  }
  return (last + 1) * byte_size(buffer.dtype);
}

Report run_kernel(const ir::Kernel& kernel, std::span<const std::int64_t> symbols,
                  std::span<const KernelArgument> arguments, const Target& target, const Settings& settings,
                  const std::vector<int>& lines) {
  ensure(arguments.size() == kernel.params.size(), "every parameter has memory");
  const Numbers number(kernel, symbols);
  Launch launch(compile_code(kernel, {symbols.begin(), symbols.end()}, lines), target, settings);
  std::int64_t blocks = 1;
  for (std::size_t d = 0; d < kernel.grid.size(); ++d) {
    launch.code.grid[d] = std::max<std::int64_t>(number(kernel.grid[d]), 0);
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
    launch.globals.push_back(&window);
  }
  for (const ir::TensorMapParam& map : kernel.maps) launch.maps.push_back(bound(map, kernel, number));
  if (blocks > 0) run(launch);
  return report_of(std::move(launch), blocks);
}

}  // namespace quern::runtime::simulator
