#include "quern/dtype.h"

#include <gtest/gtest.h>

#include <set>

namespace quern {
namespace {

TEST(DType, NamesAreUniqueAndParseBack) {
  std::set<std::string_view> names;
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_TRUE(names.insert(name(dtype)).second) << name(dtype);
    EXPECT_EQ(parse_dtype(name(dtype)), dtype);
  }
}

TEST(DType, UnknownNamesAreNothing) {
  for (const char* text : {"", "f3", "f322", "F32", "float"}) EXPECT_EQ(parse_dtype(text), std::nullopt) << text;
}

TEST(DType, EachHasOneKind) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(is_float(dtype) + is_signed_integer(dtype) + is_unsigned_integer(dtype) + is_bool(dtype), 1);
  }
}

TEST(DType, DigitsFitTheBytes) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    const int sign = is_signed_integer(dtype) ? 1 : 0;
    if (is_integer(dtype)) {
      EXPECT_EQ(info(dtype).digits + sign, 8 * byte_size(dtype)) << name(dtype);
    } else {
      EXPECT_LT(info(dtype).digits, 8 * byte_size(dtype)) << name(dtype);
    }
  }
}

}  // namespace
}  // namespace quern
