// Compiling, launching, saving and loading through the public interface, on the CPU.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <thread>

#include "tests/api/arrays.h"

#if QUERN_WITH_CPU

namespace quern::test {
namespace {

namespace fs = std::filesystem;

const Options kOnCpu = {.device = "cpu", .use_store = false};

const char* const kRowSums = "kernel rows(x: f32[m, n]) -> (y: f32[m]) { y[i] = sum[j](x[i, j]) }";

class Executables : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("quern_api_" + std::to_string(getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const char* name) const { return (folder_ / name).string(); }

  static std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void write(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
  }

  fs::path folder_;
};

std::vector<float> ones(std::size_t count) { return std::vector<float>(count, 1.0F); }

TEST_F(Executables, LaunchOnRawPointersWithSizes) {
  const Executable rows = compile(Program::parse(kRowSums), kOnCpu);
  for (const auto& [m, n] : {std::pair<std::int64_t, std::int64_t>{3, 5}, {1, 1}, {17, 0}, {0, 4}, {31, 129}}) {
    std::vector<float> x = ones(static_cast<std::size_t>(m * n));
    std::vector<float> y(static_cast<std::size_t>(m), -1);
    const std::vector<void*> arguments = {x.data(), y.data()};
    rows.launch(arguments, std::vector<std::int64_t>{m, n});
    EXPECT_TRUE(std::all_of(y.begin(), y.end(), [n = n](float v) { return v == static_cast<float>(n); }))
        << m << " " << n;
  }
  EXPECT_EQ(rows.size_values({{"n", 4}, {"m", 2}}), (std::vector<std::int64_t>{2, 4}));
  EXPECT_EQ(rows.target().substr(0, 4), "cpu:");
  ASSERT_TRUE(rows.device().has_value());
  EXPECT_EQ(rows.device()->info().id, "cpu");
}

TEST_F(Executables, RefuseWrongArguments) {
  const Executable rows = compile(Program::parse(kRowSums), kOnCpu);
  std::vector<float> x = ones(16), y = ones(16);
  const auto launch = [&](const std::vector<void*>& arguments, const std::vector<std::int64_t>& sizes) {
    return error_of([&] { rows.launch(arguments, sizes); });
  };
  auto* odd = reinterpret_cast<char*>(y.data()) + 1;
  EXPECT_TRUE(contains(launch({x.data(), nullptr}, {3, 5}), "y"));
  EXPECT_TRUE(contains(launch({x.data(), odd}, {3, 5}), "y"));
  EXPECT_TRUE(contains(launch({x.data(), x.data() + 2}, {3, 5}), "overlap"));
  EXPECT_FALSE(launch({x.data()}, {3, 5}).empty());
  EXPECT_FALSE(launch({x.data(), y.data()}, {3}).empty());
  EXPECT_FALSE(launch({x.data(), y.data()}, {-3, 5}).empty());
  EXPECT_TRUE(contains(launch({x.data(), y.data()}, {std::numeric_limits<std::int64_t>::max(), 64}),
                       "argument 'x' of 'rows' is f32[9223372036854775807, 64], 2^63 bytes or more"));
  EXPECT_EQ(error_of([&] { rows.workspace_bytes(std::vector<std::int64_t>{3}); }), "'rows' takes 2 sizes, got 1");
  EXPECT_TRUE(contains(error_of([&] { rows.workspace_bytes(std::vector<std::int64_t>{-1, 3}); }), "is -1; sizes"));
  EXPECT_EQ(error_of([&] { rows.size_values({{"m", 3}}); }),
            "symbol n of rows has no size; give it one, as in -D n=1024 or Sizes{{\"n\", 1024}}");
  EXPECT_EQ(error_of([&] { rows.size_values({{"m", 3}, {"n", 5}, {"k", 1}}); }),
            "kernel rows has no symbol k; its symbols: m, n");
  EXPECT_TRUE(contains(error_of([&] {
                         rows.launch(std::vector<void*>{x.data(), y.data()}, std::vector<std::int64_t>{2, 2}, nullptr,
                                     odd);
                       }),
                       "the workspace of 'rows' at 0x"));
}

TEST_F(Executables, SchedulesAreTakenAndPrinted) {
  const Program program = Program::parse("matmul(m=64, n=64, k=64)");
  const Executable first = compile(program, kOnCpu);
  Options options = kOnCpu;
  options.schedule = first.schedule();
  EXPECT_EQ(compile(program, options).schedule(), first.schedule());
  EXPECT_EQ(first.report().kernels.at(0).origin, "default");
  EXPECT_EQ(compile(program, options).report().kernels.at(0).origin, "given");
  options.schedule = first.schedule() + "; " + first.schedule();
  EXPECT_TRUE(contains(error_of([&] { compile(program, options); }), "holds 2 schedules, matmul has 1 kernel"));
  options.schedule = "magic";
  EXPECT_TRUE(contains(error_of([&] { compile(program, options); }), "magic"));
  options.schedule = "contraction speed=9";
  EXPECT_TRUE(contains(error_of([&] { compile(program, options); }), "speed"));
}

TEST_F(Executables, OptionsThatDoNotFit) {
  const Program program = Program::parse("add(n=8)");
  EXPECT_EQ(error_of([&] { compile(program, {.device = "cpu", .target = "cpu:x86-64-v3"}); }),
            "both device 'cpu' and target 'cpu:x86-64-v3' are given; a device has its own target");
  EXPECT_TRUE(contains(error_of([&] { compile(program, {.target = "cuda:sm_12"}); }), "sm_12"));
  EXPECT_EQ(
      error_of([&] { tune(program, {.target = "cuda:sm_90a"}); }),
      "a target 'cuda:sm_90a' is given, but tuning measures on a device; give one, or neither for the best one here");
  EXPECT_TRUE(contains(error_of([&] { compile(program, {.device = "tpu"}); }), "unknown device 'tpu'"));
  for (const char* schedule : {"", "pointwise threads=16"}) {
    EXPECT_EQ(error_of([&] { compile(program, {.device = "cpu", .schedule = schedule, .sizes = {{"q", 3}}}); }),
              "kernel add has no symbol q; its symbols: none");
  }
  EXPECT_EQ(error_of([&] { tune(program, {.device = "cpu", .budget_seconds = -1, .use_store = false}); }),
            "a budget of -1 s; give 0 or more");
  EXPECT_EQ(error_of([&] { tune(program, {.device = "cpu", .use_store = false, .compile_threads = -2}); }),
            "-2 compile_threads; give 0 or more");
  const Executable add = compile(program, kOnCpu);
  EXPECT_EQ(error_of([&] { run_host(add, random_inputs(program, {}), {}, {.samples = -3}); }),
            "0 launches to warm up and -3 samples; give 0 or more of each");
}

TEST_F(Executables, CompileForATargetWithoutADevice) {
  const Executable add = compile(Program::parse("add(n=8)"), {.target = "cpu:x86-64-v2", .use_store = false});
  EXPECT_FALSE(add.device().has_value());
  EXPECT_EQ(error_of([&] { add.launch({}); }),
            "add is compiled for cpu:x86-64-v2 without a device; save it, and load it where one is");
  add.save(path("add.qx"));
  std::vector<float> a = ones(8), b = ones(8), y(8);
  Executable::load(path("add.qx")).launch(std::vector<void*>{a.data(), b.data(), y.data()});
  EXPECT_EQ(y, std::vector<float>(8, 2.0F));
}

TEST_F(Executables, SaveAndLoad) {
  const Program program = Program::parse("linear(m=m, n=9, k=7, act=gelu)");
  const Executable saved = compile(program, kOnCpu);
  saved.save(path("linear.qx"));
  const Executable loaded = Executable::load(path("linear.qx"), "cpu");
  EXPECT_TRUE(loaded.program() == program);
  EXPECT_EQ(loaded.schedule(), saved.schedule());
  EXPECT_EQ(loaded.target(), saved.target());
  EXPECT_EQ(loaded.emit(Stage::tile), saved.emit(Stage::tile));
  EXPECT_EQ(loaded.emit(Stage::plan), saved.emit(Stage::plan));
  const auto inputs = random_inputs(program, {{"m", 5}});
  EXPECT_EQ(run_host(loaded, inputs).outputs[0].data, run_host(saved, inputs).outputs[0].data);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1) << "a temporary file is left";
}

TEST_F(Executables, DamagedFilesAreRefused) {
  const std::string file = path("add.qx");
  compile(Program::parse("add(n=8)"), kOnCpu).save(file);
  const std::string whole = read(file);
  const auto load = [&](const std::string& text) {
    write(file, text);
    return error_of([&] { Executable::load(file); });
  };
  for (std::size_t at = 16; at < whole.size(); at += 1 + whole.size() / 97) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x10);
    EXPECT_TRUE(contains(load(flipped), "is damaged")) << "byte " << at;
  }
  for (const std::size_t length : {std::size_t{8}, std::size_t{63}, whole.size() / 2, whole.size() - 1}) {
    EXPECT_TRUE(contains(load(whole.substr(0, length)), "is damaged")) << length;
  }
  EXPECT_TRUE(contains(load(whole + "x"), "is damaged"));
  std::string newer = whole;
  newer[8] = 2;
  EXPECT_EQ(load(newer), file + " has format version 2.0, this Quern " + std::string(version()) +
                             " reads 1.x; compile the program again, or use a Quern that reads it");
  EXPECT_EQ(load("ELF and so on"), file + " is no compiled program; it begins otherwise");
  EXPECT_EQ(load(""), file + " is no compiled program; it begins otherwise");
}

TEST_F(Executables, FilesThatCannotBeReachedAreNamed) {
  const Executable add = compile(Program::parse("add(n=8)"), kOnCpu);
  EXPECT_EQ(error_of([&] { add.save(path("no/such/folder")); }),
            "cannot write " + path("no/such/folder") + ": No such file or directory");
  EXPECT_EQ(error_of([&] { Executable::load(path("nothing")); }),
            "cannot read " + path("nothing") + ": No such file or directory");
  EXPECT_EQ(error_of([&] { Executable::load(folder_.string()); }),
            "cannot read " + folder_.string() + ": Is a directory");
}

TEST_F(Executables, LinksAreFollowedAndPipesWrittenInto) {
  const Executable add = compile(Program::parse("add(n=8)"), kOnCpu);
  std::ofstream(path("real")) << "old";
  std::filesystem::create_symlink(path("real"), path("link"));
  add.save(path("link"));
  EXPECT_TRUE(std::filesystem::is_symlink(path("link")));
  EXPECT_EQ(Executable::load(path("real")).emit(Stage::plan), add.emit(Stage::plan));

  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
  const int pipe = open(path("pipe").c_str(), O_RDWR | O_NONBLOCK);
  std::string received(1 << 20, ' ');
  ASSERT_GE(fcntl(pipe, F_SETPIPE_SZ, static_cast<int>(received.size())), 0);
  add.save(path("pipe"));
  const ssize_t count = ::read(pipe, received.data(), received.size());
  ::close(pipe);
  EXPECT_TRUE(std::filesystem::is_fifo(path("pipe")));
  EXPECT_EQ(count, static_cast<ssize_t>(std::filesystem::file_size(path("real"))));
}

TEST_F(Executables, ThreadsShareOne) {
  const Program program = Program::parse(kRowSums);
  const Executable rows = compile(program, kOnCpu);
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const Executable own = compile(program, kOnCpu);
      for (std::int64_t m = 1; m < 40; ++m) {
        const std::int64_t n = m * 7 % 31 + t;
        std::vector<float> x = ones(static_cast<std::size_t>(m * n)), y(static_cast<std::size_t>(m));
        const std::vector<void*> arguments = {x.data(), y.data()};
        for (const Executable* e : {&rows, &own}) {
          e->launch(arguments, std::vector<std::int64_t>{m, n});
          wrong += std::any_of(y.begin(), y.end(), [&](float v) { return v != static_cast<float>(n); }) ? 1 : 0;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(Executables, Stages) {
  const Executable add = compile(Program::parse("add(n=8)"), kOnCpu);
  EXPECT_EQ(add.emit(Stage::tensor), add.program().text());
  EXPECT_TRUE(contains(add.emit(Stage::tile), "tile"));
  EXPECT_TRUE(contains(add.emit(Stage::thread), "thread"));
  EXPECT_TRUE(contains(add.emit(Stage::llvm), "define void @add"));
  EXPECT_TRUE(contains(add.emit(Stage::assembly), "add_0_0"));
  EXPECT_TRUE(contains(add.emit(Stage::plan), "quern_plan"));
  EXPECT_TRUE(contains(error_of([&] { add.emit(Stage::sass); }), "there is no sass of a program for cpu:"));
  for (const char* stage : {"tensor", "tile", "thread", "cuda", "ptx", "cubin", "sass", "llvm", "asm", "plan"}) {
    EXPECT_EQ(name(parse_stage(stage)), stage);
  }
  EXPECT_EQ(error_of([] { parse_stage("ast"); }),
            "unknown stage 'ast'; there are: tensor, tile, thread, cuda, ptx, cubin, sass, llvm, asm, plan");
}

TEST_F(Executables, ReportsCountBytesAndOperations) {
  const Report report = compile(Program::parse("linear(m=m, n=20, k=30, act=relu)"), kOnCpu).report({{"m", 10}});
  ASSERT_EQ(report.kernels.size(), 2U) << "the const weights are repacked by a kernel of their own";
  EXPECT_EQ(report.operations, 2.0 * 10 * 20 * 30 + 2 * 10 * 20);  // the bias' addition, relu
  EXPECT_EQ(report.bytes, 4.0 * (10 * 30 + 30 * 20 + 20 + 10 * 20));
  EXPECT_EQ(report.kernels[1].axes, (std::vector<std::string>{"m: i (m)", "n: j (20)", "k: p (30)"}));
  EXPECT_EQ(report.kernels[1].strategy, "contraction");
  EXPECT_GT(report.roofline_seconds, 0);
  const Executable split = compile(Program::parse("row_sum(m=m, n=3000)"),
                                   {.target = "sim:sm_90a", .schedule = "reduction split=3", .use_store = false});
  EXPECT_EQ(split.report({{"m", 64}}).workspace_bytes, 64 * 3 * 4) << "without a device too";
  EXPECT_EQ(split.report().workspace_bytes, -1);
  const Report open = compile(Program::parse("linear(m=m, n=20, k=30)"), kOnCpu).report();
  EXPECT_EQ(open.operations, -1);
  EXPECT_EQ(open.kernels.at(0).bytes_read, -1);
  const Report softmax = compile(Program::parse("softmax(m=8, n=16)"), kOnCpu).report();
  EXPECT_EQ(softmax.kernels.at(0).axes, (std::vector<std::string>{"kept: i (8)", "reduced: j (16)"}));
  EXPECT_EQ(softmax.kernels.at(0).bound, "memory");
}

TEST_F(Executables, ConstInputsAreReadOnceForAllSizesOfTheOthers) {
  const Executable linear = compile(Program::parse("linear(m=m, n=2, k=1, bias=off)"), kOnCpu);
  alignas(16) float x[3] = {1, 2, 3}, w[2] = {5, 7}, y[6] = {};
  const auto run = [&](std::int64_t m) {
    const std::vector<void*> arguments{x, w, y};
    linear.launch(arguments, std::vector{m});
    return y[2 * m - 1];
  };
  EXPECT_EQ(run(1), 7);
  w[1] = 100;  // breaks the promise, so that reuse shows
  EXPECT_EQ(run(3), 21) << "another m takes the same panels";
  linear.forget_constants();
  EXPECT_EQ(run(3), 300);
}

TEST_F(Executables, RunOnHostArraysOfAnyStride) {
  const Program program = Program::parse(
      "kernel flip(x: f32[3, 4] strides(-4, 1), z: f32[4] strides(0), y0: f32[3, 4] strides(1, 3))\n"
      "    -> (y: f32[3, 4] strides(1, 3) update y0) {\n"
      "  y[i, j] = x[i, j] + z[j] + y0[i, j]\n}");
  Grid x = random_grid({3, 4}, DType::f32, 1), y0 = random_grid({3, 4}, DType::f32, 2), y({3, 4});
  const Grid z = to_grid(HostArray(DType::f32, {4}));
  y.each([&](const Shape& at) { y(at) = x(at) + y0(at); });
  const std::vector<HostArray> inputs = {to_array(x, DType::f32), to_array(z, DType::f32), to_array(y0, DType::f32)};
  const RunReport report = run_host(compile(program, kOnCpu), inputs, {}, {.check = true, .samples = 3});
  expect_near(y, report.outputs[0], 1e-6, program.text());
  EXPECT_TRUE(report.passed()) << report.checks.at(0).text();
  EXPECT_EQ(report.samples.size(), 3U);
}

TEST_F(Executables, ChecksFindWhatIsWrong) {
  const Program program = Program::parse("softmax(m=6, n=33, dtype=bf16)");
  const auto inputs = random_inputs(program, {}, 3);
  RunReport report = run_host(compile(program, kOnCpu), inputs, {}, {.check = true});
  ASSERT_TRUE(report.passed()) << report.checks[0].text();
  EXPECT_EQ(report.checks[0].checked, 6 * 33);
  report.outputs[0].set_value(40, report.outputs[0].value(40) * 1.05 + 0.01);
  report.outputs[0].set_value(41, std::numeric_limits<double>::quiet_NaN());
  const auto checks = check_outputs(program, {}, inputs, report.outputs);
  EXPECT_EQ(checks[0].wrong, 2);
  EXPECT_TRUE(contains(checks[0].text(), "y: 2 of all 198 elements wrong"));
}

// The message of a run of this program over no or four elements of x and these indices.
std::string gathered(const std::string& body, std::int64_t n, const std::vector<double>& indices, bool check = false) {
  const Program gather = Program::parse("kernel g(x: f32[n], i: i32[m]) -> (y: f32[m]) { " + body + " }");
  std::vector<HostArray> inputs = {HostArray(DType::f32, {n}), HostArray(DType::i32, {std::ssize(indices)})};
  for (std::size_t k = 0; k < indices.size(); ++k) inputs[1].set_value(static_cast<std::int64_t>(k), indices[k]);
  try {
    run_host(compile(gather, kOnCpu), inputs, {}, {.check = check});
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

// What a kernel would crash of is told before it runs: of elements that are indices as they stand, always.
TEST_F(Executables, RunsTellOfIndicesOutside) {
  EXPECT_EQ(gathered("y[a] = x[i[a]]", 0, {0}),
            "element [0] of input i of g is 0, but indexes dimension 0 of x, which has 0 elements; mend the input, or "
            "guard the read with `else`");
  EXPECT_TRUE(contains(gathered("y[a] = x[i64(i[a])]", 4, {3, -1}), "element [1] of input i of g is -1"));
  EXPECT_TRUE(contains(gathered("y[a] = sum[k in m](x[i[k]]) ", 4, {3, 9}), "element [1] of input i of g is 9"));
  EXPECT_EQ(gathered("y[a] = x[i[a]]", 4, {3, 0}), "");
  EXPECT_EQ(gathered("y[a] = x[i[a]]", 0, {}), "");
  EXPECT_EQ(gathered("y[a] = x[i[a]] else 0", 0, {5, -1}), "");
  EXPECT_EQ(gathered("y[a] = a < 1 ? x[i[a]] : 0", 4, {3, 9}), "");
  EXPECT_EQ(gathered("y[a] = x[i[0]]", 4, {3, 9}), "");
}

// Of all others, where a check is asked for.
TEST_F(Executables, ChecksTellOfReadsOutside) {
  EXPECT_TRUE(contains(gathered("y[a] = x[i[a] * 2]", 4, {1, 1 << 30}, true), "outside"));
}

// The message of a run with these integers, of which the program states facts; empty: there is none.
std::string complaint(const char* facts, DType dtype, const std::vector<double>& values, const char* device = "cpu") {
  const Program program =
      Program::parse("kernel groups(g: " + std::string(name(dtype)) + "[t], x: f32[e]) -> (y: f32[e]) with " + facts +
                     " { y[i] = x[i] + sum[r where g[r] == 1](x[i]) }");
  std::vector<HostArray> inputs = {HostArray(dtype, {std::ssize(values)}), HostArray(DType::f32, {4})};
  for (std::size_t i = 0; i < values.size(); ++i) inputs[0].set_value(static_cast<std::int64_t>(i), values[i]);
  const Executable executable = compile(program, {.device = device, .use_store = false});
  try {
    run_host(executable, inputs, {});
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST_F(Executables, RunsTellOfFactsThatElementsBreak) {
  const char* range = "g in 0..e";
  EXPECT_EQ(complaint(range, DType::i32, {3, 0, 4}),
            "element [2] of input g of groups is 4, but the program states g in 0..4; mend the input or the fact");
  EXPECT_EQ(complaint("nondecreasing(g)", DType::i8, {-3, 0, 4, 3}),
            "element [3] of input g of groups is 3, behind 4, but the program states nondecreasing(g); mend the input "
            "or the fact");
  const double large = 0x1p63;
  EXPECT_TRUE(contains(complaint("g in -1..9", DType::u64, {0x1p64 - 2048}), "is 18446744073709549568, but"));
  EXPECT_NE(complaint("nondecreasing(g)", DType::u64, {large, 1}), "");
  EXPECT_NE(complaint(range, DType::i32, {7}, "sim"), "");
  EXPECT_EQ(complaint("nondecreasing(g), g in 0..e", DType::i32, {0, 0, 3}), "");
  EXPECT_EQ(complaint("nondecreasing(g)", DType::u64, {1, large}), "");
}

// Above 10^8 operations.
TEST_F(Executables, SmallProgramsAreCheckedAtChosenPlacesWhereAsked) {
  const Executable add = compile(Program::parse("add(n=100000)"), kOnCpu);
  const std::vector<HostArray> inputs = random_inputs(add.program(), {});
  EXPECT_EQ(run_host(add, inputs, {}, {.check = true}).checks.at(0).checked, 100000);
  const RunReport report = run_host(add, inputs, {}, {.check = true, .check_all = false});
  EXPECT_TRUE(report.passed());
  EXPECT_LT(report.checks.at(0).checked, 10000);
}

TEST_F(Executables, LargeProgramsAreCheckedAtChosenPlaces) {
  const Program program = Program::parse("matmul(m=8192, n=256, k=32)");
  const auto inputs = random_inputs(program, {});
  RunReport report = run_host(compile(program, kOnCpu), inputs, {}, {.check = true});
  EXPECT_TRUE(report.passed()) << report.checks[0].text();
  EXPECT_GE(report.checks[0].checked, 4096);
  EXPECT_LT(report.checks[0].checked, 8192 * 256);
  // One wrong element is found, wherever it lies, by what another schedule gives there.
  const std::vector<HostArray> others = report.outputs;
  report.outputs[0].set_value(8192 * 100 + 77, 1000);
  EXPECT_EQ(check_outputs(program, {}, inputs, report.outputs, 1, others)[0].wrong, 1);
}

TEST(Devices, AreListed) {
  const DeviceList list = devices();
  ASSERT_FALSE(list.devices.empty());
  const DeviceInfo& cpu = list.devices.back();
  EXPECT_EQ(cpu.id, "cpu");
  EXPECT_GE(cpu.processors, 1);
  EXPECT_GT(cpu.rates.f32, 0);
  EXPECT_EQ(list.why_no_gpu.empty(), list.devices.front().is_gpu);
  const auto known = targets();
  EXPECT_NE(std::find(known.begin(), known.end(), "cuda:sm_90a"), known.end());
}

TEST(Devices, BuffersMoveBytes) {
  const Device cpu = Device::open("cpu");
  EXPECT_EQ(error_of([&] { cpu.measure([](void*) {}, -1, 2); }),
            "-1 calls to warm up and 2 to time; give 0 or more of each");
  DeviceBuffer buffer(cpu, 64);
  const std::string text = "sixteen letters.";
  cpu.fill(buffer.data(), 7, 64);
  cpu.upload(buffer.data(), text.data(), text.size());
  DeviceBuffer moved = std::move(buffer);
  std::string back(17, 0);
  cpu.download(back.data(), moved.data(), back.size());
  EXPECT_EQ(back, text + '\7');
}

}  // namespace
}  // namespace quern::test

#endif
