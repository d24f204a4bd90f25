// Integer arithmetic as the language defines it: it wraps, division rounds down and by zero gives 0, shifts by the
// width or more shift everything out. And minimum, maximum and absolute value of every type. See types.cuh for the
// markers.

// @wrap_add
template <typename T>
__device__ __forceinline__ T wrap_add(T a, T b) {
  return static_cast<T>(static_cast<unsigned long long>(a) + static_cast<unsigned long long>(b));
}

// @wrap_sub
template <typename T>
__device__ __forceinline__ T wrap_sub(T a, T b) {
  return static_cast<T>(static_cast<unsigned long long>(a) - static_cast<unsigned long long>(b));
}

// @wrap_mul
template <typename T>
__device__ __forceinline__ T wrap_mul(T a, T b) {
  return static_cast<T>(static_cast<unsigned long long>(a) * static_cast<unsigned long long>(b));
}

// @wrap_neg
template <typename T>
__device__ __forceinline__ T wrap_neg(T a) {
  return static_cast<T>(0 - static_cast<unsigned long long>(a));
}

// @is_signed
template <typename T>
constexpr bool is_signed = T(-1) < T(0);

// @div_sizes
// Of what is not negative, by what may be 0: a size.
template <typename T>
__device__ __forceinline__ T div_sizes(T a, T b) {
  using U = Unsigned<sizeof(T)>;
  return b == 0 ? 0 : static_cast<T>(static_cast<U>(a) / static_cast<U>(b));
}

// @mod_sizes
template <typename T>
__device__ __forceinline__ T mod_sizes(T a, T b) {
  using U = Unsigned<sizeof(T)>;
  return b == 0 ? 0 : static_cast<T>(static_cast<U>(a) % static_cast<U>(b));
}

// @q_floor_div
template <typename T>
__device__ __forceinline__ T q_floor_div(T a, T b) {
  if (b == 0) return 0;
  const T quotient = a / b;
  if constexpr (is_signed<T>) {
    if (b == -1) return wrap_neg(a);
    return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
  }
  return quotient;
}

// @q_mod
template <typename T>
__device__ __forceinline__ T q_mod(T a, T b) {
  if (b == 0) return 0;
  if constexpr (is_signed<T>) {
    if (b == -1) return 0;
    const T remainder = a % b;
    return remainder != 0 && (a < 0) != (b < 0) ? remainder + b : remainder;
  } else {
    return a % b;
  }
}

// @q_shift_left
template <typename T>
__device__ __forceinline__ T q_shift_left(T a, T amount) {
  const unsigned long long bits = static_cast<unsigned long long>(amount);  // huge for amounts below 0
  return bits < 8 * sizeof(T) ? static_cast<T>(static_cast<unsigned long long>(a) << bits) : 0;
}

// @q_shift_right
template <typename T>
__device__ __forceinline__ T q_shift_right(T a, T amount) {
  const unsigned long long bits = static_cast<unsigned long long>(amount);
  if (bits < 8 * sizeof(T)) return a >> bits;
  if constexpr (is_signed<T>) return a < 0 ? -1 : 0;
  return 0;
}

// @q_bit_not
template <typename T>
__device__ __forceinline__ T q_bit_not(T a) {
  return ~a;
}
__device__ __forceinline__ bool q_bit_not(bool a) { return !a; }

// @q_min
template <typename T>
__device__ __forceinline__ T q_min(T a, T b) {
  return b < a ? b : a;
}
__device__ __forceinline__ float q_min(float a, float b) {
  float result;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
  return result;
}
__device__ __forceinline__ double q_min(double a, double b) { return a < b || a != a ? a : b; }

// @q_max
template <typename T>
__device__ __forceinline__ T q_max(T a, T b) {
  return a < b ? b : a;
}
__device__ __forceinline__ float q_max(float a, float b) {
  float result;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
  return result;
}
__device__ __forceinline__ double q_max(double a, double b) { return a > b || a != a ? a : b; }

// @exp2_flush
__device__ __forceinline__ float exp2_flush(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}
__device__ __forceinline__ double exp2_flush(double x) { return x < -126 ? 0 : exp2(x); }

// @rcp_flush
__device__ __forceinline__ float rcp_flush(float x) {
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}
__device__ __forceinline__ double rcp_flush(double x) {
  const double size = fabs(x);
  return 1 / (size < 0x1p-126 ? x * 0 : size > 0x1p126 ? x * infinity() : x);
}

// @q_abs
template <typename T>
__device__ __forceinline__ T q_abs(T a) {
  if constexpr (is_signed<T>) return a < 0 ? wrap_neg(a) : a;
  return a;
}
__device__ __forceinline__ float q_abs(float a) { return fabsf(a); }
__device__ __forceinline__ double q_abs(double a) { return fabs(a); }
