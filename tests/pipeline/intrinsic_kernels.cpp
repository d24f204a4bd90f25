#include "tests/pipeline/intrinsic_kernels.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <set>
#include <string_view>

#include "base/numeric.h"
#include "codegen/cuda/module.h"
#include "compiler/expand_tiles.h"
#include "ir/bounds.h"
#include "ir/evaluate.h"
#include "ir/fragment_layouts.h"
#include "ir/kernel_parser.h"
#include "ir/kernel_rewrite.h"
#include "ir/kernel_verify.h"
#include "ir/parser.h"
#include "ir/wgmma_descriptor.h"
#include "pipeline/plan_of.h"
#include "runtime/simulator/kernel_run.h"
#if QUERN_WITH_CUDA
#include "runtime/cuda/nvrtc.h"
#endif

namespace quern::pipeline {
namespace {

// --- Texts ----------------------------------------------------------------------------------------------------------

std::string thread_kernel(const std::string& name, const std::string& body, const std::string& maps = "") {
  return fmt::format(
      "kernel {} (x: f32[4096], y: f32[4096]) grid (b in 2) warps 4 lanes 32 cluster (2) min_blocks 1 thread (warp, "
      "lane) {{\n{}"
      "  shared s: f32[2048] align 1024\n  barrier full: u64[2]\n  let t = warp * 32 + lane\n{}}}\n",
      name, maps, body);
}

constexpr const char* kInit = "if t == 0 {\n mbarrier_init(full[0], 1)\n mbarrier_init_fence()\n}\nbarrier()\n";

void add_simple(std::vector<IntrinsicKernel>& all) {
  const auto add = [&](const std::string& name, const std::string& body, const std::string& maps = "") {
    all.push_back({name, thread_kernel(name, body, maps)});
  };
  add("shuffles",
      "fragment r: f32[3]\nr[0] = x[b * 128 + t]\nshuffle_xor(r[1], r[0] * 2.0, 5)\n"
      "shuffle_index(r[2], r[0], (lane * 7 + 3) % 32)\ny[b * 128 + t] = r[1] + r[2] * 16.0\n");
  add("barriers",
      "s[t] = x[b * 128 + t]\nbarrier()\nfragment r: f32[1]\nr[0] = s[127 - t]\nbarrier()\n"
      "if warp < 2 {\n s[t] = r[0]\n named_arrive(3, 128)\n} else {\n named_barrier(3, 128)\n r[0] = r[0] + s[127 - "
      "t]\n}\n"
      "s[t + 512] = r[0]\nwarp_sync()\ny[b * 128 + t] = s[t - lane + 31 - lane + 512]\n");
  add("cp_async",
      "cp_async(s[t * 4], x[b * 512 + t * 4], 16, 16)\ncp_async(s[t * 2 + 512], x[t * 2], 8, lane % 2 == 0 ? 4 : 8)\n"
      "cp_async(s[t + 768], x[t + 1], 4, lane % 3 == 0 ? 0 : 4)\ncp_async_commit()\ncp_async_wait(0)\nbarrier()\n"
      "for i in 7 rolled {\n y[b * 896 + i * 128 + t] = s[i * 128 + 127 - t]\n}\n");
  add("mbarriers", std::string(kInit) +
                       "s[t] = x[b * 128 + t]\nbarrier()\nif t == 32 {\n mbarrier_arrive(full[0])\n}\n"
                       "mbarrier_wait(full[0], 0)\ny[b * 128 + t] = s[127 - t]\n");
  add("cluster",
      "if t == 0 {\n mbarrier_init(full[0], 2)\n mbarrier_init(full[1], 2)\n "
      "mbarrier_init_fence()\n}\ncluster_arrive()\n"
      "cluster_wait()\nif t == 32 {\n for r in 2 unroll {\n  mbarrier_arrive_cluster(full[1], r)\n  "
      "mbarrier_release_cluster(full[0], r)\n }\n}\nmbarrier_wait_cluster(full[1], 0)\nmbarrier_wait(full[0], 0)\n"
      "set_max_registers(160, false)\ngrid_dependency_wait()\ngrid_dependency_launch()\ny[b * 128 + t] = x[b * 128 + "
      "t]\n"
      "cluster_arrive()\ncluster_wait()\n");
  // A box that leaves the tensor on three sides, swizzled.
  add("tma_load",
      std::string(kInit) +
          "if t == 0 {\n tma_prefetch_map(xm)\n mbarrier_expect(full[0], 4096)\n tma_load(s[0], xm, full[0], 0, 24 * b "
          "- 8, "
          "9)\n}\nmbarrier_wait(full[0], 0)\nfor i in 8 rolled {\n y[b * 1024 + i * 128 + t] = s[i * 128 + t]\n}\n"
          "cluster_arrive()\ncluster_wait()\n",
      "  tensor_map xm: x tiled dims (40, 33) byte_strides (192) box (32, 32) swizzle 128\n");
  add("tma_multicast",
      std::string(kInit) +
          "cluster_arrive()\ncluster_wait()\nif t == 0 {\n mbarrier_expect(full[0], 2048)\n tma_load(s[b * 256], xm, "
          "full[0], "
          "3, 0, 16 * b)\n}\nmbarrier_wait(full[0], 0)\nfor i in 4 rolled {\n y[b * 512 + i * 128 + t] = s[i * 128 + "
          "t]\n}\n"
          "cluster_arrive()\ncluster_wait()\n",
      "  tensor_map xm: x tiled dims (16, 64) byte_strides (64) box (16, 16) fill nan\n");
  // Windows of a 5 x 6 image with a stride of 2 and asymmetric corners, on into the next row and image.
  add("tma_im2col",
      std::string(kInit) +
          "if t == 0 {\n mbarrier_expect(full[0], 512)\n tma_im2col(s[0], xm, full[0], 0, 4, -1, 1 - 2, 0, 1, b)\n}\n"
          "mbarrier_wait(full[0], 0)\ny[b * 128 + t] = s[t]\ncluster_arrive()\ncluster_wait()\n",
      "  tensor_map xm: x im2col dims (8, 6, 5, 3) byte_strides (32, 192, 960) element_strides (1, 2, 2, 1) lower (-1, "
      "-2) "
      "upper (-1, 0) channels 8 pixels 16\n");
  // Boxes inside of the tensor and such that leave it at its end.
  const auto store = [&](const std::string& name, const std::string& stores) {
    add(name,
        "for i in 4 rolled {\n s[i * 128 + t] = x[b * 512 + i * 128 + t]\n}\nfence_proxy_async()\nbarrier()\n"
        "if t == 0 {\n " +
            stores + " tma_store_commit()\n tma_store_wait(0)\n}\n",
        "  tensor_map ym: y tiled dims (60, 40) byte_strides (256) box (16, 32) swizzle 64\n");
  };
  store("tma_store", "tma_store(ym, s[0], 32 * b, 3)\n");
  store("tma_store_outside", "tma_store(ym, s[0], 48 * b, 10)\n tma_store_commit()\n tma_store_wait_read(0)\n");
  store("tma_reduce", "tma_reduce_add(ym, s[0], 32 * b, 3)\n");
  store("tma_reduce_outside", "tma_reduce_add(ym, s[0], 48 * b, 10)\n");
}

void add_matrices(std::vector<IntrinsicKernel>& all) {
  for (const int count : {1, 2, 4}) {
    for (const int transposed : {0, 1}) {
      all.push_back(
          {fmt::format("matrices_x{}{}", count, transposed ? "_transposed" : ""),
           fmt::format(
               "kernel matrices (x: f16[2048], y: f16[4096]) grid (b in 1) warps 1 lanes 32 thread (warp, lane) {{\n"
               "  shared s: f16[1024]\n  shared u: f16[1024]\n  fragment r: f16[{0}]\n"
               "  for i in 32 rolled {{\n    s[i * 32 + lane] = x[i * 32 + lane]\n    u[i * 32 + lane] = x[lane]\n  "
               "}}\n"
               "  warp_sync()\n  ldmatrix(r[0], s[lane % 8 * 72 + lane // 8 * 8], {1}, {2})\n"
               "  for i in {0} unroll {{\n    y[i * 32 + lane] = r[i]\n  }}\n"
               "  stmatrix(u[lane % 8 * 72 + lane // 8 * 8], r[0], {1}, {2})\n  warp_sync()\n"
               "  for i in 32 rolled {{\n    y[1024 + i * 32 + lane] = u[i * 32 + lane]\n  }}\n}}\n",
               2 * count, count, transposed)});
    }
  }
}

struct Product {
  DType a, b, acc;
};
constexpr std::array<Product, 9> kProducts{{{DType::bf16, DType::bf16, DType::f32},
                                            {DType::f16, DType::f16, DType::f32},
                                            {DType::f16, DType::f16, DType::f16},
                                            {DType::f32, DType::f32, DType::f32},
                                            {DType::f8e4m3, DType::f8e4m3, DType::f32},
                                            {DType::f8e4m3, DType::f8e5m2, DType::f32},
                                            {DType::i8, DType::i8, DType::i32},
                                            {DType::u8, DType::i8, DType::i32},
                                            {DType::f8e5m2, DType::f8e5m2, DType::f32}}};

std::string product_name(const Product& p) { return fmt::format("{}_{}_{}", name(p.a), name(p.b), name(p.acc)); }

// The sums of k products that begin at `first`, as a tensor program: one more product is of the reads' fills.
std::string product_program(const Product& p, int m, int n, int k, int first, bool a_transposed, bool b_transposed) {
  const auto operand = [](bool transposed, std::string_view row, std::string_view column) {
    return transposed ? fmt::format("{}, {}", column, row) : fmt::format("{}, {}", row, column);
  };
  const std::string rows = fmt::to_string(m), columns = fmt::to_string(n), depth = fmt::to_string(k);
  return fmt::format(
      "kernel product(x: {}[{}], w: {}[{}]) -> (y: {acc}[{}, {}]) {{\n"
      "  y[i, j] = {acc}(sum[p in {}]{{acc={acc}{}}}({wide}(x[{}] else {}) * {wide}(w[{}] else 1)))\n}}\n",
      name(p.a), operand(a_transposed, rows, depth), name(p.b), operand(b_transposed, columns, depth), m, n, k + 1,
      p.a == DType::f32 ? ", grade=tf32" : "", operand(a_transposed, "i", "p"), first, operand(b_transposed, "j", "p"),
      fmt::arg("acc", name(p.acc)), fmt::arg("wide", name(p.acc == DType::i32 ? DType::i32 : DType::f32)));
}

void add_mma_sync(std::vector<IntrinsicKernel>& all) {
  for (const Product& p : kProducts) {
    const int k = 32 / byte_size(p.a);
    all.push_back(
        {"mma_sync_" + product_name(p),
         fmt::format("kernel product (x: {0}[16, {3}], w: {1}[8, {3}], y: {2}[16, 8]) grid (b in 1) warps 1 lanes "
                     "32 tile {{\n  shared xs: {0}[16, {3}]\n  shared ws: {1}[8, {3}]\n"
                     "  fragment acc: {2}[16, 8] layout {4}\n"
                     "  map (i in 16, p in {3}) over [16:reg*1, {5}] {{\n    xs[i, p] = x[i, p]\n  }}\n"
                     "  map (j in 8, p in {3}) over [8:reg*1, {5}] {{\n    ws[j, p] = w[j, p]\n  }}\n"
                     "  map (i in 16, j in 8) over {4} {{\n    acc[i, j] = 1\n  }}\n  barrier()\n"
                     "  mma mma_sync (i in 16, j in 8, p in {3}) acc[i, j] += xs[i, p] * ws[j, p]\n"
                     "  map (i in 16, j in 8) over {4} {{\n    y[i, j] = acc[i, j]\n  }}\n}}\n",
                     name(p.a), name(p.b), name(p.acc), k, to_string(ir::mma_sync_c()), fmt::format("{}:lane*1", k)),
         product_program(p, 16, 8, k, 1, false, false)});
  }
}

int wgmma_depth(const Product& p, int swizzle) { return std::max(swizzle, 32) / byte_size(p.a); }

// One product of 64 x n, its operands by TMA into the layout of a swizzle, contiguous along k or along rows.
std::string wgmma_text(const Product& p, int n, int swizzle, bool a_transposed, bool b_transposed) {
  const int bytes = byte_size(p.a), k = wgmma_depth(p, swizzle);
  const auto operand = [&](bool transposed, int rows) {
    const ir::Layout layout =
        transposed ? ir::tma_layout(k, rows, bytes, swizzle) : ir::tma_layout(rows, k, bytes, swizzle);
    return std::pair(transposed ? fmt::format("{}, {}", k, rows) : fmt::format("{}, {}", rows, k), to_string(layout));
  };
  const auto [x_shape, x_layout] = operand(a_transposed, 64);
  const auto [w_shape, w_layout] = operand(b_transposed, n);
  // Without a swizzle the rows of a box would not be the layout's.
  const auto copy = [&](const char* to, const char* from, bool transposed, int rows, bool bulk) {
    if (bulk != (swizzle != 0)) return std::string();
    const std::string way =
        bulk ? "via tma_load on full[0]" : fmt::format("over [(4:warp*1, {}:reg*1), {}:lane*1]", rows / 4, k);
    return fmt::format("    map (i in {0}, p in {1}) {2} {{\n      {3}[{5}] = {4}[{5}]\n    }}\n", rows, k, way, to,
                       from, transposed ? "p, i" : "i, p");
  };
  const auto both = [&](bool bulk) {
    return copy("xs", "x", a_transposed, 64, bulk) + copy("ws", "w", b_transposed, n, bulk);
  };
  const std::string acc = to_string(ir::wgmma_accumulator(n));
  return fmt::format(
      "kernel product (x: {0}[{3}], w: {1}[{4}], y: {2}[64, {5}]) grid (b in 1) warps 4 lanes 32\n"
      "    with aligned(x, 16), aligned(w, 16) tile {{\n"
      "  shared xs: {0}[{3}] layout {6} align 1024\n  shared ws: {1}[{4}] layout {7} align 1024\n"
      "  barrier full: u64[1]\n  fragment acc: {2}[64, {5}] layout {8}\n"
      "  role setup warps 0..1 elected {{\n    mbarrier_init(full[0], 1)\n    mbarrier_init_fence()\n  }}\n  "
      "barrier()\n"
      "  role load warps 0..1 elected {{\n    mbarrier_expect(full[0], {9})\n{10}  }}\n{11}"
      "  fence_proxy_async()\n  barrier()\n  mbarrier_wait(full[0], 0)\n  map (i in 64, j in {5}) over {8} {{\n    "
      "acc[i, j] = 2\n  }}\n  wgmma_fence()\n"
      "  mma wgmma (i in 64, j in {5}, p in {12}) acc[i, j] += xs[{13}] * ws[{14}]\n  wgmma_commit()\n  wgmma_wait(0)\n"
      "  map (i in 64, j in {5}) over {8} {{\n    y[i, j] = acc[i, j]\n  }}\n}}\n",
      name(p.a), name(p.b), name(p.acc), x_shape, w_shape, n, x_layout, w_layout, acc,
      swizzle == 0 ? 0 : (64 + n) * k * bytes, both(true), both(false), k, a_transposed ? "p, i" : "i, p",
      b_transposed ? "p, j" : "j, p");
}

void add_wgmma(std::vector<IntrinsicKernel>& all) {
  const auto add = [&](const std::string& name, const Product& p, int n, int swizzle, bool a_transposed,
                       bool b_transposed) {
    // Of the terms of an instruction that sums f8, those bits are kept that lie within 13 of the largest one's first.
    const double roundoff = byte_size(p.a) == 1 && p.acc == DType::f32 ? 0x1p-13 : 0;
    all.push_back({"wgmma_" + name, wgmma_text(p, n, swizzle, a_transposed, b_transposed),
                   product_program(p, 64, n, wgmma_depth(p, swizzle), 2, a_transposed, b_transposed), roundoff});
  };
  for (const Product& p : kProducts) add(product_name(p), p, 32, 128, false, false);
  for (const int swizzle : {0, 32, 64, 128}) {
    for (const int transposed : {0, 1, 2, 3}) {
      add(fmt::format("swizzle_{}{}{}", swizzle, transposed & 1 ? "_at" : "", transposed & 2 ? "_bt" : ""),
          kProducts[0], 64, swizzle, transposed & 1, transposed & 2);
    }
  }
  const std::string a = to_string(ir::wgmma_a(2)), acc = to_string(ir::wgmma_accumulator(24));
  all.push_back(
      {"wgmma_registers",
       fmt::format(
           "kernel product (x: bf16[64, 16], w: bf16[24, 16], y: f32[64, 24]) grid (b in 1) warps 4 lanes 32 tile {{\n"
           "  shared ws: bf16[24, 16] layout {2} align 1024\n  fragment a: bf16[64, 16] layout {0}\n"
           "  fragment acc: f32[64, 24] layout {1}\n"
           "  map (i in 64, p in 16) over {0} {{\n    a[i, p] = x[i, p]\n  }}\n"
           "  map (j in 24, p in 16) over [(8:lane*4, 3:reg*4), (4:reg*1, 4:lane*1)] where 0 <= j {{\n"
           "    ws[j, p] = w[j, p]\n  }}\n  fence_proxy_async()\n  barrier()\n  wgmma_fence()\n"
           "  mma wgmma (i in 64, j in 24, p in 16) acc[i, j] += a[i, p] * ws[j, p] accumulate false\n"
           "  wgmma_commit()\n  wgmma_wait(0)\n  map (i in 64, j in 24) over {1} {{\n    y[i, j] = acc[i, j]\n  "
           "}}\n}}\n",
           a, acc, to_string(ir::tma_layout(24, 16, 2, 32))),
       product_program(kProducts[0], 64, 24, 16, 0, false, false)});
}

std::set<const ir::Tensor*> written_by(const ir::Kernel& kernel) {
  std::set<const ir::Tensor*> written;
  for (const ir::BufferRef& param : kernel.params) {
    if (param->name == "y") written.insert(param.get());
  }
  return written;
}

// What `run` makes of the parameters' contents in a device's memory.
template <typename Run>
Contents changed_by(const ir::Kernel& kernel, Numbers numbers, runtime::Device& device, const Run& run) {
  Contents contents = contents_before(kernel, numbers);
  std::vector<runtime::Buffer> buffers;
  for (const auto& bytes : contents) {
    buffers.emplace_back(device, bytes.size());
    device.upload(buffers.back().data(), bytes.data(), bytes.size(), nullptr);
  }
  run(std::span<const runtime::Buffer>(buffers));
  for (std::size_t p = 0; p < contents.size(); ++p) {
    device.download(contents[p].data(), buffers[p].data(), contents[p].size(), nullptr);
  }
  return contents;
}

}  // namespace

void PrintTo(const IntrinsicKernel& kernel, std::ostream* stream) { *stream << kernel.name; }

const std::vector<IntrinsicKernel>& intrinsic_kernels() {
  static const std::vector<IntrinsicKernel> all = [] {
    std::vector<IntrinsicKernel> kernels;
    add_simple(kernels);
    add_matrices(kernels);
    add_mma_sync(kernels);
    add_wgmma(kernels);
    return kernels;
  }();
  return all;
}

ir::Kernel thread_form(const IntrinsicKernel& kernel) {
  ir::Kernel parsed = ir::parse_kernel(kernel.text);
  ir::verify(parsed);
  if (parsed.form == ir::Form::thread) return parsed;
  ir::Kernel thread = compiler::expand_tiles(parsed);
  ir::verify(thread);
  return thread;
}

Contents contents_before(const ir::Kernel& kernel, Numbers numbers) {
  const std::set<const ir::Tensor*> written = written_by(kernel);
  std::mt19937_64 random(20260801);
  Contents all;
  for (std::size_t p = 0; p < kernel.params.size(); ++p) {
    const ir::Buffer& param = *kernel.params[p];
    auto& bytes = all.emplace_back(static_cast<std::size_t>(runtime::simulator::parameter_bytes(kernel, p, {})));
    if (written.contains(&param)) continue;
    const auto count = static_cast<std::int64_t>(bytes.size()) / byte_size(param.dtype);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t number = (i * 5 + i / 7 + static_cast<std::int64_t>(p)) % 7;
      double value = static_cast<double>(param.dtype == DType::u8 ? number : number - 3);
      if (numbers == Numbers::random) {
        value = param.dtype == DType::u8   ? static_cast<double>(random() % 256)
                : param.dtype == DType::i8 ? static_cast<double>(random() % 256) - 128
                                           : std::ldexp(static_cast<double>(random() >> 11), -52) - 1;
      }
      if (numbers == Numbers::between_tf32) {
        value =
            1 + std::ldexp(static_cast<double>(random() % 4), -8) + std::ldexp(static_cast<double>(random() % 4), -12);
      }
      store_element(param.dtype, bytes.data(), i, value);
    }
  }
  return all;
}

Contents simulated(const ir::Kernel& kernel, Numbers numbers, runtime::simulator::Report& report) {
  runtime::Device& device = runtime::open_device("sim:sm_90a");
  return changed_by(kernel, numbers, device, [&](std::span<const runtime::Buffer> buffers) {
    std::vector<runtime::simulator::KernelArgument> arguments;
    for (const runtime::Buffer& buffer : buffers) {
      arguments.push_back({{static_cast<std::byte*>(buffer.data()), buffer.size()}, true});
    }
    report = runtime::simulator::run_kernel(kernel, {}, arguments, device.info().target, {});
  });
}

Artifact compiled(const ir::Kernel& kernel, const Target& target) {
  const std::set<const ir::Tensor*> written = written_by(kernel);
  ir::Program program;
  program.name = kernel.name;
  for (const ir::BufferRef& param : kernel.params) {
    if (written.contains(param.get())) {
      program.outputs.push_back({param, nullptr});
    } else {
      program.inputs.push_back(param);
    }
  }
  Artifact artifact;
  artifact.plan = plan_frame(program, target);
  const std::vector<ir::Kernel> kernels{kernel};
  artifact.plan.variants.push_back(plan_variant(program, {}, {}, kernels, std::vector<ir::Program>{program}));
  artifact.binary.target = to_text(target);
#if QUERN_WITH_CUDA
  const codegen::CudaModule module = codegen::print_module(kernels, target);
  std::get<Launch>(artifact.plan.variants[0].steps.at(0).action).kernel = module.entries[0];
  validate(artifact.plan);
  artifact.source = module.source;
  artifact.binary.bytes = runtime::cuda::Nvrtc::get().compile(module.source, kernel.name + ".cu", target.arch).cubin;
#endif
  return artifact;
}

Contents on_device(const ir::Kernel& kernel, Numbers numbers, runtime::Device& device) {
  const Artifact artifact = compiled(kernel, device.info().target);
  const auto loaded = device.load(artifact.plan, artifact.binary);
  return changed_by(kernel, numbers, device, [&](std::span<const runtime::Buffer> buffers) {
    std::vector<void*> pointers;
    for (const runtime::Buffer& buffer : buffers) pointers.push_back(buffer.data());
    loaded->launch(pointers, {}, nullptr, nullptr);
    device.synchronize(nullptr);
  });
}

std::string beyond_bounds(const IntrinsicKernel& kernel, Contents contents) {
  const ir::Program program = ir::parse_program(kernel.program);
  const auto tensor = [&](const ir::Tensor& of, std::size_t place) {
    ir::HostTensor host{of.dtype, {}, {}, contents[place].data()};
    for (const ir::Expr& extent : of.shape) host.shape.push_back(*ir::as_integer(extent));
    return host;
  };
  const std::vector<ir::HostTensor> inputs{tensor(*program.inputs.at(0), 0), tensor(*program.inputs.at(1), 1)};
  const ir::HostTensor y = tensor(*program.outputs.at(0).tensor, 2);
  std::vector<ir::Coordinate> coordinates;
  for (std::int64_t i = 0; i < y.shape[0]; ++i) {
    for (std::int64_t j = 0; j < y.shape[1]; ++j) coordinates.push_back({i, j});
  }
  std::vector<ir::Checked> checked = ir::evaluate_with_bounds(program, {}, inputs, 0, coordinates);
  if (kernel.roundoff > 0) {
    // As for any order in ir/bounds.h; the magnitudes of the terms are the sum over those of the operands.
    // An instruction adds 32 products to what there is.
    const double terms = 33.0 / 32 * static_cast<double>(inputs[0].shape[0] * inputs[0].shape[1] / y.shape[0]);
    for (const ir::HostTensor& input : inputs) {
      for (std::int64_t i = 0; i < input.shape[0] * input.shape[1]; ++i) {
        store_element(input.dtype, input.data, i, std::abs(load_element(input.dtype, input.data, i)));
      }
    }
    const std::vector<ir::Scalar> sums = ir::evaluate_elements(program, {}, inputs, 0, coordinates);
    for (std::size_t n = 0; n < checked.size(); ++n) {
      checked[n].lo -= terms * kernel.roundoff * sums[n].real;
      checked[n].hi += terms * kernel.roundoff * sums[n].real;
    }
  }
  for (std::size_t n = 0; n < checked.size(); ++n) {
    const double computed = load_element(y.dtype, y.data, static_cast<std::int64_t>(n));
    if (ir::admits(checked[n], computed)) continue;
    return fmt::format("element {}, {} is {}, expected {} within {}", coordinates[n][0], coordinates[n][1], computed,
                       checked[n].value, ir::bound_beside(checked[n], computed));
  }
  return {};
}

}  // namespace quern::pipeline
