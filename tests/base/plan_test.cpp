#include "base/plan.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>

#include "base/error.h"

namespace quern {
namespace {

const PlanExpr m = PlanExpr::symbol(0);
const PlanExpr k = PlanExpr::symbol(1);
const std::array<std::int64_t, kDeviceLimitCount> kLimits = {132, 232448, 233472, 50 << 20, 132};

const void* address(std::uintptr_t value) { return reinterpret_cast<const void*>(value); }

// Uses every kind of node of the plan language.
Plan sample() {
  TensorMapParameter tiled{.base = {PlanPointer::Base::argument, 0, 0},
                           .dtype = DType::bf16,
                           .dims = {k, m},
                           .byte_strides = {k * 2},
                           .element_strides = {1, 1},
                           .box = {64, 128},
                           .lower_corner = {},
                           .upper_corner = {},
                           .swizzle = TensorMapParameter::Swizzle::b128};
  TensorMapParameter im2col{.mode = TensorMapParameter::Mode::im2col,
                            .base = {PlanPointer::Base::workspace, 1, 64},
                            .dtype = DType::f16,
                            .dims = {64, 56, 56, m},
                            .byte_strides = {128, 7168, 401408},
                            .element_strides = {1, 2, 2, 1},
                            .box = {},
                            .lower_corner = {-1, -1},
                            .upper_corner = {1, -2},
                            .channels = 64,
                            .pixels = 128,
                            .fill = TensorMapParameter::Fill::nan,
                            .l2_promotion = TensorMapParameter::L2Promotion::b256};
  Launch main{.kernel = "linear",
              .grid = {min(ceil_div(m, 128), PlanExpr::limit(DeviceLimit::resident_blocks)), 1, 1},
              .threads = 384,
              .cluster = {2, 1, 1},
              .shared_bytes = 200000,
              .parameters = {PlanPointer{PlanPointer::Base::argument, 1, m * 2},
                             PlanPointer{PlanPointer::Base::workspace, 0, 0},
                             ScalarParameter{ScalarParameter::Type::i64, m * k},
                             ScalarParameter{ScalarParameter::Type::f32, k}, FastDivisionParameter{k}, tiled, im2col}};
  Launch repack{.kernel = "repack",
                .grid = {ceil_div(k, 256), 1, 1},
                .threads = 256,
                .shared_bytes = 0,
                .parameters = {PlanPointer{PlanPointer::Base::workspace, 1, 0}}};
  return {
      .name = "linear",
      .target = "cuda:sm_90a",
      .symbols = {{"m", PlanSymbol::Source::dimension, 0, 0}, {"k", PlanSymbol::Source::dimension, 0, 1}},
      .arguments = {{"x", DType::bf16, {m, k}, {k, 1}, false, true, -1}, {"y", DType::f32, {m}, {1}, true, false, -1}},
      .variants = {
          {"tma",
           "copies as it can",
           {ConditionGuard{equal(k % 8, 0)}, ConditionGuard{less(m * k, std::int64_t{1} << 31)}, AlignmentGuard{0, 16}},
           {{m * 4, false}, {m * 1000, true}, {1, false}},
           {{repack, true}, {Memset{{PlanPointer::Base::workspace, 0, 0}, m * 4, 255}, false}, {main, false}}},
          {"plain", "", {ConditionGuard{less(0, m)}}, {}, {}}}};
}

int chosen(const Plan& plan, std::int64_t m_value, std::int64_t k_value, std::uintptr_t x = 4096) {
  const std::array symbols = {m_value, k_value};
  const std::array pointers = {address(x), address(1 << 20)};
  return select_variant(plan, {symbols, kLimits}, pointers);
}

TEST(Plan, RoundTripsThroughJson) {
  const Plan plan = sample();
  const std::string json = to_json(plan);
  const Plan back = plan_from_json(json);
  EXPECT_EQ(back, plan);
  EXPECT_EQ(to_json(back), json);
  EXPECT_NE(json.find(R"(["min",["ceil_div","m",128],"@resident_blocks"])"), std::string::npos) << json;
}

TEST(Plan, RefusesGarbageAndOtherVersions) {
  const std::string json = to_json(sample());
  for (std::size_t cut = 0; cut < json.size(); cut += 37) EXPECT_THROW(plan_from_json(json.substr(0, cut)), Error);
  EXPECT_THROW(plan_from_json("\x7f"
                              "ELF"),
               Error);
  EXPECT_THROW(plan_from_json("[]"), Error);
  EXPECT_THROW(plan_from_json(std::string(100000, '[')), Error);
  const auto replaced = [&json](std::string_view from, std::string_view to) {
    std::string text = json;
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  EXPECT_THROW(plan_from_json(replaced("\"quern_plan\":2", "\"quern_plan\":3")), Error);
  EXPECT_THROW(plan_from_json(replaced("\"ceil_div\",\"m\"", "\"ceil_div\",\"q\"")), Error);
  EXPECT_THROW(plan_from_json(replaced("\"ceil_div\",\"m\",128", "\"ceil_div\",\"m\"")), Error);
  EXPECT_THROW(plan_from_json(replaced("\"threads\":384", "\"threads\":3840")), Error);
  EXPECT_THROW(plan_from_json(replaced("\"threads\":384", "\"threads\":99999999999999999999")), Error);
  EXPECT_THROW(plan_from_json(replaced("\"bf16\"", "\"bf17\"")), Error);
}

TEST(Plan, ValidationNamesWhatIsWrong) {
  const auto message = [](auto&& change) -> std::string {
    Plan plan = sample();
    change(plan);
    try {
      validate(plan);
    } catch (const Error& e) {
      return e.what();
    }
    return "accepted";
  };
  EXPECT_EQ(message([](Plan&) {}), "accepted");
  EXPECT_EQ(message([](Plan& p) { p.variants[0].guards[0] = AlignmentGuard{5, 16}; }),
            "launch plan: variant 'tma': an alignment guard names argument 5 of 2");
  EXPECT_EQ(message([](Plan& p) { p.variants[0].guards[0] = ConditionGuard{PlanExpr::symbol(2)}; }),
            "launch plan: variant 'tma': a guard uses symbol 2 of 2");
  EXPECT_EQ(message([](Plan& p) { p.variants[0].workspace.clear(); }),
            "launch plan: variant 'tma': a pointer names workspace slot 1 of 0");
  EXPECT_EQ(message([](Plan& p) { p.arguments[0].strides.pop_back(); }),
            "launch plan: argument 'x' has 2 dimensions and 1 strides");
  EXPECT_EQ(message([](Plan& p) { p.symbols[1].name = "m"; }), "launch plan: symbol name 'm' is empty or used twice");
  EXPECT_NE(message([](Plan& p) {
              p.variants[0].guards[0] = ConditionGuard{PlanExpr::limit(DeviceLimit::resident_blocks)};
            }).find("resident_blocks"),
            std::string::npos);
  EXPECT_NE(message([](Plan& p) {
              std::get<Launch>(p.variants[0].steps[2].action).shared_bytes = k * 4;
            }).find("cluster or shared memory depend on sizes"),
            std::string::npos);
  EXPECT_EQ(message([](Plan& p) { p.variants.clear(); }), "launch plan: it has no variant");
}

TEST(Plan, TheFirstVariantWhoseGuardsHoldIsChosen) {
  const Plan plan = sample();
  EXPECT_EQ(chosen(plan, 100, 64), 0);
  EXPECT_EQ(chosen(plan, 100, 63), 1);
  EXPECT_EQ(chosen(plan, 100, 64, 4098), 1);
  EXPECT_EQ(chosen(plan, 1 << 20, 1 << 12), 1);
}

TEST(Plan, WhenNoVariantServesTheErrorTellsEveryFailingGuard) {
  try {
    chosen(sample(), 0, 63);
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(),
                 "no kernel of 'linear' serves this call; compile it without the facts that fail:\n"
                 "  variant 'tma' needs k % 8 == 0 (k = 63)\n"
                 "  variant 'plain' needs 0 < m (m = 0)");
  }
  Plan plan = sample();
  plan.variants.pop_back();
  try {
    chosen(plan, 8, 64, 4104);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("variant 'tma' needs x aligned to 16 bytes (it is 0x1008)"), std::string::npos)
        << e.what();
  }
}

TEST(Plan, WorkspaceCountsSlotsRoundedUp) {
  const Plan plan = sample();
  const std::array<std::int64_t, 2> symbols = {100, 64};
  EXPECT_EQ(workspace_bytes(plan.variants[0], {symbols, kLimits}), 512 + 256);
  EXPECT_EQ(workspace_bytes(plan.variants[0], {symbols, kLimits}, true), 100096);
  EXPECT_EQ(workspace_bytes(plan.variants[1], {symbols, kLimits}), 0);
  EXPECT_EQ(workspace_offset(plan.variants[0], 0, {symbols, kLimits}), 0);
  EXPECT_EQ(workspace_offset(plan.variants[0], 1, {symbols, kLimits}), 0) << "the first of the persistent ones";
  EXPECT_EQ(workspace_offset(plan.variants[0], 2, {symbols, kLimits}), 512);
}

TEST(Plan, ByteExtentFollowsStridesOfBothSigns) {
  const std::array<std::int64_t, 2> symbols = {10, 4};
  const PlanContext context{symbols, kLimits};
  const auto extent = [&](std::vector<PlanExpr> shape, std::vector<PlanExpr> strides) {
    return byte_extent({.name = "x", .dtype = DType::f16, .shape = std::move(shape), .strides = std::move(strides)},
                       context);
  };
  EXPECT_EQ(extent({m, k}, {k, 1}).above, 80);
  EXPECT_EQ(extent({m, k}, {0, 1}).above, 8);
  EXPECT_EQ(extent({m, k}, {k * -1, 1}).below, 72);
  EXPECT_EQ(extent({m, k}, {k * -1, 1}).above, 8);
  EXPECT_EQ(extent({m, 0}, {k, 1}).above, 0);
  EXPECT_EQ(extent({}, {}).above, 2);
}

}  // namespace
}  // namespace quern
