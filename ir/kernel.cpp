#include "ir/kernel.h"

#include <algorithm>

#include "base/error.h"

namespace quern::ir {

BufferRef make_buffer(std::string name, DType dtype, Space space, Layout layout, std::int64_t alignment) {
  ensure(space != Space::global, "a buffer with a layout is on chip");
  check(layout);
  auto buffer = std::make_shared<Buffer>();
  buffer->name = std::move(name);
  buffer->dtype = dtype;
  for (const Mode& mode : layout.modes) buffer->shape.emplace_back(extent(mode));
  buffer->space = space;
  buffer->layout = std::move(layout);
  buffer->alignment = alignment;
  return buffer;
}

BufferRef make_global(const TensorRef& tensor) {
  auto buffer = std::make_shared<Buffer>();
  static_cast<Tensor&>(*buffer) = *tensor;
  buffer->alignment = byte_size(tensor->dtype);
  return buffer;
}

const Buffer* try_buffer(const Tensor& tensor) { return dynamic_cast<const Buffer*>(&tensor); }

const Buffer& as_buffer(const Tensor& tensor) {
  const Buffer* buffer = try_buffer(tensor);
  ensure(buffer != nullptr, "a kernel program reads and writes buffers");
  return *buffer;
}

Stmt block(std::vector<Stmt> body) {
  const auto declares = [](const Stmt& stmt) { return get_if<Alloc>(stmt) || get_if<Let>(stmt); };
  std::vector<Stmt> flat;
  for (Stmt& stmt : body) {
    const Block* inner = get_if<Block>(stmt);
    if (inner && std::ranges::none_of(inner->body, declares)) {
      flat.insert(flat.end(), inner->body.begin(), inner->body.end());
    } else {
      flat.push_back(std::move(stmt));
    }
  }
  return make_stmt(Block{std::move(flat)});
}

}  // namespace quern::ir
