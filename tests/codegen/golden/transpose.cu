struct f16 {
  unsigned short bits;
};  // 1 sign, 5 exponent, 10 fraction bits

extern "C" __global__ void __launch_bounds__(256) transpose(const f16* __restrict__ x, f16* __restrict__ y, int m,
    int n) {
  const int tile_i = blockIdx.x;
  const int tile_j = blockIdx.y;
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;

  extern __shared__ __align__(16) unsigned char shared[];
  f16* const tile = (f16*)shared;

  #pragma unroll
  for (int r = 0; r < 4; ++r) {
    tile[(warp + r * 8) * 33 + lane] = tile_i * 32 + warp + r * 8 < m && tile_j * 32 + lane < n
        ? x[(tile_i * 32 + warp + r * 8) * n + tile_j * 32 + lane] : f16{0};
  }
  __syncthreads();

  #pragma unroll
  for (int s = 0; s < 4; ++s) {
    if (tile_j * 32 + warp + s * 8 < n && tile_i * 32 + lane < m) {
      y[(tile_j * 32 + warp + s * 8) * m + tile_i * 32 + lane] = tile[lane * 33 + warp + s * 8];
    }
  }
}
