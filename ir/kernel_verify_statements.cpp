// The rules of the statements that both forms share, of intrinsics and of roles.

#include <algorithm>
#include <array>

#include "base/error.h"
#include "ir/expr_parser.h"
#include "ir/kernel_printer.h"
#include "ir/kernel_rewrite.h"
#include "ir/kernel_verifier.h"

namespace quern::ir {
namespace {

constexpr int kMaxAccessBytes = 16;
constexpr std::int64_t kMaxVector = 16;
constexpr int kBlockRegisters = 65536;

// The statements that each form holds, in the order of StmtNode's variant.
struct LegalForms {
  std::string_view statement;
  bool tile;
  bool thread;
};
constexpr auto kForms = std::to_array<LegalForms>({
    {"a block", true, true},
    {"a fragment", true, true},
    {"a loop", true, true},
    {"a branch", true, true},
    {"a let", true, true},
    {"a store", true, true},
    {"a move", false, true},
    {"an intrinsic", true, true},
    {"a map", true, false},
    {"a fold", true, false},
    {"an mma", true, false},
    {"a role", true, false},
});
static_assert(kForms.size() == std::variant_size_v<decltype(StmtNode::value)>);

// In tile form the intrinsics that move data are what maps and mma expand to.
bool names_data(const IntrinsicRow& row) { return row.operands.find_first_of("sgrm") != std::string_view::npos; }

bool is_power_of_two(std::int64_t value) { return value > 0 && (value & (value - 1)) == 0; }

std::string_view place_space(char kind) {
  switch (kind) {
    case 's':
      return "shared memory";
    case 'g':
      return "global memory";
    case 'b':
      return "an mbarrier";
    default:
      return "registers";
  }
}

Space space_of(char kind) {
  switch (kind) {
    case 's':
      return Space::shared;
    case 'g':
      return Space::global;
    case 'b':
      return Space::barrier;
    default:
      return Space::fragment;
  }
}

}  // namespace

void KernelVerifier::check(const Stmt& stmt) {
  const Stmt outer = at_;
  at_ = stmt;
  const LegalForms& forms = kForms.at(stmt->value.index());
  require(kernel_.form == Form::tile ? forms.tile : forms.thread, "{} does not stand in {} form", forms.statement,
          kernel_.form == Form::tile ? "tile" : "thread");
  std::visit([&](const auto& node) { check_node(node); }, stmt->value);
  at_ = outer;
}

void KernelVerifier::check_list(const Stmt& stmt) {
  nested([&] {
    const std::vector<Stmt> list = statements(stmt);
    check_roles(list);
    for (const Stmt& inner : list) {
      require(inner != nullptr, "a block holds statements");
      check(inner);
    }
  });
}

// Roles that follow each other run at the same time.
void KernelVerifier::check_roles(const std::vector<Stmt>& list) {
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Role* role = get_if<Role>(list[i]);
    std::int64_t registers = 0;
    for (std::size_t j = i; role && j < list.size(); ++j) {
      const Role* other = get_if<Role>(list[j]);
      if (!other) break;
      registers += std::int64_t{other->hi - other->lo} * kernel_.lanes * other->registers;
      require(j == i || role->hi <= other->lo || other->hi <= role->lo, "the roles {} and {} have warps of their own",
              role->name, other->name);
    }
    require(registers <= kBlockRegisters, "the registers of all roles together are at most 65536");
  }
}

void KernelVerifier::check_node(const Block&) { check_list(at_); }

void KernelVerifier::check_node(const Alloc& node) {
  require(node.buffer->space == Space::fragment, "a fragment is declared; shared memory is the kernel's");
  check_on_chip(*node.buffer);
  declare(node.buffer);
}

void KernelVerifier::check_node(const For& node) {
  check_index(node.lo);
  check_index(node.hi);
  require(node.lo->dtype == node.var->dtype && node.hi->dtype == node.var->dtype,
          "a loop's bounds have the dtype of its variable");
  if (node.step) {
    check_index(node.step);
    require(node.step->dtype == node.var->dtype && as_integer(node.step).value_or(1) >= 1, "a loop's step is positive");
  }
  if (node.kind == ForKind::vector) {
    const auto lo = as_integer(node.lo), hi = as_integer(node.hi);
    require(lo && hi && *hi - *lo >= 1 && *hi - *lo <= kMaxVector && (!node.step || is_integer(node.step, 1)),
            "a vector loop has a constant extent of 1 to 16 and step 1");
  }
  nested([&] {
    declare(node.var);
    check_list(node.body);
  });
}

void KernelVerifier::check_node(const If& node) {
  check_expr(node.condition);
  require(is_bool(node.condition->dtype), "a condition is a bool");
  require(node.then != nullptr, "a branch has a body");
  check_list(node.then);
  if (node.otherwise) check_list(node.otherwise);
}

void KernelVerifier::check_node(const Let& node) {
  check_expr(node.value);
  require(node.value->dtype == node.var->dtype, "a let's value has the dtype of its variable");
  declare(node.var);
}

void KernelVerifier::check_node(const Store& node) {
  const Buffer& buffer = visible(*node.buffer);
  require(buffer.space != Space::barrier, "mbarriers are written by intrinsics");
  require(!buffer.constant, "{} is constant", buffer.name);
  require(node.index.size() == buffer.rank(), "a store has one index per dimension");
  for (const Expr& index : node.index) check_index(index);
  check_expr(node.value);
  require(node.value->dtype == buffer.dtype, "the value is {}, {} is {}", name(node.value->dtype), buffer.name,
          name(buffer.dtype));
  require(!node.atomic || buffer.space == Space::global, "atomics are on global memory");
  require(node.hint == CacheHint::none || buffer.space == Space::global, "cache hints are for global memory");
  if (buffer.space == Space::fragment && kernel_.form == Form::tile) check_fragment_access(buffer, node.index, true);
}

void KernelVerifier::check_node(const Move& node) {
  const Buffer& to = visible(*node.to);
  const Buffer& from = visible(*node.from);
  check_index(node.to_index);
  check_index(node.from_index);
  require(to.dtype == from.dtype, "a move keeps the dtype");
  require((to.space == Space::fragment) != (from.space == Space::fragment), "a move is between registers and memory");
  require(to.space != Space::barrier && from.space != Space::barrier, "mbarriers are written by intrinsics");
  require(!to.constant, "{} is constant", to.name);
  require(is_power_of_two(node.width) && node.width * byte_size(to.dtype) <= kMaxAccessBytes,
          "a move's width is a power of two of at most 16 bytes, here {} of {}", node.width, name(to.dtype));
}

void KernelVerifier::check_node(const Intrinsic& node) {
  const IntrinsicRow& row = ir::row(node.id);
  const int count = static_cast<int>(node.args.size());
  require(kernel_.form == Form::thread || !names_data(row),
          "{} is what maps and mma expand to: it stands in thread form", row.name);
  require(count >= row.min_args && count <= row.max_args, "{} takes {} to {} operands, here {}", row.name, row.min_args,
          row.max_args, count);
  require(!threads_.elected || row.scope == ExecutionScope::thread, "{} is for whole warps, not for an elected thread",
          row.name);
  require(kernel_.form == Form::thread || row.scope != ExecutionScope::warpgroup || threads_.warps % 4 == 0,
          "{} is for warpgroups: the {} warps here are not four or a multiple", row.name, threads_.warps);
  for (std::size_t i = 0; i < node.args.size(); ++i) check_operand(operand_kind(row, i), node.args[i]);
  if (node.id == IntrinsicId::set_max_registers) {
    const std::int64_t registers = as_integer(node.args[0]).value_or(0);
    require(registers >= 24 && registers <= 256 && registers % 8 == 0, "registers are a multiple of 8 from 24 to 256");
  }
  if (node.id == IntrinsicId::cp_async) {
    const std::int64_t bytes = as_integer(node.args[2]).value_or(0);
    require(bytes == 4 || bytes == 8 || bytes == 16, "cp_async copies 4, 8 or 16 bytes");
  }
}

void KernelVerifier::check_operand(char kind, const Expr& e) {
  const bool place = std::string_view("sgbr").find(kind) != std::string_view::npos;
  check_expr(e, place);
  const std::optional<std::int64_t> value = as_integer(e);
  if (place) {
    require(e->kind == ExprKind::read && as_buffer(*e->tensor).space == space_of(kind), "the operand is a place in {}",
            place_space(kind));
    for (const Expr& index : e->args) check_index(index);
  }
  if (kind == 'i') require(is_integer(e->dtype), "the operand is an integer");
  if (kind == 't') require(is_bool(e->dtype), "the operand is a bool");
  if (kind == 'c') require(value.has_value(), "the operand is a constant");
  if (kind == 'd') require(value && *value >= 0 && *value < kDTypeCount, "the operand is a dtype");
  if (kind == 'm') {
    require(value && *value >= 0 && *value < static_cast<std::int64_t>(kernel_.maps.size()),
            "the operand is the index of a tensor map");
  }
}

void KernelVerifier::check_node(const Role& node) {
  require(is_valid_name(node.name), "a role's name is a name");
  require(node.lo >= 0 && node.lo < node.hi && node.hi <= threads_.warps, "the warps {}..{} lie within the {} around",
          node.lo, node.hi, threads_.warps);
  require(!threads_.elected, "an elected thread has no roles inside");
  require(node.groups >= 1 && (node.hi - node.lo) % node.groups == 0, "the warps {}..{} are {} equal groups", node.lo,
          node.hi, node.groups);
  require(node.groups == 1 || node.group, "several groups have a number");
  if (node.registers != 0) {
    require(node.lo % 4 == 0 && node.hi % 4 == 0, "registers are given to whole warpgroups");
    require(node.registers >= 24 && node.registers <= 256 && node.registers % 8 == 0,
            "registers are a multiple of 8 from 24 to 256");
  }
  require(map_ == nullptr, "a map's body holds no roles");
  nested([&] {
    threads_.role = ++roles_;
    threads_.warps = node.elected ? 1 : (node.hi - node.lo) / node.groups;
    threads_.lanes = node.elected ? 1 : threads_.lanes;
    threads_.elected = node.elected;
    if (node.group) declare(node.group);
    check_list(node.body);
  });
}

}  // namespace quern::ir
