#include "codegen/cuda/matrix_instructions.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codegen/cuda/types.h"
#include "codegen/cuda/wrapped_line.h"

namespace quern::codegen {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

// A product's shape: accumulator m x n, operands m x k and k x n; of wgmma `slices` of them along k.
struct Product {
  int m = 0, n = 0, k = 0;
  DType a{}, b{}, acc{};
  bool a_transposed = false, b_transposed = false;
  int slices = 1;
  std::int64_t a_step = 0, b_step = 0;
};

std::int64_t number(const Expr& e) {
  const auto value = as_integer(e);
  ensure(value.has_value(), "a product's shape and dtypes are constants");
  return *value;
}
int size_of(const Expr& e) { return static_cast<int>(number(e)); }
DType dtype_of(const Expr& e) { return static_cast<DType>(number(e)); }

Product product_of(const Intrinsic& intrinsic) {
  const std::vector<Expr>& x = intrinsic.args;
  switch (intrinsic.id) {
    case IntrinsicId::mma_sync:
      return {size_of(x[3]), size_of(x[4]), size_of(x[5]), dtype_of(x[6]), dtype_of(x[7]), dtype_of(x[8])};
    case IntrinsicId::wgmma:
    case IntrinsicId::wgmma_registers: {
      const bool a_in_registers = intrinsic.id == IntrinsicId::wgmma_registers;
      Product p{64, size_of(x[4]), 32 / byte_size(dtype_of(x[8])), dtype_of(x[8]), dtype_of(x[9]), dtype_of(x[10])};
      p.a_transposed = !a_in_registers && number(x[11]) != 0;
      p.b_transposed = number(x.back()) != 0;
      p.slices = size_of(x[5]);
      p.a_step = number(x[6]);
      p.b_step = number(x[7]);
      return p;
    }
    default:
      unreachable("the intrinsic is a matrix product");
  }
}

// The dtype in the instruction's name; f32 operands are read as tf32, their low bits dropped.
std::string_view ptx_type(DType dtype, bool is_accumulator) {
  switch (dtype) {
    case DType::f64:
      return "f64";
    case DType::f32:
      return is_accumulator ? "f32" : "tf32";
    case DType::f16:
      return "f16";
    case DType::bf16:
      return "bf16";
    case DType::f8e4m3:
      return "e4m3";
    case DType::f8e5m2:
      return "e5m2";
    case DType::i32:
      return "s32";
    case DType::i8:
      return "s8";
    case DType::u8:
      return "u8";
    default:
      fail("matrix instructions have no operands of dtype {}", name(dtype));
  }
}

// One array of registers in an asm statement. 32-bit registers hold several narrow elements.
struct Registers {
  std::string_view parameter;  // of the device function
  DType dtype;
  int elements;

  int count() const { return std::max(elements * std::min(byte_size(dtype), 4) / 4, 1); }
  bool is_packed() const { return byte_size(dtype) < 4; }
  char constraint(bool is_accumulator) const {
    if (dtype == DType::f64) return 'd';
    return is_accumulator && dtype == DType::f32 ? 'f' : 'r';
  }
  // What `parameter`[i] is called in the constraints; tf32 operands are passed as the bits of their floats.
  std::string_view array(bool is_accumulator) const {
    const bool is_viewed = is_packed() || (!is_accumulator && dtype == DType::f32);
    if (!is_viewed) return parameter;
    return parameter == "d" ? "rd" : parameter == "a" ? "ra" : "rb";
  }
  // The declaration of that name where it is another one.
  std::string view(bool is_accumulator) const {
    if (array(is_accumulator) == parameter) return {};
    const std::string_view qualifier = is_accumulator ? "" : "const ";
    return fmt::format("  {0}unsigned* {1} = reinterpret_cast<{0}unsigned*>({2});\n", qualifier, array(is_accumulator),
                       parameter);
  }
};

std::string repeated(int count, auto&& item) {
  std::string text;
  for (int i = 0; i < count; ++i) text += (i ? ", " : "") + item(i);
  return text;
}

// "{%4, %5, %6}"
std::string placeholders(int first, int count) {
  return "{" + repeated(count, [&](int i) { return fmt::format("%{}", first + i); }) + "}";
}

std::string constraints(const Registers& registers, bool is_accumulator) {
  return repeated(registers.count(), [&](int i) {
    return fmt::format("\"{}{}\"({}[{}])", is_accumulator ? "+" : "", registers.constraint(is_accumulator),
                       registers.array(is_accumulator), i);
  });
}

// Breaks a list after a comma into lines of at most 100 characters, with `between` in place of the spaces there.
std::string wrapped(std::string_view text, std::string_view between) {
  constexpr std::size_t kLine = 100;
  std::string result;
  while (text.size() > kLine) {
    const std::size_t cut = text.rfind(", ", kLine);
    if (cut == text.npos) break;
    result += text.substr(0, cut + 1);
    result += between;
    text.remove_prefix(cut + 2);
  }
  return result += text;
}

std::string shape_name(const Product& p) {
  return fmt::format("m{}n{}k{}_{}_{}_{}", p.m, p.n, p.k * p.slices, name(p.acc), name(p.a), name(p.b));
}

std::string ptx_types(const Product& p) {
  return fmt::format("{}.{}.{}", ptx_type(p.acc, true), ptx_type(p.a, false), ptx_type(p.b, false));
}

MatrixFunction mma_sync_function(const Product& p) {
  const Registers d{"d", p.acc, p.m * p.n / 32}, a{"a", p.a, p.m * p.k / 32}, b{"b", p.b, p.k * p.n / 32};
  MatrixFunction result{"mma_" + shape_name(p), {}, {}};
  const int a_first = d.count(), b_first = a_first + a.count();
  result.text = fmt::format(
      "__device__ __forceinline__ void {}({}* d, const {}* a, const {}* b) {{\n{}{}{}"
      "  asm(\"mma.sync.aligned.m{}n{}k{}.row.col.{}.{} \"\n"
      "      \"{}, {}, {}, {};\"\n"
      "      : {}\n"
      "      : {}, {});\n"
      "}}\n",
      result.name, value_type(p.acc), element_type(p.a), element_type(p.b), d.view(true), a.view(false), b.view(false),
      p.m, p.n, p.k, ptx_types(p), ptx_type(p.acc, true), placeholders(0, d.count()), placeholders(a_first, a.count()),
      placeholders(b_first, b.count()), placeholders(0, d.count()), constraints(d, true), constraints(a, false),
      constraints(b, false));
  return result;
}

// The immediates after scale-d: signs of the operands (floats), then transpositions (16-bit floats).
std::string immediates(const Product& p, bool a_in_registers) {
  if (!is_float(p.a)) return "";
  std::string text = ", 1, 1";
  if (byte_size(p.a) != 2) {
    ensure(!p.a_transposed && !p.b_transposed, "only 16-bit operands of wgmma can be transposed");
    return text;
  }
  if (!a_in_registers) text += p.a_transposed ? ", 1" : ", 0";
  return text + (p.b_transposed ? ", 1" : ", 0");
}

// Operands of the asm statement of a wgmma function, numbered in this order: the accumulator, then a and b of each
// slice, then whether to accumulate.
struct WgmmaOperands {
  Registers d, a;  // a: of one slice, if in registers
  bool a_in_registers;
  int slices;

  int a_first(int slice) const { return d.count() + slice * (a_in_registers ? a.count() : 1); }
  int b(int slice) const { return a_first(slices) + slice; }
  int accumulate() const { return b(slices); }

  std::string inputs() const {
    // What is added to the first slice's place.
    const auto moved = [](std::string_view step, int slice, int unit) {
      if (slice == 0) return std::string();
      const std::string times = slice > 1 ? fmt::format("{} * ", slice) : "";
      return fmt::format(" + {}{}{}", times, step, unit > 1 ? fmt::format(" / {}", unit) : "");
    };
    std::string text;
    for (int slice = 0; slice < slices; ++slice) {
      for (int i = 0; a_in_registers && i < a.count(); ++i) {
        const int elements = 4 / std::min(byte_size(a.dtype), 4);
        text += fmt::format("\"r\"({}[{}{}]), ", a.array(false), i, moved("a_step", slice, elements));
      }
      if (!a_in_registers) text += fmt::format("\"l\"(a{}), ", moved("a_step", slice, 1));
    }
    for (int slice = 0; slice < slices; ++slice) text += fmt::format("\"l\"(b{}), ", moved("b_step", slice, 1));
    return text + "\"r\"(static_cast<int>(accumulate))";
  }
};

// The instruction of each slice; all but the first accumulate.
std::string wgmma_instructions(const Product& p, const WgmmaOperands& x) {
  std::string text;
  for (int slice = 0; slice < p.slices; ++slice) {
    const std::string a =
        x.a_in_registers ? placeholders(x.a_first(slice), x.a.count()) : fmt::format("%{}", x.a_first(slice));
    text +=
        fmt::format("      \"wgmma.mma_async.sync.aligned.m{}n{}k{}.{} \" ACCUMULATOR \", {}, %{}, {}{};\\n\"\n", p.m,
                    p.n, p.k, ptx_types(p), a, x.b(slice), slice > 0 ? "1" : "p", immediates(p, x.a_in_registers));
  }
  return text;
}

MatrixFunction wgmma_function(const Product& p, bool a_in_registers) {
  const bool is_legal = p.n % 8 == 0 && p.n >= 8 && p.n <= 256 && (is_float(p.a) || p.n <= 24 || p.n % 16 == 0);
  ensure(is_legal, fmt::format("wgmma has no n = {} for {}", p.n, name(p.a)));
  const Registers d{"d", p.acc, p.n / 2}, a{"a", p.a, p.m * p.k / 128};
  const WgmmaOperands operands{d, a, a_in_registers, p.slices};
  MatrixFunction result;
  result.name = fmt::format("wgmma_{}{}{}{}", a_in_registers ? "registers_" : "", shape_name(p),
                            p.a_transposed ? "_at" : "", p.b_transposed ? "_bt" : "");
  if (p.slices > 1) result.constants = fmt::format("<{}, {}>", p.a_step, p.b_step);
  const std::string a_parameter =
      a_in_registers ? fmt::format("const {}* a", element_type(p.a)) : std::string("unsigned long long a");
  const std::string head =
      fmt::format("__device__ __forceinline__ void {}({}* d, {}, unsigned long long b, bool accumulate) {{",
                  result.name, value_type(p.acc), a_parameter);
  result.text = fmt::format(
      "{}{}\n"
      "#define ACCUMULATOR \\\n  \"{}\"\n{}{}"
      "  asm volatile(\n"
      "      \"{{\\n\"\n"
      "      \".reg .pred p;\\n\"\n"
      "      \"setp.ne.b32 p, %{}, 0;\\n\"\n{}"
      "      \"}}\"\n"
      "      : {}\n"
      "      : {});\n"
      "#undef ACCUMULATOR\n"
      "}}\n",
      p.slices > 1 ? "template <int a_step, int b_step>\n" : "", wrapped_line(head),
      wrapped(placeholders(0, d.count()), " \" \\\n  \""), d.view(true), a_in_registers ? a.view(false) : "",
      operands.accumulate(), wgmma_instructions(p, operands), wrapped(constraints(d, true), "\n        "),
      wrapped(operands.inputs(), "\n        "));
  return result;
}

}  // namespace

MatrixFunction matrix_function(const Intrinsic& intrinsic) {
  const Product product = product_of(intrinsic);
  if (intrinsic.id == IntrinsicId::mma_sync) return mma_sync_function(product);
  return wgmma_function(product, intrinsic.id == IntrinsicId::wgmma_registers);
}

}  // namespace quern::codegen
