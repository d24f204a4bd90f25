#include "runtime/simulator/program.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "runtime/check_call.h"
#include "runtime/simulator/binary.h"
#include "runtime/simulator/tensor_map.h"

namespace quern::runtime::simulator {
namespace {

// Memory of one call: its arguments and its workspace, with what is known of each element.
class Memory {
 public:
  Memory(const Plan& plan, const Variant& variant, std::span<void* const> arguments, const PlanContext& context,
         std::span<const int> slot_granules, bool checks)
      : plan_(plan), variant_(variant), context_(context), checks_(checks) {
    for (std::size_t i = 0; i < arguments.size(); ++i) add_argument(i, arguments[i]);
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      const int updated = plan.arguments[i].updates;
      if (updated < 0) continue;
      windows_[i]->shadow.set_all_written();
      // In place: one memory under two names.
      if (arguments[i] == arguments[static_cast<std::size_t>(updated)]) {
        windows_[static_cast<std::size_t>(updated)] = windows_[i];
      }
    }
    slots_ = windows_.size();
    for (std::size_t i = 0; i < variant.workspace.size(); ++i) {
      const std::int64_t bytes = std::max<std::int64_t>(evaluate(variant.workspace[i].bytes, context), 0);
      std::vector<std::byte>& memory =
          workspace_.emplace_back(static_cast<std::size_t>(bytes) + kWorkspaceAlignment, std::byte{0xff});
      Window& window = add_window("workspace " + std::to_string(i), bytes, slot_granules[i]);
      const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
      window.data = memory.data() + (kWorkspaceAlignment - address % kWorkspaceAlignment) % kWorkspaceAlignment;
    }
  }

  Window& at(const PlanPointer& pointer) const {
    const auto index = static_cast<std::size_t>(pointer.index);
    return *windows_[pointer.base == PlanPointer::Base::argument ? index : slots_ + index];
  }

  // Nothing is ordered within a launch by what an earlier launch did, and nothing needs to be.
  void begin_launch() {
    for (Window& window : owned_) window.shadow.forget_accesses();
  }

  void fill(const Memset& memset) {
    Window& window = at(memset.destination);
    const std::int64_t first = evaluate(memset.destination.byte_offset, context_);
    const std::int64_t bytes = evaluate(memset.bytes, context_);
    if (bytes <= 0) return;
    std::memset(window.data + window.origin + first, memset.value, static_cast<std::size_t>(bytes));
    if (!checks_) return;
    for (std::int64_t at = first; at < first + bytes; at += window.granule) {
      window.shadow.set_written((window.origin + at) / window.granule);
    }
  }

  // Output elements that nobody wrote.
  void check_written(std::vector<Finding>& findings) const {
    for (std::size_t i = 0; i < plan_.arguments.size(); ++i) {
      if (plan_.arguments[i].is_output) simulator::check_written(*windows_[i], plan_.name, findings);
    }
  }

 private:
  Window& add_window(std::string name, std::int64_t bytes, int granule) {
    Window& window = owned_.emplace_back();
    window.name = std::move(name);
    window.bytes = bytes;
    window.granule = granule;
    window.shadow.reset(bytes / granule);
    windows_.push_back(&window);
    return window;
  }

  void add_argument(std::size_t i, void* pointer) {
    const PlanArgument& argument = plan_.arguments[i];
    const ByteExtent extent = byte_extent(argument, context_);
    Window& window = add_window(argument.name, extent.below + extent.above, byte_size(argument.dtype));
    window.origin = extent.below;
    window.data = static_cast<std::byte*>(pointer) - extent.below;
    if (!argument.is_output) window.shadow.set_all_written();
    if (!checks_) return;
    std::vector<std::int64_t> shape, strides;
    for (const PlanExpr& e : argument.shape) shape.push_back(evaluate(e, context_));
    for (const PlanExpr& e : argument.strides) strides.push_back(evaluate(e, context_));
    mark_holes(window, shape, strides);
  }

  const Plan& plan_;
  const Variant& variant_;
  const PlanContext& context_;
  bool checks_;
  std::deque<Window> owned_;
  std::vector<Window*> windows_;  // of the arguments, then of the slots
  std::size_t slots_ = 0;
  std::vector<std::vector<std::byte>> workspace_;
};

class SimulatorProgram final : public LoadedProgram {
 public:
  SimulatorProgram(const Plan& plan, const Binary& binary, const Target& target)
      : plan_(plan), target_(target), kernels_(from_bytes(binary.bytes)) {
    for (std::size_t k = 0; k < kernels_.size(); ++k) by_name_.emplace(kernels_[k].kernel.name, k);
    for (const Variant& variant : plan_.variants) granules_.push_back(granules_of(variant));
  }

  // Slots are this program's own, so that their bounds are known.
  std::size_t workspace_bytes(std::span<const std::int64_t>) const override { return 0; }

  void prepare(std::span<void* const> arguments, std::span<const std::int64_t> symbols, void*) override {
    const Limits limits = limits_of(nullptr);
    const PlanContext context{symbols, limits};
    check_call(plan_, context, arguments);
    select_variant(plan_, context, arguments);
  }

  void forget_constants() override {}  // each launch computes them anew

  void launch(std::span<void* const> arguments, std::span<const std::int64_t> symbols, void*, void*) override {
    const Limits limits = limits_of(nullptr);
    const PlanContext context{symbols, limits};
    check_call(plan_, context, arguments);
    const auto index = static_cast<std::size_t>(select_variant(plan_, context, arguments));
    const Variant& variant = plan_.variants[index];
    Memory memory(plan_, variant, arguments, context, granules_[index], settings().checks);
    auto report = std::make_shared<Report>();
    for (const bool once : {true, false}) {
      for (const Step& step : variant.steps) {
        if (step.once != once) continue;
        if (const auto* fill = std::get_if<Memset>(&step.action)) {
          memory.fill(*fill);
        } else {
          run_step(std::get<quern::Launch>(step.action), memory, context, *report);
        }
      }
    }
    if (settings().checks) memory.check_written(report->findings);
    const std::lock_guard lock(mutex_);
    report_ = std::move(report);
  }

  std::shared_ptr<const Report> simulation() const override {
    const std::lock_guard lock(mutex_);
    return report_;
  }

 private:
  using Step = quern::Step;
  using Limits = std::array<std::int64_t, kDeviceLimitCount>;

  // Of the architecture; `launch` for what depends on a launch.
  Limits limits_of(const quern::Launch* launch) const {
    const GpuLimits& gpu = target_.gpu;
    Limits limits{};
    const auto set = [&](DeviceLimit limit, std::int64_t value) { limits[static_cast<std::size_t>(limit)] = value; };
    set(DeviceLimit::processors, gpu.sm_count);
    set(DeviceLimit::shared_per_block, gpu.shared_per_block);
    set(DeviceLimit::shared_per_sm, gpu.shared_per_sm);
    set(DeviceLimit::l2_bytes, gpu.l2_bytes);
    if (launch != nullptr && launch->shared_bytes.is_constant()) {
      const std::int64_t shared = launch->shared_bytes.constant_value() + gpu.shared_reserved;
      const std::int64_t resident = std::min<std::int64_t>({gpu.blocks_per_sm, gpu.threads_per_sm / launch->threads,
                                                            gpu.shared_per_sm / std::max<std::int64_t>(shared, 1)});
      set(DeviceLimit::resident_blocks, gpu.sm_count * std::max<std::int64_t>(resident, 1));
    }
    return limits;
  }

  const StoredKernel& kernel_of(const quern::Launch& launch) const {
    const auto found = by_name_.find(launch.kernel);
    if (found == by_name_.end()) {
      fail("kernel {} of {} is CUDA text of the user's own, which the simulator does not run", launch.kernel,
           plan_.name);
    }
    return kernels_[found->second];
  }

  // The least element of the kernels' parameters that each slot of the workspace is passed as.
  std::vector<int> granules_of(const Variant& variant) const {
    std::vector<int> granules(variant.workspace.size(), 16);
    for (const Step& step : variant.steps) {
      const auto* launch = std::get_if<quern::Launch>(&step.action);
      if (launch == nullptr || !by_name_.contains(launch->kernel)) continue;
      const ir::Kernel& kernel = kernel_of(*launch).kernel;
      for (std::size_t p = 0; p < kernel.params.size(); ++p) {
        const auto* pointer = std::get_if<PlanPointer>(&launch->parameters.at(p));
        if (pointer == nullptr || pointer->base != PlanPointer::Base::workspace) continue;
        int& granule = granules[static_cast<std::size_t>(pointer->index)];
        granule = std::min(granule, byte_size(kernel.params[p]->dtype));
      }
    }
    return granules;
  }

  void run_step(const quern::Launch& step, Memory& memory, const PlanContext& outer, Report& report) const {
    const Limits limits = limits_of(&step);
    const PlanContext context{outer.symbols, limits};
    const StoredKernel& stored = kernel_of(step);
    std::array<std::int64_t, 3> grid{};
    for (std::size_t d = 0; d < grid.size(); ++d) {
      grid[d] = evaluate(step.grid[d], context);
      if (grid[d] <= 0) return;
    }
    std::vector<std::int64_t> symbols;
    for (const PlanParameter& parameter : step.parameters) {
      if (const auto* scalar = std::get_if<ScalarParameter>(&parameter))
        symbols.push_back(evaluate(scalar->value, context));
    }
    Launch launch(compile_code(stored.kernel, symbols, stored.lines), target_, settings());
    launch.code.grid = grid;
    bind(step, memory, context, launch);
    memory.begin_launch();
    run(launch);
    add(report_of(std::move(launch), grid[0] * grid[1] * grid[2]), report);
  }

  static void bind(const quern::Launch& step, const Memory& memory, const PlanContext& context, Launch& launch) {
    for (const PlanParameter& parameter : step.parameters) {
      if (const auto* pointer = std::get_if<PlanPointer>(&parameter)) {
        ensure(evaluate(pointer->byte_offset, context) == 0, "a kernel's parameter is a whole tensor");
        launch.globals.push_back(&memory.at(*pointer));
      } else if (const auto* map = std::get_if<TensorMapParameter>(&parameter)) {
        launch.maps.push_back(bound(*map, memory, context, launch));
      }
    }
  }

  static ir::BoundTensorMap bound(const TensorMapParameter& map, const Memory& memory, const PlanContext& context,
                                  const Launch& launch) {
    Window* window = &memory.at(map.base);
    const auto found = std::ranges::find(launch.globals, window);
    ensure(found != launch.globals.end(), "a tensor map is of a parameter");
    const auto number = [&](const PlanExpr& e) { return evaluate(e, context); };
    return bound_map(map, map.dtype,
                     {ir::Space::global, static_cast<int>(found - launch.globals.begin()),
                      window->origin + number(map.base.byte_offset)},
                     number);
  }

  const Plan plan_;
  const Target target_;
  std::vector<StoredKernel> kernels_;
  std::unordered_map<std::string, std::size_t> by_name_;
  std::vector<std::vector<int>> granules_;  // of each variant's slots
  mutable std::mutex mutex_;
  std::shared_ptr<const Report> report_;
};

}  // namespace

Settings& settings() {
  thread_local Settings mode;
  return mode;
}

std::unique_ptr<LoadedProgram> load(const Plan& plan, const Binary& binary, const Target& target) {
  validate(plan);
  if (parse_target(binary.target).kind != TargetKind::sim) {
    fail("program '{}' was compiled for {}, not for the simulator; compile it for {}", plan.name, binary.target,
         to_text(target));
  }
  return std::make_unique<SimulatorProgram>(plan, binary, target);
}

}  // namespace quern::runtime::simulator
