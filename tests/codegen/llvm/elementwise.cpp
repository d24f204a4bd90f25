#include "tests/codegen/llvm/elementwise.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "ir/scalar.h"
#include "tests/codegen/llvm/cpu_runner.h"

namespace quern::codegen {

void Elements::push(ir::Scalar value) {
  const std::size_t end = bytes.size();
  bytes.resize(end + static_cast<std::size_t>(byte_size(dtype)));
  ir::store(dtype, bytes.data() + end, value);
}

ir::Scalar Elements::at(std::size_t i) const {
  return ir::load(dtype, bytes.data() + i * static_cast<std::size_t>(byte_size(dtype)));
}

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

Elements samples(DType dtype, std::size_t count, std::uint64_t seed) {
  Elements result(dtype);
  const auto size = static_cast<std::size_t>(byte_size(dtype));
  const auto push_bits = [&](std::uint64_t bits) {
    const std::size_t end = result.bytes.size();
    result.bytes.resize(end + size);
    std::memcpy(result.bytes.data() + end, &bits, size);
  };
  if (size <= 2) {
    const std::uint64_t all = is_bool(dtype) ? 2 : std::uint64_t{1} << (8 * size);
    for (std::uint64_t bits = 0; bits < all; ++bits) push_bits(bits);
    return result;
  }
  const double inf = std::numeric_limits<double>::infinity();
  if (is_float(dtype)) {
    for (const double value :
         {0.0,     -0.0,      1.0,       -1.0,      0.5,     2.0,       inf,      -inf,     std::nan(""),
          127.0,   128.0,     255.5,     32767.5,   65504.0, 65519.9,   65520.0,  448.0,    464.0,
          465.0,   57344.0,   61440.0,   0x1p31,    0x1p32,  0x1p63,    0x1p64,   -0x1p31,  -0x1p63,
          1e-45,   -1e-45,    0x1p-126,  0x1p-24,   0x1p-25, 0x1.8p-25, 0x1p-133, 0x1p-134, 0x1p-9,
          0x1p-10, 0x1.8p-10, 3.3895e38, 3.3961e38, 3.4e38,  -3.4e38,   1e300,    1e-310}) {
      result.push(ir::fit(dtype, {.real = value}));
    }
  } else {
    for (const std::int64_t value :
         {0l, 1l, -1l, 2l, -2l, 127l, 128l, 255l, 32768l, 65519l, 65520l, 0x7fffffffl, -0x80000000l, (1l << 24) + 1,
          (1l << 53) + 1, (1l << 62) + (1l << 53) + 1, std::numeric_limits<std::int64_t>::max(),
          std::numeric_limits<std::int64_t>::min()}) {
      result.push(ir::fit(dtype, {.integer = value}));
    }
  }
  std::mt19937_64 random(seed);
  for (std::size_t i = 0; i < count; ++i) {
    // Bit patterns of all sizes, and floats and integers of a few digits, which meet ties.
    const std::uint64_t bits = random();
    const auto shift = static_cast<int>(random() % (8 * size));
    if (i % 2 == 0) {
      push_bits(is_float(dtype) ? bits
                                : static_cast<std::uint64_t>(static_cast<std::int64_t>(bits << (64 - 8 * size)) >>
                                                             (64 - 8 * size + static_cast<std::size_t>(shift))));
    } else if (is_float(dtype)) {
      const double digits = static_cast<double>(bits % 4096) - 2048;
      result.push(ir::fit(dtype, {.real = std::ldexp(digits, static_cast<int>(random() % 60) - 40)}));
    } else {
      push_bits((bits % 4096) << (shift / 2));
    }
  }
  return result;
}

Elements every(std::size_t step, const Elements& elements) {
  Elements result(elements.dtype);
  const auto size = static_cast<std::size_t>(byte_size(elements.dtype));
  for (std::size_t i = 0; i < elements.size(); i += step) {
    const auto first = elements.bytes.begin() + static_cast<std::ptrdiff_t>(i * size);
    result.bytes.insert(result.bytes.end(), first, first + static_cast<std::ptrdiff_t>(size));
  }
  return result;
}

}  // namespace quern::codegen
