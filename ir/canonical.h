#pragma once
// When two tensor programs are the same: equal up to names and the order of definitions. Thread-safe.

#include <string>

#include "base/digest.h"
#include "ir/tensor.h"

namespace quern::ir {

// The program with every name replaced by its place (t0, s0, a0, ...), every range and dtype written, definitions in
// the order in which the outputs reach them. Its own name is left out. The text of one meaning never changes within
// one version of the language, which it starts with.
std::string canonical_text(const Program& program);

bool equal(const Program& a, const Program& b);

// Of the canonical text: the part of a key that says what is computed.
Digest digest(const Program& program);

}  // namespace quern::ir
