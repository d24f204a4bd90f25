// cuDNN: every algorithm of its forward convolution. Built where its header is.

#include "base/error.h"
#include "bench/cuda.h"
#include "bench/peer.h"

#if QUERN_BENCH_CUDA && QUERN_HAS_PEER

#include <cudnn.h>

#include <array>
#include <memory>

namespace quern::bench {
namespace {

struct Functions {
  decltype(&cudnnCreate) create;
  decltype(&cudnnDestroy) destroy;
  decltype(&cudnnGetVersion) version;
  decltype(&cudnnSetStream) set_stream;
  decltype(&cudnnCreateTensorDescriptor) tensor_create;
  decltype(&cudnnDestroyTensorDescriptor) tensor_destroy;
  decltype(&cudnnSetTensor4dDescriptor) tensor_set;
  decltype(&cudnnCreateFilterDescriptor) filter_create;
  decltype(&cudnnDestroyFilterDescriptor) filter_destroy;
  decltype(&cudnnSetFilter4dDescriptor) filter_set;
  decltype(&cudnnCreateConvolutionDescriptor) convolution_create;
  decltype(&cudnnDestroyConvolutionDescriptor) convolution_destroy;
  decltype(&cudnnSetConvolution2dDescriptor) convolution_set;
  decltype(&cudnnSetConvolutionGroupCount) set_groups;
  decltype(&cudnnSetConvolutionMathType) set_math;
  decltype(&cudnnGetConvolutionForwardAlgorithm_v7) algorithms;
  decltype(&cudnnConvolutionForward) forward;
};

void check(cudnnStatus_t status, std::string_view what) {
  if (status != CUDNN_STATUS_SUCCESS) fail("cudnn: {} failed with status {}", what, static_cast<int>(status));
}

std::optional<cudnnDataType_t> type_of(DType dtype) {
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

Library open_library() {
  // Its engines look for these by name alone.
  static constexpr std::array<std::string_view, 3> kNeeded = {"libcublasLt.so.13", "libcublas.so.13", "libnvrtc.so.13"};
  Library::preload(kNeeded);
  return Library::open("cudnn", "libcudnn.so.9", "Install NVIDIA's cuDNN 9 or its Python wheel nvidia-cudnn-cu13");
}

// One algorithm and the memory that it takes.
struct Algorithm {
  cudnnConvolutionFwdAlgo_t algorithm;
  std::size_t workspace;
};

// One convolution, set up.
class DnnConvolution {
 public:
  DnnConvolution(const Device& device, const Convolution& c) : library_(open_library()) {
    load();
    use_primary_context(device);
    check(f_.create(&handle_), "cudnnCreate");
    const auto number = [](std::int64_t value) { return static_cast<int>(value); };
    const cudnnTensorFormat_t format = c.nhwc ? CUDNN_TENSOR_NHWC : CUDNN_TENSOR_NCHW;
    const cudnnDataType_t type = *type_of(c.dtype);
    check(f_.tensor_create(&x_), "describing x");
    check(f_.tensor_set(x_, format, type, number(c.n), number(c.c), number(c.h), number(c.w)), "describing x");
    check(f_.filter_create(&filter_), "describing the filter");
    check(f_.filter_set(filter_, type, format, number(c.k), number(c.c / c.groups), number(c.r), number(c.s)),
          "describing the filter");
    check(f_.tensor_create(&y_), "describing y");
    check(f_.tensor_set(y_, format, type, number(c.n), number(c.k), number(c.out_rows()), number(c.out_columns())),
          "describing y");
    check(f_.convolution_create(&convolution_), "describing the convolution");
    check(f_.convolution_set(convolution_, number(c.padding[0]), number(c.padding[2]), number(c.stride[0]),
                             number(c.stride[1]), number(c.dilation[0]), number(c.dilation[1]), CUDNN_CROSS_CORRELATION,
                             CUDNN_DATA_FLOAT),
          "describing the convolution");
    check(f_.set_groups(convolution_, number(c.groups)), "setting the groups");
    // FMA: no tf32.
    const bool exact = c.dtype == DType::f32 && !c.tf32;
    check(f_.set_math(convolution_, exact ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH), "setting the arithmetic");
  }
  DnnConvolution(const DnnConvolution&) = delete;
  DnnConvolution& operator=(const DnnConvolution&) = delete;
  ~DnnConvolution() {
    f_.convolution_destroy(convolution_);
    f_.tensor_destroy(y_);
    f_.filter_destroy(filter_);
    f_.tensor_destroy(x_);
    f_.destroy(handle_);
  }

  // All that serve, the library's own choice first.
  std::vector<Algorithm> algorithms() const {
    std::array<cudnnConvolutionFwdAlgoPerf_t, 2 * CUDNN_CONVOLUTION_FWD_ALGO_COUNT> results{};
    int count = 0;
    const cudnnStatus_t status =
        f_.algorithms(handle_, x_, filter_, convolution_, y_, static_cast<int>(results.size()), &count, results.data());
    check(status, "cudnnGetConvolutionForwardAlgorithm_v7");
    std::vector<Algorithm> found;
    for (int i = 0; i < count; ++i) {
      const auto& result = results[static_cast<std::size_t>(i)];
      if (result.status == CUDNN_STATUS_SUCCESS) found.push_back({result.algo, result.memory});
    }
    return found;
  }

  void run(const Algorithm& algorithm, const DeviceBuffer& workspace, std::span<void* const> arguments,
           void* stream) const {
    static constexpr float kOne = 1, kZero = 0;
    check(f_.set_stream(handle_, static_cast<cudaStream_t>(stream)), "setting the stream");
    check(f_.forward(handle_, &kOne, x_, arguments[0], filter_, arguments[1], convolution_, algorithm.algorithm,
                     workspace.data(), workspace.size(), &kZero, y_, arguments[2]),
          "cudnnConvolutionForward");
  }

  std::string library() const { return fmt::format("{}, {}", library_.path(), f_.version()); }

 private:
  void load() {
    library_.find(f_.create, "cudnnCreate");
    library_.find(f_.destroy, "cudnnDestroy");
    library_.find(f_.version, "cudnnGetVersion");
    library_.find(f_.set_stream, "cudnnSetStream");
    library_.find(f_.tensor_create, "cudnnCreateTensorDescriptor");
    library_.find(f_.tensor_destroy, "cudnnDestroyTensorDescriptor");
    library_.find(f_.tensor_set, "cudnnSetTensor4dDescriptor");
    library_.find(f_.filter_create, "cudnnCreateFilterDescriptor");
    library_.find(f_.filter_destroy, "cudnnDestroyFilterDescriptor");
    library_.find(f_.filter_set, "cudnnSetFilter4dDescriptor");
    library_.find(f_.convolution_create, "cudnnCreateConvolutionDescriptor");
    library_.find(f_.convolution_destroy, "cudnnDestroyConvolutionDescriptor");
    library_.find(f_.convolution_set, "cudnnSetConvolution2dDescriptor");
    library_.find(f_.set_groups, "cudnnSetConvolutionGroupCount");
    library_.find(f_.set_math, "cudnnSetConvolutionMathType");
    library_.find(f_.algorithms, "cudnnGetConvolutionForwardAlgorithm_v7");
    library_.find(f_.forward, "cudnnConvolutionForward");
  }

  Library library_;
  Functions f_{};
  cudnnHandle_t handle_ = nullptr;
  cudnnTensorDescriptor_t x_ = nullptr, y_ = nullptr;
  cudnnFilterDescriptor_t filter_ = nullptr;
  cudnnConvolutionDescriptor_t convolution_ = nullptr;
};

}  // namespace

std::optional<PeerCase> make_cudnn(const Task& task) {
  const std::optional<Convolution> c = task.call ? as_convolution(*task.call) : std::nullopt;
  if (!c || !task.device.info().is_gpu || !type_of(c->dtype) || c->out != c->dtype) return std::nullopt;
  if (!c->after.nothing() || c->padding[0] != c->padding[1] || c->padding[2] != c->padding[3]) return std::nullopt;
  if (c->n * c->c * c->k * c->out_rows() * c->out_columns() == 0) return std::nullopt;
  const auto convolution = std::make_shared<const DnnConvolution>(task.device, *c);
  PeerCase result{.library = convolution->library(), .variants = {}};
  for (const Algorithm& algorithm : convolution->algorithms()) {
    const auto workspace = std::make_shared<const DeviceBuffer>(task.device, algorithm.workspace);
    result.variants.push_back({fmt::format("algorithm {}", static_cast<int>(algorithm.algorithm)),
                               [convolution, algorithm, workspace](std::span<void* const> arguments, void* stream) {
                                 convolution->run(algorithm, *workspace, arguments, stream);
                               }});
  }
  if (result.variants.empty()) return std::nullopt;
  return result;
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
