#include "ir/kernel_rewrite.h"

#include <gtest/gtest.h>

#include <random>

#include "ir/kernel_parser.h"
#include "ir/kernel_printer.h"
#include "ir/kernel_verify.h"

namespace quern::ir {
namespace {

// Legal kernels in thread form, of every statement, nested at random.
class KernelGenerator {
 public:
  explicit KernelGenerator(unsigned seed) : random_(seed) {}

  Kernel kernel() {
    Kernel kernel{.name = "random", .form = Form::thread};
    const VarRef n = make_var("n");
    kernel.symbols = {n};
    for (int i = 0; i < 2; ++i) {
      kernel.params.push_back(make_global(make_tensor("x", DType::f32, {Expr(n)})));
      kernel.shared.push_back(make_buffer("s", DType::f32, Space::shared, row_major(std::vector<std::int64_t>{64})));
      memory_.push_back(kernel.params.back());
      memory_.push_back(kernel.shared.back());
    }
    kernel.grid = {Expr(n)};
    kernel.block = {make_var("b")};
    kernel.warp = make_var("warp");
    kernel.lane = make_var("lane");
    kernel.warps = 4;
    variables_ = {n, kernel.block[0], kernel.warp, kernel.lane};
    kernel.body = body(4);
    return kernel;
  }

 private:
  int pick(int most) { return std::uniform_int_distribution<int>(0, most)(random_); }

  Expr index() {
    const Expr variable = variables_[static_cast<std::size_t>(pick(static_cast<int>(variables_.size()) - 1))];
    switch (pick(3)) {
      case 0:
        return variable;
      case 1:
        return Expr(pick(9));
      case 2:
        return variable + index();
      default:
        return mod(index() * Expr(1 + pick(5)), Expr(4));
    }
  }

  TensorRef any(const std::vector<BufferRef>& list) {
    return list[static_cast<std::size_t>(pick(static_cast<int>(list.size()) - 1))];
  }

  Expr value() {
    switch (pick(3)) {
      case 0:
        return constant(DType::f32, 0.25 * pick(8));
      case 1:
        return read(any(memory_), {index()});
      case 2:
        return cast(DType::f32, index());
      default:
        return select(condition(), value(), read(any(memory_), {index()}));
    }
  }

  Expr condition() { return less(index(), index()); }

  Stmt body(int depth) {
    const auto variables = variables_;
    const auto fragments = fragments_;
    std::vector<Stmt> list;
    for (int i = pick(6); i > 0; --i) list.push_back(statement(depth - 1));
    variables_ = variables;
    fragments_ = fragments;
    return make_stmt(Block{std::move(list)});
  }

  Stmt statement(int depth) {
    switch (pick(depth > 0 ? 8 : 5)) {
      case 0:
        return make_stmt(Store{.buffer = any(memory_), .index = {index()}, .value = value()});
      case 1: {
        const VarRef var = make_var("v");
        const Stmt let = make_stmt(Let{var, index()});
        variables_.push_back(var);
        return let;
      }
      case 2: {
        fragments_.push_back(make_buffer("f", DType::f32, Space::fragment, row_major(std::vector<std::int64_t>{8})));
        return make_stmt(Alloc{fragments_.back()});
      }
      case 3:
        if (fragments_.empty()) return make_stmt(Intrinsic{IntrinsicId::barrier, {}});
        return make_stmt(Move{.to = any(fragments_),
                              .to_index = 0,
                              .from = any(memory_),
                              .from_index = index(),
                              .width = 1 << pick(2),
                              .hint = static_cast<CacheHint>(pick(3))});
      case 4:
        return make_stmt(Store{.buffer = memory_[0], .index = {index()}, .value = value(), .atomic = Reducer::sum});
      case 5:
        return make_stmt(Intrinsic{IntrinsicId::named_barrier, {index(), Expr(32 * (1 + pick(3)))}});
      case 6: {
        For loop{.var = make_var("i"),
                 .lo = index(),
                 .hi = index(),
                 .step = Expr(1 + pick(2)),
                 .kind = static_cast<ForKind>(pick(2)),
                 .body = {}};
        variables_.push_back(loop.var);
        loop.body = body(depth);
        variables_.pop_back();
        return make_stmt(std::move(loop));
      }
      case 7:
        return make_stmt(If{condition(), body(depth), pick(1) ? body(depth) : nullptr});
      default:
        return body(depth);
    }
  }

  std::mt19937 random_;
  std::vector<BufferRef> memory_, fragments_;
  std::vector<VarRef> variables_;
};

constexpr unsigned kSeeds = 200;

std::vector<std::size_t> kinds(const Stmt& stmt) {
  std::vector<std::size_t> counts(std::variant_size_v<decltype(StmtNode::value)>);
  visit(stmt, [&](const Stmt& below, const Enclosing&) {
    ++counts[below->value.index()];
    return true;
  });
  return counts;
}

TEST(RandomKernels, AreLegalAndRoundTrip) {
  std::vector<std::size_t> seen(std::variant_size_v<decltype(StmtNode::value)>);
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    const Kernel kernel = KernelGenerator(seed).kernel();
    verify(kernel);
    const std::string text = to_string(kernel);
    const Kernel parsed = parse_kernel(text);
    ASSERT_TRUE(equal(parsed, kernel)) << text;
    ASSERT_EQ(to_string(parsed), text);
    ASSERT_EQ(kinds(parsed.body), kinds(kernel.body));
    for (std::size_t k = 0; k < seen.size(); ++k) seen[k] += kinds(kernel.body)[k];
  }
  for (std::size_t k = 0; k <= 7; ++k) EXPECT_GT(seen[k], 20u) << "statements of kind " << k;  // those of thread form
}

TEST(KernelRewrite, ChangingNothingKeepsThePointer) {
  const auto same = [](const Expr& e) { return e; };
  const auto same_stmt = [](const Stmt& stmt) { return stmt; };
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    const Kernel kernel = KernelGenerator(seed).kernel();
    EXPECT_EQ(transform(kernel.body, same, same_stmt), kernel.body);
    EXPECT_EQ(transform(kernel.body, {}, {}), kernel.body);
    EXPECT_EQ(substitute(kernel.body, {{make_var("n"), Expr(4)}}), kernel.body);
    EXPECT_EQ(replace_tensors(kernel.body, {}), kernel.body);
  }
}

TEST(KernelRewrite, SubstitutionAndItsInverse) {
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    const Kernel kernel = KernelGenerator(seed).kernel();
    Kernel other = kernel;
    const VarRef size = make_var("size");
    other.symbols = {size};
    const Substitution there{{kernel.symbols[0], Expr(size)}}, back{{size, Expr(kernel.symbols[0])}};
    other.body = substitute(kernel.body, there);
    int left = 0;
    for_each_expr_below(other.body, [&](const Expr& e) { left += uses(e, kernel.symbols[0]); });
    EXPECT_EQ(left, 0);
    other.body = substitute(other.body, back);
    other.symbols = kernel.symbols;
    EXPECT_TRUE(equal(other, kernel));
  }
}

TEST(KernelRewrite, BuffersAreReplacedWhereverTheyStand) {
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    const Kernel kernel = KernelGenerator(seed).kernel();
    Kernel other = kernel;
    TensorMap images;
    const auto copy = [&](const BufferRef& buffer) {
      auto image = std::make_shared<const Buffer>(*buffer);
      images[buffer.get()] = image;
      return image;
    };
    for (BufferRef& buffer : other.params) buffer = copy(buffer);
    for (BufferRef& buffer : other.shared) buffer = copy(buffer);
    visit(kernel.body, [&](const Stmt& stmt, const Enclosing&) {
      if (const Alloc* alloc = get_if<Alloc>(stmt)) copy(alloc->buffer);
      return true;
    });
    other.body = replace_tensors(kernel.body, images);
    EXPECT_NO_THROW(verify(other));  // no old buffer is in scope
    EXPECT_TRUE(equal(other, kernel));
  }
}

TEST(KernelRewrite, NullLeavesTheBlock) {
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    const Kernel kernel = KernelGenerator(seed).kernel();
    const Stmt bare = transform(kernel.body, {}, [](const Stmt& stmt) { return get_if<Store>(stmt) ? nullptr : stmt; });
    std::vector<std::size_t> before = kinds(kernel.body);
    const std::size_t store = make_stmt(Store{.buffer = {}, .index = {}, .value = {}})->value.index();
    before[store] = 0;
    EXPECT_EQ(kinds(bare), before);
  }
  const Stmt loop = make_stmt(For{.var = make_var("i"), .lo = 0, .hi = 1, .step = 1, .body = block({})});
  const Stmt dropped = map_children(loop, {.stmt = [](const Stmt&) { return nullptr; }});
  EXPECT_TRUE(get_if<Block>(get_if<For>(dropped)->body)->body.empty());
}

TEST(KernelRewrite, VisitTellsWhatIsAround) {
  const Stmt store = make_stmt(Intrinsic{IntrinsicId::barrier, {}});
  const Stmt loop = make_stmt(For{.var = make_var("i"), .lo = 0, .hi = 1, .step = 1, .body = block({store})});
  const Stmt tree = block({loop, store});
  std::vector<std::size_t> depths;
  visit(tree, [&](const Stmt& stmt, const Enclosing& enclosing) {
    if (stmt == store) depths.push_back(enclosing.size());
    EXPECT_TRUE(enclosing.size() < 2 || enclosing[1] == loop.get());
    return true;
  });
  EXPECT_EQ(depths, (std::vector<std::size_t>{3, 1}));
  depths.clear();
  visit(tree, [&](const Stmt& stmt, const Enclosing& enclosing) {
    if (stmt == store) depths.push_back(enclosing.size());
    return !get_if<For>(stmt);
  });
  EXPECT_EQ(depths, (std::vector<std::size_t>{1}));
}

TEST(KernelRewrite, BlocksThatDeclareNothingAreFlat) {
  const Stmt barrier = make_stmt(Intrinsic{IntrinsicId::barrier, {}});
  const Stmt let = make_stmt(Let{make_var("v"), Expr(1)});
  const Stmt flat = block({block({barrier, barrier}), block({let, barrier}), barrier});
  ASSERT_EQ(statements(flat).size(), 4u);
  EXPECT_TRUE(get_if<Block>(statements(flat)[2]));
}

TEST(KernelEqual, DefaultsAndSingleStatements) {
  Kernel a = KernelGenerator(1).kernel(), b = a;
  const Stmt barrier = make_stmt(Intrinsic{IntrinsicId::barrier, {}});
  const auto loop = [&](Expr step, Stmt body) {
    return make_stmt(For{.var = make_var("i"), .lo = 0, .hi = 8, .step = std::move(step), .body = std::move(body)});
  };
  a.body = loop({}, barrier);
  b.body = loop(1, block({barrier}));
  EXPECT_TRUE(equal(a, b));
  b.body = loop(2, block({barrier}));
  EXPECT_FALSE(equal(a, b));
  b.body = loop(1, block({barrier, barrier}));
  EXPECT_FALSE(equal(a, b));
  b = a;
  b.warps = 8;
  EXPECT_FALSE(equal(a, b));
  b = a;
  b.symbols[0] = make_var("n", DType::i32);
  EXPECT_FALSE(equal(a, b));
}

}  // namespace
}  // namespace quern::ir
