#include "compiler/narrow_indices.h"

#include <gtest/gtest.h>

#include "ir/kernel_parser.h"
#include "ir/kernel_printer.h"

namespace quern::compiler {
namespace {

std::string narrowed(const std::string& body) {
  const std::string head =
      "kernel f\n    (x: i64[100], y: i64[100], z: f32[100]; n)\n    grid (b in 4) warps 1 lanes 32\n"
      "    thread (warp, lane) {\n";
  const std::string text = ir::to_string(narrow_indices(ir::parse_kernel(head + body + "}\n")));
  return text.substr(text.find("{\n") + 2);
}

TEST(NarrowIndices, PlacesAreComputedIn32Bits) {
  EXPECT_EQ(narrowed("  let place = b * 32 + lane\n  z[place] = 1.0\n"),
            "  {\n    let place = b * 32 + lane\n    z[place] = 1.0\n  }\n}\n");
}

TEST(NarrowIndices, ElementsKeepTheirDigits) {
  EXPECT_EQ(narrowed("  let element = x[lane]\n  y[lane] = element * element\n"),
            "  {\n    let element = x[lane]\n    y[lane] = element * element\n  }\n}\n");
}

TEST(NarrowIndices, AnIndexThatIsStoredIsWidened) {
  EXPECT_EQ(narrowed("  let place = b * 32 + lane\n  y[place] = place\n"),
            "  {\n    let place = b * 32 + lane\n    y[place] = i64(place)\n  }\n}\n");
}

TEST(NarrowIndices, AnElementThatIsAPlaceIsNarrowedWhereItIsUsed) {
  EXPECT_EQ(narrowed("  let element = x[lane]\n  z[element] = 0.0\n  y[lane] = element\n"),
            "  {\n    let element = x[lane]\n    z[i32(element)] = 0.0\n    y[lane] = element\n  }\n}\n");
}

TEST(NarrowIndices, WhatIsNoSumOfElementsIsComputedOfAllTheirDigits) {
  EXPECT_EQ(narrowed("  z[sign(x[lane]) + 2 * x[lane]] = 0.0\n"),
            "  z[i32(sign(x[lane])) + 2 * i32(x[lane])] = 0.0\n}\n");
}

TEST(NarrowIndices, AConstantOfManyDigitsKeepsThem) {
  EXPECT_EQ(narrowed("  let least = -9223372036854775807\n  y[lane] = max(x[lane], least + lane)\n"),
            "  {\n    let least = -9223372036854775807\n    y[lane] = max(x[lane], least + i64(lane))\n  }\n}\n");
  EXPECT_EQ(narrowed("  z[lane + 4294967296 - 4294967296] = 1.0\n"),
            "  z[i32(i64(lane) + 4294967296 - 4294967296)] = 1.0\n}\n");
}

}  // namespace
}  // namespace quern::compiler
