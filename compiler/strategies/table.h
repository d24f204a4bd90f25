#pragma once
// The strategies of registry.cpp, each defined in its own file.

#include "compiler/strategies/strategy.h"

namespace quern::compiler {

extern const Strategy kPointwise;
extern const Strategy kReduction;
extern const Strategy kAttention;
extern const Strategy kWgmma;
extern const Strategy kContraction;
extern const Strategy kExtern;

}  // namespace quern::compiler
