#include "ir/scalar_functions.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>

#include "base/error.h"
#include "ir/expr.h"

namespace quern::ir {
namespace {

using Args = std::span<const Expr>;
using Values = std::span<const Scalar>;

// --- References -----------------------------------------------------------------------------------------------------

std::uint64_t bits(std::int64_t value) { return static_cast<std::uint64_t>(value); }
std::int64_t wrapped(std::uint64_t value) { return static_cast<std::int64_t>(value); }

template <auto f>
Scalar real(DType, Values x) {
  if constexpr (requires { f(0.0, 0.0); }) {
    return {.real = f(x[0].real, x[1].real)};
  } else {
    return {.real = f(x[0].real)};
  }
}

// `f` of integers, as signed or (u64) unsigned numbers; the result wraps.
template <auto f>
Scalar integral(DType type, Values x) {
  if (type == DType::u64) return {.integer = wrapped(f(bits(x[0].integer), bits(x[1].integer)))};
  return {.integer = static_cast<std::int64_t>(f(x[0].integer, x[1].integer))};
}

// `f` of floats, else of integers modulo 2^64, where signed and unsigned agree.
template <auto f>
Scalar ring(DType type, Values x) {
  if (is_float(type)) return {.real = f(x[0].real, x[1].real)};
  return {.integer = wrapped(f(bits(x[0].integer), bits(x[1].integer)))};
}

template <auto f>
Scalar compare(DType type, Values x) {
  if (is_float(type)) return {.integer = f(x[0].real, x[1].real)};
  if (type == DType::u64) return {.integer = f(bits(x[0].integer), bits(x[1].integer))};
  return {.integer = f(x[0].integer, x[1].integer)};
}

// The operand that `first(a, b)` prefers; a NaN before any.
template <auto first>
Scalar extreme(DType type, Values x) {
  if (is_float(type) && std::isnan(x[0].real)) return x[0];
  if (is_float(type) && std::isnan(x[1].real)) return x[1];
  return compare<first>(type, x).integer ? x[0] : x[1];
}

constexpr auto kLess = [](auto a, auto b) { return a < b; };
constexpr auto kGreater = [](auto a, auto b) { return a > b; };

// Rounds down; x // 0 is 0. Wraps where the lowest integer is divided by -1.
template <typename T>
T floor_quotient(T a, T b) {
  if (b == 0) return 0;
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return wrapped(0 - bits(a));
    const T quotient = a / b;
    return quotient * b != a && (a < 0) != (b < 0) ? quotient - 1 : quotient;
  }
  return a / b;
}

// Has the divisor's sign; x % 0 is 0.
template <typename T>
T floor_remainder(T a, T b) {
  if (b == 0) return 0;
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return 0;
    const T remainder = a % b;
    return remainder != 0 && (remainder < 0) != (b < 0) ? remainder + b : remainder;
  }
  return a % b;
}

// Amounts below 0 and of the width or more shift everything out.
Scalar left_shift(DType, Values x) {
  const std::uint64_t amount = bits(x[1].integer);
  return {.integer = amount < 64 ? wrapped(bits(x[0].integer) << amount) : 0};
}

// Copies the sign of a signed operand.
Scalar right_shift(DType type, Values x) {
  const std::uint64_t amount = std::min<std::uint64_t>(bits(x[1].integer), 64);
  if (type == DType::u64) return {.integer = amount < 64 ? wrapped(bits(x[0].integer) >> amount) : 0};
  return {.integer = x[0].integer >> std::min<std::uint64_t>(amount, 63)};
}

Scalar absolute(DType type, Values x) {
  if (is_float(type)) return {.real = std::abs(x[0].real)};
  return {.integer = is_signed_integer(type) && x[0].integer < 0 ? wrapped(0 - bits(x[0].integer)) : x[0].integer};
}

Scalar negated(DType type, Values x) {
  if (is_float(type)) return {.real = -x[0].real};
  return {.integer = wrapped(0 - bits(x[0].integer))};
}

Scalar sign_of(DType type, Values x) {
  if (is_float(type)) return {.real = x[0].real > 0 ? 1 : x[0].real < 0 ? -1 : x[0].real};
  if (is_signed_integer(type)) return {.integer = x[0].integer > 0 ? 1 : x[0].integer < 0 ? -1 : 0};
  return {.integer = x[0].integer != 0};
}

Scalar clamped(DType type, Values x) {
  const Scalar raised[] = {extreme<kGreater>(type, x.first(2)), x[2]};
  return extreme<kLess>(type, raised);
}

Scalar rectified(DType type, Values x) {
  const Scalar operands[] = {x[0], Scalar{}};
  return extreme<kGreater>(type, operands);
}

Scalar selected(DType, Values x) { return x[0].integer != 0 ? x[1] : x[2]; }

Scalar not_bits(DType type, Values x) { return {.integer = is_bool(type) ? x[0].integer == 0 : ~x[0].integer}; }

double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }
constexpr double kGeluCubic = 0.044715;
const double kGeluScale = std::sqrt(2 / std::numbers::pi);
constexpr double kLeastExponent = -126;  // of the normal numbers of f32
constexpr double kLeastNormal = 0x1p-126, kLargestReciprocal = 0x1p126;
double rcp_flush_of(double x) {
  if (std::abs(x) < kLeastNormal) return 1 / std::copysign(0, x);
  return std::abs(x) > kLargestReciprocal ? std::copysign(0, x) : 1 / x;
}
double gelu_of(double x) { return 0.5 * x * std::erfc(-x / std::numbers::sqrt2); }
double gelu_tanh_of(double x) { return x / (1 + std::exp(-2 * kGeluScale * x * (1 + kGeluCubic * x * x))); }
double softplus_of(double x) { return (x > 0 ? x : x < 0 ? 0 : x) + std::log1p(std::exp(-std::abs(x))); }

// --- Derivatives and expansions -------------------------------------------------------------------------------------

// The number in the dtype of `x`.
Expr like(const Expr& x, double value) {
  return is_float(x->dtype) ? constant(x->dtype, value) : constant(x->dtype, static_cast<std::int64_t>(value));
}
Expr f(Op op, const Expr& x) { return call(op, {x}); }
Expr f(Op op, const Expr& x, const Expr& y) { return call(op, {x, y}); }
Expr indicator(const Expr& condition, const Expr& x) { return select(condition, like(x, 1), like(x, 0)); }

Expr div_derivative(Args x, int i) {
  if (i == 0) return f(Op::div, like(x[0], 1), x[1]);
  return -f(Op::div, f(Op::div, x[0], x[1]), x[1]);
}

Expr sign_expansion(Args x) {
  const Expr zero = like(x[0], 0), one = like(x[0], 1);
  if (is_unsigned_integer(x[0]->dtype)) return min(x[0], one);
  return select(less(zero, x[0]), one, select(less(x[0], zero), like(x[0], -1), x[0]));
}

Expr sigmoid_expansion(Args x) {
  if (x[0]->dtype != DType::f64) return f(Op::rcp_flush, like(x[0], 1) + f(Op::exp, -x[0]));
  // With e = exp(-|x|), which never overflows: 1 / (1 + e) above 0, e / (1 + e) below.
  const Expr e = f(Op::exp, -f(Op::abs, x[0]));
  return f(Op::div, select(f(Op::lt, x[0], like(x[0], 0)), e, like(x[0], 1)), like(x[0], 1) + e);
}

Expr rcp_flush_expansion(Args x) {
  const Expr size = f(Op::abs, x[0]);
  const double infinity = std::numeric_limits<double>::infinity();
  const Expr large = select(less(like(x[0], kLargestReciprocal), size), x[0] * like(x[0], infinity), x[0]);
  return f(Op::div, like(x[0], 1), select(less(size, like(x[0], kLeastNormal)), x[0] * like(x[0], 0), large));
}

Expr gelu_tanh_argument(const Expr& x) {
  return x * (like(x, kGeluScale) + like(x, kGeluScale * kGeluCubic) * (x * x));
}

Expr gelu_expansion(Args x) {
  const Expr scaled = x[0] * like(x[0], 1 / std::numbers::sqrt2);
  return like(x[0], 0.5) * x[0] * (like(x[0], 1) + f(Op::erf, scaled));
}

// 0.5 (1 + tanh(u)) is 1 / (1 + exp(-2 u)), which loses no digits where tanh(u) is near -1; two instructions of the
// hardware and a few products in f32, where it is 0 below 2^-126.
Expr gelu_tanh_expansion(Args x) {
  if (x[0]->dtype == DType::f64) {
    return f(Op::div, x[0], like(x[0], 1) + f(Op::exp, like(x[0], -2) * gelu_tanh_argument(x[0])));
  }
  const double scale = -2 * kGeluScale * std::numbers::log2e;
  const Expr exponent = x[0] * (like(x[0], scale) + like(x[0], scale * kGeluCubic) * (x[0] * x[0]));
  return x[0] * f(Op::rcp_flush, like(x[0], 1) + f(Op::exp2_flush, exponent));
}

Expr gelu_derivative(Args x, int) {
  const Expr density = like(x[0], 1 / std::sqrt(2 * std::numbers::pi)) * f(Op::exp, like(x[0], -0.5) * (x[0] * x[0]));
  const Expr cumulative = like(x[0], 0.5) * (like(x[0], 1) + f(Op::erf, x[0] * like(x[0], 1 / std::numbers::sqrt2)));
  return cumulative + x[0] * density;
}

Expr gelu_tanh_derivative(Args x, int) {
  const Expr t = f(Op::tanh, gelu_tanh_argument(x[0]));
  const Expr inner = like(x[0], kGeluScale) + like(x[0], 3 * kGeluScale * kGeluCubic) * (x[0] * x[0]);
  return like(x[0], 0.5) * (like(x[0], 1) + t) + like(x[0], 0.5) * x[0] * (like(x[0], 1) - t * t) * inner;
}

Expr clamp_derivative(Args x, int i) {
  const Expr& value = x[0];
  if (i == 1) return indicator(both(less(value, x[1]), less_equal(x[1], x[2])), value);
  if (i == 2) return indicator(less(x[2], max(value, x[1])), value);
  return indicator(both(less_equal(x[1], value), less_equal(value, x[2])), value);
}

Expr pow_derivative(Args x, int i) {
  if (i == 1) return f(Op::pow, x[0], x[1]) * f(Op::log, x[0]);
  // A constant power 0 has no derivative at 0 either: not 0 * infinity.
  return select(equals(x[1], like(x[1], 0)), like(x[0], 0), x[1] * f(Op::pow, x[0], x[1] - like(x[1], 1)));
}

// --- The table ------------------------------------------------------------------------------------------------------

// Bounds: CUDA's single and double precision functions (CUDA C++ Programming Guide, "Mathematical Functions") and
// glibc's libmvec (at most 4 ulp); each row holds the larger one. Precedences: 1 ?:, 2 ||, 3 &&, 4 comparisons, 5 |,
// 6 ^, 7 &, 8 shifts, 9 + -, 10 * / // %, 11 prefix.
constexpr double kVectorUlp = 4;

// One paragraph a row.
// clang-format off
const std::array<ScalarFunction, kOpCount> kTable = {{
    {.op = Op::add, .name = "add", .notation = "+", .precedence = 9, .arity = 2, .types = TypeRule::numeric,
     .ulp = 0.5, .reference = ring<[](auto a, auto b) { return a + b; }>,
     .derivative = [](Args x, int) { return like(x[0], 1); }},
    {.op = Op::sub, .name = "sub", .notation = "-", .precedence = 9, .arity = 2, .types = TypeRule::numeric,
     .ulp = 0.5, .reference = ring<[](auto a, auto b) { return a - b; }>,
     .derivative = [](Args x, int i) { return i == 0 ? like(x[0], 1) : -like(x[0], 1); }},
    {.op = Op::mul, .name = "mul", .notation = "*", .precedence = 10, .arity = 2, .types = TypeRule::numeric,
     .ulp = 0.5, .reference = ring<[](auto a, auto b) { return a * b; }>,
     .derivative = [](Args x, int i) { return x[static_cast<std::size_t>(1 - i)]; }},
    {.op = Op::div, .name = "div", .notation = "/", .precedence = 10, .arity = 2, .types = TypeRule::floating,
     .ulp = 0.5, .reference = real<[](double a, double b) { return a / b; }>, .derivative = div_derivative},
    {.op = Op::floor_div, .name = "floor_div", .notation = "//", .precedence = 10, .arity = 2,
     .types = TypeRule::integral, .reference = integral<[](auto a, auto b) { return floor_quotient(a, b); }>,
     .cuda = "q_floor_div({0}, {1})"},
    {.op = Op::mod, .name = "mod", .notation = "%", .precedence = 10, .arity = 2, .types = TypeRule::integral,
     .reference = integral<[](auto a, auto b) { return floor_remainder(a, b); }>, .cuda = "q_mod({0}, {1})"},
    {.op = Op::neg, .name = "neg", .notation = "-", .precedence = 11, .arity = 1, .types = TypeRule::numeric,
     .trend = Trend::decreasing, .reference = negated, .derivative = [](Args x, int) { return -like(x[0], 1); }},

    {.op = Op::eq, .name = "eq", .notation = "==", .precedence = 4, .arity = 2, .types = TypeRule::comparison,
     .reference = compare<[](auto a, auto b) { return a == b; }>},
    {.op = Op::ne, .name = "ne", .notation = "!=", .precedence = 4, .arity = 2, .types = TypeRule::comparison,
     .reference = compare<[](auto a, auto b) { return a != b; }>},
    {.op = Op::lt, .name = "lt", .notation = "<", .precedence = 4, .arity = 2, .types = TypeRule::comparison,
     .reference = compare<kLess>},
    {.op = Op::le, .name = "le", .notation = "<=", .precedence = 4, .arity = 2, .types = TypeRule::comparison,
     .reference = compare<[](auto a, auto b) { return a <= b; }>},
    {.op = Op::gt, .name = "gt", .notation = ">", .precedence = 4, .arity = 2, .types = TypeRule::comparison,
     .reference = compare<kGreater>},
    {.op = Op::ge, .name = "ge", .notation = ">=", .precedence = 4, .arity = 2, .types = TypeRule::comparison,
     .reference = compare<[](auto a, auto b) { return a >= b; }>},
    {.op = Op::logical_and, .name = "and", .notation = "&&", .precedence = 3, .arity = 2, .types = TypeRule::logical,
     .reference = integral<[](auto a, auto b) { return a & b; }>},
    {.op = Op::logical_or, .name = "or", .notation = "||", .precedence = 2, .arity = 2, .types = TypeRule::logical,
     .reference = integral<[](auto a, auto b) { return a | b; }>},
    {.op = Op::logical_not, .name = "not", .notation = "!", .precedence = 11, .arity = 1, .types = TypeRule::logical,
     .reference = not_bits},
    {.op = Op::select, .name = "select", .notation = "?:", .precedence = 1, .arity = 3, .types = TypeRule::select,
     .reference = selected,
     .derivative = [](Args x, int i) { return i == 0 ? Expr() : indicator(i == 1 ? x[0] : negate(x[0]), x[1]); }},

    {.op = Op::min, .name = "min", .arity = 2, .types = TypeRule::numeric, .trend = Trend::increasing,
     .reference = extreme<kLess>,
     .derivative = [](Args x, int i) { return indicator(i == 0 ? less_equal(x[0], x[1]) : less(x[1], x[0]), x[0]); },
     .cuda = "q_min({0}, {1})", .cpu = "llvm.minimum"},
    {.op = Op::max, .name = "max", .arity = 2, .types = TypeRule::numeric, .trend = Trend::increasing,
     .reference = extreme<kGreater>,
     .derivative = [](Args x, int i) { return indicator(i == 0 ? less_equal(x[1], x[0]) : less(x[0], x[1]), x[0]); },
     .cuda = "q_max({0}, {1})", .cpu = "llvm.maximum"},
    {.op = Op::abs, .name = "abs", .arity = 1, .types = TypeRule::numeric, .reference = absolute,
     .derivative = [](Args x, int) { return f(Op::sign, x[0]); }, .cuda = "q_abs({0})", .cpu = "llvm.fabs"},
    {.op = Op::sign, .name = "sign", .arity = 1, .types = TypeRule::numeric, .trend = Trend::increasing,
     .reference = sign_of, .expansion = sign_expansion},
    {.op = Op::floor, .name = "floor", .arity = 1, .types = TypeRule::floating, .trend = Trend::increasing,
     .reference = real<[](double x) { return std::floor(x); }>, .cuda = "floorf({0})", .cuda_f64 = "floor({0})",
     .cpu = "llvm.floor"},
    {.op = Op::ceil, .name = "ceil", .arity = 1, .types = TypeRule::floating, .trend = Trend::increasing,
     .reference = real<[](double x) { return std::ceil(x); }>, .cuda = "ceilf({0})", .cuda_f64 = "ceil({0})",
     .cpu = "llvm.ceil"},
    {.op = Op::round, .name = "round", .arity = 1, .types = TypeRule::floating, .trend = Trend::increasing,
     .reference = real<[](double x) { return std::nearbyint(x); }>, .cuda = "rintf({0})", .cuda_f64 = "rint({0})",
     .cpu = "llvm.roundeven"},
    {.op = Op::clamp, .name = "clamp", .arity = 3, .types = TypeRule::numeric, .trend = Trend::increasing,
     .reference = clamped, .derivative = clamp_derivative,
     .expansion = [](Args x) { return min(max(x[0], x[1]), x[2]); }},

    {.op = Op::exp, .name = "exp", .arity = 1, .types = TypeRule::floating, .ulp = kVectorUlp,
     .trend = Trend::increasing, .reference = real<[](double x) { return std::exp(x); }>,
     .derivative = [](Args x, int) { return f(Op::exp, x[0]); }, .cuda = "expf({0})", .cuda_f64 = "exp({0})",
     .cpu = "exp"},
    {.op = Op::exp2, .name = "exp2", .arity = 1, .types = TypeRule::floating, .ulp = kVectorUlp,
     .trend = Trend::increasing, .reference = real<[](double x) { return std::exp2(x); }>,
     .derivative = [](Args x, int) { return f(Op::exp2, x[0]) * like(x[0], std::numbers::ln2); }, .cuda = "exp2f({0})",
     .cuda_f64 = "exp2({0})", .cpu = "exp2"},
    {.op = Op::exp2_flush, .name = "exp2_flush", .arity = 1, .types = TypeRule::floating, .ulp = kVectorUlp,
     .trend = Trend::increasing, .reference = real<[](double x) { return x < kLeastExponent ? 0 : std::exp2(x); }>,
     .derivative = [](Args x, int) { return f(Op::exp2_flush, x[0]) * like(x[0], std::numbers::ln2); },
     .expansion = [](Args x) { return select(less(x[0], like(x[0], kLeastExponent)), like(x[0], 0), f(Op::exp2, x[0])); },
     .cuda = "exp2_flush({0})", .cuda_f64 = "exp2_flush({0})"},
    {.op = Op::log, .name = "log", .arity = 1, .types = TypeRule::floating, .ulp = kVectorUlp,
     .trend = Trend::increasing, .reference = real<[](double x) { return std::log(x); }>,
     .derivative = [](Args x, int) { return f(Op::div, like(x[0], 1), x[0]); }, .cuda = "logf({0})",
     .cuda_f64 = "log({0})", .cpu = "log"},
    {.op = Op::log1p, .name = "log1p", .arity = 1, .types = TypeRule::floating, .ulp = kVectorUlp,
     .trend = Trend::increasing, .reference = real<[](double x) { return std::log1p(x); }>,
     .derivative = [](Args x, int) { return f(Op::div, like(x[0], 1), like(x[0], 1) + x[0]); }, .cuda = "log1pf({0})",
     .cuda_f64 = "log1p({0})", .cpu = "log1p"},
    {.op = Op::expm1, .name = "expm1", .arity = 1, .types = TypeRule::floating, .ulp = kVectorUlp,
     .trend = Trend::increasing, .reference = real<[](double x) { return std::expm1(x); }>,
     .derivative = [](Args x, int) { return f(Op::exp, x[0]); }, .cuda = "expm1f({0})", .cuda_f64 = "expm1({0})",
     .cpu = "expm1"},
    {.op = Op::sqrt, .name = "sqrt", .arity = 1, .types = TypeRule::floating, .ulp = 0.5, .trend = Trend::increasing,
     .reference = real<[](double x) { return std::sqrt(x); }>,
     .derivative = [](Args x, int) { return like(x[0], 0.5) * f(Op::rsqrt, x[0]); }, .cuda = "sqrtf({0})",
     .cuda_f64 = "sqrt({0})", .cpu = "llvm.sqrt"},
    {.op = Op::rsqrt, .name = "rsqrt", .arity = 1, .types = TypeRule::floating, .ulp = 2, .trend = Trend::decreasing,
     .reference = real<[](double x) { return 1 / std::sqrt(x); }>,
     .derivative = [](Args x, int) { return f(Op::div, like(x[0], -0.5) * f(Op::rsqrt, x[0]), x[0]); },
     .expansion = [](Args x) { return f(Op::div, like(x[0], 1), f(Op::sqrt, x[0])); }, .cuda = "rsqrtf({0})",
     .cuda_f64 = "rsqrt({0})"},
    {.op = Op::rcp_flush, .name = "rcp_flush", .arity = 1, .types = TypeRule::floating, .ulp = 1,
     .reference = real<rcp_flush_of>,
     .derivative = [](Args x, int) { const Expr r = f(Op::rcp_flush, x[0]); return -(r * r); },
     .expansion = rcp_flush_expansion, .cuda = "rcp_flush({0})", .cuda_f64 = "rcp_flush({0})"},
    {.op = Op::pow, .name = "pow", .arity = 2, .types = TypeRule::floating, .ulp = kVectorUlp,
     .reference = real<[](double x, double y) { return std::pow(x, y); }>, .derivative = pow_derivative,
     .cuda = "powf({0}, {1})", .cuda_f64 = "pow({0}, {1})", .cpu = "pow"},

    {.op = Op::sin, .name = "sin", .arity = 1, .types = TypeRule::floating, .ulp = kVectorUlp, .slope = 1,
     .reference = real<[](double x) { return std::sin(x); }>,
     .derivative = [](Args x, int) { return f(Op::cos, x[0]); }, .cuda = "sinf({0})", .cuda_f64 = "sin({0})",
     .cpu = "sin"},
    {.op = Op::cos, .name = "cos", .arity = 1, .types = TypeRule::floating, .ulp = kVectorUlp, .slope = 1,
     .reference = real<[](double x) { return std::cos(x); }>,
     .derivative = [](Args x, int) { return -f(Op::sin, x[0]); }, .cuda = "cosf({0})", .cuda_f64 = "cos({0})",
     .cpu = "cos"},
    {.op = Op::tanh, .name = "tanh", .arity = 1, .types = TypeRule::floating, .ulp = kVectorUlp,
     .trend = Trend::increasing, .reference = real<[](double x) { return std::tanh(x); }>,
     .derivative = [](Args x, int) { return like(x[0], 1) - f(Op::tanh, x[0]) * f(Op::tanh, x[0]); },
     .cuda = "tanhf({0})", .cuda_f64 = "tanh({0})", .cpu = "tanh"},
    {.op = Op::erf, .name = "erf", .arity = 1, .types = TypeRule::floating, .ulp = kVectorUlp,
     .trend = Trend::increasing, .reference = real<[](double x) { return std::erf(x); }>,
     .derivative = [](Args x, int) { return like(x[0], 2 * std::numbers::inv_sqrtpi) * f(Op::exp, -(x[0] * x[0])); },
     .cuda = "erff({0})", .cuda_f64 = "erf({0})", .cpu = "erf"},

    {.op = Op::sigmoid, .name = "sigmoid", .arity = 1, .types = TypeRule::floating, .reference = real<sigmoid_of>,
     .derivative = [](Args x, int) { return f(Op::sigmoid, x[0]) * (like(x[0], 1) - f(Op::sigmoid, x[0])); },
     .expansion = sigmoid_expansion},
    {.op = Op::relu, .name = "relu", .arity = 1, .types = TypeRule::numeric, .trend = Trend::increasing,
     .reference = rectified, .derivative = [](Args x, int) { return indicator(less(like(x[0], 0), x[0]), x[0]); },
     .expansion = [](Args x) { return max(x[0], like(x[0], 0)); }},
    {.op = Op::gelu, .name = "gelu", .arity = 1, .types = TypeRule::floating, .reference = real<gelu_of>,
     .derivative = gelu_derivative, .expansion = gelu_expansion},
    {.op = Op::gelu_tanh, .name = "gelu_tanh", .arity = 1, .types = TypeRule::floating,
     .reference = real<gelu_tanh_of>, .derivative = gelu_tanh_derivative, .expansion = gelu_tanh_expansion},
    {.op = Op::silu, .name = "silu", .arity = 1, .types = TypeRule::floating,
     .reference = real<[](double x) { return x * sigmoid_of(x); }>,
     .derivative = [](Args x, int) { const Expr s = f(Op::sigmoid, x[0]); return s + x[0] * s * (like(x[0], 1) - s); },
     .expansion = [](Args x) { return x[0] * f(Op::sigmoid, x[0]); }},
    {.op = Op::softplus, .name = "softplus", .arity = 1, .types = TypeRule::floating, .reference = real<softplus_of>,
     .derivative = [](Args x, int) { return f(Op::sigmoid, x[0]); },
     .expansion = [](Args x) { return max(x[0], like(x[0], 0)) + f(Op::log1p, f(Op::exp, -f(Op::abs, x[0]))); }},

    {.op = Op::bit_and, .name = "bit_and", .notation = "&", .precedence = 7, .arity = 2,
     .types = TypeRule::integral_or_bool, .reference = integral<[](auto a, auto b) { return a & b; }>},
    {.op = Op::bit_or, .name = "bit_or", .notation = "|", .precedence = 5, .arity = 2,
     .types = TypeRule::integral_or_bool, .reference = integral<[](auto a, auto b) { return a | b; }>},
    {.op = Op::bit_xor, .name = "bit_xor", .notation = "^", .precedence = 6, .arity = 2,
     .types = TypeRule::integral_or_bool, .reference = integral<[](auto a, auto b) { return a ^ b; }>},
    {.op = Op::bit_not, .name = "bit_not", .notation = "~", .precedence = 11, .arity = 1,
     .types = TypeRule::integral_or_bool, .reference = not_bits, .cuda = "q_bit_not({0})"},
    {.op = Op::shift_left, .name = "shift_left", .notation = "<<", .precedence = 8, .arity = 2,
     .types = TypeRule::integral, .reference = left_shift, .cuda = "q_shift_left({0}, {1})"},
    {.op = Op::shift_right, .name = "shift_right", .notation = ">>", .precedence = 8, .arity = 2,
     .types = TypeRule::integral, .reference = right_shift, .cuda = "q_shift_right({0}, {1})"},
}};
// clang-format on

bool admits(TypeRule rule, DType type) {
  switch (rule) {
    case TypeRule::numeric:
      return !is_bool(type);
    case TypeRule::floating:
      return is_float(type);
    case TypeRule::integral:
      return is_integer(type);
    case TypeRule::integral_or_bool:
      return !is_float(type);
    case TypeRule::comparison:
    case TypeRule::select:
      return true;
    case TypeRule::logical:
      return is_bool(type);
  }
  return false;
}

}  // namespace

const ScalarFunction& row(Op op) { return kTable[static_cast<std::size_t>(op)]; }
std::span<const ScalarFunction> scalar_functions() { return kTable; }

std::optional<Op> parse_function(std::string_view name) {
  for (const ScalarFunction& function : kTable) {
    if (function.notation.empty() && function.name == name) return function.op;
  }
  return std::nullopt;
}

std::optional<DType> result_type(Op op, std::span<const DType> operands) {
  const ScalarFunction& function = row(op);
  if (operands.size() != static_cast<std::size_t>(function.arity)) return std::nullopt;
  if (function.types == TypeRule::select) {
    if (!is_bool(operands[0])) return std::nullopt;
    operands = operands.subspan(1);
  }
  for (const DType type : operands) {
    if (type != operands[0] || !admits(function.types, type)) return std::nullopt;
  }
  return function.types == TypeRule::comparison ? DType::boolean : operands[0];
}

}  // namespace quern::ir
