// The meaning of expressions as written: names are looked up, literals take their dtypes, types are checked with an
// error at the place in the text. The node factories check them again for programs of other origins.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/numeric.h"
#include "ir/expr_parser.h"
#include "ir/printer.h"
#include "ir/scalar.h"

namespace quern::ir {
namespace {

// Whether literals alone make a float of `syntax`, or demand an integer.
bool is_real(const Syntax& syntax) {
  if (syntax.kind == SyntaxKind::number) return syntax.token.kind != TokenKind::integer;
  return (syntax.kind == SyntaxKind::call && row(syntax.op).types == TypeRule::floating) ||
         std::any_of(syntax.args.begin(), syntax.args.end(), [](const SyntaxRef& arg) { return is_real(*arg); });
}

bool is_integral(const Syntax& syntax) {
  const auto integral = [](Op op) {
    return row(op).types == TypeRule::integral || row(op).types == TypeRule::integral_or_bool;
  };
  return (syntax.kind == SyntaxKind::call && integral(syntax.op)) ||
         std::any_of(syntax.args.begin(), syntax.args.end(), [](const SyntaxRef& arg) { return is_integral(*arg); });
}

DType default_dtype(const Syntax& literals) { return is_real(literals) ? DType::f32 : DType::i64; }

std::string_view admitted(TypeRule rule) {
  switch (rule) {
    case TypeRule::floating:
      return "floats";
    case TypeRule::integral:
      return "integers";
    case TypeRule::integral_or_bool:
      return "integers or bool";
    case TypeRule::logical:
      return "bool";
    case TypeRule::numeric:
      return "numbers";
    default:
      return "operands of one dtype";
  }
}

// What to write instead where a rule refuses a dtype.
std::string_view way_out(Op op, DType given) {
  if (op == Op::div && is_integer(given)) return "; // divides integers, or convert them, as in f32(...)";
  if (op == Op::floor_div && is_float(given)) return "; floor(a / b) rounds a float quotient down";
  if (op == Op::mod && is_float(given)) return "; a - floor(a / b) * b is the remainder of floats";
  if (is_bool(given)) return "; convert it, as in i32(...)";
  if (row(op).types == TypeRule::logical) return "; compare it, as in x != 0";
  return "; convert it, as in f32(...)";
}

// The one of two dtypes that holds more.
DType wider(DType a, DType b) {
  if (is_float(a) != is_float(b)) return is_float(a) ? a : b;
  return info(a).digits >= info(b).digits ? a : b;
}

class Builder {
 public:
  Builder(const TokenStream& tokens, const InferredExtent& extents) : tokens_(tokens), extents_(extents) {}

  Expr build(const Syntax& syntax, const Scope& scope, std::optional<DType> expected = std::nullopt) const {
    switch (syntax.kind) {
      case SyntaxKind::number:
        return number(syntax, expected.value_or(default_dtype(syntax)));
      case SyntaxKind::truth:
        return boolean(syntax.token.text == "true");
      case SyntaxKind::name:
        return variable(syntax, scope);
      case SyntaxKind::call:
        return call(syntax, scope, expected);
      case SyntaxKind::cast:
        return cast(syntax, scope);
      case SyntaxKind::read:
        return read(syntax, scope);
      case SyntaxKind::reduce:
        return reduction(syntax, scope);
    }
    unreachable("a kind of syntax");
  }

 private:
  template <typename... Args>
  [[noreturn]] void fail(const Token& token, fmt::format_string<Args...> text, Args&&... args) const {
    tokens_.fail_at(token, fmt::format(text, std::forward<Args>(args)...));
  }

  Expr number(const Syntax& syntax, DType dtype) const {
    const std::string& text = syntax.token.text;
    const std::string written = (syntax.negative ? "-" : "") + text;
    if (is_bool(dtype)) fail(syntax.token, "the number {} stands where a bool is needed; write true or false", written);
    if (is_float(dtype)) {
      const double magnitude = real(syntax, dtype);
      if (std::isfinite(magnitude) && magnitude >= first_too_large(dtype)) fail_range(syntax.token, dtype);
      return constant(dtype, syntax.negative ? -magnitude : magnitude);
    }
    if (syntax.token.kind != TokenKind::integer) {
      fail(syntax.token, "the float {} stands where the dtype is {}; convert one side, as in f32(...)", written,
           name(dtype));
    }
    std::uint64_t magnitude = 0;
    const bool parsed = parse_unsigned(text, magnitude);
    const auto highest = static_cast<std::uint64_t>(highest_integer(dtype));
    const std::uint64_t lowest = is_signed_integer(dtype) ? highest + 1 : 0;  // magnitude of the lowest
    if (!parsed || magnitude > (syntax.negative ? lowest : highest)) {
      fail(syntax.token, "{} does not fit {} ({}{} to {})", written, name(dtype), lowest ? "-" : "", lowest, highest);
    }
    return constant(dtype, static_cast<std::int64_t>(syntax.negative ? 0 - magnitude : magnitude));
  }

  // What rounds to no finite number of the dtype: half a step above the largest.
  static double first_too_large(DType dtype) {
    const double largest = largest_finite(dtype);
    return largest + std::ldexp(1.0, std::ilogb(largest) - info(dtype).digits);
  }

  [[noreturn]] void fail_range(const Token& token, DType dtype) const {
    fail(token, "{} is out of the range of {}{}", token.text, name(dtype),
         dtype == DType::f8e4m3 ? "" : "; infinity is written inf");
  }

  // The magnitude, rounded once.
  double real(const Syntax& syntax, DType dtype) const {
    const std::string& text = syntax.token.text;
    if (text == "inf") return std::numeric_limits<double>::infinity();
    if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
    std::uint64_t integer = 0;
    if (syntax.token.kind == TokenKind::integer && parse_unsigned(text, integer)) return static_cast<double>(integer);
    const auto parse = [&](auto value) -> double {
      const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
      if (result.ec == std::errc::result_out_of_range) {
        fail_range(syntax.token, dtype);
      }
      return value;
    };
    return dtype == DType::f32 ? parse(0.0F) : parse(0.0);
  }

  [[noreturn]] void fail_unknown(const Token& token, std::string_view what, const Scope& scope) const {
    std::string known;
    for (const std::string& name : scope.names()) known += fmt::format("{}{}", known.empty() ? "" : ", ", name);
    fail(token, "unknown {} '{}'; known here: {}", what, token.text, known.empty() ? "nothing" : known);
  }

  Expr variable(const Syntax& syntax, const Scope& scope) const {
    const Scope::Meaning* meaning = scope.find(syntax.token.text);
    if (!meaning) fail_unknown(syntax.token, "name", scope);
    const auto* var = std::get_if<VarRef>(meaning);
    if (!var) fail(syntax.token, "{0} is a tensor: read it with its indices, as in {0}[...]", syntax.token.text);
    return Expr(*var);
  }

  Expr call(const Syntax& syntax, const Scope& scope, std::optional<DType> expected) const {
    const TypeRule rule = row(syntax.op).types;
    std::vector<Expr> args(syntax.args.size());
    std::size_t first = 0;  // of the operands that share one dtype
    if (rule == TypeRule::select) {
      first = 1;
      args[0] = build(*syntax.args[0], scope, DType::boolean);
      if (!is_bool(args[0]->dtype)) {
        fail(syntax.token, "the condition before '?' is {}, not bool; compare it, as in x != 0", name(args[0]->dtype));
      }
    }
    const DType dtype = build_alike(syntax, scope, first, expected, args);
    std::vector<DType> types;
    for (const Expr& arg : args) types.push_back(arg->dtype);
    if (!result_type(syntax.op, types)) {
      fail(syntax.token, "'{}' takes {}, here {}{}", syntax.token.text, admitted(rule), name(dtype),
           way_out(syntax.op, dtype));
    }
    return ir::call(syntax.op, std::move(args));
  }

  // Builds the operands from `first` on, which have one dtype: that of the first that is no literal, else the one
  // expected, else the default.
  DType build_alike(const Syntax& syntax, const Scope& scope, std::size_t first, std::optional<DType> expected,
                    std::vector<Expr>& args) const {
    const TypeRule rule = row(syntax.op).types;
    std::optional<DType> dtype;
    for (std::size_t i = first; i < args.size(); ++i) {
      if (syntax.args[i]->untyped) continue;
      args[i] = build(*syntax.args[i], scope, rule == TypeRule::logical ? DType::boolean : dtype);
      if (!dtype) dtype = args[i]->dtype;
      if (args[i]->dtype != *dtype) {
        fail(syntax.token, "the operands of '{}' are {} and {}; convert one, as in {}(...)", syntax.token.text,
             name(*dtype), name(args[i]->dtype), name(wider(*dtype, args[i]->dtype)));
      }
    }
    if (!dtype && rule == TypeRule::logical) dtype = DType::boolean;
    if (!dtype && rule != TypeRule::comparison) dtype = expected;
    for (std::size_t i = first; i < args.size() && !dtype; ++i) {
      if (is_real(*syntax.args[i])) dtype = DType::f32;
    }
    if (!dtype) dtype = rule == TypeRule::floating ? DType::f32 : DType::i64;
    for (std::size_t i = first; i < args.size(); ++i) {
      if (!args[i]) args[i] = build(*syntax.args[i], scope, *dtype);
    }
    return *dtype;
  }

  // A cast of literals gives them its dtype; where that cannot be, they take their own first.
  Expr cast(const Syntax& syntax, const Scope& scope) const {
    const Syntax& arg = *syntax.args[0];
    const bool met =
        arg.untyped && ((is_float(syntax.dtype) && !is_integral(arg)) || (is_integer(syntax.dtype) && !is_real(arg)));
    return ir::cast(syntax.dtype, build(arg, scope, met ? std::optional(syntax.dtype) : std::nullopt));
  }

  Expr read(const Syntax& syntax, const Scope& scope) const {
    const Scope::Meaning* meaning = scope.find(syntax.token.text);
    if (!meaning) fail_unknown(syntax.token, "tensor", scope);
    const auto* tensor = std::get_if<TensorRef>(meaning);
    if (!tensor || !*tensor) fail(syntax.token, "{} is not a tensor that can be read here", syntax.token.text);
    const Tensor& from = **tensor;
    if (syntax.args.size() != from.rank()) {
      Names names;
      fail(syntax.token, "{} has {} dimension{} {}, here {} {} ind{}", syntax.token.text, from.rank(),
           from.rank() == 1 ? "" : "s", to_string(from.shape, names), syntax.args.size() == 1 ? "is" : "are",
           syntax.args.size(), syntax.args.size() == 1 ? "ex" : "ices");
    }
    std::vector<Expr> index;
    for (const SyntaxRef& arg : syntax.args) {
      index.push_back(build(*arg, scope, DType::i64));
      if (!is_integer(index.back()->dtype)) {
        fail(arg->token, "index {} of {} is {}; an index is an integer, as in i64(...)", index.size() - 1,
             syntax.token.text, name(index.back()->dtype));
      }
    }
    Expr fill;
    if (syntax.fill) {
      fill = build(*syntax.fill, scope, from.dtype);
      if (fill->dtype != from.dtype) {
        fail(syntax.fill->token, "{0} is {1}, the value outside is {2}; write {1}(...)", syntax.token.text,
             name(from.dtype), name(fill->dtype));
      }
    }
    return ir::read(*tensor, std::move(index), std::move(fill));
  }

  Expr reduction(const Syntax& syntax, const Scope& scope) const {
    Scope inner(&scope);
    std::vector<Axis> axes;
    for (const AxisSyntax& axis : syntax.axes) {
      if (inner.find(axis.name.text)) {
        fail(axis.name, "the name '{}' is taken: symbols, tensors and axes share one namespace", axis.name.text);
      }
      const VarRef var = make_var(axis.name.text);
      axes.push_back({var, axis.lo ? bound(*axis.lo, scope) : Expr(0), extent(axis, scope)});
      inner.add(axis.name.text, var);
    }
    Expr where;
    if (syntax.where) {
      where = build(*syntax.where, inner, DType::boolean);
      if (!is_bool(where->dtype)) {
        fail(syntax.where->token, "the condition behind 'where' is {}, not bool", name(where->dtype));
      }
    }
    std::vector<Expr> args;
    for (const SyntaxRef& arg : syntax.args) {
      args.push_back(build(*arg, inner));
      check_element(syntax, args.back()->dtype);
    }
    return reduce(syntax.reducer, std::move(axes), std::move(args), std::move(where), syntax.contract);
  }

  Expr extent(const AxisSyntax& axis, const Scope& scope) const {
    if (axis.hi) return bound(*axis.hi, scope);
    if (!extents_) fail(axis.name, "the axis {0} has no range; write it, as in {0} in 16", axis.name.text);
    return extents_(axis);
  }

  Expr bound(const Syntax& syntax, const Scope& scope) const {
    const Expr e = build(syntax, scope, DType::i64);
    if (e->dtype != DType::i64) fail(syntax.token, "the bound of a range is {}, not i64", name(e->dtype));
    return e;
  }

  void check_element(const Syntax& syntax, DType element) const {
    const ReducerRow& reducer = row(syntax.reducer);
    if (!reducer.accepts(element)) {
      fail(syntax.token, "{} does not reduce {}; convert the element, as in {}(...)", reducer.name, name(element),
           reducer.accepts(DType::boolean) ? "bool" : "f32");
    }
    const auto acc = syntax.contract.accumulator;
    if (acc && is_float(*acc) != is_float(element)) {
      fail(syntax.token, "{} of {} cannot accumulate in {}", reducer.name, name(element), name(*acc));
    }
    if (syntax.contract.grade != Grade::exact && element != DType::f32) {
      fail(syntax.token, "a grade below exact is for products in f32, the element of this {} is {}", reducer.name,
           name(element));
    }
  }

  const TokenStream& tokens_;
  const InferredExtent& extents_;
};

}  // namespace

Expr build_expr(const SyntaxRef& syntax, const Scope& scope, const TokenStream& tokens, std::optional<DType> expected,
                const InferredExtent& extents) {
  return Builder(tokens, extents).build(*syntax, scope, expected);
}

Expr parse_expr(TokenStream& tokens, const Scope& scope, std::optional<DType> expected) {
  return build_expr(parse_syntax(tokens), scope, tokens, expected);
}

}  // namespace quern::ir
