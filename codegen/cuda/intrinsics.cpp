#include "codegen/cuda/intrinsics.h"

#include <fmt/format.h>

#include "base/error.h"
#include "codegen/cuda/matrix_instructions.h"
#include "codegen/cuda/types.h"

namespace quern::codegen {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

// The prelude has a function for each number of coordinates: "_2d".
std::string rank_suffix(const Intrinsic& intrinsic) {
  const IntrinsicRow& row = ir::row(intrinsic.id);
  if (row.min_args == row.max_args) return "";
  const std::size_t coordinates = intrinsic.args.size() - row.operands.size() + 1;
  // im2col: channel, spatial axes, image, then an offset for each spatial axis
  const std::size_t rank = intrinsic.id == IntrinsicId::tma_im2col ? coordinates / 2 + 1 : coordinates;
  return fmt::format("_{}d", rank);
}

void append(std::string& list, const std::string& item) {
  if (!list.empty()) list += ", ";
  list += item;
}

}  // namespace

bool gives_value(IntrinsicId id) {
  return id == IntrinsicId::shuffle_xor || id == IntrinsicId::shuffle_index || id == IntrinsicId::wgmma_descriptor;
}

std::string IntrinsicPrinter::print(const Intrinsic& intrinsic) {
  if (row(intrinsic.id).prelude.empty()) return print_matrix_product(intrinsic);
  const Expr& to = intrinsic.args.empty() ? Expr() : intrinsic.args[0];
  const std::string target = gives_value(intrinsic.id) ? expressions_.place(to->tensor, to->args[0]) + " = " : "";
  return target + value(intrinsic);
}

std::string IntrinsicPrinter::value(const Intrinsic& intrinsic) {
  const IntrinsicRow& row = ir::row(intrinsic.id);
  std::string constants, arguments;
  std::size_t count = intrinsic.args.size();
  // A whole copy needs no size of its source.
  if (intrinsic.id == IntrinsicId::cp_async && as_integer(intrinsic.args[3]) == as_integer(intrinsic.args[2])) --count;
  for (std::size_t i = gives_value(intrinsic.id) ? 1 : 0; i < count; ++i) {
    const Expr& arg = intrinsic.args[i];
    switch (operand_kind(row, i)) {
      case 's':
      case 'g':
      case 'b':
      case 'r':
        append(arguments, expressions_.address(arg));
        break;
      case 'c':
        append(constants, expressions_.value(arg));
        break;
      case 'd':
        append(constants, std::string(value_type(static_cast<DType>(arg->integer))));
        break;
      case 'm':
        append(arguments, maps_.at(static_cast<std::size_t>(arg->integer)));
        break;
      case 'v':
        append(arguments, expressions_.exact(arg));
        break;
      default:
        append(arguments, expressions_.value(arg));
        break;
    }
  }
  const std::string chevrons = constants.empty() ? "" : "<" + constants + ">";
  return fmt::format("{}{}{}({})", row.prelude, rank_suffix(intrinsic), chevrons, arguments);
}

std::string IntrinsicPrinter::print_matrix_product(const Intrinsic& intrinsic) {
  const MatrixFunction function = matrix_function(intrinsic);
  matrix_functions_.emplace(function.name, function.text);
  std::string arguments;
  for (std::size_t i = 0; i < intrinsic.args.size(); ++i) {
    const char kind = operand_kind(row(intrinsic.id), i);
    if (kind == 'r') append(arguments, expressions_.address(intrinsic.args[i]));
    if (kind == 'i' || kind == 't') append(arguments, expressions_.value(intrinsic.args[i]));
  }
  return fmt::format("{}{}({})", function.name, function.constants, arguments);
}

}  // namespace quern::codegen
