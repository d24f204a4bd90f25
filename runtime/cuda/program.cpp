#include "runtime/cuda/program.h"

#include <algorithm>
#include <deque>
#include <utility>
#include <vector>

#include "base/error.h"
#include "runtime/check_call.h"
#include "runtime/constants.h"
#include "runtime/cuda/kernel_launch.h"

namespace quern::runtime::cuda {
namespace {

// A library of kernels, loaded from a cubin.
class Library {
 public:
  Library(const Plan& plan, const Binary& binary) {
    const CUresult result =
        driver().cuLibraryLoadData(&handle_, binary.bytes.data(), nullptr, nullptr, 0, nullptr, nullptr, 0);
    if (result != CUDA_SUCCESS) {
      check(result, fmt::format("loading the {} bytes of '{}' for {} (driver for CUDA {}.{})", binary.bytes.size(),
                                plan.name, binary.target, driver().version / 1000, driver().version % 1000 / 10));
    }
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library() { driver().cuLibraryUnload(handle_); }

  CUkernel kernel(const std::string& name) const {
    CUkernel kernel = nullptr;
    check(driver().cuLibraryGetKernel(&kernel, handle_, name.c_str()), "finding kernel '" + name + "' in its binary");
    return kernel;
  }

 private:
  CUlibrary handle_ = nullptr;
};

// Device memory of a variant's persistent slots.
class PersistentMemory {
 public:
  PersistentMemory(const Gpu& gpu, std::size_t bytes) {
    if (bytes == 0) return;
    const CUresult result = driver().cuMemAlloc(&address_, bytes);
    if (result != CUDA_SUCCESS) fail_out_of_memory(gpu, bytes, result);
  }
  PersistentMemory(PersistentMemory&& other) noexcept : address_(std::exchange(other.address_, 0)) {}
  PersistentMemory& operator=(PersistentMemory&&) = delete;
  ~PersistentMemory() {
    if (address_ != 0) driver().cuMemFree(address_);
  }

  CUdeviceptr address() const { return address_; }

 private:
  CUdeviceptr address_ = 0;
};

// Stream-ordered scratch memory of one call.
class Workspace {
 public:
  Workspace(const Gpu& gpu, std::int64_t bytes, void* given, CUstream stream) : stream_(stream) {
    address = reinterpret_cast<CUdeviceptr>(given);
    if (bytes == 0 || given != nullptr) return;
    const auto size = static_cast<std::size_t>(bytes);
    const CUresult result = driver().cuMemAllocFromPoolAsync(&address, size, gpu.pool, stream);
    if (result != CUDA_SUCCESS) fail_out_of_memory(gpu, size, result);
    own_ = true;
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  ~Workspace() {
    if (own_) driver().cuMemFreeAsync(address, stream_);
  }

  CUdeviceptr address = 0;

 private:
  CUstream stream_;
  bool own_ = false;
};

class CudaProgram final : public LoadedProgram {
 public:
  CudaProgram(const Gpu& gpu, const Plan& plan, const Binary& binary)
      : gpu_(gpu), plan_(plan), library_(plan_, binary) {
    for (const Variant& variant : plan_.variants) {
      std::deque<KernelLaunch>& launches = launches_.emplace_back();
      for (const Step& step : variant.steps) {
        if (const auto* launch = std::get_if<Launch>(&step.action)) {
          launches.emplace_back(gpu_, *launch, library_.kernel(launch->kernel));
        }
      }
    }
  }

  ~CudaProgram() override {
    const CurrentContext context(gpu_);
    constants_.drop();
  }

  std::size_t workspace_bytes(std::span<const std::int64_t> symbols) const override {
    check_sizes(plan_, context(symbols));
    std::int64_t bytes = 0;
    for (const Variant& variant : plan_.variants) {
      const bool may_serve = std::ranges::all_of(variant.guards, [&](const Guard& guard) {
        return std::holds_alternative<AlignmentGuard>(guard) || holds(guard, context(symbols), {});
      });
      if (may_serve) bytes = std::max(bytes, quern::workspace_bytes(variant, context(symbols)));
    }
    return static_cast<std::size_t>(bytes);
  }

  void prepare(std::span<void* const> arguments, std::span<const std::int64_t> symbols, void* stream) override {
    const CurrentContext current(gpu_);
    const std::size_t index = choose(arguments, symbols);
    CallMemory memory{.variant = plan_.variants[index], .arguments = arguments};
    memory.persistent = persistent(index, arguments, symbols, static_cast<CUstream>(stream));
    for (KernelLaunch& launch : launches_[index]) launch.prepare(memory, symbols);
  }

  void forget_constants() override {
    const CurrentContext current(gpu_);
    constants_.drop();
  }

  void launch(std::span<void* const> arguments, std::span<const std::int64_t> symbols, void* stream,
              void* workspace) override {
    const CurrentContext current(gpu_);
    const auto on = static_cast<CUstream>(stream);
    const std::size_t index = choose(arguments, symbols);
    const Variant& variant = plan_.variants[index];
    CallMemory memory{.variant = variant, .arguments = arguments};
    memory.persistent = persistent(index, arguments, symbols, on);
    const Workspace scratch(gpu_, quern::workspace_bytes(variant, context(symbols)), workspace, on);
    memory.workspace = scratch.address;
    run(index, memory, symbols, on, false);
  }

 private:
  PlanContext context(std::span<const std::int64_t> symbols) const { return {symbols, gpu_.limits}; }

  std::size_t choose(std::span<void* const> arguments, std::span<const std::int64_t> symbols) const {
    check_call(plan_, context(symbols), arguments);
    return static_cast<std::size_t>(select_variant(plan_, context(symbols), arguments));
  }

  // Runs the steps whose `once` is as asked.
  void run(std::size_t index, const CallMemory& memory, std::span<const std::int64_t> symbols, CUstream stream,
           bool once) {
    auto launch = launches_[index].begin();
    for (const Step& step : memory.variant.steps) {
      const bool chosen = step.once == once;
      if (const auto* memset = std::get_if<Memset>(&step.action)) {
        if (chosen) fill(*memset, memory, symbols, stream);
      } else {
        if (chosen) launch->run(memory, symbols, stream);
        ++launch;
      }
    }
  }

  void fill(const Memset& memset, const CallMemory& memory, std::span<const std::int64_t> symbols, CUstream stream) {
    const std::int64_t bytes = evaluate(memset.bytes, context(symbols));
    if (bytes <= 0) return;
    check(driver().cuMemsetD8Async(memory.address(memset.destination, context(symbols)), memset.value,
                                   static_cast<std::size_t>(bytes), stream),
          "filling memory");
  }

  // Memory of the variant's persistent slots for these const arguments, computed now if it never was.
  CUdeviceptr persistent(std::size_t index, std::span<void* const> arguments, std::span<const std::int64_t> symbols,
                         CUstream stream) {
    const Variant& variant = plan_.variants[index];
    if (std::ranges::none_of(variant.workspace, &WorkspaceSlot::persistent)) return 0;
    const auto compute = [&] {
      if (is_capturing(stream)) {
        fail(
            "'{}' repacks its const arguments at the first call, which a stream capture can't hold; call prepare() "
            "with these arguments before capturing",
            plan_.name);
      }
      const auto bytes = static_cast<std::size_t>(quern::workspace_bytes(variant, context(symbols), true));
      PersistentMemory memory(gpu_, bytes);
      run(index, {.variant = variant, .arguments = arguments, .persistent = memory.address()}, symbols, stream, true);
      check(driver().cuStreamSynchronize(stream), "repacking the const arguments of '" + plan_.name + "'");
      return memory;
    };
    return constants_.get(variant, arguments, symbols, compute).address();
  }

  const Gpu& gpu_;
  const Plan plan_;
  Library library_;
  std::vector<std::deque<KernelLaunch>> launches_;  // of each variant, in the order of its launch steps
  ConstantResults<PersistentMemory> constants_{plan_};
};

}  // namespace

std::unique_ptr<LoadedProgram> load_program(const Gpu& gpu, const Plan& plan, const Binary& binary) {
  validate(plan);
  const CurrentContext context(gpu);
  return std::make_unique<CudaProgram>(gpu, plan, binary);
}

}  // namespace quern::runtime::cuda
