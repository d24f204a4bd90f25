#include "tests/codegen/llvm/elementwise.h"

#include "tests/codegen/llvm/cpu_runner.h"

namespace quern::codegen {

Elements run_elementwise(const Target& target, const Formula& f, std::span<const Elements> operands, bool uniform) {
  const int lanes = native_lanes(target);
  const ir::VarRef n = ir::make_var("n");
  ir::Kernel kernel = thread_kernel("elementwise", lanes, {uniform ? ir::Expr(n) : ir::ceil_div(n, lanes)});
  kernel.symbols = {n};
  const ir::Expr block = kernel.block[0];
  const ir::Expr i = uniform ? block : block * ir::Expr(lanes) + ir::Expr(kernel.lane);
  std::vector<ir::Expr> reads;
  std::vector<void*> buffers;
  for (const Elements& operand : operands) {
    kernel.params.push_back(global_buffer("x" + std::to_string(kernel.params.size()), operand.dtype));
    reads.push_back(ir::read(kernel.params.back(), {i}));
    buffers.push_back(const_cast<std::byte*>(operand.bytes.data()));
  }
  const ir::Expr value = f(reads);
  kernel.params.push_back(global_buffer("y", value->dtype));
  kernel.body = ir::make_stmt(
      ir::If{.condition = ir::less(i, n),
             .then = ir::make_stmt(ir::Store{.buffer = kernel.params.back(), .index = {i}, .value = value})});
  Elements result(value->dtype);
  const std::size_t count = operands[0].size();
  result.bytes.resize(count * static_cast<std::size_t>(byte_size(value->dtype)));
  buffers.push_back(result.bytes.data());
  const auto blocks = static_cast<std::int64_t>(count);
  CpuRunner(kernel, target).run(buffers, {blocks}, {uniform ? blocks : (blocks + lanes - 1) / lanes, 1, 1});
  return result;
}

}  // namespace quern::codegen
