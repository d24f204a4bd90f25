#include "runtime/simulator/code.h"

#include <algorithm>
#include <unordered_map>

#include "base/error.h"
#include "ir/kernel_printer.h"
#include "ir/kernel_rewrite.h"
#include "ir/scalar.h"
#include "ir/shared_layout.h"

namespace quern::runtime::simulator {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

bool is_special(Op op) {
  switch (op) {
    case Op::div:
    case Op::exp:
    case Op::exp2:
    case Op::exp2_flush:
    case Op::log:
    case Op::log1p:
    case Op::expm1:
    case Op::sqrt:
    case Op::rsqrt:
    case Op::rcp_flush:
    case Op::pow:
    case Op::sin:
    case Op::cos:
    case Op::tanh:
    case Op::erf:
    case Op::sigmoid:
    case Op::gelu:
    case Op::gelu_tanh:
    case Op::silu:
    case Op::softplus:
      return true;
    default:
      return false;
  }
}

class Compiler {
 public:
  Compiler(const Kernel& kernel, const std::vector<int>& lines) : kernel_(kernel) {
    std::size_t number = 0;
    visit(kernel.body, [&](const Stmt& stmt, const Enclosing&) {
      if (number < lines.size()) lines_.emplace(stmt.get(), lines[number]);
      ++number;
      return true;
    });
  }

  Code run(const std::vector<std::int64_t>& symbols) {
    code_.name = kernel_.name;
    code_.warps = kernel_.warps;
    std::ranges::copy(kernel_.cluster, code_.cluster.begin());
    for (const VarRef& symbol : kernel_.symbols) declare(symbol, true);
    code_.initial = symbols;
    for (const VarRef& block : kernel_.block) code_.block.push_back(declare(block, true));
    code_.warp = declare(kernel_.warp, true);
    code_.lane = declare(kernel_.lane, false);
    for (std::size_t p = 0; p < kernel_.params.size(); ++p) {
      add_buffer(*kernel_.params[p], static_cast<std::int64_t>(p));
    }
    add_shared();
    add(kernel_.body);
    begin(*kernel_.body, Step::Kind::end);
    code_.initial.resize(code_.numbers);
    return std::move(code_);
  }

 private:
  // --- Variables and buffers ---
  Slot new_slot(bool uniform) { return {uniform, uniform ? code_.numbers++ : code_.vectors++}; }

  Slot declare(const VarRef& var, bool uniform) { return slots_[var.get()] = new_slot(uniform); }

  std::uint32_t add_buffer(const Buffer& buffer, std::int64_t place) {
    const auto number = static_cast<std::uint32_t>(code_.buffers.size());
    BufferCode& added = code_.buffers.emplace_back();
    added.name = buffer.name;
    added.space = buffer.space;
    added.dtype = buffer.dtype;
    added.element_bytes = byte_size(buffer.dtype);
    added.place = place;
    if (buffer.space != Space::global) added.elements = span_of(buffer.layout, ir::Place::address);
    code_.register_offsets.push_back(0);
    buffers_[&buffer] = number;
    return number;
  }

  void add_shared() {
    const SharedLayout layout = shared_layout(kernel_);
    code_.shared_bytes = layout.bytes;
    for (std::size_t s = 0; s < kernel_.shared.size(); ++s) {
      const Buffer& buffer = *kernel_.shared[s];
      const bool barrier = buffer.space == Space::barrier;
      const std::uint32_t number = add_buffer(buffer, barrier ? code_.barriers : layout.offsets[s]);
      code_.buffers[number].shared_offset = layout.offsets[s];
      if (!barrier) code_.buffers[number].window = windows_++;
      if (barrier) code_.barriers += static_cast<int>(code_.buffers[number].elements);
    }
  }

  void add_fragment(const Buffer& buffer) {
    const std::uint32_t number = add_buffer(buffer, code_.registers);
    const BufferCode& added = code_.buffers[number];
    code_.registers += added.elements;
    code_.register_offsets[number] = code_.register_bytes;
    code_.register_bytes += (added.elements * added.element_bytes + 15) / 16 * 16;
    code_.fragments.push_back(number);
  }

  // --- Expressions ---
  std::uint32_t emit(Value value) {
    code_.values.push_back(value);
    return static_cast<std::uint32_t>(code_.values.size() - 1);
  }

  std::uint32_t constant_of(DType dtype, Scalar value) {
    return emit({.kind = Value::Kind::constant, .dtype = dtype, .uniform = !is_float(dtype), .constant = value});
  }

  std::uint32_t add(const Expr& e) {
    switch (e->kind) {
      case ExprKind::constant:
        return constant_of(e->dtype,
                           is_float(e->dtype) ? Scalar{.real = e->real} : fit(e->dtype, {.integer = e->integer}));
      case ExprKind::variable: {
        const auto found = slots_.find(e->var.get());
        ensure(found != slots_.end(), "a variable of a kernel is in scope");
        return emit({.kind = Value::Kind::variable,
                     .dtype = e->dtype,
                     .uniform = found->second.uniform && !is_float(e->dtype),
                     .slot = found->second});
      }
      case ExprKind::cast:
      case ExprKind::call:
        return add_operation(e);
      case ExprKind::read: {
        const std::uint32_t index = add(e->args[0]);
        Value read{.kind = Value::Kind::read, .dtype = e->dtype, .count = 1, .buffer = buffer_of(*e->tensor)};
        read.args[0] = index;
        return emit(read);
      }
      case ExprKind::reduce:
        break;
    }
    unreachable("a kernel's expressions hold no reduction");
  }

  std::uint32_t add_operation(const Expr& e) {
    const bool is_cast = e->kind == ExprKind::cast;
    Value value{.kind = is_cast ? Value::Kind::cast : Value::Kind::call,
                .dtype = e->dtype,
                .from = e->args.back()->dtype,
                .op = e->op};
    if (!is_cast && e->op == Op::select) value.kind = Value::Kind::select;
    if (!is_cast && e->op == Op::logical_and) value.kind = Value::Kind::both;
    if (!is_cast && e->op == Op::logical_or) value.kind = Value::Kind::either;
    value.uniform = !is_float(e->dtype);
    bool known = true;
    for (const Expr& arg : e->args) {
      value.args[value.count] = add(arg);
      const Value& operand = code_.values[value.args[value.count++]];
      value.uniform = value.uniform && operand.uniform;
      known = known && operand.kind == Value::Kind::constant;
    }
    if (known && value.kind != Value::Kind::select) return fold(value);
    count(value);
    return emit(value);
  }

  std::uint32_t fold(const Value& value) {
    std::array<Scalar, 3> operands;
    for (std::size_t n = 0; n < value.count; ++n) operands[n] = code_.values[value.args[n]].constant;
    if (value.kind == Value::Kind::cast) return constant_of(value.dtype, convert(value.dtype, value.from, operands[0]));
    const Scalar result = row(value.op).reference(value.from, std::span(operands.data(), value.count));
    return constant_of(value.dtype, fit(value.dtype, result));
  }

  void count(const Value& value) {
    if (value.uniform || code_.statements.empty()) return;
    Work& work = code_.statements.back().work;
    if (value.kind == Value::Kind::call && is_special(value.op)) {
      ++work.special;
    } else if (is_float(value.dtype) || (value.kind == Value::Kind::call && is_float(value.from))) {
      ++work.floats;
    } else {
      ++work.integers;
    }
  }

  std::uint32_t buffer_of(const Tensor& tensor) const {
    const auto found = buffers_.find(&tensor);
    ensure(found != buffers_.end(), "a kernel's buffer is in scope");
    return found->second;
  }

  bool uniform(std::uint32_t value) const { return value == kNone || code_.values[value].uniform; }

  // --- Statements ---
  int here() const { return static_cast<int>(code_.steps.size()); }

  Step& begin(const StmtNode& node, Step::Kind kind) {
    Step& step = code_.steps.emplace_back();
    step.kind = kind;
    step.statement = statement_of(node);
    return step;
  }

  std::uint32_t statement_of(const StmtNode& node) {
    const auto found = statements_.find(&node);
    return found != statements_.end() ? found->second : 0;
  }

  // Everything that is counted from here on belongs to the statement.
  void enter(const Stmt& stmt) {
    statements_[stmt.get()] = static_cast<std::uint32_t>(code_.statements.size());
    Statement& statement = code_.statements.emplace_back();
    statement.node = stmt.get();
    statement.text = headline(stmt, &kernel_);
    const auto line = lines_.find(stmt.get());
    if (line != lines_.end()) statement.line = line->second;
    statement.axes = axes_;
  }

  void add(const Stmt& stmt) {
    if (!get_if<Block>(stmt)) enter(stmt);
    std::visit([&](const auto& node) { add_node(*stmt, node); }, stmt->value);
  }

  template <typename Tile>
  void add_node(const StmtNode&, const Tile&) {
    unreachable("the simulator runs thread form");
  }

  void add_node(const StmtNode&, const Block& node) {
    for (const Stmt& stmt : node.body) add(stmt);
  }

  void add_node(const StmtNode& stmt, const Alloc& node) {
    add_fragment(*node.buffer);
    begin(stmt, Step::Kind::allocate).buffer = buffer_of(*node.buffer);
  }

  void add_node(const StmtNode& stmt, const Let& node) {
    const std::uint32_t value = add(node.value);
    Step& step = begin(stmt, Step::Kind::let);
    step.a = value;
    step.dtype = node.var->dtype;
    step.slot = declare(node.var, uniform(value));
  }

  void add_node(const StmtNode& stmt, const Store& node) {
    const std::uint32_t index = add(node.index[0]), value = add(node.value);
    const std::uint32_t number = static_cast<std::uint32_t>(code_.steps.size());
    begin(stmt, node.atomic ? Step::Kind::atomic : Step::Kind::store);
    code_.steps[number].buffer = buffer_of(*node.buffer);
    code_.steps[number].a = index;
    code_.steps[number].b = value;
    if (!node.atomic) return;
    const DType dtype = node.buffer->dtype;
    const VarRef left = make_var("left", dtype), right = make_var("right", dtype);
    code_.steps[number].left = declare(left, false);
    code_.steps[number].right = declare(right, false);
    const std::vector<Expr> l{left}, r{right};
    const std::uint32_t combined = add(row(*node.atomic).combine(l, r)[0]);
    code_.steps[number].combined = combined;
    code_.steps[number].reducer = *node.atomic;
  }

  void add_node(const StmtNode& stmt, const Move& node) {
    const std::uint32_t to = add(node.to_index), from = add(node.from_index);
    Step& step = begin(stmt, Step::Kind::move);
    step.a = to;
    step.b = from;
    step.buffer = buffer_of(*node.to);
    step.from = buffer_of(*node.from);
    step.width = node.width;
  }

  void add_node(const StmtNode& stmt, const If& node) {
    const std::uint32_t condition = add(node.condition);
    const int branch = here();
    begin(stmt, Step::Kind::branch).a = condition;
    add(node.then);
    const int jump = here();
    if (node.otherwise) begin(stmt, Step::Kind::jump);
    code_.steps[branch].target = here();
    if (node.otherwise) add(node.otherwise);
    code_.steps[branch].join = here();
    if (node.otherwise) code_.steps[jump].target = here();
  }

  void add_node(const StmtNode& stmt, const For& node) {
    const std::uint32_t lo = add(node.lo), hi = add(node.hi);
    const std::uint32_t step = add(node.step ? node.step : constant(node.var->dtype, std::int64_t{1}));
    const bool together = uniform(lo) && uniform(hi) && uniform(step);
    const int loop = here();
    const Slot slot = declare(node.var, together), bound = new_slot(together);
    const auto set = [&](Step& s) {
      s.a = lo;
      s.b = hi;
      s.c = step;
      s.slot = slot;
      s.bound = bound.number;
      s.dtype = node.var->dtype;
    };
    set(begin(stmt, Step::Kind::loop));
    axes_.emplace_back(node.var->name, slot);
    add(node.body);
    axes_.pop_back();
    Step& next = begin(stmt, Step::Kind::next);
    set(next);
    next.target = loop + 1;
    code_.steps[loop].target = here();
  }

  void add_node(const StmtNode& stmt, const Intrinsic& node) {
    std::vector<Operand> operands;
    const IntrinsicRow& facts = row(node.id);
    for (std::size_t i = 0; i < node.args.size(); ++i) {
      const Expr& arg = node.args[i];
      const char kind = operand_kind(facts, i);
      const bool is_place = kind == 's' || kind == 'g' || kind == 'b' || kind == 'r';
      if (is_place) {
        operands.push_back({kind, add(arg->args[0]), buffer_of(*arg->tensor)});
      } else {
        operands.push_back({kind, add(arg), kNone});
      }
    }
    Step& step = begin(stmt, Step::Kind::intrinsic);
    step.intrinsic = node.id;
    step.operands = std::move(operands);
  }

  const Kernel& kernel_;
  Code code_;
  std::unordered_map<const Variable*, Slot> slots_;
  std::unordered_map<const Tensor*, std::uint32_t> buffers_;
  std::int64_t windows_ = 0;
  std::unordered_map<const StmtNode*, std::uint32_t> statements_;
  std::unordered_map<const StmtNode*, int> lines_;
  std::vector<std::pair<std::string, Slot>> axes_;
};

}  // namespace

Code compile_code(const Kernel& kernel, const std::vector<std::int64_t>& symbols, const std::vector<int>& lines) {
  ensure(kernel.form == Form::thread, "the simulator runs thread form");
  return Compiler(kernel, lines).run(symbols);
}

}  // namespace quern::runtime::simulator
