#include "compiler/carry.h"

#include <gtest/gtest.h>

#include "ir/kernel_parser.h"
#include "ir/kernel_printer.h"

namespace quern::compiler {
namespace {

std::string carried(const std::string& body) {
  const std::string head =
      "kernel f\n    (x: f32[100], y: f32[100]; n)\n    grid (b in 4) warps 1 lanes 32\n    thread (warp, lane) {\n";
  const std::string text = ir::to_string(carry(ir::parse_kernel(head + body + "}\n")));
  return text.substr(text.find("{\n") + 2);
}

TEST(Carry, ARemainderOfTheCounterIsARegister) {
  EXPECT_EQ(carried("  for q in n rolled {\n    let s = (b + q) % 6\n    y[s] = x[s]\n  }\n"),
            "  fragment s: i64[1]\n  s[0] = b % 6\n  for q in n rolled {\n    y[s[0]] = x[s[0]]\n"
            "    s[0] = s[0] == 5 ? 0 : s[0] + 1\n  }\n}\n");
}

TEST(Carry, ItsParityTurnsWhereItWraps) {
  EXPECT_EQ(
      carried("  for q in n rolled {\n    y[q // 6 % 2] = 0.0\n  }\n"),
      "  fragment rest: i64[1]\n  rest[0] = 0\n  fragment parity: i64[1]\n  parity[0] = 0\n  for q in n rolled {\n"
      "    y[parity[0]] = 0.0\n    rest[0] = rest[0] == 5 ? 0 : rest[0] + 1\n"
      "    parity[0] = rest[0] == 0 ? 1 - parity[0] : parity[0]\n  }\n}\n");
}

TEST(Carry, NamedSumsAreSeenThrough) {
  EXPECT_EQ(carried("  for q in 2..n rolled {\n    let place = b + q\n    y[(place + 1) % 3] = x[place]\n  }\n"),
            "  fragment rest: i64[1]\n  rest[0] = b % 3\n  for q in 2..n rolled {\n    let place = b + q\n"
            "    y[rest[0]] = x[place]\n    rest[0] = rest[0] == 2 ? 0 : rest[0] + 1\n  }\n}\n");
}

TEST(Carry, ASumWithoutAnotherUseGoes) {
  EXPECT_EQ(carried("  for q in n rolled {\n    let place = b + q\n    let s = place % 3\n    y[s] = 0.0\n  }\n"),
            "  fragment s: i64[1]\n  s[0] = b % 3\n  for q in n rolled {\n    y[s[0]] = 0.0\n"
            "    s[0] = s[0] == 2 ? 0 : s[0] + 1\n  }\n}\n");
}

TEST(Carry, ShiftsOtherLoopsAndOtherRemaindersStay) {
  for (const char* body :
       {"  for q in n rolled {\n    y[q % 4] = 0.0\n  }\n", "  for q in n {\n    y[q % 6] = 0.0\n  }\n",
        "  for q in n step 2 rolled {\n    y[q % 6] = 0.0\n  }\n",
        "  for q in n rolled {\n    y[2 * q % 6] = 0.0\n  }\n",
        "  for q in n rolled {\n    for r in 5 unroll {\n      y[(q + r) % 6] = 0.0\n    }\n  }\n",
        "  for q in n rolled {\n    y[q % n] = 0.0\n  }\n"}) {
    EXPECT_EQ(carried(body), body + std::string("}\n"));
  }
}

}  // namespace
}  // namespace quern::compiler
