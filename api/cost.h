#pragma once
// What a tensor program moves and computes, counted from its definitions.

#include "api/host.h"
#include "base/target.h"
#include "ir/tensor.h"

namespace quern::api {

// Every call of a scalar function counts one, every element of a reduction one more: a multiply-add two. Conversions
// and index arithmetic count nothing. What a condition leaves out is counted.
double operation_count(const ir::Program& program, const SymbolValues& symbols);

// Bytes of the arguments, each once: inputs that are read, outputs with what they update.
double bytes_read(const ir::Program& program, const SymbolValues& symbols);
double bytes_written(const ir::Program& program, const SymbolValues& symbols);

// The nominal rate of the arithmetic that one kernel's program asks for, in operations per second.
double arithmetic_rate(const ir::Program& kernel, const Target& target);

}  // namespace quern::api
