#include "runtime/cuda/program.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

#include "base/error.h"
#include "runtime/check_call.h"
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

// What the `once` steps of a variant computed for one set of const arguments and sizes. Published entries stay until
// the program is destroyed, so readers need no lock.
struct Prepared {
  const Variant* variant;
  std::vector<const void*> arguments;  // the const ones
  std::vector<std::int64_t> symbols;
  CUdeviceptr memory = 0;
  const Prepared* next = nullptr;
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
    for (const Prepared* entry = prepared_.load(); entry != nullptr;) {
      driver().cuMemFree(entry->memory);
      delete std::exchange(entry, entry->next);
    }
  }

  std::size_t workspace_bytes(std::span<const std::int64_t> symbols) const override {
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

  const Prepared* find(const Variant& variant, std::span<void* const> arguments,
                       std::span<const std::int64_t> symbols) const {
    for (const Prepared* p = prepared_.load(std::memory_order_acquire); p != nullptr; p = p->next) {
      if (p->variant != &variant || !std::ranges::equal(p->symbols, symbols)) continue;
      auto known = p->arguments.begin();
      bool same = true;
      for (std::size_t i = 0; i < arguments.size() && same; ++i) {
        if (plan_.arguments[i].is_const) same = *known++ == arguments[i];
      }
      if (same) return p;
    }
    return nullptr;
  }

  // Memory of the variant's persistent slots for these const arguments, computed now if it never was.
  CUdeviceptr persistent(std::size_t index, std::span<void* const> arguments, std::span<const std::int64_t> symbols,
                         CUstream stream) {
    const Variant& variant = plan_.variants[index];
    if (std::ranges::none_of(variant.workspace, &WorkspaceSlot::persistent)) return 0;
    if (const Prepared* known = find(variant, arguments, symbols)) return known->memory;
    const std::lock_guard lock(preparing_);
    if (const Prepared* known = find(variant, arguments, symbols)) return known->memory;
    if (is_capturing(stream)) {
      fail(
          "'{}' repacks its const arguments at the first call, which a stream capture can't hold; call prepare() with "
          "these arguments before capturing",
          plan_.name);
    }
    const auto bytes = static_cast<std::size_t>(quern::workspace_bytes(variant, context(symbols), true));
    auto entry = std::make_unique<Prepared>(Prepared{.variant = &variant, .arguments = {}, .symbols = {}});
    entry->symbols.assign(symbols.begin(), symbols.end());
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      if (plan_.arguments[i].is_const) entry->arguments.push_back(arguments[i]);
    }
    if (bytes > 0) {
      const CUresult result = driver().cuMemAlloc(&entry->memory, bytes);
      if (result != CUDA_SUCCESS) fail_out_of_memory(gpu_, bytes, result);
    }
    try {
      run(index, {.variant = variant, .arguments = arguments, .persistent = entry->memory}, symbols, stream, true);
      check(driver().cuStreamSynchronize(stream), "repacking the const arguments of '" + plan_.name + "'");
    } catch (...) {
      driver().cuMemFree(entry->memory);
      throw;
    }
    entry->next = prepared_.load(std::memory_order_relaxed);
    prepared_.store(entry.get(), std::memory_order_release);
    return entry.release()->memory;
  }

  const Gpu& gpu_;
  const Plan plan_;
  Library library_;
  std::vector<std::deque<KernelLaunch>> launches_;  // of each variant, in the order of its launch steps
  std::mutex preparing_;
  std::atomic<const Prepared*> prepared_{nullptr};
};

}  // namespace

std::unique_ptr<LoadedProgram> load_program(const Gpu& gpu, const Plan& plan, const Binary& binary) {
  validate(plan);
  const CurrentContext context(gpu);
  return std::make_unique<CudaProgram>(gpu, plan, binary);
}

}  // namespace quern::runtime::cuda
