// Which builder calls peers recognise, and with which parameters.

#include "bench/call.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "quern/error.h"

namespace quern::bench {
namespace {

TEST(Call, TakesDefaultsFromTheBuildersRow) {
  const std::optional<Call> call = parse_call(" matmul( m=3,n = 4, k=5 ) ");
  ASSERT_TRUE(call);
  EXPECT_EQ(call->builder, "matmul");
  EXPECT_EQ(call->values.at("n"), "4");
  EXPECT_EQ(call->values.at("dtype"), "f32");
  EXPECT_EQ(call->values.at("b"), "row");
}

TEST(Call, IsNoFileAndNoText) {
  EXPECT_FALSE(parse_call("examples/softmax.qn"));
  EXPECT_FALSE(parse_call("-"));
  EXPECT_FALSE(parse_call("kernel f(x: f32[n]) -> (y: f32[n]) { y[i] = x[i] }"));
}

TEST(Call, RefusesWhatTheBuilderRefuses) {
  EXPECT_THROW(parse_call("matmul(m=3, n=4)"), Error);
  EXPECT_THROW(parse_call("matmul(m=3, n=4, k=5, q=6)"), Error);
}

TEST(Call, ReadsProducts) {
  const std::optional<Product> p = as_product(*parse_call("matmul(m=3, n=4, k=5, dtype=bf16, b=col, out=f32)"));
  ASSERT_TRUE(p);
  EXPECT_EQ(p->batch, 1);
  EXPECT_EQ(p->m, 3);
  EXPECT_EQ(p->n, 4);
  EXPECT_EQ(p->k, 5);
  EXPECT_FALSE(p->a_transposed);
  EXPECT_TRUE(p->b_transposed);
  EXPECT_EQ(p->dtype, DType::bf16);
  EXPECT_EQ(p->out, DType::f32);
  EXPECT_FALSE(p->tf32);
  EXPECT_EQ(as_product(*parse_call("bmm(batch=7, m=3, n=4, k=5, a=col)"))->batch, 7);
  EXPECT_TRUE(as_product(*parse_call("bmm(batch=7, m=3, n=4, k=5, a=col)"))->a_transposed);
  EXPECT_TRUE(as_product(*parse_call("matmul(m=3, n=4, k=5, grade=tf32)"))->tf32);
}

TEST(Call, ReadsWhatFollowsASum) {
  const std::optional<Product> p = as_product(*parse_call("linear(m=3, n=4, k=5, w=col, act=gelu_tanh, dtype=f16)"));
  ASSERT_TRUE(p);
  EXPECT_EQ(p->batch, 1);
  EXPECT_FALSE(p->a_transposed);
  EXPECT_TRUE(p->b_transposed);
  EXPECT_TRUE(p->after.bias);
  EXPECT_EQ(p->after.act, "gelu_tanh");
  EXPECT_EQ(p->after.text(), "bias and gelu_tanh");
  EXPECT_TRUE(as_product(*parse_call("linear(m=3, n=4, k=5, bias=off)"))->after.nothing());
  EXPECT_TRUE(as_product(*parse_call("matmul(m=3, n=4, k=5)"))->after.nothing());
  const char* conv = "conv2d(n=1, c=1, h=5, w=5, k=1, r=1, s=1";
  EXPECT_TRUE(as_convolution(*parse_call(fmt::format("{})", conv)))->after.nothing());
  EXPECT_EQ(as_convolution(*parse_call(fmt::format("{}, bias=on)", conv)))->after.text(), "bias");
  EXPECT_EQ(as_convolution(*parse_call(fmt::format("{}, act=relu)", conv)))->after.text(), "relu");
}

TEST(Call, PutsSizesForSymbols) {
  EXPECT_FALSE(as_product(*parse_call("matmul(m=m, n=4, k=5)")));
  const std::optional<Product> p = as_product(*parse_call("matmul(m=rows, n=4, k=5)", {{"rows", 9}}));
  ASSERT_TRUE(p);
  EXPECT_EQ(p->m, 9);
}

TEST(Call, ReadsConvolutions) {
  const std::optional<Convolution> c = as_convolution(
      *parse_call("conv2d(n=2, c=8, h=10, w=11, k=16, r=3, s=2, stride=2x1, pad=0x1x2x3, dilation=2, groups=4, "
                  "layout=nhwc)"));
  ASSERT_TRUE(c);
  EXPECT_EQ(c->stride, (std::array<std::int64_t, 2>{2, 1}));
  EXPECT_EQ(c->padding, (std::array<std::int64_t, 4>{0, 1, 2, 3}));
  EXPECT_EQ(c->dilation, (std::array<std::int64_t, 2>{2, 2}));
  EXPECT_EQ(c->groups, 4);
  EXPECT_TRUE(c->nhwc);
  EXPECT_EQ(c->out_rows(), 4);      // (10 + 1 - 5) / 2 + 1
  EXPECT_EQ(c->out_columns(), 14);  // 11 + 5 - 3 + 1
}

TEST(Call, TwoPaddingsAreRowsAndColumns) {
  const auto c = as_convolution(*parse_call("conv2d(n=1, c=1, h=5, w=5, k=1, r=1, s=1, pad=1x2)"));
  ASSERT_TRUE(c);
  EXPECT_EQ(c->padding, (std::array<std::int64_t, 4>{1, 1, 2, 2}));
}

TEST(Call, OutputShapeIsThatOfTheProgram) {
  for (const char* text : {"conv2d(n=1, c=3, h=17, w=9, k=4, r=3, s=3, stride=2, pad=1)",
                           "conv2d(n=1, c=3, h=17, w=9, k=4, r=3, s=2, stride=3x2, pad=0x2x1x1, dilation=2)"}) {
    const auto c = as_convolution(*parse_call(text));
    const Argument y = Program::parse(text).arguments().back();
    ASSERT_TRUE(c) << text;
    EXPECT_EQ((std::vector{c->n, c->k, c->out_rows(), c->out_columns()}), y.extents) << text;
  }
}

TEST(Call, ReadsAttention) {
  Call call{"attention",
            {{"batch", "2"},
             {"heads", "16"},
             {"q", "1024"},
             {"kv", "512"},
             {"d", "128"},
             {"dtype", "f16"},
             {"causal", "on"}}};
  const std::optional<Attention> a = as_attention(call);
  ASSERT_TRUE(a);
  EXPECT_EQ(a->batch, 2);
  EXPECT_EQ(a->heads, 16);
  EXPECT_EQ(a->q, 1024);
  EXPECT_EQ(a->kv, 512);
  EXPECT_EQ(a->d, 128);
  EXPECT_EQ(a->dtype, DType::f16);
  EXPECT_TRUE(a->causal);
  call.values["causal"] = "off";
  EXPECT_FALSE(as_attention(call)->causal);
  call.values["q"] = "rows";
  EXPECT_FALSE(as_attention(call));
}

TEST(Call, LeavesOutWhatPeersDoNotDo) {
  EXPECT_FALSE(as_product(*parse_call("softmax(m=3, n=4)")));
  EXPECT_FALSE(as_convolution(*parse_call("matmul(m=3, n=4, k=5)")));
  EXPECT_FALSE(as_attention(*parse_call("matmul(m=3, n=4, k=5)")));
}

}  // namespace
}  // namespace quern::bench
