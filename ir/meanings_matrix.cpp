#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <mutex>
#include <tuple>
#include <vector>

#include "base/error.h"
#include "base/numeric.h"
#include "ir/fragment_layouts.h"
#include "ir/meanings.h"
#include "ir/wgmma_descriptor.h"

namespace quern::ir::meanings {
namespace {

constexpr int kWarp = 32;
constexpr int kRow = 16;  // bytes of a row of an 8x8 matrix of 16-bit elements

DType dtype(const Execution& x, std::size_t operand) { return static_cast<DType>(x.number(operand, 0)); }
int integer(const Execution& x, std::size_t operand) { return static_cast<int>(x.number(operand, 0)); }

// --- 8x8 matrices ---------------------------------------------------------------------------------------------------

// One half of the register that a lane holds of a matrix: its row there, and bytes within the row and the register.
struct Half {
  int row;
  std::ptrdiff_t in_row, in_word;
};
Half half_of(int lane, int half, bool transposed) {
  const int row = lane / 4, column = lane % 4 * 2 + half;
  return {transposed ? column : row, std::ptrdiff_t{2} * (transposed ? row : column), std::ptrdiff_t{2} * half};
}

// --- Products -------------------------------------------------------------------------------------------------------

// A matrix of operands or accumulators, as what they are multiplied in: exact for all dtypes but i32 and f64.
struct Matrix {
  int rows = 0, columns = 0;
  std::vector<float> floats;
  std::vector<std::int32_t> integers;

  Matrix(int r, int c, bool is_float) : rows(r), columns(c) {
    const auto size = static_cast<std::size_t>(r) * static_cast<std::size_t>(c);
    if (is_float) floats.resize(size);
    if (!is_float) integers.resize(size);
  }
  std::size_t at(int row, int column) const {
    return static_cast<std::size_t>(row) * static_cast<std::size_t>(columns) + static_cast<std::size_t>(column);
  }
};

void set(Matrix& matrix, std::size_t at, DType dtype, const std::byte* from, bool is_operand) {
  if (!is_float(dtype)) {
    matrix.integers[at] = static_cast<std::int32_t>(load_integer(dtype, from, 0));
    return;
  }
  float value = 0;
  if (dtype == DType::f32) {
    std::memcpy(&value, from, sizeof value);
    if (is_operand) value = truncate_to_tf32(value);
  } else {
    value = static_cast<float>(load_element(dtype, from, 0));
  }
  matrix.floats[at] = value;
}

void get(const Matrix& matrix, std::size_t at, DType dtype, std::byte* to) {
  if (!is_float(dtype)) {
    store_integer(dtype, to, 0, matrix.integers[at]);
  } else if (dtype == DType::f32) {
    std::memcpy(to, &matrix.floats[at], sizeof(float));
  } else {
    store_element(dtype, to, 0, matrix.floats[at]);
  }
}

// acc[i, j] += a[i, k] * b[j, k], in f32 or wrapping i32.
void multiply(const Matrix& a, const Matrix& b, Matrix& acc) {
  const int depth = a.columns;
  if (acc.floats.empty()) {
    for (int i = 0; i < acc.rows; ++i) {
      for (int j = 0; j < acc.columns; ++j) {
        auto sum = static_cast<std::uint32_t>(acc.integers[acc.at(i, j)]);
        for (int k = 0; k < depth; ++k) {
          sum +=
              static_cast<std::uint32_t>(a.integers[a.at(i, k)]) * static_cast<std::uint32_t>(b.integers[b.at(j, k)]);
        }
        acc.integers[acc.at(i, j)] = static_cast<std::int32_t>(sum);
      }
    }
    return;
  }
  // Along j, so that the loop runs over whole vectors.
  Matrix transposed(depth, b.rows, true);
  std::vector<float>& columns = transposed.floats;
  for (int j = 0; j < b.rows; ++j) {
    for (int k = 0; k < depth; ++k) columns[transposed.at(k, j)] = b.floats[b.at(j, k)];
  }
  for (int i = 0; i < acc.rows; ++i) {
    float* sums = &acc.floats[acc.at(i, 0)];
    for (int k = 0; k < depth; ++k) {
      const float left = a.floats[a.at(i, k)];
      const float* right = &columns[transposed.at(k, 0)];
      for (int j = 0; j < acc.columns; ++j) sums[j] += left * right[j];
    }
  }
}

// Who holds what of a fragment: of each lane of the group the matrix places of its registers, in order.
using Holders = std::vector<std::vector<std::size_t>>;

const Holders& holders_of(const Layout& layout, int lanes) {
  static std::mutex mutex;
  static std::map<std::string, Holders> known;
  const std::lock_guard lock(mutex);
  Holders& holders = known[to_string(layout)];
  if (!holders.empty()) return holders;
  const std::vector<std::int64_t> extent = extents(layout);
  const auto registers = static_cast<std::size_t>(span_of(layout, Place::reg));
  holders.assign(static_cast<std::size_t>(lanes), std::vector<std::size_t>(registers));
  for (std::int64_t i = 0; i < extent[0]; ++i) {
    for (std::int64_t j = 0; j < extent[1]; ++j) {
      const std::array<std::int64_t, 2> at{i, j};
      const std::int64_t lane = apply(layout, Place::warp, at) * kWarp + apply(layout, Place::lane, at);
      holders[static_cast<std::size_t>(lane)][static_cast<std::size_t>(apply(layout, Place::reg, at))] =
          static_cast<std::size_t>(i * extent[1] + j);
    }
  }
  return holders;
}

// `first`: bytes from the operand's place to the fragment.
void load_fragment(Execution& x, std::size_t operand, std::int64_t first, const Layout& layout, DType dtype,
                   bool is_operand, Matrix& matrix) {
  const Holders& holders = holders_of(layout, x.lanes());
  const auto size = static_cast<std::size_t>(byte_size(dtype));
  std::vector<std::byte> registers(holders[0].size() * size);
  for (int lane = 0; lane < x.lanes(); ++lane) {
    x.load(lane, x.place(operand, lane) + first, registers);
    const std::vector<std::size_t>& held = holders[static_cast<std::size_t>(lane)];
    for (std::size_t r = 0; r < held.size(); ++r) set(matrix, held[r], dtype, &registers[r * size], is_operand);
  }
}

void store_fragment(Execution& x, std::size_t operand, const Layout& layout, DType dtype, const Matrix& matrix) {
  const Holders& holders = holders_of(layout, x.lanes());
  const auto size = static_cast<std::size_t>(byte_size(dtype));
  std::vector<std::byte> registers(holders[0].size() * size);
  for (int lane = 0; lane < x.lanes(); ++lane) {
    const std::vector<std::size_t>& held = holders[static_cast<std::size_t>(lane)];
    for (std::size_t r = 0; r < held.size(); ++r) get(matrix, held[r], dtype, &registers[r * size]);
    x.store(lane, x.place(operand, lane), registers);
  }
}

// An operand in shared memory, as its descriptor says: rows x k. The lanes share the work, warp by warp, so that each
// byte is read once.
void load_described(Execution& x, std::uint64_t bits, bool transposed, DType dtype, Matrix& matrix) {
  const WgmmaOperand operand(bits, transposed, byte_size(dtype));
  const int size = byte_size(dtype), chunk = kRow / size;
  std::array<std::byte, kRow> bytes;
  // The 16 bytes that swizzles keep together lie along k, or along the rows.
  for (int row = 0; row < matrix.rows; row += transposed ? chunk : 1) {
    for (int k = 0; k < matrix.columns; k += transposed ? 1 : chunk) {
      x.load(0, {Space::shared, x.rank(), operand.address(row, k)}, bytes);
      for (int e = 0; e < chunk; ++e) {
        const std::size_t at = transposed ? matrix.at(row + e, k) : matrix.at(row, k + e);
        set(matrix, at, dtype, &bytes[static_cast<std::size_t>(e * size)], true);
      }
    }
  }
}

bool same_for_all(Execution& x, std::size_t operand) {
  for (int lane = 1; lane < x.lanes(); ++lane) {
    if (x.number(operand, lane) != x.number(operand, 0)) {
      x.refuse(lane, "all threads of the warpgroup pass the same descriptors and the same accumulate");
      return false;
    }
  }
  return true;
}

// Operands: acc, a, b, accumulate, n, slices, steps of a and b, dtypes of a, b, acc, then transpositions.
bool wgmma_product(Execution& x, bool a_in_registers) {
  const DType a_type = dtype(x, 8), b_type = dtype(x, 9), acc_type = dtype(x, 10);
  const int n = integer(x, 4), k = 32 / byte_size(a_type);
  if (!same_for_all(x, 2) || !same_for_all(x, 3) || (!a_in_registers && !same_for_all(x, 1))) return true;
  Matrix a(64, k, is_float(a_type)), b(n, k, is_float(a_type)), acc(64, n, is_float(a_type));
  const Layout layout = wgmma_accumulator(n);
  if (x.number(3, 0) != 0) load_fragment(x, 0, 0, layout, acc_type, false, acc);
  const bool b_transposed = x.number(a_in_registers ? 11 : 12, 0) != 0;
  for (std::int64_t slice = 0; slice < x.number(5, 0); ++slice) {
    const std::int64_t a_moved = slice * x.number(6, 0), b_moved = slice * x.number(7, 0);
    if (a_in_registers) {
      load_fragment(x, 1, a_moved * byte_size(a_type), wgmma_a(byte_size(a_type)), a_type, true, a);
    } else {
      load_described(x, static_cast<std::uint64_t>(x.number(1, 0) + a_moved), x.number(11, 0) != 0, a_type, a);
    }
    load_described(x, static_cast<std::uint64_t>(x.number(2, 0) + b_moved), b_transposed, b_type, b);
    multiply(a, b, acc);
    x.multiplied(std::int64_t{64} * n * k);
  }
  store_fragment(x, 0, layout, acc_type, acc);
  return true;
}

}  // namespace

bool ldmatrix(Execution& x) {
  const int count = integer(x, 2);
  const bool transposed = x.number(3, 0) != 0;
  std::array<std::array<std::array<std::byte, kRow>, 8>, 4> matrices;
  for (int lane = 0; lane < 8 * count; ++lane) {
    const Location row = x.place(1, lane);
    if (row.offset % kRow != 0) x.refuse(lane, "each row is aligned to 16 bytes");
    x.load(lane, row, matrices[static_cast<std::size_t>(lane / 8)][static_cast<std::size_t>(lane % 8)]);
  }
  for (int lane = 0; lane < kWarp; ++lane) {
    for (int m = 0; m < count; ++m) {
      std::array<std::byte, 4> word;
      for (int half = 0; half < 2; ++half) {
        const Half h = half_of(lane, half, transposed);
        const auto& row = matrices[static_cast<std::size_t>(m)][static_cast<std::size_t>(h.row)];
        std::memcpy(word.data() + h.in_word, row.data() + h.in_row, 2);
      }
      x.store(lane, x.place(0, lane) + std::int64_t{4} * m, word);
    }
  }
  return true;
}

bool stmatrix(Execution& x) {
  const int count = integer(x, 2);
  const bool transposed = x.number(3, 0) != 0;
  std::array<std::array<std::array<std::byte, kRow>, 8>, 4> matrices;
  for (int lane = 0; lane < kWarp; ++lane) {
    for (int m = 0; m < count; ++m) {
      std::array<std::byte, 4> word;
      x.load(lane, x.place(1, lane) + std::int64_t{4} * m, word);
      for (int half = 0; half < 2; ++half) {
        const Half h = half_of(lane, half, transposed);
        auto& row = matrices[static_cast<std::size_t>(m)][static_cast<std::size_t>(h.row)];
        std::memcpy(row.data() + h.in_row, word.data() + h.in_word, 2);
      }
    }
  }
  for (int lane = 0; lane < 8 * count; ++lane) {
    const Location row = x.place(0, lane);
    if (row.offset % kRow != 0) x.refuse(lane, "each row is aligned to 16 bytes");
    x.store(lane, row, matrices[static_cast<std::size_t>(lane / 8)][static_cast<std::size_t>(lane % 8)]);
  }
  return true;
}

// Operands: acc, a, b, m, n, k, dtypes of a, b, acc.
bool mma_sync(Execution& x) {
  const int m = integer(x, 3), n = integer(x, 4), k = integer(x, 5);
  const DType a_type = dtype(x, 6), b_type = dtype(x, 7), acc_type = dtype(x, 8);
  const int bytes = byte_size(a_type);
  ensure(m == 16 && n == 8 && k == 32 / bytes, "mma.sync multiplies 16 x 8 x 32 bytes");
  Matrix a(m, k, is_float(a_type)), b(n, k, is_float(a_type)), acc(m, n, is_float(a_type));
  load_fragment(x, 1, 0, mma_sync_a(bytes), a_type, true, a);
  load_fragment(x, 2, 0, mma_sync_b(bytes), b_type, true, b);
  load_fragment(x, 0, 0, mma_sync_c(), acc_type, false, acc);
  multiply(a, b, acc);
  x.multiplied(std::int64_t{m} * n * k);
  store_fragment(x, 0, mma_sync_c(), acc_type, acc);
  return true;
}

bool wgmma_descriptor(Execution& x) {
  each(x, [&](int lane) {
    const std::uint64_t bits = WgmmaOperand::bits(x.place(1, lane).offset, x.number(2, lane), x.number(3, lane),
                                                  static_cast<int>(x.number(4, lane)));
    x.store(lane, x.place(0, lane), std::as_bytes(std::span(&bits, 1)));
  });
  return true;
}

bool wgmma(Execution& x) { return wgmma_product(x, false); }
bool wgmma_registers(Execution& x) { return wgmma_product(x, true); }

}  // namespace quern::ir::meanings
