#pragma once
// Workloads that peers know: builder calls, read again for their parameters.

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "quern/dtype.h"
#include "quern/program.h"

namespace quern::bench {

// A builder call with every parameter of its row.
struct Call {
  std::string builder;
  std::map<std::string, std::string> values;
};

// The call that `text` is, symbols replaced by their sizes; nothing where it is none (a program in the language, or a
// file's name). Throws Error as parse_builder_call does.
std::optional<Call> parse_call(std::string_view text, const Sizes& sizes = {});

// What becomes of each sum before it is rounded: act(sum + bias), a bias per channel of the result.
struct BiasAct {
  bool bias = false;
  std::string act = "none";  // else the scalar function's name

  bool nothing() const { return !bias && act == "none"; }
  // "bias and gelu_tanh", "bias", "relu"
  std::string text() const;
};

// batch products c[m, n] = a[m, k] b[k, n]; dense, a and b as written or transposed. A bias, of dtype, lies between b
// and c in the order of a launch and has an element per column.
struct Product {
  std::int64_t batch = 1;
  std::int64_t m = 0, n = 0, k = 0;
  bool a_transposed = false;  // a is [k, m]
  bool b_transposed = false;  // b is [n, k]
  DType dtype = DType::f32;   // of a and b
  DType out = DType::f32;
  bool tf32 = false;  // products may be formed in tf32
  BiasAct after;
};

// y[n, k, p, q] of x[n, c, h, w] and f[k, c / groups, r, s]; nhwc: the channels last in all three. A bias, of dtype,
// lies between f and y in the order of a launch and has an element per filter.
struct Convolution {
  std::int64_t n = 0, c = 0, h = 0, w = 0, k = 0, r = 0, s = 0;
  std::array<std::int64_t, 2> stride = {1, 1};
  std::array<std::int64_t, 4> padding = {};  // top, bottom, left, right
  std::array<std::int64_t, 2> dilation = {1, 1};
  std::int64_t groups = 1;
  bool nhwc = false;
  DType dtype = DType::f32;  // of x and f
  DType out = DType::f32;
  bool tf32 = false;
  BiasAct after;

  std::int64_t out_rows() const;
  std::int64_t out_columns() const;
};

// o = softmax(q k^T / sqrt(d)) v for each head of each of a batch; q and o [batch, heads, q, d], k and v
// [batch, heads, kv, d]. Causal: key j is seen by query i where j <= i.
struct Attention {
  std::int64_t batch = 0, heads = 0, q = 0, kv = 0, d = 0;
  DType dtype = DType::bf16;  // of all four
  bool causal = false;
};

// What the call computes; nothing where it is something else, or has a size that is no number.
std::optional<Product> as_product(const Call& call);
std::optional<Convolution> as_convolution(const Call& call);
std::optional<Attention> as_attention(const Call& call);

}  // namespace quern::bench
