#pragma once
// The walk that verifies a kernel. Internal to ir/kernel_verify*.cpp.

#include <fmt/format.h>

#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ir/kernel.h"

namespace quern::ir {

class KernelVerifier {
 public:
  explicit KernelVerifier(const Kernel& kernel) : kernel_(kernel) {}

  void run();

 private:
  // Whose threads run the statement at hand.
  struct ThreadScope {
    int role = 0;  // a number of its own, 0: the block
    int warps = 1;
    int lanes = 1;
    bool elected = false;
  };

  // kernel_verify.cpp: the kernel, scopes and expressions
  [[noreturn]] void refuse(const std::string& reason) const;
  template <typename... Args>
  void require(bool condition, fmt::format_string<Args...> rule, Args&&... args) const {
    if (!condition) [[unlikely]]
      refuse(fmt::format(rule, std::forward<Args>(args)...));
  }
  void check_header();
  void check_tensor_map(const TensorMapParam& map);
  void check_on_chip(const Buffer& buffer);
  void declare(const VarRef& var);
  void declare(const BufferRef& buffer);
  void check_expr(const Expr& e, bool place = false);
  void check_index(const Expr& e);
  void check_fact(const Fact& fact);
  const Buffer& visible(const Tensor& tensor) const;

  // kernel_verify_statements.cpp
  void check(const Stmt& stmt);
  void check_list(const Stmt& stmt);
  void check_roles(const std::vector<Stmt>& list);
  void check_node(const Block& node);
  void check_node(const Alloc& node);
  void check_node(const For& node);
  void check_node(const If& node);
  void check_node(const Let& node);
  void check_node(const Store& node);
  void check_node(const Move& node);
  void check_node(const Intrinsic& node);
  void check_operand(char kind, const Expr& e);
  void check_node(const Role& node);

  // kernel_verify_tiles.cpp
  void check_node(const Map& node);
  void check_copy(const Map& node);
  void check_distribution(const Layout& distribution);
  void check_fragment_access(const Buffer& fragment, const std::vector<Expr>& index, bool stored);
  void check_node(const Fold& node);
  void check_node(const Mma& node);
  void check_mma_types(const Mma& node, DType a, DType b);
  void check_mma_shape(const Mma& node, int element_bytes);
  void check_mma_operand(const Mma& node, const Expr& operand, const Axis& own, const Axis& other);
  void check_wgmma_place(const Mma& node, const Expr& operand, const Axis& own, std::int64_t rows);
  std::int64_t constant_extent(const Axis& axis) const;

  template <typename Body>
  void nested(Body&& body);

  const Kernel& kernel_;
  std::unordered_set<const Variable*> variables_;
  std::unordered_map<const Tensor*, int> buffers_;   // visible ones, and the role that they were declared in
  std::vector<const Variable*> declared_variables_;  // in order, to go again
  std::vector<const Tensor*> declared_buffers_;
  ThreadScope threads_;
  int roles_ = 0;
  const Map* map_ = nullptr;  // the innermost, with Via::threads, ldmatrix or stmatrix
  Stmt at_;                   // the statement at hand
};

// What is declared inside ends with it.
template <typename Body>
void KernelVerifier::nested(Body&& body) {
  const std::size_t variables = declared_variables_.size(), buffers = declared_buffers_.size();
  const ThreadScope threads = threads_;
  const Map* map = map_;
  body();
  for (; declared_variables_.size() > variables; declared_variables_.pop_back()) {
    variables_.erase(declared_variables_.back());
  }
  for (; declared_buffers_.size() > buffers; declared_buffers_.pop_back()) buffers_.erase(declared_buffers_.back());
  threads_ = threads;
  map_ = map;
}

}  // namespace quern::ir
