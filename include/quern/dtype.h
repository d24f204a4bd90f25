#pragma once
// The element types of tensors. Thread-safe: everything here is a pure function of its arguments.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "quern/export.h"

namespace quern {

enum class DType : std::uint8_t {
  f64,
  f32,
  f16,
  bf16,
  f8e4m3,
  f8e5m2,
  i64,
  i32,
  i16,
  i8,
  u64,
  u32,
  u16,
  u8,
  boolean,
};

inline constexpr int kDTypeCount = 15;

enum class DTypeKind : std::uint8_t { floating, signed_integer, unsigned_integer, boolean };

// What is known of one dtype. `digits` is the number of significand bits of a float, the implicit one included,
// and of value bits of an integer (sign excluded).
struct DTypeInfo {
  std::string_view name;  // as written in programs: "f32", "bool"
  DTypeKind kind;
  int bytes;
  int digits;
};

// The row of `dtype` in the one table of dtypes.
QUERN_API const DTypeInfo& info(DType dtype);

// The dtype named `name`, or nothing.
QUERN_API std::optional<DType> parse_dtype(std::string_view name);

inline std::string_view name(DType dtype) { return info(dtype).name; }
inline int byte_size(DType dtype) { return info(dtype).bytes; }
inline bool is_float(DType dtype) { return info(dtype).kind == DTypeKind::floating; }
inline bool is_signed_integer(DType dtype) { return info(dtype).kind == DTypeKind::signed_integer; }
inline bool is_unsigned_integer(DType dtype) { return info(dtype).kind == DTypeKind::unsigned_integer; }
inline bool is_integer(DType dtype) { return is_signed_integer(dtype) || is_unsigned_integer(dtype); }
inline bool is_bool(DType dtype) { return dtype == DType::boolean; }

}  // namespace quern
