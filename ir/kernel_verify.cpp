#include "ir/kernel_verify.h"

#include <algorithm>

#include "base/error.h"
#include "ir/expr_parser.h"
#include "ir/kernel_printer.h"
#include "ir/kernel_verifier.h"
#include "ir/printer.h"
#include "ir/rewrite.h"

namespace quern::ir {

void verify(const Kernel& kernel) { KernelVerifier(kernel).run(); }

void KernelVerifier::run() {
  check_header();
  threads_ = {.role = 0, .warps = kernel_.warps, .lanes = kernel_.lanes, .elected = false};
  require(kernel_.body != nullptr, "a kernel has a body");
  check_list(kernel_.body);
}

void KernelVerifier::refuse(const std::string& reason) const {
  if (!at_) throw InternalError(fmt::format("kernel {}: {}", kernel_.name, reason));
  const std::string line = at_->line == 0 ? "" : fmt::format(" line {},", at_->line);
  throw InternalError(fmt::format("kernel {},{} in `{}`: {}", kernel_.name, line, headline(at_, &kernel_), reason));
}

void KernelVerifier::check_header() {
  require(is_valid_name(kernel_.name), "a kernel's name is a name");
  require(kernel_.warps >= 1 && kernel_.lanes >= 1 && kernel_.warps * kernel_.lanes <= 1024,
          "a block has 1 to 1024 threads");
  require(!kernel_.grid.empty() && kernel_.grid.size() <= 3 && kernel_.grid.size() == kernel_.block.size(),
          "a grid has one to three extents, each with its block variable");
  std::int64_t blocks = 1;
  for (std::int64_t extent : kernel_.cluster) blocks *= extent;
  require(kernel_.cluster.size() <= kernel_.grid.size() && blocks >= 1 && blocks <= 16, "a cluster has 1 to 16 blocks");

  for (const VarRef& symbol : kernel_.symbols) declare(symbol);
  for (const BufferRef& param : kernel_.params) {
    require(param->space == Space::global, "a parameter is a global buffer");
    require(param->strides.empty() || param->strides.size() == param->rank(), "a buffer has a stride per dimension");
    for (const Expr& e : param->shape) check_index(e);
    for (const Expr& e : param->strides) check_index(e);
  }
  for (const BufferRef& param : kernel_.params) declare(param);
  for (const Expr& extent : kernel_.grid) check_index(extent);
  for (const Fact& fact : kernel_.facts) check_fact(fact);
  for (const TensorMapParam& map : kernel_.maps) check_tensor_map(map);
  for (const BufferRef& shared : kernel_.shared) {
    require(shared->space == Space::shared || shared->space == Space::barrier,
            "the kernel's own buffers are shared memory and mbarriers");
    check_on_chip(*shared);
    declare(shared);
  }
  for (const VarRef& block : kernel_.block) declare(block);
  if (kernel_.form == Form::thread) {
    require(kernel_.warp && kernel_.lane, "thread form has the variables warp and lane");
    declare(kernel_.warp);
    declare(kernel_.lane);
  }
}

void KernelVerifier::check_fact(const Fact& fact) {
  const bool of_tensor = fact.kind == Fact::Kind::aligned || fact.kind == Fact::Kind::nondecreasing;
  if (fact.kind == Fact::Kind::condition) {
    check_expr(fact.condition);
    require(is_bool(fact.condition->dtype), "a fact is a condition");
  }
  require(!of_tensor || fact.tensor, "a fact names its tensor");
  if (fact.tensor) visible(*fact.tensor);
  if (fact.kind == Fact::Kind::range) {
    require(fact.tensor || fact.symbol, "a range is of a tensor or a symbol");
    check_index(fact.lo);
    check_index(fact.hi);
  }
}

void KernelVerifier::check_tensor_map(const TensorMapParam& map) {
  visible(*map.buffer);
  const std::size_t rank = map.dims.size();
  require(map.buffer->space == Space::global && rank >= 1 && rank <= 5, "a tensor map is of 1 to 5 global dimensions");
  require(map.byte_strides.size() + 1 == rank, "a tensor map has a stride for all dimensions but the first");
  require(map.element_strides.empty() || map.element_strides.size() == rank, "element strides are one per dimension");
  for (const Expr& e : map.dims) check_index(e);
  for (const Expr& e : map.byte_strides) check_index(e);
  for (const Expr& e : map.lower_corner) check_index(e);
  for (const Expr& e : map.upper_corner) check_index(e);
  if (map.byte_offset) check_index(map.byte_offset);
  if (map.mode == TensorMapParameter::Mode::tiled) {
    require(map.box.size() == rank && std::ranges::all_of(map.box, [](int e) { return e >= 1 && e <= 256; }),
            "a tensor map's box has 1 to 256 elements per dimension");
  } else {
    require(rank >= 3 && map.lower_corner.size() == rank - 2 && map.upper_corner.size() == rank - 2,
            "an im2col map has a corner per spatial dimension");
    require(map.channels >= 1 && map.channels <= 256 && map.pixels >= 1 && map.pixels <= 1024,
            "an im2col map moves 1 to 256 channels of 1 to 1024 pixels");
  }
  // What the driver refuses: the CUDA driver API's page of cuTensorMapEncodeTiled.
  require(std::ranges::all_of(map.element_strides, [](int e) { return e >= 1 && e <= 8; }),
          "a tensor map's element strides are 1 to 8");
  const int row = map.mode == TensorMapParameter::Mode::tiled ? map.box[0] : map.channels;
  const int bytes = row * byte_size(map.buffer->dtype), most = swizzle_bytes(map.swizzle);
  require(bytes % 16 == 0, "a row of a tensor map's box has {} bytes, not a multiple of 16", bytes);
  require(most == 0 || bytes <= most, "a row of a tensor map's box has {} bytes, its swizzle spans {}", bytes, most);
}

// What holds for shared buffers, mbarriers and fragments alike, and for each.
void KernelVerifier::check_on_chip(const Buffer& buffer) {
  ir::check(buffer.layout);
  std::vector<std::int64_t> shape;
  for (const Expr& extent : buffer.shape) shape.push_back(as_integer(extent).value_or(-1));
  const bool flat = buffer.rank() == 1 && buffer.layout == row_major(shape);
  require(extents(buffer.layout) == shape && buffer.strides.empty(), "the shape of {} is that of its layout",
          buffer.name);
  require(buffer.alignment >= 1 && (buffer.alignment & (buffer.alignment - 1)) == 0 && buffer.alignment <= 1024,
          "{} is aligned to a power of two up to 1024 bytes", buffer.name);
  if (kernel_.form == Form::thread) require(flat, "in thread form {} is flat", buffer.name);
  if (buffer.space == Space::barrier) {
    require(flat && buffer.dtype == DType::u64 && buffer.alignment % 8 == 0,
            "the mbarriers {} are a flat array of u64 aligned to 8 bytes", buffer.name);
  } else if (buffer.space == Space::shared) {
    for (const Mode& mode : buffer.layout.modes) {
      for (const Digit& digit : mode) {
        require(digit.place == Place::address || digit.extent == 1, "{} maps to addresses", buffer.name);
      }
    }
    require(is_injective(buffer.layout), "no two elements of {} share an address", buffer.name);
  } else if (kernel_.form == Form::tile) {
    check_distribution(buffer.layout);
  }
}

void KernelVerifier::declare(const VarRef& var) {
  require(var != nullptr, "a declared variable exists");
  require(variables_.insert(var.get()).second, "{} is declared once", var->name);
  declared_variables_.push_back(var.get());
}

void KernelVerifier::declare(const BufferRef& buffer) {
  require(kernel_.form == Form::tile || buffer->rank() == 1, "in thread form {} is flat", buffer->name);
  require(buffers_.emplace(buffer.get(), threads_.role).second, "{} is declared once", buffer->name);
  declared_buffers_.push_back(buffer.get());
}

const Buffer& KernelVerifier::visible(const Tensor& tensor) const {
  const Buffer* buffer = try_buffer(tensor);
  if (!buffer) refuse(fmt::format("{} is a buffer", tensor.name));
  require(buffers_.contains(buffer), "the buffer {} is in scope", buffer->name);
  return *buffer;
}

// `place`: the outermost read is an address.
void KernelVerifier::check_expr(const Expr& e, bool place) {
  require(static_cast<bool>(e), "an expression is present");
  visit(e, [&](const Expr& node) {
    switch (node->kind) {
      case ExprKind::reduce:
        refuse("a kernel program holds no reductions");
      case ExprKind::variable:
        require(variables_.contains(node->var.get()), "the variable {} is in scope", node->var->name);
        return true;
      case ExprKind::read:
        break;
      default:
        return true;
    }
    const Buffer& buffer = visible(*node->tensor);
    const bool addressed = place && node.same(e);
    require(buffer.space != Space::barrier || addressed, "an mbarrier is an operand of intrinsics and maps only");
    if (node->fill) {
      require(kernel_.form == Form::tile && buffer.space == Space::global && !addressed,
              "a read with a fill is of global memory, in tile form");
    }
    if (buffer.space == Space::fragment && kernel_.form == Form::tile) {
      check_fragment_access(buffer, node->args, false);
    }
    return true;
  });
}

void KernelVerifier::check_index(const Expr& e) {
  check_expr(e);
  require(is_integer(e->dtype), "an index, an extent or a bound is an integer");
}

}  // namespace quern::ir
