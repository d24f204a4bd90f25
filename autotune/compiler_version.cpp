#include "autotune/compiler_version.h"

#include "base/error.h"
#if QUERN_WITH_CUDA
#include "runtime/cuda/nvrtc.h"
#endif

namespace quern::autotune {

std::string compiler_version(const Target& target, [[maybe_unused]] const std::string& nvrtc_path) {
  if (!target.is_gpu()) return QUERN_WITH_CPU ? "LLVM 19" : "";
#if QUERN_WITH_CUDA
  try {
    const auto& nvrtc = runtime::cuda::Nvrtc::get(nvrtc_path);
    return fmt::format("NVRTC {}.{}", nvrtc.version_major(), nvrtc.version_minor());
  } catch (const Error&) {
    return "";
  }
#else
  return "";
#endif
}

}  // namespace quern::autotune
