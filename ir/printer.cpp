#include "ir/printer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/numeric.h"
#include "ir/expr_parser.h"

namespace quern::ir {
namespace {

// How tightly an expression binds; 0: a read with its fill, which stands alone or in parentheses.
constexpr int kAnything = 0;
constexpr int kSelect = 1;
constexpr int kInfix = 2;  // the loosest infix operator
constexpr int kPrefix = 11;
constexpr int kPrimary = 12;

// No literal meets bool: a literal printed for it always states its dtype.
constexpr DType kExplicit = DType::boolean;

int precedence(const Expr& e) {
  switch (e->kind) {
    case ExprKind::constant:
      return kPrefix;  // maybe with a sign
    case ExprKind::call:
      return row(e->op).notation.empty() ? kPrimary : row(e->op).precedence;
    case ExprKind::read:
      return e->fill ? kAnything : kPrimary;
    default:
      return kPrimary;
  }
}

class ExprPrinter {
 public:
  ExprPrinter(Names& names, const ExprStyle& style) : names_(names), style_(style) {}

  // Prints e, in parentheses where it binds looser than `loosest`. `met` is what a literal here would take.
  void print(const Expr& e, int loosest, std::optional<DType> met) {
    const bool parentheses = precedence(e) < loosest;
    if (parentheses) out_ += '(';
    switch (e->kind) {
      case ExprKind::constant:
        print_constant(e, met);
        break;
      case ExprKind::variable:
        out_ += names_.of(e->var);
        break;
      case ExprKind::call:
        print_call(e, met);
        break;
      case ExprKind::cast:
        print_cast(e);
        break;
      case ExprKind::read:
        print_read(e);
        break;
      case ExprKind::reduce:
        print_reduce(e);
        break;
    }
    if (parentheses) out_ += ')';
  }

  std::string take() { return std::move(out_); }

 private:
  static bool is_default(DType dtype) { return dtype == DType::f32 || dtype == DType::i64; }
  static bool is_bare(DType dtype, std::optional<DType> met) { return met ? *met == dtype : is_default(dtype); }

  void print_constant(const Expr& e, std::optional<DType> met) {
    const bool bare = is_bool(e->dtype) || is_bare(e->dtype, met);
    out_ += bare ? literal(*e) : fmt::format("{}({})", name(e->dtype), literal(*e));
  }

  // The operands from `first` on share a dtype: literals among them take it from the first that is no literal, else
  // from what the call meets; where that is another dtype the first one states it.
  std::vector<std::optional<DType>> operands_meet(const Expr& e, std::size_t first, std::optional<DType> met) {
    std::vector<std::optional<DType>> meet(e->args.size());
    const DType dtype = e->args[first]->dtype;
    const auto begin = e->args.begin() + static_cast<std::ptrdiff_t>(first);
    const bool literals = std::all_of(begin, e->args.end(), is_untyped);
    std::fill(meet.begin() + static_cast<std::ptrdiff_t>(first), meet.end(), dtype);
    if (row(e->op).types == TypeRule::comparison) met.reset();
    if (literals && !is_bare(dtype, met)) meet[first] = kExplicit;
    return meet;
  }

  void print_call(const Expr& e, std::optional<DType> met) {
    const ScalarFunction& function = row(e->op);
    const auto meet = operands_meet(e, function.types == TypeRule::select ? 1 : 0, met);
    if (function.types == TypeRule::select) {
      print(e->args[0], kInfix, meet[0]);
      out_ += " ? ";
      print(e->args[1], kInfix, meet[1]);
      out_ += " : ";
      print(e->args[2], kSelect, meet[2]);
    } else if (function.notation.empty()) {
      out_ += function.name;
      print_list(e->args, '(', meet);
      out_ += ')';
    } else if (function.arity == 1) {
      out_ += function.notation;
      print(e->args[0], is_constant(e->args[0]) ? kPrimary : kPrefix, meet[0]);  // -(1) is no literal
    } else {
      // Comparisons in comparisons read better in parentheses.
      const int left = function.precedence + (function.types == TypeRule::comparison ? 1 : 0);
      print(e->args[0], left, meet[0]);
      out_ += fmt::format(" {} ", function.notation);
      print(e->args[1], function.precedence + 1, meet[1]);
    }
  }

  void print_list(const std::vector<Expr>& items, char open, const std::vector<std::optional<DType>>& meet) {
    out_ += open;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += ", ";
      print(items[i], kAnything, meet[i]);
    }
  }

  void print_cast(const Expr& e) {
    out_ += name(e->dtype);
    out_ += '(';
    print(e->args[0], kAnything, is_untyped(e->args[0]) ? std::optional(kExplicit) : std::nullopt);
    out_ += ')';
  }

  void print_read(const Expr& e) {
    out_ += names_.of(e->tensor);
    print_list(e->args, '[', std::vector<std::optional<DType>>(e->args.size(), DType::i64));
    out_ += ']';
    if (!e->fill) return;
    out_ += " else ";
    print(e->fill, kPrefix, e->tensor->dtype);
  }

  void print_reduce(const Expr& e) {
    const ReduceInfo& info = *e->reduce;
    out_ += row(info.reducer).name;
    char separator = '[';
    std::vector<std::string> ranges;  // their bounds stand outside the axes' scope
    for (const Axis& axis : info.axes) ranges.push_back(range(axis));
    for (std::size_t i = 0; i < info.axes.size(); ++i) {
      const Axis& axis = info.axes[i];
      out_ += separator;
      if (separator == ',') out_ += ' ';
      separator = ',';
      out_ += names_.give(axis.var.get(), style_.axis_hint.empty() ? axis.var->name : style_.axis_hint);
      out_ += ranges[i];
    }
    if (e->where) {
      out_ += " where ";
      print(e->where, kAnything, DType::boolean);
    }
    out_ += ']';
    print_contract(info.contract);
    print_list(e->args, '(', std::vector<std::optional<DType>>(e->args.size()));
    out_ += ')';
    for (const Axis& axis : info.axes) names_.release(axis.var);
  }

  std::string range(const Axis& axis) {
    if (style_.without_range && style_.without_range->contains(axis.var.get())) return {};
    ExprPrinter bounds(names_, style_);
    bounds.out_ = " in ";
    if (!is_integer(axis.lo, 0)) {
      bounds.print(axis.lo, kInfix, DType::i64);
      bounds.out_ += "..";
    }
    bounds.print(axis.hi, kInfix, DType::i64);
    return bounds.take();
  }

  void print_contract(const Contract& contract) {
    std::string text;
    const auto add = [&](std::string_view item) { text += fmt::format("{}{}", text.empty() ? "" : ", ", item); };
    if (contract.accumulator) add(fmt::format("acc={}", name(*contract.accumulator)));
    if (contract.grade == Grade::f32) add("grade=f32");
    if (contract.grade == Grade::tf32) add("grade=tf32");
    if (contract.order == Order::fixed) add("order=fixed");
    if (!text.empty()) out_ += fmt::format("{{{}}}", text);
  }

  Names& names_;
  const ExprStyle& style_;
  std::string out_;
};

}  // namespace

const std::string& Names::give(const void* object, std::string_view hint) {
  const auto known = names_.find(object);
  if (known != names_.end()) return known->second;
  return names_.emplace(object, fresh(hint)).first->second;
}

const std::string& Names::of(const VarRef& var) { return give(var.get(), var->name); }
const std::string& Names::of(const TensorRef& tensor) { return give(tensor.get(), tensor->name); }

std::string Names::fresh(std::string_view hint) {
  std::string base;
  for (const char c : hint) {
    const bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    base += fits ? c : '_';
  }
  if (!is_valid_name(base)) base = base.empty() ? "v" : is_reserved(base) ? base + "_" : "_" + base;
  std::string name = base;
  const bool ends_in_digit = base.back() >= '0' && base.back() <= '9';
  for (int i = 2; !taken_.insert(name).second; ++i) name = fmt::format("{}{}{}", base, ends_in_digit ? "_" : "", i);
  return name;
}

void Names::release(const void* object) {
  const auto known = names_.find(object);
  if (known == names_.end()) return;
  taken_.erase(known->second);
  names_.erase(known);
}

bool is_untyped(const Expr& e) {
  if (e->kind == ExprKind::constant) return !is_bool(e->dtype);
  if (e->kind != ExprKind::call) return false;
  const TypeRule rule = row(e->op).types;
  if (rule == TypeRule::comparison || rule == TypeRule::logical) return false;
  return std::all_of(e->args.begin() + (rule == TypeRule::select ? 1 : 0), e->args.end(), is_untyped);
}

std::string literal(const Node& constant) {
  if (is_bool(constant.dtype)) return constant.integer ? "true" : "false";
  if (constant.dtype == DType::u64) return fmt::format("{}", static_cast<std::uint64_t>(constant.integer));
  if (!is_float(constant.dtype)) return fmt::format("{}", constant.integer);
  const double value = constant.real;
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string text = fmt::format("{}", value);
  if (constant.dtype == DType::f32) {
    text = fmt::format("{}", static_cast<float>(value));
  } else if (constant.dtype != DType::f64) {
    for (int digits = 1; digits < 17; ++digits) {
      const std::string shorter = fmt::format("{:.{}g}", value, digits);
      double read_back = 0;
      std::from_chars(shorter.data(), shorter.data() + shorter.size(), read_back);
      if (round_to(constant.dtype, read_back) == value) {
        text = shorter;
        break;
      }
    }
  }
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

std::string to_string(const Expr& e, Names& names, std::optional<DType> expected, const ExprStyle& style) {
  ExprPrinter printer(names, style);
  printer.print(e, kAnything, expected);
  return printer.take();
}

std::string to_string(const Expr& e, Names& names, std::optional<DType> expected) {
  return to_string(e, names, expected, ExprStyle{});
}

std::string to_string(const Expr& e) {
  Names names;
  return to_string(e, names);
}

std::string to_string(std::span<const Expr> shape, Names& names) {
  std::string text = "[";
  for (std::size_t d = 0; d < shape.size(); ++d) {
    text += fmt::format("{}{}", d > 0 ? ", " : "", to_string(shape[d], names, DType::i64));
  }
  return text + "]";
}

}  // namespace quern::ir
