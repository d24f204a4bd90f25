// .npy files: those of NumPy as it documents them, and `quern run` on them.

#include "cli/npy.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>

#include "tests/cli/command.h"
#include "tests/ir/message.h"

namespace quern::test {
namespace {

// A file as NumPy writes it: magic, version, length of the header, header.
std::string npy(const std::string& header, const std::string& data, int version = 1) {
  std::string text = "\x93NUMPY";
  text += {static_cast<char>(version), 0};
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) text += static_cast<char>(header.size() >> 8 * i & 0xff);
  return text + header + data;
}

std::string header(const std::string& descr, const std::string& shape, bool fortran = false) {
  return "{'descr': '" + descr + "', 'fortran_order': " + (fortran ? "True" : "False") + ", 'shape': " + shape +
         ", }\n";
}

template <typename T>
std::string bytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

class Npy : public Command {
 protected:
  HostArray load(const std::string& file, DType dtype = DType::f32) const {
    write("x.npy", file);
    return cli::read_npy(path("x.npy"), dtype, "x");
  }
  std::string error(const std::string& file, DType dtype = DType::f32) const {
    return error_of([&] { load(file, dtype); });
  }
};

const std::vector<float> kSix = {0, 1, 2, 3, 4, 5};

TEST_F(Npy, ReadsEveryVersionAndOrder) {
  for (const int version : {1, 2, 3}) {
    const HostArray array = load(npy(header("<f4", "(2, 3)"), bytes(kSix), version));
    EXPECT_EQ(array.type(), "f32[2, 3]");
    EXPECT_EQ(array.value(4), 4) << version;
  }
  const HostArray fortran = load(npy(header("<f4", "(2, 3)", true), bytes(kSix)));
  EXPECT_EQ(fortran.value(1), 2) << "row 0, column 1 is the third of the columns' order";
  EXPECT_EQ(fortran.value(3), 1);
  EXPECT_EQ(load(npy(header("<f4", "()"), bytes(std::vector<float>{7}))).value(0), 7);
  EXPECT_EQ(load(npy(header("<f4", "(6L,)"), bytes(kSix))).shape, (std::vector<std::int64_t>{6}));
  EXPECT_EQ(load(npy(header("<f4", "(0, 3)"), "")).size(), 0);
  EXPECT_EQ(load(npy(header("|b1", "(2,)"), std::string("\0\1", 2)), DType::boolean).value(1), 1);
}

TEST_F(Npy, EveryDtypeSurvives) {
  for (int d = 0; d < kDTypeCount; ++d) {
    HostArray array(static_cast<DType>(d), {2, 1, 3});
    for (std::int64_t i = 0; i < 6; ++i) array.set_value(i, i % 2 == 0 ? 1 : 0);
    cli::write_npy(path("x.npy"), array);
    EXPECT_EQ(read("x.npy").size() % 64, array.data.size() % 64) << "the header is padded to 64 bytes";
    const HostArray back = cli::read_npy(path("x.npy"), array.dtype, "x");
    EXPECT_EQ(back.type(), array.type());
    EXPECT_EQ(back.data, array.data) << array.type();
  }
}

TEST_F(Npy, FloatsWithoutANumpyNameComeAsBits) {
  for (const char* descr : {"<u2", "<V2", "|V2"}) {
    EXPECT_EQ(load(npy(header(descr, "(1,)"), "\xc0\x3f"), DType::bf16).value(0), 1.5) << descr;
  }
  EXPECT_EQ(load(npy(header("<f1", "(1,)"), "\x3e"), DType::f8e5m2).value(0), 1.5);
  for (const char* descr : {"|u1", "|V1", "<V1"}) {
    EXPECT_EQ(load(npy(header(descr, "(1,)"), "\x3e"), DType::f8e5m2).value(0), 1.5) << descr;
    EXPECT_EQ(load(npy(header(descr, "(1,)"), "\x3c"), DType::f8e4m3).value(0), 1.5) << descr;
  }
  EXPECT_TRUE(contains(error(npy(header("<f1", "(1,)"), "1"), DType::f8e4m3), "holds elements '<f1', but x is f8e4m3"));
  EXPECT_TRUE(contains(error(npy(header("|V1", "(1,)"), "1"), DType::u8), "holds elements '|V1', but x is u8"));
}

TEST_F(Npy, WrongFilesAreRefusedWithTheReason) {
  const std::string cannot = "cannot read '" + path("x.npy") + "': ";
  EXPECT_EQ(error(""), cannot + "it is no .npy file");
  EXPECT_EQ(error(std::string(300, 'x')), cannot + "it is no .npy file");
  EXPECT_EQ(error(npy(header("<f4", "(2, 3)"), bytes(kSix)).substr(0, 40)), cannot + "its header is cut off");
  EXPECT_EQ(error(npy("{}", "")), cannot + "its header names no dtype");
  EXPECT_EQ(error(npy("{'descr': [('a', '<f4')], 'shape': (1,)}", "")), cannot + "its header names no dtype");
  EXPECT_EQ(error(npy("{'descr': '<f4'}", "")), cannot + "its header has no shape");
  EXPECT_EQ(error(npy("{'descr': '" + std::string(60000, 'f'), "")), cannot + "its header names no dtype");
  EXPECT_EQ(error(npy(header("<f4", "(2, 4)"), bytes(kSix))), cannot + "its shape (2, 4) needs 32 bytes, it has 24");
  EXPECT_EQ(error(npy(header("<f4", "(99999999999999999999,)"), "")),
            cannot + "its shape (99999999999999999999,) is too large");
  for (const char* sizes : {"-3, -4", "3 4", "3,,4", "3, foo, 4", "3.5, 4"}) {
    EXPECT_EQ(error(npy(header("<f4", "(" + std::string(sizes) + ")"), bytes(kSix))),
              cannot + "its shape (" + sizes + ") is not sizes from 0 on");
  }
  EXPECT_EQ(error(npy("{'descr': '<f4', 'fortran_order': true, 'shape': (2, 3), }", bytes(kSix))),
            cannot + "its header has no fortran_order that is True or False");
  EXPECT_TRUE(contains(error(npy(header("<f4", "(9000000000000000000,)"), "")),
                       "f32[9000000000000000000] has 2^63 bytes or more"));
  EXPECT_TRUE(contains(error(npy(header("<f4", "(1000000000000,)"), "")), "out of memory on cpu: 4000000000000 bytes"));
  const std::string other = "'" + path("x.npy") + "' holds elements '";
  EXPECT_EQ(error(npy(header("<f8", "(3,)"), bytes(kSix))),
            other + "<f8', but x is f32, which is '<f4' in a .npy file; convert it first");
  EXPECT_EQ(error(npy(header(">f4", "(6,)"), bytes(kSix))),
            other + ">f4', but x is f32, which is '<f4' in a .npy file; convert it first");
}

TEST_F(Npy, WhatCouldNotBeWrittenWholeIsRemoved) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{.rlim_cur = 100, .rlim_max = before.rlim_max};
  std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string message = error_of([&] { cli::write_npy(path("y.npy"), HostArray(DType::f32, {1000})); });
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, SIG_DFL);
  EXPECT_EQ(message, "cannot write '" + path("y.npy") + "': File too large");
  EXPECT_FALSE(std::filesystem::exists(path("y.npy")));
}

class RunOnFiles : public Command {
 protected:
  void SetUp() override {
    Command::SetUp();
    write("gated.qn", "kernel gated(x: f32[m, n], g: f32[n]) -> (y: f32[m, n]) { y[i, j] = x[i, j] * g[j] }");
    write("x.npy", npy(header("<f4", "(2, 3)"), bytes(kSix)));
    write("g.npy", npy(header("<f4", "(3,)"), bytes(std::vector<float>{10, 100, 1000})));
  }
};

TEST_F(RunOnFiles, ReadsAndWrites) {
  const std::string text = output(
      {"run", "gated.qn", "--device", "cpu", "--in", "x=x.npy", "--in", "g=g.npy", "--out", "y=y.npy", "--check"});
  EXPECT_TRUE(contains(text, "y: f32[2, 3], sum 7530"));
  EXPECT_EQ(read("y.npy").substr(128), bytes(std::vector<float>{0, 100, 2000, 30, 400, 5000}));
}

TEST_F(RunOnFiles, RefusesTwoOutputsInOneFile) {
  write("two.qn", "kernel two(x: f32[n]) -> (y: f32[n], z: f32[n]) { y[i] = x[i]; z[i] = x[i] }");
  const auto run = [](const std::string& y, const std::string& z) {
    return std::vector<std::string>{"run", "two.qn", "--device", "cpu",   "-D",
                                    "n=3", "--out",  "y=" + y,   "--out", "z=" + z};
  };
  EXPECT_TRUE(contains(refusal(run("o.npy", "./o.npy")), "outputs y and z both go to './o.npy'; give each its file"));
  EXPECT_TRUE(contains(output(run("/dev/null", "/dev/null")), "z: f32[3]"));
}

TEST_F(RunOnFiles, RefusesWhatDoesNotFit) {
  const auto run = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"run", "gated.qn", "--device", "cpu"});
    return refusal(more);
  };
  EXPECT_TRUE(contains(run({"--in", "x=x.npy"}), "input g has no file: give --in g=FILE.npy"));
  EXPECT_TRUE(contains(run({"--in", "x=x.npy", "--in", "g=x.npy"}), "input g of gated is f32[n], here is f32[2, 3]"));
  EXPECT_TRUE(contains(run({"--in", "x=x.npy", "--in", "g=g.npy", "-D", "n=4"}),
                       "input x of gated is f32[m, n], which is [2, 4] for the other sizes, here is [2, 3]"));
  EXPECT_TRUE(contains(run({"--in", "x=x.npy", "--in", "z=g.npy"}),
                       "'z=g.npy' is no NAME=FILE.npy with an input of the program (x, g)"));
  EXPECT_TRUE(contains(run({"--in", "x=x.npy", "--in", "x=g.npy"}), "input x has two files; give one"));
  EXPECT_TRUE(contains(run({"--in", "x=none.npy", "--in", "g=g.npy"}), "'none.npy': No such file or directory"));
  EXPECT_TRUE(contains(run({"-D", "m=2,n=3", "--out", "q=y.npy"}), "with an output of the program (y)"));
  write("d.npy", npy(header("<f8", "(3,)"), std::string(24, '\0')));
  EXPECT_TRUE(contains(run({"--in", "x=x.npy", "--in", "g=d.npy"}), "g is f32, which is '<f4'"));
}

}  // namespace
}  // namespace quern::test
