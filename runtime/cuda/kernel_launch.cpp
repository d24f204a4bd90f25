#include "runtime/cuda/kernel_launch.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/fast_division.h"

namespace quern::runtime::cuda {
namespace {

constexpr int kPortableCluster = 8;

struct Layout {
  std::size_t size, alignment;
};

Layout layout(const PlanParameter& parameter) {
  if (std::holds_alternative<TensorMapParameter>(parameter)) return {sizeof(CUtensorMap), 64};
  if (std::holds_alternative<FastDivisionParameter>(parameter)) return {sizeof(FastDivision), 4};
  if (const auto* scalar = std::get_if<ScalarParameter>(&parameter)) {
    const bool wide = scalar->type == ScalarParameter::Type::i64 || scalar->type == ScalarParameter::Type::u64;
    return wide ? Layout{8, 8} : Layout{4, 4};
  }
  return {sizeof(CUdeviceptr), 8};
}

std::size_t place(std::size_t offset, Layout what) {
  return (offset + what.alignment - 1) / what.alignment * what.alignment;
}

// The bits of a scalar, its low bytes first.
std::uint64_t scalar_bits(ScalarParameter::Type type, std::int64_t value) {
  return type == ScalarParameter::Type::f32 ? std::bit_cast<std::uint32_t>(static_cast<float>(value))
                                            : static_cast<std::uint64_t>(value);
}

bool all_constant(const std::array<PlanExpr, 3>& values) { return std::ranges::all_of(values, &PlanExpr::is_constant); }

CUfunction as_function(CUkernel kernel) { return reinterpret_cast<CUfunction>(kernel); }

// Blocks along one axis; a negative number counts as none.
unsigned blocks(const Launch& launch, const std::array<PlanExpr, 3>& grid, std::size_t axis,
                const PlanContext& context) {
  const std::int64_t size = evaluate(grid[axis], context);
  const std::int64_t largest = axis == 0 ? std::numeric_limits<std::int32_t>::max() : 65535;
  if (size > largest) [[unlikely]] {
    throw InternalError(
        fmt::format("kernel '{}' wants {} blocks along axis {}, at most {}", launch.kernel, size, axis, largest));
  }
  return static_cast<unsigned>(std::max<std::int64_t>(size, 0));
}

}  // namespace

CUdeviceptr CallMemory::address(const PlanPointer& pointer, const PlanContext& context) const {
  const auto offset = static_cast<CUdeviceptr>(evaluate(pointer.byte_offset, context));
  const auto index = static_cast<std::size_t>(pointer.index);
  if (pointer.base == PlanPointer::Base::argument) return reinterpret_cast<CUdeviceptr>(arguments[index]) + offset;
  return (variant.workspace[index].persistent ? persistent : workspace) +
         static_cast<CUdeviceptr>(workspace_offset(variant, pointer.index, context)) + offset;
}

KernelLaunch::KernelLaunch(const Gpu& gpu, const Launch& launch, CUkernel kernel)
    : launch_(launch), kernel_(kernel), limits_(gpu.limits) {
  check_parameters();
  for (const PlanParameter& parameter : launch_.parameters) {
    if (std::holds_alternative<TensorMapParameter>(parameter)) maps_.emplace_back();
  }
  opt_in(gpu);
  if (uses_resident_blocks(launch_)) {
    limits_[static_cast<std::size_t>(DeviceLimit::resident_blocks)] = resident_blocks();
  }
}

void KernelLaunch::check_parameters() const {
  std::size_t end = 0;
  for (std::size_t i = 0; i < launch_.parameters.size(); ++i) {
    const Layout ours = layout(launch_.parameters[i]);
    std::size_t offset = 0, size = 0;
    if (driver().cuKernelGetParamInfo(kernel_, i, &offset, &size) != CUDA_SUCCESS || size != ours.size) {
      throw InternalError(fmt::format("parameter {} of kernel '{}' has {} bytes (0: there is none), its plan passes {}",
                                      i, launch_.kernel, size, ours.size));
    }
    end = place(end, ours) + ours.size;
  }
  if (launch_.parameters.size() > kMaxParameters || end > kMaxParameterBytes) {
    throw InternalError(fmt::format("kernel '{}' takes {} parameters of {} bytes, at most {} of {}", launch_.kernel,
                                    launch_.parameters.size(), end, kMaxParameters, kMaxParameterBytes));
  }
}

void KernelLaunch::opt_in(const Gpu& gpu) {
  const Driver& d = driver();
  const auto set = [&](CUfunction_attribute attribute, int value) {
    check(d.cuKernelSetAttribute(attribute, value, kernel_, gpu.device), "setting up kernel '" + launch_.kernel + "'");
  };
  if (launch_.shared_bytes != PlanExpr(0)) {
    int fixed = 0;
    check(d.cuKernelGetAttribute(&fixed, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, kernel_, gpu.device),
          "reading the shared memory of kernel '" + launch_.kernel + "'");
    const std::int64_t available = gpu.limits[static_cast<std::size_t>(DeviceLimit::shared_per_block)] - fixed;
    if (launch_.shared_bytes.is_constant() && launch_.shared_bytes.constant_value() > available) {
      fail("kernel '{}' needs {} B of dynamic shared memory, {} has {} beside the kernel's {} static ones",
           launch_.kernel, launch_.shared_bytes.constant_value(), gpu.id, available, fixed);
    }
    set(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, static_cast<int>(available));
  }
  const auto& c = launch_.cluster;
  const bool portable =
      all_constant(c) && c[0].constant_value() * c[1].constant_value() * c[2].constant_value() <= kPortableCluster;
  if (!portable) set(CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1);
}

KernelLaunch::Config KernelLaunch::config(const std::array<PlanExpr, 3>& grid, const PlanContext& context) const {
  Config config;
  config.cluster.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  auto& dim = config.cluster.value.clusterDim;
  dim.x = static_cast<unsigned>(evaluate(launch_.cluster[0], context));
  dim.y = static_cast<unsigned>(evaluate(launch_.cluster[1], context));
  dim.z = static_cast<unsigned>(evaluate(launch_.cluster[2], context));
  config.launch.gridDimX = blocks(launch_, grid, 0, context);
  config.launch.gridDimY = blocks(launch_, grid, 1, context);
  config.launch.gridDimZ = blocks(launch_, grid, 2, context);
  config.launch.blockDimX = static_cast<unsigned>(launch_.threads);
  config.launch.blockDimY = config.launch.blockDimZ = 1;
  config.launch.sharedMemBytes = static_cast<unsigned>(evaluate(launch_.shared_bytes, context));
  config.launch.numAttrs = dim.x * dim.y * dim.z > 1 ? 1 : 0;
  return config;
}

std::int64_t KernelLaunch::resident_blocks() const {
  Config shape = config(launch_.cluster, context({}));  // no symbol is in it (validate)
  shape.launch.attrs = &shape.cluster;
  const auto& dim = shape.cluster.value.clusterDim;
  int count = 0;
  if (shape.launch.numAttrs == 1) {
    check(driver().cuOccupancyMaxActiveClusters(&count, as_function(kernel_), &shape.launch),
          "asking for the resident clusters of kernel '" + launch_.kernel + "'");
    return std::int64_t{count} * dim.x * dim.y * dim.z;
  }
  check(driver().cuOccupancyMaxActiveBlocksPerMultiprocessor(&count, as_function(kernel_), launch_.threads,
                                                             shape.launch.sharedMemBytes),
        "asking for the resident blocks of kernel '" + launch_.kernel + "'");
  return std::int64_t{count} * limits_[static_cast<std::size_t>(DeviceLimit::processors)];
}

void KernelLaunch::pack(const CallMemory& memory, const PlanContext& context, Packed& packed) {
  std::size_t end = 0, count = 0;
  auto cache = maps_.begin();
  const auto put = [&](const PlanParameter& parameter, const void* value) {
    const Layout what = layout(parameter);
    const std::size_t at = place(end, what);
    std::memcpy(packed.bytes.data() + at, value, what.size);
    packed.pointers[count++] = packed.bytes.data() + at;
    end = at + what.size;
  };
  for (const PlanParameter& parameter : launch_.parameters) {
    if (const auto* pointer = std::get_if<PlanPointer>(&parameter)) {
      const CUdeviceptr address = memory.address(*pointer, context);
      put(parameter, &address);
    } else if (const auto* scalar = std::get_if<ScalarParameter>(&parameter)) {
      const std::uint64_t bits = scalar_bits(scalar->type, evaluate(scalar->value, context));
      put(parameter, &bits);
    } else if (const auto* division = std::get_if<FastDivisionParameter>(&parameter)) {
      const FastDivision constants = fast_division(evaluate(division->divisor, context));
      put(parameter, &constants);
    } else {
      const auto& map = std::get<TensorMapParameter>(parameter);
      const CUtensorMap encoded = (cache++)->get(map, tensor_map_key(map, memory.address(map.base, context), context));
      put(parameter, &encoded);
    }
  }
}

void KernelLaunch::run(const CallMemory& memory, std::span<const std::int64_t> symbols, CUstream stream) {
  const PlanContext context = this->context(symbols);
  Config config = this->config(launch_.grid, context);
  const CUlaunchConfig& grid = config.launch;
  if (grid.gridDimX == 0 || grid.gridDimY == 0 || grid.gridDimZ == 0) return;
  Packed packed;
  pack(memory, context, packed);
  config.launch.attrs = &config.cluster;
  config.launch.hStream = stream;
  const CUresult result =
      driver().cuLaunchKernelEx(&config.launch, as_function(kernel_), packed.pointers.data(), nullptr);
  if (result != CUDA_SUCCESS) [[unlikely]] {
    check(result,
          fmt::format("launching '{}' with {} x {} x {} blocks of {} threads and {} B of shared memory", launch_.kernel,
                      grid.gridDimX, grid.gridDimY, grid.gridDimZ, grid.blockDimX, grid.sharedMemBytes));
  }
}

void KernelLaunch::prepare(const CallMemory& memory, std::span<const std::int64_t> symbols) {
  CUfunction function = nullptr;
  check(driver().cuKernelGetFunction(&function, kernel_), "loading kernel '" + launch_.kernel + "'");
  check(driver().cuFuncLoad(function), "loading kernel '" + launch_.kernel + "'");
  const PlanContext context = this->context(symbols);
  auto cache = maps_.begin();
  for (const PlanParameter& parameter : launch_.parameters) {
    const auto* map = std::get_if<TensorMapParameter>(&parameter);
    if (map == nullptr) continue;
    if (map->base.base == PlanPointer::Base::argument) {
      cache->get(*map, tensor_map_key(*map, memory.address(map->base, context), context));
    }
    ++cache;
  }
}

}  // namespace quern::runtime::cuda
