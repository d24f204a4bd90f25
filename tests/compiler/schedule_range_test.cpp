// Whatever numbers a schedule's fields hold, it is legal or illegal for a reason.

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <set>

#include "base/target.h"
#include "compiler/lift_reductions.h"
#include "compiler/partition.h"
#include "compiler/strategies/strategy.h"
#include "ir/parser.h"

namespace quern::compiler {
namespace {

constexpr const char* kPrograms[] = {
    "kernel f(x: f32[m, n], b: f32[n]) -> (y: f32[m, n]) { y[i, j] = x[i, j] + b[j] }",
    "kernel f(x: f64[1000, 900]) -> (y: f64[900, 1000]) { y[j, i] = x[i, j] }",
    "kernel f(x: f32[13, 1000]) -> (y: f32[13]) { y[i] = sum[j](x[i, j]) }",
    "kernel f(x: f32[m, n]) -> (y: f32[n]) { y[j] = sum[i](x[i, j]) }",
    R"(kernel f(x: bf16[m, 1000]) -> (y: bf16[m, 1000]) {
       t[i] = max[j](f32(x[i, j]))
       e[i, j] = exp(f32(x[i, j]) - t[i])
       y[i, j] = bf16(e[i, j] / sum[j2](e[i, j2])) })",
    "kernel f(x: f32[30, 32], w: f32[32, 20]) -> (y: f32[30, 20]) { y[i, j] = sum[p](x[i, p] * w[p, j]) }",
    R"(kernel f(x: f64[m, k], w: f64[n, k] const, b: f64[n]) -> (y: f64[m, n]) {
       s[i, j] = sum[p](x[i, p] * w[j, p])
       y[i, j] = s[i, j] + b[j] })",
    R"(kernel f(x: bf16[512, 131072], w: bf16[131072, 512]) -> (y: bf16[512, 512]) {
       y[i, j] = bf16(sum[p](f32(x[i, p]) * f32(w[p, j]))) })",
    R"(kernel f(x: bf16[8, 30, 30, 64], g: bf16[64, 3, 3, 64]) -> (y: bf16[8, 28, 28, 64]) {
       y[z, p, q, o] = bf16(sum[u, v, i](f32(x[z, p + u, q + v, i]) * f32(g[o, u, v, i]))) })",
    R"(kernel f(q: bf16[h, m, 128], k: bf16[h, m, 128], v: bf16[h, m, 128]) -> (y: bf16[h, m, 128]) {
       s[b, i, j] = sum[p](f32(q[b, i, p]) * f32(k[b, j, p]))
       t[b, i] = max[j](s[b, i, j])
       e[b, i, j] = exp(s[b, i, j] - t[b, i])
       y[b, i, c] = bf16(sum[j](f32(bf16(e[b, i, j])) * f32(v[b, j, c])) / sum[j](e[b, i, j])) })"};

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kEdges[] = {-kMost - 1, -1,       0,        1,        2,         3,         16,        32,
                                   64,         256,      1024,     32768,    65535,     65536,     65537,     1L << 31,
                                   1L << 32,   1L << 33, 1L << 60, 1L << 62, kMost / 2, kMost - 7, kMost - 1, kMost};

class Draws {
 public:
  // Of one program, by every strategy that takes it.
  void check(const ir::Program& kernel, const Target& target) {
    for (const Strategy& strategy : strategies()) {
      if (!strategy.matches(kernel, target)) continue;
      tried_.insert(strategy.fields.strategy);
      const Schedule first = strategy.fallback(kernel, target);
      for (std::size_t at = 0; at < first.values.size(); ++at) {
        if (is_word(strategy.fields, at)) continue;
        for (const std::int64_t edge : kEdges) {
          Schedule schedule = first;
          schedule.values[at] = edge;
          judge(kernel, strategy, schedule, target);
        }
      }
      for (int i = 0; i < 300; ++i) {
        Schedule schedule = first;
        for (std::size_t at = 0; at < schedule.values.size(); ++at) {
          // Every other schedule is of numbers in range, whose products are what may be too large.
          const std::int64_t drawn =
              i % 2 == 0 ? std::int64_t{1} << random_() % 17 : kEdges[random_() % std::size(kEdges)];
          if (is_word(strategy.fields, at)) {
            schedule.values[at] = static_cast<std::int64_t>(random_() % 2);
          } else if (random_() % 3 != 0) {
            schedule.values[at] = drawn;
          }
        }
        judge(kernel, strategy, schedule, target);
      }
    }
  }

  // Strategies that took a program.
  const std::set<std::string_view>& tried() const { return tried_; }

 private:
  static bool is_word(const FieldList& list, std::size_t at) {
    for (const Field& field : list.fields) {
      if (at < static_cast<std::size_t>(field.parts)) return !field.words.empty();
      at -= static_cast<std::size_t>(field.parts);
    }
    return false;
  }

  // What is legal is written too.
  static void judge(const ir::Program& kernel, const Strategy& strategy, const Schedule& schedule,
                    const Target& target) {
    SCOPED_TRACE(to_string(schedule) + " of " + kernel.name + " on " + to_text(target));
    const bool in_range = check_ranges(schedule, strategy.fields).reason.empty();
    EXPECT_NO_THROW({
      if (!strategy.check(kernel, schedule, target)) return;
      EXPECT_TRUE(in_range);
      if (!strategy.rewrite(kernel, schedule)) strategy.emit(kernel, schedule, target, kernel.facts);
    });
  }

  std::mt19937 random_{7};
  std::set<std::string_view> tried_;
};

TEST(ScheduleRange, EveryNumberIsLegalOrRefusedForAReason) {
  Draws draws;
  for (const char* text : kPrograms) {
    for (const char* name : {"cpu:x86-64-v3", "cuda:sm_80", "cuda:sm_90a"}) {
      const Target target = parse_target(name);
      const ir::Program lifted = lift_reductions(ir::parse_program(text));
      const auto kernels = partition(lifted, [&](const ir::Program& group) { return fuses(group, target); }).kernels;
      for (const ir::Program& kernel : kernels) draws.check(kernel, target);
    }
  }
  EXPECT_EQ(draws.tried().size(), strategies().size());
}

TEST(ScheduleRange, ReasonsNameTheFieldAndItsRange) {
  const auto reason = [](const char* program, const char* schedule, const char* target) {
    const Schedule given = parse_schedule(schedule);
    return strategy_named(given.strategy)
        .check(lift_reductions(ir::parse_program(program)), given, parse_target(target))
        .reason;
  };
  EXPECT_EQ(reason(kPrograms[5], "contraction block=8x8x9223372036854775807", "cpu:x86-64-v3"),
            "block=8x8x9223372036854775807 is out of range, 1 to 65536");
  EXPECT_EQ(reason(kPrograms[0], "pointwise vec=16 rows=0", "cuda:sm_90a"), "rows=0 is out of range, 1 to 65536");
  EXPECT_EQ(reason(kPrograms[1], "pointwise tile=65537x0", "cuda:sm_90a"), "tile=65537x0 is out of range, 0 to 65536");
  EXPECT_EQ(reason(kPrograms[3], "reduction rows=1024 row_threads=8 vec=4", "cuda:sm_90a"),
            "rows / vec x row_threads is 2048 threads, not a multiple of 32 of at most 1024");
  EXPECT_EQ(reason(kPrograms[5], "contraction block=65536x65536x65536", "cpu:x86-64-v3"),
            "needs 51539607552 B of scratch for each thread, the most is 67108864: A 65536x65536 f32 = 17179869184, "
            "B 65536x65536 f32 = 17179869184, sums 65536x65536 f32 = 17179869184; a smaller block takes less");
}

}  // namespace
}  // namespace quern::compiler
