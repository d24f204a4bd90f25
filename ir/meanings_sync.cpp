#include "ir/meanings.h"

namespace quern::ir::meanings {
namespace {

int first_active(const Execution& x) {
  int lane = 0;
  while (!x.active(lane)) ++lane;
  return lane;
}

// The value of a number that all lanes share.
std::int64_t common(const Execution& x, std::size_t operand) { return x.number(operand, first_active(x)); }

void wait(Execution& x, Completion kind, bool reads_alone = false) { x.wait(kind, common(x, 0), reads_alone); }

bool wait_mbarrier(Execution& x, bool of_cluster) {
  bool all = true;
  each(x, [&](int lane) { all = x.passed(lane, x.place(0, lane), x.number(1, lane), of_cluster) && all; });
  return all;
}

bool arrive_remotely(Execution& x, Execution::Reach reach) {
  each(x, [&](int lane) {
    Location remote = x.place(0, lane);
    remote.owner = static_cast<int>(x.number(1, lane));
    x.arrive(lane, remote, 0, reach);
  });
  return true;
}

}  // namespace

bool barrier(Execution& x) { return x.meet(); }
bool named_barrier(Execution& x) { return x.meet(common(x, 0), common(x, 1)); }
bool named_arrive(Execution& x) {
  x.arrive(common(x, 0), common(x, 1));
  return true;
}
bool warp_sync(Execution& x) {
  x.sync_warp();
  return true;
}

bool cp_async_commit(Execution& x) {
  x.commit(Completion::cp_async_group);
  return true;
}
bool cp_async_wait(Execution& x) {
  wait(x, Completion::cp_async_group);
  return true;
}

bool mbarrier_init(Execution& x) {
  each(x, [&](int lane) { x.init(lane, x.place(0, lane), x.number(1, lane)); });
  return true;
}
bool mbarrier_init_fence(Execution& x) {
  x.publish_barriers();
  return true;
}
bool mbarrier_arrive(Execution& x) {
  each(x, [&](int lane) { x.arrive(lane, x.place(0, lane), 0, Execution::Reach::block); });
  return true;
}
bool mbarrier_arrive_cluster(Execution& x) { return arrive_remotely(x, Execution::Reach::cluster); }
bool mbarrier_release_cluster(Execution& x) { return arrive_remotely(x, Execution::Reach::asynchronous); }
bool mbarrier_expect(Execution& x) {
  each(x, [&](int lane) { x.arrive(lane, x.place(0, lane), x.number(1, lane), Execution::Reach::block); });
  return true;
}
bool mbarrier_wait(Execution& x) { return wait_mbarrier(x, false); }
bool mbarrier_wait_cluster(Execution& x) { return wait_mbarrier(x, true); }

bool tma_store_commit(Execution& x) {
  x.commit(Completion::bulk_group);
  return true;
}
bool tma_store_wait(Execution& x) {
  wait(x, Completion::bulk_group);
  return true;
}
bool tma_store_wait_read(Execution& x) {
  wait(x, Completion::bulk_group, true);
  return true;
}
bool fence_proxy_async(Execution& x) {
  x.fence_async();
  return true;
}

bool wgmma_fence(Execution& x) {
  x.fence_registers();
  return true;
}
bool wgmma_commit(Execution& x) {
  x.commit(Completion::wgmma_group);
  return true;
}
bool wgmma_wait(Execution& x) {
  wait(x, Completion::wgmma_group);
  return true;
}

bool set_max_registers(Execution& x) {
  x.set_registers(common(x, 0), common(x, 1) != 0);
  return true;
}
bool cluster_arrive(Execution& x) {
  x.cluster_arrive();
  return true;
}
bool cluster_wait(Execution& x) { return x.cluster_meet(); }
bool nothing(Execution&) { return true; }

}  // namespace quern::ir::meanings
