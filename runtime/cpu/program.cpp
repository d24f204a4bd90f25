#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/fast_division.h"
#include "runtime/check_call.h"
#include "runtime/constants.h"
#include "runtime/cpu/load.h"
#include "runtime/cpu/object.h"
#include "runtime/cpu/threads.h"

namespace quern::runtime::cpu {
namespace {

// Where a call's memory lies.
struct CallMemory {
  const Variant& variant;
  std::span<void* const> arguments;
  std::byte* workspace = nullptr;   // of the call's own slots
  std::byte* persistent = nullptr;  // of the persistent slots

  void* address(const PlanPointer& pointer, const PlanContext& context) const {
    const auto index = static_cast<std::size_t>(pointer.index);
    const std::int64_t offset = evaluate(pointer.byte_offset, context);
    if (pointer.base == PlanPointer::Base::argument) return static_cast<std::byte*>(arguments[index]) + offset;
    std::byte* slots = variant.workspace[index].persistent ? persistent : workspace;
    return slots + workspace_offset(variant, pointer.index, context) + offset;
  }
};

std::int64_t scalar_word(const ScalarParameter& parameter, const PlanContext& context) {
  const std::int64_t value = evaluate(parameter.value, context);
  switch (parameter.type) {
    case ScalarParameter::Type::i32:
      return static_cast<std::int32_t>(value);
    case ScalarParameter::Type::u32:
      return static_cast<std::uint32_t>(value);
    case ScalarParameter::Type::f32:
      return std::bit_cast<std::uint32_t>(static_cast<float>(value));
    case ScalarParameter::Type::i64:
    case ScalarParameter::Type::u64:
      return value;
  }
  unreachable("a scalar parameter has one of the listed types");
}

std::int64_t division_word(const FastDivisionParameter& parameter, const PlanContext& context) {
  const FastDivision constants = fast_division(evaluate(parameter.divisor, context));
  return static_cast<std::int64_t>(std::uint64_t{constants.shift} << 32 | constants.multiplier);
}

void run_launch(const Launch& launch, CpuKernelFunction function, const CallMemory& memory,
                const PlanContext& context) {
  CpuKernelArguments arguments{};
  std::int64_t blocks = 1;
  for (std::size_t i = 0; i < launch.grid.size(); ++i) {
    arguments.grid[i] = evaluate(launch.grid[i], context);
    if (arguments.grid[i] <= 0) return;
    blocks *= arguments.grid[i];
  }
  // Kept by the thread, so that only its first launches allocate.
  thread_local std::vector<void*> pointers;
  thread_local std::vector<std::int64_t> scalars;
  pointers.clear();
  scalars.clear();
  for (const PlanParameter& parameter : launch.parameters) {
    if (const auto* pointer = std::get_if<PlanPointer>(&parameter)) {
      pointers.push_back(memory.address(*pointer, context));
    } else if (const auto* scalar = std::get_if<ScalarParameter>(&parameter)) {
      scalars.push_back(scalar_word(*scalar, context));
    } else {
      scalars.push_back(division_word(std::get<FastDivisionParameter>(parameter), context));
    }
  }
  arguments.buffers = pointers.data();
  arguments.scalars = scalars.data();
  const std::int64_t scratch = evaluate(launch.shared_bytes, context);
  run_blocks(function, arguments, blocks, static_cast<std::size_t>(std::max<std::int64_t>(scratch, 0)));
}

// Memory of a variant's persistent slots.
struct PersistentMemory {
  std::unique_ptr<ThreadMemory> owner = std::make_unique<ThreadMemory>();
  std::byte* data = nullptr;
};

class CpuProgram final : public LoadedProgram {
 public:
  CpuProgram(const Plan& plan, const Binary& binary) : plan_(plan), object_(binary.bytes, plan.name) {
    for (const Variant& variant : plan_.variants) {
      std::vector<CpuKernelFunction>& functions = functions_.emplace_back();
      for (const Step& step : variant.steps) {
        const auto* launch = std::get_if<Launch>(&step.action);
        if (launch) check_parameters(*launch);
        functions.push_back(launch ? object_.function(launch->kernel) : nullptr);
      }
    }
  }

  std::size_t workspace_bytes(std::span<const std::int64_t> symbols) const override {
    const Limits limits = device_limits();
    const PlanContext context{symbols, limits};
    check_sizes(plan_, context);
    std::int64_t bytes = 0;
    for (const Variant& variant : plan_.variants) {
      const bool may_serve = std::ranges::all_of(variant.guards, [&](const Guard& guard) {
        return std::holds_alternative<AlignmentGuard>(guard) || holds(guard, context, {});
      });
      if (may_serve) bytes = std::max(bytes, quern::workspace_bytes(variant, context));
    }
    return static_cast<std::size_t>(bytes);
  }

  void prepare(std::span<void* const> arguments, std::span<const std::int64_t> symbols, void*) override {
    const Limits limits = device_limits();
    const PlanContext context{symbols, limits};
    persistent(choose(arguments, context), arguments, context);
  }

  void forget_constants() override { constants_.drop(); }

  void launch(std::span<void* const> arguments, std::span<const std::int64_t> symbols, void*,
              void* workspace) override {
    const Limits limits = device_limits();
    const PlanContext context{symbols, limits};
    const std::size_t index = choose(arguments, context);
    CallMemory memory{.variant = plan_.variants[index], .arguments = arguments};
    memory.persistent = persistent(index, arguments, context);
    memory.workspace = static_cast<std::byte*>(workspace);
    if (workspace == nullptr) {
      thread_local ThreadMemory own;
      const std::int64_t bytes = quern::workspace_bytes(memory.variant, context);
      memory.workspace = static_cast<std::byte*>(own.at_least(static_cast<std::size_t>(bytes)));
    }
    run(index, memory, context, false);
  }

 private:
  using Limits = std::array<std::int64_t, kDeviceLimitCount>;

  // One block runs on each thread. Shared memory has no limit but the cache that it should stay in.
  static Limits device_limits() {
    static const std::int64_t l2_bytes = host_cpu_target().cpu.l2_bytes;
    Limits limits{};
    const auto set = [&](DeviceLimit limit, std::int64_t value) { limits[static_cast<std::size_t>(limit)] = value; };
    const std::int64_t threads = thread_count();
    set(DeviceLimit::processors, threads);
    set(DeviceLimit::resident_blocks, threads);
    set(DeviceLimit::shared_per_block, l2_bytes);
    set(DeviceLimit::shared_per_sm, l2_bytes);
    set(DeviceLimit::l2_bytes, l2_bytes);
    return limits;
  }

  static void check_parameters(const Launch& launch) {
    for (const PlanParameter& parameter : launch.parameters) {
      ensure(!std::holds_alternative<TensorMapParameter>(parameter), "a CPU kernel takes no tensor maps");
    }
  }

  std::size_t choose(std::span<void* const> arguments, const PlanContext& context) const {
    check_call(plan_, context, arguments);
    return static_cast<std::size_t>(select_variant(plan_, context, arguments));
  }

  // Runs the steps whose `once` is as asked.
  void run(std::size_t index, const CallMemory& memory, const PlanContext& context, bool once) const {
    for (std::size_t i = 0; i < memory.variant.steps.size(); ++i) {
      const Step& step = memory.variant.steps[i];
      if (step.once != once) continue;
      if (const auto* memset = std::get_if<Memset>(&step.action)) {
        const std::int64_t bytes = evaluate(memset->bytes, context);
        if (bytes <= 0) continue;
        std::memset(memory.address(memset->destination, context), memset->value, static_cast<std::size_t>(bytes));
      } else {
        run_launch(std::get<Launch>(step.action), functions_[index][i], memory, context);
      }
    }
  }

  // Memory of the variant's persistent slots for these const arguments, computed now if it never was.
  std::byte* persistent(std::size_t index, std::span<void* const> arguments, const PlanContext& context) {
    const Variant& variant = plan_.variants[index];
    if (std::ranges::none_of(variant.workspace, &WorkspaceSlot::persistent)) return nullptr;
    const auto compute = [&] {
      PersistentMemory memory;
      const std::int64_t bytes = quern::workspace_bytes(variant, context, true);
      memory.data = static_cast<std::byte*>(memory.owner->at_least(static_cast<std::size_t>(bytes)));
      run(index, {.variant = variant, .arguments = arguments, .persistent = memory.data}, context, true);
      return memory;
    };
    return constants_.get(variant, arguments, context.symbols, compute).data;
  }

  const Plan plan_;
  LoadedObject object_;
  std::vector<std::vector<CpuKernelFunction>> functions_;  // of each variant's steps; null for what is no launch
  ConstantResults<PersistentMemory> constants_{plan_};
};

// Feature levels, each of which includes those below.
int level(const Target& target) {
  constexpr std::array<std::string_view, 4> kLevels = {"generic", "x86-64-v2", "x86-64-v3", "x86-64-v4"};
  return static_cast<int>(std::ranges::find(kLevels, target.arch) - kLevels.begin());
}

}  // namespace

std::unique_ptr<LoadedProgram> load(const Plan& plan, const Binary& binary) {
  validate(plan);
  const Target target = parse_target(binary.target);
  const Target host = host_cpu_target();
  if (target.kind != TargetKind::cpu || level(target) > level(host)) {
    fail("program '{}' was compiled for {}, but this processor runs {}; compile it for that", plan.name, binary.target,
         to_text(host));
  }
  return std::make_unique<CpuProgram>(plan, binary);
}

}  // namespace quern::runtime::cpu
