#include "ir/rewrite.h"

#include <gtest/gtest.h>

#include "ir/printer.h"

namespace quern::ir {
namespace {

const VarRef i = make_var("i");
const VarRef j = make_var("j");
const VarRef n = make_var("n");
const TensorRef x = make_tensor("x", DType::f32, {Expr(n)});
const TensorRef y = make_tensor("y", DType::f32, {Expr(n)});

Expr scan() { return reduce(Reducer::sum, {{j, 0, Expr(n)}}, {read(x, {Expr(j)})}, less_equal(j, i)); }

TEST(Rewrite, NothingChangedIsTheSameExpression) {
  const Expr e = scan() + read(x, {Expr(i)}, constant(DType::f32, 1.0));
  EXPECT_TRUE(transform(e, [](const Expr& node) { return node; }).same(e));
  EXPECT_TRUE(substitute(e, {}).same(e));
  EXPECT_TRUE(substitute(e, {{make_var("i"), Expr(0)}}).same(e));
  EXPECT_TRUE(replace_tensors(e, {{y.get(), x}}).same(e));
  EXPECT_TRUE(freshen(Expr(i) + Expr(1)).get() != nullptr);
}

TEST(Rewrite, SubstituteReachesEveryPlace) {
  const Expr e = scan() + read(x, {Expr(i) + Expr(1)}, constant(DType::f32, 1.0));
  EXPECT_EQ(to_string(substitute(e, {{i, Expr(7)}, {n, Expr(9)}})),
            "sum[j in 9 where j <= 7](x[j]) + (x[7 + 1] else 1.0)");
}

TEST(Rewrite, SharedNodesAreRebuiltOnce) {
  Expr e = Expr(i);
  for (int level = 0; level < 300; ++level) e = e + e;  // 2^300 nodes on paper
  int calls = 0;
  const Expr doubled = transform(e, [&](const Expr& node) {
    ++calls;
    return is_variable(node, i) ? Expr(j) : node;
  });
  EXPECT_EQ(calls, 301);
  EXPECT_TRUE(doubled->args[0].same(doubled->args[1]));
  int visited = 0;
  visit(doubled, [&](const Expr&) { return ++visited > 0; });
  EXPECT_EQ(visited, 301);
  EXPECT_EQ(free_variables(doubled), std::vector<VarRef>{j});
}

TEST(Rewrite, ReplaceTensorsKeepsIndices) {
  EXPECT_EQ(to_string(replace_tensors(scan() + read(y, {Expr(i)}), {{x.get(), y}})),
            "sum[j in n where j <= i](y[j]) + y[i]");
}

TEST(Rewrite, FreeVariablesAndTensorsComeInOrder) {
  const Expr e = read(y, {Expr(i)}) + scan();
  EXPECT_EQ(free_variables(e), (std::vector<VarRef>{i, n}));
  EXPECT_EQ(tensors_read(e), (std::vector<TensorRef>{y, x}));
}

TEST(Rewrite, FreshAxesAreNewAndEqual) {
  const Expr e = scan();
  const Expr fresh = freshen(e);
  EXPECT_FALSE(fresh.same(e));
  EXPECT_TRUE(equal(e, fresh));
  EXPECT_NE(fresh->reduce->axes[0].var, j);
  EXPECT_FALSE(uses(fresh, j));
}

TEST(Rewrite, VisitSkipsWhereItIsTold) {
  int reads = 0;
  visit(scan(), [&](const Expr& node) {
    reads += node->kind == ExprKind::read;
    return node->kind != ExprKind::reduce;
  });
  EXPECT_EQ(reads, 0);
}

}  // namespace
}  // namespace quern::ir
