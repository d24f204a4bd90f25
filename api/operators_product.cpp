// Sums of products: matmul, einsum, conv2d.

#include <algorithm>
#include <cctype>
#include <map>
#include <utility>

#include "api/expr.h"
#include "api/operators.h"
#include "base/error.h"

namespace quern {
namespace {

using api::broadcast;
using api::broadcast_index;
using api::common_state;
using api::define;
using api::described;
using api::indices_of;
using api::is_number;
using api::provably_equal;
using api::simplified;
using api::sum_dtype;

// y[axes] = the sum over `summed` of the product of the reads, as the options ask for. Where there is an epilogue the
// sum has a definition of its own.
Tensor define_product(const std::vector<Tensor>& operands, const std::vector<Read>& reads,
                      const std::vector<Axis>& axes, const std::vector<Axis>& summed, const ProductOptions& options) {
  const auto& state = common_state(operands);
  for (const Tensor& operand : operands) {
    if (operand.dtype() != operands[0].dtype()) {
      fail("{} and {} differ in dtype; convert one, as in elementwise", described(operands[0]), described(operand));
    }
  }
  const DType dtype = operands[0].dtype();
  Expr product = cast(sum_dtype(dtype), reads[0]);
  for (std::size_t i = 1; i < reads.size(); ++i) product = product * cast(sum_dtype(dtype), reads[i]);
  const Expr total = summed.empty() ? product : sum(summed, product, {.grade = options.grade, .order = options.order});
  const DType result = options.dtype.value_or(is_float(dtype) ? dtype : total.dtype());
  if (!options.epilogue) return define(state, options.name, axes, cast(result, total));
  const Tensor s = define(state, "s", axes, total);
  std::vector<Axis> again;
  again.reserve(axes.size());
  for (const Axis& axis : axes) again.emplace_back(axis.name(), axis.hi());
  const std::vector<Expr> index = indices_of(again);
  return define(state, options.name, again, cast(result, options.epilogue(s.at(index), index)));
}

// The two last dimensions of a matrix operand, transposed where it is written so.
struct Matrix {
  std::vector<Dim> batch;
  Dim rows = 1;
  Dim columns = 1;
};

Matrix matrix_of(const Tensor& tensor, MatrixLayout layout) {
  const std::vector<Dim>& shape = tensor.shape();
  const std::size_t rank = shape.size();
  Matrix matrix{{shape.begin(), shape.end() - 2}, shape[rank - 2], shape[rank - 1]};
  if (layout == MatrixLayout::col) std::swap(matrix.rows, matrix.columns);
  return matrix;
}

Read read_matrix(const Tensor& tensor, const Matrix& matrix, MatrixLayout layout, const std::vector<Expr>& batch,
                 const Expr& row, const Expr& column) {
  std::vector<Expr> place = broadcast_index(matrix.batch, batch);
  const bool transposed = layout == MatrixLayout::col;
  place.push_back(transposed ? column : row);
  place.push_back(transposed ? row : column);
  return tensor.at(place);
}

// The letters of an einsum's operands and of its result.
struct Equation {
  std::vector<std::string> operands;
  std::string result;
};

Equation parse_equation(std::string_view text) {
  Equation equation{{""}, ""};
  std::map<char, int> count;
  std::string* target = &equation.operands[0];
  bool explicit_result = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ' ') continue;
    if (std::isalpha(static_cast<unsigned char>(c)) != 0) {
      *target += c;
      if (!explicit_result) ++count[c];
    } else if (c == ',' && !explicit_result) {
      target = &equation.operands.emplace_back();
    } else if (text.substr(i, 2) == "->" && !explicit_result) {
      explicit_result = true;
      target = &equation.result;
      ++i;
    } else {
      fail("einsum \"{}\": '{}' at column {}; expected letters, ',' and one '->', as in \"ij,jk->ik\"", text, c, i + 1);
    }
  }
  for (std::size_t i = 0; i < equation.result.size(); ++i) {
    const char c = equation.result[i];
    if (count.find(c) == count.end()) fail("einsum \"{}\": the result's '{}' is in no operand", text, c);
    if (equation.result.find(c) != i) fail("einsum \"{}\": '{}' is twice in the result", text, c);
  }
  if (!explicit_result) {
    for (const auto& [letter, times] : count) {
      if (times == 1) equation.result += letter;
    }
  }
  return equation;
}

// index * factor + offset, without what changes nothing.
Expr affine(const Expr& index, std::int64_t factor, std::int64_t offset) {
  const Expr scaled = factor == 1 ? index : index * factor;
  return offset == 0 ? scaled : offset > 0 ? scaled + offset : scaled - -offset;
}

// The rows or columns of a convolution: where the output's place and the filter's meet the image.
struct Spatial {
  std::string_view name;  // "rows"
  Dim image = 0, filter = 0, output = 0;
  std::int64_t stride = 1, dilation = 1, before = 0, after = 0;

  Expr place(const Expr& out, const Expr& tap) const {
    const Expr sum = affine(out, stride, 0) + affine(tap, dilation, 0);
    return before == 0 ? sum : sum - before;
  }
};

Spatial spatial_of(const Tensor& x, const Tensor& f, int which, int x_dim, int f_dim, const Conv2dOptions& options) {
  const auto i = static_cast<std::size_t>(which);
  Spatial s{.name = which == 0 ? "rows" : "columns",
            .image = x.shape()[static_cast<std::size_t>(x_dim)],
            .filter = f.shape()[static_cast<std::size_t>(f_dim)],
            .stride = options.stride[i],
            .dilation = options.dilation[i],
            .before = options.padding[2 * i],
            .after = options.padding[2 * i + 1]};
  if (s.stride < 1 || s.dilation < 1) {
    fail("conv2d: stride {} and dilation {} of the {}; both are at least 1", s.stride, s.dilation, s.name);
  }
  if (s.before < 0 || s.after < 0) {
    fail("conv2d: padding {} and {} of the {}; slice the image instead of negative padding", s.before, s.after, s.name);
  }
  const Dim room = simplified(s.image + s.before + s.after - (s.filter - 1) * s.dilation - 1);
  if (room.as_integer() && *room.as_integer() < 0) {
    fail("conv2d: {} of {}, padded by {} and {}, are fewer than the filter's {} x dilation {}: {} has no place in {}",
         s.name, s.image.text(), s.before, s.after, s.filter.text(), s.dilation, described(f), described(x));
  }
  s.output = simplified(floor_div(room, s.stride) + 1);
  return s;
}

// The filter's channels per group, checked against the image's.
Dim channels_per_group(const Tensor& x, const Tensor& f, const Dim& channels, const Dim& per_group, const Dim& outputs,
                       std::int64_t groups) {
  if (groups < 1) fail("conv2d: {} groups; there is at least 1", groups);
  if (!provably_equal(simplified(per_group * groups), channels)) {
    fail("conv2d: {} has {} channels, {} takes {} in each of {} group{}", described(x), channels.text(), described(f),
         per_group.text(), groups, groups == 1 ? "" : "s");
  }
  const Dim rest = simplified(outputs % groups);
  if (groups > 1 && !is_number(rest, 0)) {
    fail("conv2d: the {} filters of {} don't divide into {} groups", outputs.text(), described(f), groups);
  }
  return per_group;
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b, const MatmulOptions& options) {
  if (a.rank() == 0 || b.rank() == 0) {
    fail("matmul: {} and {}; an operand has one dimension or more", described(a), described(b));
  }
  const bool row_vector = a.rank() == 1;
  const bool column_vector = b.rank() == 1;
  const Matrix left = row_vector ? Matrix{{}, 1, a.shape()[0]} : matrix_of(a, options.a);
  const Matrix right = column_vector ? Matrix{{}, b.shape()[0], 1} : matrix_of(b, options.b);
  if (!provably_equal(left.columns, right.rows)) {
    fail("matmul: {} has k = {}, {} has k = {}; say a = col or b = col where an operand is transposed", described(a),
         left.columns.text(), described(b), right.rows.text());
  }
  std::vector<Axis> axes;
  const std::vector<Dim> batch =
      broadcast({left.batch, right.batch}, "matmul: the batches of " + described(a) + " and " + described(b));
  axes.reserve(batch.size() + 2);
  for (std::size_t d = 0; d < batch.size(); ++d) {
    axes.emplace_back(batch.size() == 1 ? "b" : fmt::format("b{}", d), batch[d]);
  }
  const std::vector<Expr> batch_index = indices_of(axes);
  const Axis i("i", left.rows);
  const Axis j("j", right.columns);
  const Axis p("p", left.columns);
  if (!row_vector) axes.push_back(i);
  if (!column_vector) axes.push_back(j);
  const Read x = row_vector ? a(p) : read_matrix(a, left, options.a, batch_index, i, p);
  const Read y = column_vector ? b(p) : read_matrix(b, right, options.b, batch_index, p, j);
  return define_product({a, b}, {x, y}, axes, {p}, options.product);
}

Tensor einsum(std::string_view equation, const std::vector<Tensor>& operands, const ProductOptions& options) {
  const Equation letters = parse_equation(equation);
  if (letters.operands.size() != operands.size()) {
    fail("einsum \"{}\" has {} operand{}, here {} {}", equation, letters.operands.size(),
         letters.operands.size() == 1 ? "" : "s", operands.size() == 1 ? "is" : "are", operands.size());
  }
  std::map<char, Axis> axes;
  std::vector<Axis> summed;
  std::vector<Read> reads;
  for (std::size_t t = 0; t < operands.size(); ++t) {
    const std::string& names = letters.operands[t];
    const std::vector<Dim>& shape = operands[t].shape();
    if (names.size() != shape.size()) {
      fail("einsum \"{}\": {} has {} dimensions, \"{}\" names {}", equation, described(operands[t]), shape.size(),
           names, names.size());
    }
    std::vector<Expr> index;
    for (std::size_t d = 0; d < shape.size(); ++d) {
      const auto [axis, is_new] = axes.try_emplace(names[d], std::string(1, names[d]), shape[d]);
      if (!provably_equal(axis->second.hi(), shape[d])) {
        std::size_t first = 0;
        while (letters.operands[first].find(names[d]) == std::string::npos) ++first;
        fail("einsum \"{}\": '{}' is {} in {} and {} in {}; give it one size, or use two letters", equation, names[d],
             axis->second.hi().text(), described(operands[first]), shape[d].text(), described(operands[t]));
      }
      if (is_new && letters.result.find(names[d]) == std::string::npos) summed.push_back(axis->second);
      index.emplace_back(axis->second);
    }
    reads.push_back(operands[t].at(index));
  }
  std::vector<Axis> kept;
  for (const char letter : letters.result) kept.push_back(axes.at(letter));
  return define_product(operands, reads, kept, summed, options);
}

Tensor conv2d(const Tensor& x, const Tensor& f, const Conv2dOptions& options) {
  if (x.rank() != 4 || f.rank() != 4) {
    fail("conv2d: images and filters have 4 dimensions, here are {} and {}", described(x), described(f));
  }
  const bool nhwc = options.layout == ImageLayout::nhwc;
  const Dim images = x.shape()[0];
  const Dim outputs = f.shape()[0];
  const Spatial rows = spatial_of(x, f, 0, nhwc ? 1 : 2, nhwc ? 1 : 2, options);
  const Spatial columns = spatial_of(x, f, 1, nhwc ? 2 : 3, nhwc ? 2 : 3, options);
  const Dim per_group =
      channels_per_group(x, f, x.shape()[nhwc ? 3 : 1], f.shape()[nhwc ? 3 : 1], outputs, options.groups);

  const Axis b("b", images);
  const Axis o("o", outputs);
  const Axis p("p", rows.output);
  const Axis q("q", columns.output);
  const Axis i("i", per_group);
  const Axis u("u", rows.filter);
  const Axis v("v", columns.filter);
  Expr channel = i;
  if (options.groups > 1) {
    const Dim filters = simplified(floor_div(outputs, options.groups));
    const Expr group = is_number(filters, 1) ? Expr(o) : floor_div(o, filters);
    channel = (is_number(per_group, 1) ? group : group * per_group) + i;
  }
  const Expr row = rows.place(p, u);
  const Expr column = columns.place(q, v);
  Read image = nhwc ? x(b, row, column, channel) : x(b, channel, row, column);
  const bool padded = std::any_of(options.padding.begin(), options.padding.end(), [](auto n) { return n > 0; });
  if (padded) image = image.or_else(0);
  const Read tap = nhwc ? f(o, u, v, i) : f(o, i, u, v);
  const std::vector<Axis> axes = nhwc ? std::vector{b, p, q, o} : std::vector{b, o, p, q};
  return define_product({x, f}, {image, tap}, axes, nhwc ? std::vector{u, v, i} : std::vector{i, u, v},
                        options.product);
}

}  // namespace quern
