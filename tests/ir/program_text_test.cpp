// Tensor programs as text: the examples of the language reference read, verify, and print back the same; extents,
// dtypes and orders are found as the reference says.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "ir/canonical.h"
#include "ir/parser.h"
#include "ir/printer.h"
#include "tests/ir/message.h"

namespace quern::ir {
namespace {

using test::contains;
using test::error_of;

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The ```quern blocks of a document.
std::vector<std::string> code_blocks(const std::string& document) {
  std::vector<std::string> blocks;
  const std::string open = "```quern\n";
  for (std::size_t at = document.find(open); at != std::string::npos; at = document.find(open, at)) {
    const std::size_t begin = at + open.size();
    at = document.find("```", begin);
    blocks.push_back(document.substr(begin, at - begin));
  }
  return blocks;
}

void expect_round_trip(const std::string& text) {
  SCOPED_TRACE(text);
  for (const Program& program : parse_programs(text)) {
    const std::string printed = to_string(program);
    const Program again = parse_program(printed);
    EXPECT_TRUE(equal(program, again)) << printed << canonical_text(program) << canonical_text(again);
    EXPECT_EQ(to_string(again), printed);
  }
}

const std::vector<std::string>& corpus() {
  static const std::vector<std::string> texts = [] {
    std::vector<std::string> all;
    for (const auto& entry : std::filesystem::directory_iterator(QUERN_SOURCE_DIR "/examples")) {
      if (entry.path().extension() == ".qn") all.push_back(read_text(entry.path()));
    }
    for (std::string& block : code_blocks(read_text(QUERN_SOURCE_DIR "/docs/language.md"))) {
      all.push_back(std::move(block));
    }
    return all;
  }();
  return texts;
}

TEST(ProgramText, ExamplesAndTheReferenceReadBackEqual) {
  EXPECT_GE(corpus().size(), 16U);
  for (const std::string& text : corpus()) expect_round_trip(text);
}

// What the parser prints back for one definition of `y`, in a kernel of some inputs.
std::string printed(const std::string& head, const std::string& body) {
  return to_string(parse_program("kernel t" + head + " {\n" + body + "\n}\n"));
}

TEST(ProgramText, PrintsAsAPersonWrites) {
  const std::string text =
      "kernel linear(x: f32[m, k], w: f32[k, n] const, b: f32[n]) -> (y: f32[m, n]) with m % 16 == 0, aligned(x, 16), "
      "exact {\n"
      "  s[i, j] = sum[p](x[i, p] * w[p, j])\n"
      "  y[i, j] = gelu(s[i, j] + b[j])\n"
      "}\n";
  EXPECT_EQ(to_string(parse_program(text)), text);
}

TEST(ProgramText, LongHeadsTakeOneLinePerInput) {
  std::string params;
  for (int i = 0; i < 8; ++i) params += (i ? ", " : "") + ("a_long_input_" + std::to_string(i)) + ": f32[n]";
  const std::string text = printed("(" + params + ") -> (y: f32[n])", "y[i] = a_long_input_3[i]");
  EXPECT_TRUE(contains(text, "kernel t(\n    a_long_input_0: f32[n],\n    a_long_input_1: f32[n],\n"));
  EXPECT_TRUE(contains(text, "a_long_input_7: f32[n]\n) -> (y: f32[n]) {\n"));
  expect_round_trip(text);
}

TEST(ProgramText, RangesStandOnlyWhereTheyCannotBeInferred) {
  const auto expect = [](const std::string& head, const std::string& body, const std::string& definition) {
    const std::string text = printed(head, body);
    EXPECT_TRUE(contains(text, "  " + definition + "\n"));
    expect_round_trip(text);
  };
  // of an output: from its type
  expect("(x: f32[n]) -> (y: f32[n])", "y[i in n] = x[i]", "y[i] = x[i]");
  expect("(x: f32[n]) -> (y: f32[n-1])", "y[i] = x[i+1] - x[i]", "y[i] = x[i + 1] - x[i]");
  // of an intermediate: from its readers, else from what it indexes, else written
  expect("(x: f32[n]) -> (y: f32[n-1])", "t[i] = x[i]; y[i] = t[i]", "t[i] = x[i]");
  expect("(x: f32[n]) -> (y: f32[n])", "t[i] = x[i]; y[i] = t[n - 1 - i]", "t[i] = x[i]");
  expect("(x: f32[n]) -> (y: f32[n])", "t[i in 2] = x[n - 1]; y[i] = t[i % 2]", "t[i in 2] = x[n - 1]");
  expect("(x: f32[n]) -> (y: f32[n-1])", "t[i in n] = x[i]; y[i] = t[i + 1] - t[i]", "t[i in n] = x[i]");
  // of a reduced axis: from what it indexes, in tensors whose extents are found first or later
  expect("(x: f32[m, n]) -> (y: f32[m])", "y[i] = sum[p](x[i, p])", "y[i] = sum[p](x[i, p])");
  expect("(x: f32[n]) -> (y: f32[])", "y[] = sum[p in n-1](x[p+1] - x[p])", "y[] = sum[p in n - 1](x[p + 1] - x[p])");
  expect("(x: f32[n]) -> (y: f32[])", "y[] = sum[p in 2..n](x[p])", "y[] = sum[p in 2..n](x[p])");
  expect("(x: f32[n]) -> (y: f32[])", "y[] = sum[p](t[p]); t[i] = x[i]", "y[] = sum[p](t[p])");
  expect("(x: f32[n]) -> (y: f32[n])", "y[j] = sum[p where p <= j](x[p])", "y[j] = sum[p where p <= j](x[p])");
  expect("(x: f32[n]) -> (y: f32[n])", "y[j] = sum[r in 3](x[j + r - 1] else 0)",
         "y[j] = sum[r in 3](x[j + r - 1] else 0.0)");
  // the largest reader and the smallest dimension, in whichever order they stand
  for (const char* body : {"t[i in m] = 1.0; y[i] = t[i]; z[j] = t[j]", "t[i in m] = 1.0; z[j] = t[j]; y[i] = t[i]"}) {
    expect("(x: f32[n]) -> (y: f32[n], z: f32[m]) with n <= m", body, "t[i] = 1.0");
  }
  for (const char* product : {"x[i] * w[i]", "w[i] * x[i]"}) {
    expect("(x: f32[n], w: f32[m]) -> (y: f32[n]) with n <= m",
           std::string("t[i in n] = ") + product + "; y[j] = t[(j + 1) % n]", std::string("t[i] = ") + product);
  }
  // a branch's reads do not bind: a concatenation
  expect("(a: f32[m], b: f32[n]) -> (y: f32[m + n])", "y[i] = i < m ? a[i] : b[i - m]",
         "y[i] = i < m ? a[i] : b[i - m]");
}

TEST(ProgramText, DefinitionsStandInAnyOrder) {
  const Program program = parse_program(R"(
    kernel softmax(x: f32[m, n]) -> (y: f32[m, n]) {
      y[i, j] = e[i, j] / sum[k](e[i, k]); e[i, j] = exp(x[i, j] - largest[i])
      largest[i] = max[j](x[i, j])
    })");
  ASSERT_EQ(program.definitions.size(), 3U);
  EXPECT_EQ(program.definitions[0].tensor->name, "largest");
  EXPECT_EQ(program.definitions[2].tensor->name, "y");
}

TEST(ProgramText, LinesMayGoOnAndCommentsMayStandAnywhere) {
  const Program program = parse_program(
      "# a comment\nkernel t(x: f32[n],  # an input\n y: f32[n]) -> (\n z: f32[n]) {  # more\n"
      "  z[i] = x[i]\n    + y[i] *  # half\n    0.5; }  # end");
  EXPECT_TRUE(contains(to_string(program), "z[i] = x[i] + y[i] * 0.5\n"));
}

TEST(ProgramText, DtypesOfIntermediates) {
  const std::string text = printed("(x: bf16[n]) -> (y: bf16[n])",
                                   "a[i] = f32(x[i]) * 2\nb[i in n]: f16 = 1\nc[i in n] = 3\nd[i in n]: f32 = 1\n"
                                   "y[i] = bf16(a[i] + f32(b[i]) + f32(c[i]) + d[i])");
  EXPECT_TRUE(contains(text, "b[i]: f16 = 1.0\n"));
  EXPECT_TRUE(contains(text, "c[i] = 3\n"));
  EXPECT_TRUE(contains(text, "d[i] = 1.0\n"));
  expect_round_trip(text);
}

TEST(ProgramText, SymbolsAreInTheOrderOfTheirFirstUse) {
  const Program program =
      parse_program("kernel t(x: f32[h + r, w], f: f32[r]) -> (y: f32[h] strides(ld)) { y[i] = x[i, 0] * f[0] }");
  std::string names;
  for (const VarRef& symbol : program.symbols) names += symbol->name + " ";
  EXPECT_EQ(names, "h r w ld ");
}

TEST(ProgramText, ExternsAndFacts) {
  const std::string text =
      "kernel t(x: f32[m, k] strides(ld, 1), g: i32[m], s: f32[n]) -> (y: f32[m], z: f32[n] update s) with m in "
      "1..4097, "
      "g in n, nondecreasing(g), n % 8 == 0 && m < n {\n"
      "  a[i] = sum[p](x[i, p])\n"
      "  y[i] = s[g[i]] * b[i]\n"
      "  extern scale(a) -> (b: f32[m]) cuda \"\"\"__global__ void scale(const float* a, float* b, long long m) {\n"
      "  b[0] = a[0];\n}\n\"\"\"\n"
      "  extern fill(s) -> (z) cuda \"__global__ void fill() {}\"\n"
      "}\n";
  const Program program = parse_program(text);
  expect_round_trip(text);
  ASSERT_EQ(program.externs.size(), 2U);
  EXPECT_EQ(program.externs[0].writes[0]->name, "b");
  EXPECT_EQ(program.facts.size(), 4U);
  EXPECT_EQ(program.outputs[1].updates, program.inputs[2]);
}

TEST(ProgramText, SeveralKernels) {
  const std::string one = "kernel a(x: f32[n]) -> (y: f32[n]) { y[i] = x[i] }\n";
  EXPECT_EQ(parse_programs("").size(), 0U);
  EXPECT_EQ(parse_programs(one + "kernel b(x: f32[n]) -> (y: f32[n]) { y[i] = -x[i] }").size(), 2U);
  EXPECT_TRUE(contains(error_of([&] { parse_programs(one + one); }), "2:8: a second kernel is named a"));
  EXPECT_TRUE(contains(error_of([&] { parse_program(" # nothing"); }), "expected one kernel, the text holds none"));
  EXPECT_TRUE(contains(error_of([&] { parse_program(one + "kernel b() -> (y: f32[]) { y[] = 1 }"); }),
                       "expected one kernel, the text holds 2: a, b"));
}

TEST(ProgramText, NoInputsAndScalars) {
  expect_round_trip("kernel ones() -> (y: f32[n]) { y[i] = 1 }");
  expect_round_trip("kernel answer() -> (y: i64[]) { y[] = 42 }");
  expect_round_trip("kernel iota() -> (y: i64[n]) { y[i] = i }");
}

// Damaged programs give an Error or a program, nothing else.
TEST(ProgramText, GarbageNeverCrashes) {
  std::mt19937 random(7);
  const auto pick = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  const std::string pieces[] = {
      "[",  "]",    "(",      ")",      "{",       "}",       ",",       ":",
      "=",  "sum[", " else ", "?",      "..",      "kernel ", "1e9",     "9999999999999999999999",
      "x",  "i",    "f32",    "\"",     "\"\"\"",  "#",       "\n",      "-",
      "->", "\x80", "in ",    "where ", "strides", "update",  "extern ", "cuda ",
      "0"};
  int errors = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string text = corpus()[pick(corpus().size())];
    for (std::size_t edits = 1 + pick(3); edits > 0; --edits) {
      const std::size_t at = pick(text.size());
      switch (pick(3)) {
        case 0:
          text.erase(at, 1 + pick(8));
          break;
        case 1:
          text.insert(at, pieces[pick(std::size(pieces))]);
          break;
        default:
          text[at] = static_cast<char>(pick(256));
      }
    }
    try {
      for (const Program& program : parse_programs(text)) to_string(program);
    } catch (const Error& error) {
      ++errors;
      ASSERT_LT(std::string(error.what()).size(), 4000U) << text;
    } catch (const std::exception& other) {
      FAIL() << other.what() << "\n" << text;
    }
  }
  EXPECT_GT(errors, 1000);
  for (int round = 0; round < 200; ++round) {
    std::string bytes(1 + pick(300), '\0');
    for (char& c : bytes) c = static_cast<char>(pick(256));
    try {
      parse_programs(bytes);
    } catch (const Error&) {
    }
  }
}

}  // namespace
}  // namespace quern::ir
