#pragma once
// What the workloads of cuDNN share. Only for sources that are built where its header is.

#include <cudnn.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "bench/cuda.h"
#include "bench/peer.h"

namespace quern::bench {

// cuDNN, opened, with a handle on a device.
class Cudnn {
 public:
  explicit Cudnn(const Device& device);
  Cudnn(const Cudnn&) = delete;
  Cudnn& operator=(const Cudnn&) = delete;
  ~Cudnn();

  // Throws Error with the library's own words where it failed.
  void check(cudnnStatus_t status, std::string_view what) const;

  template <typename Function>
  void find(Function& function, const char* name) const {
    library_.find(function, name);
  }

  // The handle, its work going to that stream from here on.
  cudnnHandle_t on(void* stream) const;
  cudnnHandle_t handle() const { return handle_; }
  std::size_t version() const { return version_; }  // 91900 is 9.19.0
  std::string text() const;                         // path and version

 private:
  Library library_;
  decltype(&cudnnDestroy) destroy_ = nullptr;
  decltype(&cudnnSetStream) set_stream_ = nullptr;
  decltype(&cudnnGetErrorString) status_text_ = nullptr;
  decltype(&cudnnGetLastErrorString) last_error_ = nullptr;
  std::size_t version_ = 0;
  cudnnHandle_t handle_ = nullptr;
};

std::optional<cudnnDataType_t> cudnn_type(DType dtype);

// What it can do on a GPU; nothing where it cannot.
std::optional<PeerCase> make_cudnn_convolution(const Device& device, const Convolution& convolution);
std::optional<PeerCase> make_cudnn_attention(const Device& device, const Attention& attention);

}  // namespace quern::bench
