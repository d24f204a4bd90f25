// cuDNN: its library, and which workloads it is asked for. Built where its header is.

#include "base/error.h"
#include "bench/cuda.h"
#include "bench/peer.h"

#if QUERN_BENCH_CUDA && QUERN_HAS_PEER

#include <array>

#include "bench/cudnn.h"

namespace quern::bench {
namespace {

Library open_library() {
  // Its engines look for these by name alone.
  static constexpr std::array<std::string_view, 3> kNeeded = {"libcublasLt.so.13", "libcublas.so.13", "libnvrtc.so.13"};
  Library::preload(kNeeded);
  return Library::open("cudnn", "libcudnn.so.9", "Install NVIDIA's cuDNN 9 or its Python wheel nvidia-cudnn-cu13");
}

}  // namespace

Cudnn::Cudnn(const Device& device) : library_(open_library()) {
  decltype(&cudnnCreate) create = nullptr;
  decltype(&cudnnGetVersion) get_version = nullptr;
  find(create, "cudnnCreate");
  find(get_version, "cudnnGetVersion");
  find(destroy_, "cudnnDestroy");
  find(set_stream_, "cudnnSetStream");
  find(status_text_, "cudnnGetErrorString");
  find(last_error_, "cudnnGetLastErrorString");
  version_ = get_version();
  use_primary_context(device);
  check(create(&handle_), "cudnnCreate");
}

Cudnn::~Cudnn() { destroy_(handle_); }

void Cudnn::check(cudnnStatus_t status, std::string_view what) const {
  if (status == CUDNN_STATUS_SUCCESS) return;
  std::array<char, 4096> text{};
  last_error_(text.data(), text.size() - 1);
  fail("cudnn: {} failed: {} ({}). {}", what, status_text_(status), static_cast<int>(status), text.data());
}

cudnnHandle_t Cudnn::on(void* stream) const {
  check(set_stream_(handle_, static_cast<cudaStream_t>(stream)), "setting the stream");
  return handle_;
}

std::string Cudnn::text() const { return fmt::format("{}, {}", library_.path(), version_); }

std::optional<cudnnDataType_t> cudnn_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return CUDNN_DATA_FLOAT;
    case DType::f16:
      return CUDNN_DATA_HALF;
    case DType::bf16:
      return CUDNN_DATA_BFLOAT16;
    default:
      return std::nullopt;
  }
}

std::optional<PeerCase> make_cudnn(const Task& task) {
  if (!task.call || !task.device.info().is_gpu) return std::nullopt;
  if (const auto convolution = as_convolution(*task.call)) return make_cudnn_convolution(task.device, *convolution);
  if (const auto attention = as_attention(*task.call)) return make_cudnn_attention(task.device, *attention);
  return std::nullopt;
}

}  // namespace quern::bench

#else

namespace quern::bench {

std::optional<PeerCase> make_cudnn(const Task&) {
  fail(
      "cudnn cannot be compared with: this build found no cudnn.h. Install NVIDIA's cuDNN 9 and build again with "
      "QUERN_CUDA=ON");
}

}  // namespace quern::bench

#endif
