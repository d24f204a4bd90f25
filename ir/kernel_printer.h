#pragma once
// Kernel programs as text (docs/kernel_language.md): one statement a line, bodies in braces, expressions as in tensor
// programs. parse_kernel(to_string(k)) equals k. Pure functions, thread-safe.

#include <span>
#include <string>
#include <string_view>

#include "ir/kernel.h"

namespace quern::ir {

std::string to_string(const Kernel& kernel);

struct Kernel;

// The first line of a statement, with names of its own, for messages; tensor maps by the names that they have in the
// kernel, by their numbers without one.
std::string headline(const Stmt& stmt, const Kernel* kernel = nullptr);

std::string_view name(Via via);
std::string_view name(MmaKind kind);
std::string_view name(ForKind kind);    // empty: serial
std::string_view name(CacheHint hint);  // empty: none

// The words of the statements' grammar, intrinsics left out. No variable or buffer is printed under one of them.
std::span<const std::string_view> kernel_words();

}  // namespace quern::ir
