#pragma once
// Opening devices.

#include <string_view>

#include "runtime/device.h"

namespace quern::api {

// The device of that id; empty: the best one present, GPUs first. Error saying what is missing.
runtime::Device& open_device(std::string_view id);

}  // namespace quern::api
