#include "base/digest.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <set>

namespace quern {
namespace {

Digest of(auto... fields) {
  Digest::Builder builder;
  (builder.add(fields), ...);
  return builder.finish();
}

TEST(Digest, IsStable) {
  EXPECT_EQ(to_text(of()), "99aa06d3014798d86001c324468d497f") << "XXH3-128 of nothing";
  EXPECT_EQ(to_text(of("quern", 1)), to_text(of(std::string_view("quern"), std::int64_t{1})));
}

TEST(Digest, FieldsDoNotRunIntoEachOther) {
  const std::array bytes = {std::byte{'a'}};
  const std::set<Digest> all = {of("ab", "c"), of("a", "bc"),
                                of("abc"),     of("abc", ""),
                                of("", "abc"), of(1, 2),
                                of(2, 1),      of(12),
                                of("1", "2"),  of(1.0),
                                of(0.0),       of(-0.0),
                                of("a"),       of(std::span<const std::byte>(bytes)),
                                of(of("a")),   of(std::string_view("a\0", 2))};
  EXPECT_EQ(all.size(), 16u);
}

TEST(Digest, TextRoundTrips) {
  const Digest digest = of("x", 3);
  EXPECT_EQ(parse_digest(to_text(digest)), digest);
  EXPECT_EQ(to_text(Digest{1, 2}), "00000000000000010000000000000002");
  EXPECT_EQ(parse_digest(""), std::nullopt);
  EXPECT_EQ(parse_digest("0000000000000001000000000000000g"), std::nullopt);
  EXPECT_EQ(parse_digest("-000000000000001+000000000000002"), std::nullopt);
}

}  // namespace
}  // namespace quern
