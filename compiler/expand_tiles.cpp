#include "compiler/expand_tiles.h"

#include "base/error.h"
#include "compiler/expander.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

constexpr int kRegistersPerSm = 65536;  // of every architecture with set_max_registers

}  // namespace

Expr element(const BufferRef& buffer, const Expr& index) { return read(buffer, {index}); }

const Store* sole_store(const Stmt& body) {
  const Block* block = get_if<Block>(body);
  if (block) return block->body.size() == 1 ? sole_store(block->body[0]) : nullptr;
  return get_if<Store>(body);
}

Stmt assign(const BufferRef& buffer, const Expr& index, const Expr& value) {
  return make_stmt(Store{.buffer = buffer, .index = {index}, .value = value});
}

Expander::Expander(const Kernel& kernel) : kernel_(kernel) {
  ensure(kernel.form == Form::tile, "expand_tiles takes tile form");
  kernel_.form = Form::thread;
  kernel_.warp = make_var("warp");
  kernel_.lane = make_var("lane");
  scope_ = {kernel_.warps == 1 ? Expr(0) : Expr(kernel_.warp), Expr(kernel_.lane), kernel_.warps, kernel_.lanes,
            nullptr};

  assumptions_ = assumptions_of(kernel_);
  for (BufferRef& param : kernel_.params) {
    auto buffer = std::make_shared<Buffer>(*param);
    buffer->shape = {element_count(*param)};
    buffer->strides = {};
    flat_[param.get()] = buffer;
    param = buffer;
  }
  for (Fact& fact : kernel_.facts) {
    if (fact.tensor) fact.tensor = flat(*fact.tensor);
  }
  for (BufferRef& shared : kernel_.shared) {
    auto buffer = std::make_shared<Buffer>(*shared);
    const std::int64_t elements = span_of(shared->layout, Place::address);
    buffer->shape = {Expr(elements)};
    buffer->layout = row_major(std::vector<std::int64_t>{elements});
    flat_[shared.get()] = buffer;
    shared = buffer;
  }
}

Kernel Expander::run() {
  kernel_.body = expand(kernel_.body);
  return kernel_;
}

Stmt Expander::expand(const Stmt& stmt) {
  return std::visit([&](const auto& node) { return expand(node); }, stmt->value);
}

Stmt Expander::expand(const Block& node) {
  return nested([&] {
    std::vector<Stmt> body;
    for (const Stmt& stmt : node.body) {
      if (Stmt expanded = expand(stmt)) body.push_back(std::move(expanded));
    }
    return block(std::move(body));
  });
}

Stmt Expander::expand(const Alloc& node) {
  const Buffer& fragment = *node.buffer;
  const BufferRef registers =
      declare(fragment.name, fragment.dtype, Space::fragment, span_of(fragment.layout, Place::reg));
  flat_[&fragment] = registers;
  return make_stmt(Alloc{registers});
}

Stmt Expander::expand(const For& node) {
  return nested([&] {
    const Axis range{node.var, simplified(node.lo), simplified(node.hi)};
    const Expr step = node.step ? simplified(node.step) : Expr(1);
    assumptions_ = assumptions_.with(range, step);
    return make_stmt(For{node.var, range.lo, range.hi, step, node.kind, expand(node.body)});
  });
}

Stmt Expander::expand(const If& node) {
  const Expr condition = simplified(node.condition);
  if (const auto known = as_integer(condition)) {
    if (*known) return expand(node.then);
    return node.otherwise ? expand(node.otherwise) : block({});
  }
  const Stmt then = nested([&] {
    assumptions_ = assumptions_.with(condition);
    return expand(node.then);
  });
  const Stmt otherwise = node.otherwise ? nested([&] { return expand(node.otherwise); }) : nullptr;
  return make_stmt(If{condition, then, otherwise});
}

Stmt Expander::expand(const Let& node) {
  const Expr value = simplified(node.value);
  if (is_constant(value) || value->kind == ExprKind::variable) {
    substitution_[node.var.get()] = value;
    return nullptr;
  }
  assumptions_ = assumptions_.with_value(node.var, value);
  return make_stmt(Let{node.var, value});
}

Stmt Expander::expand(const Store& node) {
  const Buffer& buffer = as_buffer(*node.buffer);
  return make_stmt(Store{
      flat(buffer), {flat_index(buffer, placed(buffer, node.index))}, simplified(node.value), node.atomic, node.hint});
}

Stmt Expander::expand(const Move& node) {
  return make_stmt(Move{flat(*node.to), simplified(node.to_index), flat(*node.from), simplified(node.from_index),
                        node.width, node.hint});
}

Stmt Expander::expand(const Intrinsic& node) {
  if (node.id == IntrinsicId::barrier) return barrier();
  Intrinsic intrinsic{node.id, {}};
  for (const Expr& arg : node.args) intrinsic.args.push_back(simplified(arg));
  return make_stmt(std::move(intrinsic));
}

Stmt Expander::expand(const Role& node) {
  return nested([&] {
    const int warps = node.hi - node.lo;
    const Expr warp = scope_.warp;
    const Expr condition =
        warps == scope_.warps ? boolean(true) : simplified(both(less_equal(node.lo, warp), less(warp, node.hi)));
    if (warps != scope_.warps || node.groups > 1) scope_.barrier_id = std::make_shared<int>(0);
    const int own = warps / node.groups;
    assumptions_ = assumptions_.with(condition);
    const Expr within = simplified(warps == 1 ? Expr(0) : warp - node.lo);
    scope_.warp = simplified(mod(within, own));
    scope_.warps = own;
    const Expr group = simplified(div(within, own));
    scope_.group = simplified(scope_.group * node.groups + group);
    scope_.groups *= node.groups;
    if (node.group) substitution_[node.group.get()] = group;
    std::vector<Stmt> body;
    if (node.registers) {
      const bool increase = node.registers * kernel_.warps * kernel_.lanes > kRegistersPerSm;
      body.push_back(make_stmt(Intrinsic{IntrinsicId::set_max_registers, {node.registers, increase ? 1 : 0}}));
    }
    if (node.elected) {
      const Expr leader = simplified(both(equals(scope_.warp, 0), equals(scope_.lane, 0)));
      body.push_back(make_stmt(If{leader, expand(node.body)}));
    } else {
      body.push_back(expand(node.body));
    }
    Stmt all = block(std::move(body));
    return is_integer(condition, 1) ? all : make_stmt(If{condition, std::move(all)});
  });
}

// All threads of the role's group at hand, or of the block.
Stmt Expander::barrier() {
  if (scope_.warps == 1) return make_stmt(Intrinsic{IntrinsicId::warp_sync, {}});
  if (!scope_.barrier_id) return make_stmt(Intrinsic{IntrinsicId::barrier, {}});
  if (*scope_.barrier_id == 0) *scope_.barrier_id = std::exchange(next_barrier_, next_barrier_ + scope_.groups);
  const Expr id = simplified(Expr(*scope_.barrier_id) + (scope_.groups > 1 ? scope_.group : Expr(0)));
  return make_stmt(Intrinsic{IntrinsicId::named_barrier, {id, scope_.warps * scope_.lanes}});
}

Kernel expand_tiles(const Kernel& kernel) { return Expander(kernel).run(); }

}  // namespace quern::compiler
