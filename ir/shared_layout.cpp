#include "ir/shared_layout.h"

#include <algorithm>

#include "base/error.h"

namespace quern::ir {

SharedLayout shared_layout(const Kernel& kernel) {
  SharedLayout result;
  for (const BufferRef& buffer : kernel.shared) {
    const std::int64_t alignment = std::max<std::int64_t>(buffer->alignment, byte_size(buffer->dtype));
    ensure((alignment & (alignment - 1)) == 0, "alignments are powers of two");
    result.bytes = (result.bytes + alignment - 1) / alignment * alignment;
    result.offsets.push_back(result.bytes);
    result.bytes += shared_bytes(*buffer);
    result.alignment = std::max(result.alignment, alignment);
  }
  return result;
}

std::int64_t shared_bytes(const Buffer& buffer) {
  ensure(buffer.space == Space::shared || buffer.space == Space::barrier, "the buffer lies in shared memory");
  return span_of(buffer.layout, Place::address) * byte_size(buffer.dtype);
}

}  // namespace quern::ir
