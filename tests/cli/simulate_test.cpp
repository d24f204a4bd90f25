// The simulator on the command line.

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "tests/cli/command.h"

namespace quern::test {
namespace {

using Simulate = Command;

TEST_F(Simulate, EveryExampleRunsWithoutFindings) {
  const std::vector<std::vector<std::string>> examples = {{"linear_gelu.qn", "m=33,n=40,k=24"},
                                                          {"conv_relu.qn", "n=1,h=7,w=9,c=4,k=8"},
                                                          {"elementwise.qn", "m=5,n=72"},
                                                          {"softmax.qn", "m=5,n=300"}};
  for (const auto& example : examples) {
    const std::vector<std::string> call = {
        "run", QUERN_SOURCE_DIR "/examples/" + example[0], "-D", example[1], "--target", "sim:sm_90a", "--check"};
    EXPECT_NE(output(call).find("simulated: 0 findings"), std::string::npos) << example[0];
  }
}

// README.md shows what is printed.
TEST_F(Simulate, APlantedRaceIsReportedAsTheReadmeShows) {
  const Outcome race = quern({"simulate", QUERN_SOURCE_DIR "/examples/race.kernel"});
  EXPECT_EQ(race.code, 1);
  std::string shown;
  for (const char c : "\n" + race.out) shown += c == '\n' ? "\n    " : std::string(1, c);
  shown.resize(shown.rfind('\n'));
  std::ifstream file(QUERN_SOURCE_DIR "/README.md");
  const std::string readme{std::istreambuf_iterator<char>(file), {}};
  EXPECT_NE(readme.find(shown), std::string::npos) << race.out;
}

TEST_F(Simulate, CountsStandBesideTheRoofline) {
  const std::string text = output({"explain", "transpose2d(m=128, n=128)", "--simulate"});
  EXPECT_NE(text.find("100% coalesced"), std::string::npos) << text;
  EXPECT_NE(text.find("(0 bank conflicts)"), std::string::npos) << text;
}

TEST_F(Simulate, CompilesForItselfWithoutNvrtc) {
  EXPECT_NE(output({"compile", "add(n=8)", "--target", "sim:sm_90a"}).find("(simulator)"), std::string::npos);
}

TEST_F(Simulate, WhatIsNoSimulatorIsRefused) {
  EXPECT_NE(refusal({"run", "add(n=8)", "--target", "cuda:sm_90a"}).find("is compiled for, not run on"),
            std::string::npos);
  EXPECT_NE(refusal({"simulate", QUERN_SOURCE_DIR "/examples/race.kernel", "--target", "cuda:sm_90a"})
                .find("is no simulator"),
            std::string::npos);
  EXPECT_NE(
      refusal({"simulate", QUERN_SOURCE_DIR "/examples/softmax.qn"}).find("this is a tensor program, and kernel "),
      std::string::npos);
  EXPECT_NE(refusal({"simulate", "no.kernel"}).find("cannot read the kernel program 'no.kernel'"), std::string::npos);
  EXPECT_NE(refusal({"simulate", "."}).find("cannot read the kernel program '.': it is a folder"), std::string::npos);
  EXPECT_NE(refusal({"explain", "add(n=8)", "--target", "cpu", "--simulate"}).find("--simulate is of GPU kernels"),
            std::string::npos);
  EXPECT_NE(refusal({"run", "add(n=8)", "--device", "cpu", "--target", "sim:sm_90a"}).find("runs on one device"),
            std::string::npos);
  for (const char* seed : {"-1", "18446744073709551616", "1.5", "one"}) {
    EXPECT_NE(refusal({"run", "add(n=8)", "--seed", seed}).find("a seed is an integer from 0 to 2^64 - 1"),
              std::string::npos)
        << seed;
  }
}

}  // namespace
}  // namespace quern::test
