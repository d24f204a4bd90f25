// Convolutions by cuDNN: every algorithm of its forward convolution, with bias and activation in the same kernel where
// it can, and in one after it.

#include "bench/cuda.h"

#if QUERN_BENCH_CUDA && QUERN_HAS_PEER

#include <algorithm>
#include <array>
#include <iterator>

#include "base/error.h"
#include "bench/cudnn.h"
#include "bench/eager.h"

namespace quern::bench {
namespace {

struct Functions {
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
  decltype(&cudnnCreateActivationDescriptor) activation_create;
  decltype(&cudnnDestroyActivationDescriptor) activation_destroy;
  decltype(&cudnnSetActivationDescriptor) activation_set;
  decltype(&cudnnGetConvolutionForwardAlgorithm_v7) algorithms;
  decltype(&cudnnConvolutionForward) forward;
  decltype(&cudnnConvolutionBiasActivationForward) fused_forward;
};

// One algorithm and the memory that it takes.
struct Algorithm {
  cudnnConvolutionFwdAlgo_t algorithm;
  std::size_t workspace;
};

// One convolution, set up.
class DnnConvolution {
 public:
  DnnConvolution(const Device& device, const Convolution& c)
      : dnn_(device), no_bias_(device, static_cast<std::size_t>(c.k * byte_size(c.dtype))), after_(c.after) {
    load();
    device.fill(no_bias_.data(), 0, no_bias_.size());
    device.synchronize();
    const auto number = [](std::int64_t value) { return static_cast<int>(value); };
    const cudnnTensorFormat_t format = c.nhwc ? CUDNN_TENSOR_NHWC : CUDNN_TENSOR_NCHW;
    const cudnnDataType_t type = *cudnn_type(c.dtype);
    const auto check = [&](cudnnStatus_t status, std::string_view what) { dnn_.check(status, what); };
    check(f_.tensor_create(&x_), "describing x");
    check(f_.tensor_set(x_, format, type, number(c.n), number(c.c), number(c.h), number(c.w)), "describing x");
    check(f_.filter_create(&filter_), "describing the filter");
    check(f_.filter_set(filter_, type, format, number(c.k), number(c.c / c.groups), number(c.r), number(c.s)),
          "describing the filter");
    check(f_.tensor_create(&y_), "describing y");
    check(f_.tensor_set(y_, format, type, number(c.n), number(c.k), number(c.out_rows()), number(c.out_columns())),
          "describing y");
    check(f_.tensor_create(&bias_), "describing the bias");
    check(f_.tensor_set(bias_, CUDNN_TENSOR_NCHW, type, 1, number(c.k), 1, 1), "describing the bias");
    check(f_.activation_create(&activation_), "describing the activation");
    check(f_.activation_set(activation_, c.after.act == "relu" ? CUDNN_ACTIVATION_RELU : CUDNN_ACTIVATION_IDENTITY,
                            CUDNN_PROPAGATE_NAN, 0),
          "describing the activation");
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
    f_.activation_destroy(activation_);
    f_.tensor_destroy(bias_);
    f_.tensor_destroy(y_);
    f_.filter_destroy(filter_);
    f_.tensor_destroy(x_);
  }

  // All that serve, the library's own choice first.
  std::vector<Algorithm> algorithms() const {
    std::array<cudnnConvolutionFwdAlgoPerf_t, std::size_t{2} * CUDNN_CONVOLUTION_FWD_ALGO_COUNT> results{};
    int count = 0;
    dnn_.check(f_.algorithms(dnn_.handle(), x_, filter_, convolution_, y_, static_cast<int>(results.size()), &count,
                             results.data()),
               "cudnnGetConvolutionForwardAlgorithm_v7");
    std::vector<Algorithm> found;
    for (int i = 0; i < count; ++i) {
      const auto& result = results[static_cast<std::size_t>(i)];
      if (result.status == CUDNN_STATUS_SUCCESS) found.push_back({result.algo, result.memory});
    }
    return found;
  }

  // The sums alone.
  void run(const Algorithm& algorithm, const DeviceBuffer& workspace, std::span<void* const> arguments, void* y,
           void* stream) const {
    dnn_.check(f_.forward(dnn_.on(stream), &kOne, x_, arguments[0], filter_, arguments[1], convolution_,
                          algorithm.algorithm, workspace.data(), workspace.size(), &kZero, y_, y),
               "cudnnConvolutionForward");
  }

  // With what follows them.
  void run_fused(const Algorithm& algorithm, const DeviceBuffer& workspace, std::span<void* const> arguments,
                 void* stream) const {
    const void* bias = after_.bias ? arguments[2] : no_bias_.data();
    void* y = arguments.back();
    dnn_.check(f_.fused_forward(dnn_.on(stream), &kOne, x_, arguments[0], filter_, arguments[1], convolution_,
                                algorithm.algorithm, workspace.data(), workspace.size(), &kZero, y_, y, bias_, bias,
                                activation_, y_, y),
               "cudnnConvolutionBiasActivationForward");
  }

  std::string library() const { return dnn_.text(); }

 private:
  static constexpr float kOne = 1, kZero = 0;

  void load() {
    dnn_.find(f_.tensor_create, "cudnnCreateTensorDescriptor");
    dnn_.find(f_.tensor_destroy, "cudnnDestroyTensorDescriptor");
    dnn_.find(f_.tensor_set, "cudnnSetTensor4dDescriptor");
    dnn_.find(f_.filter_create, "cudnnCreateFilterDescriptor");
    dnn_.find(f_.filter_destroy, "cudnnDestroyFilterDescriptor");
    dnn_.find(f_.filter_set, "cudnnSetFilter4dDescriptor");
    dnn_.find(f_.convolution_create, "cudnnCreateConvolutionDescriptor");
    dnn_.find(f_.convolution_destroy, "cudnnDestroyConvolutionDescriptor");
    dnn_.find(f_.convolution_set, "cudnnSetConvolution2dDescriptor");
    dnn_.find(f_.set_groups, "cudnnSetConvolutionGroupCount");
    dnn_.find(f_.set_math, "cudnnSetConvolutionMathType");
    dnn_.find(f_.activation_create, "cudnnCreateActivationDescriptor");
    dnn_.find(f_.activation_destroy, "cudnnDestroyActivationDescriptor");
    dnn_.find(f_.activation_set, "cudnnSetActivationDescriptor");
    dnn_.find(f_.algorithms, "cudnnGetConvolutionForwardAlgorithm_v7");
    dnn_.find(f_.forward, "cudnnConvolutionForward");
    dnn_.find(f_.fused_forward, "cudnnConvolutionBiasActivationForward");
  }

  Cudnn dnn_;
  DeviceBuffer no_bias_;  // zeros, where the library wants one and there is none
  BiasAct after_;
  Functions f_{};
  cudnnTensorDescriptor_t x_ = nullptr, y_ = nullptr, bias_ = nullptr;
  cudnnFilterDescriptor_t filter_ = nullptr;
  cudnnActivationDescriptor_t activation_ = nullptr;
  cudnnConvolutionDescriptor_t convolution_ = nullptr;
};

using Shared = std::shared_ptr<const DnnConvolution>;
using Workspace = std::shared_ptr<const DeviceBuffer>;

Variant plain(const Shared& convolution, const Algorithm& algorithm, const Workspace& workspace) {
  return {fmt::format("algorithm {}", static_cast<int>(algorithm.algorithm)),
          [=](std::span<void* const> arguments, void* stream) {
            convolution->run(algorithm, *workspace, arguments, arguments.back(), stream);
          }};
}

Variant fused(const Shared& convolution, const Algorithm& algorithm, const Workspace& workspace) {
  return {.name = fmt::format("fused epilogue, algorithm {}", static_cast<int>(algorithm.algorithm)),
          .run = [=](std::span<void* const> arguments,
                     void* stream) { convolution->run_fused(algorithm, *workspace, arguments, stream); },
          .way = "fused"};
}

Variant eager(const Shared& convolution, const Algorithm& algorithm, const Workspace& workspace,
              const std::shared_ptr<const Eager>& rest, const Convolution& c) {
  return {
      .name = fmt::format("convolution (algorithm {}), then {}", static_cast<int>(algorithm.algorithm), c.after.text()),
      .run =
          [=](std::span<void* const> arguments, void* stream) {
            convolution->run(algorithm, *workspace, arguments, rest->sums(), stream);
            rest->finish(arguments, stream);
          },
      .way = "eager",
      .computes = eager_program(c)};
}

}  // namespace

std::optional<PeerCase> make_cudnn_convolution(const Device& device, const Convolution& c) {
  if (!cudnn_type(c.dtype) || c.out != c.dtype) return std::nullopt;
  if (c.padding[0] != c.padding[1] || c.padding[2] != c.padding[3]) return std::nullopt;
  if (c.n * c.c * c.k * c.out_rows() * c.out_columns() == 0) return std::nullopt;
  const auto convolution = std::make_shared<const DnnConvolution>(device, c);
  const bool fuses = c.after.act == "relu" || c.after.act == "none";
  const auto rest = c.after.nothing() ? nullptr : std::make_shared<const Eager>(device, c.after, sums_of(c));
  PeerCase result{.library = convolution->library(), .variants = {}};
  std::vector<Variant> eager_ones;
  for (const Algorithm& algorithm : convolution->algorithms()) {
    const auto workspace = std::make_shared<const DeviceBuffer>(device, algorithm.workspace);
    if (c.after.nothing()) {
      result.variants.push_back(plain(convolution, algorithm, workspace));
      continue;
    }
    if (fuses) result.variants.push_back(fused(convolution, algorithm, workspace));
    eager_ones.push_back(eager(convolution, algorithm, workspace, rest, c));
  }
  std::ranges::move(eager_ones, std::back_inserter(result.variants));
  if (result.variants.empty()) return std::nullopt;
  return result;
}

}  // namespace quern::bench

#endif
