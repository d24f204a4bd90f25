// The rules of tensor programs where no text was parsed: programs as builders and rewrites may leave them.

#include "ir/verify.h"

#include <gtest/gtest.h>

#include "tests/ir/message.h"

namespace quern::ir {
namespace {

using test::contains;
using test::error_of;

// kernel t(x: f32[n]) -> (y: f32[n]) { y[i] = x[i] }
struct Base {
  VarRef n = make_var("n");
  VarRef i = make_var("i");
  TensorRef x = make_tensor("x", DType::f32, {Expr(n)});
  TensorRef y = make_tensor("y", DType::f32, {Expr(n)});
  Program program{.name = "t",
                  .symbols = {n},
                  .inputs = {x},
                  .outputs = {{y, nullptr}},
                  .facts = {},
                  .definitions = {{y, {{i, 0, Expr(n)}}, read(x, {Expr(i)})}},
                  .externs = {}};

  void expect(const std::string& message) const {
    EXPECT_TRUE(contains(error_of([&] { verify(program); }), message));
  }
};

TEST(Verify, TheBaseIsRight) { EXPECT_NO_THROW(verify(Base().program)); }

TEST(Verify, Names) {
  Base base;
  base.program.inputs.push_back(make_tensor("x", DType::f32, {Expr(base.n)}));
  base.expect("the name 'x' is taken twice in kernel t");
  base.program.inputs.back() = make_tensor("sum", DType::f32, {Expr(base.n)});
  base.expect("'sum' cannot be the name of an argument");
}

TEST(Verify, StrayVariables) {
  Base base;
  base.program.definitions[0].value = read(base.x, {Expr(make_var("k"))});
  base.expect("the definition of y uses k, which is neither an axis in scope nor a symbol of kernel t");
  base.program.symbols.clear();
  base.expect("dimension 0 of x is n, where n is no symbol of kernel t");
}

TEST(Verify, NoOutput) {
  Base base;
  base.program.outputs.clear();
  base.expect("kernel t has no output");
}

TEST(Verify, Writers) {
  Base base;
  base.program.definitions.push_back(base.program.definitions[0]);
  base.expect("y has two definitions");
  base.program.definitions.clear();
  base.expect("output y has no definition");
  base.program.externs.push_back({"f", {base.x}, {}, ""});
  base.expect("extern f writes no tensor");
}

TEST(Verify, ReadsOfWhatIsNotThere) {
  Base base;
  const TensorRef other = make_tensor("other", DType::f32, {Expr(base.n)});
  base.program.definitions[0].value = read(other, {Expr(base.i)});
  base.expect("y reads other, which is neither an input nor defined in this kernel; define it");
  const VarRef j = make_var("j");
  base.program.definitions.push_back({other, {{j, 0, Expr(base.n)}}, read(base.x, {Expr(j)})});
  base.expect("y reads other, which is defined later or needs it in turn");
}

TEST(Verify, ShapesOfDefinitions) {
  Base base;
  base.program.definitions[0].axes[0].hi = Expr(base.n) + Expr(1);
  base.expect("axis i of y has the extent n + 1, but dimension 0 is n");
  base.program.definitions[0].axes[0] = {base.i, 1, Expr(base.n)};
  base.expect("axis i of y begins at 1");
  base.program.definitions[0].axes.clear();
  base.expect("y has the shape [n], but is defined over 0 axes");
}

TEST(Verify, Dtypes) {
  Base base;
  base.program.definitions[0].value = cast(DType::f16, base.program.definitions[0].value);
  base.expect("y is f32, its definition gives f16; convert it: f32(...)");
}

TEST(Verify, RangesDependOnSymbolsAlone) {
  Base base;
  const VarRef p = make_var("p");
  base.program.definitions[0].value = reduce(Reducer::sum, {{p, 0, Expr(base.i)}}, {read(base.x, {Expr(p)})});
  base.expect("in y, the range of p depends on axis i");
}

TEST(Verify, Contracts) {
  Base base;
  const VarRef p = make_var("p");
  base.program.definitions[0].value =
      reduce(Reducer::sum, {{p, 0, Expr(base.n)}}, {read(base.x, {Expr(p)})}, {}, {.accumulator = DType::i32});
  base.expect("in y, sum of f32 cannot accumulate in i32");
}

TEST(Verify, LargeExpressions) {
  Base base;
  Expr e = read(base.x, {Expr(base.i)});
  for (int level = 0; level < 30; ++level) e = e + e;
  base.program.definitions[0].value = e;
  base.expect("the definition of y has more than 131072 nodes when it is written out");
  for (int level = 0; level < 500; ++level) e = -e;
  base.program.definitions[0].value = e;
  base.expect("the definition of y is nested 532 deep, at most 400 are allowed");
}

TEST(Verify, StridesOfOutputs) {
  const auto strided = [](std::vector<std::int64_t> shape, std::vector<std::int64_t> strides) {
    std::vector<Expr> dims(shape.begin(), shape.end());
    Program program{
        .name = "t", .symbols = {}, .inputs = {}, .outputs = {}, .facts = {}, .definitions = {}, .externs = {}};
    const TensorRef y = make_tensor("y", DType::f32, dims, std::vector<Expr>(strides.begin(), strides.end()));
    program.outputs.push_back({y, nullptr});
    Definition definition{y, {}, constant(DType::f32, 1.0)};
    for (const Expr& dim : dims) definition.axes.push_back({make_var("i"), 0, dim});
    program.definitions.push_back(definition);
    return program;
  };
  for (const auto& [shape, strides] :
       std::vector<std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>>>{{{3, 4}, {4, 1}},
                                                                                    {{3, 4}, {1, 3}},
                                                                                    {{3, 4}, {-100, 7}},
                                                                                    {{2, 3}, {3, 2}},
                                                                                    {{1, 4}, {0, 1}},
                                                                                    {{0, 4}, {0, 0}}}) {
    EXPECT_NO_THROW(verify(strided(shape, strides)));
  }
  for (const auto& [shape, strides] : std::vector<std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>>>{
           {{3, 4}, {3, 1}}, {{3, 4}, {1, 1}}, {{3, 4}, {-4, 0}}, {{3, 4}, {3, 2}}}) {
    EXPECT_TRUE(contains(error_of([&] { verify(strided(shape, strides)); }), "share an address"));
  }
}

}  // namespace
}  // namespace quern::ir
