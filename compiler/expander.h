#pragma once
// The state shared by the parts of expand_tiles: the scope of the statement at hand and the places of buffers.

#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ir/kernel.h"
#include "ir/simplify.h"

namespace quern::compiler {

// One register digit of a distribution, with the loop that walks it.
struct RegisterDigit {
  ir::VarRef var;
  std::int64_t extent;
  std::int64_t stride;  // of the register index
  bool neighbours;      // raises the coordinate by one: the mode's least significant digit
};

// A tile's coordinates as the thread at hand sees them.
struct Distributed {
  std::vector<std::vector<ir::Expr>> digits;  // per mode, the digits' values (extent-1 digits left out)
  std::vector<ir::Expr> coordinates;          // per mode, without the axis' lower bound
  std::vector<RegisterDigit> registers;       // most significant (largest register stride) first
};

// One operand of a matrix product in registers, as one step of k sees it.
struct Fragment {
  ir::BufferRef registers;     // flat
  ir::Mode tiles;              // its atoms along its own axis: as the accumulator's, with its own register strides
  ir::Expr slice = 0;          // where the step's atoms begin
  std::vector<ir::Stmt> load;  // fills it
};

// Who executes the statement at hand.
struct ThreadScope {
  ir::Expr warp, lane;
  int warps = 1;
  int lanes = 32;
  std::shared_ptr<int> barrier_id;  // of a role's barrier, given at its first use (0: not yet); null: the whole block
  int groups = 1;                   // of the role, each with a barrier of its own
  ir::Expr group = 0;
};

class Expander {
 public:
  explicit Expander(const ir::Kernel& kernel);

  ir::Kernel run();

 private:
  using Substitution = std::unordered_map<const ir::Variable*, ir::Expr>;
  // The map whose body is being expanded: fragments are indexed by its axes.
  struct Tile {
    const std::vector<ir::Axis>* axes;
    const ir::Layout* layout;
    const Distributed* values;
  };

  // Statements (expand_tiles.cpp)
  ir::Stmt expand(const ir::Stmt& stmt);
  ir::Stmt expand(const ir::Block& block);
  ir::Stmt expand(const ir::Alloc& alloc);
  ir::Stmt expand(const ir::For& loop);
  ir::Stmt expand(const ir::If& branch);
  ir::Stmt expand(const ir::Let& let);
  ir::Stmt expand(const ir::Store& store);
  ir::Stmt expand(const ir::Move& move);
  ir::Stmt expand(const ir::Intrinsic& intrinsic);
  ir::Stmt expand(const ir::Role& role);

  // Tiles (expand_map.cpp, expand_bulk.cpp, expand_matrices.cpp, expand_fold.cpp, expand_mma.cpp, expand_wgmma.cpp)
  ir::Stmt expand(const ir::Map& map);
  ir::Expr first_replica(const ir::Layout& distribution) const;
  ir::Stmt expand_cp_async(const ir::Map& map, std::vector<RegisterDigit> loops);
  ir::Stmt expand(const ir::Fold& fold);
  struct Folding;
  Folding folding(const ir::Fold& fold);
  void fold_registers(const Folding& folding, std::vector<ir::Stmt>& body);
  void fold_lanes(const Folding& folding, std::vector<ir::Stmt>& body);
  void fold_warps(const Folding& folding, std::vector<ir::Stmt>& body);
  ir::Stmt expand(const ir::Mma& mma);
  ir::Stmt expand_bulk(const ir::Map& map);
  ir::Stmt expand_stmatrix(const ir::Map& map, const Distributed& values);
  ir::Stmt expand_ldmatrix(const ir::Map& map, const Distributed& values);
  ir::Stmt expand_im2col(const ir::Map& map);
  int tensor_map(ir::TensorMapParam map);
  struct Boxes;
  Boxes boxes_of(const ir::Buffer& shared, const std::vector<ir::Expr>& index,
                 const std::vector<const ir::Axis*>& inner_first);
  static ir::Stmt for_each_box(const Boxes& boxes, ir::Intrinsic intrinsic);
  ir::Stmt expand_wgmma(const ir::Mma& mma);
  ir::Stmt expand_mma_sync(const ir::Mma& mma);
  struct Instructions;
  Instructions instructions_of(const ir::Mode& tiles, const std::string& name);
  struct Described;
  Described describe(const ir::Expr& operand, const ir::Axis& own, const ir::Axis& k, std::int64_t instruction_rows,
                     const ir::Expr& warps_tile, const char* name);
  Fragment prepare_fragment(const ir::Expr& operand, const ir::Axis& own, const ir::Axis& k, const ir::Layout& atom,
                            const ir::Mode& tiles, const ir::Expr& step);
  std::optional<bool> is_transposed(const ir::Expr& source, const ir::VarRef& own, const ir::VarRef& k);
  struct MmaOperand;
  MmaOperand prepare_operand(const ir::Expr& expression, const ir::Expr& coordinate, const Distributed& values,
                             const ir::VarRef& k);
  void declare_operand(MmaOperand& operand, std::int64_t group, const ir::Expr& k_within);
  ir::Stmt load_operand(const MmaOperand& operand, const std::optional<RegisterDigit>& k_digit);
  Distributed distribute(const ir::Layout& layout);
  ir::Stmt loop_over(const std::vector<RegisterDigit>& digits, ir::Stmt body, bool vector);

  // Expressions: variables substituted, buffers flat, fills guarded (expand_expr.cpp)
  ir::Expr rewrite(const ir::Expr& e);
  ir::Expr simplified(const ir::Expr& e);
  ir::Expr rewrite_read(const ir::Expr& e);
  std::vector<ir::Expr> placed(const ir::Buffer& buffer, const std::vector<ir::Expr>& index);
  ir::Expr flat_index(const ir::Buffer& buffer, const std::vector<ir::Expr>& index);
  ir::Expr register_index(const ir::Buffer& fragment, const std::vector<ir::Expr>& index);
  ir::Expr inside(const ir::Tensor& tensor, const std::vector<ir::Expr>& index);
  ir::TensorRef flat(const ir::Tensor& buffer);
  ir::BufferRef declare(std::string name, DType dtype, ir::Space space, std::int64_t elements);

  // The scope of one nested statement: assumptions, substitution and tile are restored at its end.
  template <typename Body>
  auto nested(Body&& body);

  ir::Stmt barrier();

  ir::Kernel kernel_;
  ir::Assumptions assumptions_;
  Substitution substitution_;
  ThreadScope scope_;
  std::optional<Tile> tile_;
  std::unordered_map<const ir::Tensor*, ir::BufferRef> flat_;
  int next_barrier_ = 1;
};

template <typename Body>
auto Expander::nested(Body&& body) {
  const ir::Assumptions assumptions = assumptions_;
  const Substitution substitution = substitution_;
  const std::optional<Tile> tile = tile_;
  const ThreadScope scope = scope_;
  auto result = body();
  assumptions_ = assumptions;
  substitution_ = substitution;
  tile_ = tile;
  scope_ = scope;
  return result;
}

// The digits of `mode` without those of extent 1.
ir::Mode significant(const ir::Mode& mode);
// register `buffer`[index], for reading or as a place.
ir::Expr element(const ir::BufferRef& buffer, const ir::Expr& index);
// The one store that a body is, or null.
const ir::Store* sole_store(const ir::Stmt& body);
ir::Stmt assign(const ir::BufferRef& buffer, const ir::Expr& index, const ir::Expr& value);

}  // namespace quern::compiler
