#include "runtime/cuda/tensor_map.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "base/error.h"

namespace quern::runtime::cuda {
namespace {

constexpr std::size_t kDims = 1, kStrides = 6, kLower = 10, kUpper = 13;  // where they begin in a key

CUtensorMapDataType data_type(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return CU_TENSOR_MAP_DATA_TYPE_FLOAT64;
    case DType::f32:
      return CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
    case DType::f16:
      return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
    case DType::bf16:
      return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    case DType::i64:
      return CU_TENSOR_MAP_DATA_TYPE_INT64;
    case DType::u64:
      return CU_TENSOR_MAP_DATA_TYPE_UINT64;
    case DType::i32:
      return CU_TENSOR_MAP_DATA_TYPE_INT32;
    case DType::u32:
      return CU_TENSOR_MAP_DATA_TYPE_UINT32;
    case DType::i16:
    case DType::u16:
      return CU_TENSOR_MAP_DATA_TYPE_UINT16;
    default:
      return CU_TENSOR_MAP_DATA_TYPE_UINT8;
  }
}

CUtensorMapSwizzle swizzle(TensorMapParameter::Swizzle value) {
  constexpr std::array kValues = {CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_SWIZZLE_32B, CU_TENSOR_MAP_SWIZZLE_64B,
                                  CU_TENSOR_MAP_SWIZZLE_128B};
  return kValues[static_cast<std::size_t>(value)];
}

CUtensorMapL2promotion promotion(TensorMapParameter::L2Promotion value) {
  constexpr std::array kValues = {CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_L2_PROMOTION_L2_64B,
                                  CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B};
  return kValues[static_cast<std::size_t>(value)];
}

// Drivers up to 13.1 encode maps of small tensors wrongly; CUTLASS clears this bit of the second word for them.
void mend_small_map(CUtensorMap& encoded, const TensorMapParameter& map, const TensorMapKey& key) {
  constexpr int kLastBadDriver = 13010;
  constexpr std::uint64_t kSmall = 131072;
  if (driver().version > kLastBadDriver) return;
  std::uint64_t bytes = static_cast<std::uint64_t>(byte_size(map.dtype));
  bytes += (key[kDims] - 1) * static_cast<std::uint64_t>(byte_size(map.dtype));
  for (std::size_t i = 1; i < map.dims.size(); ++i) bytes += (key[kDims + i] - 1) * key[kStrides + i - 1];
  if (bytes < kSmall) encoded.opaque[1] &= ~(cuuint64_t{1} << 21);
}

std::string numbers(const TensorMapKey& key) {
  return fmt::format("address {:#x}, dims and strides and corners {}", key[0],
                     fmt::join(std::span(key).subspan(1), " "));
}

}  // namespace

TensorMapKey tensor_map_key(const TensorMapParameter& map, std::uint64_t base, const PlanContext& context) {
  TensorMapKey key{};
  key[0] = base;
  const auto put = [&](std::size_t at, const std::vector<PlanExpr>& values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      key[at + i] = static_cast<std::uint64_t>(evaluate(values[i], context));
    }
  };
  put(kDims, map.dims);
  put(kStrides, map.byte_strides);
  put(kLower, map.lower_corner);
  put(kUpper, map.upper_corner);
  return key;
}

CUtensorMap encode_tensor_map(const TensorMapParameter& map, const TensorMapKey& key) {
  CUtensorMap encoded;
  const auto rank = static_cast<cuuint32_t>(map.dims.size());
  void* base = reinterpret_cast<void*>(key[0]);
  std::array<cuuint32_t, 5> element_strides{};
  std::copy(map.element_strides.begin(), map.element_strides.end(), element_strides.begin());
  static_assert(sizeof(cuuint64_t) == sizeof(std::uint64_t));
  std::array<cuuint64_t, 5> dims{};
  std::array<cuuint64_t, 4> strides{};
  std::copy_n(key.begin() + kDims, dims.size(), dims.begin());
  std::copy_n(key.begin() + kStrides, strides.size(), strides.begin());
  const auto fill = map.fill == TensorMapParameter::Fill::nan ? CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA
                                                              : CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE;
  CUresult result = CUDA_SUCCESS;
  if (map.mode == TensorMapParameter::Mode::tiled) {
    std::array<cuuint32_t, 5> box{};
    std::copy(map.box.begin(), map.box.end(), box.begin());
    result = driver().cuTensorMapEncodeTiled(&encoded, data_type(map.dtype), rank, base, dims.data(), strides.data(),
                                             box.data(), element_strides.data(), CU_TENSOR_MAP_INTERLEAVE_NONE,
                                             swizzle(map.swizzle), promotion(map.l2_promotion), fill);
  } else {
    std::array<int, 3> lower{}, upper{};
    for (std::size_t i = 0; i < 3; ++i) {
      lower[i] = static_cast<int>(key[kLower + i]);
      upper[i] = static_cast<int>(key[kUpper + i]);
    }
    result = driver().cuTensorMapEncodeIm2col(
        &encoded, data_type(map.dtype), rank, base, dims.data(), strides.data(), lower.data(), upper.data(),
        static_cast<cuuint32_t>(map.channels), static_cast<cuuint32_t>(map.pixels), element_strides.data(),
        CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle(map.swizzle), promotion(map.l2_promotion), fill);
  }
  if (result != CUDA_SUCCESS) {
    throw InternalError(fmt::format("the driver refuses a tensor map of {} of rank {} (error {}): {}; box {}",
                                    name(map.dtype), rank, static_cast<int>(result), numbers(key),
                                    fmt::join(map.box, " ")));
  }
  mend_small_map(encoded, map, key);
  return encoded;
}

bool TensorMapCache::read(const Entry& entry, const TensorMapKey& key, CUtensorMap& map) {
  const std::uint32_t before = entry.sequence.load(std::memory_order_acquire);
  if (before % 2 != 0 || before == 0) return false;
  for (std::size_t i = 0; i < kTensorMapNumbers; ++i) {
    if (entry.words[i].load(std::memory_order_relaxed) != key[i]) return false;
  }
  for (std::size_t i = 0; i < kMapWords; ++i) {
    map.opaque[i] = entry.words[kTensorMapNumbers + i].load(std::memory_order_relaxed);
  }
  std::atomic_thread_fence(std::memory_order_acquire);
  return entry.sequence.load(std::memory_order_relaxed) == before;
}

void TensorMapCache::write(Entry& entry, const TensorMapKey& key, const CUtensorMap& map) {
  std::uint32_t before = entry.sequence.load(std::memory_order_relaxed);
  if (before % 2 != 0 || !entry.sequence.compare_exchange_strong(before, before + 1, std::memory_order_acquire)) return;
  std::atomic_thread_fence(std::memory_order_release);
  for (std::size_t i = 0; i < kTensorMapNumbers; ++i) entry.words[i].store(key[i], std::memory_order_relaxed);
  for (std::size_t i = 0; i < kMapWords; ++i) {
    entry.words[kTensorMapNumbers + i].store(map.opaque[i], std::memory_order_relaxed);
  }
  entry.sequence.store(before + 2, std::memory_order_release);
}

CUtensorMap TensorMapCache::get(const TensorMapParameter& map, const TensorMapKey& key) {
  // Pointers are multiples of 256 mostly; a multiplication spreads them over the entries.
  Entry& entry = entries_[(key[0] * 0x9e3779b97f4a7c15u) >> 60];
  CUtensorMap encoded;
  if (read(entry, key, encoded)) return encoded;
  encoded = encode_tensor_map(map, key);
  write(entry, key, encoded);
  return encoded;
}

}  // namespace quern::runtime::cuda
