#pragma once
// How much memory the host can still give. Systems that overcommit grant more than they have and kill the process that
// uses it, so what is large is asked for here first.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "quern/dtype.h"

namespace quern::runtime {

// Bytes of memory that the machine has.
std::int64_t physical_memory();

// Bytes that this process can still use: the system's estimate, at most the limit of its control group.
std::int64_t available_host_memory();

// Throws Error with the bytes wanted, for what, and those available, where they do not suffice. Small blocks are not
// worth asking for.
void require_host_memory(std::size_t bytes, std::string_view purpose);

// Bytes of a dense array; 2^63 - 1, which no memory has, where they are more.
std::size_t array_bytes(DType dtype, std::span<const std::int64_t> shape);

}  // namespace quern::runtime
