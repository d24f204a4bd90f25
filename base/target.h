#pragma once
// What code is generated for, as data: a target needs no device. One table row per architecture holds the numbers
// (target.cpp); a device at hand refines them (sm_count, cache and core counts). Thread-safe: pure functions.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "quern/dtype.h"

namespace quern {

enum class TargetKind : std::uint8_t {
  cuda,  // an NVIDIA GPU
  cpu,   // the host's instruction set, through LLVM
  sim,   // the simulator of a GPU: its limits are those of the architecture it imitates
};

// Instructions that an architecture has beyond those of all supported ones.
struct GpuFeatures {
  bool cp_async = false;    // cp.async global -> shared, 4, 8 or 16 bytes, with zero fill
  bool mma_bf16 = false;    // mma.sync on bf16, f16, tf32, s8
  bool fp8_cvt = false;     // hardware conversion from and to f8e4m3, f8e5m2
  bool tma = false;         // cp.async.bulk.tensor and mbarrier transactions
  bool wgmma = false;       // warp-group mma on shared-memory operands
  bool setmaxnreg = false;  // moving registers between warp groups
  bool stmatrix = false;    // matrix store to shared memory

  bool operator==(const GpuFeatures&) const = default;
};

// Nominal dense peak rates of the whole device in operations per second (a multiply-add counts two), for the
// roofline. 0: the hardware has no such unit.
struct PeakRates {
  double tensor_f16 = 0;  // f16 and bf16 operands, f32 accumulator
  double tensor_tf32 = 0;
  double tensor_f8 = 0;
  double tensor_i8 = 0;
  double tensor_f64 = 0;
  double f32 = 0;  // ordinary arithmetic
  double f16 = 0;
  double f64 = 0;
  double bandwidth = 0;  // device memory, bytes per second

  bool operator==(const PeakRates&) const = default;
};

// The resources of one GPU. Bytes are bytes, not KiB.
struct GpuLimits {
  int capability = 0;                 // 80, 86, 89, 90, 100, 120
  std::int64_t shared_per_block = 0;  // largest static + dynamic size of one block, after opt-in
  std::int64_t shared_per_sm = 0;     // shared by the resident blocks
  std::int64_t shared_reserved = 0;   // taken by the driver for each resident block
  int registers_per_sm = 0;           // 32-bit registers
  int registers_per_thread = 0;       // most that one thread can name
  int register_allocation_unit = 0;   // registers are given to a warp in multiples of this many
  int threads_per_block = 0;
  int threads_per_sm = 0;
  int warps_per_sm = 0;
  int blocks_per_sm = 0;
  int sm_count = 0;
  int max_cluster = 1;  // largest portable cluster in blocks; 1: the hardware has no clusters
  std::int64_t l2_bytes = 0;
  GpuFeatures features;

  bool operator==(const GpuLimits&) const = default;
};

// The resources of one CPU.
struct CpuLimits {
  int vector_bytes = 0;      // width of the vector registers
  int vector_registers = 0;  // how many of them
  std::int64_t l1_bytes = 0;
  std::int64_t l2_bytes = 0;
  std::int64_t l3_bytes = 0;
  int cores = 0;  // threads that may run at once

  bool operator==(const CpuLimits&) const = default;
};

// One target. `gpu` is meaningful for cuda and sim, `cpu` for cpu; the other one is zero.
struct Target {
  TargetKind kind = TargetKind::cpu;
  std::string arch;  // "sm_90a"; cpu: "x86-64-v4", "x86-64-v3", "x86-64-v2", "generic"
  GpuLimits gpu;
  CpuLimits cpu;
  PeakRates peak;

  bool is_gpu() const { return kind != TargetKind::cpu; }
  bool operator==(const Target&) const = default;
};

// "cuda:sm_90a", "cpu:x86-64-v3", "sim:sm_90a".
std::string to_text(const Target& target);

// The target written as `text`. "cpu" alone is the host; a named target has the table's nominal numbers.
// Throws Error listing the known targets.
Target parse_target(std::string_view text);

// The texts of all targets that parse_target knows, in the table's order, without "cpu" alone.
std::span<const std::string> known_targets();

// The CPU that runs this program: its feature level, caches, and the cores that this process may use.
Target host_cpu_target();

// How many threads this process may keep busy: QUERN_THREADS, else the cores that it may use. Throws Error when
// QUERN_THREADS is not a number from 1 on.
int host_threads();

// The rates that a CPU of these limits has by a rough model: two multiply-adds of a whole vector per clock and core at
// 2.5 GHz, 10 GB/s of memory bandwidth per core up to 200 GB/s. Good enough to judge what bounds a kernel; the
// comparison with a roofline measures both instead.
PeakRates nominal_cpu_rates(const CpuLimits& limits);

// The architecture that runs best on a CUDA device of capability major.minor, such as "sm_90a" for 9.0. Empty: none
// does.
std::string_view arch_for_capability(int major, int minor);

// Operations per second that the roofline allows for products of `operands` (nominal): the tensor units' rate where
// `tensor_units` asks for it and the target has them for that dtype, else the rate of ordinary arithmetic.
double peak_flops(const Target& target, DType operands, bool tensor_units);

}  // namespace quern
