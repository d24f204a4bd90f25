// Builder calls as text: every row, defaults, errors.

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>

#include "tests/api/arrays.h"

namespace quern::test {
namespace {

// What a required parameter may be, by what it takes.
std::string example_of(const BuilderParameter& parameter, bool symbols) {
  if (parameter.values == "function") return "add";
  if (parameter.values == "reducer") return "sum";
  if (parameter.values == "equation") return "'ij,jk->ik'";
  if (parameter.values == "ranges") return "'1:3, ::2'";
  if (parameter.values == "shapes") return symbols ? "'size_d, size_d; size_d, size_d'" : "'6, 6; 6, 6'";
  if (parameter.values.starts_with("shape")) return symbols ? "'size_d, size_d'" : "6x6";
  const bool filter = parameter.name == "r" || parameter.name == "s";
  return filter ? "3" : symbols ? "size_" + std::string(parameter.name) : "6";
}

// A call with every required parameter given, sizes as numbers or as symbols.
std::string minimal_call(const BuilderInfo& row, bool symbols) {
  std::string text = std::string(row.name) + "(";
  for (const BuilderParameter& parameter : row.parameters) {
    if (!parameter.fallback.empty()) continue;
    if (text.back() != '(') text += ", ";
    text += std::string(parameter.name) + "=" + example_of(parameter, symbols);
  }
  return text + ")";
}

TEST(BuilderCalls, EveryRowBuildsWithNumbersAndSymbolsAndReadsBack) {
  for (const BuilderInfo& row : builders()) {
    for (const bool symbols : {false, true}) {
      const std::string call = minimal_call(row, symbols);
      SCOPED_TRACE(call);
      const Program program = Program::parse(call);
      EXPECT_EQ(program.name(), row.name);
      EXPECT_EQ(program.symbols().empty(), !symbols);
      EXPECT_TRUE(Program::parse(program.text()) == program) << program.text();
    }
  }
}

TEST(BuilderCalls, EveryRowsParametersAreDocumented) {
  for (const BuilderInfo& row : builders()) {
    EXPECT_FALSE(row.doc.empty());
    for (const BuilderParameter& parameter : row.parameters) {
      EXPECT_FALSE(parameter.doc.empty() || parameter.values.empty()) << row.name << " " << parameter.name;
    }
  }
}

TEST(BuilderCalls, TensorsOfAnyShape) {
  const auto text = [](std::string_view call) { return Program::parse(call).text(); };
  EXPECT_EQ(text("elementwise(function=mul, shapes='m, n; n')"),
            "kernel elementwise(a: f32[m, n], b: f32[n]) -> (y: f32[m, n]) {\n  y[i, j] = a[i, j] * b[j]\n}\n");
  EXPECT_EQ(text("einsum(equation='bij,bjk->bik', shapes='2,3,4; 2,4,5')"),
            "kernel einsum(a: f32[2, 3, 4], b: f32[2, 4, 5]) -> (y: f32[2, 3, 5]) {\n"
            "  y[b2, i, k] = sum[j](a[b2, i, j] * b[b2, j, k])\n}\n");
  EXPECT_EQ(text("reduce(reducer=max, shape=4x5x6, axes=0x-1)"),
            "kernel reduce(x: f32[4, 5, 6]) -> (y: f32[5]) {\n  y[j] = max[i, k](x[i, j, k])\n}\n");
  EXPECT_EQ(text("transpose(shape='n, 3', dtype=i8)"),
            "kernel transpose(x: i8[n, 3]) -> (y: i8[3, n]) {\n  y[j, i] = x[i, j]\n}\n");
  EXPECT_EQ(text("slice(shape=9x8, ranges='1:9:2, ::-1')"),
            "kernel slice(x: f32[9, 8]) -> (y: f32[4, 8]) {\n  y[i, j] = x[i * 2 + 1, 7 - j]\n}\n");
  EXPECT_EQ(text("reshape(shape=4x6, to=3x-1)"),
            "kernel reshape(x: f32[4, 6]) -> (y: f32[3, 8]) {\n"
            "  y[i, j] = x[(i * 8 + j) // 6, (i * 8 + j) % 6]\n}\n");
  EXPECT_EQ(text("pad(shape=3, before=1, after=2, value=7)"),
            "kernel pad(x: f32[3]) -> (y: f32[6]) {\n  y[i] = x[i - 1] else 7.0\n}\n");
  EXPECT_EQ(text("pad(shape=3, before=0, after=2, dtype=i8, value=-7)"),
            "kernel pad(x: i8[3]) -> (y: i8[5]) {\n  y[i] = x[i] else -7\n}\n");
  EXPECT_EQ(text("pad(shape=3, before=0, after=2, dtype=bool, value=1)"),
            "kernel pad(x: bool[3]) -> (y: bool[5]) {\n  y[i] = x[i] else true\n}\n");
  EXPECT_EQ(text("pad(shape=3, before=0, after=2, dtype=f16, value=-inf)"),
            "kernel pad(x: f16[3]) -> (y: f16[5]) {\n  y[i] = x[i] else -inf\n}\n");
  EXPECT_EQ(text("pad(shape=3, before=1, after=0, value=nan)"),
            "kernel pad(x: f32[3]) -> (y: f32[4]) {\n  y[i] = x[i - 1] else nan\n}\n");
  EXPECT_EQ(text("concat(shapes='2,3; 4,3')"),
            "kernel concat(a: f32[2, 3], b: f32[4, 3]) -> (y: f32[6, 3]) {\n"
            "  y[i, j] = i < 2 ? a[i, j] : b[i - 2, j]\n}\n");
}

TEST(BuilderCalls, ShapesThatDoNotRead) {
  const auto error = [](std::string_view call) { return error_of([&] { Program::parse(call); }); };
  EXPECT_TRUE(contains(error("reduce(reducer=sum, shape=3x-1)"), "shape=3x-1"));
  EXPECT_TRUE(contains(error("reduce(reducer=sum, shape='3, m"), "got the end"));
  EXPECT_TRUE(contains(error("slice(shape=3, ranges='1')"), "begin:end"));
  EXPECT_TRUE(contains(error("slice(shape=3, ranges='-2:')"), "ranges=-2:; it takes a size from 0 on"));
  EXPECT_EQ(error("concat(shapes='3x4, 2x4')"),
            "concat: shapes=3x4, 2x4; it takes shapes separated by ';', as in '3x4; m, 4'");
}

TEST(BuilderCalls, OptionsAreTaken) {
  EXPECT_EQ(Program::parse(" linear ( m=m, n=8,k=4, act=gelu, w=col, dtype=bf16, out=f32, grade=tf32 ) ").text(),
            "kernel linear(x: bf16[m, 4], w: bf16[8, 4] const, b: bf16[8]) -> (y: f32[m, 8]) {\n"
            "  s[i, j] = sum[p]{grade=tf32}(f32(x[i, p]) * f32(w[j, p]))\n"
            "  y[i, j] = gelu(s[i, j] + f32(b[j]))\n"
            "}\n");
  EXPECT_EQ(Program::parse("conv2d(n=1, c=4, h=8, w=8, k=6, r=3, s=3, stride=2x1, pad=0x1x2x0, groups=2, bias=on, "
                           "act=relu)")
                .text(),
            "kernel conv2d(x: f32[1, 4, 8, 8], f: f32[6, 2, 3, 3] const, bias: f32[6]) -> (y: f32[1, 6, 4, 8]) {\n"
            "  s[b, o, p, q] = sum[i, u, v]((x[b, o // 3 * 2 + i, p * 2 + u, q + v - 2] else 0.0) * f[o, i, u, v])\n"
            "  y[b, o, p, q] = relu(s[b, o, p, q] + bias[o])\n"
            "}\n");
}

// What is shown to users works.
TEST(BuilderCalls, ThoseInTheDocumentationBuild) {
  std::string names;
  for (const BuilderInfo& row : builders()) names += (names.empty() ? "" : "|") + std::string(row.name);
  const std::regex call("\\b(" + names + ")\\([a-z]+=[^)]*\\)");
  int count = 0;
  for (const char* folder : {"", "docs", "examples"}) {
    for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(QUERN_SOURCE_DIR) / folder)) {
      if (entry.path().extension() != ".md" && entry.path().extension() != ".workloads") continue;
      std::ifstream file(entry.path());
      const std::string text{std::istreambuf_iterator<char>(file), {}};
      for (std::sregex_iterator it(text.begin(), text.end(), call), end; it != end; ++it, ++count) {
        EXPECT_NO_THROW(Program::parse(it->str())) << entry.path() << ": " << it->str();
      }
    }
  }
  EXPECT_GT(count, 10);
}

TEST(BuilderCalls, ChainsMeanWhatTheySay) {
  const Program program = Program::parse("bias_gelu_mul_residual(m=3, n=5, dtype=f32)");
  std::vector<Grid> grids;
  std::vector<HostArray> inputs;
  for (const Argument& argument : program.arguments()) {
    if (argument.is_output) continue;
    grids.push_back(random_grid(argument.extents, DType::f32, static_cast<unsigned>(grids.size())));
    inputs.push_back(to_array(grids.back(), DType::f32));
  }
  Grid y({3, 5});
  y.each([&](const Shape& at) {
    const double x = grids[0](at) + grids[1]({at[1]});
    y(at) = 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))) * grids[2](at) + grids[3](at);
  });
  expect_near(y, evaluate(program, inputs), 1e-5, program.text());
}

TEST(BuilderCalls, NormsTakeAResidual) {
  const Program program = Program::parse("layer_norm(m=2, n=6, residual=on, weight=off, bias=off, eps=0.5)");
  const Grid x = random_grid({2, 6}, DType::f32, 1), r = random_grid({2, 6}, DType::f32, 2);
  Grid y({2, 6});
  y.each([&](const Shape& at) {
    double mean = 0, square = 0;
    for (std::int64_t j = 0; j < 6; ++j) mean += (x({at[0], j}) + r({at[0], j})) / 6;
    for (std::int64_t j = 0; j < 6; ++j) square += std::pow(x({at[0], j}) + r({at[0], j}) - mean, 2) / 6;
    y(at) = (x(at) + r(at) - mean) / std::sqrt(square + 0.5);
  });
  expect_near(y, evaluate(program, {to_array(x, DType::f32), to_array(r, DType::f32)}), 1e-5, program.text());
}

TEST(BuilderCalls, Errors) {
  const auto parse = [](const char* text) { return error_of([&] { Program::parse(text); }); };
  EXPECT_EQ(
      parse("matmull(m=3)"),
      "unknown builder 'matmull'; there are: matmul, bmm, linear, conv2d, add, bias_gelu_mul_residual, "
      "transpose2d, row_sum, col_sum, full_sum, softmax, layer_norm, rms_norm, attention, elementwise, einsum, reduce, "
      "transpose, reshape, slice, pad, concat");
  EXPECT_EQ(parse("matmul(m=3, q=4)"), "matmul has no parameter 'q'; it has: m, n, k, dtype, a, b, out, grade");
  EXPECT_EQ(parse("matmul(m=3, n=4)"), "matmul needs k: elements of each sum; write matmul(..., k=...)");
  EXPECT_EQ(parse("matmul(m=3, m=4, n=4, k=4)"), "matmul: m is given twice");
  EXPECT_EQ(parse("matmul(m=-3, n=4, k=4)"), "matmul: m=-3; it takes a size from 0 on, or the name of a symbol");
  EXPECT_EQ(parse("matmul(m=99999999999999999999, n=4, k=4)"),
            "matmul: m=99999999999999999999; it takes sizes that fit 64 bits, up to 9223372036854775807");
  EXPECT_EQ(parse("matmul(m=3, n=4, k=4, a=diag)"), "matmul: a=diag; it takes row|col");
  EXPECT_EQ(parse("matmul(m=3, n=4, k=4, dtype=f33)"),
            "matmul: dtype=f33; it takes a dtype: f64 f32 f16 bf16 f8e4m3 f8e5m2 i64 i32 i16 i8 u64 u32 u16 u8 bool");
  EXPECT_EQ(parse("matmul(m=3, n=4, k=4"),
            "builder call, column 21: expected ',' or ')', got the end\n"
            "  matmul(m=3, n=4, k=4\n"
            "                      ^\n"
            "as in matmul(m=512, n=512, k=512, dtype=f32)");
  EXPECT_EQ(parse("conv2d(n=1, c=3, h=9, w=9, k=4, r=3, s=3, groups=2)"),
            "conv2d: c=3; it takes a number that its 2 groups divide");
  EXPECT_EQ(parse("conv2d(n=1, c=3, h=9, w=9, k=4, r=3, s=3, pad=1x2x3)"),
            "conv2d: pad=1x2x3; it takes one, two (1x2) or four integers (0x1x0x1)");
  EXPECT_EQ(parse("pad(shape=3, before=1, after=1, dtype=u8, value=-1)"), "pad: value=-1; it takes one of u8");
  EXPECT_EQ(parse("pad(shape=3, before=1, after=1, dtype=i32, value=0.5)"), "pad: value=0.5; it takes one of i32");
  EXPECT_EQ(parse("pad(shape=3, before=1, after=1, dtype=i32, value=nan)"), "pad: value=nan; it takes one of i32");
  EXPECT_EQ(parse("pad(shape=3, before=9223372036854775807, after=9223372036854775807)"),
            "the size 9223372036854775807 + 3 + 9223372036854775807 leaves 64 bits; use smaller sizes");
  EXPECT_EQ(parse("conv2d(n=1, c=1, h=5, w=5, k=1, r=3, s=3, pad=4611686018427387904)"),
            "the size 5 + 4611686018427387904 + 4611686018427387904 - (3 - 1) * 1 - 1 leaves 64 bits; use smaller "
            "sizes");
  EXPECT_EQ(parse("layer_norm(m=3, n=4, eps=much)"), "layer_norm: eps=much; it takes a number");
  EXPECT_EQ(parse("layer_norm(m=3, n=4, dtype=i32)"), "layer_norm takes floats; x holds i32");
}

TEST(Programs, CompiledOnesAreNoText) {
  EXPECT_EQ(error_of([] { Program::parse("QUERNEXE and more"); }),
            "this is a compiled program, which Executable::load takes; programs to compile are text or a builder call");
}

TEST(Programs, GarbageIsAnError) {
  for (const std::string& text : {std::string("\x7f"
                                              "ELF\x02\x01\x01\0\0\0",
                                              10),
                                  std::string("\0\0\0\0", 4), std::string(), std::string("("), std::string(100000, '('),
                                  std::string("matmul"), std::string("kernel"), std::string("\xff\xfe(\xff)", 5)}) {
    EXPECT_THROW(Program::parse(text), Error);
  }
}

TEST(Programs, ArgumentsAndSymbols) {
  const Program program = Program::parse(
      "kernel k(x: f32[m, 8] strides(s, 1), c: i8[3] const, z: f32[m, 3]) -> (y: f32[m, 3] update z) {\n"
      "  y[i, j] = x[i, j] + f32(c[j]) + z[i, j]\n"
      "}");
  EXPECT_EQ(program.symbols(), (std::vector<std::string>{"m", "s"}));
  const std::vector<Argument> arguments = program.arguments();
  ASSERT_EQ(arguments.size(), 4U);
  EXPECT_EQ(arguments[0].type(), "f32[m, 8]");
  EXPECT_EQ(arguments[0].strides, (std::vector<std::string>{"s", "1"}));
  EXPECT_EQ(arguments[0].extents, (Shape{-1, 8}));
  EXPECT_TRUE(arguments[1].is_const);
  EXPECT_TRUE(arguments[3].is_output);
  EXPECT_EQ(arguments[3].updates, "z");
  const Program bound = program.bind({{"m", 5}});
  EXPECT_EQ(bound.symbols(), (std::vector<std::string>{"s"}));
  EXPECT_EQ(bound.arguments()[0].extents, (Shape{5, 8}));
  EXPECT_NE(bound.digest(), program.digest());
  EXPECT_EQ(bound.digest().size(), 32U);
}

}  // namespace
}  // namespace quern::test
