// The serialised form of launch plans. Field order is fixed, so equal plans give equal bytes. Expressions are prefix
// lists: 12, "m", "@processors", ["ceil_div", "m", 128].

#include <array>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/plan.h"

namespace quern {
namespace {

using Json = nlohmann::ordered_json;
using TensorMap = TensorMapParameter;

constexpr std::array<std::string_view, 2> kSources = {"dimension", "stride"};
constexpr std::array<std::string_view, 2> kBases = {"argument", "workspace"};
constexpr std::array<std::string_view, 5> kScalars = {"i32", "i64", "u32", "u64", "f32"};
constexpr std::array<std::string_view, 2> kModes = {"tiled", "im2col"};
constexpr std::array<std::string_view, 4> kSwizzles = {"none", "32B", "64B", "128B"};
constexpr std::array<std::string_view, 2> kFills = {"zero", "nan"};
constexpr std::array<std::string_view, 4> kPromotions = {"none", "64B", "128B", "256B"};

template <typename Enum, std::size_t N>
std::string_view word(const std::array<std::string_view, N>& words, Enum value) {
  return words[static_cast<std::size_t>(value)];
}

template <typename Enum, std::size_t N>
Enum enumerator(const std::array<std::string_view, N>& words, const Json& json) {
  const std::string text = json.get<std::string>();
  for (std::size_t i = 0; i < N; ++i) {
    if (words[i] == text) return static_cast<Enum>(i);
  }
  fail("launch plan: unknown word '{}'", text);
}

// Both directions know the symbols, so that expressions name them.
class Writer {
 public:
  explicit Writer(const Plan& plan) : plan_(plan) {}

  Json write() const {
    Json json{{"quern_plan", kPlanVersion}, {"name", plan_.name}, {"target", plan_.target}};
    Json& symbols = json["symbols"] = Json::array();
    for (const PlanSymbol& s : plan_.symbols) {
      symbols.push_back(
          {{"name", s.name}, {"source", word(kSources, s.source)}, {"argument", s.argument}, {"axis", s.dimension}});
    }
    Json& arguments = json["arguments"] = Json::array();
    for (const PlanArgument& a : plan_.arguments) {
      arguments.push_back({{"name", a.name},
                           {"dtype", name(a.dtype)},
                           {"shape", list(a.shape)},
                           {"strides", list(a.strides)},
                           {"output", a.is_output},
                           {"const", a.is_const},
                           {"updates", a.updates}});
    }
    Json& variants = json["variants"] = Json::array();
    for (const Variant& v : plan_.variants) variants.push_back(variant(v));
    return json;
  }

 private:
  Json expr(const PlanExpr& e) const {
    std::vector<Json> stack;
    for (const PlanExpr::Item& item : e.items()) {
      const int operands = arity(item.op);
      if (item.op == PlanOp::constant) {
        stack.emplace_back(item.value);
      } else if (item.op == PlanOp::symbol) {
        stack.emplace_back(plan_.symbols[static_cast<std::size_t>(item.value)].name);
      } else if (item.op == PlanOp::limit) {
        stack.emplace_back("@" + std::string(name(static_cast<DeviceLimit>(item.value))));
      } else {
        Json node = Json::array({name(item.op)});
        const auto first = stack.end() - operands;
        for (auto operand = first; operand != stack.end(); ++operand) node.push_back(std::move(*operand));
        stack.erase(first, stack.end());
        stack.push_back(std::move(node));
      }
    }
    return stack.back();
  }

  template <typename Range>
  Json list(const Range& expressions) const {
    Json json = Json::array();
    for (const PlanExpr& e : expressions) json.push_back(expr(e));
    return json;
  }

  Json pointer(const PlanPointer& p) const {
    return {{"base", word(kBases, p.base)}, {"index", p.index}, {"offset", expr(p.byte_offset)}};
  }

  Json guard(const ConditionGuard& g) const { return {{"condition", expr(g.condition)}}; }
  Json guard(const AlignmentGuard& g) const { return {{"aligned", g.argument}, {"bytes", g.bytes}}; }

  Json parameter(const PlanPointer& p) const { return {{"pointer", pointer(p)}}; }
  Json parameter(const ScalarParameter& p) const {
    return {{"scalar", word(kScalars, p.type)}, {"value", expr(p.value)}};
  }
  Json parameter(const FastDivisionParameter& p) const { return {{"fast_division", expr(p.divisor)}}; }
  Json parameter(const TensorMap& m) const {
    return {{"tensor_map", word(kModes, m.mode)},
            {"base", pointer(m.base)},
            {"dtype", name(m.dtype)},
            {"dims", list(m.dims)},
            {"byte_strides", list(m.byte_strides)},
            {"element_strides", m.element_strides},
            {"box", m.box},
            {"lower_corner", list(m.lower_corner)},
            {"upper_corner", list(m.upper_corner)},
            {"channels", m.channels},
            {"pixels", m.pixels},
            {"swizzle", word(kSwizzles, m.swizzle)},
            {"fill", word(kFills, m.fill)},
            {"l2_promotion", word(kPromotions, m.l2_promotion)}};
  }

  Json action(const Memset& m) const {
    return {{"memset", pointer(m.destination)}, {"bytes", expr(m.bytes)}, {"value", m.value}};
  }
  Json action(const Launch& l) const {
    Json parameters = Json::array();
    for (const PlanParameter& p : l.parameters) {
      parameters.push_back(std::visit([this](const auto& x) { return parameter(x); }, p));
    }
    return {{"launch", l.kernel},
            {"grid", list(l.grid)},
            {"threads", l.threads},
            {"cluster", list(l.cluster)},
            {"shared_bytes", expr(l.shared_bytes)},
            {"parameters", std::move(parameters)}};
  }

  Json variant(const Variant& v) const {
    Json json{{"name", v.name}, {"note", v.note}};
    Json& guards = json["guards"] = Json::array();
    for (const Guard& g : v.guards) guards.push_back(std::visit([this](const auto& x) { return guard(x); }, g));
    Json& workspace = json["workspace"] = Json::array();
    for (const WorkspaceSlot& s : v.workspace) {
      workspace.push_back({{"bytes", expr(s.bytes)}, {"persistent", s.persistent}});
    }
    Json& steps = json["steps"] = Json::array();
    for (const Step& s : v.steps) {
      Json step = std::visit([this](const auto& x) { return action(x); }, s.action);
      step["once"] = s.once;
      steps.push_back(std::move(step));
    }
    return json;
  }

  const Plan& plan_;
};

class Reader {
 public:
  Plan read(const Json& json) {
    const int version = integer<int>(json.at("quern_plan"));
    if (version != kPlanVersion) fail("launch plan: version {}, this build reads {}", version, kPlanVersion);
    Plan plan;
    plan.name = json.at("name").get<std::string>();
    plan.target = json.at("target").get<std::string>();
    for (const Json& s : json.at("symbols")) {
      plan.symbols.push_back({s.at("name").get<std::string>(), enumerator<PlanSymbol::Source>(kSources, s.at("source")),
                              integer<int>(s.at("argument")), integer<int>(s.at("axis"))});
      names_.push_back(plan.symbols.back().name);
    }
    for (const Json& a : json.at("arguments")) {
      plan.arguments.push_back({a.at("name").get<std::string>(), dtype(a.at("dtype")), list(a.at("shape")),
                                list(a.at("strides")), a.at("output").get<bool>(), a.at("const").get<bool>(),
                                integer<int>(a.at("updates"))});
    }
    for (const Json& v : json.at("variants")) plan.variants.push_back(variant(v));
    validate(plan);
    return plan;
  }

 private:
  template <typename Int>
  static Int integer(const Json& json) {
    if (!json.is_number_integer()) fail("launch plan: expected an integer, got {}", json.dump());
    if (json.is_number_unsigned() && json.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max()) {
      fail("launch plan: {} is out of range", json.dump());
    }
    const auto value = json.get<std::int64_t>();
    if (value < std::numeric_limits<Int>::min() || value > std::numeric_limits<Int>::max()) {
      fail("launch plan: {} is out of range", value);
    }
    return static_cast<Int>(value);
  }

  static std::vector<int> integers(const Json& json) {
    std::vector<int> values;
    for (const Json& v : json) values.push_back(integer<int>(v));
    return values;
  }

  static DType dtype(const Json& json) {
    const std::string text = json.get<std::string>();
    if (const auto found = parse_dtype(text)) return *found;
    fail("launch plan: unknown dtype '{}'", text);
  }

  PlanExpr leaf(const std::string& text) const {
    for (std::size_t i = 0; i < names_.size(); ++i) {
      if (names_[i] == text) return PlanExpr::symbol(static_cast<int>(i));
    }
    for (int i = 0; i < kDeviceLimitCount; ++i) {
      const auto limit = static_cast<DeviceLimit>(i);
      if (text.starts_with('@') && text.substr(1) == name(limit)) return PlanExpr::limit(limit);
    }
    fail("launch plan: unknown symbol '{}'", text);
  }

  PlanExpr expr(const Json& json, int depth = 0) const {
    if (json.is_number()) return integer<std::int64_t>(json);
    if (json.is_string()) return leaf(json.get<std::string>());
    if (depth > PlanExpr::kMaxDepth * 4) fail("launch plan: an expression nests too deeply");
    std::vector<PlanExpr> operands;
    for (std::size_t i = 1; i < json.size(); ++i) operands.push_back(expr(json.at(i), depth + 1));
    const std::string word = json.at(0).get<std::string>();
    for (int op = static_cast<int>(PlanOp::add); op <= static_cast<int>(PlanOp::select); ++op) {
      if (word != name(static_cast<PlanOp>(op))) continue;
      if (static_cast<int>(operands.size()) != arity(static_cast<PlanOp>(op))) {
        fail("launch plan: '{}' takes {} operands, not {}", word, arity(static_cast<PlanOp>(op)), operands.size());
      }
      return PlanExpr::make(static_cast<PlanOp>(op), operands);
    }
    fail("launch plan: unknown operation '{}'", word);
  }

  std::vector<PlanExpr> list(const Json& json) const {
    std::vector<PlanExpr> expressions;
    for (const Json& e : json) expressions.push_back(expr(e));
    return expressions;
  }

  std::array<PlanExpr, 3> triple(const Json& json) const {
    if (json.size() != 3) fail("launch plan: a grid or cluster has {} entries, not 3", json.size());
    return {expr(json.at(0)), expr(json.at(1)), expr(json.at(2))};
  }

  PlanPointer pointer(const Json& json) const {
    return {enumerator<PlanPointer::Base>(kBases, json.at("base")), integer<int>(json.at("index")),
            expr(json.at("offset"))};
  }

  Guard guard(const Json& json) const {
    if (json.contains("condition")) return ConditionGuard{expr(json.at("condition"))};
    return AlignmentGuard{integer<int>(json.at("aligned")), integer<std::int64_t>(json.at("bytes"))};
  }

  TensorMap tensor_map(const Json& json) const {
    return {.mode = enumerator<TensorMap::Mode>(kModes, json.at("tensor_map")),
            .base = pointer(json.at("base")),
            .dtype = dtype(json.at("dtype")),
            .dims = list(json.at("dims")),
            .byte_strides = list(json.at("byte_strides")),
            .element_strides = integers(json.at("element_strides")),
            .box = integers(json.at("box")),
            .lower_corner = list(json.at("lower_corner")),
            .upper_corner = list(json.at("upper_corner")),
            .channels = integer<int>(json.at("channels")),
            .pixels = integer<int>(json.at("pixels")),
            .swizzle = enumerator<TensorMap::Swizzle>(kSwizzles, json.at("swizzle")),
            .fill = enumerator<TensorMap::Fill>(kFills, json.at("fill")),
            .l2_promotion = enumerator<TensorMap::L2Promotion>(kPromotions, json.at("l2_promotion"))};
  }

  PlanParameter parameter(const Json& json) const {
    if (json.contains("pointer")) return pointer(json.at("pointer"));
    if (json.contains("fast_division")) return FastDivisionParameter{expr(json.at("fast_division"))};
    if (json.contains("tensor_map")) return tensor_map(json);
    return ScalarParameter{enumerator<ScalarParameter::Type>(kScalars, json.at("scalar")), expr(json.at("value"))};
  }

  Step step(const Json& json) const {
    const bool once = json.at("once").get<bool>();
    if (json.contains("memset")) {
      return {Memset{pointer(json.at("memset")), expr(json.at("bytes")), integer<std::uint8_t>(json.at("value"))},
              once};
    }
    Launch launch{.kernel = json.at("launch").get<std::string>(),
                  .grid = triple(json.at("grid")),
                  .threads = integer<int>(json.at("threads")),
                  .cluster = triple(json.at("cluster")),
                  .shared_bytes = expr(json.at("shared_bytes")),
                  .parameters = {}};
    for (const Json& p : json.at("parameters")) launch.parameters.push_back(parameter(p));
    return {std::move(launch), once};
  }

  Variant variant(const Json& json) const {
    Variant v{.name = json.at("name").get<std::string>(),
              .note = json.at("note").get<std::string>(),
              .guards = {},
              .workspace = {},
              .steps = {}};
    for (const Json& g : json.at("guards")) v.guards.push_back(guard(g));
    for (const Json& s : json.at("workspace")) {
      v.workspace.push_back({expr(s.at("bytes")), s.at("persistent").get<bool>()});
    }
    for (const Json& s : json.at("steps")) v.steps.push_back(step(s));
    return v;
  }

  std::vector<std::string> names_;
};

}  // namespace

std::string to_json(const Plan& plan) { return Writer(plan).write().dump(); }

Plan plan_from_json(std::string_view json) {
  try {
    return Reader().read(Json::parse(json));
  } catch (const nlohmann::json::exception& e) {
    fail("launch plan: not a plan of this version: {}", e.what());
  }
}

}  // namespace quern
