#pragma once

namespace quern::test {

// y[i] = 3 * (sum of row i of x) + 1, with an extern in the middle.
inline constexpr const char* kExternProgram = R"(kernel f(x: f32[m, n]) -> (y: f32[m]) {
  s[i] = sum[j](x[i, j])
  extern scale(s) -> (t: f32[m]) cuda """
extern "C" __global__ void scale(const float* s, float* t, long long m, long long n) {
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < m; i += (long long)gridDim.x * blockDim.x)
    t[i] = 3 * s[i];
}
"""
  y[i] = t[i] + 1
})";

}  // namespace quern::test
