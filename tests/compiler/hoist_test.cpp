#include "compiler/hoist.h"

#include <gtest/gtest.h>

#include "ir/kernel_parser.h"
#include "ir/kernel_printer.h"

namespace quern::compiler {
namespace {

std::string hoisted(const std::string& body) {
  const std::string head =
      "kernel f\n    (x: f32[100], y: f32[100]; n)\n    grid (b in 4) warps 1 lanes 32\n    thread (warp, lane) {\n";
  const std::string text = ir::to_string(hoist(ir::parse_kernel(head + body + "}\n")));
  return text.substr(text.find("{\n") + 2);
}

TEST(Hoist, ADivisionLeavesTheLoopThatItDoesNotDependOn) {
  EXPECT_EQ(hoisted("  for r in 4 unroll {\n    y[r] = x[lane // n + r]\n  }\n"),
            "  let part = lane // n\n  for r in 4 unroll {\n    y[r] = x[part + r]\n  }\n}\n");
}

TEST(Hoist, ChainsAreNamedFromTheInsideOut) {
  EXPECT_EQ(hoisted("  y[lane // n // n] = x[lane // n // n]\n"),
            "  let part = lane // n\n  let part2 = part // n\n  y[part2] = x[part2]\n}\n");
}

TEST(Hoist, WhatDependsOnTheLoopIsNamedInIt) {
  EXPECT_EQ(hoisted("  for r in 4 unroll {\n    y[r % n] = x[r % n]\n  }\n"),
            "  for r in 4 unroll {\n    let rest = r % n\n    y[rest] = x[rest]\n  }\n}\n");
}

TEST(Hoist, SingleUsesShiftsAndElementsStay) {
  for (const char* body : {"  y[lane // n] = 0.0\n", "  for r in 4 unroll {\n    y[r] = x[lane // 8]\n  }\n",
                           "  for r in 4 unroll {\n    y[r] = x[i64(x[lane]) // n]\n  }\n"}) {
    EXPECT_EQ(hoisted(body), body + std::string("}\n"));
  }
}

}  // namespace
}  // namespace quern::compiler
