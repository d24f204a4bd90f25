// What the machine code of inner loops looks like, and how fast the micro-kernel of a matrix product is.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <regex>
#include <sstream>

#include "codegen/llvm/llvm.h"
#include "tests/codegen/llvm/cpu_runner.h"

namespace quern::codegen {
namespace {

using ir::Expr;
using ir::make_stmt;
using ir::Stmt;

struct Tile {
  int rows;
  int vectors;  // columns, in vectors
};

// c[rows, vectors * lanes] = a * b over k steps, from packed panels a[k, rows] and b[k, vectors * lanes], in each block
// for itself. `staged`: each step loads its column of a into registers before it multiplies.
ir::Kernel micro_kernel(const Target& target, Tile tile, bool staged = false) {
  const int lanes = native_lanes(target), wide = tile.vectors * lanes;
  const ir::VarRef k = ir::make_var("k"), p = ir::make_var("p");
  ir::Kernel kernel = thread_kernel("micro_kernel", lanes);
  kernel.symbols = {k};
  const auto a = global_buffer("a", DType::f32), b = global_buffer("b", DType::f32), c = global_buffer("c", DType::f32);
  kernel.params = {a, b, c};
  const auto acc = fragment("acc", DType::f32, tile.rows * tile.vectors);
  const auto over = [&](const std::function<Stmt(const Expr& i, const Expr& j)>& body) {
    const ir::VarRef i = ir::make_var("i"), j = ir::make_var("j");
    const auto unroll = [](const ir::VarRef& var, int extent, Stmt stmt) {
      return make_stmt(
          ir::For{.var = var, .lo = 0, .hi = extent, .step = 1, .kind = ir::ForKind::unroll, .body = std::move(stmt)});
    };
    return unroll(i, tile.rows, unroll(j, tile.vectors, body(i, j)));
  };
  const auto store = [](const ir::BufferRef& to, const Expr& index, const Expr& value) {
    return make_stmt(ir::Store{.buffer = to, .index = {index}, .value = value});
  };
  const auto element = [&](const Expr& i, const Expr& j) { return i * Expr(tile.vectors) + j; };
  const auto column = [&](const Expr& j) { return j * Expr(lanes) + Expr(kernel.lane); };
  const auto accumulated = [&](const Expr& i, const Expr& j) { return ir::read(acc, {element(i, j)}); };
  const auto column_of_a = fragment("column_of_a", DType::f32, tile.rows);
  const auto left = [&](const Expr& i) { return ir::read(a, {Expr(p) * Expr(tile.rows) + i}); };
  const Stmt load = over([&](const Expr& i, const Expr&) { return store(column_of_a, i, left(i)); });
  const Stmt multiply = over([&](const Expr& i, const Expr& j) {
    const Expr right = ir::read(b, {Expr(p) * Expr(wide) + column(j)});
    const Expr factor = staged ? ir::read(column_of_a, {i}) : left(i);
    return store(acc, element(i, j), accumulated(i, j) + factor * right);
  });
  const Stmt step = staged ? ir::block({make_stmt(ir::Alloc{column_of_a}), load, multiply}) : multiply;
  kernel.body = ir::block(
      {make_stmt(ir::Alloc{acc}),
       over([&](const Expr& i, const Expr& j) { return store(acc, element(i, j), ir::constant(DType::f32, 0.0)); }),
       make_stmt(ir::For{.var = p, .lo = 0, .hi = k, .step = 1, .body = step}),
       over([&](const Expr& i, const Expr& j) { return store(c, i * Expr(wide) + column(j), accumulated(i, j)); })});
  return kernel;
}

// The lines of the innermost loop: between the label that a backward branch goes to and that branch, where most
// multiply-adds are.
std::vector<std::string> inner_loop(const std::string& assembly) {
  std::vector<std::string> lines;
  std::istringstream stream(assembly);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  std::vector<std::string> best;
  const auto count = [](const std::vector<std::string>& body) {
    return std::ranges::count_if(body, [](const std::string& l) { return l.find("vfmadd") != std::string::npos; });
  };
  for (std::size_t end = 0; end < lines.size(); ++end) {
    std::smatch branch;
    if (!std::regex_search(lines[end], branch, std::regex(R"(^\s+j\w+\s+(\.LBB\w+))"))) continue;
    const auto label =
        std::ranges::find_if(lines, [&](const std::string& l) { return l.starts_with(branch[1].str() + ":"); });
    const auto begin = static_cast<std::size_t>(label - lines.begin());
    if (begin >= end) continue;
    std::vector<std::string> body(lines.begin() + static_cast<std::ptrdiff_t>(begin),
                                  lines.begin() + static_cast<std::ptrdiff_t>(end));
    const bool nested = std::ranges::any_of(
        body, [](const std::string& l) { return std::regex_search(l, std::regex(R"(^\s+j\w+\s)")); });
    if (!nested && (best.empty() || count(body) > count(best))) best = body;
  }
  return best;
}

struct AssemblyCase {
  const char* target;
  const char* registers;
  Tile tile;
  bool staged = false;
};

class LlvmAssembly : public testing::TestWithParam<AssemblyCase> {};

INSTANTIATE_TEST_SUITE_P(
    Targets, LlvmAssembly,
    testing::Values(AssemblyCase{"cpu:x86-64-v4", "zmm", {12, 2}}, AssemblyCase{"cpu:x86-64-v4", "zmm", {14, 2}},
                    AssemblyCase{"cpu:x86-64-v4", "zmm", {14, 2}, true}, AssemblyCase{"cpu:x86-64-v4", "zmm", {6, 4}},
                    AssemblyCase{"cpu:x86-64-v4", "zmm", {8, 3}}, AssemblyCase{"cpu:x86-64-v3", "ymm", {6, 2}},
                    AssemblyCase{"cpu:x86-64-v3", "ymm", {6, 2}, true}, AssemblyCase{"cpu:x86-64-v3", "ymm", {4, 3}}));

TEST_P(LlvmAssembly, KeepsTheAccumulatorsOfAProductInRegisters) {
  const Target target = parse_target(GetParam().target);
  const ir::Kernel kernel = micro_kernel(target, GetParam().tile, GetParam().staged);
  const std::string assembly = emit_asm(std::span(&kernel, 1), target);
  const std::vector<std::string> loop = inner_loop(assembly);
  std::string text;
  int products = 0, on_stack = 0, moves = 0;
  for (const std::string& line : loop) {
    text += line + "\n";
    products += line.find("vfmadd") != std::string::npos && line.find(GetParam().registers) != std::string::npos;
    on_stack += line.find("%rsp") != std::string::npos || line.find("%rbp") != std::string::npos;
    moves += std::regex_search(line, std::regex(R"(vmov\w+\s+%[xyz]mm\d+, %[xyz]mm\d+)"));
  }
  EXPECT_EQ(products, GetParam().tile.rows * GetParam().tile.vectors) << text;
  EXPECT_EQ(on_stack, 0) << text;
  EXPECT_EQ(moves, 0) << text;
}

// Run by hand on a quiet machine: --gtest_also_run_disabled_tests --gtest_filter='*MicroKernel*'
TEST(LlvmSpeed, DISABLED_OfTheMicroKernel) {
  for (const Target& target : runnable_targets()) {
    for (const Tile tile : {Tile{14, 2}, Tile{12, 2}, Tile{8, 3}, Tile{6, 4}, Tile{6, 2}, Tile{4, 3}}) {
      const int wide = tile.vectors * native_lanes(target);
      constexpr std::int64_t kDepth = 192, kTimes = 20000;
      std::vector<float> a(kDepth * static_cast<std::size_t>(tile.rows), 0.5f);
      std::vector<float> b(kDepth * static_cast<std::size_t>(wide), 0.25f);
      std::vector<float> c(static_cast<std::size_t>(tile.rows * wide));
      const CpuRunner runner(micro_kernel(target, tile), target);
      double best = 1e9;
      for (int repeat = 0; repeat < 10; ++repeat) {
        const auto start = std::chrono::steady_clock::now();
        runner.run({a.data(), b.data(), c.data()}, {kDepth}, {kTimes, 1, 1});
        best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      }
      const double operations = 2.0 * tile.rows * wide * kDepth * kTimes;
      fmt::print("{} {}x{}: {:.1f} GFLOP/s\n", to_text(target), tile.rows, wide, operations / best * 1e-9);
    }
  }
}

}  // namespace
}  // namespace quern::codegen
