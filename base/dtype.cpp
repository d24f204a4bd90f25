#include "quern/dtype.h"

#include <array>

namespace quern {
namespace {

constexpr std::array<DTypeInfo, kDTypeCount> kTable = {{
    {"f64", DTypeKind::floating, 8, 53},
    {"f32", DTypeKind::floating, 4, 24},
    {"f16", DTypeKind::floating, 2, 11},
    {"bf16", DTypeKind::floating, 2, 8},
    {"f8e4m3", DTypeKind::floating, 1, 4},
    {"f8e5m2", DTypeKind::floating, 1, 3},
    {"i64", DTypeKind::signed_integer, 8, 63},
    {"i32", DTypeKind::signed_integer, 4, 31},
    {"i16", DTypeKind::signed_integer, 2, 15},
    {"i8", DTypeKind::signed_integer, 1, 7},
    {"u64", DTypeKind::unsigned_integer, 8, 64},
    {"u32", DTypeKind::unsigned_integer, 4, 32},
    {"u16", DTypeKind::unsigned_integer, 2, 16},
    {"u8", DTypeKind::unsigned_integer, 1, 8},
    {"bool", DTypeKind::boolean, 1, 1},
}};

}  // namespace

const DTypeInfo& info(DType dtype) { return kTable[static_cast<std::size_t>(dtype)]; }

std::optional<DType> parse_dtype(std::string_view name) {
  for (std::size_t i = 0; i < kTable.size(); ++i) {
    if (kTable[i].name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

}  // namespace quern
