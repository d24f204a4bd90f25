// cuBLAS, through cuBLASLt, whose heuristics list its own choice first. Built where its header is.

#include "base/error.h"
#include "bench/cuda.h"
#include "bench/eager.h"
#include "bench/peer.h"

#if QUERN_BENCH_CUDA && QUERN_HAS_PEER

#include <cublasLt.h>

#include <array>
#include <memory>

namespace quern::bench {
namespace {

constexpr int kHeuristics = 32;
constexpr std::size_t kWorkspace = std::size_t{64} << 20;

struct Functions {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtGetVersion) version;
  decltype(&cublasLtMatmulDescCreate) operation_create;
  decltype(&cublasLtMatmulDescDestroy) operation_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) operation_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&cublasLtMatrixLayoutSetAttribute) layout_set;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristics;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulAlgoConfigGetAttribute) config_get;
};

void check(cublasStatus_t status, std::string_view what) {
  if (status != CUBLAS_STATUS_SUCCESS) fail("cublas: {} failed with status {}", what, static_cast<int>(status));
}

std::optional<cudaDataType_t> type_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return CUDA_R_64F;
    case DType::f32:
      return CUDA_R_32F;
    case DType::f16:
      return CUDA_R_16F;
    case DType::bf16:
      return CUDA_R_16BF;
    case DType::f8e4m3:
      return CUDA_R_8F_E4M3;
    case DType::f8e5m2:
      return CUDA_R_8F_E5M2;
    case DType::i8:
      return CUDA_R_8I;
    case DType::i32:
      return CUDA_R_32I;
    default:
      return std::nullopt;
  }
}

// How sums are formed, and what multiplies them: 1 in their type.
struct Arithmetic {
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cudaDataType_t scale = CUDA_R_32F;
};

Arithmetic arithmetic_of(const Product& p) {
  if (p.dtype == DType::f64) return {CUBLAS_COMPUTE_64F, CUDA_R_64F};
  if (p.dtype == DType::i8) return {CUBLAS_COMPUTE_32I, CUDA_R_32I};
  if (p.dtype == DType::f32 && p.tf32) return {CUBLAS_COMPUTE_32F_FAST_TF32, CUDA_R_32F};
  return {};
}

// The epilogue that does it. GELU is the tanh form there, which may stand for the other where no bound tells them
// apart.
std::optional<cublasLtEpilogue_t> epilogue_of(const BiasAct& after) {
  if (after.act == "none") return after.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  if (after.act == "relu") return after.bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
  const bool gelu = after.act == "gelu_tanh" || after.act == "gelu";
  if (gelu) return after.bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
  return std::nullopt;
}

// A bias has the result's dtype there.
bool fuses(const Product& p) {
  const bool is_wide = p.out == DType::f32 || p.out == DType::f16 || p.out == DType::bf16;
  return epilogue_of(p.after) && is_wide && (!p.after.bias || p.dtype == p.out);
}

// One product, set up, with the epilogue of what follows it. cuBLAS numbers by columns, so that it computes the
// transposed result from b and a: a bias per column of ours is the bias per row that its epilogue adds.
class LtProduct {
 public:
  LtProduct(const Device& device, const Product& p)
      : library_(Library::open("cublas", "libcublasLt.so.13",
                               "Install NVIDIA's CUDA toolkit 13 or its Python wheel nvidia-cublas")),
        workspace_(device, kWorkspace),
        bias_(p.after.bias) {
    load();
    use_primary_context(device);
    check(f_.create(&handle_), "cublasLtCreate");
    const Arithmetic arithmetic = arithmetic_of(p);
    scale_ = arithmetic.scale;
    check(f_.operation_create(&operation_, arithmetic.compute, arithmetic.scale), "cublasLtMatmulDescCreate");
    const cublasOperation_t b = p.b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t a = p.a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    check(f_.operation_set(operation_, CUBLASLT_MATMUL_DESC_TRANSA, &b, sizeof b), "setting an operand");
    check(f_.operation_set(operation_, CUBLASLT_MATMUL_DESC_TRANSB, &a, sizeof a), "setting an operand");
    if (!p.after.nothing()) set_epilogue(p);
    // Rows of what is stored by rows are columns here.
    b_ = layout(p.dtype, p.b_transposed ? p.k : p.n, p.b_transposed ? p.n : p.k, p.batch);
    a_ = layout(p.dtype, p.a_transposed ? p.m : p.k, p.a_transposed ? p.k : p.m, p.batch);
    c_ = layout(p.out, p.n, p.m, p.batch);
    check(f_.preference_create(&preference_), "cublasLtMatmulPreferenceCreate");
    check(f_.preference_set(preference_, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kWorkspace, sizeof kWorkspace),
          "setting the workspace");
  }
  LtProduct(const LtProduct&) = delete;
  LtProduct& operator=(const LtProduct&) = delete;
  ~LtProduct() {
    f_.preference_destroy(preference_);
    for (cublasLtMatrixLayout_t layout : {a_, b_, c_}) f_.layout_destroy(layout);
    f_.operation_destroy(operation_);
    f_.destroy(handle_);
  }

  // What the heuristics propose, the library's own choice first; empty where it has no kernel.
  std::vector<cublasLtMatmulAlgo_t> algorithms() const {
    std::array<cublasLtMatmulHeuristicResult_t, kHeuristics> results{};
    int count = 0;
    const cublasStatus_t status =
        f_.heuristics(handle_, operation_, b_, a_, c_, c_, preference_, kHeuristics, results.data(), &count);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) return {};
    check(status, "cublasLtMatmulAlgoGetHeuristic");
    std::vector<cublasLtMatmulAlgo_t> found;
    for (int i = 0; i < count; ++i) {
      const auto& result = results[static_cast<std::size_t>(i)];
      if (result.state == CUBLAS_STATUS_SUCCESS) found.push_back(result.algo);
    }
    return found;
  }

  // On a, b, the bias where there is one, and c.
  void run(const cublasLtMatmulAlgo_t& algorithm, std::span<void* const> arguments, void* stream) const {
    static constexpr float kOneF32 = 1, kZeroF32 = 0;
    static constexpr double kOneF64 = 1, kZeroF64 = 0;
    static constexpr std::int32_t kOneI32 = 1, kZeroI32 = 0;
    const void* one = &kOneF32;
    const void* zero = &kZeroF32;
    if (scale_ == CUDA_R_64F) one = &kOneF64, zero = &kZeroF64;
    if (scale_ == CUDA_R_32I) one = &kOneI32, zero = &kZeroI32;
    if (bias_) set_bias(arguments[2]);
    void* c = arguments.back();
    check(f_.matmul(handle_, operation_, one, arguments[1], b_, arguments[0], a_, zero, c, c_, c, c_, &algorithm,
                    workspace_.data(), workspace_.size(), static_cast<cudaStream_t>(stream)),
          "cublasLtMatmul");
  }

  // Where sums are split, whether their parts are rounded to the output's type before they are added.
  bool rounds_parts(const cublasLtMatmulAlgo_t& algorithm) const {
    std::uint32_t scheme = CUBLASLT_REDUCTION_SCHEME_NONE;
    check(f_.config_get(&algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, &scheme, sizeof scheme, nullptr),
          "reading how sums are split");
    return (scheme & (CUBLASLT_REDUCTION_SCHEME_INPLACE | CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE)) != 0;
  }

  std::string library() const { return fmt::format("{}, {}", library_.path(), f_.version()); }

 private:
  void load() {
    library_.find(f_.create, "cublasLtCreate");
    library_.find(f_.destroy, "cublasLtDestroy");
    library_.find(f_.version, "cublasLtGetVersion");
    library_.find(f_.operation_create, "cublasLtMatmulDescCreate");
    library_.find(f_.operation_destroy, "cublasLtMatmulDescDestroy");
    library_.find(f_.operation_set, "cublasLtMatmulDescSetAttribute");
    library_.find(f_.layout_create, "cublasLtMatrixLayoutCreate");
    library_.find(f_.layout_destroy, "cublasLtMatrixLayoutDestroy");
    library_.find(f_.layout_set, "cublasLtMatrixLayoutSetAttribute");
    library_.find(f_.preference_create, "cublasLtMatmulPreferenceCreate");
    library_.find(f_.preference_destroy, "cublasLtMatmulPreferenceDestroy");
    library_.find(f_.preference_set, "cublasLtMatmulPreferenceSetAttribute");
    library_.find(f_.heuristics, "cublasLtMatmulAlgoGetHeuristic");
    library_.find(f_.matmul, "cublasLtMatmul");
    library_.find(f_.config_get, "cublasLtMatmulAlgoConfigGetAttribute");
  }

  // The heuristics take the alignment of the bias from its pointer: any buffer's stands for all.
  void set_epilogue(const Product& p) {
    const cublasLtEpilogue_t epilogue = *epilogue_of(p.after);
    check(f_.operation_set(operation_, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue),
          "setting the epilogue");
    if (!bias_) return;
    const auto type = static_cast<std::int32_t>(*type_of(p.dtype));
    check(f_.operation_set(operation_, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type, sizeof type), "setting the bias");
    set_bias(workspace_.data());
  }

  void set_bias(const void* bias) const {
    const void* value = static_cast<const void*>(&bias);
    check(f_.operation_set(operation_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, value, sizeof bias), "setting the bias");
  }

  // rows x columns, numbered by columns without gaps.
  cublasLtMatrixLayout_t layout(DType dtype, std::int64_t rows, std::int64_t columns, std::int64_t batch) const {
    cublasLtMatrixLayout_t result = nullptr;
    check(f_.layout_create(&result, *type_of(dtype), static_cast<std::uint64_t>(rows),
                           static_cast<std::uint64_t>(columns), rows),
          "cublasLtMatrixLayoutCreate");
    const auto count = static_cast<std::int32_t>(batch);
    const std::int64_t step = rows * columns;
    check(f_.layout_set(result, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count), "setting the batch");
    check(f_.layout_set(result, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step, sizeof step), "setting the batch");
    return result;
  }

  Library library_;
  DeviceBuffer workspace_;
  bool bias_;
  Functions f_{};
  cublasLtHandle_t handle_ = nullptr;
  cublasLtMatmulDesc_t operation_ = nullptr;
  cublasLtMatrixLayout_t a_ = nullptr, b_ = nullptr, c_ = nullptr;
  cublasLtMatmulPreference_t preference_ = nullptr;
  cudaDataType_t scale_ = CUDA_R_32F;
};

std::string heuristic(std::size_t number) { return number == 0 ? "default" : fmt::format("heuristic {}", number + 1); }

using Shared = std::shared_ptr<const LtProduct>;

// `way`, told apart where parts of sums are rounded.
std::string way_of(const LtProduct& product, const cublasLtMatmulAlgo_t& algorithm, std::string way) {
  return product.rounds_parts(algorithm) ? way + ", parts rounded" : way;
}

// Everything in one kernel.
void add_fused(PeerCase& result, const Shared& product, const BiasAct& after) {
  const std::string form = after.act == "gelu" ? "fused gelu_tanh epilogue" : "fused epilogue";
  const std::string prefix = after.nothing() ? "" : form + ", ";
  result.library = product->library();
  for (const cublasLtMatmulAlgo_t& algorithm : product->algorithms()) {
    result.variants.push_back(
        {.name = prefix + heuristic(result.variants.size()),
         .run = [product, algorithm](std::span<void* const> arguments,
                                     void* stream) { product->run(algorithm, arguments, stream); },
         .way = way_of(*product, algorithm, "fused")});
  }
}

// The product alone, rounded, then a kernel for the rest.
void add_eager(PeerCase& result, const Device& device, const Product& p) {
  Product alone = p;
  alone.after = {};
  const auto product = std::make_shared<const LtProduct>(device, alone);
  const auto rest = std::make_shared<const Eager>(device, p.after, sums_of(p));
  const Program computes = eager_program(p);
  result.library = product->library();
  std::size_t number = 0;
  for (const cublasLtMatmulAlgo_t& algorithm : product->algorithms()) {
    result.variants.push_back({.name = fmt::format("product ({}), then {}", heuristic(number++), p.after.text()),
                               .run =
                                   [product, algorithm, rest](std::span<void* const> arguments, void* stream) {
                                     product->run(algorithm, std::array{arguments[0], arguments[1], rest->sums()},
                                                  stream);
                                     rest->finish(arguments, stream);
                                   },
                               .way = way_of(*product, algorithm, "eager"),
                               .computes = computes});
  }
}

}  // namespace

std::optional<PeerCase> make_cublas(const Task& task) {
  const std::optional<Product> p = task.call ? as_product(*task.call) : std::nullopt;
  if (!p || !task.device.info().is_gpu || p->batch * p->m * p->n * p->k == 0) return std::nullopt;
  if (!type_of(p->dtype) || !type_of(p->out)) return std::nullopt;
  PeerCase result;
  if (fuses(*p) || p->after.nothing()) {
    const auto product = std::make_shared<const LtProduct>(task.device, *p);
    add_fused(result, product, p->after);
  }
  if (!p->after.nothing()) add_eager(result, task.device, *p);
  if (result.variants.empty()) return std::nullopt;
  return result;
}

}  // namespace quern::bench

#else

namespace quern::bench {

std::optional<PeerCase> make_cublas(const Task&) {
  fail(
      "cublas cannot be compared with: this build found no cublasLt.h. Install NVIDIA's CUDA toolkit 13 and build "
      "again with QUERN_CUDA=ON");
}

}  // namespace quern::bench

#endif
