// The prelude: device functions that generated kernels call. A line "// @name ..." begins a piece, an empty line ends
// it; the text of a kernel holds the pieces that it uses: those whose every marked name occurs in it. What stands
// outside of the pieces is for readers of this file. No piece needs a header.

// Floats that are only stored: arithmetic converts them to float and rounds the result.

// @bf16
struct bf16 {
  unsigned short bits;
};  // 1 sign, 8 exponent, 7 fraction bits

// @f16
struct f16 {
  unsigned short bits;
};  // 1 sign, 5 exponent, 10 fraction bits

// @f8e4m3
struct f8e4m3 {
  unsigned char bits;
};  // no infinity, NaN is 0x7f

// @f8e5m2
struct f8e5m2 {
  unsigned char bits;
};

// @TensorMap
struct alignas(64) TensorMap {
  unsigned long long words[16];
};  // opaque, encoded by the driver

// @infinity
__device__ __forceinline__ float infinity() { return __uint_as_float(0x7f800000); }

// @not_a_number
__device__ __forceinline__ float not_a_number() { return __uint_as_float(0x7fffffff); }
