// Policies, tuning and the store through the public interface, on the CPU.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "tests/api/arrays.h"

#if QUERN_WITH_CPU

namespace quern::test {
namespace {

namespace fs = std::filesystem;

class Policies : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("quern_store_" + std::to_string(getpid()) + "_" +
                                           ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
    fs::permissions(folder_, fs::perms::owner_all);
    options_ = {.device = "cpu", .budget_seconds = 2, .store = (folder_ / "store.db").string(), .compile_threads = 2};
  }
  void TearDown() override { fs::remove_all(folder_); }

  Options with(Policy policy) const {
    Options options = options_;
    options.policy = policy;
    return options;
  }

  std::string origin(const Program& program, const Options& options) const {
    return compile(program, options).report().kernels.at(0).origin;
  }

  fs::path folder_;
  Options options_;
};

TEST_F(Policies, TuningIsRemembered) {
  const Program program = Program::parse("row_sum(m=8, n=64)");
  int steps = 0;
  const TuneReport first = tune(program, options_, [&](const TuneProgress& progress) {
    ++steps;
    EXPECT_EQ(progress.kernel_count, 1);
    EXPECT_FALSE(progress.schedule.empty());
    return true;
  });
  ASSERT_EQ(first.kernels.size(), 1U);
  EXPECT_GT(first.tried, 0);
  EXPECT_GE(steps, first.tried);
  EXPECT_GT(first.kernels[0].seconds, 0);
  EXPECT_FALSE(first.kernels[0].from_store);

  const TuneReport second = tune(program, options_);
  EXPECT_EQ(second.tried, 0);
  EXPECT_TRUE(second.kernels[0].from_store);
  EXPECT_EQ(second.kernels[0].schedule, first.kernels[0].schedule);

  const StoreContents contents = store_contents(options_.store);
  ASSERT_EQ(contents.winners.size(), 1U);
  EXPECT_EQ(contents.winners[0].schedule, first.kernels[0].schedule);
  EXPECT_EQ(contents.winners[0].tried, first.kernels[0].tried);
  EXPECT_GT(contents.samples, 0);
}

TEST_F(Policies, NearestTakesWhatIsKnown) {
  const Program program = Program::parse("row_sum(m=8, n=64)"), neighbour = Program::parse("row_sum(m=16, n=64)");
  EXPECT_EQ(origin(program, options_), "default");
  options_.budget_seconds = 0;  // for the default alone, which is legal for the neighbour too
  tune(program, options_);
  EXPECT_EQ(origin(program, options_), "store");
  EXPECT_EQ(origin(neighbour, options_), "nearest: 8x64, distance 1");
  EXPECT_EQ(origin(Program::parse("add(n=64)"), options_), "default");
  Options elsewhere = options_;
  elsewhere.store = ":memory:";
  EXPECT_EQ(origin(program, elsewhere), "default");
}

TEST_F(Policies, FrozenNamesWhatIsMissing) {
  const Program program = Program::parse("row_sum(m=8, n=64)");
  const auto frozen = [&] { return error_of([&] { compile(program, with(Policy::frozen)); }); };
  EXPECT_TRUE(contains(frozen(), "has no winner for row_sum"));
  tune(program, options_);
  compile(program, options_);
  const Executable executable = compile(program, with(Policy::frozen));
  EXPECT_TRUE(executable.report().from_store);
  clear_store({}, options_.store);
  EXPECT_TRUE(contains(frozen(), "has no winner for row_sum"));
  EXPECT_TRUE(contains(error_of([&] { compile(Program::parse("add(n=n)"), with(Policy::frozen)); }),
                       "takes a device and sizes for all symbols of add"));
}

TEST_F(Policies, TuneCompilesTheWinner) {
  EXPECT_EQ(origin(Program::parse("add(n=100)"), with(Policy::tune)), "tuned");
  EXPECT_EQ(origin(Program::parse("add(n=100)"), with(Policy::tune)), "store");
}

// Those of the sizes that the program has.
Sizes sizes_of(const Program& program, Sizes all) {
  const std::vector<std::string> symbols = program.symbols();
  std::erase_if(all, [&](const auto& size) { return std::ranges::count(symbols, size.first) == 0; });
  return all;
}

// The binary serves all sizes, so that only what is legal for all of them may be taken.
TEST_F(Policies, SymbolsAreTunedAtTheSizesGiven) {
  for (const char* call : {"add(n=n)", "matmul(m=m, n=n, k=k)", "row_sum(m=m, n=n)", "transpose2d(m=m, n=n)"}) {
    SCOPED_TRACE(call);
    const Program program = Program::parse(call);
    Options options = with(Policy::tune);
    options.budget_seconds = 0.5;
    options.sizes = sizes_of(program, {{"m", 64}, {"n", 64}, {"k", 64}});
    const Executable executable = compile(program, options);
    for (const std::int64_t n : {64, 1, 37}) {
      const Sizes sizes = sizes_of(program, {{"m", 3}, {"n", n}, {"k", 5}});
      const RunReport report = run_host(executable, random_inputs(program, sizes), sizes, {.check = true});
      EXPECT_TRUE(report.passed()) << report.checks[0].text();
    }
  }
  EXPECT_EQ(error_of([&] { tune(Program::parse("add(n=n)"), options_); }),
            "tuning add takes a size for its symbol 'n': give it in Options::sizes (on the command line -D n=1024)");
}

TEST_F(Policies, DeletingOneWinnerRetunesThatOne) {
  const Program a = Program::parse("row_sum(m=8, n=64)"), b = Program::parse("add(n=64)");
  tune(a, options_);
  tune(b, options_);
  const StoreContents contents = store_contents(options_.store);
  ASSERT_EQ(contents.winners.size(), 2U);
  const StoredWinner& sums = contents.winners[contents.winners[0].title.find("row_sum") == std::string::npos ? 1 : 0];
  EXPECT_EQ(clear_store(sums.id.substr(0, 12), options_.store), 1);
  EXPECT_GT(tune(a, options_).tried, 0);
  EXPECT_EQ(tune(b, options_).tried, 0);
  EXPECT_FALSE(error_of([&] { clear_store("no such id", options_.store); }).empty());
  EXPECT_EQ(store_contents(options_.store).winners.size(), 2U);
}

TEST_F(Policies, AStoppedSearchKeepsWhatItMeasured) {
  const TuneReport report =
      tune(Program::parse("row_sum(m=8, n=64)"), options_, [](const TuneProgress&) { return false; });
  EXPECT_TRUE(report.stopped);
  EXPECT_GT(store_contents(options_.store).candidates, 0);
  EXPECT_TRUE(store_contents(options_.store).winners.empty()) << "of the first that came";
}

TEST_F(Policies, ABudgetThatEndsASearchSaysSo) {
  options_.budget_seconds = 0;
  const TuneReport report = tune(Program::parse("row_sum(m=8, n=64)"), options_);
  EXPECT_FALSE(report.stopped) << "nobody stopped it";
  EXPECT_EQ(report.kernels[0].tried, 1);
  EXPECT_GT(report.kernels[0].candidates, 1);
  EXPECT_EQ(store_contents(options_.store).winners.size(), 1U);
}

TEST_F(Policies, StoredPlansTakeTheNamesOfTheProgram) {
  compile(Program::parse("kernel first(p: f32[k]) -> (q: f32[k]) { q[i] = p[i] * 2 }"), options_);
  const Executable second =
      compile(Program::parse("kernel second(x: f32[n]) -> (y: f32[n]) { y[j] = x[j] * 2 }"), options_);
  EXPECT_TRUE(second.report().from_store);
  float x = 1;
  EXPECT_TRUE(
      contains(error_of([&] { second.launch(std::vector<void*>{&x, nullptr}, std::vector<std::int64_t>{1}); }), "y"));
  EXPECT_TRUE(contains(second.emit(Stage::plan), "\"second\""));
}

TEST_F(Policies, ABadStoreWarnsOnceAndTheWorkGoesOn) {
  std::ofstream(options_.store) << std::string(5000, 'x');
  std::mutex mutex;
  std::vector<std::string> warnings;
  set_log_callback([&](LogLevel level, std::string_view message) {
    const std::lock_guard lock(mutex);
    if (level == LogLevel::warning) warnings.emplace_back(message);
  });
  for (int i = 0; i < 2; ++i) EXPECT_EQ(origin(Program::parse("add(n=8)"), options_), "default");
  set_log_callback({});
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_TRUE(contains(warnings[0], options_.store));
  std::ifstream file(options_.store);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), std::string(5000, 'x'));
}

TEST_F(Policies, LookingMakesNoStore) {
  EXPECT_TRUE(store_contents(options_.store).winners.empty());
  EXPECT_EQ(clear_store({}, options_.store), 0);
  EXPECT_FALSE(fs::exists(options_.store));
}

}  // namespace
}  // namespace quern::test

#endif
