#include "base/target.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/error.h"

namespace quern {
namespace {

constexpr std::int64_t kKiB = 1024;
constexpr std::int64_t kMiB = 1024 * kKiB;
constexpr double kTera = 1e12;

constexpr GpuFeatures kAmpere{.cp_async = true, .mma_bf16 = true};
constexpr GpuFeatures kAda{.cp_async = true, .mma_bf16 = true, .fp8_cvt = true};
constexpr GpuFeatures kHopper{.cp_async = true,
                              .mma_bf16 = true,
                              .fp8_cvt = true,
                              .tma = true,
                              .wgmma = true,
                              .setmaxnreg = true,
                              .stmatrix = true};
constexpr GpuFeatures kBlackwell{.cp_async = true,
                                 .mma_bf16 = true,
                                 .fp8_cvt = true,
                                 .tma = true,
                                 .wgmma = false,
                                 .setmaxnreg = true,
                                 .stmatrix = true};

struct GpuRow {
  std::string_view arch;
  GpuLimits limits;
  PeakRates peak;
};

// Residency and sizes: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability". Counts, rates
// and L2 are those of the board named beside each row (vendor data sheets, dense).
constexpr std::array<GpuRow, 6> kGpus = {{
    {"sm_80",  // A100 80 GB
     {.capability = 80,
      .shared_per_block = 163 * kKiB,
      .shared_per_sm = 164 * kKiB,
      .shared_reserved = kKiB,
      .registers_per_sm = 65536,
      .registers_per_thread = 255,
      .register_allocation_unit = 8,
      .threads_per_block = 1024,
      .threads_per_sm = 2048,
      .warps_per_sm = 64,
      .blocks_per_sm = 32,
      .sm_count = 108,
      .max_cluster = 1,
      .l2_bytes = 40 * kMiB,
      .features = kAmpere},
     {.tensor_f16 = 312 * kTera,
      .tensor_tf32 = 156 * kTera,
      .tensor_f8 = 0,
      .tensor_i8 = 624 * kTera,
      .tensor_f64 = 19.5 * kTera,
      .f32 = 19.5 * kTera,
      .f16 = 78 * kTera,
      .f64 = 9.7 * kTera,
      .bandwidth = 2.039e12}},
    {"sm_86",  // A40
     {.capability = 86,
      .shared_per_block = 99 * kKiB,
      .shared_per_sm = 100 * kKiB,
      .shared_reserved = kKiB,
      .registers_per_sm = 65536,
      .registers_per_thread = 255,
      .register_allocation_unit = 8,
      .threads_per_block = 1024,
      .threads_per_sm = 1536,
      .warps_per_sm = 48,
      .blocks_per_sm = 16,
      .sm_count = 84,
      .max_cluster = 1,
      .l2_bytes = 6 * kMiB,
      .features = kAmpere},
     {.tensor_f16 = 149.7 * kTera,
      .tensor_tf32 = 74.8 * kTera,
      .tensor_f8 = 0,
      .tensor_i8 = 299.3 * kTera,
      .tensor_f64 = 0,
      .f32 = 37.4 * kTera,
      .f16 = 37.4 * kTera,
      .f64 = 0.58 * kTera,
      .bandwidth = 0.696e12}},
    {"sm_89",  // L40S
     {.capability = 89,
      .shared_per_block = 99 * kKiB,
      .shared_per_sm = 100 * kKiB,
      .shared_reserved = kKiB,
      .registers_per_sm = 65536,
      .registers_per_thread = 255,
      .register_allocation_unit = 8,
      .threads_per_block = 1024,
      .threads_per_sm = 1536,
      .warps_per_sm = 48,
      .blocks_per_sm = 24,
      .sm_count = 142,
      .max_cluster = 1,
      .l2_bytes = 96 * kMiB,
      .features = kAda},
     {.tensor_f16 = 362 * kTera,
      .tensor_tf32 = 183 * kTera,
      .tensor_f8 = 733 * kTera,
      .tensor_i8 = 733 * kTera,
      .tensor_f64 = 0,
      .f32 = 91.6 * kTera,
      .f16 = 91.6 * kTera,
      .f64 = 1.43 * kTera,
      .bandwidth = 0.864e12}},
    {"sm_90a",  // H200 SXM
     {.capability = 90,
      .shared_per_block = 227 * kKiB,
      .shared_per_sm = 228 * kKiB,
      .shared_reserved = kKiB,
      .registers_per_sm = 65536,
      .registers_per_thread = 255,
      .register_allocation_unit = 8,
      .threads_per_block = 1024,
      .threads_per_sm = 2048,
      .warps_per_sm = 64,
      .blocks_per_sm = 32,
      .sm_count = 132,
      .max_cluster = 8,
      .l2_bytes = 50 * kMiB,
      .features = kHopper},
     {.tensor_f16 = 989.5 * kTera,
      .tensor_tf32 = 494.7 * kTera,
      .tensor_f8 = 1979 * kTera,
      .tensor_i8 = 1979 * kTera,
      .tensor_f64 = 66.9 * kTera,
      .f32 = 66.9 * kTera,
      .f16 = 133.8 * kTera,
      .f64 = 33.5 * kTera,
      .bandwidth = 4.8e12}},
    {"sm_100a",  // B200
     {.capability = 100,
      .shared_per_block = 227 * kKiB,
      .shared_per_sm = 228 * kKiB,
      .shared_reserved = kKiB,
      .registers_per_sm = 65536,
      .registers_per_thread = 255,
      .register_allocation_unit = 8,
      .threads_per_block = 1024,
      .threads_per_sm = 2048,
      .warps_per_sm = 64,
      .blocks_per_sm = 32,
      .sm_count = 148,
      .max_cluster = 8,
      .l2_bytes = 126 * kMiB,
      .features = kBlackwell},
     {.tensor_f16 = 2250 * kTera,
      .tensor_tf32 = 1125 * kTera,
      .tensor_f8 = 4500 * kTera,
      .tensor_i8 = 4500 * kTera,
      .tensor_f64 = 37 * kTera,
      .f32 = 75 * kTera,
      .f16 = 150 * kTera,
      .f64 = 37 * kTera,
      .bandwidth = 8.0e12}},
    {"sm_120a",  // RTX 5090
     {.capability = 120,
      .shared_per_block = 99 * kKiB,
      .shared_per_sm = 100 * kKiB,
      .shared_reserved = kKiB,
      .registers_per_sm = 65536,
      .registers_per_thread = 255,
      .register_allocation_unit = 8,
      .threads_per_block = 1024,
      .threads_per_sm = 1536,
      .warps_per_sm = 48,
      .blocks_per_sm = 24,
      .sm_count = 170,
      .max_cluster = 8,
      .l2_bytes = 96 * kMiB,
      .features = kBlackwell},
     {.tensor_f16 = 209.5 * kTera,
      .tensor_tf32 = 104.8 * kTera,
      .tensor_f8 = 419 * kTera,
      .tensor_i8 = 838 * kTera,
      .tensor_f64 = 0,
      .f32 = 104.8 * kTera,
      .f16 = 104.8 * kTera,
      .f64 = 1.64 * kTera,
      .bandwidth = 1.792e12}},
}};

struct CpuRow {
  std::string_view arch;
  int vector_bytes;
  int vector_registers;
};

// Widest level first.
constexpr std::array<CpuRow, 4> kCpus = {
    {{"x86-64-v4", 64, 32}, {"x86-64-v3", 32, 16}, {"x86-64-v2", 16, 16}, {"generic", 16, 16}}};

// A core of recent years, for targets that are not the host.
constexpr CpuLimits kNominalCpu{.vector_bytes = 0,
                                .vector_registers = 0,
                                .l1_bytes = 32 * kKiB,
                                .l2_bytes = 1 * kMiB,
                                .l3_bytes = 16 * kMiB,
                                .cores = 4};

Target gpu_target(TargetKind kind, const GpuRow& row) {
  return {.kind = kind, .arch = std::string(row.arch), .gpu = row.limits, .cpu = {}, .peak = row.peak};
}

Target cpu_target(const CpuRow& row) {
  CpuLimits limits = kNominalCpu;
  limits.vector_bytes = row.vector_bytes;
  limits.vector_registers = row.vector_registers;
  Target target{.kind = TargetKind::cpu, .arch = std::string(row.arch), .gpu = {}, .cpu = limits, .peak = {}};
  target.peak = nominal_cpu_rates(limits);
  return target;
}

const std::vector<Target>& all_targets() {
  static const std::vector<Target> kAll = [] {
    std::vector<Target> list;
    for (const GpuRow& row : kGpus) list.push_back(gpu_target(TargetKind::cuda, row));
    for (const GpuRow& row : kGpus) list.push_back(gpu_target(TargetKind::sim, row));
    for (const CpuRow& row : kCpus) list.push_back(cpu_target(row));
    return list;
  }();
  return kAll;
}

}  // namespace

std::string to_text(const Target& target) {
  constexpr std::array<std::string_view, 3> kKinds = {"cuda:", "cpu:", "sim:"};
  return std::string(kKinds[static_cast<std::size_t>(target.kind)]) + target.arch;
}

std::span<const std::string> known_targets() {
  static const std::vector<std::string> kTexts = [] {
    std::vector<std::string> list;
    for (const Target& target : all_targets()) list.push_back(to_text(target));
    return list;
  }();
  return kTexts;
}

Target parse_target(std::string_view text) {
  if (text == "cpu") return host_cpu_target();
  const auto names = known_targets();
  const auto found = std::ranges::find(names, text);
  if (found != names.end()) return all_targets()[static_cast<std::size_t>(found - names.begin())];
  fail("unknown target '{}'; known targets: cpu (this machine), {}", text, fmt::join(names, ", "));
}

std::string_view arch_for_capability(int major, int minor) {
  // Code for 8.6 runs on 8.7 and that for 8.0 on all of 8.x; "a" architectures run on their own capability alone.
  std::string_view best;
  for (const GpuRow& row : kGpus) {
    const int row_major = row.limits.capability / 10, row_minor = row.limits.capability % 10;
    const bool exact = row.arch.ends_with('a');
    if (row_major == major && (exact ? row_minor == minor : row_minor <= minor)) best = row.arch;
  }
  return best;
}

double peak_flops(const Target& target, DType operands, bool tensor_units) {
  const PeakRates& peak = target.peak;
  double tensor = 0;
  switch (operands) {
    case DType::f16:
    case DType::bf16:
      tensor = peak.tensor_f16;
      break;
    case DType::f32:
      tensor = peak.tensor_tf32;
      break;
    case DType::f8e4m3:
    case DType::f8e5m2:
      tensor = peak.tensor_f8;
      break;
    case DType::i8:
    case DType::u8:
      tensor = peak.tensor_i8;
      break;
    case DType::f64:
      tensor = peak.tensor_f64;
      break;
    default:
      break;
  }
  if (tensor_units && tensor > 0) return tensor;
  if (operands == DType::f64) return peak.f64;
  return operands == DType::f16 || operands == DType::bf16 ? peak.f16 : peak.f32;
}

}  // namespace quern
