// What a user gets wrong: exit code 2, a message that names the object, the reason with its numbers and the way out,
// and a store that stays as it was.

#include <gtest/gtest.h>

#include "tests/cli/command.h"
#include "tests/ir/message.h"

namespace quern::test {
namespace {

struct Case {
  const char* name;
  std::vector<std::string> arguments;
  std::vector<std::string> parts;  // of the message
  std::string input = "";          // on standard input
};

void PrintTo(const Case& test, std::ostream* out) { *out << test.name; }  // NOLINT: a name of GoogleTest's

std::string name_of(const ::testing::TestParamInfo<Case>& info) { return info.param.name; }

class BadInput : public Command, public ::testing::WithParamInterface<Case> {
 protected:
  void SetUp() override {
    Command::SetUp();
    // So that there is a store, and what is refused only when it is compiled leaves nothing new in it.
    output({"compile", "add(n=7)", "--device", "cpu"});
    write("garbage", std::string("\x7f"
                                 "ELF\2\1\1\0\0\0",
                                 10));
    write("bad.workloads", "# NAME | PROGRAM\nadd | add(n=8)\njust a name\n");
    write("sizes.workloads", "add | add(n=8)\nwrong | add(n=n) | m=3\n");
    write("no_size.workloads", "add | add(n=n)\n");
    write("files.workloads", "none | none.qn\n");
    write("empty.workloads", "# nothing\n");
  }
};

TEST_P(BadInput, ExitsWith2) {
  const std::string message = refusal(GetParam().arguments, {.input = GetParam().input, .variables = {}});
  for (const std::string& part : GetParam().parts) EXPECT_TRUE(contains(message, part));
}

// A program on standard input that does not compile.
Case program(const char* name, const char* text, std::vector<std::string> parts) {
  return {name, {"compile", "-", "--device", "cpu"}, std::move(parts), text};
}

INSTANTIATE_TEST_SUITE_P(
    Usage, BadInput,
    ::testing::Values(
        Case{"NoCommand", {}, {"A subcommand is required", "--help"}},
        Case{
            "UnknownCommand", {"mill"}, {"unknown command 'mill'; there are: devices, compile, run, tune, ", "--help"}},
        Case{"UnknownCommandOfTheCache", {"cache", "rm", "-x"}, {"unknown command 'rm'; there are: ls, show, clear"}},
        Case{"UnknownOption", {"run", "add(n=8)", "--sed", "1"}, {"--sed", "--help"}},
        Case{"NoNumber",
             {"run", "add(n=8)", "--seed", "x"},
             {"--seed: a seed is an integer from 0 to 2^64 - 1, not 'x'"}},
        Case{"NoProgram", {"run"}, {"no program given: name a file, '-' or a builder call"}},
        Case{"NoTimeToSettle", {"bench", "add(n=8)", "--settle", "nan"}, {"--settle is a time such as 30s", "'nan'"}},
        Case{"NoBudget", {"tune", "add(n=8)", "--budget", "5x"}, {"--budget is a time such as 30s", "'5x'"}},
        Case{"TuneByASchedule", {"tune", "add(n=8)", "--schedule", "pointwise"}, {"--schedule", "--help"}},
        Case{"TuneByAPolicy", {"tune", "add(n=8)", "--policy", "frozen"}, {"--policy", "--help"}},
        Case{"TuneWithoutTimes",
             {"tune", "add(n=10)", "--device", "sim:sm_90a"},
             {"sim:sm_90a has no timing: ", "tune on a GPU (cuda) or on the CPU (cpu)"}},
        Case{"NoPolicy", {"run", "add(n=8)", "--policy", "best"}, {"frozen, nearest or tune, not 'best'"}},
        Case{"NoThreads", {"run", "add(n=8)", "--threads", "-2"}, {"-2 threads; give a number from 1 on"}},
        Case{"NoSamples", {"bench", "add(n=8)", "--samples", "0"}, {"--samples is 1 or more, not 0"}},
        Case{"NegativeSamples", {"run", "add(n=8)", "--samples", "-1"}, {"--samples is 0 or more"}},
        Case{"NoStage", {"compile", "add(n=7)", "--emit", "ast"}, {"unknown stage 'ast'; there are: tensor"}},
        Case{"NoPtxOfACpu",
             {"compile", "add(n=7)", "--device", "cpu", "--emit", "ptx"},
             {"there is no ptx of a program for cpu:", "it exists for GPUs"}},
        Case{"NoPtxOfASimulator",
             {"compile", "add(n=7)", "--target", "sim:sm_90a", "--no-store", "--emit", "ptx", "-o", "none"},
             {"there is no ptx of a program for sim:sm_90a, which runs its thread form; compile it for cuda:sm_90a"}},
        Case{"SimulateACpu",
             {"explain", "add(n=8)", "--device", "cpu", "--simulate"},
             {"--simulate is of GPU kernels, not of --device cpu; give --target cuda:sm_90a"}},
        Case{"DeviceAndTarget",
             {"compile", "add(n=8)", "--device", "cpu", "--target", "cpu:x86-64-v3"},
             {"both device 'cpu' and target 'cpu:x86-64-v3' are given"}},
        Case{"InputFolder", {"run", "add(n=8)", "--in", "a=."}, {"cannot read '.': it is a folder"}},
        Case{"NoOutputFolder",
             {"compile", "add(n=7)", "--device", "cpu", "--emit", "tile", "-o", "no/such.tile"},
             {"cannot write 'no/such.tile': No such file or directory"}}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Programs, BadInput,
    ::testing::Values(
        program("Syntax", "kernel t(x: f32[n]) -> (y: f32[n]) {\n  y[i] = x[i] +\n}",
                {"3:1: expected", "got '}'", "\n  }\n  ^"}),
        program("UnknownName", "kernel t(x: f32[n]) -> (y: f32[n]) { y[i] = z[i] }",
                {"unknown tensor 'z'; known here: i, n, x, y", "^"}),
        program("Rank", "kernel t(x: f32[m, n]) -> (y: f32[m]) { y[i] = x[i] }",
                {"x has 2 dimensions [m, n], here is 1 index"}),
        program("Shape",
                "kernel t(x: f32[m, k], w: f32[l, n]) -> (y: f32[m, n]) { y[i, j] = sum[p](x[i, p] * w[p, j]) }",
                {"axis p indexes dimension 1 of x, which is k, and dimension 0 of w, which is l"}),
        program("Dtype", "kernel t(x: f32[n], w: bf16[n]) -> (y: f32[n]) { y[i] = x[i] * w[i] }",
                {"the operands of '*' are f32 and bf16; convert one, as in f32(...)"}),
        program("OutsideRead", "kernel t(x: f32[16]) -> (y: f32[8]) { y[i] = x[2 * i + 2] }",
                {"outside: at i = 7 index 0 is 16, but dimension 0 of x is 16", "else 0"}),
        program("UnboundSymbol", "kernel t(x: f32[2 * n]) -> (y: f32[2 * n]) { y[i] = x[i] }",
                {"symbol n of kernel t is not bound"}),
        Case{"SizeOfFloats",
             {"compile", "-", "--device", "cpu"},
             {"a size, range or fact of 't' takes 'f64(n) * 1.5' in f64",
              "write it in i64, or give the symbols numbers"},
             "kernel t(x: f32[n]) -> (y: f32[i64(f64(n) * 1.5)]) { y[i] = x[i] else 1 }"},
        program("Empty", "", {"expected one kernel, the text holds none; it begins as in: kernel add("}),
        Case{"Garbage", {"compile", "garbage"}, {"1:1: ", "the byte 0x7f; programs are ASCII text"}},
        Case{"NoFile", {"run", "none.qn"}, {"'none.qn': No such file or directory", "a builder call has parentheses"}},
        Case{"Folder", {"run", "."}, {"cannot read the program '.': it is a folder"}},
        Case{"EndlessFile", {"run", "/dev/zero"}, {"'/dev/zero': it has more than 16777216 bytes; programs are text"}},
        Case{"UnknownBuilder", {"run", "matmull(m=3)"}, {"unknown builder 'matmull'; there are: matmul, "}},
        Case{"LongCall", {"run", "add(n=" + std::string(300, ' ') + "q)"}, {"symbol q of add has no size"}},
        Case{"UnknownParameter", {"run", "add(q=3)"}, {"add has no parameter 'q'; it has: "}},
        Case{"MissingParameter", {"run", "matmul(m=3, n=3)"}, {"matmul needs k: "}},
        Case{
            "NestedTooDeep", {"run", "-"}, {"nest"}, "kernel t() -> (y: f32[1]) { y[i] = " + std::string(100000, '(')}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Sizes, BadInput,
    ::testing::Values(
        Case{"NoValue",
             {"run", "add(n=n)", "--device", "cpu"},
             {"symbol n of add has no size; give it one, as in -D n="}},
        Case{"NoPair", {"run", "add(n=n)", "-D", "n"}, {"'n' is no NAME=NUMBER; write sizes as -D m=4096,k=64"}},
        Case{"Twice", {"run", "add(n=n)", "-D", "n=4,n=5"}, {"'n=5': n is given already, as 4; give each symbol one"}},
        Case{"TooManyDigits",
             {"run", "add(n=n)", "-D", "n=99999999999999999999"},
             {"'n=99999999999999999999': a size fits 64 bits"}},
        Case{"TooManyDigitsOfABuilder",
             {"run", "matmul(m=99999999999999999999, n=1, k=1)"},
             {"matmul: m=99999999999999999999; it takes sizes that fit 64 bits, up to 9223372036854775807"}},
        Case{"Negative", {"run", "add(n=n)", "-D", "n=-3"}, {"symbol n of add is -3; a size is at least 0"}},
        Case{"UnknownSymbol", {"run", "add(n=n)", "-D", "n=3,q=4"}, {"kernel add has no symbol q; its symbols: n"}},
        Case{"TuneWithoutSize",
             {"tune", "add(n=n)", "--device", "cpu"},
             {"takes a size for its symbol 'n'", "-D n=1024"}},
        Case{"TuneAnExternOnACpu",
             {"tune", "-", "--device", "cpu"},
             {"f cannot be tuned for cpu:", "extern twice is CUDA text, which runs on GPUs alone"},
             "kernel f(x: f32[8]) -> (y: f32[8]) {\n  extern twice(x) -> (t: f32[8]) cuda \"\"\"none\"\"\"\n  "
             "y[i] = t[i]\n}"},
        Case{"MoreThanTheMemory",
             {"run", "add(n=100000000000000)", "--device", "cpu"},
             {"out of memory on cpu: 400000000000000 bytes wanted for input a, ", " available"}},
        Case{"LargeOutput",
             {"run", "matmul(m=10000000, n=10000000, k=1)", "--device", "cpu", "--no-store"},
             {"out of memory on cpu: 400000000000000 bytes wanted"}},
        Case{"MoreThanAnyMemory",
             {"run", "add(n=9000000000000000000)", "--device", "cpu"},
             {"argument a of add is f32[9000000000000000000], 2^63 bytes or more, which no memory has"}},
        Case{"MoreThanAnyOffset",
             {"compile", "matmul(m=10000000000, n=10000000000, k=1)", "--target", "cuda:sm_90a"},
             {"argument c of matmul is f32[10000000000, 10000000000], 2^63 bytes or more"}},
        Case{"TuneMoreThanTheMemory",
             {"tune", "add(n=100000000000000)", "--device", "cpu"},
             {"out of memory on cpu: 400000000000000 bytes wanted"}},
        Case{"BenchMoreThanTheMemory",
             {"bench", "add(n=100000000000000)", "--device", "cpu"},
             {"out of memory on cpu: 400000000000000 bytes wanted"}}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Schedules, BadInput,
    ::testing::Values(
        Case{"OtherStrategy",
             {"compile", "add(n=8)", "--device", "cpu", "--schedule", "magic x=1"},
             {"'magic' is not a strategy; known are attention, wgmma, contraction, reduction, pointwise"}},
        Case{"UnknownField",
             {"compile", "add(n=8)", "--device", "cpu", "--schedule", "pointwise speed=9"},
             {"'speed=9' is not a field; write name=value with one of: threads, vec, rows, tile"}},
        Case{"IllegalValue",
             {"compile", "add(n=8)", "--device", "cpu", "--schedule", "pointwise threads=3"},
             {"is illegal for kernel 'add' on cpu:", "threads=3 is not a power of two"}},
        Case{"LargeValue",
             {"compile", "matmul(m=30, n=20, k=32)", "--target", "cuda:sm_90a", "--schedule",
              "contraction block=4294967296x4294967296x8"},
             {"is illegal for kernel 'matmul' on cuda:sm_90a: block=4294967296x4294967296x8 is out of range, 1 to "
              "65536"}},
        Case{"MoreThanAnyValue",
             {"compile", "add(n=8)", "--device", "cpu", "--schedule", "pointwise rows=99999999999999999999"},
             {"rows takes integers from 1 to 65536, '99999999999999999999' is not one"}},
        Case{"Scratch",
             {"compile", "matmul(m=30, n=20, k=32)", "--target", "cpu:x86-64-v3", "--schedule",
              "contraction block=65536x65536x65536"},
             {"needs 51539607552 B of scratch for each thread, the most is 67108864: A 65536x65536 f32 = ",
              "; a smaller block takes less"}},
        Case{"TooMany",
             {"compile", "add(n=8)", "--target", "cpu:x86-64-v3", "--schedule",
              "pointwise threads=8; pointwise threads=8"},
             {"holds 2 schedules, add has 1 kernel"}},
        Case{"TooFew",
             {"compile", "-", "--target", "cpu:x86-64-v3", "--schedule", "reduction rows=1 row_threads=8"},
             {"holds 1 schedule, kernel 2 of the program ('t', strategy reduction) has none; separate them by ';'"},
             "kernel t(x: f32[8, 9]) -> (y: f32[8], z: f32[9]) {\n  y[i] = sum[j](x[i, j])\n  z[j] = sum[i](x[i, "
             "j])\n}"},
        Case{"Empty",
             {"compile", "add(n=8)", "--device", "cpu", "--schedule", ";"},
             {"schedule ';' is empty for kernel 1 ('add'); pointwise serves it"}},
        Case{"WgmmaRegisters",
             {"compile", "matmul(m=512, n=512, k=512, dtype=bf16)", "--target", "cuda:sm_90a", "--schedule",
              "wgmma consumers=1"},
             {"takes 256 registers for accumulators and operands, 56 for others, of 240: a smaller block, or more "
              "consumers, take fewer"}},
        Case{"SharedMemory",
             {"compile", "matmul(m=512, n=512, k=512, dtype=bf16)", "--target", "cuda:sm_90a", "--schedule",
              "contraction block=128x128x64 thread=8x8 stages=12 copy=async"},
             {"is illegal for kernel 'matmul' on cuda:sm_90a: needs ",
              " B of shared memory, the device has 232448: A 12x", " bf16 = ", ", B 12x"}},
        Case{"Registers",
             {"compile", "matmul(m=512, n=512, k=512)", "--target", "cuda:sm_90a", "--schedule",
              "contraction block=256x256x16 thread=8x8 stages=1"},
             {"registers for each of 1024 threads, the target has 255 per thread and 65536 in all"}}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Targets, BadInput,
    ::testing::Values(
        Case{"UnknownTarget",
             {"compile", "add(n=8)", "--target", "cuda:sm_12"},
             {"unknown target 'cuda:sm_12'; known targets: cpu (this machine), cuda:sm_80, "}},
        Case{"UnknownDevice",
             {"run", "add(n=8)", "--device", "tpu"},
             {"unknown device 'tpu'; a device is 'cpu', 'cuda', 'cuda:INDEX' or a simulated 'sim:ARCHITECTURE'"}},
        Case{"UnknownPeer",
             {"bench", "add(n=8)", "--against", "mkl"},
             {"unknown peer 'mkl'; there are: cublas, cudnn, onednn, openblas, memcpy"}},
        Case{"PeerThatCannot",
             {"bench", "add(n=7)", "--device", "cpu", "--against", "openblas"},
             {"no peer can be compared in add(n=7) on cpu:\n  openblas: matmul and linear of f32"}}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Workloads, BadInput,
    ::testing::Values(
        Case{"NoWorkloads",
             {"tune", "--workloads", "none"},
             {"cannot read the workloads 'none': No such file or directory"}},
        Case{"DemoElsewhere",
             {"demo", "--device", "cpu"},
             {"cannot read the workloads 'examples/cpu.workloads'", "--workloads names their file"}},
        Case{"WorkloadsAndAProgram",
             {"tune", "--workloads", "bad.workloads", "add(n=3)"},
             {"--workloads bad.workloads stands instead of a program and its sizes, here is 'add(n=3)' as well"}},
        Case{"BenchOfWorkloadsAndSizes",
             {"bench", "--workloads", "bad.workloads", "-D", "n=3"},
             {"stands instead of a program and its sizes, here is '-D n=3' as well; give one"}},
        Case{"BadLine", {"tune", "--workloads", "bad.workloads"}, {"bad.workloads:3: a workload is NAME | PROGRAM"}},
        Case{"SizeOfALine",
             {"tune", "--workloads", "sizes.workloads"},
             {"sizes.workloads:2: kernel add has no symbol m; its symbols: n"}},
        Case{"NoSizeOfALine",
             {"tune", "--workloads", "no_size.workloads"},
             {"no_size.workloads:1: symbol n of add has no size; give it one, as in | n=1024"}},
        Case{"FileOfALine",
             {"bench", "--workloads", "files.workloads"},
             {"files.workloads:1: cannot read the program 'none.qn': No such file or directory"}},
        Case{"NothingInIt", {"tune", "--workloads", "empty.workloads"}, {"'empty.workloads' hold no workload"}}),
    name_of);

#if !QUERN_WITH_CUDA

INSTANTIATE_TEST_SUITE_P(
    WithoutCuda, BadInput,
    ::testing::Values(
        Case{"Run",
             {"run", "add(n=7)", "--device", "cuda"},
             {"no device 'cuda': this build of Quern has no CUDA (QUERN_CUDA=OFF)"}},
        Case{"Compile",
             {"compile", "add(n=7)", "--target", "cuda:sm_90a"},
             {"target cuda:sm_90a needs CUDA, which this build of Quern was made without (QUERN_CUDA=OFF)"}}),
    name_of);

#else

// What compiles for GPUs, as the environment shows it.
class Toolchain : public Command {
 protected:
  std::string compile_for_gpu(const std::string& nvrtc) {
    variables_["QUERN_NVRTC"] = nvrtc;
    return refusal({"compile", "add(n=8)", "--target", "cuda:sm_90a"});
  }

  // A shared library of this C source.
  std::string make_library(const std::string& source) const {
    write("nvrtc.c", source);
    const std::string library = path("libnvrtc.so.12");
    const Outcome compiler = Process({QUERN_C_COMPILER, "-shared", "-fPIC", "-o", library, "nvrtc.c"}, folder_).wait();
    EXPECT_EQ(compiler.code, 0) << compiler.err;
    return library;
  }

  // One that says it is this version of NVRTC, and does nothing else.
  std::string make_nvrtc(int major, int minor) const {
    std::string source = "int nvrtcVersion(int* major, int* minor) { *major = " + std::to_string(major) +
                         "; *minor = " + std::to_string(minor) + "; return 0; }\n" +
                         "const char* nvrtcGetErrorString(int result) { return \"out of order\"; }\n";
    for (const char* function : {"CreateProgram", "DestroyProgram", "CompileProgram", "GetProgramLogSize",
                                 "GetProgramLog", "GetPTXSize", "GetPTX", "GetCUBINSize", "GetCUBIN"}) {
      source += std::string("int nvrtc") + function + "(void) { return 1; }\n";
    }
    return make_library(source);
  }
};

TEST_F(Toolchain, MissingOnesAreNamedWithThePlacesLookedAt) {
  const std::string folder = folder_.string();
  EXPECT_TRUE(contains(compile_for_gpu(folder), folder + ": holds no libnvrtc.so.13 or libnvrtc.so.12"));
  const std::string message = compile_for_gpu(folder + "/libnvrtc.so");
  EXPECT_TRUE(
      contains(message, "no usable NVRTC, which compiles for GPUs. Install NVIDIA's CUDA toolkit 12.8 or newer"));
  EXPECT_TRUE(contains(message, "set QUERN_NVRTC to the library or its folder. Looked for:"));
  EXPECT_TRUE(contains(message, folder + "/libnvrtc.so: cannot open shared object file"));
}

TEST_F(Toolchain, OldOnesAreRefusedWithTheirVersion) {
  const std::string library = make_nvrtc(12, 2);
  for (const std::string& place : {library, folder_.string()}) {
    EXPECT_TRUE(
        contains(compile_for_gpu(place), "NVRTC too old: " + library + " is version 12.2, Quern needs 12.8 or newer"));
  }
  EXPECT_TRUE(contains(refusal({"compile", "add(n=8)", "--target", "cuda:sm_90a", "--nvrtc", "/none"}), "\n  /none: "));
}

TEST_F(Toolchain, OthersLibrariesAreRefused) {
  const std::string library = make_library("int nvrtcVersion(void) { return 0; }\n");
  EXPECT_TRUE(contains(compile_for_gpu(library), library + ": it lacks NVRTC functions"));
}

TEST_F(Toolchain, ItsFailureIsOurFaultWhichExitsWith3) {
  variables_["QUERN_NVRTC"] = make_nvrtc(13, 0);
  const Outcome outcome = quern({"compile", "add(n=8)", "--target", "cuda:sm_90a"});
  EXPECT_EQ(outcome.code, 3) << outcome.err;
  EXPECT_TRUE(contains(outcome.err, "quern: internal error: "));
  EXPECT_TRUE(contains(outcome.err, "NVRTC: creating a program: out of order"));
  EXPECT_TRUE(contains(outcome.err, "Please report it with the command line and the program."));
}

TEST_F(Toolchain, WithoutADriverThereIsNoGpu) {
  if (!document({"devices"})["why_no_gpu"].get<std::string>().starts_with("no CUDA driver")) {
    GTEST_SKIP() << "there is a driver";
  }
  for (const char* device : {"cuda", "cuda:3"}) {
    const std::string message = refusal({"run", "add(n=8)", "--device", device});
    EXPECT_TRUE(contains(message, "no CUDA driver: looked for libcuda.so.1 in the system's library folders"));
    EXPECT_TRUE(contains(message, "a GPU needs NVIDIA's driver for CUDA 12.4 or newer"));
  }
}

#endif

}  // namespace
}  // namespace quern::test
