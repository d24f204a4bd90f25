// What the commands print, their exit codes, and the forms that a program comes in.

#include <gtest/gtest.h>

#include "api/executable.h"
#include "autotune/session.h"
#include "quern/quern.h"
#include "tests/cli/command.h"
#include "tests/ir/message.h"

namespace quern::test {
namespace {

using Commands = Command;

constexpr const char* kDouble = "kernel twice(x: f32[n]) -> (y: f32[n]) { y[i] = x[i] * 2 }\n";

TEST_F(Commands, Version) { EXPECT_EQ(output({"--version"}), std::string(version()) + "\n"); }

TEST_F(Commands, HelpNamesEveryCommand) {
  const std::string help = output({"--help"});
  EXPECT_EQ(output({"help"}), help);
  for (const char* command : {"devices", "compile", "run", "tune", "bench", "explain", "cache", "demo", "help"}) {
    EXPECT_TRUE(contains(help, command));
  }
}

TEST_F(Commands, HelpBuildersListsThemWithDefaults) {
  const Json list = document({"help", "builders"});
  EXPECT_EQ(list.size(), builders().size());
  const std::string text = output({"help", "builders"});
  for (const auto& builder : list) EXPECT_TRUE(contains(text, builder["name"].get<std::string>() + ": "));
  EXPECT_TRUE(contains(text, "dtype=f32"));
}

TEST_F(Commands, DevicesListsTheCpuAndSaysWhyThereIsNoGpu) {
  const Json list = document({"devices"});
  const auto& cpu = list["devices"].back();
  EXPECT_EQ(cpu["id"], "cpu");
  EXPECT_GT(cpu["memory_bytes"], 0);
  EXPECT_EQ(list["why_no_gpu"].get<std::string>().empty(), list["devices"].size() > 1);
  EXPECT_TRUE(contains(output({"devices"}), cpu["target"]));
}

TEST_F(Commands, ProgramsAreFilesStandardInputOrBuilderCalls) {
  write("twice.qn", kDouble);
  const auto run = [&](const std::string& program, const Setting& setting = {}) {
    return output({"run", program, "-D", "n=5", "--seed", "3"}, setting);
  };
  const std::string from_file = run("twice.qn");
  EXPECT_TRUE(contains(from_file, "y: f32[5], sum "));
  EXPECT_EQ(run(path("twice.qn")), from_file);
  EXPECT_EQ(run("-", {.input = kDouble, .variables = {}}), from_file);
  EXPECT_TRUE(contains(run("add(n=n)"), "y: f32[5], sum "));
  write("odd (name).qn", kDouble);
  EXPECT_EQ(run("odd (name).qn"), from_file);
}

TEST_F(Commands, SizesComeInOneOptionOrSeveral) {
  const std::string at_once = output({"run", "matmul(m=m, n=n, k=k)", "-D", "m=2,n=3, k=4"});
  EXPECT_TRUE(contains(at_once, "c: f32[2, 3]"));
  EXPECT_EQ(output({"run", "matmul(m=m, n=n, k=k)", "-D", "m=2", "-D", "k=4", "--size", "n=3"}), at_once);
}

TEST_F(Commands, CompileSaysWhatItMade) {
  const Json first = document({"compile", "softmax(m=64, n=64)", "--device", "cpu"});
  EXPECT_TRUE(first["target"].get<std::string>().starts_with("cpu:"));
  EXPECT_FALSE(first["from_store"]);
  EXPECT_EQ(first["kernels"].size(), 1U);
  EXPECT_TRUE(document({"compile", "softmax(m=64, n=64)", "--device", "cpu"})["from_store"]);
  EXPECT_FALSE(document({"compile", "softmax(m=64, n=64)", "--device", "cpu", "--no-store"})["from_store"]);
  const std::string text = output({"compile", "softmax(m=64, n=64)", "--device", "cpu"});
  EXPECT_TRUE(contains(text, first["schedule"]));
  EXPECT_TRUE(contains(text, "from the store"));
}

TEST_F(Commands, CompileTakesASchedule) {
  const std::string schedule = "pointwise threads=8 vec=1 rows=4 tile=0x0";
  const auto report = document({"compile", "add(n=64)", "--target", "cpu:x86-64-v3", "--schedule", schedule});
  EXPECT_EQ(report["schedule"], schedule);
  EXPECT_EQ(report["kernels"][0]["origin"], "given");
}

TEST_F(Commands, CompileEmitsEveryStageOfTheCpu) {
  const std::map<std::string, std::string> parts = {
      {"tensor", "y[i] = a[i] + b[i]"}, {"tile", "tile {"}, {"thread", "thread ("},
      {"llvm", "define void @add"},     {"asm", "add_0_0"}, {"plan", "\"quern_plan\""}};
  for (const auto& [stage, part] : parts) {
    const std::vector<std::string> call = {"compile", "add(n=64)", "--target", "cpu:x86-64-v3", "--emit", stage};
    const std::string text = output(call);
    EXPECT_TRUE(contains(text, part)) << stage;
    EXPECT_EQ(document(call)["text"], text) << stage;
  }
}

TEST_F(Commands, CompileWritesWhatItEmits) {
  const std::vector<std::string> call = {"compile", "add(n=64)", "--device", "cpu", "--emit", "tile"};
  const std::string text = output(call);
  std::vector<std::string> to_file = call;
  to_file.insert(to_file.end(), {"-o", "add.tile"});
  EXPECT_EQ(output(to_file), "");
  EXPECT_EQ(read("add.tile"), text);
  EXPECT_EQ(document(to_file)["file"], "add.tile");
}

#if QUERN_WITH_CUDA
// Variants are lowered side by side, and told of one after the other.
TEST_F(Commands, DumpsComeInOrder) {
  const Outcome outcome = quern({"compile", "add(n=n)", "--target", "cuda:sm_90a", "--emit", "plan"},
                                {.variables = {{"QUERN_DUMP", "all"}}});
  if (outcome.code == 2 && outcome.err.find("NVRTC") != std::string::npos) GTEST_SKIP() << outcome.err;
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  std::size_t at = 0;
  for (const char* variant : {"variant: aligned", "variant: any", "variant: large"}) {
    for (const char* pass : {"after emit:", variant, "after expand_tiles:", "after hoist:"}) {
      ASSERT_NE(at = outcome.err.find(pass, at), std::string::npos) << variant << ", " << pass << "\n" << outcome.err;
    }
  }
  EXPECT_EQ(count(outcome.err, "after hoist:"), 3);
}
#endif

TEST_F(Commands, CompileSavesAheadOfTime) {
  EXPECT_TRUE(contains(output({"compile", "add(n=n)", "--device", "cpu", "-o", "add.qx"}), "saved to add.qx"));
  const Executable loaded = Executable::load(path("add.qx"), "cpu");
  const std::vector<HostArray> inputs = random_inputs(loaded.program(), {{"n", 7}});
  EXPECT_TRUE(run_host(loaded, inputs, {}, {.check = true}).passed());
}

#if QUERN_WITH_CUDA
// NVRTC needs no GPU; where it is missing too the test says so.
TEST_F(Commands, CompileEmitsCudaWithoutAGpu) {
  const std::vector<std::string> call = {"compile", "add(n=64)", "--target", "cuda:sm_90a", "--emit"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), call.begin(), call.end());
    return more;
  };
  const Outcome cuda = quern(with({"cuda"}));
  if (cuda.code == 2 && cuda.err.find("NVRTC") != std::string::npos) GTEST_SKIP() << cuda.err;
  ASSERT_EQ(cuda.code, 0) << cuda.err;
  EXPECT_TRUE(contains(cuda.out, "__global__ void"));
  EXPECT_TRUE(contains(output(with({"ptx"})), ".target sm_90a"));
  EXPECT_EQ(output(with({"cubin", "-o", "add.cubin"})), "");
  EXPECT_TRUE(read("add.cubin")
                  .starts_with("\x7f"
                               "ELF"));
  EXPECT_EQ(output(with({"cubin"})), read("add.cubin"));
  const Outcome sass = quern(with({"sass"}));  // by a tool of NVIDIA's
  EXPECT_EQ(sass.code, sass.err.empty() ? 0 : 2);
  EXPECT_TRUE(contains(sass.out + sass.err, sass.code == 0 ? "EXIT" : "SASS needs nvdisasm or cuobjdump"));
  EXPECT_TRUE(contains(refusal(with({"cubin", "--json"})), "give its file with -o"));
  EXPECT_TRUE(contains(refusal({"compile", "add(n=64)", "--target", "cuda:sm_90a", "--emit", "llvm"}),
                       "there is no llvm of a program for cuda:sm_90a"));
}
#endif

#if QUERN_WITH_CUDA
// Exponentials and sums of rows beside 128 accumulators may take more registers than there are.
TEST_F(Commands, ADefaultCompilesWhateverFollowsTheProduct) {
  write("heavy.qn", R"(kernel f(x: bf16[m, k], w: bf16[k, n]) -> (y: f32[m, n], r: f32[m]) {
    s[i, j] = sum[p](f32(x[i, p]) * f32(w[p, j]))
    y[i, j] = exp(s[i, j] * 0.125)
    r[i] = sum[j](y[i, j])
  })");
  const std::vector<std::string> call = {"explain", "heavy.qn", "-D",         "m=4096,n=4096,k=4096",
                                         "--json",  "--target", "cuda:sm_90a"};
  const Outcome first = quern(call);
  if (first.code == 2 && first.err.find("NVRTC") != std::string::npos) GTEST_SKIP() << first.err;
  ASSERT_EQ(first.code, 0) << first.err;
  const auto report = nlohmann::json::parse(first.out);
  EXPECT_EQ(report["kernels"][0]["spill_bytes"], 0);
  const auto again = document(call);
  EXPECT_EQ(again["from_store"], true);
  EXPECT_EQ(again["kernels"][0]["schedule"], report["kernels"][0]["schedule"]);
}
#endif

TEST_F(Commands, ExplainShowsRolesSchedulesAndCosts) {
  const std::vector<std::string> call = {"explain", "matmul(m=64, n=32, k=16)", "--device", "cpu"};
  const std::string text = output(call);
  for (const char* part : {"1 kernel, ", "(contraction)", "schedule   contraction block=", "[default]", "m: i (64)",
                           "k: p (16)", "roofline", "variant ", "whole program: "}) {
    EXPECT_TRUE(contains(text, part));
  }
  const auto report = document(call);
  EXPECT_EQ(report["operations"], 2 * 64 * 32 * 16);
  EXPECT_EQ(report["kernels"][0]["strategy"], "contraction");
}

TEST_F(Commands, ExplainSaysWhereAVariantIsNotWhatItsScheduleSays) {
  const auto variants = document({"explain", "matmul(m=256, n=256, k=256, dtype=bf16)", "--target", "sim:sm_90a",
                                  "--schedule", "contraction copy=async stages=3"})["variants"];
  ASSERT_EQ(variants.size(), 2U);
  EXPECT_FALSE(contains(variants[0].get<std::string>(), "instead of"));
  EXPECT_TRUE(contains(variants[1].get<std::string>(),
                       "kernel 1: copy=register stages=2 instead of copy=async stages=3: 4 bytes of a may lie"));
}

TEST_F(Commands, RunIsTheSameForTheSameSeed) {
  const auto sum = [&](const char* seed) {
    return document({"run", "add(n=1000)", "--device", "cpu", "--seed", seed})["outputs"][0]["sum"].get<double>();
  };
  EXPECT_EQ(sum("7"), sum("7"));
  EXPECT_NE(sum("7"), sum("8"));
}

TEST_F(Commands, RunChecksAndTimes) {
  const auto report = document({"run", "softmax(m=9, n=17)", "--device", "cpu", "--check", "--samples", "3"});
  EXPECT_EQ(report["checks"][0]["wrong"], 0);
  EXPECT_EQ(report["checks"][0]["checked"], 9 * 17);
  EXPECT_EQ(report["samples"].size(), 3U);
  const std::string text = output({"run", "softmax(m=9, n=17)", "--device", "cpu", "--check", "--samples", "3"});
  EXPECT_TRUE(contains(text, "check y: all 153 elements right"));
  EXPECT_TRUE(contains(text, "median of 3 launches: "));
}

// The store is made to hold something else for a program, with all its checksums right.
class WrongBinary : public Command {
 protected:
  static Executable compiled(const char* program) {
    return compile(Program::parse(program), {.device = "cpu", .use_store = false});
  }
  void plant(const Executable& of, const Plan& plan, const runtime::Binary& binary) const {
    const api::Compiled& own = of.state().compiled;
    autotune::Store(store()).record(autotune::binary_key(of.program().ir(), own.schedule, own.target, "", ""),
                                    {"add", own.schedule, plan, binary});
  }
};

TEST_F(WrongBinary, FailsTheCheckWhichExitsWith1) {
  const Executable difference = compiled("kernel sub(a: f32[8], b: f32[8]) -> (y: f32[8]) { y[i] = a[i] - b[i] }");
  const api::Compiled& wrong = difference.state().compiled;
  plant(compiled("add(n=8)"), wrong.plan, wrong.binary);
  const Outcome outcome = quern({"run", "add(n=8)", "--device", "cpu", "--check"});
  EXPECT_EQ(outcome.code, 1) << outcome.err;
  EXPECT_TRUE(contains(outcome.out, "check y: 8 of all 8 elements wrong, the worst at ["));
  EXPECT_EQ(quern({"run", "add(n=8)", "--device", "cpu"}).code, 0) << "nobody asked";
}

TEST_F(WrongBinary, OfAnotherMachineIsRefused) {
  const Executable add = compiled("add(n=8)");
  const api::Compiled& right = add.state().compiled;
  plant(add, right.plan, {right.binary.target, std::vector<std::byte>(100)});
  EXPECT_TRUE(contains(refusal({"run", "add(n=8)", "--device", "cpu"}), "can't be linked on this machine"));
}

TEST_F(Commands, WritingToAFullDeviceExitsWith2) {
  const Outcome outcome = Process({"sh", "-c", std::string(QUERN_COMMAND) + " devices >/dev/full"}, folder_).wait();
  EXPECT_EQ(outcome.code, 2);
  EXPECT_TRUE(contains(outcome.err, "No space left on device"));
}

}  // namespace
}  // namespace quern::test
