// The text of small kernels, each against its golden file.

#include <gtest/gtest.h>

#include <algorithm>

#include "codegen/cuda/printer.h"
#include "quern/error.h"
#include "tests/codegen/cuda_kernels.h"
#include "tests/ir/golden.h"

namespace quern::codegen {
namespace {

using test::Sample;

class CudaGolden : public testing::TestWithParam<Sample> {};

TEST_P(CudaGolden, TextIsAsBefore) {
  const CudaText text = print_cuda(GetParam().kernel, parse_target(GetParam().targets.back()));
  EXPECT_TRUE(quern::test::is_golden(text.source, "tests/codegen/golden/" + GetParam().name + ".cu"));
}

INSTANTIATE_TEST_SUITE_P(Samples, CudaGolden, testing::ValuesIn(test::sample_kernels()),
                         [](const auto& instance) { return instance.param.name; });

Sample sample(const std::string& name) {
  const std::vector<Sample> samples = test::sample_kernels();
  return *std::ranges::find(samples, name, &Sample::name);
}

TEST(CudaPrinter, EveryStatementHasItsLine) {
  const Sample add = sample("vector_add");
  const CudaText text = print_cuda(add.kernel, parse_target("cuda:sm_80"));
  std::vector<std::string> lines;
  std::istringstream stream(text.source);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  ASSERT_FALSE(text.lines.empty());
  EXPECT_TRUE(std::ranges::is_sorted(text.lines, {}, &std::pair<const ir::StmtNode*, int>::second));
  const auto text_at = [&](const ir::StmtNode* statement) {
    const auto found = std::ranges::find(text.lines, statement, &std::pair<const ir::StmtNode*, int>::first);
    return found == text.lines.end() ? "no line" : lines.at(static_cast<std::size_t>(found->second - 1));
  };
  const ir::Block& body = *ir::get_if<ir::Block>(add.kernel.body);
  EXPECT_NE(text_at(body.body[0].get()).find("const long long i ="), std::string::npos);
  EXPECT_NE(text_at(body.body[1].get()).find("if ("), std::string::npos);
}

TEST(CudaPrinter, ExactKernelsKeepTheirRounding) {
  Sample add = sample("vector_add");
  EXPECT_TRUE(print_cuda(add.kernel, parse_target("cuda:sm_80")).options.empty());
  add.kernel.facts.push_back({.kind = ir::Fact::Kind::exact});
  EXPECT_EQ(print_cuda(add.kernel, parse_target("cuda:sm_80")).options, std::vector<std::string>{"--fmad=false"});
}

TEST(CudaPrinter, NamesNeverClashWithTheLanguageOrThePrelude) {
  ir::Kernel kernel = sample("vector_add").kernel;
  kernel.name = "copy";
  const CudaText text = print_cuda(kernel, parse_target("cuda:sm_80"));
  EXPECT_EQ(text.entry, "copy2");
  EXPECT_NE(text.source.find(" copy2("), std::string::npos);
}

TEST(CudaPrinter, TensorMapsFollowTheSymbols) {
  const CudaText text = print_cuda(sample("wgmma_step").kernel, parse_target("cuda:sm_90a"));
  EXPECT_EQ(text.maps, (std::vector<std::string>{"x_map", "w_map"}));
  EXPECT_EQ(text.shared.offsets, (std::vector<std::int64_t>{0, 16384, 49152, 49168}));
  EXPECT_EQ(text.shared.bytes, 49184);
  EXPECT_EQ(text.shared.alignment, 1024);
}

TEST(CudaPrinter, RefusesIntrinsicsThatTheTargetLacks) {
  EXPECT_THROW(print_cuda(sample("wgmma_step").kernel, parse_target("cuda:sm_100a")), InternalError);
  EXPECT_THROW(print_cuda(sample("wgmma_step").kernel, parse_target("cuda:sm_80")), InternalError);
}

TEST(CudaPrinter, RefusesTileForm) {
  ir::Kernel kernel = sample("vector_add").kernel;
  kernel.form = ir::Form::tile;
  EXPECT_THROW(print_cuda(kernel, parse_target("cuda:sm_80")), InternalError);
}

}  // namespace
}  // namespace quern::codegen
