// Random tile statements by their meaning (tests/compiler/tile_reference.h) and, expanded, in the simulator: equal bit
// for bit, with no finding. So expand_tiles keeps what tile form says, whatever the distributions.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "compiler/expand_tiles.h"
#include "compiler/hoist.h"
#include "compiler/narrow_indices.h"
#include "compiler/peel_checks.h"
#include "ir/kernel_parser.h"
#include "ir/kernel_verify.h"
#include "runtime/simulator/kernel_run.h"
#include "tests/compiler/tile_reference.h"

namespace quern::pipeline {
namespace {

class Generator {
 public:
  explicit Generator(std::uint64_t seed) : random_(seed) {}

  // A kernel over a tile of rows x columns, both powers of two.
  std::string kernel() {
    rows_ = 4 << below(3);
    columns_ = 16 << below(3);
    warps_ = 1 << below(3);
    const std::string own = distribution({rows_, columns_}), other = distribution({rows_, columns_});
    const std::string kept = first_mode(own);
    std::string text = fmt::format(
        "kernel t (x: f32[{0}, {1}], y: f32[{0}, {1}], z: f32[{0}], n: i32[1]) grid (b in 2) warps {2} lanes 32 tile "
        "{{\n"
        "  shared s: f32[{0}, {1}]{3}\n"
        "  fragment a: f32[{0}, {1}] layout {4}\n",
        rows_, columns_, warps_, below(2) ? shared_layout() : "", own);
    const auto map = [&](const std::string& layout, const std::string& body, const std::string& where = "") {
      text +=
          fmt::format("  map (i in {}, j in {}) over {}{} {{\n    {}\n  }}\n", rows_, columns_, layout, where, body);
    };
    map(own, fmt::format("a[i, j] = (x[i, j + {} * b] else 5.0) * {}.0 + f32(i - j)", below(3), 1 + below(3)));
    if (below(2)) map(own, "a[i, j] = 2.0 - a[i, j]", condition());
    map(other, fmt::format("s[i, j] = x[i, {} - j] + 1.0", columns_ - 1));
    text += "  barrier()\n";
    map(own, fmt::format("a[i, j] = a[i, j] + s[(i + {}) % {}, j ^ {}]", below(rows_), rows_, below(columns_)),
        condition());
    text += fmt::format("  fragment f: f32[{}] layout {}\n  fold {} (f) = (a) over (1)\n", rows_, kept,
                        below(2) ? "sum" : "max");
    text += fmt::format("  if b == 0 {{\n  map (i in {}) over {} {{\n    z[i] = f[i]\n  }}\n", rows_, kept);
    map(own, "y[i, j] = a[i, j] - f[i]");
    text += "  }\n";
    text += fmt::format("  map (i in {}) over {} where i % 2 == 0 {{\n    atomic sum n[0] = i32(f[i]) % 8\n  }}\n",
                        rows_, kept);
    return text + "}\n";
  }

 private:
  std::uint64_t below(std::int64_t n) { return random_() % static_cast<std::uint64_t>(n); }

  std::string condition() {
    switch (below(4)) {
      case 0:
        return fmt::format(" where i < {}", below(rows_));
      case 1:
        return fmt::format(" where i + j < {}", below(rows_ + columns_));
      case 2:
        return fmt::format(" where {} <= j", below(columns_));
      default:
        return "";
    }
  }

  std::string shared_layout() {
    const std::int64_t pitch = columns_ + static_cast<std::int64_t>(below(3));
    if (pitch > columns_) return fmt::format(" layout [{}:addr*{}, {}:addr*1]", rows_, pitch, columns_);
    return fmt::format(" layout [{}:addr*{}, {}:addr*1] ^ swizzle(2, 2, 4)", rows_, columns_, columns_);
  }

  // Every bit of every coordinate belongs to a lane, a warp or a register; bits of lanes and warps may stay unused.
  std::string distribution(const std::vector<std::int64_t>& extents) {
    std::vector<char> places;
    int bits = 0;
    for (const std::int64_t extent : extents) bits += __builtin_ctzll(static_cast<unsigned long long>(extent));
    const int lanes = std::min(bits, 5 - static_cast<int>(below(2)));
    const int warps =
        std::min(bits - lanes, static_cast<int>(__builtin_ctzll(static_cast<unsigned long long>(warps_))));
    places.assign(static_cast<std::size_t>(lanes), 'l');
    places.insert(places.end(), static_cast<std::size_t>(warps), 'w');
    places.insert(places.end(), static_cast<std::size_t>(bits - lanes - warps), 'r');
    std::shuffle(places.begin(), places.end(), random_);
    std::int64_t lane = 1, warp = 1, reg = 1;
    std::string text;
    std::size_t next = 0;
    for (const std::int64_t extent : extents) {
      std::string mode;
      for (std::int64_t e = 1; e < extent; e *= 2) {
        const char at = places[next++];
        std::int64_t& stride = at == 'l' ? lane : at == 'w' ? warp : reg;
        mode += fmt::format("{}2:{}*{}", mode.empty() ? "" : ", ",
                            at == 'l'   ? "lane"
                            : at == 'w' ? "warp"
                                        : "reg",
                            stride);
        stride *= 2;
      }
      text += fmt::format("{}({})", text.empty() ? "" : ", ", mode);
    }
    return "[" + text + "]";
  }

  // Its rows alone, registers dense again.
  static std::string first_mode(const std::string& layout) {
    const int mode[] = {0};
    return to_string(ir::project(ir::parse_layout(layout), mode));
  }

  std::mt19937_64 random_;
  std::int64_t rows_ = 0, columns_ = 0, warps_ = 1;
};

struct Memory {
  std::vector<std::vector<std::int32_t>> words;  // of each parameter

  explicit Memory(const ir::Kernel& kernel) {
    for (std::size_t p = 0; p < kernel.params.size(); ++p) {
      const auto count = static_cast<std::size_t>(runtime::simulator::parameter_bytes(kernel, p, {})) / 4;
      std::vector<std::int32_t>& values = words.emplace_back(count, 0);
      if (p > 0) continue;
      for (std::size_t i = 0; i < count; ++i) {
        const float value = static_cast<float>(i * 7 % 23) - 11;  // sums are exact
        std::memcpy(&values[i], &value, sizeof value);
      }
    }
  }
};

// Of the kernel `text`, expanded, from what `meant` says; empty: none.
std::string difference(const std::string& text, const std::string& meant, std::uint64_t seed) {
  const ir::Kernel tile = ir::parse_kernel(text), reference = ir::parse_kernel(meant);
  ir::verify(tile);
  Memory expected(tile), computed(tile);
  std::vector<ir::HostTensor> hosts;
  for (std::size_t p = 0; p < tile.params.size(); ++p) {
    std::vector<std::int64_t> shape;
    for (const ir::Expr& extent : tile.params[p]->shape) shape.push_back(*ir::as_integer(extent));
    hosts.push_back({tile.params[p]->dtype, shape, {}, expected.words[p].data()});
  }
  compiler::run_tiles(reference, {}, hosts);

  ir::Kernel thread = compiler::peel_checks(compiler::expand_tiles(tile));
  ir::verify(thread);
  if (seed % 2 == 0) thread = compiler::narrow_indices(thread);
  thread = compiler::hoist(thread);
  ir::verify(thread);
  std::vector<runtime::simulator::KernelArgument> arguments;
  for (std::size_t p = 0; p < tile.params.size(); ++p) {
    const bool written = p == 0 || tile.params[p]->name == "n";
    arguments.push_back({std::as_writable_bytes(std::span(computed.words[p])), written});
  }
  const runtime::simulator::Report report =
      runtime::simulator::run_kernel(thread, {}, arguments, parse_target("sim:sm_90a"), {.seed = seed});
  if (!report.clean()) return findings_text(report);
  for (std::size_t p = 0; p < expected.words.size(); ++p) {
    for (std::size_t i = 0; i < expected.words[p].size(); ++i) {
      if (expected.words[p][i] == computed.words[p][i]) continue;
      return fmt::format("{}[{}] is {:#x}, by its meaning {:#x}", tile.params[p]->name, i, computed.words[p][i],
                         expected.words[p][i]);
    }
  }
  return {};
}

TEST(TileStatements, ExpandedTheyMeanTheSame) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const std::string text = Generator(seed).kernel();
    std::string told;
    try {
      told = difference(text, text, seed);
    } catch (const std::exception& e) {
      told = e.what();
    }
    ASSERT_EQ(told, "") << "seed " << seed << "\n" << text;
  }
}

// The comparison does tell.
TEST(TileStatements, OtherStatementsMeanSomethingElse) {
  const std::string text = Generator(1).kernel();
  std::string other = text;
  other.replace(other.find("] + 1.0"), 7, "] + 2.0");
  EXPECT_EQ(difference(text, text, 1), "");
  EXPECT_NE(difference(text, other, 1).find(", by its meaning "), std::string::npos);
}

}  // namespace
}  // namespace quern::pipeline
