// OpenBLAS: cblas_sgemm.

#include <limits>
#include <memory>

#include "bench/library.h"
#include "bench/peer.h"

namespace quern::bench {
namespace {

// As cblas.h declares them.
enum : int { kRowMajor = 101, kNoTrans = 111, kTrans = 112 };
using Sgemm = void(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float* a, int lda,
                   const float* b, int ldb, float beta, float* c, int ldc);

struct OpenBlas {
  Library library = Library::open("openblas", "libopenblas.so.0", "Install libopenblas0");
  Sgemm* sgemm = nullptr;
  void (*set_threads)(int) = nullptr;
  char* (*config)() = nullptr;

  OpenBlas() {
    library.find(sgemm, "cblas_sgemm");
    library.find(set_threads, "openblas_set_num_threads");
    library.find(config, "openblas_get_config");
  }
};

}  // namespace

std::optional<PeerCase> make_openblas(const Task& task) {
  const std::optional<Product> product = task.call ? as_product(*task.call) : std::nullopt;
  if (!product || task.device.info().is_gpu || product->batch != 1) return std::nullopt;
  if (product->dtype != DType::f32 || product->out != DType::f32 || !product->after.nothing()) return std::nullopt;
  for (const std::int64_t size : {product->m, product->n, product->k}) {
    if (size < 1 || size > std::numeric_limits<int>::max()) return std::nullopt;
  }
  const auto blas = std::make_shared<OpenBlas>();
  const auto run = [blas, p = *product, threads = cpu_threads()](std::span<void* const> arguments, void*) {
    const int m = static_cast<int>(p.m);
    const int n = static_cast<int>(p.n);
    const int k = static_cast<int>(p.k);
    blas->set_threads(threads);
    blas->sgemm(kRowMajor, p.a_transposed ? kTrans : kNoTrans, p.b_transposed ? kTrans : kNoTrans, m, n, k, 1,
                static_cast<const float*>(arguments[0]), p.a_transposed ? m : k,
                static_cast<const float*>(arguments[1]), p.b_transposed ? k : n, 0, static_cast<float*>(arguments[2]),
                n);
  };
  return PeerCase{.library = blas->library.path() + ", " + blas->config(), .variants = {{"sgemm", run}}};
}

}  // namespace quern::bench
