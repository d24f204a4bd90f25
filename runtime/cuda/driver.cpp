#include "runtime/cuda/driver.h"

#include <dlfcn.h>

#include <algorithm>
#include <string>

#include "base/error.h"

namespace quern::runtime::cuda {
namespace {

constexpr const char* kLibrary = "libcuda.so.1";
constexpr int kOldestDriver = 12040;  // cuFuncLoad, cuKernelGetParamInfo

std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

void* open_library() {
  if (void* library = dlopen(kLibrary, RTLD_LAZY | RTLD_LOCAL)) return library;
  const char* reason = dlerror();
  fail(
      "no CUDA driver: looked for {} in the system's library folders and LD_LIBRARY_PATH ({}); a GPU needs NVIDIA's "
      "driver for CUDA {} or newer",
      kLibrary, reason != nullptr ? reason : "not found", version_text(kOldestDriver));
}

template <typename Function>
Function symbol(void* library, const char* name) {
  auto function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr) {
    fail("the CUDA driver {} lacks {}: it is older than CUDA {}; update NVIDIA's driver", kLibrary, name,
         version_text(kOldestDriver));
  }
  return function;
}

std::string describe(const Driver& table, CUresult result) {
  const char* name = nullptr;
  const char* text = nullptr;
  if (table.cuGetErrorName != nullptr) table.cuGetErrorName(result, &name);
  if (table.cuGetErrorString != nullptr) table.cuGetErrorString(result, &text);
  return fmt::format("{} ({})", name != nullptr ? name : fmt::format("error {}", static_cast<int>(result)),
                     text != nullptr ? text : "no description");
}

Driver load_driver() {
  void* library = open_library();
  Driver table;
  symbol<decltype(&::cuDriverGetVersion)>(library, "cuDriverGetVersion")(&table.version);
  if (table.version < kOldestDriver) {
    fail("the CUDA driver {} is for CUDA {}, Quern needs one for {} or newer; update NVIDIA's driver", kLibrary,
         version_text(table.version), version_text(kOldestDriver));
  }
  // The second version of cuGetProcAddress reports why a symbol is missing; drivers have it since 12.0.
  const auto get = symbol<CUresult (*)(const char*, void**, int, cuuint64_t, CUdriverProcAddressQueryResult*)>(
      library, "cuGetProcAddress_v2");
  const int version = std::min(table.version, CUDA_VERSION);
  const auto resolve = [&](const char* name, auto& function) {
    void* address = nullptr;
    CUdriverProcAddressQueryResult status = CU_GET_PROC_ADDRESS_SUCCESS;
    get(name, &address, version, CU_GET_PROC_ADDRESS_LEGACY_STREAM, &status);
    if (address == nullptr) {
      fail("the CUDA driver {} of version {} lacks {} (status {}); update NVIDIA's driver", kLibrary,
           version_text(table.version), name, static_cast<int>(status));
    }
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(address);
  };
#define QUERN_RESOLVE(name) resolve(#name, table.name);
  QUERN_CUDA_DRIVER_FUNCTIONS(QUERN_RESOLVE)
#undef QUERN_RESOLVE
  if (const CUresult result = table.cuInit(0); result != CUDA_SUCCESS) {
    fail("the CUDA driver {} of version {} found no usable GPU: {}", kLibrary, version_text(table.version),
         describe(table, result));
  }
  return table;
}

}  // namespace

const Driver& driver() {
  static const Driver table = load_driver();
  return table;
}

void check(CUresult result, std::string_view what) {
  if (result == CUDA_SUCCESS) [[likely]]
    return;
  fail("{}: the CUDA driver says {}", what, describe(driver(), result));
}

}  // namespace quern::runtime::cuda
