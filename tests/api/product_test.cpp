// matmul, einsum and conv2d against loops in double.

#include <gtest/gtest.h>

#include <map>
#include <string_view>

#include "tests/api/arrays.h"

namespace quern::test {
namespace {

TEST(Matmul, EveryTranspositionAndDtype) {
  constexpr std::int64_t m = 5, n = 3, k = 7;
  for (const DType dtype : {DType::f64, DType::f32, DType::f16, DType::bf16, DType::i8, DType::u8, DType::i32}) {
    for (const auto a : {MatrixLayout::row, MatrixLayout::col}) {
      for (const auto b : {MatrixLayout::row, MatrixLayout::col}) {
        const bool ta = a == MatrixLayout::col, tb = b == MatrixLayout::col;
        check_operator(
            dtype, {ta ? Shape{k, m} : Shape{m, k}, tb ? Shape{n, k} : Shape{k, n}},
            [&](const auto& t) { return matmul(t[0], t[1], {.a = a, .b = b}); },
            [&](const auto& g) {
              Grid y({m, n});
              y.each([&](const Shape& at) {
                for (std::int64_t p = 0; p < k; ++p) {
                  y(at) += g[0](ta ? Shape{p, at[0]} : Shape{at[0], p}) * g[1](tb ? Shape{at[1], p} : Shape{p, at[1]});
                }
              });
              return y;
            });
      }
    }
  }
}

TEST(Matmul, BatchesBroadcast) {
  check_operator(
      DType::f64, {{2, 1, 3, 5}, {4, 5, 2}}, [](const auto& t) { return matmul(t[0], t[1]); },
      [](const auto& g) {
        Grid y({2, 4, 3, 2});
        y.each([&](const Shape& at) {
          for (std::int64_t p = 0; p < 5; ++p) y(at) += g[0]({at[0], 0, at[2], p}) * g[1]({at[1], p, at[3]});
        });
        return y;
      });
}

TEST(Matmul, Vectors) {
  check_operator(
      DType::f64, {{5}, {5, 3}}, [](const auto& t) { return matmul(t[0], t[1]); },
      [](const auto& g) {
        Grid y({3});
        y.each([&](const Shape& at) {
          for (std::int64_t p = 0; p < 5; ++p) y(at) += g[0]({p}) * g[1]({p, at[0]});
        });
        return y;
      });
  check_operator(
      DType::f64, {{2, 3, 5}, {5}}, [](const auto& t) { return matmul(t[0], t[1]); },
      [](const auto& g) {
        Grid y({2, 3});
        y.each([&](const Shape& at) {
          for (std::int64_t p = 0; p < 5; ++p) y(at) += g[0]({at[0], at[1], p}) * g[1]({p});
        });
        return y;
      });
}

TEST(Matmul, AnEpilogueSeesTheSumBeforeItIsRounded) {
  ProgramBuilder b("linear");
  const Dim m = b.symbol("m");
  const Tensor x = b.input("x", DType::bf16, {m, 8});
  const Tensor w = b.input("w", DType::bf16, {8, 4}, {.constant = true});
  const Tensor bias = b.input("b", DType::bf16, {4});
  MatmulOptions options;
  options.product.epilogue = [&](const Expr& sum, const std::vector<Expr>& index) {
    return relu(sum + cast(DType::f32, bias(index[1])));
  };
  b.output(matmul(x, w, options));
  EXPECT_EQ(b.build().text(),
            "kernel linear(x: bf16[m, 8], w: bf16[8, 4] const, b: bf16[4]) -> (y: bf16[m, 4]) {\n"
            "  s[i, j] = sum[p](f32(x[i, p]) * f32(w[p, j]))\n"
            "  y[i, j] = bf16(relu(s[i, j] + f32(b[j])))\n"
            "}\n");
}

TEST(Matmul, TheContractIsWritten) {
  const Program program = program_of(DType::f32, {{4, 8}, {8, 4}}, [](const auto& t) {
    return matmul(t[0], t[1], {.product = {.grade = Grade::tf32, .order = Order::fixed}});
  });
  EXPECT_NE(program.text().find("sum[p]{grade=tf32, order=fixed}"), std::string::npos) << program.text();
}

TEST(Matmul, Errors) {
  const auto multiply = [](const Shape& a, const Shape& b) {
    return error_of([&] { program_of(DType::f32, {a, b}, [](const auto& t) { return matmul(t[0], t[1]); }); });
  };
  EXPECT_EQ(multiply({3, 4}, {5, 6}),
            "matmul: a f32[3, 4] has k = 4, b f32[5, 6] has k = 5; say a = col or b = col where an operand is "
            "transposed");
  EXPECT_EQ(multiply({2, 3, 4}, {3, 4, 5}),
            "matmul: the batches of a f32[2, 3, 4] and b f32[3, 4, 5] do not broadcast: 2 meets 3; sizes agree or one "
            "of them is 1");
  EXPECT_EQ(multiply({}, {3, 4}), "matmul: a f32[] and b f32[3, 4]; an operand has one dimension or more");
}

// Sums over all letters that the result lacks, by brute force.
Grid einsum_oracle(const std::vector<std::string>& names, const std::string& result, const std::vector<Grid>& grids) {
  std::map<char, std::int64_t> extents;
  for (std::size_t t = 0; t < names.size(); ++t) {
    for (std::size_t d = 0; d < names[t].size(); ++d) extents[names[t][d]] = grids[t].shape[d];
  }
  std::string letters;
  Shape all;
  for (const auto& [letter, extent] : extents) {
    letters += letter;
    all.push_back(extent);
  }
  const auto place = [&](const std::string& word, const Shape& at) {
    Shape index;
    for (const char c : word) index.push_back(at[letters.find(c)]);
    return index;
  };
  Shape shape;
  for (const char c : result) shape.push_back(extents[c]);
  Grid y(shape);
  Grid(all).each([&](const Shape& at) {
    double product = 1;
    for (std::size_t t = 0; t < names.size(); ++t) product *= grids[t](place(names[t], at));
    y(place(result, at)) += product;
  });
  return y;
}

TEST(Einsum, AgainstBruteForce) {
  struct Case {
    const char* equation;
    std::vector<std::string> operands;
    const char* result;
  };
  const std::map<char, std::int64_t> extents = {{'i', 3}, {'j', 4}, {'k', 5}, {'b', 2}, {'l', 3}, {'A', 2}};
  const std::vector<Case> cases = {
      {"ij,jk->ik", {"ij", "jk"}, "ik"},
      {"ij,jk", {"ij", "jk"}, "ik"},
      {"bij,bjk->bik", {"bij", "bjk"}, "bik"},
      {"ij->ji", {"ij"}, "ji"},
      {"ii->i", {"ii"}, "i"},
      {"ii", {"ii"}, ""},
      {"i,j->ij", {"i", "j"}, "ij"},
      {"ij->", {"ij"}, ""},
      {"i,i", {"i", "i"}, ""},
      {"bijk,bjkl -> bil", {"bijk", "bjkl"}, "bil"},
      {"ijA,ikA,l->jkl", {"ijA", "ikA", "l"}, "jkl"},
      {"ji,ji->j", {"ji", "ji"}, "j"},
      {"iji->j", {"iji"}, "j"},
  };
  for (const Case& c : cases) {
    std::vector<Shape> shapes;
    for (const std::string& names : c.operands) {
      Shape shape;
      for (const char letter : names) shape.push_back(extents.at(letter));
      shapes.push_back(shape);
    }
    check_operator(
        DType::f64, shapes, [&](const auto& t) { return einsum(c.equation, t); },
        [&](const auto& g) { return einsum_oracle(c.operands, c.result, g); }, c.equation);
  }
}

TEST(Einsum, Errors) {
  const auto einsum_of = [](const char* equation, const std::vector<Shape>& shapes) {
    return error_of([&] { program_of(DType::f32, shapes, [&](const auto& t) { return einsum(equation, t); }); });
  };
  EXPECT_EQ(einsum_of("ij,jk->ik", {{3, 4}, {5, 6}}),
            "einsum \"ij,jk->ik\": 'j' is 4 in a f32[3, 4] and 5 in b f32[5, 6]; give it one size, or use two letters");
  EXPECT_EQ(einsum_of("ij,jk->ik", {{3, 4}}), "einsum \"ij,jk->ik\" has 2 operands, here is 1");
  EXPECT_EQ(einsum_of("ijk->i", {{3, 4}}), "einsum \"ijk->i\": a f32[3, 4] has 2 dimensions, \"ijk\" names 3");
  EXPECT_EQ(einsum_of("ij->ik", {{3, 4}}), "einsum \"ij->ik\": the result's 'k' is in no operand");
  EXPECT_EQ(einsum_of("ij->ii", {{3, 4}}), "einsum \"ij->ii\": 'i' is twice in the result");
  EXPECT_EQ(einsum_of("...i->i", {{3, 4}}),
            "einsum \"...i->i\": '.' at column 1; expected letters, ',' and one '->', as in \"ij,jk->ik\"");
}

struct ConvCase {
  std::int64_t n, c, h, w, k, r, s;
  std::array<std::int64_t, 2> stride = {1, 1};
  std::array<std::int64_t, 4> pad = {0, 0, 0, 0};
  std::array<std::int64_t, 2> dilation = {1, 1};
  std::int64_t groups = 1;
};

const std::vector<ConvCase> kConvCases = {
    {2, 3, 6, 5, 4, 3, 3},
    {1, 3, 7, 9, 5, 3, 2, {1, 1}, {1, 1, 1, 1}},
    {2, 2, 8, 7, 3, 3, 3, {2, 2}, {1, 1, 1, 1}},
    {1, 4, 9, 8, 6, 3, 3, {2, 1}, {0, 1, 2, 1}},
    {1, 2, 11, 9, 2, 3, 3, {1, 1}, {2, 2, 2, 2}, {2, 2}},
    {1, 2, 10, 12, 3, 2, 3, {3, 2}, {1, 0, 0, 2}, {2, 3}},
    {2, 6, 5, 5, 4, 3, 3, {1, 1}, {1, 1, 1, 1}, {1, 1}, 2},
    {1, 5, 6, 6, 5, 3, 3, {2, 2}, {1, 1, 1, 1}, {1, 1}, 5},
    {1, 3, 6, 7, 6, 3, 3, {1, 1}, {1, 1, 1, 1}, {2, 1}, 3},
    {1, 1, 1, 1, 1, 1, 1},
    {1, 2, 3, 4, 3, 1, 1, {2, 2}},
    {1, 2, 2, 2, 2, 3, 3, {1, 1}, {5, 0, 0, 5}},
    {0, 2, 4, 4, 3, 3, 3},
    {1, 0, 4, 4, 3, 3, 3, {1, 1}, {1, 1, 1, 1}},
};

Grid conv_oracle(const ConvCase& c, const Grid& x, const Grid& f, bool nhwc) {
  const auto out = [&](std::int64_t image, std::int64_t filter, std::size_t d) {
    return (image + c.pad[2 * d] + c.pad[2 * d + 1] - c.dilation[d] * (filter - 1) - 1) / c.stride[d] + 1;
  };
  const std::int64_t p = out(c.h, c.r, 0), q = out(c.w, c.s, 1), per_group = c.c / c.groups;
  Grid y(nhwc ? Shape{c.n, p, q, c.k} : Shape{c.n, c.k, p, q});
  y.each([&](const Shape& at) {
    const std::int64_t o = at[nhwc ? 3 : 1], row = at[nhwc ? 1 : 2], column = at[nhwc ? 2 : 3];
    const std::int64_t first = o / (c.k / c.groups) * per_group;
    for (std::int64_t i = 0; i < per_group; ++i) {
      for (std::int64_t u = 0; u < c.r; ++u) {
        for (std::int64_t v = 0; v < c.s; ++v) {
          const std::int64_t a = row * c.stride[0] + u * c.dilation[0] - c.pad[0];
          const std::int64_t b = column * c.stride[1] + v * c.dilation[1] - c.pad[2];
          y(at) += x.or_zero(nhwc ? Shape{at[0], a, b, first + i} : Shape{at[0], first + i, a, b}) *
                   f(nhwc ? Shape{o, u, v, i} : Shape{o, i, u, v});
        }
      }
    }
  });
  return y;
}

TEST(Conv2d, StridesPaddingsDilationsGroupsAndLayouts) {
  for (std::size_t i = 0; i < kConvCases.size(); ++i) {
    const ConvCase& c = kConvCases[i];
    for (const bool nhwc : {false, true}) {
      const std::int64_t per_group = c.c / c.groups;
      check_operator(
          i % 4 == 3   ? DType::bf16
          : i % 2 == 0 ? DType::f32
                       : DType::f64,
          {nhwc ? Shape{c.n, c.h, c.w, c.c} : Shape{c.n, c.c, c.h, c.w},
           nhwc ? Shape{c.k, c.r, c.s, per_group} : Shape{c.k, per_group, c.r, c.s}},
          [&](const auto& t) {
            return conv2d(t[0], t[1],
                          {.stride = c.stride,
                           .padding = c.pad,
                           .dilation = c.dilation,
                           .groups = c.groups,
                           .layout = nhwc ? ImageLayout::nhwc : ImageLayout::nchw});
          },
          [&](const auto& g) { return conv_oracle(c, g[0], g[1], nhwc); }, "case " + std::to_string(i));
    }
  }
}

TEST(Conv2d, ReadsAsAPersonWouldWriteIt) {
  EXPECT_EQ(Program::parse("conv2d(n=n, c=c, h=h, w=w, k=k, r=3, s=3, pad=1, layout=nhwc, dtype=bf16)").text(),
            "kernel conv2d(x: bf16[n, h, w, c], f: bf16[k, 3, 3, c] const) -> (y: bf16[n, h, w, k]) {\n"
            "  y[b, p, q, o] = bf16(sum[u, v, i](f32(x[b, p + u - 1, q + v - 1, i] else 0.0) * f32(f[o, u, v, i])))\n"
            "}\n");
}

TEST(Conv2d, Errors) {
  const auto convolve = [](const Shape& x, const Shape& f, const Conv2dOptions& options) {
    return error_of(
        [&] { program_of(DType::f32, {x, f}, [&](const auto& t) { return conv2d(t[0], t[1], options); }); });
  };
  EXPECT_EQ(convolve({1, 3, 4, 4}, {2, 3, 5, 5}, {}),
            "conv2d: rows of 4, padded by 0 and 0, are fewer than the filter's 5 x dilation 1: b f32[2, 3, 5, 5] has "
            "no place in a f32[1, 3, 4, 4]");
  EXPECT_EQ(convolve({1, 3, 4, 4}, {2, 4, 3, 3}, {}),
            "conv2d: a f32[1, 3, 4, 4] has 3 channels, b f32[2, 4, 3, 3] takes 4 in each of 1 group");
  EXPECT_EQ(convolve({1, 4, 4, 4}, {3, 2, 3, 3}, {.groups = 2}),
            "conv2d: the 3 filters of b f32[3, 2, 3, 3] don't divide into 2 groups");
  EXPECT_EQ(convolve({1, 3, 4}, {3, 2, 3, 3}, {}),
            "conv2d: images and filters have 4 dimensions, here are a f32[1, 3, 4] and b f32[3, 2, 3, 3]");
  EXPECT_EQ(convolve({1, 3, 4, 4}, {2, 3, 3, 3}, {.stride = {0, 1}}),
            "conv2d: stride 0 and dilation 1 of the rows; both are at least 1");
  EXPECT_EQ(convolve({1, 3, 4, 4}, {2, 3, 3, 3}, {.padding = {0, 0, -1, 0}}),
            "conv2d: padding -1 and 0 of the columns; slice the image instead of negative padding");
}

// Products over nothing, and of operands without the reduced axis, by the default schedule.
TEST(Products, OfNothingAndOfOperandsThatDoNotMove) {
  for (const char* text :
       {"matmul(m=17, n=32, k=0)", "linear(m=17, n=8, k=0)", "conv2d(n=1, c=0, h=8, w=8, k=32, r=3, s=3, layout=nhwc)",
        "kernel f(a: f32[16, 64], b: f32[32, 32]) -> (y: f32[16, 32, 32]) { y[i, j, l] = sum[p in 64](a[i, p] * b[j, "
        "l]) }",
        "kernel f(a: f32[16], b: f32[32]) -> (y: f32[16, 32]) { y[i, j] = sum[p in 9](a[i] * b[j]) }"}) {
    const Program program = Program::parse(text);
    for (const char* device : host_devices()) {
      const Executable product = compile(program, {.device = device, .use_store = false});
      EXPECT_TRUE(run_host(product, random_inputs(program, {}), {}, {.check = true}).passed())
          << device << ": " << text;
    }
  }
}

// What tuning compares must agree bit for bit.
TEST(Products, OfAFixedOrderHaveOneOrder) {
  const Program program = Program::parse(
      "kernel f(a: f32[8, 4096], b: f32[4096, 8]) -> (c: f32[8, 8]) { c[i, j] = sum[p]{order=fixed}(a[i, p] * b[p, j]) "
      "}");
  const auto refusal = [&](const char* schedule) -> std::string {
    try {
      compile(program, {.target = "sim:sm_90a", .schedule = schedule, .use_store = false});
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_NE(refusal("contraction block=16x128x16 thread=4x4 split_k=4").find("order=fixed"), std::string::npos);
  EXPECT_EQ(refusal("contraction block=16x128x16 thread=4x4"), "");
}

}  // namespace
}  // namespace quern::test
