#pragma once
// Everything.

#include <string_view>

#include "quern/builder.h"
#include "quern/compile.h"
#include "quern/device.h"
#include "quern/dtype.h"
#include "quern/error.h"
#include "quern/export.h"
#include "quern/expr.h"
#include "quern/host.h"
#include "quern/log.h"
#include "quern/operators.h"
#include "quern/program.h"
#include "quern/simulation.h"
#include "quern/store.h"

namespace quern {

// "0.1.0"
QUERN_API std::string_view version();

}  // namespace quern
