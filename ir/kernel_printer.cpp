#include "ir/kernel_printer.h"

#include <fmt/ranges.h>

#include <array>

#include "base/error.h"
#include "ir/kernel_rewrite.h"
#include "ir/lexer.h"
#include "ir/printer.h"

namespace quern::ir {
namespace {

constexpr auto kWords = std::to_array<std::string_view>({
    "accumulate", "align",   "aligned", "atomic",        "barrier", "block",    "cluster",    "comment", "dims",
    "each",       "elected", "exact",   "fold",          "for",     "fragment", "grid",       "hint",    "if",
    "lanes",      "layout",  "let",     "map",           "mma",     "move",     "multicast",  "on",      "over",
    "registers",  "role",    "rolled",  "nondecreasing", "shared",  "step",     "tensor_map", "thread",  "tile",
    "unroll",     "vector",  "via",     "warps",         "width",
});

class KernelPrinter {
 public:
  KernelPrinter() {
    for (std::string_view word : kWords) names_.reserve(word);
    for (const IntrinsicRow& row : intrinsics()) names_.reserve(row.name);
  }

  std::string print(const Kernel& kernel) {
    header(kernel);
    ++indent_;
    for (const TensorMapParam& map : kernel.maps) tensor_map(map);
    for (const BufferRef& buffer : kernel.shared) {
      line("{} {}", buffer->space == Space::barrier ? "barrier" : "shared", declaration(buffer));
    }
    list(statements(kernel.body));
    --indent_;
    line("}}");
    return std::move(out_);
  }

  std::string print(const Stmt& stmt, const Kernel* kernel) {
    if (kernel != nullptr) {
      for (const TensorMapParam& map : kernel->maps) map_names_.push_back(names_.fresh(map.name));
    }
    statement(stmt);
    return std::move(out_);
  }

 private:
  template <typename... Args>
  void line(fmt::format_string<Args...> text, Args&&... args) {
    out_.append(2 * static_cast<std::size_t>(indent_), ' ');
    fmt::format_to(std::back_inserter(out_), text, std::forward<Args>(args)...);
    out_ += '\n';
  }

  // Parts of a line

  std::string text(const Expr& e, DType expected = DType::i64) { return to_string(e, names_, expected); }

  std::string text_list(std::span<const Expr> list) {
    std::string result;
    for (const Expr& e : list) result += fmt::format("{}{}", result.empty() ? "" : ", ", text(e));
    return result;
  }

  std::string place(const TensorRef& tensor, std::span<const Expr> index) {
    return fmt::format("{}[{}]", names_.of(tensor), text_list(index));
  }

  std::string name_of(const BufferRef& buffer) { return names_.of(TensorRef(buffer)); }

  std::string variable(const VarRef& var) {
    std::string result = names_.of(var);
    if (var->dtype != DType::i64) result += fmt::format(": {}", name(var->dtype));
    return result;
  }

  std::string range(const VarRef& var, const Expr& lo, const Expr& hi) {
    const std::string bounds = is_integer(lo, 0) && lo->dtype == var->dtype
                                   ? text(hi, var->dtype)
                                   : fmt::format("{}..{}", text(lo, var->dtype), text(hi, var->dtype));
    return fmt::format("{} in {}", variable(var), bounds);
  }

  // Of blocks: what the host computes is i64, whatever the kernel holds it in.
  std::string range(const VarRef& block, const Expr& extent) {
    return fmt::format("{} in {}", variable(block), text(extent, DType::i64));
  }

  std::string ranges(std::span<const Axis> axes) {
    std::string result;
    for (const Axis& axis : axes) {
      result += fmt::format("{}{}", result.empty() ? "" : ", ", range(axis.var, axis.lo, axis.hi));
    }
    return result;
  }

  // Everything behind the word that says the space.
  std::string declaration(const BufferRef& buffer) {
    std::string result = fmt::format("{}: {}", name_of(buffer), name(buffer->dtype));
    result += to_string(buffer->shape, names_);
    if (buffer->space == Space::global) {
      if (!buffer->strides.empty()) result += fmt::format(" strides ({})", text_list(buffer->strides));
      if (buffer->constant) result += " const";
    } else if (!(buffer->layout == row_major(extents(buffer->layout)))) {
      result += fmt::format(" layout {}", to_string(buffer->layout));
    }
    if (buffer->alignment != Buffer().alignment) result += fmt::format(" align {}", buffer->alignment);
    return result;
  }

  // Parts of a kernel

  void header(const Kernel& kernel) {
    line("kernel {}", kernel.name);
    indent_ += 2;
    if (!kernel.comment.empty()) line("comment {}", quote(kernel.comment));
    for (const VarRef& symbol : kernel.symbols) names_.of(symbol);
    std::string params, symbols;
    for (const BufferRef& param : kernel.params) params += (params.empty() ? "" : ", ") + declaration(param);
    for (const VarRef& symbol : kernel.symbols) symbols += (symbols.empty() ? "; " : ", ") + variable(symbol);
    line("({}{})", params, symbols);
    std::string launch;
    for (std::size_t d = 0; d < kernel.grid.size(); ++d) {
      launch += fmt::format("{}{}", d ? ", " : "", range(kernel.block[d], kernel.grid[d]));
    }
    launch = fmt::format("grid ({}) warps {} lanes {}", launch, kernel.warps, kernel.lanes);
    if (!kernel.cluster.empty()) launch += fmt::format(" cluster ({})", fmt::join(kernel.cluster, ", "));
    if (kernel.min_blocks_per_sm != 0) launch += fmt::format(" min_blocks {}", kernel.min_blocks_per_sm);
    line("{}", launch);
    std::string facts;
    for (const Fact& known : kernel.facts) facts += (facts.empty() ? "with " : ", ") + fact(known);
    if (!facts.empty()) line("{}", facts);
    std::string form = kernel.form == Form::tile ? "tile" : "thread";
    if (kernel.warp && kernel.lane) form += fmt::format(" ({}, {})", variable(kernel.warp), variable(kernel.lane));
    line("{} {{", form);
    indent_ -= 2;
  }

  std::string fact(const Fact& fact) {
    switch (fact.kind) {
      case Fact::Kind::condition:
        return text(fact.condition);
      case Fact::Kind::aligned:
        return fmt::format("aligned({}, {})", names_.of(fact.tensor), fact.bytes);
      case Fact::Kind::nondecreasing:
        return fmt::format("nondecreasing({})", names_.of(fact.tensor));
      case Fact::Kind::range:
        return fmt::format("{} in {}..{}", fact.symbol ? names_.of(fact.symbol) : names_.of(fact.tensor), text(fact.lo),
                           text(fact.hi));
      case Fact::Kind::exact:
        return "exact";
    }
    unreachable("every kind of fact has a text");
  }

  void tensor_map(const TensorMapParam& map) {
    using Map = TensorMapParameter;
    constexpr std::array kSwizzleBytes{0, 32, 64, 128};
    constexpr std::array kPromotionBytes{0, 64, 128, 256};
    const TensorMapParam standard;
    std::string result =
        fmt::format("tensor_map {}: {} {} dims ({})", map_names_.emplace_back(names_.fresh(map.name)),
                    name_of(map.buffer), map.mode == Map::Mode::tiled ? "tiled" : "im2col", text_list(map.dims));
    const auto clause = [&](bool written, std::string_view word, const std::string& value) {
      if (written) result += fmt::format(" {} {}", word, value);
    };
    const auto expressions = [&](std::string_view word, const std::vector<Expr>& list) {
      clause(!list.empty(), word, fmt::format("({})", text_list(list)));
    };
    const auto integers = [&](std::string_view word, const std::vector<int>& list) {
      clause(!list.empty(), word, fmt::format("({})", fmt::join(list, ", ")));
    };
    if (map.byte_offset) clause(true, "offset", text(map.byte_offset));
    expressions("byte_strides", map.byte_strides);
    integers("element_strides", map.element_strides);
    integers("box", map.box);
    expressions("lower", map.lower_corner);
    expressions("upper", map.upper_corner);
    clause(map.channels != 0, "channels", fmt::format("{}", map.channels));
    clause(map.pixels != 0, "pixels", fmt::format("{}", map.pixels));
    clause(map.swizzle != standard.swizzle, "swizzle",
           fmt::format("{}", kSwizzleBytes.at(static_cast<std::size_t>(map.swizzle))));
    clause(map.fill != standard.fill, "fill", "nan");
    clause(map.l2_promotion != standard.l2_promotion, "l2",
           fmt::format("{}", kPromotionBytes.at(static_cast<std::size_t>(map.l2_promotion))));
    line("{}", result);
  }

  // Statements

  void statement(const Stmt& stmt) {
    std::visit([&](const auto& node) { print_node(node); }, stmt->value);
  }

  // What the list declares is named to its end.
  void list(const std::vector<Stmt>& body) {
    for (const Stmt& stmt : body) statement(stmt);
    for (const Stmt& stmt : body) {
      if (const Let* let = get_if<Let>(stmt)) names_.release(let->var);
      if (const Alloc* alloc = get_if<Alloc>(stmt)) names_.release(TensorRef(alloc->buffer));
    }
  }

  void body(const std::string& head, const Stmt& stmt) {
    line("{} {{", head);
    ++indent_;
    list(statements(stmt));
    --indent_;
    line("}}");
  }

  void print_node(const Block& node) {
    line("{{");
    ++indent_;
    list(node.body);
    --indent_;
    line("}}");
  }

  void print_node(const Alloc& node) { line("fragment {}", declaration(node.buffer)); }

  void print_node(const For& node) {
    std::string head = "for " + range(node.var, node.lo, node.hi);
    if (node.step && !is_integer(node.step, 1)) head += " step " + text(node.step, node.var->dtype);
    if (node.kind != ForKind::serial) head += fmt::format(" {}", name(node.kind));
    body(head, node.body);
    names_.release(node.var);
  }

  void print_node(const If& node) {
    body("if " + text(node.condition), node.then);
    if (!node.otherwise) return;
    out_.pop_back();  // "} else {" on the line of the brace
    const int indent = indent_;
    indent_ = 0;
    line(" else {{");
    indent_ = indent + 1;
    list(statements(node.otherwise));
    indent_ = indent;
    line("}}");
  }

  // Literals alone need the dtype stated.
  void print_node(const Let& node) {
    const bool stated = node.var->dtype != DType::i64 && is_untyped(node.value);
    const std::string value = text(node.value, stated ? node.var->dtype : DType::i64);
    line("let {} = {}", stated ? variable(node.var) : names_.of(node.var), value);
  }

  static std::string hinted(CacheHint hint) {
    return hint == CacheHint::none ? "" : fmt::format(" hint {}", name(hint));
  }

  void print_node(const Store& node) {
    const std::string atomic = node.atomic ? fmt::format("atomic {} ", row(*node.atomic).name) : "";
    line("{}{} = {}{}", atomic, place(node.buffer, node.index), text(node.value, node.buffer->dtype),
         hinted(node.hint));
  }

  void print_node(const Move& node) {
    line("move {} = {} width {}{}", place(node.to, {&node.to_index, 1}), place(node.from, {&node.from_index, 1}),
         node.width, hinted(node.hint));
  }

  void print_node(const Intrinsic& node) {
    const IntrinsicRow& row = ir::row(node.id);
    std::string operands;
    for (std::size_t i = 0; i < node.args.size(); ++i) {
      operands += fmt::format("{}{}", i ? ", " : "", operand(operand_kind(row, i), node.args[i]));
    }
    line("{}({})", row.name, operands);
  }

  std::string operand(char kind, const Expr& e) {
    const std::optional<std::int64_t> value = as_integer(e);
    if (kind == 'd' && value && *value >= 0 && *value < kDTypeCount) {
      return std::string(name(static_cast<DType>(*value)));
    }
    if (kind == 'm' && value && *value >= 0 && *value < static_cast<std::int64_t>(map_names_.size())) {
      return map_names_[static_cast<std::size_t>(*value)];
    }
    return text(e);
  }

  void print_node(const Map& node) {
    std::string head = fmt::format("map ({})", ranges(node.axes));
    if (!node.distribution.modes.empty()) head += " over " + to_string(node.distribution);
    if (node.where) head += " where " + text(node.where);
    if (node.via != Via::threads) head += fmt::format(" via {}", name(node.via));
    if (node.barrier) head += " on " + text(node.barrier);
    if (node.multicast != 0) head += fmt::format(" multicast {}", node.multicast);
    body(head, node.body);
    for (const Axis& axis : node.axes) names_.release(axis.var);
  }

  void print_node(const Fold& node) {
    const auto buffers = [&](const std::vector<BufferRef>& list) {
      std::string result;
      for (const BufferRef& buffer : list) result += (result.empty() ? "" : ", ") + name_of(buffer);
      return result;
    };
    const std::string to = buffers(node.to);
    line("fold {} ({}) = ({}) over ({})", row(node.reducer).name, to, buffers(node.from), fmt::join(node.over, ", "));
  }

  void print_node(const Mma& node) {
    const std::array axes{node.i, node.j, node.k};
    const auto factor = [&](const Expr& e) {
      const std::string result = to_string(e, names_);
      return e->kind == ExprKind::read && !e->fill ? result : fmt::format("({})", result);
    };
    const std::string head = fmt::format("mma {} ({})", name(node.kind), ranges(axes));
    const std::array<Expr, 2> index{node.i.var, node.j.var};
    std::string tail = fmt::format("{} += {} * {}", place(node.acc, index), factor(node.a), factor(node.b));
    if (node.accumulate) tail += " accumulate " + text(node.accumulate);
    line("{} {}", head, tail);
    for (const Axis& axis : axes) names_.release(axis.var);
  }

  void print_node(const Role& node) {
    std::string head = fmt::format("role {} warps {}..{}", node.name, node.lo, node.hi);
    if (node.registers != 0) head += fmt::format(" registers {}", node.registers);
    if (node.elected) head += " elected";
    if (node.group) head += fmt::format(" each {} in {}", variable(node.group), node.groups);
    body(head, node.body);
    if (node.group) names_.release(node.group);
  }

  Names names_;
  std::vector<std::string> map_names_;
  std::string out_;
  int indent_ = 0;
};

}  // namespace

std::string to_string(const Kernel& kernel) { return KernelPrinter().print(kernel); }

std::string headline(const Stmt& stmt, const Kernel* kernel) {
  const std::string text = KernelPrinter().print(stmt, kernel);
  return text.substr(0, text.find('\n'));
}

std::string_view name(Via via) {
  switch (via) {
    case Via::threads:
      return "threads";
    case Via::cp_async:
      return "cp_async";
    case Via::tma_load:
      return "tma_load";
    case Via::tma_im2col:
      return "tma_im2col";
    case Via::tma_store:
      return "tma_store";
    case Via::tma_reduce:
      return "tma_reduce";
    case Via::ldmatrix:
      return "ldmatrix";
    case Via::stmatrix:
      return "stmatrix";
  }
  unreachable("every way of a map has a name");
}

std::string_view name(MmaKind kind) {
  switch (kind) {
    case MmaKind::simt:
      return "simt";
    case MmaKind::mma_sync:
      return "mma_sync";
    case MmaKind::wgmma:
      return "wgmma";
  }
  unreachable("every kind of mma has a name");
}

std::string_view name(ForKind kind) {
  switch (kind) {
    case ForKind::serial:
      return "";
    case ForKind::unroll:
      return "unroll";
    case ForKind::rolled:
      return "rolled";
    case ForKind::vector:
      return "vector";
  }
  unreachable("every kind of loop has a name");
}

std::string_view name(CacheHint hint) {
  switch (hint) {
    case CacheHint::none:
      return "";
    case CacheHint::streaming:
      return "streaming";
    case CacheHint::no_allocate:
      return "no_allocate";
    case CacheHint::evict_last:
      return "evict_last";
  }
  unreachable("every cache hint has a name");
}

std::span<const std::string_view> kernel_words() { return kWords; }

}  // namespace quern::ir
