#pragma once
// Tensor programs: what to compute. They come from text (docs/language.md), from builder calls such as
// "matmul(m=4096, n=4096, k=4096, dtype=bf16, b=col)", or from a ProgramBuilder (quern/builder.h).

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quern/dtype.h"
#include "quern/export.h"

namespace quern {

namespace ir {
struct Program;
}  // namespace ir

// Values of symbols by name.
using Sizes = std::map<std::string, std::int64_t>;

// One tensor of a launch.
struct Argument {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::string> dims;      // as written: "m", "k + 1", "4096"
  std::vector<std::string> strides;   // in elements; empty: dense, last axis fastest
  std::vector<std::int64_t> extents;  // the dimensions that are numbers; -1 where one depends on a symbol
  bool is_output = false;
  bool is_const = false;  // the same contents over calls
  std::string updates;    // of an output: the input whose contents it starts as; empty: none

  // "bf16[m, k]"
  QUERN_API std::string type() const;
};

// An immutable program; copies share it. Thread-safe.
class QUERN_API Program {
 public:
  // The one kernel of `text`, or the program of a builder call. Throws Error: with line, column, the source line and a
  // caret where the text is at fault; naming the unknown builder or parameter and the known ones.
  static Program parse(std::string_view text);

  const std::string& name() const;
  // In the language; parse(text()) is an equal program.
  std::string text() const;
  // Names of the sizes that are not numbers, in the order in which a launch takes their values.
  std::vector<std::string> symbols() const;
  // Inputs, then outputs: the order in which a launch takes their pointers.
  std::vector<Argument> arguments() const;
  // The program with these symbols given their values. Throws Error for a name that is no symbol, a negative size, a
  // fact that does not hold.
  Program bind(const Sizes& sizes) const;

  // 32 hexadecimal digits, the same for programs that are equal up to names.
  std::string digest() const;
  friend QUERN_API bool operator==(const Program& a, const Program& b);

  // Below is the way between this and the library's own form.
  explicit Program(std::shared_ptr<const ir::Program> program) : program_(std::move(program)) {}
  const ir::Program& ir() const { return *program_; }

 private:
  std::shared_ptr<const ir::Program> program_;
};

// One parameter of a builder call.
struct BuilderParameter {
  std::string_view name;
  std::string_view fallback;  // its value where it is left out; empty: it must be given
  std::string_view values;    // what it takes: "size", "integer", "number", "dtype", "on|off", "row|col"
  std::string_view doc;
};

// One builder, as `quern help builders` lists it.
struct BuilderInfo {
  std::string_view name;
  std::string_view doc;
  std::span<const BuilderParameter> parameters;
};

// All builders, in the table's order. Thread-safe.
QUERN_API std::span<const BuilderInfo> builders();

// The program of "name(parameter=value, ...)". A size is a number or the name of a symbol. Throws Error naming the
// unknown builder or parameter and the known ones, the value that does not fit and what would. Thread-safe.
QUERN_API Program parse_builder_call(std::string_view text);

}  // namespace quern
