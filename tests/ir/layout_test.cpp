#include "ir/layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <set>

#include "ir/lexer.h"
#include "quern/error.h"
#include "tests/ir/evaluate_index.h"

namespace quern::ir {
namespace {

using Random = std::mt19937;
using Coordinate = std::vector<std::int64_t>;

constexpr std::array kPlaces{Place::address, Place::warp, Place::lane, Place::reg};
constexpr int kRounds = 200;

int pick(Random& random, int lo, int hi) { return std::uniform_int_distribution<int>(lo, hi)(random); }

// Digits of the places, in random order over the modes, each place a mixed radix: a bijection.
Layout random_bijection(Random& random, const std::vector<Place>& places) {
  Layout layout;
  layout.modes.resize(pick(random, 1, 3));
  for (Place place : places) {
    std::int64_t stride = 1;
    for (int d = pick(random, 1, 2); d > 0; --d) {
      const std::int64_t extent = pick(random, 2, 4);
      Mode& mode = layout.modes[pick(random, 0, static_cast<int>(layout.modes.size()) - 1)];
      mode.insert(mode.begin() + pick(random, 0, static_cast<int>(mode.size())), Digit{extent, place, stride});
      stride *= extent;
    }
  }
  return layout;
}

Layout random_distribution(Random& random) { return random_bijection(random, {Place::warp, Place::lane, Place::reg}); }

// Any small digits: often two coordinates share a place.
Layout random_layout(Random& random) {
  Layout layout;
  layout.modes.resize(pick(random, 1, 3));
  for (Mode& mode : layout.modes) {
    for (int d = pick(random, 0, 2); d > 0; --d) {
      mode.push_back({pick(random, 1, 4), kPlaces[pick(random, 1, 3)], pick(random, 0, 6)});
    }
  }
  return layout;
}

std::vector<Coordinate> all_coordinates(const Layout& layout) {
  std::vector<Coordinate> result{{}};
  for (const Mode& mode : layout.modes) {
    std::vector<Coordinate> longer;
    for (const Coordinate& prefix : result) {
      for (std::int64_t c = 0; c < extent(mode); ++c) {
        longer.push_back(prefix);
        longer.back().push_back(c);
      }
    }
    result = std::move(longer);
  }
  return result;
}

std::array<std::int64_t, 4> places_of(const Layout& layout, const Coordinate& coordinate) {
  std::array<std::int64_t, 4> places{};
  for (Place place : kPlaces) places[static_cast<int>(place)] = apply(layout, place, coordinate);
  return places;
}

TEST(Layout, RowMajorAndPaddedAddresses) {
  EXPECT_EQ(to_string(row_major(std::vector<std::int64_t>{4, 16, 128})), "[4:addr*2048, 16:addr*128, 128:addr*1]");
  EXPECT_EQ(to_string(padded(std::vector<std::int64_t>{4, 16, 128}, 8)), "[4:addr*2176, 16:addr*136, 128:addr*1]");
  EXPECT_EQ(to_string(row_major(std::vector<std::int64_t>{})), "[]");
}

TEST(Layout, SpanIsOneMoreThanTheLargestPlace) {
  Random random(1);
  for (int round = 0; round < kRounds; ++round) {
    const Layout layout = random_layout(random);
    SCOPED_TRACE(to_string(layout));
    for (Place place : kPlaces) {
      std::int64_t largest = 0;
      for (const Coordinate& c : all_coordinates(layout)) largest = std::max(largest, apply(layout, place, c));
      EXPECT_EQ(span_of(layout, place), largest + 1);
    }
  }
}

TEST(Layout, InjectiveExactlyWhenPlacesDifferAndRegistersAreDense) {
  Random random(2);
  int injective = 0;
  for (int round = 0; round < 5 * kRounds; ++round) {
    const Layout layout = round % 2 ? random_layout(random) : random_distribution(random);
    SCOPED_TRACE(to_string(layout));
    std::set<std::array<std::int64_t, 4>> places;
    std::set<std::int64_t> registers;
    const std::vector<Coordinate> coordinates = all_coordinates(layout);
    for (const Coordinate& c : coordinates) {
      places.insert(places_of(layout, c));
      registers.insert(apply(layout, Place::reg, c));
    }
    const bool expected =
        places.size() == coordinates.size() && *registers.rbegin() + 1 == static_cast<std::int64_t>(registers.size());
    EXPECT_EQ(is_injective(layout), expected);
    injective += expected;
  }
  EXPECT_GT(injective, kRounds);
}

TEST(Layout, InvertFindsExactlyThePlacesReached) {
  Random random(3);
  for (int round = 0; round < kRounds; ++round) {
    Layout layout = random_bijection(random, {Place::address, Place::warp});
    if (round % 2) layout.swizzle = {pick(random, 1, 2), pick(random, 0, 2), pick(random, 2, 3)};
    SCOPED_TRACE(to_string(layout));
    std::int64_t found = 0;
    for (const Coordinate& c : all_coordinates(layout)) {
      const auto places = places_of(layout, c);
      ASSERT_EQ(invert(layout, places), c);
    }
    for (std::int64_t address = 0; address < span_of(layout, Place::address); ++address) {
      for (std::int64_t warp = 0; warp < span_of(layout, Place::warp); ++warp) {
        found += invert(layout, std::array<std::int64_t, 4>{address, warp, 0, 0}).has_value();
      }
    }
    EXPECT_EQ(found, size(layout));
    EXPECT_FALSE(invert(layout, std::array<std::int64_t, 4>{0, 0, 1, 0}));
  }
}

TEST(Layout, SwizzlesPermuteTheirPeriod) {
  for (int bits = 1; bits <= 3; ++bits) {
    for (int shift = bits; shift <= 4; ++shift) {
      Layout layout = row_major(std::vector<std::int64_t>{std::int64_t{1} << (bits + shift + 2)});
      layout.swizzle = {bits, 1, shift};
      std::set<std::int64_t> seen;
      for (const Coordinate& c : all_coordinates(layout)) {
        const std::int64_t address = apply(layout, Place::address, c);
        EXPECT_EQ(apply(layout, Place::address, Coordinate{address}), c[0]);
        seen.insert(address);
      }
      EXPECT_EQ(static_cast<std::int64_t>(seen.size()), size(layout));
      EXPECT_EQ(*seen.rbegin() + 1, size(layout));
    }
  }
}

TEST(Layout, SymbolicApplyEqualsNumericApply) {
  Random random(4);
  for (int round = 0; round < kRounds; ++round) {
    Layout layout = round % 3 ? random_layout(random) : random_bijection(random, {Place::address, Place::reg});
    if (round % 3 == 0) layout.swizzle = {2, 1, 2};
    SCOPED_TRACE(to_string(layout));
    std::vector<VarRef> variables;
    std::vector<Expr> symbols;
    for (std::size_t m = 0; m < layout.modes.size(); ++m) {
      variables.push_back(make_var("c", round % 2 ? DType::i64 : DType::i32));
      symbols.emplace_back(variables.back());
    }
    for (Place place : kPlaces) {
      const Expr symbolic = apply(layout, place, symbols);
      for (const Coordinate& c : all_coordinates(layout)) {
        std::map<VarRef, std::int64_t> values;
        for (std::size_t m = 0; m < c.size(); ++m) values[variables[m]] = c[m];
        ASSERT_EQ(evaluate_index(symbolic, values), apply(layout, place, c));
      }
    }
  }
}

TEST(Layout, CoordinatesAreReadBackFromPlaces) {
  Random random(5);
  const std::array<VarRef, 4> variables{make_var("address"), make_var("warp"), make_var("lane"), make_var("reg")};
  const std::array<Expr, 4> symbols{Expr(), variables[1], variables[2], variables[3]};
  for (int round = 0; round < kRounds; ++round) {
    const Layout layout = random_distribution(random);
    SCOPED_TRACE(to_string(layout));
    ASSERT_TRUE(is_radix(layout));
    const std::vector<Expr> symbolic = coordinates(layout, symbols);
    for (const Coordinate& c : all_coordinates(layout)) {
      std::map<VarRef, std::int64_t> values;
      for (Place place : kPlaces) values[variables[static_cast<int>(place)]] = apply(layout, place, c);
      for (std::size_t m = 0; m < c.size(); ++m) ASSERT_EQ(evaluate_index(symbolic[m], values), c[m]);
    }
  }
}

TEST(Layout, LanesThatNoModeMapsToReplicate) {
  const Layout rows = parse_layout("[(8:lane*4, 2:reg*1)]");
  const VarRef lane = make_var("lane"), reg = make_var("reg");
  const Expr row = coordinates(rows, std::array<Expr, 4>{Expr(), Expr(), Expr(lane), Expr(reg)})[0];
  for (int l = 0; l < 32; ++l) EXPECT_EQ(evaluate_index(row, {{lane, l}, {reg, 1}}), 8 + l / 4);
}

TEST(Layout, DivideSplitsCoordinates) {
  Random random(6);
  int divided = 0;
  for (int round = 0; round < kRounds; ++round) {
    const Layout layout = random_distribution(random);
    const int mode = pick(random, 0, static_cast<int>(layout.modes.size()) - 1);
    const std::int64_t by = pick(random, 1, 8);
    SCOPED_TRACE(to_string(layout) + " mode " + std::to_string(mode) + " by " + std::to_string(by));
    const std::optional<Layout> split = divide(layout, mode, by);
    if (!split) continue;
    ++divided;
    ASSERT_EQ(extent(split->modes[mode + 1]), by);
    for (Coordinate c : all_coordinates(layout)) {
      const auto places = places_of(layout, c);
      c.insert(c.begin() + mode + 1, c[mode] % by);
      c[mode] /= by;
      ASSERT_EQ(places_of(*split, c), places);
    }
  }
  EXPECT_GT(divided, kRounds / 4);
  EXPECT_FALSE(divide(parse_layout("[(3:lane*1, 4:reg*1)]"), 0, 2));
}

TEST(Layout, ComposeAppliesOneLayoutAfterTheOther) {
  Random random(7);
  for (int round = 0; round < kRounds; ++round) {
    // The outer layout's digits are runs of common factors, the inner layout's modes any choice of them.
    Layout outer{{{}}, {}}, inner;
    inner.modes.resize(pick(random, 1, 3));
    std::int64_t weight = 1;
    for (int d = pick(random, 1, 3); d > 0; --d) {
      Digit digit{1, kPlaces[pick(random, 0, 3)], pick(random, 0, 9)};
      for (int factors = pick(random, 1, 3); factors > 0; --factors) {
        const std::int64_t factor = pick(random, 2, 3);
        inner.modes[pick(random, 0, static_cast<int>(inner.modes.size()) - 1)].push_back(
            {factor, Place::address, weight});
        digit.extent *= factor;
        weight *= factor;
      }
      outer.modes[0].push_back(digit);
    }
    SCOPED_TRACE(to_string(outer) + " o " + to_string(inner));
    const Layout composed = compose(outer, inner);
    for (const Coordinate& c : all_coordinates(inner)) {
      ASSERT_EQ(places_of(composed, c), places_of(outer, Coordinate{apply(inner, Place::address, c)}));
    }
  }
}

TEST(Layout, ComposeRefusesWhatDoesNotAlign) {
  const auto compose_texts = [](std::string_view a, std::string_view b) {
    return compose(parse_layout(a), parse_layout(b));
  };
  EXPECT_EQ(to_string(compose_texts("[(4:lane*1, 8:reg*1)]", "[16:addr*2]")), "[(2:lane*2, 8:reg*1)]");
  EXPECT_THROW(compose_texts("[(4:lane*1, 8:reg*1)]", "[3:addr*3]"), InternalError);
  EXPECT_THROW(compose_texts("[(4:lane*1, 8:reg*1)]", "[64:addr*1]"), InternalError);
  EXPECT_THROW(compose_texts("[(4:lane*1, 8:reg*1)]", "[4:addr*1, 2:addr*2]"), InternalError);
}

TEST(Layout, ProjectKeepsThreadsAndPacksRegisters) {
  Random random(8);
  for (int round = 0; round < kRounds; ++round) {
    const Layout layout = random_distribution(random);
    std::vector<int> kept;
    for (int m = static_cast<int>(layout.modes.size()); m-- > 0;) {
      if (pick(random, 0, 1)) kept.push_back(m);
    }
    SCOPED_TRACE(to_string(layout));
    const Layout projected = project(layout, kept);
    EXPECT_TRUE(is_injective(projected));
    std::vector<std::pair<std::int64_t, std::int64_t>> registers;
    for (const Coordinate& c : all_coordinates(projected)) {
      Coordinate whole(layout.modes.size());
      for (std::size_t k = 0; k < kept.size(); ++k) whole[kept[k]] = c[k];
      EXPECT_EQ(apply(projected, Place::warp, c), apply(layout, Place::warp, whole));
      EXPECT_EQ(apply(projected, Place::lane, c), apply(layout, Place::lane, whole));
      registers.emplace_back(apply(layout, Place::reg, whole), apply(projected, Place::reg, c));
    }
    std::ranges::sort(registers);
    EXPECT_TRUE(std::ranges::is_sorted(registers, {}, &std::pair<std::int64_t, std::int64_t>::second));
  }
}

TEST(Layout, TileRepeatsItsTile) {
  const Layout atom = parse_layout("[(8:lane*4, 2:reg*2), (2:reg*1, 4:lane*1)]");
  const Layout block = parse_layout("[(2:warp*1, 3:reg*2), 2:reg*1]");
  const Layout tiled = tile(atom, block);
  EXPECT_EQ(to_string(tiled), "[(8:lane*4, 2:reg*2, 2:warp*1, 3:reg*8), (2:reg*1, 4:lane*1, 2:reg*4)]");
  EXPECT_TRUE(is_injective(tiled));
  for (const Coordinate& c : all_coordinates(tiled)) {
    const Coordinate inner{c[0] % 16, c[1] % 8}, outer{c[0] / 16, c[1] / 8};
    EXPECT_EQ(apply(tiled, Place::reg, c), apply(atom, Place::reg, inner) + 4 * apply(block, Place::reg, outer));
    EXPECT_EQ(apply(tiled, Place::lane, c), apply(atom, Place::lane, inner));
    EXPECT_EQ(apply(tiled, Place::warp, c), apply(block, Place::warp, outer));
  }
  EXPECT_EQ(to_string(untile(tiled, atom).value()), "[(2:warp*1, 3:reg*8), 2:reg*4]");
  EXPECT_FALSE(untile(tiled, parse_layout("[(8:lane*4, 2:reg*1), (2:reg*1, 4:lane*1)]")));
  EXPECT_EQ(to_string(tile(parse_layout("[8:lane*4]"), parse_layout("[2:lane*1]"))), "[(8:lane*4, 2:lane*32)]");
}

TEST(LayoutText, RoundTrips) {
  Random random(9);
  for (int round = 0; round < kRounds; ++round) {
    Layout layout = random_layout(random);
    if (round % 2) layout.swizzle = {pick(random, 1, 3), pick(random, 0, 4), pick(random, 3, 5)};
    const std::string text = to_string(layout);
    EXPECT_EQ(parse_layout(text), layout) << text;
    EXPECT_EQ(to_string(parse_layout(text)), text);
  }
}

TEST(LayoutText, ReadsAPrefix) {
  TokenStream tokens("[ 16:addr*128 ,128:addr*1 ] ^ swizzle(3, 3, 3) align 16");
  EXPECT_EQ(to_string(parse_layout(tokens)), "[16:addr*128, 128:addr*1] ^ swizzle(3, 3, 3)");
  EXPECT_TRUE(tokens.at("align"));
}

// The first line of the error.
std::string refusal(std::string_view text) {
  try {
    parse_layout(text);
  } catch (const Error& error) {
    const std::string message = error.what();
    return message.substr(0, message.find('\n'));
  }
  return "";
}

TEST(LayoutText, RefusesWithTheColumn) {
  EXPECT_EQ(refusal("[16:addr*128, 2 addr]"), "1:17: expected ':', got 'addr'");
  EXPECT_EQ(refusal("[16:row*1]"), "1:5: expected addr, warp, lane or reg, got 'row'");
  EXPECT_EQ(refusal("[0:addr*1]"), "1:2: a digit's extent is 1 to 1099511627776, here 0");
  EXPECT_EQ(refusal("[2:addr*1] ^ swizzle(3, 3, 2)"), "1:12: a swizzle of 3 bits shifts by at least 3");
  EXPECT_EQ(refusal("[2:addr*1] x"), "1:12: expected the layout's end, got 'x'");
  EXPECT_EQ(refusal("[2:addr*99999999999999]"), "1:9: a digit's stride is 0 to 1099511627776, here 99999999999999");
}

}  // namespace
}  // namespace quern::ir
