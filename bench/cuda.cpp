#include "bench/cuda.h"

#if QUERN_BENCH_CUDA

#include <charconv>

#include "base/error.h"

namespace quern::bench {
namespace {

// By the names that the driver exports, which cuda.h hides behind macros.
struct Driver {
  Library library = Library::open("a CUDA library", "libcuda.so.1", "Install NVIDIA's driver");
  CUresult (*init)(unsigned) = nullptr;
  CUresult (*device_get)(CUdevice*, int) = nullptr;
  CUresult (*retain)(CUcontext*, CUdevice) = nullptr;
  CUresult (*set_current)(CUcontext) = nullptr;
  CUresult (*copy)(CUdeviceptr, CUdeviceptr, std::size_t, CUstream) = nullptr;

  Driver() {
    library.find(init, "cuInit");
    library.find(device_get, "cuDeviceGet");
    library.find(retain, "cuDevicePrimaryCtxRetain");
    library.find(set_current, "cuCtxSetCurrent");
    library.find(copy, "cuMemcpyDtoDAsync_v2");
  }
};

const Driver& driver() {
  static const Driver kOpened;
  return kOpened;
}

void check(CUresult result, std::string_view what) {
  if (result != CUDA_SUCCESS) fail("the CUDA driver failed at {} with error {}", what, static_cast<int>(result));
}

}  // namespace

void use_primary_context(const Device& device) {
  const std::string id = device.info().id;  // "cuda:0"
  int index = 0;
  const std::size_t digits = id.find(':') + 1;
  std::from_chars(id.data() + digits, id.data() + id.size(), index);
  CUdevice handle = 0;
  CUcontext context = nullptr;  // kept to the end of the process
  check(driver().init(0), "cuInit");
  check(driver().device_get(&handle, index), "cuDeviceGet");
  check(driver().retain(&context, handle), "cuDevicePrimaryCtxRetain");
  check(driver().set_current(context), "cuCtxSetCurrent");
}

void copy_on_gpu(void* to, const void* from, std::size_t bytes, void* stream) {
  check(driver().copy(reinterpret_cast<CUdeviceptr>(to), reinterpret_cast<CUdeviceptr>(from), bytes,
                      static_cast<CUstream>(stream)),
        "cuMemcpyDtoDAsync");
}

}  // namespace quern::bench

#endif
