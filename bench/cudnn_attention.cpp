// Attention by cuDNN: the graph of operations that its fused engine recognises.

#include "bench/cuda.h"

#if QUERN_BENCH_CUDA && QUERN_HAS_PEER

#include <array>
#include <cmath>
#include <limits>

#include "bench/cudnn_graph.h"

namespace quern::bench {
namespace {

constexpr std::size_t kMostPlans = 8;
constexpr std::int64_t kWholeVectors = 8;  // elements: its engine reads heads by 16 bytes
// Since then it takes -infinity for what is masked; before, the lowest number.
constexpr std::size_t kTakesInfinity = 91000;

// The graph, step by step. All scores are f32 and stay between operations.
class AttentionGraph {
 public:
  AttentionGraph(CudnnGraph& graph, const Attention& a)
      : graph_(graph), a_(a), scores_{a.batch, a.heads, a.q, a.kv}, rows_{a.batch, a.heads, a.q, 1} {}

  void build() {
    const cudnnDataType_t type = *cudnn_type(a_.dtype);
    const std::size_t q = operand("q", a_.q, type);
    // k is read transposed.
    const std::size_t k =
        graph_.tensor("k", {a_.batch, a_.heads, a_.d, a_.kv}, {a_.heads * a_.kv * a_.d, a_.kv * a_.d, 1, a_.d}, type);
    const std::size_t v = operand("v", a_.kv, type);
    const std::size_t o = operand("o", a_.q, type);

    const std::size_t products = scores("products");
    graph_.matmul("q k", q, k, products);
    const std::size_t scale = constant("scale", static_cast<float>(1 / std::sqrt(static_cast<double>(a_.d))));
    const std::size_t scaled = scores("scaled");
    graph_.pointwise("scaling", CUDNN_POINTWISE_MUL, std::array{products, scale}, scaled);
    const std::size_t weights = graph_.between("weights", scores_, type);
    softmax(a_.causal ? masked(scaled) : scaled, weights);
    graph_.matmul("weights v", weights, v, o);
  }

 private:
  std::size_t operand(const std::string& name, std::int64_t rows, cudnnDataType_t type) {
    return graph_.tensor(name, {a_.batch, a_.heads, rows, a_.d}, {a_.heads * rows * a_.d, rows * a_.d, a_.d, 1}, type);
  }
  std::size_t scores(const std::string& name, cudnnDataType_t type = CUDNN_DATA_FLOAT) {
    return graph_.between(name, scores_, type);
  }
  std::size_t constant(const std::string& name, float value) { return graph_.constant(name, value, scores_.size()); }
  std::size_t per_row(const std::string& name) { return graph_.between(name, rows_, CUDNN_DATA_FLOAT); }

  // -infinity where the row lies before the column.
  std::size_t masked(std::size_t x) {
    const std::size_t row = scores("row", CUDNN_DATA_INT32);
    const std::size_t column = scores("column", CUDNN_DATA_INT32);
    graph_.pointwise("index of the row", CUDNN_POINTWISE_GEN_INDEX, std::array{x}, row, CUDNN_DATA_FLOAT, 2);
    graph_.pointwise("index of the column", CUDNN_POINTWISE_GEN_INDEX, std::array{x}, column, CUDNN_DATA_FLOAT, 3);
    const std::size_t seen = scores("seen", CUDNN_DATA_BOOLEAN);
    graph_.pointwise("row >= column", CUDNN_POINTWISE_CMP_GE, std::array{row, column}, seen, CUDNN_DATA_BOOLEAN);
    const bool takes_infinity = graph_.library().version() >= kTakesInfinity;
    const std::size_t hidden = constant(
        "hidden", takes_infinity ? -std::numeric_limits<float>::infinity() : std::numeric_limits<float>::lowest());
    const std::size_t result = scores("masked");
    graph_.pointwise("masking", CUDNN_POINTWISE_BINARY_SELECT, std::array{x, hidden, seen}, result);
    return result;
  }

  // The logarithm of the sums is what training asks for. Nothing takes it here; the engine knows the graph by it.
  void softmax(std::size_t x, std::size_t y) {
    const std::size_t most = per_row("maxima");
    graph_.reduce("maximum", CUDNN_REDUCE_TENSOR_MAX, x, most);
    const std::size_t below = scores("below the maxima");
    graph_.pointwise("subtraction", CUDNN_POINTWISE_SUB, std::array{x, most}, below);
    const std::size_t powers = scores("powers");
    graph_.pointwise("exponential", CUDNN_POINTWISE_EXP, std::array{below}, powers);
    const std::size_t sums = per_row("sums");
    graph_.reduce("sum", CUDNN_REDUCE_TENSOR_ADD, powers, sums);
    const std::size_t logarithms = per_row("logarithms");
    graph_.pointwise("logarithm", CUDNN_POINTWISE_LOG, std::array{sums}, logarithms);
    graph_.pointwise("log-sum-exp", CUDNN_POINTWISE_ADD, std::array{most, logarithms}, per_row("log-sum-exps"));
    graph_.pointwise("division", CUDNN_POINTWISE_DIV, std::array{powers, sums}, y);
  }

  CudnnGraph& graph_;
  const Attention& a_;
  CudnnDims scores_, rows_;
};

}  // namespace

std::optional<PeerCase> make_cudnn_attention(const Device& device, const Attention& a) {
  if ((a.dtype != DType::f16 && a.dtype != DType::bf16) || a.d % kWholeVectors != 0) return std::nullopt;
  if (a.batch * a.heads * a.q * a.kv * a.d == 0) return std::nullopt;
  const auto graph = std::make_shared<CudnnGraph>(device);
  AttentionGraph(*graph, a).build();
  return PeerCase{.library = graph->library().text(), .variants = graph->plans(device, kMostPlans)};
}

}  // namespace quern::bench

#endif
