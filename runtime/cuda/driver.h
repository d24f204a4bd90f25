#pragma once
// The CUDA driver, opened with dlopen. Nothing here is linked; a machine without a driver gets an Error that says what
// was looked for. Internal to runtime/cuda: the only header that shows cuda.h.

#include <cuda.h>

#include <string_view>

namespace quern::runtime::cuda {

// Every driver function in use. Each is resolved by cuGetProcAddress once.
#define QUERN_CUDA_DRIVER_FUNCTIONS(X)           \
  X(cuInit)                                      \
  X(cuDriverGetVersion)                          \
  X(cuGetErrorName)                              \
  X(cuGetErrorString)                            \
  X(cuDeviceGetCount)                            \
  X(cuDeviceGet)                                 \
  X(cuDeviceGetName)                             \
  X(cuDeviceGetUuid)                             \
  X(cuDeviceGetAttribute)                        \
  X(cuDeviceTotalMem)                            \
  X(cuDevicePrimaryCtxRetain)                    \
  X(cuCtxGetCurrent)                             \
  X(cuCtxGetDevice)                              \
  X(cuCtxPushCurrent)                            \
  X(cuCtxPopCurrent)                             \
  X(cuMemGetInfo)                                \
  X(cuMemAlloc)                                  \
  X(cuMemFree)                                   \
  X(cuMemcpyAsync)                               \
  X(cuMemsetD8Async)                             \
  X(cuMemPoolCreate)                             \
  X(cuMemPoolTrimTo)                             \
  X(cuMemPoolSetAttribute)                       \
  X(cuMemAllocFromPoolAsync)                     \
  X(cuMemFreeAsync)                              \
  X(cuStreamCreate)                              \
  X(cuStreamDestroy)                             \
  X(cuStreamSynchronize)                         \
  X(cuStreamIsCapturing)                         \
  X(cuStreamBeginCapture)                        \
  X(cuStreamEndCapture)                          \
  X(cuGraphInstantiateWithFlags)                 \
  X(cuGraphLaunch)                               \
  X(cuGraphExecDestroy)                          \
  X(cuGraphDestroy)                              \
  X(cuEventCreate)                               \
  X(cuEventRecord)                               \
  X(cuEventSynchronize)                          \
  X(cuEventElapsedTime)                          \
  X(cuEventDestroy)                              \
  X(cuLibraryLoadData)                           \
  X(cuLibraryUnload)                             \
  X(cuLibraryGetKernel)                          \
  X(cuKernelGetFunction)                         \
  X(cuKernelGetAttribute)                        \
  X(cuKernelSetAttribute)                        \
  X(cuKernelGetParamInfo)                        \
  X(cuFuncLoad)                                  \
  X(cuLaunchKernelEx)                            \
  X(cuOccupancyMaxActiveBlocksPerMultiprocessor) \
  X(cuOccupancyMaxActiveClusters)                \
  X(cuTensorMapEncodeTiled)                      \
  X(cuTensorMapEncodeIm2col)

// The functions under their usual names: driver().cuInit(0).
struct Driver {
#define QUERN_DECLARE(name) decltype(&::name) name = nullptr;
  QUERN_CUDA_DRIVER_FUNCTIONS(QUERN_DECLARE)
#undef QUERN_DECLARE
  int version = 0;  // 13000 for 13.0
};

// The initialised driver. Throws Error when there is none, when it is too old, or when it finds no device; a failed
// attempt is repeated by the next call. Thread-safe.
const Driver& driver();

// Throws Error with the driver's name and text of `result` unless it is success. `what` says what was attempted.
void check(CUresult result, std::string_view what);

}  // namespace quern::runtime::cuda
