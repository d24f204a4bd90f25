// Elementwise operators, reductions, softmax, norms and the movers of elements against loops in double.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/api/arrays.h"

namespace quern::test {
namespace {

constexpr std::array kFloats = {DType::f64, DType::f32, DType::f16, DType::bf16};

TEST(Elementwise, Broadcasts) {
  for (const DType dtype : kFloats) {
    check_operator(
        dtype, {{2, 3, 4}, {3, 1}, {4}},
        [](const auto& t) {
          return elementwise(t, [](const std::vector<Expr>& e) { return e[0] * e[1] + e[2] * 0.5; });
        },
        [](const auto& g) {
          Grid y({2, 3, 4});
          y.each([&](const Shape& at) { y(at) = g[0](at) * g[1]({at[1], 0}) + g[2]({at[2]}) * 0.5; });
          return y;
        });
  }
  check_operator(
      DType::i32, {{3, 1}, {1, 4}}, [](const auto& t) { return elementwise("max", t); },
      [](const auto& g) {
        Grid y({3, 4});
        y.each([&](const Shape& at) { y(at) = std::max(g[0]({at[0], 0}), g[1]({0, at[1]})); });
        return y;
      });
}

TEST(Elementwise, ScalarsMeetEverything) {
  check_operator(
      DType::f64, {{}, {2, 2}}, [](const auto& t) { return elementwise("sub", t); },
      [](const auto& g) {
        Grid y({2, 2});
        y.each([&](const Shape& at) { y(at) = g[0]({}) - g[1](at); });
        return y;
      });
}

TEST(Elementwise, DtypesOfResults) {
  const auto type = [](const auto& make) {
    return program_of(DType::bf16, {{3}, {3}}, make).arguments().back().type();
  };
  EXPECT_EQ(type([](const auto& t) { return elementwise("add", t); }), "bf16[3]");
  EXPECT_EQ(type([](const auto& t) { return elementwise("lt", t); }), "bool[3]");
  EXPECT_EQ(type([](const auto& t) { return elementwise("add", t, DType::f32); }), "f32[3]");
}

TEST(Elementwise, Errors) {
  EXPECT_EQ(
      error_of([] { program_of(DType::f32, {{2, 3}, {4}}, [](const auto& t) { return elementwise("add", t); }); }),
      "a f32[2, 3] and b f32[4] do not broadcast: 3 meets 4; sizes agree or one of them is 1");
  EXPECT_EQ(error_of([] { elementwise("add", {}); }), "an operator needs at least one tensor");
  EXPECT_EQ(error_of([] { program_of(DType::i32, {{2}}, [](const auto& t) { return elementwise("exp", t); }); }),
            "'exp' takes floats, not i32; convert, as in cast(DType::f32, x), or take another dtype");
}

// Folds the dimensions `axes` of x by `step`, from `start`.
template <typename F>
Grid fold(const Grid& x, const std::vector<std::size_t>& axes, bool keepdims, double start, const F& step) {
  Shape shape;
  const auto reduced = [&](std::size_t d) { return std::find(axes.begin(), axes.end(), d) != axes.end(); };
  for (std::size_t d = 0; d < x.shape.size(); ++d) {
    if (!reduced(d)) shape.push_back(x.shape[d]);
    if (reduced(d) && keepdims) shape.push_back(1);
  }
  Grid y(shape);
  std::fill(y.data.begin(), y.data.end(), start);
  x.each([&](const Shape& at) {
    Shape place;
    for (std::size_t d = 0; d < at.size(); ++d) {
      if (!reduced(d)) place.push_back(at[d]);
      if (reduced(d) && keepdims) place.push_back(0);
    }
    y(place) = step(y(place), x(at));
  });
  return y;
}

TEST(Reduce, AnyAxesWithAndWithoutDims) {
  const auto add = [](double a, double b) { return a + b; };
  const auto larger = [](double a, double b) { return std::max(a, b); };
  struct Case {
    std::vector<int> axes;
    std::vector<std::size_t> reduced;
  };
  for (const Case& c : {Case{{0}, {0}}, Case{{-1}, {2}}, Case{{0, 2}, {0, 2}}, Case{{1}, {1}}, Case{{}, {0, 1, 2}}}) {
    for (const bool keepdims : {false, true}) {
      for (const DType dtype : {DType::f64, DType::bf16, DType::i16}) {
        check_operator(
            dtype, {{3, 4, 5}},
            [&](const auto& t) { return reduce("sum", t[0], {.axes = c.axes, .keepdims = keepdims}); },
            [&](const auto& g) { return fold(g[0], c.reduced, keepdims, 0, add); });
        check_operator(
            dtype, {{3, 4, 5}},
            [&](const auto& t) { return reduce("max", t[0], {.axes = c.axes, .keepdims = keepdims}); },
            [&](const auto& g) { return fold(g[0], c.reduced, keepdims, -1e30, larger); });
      }
    }
  }
}

TEST(Reduce, OtherReducers) {
  const auto over_last = [](const char* reducer) {
    return [=](const auto& t) { return reduce(reducer, t[0], {.axes = {-1}}); };
  };
  const auto rows = [](const auto& of_row) {
    return [=](const auto& g) {
      const std::int64_t n = g[0].shape[1];
      Grid y({g[0].shape[0]});
      y.each([&](const Shape& at) {
        std::vector<double> row;
        for (std::int64_t j = 0; j < n; ++j) row.push_back(g[0]({at[0], j}));
        y(at) = of_row(row);
      });
      return y;
    };
  };
  const auto mean = [](const std::vector<double>& row) {
    double total = 0;
    for (const double x : row) total += x;
    return total / static_cast<double>(row.size());
  };
  const std::vector<Shape> shape = {{4, 9}};
  check_operator(DType::f64, shape, over_last("mean"), rows(mean));
  check_operator(DType::bf16, shape, over_last("mean"), rows(mean));
  check_operator(DType::f64, shape, over_last("welford"), rows([&](const std::vector<double>& row) {
                   double squares = 0;
                   for (const double x : row) squares += (x - mean(row)) * (x - mean(row));
                   return squares / static_cast<double>(row.size());
                 }));
  check_operator(DType::f64, shape, over_last("argmax"), rows([](const std::vector<double>& row) {
                   return static_cast<double>(std::max_element(row.begin(), row.end()) - row.begin());
                 }));
  check_operator(DType::i8, shape, over_last("argmin"), rows([](const std::vector<double>& row) {
                   return static_cast<double>(std::min_element(row.begin(), row.end()) - row.begin());
                 }));
  check_operator(DType::f64, shape, over_last("logsumexp"), rows([](const std::vector<double>& row) {
                   double total = 0;
                   for (const double x : row) total += std::exp(x);
                   return std::log(total);
                 }));
  check_operator(DType::f64, shape, over_last("prod"), rows([](const std::vector<double>& row) {
                   double product = 1;
                   for (const double x : row) product *= x;
                   return product;
                 }));
}

TEST(Reduce, Errors) {
  const auto reduction = [](const char* reducer, const AxesOptions& options) {
    return error_of(
        [&] { program_of(DType::f32, {{3, 4}}, [&](const auto& t) { return reduce(reducer, t[0], options); }); });
  };
  EXPECT_EQ(reduction("sum", {.axes = {2}}), "a f32[3, 4] has no dimension 2; it has 2, from -2 to 1");
  EXPECT_EQ(reduction("sum", {.axes = {1, -1}}), "dimension -1 of a f32[3, 4] is reduced twice");
  EXPECT_EQ(
      reduction("median", {}),
      "unknown reducer 'median'; known: sum, prod, max, min, any, all, argmax, argmin, logsumexp, welford, and mean of "
      "a tensor");
  EXPECT_EQ(reduction("any", {}),
            "any does not reduce f32; convert it, as in cast(DType::boolean, x), or take another dtype");
}

TEST(Softmax, AlongAnyDimension) {
  for (const DType dtype : kFloats) {
    for (const int axis : {-1, 0, 1}) {
      check_operator(
          dtype, {{3, 5, 4}}, [&](const auto& t) { return softmax(t[0], axis); },
          [&](const auto& g) {
            const std::size_t along = axis < 0 ? 2 : static_cast<std::size_t>(axis);
            Grid total = fold(g[0], {along}, true, 0, [](double sum, double x) { return sum + std::exp(x); });
            Grid y(g[0].shape);
            y.each([&](const Shape& at) {
              Shape row = at;
              row[along] = 0;
              y(at) = std::exp(g[0](at)) / total(row);
            });
            return y;
          });
    }
  }
}

// One batch of attention by its definition, with exponentials as they are.
Grid attention_of(const std::vector<Grid>& g, double scale, bool causal) {
  const std::int64_t depth = g[0].shape[2], keys = g[1].shape[1];
  Grid y({g[0].shape[0], g[0].shape[1], g[2].shape[2]});
  y.each([&](const Shape& at) {
    double total = 0, mixed = 0;
    for (std::int64_t j = 0; j < (causal ? std::min(at[1] + 1, keys) : keys); ++j) {
      double score = 0;
      for (std::int64_t p = 0; p < depth; ++p) score += g[0]({at[0], at[1], p}) * g[1]({at[0], j, p});
      total += std::exp(score * scale);
      mixed += std::exp(score * scale) * g[2]({at[0], j, at[2]});
    }
    y(at) = mixed / total;
  });
  return y;
}

TEST(Attention, MixesValuesByScores) {
  const std::vector<Shape> shapes{{2, 5, 4}, {2, 6, 4}, {2, 6, 3}};
  for (const DType dtype : kFloats) {
    for (const bool causal : {false, true}) {
      check_operator(
          dtype, shapes, [&](const auto& t) { return attention(t[0], t[1], t[2], {.causal = causal}); },
          [&](const auto& g) { return attention_of(g, 0.5, causal); });
    }
  }
  check_operator(
      DType::f32, shapes, [&](const auto& t) { return attention(t[0], t[1], t[2], {.scale = 2.0}); },
      [&](const auto& g) { return attention_of(g, 2, false); });
  EXPECT_EQ(
      error_of([] {
        program_of(DType::f32, {{2, 5, 4}, {2, 6, 3}, {2, 6, 3}},
                   [](const auto& t) { return attention(t[0], t[1], t[2]); });
      }),
      "attention takes q [..., i, d], k [..., j, d], v [..., j, e]; a f32[2, 5, 4], b f32[2, 6, 3], c f32[2, 6, 3] "
      "are not such");
}

// Mean of `power` of the elements of a row, less `shift`.
double moment(const Grid& x, std::int64_t row, double shift, int power) {
  double total = 0;
  for (std::int64_t j = 0; j < x.shape[1]; ++j) total += std::pow(x({row, j}) - shift, power);
  return total / static_cast<double>(x.shape[1]);
}

TEST(Norms, AgainstLoops) {
  for (const DType dtype : kFloats) {
    check_operator(
        dtype, {{3, 7}, {7}, {7}},
        [](const auto& t) { return layer_norm(t[0], {.epsilon = 1e-3, .weight = t[1], .bias = t[2]}); },
        [](const auto& g) {
          Grid y(g[0].shape);
          y.each([&](const Shape& at) {
            const double mean = moment(g[0], at[0], 0, 1);
            const double scale = 1 / std::sqrt(moment(g[0], at[0], mean, 2) + 1e-3);
            y(at) = (g[0](at) - mean) * scale * g[1]({at[1]}) + g[2]({at[1]});
          });
          return y;
        });
    check_operator(
        dtype, {{3, 7}, {7}}, [](const auto& t) { return rms_norm(t[0], {.epsilon = 1e-3, .weight = t[1]}); },
        [](const auto& g) {
          Grid y(g[0].shape);
          y.each(
              [&](const Shape& at) { y(at) = g[0](at) / std::sqrt(moment(g[0], at[0], 0, 2) + 1e-3) * g[1]({at[1]}); });
          return y;
        });
  }
}

TEST(Norms, Errors) {
  EXPECT_EQ(error_of([] {
              program_of(DType::f32, {{3, 7}, {6}}, [](const auto& t) { return rms_norm(t[0], {.weight = t[1]}); });
            }),
            "the weight b f32[6] does not fit the last dimension of a f32[3, 7]");
  EXPECT_EQ(error_of([] { program_of(DType::i32, {{3}}, [](const auto& t) { return layer_norm(t[0]); }); }),
            "layer_norm takes floats; a holds i32");
  EXPECT_EQ(error_of([] { program_of(DType::f32, {{}}, [](const auto& t) { return layer_norm(t[0]); }); }),
            "layer_norm works along the last dimension; a f32[] has none");
}

TEST(Transpose, AnyOrder) {
  check_operator(
      DType::f32, {{2, 3, 4}}, [](const auto& t) { return transpose(t[0], {2, 0, -2}); },
      [](const auto& g) {
        Grid y({4, 2, 3});
        y.each([&](const Shape& at) { y(at) = g[0]({at[1], at[2], at[0]}); });
        return y;
      });
  check_operator(
      DType::i8, {{2, 3}}, [](const auto& t) { return transpose(t[0]); },
      [](const auto& g) {
        Grid y({3, 2});
        y.each([&](const Shape& at) { y(at) = g[0]({at[1], at[0]}); });
        return y;
      });
  EXPECT_EQ(error_of([] { program_of(DType::f32, {{2, 3}}, [](const auto& t) { return transpose(t[0], {1, 1}); }); }),
            "transpose: dimension 1 of a f32[2, 3] is taken twice");
}

TEST(Reshape, KeepsTheOrder) {
  const std::vector<std::pair<Shape, Shape>> cases = {
      {{6}, {2, 3}},       {{2, 3}, {6}},          {{2, 3, 4}, {6, 4}}, {{4, 6}, {2, 3, 4}},
      {{2, 1, 5}, {2, 5}}, {{2, 5}, {1, 2, 1, 5}}, {{4, 9}, {6, 6}},    {{2, 3, 4, 5}, {5, 24}},
      {{1}, {}},           {{}, {1, 1}},           {{0, 3}, {3, 0, 2}}, {{12, 5}, {3, 2, 2, 5}},
      {{8, 3}, {-1, 6}},   {{7, 4}, {7, -1, 2}}};
  for (const auto& [from, to] : cases) {
    check_operator(
        DType::i32, {from},
        [&, shape = to](const auto& t) { return reshape(t[0], std::vector<Dim>(shape.begin(), shape.end())); },
        [&, shape = to](const auto& g) {
          std::int64_t known = 1;
          for (const std::int64_t size : shape) known *= size < 0 ? 1 : size;
          Shape full = shape;
          for (std::int64_t& size : full) {
            if (size < 0) size = static_cast<std::int64_t>(g[0].data.size()) / known;
          }
          Grid y(full);
          y.data = g[0].data;
          return y;
        });
  }
}

TEST(Reshape, SymbolsPairOneByOne) {
  ProgramBuilder b("split");
  const Dim m = b.symbol("m");
  const Dim n = b.symbol("n");
  const Tensor x = b.input("x", DType::f32, {m, 12, n});
  b.output(reshape(x, {m, 3, -1, n}));
  EXPECT_EQ(b.build().text(),
            "kernel split(x: f32[m, 12, n]) -> (y: f32[m, 3, 4, n]) {\n"
            "  y[i, j, k, l] = x[i, j * 4 + k, l]\n"
            "}\n");
}

TEST(Reshape, Errors) {
  const auto reshaped = [](const Shape& from, const std::vector<Dim>& to) {
    return error_of([&] { program_of(DType::f32, {from}, [&](const auto& t) { return reshape(t[0], to); }); });
  };
  EXPECT_EQ(reshaped({2, 3}, {4, 2}),
            "reshape: a f32[2, 3] does not become [4, 2]; the element counts differ, or a size that is no number has "
            "no partner");
  EXPECT_EQ(reshaped({2, 3}, {-1, -1}), "reshape: [-1, -1] has more than one -1; one size follows from the others");
}

TEST(Slice, StepsBothWays) {
  check_operator(
      DType::f32, {{9, 7, 5}},
      [](const auto& t) { return slice(t[0], {{.begin = 1, .end = 8, .step = 3}, {.step = -2}, {.begin = 3}}); },
      [](const auto& g) {
        Grid y({3, 4, 2});
        y.each([&](const Shape& at) { y(at) = g[0]({1 + 3 * at[0], 6 - 2 * at[1], 3 + at[2]}); });
        return y;
      });
  EXPECT_EQ(error_of([] {
              program_of(DType::f32, {{9}}, [](const auto& t) { return slice(t[0], {{.begin = 5, .end = 2}}); });
            }),
            "slice: dimension 0 of a f32[9] from 5 to 2 by 1 holds nothing; its end lies before its begin");
  EXPECT_EQ(error_of([] {
              program_of(DType::f32, {{9}}, [](const auto& t) {
                return slice(t[0], {{.step = std::numeric_limits<std::int64_t>::min()}});
              });
            }),
            "slice: the step of dimension 0 of a f32[9] is -9223372036854775808, whose opposite is no i64");
  EXPECT_NE(error_of([] {
              program_of(DType::f32, {{9}}, [](const auto& t) { return slice(t[0], {{.begin = 5, .end = 12}}); });
            }).find("outside"),
            std::string::npos);
}

TEST(Pad, AnyValue) {
  check_operator(
      DType::f32, {{3, 4}}, [](const auto& t) { return pad(t[0], {1, 0}, {0, 2}, -1.5); },
      [](const auto& g) {
        Grid y({4, 6});
        y.each([&](const Shape& at) { y(at) = at[0] >= 1 && at[1] < 4 ? g[0]({at[0] - 1, at[1]}) : -1.5; });
        return y;
      });
}

TEST(Concat, AlongAnyDimension) {
  check_operator(
      DType::i32, {{2, 3}, {2, 1}, {2, 4}}, [](const auto& t) { return concat(t, -1); },
      [](const auto& g) {
        Grid y({2, 8});
        y.each([&](const Shape& at) {
          const std::int64_t j = at[1];
          y(at) = j < 3 ? g[0]({at[0], j}) : j < 4 ? g[1]({at[0], j - 3}) : g[2]({at[0], j - 4});
        });
        return y;
      });
  EXPECT_EQ(error_of([] { program_of(DType::f32, {{2, 3}, {3, 3}}, [](const auto& t) { return concat(t, 1); }); }),
            "concat: b f32[3, 3] does not continue a f32[2, 3] along dimension 1");
}

}  // namespace
}  // namespace quern::test
