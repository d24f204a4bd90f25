#pragma once
// The table of builders in text form, and what a row's function gets.

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "quern/builder.h"
#include "quern/operators.h"
#include "quern/program.h"

namespace quern::api {

// The parameters of one call: every one of the row has a text. Sizes become symbols of the one builder.
class BuilderCall {
 public:
  BuilderCall(const BuilderInfo& row, std::map<std::string, std::string> values)
      : row_(row), values_(std::move(values)), builder_(std::string(row.name)) {}

  ProgramBuilder& builder() { return builder_; }

  // The parameter of that name. Errors name the builder, the parameter, what stands there and what would fit.
  Dim size(std::string_view name);
  std::int64_t integer(std::string_view name) const;
  double number(std::string_view name) const;
  DType dtype(std::string_view name) const;
  bool flag(std::string_view name) const;
  // The index of the word among those of the row's `values`, separated by '|'.
  int word(std::string_view name) const;
  const std::string& text(std::string_view name) const;
  // Sizes as 8x16 or 'm, n'; several such shapes separated by ';'.
  std::vector<Dim> shape(std::string_view name);
  std::vector<std::vector<Dim>> shapes(std::string_view name);
  // begin:end:step for each dimension, any of them left out.
  std::vector<SliceRange> ranges(std::string_view name);
  // One integer, or several as 1x2.
  std::vector<std::int64_t> integers(std::string_view name) const;

  // The scalar function named by the parameter, applied; "none" leaves the operand as it is.
  Expr activated(std::string_view name, const Expr& value) const;

  [[noreturn]] void fail_value(std::string_view name, std::string_view expected) const;

 private:
  // A part of a parameter's value as a size.
  Dim size_of(std::string_view name, std::string_view part);
  std::vector<Dim> shape_of(std::string_view name, std::string_view part);
  const BuilderParameter& parameter(std::string_view name) const;

  const BuilderInfo& row_;
  std::map<std::string, std::string> values_;
  ProgramBuilder builder_;
};

// One row: what is listed, and what makes the program's tensors.
struct BuilderRow {
  BuilderInfo info;
  void (*build)(BuilderCall& call);
};

std::span<const BuilderRow> builder_table();
std::span<const BuilderRow> general_builders();  // those of them for any shape

}  // namespace quern::api
