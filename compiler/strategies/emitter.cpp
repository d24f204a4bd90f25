#include "compiler/strategies/emitter.h"

#include <algorithm>

#include "base/error.h"
#include "ir/simplify.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

// Whether the first operand decides which others are evaluated.
bool chooses(const Expr& e) {
  return is_call(e, Op::select) || is_call(e, Op::logical_and) || is_call(e, Op::logical_or);
}

constexpr int kWordBytes = 4;  // a lane of a vector unit holds one 4-byte element

// Whether all that a fact speaks of are these symbols.
bool is_about(const Fact& fact, const std::vector<VarRef>& symbols) {
  const auto known = [&](const VarRef& symbol) { return std::ranges::find(symbols, symbol) != symbols.end(); };
  if (fact.symbol && !known(fact.symbol)) return false;
  for (const Expr& e : {fact.condition, fact.lo, fact.hi}) {
    if (e && !std::ranges::all_of(free_variables(e), known)) return false;
  }
  return true;
}

bool is_simple(const Expr& e) {
  return e->kind == ExprKind::constant || e->kind == ExprKind::variable ||
         (e->kind == ExprKind::cast && is_simple(e->args[0]));
}

Expr inside(const Tensor& tensor, const std::vector<Expr>& index) {
  Expr condition;
  for (std::size_t d = 0; d < index.size(); ++d) {
    condition = both(condition, both(less_equal(0, index[d]), less(index[d], tensor.shape[d])));
  }
  return condition;
}

Substitution own_axes(const Definition& definition, const std::vector<Expr>& index) {
  Substitution axes;
  for (std::size_t d = 0; d < index.size(); ++d) axes[definition.axes[d].var] = index[d];
  return axes;
}

}  // namespace

std::int64_t alignment_of(const Tensor& tensor, std::span<const Fact> facts) {
  std::int64_t bytes = byte_size(tensor.dtype);
  for (const Fact& fact : facts) {
    if (fact.kind == Fact::Kind::aligned && fact.tensor.get() == &tensor) bytes = std::max(bytes, fact.bytes);
  }
  return bytes;
}

Kernel kernel_frame(const Program& program, std::span<const Fact> facts, const Target& target) {
  Kernel kernel;
  kernel.name = program.name;
  kernel.symbols = program.symbols;
  std::map<const Tensor*, BufferRef> buffers;
  for (const TensorRef& tensor : arguments(program)) {
    auto buffer = std::make_shared<Buffer>(*make_global(tensor));
    buffer->alignment = alignment_of(*tensor, facts);
    kernel.params.push_back(buffer);
    buffers[tensor.get()] = buffer;
  }
  // Facts speak of this kernel's buffers; those on other tensors are not its own.
  for (Fact fact : facts) {
    if (fact.tensor && !buffers.contains(fact.tensor.get())) continue;
    if (!is_about(fact, program.symbols)) continue;
    if (fact.tensor) fact.tensor = buffers.at(fact.tensor.get());
    kernel.facts.push_back(std::move(fact));
  }
  kernel.lanes = target.is_gpu() ? 32 : target.cpu.vector_bytes / kWordBytes;
  return kernel;
}

Emitter::Emitter(const Program& program, const Kernel& kernel) : program_(program) {
  const std::vector<TensorRef> tensors = arguments(program);
  for (std::size_t i = 0; i < tensors.size(); ++i) params_[tensors[i].get()] = kernel.params[i];
}

void Emitter::materialize(const Tensor& tensor, BufferRef fragment, std::vector<Expr> index) {
  fragments_[&tensor] = {std::move(fragment), std::move(index)};
}

void Emitter::stage(const Expr& read, Expr place) { staged_.emplace_back(read, std::move(place)); }

TensorRef Emitter::param(const Tensor& tensor) const {
  const auto it = params_.find(&tensor);
  ensure(it != params_.end(), fmt::format("{} is an argument of the kernel", tensor.name));
  return it->second;
}

Expr Emitter::Scope::lower_guarded(const Expr& e, const Expr& where, const Expr& otherwise) {
  if (!where) return lower(e);
  const bool global = e->kind == ExprKind::read && !definition_of(emitter_.program_, *e->tensor);
  if (global && (!e->fill || equal(e->fill, otherwise))) {
    // One condition for both reasons not to read.
    std::vector<Expr> index;
    for (const Expr& i : e->args) index.push_back(cast(DType::i64, lower(i, axes_, false)));
    Expr condition = where;
    if (e->fill) condition = both(condition, inside(*e->tensor, index));
    return select(condition, read(emitter_.param(*e->tensor), std::move(index)), otherwise);
  }
  return select(where, lower(e, axes_, true), otherwise);
}

void Emitter::Scope::let(VarRef var, Expr value) { body_.push_back(make_stmt(Let{std::move(var), std::move(value)})); }

void Emitter::Scope::store(const TensorRef& buffer, std::vector<Expr> index, Expr value) {
  body_.push_back(make_stmt(Store{.buffer = buffer, .index = std::move(index), .value = std::move(value)}));
}

void Emitter::Scope::store_output(const Definition& definition) {
  std::vector<Expr> index;
  index.reserve(definition.axes.size());
  for (const Axis& axis : definition.axes) index.push_back(substitute(Expr(axis.var), axes_));
  store(emitter_.param(*definition.tensor), std::move(index), lower(definition.value));
}

Expr Emitter::Scope::lower(const Expr& e, const Substitution& axes, bool guarded) {
  switch (e->kind) {
    case ExprKind::constant:
      return e;
    case ExprKind::variable:
      return substitute(e, axes);
    case ExprKind::read:
      return lower_read(e, axes, guarded);
    case ExprKind::reduce:
      unreachable("reductions are lowered by their strategy");
    case ExprKind::call:
    case ExprKind::cast:
      break;
  }
  std::vector<Expr> args;
  args.reserve(e->args.size());
  for (std::size_t i = 0; i < e->args.size(); ++i) {
    // What a condition guards must not be computed ahead of it.
    args.push_back(lower(e->args[i], axes, guarded || (chooses(e) && i > 0)));
  }
  return with_children(e, std::move(args), {}, {});
}

Expr Emitter::Scope::lower_read(const Expr& e, const Substitution& axes, bool guarded) {
  std::vector<Expr> index;
  for (const Expr& i : e->args) index.push_back(cast(DType::i64, lower(i, axes, guarded)));
  const Expr fill = e->fill ? lower(e->fill, axes, true) : Expr();
  const Expr placed = read(e->tensor, index, fill);
  for (const auto& [staged, place] : emitter_.staged_) {
    if (equal(staged, placed)) return place;
  }
  if (const auto it = emitter_.fragments_.find(e->tensor.get()); it != emitter_.fragments_.end()) {
    return cast(e->dtype, read(it->second.first, it->second.second));  // an accumulator may be wider
  }
  const Definition* definition = definition_of(emitter_.program_, *e->tensor);
  if (!definition) {
    return read(emitter_.param(*e->tensor), std::move(index), fill);
  }
  for (const auto& [known, var] : known_) {
    if (equal(known, placed)) return Expr(var);
  }
  Expr value = lower(definition->value, own_axes(*definition, index), guarded || fill);
  if (fill) {
    return select(inside(*e->tensor, index), value, fill);
  }
  // A let of i64 without reads is an index, in 32 bits where offsets are (narrow_indices.h).
  if (guarded || is_simple(value) || (value->dtype == DType::i64 && tensors_read(value).empty())) return value;
  const VarRef var = make_var(e->tensor->name, value->dtype);
  let(var, value);
  known_.emplace_back(placed, var);
  return Expr(var);
}

namespace {

// All reads of inputs, or the certain ones alone.
class ReadFinder {
 public:
  ReadFinder(const Program& program, bool certain) : program_(program), certain_(certain) {}

  std::vector<Expr> run(const Expr& e, const Substitution& axes) {
    walk(e, axes);
    return std::move(found_);
  }

 private:
  void walk(const Expr& e, const Substitution& axes) {
    const std::size_t count = certain_ && chooses(e) ? 1 : e->args.size();
    if (e->kind == ExprKind::read) add(e, axes);
    for (std::size_t i = 0; i < count; ++i) walk(e->args[i], axes);
    if (e->fill && !certain_) walk(e->fill, axes);
    if (e->where) walk(e->where, axes);
  }

  void add(const Expr& e, const Substitution& axes) {
    const Expr there = substitute(e, axes);
    std::vector<Expr> index;
    for (const Expr& arg : there->args) index.push_back(simplify(arg));
    const Expr placed = read(there->tensor, std::move(index), there->fill);
    const Definition* definition = definition_of(program_, *e->tensor);
    if (definition == nullptr) {
      const auto is_same = [&](const Expr& known) { return equal(known, placed); };
      if (std::ranges::none_of(found_, is_same)) found_.push_back(placed);
    } else if (definition->value->kind != ExprKind::reduce && !(certain_ && e->fill)) {
      // A producer that is read twice at one place is walked once.
      const auto is_same = [&](const Expr& known) { return equal(known, placed); };
      if (std::ranges::any_of(producers_, is_same)) return;
      producers_.push_back(placed);
      walk(definition->value, own_axes(*definition, placed->args));
    }
  }

  const Program& program_;
  bool certain_;
  std::vector<Expr> found_, producers_;
};

}  // namespace

std::vector<Expr> global_reads(const Program& program, const Expr& e, const Substitution& axes) {
  return ReadFinder(program, false).run(e, axes);
}

std::vector<Expr> certain_reads(const Program& program, const Expr& e, const Substitution& axes) {
  return ReadFinder(program, true).run(e, axes);
}

}  // namespace quern::compiler
