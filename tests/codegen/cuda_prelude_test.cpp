#include <gtest/gtest.h>

#include <algorithm>

#include "codegen/cuda/prelude.h"
#include "ir/intrinsics.h"
#include "ir/scalar_functions.h"

namespace quern::codegen {
namespace {

bool is_defined(std::string_view name) {
  return std::ranges::any_of(prelude_pieces(), [&](const PreludePiece& piece) { return piece.names[0] == name; });
}

TEST(Prelude, DefinesEveryIntrinsicOfTheTable) {
  for (const ir::IntrinsicRow& row : ir::intrinsics()) {
    if (row.prelude.empty() || row.prelude.starts_with("__")) continue;
    const std::string name(row.prelude);
    EXPECT_TRUE(row.min_args == row.max_args ? is_defined(name) : is_defined(name + "_3d")) << name;
  }
}

TEST(Prelude, DefinesEveryFunctionThatTheTableSpellsWithIt) {
  for (const ir::ScalarFunction& row : ir::scalar_functions()) {
    for (const std::string_view name : identifiers(row.cuda)) {
      if (!name.starts_with("q_")) continue;
      EXPECT_TRUE(is_defined(name)) << name;
    }
  }
}

TEST(Prelude, GivesATextWhatItUsesAndWhatThatUses) {
  const std::string text = prelude_for("y[i] = to_f8e4m3(q_max(x[i], 0.0f));");
  const auto at = [&](std::string_view part) { return text.find(part); };
  EXPECT_LT(at("struct f8e4m3"), at("f8e4m3 to_f8e4m3("));
  EXPECT_LT(at("round_to_f8(float x)"), at("f8e4m3 to_f8e4m3("));
  EXPECT_NE(at("float q_max(float a"), std::string::npos);
  EXPECT_EQ(at("to_f8e5m2"), std::string::npos);
  EXPECT_EQ(at("q_min"), std::string::npos);
}

TEST(Prelude, OverloadsOfATypeComeWithThatType) {
  EXPECT_EQ(prelude_for("to_float(x)"), "");
  const std::string text = prelude_for("bf16 x; to_float(x);");
  EXPECT_NE(text.find("float to_float(bf16 x)"), std::string::npos);
  EXPECT_EQ(text.find("float to_float(f16 x)"), std::string::npos);
}

TEST(Prelude, CommentsAndLiteralsUseNothing) {
  EXPECT_EQ(prelude_for("// copy<16>(a, b) to q_max\nasm(\"q_min \\\" q_abs\");"), "");
  EXPECT_EQ(identifiers("a1 = 0x1fu + b_2 * 3e5f; // c"), (std::vector<std::string_view>{"a1", "b_2"}));
}

TEST(Prelude, NamesOfPiecesAreReserved) {
  const auto is_reserved = [](std::string_view name) {
    return std::ranges::find(reserved_names(), name) != reserved_names().end();
  };
  for (const std::string_view name : {"copy", "to_float", "bf16", "threadIdx", "float", "expf", "TensorMap"}) {
    EXPECT_TRUE(is_reserved(name)) << name;
  }
  for (const std::string_view name : {"a", "x", "lane", "stage", "place", "full"})
    EXPECT_FALSE(is_reserved(name)) << name;
}

}  // namespace
}  // namespace quern::codegen
