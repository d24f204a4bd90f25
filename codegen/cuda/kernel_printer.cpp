#include "codegen/cuda/kernel_printer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "codegen/cuda/prelude.h"
#include "codegen/cuda/types.h"
#include "codegen/cuda/wrapped_line.h"
#include "ir/kernel_rewrite.h"
#include "ir/rewrite.h"

namespace quern::codegen {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

std::int64_t elements(const Buffer& buffer) { return span_of(buffer.layout, Place::address); }

bool is_wgmma(IntrinsicId id) { return id == IntrinsicId::wgmma || id == IntrinsicId::wgmma_registers; }

}  // namespace

KernelPrinter::KernelPrinter(const Kernel& kernel, const SharedLayout& shared)
    : kernel_(kernel),
      shared_(shared),
      index_math_(kernel),
      expressions_(names_, index_math_),
      intrinsics_(expressions_, maps_) {
  ensure(kernel.lanes == 32, "warps of GPUs have 32 lanes");
  for (const std::string& name : reserved_names()) names_.reserve(name);
  entry_ = names_.fresh(kernel.name);
  expressions_.assumptions = assumptions_of(kernel);
  survey();
}

// What the signature and the declarations need to know of the body.
void KernelPrinter::survey() {
  visit(kernel_.body, [&](const Stmt& stmt, const Enclosing&) {
    if (const Store* store = get_if<Store>(stmt)) written_.insert(store->buffer.get());
    if (const Move* move = get_if<Move>(stmt)) {
      written_.insert(move->to.get());
      wide_.insert({move->to.get(), move->from.get()});
    }
    if (const Intrinsic* intrinsic = get_if<Intrinsic>(stmt)) {
      for (std::size_t i = 0; i < intrinsic->args.size(); ++i) {
        if (operand_kind(row(intrinsic->id), i) == 'r') wide_.insert(intrinsic->args[i]->tensor.get());
      }
      if (is_wgmma(intrinsic->id)) async_.insert(intrinsic->args[0]->tensor.get());
    }
    return true;
  });
  for_each_expr_below(kernel_.body, [&](const Expr& e) {
    visit(e, [&](const Expr& node) {
      if (node->kind == ExprKind::variable) used_.insert(node->var.get());
      return true;
    });
  });
}

// --- The function's frame -------------------------------------------------------------------------------------------

std::string KernelPrinter::print() {
  std::string head = signature();
  line_ += static_cast<int>(std::ranges::count(head, '\n'));
  ++indent_;
  print_places();
  print_shared();
  print_statements(statements(kernel_.body));
  return head + text_ + "}\n";
}

std::string KernelPrinter::signature() {
  std::vector<std::string> parameters;
  for (const BufferRef& param : kernel_.params) {
    parameters.push_back(fmt::format("{}{}* __restrict__ {}", written_.contains(param.get()) ? "" : "const ",
                                     element_type(param->dtype), names_.of(TensorRef(param))));
  }
  for (const VarRef& symbol : kernel_.symbols) {
    parameters.push_back(fmt::format("{} {}", value_type(symbol->dtype), names_.of(symbol)));
  }
  for (const TensorMapParam& map : kernel_.maps) {
    maps_.push_back(names_.fresh(map.name));
    parameters.push_back("const __grid_constant__ TensorMap " + maps_.back());
  }

  const std::string bounds = kernel_.min_blocks_per_sm > 0 ? fmt::format(", {}", kernel_.min_blocks_per_sm) : "";
  std::string text = fmt::format("extern \"C\" __global__ void __launch_bounds__({}{}) {}(",
                                 kernel_.warps * kernel_.lanes, bounds, entry_);
  std::string list;
  for (const std::string& parameter : parameters) list += (list.empty() ? "" : ", ") + parameter;
  return wrapped_line(text + list + ") {") + '\n';
}

void KernelPrinter::print_places() {
  const bool is_first = text_.empty();
  const auto define = [&](const VarRef& var, std::string_view value) {
    if (!var || !used_.contains(var.get())) return;
    line(fmt::format("const {} {} = {};", value_type(var->dtype), names_.of(var), value));
  };
  constexpr std::string_view kBlocks[] = {"blockIdx.x", "blockIdx.y", "blockIdx.z"};
  ensure(kernel_.block.size() <= std::size(kBlocks), "a grid has at most three axes");
  for (std::size_t d = 0; d < kernel_.block.size(); ++d) define(kernel_.block[d], kBlocks[d]);
  // Where warps have roles of their own: the assembler takes what one lane tells all for uniform, and computes with it
  // once for a warp.
  const bool has_roles =
      std::ranges::any_of(kernel_.shared, [](const BufferRef& b) { return b->space == Space::barrier; });
  define(kernel_.warp, has_roles ? "__shfl_sync(0xffffffff, threadIdx.x / 32, 0)" : "threadIdx.x / 32");
  if (has_roles && used_.contains(kernel_.warp.get())) {
    line(fmt::format("__builtin_assume(0 <= {0} && {0} < {1});", names_.of(kernel_.warp), kernel_.warps));
  }
  define(kernel_.lane, "threadIdx.x % 32");
  if (!text_.empty() && is_first) line("");
}

void KernelPrinter::print_shared() {
  if (kernel_.shared.empty()) return;
  const std::string all = names_.fresh("shared");
  line(fmt::format("extern __shared__ __align__({}) unsigned char {}[];", shared_.alignment, all));
  for (std::size_t i = 0; i < kernel_.shared.size(); ++i) {
    const BufferRef& buffer = kernel_.shared[i];
    const bool is_barrier = buffer->space == Space::barrier;
    ensure(!is_barrier || byte_size(buffer->dtype) == 8, "an mbarrier has 8 bytes");
    const std::string_view type = is_barrier ? value_type(DType::u64) : element_type(buffer->dtype);
    const std::string place = shared_.offsets[i] ? fmt::format("({} + {})", all, shared_.offsets[i]) : all;
    line(fmt::format("{0}* const {1} = ({0}*){2};", type, names_.of(TensorRef(buffer)), place));
  }
  line("");
}

// --- Statements -----------------------------------------------------------------------------------------------------

void KernelPrinter::line(std::string_view text) {
  const std::string indent(text.empty() ? 0 : static_cast<std::size_t>(2 * indent_), ' ');
  const std::string wrapped = wrapped_line(indent + std::string(text));
  text_ += wrapped + '\n';
  line_ += 1 + static_cast<int>(std::ranges::count(wrapped, '\n'));
}

void KernelPrinter::print(const Stmt& stmt) {
  std::visit([&](const auto& node) { print_node(*stmt, node); }, stmt->value);
}

template <typename Tile>
void KernelPrinter::print_node(const StmtNode&, const Tile&) {
  unreachable("code is generated from thread form");
}

void KernelPrinter::print_statements(const std::vector<Stmt>& body) {
  const Assumptions outer = expressions_.assumptions;
  const std::size_t outer_accumulators = accumulators_.size();
  const auto is_compound = [](const Stmt& stmt) { return get_if<For>(stmt) || get_if<If>(stmt); };
  const auto is_declaration = [](const Stmt& stmt) { return get_if<Alloc>(stmt) || get_if<Let>(stmt); };
  for (std::size_t i = 0; i < body.size(); ++i) {
    // Phases stand apart: loops and branches, with the declarations above and the barriers below them.
    const bool is_outermost = indent_ <= 2 && i > 0;
    const Intrinsic* intrinsic = get_if<Intrinsic>(body[i]);
    const bool is_barrier = intrinsic && intrinsic->args.empty();
    const bool after_phase = is_outermost && is_compound(body[i - 1]) && !is_barrier;
    const bool before_phase = is_outermost && !is_compound(body[i - 1]) && !is_declaration(body[i - 1]) &&
                              (is_compound(body[i]) || is_declaration(body[i]));
    if (after_phase || before_phase) line("");

    const Alloc* alloc = get_if<Alloc>(body[i]);
    const std::string both = alloc && i + 1 < body.size() ? initialised(*alloc, body[i + 1]) : "";
    if (both.empty()) {
      print(body[i]);
    } else {
      begin(*body[i]);
      begin(*body[++i]);
      line(both + ";");
    }
  }
  for (const Stmt& stmt : body) {
    if (const Let* let = get_if<Let>(stmt)) names_.release(let->var);
    if (const Alloc* alloc = get_if<Alloc>(stmt)) names_.release(TensorRef(alloc->buffer));
  }
  accumulators_.resize(outer_accumulators);
  expressions_.assumptions = outer;
}

void KernelPrinter::print_body(const Stmt& body) {
  ++indent_;
  print_statements(statements(body));
  --indent_;
}

void KernelPrinter::print_node(const StmtNode& stmt, const Block&) {
  line("{");
  print_body(std::make_shared<const StmtNode>(stmt));
  line("}");
}

std::string KernelPrinter::initialised(const Alloc& alloc, const Stmt& next) {
  if (!is_scalar(*alloc.buffer)) return {};
  if (const Store* store = get_if<Store>(next)) {
    if (store->buffer != alloc.buffer || reads(store->value, *alloc.buffer)) return {};
    const std::string value = expressions_.value(store->value);
    return fmt::format("{} = {}", declaration(alloc.buffer), value);
  }
  const Intrinsic* intrinsic = get_if<Intrinsic>(next);
  if (!intrinsic || !gives_value(intrinsic->id) || intrinsic->args[0]->tensor != alloc.buffer) return {};
  for (std::size_t i = 1; i < intrinsic->args.size(); ++i) {
    if (reads(intrinsic->args[i], *alloc.buffer)) return {};
  }
  const std::string head = declaration(alloc.buffer);
  return fmt::format("{} = {}", head, intrinsics_.value(*intrinsic));
}

std::string KernelPrinter::declaration(const BufferRef& buffer) {
  if (async_.contains(buffer.get())) accumulators_.push_back(buffer);
  std::string text = wide_.contains(buffer.get()) && !is_scalar(*buffer) ? "alignas(16) " : "";
  text += fmt::format("{} {}", element_type(buffer->dtype), names_.of(TensorRef(buffer)));
  if (!is_scalar(*buffer)) text += fmt::format("[{}]", elements(*buffer));
  return text;
}

void KernelPrinter::print_node(const StmtNode& stmt, const Alloc& alloc) {
  begin(stmt);
  line(declaration(alloc.buffer) + ";");
}

void KernelPrinter::print_node(const StmtNode& stmt, const For& loop) {
  begin(stmt);
  if (loop.kind == ForKind::unroll || loop.kind == ForKind::vector) line("#pragma unroll");
  if (loop.kind == ForKind::rolled) line("#pragma unroll 1");
  const std::string lo = expressions_.value(loop.lo);
  const bool hides = loop.kind == ForKind::rolled && is_constant(loop.hi) && holds_wgmma(loop.body);
  const std::string hi =
      hides ? fmt::format("opaque({})", expressions_.value(loop.hi)) : expressions_.operand(loop.hi, Binding::shift);
  const bool is_by_one = !loop.step || is_integer(loop.step, 1);
  const std::string step = is_by_one ? "" : expressions_.value(loop.step);
  const std::string& name = names_.of(loop.var);
  line(fmt::format("for ({} {} = {}; {} < {}; {}) {{", value_type(loop.var->dtype), name, lo, name, hi,
                   is_by_one ? "++" + name : fmt::format("{} += {}", name, step)));
  const Assumptions outer = expressions_.assumptions;
  const Axis axis{loop.var, loop.lo, loop.hi};
  expressions_.assumptions = is_by_one ? outer.with(axis) : outer.with(axis, loop.step);
  print_body(loop.body);
  expressions_.assumptions = outer;
  line("}");
  names_.release(loop.var);
}

void KernelPrinter::print_node(const StmtNode& stmt, const If& branch) {
  begin(stmt);
  print_branch(branch, "");
  line("}");
}

void KernelPrinter::print_branch(const If& branch, const std::string& prefix) {
  line(fmt::format("{}if ({}) {{", prefix, expressions_.value(branch.condition)));
  const Assumptions outer = expressions_.assumptions;
  expressions_.assumptions = outer.with(branch.condition);
  print_body(branch.then);
  expressions_.assumptions = outer.with(negate(branch.condition));
  const std::vector<Stmt> otherwise = statements(branch.otherwise);
  const If* chained = otherwise.size() == 1 ? get_if<If>(otherwise[0]) : nullptr;
  if (chained) {
    begin(*otherwise[0]);
    print_branch(*chained, "} else ");
  } else if (!otherwise.empty()) {
    line("} else {");
    print_body(branch.otherwise);
  }
  expressions_.assumptions = outer;
}

void KernelPrinter::print_node(const StmtNode& stmt, const Let& let) {
  begin(stmt);
  const std::string value = expressions_.value(let.value);
  line(fmt::format("const {} {} = {};", value_type(let.var->dtype), names_.of(let.var), value));
  if (is_integer(let.var->dtype)) expressions_.learn(let.var, let.value);
}

std::string KernelPrinter::update(const Store& store) {
  const Expr& value = store.value;
  if (value->kind != ExprKind::call || value->args.size() != 2) return {};
  const DType dtype = value->dtype;
  const bool is_plain = dtype == DType::f32 || dtype == DType::f64 || dtype == DType::u32 || dtype == DType::u64 ||
                        (byte_size(dtype) >= 4 && is_integer(dtype) && index_math_.is_index(value));
  if (!is_plain) return {};
  const std::string_view symbol = value->op == Op::add   ? "+="
                                  : value->op == Op::sub ? "-="
                                  : value->op == Op::mul ? "*="
                                                         : "";
  if (symbol.empty()) return {};
  const Expr self = read(store.buffer, store.index);
  const bool is_left = equal(value->args[0], self);
  if (!is_left && (value->op == Op::sub || !equal(value->args[1], self))) return {};
  return fmt::format("{} {} {}", expressions_.place(store.buffer, store.index[0]), symbol,
                     expressions_.value(value->args[is_left ? 1 : 0]));
}

void KernelPrinter::print_node(const StmtNode& stmt, const Store& store) {
  begin(stmt);
  ensure(store.index.size() == 1, "thread form addresses flat buffers");
  if (store.atomic) return line(atomic_update(store) + ";");
  if (store.hint != CacheHint::none && as_buffer(*store.buffer).space == Space::global) {
    const std::string_view function = store.hint == CacheHint::streaming     ? "store_streaming"
                                      : store.hint == CacheHint::no_allocate ? "store_no_allocate"
                                                                             : "store_evict_last";
    const std::string value = (is_bool(store.value->dtype) ? "(unsigned char)" : "") +
                              (is_bool(store.value->dtype) ? expressions_.operand(store.value, Binding::prefix)
                                                           : expressions_.exact(store.value));
    return line(fmt::format("{}({}, {});", function, expressions_.address(store.buffer, store.index[0]), value));
  }
  if (const std::string text = update(store); !text.empty()) return line(text + ";");
  const std::string value = expressions_.value(store.value);
  line(fmt::format("{} = {};", expressions_.place(store.buffer, store.index[0]), value));
}

std::string KernelPrinter::atomic_update(const Store& store) {
  const ReducerRow& reducer = row(*store.atomic);
  const DType dtype = store.buffer->dtype;
  const std::string place = expressions_.address(store.buffer, store.index[0]);
  const std::string value = expressions_.exact(store.value);
  const bool is_word = byte_size(dtype) >= 4;
  const bool is_sum = reducer.reducer == Reducer::sum && (is_word || dtype == DType::f16 || dtype == DType::bf16);
  const bool is_extreme = reducer.reducer == Reducer::min || reducer.reducer == Reducer::max;
  if (is_sum || (is_extreme && is_word && is_integer(dtype))) {
    return fmt::format("atomic_{}({}, {})", is_sum ? "add" : reducer.name, place, value);
  }
  const VarRef a = make_var("a", dtype), b = make_var("b", dtype);
  index_math_.add_data(a);
  index_math_.add_data(b);
  const std::vector<Expr> left{a}, right{b};
  ensure(reducer.state(dtype).size() == 1, fmt::format("{} has a state of one value, as atomics need", reducer.name));
  const std::vector<Expr> combined = reducer.combine(left, right);
  const std::string text =
      fmt::format("atomic_update({}, {}, []({} {}, {} {}) {{ return {}; }})", place, value, value_type(dtype),
                  names_.of(a), value_type(dtype), names_.of(b), expressions_.exact(combined[0]));
  names_.release(a);
  names_.release(b);
  return text;
}

// Hints are about global memory. Loads that bypass the first-level cache must not see it change.
std::string_view KernelPrinter::copy_function(const Move& move) const {
  const bool is_load = as_buffer(*move.from).space == Space::global;
  const bool is_store = as_buffer(*move.to).space == Space::global;
  if (!is_load && !is_store) return "copy";
  switch (move.hint) {
    case CacheHint::none:
      return "copy";
    case CacheHint::streaming:
      return is_load ? "load_streaming" : "store_streaming";
    case CacheHint::no_allocate:
      if (is_store) return "store_no_allocate";
      return written_.contains(move.from.get()) ? "copy" : "load_no_allocate";
    case CacheHint::evict_last:
      return is_load ? "load_evict_last" : "store_evict_last";
  }
  unreachable("a cache hint of the list");
}

void KernelPrinter::print_node(const StmtNode& stmt, const Move& move) {
  begin(stmt);
  const int bytes = move.width * byte_size(move.to->dtype);
  ensure(bytes <= 16 && (bytes & (bytes - 1)) == 0, "one access moves 1, 2, 4, 8 or 16 bytes");
  const std::string_view function = copy_function(move);
  if (move.width == 1 && function == "copy") {
    return line(fmt::format("{} = {};", expressions_.place(move.to, move.to_index),
                            expressions_.place(move.from, move.from_index)));
  }
  line(fmt::format("{}<{}>({}, {});", function, bytes, expressions_.address(move.to, move.to_index),
                   expressions_.address(move.from, move.from_index)));
}

// Those of products that are still on their way stay untouched, unless all are.
void KernelPrinter::keep_accumulators() {
  const auto is_busy = [&](const BufferRef& buffer) {
    return std::ranges::any_of(in_flight_, [&](const std::vector<const Tensor*>& group) {
      return std::ranges::find(group, buffer.get()) != group.end();
    });
  };
  const bool all_are = std::ranges::all_of(accumulators_, is_busy);
  for (const BufferRef& buffer : accumulators_) {
    if (!all_are && is_busy(buffer)) continue;
    line(fmt::format("keep_in_place<{}>({});", elements(*buffer), expressions_.address(TensorRef(buffer), 0)));
  }
}

void KernelPrinter::print_node(const StmtNode& stmt, const Intrinsic& intrinsic) {
  begin(stmt);
  if (intrinsic.id == IntrinsicId::wgmma_fence) keep_accumulators();
  line(intrinsics_.print(intrinsic) + ";");
  if (is_wgmma(intrinsic.id)) group_.push_back(intrinsic.args[0]->tensor.get());
  if (intrinsic.id == IntrinsicId::wgmma_commit) in_flight_.push_back(std::exchange(group_, {}));
  if (intrinsic.id != IntrinsicId::wgmma_wait) return;
  const auto pending = static_cast<std::size_t>(*as_integer(intrinsic.args[0]));
  while (in_flight_.size() > pending) in_flight_.erase(in_flight_.begin());
  keep_accumulators();
}

}  // namespace quern::codegen
