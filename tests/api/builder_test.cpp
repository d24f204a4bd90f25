// ProgramBuilder and expressions: what they write, and what they refuse.

#include <gtest/gtest.h>

#include <limits>

#include "tests/api/arrays.h"

namespace quern::test {
namespace {

TEST(Builder, WritesWhatAPersonWould) {
  ProgramBuilder b("linear_gelu");
  const Dim m = b.symbol("m"), k = b.symbol("k"), n = b.symbol("n");
  const Tensor x = b.input("x", DType::bf16, {m, k});
  const Tensor w = b.input("w", DType::bf16, {k, n}, {.constant = true});
  const Tensor bias = b.input("b", DType::bf16, {n});
  const Tensor s = b.compute("s", {m, n}, [&](Expr i, Expr j) {
    const Axis p("p", k);
    return sum({p}, cast(DType::f32, x(i, p)) * cast(DType::f32, w(p, j)));
  });
  b.output(b.compute("y", {m, n},
                     [&](Expr i, Expr j) { return cast(DType::bf16, gelu(s(i, j) + cast(DType::f32, bias(j)))); }));
  b.require(m % 16 == 0);
  b.require_aligned(x, 16);
  const std::string text =
      "kernel linear_gelu(x: bf16[m, k], w: bf16[k, n] const, b: bf16[n]) -> (y: bf16[m, n]) with m % 16 == 0, "
      "aligned(x, 16) {\n"
      "  s[i, j] = sum[p](f32(x[i, p]) * f32(w[p, j]))\n"
      "  y[i, j] = bf16(gelu(s[i, j] + f32(b[j])))\n"
      "}\n";
  EXPECT_EQ(b.build().text(), text);
  EXPECT_TRUE(b.build() == Program::parse(text));
}

TEST(Builder, ConditionsFillsUpdatesAndStrides) {
  ProgramBuilder b("gather");
  const Dim n = b.symbol("n");
  const Tensor index = b.input("index", DType::i32, {n});
  const Tensor x = b.input("x", DType::f32, {8, 4}, {.strides = {1, 8}});
  const Tensor y0 = b.input("y0", DType::f32, {n, 4}, {.strides = {4, 1}});
  const Tensor y = b.compute("y", {n, 4}, [&](Expr i, Expr j) {
    const Axis p("p", 3);
    const Expr taken = sum({p}, x.at({index(i), j + p}).or_else(0), {.where = p <= j, .accumulator = DType::f64});
    return y0(i, j) + select(i < 2, taken, 1);
  });
  b.output(y, {.strides = {4, 1}, .updates = "y0"});
  b.require_range(index, 0, 8);
  b.require_nondecreasing(index);
  b.require_exact();
  const Program written = Program::parse(R"(
    kernel gather(index: i32[n], x: f32[8, 4] strides(1, 8), y0: f32[n, 4] strides(4, 1))
        -> (y: f32[n, 4] strides(4, 1) update y0) with index in 8, nondecreasing(index), exact {
      y[i, j] = y0[i, j] + (i < 2 ? sum[p in 3 where p <= j]{acc=f64}(x[index[i], j + p] else 0) : 1)
    })");
  EXPECT_TRUE(b.build() == written) << b.build().text();
}

TEST(Builder, LambdasTakeEveryNumberOfIndices) {
  ProgramBuilder b("ranks");
  const Tensor x = b.input("x", DType::f32, {2, 2, 2, 2, 2, 2});
  const Tensor six = b.compute("a", {2, 2, 2, 2, 2, 2},
                               [&](Expr i, Expr j, Expr k, Expr l, Expr m, Expr n) { return x(n, m, l, k, j, i); });
  const Tensor any = b.compute("b", {2, 2, 2, 2, 2, 2}, [&](const std::vector<Expr>& at) { return six.at(at) * 2; });
  const Tensor none = b.compute("c", std::vector<Dim>{}, [&] { return any(0, 1, 0, 1, 0, 1); });
  b.output(none);
  EXPECT_NO_THROW(b.build());
  EXPECT_EQ(error_of([&] { b.compute("d", {2, 3}, [&](Expr i) { return Expr(i); }); }),
            "d has 2 dimensions; its function takes another number of indices");
}

TEST(Expressions, NumbersTakeTheDtypeTheyMeet) {
  const Expr x = cast(DType::bf16, 1);
  EXPECT_EQ((x * 0.5).dtype(), DType::bf16);
  EXPECT_EQ((2 * x + 1).dtype(), DType::bf16);
  EXPECT_EQ(Expr(3).dtype(), DType::i64);
  EXPECT_EQ(Expr(0.5).dtype(), DType::f32);
  EXPECT_EQ(Expr(true).dtype(), DType::boolean);
  EXPECT_EQ((Expr(3) * 4 + 1).as_integer(), 13);
  EXPECT_EQ((x * (Expr(1) / 3)).text(), (x * (1.0 / 3)).text());
  EXPECT_EQ(cast(DType::f64, Expr(1) / 3).text(), "0.3333333333333333");
  EXPECT_EQ((Expr(3) < 4).text(), "true");
}

TEST(Expressions, EveryFunctionByName) {
  const Expr x = cast(DType::f32, Expr(0.5));
  EXPECT_EQ(call("gelu", {x}).text(), gelu(x).text());
  EXPECT_EQ(call("add", {x, 1}).text(), (x + 1).text());
  EXPECT_EQ(call("clamp", {x, 0, 1}).text(), clamp(x, 0, 1).text());
}

TEST(Expressions, Errors) {
  const Expr f = cast(DType::f32, 1), h = cast(DType::f16, 1), i = cast(DType::i32, 1);
  EXPECT_EQ(error_of([&] { f + h; }), "the operands of '+' are f32 and f16; convert one, as in cast(DType::f32, x)");
  EXPECT_EQ(error_of([&] { i * 0.5; }),
            "the float 0.5 stands where the dtype is i32; convert one side, as in cast(DType::f32, x)");
  EXPECT_EQ(error_of([&] { cast(DType::u8, 1) + 300; }), "300 does not fit u8");
  EXPECT_EQ(error_of([&] { exp(i); }),
            "'exp' takes floats, not i32; convert, as in cast(DType::f32, x), or take another dtype");
  EXPECT_EQ(error_of([&] { floor_div(f, f); }),
            "'//' takes integers, not f32; floor(a / b) rounds a float quotient down");
  EXPECT_EQ(error_of([&] { i / i; }),
            "'/' takes floats, not i32; floor_div divides integers, or convert, as in cast(DType::f32, x)");
  EXPECT_EQ(error_of([&] { ~f; }),
            "'~' takes integers or bool, not f32; convert, as in cast(DType::i32, x), or take another dtype");
  EXPECT_EQ(error_of([&] { select(i, f, f); }), "the condition of select is i32, not bool; compare it, as in x != 0");
  EXPECT_EQ(error_of([&] { call("gelu", {f, f}); }), "gelu takes 1 operand, here are 2");
  EXPECT_EQ(error_of([&] { call("gello", {f}); }).substr(0, 46), "unknown function 'gello'; known: add, sub, mul");
  EXPECT_EQ(error_of([&] { reduce("sum", {}, f); }), "sum reduces over no axis; name at least one");
}

TEST(Builder, Errors) {
  ProgramBuilder b("test");
  const Tensor x = b.input("x", DType::f32, {3, 4});
  EXPECT_EQ(error_of([&] { x(Expr(0)); }), "x, f32[3, 4], is read with 1 index; it takes one per dimension");
  EXPECT_EQ(error_of([&] { x(0, 0.5); }), "index 1 of x is f32; an index is an integer, as in cast(DType::i64, x)");
  EXPECT_EQ(error_of([&] { x(0, 0).or_else(cast(DType::f16, 1)); }),
            "x is f32, the value outside is f16; write cast(DType::f32, x)");
  EXPECT_EQ(error_of([&] { b.output(x); }), "x is an input of test; compute a copy of it for the output");
  EXPECT_EQ(error_of([&] { b.build(); }), "kernel test has no output; declare one, as in -> (y: f32[n])");
  const Tensor y = b.compute("y", {3}, [&](Expr i) { return x(i, 0); });
  EXPECT_EQ(error_of([&] {
              b.output(y, {.updates = "z"});
              b.build();
            }),
            "output y updates z, which is no input of test");
  EXPECT_EQ(error_of([&] { b.output(y); }), "y is an output of test already");
  ProgramBuilder other("other");
  EXPECT_EQ(error_of([&] { other.output(y); }), "y belongs to another builder than other");
  const Tensor z = other.input("z", DType::f32, {3, 4});
  EXPECT_EQ(error_of([&] { elementwise("add", {x, z}); }), "x and z belong to different builders, test and other");
}

// The message for a program with what `add` adds to a builder with the input x.
template <typename F>
std::string refused(const F& add) {
  return error_of([&] {
    ProgramBuilder b("test");
    const Tensor x = b.input("x", DType::i64, {4});
    add(b, x);
    b.output(b.compute("y", {4}, [&](Expr i) { return x(i); }));
    b.build();
  });
}

TEST(Builder, SizesAndFactsAreOfNumbersAndSymbols) {
  const Axis k("k", 4);
  const std::string why =
      ", which reads a tensor or reduces; sizes and facts are of numbers and symbols: give the value a symbol of its "
      "own";
  EXPECT_EQ(refused([](auto& b, auto& x) { b.input("z", DType::f32, {x(0)}); }), "a dimension of z is x[0]" + why);
  EXPECT_EQ(refused([&](auto& b, auto& x) { b.input("z", DType::f32, {sum({k}, x(k))}); }),
            "a dimension of z is sum[k in 4](x[k])" + why);
  EXPECT_EQ(refused([](auto& b, auto& x) { b.input("z", DType::f32, {4}, {.strides = {x(0)}}); }),
            "a stride of z is x[0]" + why);
  EXPECT_EQ(
      refused([](auto& b, auto& x) { b.output(b.compute("z", {4}, [](Expr i) { return i; }), {.strides = {x(0)}}); }),
      "a stride of z is x[0]" + why);
  EXPECT_EQ(refused([](auto& b, auto& x) { b.compute("z", {x(0)}, [](Expr i) { return i; }); }),
            "an end of axis i of z is x[0]" + why);
  EXPECT_EQ(refused([](auto&, auto& x) { slice(x, {{.begin = x(0)}}); }), "an end of axis i of y is 4 - x[0]" + why);
  EXPECT_EQ(refused([](auto&, auto& x) { sum({Axis("k", x(0))}, x(0)); }), "an end of axis k of sum is x[0]" + why);
  EXPECT_EQ(refused([](auto& b, auto& x) { b.require_range(x, 0, x(0)); }), "an end of the range of x is x[0]" + why);
  EXPECT_EQ(refused([](auto& b, auto& x) { b.require(x(0) > 0); }), "a fact of test is x[0] > 0" + why);
  EXPECT_EQ(refused([&](auto& b, auto&) { b.require(sum({k}, k) > 0); }), "a fact of test is sum[k in 4](k) > 0" + why);
}

TEST(Builder, NeitherAnAxisNorAForeignSymbolIsASymbol) {
  const Axis k("k", 4);
  const std::string why = "is no symbol of kernel test; ";
  EXPECT_EQ(refused([&](auto& b, auto&) { b.input("z", DType::f32, {k}); }),
            "dimension 0 of z is k, where k " + why + "sizes are expressions over symbols");
  EXPECT_EQ(refused([&](auto& b, auto&) { b.input("z", DType::f32, {4}, {.strides = {k + 1}}); }),
            "a stride of z is k + 1, where k " + why + "sizes are expressions over symbols");
  EXPECT_EQ(refused([&](auto& b, auto&) { b.require(k < 4); }),
            "the fact k < 4 is about k, which " + why + "facts are over the symbols of arguments");
  EXPECT_EQ(refused([](auto& b, auto&) { b.input("z", DType::f32, {ProgramBuilder("other").symbol("n")}); }),
            "dimension 0 of z is n, where n " + why + "sizes are expressions over symbols");
}

TEST(Expressions, TooDeepOnesAreRefusedWhereTheyGrow) {
  ProgramBuilder b("deep");
  const Tensor x = b.input("x", DType::f32, {4});
  Expr e = x(0);
  const auto grow = [&] {
    for (int i = 0; i < 50000; ++i) e = e * x(0);
  };
  EXPECT_EQ(error_of(grow),
            "an expression is nested 401 deep, at most 400 are allowed; give parts of it definitions of their own");
}

TEST(Builder, FactsThatNeverHold) {
  const std::string why = ", which never holds; mend it or leave it out";
  EXPECT_EQ(refused([](auto& b, auto&) { b.require(Expr(3) > 4); }), "kernel test states the fact false" + why);
}

TEST(Builder, TheAxesOfADefinitionDiffer) {
  const Axis i("i", 4), other("i", 4);
  EXPECT_EQ(refused([&](auto& b, auto& x) { b.compute("z", {i, i}, x(i)); }),
            "z runs over its axis i twice; give one of the two an axis of its own");
  ProgramBuilder b("test");
  b.output(b.compute("z", {i, other}, i + other));
  EXPECT_NO_THROW(b.build());
}

TEST(Builder, AnAxisIsReducedOverOnceAtATime) {
  const auto built = [](const auto& value) {
    ProgramBuilder b("test");
    const Tensor x = b.input("x", DType::f32, {3});
    b.output(b.compute("y", {1}, [&](Expr) { return value(x); }));
    return b.build();
  };
  const Axis k("k", 3);
  const std::string twice =
      "the definition of y reduces over its axis k twice at once; give one of the two an axis of its own";
  EXPECT_EQ(error_of([&] { built([&](const Tensor& x) { return sum({k}, x(k) * sum({k}, x(k))); }); }), twice);
  EXPECT_EQ(error_of([&] { built([&](const Tensor& x) { return sum({k, k}, x(k)); }); }), twice);
  EXPECT_NO_THROW(built([&](const Tensor& x) { return sum({k}, x(k)) + sum({k}, x(k)); }));
}

TEST(Builder, IntegersKeepTheirValues) {
  constexpr std::uint64_t kLargest = std::numeric_limits<std::uint64_t>::max();
  ProgramBuilder b("test");
  const Tensor x = b.input("x", DType::u64, {4}), z = b.input("z", DType::f32, {4});
  b.output(b.compute("y", {4}, [&](Expr i) { return min(x(i), kLargest - 1); }));
  EXPECT_TRUE(b.build().text().find("18446744073709551614") != std::string::npos) << b.build().text();
  EXPECT_EQ(Expr(kLargest).dtype(), DType::u64);
  EXPECT_EQ(cast(DType::f32, Expr(kLargest)).dtype(), DType::f32);
  EXPECT_EQ(Expr(kLargest >> 1).as_integer(), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(Expr(std::numeric_limits<std::int64_t>::min()).as_integer(), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(error_of([&] { z(0) + Expr(kLargest); }),
            "the operands of '+' are f32 and u64; convert one, as in cast(DType::f32, x)");
}

TEST(Builder, ProvablyOutsideReads) {
  ProgramBuilder b("test");
  const Tensor x = b.input("x", DType::f32, {4});
  b.output(b.compute("y", {4}, [&](Expr i) { return x(i + 4); }));
  const std::string error = error_of([&] { b.build(); });
  EXPECT_NE(error.find("x"), std::string::npos);
  EXPECT_EQ(error.find("InternalError"), std::string::npos) << error;
}

}  // namespace
}  // namespace quern::test
