// Statements, masks and memory accesses of CPU code, on hand-built kernels.

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/error.h"
#include "codegen/llvm/llvm.h"
#include "tests/codegen/llvm/cpu_runner.h"

namespace quern::codegen {
namespace {

using ir::Expr;
using ir::make_stmt;
using ir::Op;
using ir::Stmt;

Expr at(const ir::BufferRef& buffer, const Expr& index) { return ir::read(buffer, {index}); }
Stmt put(const ir::BufferRef& buffer, const Expr& index, const Expr& value) {
  return make_stmt(ir::Store{.buffer = buffer, .index = {index}, .value = value});
}
Stmt loop(const ir::VarRef& var, const Expr& lo, const Expr& hi, Stmt body, ir::ForKind kind = ir::ForKind::serial) {
  return make_stmt(ir::For{.var = var, .lo = lo, .hi = hi, .step = Expr(1), .kind = kind, .body = std::move(body)});
}
Expr number(double value) { return ir::constant(DType::f32, value); }

std::vector<float> counting(std::size_t count, float first = 1) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), first);
  return values;
}

struct Case {
  Target target;
  int lanes;
  friend std::ostream& operator<<(std::ostream& out, const Case& c) {
    return out << to_text(c.target) << " with " << c.lanes << " lanes";
  }
};

// Every kernel runs on every feature level, with as many lanes as its vectors have, with more, and with one.
class LlvmStatements : public testing::TestWithParam<Case> {
 protected:
  const Target& target() const { return GetParam().target; }
  int lanes() const { return GetParam().lanes; }
  ir::Kernel kernel(std::vector<Expr> grid = {Expr(1)}) const {
    return thread_kernel("test", lanes(), std::move(grid));
  }
  void run(const ir::Kernel& kernel, std::vector<void*> buffers, std::vector<std::int64_t> scalars = {},
           std::array<std::int64_t, 3> grid = {1, 1, 1}) const {
    CpuRunner(kernel, target()).run(std::move(buffers), std::move(scalars), grid);
  }
};

std::vector<Case> cases() {
  std::vector<Case> list;
  for (const Target& target : runnable_targets()) {
    for (const int lanes : {1, native_lanes(target), 2 * native_lanes(target)}) list.push_back({target, lanes});
  }
  return list;
}

INSTANTIATE_TEST_SUITE_P(Targets, LlvmStatements, testing::ValuesIn(cases()), [](const auto& instance) {
  return test_name(instance.param.target) + "_lanes" + std::to_string(instance.param.lanes);
});

TEST_P(LlvmStatements, AddsVectorsWithATailThatMustNotBeTouched) {
  const ir::VarRef n = ir::make_var("n");
  ir::Kernel k = kernel({ir::ceil_div(Expr(n), Expr(lanes()))});
  const auto a = global_buffer("a", DType::f32), b = global_buffer("b", DType::f32), c = global_buffer("c", DType::f32);
  k.params = {a, b, c};
  k.symbols = {n};
  const Expr i = Expr(k.block[0]) * Expr(lanes()) + Expr(k.lane);
  k.body = make_stmt(ir::If{.condition = ir::less(i, Expr(n)), .then = put(c, i, at(a, i) + at(b, i))});
  const CpuRunner runner(k, target());
  for (const std::size_t size : {1, 5, 16, 33, 64}) {
    const GuardedMemory x(4 * size), y(4 * size), z(4 * size);
    for (std::size_t e = 0; e < size; ++e) x.as<float>()[e] = static_cast<float>(e), y.as<float>()[e] = 100;
    const auto count = static_cast<std::int64_t>(size);
    runner.run({x.data(), y.data(), z.data()}, {count}, {(count + lanes() - 1) / lanes(), 1, 1});
    for (std::size_t e = 0; e < size; ++e) EXPECT_EQ(z.as<float>()[e], static_cast<float>(e) + 100) << e;
  }
}

TEST_P(LlvmStatements, SumsARowByShuffles) {
  ir::Kernel k = kernel();
  const auto x = global_buffer("x", DType::f32), y = global_buffer("y", DType::f32);
  k.params = {x, y};
  const auto sum = fragment("sum", DType::f32, 1);
  const ir::VarRef i = ir::make_var("i");
  std::vector<Stmt> body = {make_stmt(ir::Alloc{sum}), put(sum, 0, number(0)),
                            loop(i, 0, 4, put(sum, 0, at(sum, 0) + at(x, Expr(i) * Expr(lanes()) + Expr(k.lane))))};
  const auto other = fragment("other", DType::f32, 1);
  body.push_back(make_stmt(ir::Alloc{other}));
  for (int distance = lanes() / 2; distance > 0; distance /= 2) {
    body.push_back(make_stmt(ir::Intrinsic{ir::IntrinsicId::shuffle_xor, {at(other, 0), at(sum, 0), Expr(distance)}}));
    body.push_back(put(sum, 0, at(sum, 0) + at(other, 0)));
  }
  body.push_back(put(y, k.lane, at(sum, 0)));
  k.body = ir::block(body);
  const auto count = static_cast<std::size_t>(lanes());
  std::vector<float> in = counting(4 * count), out(count);
  run(k, {in.data(), out.data()});
  for (const float value : out) EXPECT_EQ(value, std::accumulate(in.begin(), in.end(), 0.0f));
}

TEST_P(LlvmStatements, ShufflesByAnIndexThatLanesCompute) {
  ir::Kernel k = kernel();
  const auto x = global_buffer("x", DType::f32), y = global_buffer("y", DType::f32), p = global_buffer("p", DType::i64);
  k.params = {x, y, p};
  const auto moved = fragment("moved", DType::f32, 3);
  const Expr value = at(x, k.lane);
  const auto shuffle = [&](const Expr& to, const Expr& from) {
    return make_stmt(ir::Intrinsic{ir::IntrinsicId::shuffle_index, {at(moved, to), value, from}});
  };
  k.body = ir::block({make_stmt(ir::Alloc{moved}), shuffle(0, at(p, k.lane)), shuffle(1, Expr(0)), shuffle(2, at(p, 0)),
                      put(y, k.lane, at(moved, 0)), put(y, Expr(k.lane) + Expr(lanes()), at(moved, 1)),
                      put(y, Expr(k.lane) + Expr(2 * lanes()), at(moved, 2))});
  const auto count = static_cast<std::size_t>(lanes());
  std::vector<float> in = counting(count), out(3 * count);
  std::vector<std::int64_t> from(count);
  for (std::size_t l = 0; l < count; ++l) from[l] = static_cast<std::int64_t>((5 * l + 3) % count);
  run(k, {in.data(), out.data(), from.data()});
  for (std::size_t l = 0; l < count; ++l) {
    EXPECT_EQ(out[l], in[static_cast<std::size_t>(from[l])]);
    EXPECT_EQ(out[count + l], in[0]);
    EXPECT_EQ(out[2 * count + l], in[static_cast<std::size_t>(from[0])]);
  }
}

// A tile of registers: C[6, 2 * lanes] += A[6, k] * B[k, 2 * lanes].
TEST_P(LlvmStatements, MultipliesATileInRegisters) {
  ir::Kernel k = kernel();
  const auto a = global_buffer("a", DType::f32), b = global_buffer("b", DType::f32), c = global_buffer("c", DType::f32);
  k.params = {a, b, c};
  const auto acc = fragment("acc", DType::f32, 12);
  const int wide = 2 * lanes();
  const auto tile = [&](const std::function<Stmt(const Expr&, const Expr&)>& body) {
    const ir::VarRef i = ir::make_var("i"), j = ir::make_var("j");
    return loop(i, 0, 6, loop(j, 0, 2, body(i, j), ir::ForKind::unroll), ir::ForKind::unroll);
  };
  const auto element = [](const Expr& i, const Expr& j) { return i * Expr(2) + j; };
  const auto column = [&](const Expr& j) { return j * Expr(lanes()) + Expr(k.lane); };
  const ir::VarRef p = ir::make_var("p");
  k.body = ir::block(
      {make_stmt(ir::Alloc{acc}),
       tile([&](const Expr& i, const Expr& j) { return put(acc, element(i, j), number(0)); }),
       loop(p, 0, 40, tile([&](const Expr& i, const Expr& j) {
              const Expr product = at(a, i * Expr(40) + Expr(p)) * at(b, Expr(p) * Expr(wide) + column(j));
              return put(acc, element(i, j), at(acc, element(i, j)) + product);
            })),
       tile([&](const Expr& i, const Expr& j) { return put(c, i * Expr(wide) + column(j), at(acc, element(i, j))); })});
  std::vector<float> x(6 * 40), y(static_cast<std::size_t>(40 * wide)), z(static_cast<std::size_t>(6 * wide), -1);
  for (std::size_t e = 0; e < x.size(); ++e) x[e] = static_cast<float>(e % 7) - 3;
  for (std::size_t e = 0; e < y.size(); ++e) y[e] = static_cast<float>(e % 11) - 5;
  run(k, {x.data(), y.data(), z.data()});
  for (int i = 0; i < 6; ++i) {
    for (int j = 0; j < wide; ++j) {
      float expected = 0;
      for (int q = 0; q < 40; ++q) {
        expected += x[static_cast<std::size_t>(i * 40 + q)] * y[static_cast<std::size_t>(q * wide + j)];
      }
      EXPECT_EQ(z[static_cast<std::size_t>(i * wide + j)], expected) << i << ", " << j;
    }
  }
}

TEST_P(LlvmStatements, NestsMasksAndUniformBranches) {
  const ir::VarRef n = ir::make_var("n", DType::i32);
  ir::Kernel k = kernel();
  const auto y = global_buffer("y", DType::i32);
  k.params = {y};
  k.symbols = {n};
  const auto value = [](int v) { return ir::constant(DType::i32, std::int64_t{v}); };
  const Expr lane = k.lane;
  const Stmt inner = make_stmt(ir::If{.condition = ir::equals(ir::mod(lane, 2), 0),
                                      .then = put(y, lane, value(1)),
                                      .otherwise = put(y, lane, value(2))});
  const Stmt uniform =
      make_stmt(ir::If{.condition = ir::less(value(3), Expr(n)), .then = inner, .otherwise = put(y, lane, value(3))});
  k.body = make_stmt(ir::If{.condition = ir::less(lane, 3), .then = uniform, .otherwise = put(y, lane, value(4))});
  for (const int symbol : {3, 4}) {
    std::vector<std::int32_t> out(static_cast<std::size_t>(lanes()), 0);
    run(k, {out.data()}, {symbol});
    for (int l = 0; l < lanes(); ++l) {
      const int expected = l >= 3 ? 4 : symbol <= 3 ? 3 : l % 2 == 0 ? 1 : 2;
      EXPECT_EQ(out[static_cast<std::size_t>(l)], expected) << l;
    }
  }
}

TEST_P(LlvmStatements, KeepsTheOtherLanesOfAFragment) {
  ir::Kernel k = kernel();
  const auto y = global_buffer("y", DType::f32);
  k.params = {y};
  const auto f = fragment("f", DType::f32, 4);
  const ir::VarRef i = ir::make_var("i");
  // The first index is the same for all lanes and known, the second known when it runs, the third each lane's own.
  k.body = ir::block({make_stmt(ir::Alloc{f}), loop(i, 0, 4, put(f, i, number(5)), ir::ForKind::unroll),
                      make_stmt(ir::If{.condition = ir::equals(ir::mod(k.lane, 2), 1),
                                       .then = ir::block({put(f, 0, number(6)), loop(i, 1, 3, put(f, i, number(7))),
                                                          put(f, ir::mod(k.lane, 4), number(8))})}),
                      loop(i, 0, 4, put(y, Expr(i) * Expr(lanes()) + Expr(k.lane), at(f, i)), ir::ForKind::unroll),
                      put(y, Expr(4 * lanes()) + Expr(k.lane), at(f, ir::mod(k.lane, 4)))});
  std::vector<float> out(static_cast<std::size_t>(5 * lanes()));
  run(k, {out.data()});
  for (int l = 0; l < lanes(); ++l) {
    float expected[4] = {5, 5, 5, 5};
    if (l % 2 == 1) expected[0] = 6, expected[1] = expected[2] = 7, expected[l % 4] = 8;
    for (int r = 0; r < 4; ++r)
      EXPECT_EQ(out[static_cast<std::size_t>(r * lanes() + l)], expected[r]) << l << ", " << r;
    EXPECT_EQ(out[static_cast<std::size_t>(4 * lanes() + l)], expected[l % 4]);
  }
}

TEST_P(LlvmStatements, LoopsOverRangesThatDifferByLane) {
  ir::Kernel k = kernel();
  const auto y = global_buffer("y", DType::i64);
  k.params = {y};
  const auto sum = fragment("sum", DType::i64, 1);
  const ir::VarRef i = ir::make_var("i");
  k.body = ir::block({make_stmt(ir::Alloc{sum}), put(sum, 0, Expr(0)),
                      loop(i, k.lane, Expr(k.lane) * Expr(k.lane), put(sum, 0, at(sum, 0) + Expr(i))),
                      put(y, k.lane, at(sum, 0))});
  std::vector<std::int64_t> out(static_cast<std::size_t>(lanes()));
  run(k, {out.data()});
  for (std::int64_t l = 0; l < lanes(); ++l) {
    std::int64_t expected = 0;
    for (std::int64_t e = l; e < l * l; ++e) expected += e;
    EXPECT_EQ(out[static_cast<std::size_t>(l)], expected);
  }
}

// Padding: reads whose index leaves the tensor sit on pages that fault.
TEST_P(LlvmStatements, DoesNotReadWhatASelectLeavesOut) {
  ir::Kernel k = kernel({Expr(3)});
  const auto x = global_buffer("x", DType::bf16), y = global_buffer("y", DType::f32),
             t = global_buffer("t", DType::i64);
  k.params = {x, y, t};
  const int n = lanes() + lanes() / 2;
  const Expr far = Expr(1) * Expr(1 << 20);
  const auto padded = [&](const Expr& condition, const Expr& index) {
    return ir::select(condition, ir::cast(DType::f32, at(x, index)), number(-1));
  };
  const Expr base = (Expr(k.block[0]) - Expr(1)) * Expr(lanes());
  const Expr i = base + Expr(k.lane);
  const Expr inside = ir::both(ir::less_equal(0, i), ir::less(i, n));
  const Expr block_inside = ir::equals(Expr(k.block[0]), 1);
  const auto out = [&](int row) { return (Expr(k.block[0]) * Expr(5) + Expr(row)) * Expr(lanes()) + Expr(k.lane); };
  k.body = ir::block({
      put(y, out(0), padded(inside, i)),                                                 // a vector under a mask
      put(y, out(1), padded(block_inside, i)),                                           // a vector, or none
      put(y, out(2), padded(inside, ir::select(inside, ir::div(i, 2), far))),            // a gather
      put(y, out(3), padded(block_inside, base)),                                        // a scalar
      put(y, out(4), padded(ir::both(inside, ir::less(at(t, i), 7)), at(t, i) + base)),  // an index from memory
  });
  const auto count = static_cast<std::size_t>(n);
  const GuardedMemory in(2 * count), table(8 * count);
  for (std::size_t e = 0; e < count; ++e) {
    in.as<std::uint16_t>()[e] = static_cast<std::uint16_t>(0x3f80 + e);
    table.as<std::int64_t>()[e] = e % 3 == 0 ? 1000000 : 0;
  }
  std::vector<float> result(static_cast<std::size_t>(15 * lanes()));
  run(k, {in.data(), result.data(), table.data()}, {}, {3, 1, 1});
  const auto value = [&](std::int64_t e) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(in.as<std::uint16_t>()[e]) << 16);
  };
  for (int b = 0; b < 3; ++b) {
    for (int l = 0; l < lanes(); ++l) {
      const int e = (b - 1) * lanes() + l, first = (b - 1) * lanes();
      const bool in_range = e >= 0 && e < n;
      const auto got = [&](int row) { return result[static_cast<std::size_t>((b * 5 + row) * lanes() + l)]; };
      EXPECT_EQ(got(0), in_range ? value(e) : -1) << e;
      EXPECT_EQ(got(1), b == 1 ? value(e) : -1) << e;
      EXPECT_EQ(got(2), in_range ? value(e / 2) : -1) << e;
      EXPECT_EQ(got(3), b == 1 ? value(first) : -1) << e;
      EXPECT_EQ(got(4), in_range && e % 3 != 0 ? value(first) : -1) << e;
    }
  }
}

TEST_P(LlvmStatements, GathersScattersAndWritesSingleElements) {
  ir::Kernel k = kernel();
  const auto x = global_buffer("x", DType::i16), y = global_buffer("y", DType::i16);
  k.params = {x, y};
  const Expr lane = k.lane;
  k.body = ir::block({put(y, Expr(3) * lane, at(x, Expr(2 * lanes()) - Expr(2) * lane - Expr(1))),
                      make_stmt(ir::If{.condition = ir::equals(lane, lanes() - 1), .then = put(y, 1, at(x, lane))})});
  const auto count = static_cast<std::size_t>(lanes());
  std::vector<std::int16_t> in(2 * count), out(3 * count, -7);
  std::iota(in.begin(), in.end(), std::int16_t{10});
  run(k, {in.data(), out.data()});
  for (std::size_t l = 0; l < count; ++l) EXPECT_EQ(out[3 * l], in[2 * count - 2 * l - 1]);
  EXPECT_EQ(out[1], in[count - 1]);
  if (count > 1) {
    EXPECT_EQ(out[4], -7);
  }
}

TEST_P(LlvmStatements, MovesWideElementsThroughSharedMemory) {
  ir::Kernel k = kernel();
  const auto x = global_buffer("x", DType::f16), y = global_buffer("y", DType::f16);
  k.params = {x, y};
  const auto scratch = shared_buffer("scratch", DType::f16, 8 * lanes());
  k.shared = {shared_buffer("other", DType::f32, 3), scratch};
  const auto f = fragment("f", DType::f16, 8), g = fragment("g", DType::f16, 4);
  const Expr lane = k.lane;
  k.body = ir::block(
      {make_stmt(ir::Alloc{f}), make_stmt(ir::Alloc{g}),
       make_stmt(ir::Move{.to = f, .to_index = 0, .from = x, .from_index = lane * Expr(8), .width = 8}),
       make_stmt(ir::Move{.to = scratch, .to_index = lane * Expr(8), .from = f, .from_index = 0, .width = 8}),
       make_stmt(ir::Intrinsic{ir::IntrinsicId::barrier, {}}),
       make_stmt(ir::Move{.to = g, .to_index = 0, .from = scratch, .from_index = lane * Expr(4), .width = 4}),
       make_stmt(ir::Move{
           .to = y, .to_index = (Expr(lanes() - 1) - lane) * Expr(4), .from = g, .from_index = 0, .width = 4})});
  const auto count = static_cast<std::size_t>(lanes());
  std::vector<std::uint16_t> in(8 * count), out(4 * count);
  std::iota(in.begin(), in.end(), std::uint16_t{0x3c00});
  run(k, {in.data(), out.data()});
  for (std::size_t l = 0; l < count; ++l) {
    for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(out[(count - 1 - l) * 4 + i], in[4 * l + i]);
  }
}

TEST_P(LlvmStatements, CombinesAtomically) {
  ir::Kernel k = kernel({Expr(3)});
  const auto sum = global_buffer("sum", DType::f32), most = global_buffer("most", DType::bf16);
  k.params = {sum, most};
  const Expr i = Expr(k.block[0]) * Expr(lanes()) + Expr(k.lane);
  const auto store = [&](const ir::BufferRef& to, const Expr& index, ir::Reducer reducer) {
    return make_stmt(ir::Store{.buffer = to, .index = {index}, .value = ir::cast(to->dtype, i), .atomic = reducer});
  };
  k.body =
      ir::block({make_stmt(ir::If{.condition = ir::less(i, 2 * lanes() + 1), .then = store(sum, 0, ir::Reducer::sum)}),
                 store(most, ir::mod(i, 3), ir::Reducer::max)});
  float total = 0.5f;
  std::uint16_t largest[3] = {};
  run(k, {&total, largest}, {}, {3, 1, 1});
  EXPECT_EQ(total, 0.5f + static_cast<float>(2 * lanes() * (2 * lanes() + 1) / 2));
  for (int r = 0; r < 3; ++r) {
    int expected = 0;
    for (int e = 0; e < 3 * lanes(); ++e) {
      if (e % 3 == r) expected = e;
    }
    EXPECT_EQ(std::bit_cast<float>(static_cast<std::uint32_t>(largest[r]) << 16), static_cast<float>(expected));
  }
}

TEST_P(LlvmStatements, DividesIndicesOfLanesBySharedNumbers) {
  const ir::VarRef d = ir::make_var("d"), first = ir::make_var("first");
  ir::Kernel k = kernel();
  const auto y = global_buffer("y", DType::i64);
  k.params = {y};
  k.symbols = {d, first};
  const Expr i = Expr(first) + Expr(k.lane);
  k.body = ir::block({put(y, k.lane, ir::div(i, d)), put(y, Expr(lanes()) + Expr(k.lane), ir::mod(i, d)),
                      put(y, Expr(2 * lanes()) + Expr(k.lane), ir::div(i, 3)),
                      put(y, Expr(3 * lanes()) + Expr(k.lane), ir::mod(i, 8))});
  const CpuRunner runner(k, target());
  const auto floor_div = [](std::int64_t a, std::int64_t b) {
    if (b == 0) return std::int64_t{0};
    return a / b - ((a % b != 0 && (a % b < 0) != (b < 0)) ? 1 : 0);
  };
  for (const std::int64_t by : {0l, 1l, 2l, 3l, 5l, 16l, 17l, 1000l, 1l << 40, -1l, -3l}) {
    for (const std::int64_t begin : {0l, 1l, 7l, 15l, 16l, 999l, -1l, -16l, -17l, (1l << 40) - 3, 123456789123l}) {
      std::vector<std::int64_t> out(static_cast<std::size_t>(4 * lanes()));
      runner.run({out.data()}, {by, begin});
      for (std::int64_t l = 0; l < lanes(); ++l) {
        const auto got = [&](int row) { return out[static_cast<std::size_t>(row * lanes() + l)]; };
        const std::int64_t a = begin + l;
        EXPECT_EQ(got(0), floor_div(a, by)) << a << " // " << by;
        EXPECT_EQ(got(1), by == 0 ? 0 : a - floor_div(a, by) * by) << a << " % " << by;
        EXPECT_EQ(got(2), floor_div(a, 3)) << a;
        EXPECT_EQ(got(3), a - floor_div(a, 8) * 8) << a;
      }
    }
  }
}

// An index whose lanes stay within one row of the divisor: a quotient and a remainder that need no work on each lane.
TEST_P(LlvmStatements, SplitsAlignedIndices) {
  ir::Kernel k = kernel({Expr(5)});
  const auto y = global_buffer("y", DType::i64);
  k.params = {y};
  const ir::VarRef i = ir::make_var("i");
  const Expr flat = Expr(k.block[0]) * Expr(6 * lanes()) + Expr(i) + Expr(k.lane);
  k.body =
      make_stmt(ir::For{.var = i,
                        .lo = 0,
                        .hi = 6 * lanes(),
                        .step = lanes(),
                        .body = put(y, flat, ir::div(flat, 2 * lanes()) * Expr(1000) + ir::mod(flat, 2 * lanes()))});
  std::vector<std::int64_t> out(static_cast<std::size_t>(30 * lanes()));
  run(k, {out.data()}, {}, {5, 1, 1});
  for (std::int64_t e = 0; e < 30 * lanes(); ++e) {
    EXPECT_EQ(out[static_cast<std::size_t>(e)], e / (2 * lanes()) * 1000 + e % (2 * lanes()));
  }
  const std::string text = emit_llvm(std::span(&k, 1), target());
  EXPECT_EQ(text.find("scatter"), std::string::npos) << text;
}

TEST_P(LlvmStatements, RunsEveryBlockOfAGridWithItsCoordinates) {
  ir::Kernel k = kernel({Expr(3), Expr(4), Expr(5)});
  const auto y = global_buffer("y", DType::i64);
  k.params = {y};
  const Expr x0 = k.block[0], x1 = k.block[1], x2 = k.block[2];
  k.body = put(y, (x2 * Expr(4) + x1) * Expr(3) + x0, x0 + Expr(10) * x1 + Expr(100) * x2);
  std::vector<std::int64_t> out(60, -1);
  run(k, {out.data()}, {}, {3, 4, 5});
  for (int e = 0; e < 60; ++e) EXPECT_EQ(out[static_cast<std::size_t>(e)], e % 3 + 10 * (e / 3 % 4) + 100 * (e / 12));
}

TEST(LlvmErrors, NameTheKernelAndWhatACpuLacks) {
  ir::Kernel k = thread_kernel("asynchronous", 8);
  k.body = make_stmt(ir::Intrinsic{ir::IntrinsicId::cp_async_commit, {}});
  const Target target = host_cpu_target();
  try {
    emit_llvm(std::span(&k, 1), target);
    FAIL();
  } catch (const InternalError& e) {
    EXPECT_NE(std::string(e.what()).find("kernel 'asynchronous': a CPU has no cp_async_commit"), std::string::npos)
        << e.what();
  }
  k.warps = 2;
  EXPECT_THROW(emit_llvm(std::span(&k, 1), target), InternalError);
}

}  // namespace
}  // namespace quern::codegen
