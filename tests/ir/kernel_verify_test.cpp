#include "ir/kernel_verify.h"

#include <gtest/gtest.h>

#include "ir/kernel_parser.h"
#include "ir/kernel_printer.h"
#include "quern/error.h"
#include "tests/ir/message.h"

namespace quern::ir {
namespace {

using test::contains;

// The text of the InternalError of verifying, empty where the kernel is legal.
std::string fault(const Kernel& kernel) {
  try {
    verify(kernel);
  } catch (const InternalError& error) {
    return error.what();
  }
  return "";
}

struct Rule {
  std::string statements;
  std::string message;
};

void expect_faults(const std::string& head, const std::vector<Rule>& rules) {
  for (const Rule& rule : rules) {
    SCOPED_TRACE(rule.statements);
    EXPECT_TRUE(contains(fault(parse_kernel(head + rule.statements + "\n}\n")), rule.message));
  }
}

const std::string kTile = R"(kernel t
    (x: f32[n], y: f32[n] const, h: f16[n, n], counts: i32[n]; n)
    grid (b in n) warps 8 lanes 32 cluster (2)
    tile {
  shared hs: f16[2, 128, 64] layout [2:addr*8192, 128:addr*64, 64:addr*1] ^ swizzle(3, 3, 3) align 1024
  shared plain: f16[64, 64] align 128
  shared low: f32[64]
  barrier full: u64[2] align 8
  fragment v: f32[64] layout [(32:lane*1, 2:reg*1)]
  fragment t: f32[8, 64] layout [8:warp*1, (32:lane*1, 2:reg*1)]
  fragment one: f32[1]
)";

TEST(KernelVerify, Maps) {
  const std::string over = "over [(32:lane*1, 2:reg*1)] ";
  expect_faults(
      kTile,
      {
          {"map (i in n) " + over + "{ }", "the axis i has a constant extent"},
          {"map (i in 32) " + over + "{ }", "distributed by a layout of its axes' extents"},
          {"map (i in 64) { }", "distributed by a layout of its axes' extents"},
          {"map (i in 64) over [(64:lane*1)] { }", "over 1 warps of 64 lanes does not fit 8 of 32"},
          {"role r warps 2..4 { map (i in 4) over [4:warp*1] { } }", "over 4 warps of 1 lanes does not fit 2 of 32"},
          {"role r warps 2..4 elected { map (i in 4) over [4:lane*1] { } }", "does not fit 1 of 1"},
          {"map (i in 64) over [(32:lane*1, 2:reg*2)] { }", "registers without gaps"},
          {"map (i in 64) over [(32:lane*1, 2:lane*0)] { }", "a place of its own"},
          {"map (i in 64) over [64:addr*1] { }", "a place of its own"},
          {"map (i in 64) " + over + "{ map (j in 64) " + over + "{ } }", "a map's body holds no tiles"},
          {"map (i in 64) " + over + "{ role r warps 0..1 { } }", "a map's body holds no roles"},
          {"map (i in 64) " + over + "on full[0] { }", "no other map does"},
      });
}

TEST(KernelVerify, FragmentsInMaps) {
  const std::string over = "over [(32:lane*1, 2:reg*1)] ";
  expect_faults(
      kTile,
      {
          {"v[0] = 1.0", "the mode 0 of v is indexed by an axis of a map"},
          {"map (i in 64) " + over + "{ v[i + 1] = 1.0 }", "a slice of v starts at a multiple of its extent"},
          {"map (i in 64) " + over + "{ v[2 * i] = 1.0 }", "indexed by axes and slices of them"},
          {"map (i in 64) over [(2:reg*1, 32:lane*1)] { v[i] = 1.0 }", "v is distributed like the map along i"},
          {"map (i in 32) over [32:lane*1] { x[i] = v[i + 1] }", "a slice of v starts at a multiple of its extent"},
          {"map (i in 8) over [8:lane*1] { x[i] = v[i] }", "a slice of v is one of registers"},
          {"map (g in 8, i in 64) over [8:warp*1, (32:lane*1, 2:reg*1)] { v[i] = x[g] }",
           "threads that differ along g do not store to one element of v"},
          {"role r warps 0..4 { map (i in 64) " + over + "{ v[i] = 1.0 } }",
           "v is used by the threads that it is spread over"},
          {"fragment w: f32[16] layout [16:warp*1]", "over 16 warps of 1 lanes does not fit 8 of 32"},
      });
  for (const std::string legal :
       {"map (i in 32) over [32:lane*1] { x[i] = v[i + 32] }", "one[0] = 1.0",
        "for c in 2 { map (i in 32) over [32:lane*1] { x[i] = v[c * 32 + i] } }",
        "role r warps 0..4 elected { one[0] = one[0] + 1.0 }",
        "map (g in 8, i in 64) over [8:warp*1, (32:lane*1, 2:reg*1)] { t[g, i] = v[i] }",
        "map (i in 64, g in 4) over [(32:lane*1, 2:reg*1), 4:reg*2] { v[i] = v[i] + x[g] }"}) {
    EXPECT_EQ(fault(parse_kernel(kTile + legal + "\n}\n")), "") << legal;
  }
}

TEST(KernelVerify, Copies) {
  const std::string load = "map (i in 128, p in 64) via tma_load on full[0] ";
  const std::string over = "map (i in 64, p in 64) over [(8:warp*1, 8:reg*8), (8:reg*1, 8:lane*1)] via ";
  expect_faults(
      kTile,
      {
          {load + "{ hs[0, i, p] = h[i, p] hs[1, i, p] = h[i, p] }", "a map via tma_load is one store"},
          {load + "{ hs[0, i, p] = f16(1.0) }", "a map via tma_load stores a read"},
          {load + "{ hs[0, i, p] = hs[1, i, p] }", "copies between its two spaces"},
          {"map (i in 64) via tma_load on full[0] { low[i] = x[i] }", "a bulk copy of low needs it aligned to 128"},
          {"map (i in 128, p in 64) via tma_load { hs[0, i, p] = h[i, p] }", "completes on an mbarrier"},
          {"map (i in 64, p in 64) over [64:reg*1, 64:reg*64] via tma_store { h[i, p] = plain[i, p] }",
           "what one thread issues is not distributed"},
          {"map (i in 64, p in 64) via tma_reduce { h[i, p] = plain[i, p] }", "a map via tma_reduce adds"},
          {"map (i in 64, p in 64) via tma_store { atomic sum h[i, p] = plain[i, p] }",
           "a map via tma_store overwrites"},
          {over + "cp_async multicast 3 { plain[i, p] = h[i, p] }", "multicast in a cluster"},
          {over + "ldmatrix { plain[i, p] = h[i, p] }", "copies between its two spaces"},
          {"fragment g: f16[8, 32] layout [8:warp*1, 32:lane*1]\n"
           "map (i in 8, p in 32) over [8:warp*1, 32:lane*1] via ldmatrix { g[i, p] = hs[0, i, p] }",
           "fragments made of 8 x 8 matrices"},
          {"fragment g: f16[8, 32] layout [8:warp*1, 32:lane*1]\n"
           "map (i in 8, p in 32) over [8:warp*1, 32:lane*1] via stmatrix { hs[0, i, p] = g[i, p] }",
           "distributed as accumulators"},
      });
}

TEST(KernelVerify, Folds) {
  expect_faults(kTile, {
                           {"fold sum (one) = (v) over ()", "ascending positions"},
                           {"fold sum (one) = (v) over (1)", "ascending positions"},
                           {"fold logsumexp (one) = (v) over (0)", "the 1 parts are no state of logsumexp"},
                           {"fold sum (one, v) = (v) over (0)", "as many states before as after"},
                           {"fold sum (v) = (t) over (1)", "v is distributed like the axes kept, [8:warp*1]"},
                           {"fold sum (low) = (v) over (0)", "low is a fragment of the threads that fold"},
                           {"fold argmax (v, v) = (t, t) over (0)", "the 2 parts are no state of argmax"},
                       });
}

TEST(KernelVerify, Products) {
  const std::string acc =
      "fragment acc: f32[128, 64] layout [(8:lane*4, 2:reg*2, 4:warp*1, 2:warp*4), (2:reg*1, 4:lane*1, 8:reg*4)]\n";
  const std::string mma = acc + "mma wgmma (i in 128, j in 64, p in 64) acc[i, j] += ";
  EXPECT_EQ(fault(parse_kernel(kTile + mma + "hs[0, i, p] * hs[1, j + 64, p] accumulate b != 0\n}")), "");
  expect_faults(
      kTile,
      {
          {mma + "hs[0, i, p] * plain[j, p]", "no descriptor expresses plain:"},
          {mma + "hs[0, j, p] * hs[1, i, p]", "operand a is indexed by i and k, operand b by k and j"},
          {mma + "h[i, p] * hs[1, j, p]", "tensor-core operands are in shared memory"},
          {mma + "hs[0, i, p] * (hs[1, j, p] + hs[1, j, p])", "an operand reads one buffer"},
          {mma + "hs[0, i, p] * (-hs[1, j, p])", "a tensor-core operand is a read without fill"},
          {mma + "hs[0, i * 2, p] * hs[1, j, p]", "hs is indexed by its axes"},
          {mma + "hs[0, i, p] * hs[1, j, p + i - i]", "operand a is indexed by i and k"},
          {acc + "mma wgmma (i in 64, j in 64, p in 64) acc[i, j] += hs[0, i, p] * hs[1, j, p]",
           "the accumulator's shape is i by j"},
          {acc + "mma wgmma (i in 128, j in 64, p in 24) acc[i, j] += hs[0, i, p] * hs[1, j, p]",
           "k is a multiple of 32 bytes, here 24"},
          {acc + "mma simt (i in 128, j in 64, p in 64) acc[i, j] += hs[0, i, p] * f32(hs[1, j, p])",
           "simt multiplies no f16 by f32 into f32"},
          {"fragment acc: f64[64, 64] layout [(8:lane*4, 2:reg*2, 4:warp*1), (2:reg*1, 4:lane*1, 8:reg*4)]\n"
           "mma wgmma (i in 64, j in 64, p in 64) acc[i, j] += hs[0, i, p] * hs[1, j, p]",
           "wgmma multiplies no f16 by f16 into f64"},
          {"fragment acc: f32[64, 64] layout [(4:warp*1, 16:reg*4), (4:reg*1, 16:lane*1)]\n"
           "mma wgmma (i in 64, j in 64, p in 64) acc[i, j] += hs[0, i, p] * hs[1, j, p]",
           "is not made of 64 x n wgmma accumulators"},
          {"fragment acc: f32[64, 64] layout [(4:warp*1, 16:reg*4), (4:reg*1, 16:lane*1)]\n"
           "mma mma_sync (i in 64, j in 64, p in 64) acc[i, j] += hs[0, i, p] * hs[1, j, p]",
           "the accumulator is made of 16 x 8 fragments"},
          {"fragment c: f32[16, 8] layout [(8:lane*4, 2:reg*2), (2:reg*1, 4:lane*1)]\n"
           "fragment g: f16[16, 16] layout [(8:lane*4, 2:reg*4), (2:reg*1, 4:lane*1, 2:reg*2)]\n"
           "mma mma_sync (i in 16, j in 8, p in 16) c[i, j] += g[i, p] * hs[0, j, p]",
           "operand a in registers is made of 16 x 32 byte fragments"},
          {"role r warps 0..2 { fragment acc: f32[32, 8] layout [(8:lane*4, 2:reg*2, 2:warp*1), (2:reg*1, 4:lane*1)]\n"
           "mma wgmma (i in 32, j in 8, p in 64) acc[i, j] += hs[0, i, p] * hs[1, j, p] }",
           "wgmma is for warpgroups"},
      });
}

TEST(KernelVerify, RolesAndIntrinsics) {
  expect_faults(
      kTile, {
                 {"role r warps 4..9 { }", "the warps 4..9 lie within the 8 around"},
                 {"role r warps 0..4 { role q warps 3..5 { } }", "the warps 3..5 lie within the 4 around"},
                 {"role a warps 0..4 { } role c warps 3..8 { }", "the roles a and c have warps of their own"},
                 {"role r warps 0..6 registers 40 { }", "registers are given to whole warpgroups"},
                 {"role r warps 0..4 registers 42 { }", "a multiple of 8 from 24 to 256"},
                 {"role a warps 0..4 registers 256 { } role c warps 4..8 registers 264 { }", "65536"},
                 {"role r warps 0..3 elected each g in 2 { }", "the warps 0..3 are 2 equal groups"},
                 {"role r warps 0..4 elected { barrier() }", "barrier is for whole warps, not for an elected thread"},
                 {"role r warps 0..4 elected { role q warps 0..1 { } }", "an elected thread has no roles inside"},
                 {"role r warps 0..2 { wgmma_fence() }", "wgmma_fence is for warpgroups"},
                 {"tma_store_wait(b)", "the operand is a constant"},
                 {"mbarrier_init(low[0], 1)", "the operand is a place in an mbarrier"},
                 {"mbarrier_wait(full[0], b < 1)", "the operand is an integer"},
                 {"ldmatrix(one[0], plain[0, 0], 4, false)", "it stands in thread form"},
                 {"let f = full[0]", "an mbarrier is an operand of intrinsics and maps only"},
             });
  EXPECT_EQ(fault(parse_kernel(kTile + "role a warps 0..8 { } barrier() role c warps 0..1 elected { }\n}")), "");
}

const std::string kThread = R"(kernel t
    (x: f32[n], y: f32[n] const, h: f16[n]; n)
    grid (b in n) warps 8 lanes 32
    thread (warp, lane) {
  tensor_map h_map: h tiled dims (n) box (64)
  shared low: f32[64]
  fragment v: f32[64]
  fragment w: f16[64]
)";

TEST(KernelVerify, ThreadForm) {
  expect_faults(kThread, {
                             {"map (i in 64) over [64:reg*1] { }", "a map does not stand in thread form"},
                             {"fold sum (v) = (v) over (0)", "a fold does not stand in thread form"},
                             {"role r warps 0..4 { }", "a role does not stand in thread form"},
                             {"fragment t: f32[4, 4]", "in thread form t is flat"},
                             {"fragment t: f32[4] layout [4:addr*2]", "in thread form t is flat"},
                             {"move v[0] = x[0] width 3", "a power of two of at most 16 bytes, here 3 of f32"},
                             {"move v[0] = x[0] width 8", "a power of two of at most 16 bytes, here 8 of f32"},
                             {"move low[0] = x[0] width 4", "a move is between registers and memory"},
                             {"move v[0] = w[0] width 4", "a move keeps the dtype"},
                             {"move y[0] = v[0] width 4", "y is constant"},
                             {"y[0] = 1.0", "y is constant"},
                             {"v[0] = x[b] else 0.0", "a read with a fill is of global memory, in tile form"},
                             {"atomic sum low[0] = 1.0", "atomics are on global memory"},
                             {"low[0] = 1.0 hint streaming", "cache hints are for global memory"},
                             {"for i in n vector { }", "a vector loop has a constant extent of 1 to 16"},
                             {"for i in 32 vector { }", "a vector loop has a constant extent of 1 to 16"},
                             {"for i in n step 0 { }", "a loop's step is positive"},
                             {"cp_async(low[0], x[0], 12, 12)", "cp_async copies 4, 8 or 16 bytes"},
                             {"cp_async(x[0], low[0], 16, 16)", "the operand is a place in shared memory"},
                             {"tma_prefetch_map(1)", "the operand is the index of a tensor map"},
                             {"mma_sync(v[0], w[0], w[8], 16, 8, 16, 99, f16, f32)", "the operand is a dtype"},
                             {"set_max_registers(300, true)", "registers are a multiple of 8"},
                         });
  EXPECT_EQ(fault(parse_kernel(kThread + "move v[0] = x[warp * 4] width 4 tma_prefetch_map(h_map)\n}")), "");
}

TEST(KernelVerify, TensorMaps) {
  const auto fault_of = [](const std::string& map) {
    std::string text = kThread;
    const std::string old = "tiled dims (n) box (64)";
    return fault(parse_kernel(text.replace(text.find(old), old.size(), map) + "}"));
  };
  EXPECT_EQ(fault_of("tiled dims (n) box (64) swizzle 128"), "");
  const std::pair<const char*, const char*> faults[] = {
      {"tiled dims (n) box (512)", "box has 1 to 256 elements"},
      {"tiled dims (n) box (12)", "box has 24 bytes, not a multiple of 16"},
      {"tiled dims (n) box (64) swizzle 64", "box has 128 bytes, its swizzle spans 64"},
      {"tiled dims (n) element_strides (9) box (64)", "element strides are 1 to 8"},
      {"tiled dims (n, n) box (64, 8)", "a stride for all dimensions but the first"},
  };
  for (const auto& [map, wanted] : faults) EXPECT_TRUE(contains(fault_of(map), wanted)) << map << ": " << fault_of(map);
}

// What the parser already refuses, built by hand.
TEST(KernelVerify, Scopes) {
  const Kernel legal = parse_kernel(kThread + "}");
  const BufferRef x = legal.params[0];
  const BufferRef outside =
      make_buffer("outside", DType::f32, Space::fragment, row_major(std::vector<std::int64_t>{4}));
  const VarRef i = make_var("i");
  const auto fault_of = [&](std::vector<Stmt> body) {
    Kernel kernel = legal;
    kernel.body = block(std::move(body));
    return fault(kernel);
  };
  const auto store = [](const TensorRef& to, Expr index, Expr value) {
    return make_stmt(Store{.buffer = to, .index = {std::move(index)}, .value = std::move(value)});
  };
  const Expr one = constant(DType::f32, 1.0);
  EXPECT_TRUE(contains(fault_of({store(x, i, one)}), "kernel t, in `x[i] = 1.0`: the variable i is in scope"));
  EXPECT_TRUE(contains(fault_of({store(outside, 0, one)}), "the buffer outside is in scope"));
  EXPECT_TRUE(contains(fault_of({store(x, 0, Expr(1))}), "the value is i64, x is f32"));
  EXPECT_TRUE(contains(fault_of({store(x, one, one)}), "an index, an extent or a bound is an integer"));
  EXPECT_TRUE(contains(fault_of({store(make_tensor("plain", DType::f32, {4}), 0, one)}), "plain is a buffer"));
  const Stmt loop = make_stmt(For{.var = i, .lo = 0, .hi = 4, .step = 1, .body = store(x, i, one)});
  EXPECT_EQ(fault_of({loop, loop}), "");
  EXPECT_TRUE(contains(fault_of({loop, store(x, i, one)}), "the variable i is in scope"));
  EXPECT_TRUE(
      contains(fault_of({make_stmt(For{.var = i, .lo = 0, .hi = 4, .step = 1, .body = loop})}), "i is declared once"));
  const Stmt declared = make_stmt(Alloc{outside});
  EXPECT_EQ(fault_of({declared, store(outside, 0, one)}), "");
  EXPECT_TRUE(contains(fault_of({declared, declared}), "outside is declared once"));
  EXPECT_TRUE(contains(fault_of({make_stmt(Block{{declared}}), store(outside, 0, one)}), "outside is in scope"));
  const Axis axis{i, 0, 4};
  EXPECT_TRUE(contains(fault_of({store(x, 0, reduce(Reducer::sum, {axis}, {read(x, {i})}))}),
                       "a kernel program holds no reductions"));
}

TEST(KernelVerify, Headers) {
  const auto changed = [](auto&& change) {
    Kernel kernel = parse_kernel(kThread + "}");
    change(kernel);
    return fault(kernel);
  };
  EXPECT_TRUE(contains(changed([](Kernel& k) { k.name = "a b"; }), "a kernel's name is a name"));
  EXPECT_TRUE(contains(changed([](Kernel& k) { k.warps = 33; }), "a block has 1 to 1024 threads"));
  EXPECT_TRUE(contains(changed([](Kernel& k) { k.grid.push_back(1); }), "each with its block variable"));
  EXPECT_TRUE(contains(changed([](Kernel& k) { k.cluster = {32}; }), "a cluster has 1 to 16 blocks"));
  EXPECT_TRUE(contains(changed([](Kernel& k) { k.warp = nullptr; }), "thread form has the variables warp and lane"));
  EXPECT_TRUE(contains(changed([](Kernel& k) { k.maps[0].box = {257}; }), "1 to 256 elements per dimension"));
  EXPECT_TRUE(contains(changed([](Kernel& k) { k.grid[0] = Expr(k.block[0]); }), "the variable b is in scope"));
  EXPECT_TRUE(contains(changed([](Kernel& k) { k.shared.push_back(k.shared[0]); }), "low is declared once"));
  EXPECT_TRUE(contains(changed([](Kernel& k) { k.body = nullptr; }), "a kernel has a body"));
  EXPECT_TRUE(contains(changed([](Kernel& k) {
                         k.shared.push_back(
                             make_buffer("full", DType::u32, Space::barrier, row_major(std::vector<std::int64_t>{1})));
                       }),
                       "a flat array of u64 aligned to 8 bytes"));
}

}  // namespace
}  // namespace quern::ir
