#pragma once
// The neutral face of everything that runs plans: which devices there are, and a loaded program that launches without
// saying on what. It names no CUDA and no LLVM type, so it builds and answers on every machine.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/plan.h"
#include "base/target.h"

namespace quern::runtime {

// One device to run on.
struct DeviceInfo {
  std::string id;    // "cuda:0", "cpu": as written on the command line
  std::string name;  // the vendor's, such as "NVIDIA H200"
  std::string uuid;  // "GPU-...", as nvidia-smi shows it; empty for the CPU
  int index = 0;     // among the devices of its kind
  std::int64_t memory_bytes = 0;
  Target target;  // the architecture to compile for, with this device's own counts
};

// All devices, GPUs first, then the CPU (when this build can run on it).
struct DeviceList {
  std::vector<DeviceInfo> devices;
  std::string why_no_cuda;  // what was looked for, where, and what is missing; empty when there is a GPU
};

// Looks once per call; never throws for a missing GPU or driver. Thread-safe.
DeviceList list_devices();

// Compiled code for one target: a cubin (cuda) or a relocatable ELF object (cpu), holding all kernels of one plan.
struct Binary {
  std::string target;  // Target's text
  std::vector<std::byte> bytes;
  bool operator==(const Binary&) const = default;
};

// A plan bound to its binary on one device. Argument pointers stand in the order of Plan::arguments, symbol values in
// the order of Plan::symbols. Thread-safe: calls from several threads, on several streams, need no lock.
class LoadedProgram {
 public:
  virtual ~LoadedProgram() = default;

  // Bytes of scratch memory that a launch with these symbols takes: enough for every variant that may serve them.
  virtual std::size_t workspace_bytes(std::span<const std::int64_t> symbols) const = 0;

  // Does everything that a first launch would do (loading, `once` steps on const arguments, tensor maps), so that a
  // launch with the same arguments may be captured into a graph. Waits for the work it starts.
  virtual void prepare(std::span<void* const> arguments, std::span<const std::int64_t> symbols, void* stream) = 0;

  // Runs the program on `stream` (a CUstream; ignored on the CPU, which returns when it is done). `workspace` holds
  // workspace_bytes(symbols) bytes aligned to kWorkspaceAlignment and stays in use until the stream has passed this
  // call; null: it is taken and given back in stream order. Throws Error for null, misaligned or overlapping pointers
  // and when no variant serves the call.
  virtual void launch(std::span<void* const> arguments, std::span<const std::int64_t> symbols, void* stream,
                      void* workspace) = 0;
};

// Loads `binary`, which must hold the plan's kernels, on device `index` of the kind that the plan's target says.
// Throws Error when this build or machine can't run it.
std::unique_ptr<LoadedProgram> load_program(const Plan& plan, const Binary& binary, int index = 0);

}  // namespace quern::runtime
