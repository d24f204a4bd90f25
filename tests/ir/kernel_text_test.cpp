#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "ir/kernel_parser.h"
#include "ir/kernel_printer.h"
#include "ir/kernel_rewrite.h"
#include "ir/kernel_verify.h"
#include "quern/error.h"

namespace quern::ir {
namespace {

std::vector<std::filesystem::path> kernel_files() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(QUERN_SOURCE_DIR "/tests/ir/data")) {
    const std::string extension = entry.path().extension();
    if (extension == ".tile" || extension == ".thread") files.push_back(entry.path());
  }
  return files;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The text without comments, which the printer does not keep.
std::string without_comments(const std::string& text) {
  std::istringstream lines(text);
  std::string result;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("#")) result += line + "\n";
  }
  return result;
}

// Each file is a legal kernel, written as the printer writes it.
TEST(KernelText, FilesRoundTripAndVerify) {
  ASSERT_GE(kernel_files().size(), 5u);
  for (const auto& path : kernel_files()) {
    SCOPED_TRACE(path.filename().string());
    const std::string text = read_file(path);
    const Kernel kernel = parse_kernel(text);
    EXPECT_NO_THROW(verify(kernel));
    const std::string printed = to_string(kernel);
    EXPECT_EQ(printed, without_comments(text));
    EXPECT_TRUE(equal(parse_kernel(printed), kernel));
  }
}

TEST(KernelText, KernelsThatDifferAreNotEqual) {
  const std::string text = without_comments(read_file(QUERN_SOURCE_DIR "/tests/ir/data/statements.thread"));
  const Kernel kernel = parse_kernel(text);
  int changed = 0;
  // Another digit somewhere is another kernel, where it parses at all.
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] < '1' || text[i] > '8') continue;
    std::string other = text;
    ++other[i];
    try {
      EXPECT_FALSE(equal(parse_kernel(other), kernel)) << "at " << text.substr(i - 10, 20);
      ++changed;
    } catch (const Error&) {
    } catch (const InternalError&) {
    }
  }
  EXPECT_GT(changed, 100);
}

TEST(KernelText, NamesAreMadeUniqueAndLegal) {
  const VarRef first = make_var("i"), second = make_var("i"), word = make_var("map");
  const BufferRef fragment = make_buffer("exp", DType::f32, Space::fragment, row_major(std::vector<std::int64_t>{4}));
  Kernel kernel;
  kernel.name = "names";
  kernel.grid = {Expr(1)};
  kernel.block = {word};
  kernel.form = Form::thread;
  kernel.warp = make_var("warp");
  kernel.lane = make_var("lane");
  const Stmt store =
      make_stmt(Store{.buffer = fragment, .index = {Expr(first) + second}, .value = constant(DType::f32, 1.5)});
  const Stmt inner = make_stmt(For{.var = second, .lo = 0, .hi = 2, .step = 1, .body = store});
  const Stmt outer = make_stmt(For{.var = first, .lo = 0, .hi = Expr(word), .step = 1, .body = inner});
  kernel.body = block({make_stmt(Alloc{fragment}), outer, outer});
  const std::string text = to_string(kernel);
  EXPECT_EQ(text, R"(kernel names
    ()
    grid (map2 in 1) warps 1 lanes 32
    thread (warp, lane) {
  fragment exp_: f32[4]
  for i in map2 {
    for i2 in 2 {
      exp_[i + i2] = 1.5
    }
  }
  for i in map2 {
    for i2 in 2 {
      exp_[i + i2] = 1.5
    }
  }
}
)");
  EXPECT_TRUE(equal(parse_kernel(text), kernel));
}

TEST(KernelText, HeadlineIsTheFirstLine) {
  const Stmt body = make_stmt(Block{});
  EXPECT_EQ(
      headline(make_stmt(Role{.name = "producer", .lo = 0, .hi = 4, .registers = 40, .elected = true, .body = body})),
      "role producer warps 0..4 registers 40 elected {");
}

struct Refusal {
  std::string body;
  std::string message;
};

TEST(KernelText, RefusesWithPlaceAndReason) {
  const std::vector<Refusal> refusals = {
      {"y = 1", "expected a statement"},
      {"fragment map: f32[1]", "'map' is reserved"},
      {"fragment x: f32[1]", "the name 'x' is taken"},
      {"fragment a: f32[4] layout [2:reg*1]", "the layout's extents are not those of the buffer"},
      {"for i in 4 { x[i] = i }", "the value stored is f32, here i64"},
      {"x[0, 0] = 1.0", "x has 1 dimension"},
      {"let i = j", "unknown name 'j'"},
      {"for i in 1.5 { }", "the float 1.5 stands where"},
      {"if 1 { }", "the number 1 stands where a bool is needed"},
      {"barrier(1)", "barrier takes at most 0 operands"},
      {"mbarrier_init(full[0])", "mbarrier_init takes at least 2 operands"},
      {"x[0] else 0.0 = 1.0", "expected a place"},
      {"move x[0] = x[0]", "expected 'width'"},
      {"atomic add x[0] = 1.0", "'add' is not a reducer"},
      {"map (i in 4, i in 4) { }", "the name 'i' is taken"},
      {"map (i in 4) via wire { }", "expected threads, cp_async, tma_load"},
      {"mma wgmma (i in 64, j in 8, k in 16) a[j, i] += x[i] * x[j]", "unknown tensor 'a'"},
      {"role worker warps 0..", "expected a warp"},
      {"{ { { ", "expected a statement or '}'"},
  };
  for (const Refusal& refusal : refusals) {
    const std::string text =
        "kernel t (x: f32[n]; n) grid (b in 1) warps 4 lanes 32 tile { barrier full: u64[1] align 8\n" + refusal.body +
        "\n}";
    try {
      parse_kernel(text);
      ADD_FAILURE() << refusal.body;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(refusal.message), std::string::npos) << error.what();
    }
  }
}

TEST(KernelText, DeepNestingIsRefused) {
  std::string text = "kernel t () grid (b in 1) warps 1 lanes 1 tile ";
  for (int i = 0; i < 100000; ++i) text += "{";
  EXPECT_THROW(parse_kernel(text), Error);
}

}  // namespace
}  // namespace quern::ir
