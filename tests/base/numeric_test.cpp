#include "base/numeric.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace quern {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

struct FloatFormat {
  DType dtype;
  unsigned patterns;  // all bit patterns
  unsigned largest;   // of the finite positive ones
  bool saturates;
  std::function<unsigned(double)> encode;
  std::function<double(unsigned)> decode;
};

const std::array<FloatFormat, 4> kFormats = {{
    {DType::f16, 1 << 16, 0x7bff, false, f16_from_double,
     [](unsigned b) { return double_from_f16(static_cast<std::uint16_t>(b)); }},
    {DType::bf16, 1 << 16, 0x7f7f, false, bf16_from_double,
     [](unsigned b) { return double_from_bf16(static_cast<std::uint16_t>(b)); }},
    {DType::f8e4m3, 1 << 8, 0x7e, true, f8e4m3_from_double,
     [](unsigned b) { return double_from_f8e4m3(static_cast<std::uint8_t>(b)); }},
    {DType::f8e5m2, 1 << 8, 0x7b, true, f8e5m2_from_double,
     [](unsigned b) { return double_from_f8e5m2(static_cast<std::uint8_t>(b)); }},
}};

class EveryPattern : public testing::TestWithParam<FloatFormat> {};

TEST_P(EveryPattern, SurvivesTheRoundTrip) {
  const FloatFormat& f = GetParam();
  for (unsigned bits = 0; bits < f.patterns; ++bits) {
    const double value = f.decode(bits);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(f.decode(f.encode(value))));
    } else if (std::isinf(value) && f.saturates) {
      EXPECT_EQ(f.decode(f.encode(value)), std::copysign(f.decode(f.largest), value));
    } else {
      ASSERT_EQ(f.encode(value), bits) << value;
    }
  }
}

TEST_P(EveryPattern, TiesGoToEvenAndEverythingElseToTheNearest) {
  const FloatFormat& f = GetParam();
  for (unsigned bits = 0; bits < f.largest; ++bits) {
    const double low = f.decode(bits), high = f.decode(bits + 1), middle = low + (high - low) / 2;
    ASSERT_LT(low, high);
    for (double sign : {1.0, -1.0}) {
      const unsigned negative = sign < 0 ? f.patterns / 2 : 0;
      ASSERT_EQ(f.encode(sign * middle), negative + bits + (bits & 1)) << middle;
      // One place of a double beside the middle: rounding through f32 first would lose it.
      ASSERT_EQ(f.encode(sign * std::nextafter(middle, 0)), negative + bits) << middle;
      ASSERT_EQ(f.encode(sign * std::nextafter(middle, kInf)), negative + bits + 1) << middle;
    }
  }
}

TEST_P(EveryPattern, BeyondTheLargestFiniteNumber) {
  const FloatFormat& f = GetParam();
  const double largest = f.decode(f.largest);
  const double over = largest + (largest - f.decode(f.largest - 1)) / 2;
  const double beyond = f.saturates ? largest : kInf;
  EXPECT_EQ(f.decode(f.encode(std::nextafter(over, 0))), largest);
  for (double value : {over, 2 * largest, 1e300, kInf}) {
    EXPECT_EQ(f.decode(f.encode(value)), beyond);
    EXPECT_EQ(f.decode(f.encode(-value)), -beyond);
  }
  EXPECT_EQ(f.encode(5e-324), 0u);
  EXPECT_EQ(f.encode(-1e-300), f.patterns / 2);
}

TEST_P(EveryPattern, LoadsAndStoresAgreeWithTheScalars) {
  const FloatFormat& f = GetParam();
  std::array<unsigned char, 9> buffer{};
  void* unaligned = buffer.data() + 1;
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal;
  for (int i = 0; i < 1000; ++i) {
    const double value = std::ldexp(normal(random), static_cast<int>(random() % 40) - 20);
    store_element(f.dtype, unaligned, 2, value);
    EXPECT_EQ(load_element(f.dtype, unaligned, 2), f.decode(f.encode(value)));
    EXPECT_EQ(round_to(f.dtype, value), f.decode(f.encode(value)));
  }
}

INSTANTIATE_TEST_SUITE_P(Numeric, EveryPattern, testing::ValuesIn(kFormats),
                         [](const auto& param) { return std::string(name(param.param.dtype)); });

TEST(Numeric, KnownPatterns) {
  EXPECT_EQ(f16_from_double(1.0), 0x3c00);
  EXPECT_EQ(f16_from_double(65504), 0x7bff);
  EXPECT_EQ(f16_from_double(65520), 0x7c00);
  EXPECT_EQ(f16_from_double(0x1p-24), 1);
  EXPECT_EQ(bf16_from_double(-2.0), 0xc000);
  EXPECT_EQ(f8e4m3_from_double(448), 0x7e);
  EXPECT_EQ(f8e4m3_from_double(1e9), 0x7e);
  EXPECT_EQ(f8e4m3_from_double(kNaN), 0x7f);
  EXPECT_EQ(f8e4m3_from_double(-0.0), 0x80);
  EXPECT_EQ(f8e5m2_from_double(kInf), 0x7b);
  EXPECT_EQ(double_from_f8e5m2(0x7c), kInf);
  EXPECT_TRUE(std::isnan(double_from_f8e4m3(0xff)));
}

TEST(Numeric, Bf16IsTheUpperHalfOfF32) {
  for (unsigned bits = 0; bits < 1 << 16; ++bits) {
    const auto wide = static_cast<double>(std::bit_cast<float>(bits << 16));
    const double value = double_from_bf16(static_cast<std::uint16_t>(bits));
    ASSERT_TRUE(value == wide || (std::isnan(value) && std::isnan(wide))) << bits;
  }
}

TEST(Numeric, Tf32DropsThirteenBits) {
  EXPECT_EQ(truncate_to_tf32(1.0f), 1.0f);
  EXPECT_EQ(truncate_to_tf32(std::nextafter(1.0f, 2.0f)), 1.0f);
  EXPECT_EQ(truncate_to_tf32(-1.0f - 0x1p-10f - 0x1p-11f), -1.0f - 0x1p-10f);
  EXPECT_TRUE(std::isnan(truncate_to_tf32(std::bit_cast<float>(0x7f800001u)))) << "a NaN stays one";
  EXPECT_TRUE(std::isinf(truncate_to_tf32(std::numeric_limits<float>::infinity())));
}

TEST(Numeric, FloatToIntegerTruncatesAndSaturates) {
  EXPECT_EQ(integer_from_double(DType::i32, 2.9), 2);
  EXPECT_EQ(integer_from_double(DType::i32, -2.9), -2);
  EXPECT_EQ(integer_from_double(DType::i32, kNaN), 0);
  EXPECT_EQ(integer_from_double(DType::i32, 1e10), 2147483647);
  EXPECT_EQ(integer_from_double(DType::i32, -kInf), -2147483648LL);
  EXPECT_EQ(integer_from_double(DType::i8, 128), 127);
  EXPECT_EQ(integer_from_double(DType::i8, -128.9), -128);
  EXPECT_EQ(integer_from_double(DType::u8, -1), 0);
  EXPECT_EQ(integer_from_double(DType::u8, 255.9), 255);
  EXPECT_EQ(integer_from_double(DType::u8, 256), 255);
  EXPECT_EQ(integer_from_double(DType::i64, 0x1p63), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(integer_from_double(DType::i64, -0x1p63), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(integer_from_double(DType::i64, -kInf), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(static_cast<std::uint64_t>(integer_from_double(DType::u64, kInf)), ~std::uint64_t{0});
  EXPECT_EQ(static_cast<std::uint64_t>(integer_from_double(DType::u64, 0x1p63)), std::uint64_t{1} << 63);
  EXPECT_EQ(integer_from_double(DType::boolean, 0.25), 1);
  EXPECT_EQ(integer_from_double(DType::boolean, kNaN), 1) << "NaN != 0";
  EXPECT_EQ(integer_from_double(DType::boolean, -0.0), 0);
  EXPECT_EQ(round_to(DType::u64, 1e30), 0x1p64);
  EXPECT_EQ(round_to(DType::i16, -1e30), -32768);
}

TEST(Numeric, WrapAndSaturateAgreeWithTheLanguageTypesOnEvery16BitPattern) {
  for (std::int64_t v = -70000; v <= 70000; ++v) {
    ASSERT_EQ(wrap_integer(DType::i16, v), static_cast<std::int16_t>(v));
    ASSERT_EQ(wrap_integer(DType::u16, v), static_cast<std::uint16_t>(v));
    ASSERT_EQ(wrap_integer(DType::i8, v), static_cast<std::int8_t>(v));
    ASSERT_EQ(wrap_integer(DType::u8, v), static_cast<std::uint8_t>(v));
    ASSERT_EQ(saturate_integer(DType::i8, v), std::clamp<std::int64_t>(v, -128, 127));
    ASSERT_EQ(saturate_integer(DType::u16, v), std::clamp<std::int64_t>(v, 0, 65535));
  }
  EXPECT_EQ(wrap_integer(DType::u32, -1), 0xffffffffLL);
  EXPECT_EQ(wrap_integer(DType::i32, 0x80000000LL), -0x80000000LL);
  EXPECT_EQ(wrap_integer(DType::u64, -1), -1);
  EXPECT_EQ(wrap_integer(DType::boolean, 256), 1);
  EXPECT_EQ(saturate_integer(DType::i64, -5), -5);
  EXPECT_EQ(saturate_integer(DType::u64, -5), 0);
}

TEST(Numeric, IntegersKeepEveryBitInMemory) {
  for (int d = 0; d < kDTypeCount; ++d) {
    const auto dtype = static_cast<DType>(d);
    if (is_float(dtype)) continue;
    SCOPED_TRACE(name(dtype));
    std::vector<std::int64_t> memory(4);
    for (std::int64_t v : {std::int64_t{0}, std::int64_t{1}, std::int64_t{-1}, (std::int64_t{1} << 53) + 1}) {
      store_integer(dtype, memory.data(), 1, v);
      EXPECT_EQ(load_integer(dtype, memory.data(), 1), wrap_integer(dtype, v));
      EXPECT_EQ(load_integer(dtype, memory.data(), 0), 0);
    }
  }
  std::uint64_t large = 0;
  store_element(DType::u64, &large, 0, 1e19);
  EXPECT_EQ(load_element(DType::u64, &large, 0), 1e19);
}

}  // namespace
}  // namespace quern
