#pragma once
// The rules of kernel programs (ir/kernel.h), in both forms. They run between passes.

#include "ir/kernel.h"

namespace quern::ir {

// Throws InternalError naming the kernel, the statement and the rule that it breaks. Thread-safe.
void verify(const Kernel& kernel);

}  // namespace quern::ir
