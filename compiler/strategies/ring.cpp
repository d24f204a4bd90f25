#include "compiler/strategies/ring.h"

#include <algorithm>
#include <utility>

#include "compiler/strategies/hopper_tiles.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

int producer_registers(std::int64_t consumers) { return consumers == 1 ? 56 : consumers == 2 ? 40 : 32; }

}  // namespace

Ring::Ring(Kernel& kernel, const std::string& prefix, std::int64_t stages, bool bulk, std::int64_t readers,
           std::int64_t cluster)
    : stages_(stages), readers_(readers), cluster_(cluster), bulk_(bulk) {
  full_ = barriers(prefix + "full", stages);
  kernel.shared.push_back(full_);
  if (readers == 0) return;
  empty_ = barriers(prefix + "empty", stages);
  kernel.shared.push_back(empty_);
}

std::vector<Stmt> Ring::init(const Expr& stage) const {
  const Expr loaders = bulk_ ? Expr(1) : Expr(kGroupThreads);
  std::vector<Stmt> inits{intrinsic(IntrinsicId::mbarrier_init, {full(stage), loaders})};
  if (empty_) inits.push_back(intrinsic(IntrinsicId::mbarrier_init, {read(empty_, {stage}), Expr(readers_)}));
  return inits;
}

std::vector<Stmt> Ring::fill(const Expr& step, const Expr& stage, std::int64_t bytes, std::vector<Stmt> loads) const {
  std::vector<Stmt> all;
  if (empty_) {
    all.push_back(intrinsic(IntrinsicId::mbarrier_wait, {read(empty_, {stage}), 1 - parity_of(step)}));
  }
  if (bulk_) all.push_back(intrinsic(IntrinsicId::mbarrier_expect, {full(stage), Expr(bytes)}));
  std::ranges::move(loads, std::back_inserter(all));
  if (!bulk_) {
    all.push_back(intrinsic(IntrinsicId::fence_proxy_async));
    all.push_back(intrinsic(IntrinsicId::mbarrier_arrive, {full(stage)}));
  }
  return all;
}

Stmt Ring::await(const Expr& step, const Expr& stage) const {
  return intrinsic(IntrinsicId::mbarrier_wait, {full(stage), parity_of(step)});
}

Stmt Ring::release(const Expr& stage, const char* name) const {
  const Expr barrier = read(empty_, {stage});
  Stmt arrive = intrinsic(IntrinsicId::mbarrier_arrive, {barrier});
  if (cluster_ > 1) {
    const VarRef r = make_var("r");
    arrive = make_stmt(
        For{r, 0, cluster_, 1, ForKind::unroll, intrinsic(IntrinsicId::mbarrier_release_cluster, {barrier, Expr(r)})});
  }
  return elected(name, kGroupWarps, {std::move(arrive)});
}

Stmt set_up_barriers(std::vector<Stmt> inits) {
  inits.push_back(intrinsic(IntrinsicId::mbarrier_init_fence));
  return elected("setup", 1, std::move(inits));
}

int warps_of(std::int64_t consumers) { return static_cast<int>(1 + consumers) * kGroupWarps; }

int consumer_registers(std::int64_t consumers) { return consumers == 1 ? 240 : consumers == 2 ? 232 : 160; }

Stmt producer_role(std::int64_t consumers, bool bulk, std::vector<Stmt> body) {
  return make_stmt(Role{.name = "producer",
                        .lo = 0,
                        .hi = kGroupWarps,
                        .registers = producer_registers(consumers),
                        .elected = bulk,
                        .body = block(std::move(body))});
}

Stmt consumer_role(std::int64_t consumers, const VarRef& group, std::vector<Stmt> body) {
  return make_stmt(Role{.name = "consumer",
                        .lo = kGroupWarps,
                        .hi = warps_of(consumers),
                        .registers = consumer_registers(consumers),
                        .body = block(std::move(body)),
                        .groups = static_cast<int>(consumers),
                        .group = group});
}

}  // namespace quern::compiler
