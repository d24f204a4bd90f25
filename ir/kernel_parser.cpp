// The header of a kernel: parameters, launch, facts, tensor maps, shared memory.

#include "ir/kernel_parser.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "ir/kernel_printer.h"
#include "ir/kernel_syntax.h"

namespace quern::ir {
namespace {

bool is_kernel_word(std::string_view name) {
  return std::ranges::find(kernel_words(), name) != kernel_words().end() || parse_intrinsic(name);
}

class KernelParser : KernelReader {
 public:
  explicit KernelParser(TokenStream& tokens) : KernelReader(tokens) {}

  Kernel kernel() {
    tokens_.expect("kernel");
    kernel_.name = parse_new_name(tokens_, "a kernel").text;
    if (tokens_.accept("comment")) kernel_.comment = tokens_.expect(TokenKind::string, "the comment's text").text;
    parameters();
    launch();
    if (tokens_.accept("with")) {
      do {
        kernel_.facts.push_back(fact());
      } while (tokens_.accept(","));
    }
    form();
    tokens_.expect("{");
    while (tokens_.at("tensor_map")) tensor_map();
    while (tokens_.at("shared") || tokens_.at("barrier")) {
      if (tokens_.at("(", 1)) break;  // the intrinsic
      const Space space = tokens_.next().text == "shared" ? Space::shared : Space::barrier;
      kernel_.shared.push_back(on_chip(scope_, space));
      scope_.add(kernel_.shared.back()->name, TensorRef(kernel_.shared.back()));
    }
    kernel_.body = parse_statements(tokens_, scope_, map_names_);
    if (!tokens_.at_end()) tokens_.fail_expected("the kernel's end");
    return std::move(kernel_);
  }

 private:
  struct Parameter {
    Token name;
    DType dtype;
    std::vector<SyntaxRef> shape, strides;
    bool constant = false;
    std::int64_t alignment = Buffer().alignment;
  };

  std::vector<SyntaxRef> syntax_list(std::string_view open, std::string_view close) {
    std::vector<SyntaxRef> result;
    tokens_.expect(open);
    if (tokens_.accept(close)) return result;
    do {
      result.push_back(parse_syntax(tokens_));
    } while (tokens_.accept(","));
    tokens_.expect(close);
    return result;
  }

  // Buffers first, then symbols, over which the buffers' shapes are.
  void parameters() {
    std::vector<Parameter> params;
    tokens_.expect("(");
    if (!tokens_.at(")") && !tokens_.at(";")) {
      do {
        params.push_back(parameter());
      } while (tokens_.accept(","));
    }
    if (tokens_.accept(";")) {
      do {
        kernel_.symbols.push_back(new_variable(scope_, "a symbol"));
        scope_.add(kernel_.symbols.back()->name, kernel_.symbols.back());
      } while (tokens_.accept(","));
    }
    tokens_.expect(")");
    for (const Parameter& param : params) {
      if (scope_.find(param.name.text)) tokens_.fail_at(param.name, "this name is taken");
      auto buffer = std::make_shared<Buffer>();
      buffer->name = param.name.text;
      buffer->dtype = param.dtype;
      for (const SyntaxRef& e : param.shape) buffer->shape.push_back(built(e, scope_, DType::i64, "an extent"));
      for (const SyntaxRef& e : param.strides) buffer->strides.push_back(built(e, scope_, DType::i64, "a stride"));
      if (!buffer->strides.empty() && buffer->strides.size() != buffer->shape.size()) {
        tokens_.fail_at(param.name, "a tensor has as many strides as extents");
      }
      buffer->constant = param.constant;
      buffer->alignment = param.alignment;
      scope_.add(buffer->name, TensorRef(buffer));
      kernel_.params.push_back(buffer);
    }
  }

  Parameter parameter() {
    Parameter param{.name = new_name(scope_, "a parameter"), .dtype = {}, .shape = {}, .strides = {}};
    tokens_.expect(":");
    param.dtype = parse_dtype(tokens_);
    param.shape = syntax_list("[", "]");
    if (tokens_.accept("strides")) param.strides = syntax_list("(", ")");
    param.constant = tokens_.accept("const");
    if (tokens_.accept("align")) param.alignment = integer("an alignment in bytes", 1);
    return param;
  }

  void launch() {
    tokens_.expect("grid");
    list([&] {
      const VarRef block = new_variable(scope_, "a block's variable");
      tokens_.expect("in");
      kernel_.grid.push_back(expr(scope_));  // i64, as all that the host computes
      scope_.add(block->name, block);
      kernel_.block.push_back(block);
    });
    tokens_.expect("warps");
    kernel_.warps = small("a number of warps", 1);
    tokens_.expect("lanes");
    kernel_.lanes = small("a number of lanes", 1);
    if (tokens_.accept("cluster")) list([&] { kernel_.cluster.push_back(integer("a cluster's extent", 1)); });
    if (tokens_.accept("min_blocks")) kernel_.min_blocks_per_sm = small("a number of blocks", 1);
  }

  Fact fact() {
    Fact fact{.kind = Fact::Kind::condition, .condition = {}, .tensor = {}, .symbol = {}, .lo = {}, .hi = {}};
    if (tokens_.accept("exact")) {
      fact.kind = Fact::Kind::exact;
    } else if (tokens_.at("aligned") || tokens_.at("nondecreasing")) {
      const bool aligned = tokens_.next().text == "aligned";
      fact.kind = aligned ? Fact::Kind::aligned : Fact::Kind::nondecreasing;
      tokens_.expect("(");
      fact.tensor = buffer(scope_, "a parameter");
      if (aligned) {
        tokens_.expect(",");
        fact.bytes = integer("an alignment in bytes", 1);
      }
      tokens_.expect(")");
    } else if (tokens_.at("in", 1)) {
      fact.kind = Fact::Kind::range;
      const Token token = tokens_.next();
      const Scope::Meaning* meaning = scope_.find(token.text);
      if (!meaning) tokens_.fail_at(token, fmt::format("unknown name '{}'", token.text));
      if (const VarRef* symbol = std::get_if<VarRef>(meaning)) fact.symbol = *symbol;
      if (const TensorRef* tensor = std::get_if<TensorRef>(meaning)) fact.tensor = *tensor;
      tokens_.expect("in");
      fact.lo = typed(scope_, DType::i64, "a bound");
      tokens_.expect("..");
      fact.hi = typed(scope_, DType::i64, "a bound");
    } else {
      fact.condition = typed(scope_, DType::boolean, "a fact");
    }
    return fact;
  }

  void form() {
    if (tokens_.accept("thread")) {
      kernel_.form = Form::thread;
    } else {
      tokens_.expect("tile");
    }
    if (!tokens_.accept("(")) return;
    kernel_.warp = new_variable(scope_, "the warp's variable");
    scope_.add(kernel_.warp->name, kernel_.warp);
    tokens_.expect(",");
    kernel_.lane = new_variable(scope_, "the lane's variable");
    scope_.add(kernel_.lane->name, kernel_.lane);
    tokens_.expect(")");
  }

  void tensor_map() {
    using Map = TensorMapParameter;
    tokens_.expect("tensor_map");
    TensorMapParam map;
    const Token name = new_name(scope_, "a tensor map");
    map.name = name.text;
    if (std::ranges::find(map_names_, map.name) != map_names_.end()) tokens_.fail_at(name, "this name is taken");
    map_names_.push_back(map.name);
    tokens_.expect(":");
    map.buffer = buffer(scope_, "a parameter");
    if (tokens_.accept("im2col")) {
      map.mode = Map::Mode::im2col;
    } else {
      tokens_.expect("tiled");
    }
    tokens_.expect("dims");
    map.dims = expressions(scope_);
    const auto integers = [&](std::vector<int>& to, std::string_view what) {
      list([&] { to.push_back(small(what, 1)); });
    };
    if (tokens_.accept("offset")) map.byte_offset = expr(scope_);
    if (tokens_.accept("byte_strides")) map.byte_strides = expressions(scope_);
    if (tokens_.accept("element_strides")) integers(map.element_strides, "a stride");
    if (tokens_.accept("box")) integers(map.box, "a box's extent");
    if (tokens_.accept("lower")) map.lower_corner = expressions(scope_);
    if (tokens_.accept("upper")) map.upper_corner = expressions(scope_);
    if (tokens_.accept("channels")) map.channels = small("a number of channels", 1);
    if (tokens_.accept("pixels")) map.pixels = small("a number of pixels", 1);
    if (tokens_.accept("swizzle"))
      map.swizzle = static_cast<Map::Swizzle>(choice("0, 32, 64 or 128", {0, 32, 64, 128}));
    if (tokens_.accept("fill")) {
      tokens_.expect("nan");
      map.fill = Map::Fill::nan;
    }
    if (tokens_.accept("l2")) {
      map.l2_promotion = static_cast<Map::L2Promotion>(choice("0, 64, 128 or 256", {0, 64, 128, 256}));
    }
    kernel_.maps.push_back(std::move(map));
  }

  // The position of the number that stands next.
  int choice(std::string_view what, const std::vector<std::int64_t>& numbers) {
    const Token token = tokens_.peek();
    const auto found = std::ranges::find(numbers, tokens_.expect_integer(what));
    if (found == numbers.end()) tokens_.fail_at(token, fmt::format("expected {}", what));
    return static_cast<int>(found - numbers.begin());
  }

  Scope scope_;
  Kernel kernel_;
  std::vector<std::string> map_names_;
};

}  // namespace

Token KernelReader::new_name(const Scope& scope, std::string_view what) {
  const Token token = parse_new_name(tokens_, what);
  if (is_kernel_word(token.text)) {
    tokens_.fail_at(token, fmt::format("'{}' is reserved: it cannot be the name of {}", token.text, what));
  }
  if (scope.find(token.text)) tokens_.fail_at(token, fmt::format("the name '{}' is taken", token.text));
  return token;
}

VarRef KernelReader::new_variable(const Scope& scope, std::string_view what) {
  const Token token = new_name(scope, what);
  return make_var(token.text, tokens_.accept(":") ? parse_dtype(tokens_) : DType::i64);
}

Expr KernelReader::built(const SyntaxRef& syntax, const Scope& scope, DType dtype, std::string_view what) {
  Expr e = build_expr(syntax, scope, tokens_, dtype);
  if (e->dtype != dtype) {
    tokens_.fail_at(syntax->token, fmt::format("{} is {}, here {}", what, name(dtype), name(e->dtype)));
  }
  return e;
}

Expr KernelReader::typed(const Scope& scope, DType dtype, std::string_view what) {
  return built(parse_syntax(tokens_), scope, dtype, what);
}

std::int64_t KernelReader::integer(std::string_view what, std::int64_t least) {
  const Token token = tokens_.peek();
  const std::int64_t value = tokens_.expect_integer(what);
  constexpr std::int64_t kMost = std::numeric_limits<int>::max();
  if (value < least || value > kMost) {
    tokens_.fail_at(token, fmt::format("{} is {} to {}, here {}", what, least, kMost, value));
  }
  return value;
}

void KernelReader::list(const std::function<void()>& item) {
  tokens_.expect("(");
  if (tokens_.accept(")")) return;
  do {
    item();
  } while (tokens_.accept(","));
  tokens_.expect(")");
}

std::vector<Expr> KernelReader::expressions(const Scope& scope) {
  std::vector<Expr> result;
  list([&] { result.push_back(expr(scope)); });
  return result;
}

Axis KernelReader::axis(const Scope& scope) {
  Axis result{.var = new_variable(scope, "an axis"), .lo = {}, .hi = {}};
  tokens_.expect("in");
  const DType dtype = result.var->dtype;
  result.lo = constant(dtype, std::int64_t{0});
  result.hi = typed(scope, dtype, "a bound");
  if (tokens_.accept("..")) {
    result.lo = result.hi;
    result.hi = typed(scope, dtype, "a bound");
  }
  return result;
}

BufferRef KernelReader::on_chip(const Scope& scope, Space space) {
  const Token name = new_name(scope, "a buffer");
  tokens_.expect(":");
  const DType dtype = parse_dtype(tokens_);
  std::vector<std::int64_t> written;
  tokens_.expect("[");
  if (!tokens_.accept("]")) {
    do {
      written.push_back(integer("an extent", 1));
    } while (tokens_.accept(","));
    tokens_.expect("]");
  }
  const Token token = tokens_.peek();
  Layout layout = tokens_.accept("layout") ? parse_layout(tokens_) : row_major(written);
  if (extents(layout) != written) tokens_.fail_at(token, "the layout's extents are not those of the buffer");
  const std::int64_t alignment = tokens_.accept("align") ? integer("an alignment in bytes", 1) : Buffer().alignment;
  return make_buffer(name.text, dtype, space, std::move(layout), alignment);
}

BufferRef KernelReader::buffer(const Scope& scope, std::string_view what) {
  const Token token = tokens_.expect(TokenKind::name, what);
  const Scope::Meaning* meaning = scope.find(token.text);
  const TensorRef* tensor = meaning ? std::get_if<TensorRef>(meaning) : nullptr;
  BufferRef result = tensor ? std::dynamic_pointer_cast<const Buffer>(*tensor) : nullptr;
  if (!result) tokens_.fail_at(token, fmt::format("'{}' is not {}", token.text, what));
  return result;
}

Kernel parse_kernel(std::string_view text) {
  TokenStream tokens(text);
  return KernelParser(tokens).kernel();
}

}  // namespace quern::ir
