#include "runtime/cuda/context.h"

#include "base/error.h"

namespace quern::runtime::cuda {

CurrentContext::CurrentContext(const Gpu& gpu) {
  const Driver& d = driver();
  CUcontext current = nullptr;
  check(d.cuCtxGetCurrent(&current), "reading the current CUDA context");
  if (current == gpu.primary) return;
  CUdevice device = -1;
  if (current != nullptr && d.cuCtxGetDevice(&device) == CUDA_SUCCESS && device == gpu.device) return;
  check(d.cuCtxPushCurrent(gpu.primary), "entering the device's CUDA context");
  pushed_ = true;
}

CurrentContext::~CurrentContext() {
  CUcontext popped = nullptr;
  if (pushed_) driver().cuCtxPopCurrent(&popped);
}

bool is_capturing(CUstream stream) {
  CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
  const CUresult result = driver().cuStreamIsCapturing(stream, &status);
  // The default stream may not even be asked while another one captures in global mode.
  if (result == CUDA_ERROR_STREAM_CAPTURE_IMPLICIT) return true;
  check(result, "asking whether the stream is capturing");
  return status != CU_STREAM_CAPTURE_STATUS_NONE;
}

void fail_out_of_memory(const Gpu& gpu, std::size_t bytes, CUresult result) {
  if (result != CUDA_ERROR_OUT_OF_MEMORY) check(result, fmt::format("allocating {} bytes on {}", bytes, gpu.id));
  std::size_t free = 0, total = 0;
  driver().cuMemGetInfo(&free, &total);
  throw Error(exhausted(gpu.id, bytes, free, total));
}

std::string exhausted(std::string_view device, std::size_t bytes, std::size_t free, std::size_t total) {
  return fmt::format(
      "device memory exhausted on {}: {} bytes wanted, {} of {} free; release other buffers or use smaller sizes",
      device, bytes, free, total);
}

}  // namespace quern::runtime::cuda
