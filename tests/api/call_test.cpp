// Calls of compiled programs at the edges: sizes, pointers and strides that work, and those that are refused.

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>

#include "runtime/host_memory.h"
#include "tests/api/arrays.h"

#if QUERN_WITH_CPU

namespace quern::test {
namespace {

Executable on_cpu(const char* text) { return compile(Program::parse(text), {.device = "cpu", .use_store = false}); }

// Zeros that take memory where they are written alone.
class SparseBytes {
 public:
  explicit SparseBytes(std::size_t size) : size_(size) {
    data_ = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data_ == MAP_FAILED) throw Error(std::strerror(errno));
  }
  SparseBytes(const SparseBytes&) = delete;
  SparseBytes& operator=(const SparseBytes&) = delete;
  ~SparseBytes() { munmap(data_, size_); }
  std::int8_t* data() const { return static_cast<std::int8_t*>(data_); }

 private:
  std::size_t size_;
  void* data_;
};

constexpr std::int64_t kLarge = (std::int64_t{1} << 31) + 11;

class Calls : public ::testing::TestWithParam<const char*> {
 protected:
  // Those that the program has.
  static Sizes sizes_of(const Executable& executable, Sizes all) {
    const std::vector<std::string> symbols = executable.program().symbols();
    std::erase_if(all, [&](const auto& size) { return std::ranges::count(symbols, size.first) == 0; });
    return all;
  }
};

TEST_P(Calls, WorkAtEverySize) {
  const Executable executable = on_cpu(GetParam());
  for (const std::int64_t m : {0, 1, 2, 7, 31, 64}) {
    for (const std::int64_t n : {1, 13, 32, 127}) {
      const Sizes sizes = sizes_of(executable, {{"m", m}, {"n", n}, {"k", n}});
      const RunReport report = run_host(executable, random_inputs(executable.program(), sizes), sizes, {.check = true});
      EXPECT_TRUE(report.passed()) << m << " " << n << ": " << report.checks.at(0).text();
    }
  }
}

// One element behind what a vector is aligned to, and again.
TEST_P(Calls, WorkAtEveryElement) {
  const Executable executable = on_cpu(GetParam());
  const Sizes sizes = sizes_of(executable, {{"m", 5}, {"n", 48}, {"k", 16}});
  const std::vector<HostArray> inputs = random_inputs(executable.program(), sizes);
  const HostArray expected = run_host(executable, inputs, sizes).outputs.at(0);
  for (const std::size_t offset : {1, 3}) {
    std::vector<std::vector<float>> buffers;
    std::vector<void*> pointers;
    for (const HostArray& input : inputs) {
      buffers.emplace_back(static_cast<std::size_t>(input.size()) + offset);
      std::memcpy(buffers.back().data() + offset, input.data.data(), input.data.size());
    }
    buffers.emplace_back(static_cast<std::size_t>(expected.size()) + offset);
    pointers.reserve(buffers.size());
    for (std::vector<float>& buffer : buffers) pointers.push_back(buffer.data() + offset);
    executable.launch(pointers, executable.size_values(sizes));
    EXPECT_EQ(std::memcmp(pointers.back(), expected.data.data(), expected.data.size()), 0) << offset;
  }
}

INSTANTIATE_TEST_SUITE_P(OfBuilders, Calls,
                         ::testing::Values("add(n=n)", "transpose2d(m=m, n=n)", "row_sum(m=m, n=n)",
                                           "col_sum(m=m, n=n)", "full_sum(n=n)", "softmax(m=m, n=n)",
                                           "matmul(m=m, n=n, k=k)"));

TEST(Sizes, MoreThan2To31ElementsAreRead) {
  const Executable sum = on_cpu("kernel ones(x: i8[n]) -> (y: i64[]) { y[] = sum[i](i64(x[i])) }");
  const SparseBytes x(kLarge);
  x.data()[0] = 1;
  x.data()[std::int64_t{1} << 31] = 20;
  x.data()[kLarge - 1] = 100;
  std::int64_t y = 0;
  sum.launch(std::vector<void*>{x.data(), &y}, std::vector<std::int64_t>{kLarge});
  EXPECT_EQ(y, 121);
}

TEST(Sizes, MoreThan2To31ElementsAreWritten) {
  if (runtime::available_host_memory() < 2 * kLarge) GTEST_SKIP() << "takes " << kLarge << " bytes of memory";
  const Executable steps = on_cpu("kernel steps() -> (y: i8[n]) { y[i] = i8(i % 100) }");
  const SparseBytes y(kLarge);
  steps.launch(std::vector<void*>{y.data()}, std::vector<std::int64_t>{kLarge});
  for (const std::int64_t i : {std::int64_t{99}, (std::int64_t{1} << 31) - 1, std::int64_t{1} << 31, kLarge - 1}) {
    EXPECT_EQ(y.data()[i], i % 100) << i;
  }
}

// Far apart by a stride, so that few bytes take many addresses.
TEST(Strides, ReachBeyond2To31Elements) {
  const Executable rows = on_cpu("kernel rows(x: i8[3, 4] strides(s, 1)) -> (y: i8[3, 4]) { y[i, j] = x[i, j] }");
  constexpr std::int64_t kStride = (std::int64_t{1} << 31) + 1;
  const SparseBytes x(2 * kStride + 4);
  for (std::int64_t i = 0; i < 3; ++i) {
    for (std::int64_t j = 0; j < 4; ++j) x.data()[i * kStride + j] = static_cast<std::int8_t>(10 * i + j);
  }
  std::int8_t y[12] = {};
  rows.launch(std::vector<void*>{x.data(), y}, std::vector<std::int64_t>{kStride});
  for (int e = 0; e < 12; ++e) EXPECT_EQ(y[e], 10 * (e / 4) + e % 4);
}

TEST(Strides, ZeroAndNegativeOnesWork) {
  const Executable flip = on_cpu(
      "kernel flip(x: f32[m, n] strides(s, t), z: f32[n] strides(0)) -> (y: f32[m, n]) { y[i, j] = x[i, j] * z[j] }");
  std::vector<float> x(15), y(15);
  std::iota(x.begin(), x.end(), 0.0F);
  float two = 2;
  flip.launch(std::vector<void*>{x.data() + 14, &two, y.data()},
              flip.size_values({{"m", 3}, {"n", 5}, {"s", -5}, {"t", -1}}));
  for (std::size_t e = 0; e < 15; ++e) EXPECT_EQ(y[e], 2 * x[14 - e]);
}

class Overlaps : public ::testing::Test {
 protected:
  std::string launch(const Executable& executable, const std::vector<void*>& pointers) const {
    return error_of([&] { executable.launch(pointers); });
  }
  std::vector<float> memory_ = std::vector<float>(64, 1.0F);
  float* at(int element) { return memory_.data() + element; }
};

TEST_F(Overlaps, OfOutputsAreRefused) {
  const Executable two = on_cpu("kernel two(x: f32[8]) -> (y: f32[8], z: f32[8]) { y[i] = x[i] + 1; z[i] = x[i] + 2 }");
  EXPECT_TRUE(contains(launch(two, {at(0), at(8), at(12)}), "output 'y' (bytes 0x"));
  EXPECT_TRUE(contains(launch(two, {at(0), at(8), at(12)}), "overlaps argument 'z' (bytes 0x"));
  EXPECT_TRUE(contains(launch(two, {at(0), at(4), at(32)}), "overlaps argument 'x'"));
  EXPECT_TRUE(contains(launch(two, {at(0), at(16), at(0)}), "outputs need memory of their own"));
  EXPECT_EQ(memory_, std::vector<float>(64, 1.0F)) << "nothing ran";
  two.launch(std::vector<void*>{at(8), at(0), at(16)});
  EXPECT_EQ(*at(7) + *at(23), 2 + 3);
}

TEST_F(Overlaps, OfAnUpdateAndItsInputAreRight) {
  const Executable add = on_cpu("kernel add(x: f32[8], y0: f32[8]) -> (y: f32[8] update y0) { y[i] = y0[i] + x[i] }");
  add.launch(std::vector<void*>{at(0), at(8), at(8)});
  EXPECT_EQ(*at(8), 2);
  EXPECT_EQ(*at(7), 1);
  EXPECT_TRUE(contains(launch(add, {at(0), at(8), at(12)}), "overlaps argument 'y0'"));
  EXPECT_TRUE(contains(launch(add, {at(8), at(8), at(8)}), "overlaps argument 'x'"));
  add.launch(std::vector<void*>{at(0), at(8), at(16)});
  EXPECT_EQ(*at(16), 3) << "elsewhere it starts from the input";
}

TEST_F(Overlaps, NullAndMisalignedPointersAreRefused) {
  const Executable add = on_cpu("add(n=8)");
  auto* odd = reinterpret_cast<char*>(at(16)) + 2;
  EXPECT_TRUE(contains(launch(add, {nullptr, at(8), at(16)}), "argument 'a' is null but has 32 bytes"));
  EXPECT_TRUE(contains(launch(add, {at(0), at(8), odd}), "is not aligned to its f32 elements of 4 bytes"));
  EXPECT_TRUE(contains(launch(add, {at(0), at(8)}), "'add' takes 3 tensors, got 2"));
  on_cpu("add(n=n)").launch(std::vector<void*>{nullptr, nullptr, nullptr}, std::vector<std::int64_t>{0});
}

TEST(Calls, TakeManyTensors) {
  std::string inputs, total;
  for (int i = 0; i < 200; ++i) {
    inputs += (i == 0 ? "x" : ", x") + std::to_string(i) + ": i64[n]";
    total += (i == 0 ? "x" : " + x") + std::to_string(i) + "[i]";
  }
  const Executable add = on_cpu(("kernel a(" + inputs + ") -> (y: i64[n]) { y[i] = " + total + " }").c_str());
  std::vector<std::int64_t> memory(201);
  std::iota(memory.begin(), memory.end(), 0);
  std::vector<void*> pointers;
  pointers.reserve(memory.size());
  for (std::int64_t& element : memory) pointers.push_back(&element);
  add.launch(pointers, std::vector<std::int64_t>{1});
  EXPECT_EQ(memory.back(), 199 * 200 / 2);
}

TEST(Calls, WhoseOutputsWouldRepeatAreRefused) {
  const Executable copy = on_cpu("kernel a(x: u8[m, n]) -> (y: u8[m, n] strides(s, 1)) { y[i, j] = x[i, j] }");
  std::vector<std::uint8_t> x(35, 1), y(64);
  const auto launch = [&](std::int64_t stride) {
    copy.launch(std::vector<void*>{x.data(), y.data()}, copy.size_values({{"m", 5}, {"n", 7}, {"s", stride}}));
  };
  for (const std::int64_t stride : {3, 0, -6}) {
    EXPECT_TRUE(contains(error_of([&] { launch(stride); }),
                         "strides (" + std::to_string(stride) + ", 1), by which elements share an address"));
  }
  for (const std::int64_t stride : {7, 8}) EXPECT_NO_THROW(launch(stride));
}

TEST(Calls, WhoseSizesWouldWrapAreRefused) {
  const Executable square = on_cpu("kernel a(x: u8[n] strides(0)) -> (y: u8[n * n]) { y[i] = x[i // n] }");
  std::uint8_t x = 0, y = 0;
  EXPECT_EQ(
      error_of([&] { square.launch(std::vector<void*>{&x, &y}, std::vector<std::int64_t>{std::int64_t{1} << 32}); }),
      "dimension 0 of argument 'y' of 'a' is n * n, 2^63 or more at n = 4294967296; use smaller sizes");
}

TEST(Calls, WhoseSizesAreNegativeAreRefused) {
  const Executable rest = on_cpu("kernel a(x: f32[m, n]) -> (y: f32[m, 4 - n]) { y[i, j] = x[i, j] else 1 }");
  const auto launch = [&](std::int64_t m, std::int64_t n) {
    std::vector<float> x(64), y(64);
    rest.launch(std::vector<void*>{x.data(), y.data()}, std::vector<std::int64_t>{m, n});
  };
  EXPECT_NO_THROW(launch(2, 4));
  for (const std::int64_t m : {0, 2}) {
    EXPECT_EQ(error_of([&] { launch(m, 7); }), "dimension 1 of argument 'y' of 'a' is 4 - n, -3 at m = " +
                                                   std::to_string(m) + ", n = 7; sizes are not negative");
  }
}

// Of sizes that wrap, shift and choose on their way, the host computes what the program says.
TEST(Calls, ComputeSizesAsTheProgramDoes) {
  struct Case {
    const char* size;
    std::int64_t (*expected)(std::int64_t n);
  };
  const Case cases[] = {
      {"max(i64(u8(n - 10)), 20)", [](std::int64_t n) { return std::max<std::int64_t>((n - 10) & 255, 20); }},
      {"i64(u32(n - 10) // 100000000)",
       [](std::int64_t n) { return static_cast<std::int64_t>(static_cast<std::uint32_t>(n - 10) / 100000000); }},
      {"i64(i8(n + 100)) + 128",
       [](std::int64_t n) { return static_cast<std::int64_t>(static_cast<std::int8_t>(n + 100)) + 128; }},
      {"n >> 1", [](std::int64_t n) { return n >> 1; }},
      {"1 << n % 9", [](std::int64_t n) { return std::int64_t{1} << n % 9; }},
      {"(n & 6) + (n | 3) + (n ^ 5) - ~n", [](std::int64_t n) { return (n & 6) + (n | 3) + (n ^ 5) + n + 1; }},
      {"clamp(n, 2, 40) + abs(n - 20) + sign(n) + relu(n - 5)",
       [](std::int64_t n) {
         return std::clamp<std::int64_t>(n, 2, 40) + std::abs(n - 20) + (n > 0) + std::max<std::int64_t>(n - 5, 0);
       }},
  };
  for (const Case& c : cases) {
    const Executable iota = on_cpu(
        ("kernel k(x: f32[n]) -> (y: f32[" + std::string(c.size) + "]) { y[i] = f32(i) + (x[i] else 7) }").c_str());
    for (const std::int64_t n : {0, 1, 5, 9, 10, 11, 30, 129, 260}) {
      const auto size = static_cast<std::size_t>(c.expected(n));
      std::vector<float> x(static_cast<std::size_t>(n), 1), y(size + 8, -1);
      iota.launch(std::vector<void*>{x.data(), y.data()}, std::vector<std::int64_t>{n});
      for (std::size_t i = 0; i < y.size(); ++i) {
        const float expected = i >= size ? -1.0F : static_cast<float>(i) + (i < x.size() ? 1.0F : 7.0F);
        ASSERT_EQ(y[i], expected) << c.size << ", n = " << n << ", element " << i << " of " << size;
      }
    }
  }
}

TEST(HostArrays, MoreThanTheMemoryIsAnErrorWithNumbers) {
  EXPECT_TRUE(contains(error_of([] { HostArray(DType::f32, {1000000, 100000000}); }),
                       "out of memory on cpu: 400000000000000 bytes wanted for f32[1000000, 100000000], "));
  EXPECT_EQ(error_of([] { HostArray(DType::f32, {std::int64_t{1} << 62, 4}); }),
            "f32[4611686018427387904, 4] has 2^63 bytes or more, which no memory has; use smaller sizes");
  EXPECT_EQ(HostArray(DType::f32, {std::int64_t{1} << 62, 4, 0}).size(), 0);
}

TEST(HostArrays, ThatDifferAtOneAddressAreRefused) {
  const Program program = Program::parse("kernel t(z: f32[3] strides(0)) -> (y: f32[3]) { y[i] = z[i] }");
  HostArray z(DType::f32, {3});
  z.set_value(1, 5);
  const Executable executable = compile(program, {.device = "cpu", .use_store = false});
  EXPECT_EQ(error_of([&] { run_host(executable, std::vector{z}); }),
            "element 1 of input z shares its address with another by the strides (0), but differs from it; make them "
            "equal");
}

}  // namespace
}  // namespace quern::test

#endif
