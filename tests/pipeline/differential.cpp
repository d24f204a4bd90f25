#include "tests/pipeline/differential.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <map>
#include <random>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/numeric.h"
#include "compiler/strategies/strategy.h"
#include "ir/bind.h"
#include "ir/bounds.h"
#include "ir/evaluate.h"
#include "ir/generate.h"
#include "ir/parser.h"
#include "ir/printer.h"
#include "ir/rewrite.h"
#include "pipeline/compile.h"
#include "runtime/simulator/report.h"

namespace quern::pipeline {
namespace {

std::string join(std::span<const std::int64_t> values) {
  std::string text;
  for (const std::int64_t v : values) text += fmt::format("{}{}", text.empty() ? "" : ", ", v);
  return text;
}

// All coordinates of a shape, in row-major order.
std::vector<ir::Coordinate> all_coordinates(const std::vector<std::int64_t>& shape) {
  std::vector<ir::Coordinate> all{{}};
  for (const std::int64_t extent : shape) {
    std::vector<ir::Coordinate> longer;
    for (const ir::Coordinate& prefix : all) {
      for (std::int64_t i = 0; i < extent; ++i) {
        longer.push_back(prefix);
        longer.back().push_back(i);
      }
    }
    all = std::move(longer);
  }
  return all;
}

// Steps of reductions behind one element, of a program of known sizes.
double steps_behind(const ir::Program& bound, const ir::Tensor& tensor) {
  const ir::Definition* definition = definition_of(bound, tensor);
  if (definition == nullptr) return 0;
  double steps = 1;
  for (const ir::TensorRef& read : ir::tensors_read(definition->value)) steps += steps_behind(bound, *read);
  ir::visit(definition->value, [&](const ir::Expr& node) {
    if (node->kind != ir::ExprKind::reduce) return true;
    for (const ir::Axis& axis : node->reduce->axes) steps *= static_cast<double>(ir::as_integer(axis.hi).value_or(1));
    return true;
  });
  return steps;
}

// All of a shape's coordinates, or, where those cost the reference too much, its corners and some seeded others.
std::vector<ir::Coordinate> checked_coordinates(const std::vector<std::int64_t>& shape, double steps,
                                                std::uint64_t seed) {
  constexpr double kSteps = 3e7, kMost = 2000;
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  if (static_cast<double>(count) * steps <= kSteps) return all_coordinates(shape);
  const auto some_count = static_cast<std::int64_t>(std::clamp(kSteps / steps, 2.0, kMost));
  std::vector<ir::Coordinate> some = all_coordinates(std::vector<std::int64_t>(shape.size(), 2));
  for (ir::Coordinate& corner : some) {
    for (std::size_t d = 0; d < shape.size(); ++d) corner[d] *= shape[d] - 1;
  }
  std::mt19937_64 random(seed);
  for (std::int64_t i = 0; i < some_count; ++i) {
    some.emplace_back();
    for (const std::int64_t extent : shape) {
      some.back().push_back(static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(extent)));
    }
  }
  return some;
}

double element(const ir::HostTensor& tensor, std::int64_t index) {
  return load_element(tensor.dtype, tensor.data, index);
}

// The device's copy of a host tensor's bytes.
runtime::Buffer upload(runtime::Device& device, const ir::OwnedTensor& tensor) {
  runtime::Buffer buffer(device, tensor.bytes.size());
  device.upload(buffer.data(), tensor.bytes.data(), tensor.bytes.size(), nullptr);
  return buffer;
}

// The pointer that stands for the tensor: where its first element lies in the copy.
void* place(const runtime::Buffer& buffer, const ir::OwnedTensor& tensor) {
  const auto offset = static_cast<const std::byte*>(tensor.host.data) - tensor.bytes.data();
  return buffer.data() == nullptr ? nullptr : static_cast<std::byte*>(buffer.data()) + offset;
}

constexpr std::byte kPoison{0xff};  // of outputs before a run

// What is wrong and what to paste to see it again.
std::string report(const std::string& what, const ir::Program& program, std::span<const std::int64_t> sizes,
                   std::uint64_t seed, runtime::Device& device, const std::string& schedules) {
  return fmt::format("{}\nseed {}, sizes [{}], on {}, schedules {}\n{}", what, seed, join(sizes), device.info().id,
                     schedules, ir::to_string(program));
}

std::uint64_t setting(const char* name, std::uint64_t fallback) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : fallback;
}

// What the jobs report, in their order, up to the first few: most of their time is a compiler's, which scales.
std::vector<std::string> in_parallel(std::size_t jobs, const std::function<std::string(std::size_t)>& job) {
  constexpr int kEnough = 3;
  std::vector<std::string> reports(jobs);
  std::atomic<std::size_t> next = 0;
  std::atomic<int> found = 0;
  std::vector<std::jthread> workers;
  const std::uint64_t threads = setting("QUERN_TEST_THREADS", std::max(1u, std::thread::hardware_concurrency()));
  for (std::uint64_t t = 0; t < threads; ++t) {
    workers.emplace_back([&] {
      for (std::size_t i = next++; i < jobs && found < kEnough; i = next++) {
        reports[i] = job(i);
        if (!reports[i].empty()) ++found;
      }
    });
  }
  workers.clear();
  std::erase_if(reports, [](const std::string& report) { return report.empty(); });
  return reports;
}

const ShapeCase kShapeCases[] = {
    {"matmul",
     "kernel f(x: f32[m, k], w: f32[k, n]) -> (y: f32[m, n]) { y[i, j] = sum[p](x[i, p] * w[p, j]) }",
     {{1, 1, 1},
      {7, 5, 3},
      {0, 4, 4},
      {4, 0, 4},
      {4, 4, 0},
      {33, 129, 65},
      {17, 300, 40},
      {15, 16, 31},
      {128, 64, 128},
      {130, 36, 132}}},
    {"matmul_columns",
     "kernel f(x: f32[k, m], w: f32[n, k]) -> (y: f32[m, n]) { y[i, j] = sum[p](x[p, i] * w[j, p]) }",
     {{3, 7, 5}, {64, 32, 48}, {129, 33, 65}}},
    {"matmul_const",
     "kernel f(x: f32[m, k], w: f32[k, n] const, b: f32[n]) -> (y: f32[m, n]) {\n"
     "s[i, j] = sum[p](x[i, p] * w[p, j])\n y[i, j] = gelu(s[i, j] + b[j]) }",
     {{1, 1, 1}, {7, 5, 3}, {0, 4, 4}, {4, 0, 4}, {4, 4, 0}, {33, 129, 65}, {128, 64, 128}, {130, 36, 132}}},
    {"matmul_bf16",
     "kernel f(x: bf16[m, k], w: bf16[k, n]) -> (y: bf16[m, n]) {\n"
     "s[i, j] = sum[p](f32(x[i, p]) * f32(w[p, j]))\n y[i, j] = bf16(s[i, j]) }",
     {{17, 40, 24}, {64, 64, 64}}},
    {"batched",
     "kernel f(x: f32[b, m, k], w: f32[b, k, n]) -> (y: f32[b, m, n]) { y[c, i, j] = sum[p](x[c, i, p] * w[c, p, j]) }",
     {{3, 7, 5, 9}, {2, 40, 33, 17}}},
    {"matmul_odd",
     "kernel f(x: f32[257, 13], w: f32[13, 261]) -> (y: f32[257, 261]) { y[i, j] = sum[p](x[i, p] * w[p, j]) }",
     {{}}},
    {"softmax_odd",
     R"(kernel f(x: bf16[3, 1021]) -> (y: bf16[3, 1021]) {
       t[i] = max[j](f32(x[i, j]))
       e[i, j] = exp(f32(x[i, j]) - t[i])
       y[i, j] = bf16(e[i, j] / sum[j2](e[i, j2])) })",
     {{}}},
    {"columns_odd", "kernel f(x: f32[1021, 67]) -> (y: f32[67]) { y[j] = sum[i](x[i, j]) }", {{}}},
    {"chain_odd",
     "kernel f(x: bf16[37, 131], b: bf16[131]) -> (y: bf16[37, 131]) {\n"
     "y[i, j] = bf16(gelu(f32(x[i, j]) + f32(b[j]))) }",
     {{}}},
    {"add_odd", "kernel f(x: f32[100003], z: f32[100003]) -> (y: f32[100003]) { y[i] = x[i] + z[i] }", {{}}},
    {"softmax",
     R"(kernel f(x: bf16[m, n]) -> (y: bf16[m, n]) {
       t[i] = max[j](f32(x[i, j]))
       e[i, j] = exp(f32(x[i, j]) - t[i])
       y[i, j] = bf16(e[i, j] / sum[j2](e[i, j2])) })",
     {{1, 1}, {5, 7}, {3, 257}, {2, 1000}, {0, 3}}},
    {"f16_summed_in_f32",
     "kernel f(x: f16[m, k], w: f16[k, n]) -> (y: f16[m, n]) { y[i, j] = sum[p]{acc=f32}(x[i, p] * w[p, j]) }",
     {{1, 1, 1}, {33, 17, 9}}},
    {"f16_summed_in_f64",
     "kernel f(x: f16[m, k], w: f16[k, n]) -> (y: f32[m, n]) {\n"
     "y[i, j] = relu(f32(sum[p]{acc=f64}(x[i, p] * w[p, j]))) }",
     {{33, 17, 9}}},
    {"i8_summed_in_i32",
     "kernel f(x: i8[m, k], w: i8[k, n]) -> (y: i32[m, n]) { y[i, j] = i32(sum[p]{acc=i32}(x[i, p] * w[p, j])) + 1 }",
     {{33, 17, 9}, {4, 0, 4}}},
    {"attention",
     R"(kernel f(q: bf16[h, m, 64], k: bf16[h, n, 64], v: bf16[h, n, 64]) -> (y: bf16[h, m, 64]) {
       s[b, i, j] = sum[p](f32(q[b, i, p]) * f32(k[b, j, p])) * 0.125
       t[b, i] = max[j](s[b, i, j])
       e[b, i, j] = exp(s[b, i, j] - t[b, i])
       y[b, i, c] = bf16(sum[j](f32(bf16(e[b, i, j])) * f32(v[b, j, c])) / sum[j](e[b, i, j])) })",
     {{1, 1, 1}, {2, 67, 131}, {0, 5, 5}, {1, 0, 3}, {1, 3, 0}}},
    {"attention_of_a_softmax",
     R"(kernel f(q: f16[h, m, 32], k: f16[h, n, 32], v: f16[h, n, 32]) -> (y: f32[h, m, 32]) {
       s[b, i, j] = sum[p](f32(q[b, i, p]) * f32(k[b, j, p]))
       e[b, i, j] = exp(s[b, i, j] - max[l](s[b, i, l]))
       w[b, i, j] = f16(e[b, i, j] / sum[l](e[b, i, l]))
       y[b, i, c] = sum[j](f32(w[b, i, j]) * f32(v[b, j, c])) })",
     {{1, 1, 1}, {2, 67, 131}, {0, 5, 5}, {1, 0, 3}, {1, 3, 0}}},
    {"columns",
     "kernel f(x: f32[m, n]) -> (y: f32[n]) { y[j] = sum[i](x[i, j]) }",
     {{1, 1}, {7, 5}, {100, 33}, {0, 4}}},
    {"full", "kernel f(x: f32[n]) -> (y: f32[]) { y[] = sum[i](x[i]) }", {{0}, {1}, {1000}, {4097}}},
    {"nested",  // the inner reduction in a kernel of its own, over less than the dimension
     "kernel f(x: f32[n], w: f32[n, k]) -> (y: f32[]) { y[] = sum[j in 2..n](x[j] * sum[q](w[j, q])) }",
     {{1, 3}, {2, 3}, {37, 20}}},
    {"nested_less",
     "kernel f(x: f32[n], w: f32[n, k]) -> (y: f32[]) { y[] = sum[j in n - 2](x[j] * sum[q](w[j, q])) }",
     {{1, 3}, {37, 20}}},
    {"argmax", "kernel f(x: f32[m, n]) -> (y: i64[m]) { y[i] = argmax[j](x[i, j]) }", {{3, 5}, {2, 300}}},
    {"transpose", "kernel f(x: f32[m, n]) -> (y: f32[n, m]) { y[j, i] = x[i, j] }", {{5, 3}, {33, 65}, {64, 64}}},
    {"convolution",
     R"(kernel f(x: f32[n, h, w, c], g: f32[k, 3, 3, c], b: f32[k]) -> (y: f32[n, h, w, k]) {
       a[z, p, q, o] = sum[u, v, i]((x[z, p + u - 1, q + v - 1, i] else 0) * g[o, u, v, i])
       y[z, p, q, o] = relu(a[z, p, q, o] + b[o]) })",
     {{1, 5, 5, 3, 4}, {2, 7, 6, 16, 20}}},
    {"outer",  // an input that is read in wide accesses along the rows, where columns end early
     "kernel f(a: u8[m], x: f32[]) -> (y: f32[m, n]) { y[i, j] = a[i] > 2 ? x[] : 1.0 }",
     {{24, 6}, {33, 5}, {16, 300}}},
    {"single", "kernel f(x: i16[]) -> (y: i16[3]) { y[i] = x[] }", {{}}},
    {"norm",
     R"(kernel f(x: f32[m, n], g: f32[n]) -> (y: f32[m, n]) {
       mean[i] = sum[j](x[i, j]) / f32(n)
       var[i] = welford[j](x[i, j])
       y[i, j] = (x[i, j] - mean[i]) * rsqrt(var[i] + 0.001) * g[j] })",
     {{3, 7}, {4, 129}}},
    {"in_place_product",
     "kernel f(x: bf16[m, k], w: bf16[k, k]) -> (y: bf16[m, k] update x) {\n"
     "y[i, j] = bf16(sum[p](f32(x[i, p]) * f32(w[p, j]))) }",
     {{5, 3}, {130, 72}}},
    {"in_place_residual",
     "kernel f(a: bf16[m, k], w: bf16[k, n], x: bf16[m, n]) -> (y: bf16[m, n] update x) {\n"
     "y[i, j] = bf16(f32(x[i, j]) + sum[p](f32(a[i, p]) * f32(w[p, j]))) }",
     {{5, 3, 7}, {130, 64, 136}}},
    {"in_place_residual_odd",
     "kernel f(a: f32[33, 15], w: f32[15, 31], x: f32[33, 31]) -> (y: f32[33, 31] update x) {\n"
     "y[i, j] = x[i, j] + sum[p](a[i, p] * w[p, j]) }",
     {{}}},
    {"in_place_reversal", "kernel f(x: f32[n]) -> (y: f32[n] update x) { y[i] = x[n - 1 - i] }", {{1}, {1000}, {5003}}},
    {"in_place_softmax",
     "kernel f(x: f32[m, n]) -> (y: f32[m, n] update x) {\n"
     "e[i, j] = exp(x[i, j] - max[l](x[i, l]))\n y[i, j] = e[i, j] / sum[l](e[i, l]) }",
     {{3, 7}, {2, 1000}}},
    {"in_place_transposition",
     "kernel f(x: f32[n, n]) -> (y: f32[n, n] update x) { y[i, j] = x[i, j] + 2 * x[j, i] }",
     {{5}, {96}}},
    {"in_place_columns",
     "kernel f(x: f32[m, n] strides (1, m), z: f32[m, n]) -> (y: f32[m, n] strides (1, m) update x) {\n"
     "y[i, j] = x[i, j] + z[i, j] }",
     {{5, 3}, {64, 96}}},
    {"in_place_momentum",
     "kernel f(w: f32[n], v: f32[n], g: f32[n]) -> (v2: f32[n] update v, w2: f32[n] update w) {\n"
     "v2[i] = 0.9 * v[i] + g[i]\n w2[i] = w[i] - 0.01 * v2[i] }",
     {{1}, {1003}, {4096}}},
    {"in_place_swap",
     "kernel f(a: f32[n], b: f32[n]) -> (a2: f32[n] update a, b2: f32[n] update b) { a2[i] = b[i]\n b2[i] = a[i] }",
     {{1003}}},
    {"in_place_row_sum",
     "kernel f(x: f32[m], z: f32[m, n]) -> (y: f32[m] update x) { y[i] = x[i] + sum[j](z[i, j]) }",
     {{3, 7}, {40, 300}}},
    {"in_place_scaled_rows",
     "kernel f(x: f32[m, 96], z: f32[m, 96]) -> (y: f32[m, 96] update x) {\n"
     "y[i, j] = x[i, j] * sum[l](z[i, l] * z[i, l]) }",
     {{3}, {40}}},
    {"in_place_kernel_behind",
     "kernel f(x: f32[n], w: f32[n, n]) -> (y: f32[n] update x, z: f32[n]) {\n"
     "y[i] = sum[p](w[i, p])\n z[i] = sum[p](w[p, i] * y[p]) + x[i] }",
     {{7}, {130}}},
    {"in_place_kernel_ahead",
     "kernel f(x: f32[n]) -> (y: f32[n] update x, s: f32[]) { y[i] = x[i] * 2\n s[] = sum[i](x[i]) }",
     {{7}, {5003}}},
    {"one_element_with_two_fills",
     "kernel f(x: f32[m, n]) -> (y: f32[m, n]) { y[i, j] = (x[i - 1, j] else 0) + (x[i - 1, j] else 1) * 3 }",
     {{5, 8}, {64, 128}}},
    {"a_condition_named_within_a_vector",
     "kernel f(x: f32[m, n], b: f32[m, n]) -> (y: f32[m, n], z: f32[m, n]) {\n"
     "t[i, j] = exp(x[i, j] * 2)\n y[i, j] = (t[i, j] > 1 ? b[i, j] : 3) + t[i, j] * t[i, j]\n z[i, j] = t[i, j] - 1 }",
     {{5, 8}, {64, 128}}},
};

// A program with these sizes in the place of its symbols.
ir::Program bound_to(const ir::Program& program, std::span<const std::int64_t> sizes) {
  std::map<std::string, std::int64_t> by_name;
  for (std::size_t s = 0; s < sizes.size(); ++s) by_name[program.symbols[s]->name] = sizes[s];
  return ir::bind(program, by_name);
}

// Some programs have no meaning at some sizes: the least of nothing.
bool allows(const ir::Program& program, std::span<const std::int64_t> sizes) {
  try {
    bound_to(program, sizes);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

std::span<const ShapeCase> shape_cases() { return kShapeCases; }

ChooseSchedule choose_random(const Target& target, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  return [target, random](const ir::Program& kernel, const compiler::Strategy& strategy) mutable {
    std::vector<compiler::Schedule> legal;
    for (const compiler::Schedule& schedule : strategy.candidates(kernel, target)) {
      if (strategy.check(kernel, schedule, target)) legal.push_back(schedule);
    }
    if (legal.empty()) return strategy.fallback(kernel, target);
    return legal[random() % legal.size()];
  };
}

DeviceArguments device_arguments(const ir::Program& program, std::span<const std::int64_t> sizes,
                                 runtime::Device& device, std::uint64_t seed) {
  DeviceArguments arguments;
  const auto add = [&](const std::vector<ir::OwnedTensor>& tensors) {
    for (const ir::OwnedTensor& tensor : tensors) {
      arguments.buffers.push_back(upload(device, tensor));
      arguments.pointers.push_back(place(arguments.buffers.back(), tensor));
    }
  };
  add(ir::generate_inputs(program, sizes, seed));
  add(ir::allocate_outputs(program, sizes));
  return arguments;
}

Reference::Reference(const ir::Program& program, std::span<const std::int64_t> sizes, std::uint64_t seed)
    : program_(program),
      sizes_(sizes.begin(), sizes.end()),
      seed_(seed),
      inputs_(ir::generate_inputs(program, sizes, seed)) {}

void Reference::evaluate() const {
  const ir::Program bound = bound_to(program_, sizes_);
  std::vector<ir::HostTensor> inputs;
  for (const ir::OwnedTensor& input : inputs_) inputs.push_back(input.host);
  const std::vector<ir::OwnedTensor> outputs = ir::allocate_outputs(program_, sizes_);
  std::vector<Output> all;
  for (std::size_t o = 0; o < outputs.size(); ++o) {
    Output& output = all.emplace_back();
    if (outputs[o].bytes.empty()) continue;
    output.coordinates =
        checked_coordinates(outputs[o].host.shape, steps_behind(bound, *bound.outputs[o].tensor), seed_);
    output.expected = ir::evaluate_with_bounds(program_, sizes_, inputs, o, output.coordinates);
  }
  outputs_ = std::move(all);
}

std::string Reference::mismatch(const Artifact& artifact, runtime::Device& device) const {
  const auto loaded = device.load(artifact.plan, artifact.binary);
  std::vector<ir::OwnedTensor> outputs = ir::allocate_outputs(program_, sizes_);
  std::vector<runtime::Buffer> buffers;
  std::vector<void*> pointers, results;
  for (const ir::OwnedTensor& input : inputs_) {
    buffers.push_back(upload(device, input));
    pointers.push_back(place(buffers.back(), input));
  }
  for (std::size_t o = 0; o < outputs.size(); ++o) {
    if (const ir::TensorRef& updates = program_.outputs[o].updates) {
      const auto source = std::ranges::find(program_.inputs, updates) - program_.inputs.begin();
      pointers.push_back(pointers[static_cast<std::size_t>(source)]);
      results.push_back(pointers.back());
      continue;
    }
    std::ranges::fill(outputs[o].bytes, kPoison);
    buffers.push_back(upload(device, outputs[o]));
    pointers.push_back(place(buffers.back(), outputs[o]));
    results.push_back(buffers.back().data());
  }
  loaded->launch(pointers, sizes_, nullptr, nullptr);
  device.synchronize(nullptr);
  if (const auto simulated = loaded->simulation(); simulated && !simulated->clean()) return findings_text(*simulated);
  std::call_once(evaluated_, [this] { evaluate(); });
  for (std::size_t o = 0; o < outputs.size(); ++o) {
    if (outputs[o].bytes.empty()) continue;
    device.download(outputs[o].bytes.data(), results[o], outputs[o].bytes.size(), nullptr);
    const std::string wrong = difference(o, outputs[o].host);
    if (!wrong.empty()) return wrong;
  }
  return {};
}

std::string Reference::difference(std::size_t number, const ir::HostTensor& computed) const {
  const auto& [coordinates, expected] = outputs_[number];
  const std::vector<std::int64_t>& strides = computed.strides;
  for (std::size_t c = 0; c < coordinates.size(); ++c) {
    std::int64_t index = strides.empty() ? static_cast<std::int64_t>(c) : 0;
    for (std::size_t d = 0; d < strides.size(); ++d) index += coordinates[c][d] * strides[d];
    const double value = element(computed, index);
    if (ir::admits(expected[c], value)) continue;
    return fmt::format("output {} [{}] is {}, the reference {} within {}", program_.outputs[number].tensor->name,
                       join(coordinates[c]), value, expected[c].value, ir::bound_beside(expected[c], value));
  }
  return {};
}

std::string mismatch(const Artifact& artifact, const ir::Program& program, std::span<const std::int64_t> sizes,
                     runtime::Device& device, std::uint64_t seed) {
  return Reference(program, sizes, seed).mismatch(artifact, device);
}

std::string Reference::differ(runtime::Device& device, const ChooseSchedule& choose) const {
  std::string schedules = "not chosen", wrong;
  try {
    const Target& target = device.info().target;
    const ScheduledProgram scheduled = schedule_program(program_, target, choose);
    schedules = to_string(scheduled);
    wrong = mismatch(compile(scheduled, target), device);
  } catch (const std::exception& e) {
    wrong = e.what();
  }
  return wrong.empty() ? wrong : report(wrong, program_, sizes_, seed_, device, schedules);
}

std::string differ(const ir::Program& program, std::span<const std::int64_t> sizes, runtime::Device& device,
                   const ChooseSchedule& choose, std::uint64_t seed) {
  try {
    return Reference(program, sizes, seed).differ(device, choose);
  } catch (const std::exception& e) {
    return report(e.what(), program, sizes, seed, device, "not chosen");
  }
}

std::string differ_generated(std::uint64_t seed, runtime::Device& device) {
  const ir::Program program = ir::generate_program(seed);
  const std::vector<std::int64_t> sizes = ir::generate_sizes(program, seed);
  if (!allows(program, sizes)) return {};
  const Target& target = device.info().target;
  return differ(program, sizes, device, seed % 2 ? choose_random(target, seed) : choose_fallback(target), seed);
}

std::vector<std::string> differences_of_generated(runtime::Device& device, std::uint64_t count) {
  const std::uint64_t first = setting("QUERN_FUZZ_SEED", 1);
  return in_parallel(setting("QUERN_FUZZ_COUNT", count),
                     [&](std::size_t i) { return differ_generated(first + i, device); });
}

std::vector<std::string> differences_of_shapes(const ShapeCase& shapes, runtime::Device& device) {
  const Target& target = device.info().target;
  const ir::Program program = ir::parse_program(shapes.text);
  return in_parallel(shapes.sizes.size(), [&](std::size_t i) {
    const Reference reference(program, shapes.sizes[i], i + 1);
    std::string wrong = reference.differ(device, choose_fallback(target));
    for (std::uint64_t seed = 1; wrong.empty() && seed <= 2; ++seed) {
      wrong = reference.differ(device, choose_random(target, seed));
    }
    return wrong;
  });
}

}  // namespace quern::pipeline
