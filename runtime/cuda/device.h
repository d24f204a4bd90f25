#pragma once
// NVIDIA GPUs through the driver API.

#include <string>
#include <vector>

#include "runtime/device.h"

namespace quern::runtime::cuda {

// All GPUs that the driver shows and whose architecture Quern knows. Throws Error saying why there is none.
std::vector<DeviceInfo> list_devices();

// GPU `index`, opened once per process on its primary context, which is never reset. Throws Error when there is none.
Device& open_device(int index);

}  // namespace quern::runtime::cuda
