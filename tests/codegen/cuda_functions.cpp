#include "tests/codegen/cuda_functions.h"

#include <algorithm>

#include "tests/codegen/cuda_kernels.h"

namespace quern::codegen::test {

std::vector<Computation> functions_of(DType dtype, std::size_t step) {
  std::vector<Computation> result;
  for (const ir::ScalarFunction& row : ir::scalar_functions()) {
    const auto type = result_of(row, dtype);
    if (!type) continue;
    const std::vector<Elements> operands = operands_of(row, dtype, step);
    result.push_back(
        {operands, *type, [&row](std::span<const ir::Expr> x) { return ir::call(row.op, {x.begin(), x.end()}); },
         [&row, operands](const Elements& got, std::size_t i) { return codegen::deviation(row, operands, got, i); }});
  }
  return result;
}

std::vector<Computation> conversions_of(DType dtype, std::size_t step) {
  std::vector<Computation> result;
  const Elements from = every(step, samples(dtype, 20000, 17));
  for (int t = 0; t < kDTypeCount; ++t) {
    const auto to = static_cast<DType>(t);
    if (to == dtype) continue;
    result.push_back({{from},
                      to,
                      [to](std::span<const ir::Expr> x) { return ir::cast(to, x[0]); },
                      [from](const Elements& got, std::size_t i) { return codegen::deviation(from, got, i); }});
  }
  return result;
}

ir::Kernel kernel_of(std::span<const Computation> computations) {
  ir::Kernel kernel;
  kernel.name = "compute";
  kernel.form = ir::Form::thread;
  kernel.warps = 4;
  kernel.warp = ir::make_var("warp");
  kernel.lane = ir::make_var("lane");
  kernel.block = {ir::make_var("block")};
  const ir::VarRef i = ir::make_var("i");
  std::vector<ir::Stmt> body{
      ir::make_stmt(ir::Let{i, ir::Expr(kernel.block[0]) * 128 + ir::Expr(kernel.warp) * 32 + kernel.lane})};
  std::int64_t largest = 0;
  for (const Computation& computation : computations) {
    const auto size = static_cast<std::int64_t>(computation.operands[0].size());
    largest = std::max(largest, size);
    std::vector<ir::Expr> reads;
    for (const Elements& operand : computation.operands) {
      kernel.params.push_back(global("x", operand.dtype, size));
      reads.push_back(ir::read(kernel.params.back(), {ir::Expr(i)}));
    }
    kernel.params.push_back(global("y", computation.result, size));
    const ir::Stmt store = ir::make_stmt(
        ir::Store{.buffer = kernel.params.back(), .index = {ir::Expr(i)}, .value = computation.value(reads)});
    body.push_back(ir::make_stmt(ir::If{ir::less(i, ir::Expr(size)), store}));
  }
  kernel.grid = {ir::Expr((largest + 127) / 128)};
  kernel.body = ir::block(std::move(body));
  return kernel;
}

}  // namespace quern::codegen::test
