// Expressions as text: precedence, the dtypes that literals take, errors, and a seeded round trip over all rows.

#include "ir/expr_parser.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "ir/printer.h"
#include "tests/ir/message.h"

namespace quern::ir {
namespace {

using test::contains;
using test::error_of;

// Variables and tensors of several dtypes, by the names in scope.
struct World {
  Scope scope;
  Names names;
  std::vector<VarRef> vars;
  std::vector<TensorRef> tensors;

  World() {
    for (const char* name : {"i", "j", "n"}) var(name, DType::i64);
    var("a", DType::f32);
    var("b", DType::f32);
    var("h", DType::bf16);
    var("d", DType::f64);
    var("u", DType::u8);
    var("s", DType::i32);
    var("p", DType::boolean);
    var("q", DType::boolean);
    tensor("x", DType::f32, 2);
    tensor("y", DType::bf16, 1);
    tensor("g", DType::i32, 1);
    tensor("z", DType::f32, 0);
  }

  Expr parse(std::string_view text, std::optional<DType> expected = std::nullopt) const {
    TokenStream tokens(text);
    Expr e = parse_expr(tokens, scope, expected);
    if (!tokens.at_end()) tokens.fail_expected("the end");
    return e;
  }
  std::string print(const Expr& e, std::optional<DType> expected = std::nullopt) {
    return to_string(e, names, expected);
  }
  std::string again(std::string_view text) { return print(parse(text)); }
  std::string error(std::string_view text) const {
    return error_of([&] { parse(text); });
  }

 private:
  void var(const char* name, DType dtype) {
    vars.push_back(make_var(name, dtype));
    scope.add(name, vars.back());
    names.of(vars.back());
  }
  void tensor(const char* name, DType dtype, int rank) {
    std::vector<Expr> shape;
    for (int d = 0; d < rank; ++d) shape.emplace_back(8 + d);
    tensors.push_back(make_tensor(name, dtype, shape));
    scope.add(name, tensors.back());
    names.of(tensors.back());
  }
};

TEST(ExprText, ParenthesesStandOnlyWhereNeeded) {
  World world;
  for (const char* text : {
           "a + b * a",
           "(a + b) * a",
           "a - (b - a)",
           "a - b - a",
           "-a * b",
           "-(a * b)",
           "--a",
           "-(1.0)",
           "a / (b / a)",
           "i // 2 % n",
           "i // (2 % n)",
           "i << 2 + n",
           "(i << 2) + n",
           "i & n | j ^ n",
           "i & (n | j)",
           "~i & n",
           "p && q || p",
           "p && (q || p)",
           "!p && q",
           "!(p && q)",
           "(i < n) == p",
           "i < n && j < n",
           "p ? a : b",
           "p ? a : q ? b : a",
           "p ? (q ? a : b) : a",
           "(p ? a : b) + a",
           "(p ? p : q) ? a : b",
           "max(a, b) + min(a, 0.0)",
           "gelu(a + b)",
           "x[i, j]",
           "x[i + 1, j // 2]",
           "x[i, j] else 0.0",
           "(x[i, j] else -1.0) * a",
           "(x[i, j] else a) + b",
           "x[i, j] else (a + b)",
           "x[i, j] else -a",
           "max(x[i, j] else 0.0, a)",
           "p ? (x[i, j] else 0.0) : a",
           "z[]",
           "clamp(a, 0.0, 1.0)",
           "sum[k in 8](x[i, k] * a)",
           "max[k in 2..n, l in 3 where k < l && p](x[k, l])",
           "sum[k in 8]{acc=f64}(a)",
           "sum[k in 8]{acc=f32, grade=tf32, order=fixed}(a)",
           "sum[k in (p ? i : n)](a)",
           "argmax[k in 8](x[i, k]) + 1",
           "f32(h) * a",
           "i32(a)",
           "bool(i)",
           "y[g[i]]",
           "any[k in 4](x[i, k] > 0.0)",
       }) {
    EXPECT_EQ(world.again(text), text);
  }
}

TEST(ExprText, Precedence) {
  World world;
  EXPECT_EQ(world.again("((a)) + ((b * (a)))"), "a + b * a");
  EXPECT_EQ(world.again("x[i,j]else 0+b"), "(x[i, j] else 0.0) + b");  // the fill binds to the read
  EXPECT_EQ(world.again("a\n  + b\n  * a"), "a + b * a");
  EXPECT_EQ(world.again("- 1 + i"), "-1 + i");
  EXPECT_EQ(world.again("i - -1"), "i - -1");
  EXPECT_EQ(world.again("i -1"), "i - 1");
}

TEST(ExprText, LiteralsTakeTheDtypeTheyMeet) {
  World world;
  const auto dtype = [&](std::string_view text, std::optional<DType> expected = std::nullopt) {
    return world.parse(text, expected)->dtype;
  };
  EXPECT_EQ(dtype("a + 1"), DType::f32);
  EXPECT_EQ(dtype("1 + h"), DType::bf16);
  EXPECT_EQ(dtype("max(0, d)"), DType::f64);
  EXPECT_EQ(dtype("(1 + 2) * u"), DType::u8);
  EXPECT_EQ(dtype("p ? 1 : h"), DType::bf16);
  EXPECT_EQ(dtype("1"), DType::i64);
  EXPECT_EQ(dtype("1.0"), DType::f32);
  EXPECT_EQ(dtype("1 + 2.0"), DType::f32);
  EXPECT_EQ(dtype("exp(1)"), DType::f32);
  EXPECT_EQ(dtype("-inf"), DType::f32);
  EXPECT_EQ(dtype("1", DType::f16), DType::f16);
  EXPECT_EQ(dtype("p ? 1 : 2.0", DType::f64), DType::f64);
  EXPECT_EQ(dtype("1 < 2.0"), DType::boolean);
  EXPECT_EQ(dtype("f64(0.1 + 0.2)"), DType::f64);
  EXPECT_EQ(world.parse("f64(0.1)")->real, 0.1);  // not by way of f32
  EXPECT_EQ(world.parse("0.1")->real, static_cast<double>(0.1F));
  EXPECT_EQ(world.parse("i32(1.5)")->kind, ExprKind::cast);
  EXPECT_EQ(world.parse("f32(i64(1))")->kind, ExprKind::cast);
  EXPECT_EQ(world.parse("f32(1)")->kind, ExprKind::constant);
  EXPECT_EQ(world.parse("y[0] else 0")->fill->dtype, DType::bf16);
  EXPECT_EQ(world.parse("-9223372036854775808")->integer, INT64_MIN);
  EXPECT_EQ(world.print(world.parse("18446744073709551615", DType::u64), DType::u64), "18446744073709551615");
}

TEST(ExprText, LiteralsPrintSoThatTheyKeepTheirDtype) {
  World world;
  for (const char* text : {"f16(1.0)",
                           "f16(1.0) + 2.0",
                           "i32(3)",
                           "x[i32(3), j]",
                           "f32(i64(3))",
                           "i64(f32(1.5))",
                           "f64(f32(0.1) + 0.5)",
                           "u8(200) < 3",
                           "1 < 2",
                           "f64(1.0) < 2.0",
                           "h + 1.0",
                           "p ? f64(1.0) : 2.0",
                           "-(f16(1.0))",
                           "1.5 * a",
                           "0.1",
                           "f64(0.1)",
                           "bf16(0.1)",
                           "f8e4m3(0.002)",
                           "f16(6e-08)",
                           "1e+20",
                           "1e-45",
                           "inf",
                           "-inf",
                           "nan",
                           "-0.0",
                           "true",
                           "f64(2.2250738585072014e-308)",
                           "exp(1.0)",
                           "sum[k in 8](f64(1.0))"}) {
    EXPECT_EQ(world.again(text), text);
    EXPECT_TRUE(equal(world.parse(world.again(text)), world.parse(text))) << text;
  }
}

TEST(ExprText, TypeErrorsShowBothTypesAndTheWayOut) {
  World world;
  const auto expect = [&](std::string_view text, const std::string& part) {
    EXPECT_TRUE(contains(world.error(text), part)) << text;
  };
  expect("a + h", "1:3: the operands of '+' are f32 and bf16; convert one, as in f32(...)");
  expect("a * i", "the operands of '*' are f32 and i64; convert one, as in f32(...)");
  expect("g[i] == j", "i32 and i64; convert one, as in i64(...)");
  expect("i / 2", "'/' takes floats, here i64; // divides integers");
  expect("a // 2", "'//' takes integers, here f32; floor(a / b)");
  expect("a % 2", "'%' takes integers, here f32");
  expect("p + p", "'+' takes numbers, here bool; convert it, as in i32(...)");
  expect("!i", "'!' takes bool, here i64; compare it, as in x != 0");
  expect("a & a", "'&' takes integers or bool, here f32");
  expect("exp(i)", "'exp' takes floats, here i64");
  expect("i ? a : b", "the condition before '?' is i64, not bool");
  expect("p ? a : h", "the operands of '?' are f32 and bf16");
  expect("p && 1", "the number 1 stands where a bool is needed");
  expect("u + 256", "256 does not fit u8 (0 to 255)");
  expect("u + -1", "-1 does not fit u8 (0 to 255)");
  expect("s + 2147483648", "2147483648 does not fit i32 (-2147483648 to 2147483647)");
  expect("i + 1.5", "the float 1.5 stands where the dtype is i64");
  expect("1e400", "1e400 is out of the range of f32");
  expect("f16(a) + 70000", "70000 is out of the range of f16; infinity is written inf");
  expect("f8e4m3(a) + 464.0", "464.0 is out of the range of f8e4m3");
  expect("x[i, a]", "index 1 of x is f32; an index is an integer");
  expect("x[i]", "x has 2 dimensions [8, 9], here is 1 index");
  expect("y[i, j]", "y has 1 dimension [8], here are 2 indices");
  expect("x[i, j] else h", "x is f32, the value outside is bf16; write f32(...)");
  expect("sum[k in 8](p)", "sum does not reduce bool");
  expect("any[k in 8](a)", "any does not reduce f32; convert the element, as in bool(...)");
  expect("logsumexp[k in 8](i)", "logsumexp does not reduce i64");
  expect("sum[k in 8]{acc=i32}(a)", "sum of f32 cannot accumulate in i32");
  expect("sum[k in 8]{grade=tf32}(h)", "a grade below exact is for products in f32");
  expect("sum[k in 8 where i](a)", "the condition behind 'where' is i64, not bool");
}

TEST(ExprText, SyntaxErrorsSayWhatWasExpected) {
  World world;
  const auto expect = [&](std::string_view text, const std::string& part) {
    EXPECT_TRUE(contains(world.error(text), part)) << text;
  };
  expect("", "1:1: expected an expression, got the end of the text");
  expect("a +", "expected an expression, got the end of the text");
  expect("(a", "expected ')', got the end of the text");
  expect("max(a b)", "expected ',' or ')', got 'b'");
  expect("max(a)", "max takes 2 operands, here is 1");
  expect("p ? a", "expected ':'");
  expect("c", "1:1: unknown name 'c'; known here: a, b, d, g, h, i, j, n, p, q, s, u, x, y, z");
  expect("c[i]", "unknown tensor 'c'");
  expect("foo(a)", "expected a function, a reducer or a dtype before '(', got 'foo'");
  expect("sum(a)", "sum is a reducer: expected its axes, as in sum[p](...)");
  expect("sum", "expected the axes of sum");
  expect("x + a", "x is a tensor: read it with its indices, as in x[...]");
  expect("sum[k in 8](", "expected an expression");
  expect("sum[k](a)", "the axis k has no range; write it, as in k in 16");
  expect("sum[i in 8](a)", "the name 'i' is taken");
  expect("sum[f32 in 8](a)", "'f32' is reserved: it cannot be the name of an axis");
  expect("sum[k in 8]{acc=x}(a)", "expected a dtype (f64 f32 f16 bf16");
  expect("sum[k in 8]{grade=f16}(a)", "expected exact or f32 or tf32, got 'f16'");
  expect("sum[k in 8]{unroll=4}(a)", "expected acc=, grade= or order=");
  expect("exp[i]", "'exp' is reserved: it names no tensor");
  expect("a else b", "expected the end, got 'else'");
}

TEST(ExprText, DeepNestingIsRefused) {
  World world;
  const auto repeated = [](const std::string& text, int times) {
    std::string result;
    for (int i = 0; i < times; ++i) result += text;
    return result;
  };
  const int many = 20000;
  for (const std::string& text :
       {repeated("(", many), repeated("-", many) + "a", repeated("p ? a : ", many) + "a", repeated("y[", many),
        repeated("a + ", many) + "a", repeated("exp(", many), repeated("y[i] else ", many) + "h",
        repeated("sum[k in ", many), repeated("p ? ", many)}) {
    EXPECT_TRUE(contains(world.error(text), "nested more than 400 deep")) << text.substr(0, 20);
  }
  EXPECT_NO_THROW(world.parse(repeated("(", 300) + "a" + repeated(")", 300)));
  EXPECT_NO_THROW(world.parse(repeated("a + ", 390) + "a"));
}

// Random expressions over every row and kind.
class Generator {
 public:
  Generator(World& world, std::uint32_t seed) : world_(world), random_(seed) {}

  Expr make(DType dtype, int depth) {
    if (depth == 0 || pick(6) == 0) return leaf(dtype);
    switch (pick(8)) {
      case 0:
        return cast(dtype, make(any_dtype(), depth - 1));
      case 1:
        if (dtype == DType::f32)
          return read(world_.tensors[0], {make(DType::i64, depth - 1), make(DType::i32, depth - 1)},
                      pick(2) ? make(dtype, depth - 1) : Expr());
        return leaf(dtype);
      case 2:
        return reduction(dtype, depth);
      default:
        return call(dtype, depth);
    }
  }

  std::set<Op> ops;
  std::set<Reducer> reducers;
  std::set<ExprKind> kinds;

 private:
  std::size_t pick(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_); }
  DType any_dtype() { return static_cast<DType>(pick(kDTypeCount)); }

  Expr leaf(DType dtype) {
    for (int attempt = 0; attempt < 4; ++attempt) {
      const VarRef& var = world_.vars[pick(world_.vars.size())];
      if (var->dtype == dtype) return Expr(var);
    }
    kinds.insert(ExprKind::constant);
    if (!is_float(dtype)) return constant(dtype, static_cast<std::int64_t>(random_()) - (std::int64_t{1} << 31));
    const double values[] = {0.0, -0.0, 1.0, 0.1, -2.5, 1e30, 1e-40, 448, INFINITY, -INFINITY, NAN, 12345.678};
    return constant(dtype, values[pick(std::size(values))]);
  }

  Expr call(DType dtype, int depth) {
    for (int attempt = 0; attempt < 40; ++attempt) {
      const auto op = static_cast<Op>(pick(kOpCount));
      const ScalarFunction& function = row(op);
      const DType operand = function.types == TypeRule::comparison ? any_dtype() : dtype;
      std::vector<DType> types(static_cast<std::size_t>(function.arity), operand);
      if (function.types == TypeRule::select) types[0] = DType::boolean;
      if (result_type(op, types) != dtype) continue;
      std::vector<Expr> args;
      for (const DType type : types) args.push_back(make(type, depth - 1));
      ops.insert(op);
      kinds.insert(ExprKind::call);
      return ir::call(op, args);
    }
    return leaf(dtype);
  }

  Expr reduction(DType dtype, int depth) {
    for (int attempt = 0; attempt < 10; ++attempt) {
      const auto reducer = static_cast<Reducer>(pick(kReducerCount));
      const DType element = any_dtype();
      if (!row(reducer).accepts(element) || row(reducer).result(element) != dtype) continue;
      reducers.insert(reducer);
      kinds.insert(ExprKind::reduce);
      const VarRef k = make_var(pick(2) ? "k" : "i");
      world_.vars.push_back(k);
      const Expr where = pick(2) ? make(DType::boolean, depth - 1) : Expr();
      Contract contract;
      if (pick(2)) contract.order = Order::fixed;
      if (pick(2)) contract.accumulator = element;
      const Expr value = make(element, depth - 1);
      world_.vars.pop_back();
      return reduce(reducer, {{k, Expr(static_cast<int>(pick(3))), Expr(world_.vars[2])}}, {value}, where, contract);
    }
    return leaf(dtype);
  }

  World& world_;
  std::mt19937 random_;
};

TEST(ExprText, GeneratedExpressionsReadBackEqual) {
  World world;
  std::set<Op> ops;
  std::set<Reducer> reducers;
  for (std::uint32_t seed = 0; seed < 3000; ++seed) {
    Generator generator(world, seed);
    const auto dtype = static_cast<DType>(seed % kDTypeCount);
    const Expr e = generator.make(dtype, 2 + static_cast<int>(seed % 4));
    const std::optional<DType> expected = seed % 2 ? std::optional(dtype) : std::nullopt;
    const std::string text = world.print(e, expected);
    const Expr back = world.parse(text, expected);
    ASSERT_TRUE(equal(e, back)) << "seed " << seed << "\n" << text << "\n" << world.print(back, expected);
    ASSERT_EQ(world.print(back, expected), text) << "seed " << seed;
    ops.merge(generator.ops);
    reducers.merge(generator.reducers);
  }
  EXPECT_EQ(ops.size(), static_cast<std::size_t>(kOpCount));
  EXPECT_EQ(reducers.size(), static_cast<std::size_t>(kReducerCount));
}

TEST(ExprText, Names) {
  Names names;
  EXPECT_EQ(names.fresh("x"), "x");
  EXPECT_EQ(names.fresh("x"), "x2");
  EXPECT_EQ(names.fresh("x1"), "x1");
  EXPECT_EQ(names.fresh("x1"), "x1_2");
  EXPECT_EQ(names.fresh("sum"), "sum_");
  EXPECT_EQ(names.fresh("2d conv"), "_2d_conv");
  EXPECT_EQ(names.fresh(""), "v");
  EXPECT_TRUE(is_valid_name("a_1"));
  EXPECT_FALSE(is_valid_name("bf16") || is_valid_name("1a") || is_valid_name("") || is_valid_name("a-b") ||
               is_valid_name("else"));
}

}  // namespace
}  // namespace quern::ir
