// Tuning, what is remembered of it, and the policies by which it is used.

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "tests/cli/command.h"
#include "tests/ir/message.h"

namespace quern::test {
namespace {

class Tuning : public Command {
 protected:
  void SetUp() override {
    Command::SetUp();
    write("two.workloads", "# Two small ones.\n\nsum | row_sum(m=8, n=64)\n  add | add(n=n)  | n=64\n");
  }

  std::vector<std::string> on_cpu(std::vector<std::string> call) const {
    call.insert(call.end(), {"--device", "cpu"});
    return call;
  }
  Json tune(const std::string& program) const { return document(on_cpu({"tune", program, "--budget", "100ms"})); }
  Json tune_both() const { return document(on_cpu({"tune", "--workloads", "two.workloads", "--budget", "100ms"})); }
  // Where the schedule of the program's one kernel comes from.
  std::string origin(const std::string& program) const {
    return document(on_cpu({"explain", program}))["kernels"][0]["origin"];
  }
};

TEST_F(Tuning, ASecondTimeTriesNothing) {
  const Json first = tune_both(), second = tune_both();
  ASSERT_EQ(first.size(), 2U);
  for (std::size_t i = 0; i < first.size(); ++i) {
    EXPECT_GT(first[i]["tried"], 0);
    EXPECT_EQ(second[i]["tried"], 0);
    EXPECT_TRUE(second[i]["kernels"][0]["from_store"]);
    EXPECT_EQ(second[i]["kernels"][0]["schedule"], first[i]["kernels"][0]["schedule"]);
  }
  EXPECT_EQ(first[0]["name"], "sum");
  EXPECT_TRUE(contains(output(on_cpu({"tune", "add(n=64)"})), "0 candidates tried"));
}

TEST_F(Tuning, TheDefaultNeverBeatsTheWinner) {
  for (const Json& workload : tune_both()) {
    const Json& kernel = workload["kernels"][0];
    EXPECT_LE(kernel["seconds"], kernel["fallback_seconds"]) << kernel;
  }
}

TEST_F(Tuning, DeletingOneWinnerRetunesThatOne) {
  tune_both();
  Json contents = document({"cache", "ls"});
  ASSERT_EQ(contents["winners"].size(), 2U);
  const Json& sums = contents["winners"][contents["winners"][0]["strategy"] == "reduction" ? 0 : 1];
  const std::string id = sums["id"];
  EXPECT_EQ(document({"cache", "show", id.substr(0, 8)}), Json::array({sums}));
  EXPECT_EQ(document({"cache", "clear", id})["removed"], 1);
  const Json again = tune_both();
  EXPECT_GT(again[0]["tried"], 0);
  EXPECT_EQ(again[1]["tried"], 0);
}

TEST_F(Tuning, TheDemoChecksAndRemembers) {
  const std::vector<std::string> demo = on_cpu({"demo", "--workloads", "two.workloads", "--budget", "100ms"});
  const Json first = document(demo), second = document(demo);
  EXPECT_GT(first["tried"], 0);
  EXPECT_EQ(second["tried"], 0);
  for (const Json& workload : second["workloads"]) EXPECT_TRUE(workload["passed"]);
  const std::string text = output(demo);
  for (const char* part :
       {"device cpu: ", "no GPU, so the sizes are smaller ones", "libcuda.so.1", "right", "0 candidates tried"}) {
    EXPECT_TRUE(contains(text, part));
  }
}

TEST_F(Tuning, CacheListsShowsAndClears) {
  EXPECT_EQ(document({"cache", "ls"})["winners"], Json::array());
  EXPECT_FALSE(std::filesystem::exists(store())) << "looking makes no store";
  tune("row_sum(m=8, n=64)");
  output(on_cpu({"compile", "row_sum(m=8, n=64)"}));
  const Json contents = document({"cache", "ls"});
  EXPECT_EQ(contents["path"], store().string());
  EXPECT_EQ(contents["binaries"].size(), 1U);
  EXPECT_GT(contents["samples"], 0);
  const std::string text = output({"cache", "ls"});
  EXPECT_TRUE(contains(text, "row_sum 8x64"));
  EXPECT_TRUE(contains(text, "1 winner, 1 binary, "));
  const std::string id = contents["winners"][0]["id"];
  EXPECT_TRUE(contains(output({"cache", "show", id}), "verified     8 elements"));
  EXPECT_TRUE(contains(refusal({"cache", "show", "xyz"}), "an id that begins with 'xyz'; see quern cache ls"));
  EXPECT_TRUE(contains(refusal({"cache", "clear", "xyz"}), "holds no entry whose id begins with 'xyz'"));
  EXPECT_TRUE(contains(refusal({"cache", "clear", ""}), "ID: it is empty"));
  EXPECT_EQ(output({"cache", "clear"}), "2 entries removed\n");
  EXPECT_EQ(document({"cache", "ls"})["samples"], 0);
}

TEST_F(Tuning, PoliciesChooseFromWhatIsKnown) {
  EXPECT_EQ(origin("row_sum(m=8, n=64)"), "default");
  EXPECT_TRUE(contains(refusal(on_cpu({"run", "row_sum(m=8, n=64)", "--policy", "frozen"})),
                       "the policy is frozen and the store " + store().string() +
                           " has no winner for row_sum 8x64 by "
                           "reduction on "));
  // Only the default, which is legal for the neighbour too.
  output(on_cpu({"tune", "row_sum(m=8, n=64)", "--budget", "0"}));
  EXPECT_EQ(origin("row_sum(m=8, n=64)"), "store");
  EXPECT_EQ(origin("row_sum(m=8, n=256)"), "nearest: 8x64, distance 2");
  EXPECT_EQ(origin("col_sum(m=8, n=64)"), "default");
  output(on_cpu({"run", "row_sum(m=8, n=64)"}));
  output(on_cpu({"run", "row_sum(m=8, n=64)", "--policy", "frozen"}));
  output(on_cpu({"run", "add(n=100)", "--policy", "tune"}));
  EXPECT_EQ(origin("add(n=100)"), "store");
}

TEST_F(Tuning, FrozenNamesTheMissingKeyAsCacheLsDoes) {
  const std::string message = refusal(on_cpu({"run", "add(n=64)", "--policy", "frozen"}));
  const std::size_t at = message.find("(key ") + 5;
  tune("add(n=64)");
  EXPECT_EQ(document({"cache", "ls"})["winners"][0]["id"], message.substr(at, message.find(')', at) - at));
}

TEST_F(Tuning, TellsWhatTheBudgetLeftOut) {
  const std::string text = output(on_cpu({"tune", "row_sum(m=8, n=64)", "--budget", "0"}));
  EXPECT_TRUE(contains(text, " 1 of ")) << text;
  EXPECT_TRUE(contains(text, "; the budget ended before the others: 'quern cache clear ID' and a longer --budget"));
  EXPECT_FALSE(contains(output(on_cpu({"tune", "row_sum(m=8, n=64)", "--budget", "0"})), "the budget ended"));
}

// A search of a minute, from which Ctrl-C comes back at once.
TEST_F(Tuning, CtrlCKeepsTheSamples) {
  Setting setting{.input = "", .variables = variables_};
  const auto start = std::chrono::steady_clock::now();
  std::filesystem::create_directory(path("search"));
  Process search(
      on_cpu({QUERN_COMMAND, "tune", "conv2d(n=1, c=64, h=56, w=56, k=64, r=3, s=3, pad=1)", "--budget", "60s"}),
      path("search"), setting);
  const auto samples = [&] { return document({"cache", "ls"})["samples"].get<int>(); };
  while (samples() == 0 && std::chrono::steady_clock::now() - start < std::chrono::seconds(30)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  search.send(SIGINT);
  const Outcome outcome = search.wait();
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(contains(outcome.out, "; stopped, the samples are kept"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
  EXPECT_GT(samples(), 0);
  EXPECT_EQ(document({"cache", "ls"})["winners"], Json::array()) << "none of a search that was not at its end";
  EXPECT_EQ(store_files().size(), 1U) << "the log of writes is merged";
}

// Samples of an hour, of which those until Ctrl-C are told.
TEST_F(Tuning, CtrlCEndsTheTimingOfOneProgram) {
  Setting setting{.input = "", .variables = variables_};
  std::filesystem::create_directory(path("bench"));
  Process bench(on_cpu({QUERN_COMMAND, "bench", "matmul(m=256, n=256, k=256)", "--samples", "10000000", "--json"}),
                path("bench"), setting);
  const auto start = std::chrono::steady_clock::now();
  while (!std::filesystem::exists(store()) && std::chrono::steady_clock::now() - start < std::chrono::seconds(30)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  bench.send(SIGINT);
  const Outcome outcome = bench.wait();
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const std::size_t samples = Json::parse(outcome.out)[0]["samples"].size();
  EXPECT_GT(samples, 0U);
  EXPECT_LT(samples, 10000000U);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
}

TEST_F(Tuning, BenchTimesWorkloads) {
  const Json list = document(on_cpu({"bench", "--workloads", "two.workloads", "--samples", "3"}));
  ASSERT_EQ(list.size(), 2U);
  EXPECT_EQ(list[1]["name"], "add");
  EXPECT_EQ(list[1]["samples"].size(), 3U);
  EXPECT_TRUE(contains(output(on_cpu({"bench", "add(n=64)", "--samples", "3"})), "roofline"));
}

}  // namespace
}  // namespace quern::test
