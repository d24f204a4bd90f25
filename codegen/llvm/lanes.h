#pragma once
// What CPU code computes with. A kernel's warp is the vector unit: its lanes run in lockstep, and code generation
// decides for every expression whether all lanes share its value (a scalar) or each has its own (a vector). After ISPC
// (Pharr and Mark, "ispc: A SPMD Compiler for High-Performance CPU Programming", 2012).

#include <llvm/Analysis/TargetFolder.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "base/target.h"
#include "quern/dtype.h"

namespace quern::codegen {

using IrBuilder = llvm::IRBuilder<llvm::TargetFolder>;

// A value of one dtype in all lanes, one of
//   uniform  one scalar for all lanes
//   based    an integer scalar plus a constant of each lane, so that addresses stay scalar
//   varying  a vector with one element per lane
// Floats narrower than f32 are held as the f32 of equal value, bools as i1.
struct Value {
  DType dtype = DType::i64;
  llvm::Value* base = nullptr;       // the scalar, or the vector of a varying value
  llvm::Constant* offset = nullptr;  // based values: the vector of the lanes' constants
  bool varying = false;
  std::int64_t alignment = 1;   // a power of two that divides the base of an integer that is not varying
  llvm::Value* bits = nullptr;  // 16- and 8-bit floats: the pattern in memory where it is at hand, shaped like base

  bool is_uniform() const { return !varying && offset == nullptr; }
};

// Builds code at one place for a fixed number of lanes, a power of two.
class Lanes {
 public:
  Lanes(llvm::Module& module, int count, const Target& target);

  llvm::Module& module() { return module_; }
  IrBuilder& ir() { return ir_; }
  int count() const { return count_; }
  int vector_bytes() const { return vector_bytes_; }
  bool converts_half() const { return converts_half_; }  // by an instruction

  llvm::Type* register_type(DType dtype);  // one lane's, as computed with
  llvm::Type* storage_type(DType dtype);   // one lane's, as in memory
  llvm::FixedVectorType* vector_of(llvm::Type* element) { return llvm::FixedVectorType::get(element, count_); }

  Value uniform(DType dtype, llvm::Value* scalar) { return {.dtype = dtype, .base = scalar}; }
  Value varying(DType dtype, llvm::Value* vector) { return {.dtype = dtype, .base = vector, .varying = true}; }
  Value shaped_like(DType dtype, llvm::Value* value);                     // uniform or varying by the LLVM type
  Value based(DType dtype, llvm::Value* scalar, llvm::Constant* offset);  // uniform when all lanes' constants are 0
  Value lane(DType dtype);                                                // 0, 1, 2, ...
  Value integer(DType dtype, std::int64_t value);

  llvm::Value* splat(llvm::Value* scalar);
  llvm::Value* vector(const Value& value);
  llvm::Value* as(const Value& value, bool vector_shape) { return vector_shape ? vector(value) : value.base; }

  llvm::Value* any(llvm::Value* mask);  // some lane of a vector of i1

  // The power of two that divides an integer, at most kLargestAlignment.
  static std::int64_t alignment_of(std::int64_t value);
  static constexpr std::int64_t kLargestAlignment = std::int64_t{1} << 30;

  // The lanes' constants are first, first + stride, ...: `stride`, nothing when they are irregular.
  std::optional<std::int64_t> stride(const Value& value) const;
  std::int64_t offset_of(const Value& value, int lane) const;  // the constant of one lane of a based value

 private:
  llvm::Module& module_;
  IrBuilder ir_;
  int count_;
  int vector_bytes_;
  bool converts_half_;
};

// `element` in the shape of `like`: itself, or a vector of as many.
llvm::Type* shaped(llvm::Type* element, llvm::Value* like);

// One vector of all elements of `parts`, which are alike and as many as a power of two.
llvm::Value* concatenate(IrBuilder& ir, std::vector<llvm::Value*> parts);

// The constant in all elements of a value shaped like `like`.
llvm::Constant* integer_like(llvm::Value* like, std::uint64_t value);
llvm::Constant* real_like(llvm::Value* like, double value);

}  // namespace quern::codegen
