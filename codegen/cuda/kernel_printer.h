#pragma once
// The printer of one kernel function: its signature, its thread and block variables, its body.

#include <map>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "codegen/cuda/expr.h"
#include "codegen/cuda/index_math.h"
#include "codegen/cuda/intrinsics.h"
#include "ir/kernel.h"
#include "ir/printer.h"
#include "ir/shared_layout.h"

namespace quern::codegen {

// For one kernel; print() is called once.
class KernelPrinter {
 public:
  KernelPrinter(const ir::Kernel& kernel, const ir::SharedLayout& shared);

  std::string print();

  // Of what was printed: the function's name, the tensor maps' names, the matrix products' functions, and the line of
  // the function's text at which each statement begins.
  const std::string& entry() const { return entry_; }
  const std::vector<std::string>& maps() const { return maps_; }
  const std::map<std::string, std::string>& matrix_functions() const { return intrinsics_.matrix_functions(); }
  const std::vector<std::pair<const ir::StmtNode*, int>>& lines() const { return lines_; }

 private:
  // The function's frame
  std::string signature();
  void print_places();
  void print_shared();
  void survey();

  // Statements
  void print(const ir::Stmt& stmt);
  void print_node(const ir::StmtNode& stmt, const ir::Block& block);
  void print_node(const ir::StmtNode& stmt, const ir::Alloc& alloc);
  void print_node(const ir::StmtNode& stmt, const ir::For& loop);
  void print_node(const ir::StmtNode& stmt, const ir::If& branch);
  void print_node(const ir::StmtNode& stmt, const ir::Let& let);
  void print_node(const ir::StmtNode& stmt, const ir::Store& store);
  void print_node(const ir::StmtNode& stmt, const ir::Move& move);
  void print_node(const ir::StmtNode& stmt, const ir::Intrinsic& intrinsic);
  template <typename Tile>
  void print_node(const ir::StmtNode&, const Tile&);
  void print_body(const ir::Stmt& body);
  void print_statements(const std::vector<ir::Stmt>& body);
  std::string atomic_update(const ir::Store& store);
  std::string_view copy_function(const ir::Move& move) const;
  void print_branch(const ir::If& branch, const std::string& prefix);
  void keep_accumulators();
  std::string declaration(const ir::BufferRef& buffer);
  // Where `next` only sets the variable that `alloc` declares: both as one statement, else empty.
  std::string initialised(const ir::Alloc& alloc, const ir::Stmt& next);
  // `a += b` for a store of `a + b` to `a`; empty where the value is none.
  std::string update(const ir::Store& store);

  void line(std::string_view text);
  void begin(const ir::StmtNode& stmt) { lines_.emplace_back(&stmt, line_); }

  const ir::Kernel& kernel_;
  const ir::SharedLayout& shared_;
  ir::Names names_;
  IndexMath index_math_;
  ExprPrinter expressions_;
  std::vector<std::string> maps_;
  IntrinsicPrinter intrinsics_;
  std::string entry_;
  std::unordered_set<const void*> written_;  // global buffers that the kernel writes
  std::unordered_set<const void*> wide_;     // register arrays that wide accesses touch
  std::unordered_set<const void*> async_;    // accumulators of asynchronous products
  std::unordered_set<const void*> used_;     // variables that the body reads
  std::vector<ir::BufferRef> accumulators_;  // those of them that are in scope
  // Accumulators of the products that are not committed, and of the batches that are not waited for, in the text's
  // order.
  std::vector<const ir::Tensor*> group_;
  std::vector<std::vector<const ir::Tensor*>> in_flight_;

  std::string text_;
  int indent_ = 0;
  int line_ = 1;
  std::vector<std::pair<const ir::StmtNode*, int>> lines_;
};

}  // namespace quern::codegen
