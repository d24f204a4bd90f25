struct bf16 {
  unsigned short bits;
};  // 1 sign, 8 exponent, 7 fraction bits

__device__ __forceinline__ float to_float(bf16 x) { return __uint_as_float(static_cast<unsigned>(x.bits) << 16); }

template <typename T>
__device__ __forceinline__ T shuffle_xor(T value, int lane_mask) {
  return __shfl_xor_sync(0xffffffff, value, lane_mask);
}

__device__ __forceinline__ bf16 shuffle_xor(bf16 value, int lane_mask) {
  return {static_cast<unsigned short>(__shfl_xor_sync(0xffffffff, static_cast<unsigned>(value.bits), lane_mask))};
}

extern "C" __global__ void __launch_bounds__(32) row_sum(const bf16* __restrict__ x, float* __restrict__ y, int m,
    int n) {
  const int block = blockIdx.x;
  const int lane = threadIdx.x % 32;

  float total = 0.0f;

  for (int j = lane; j < n; j += 32) {
    total += to_float(x[block * n + j]);
  }

  {
    float other = shuffle_xor(total, 16);
    total += other;
  }
  {
    float other = shuffle_xor(total, 8);
    total += other;
  }
  {
    float other = shuffle_xor(total, 4);
    total += other;
  }
  {
    float other = shuffle_xor(total, 2);
    total += other;
  }
  {
    float other = shuffle_xor(total, 1);
    total += other;
  }

  if (lane == 0) {
    y[block] = total;
  }
}
