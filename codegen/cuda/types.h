#pragma once
// How dtypes and constants are spelled in generated CUDA C. Pure functions; thread-safe.

#include <string>
#include <string_view>

#include "ir/expr.h"

namespace quern::codegen {

// The type of a value: "float", "long long", "bf16" (a struct of the prelude), "bool".
std::string_view value_type(DType dtype);

// The type of an element in memory or in a register array. As value_type, but bools are bytes there.
std::string_view element_type(DType dtype);

// Floats that are stored only: arithmetic converts them to float and rounds its result.
bool is_narrow_float(DType dtype);

// A float literal of the value: "0.5f", "-infinity"; of an f64 "0.5".
std::string float_literal(double value, bool is_f64);

// The literal of a constant of its value_type. An i64 that fits an int stands without suffix unless `exact`; bytes and
// shorts are ints. Negative ones begin with a minus sign.
std::string literal(const ir::Node& constant, bool exact);

}  // namespace quern::codegen
