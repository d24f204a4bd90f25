// Faults planted in the kernels of tests/ir/data/: what the simulator tells of barriers, fences, waits and descriptors
// that are not as they should be. SimulatedTilePrograms has the clean twins.

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <set>
#include <span>
#include <sstream>
#include <string>

#include "base/error.h"
#include "ir/generate.h"
#include "ir/intrinsics.h"
#include "ir/kernel_rewrite.h"
#include "runtime/simulator/device.h"
#include "runtime/simulator/report.h"
#include "tests/pipeline/differential.h"
#include "tests/pipeline/tile_programs.h"

namespace quern::pipeline {
namespace {

using ir::IntrinsicId;
using Change = std::function<ir::Stmt(ir::Intrinsic)>;

// The `which`-th intrinsic of its kind (in the order of the text) becomes what `change` makes of it.
ir::Kernel changed(ir::Kernel kernel, IntrinsicId id, int which, const Change& change) {
  int found = 0;
  kernel.body = ir::transform(kernel.body, {}, [&](const ir::Stmt& stmt) {
    const auto* intrinsic = ir::get_if<ir::Intrinsic>(stmt);
    if (intrinsic == nullptr || intrinsic->id != id || found++ != which) return stmt;
    return change(*intrinsic);
  });
  EXPECT_GT(found, which) << "no such intrinsic";
  return kernel;
}

ir::Stmt removed(const ir::Intrinsic&) { return nullptr; }
Change with(std::size_t operand, const std::function<ir::Expr(const ir::Expr&)>& value) {
  return [=](ir::Intrinsic intrinsic) {
    intrinsic.args[operand] = value(intrinsic.args[operand]);
    return ir::make_stmt(std::move(intrinsic));
  };
}
const Change kOtherPhase =
    with(1, [](const ir::Expr& parity) { return ir::constant(parity->dtype, std::int64_t{1}) - parity; });
Change plus(std::size_t operand, std::int64_t amount) {
  return with(operand, [=](const ir::Expr& e) { return e + ir::constant(e->dtype, amount); });
}
// A place `amount` elements further.
Change shifted(std::size_t operand, std::int64_t amount) {
  return with(operand, [=](const ir::Expr& e) {
    return ir::read(e->tensor, {e->args[0] + ir::constant(e->args[0]->dtype, amount)});
  });
}
Change of(std::size_t operand, std::int64_t value) {
  return with(operand, [=](const ir::Expr& e) { return ir::constant(e->dtype, value); });
}

struct Planted {
  const char* name;
  const char* program;
  IntrinsicId intrinsic;
  int which;
  Change change;
  std::string finds;                // the kind; "wrong": the result
  std::set<std::string> also = {};  // kinds of what follows from it under some orders of the warps
};
void PrintTo(const Planted& planted, std::ostream* stream) { *stream << planted.name; }

const Planted kPlanted[] = {
    {"NoFenceBeforeTheStore", "persistent_gemm", IntrinsicId::fence_proxy_async, 0, removed, "missing-fence"},
    {"NoWaitForTheData", "persistent_gemm", IntrinsicId::mbarrier_wait, 1, removed, "race", {"exited", "barrier"}},
    {"NoWaitForTheRoom", "persistent_gemm", IntrinsicId::mbarrier_wait, 0, removed, "barrier", {"deadlock"}},
    {"OtherPhaseOfFull",
     "persistent_gemm",
     IntrinsicId::mbarrier_wait,
     1,
     kOtherPhase,
     "race",
     {"deadlock", "barrier"}},
    {"OtherPhaseOfEmpty", "persistent_gemm", IntrinsicId::mbarrier_wait, 0, kOtherPhase, "deadlock"},
    {"NoInitFence", "persistent_gemm", IntrinsicId::mbarrier_init_fence, 0, removed, "missing-fence"},
    {"TooManyBytesExpected", "persistent_gemm", IntrinsicId::mbarrier_expect, 0, plus(1, 16), "deadlock"},
    {"NoFenceOfTheRegisters", "persistent_gemm", IntrinsicId::wgmma_fence, 0, removed, "in-flight"},
    {"TooManyProductsInFlight", "persistent_gemm", IntrinsicId::wgmma_wait, 0, of(0, 2), "race"},
    {"NoWaitForTheProducts", "persistent_gemm", IntrinsicId::wgmma_wait, 1, removed, "in-flight", {"exited"}},
    {"NoWaitForTheStores", "persistent_gemm", IntrinsicId::tma_store_wait_read, 0, removed, "race"},
    {"NoWaitBeforeTheEnd", "persistent_gemm", IntrinsicId::tma_store_wait, 0, removed, "exited"},
    {"AStoreBeforeTheTensor", "persistent_gemm", IntrinsicId::tma_store, 0, of(2, -64), "misuse", {"unwritten"}},
    {"AStoreOffItsAlignment",
     "persistent_gemm",
     IntrinsicId::tma_store,
     0,
     shifted(1, 8),
     "misuse",
     {"race", "out-of-bounds", "uninitialised"}},
    {"ALoadOffItsAlignment",
     "persistent_gemm",
     IntrinsicId::tma_load,
     0,
     shifted(0, 8),
     "misuse",
     {"race", "out-of-bounds", "uninitialised"}},
    {"OneArrivalLess", "persistent_gemm", IntrinsicId::mbarrier_init, 1, plus(1, 1), "deadlock"},
    {"ADescriptorAside", "persistent_gemm", IntrinsicId::wgmma_descriptor, 0, shifted(1, 512), "race"},
    {"ASwizzleAside", "persistent_gemm", IntrinsicId::wgmma_descriptor, 1, of(4, 64), "wrong"},
    {"NoFenceBeforeWgmma", "wgmma_registers", IntrinsicId::fence_proxy_async, 0, removed, "missing-fence"},
    {"ARowAside",
     "mma_sync_matmul",
     IntrinsicId::ldmatrix,
     0,
     shifted(1, 4),
     "misaligned",
     {"misuse", "out-of-bounds"}},
    {"NoBarrierInTheCluster",
     "cluster_gemm",
     IntrinsicId::cluster_wait,
     0,
     removed,
     "race",
     {"barrier", "deadlock", "missing-fence", "unwritten"}},
};

// Two tiles of each kernel, and more steps than stages.
constexpr std::array<std::int64_t, 3> kSizes{256, 256, 384};

class PlantedInKernels : public testing::TestWithParam<Planted> {};

// Under every order of the warps it shows, with nothing but what may follow from it.
TEST_P(PlantedInKernels, AreFound) {
  const Planted& p = GetParam();
  runtime::Device& simulator = runtime::open_device("sim:sm_90a");
  const auto program = std::ranges::find_if(
      tile_programs(), [&](const TileProgram& known) { return std::string(known.name) == p.program; });
  ASSERT_NE(program, tile_programs().end());
  const Artifact artifact = artifact_of(*program, simulator.info().target, [&](const ir::Kernel& kernel) {
    return changed(kernel, p.intrinsic, p.which, p.change);
  });
  const std::span<const std::int64_t> few = kSizes, sizes = p.finds == "wrong" ? program->sizes[0] : few;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    runtime::simulator::set_mode(true, seed);
    const std::string told = mismatch(artifact, program_of(*program), sizes, simulator, 1);
    ASSERT_NE(told, "") << "seed " << seed;
    std::set<std::string> kinds;
    for (int kind = 0; kind <= static_cast<int>(runtime::simulator::FindingKind::misuse); ++kind) {
      const std::string name(runtime::simulator::name(static_cast<runtime::simulator::FindingKind>(kind)));
      if (told.starts_with(name + ": ") || told.find("\n" + name + ": ") != told.npos) kinds.insert(name);
    }
    if (kinds.empty()) kinds.insert("wrong");
    EXPECT_TRUE(kinds.contains(p.finds)) << "seed " << seed << "\n" << told;
    kinds.erase(p.finds);
    for (const std::string& kind : kinds)
      EXPECT_TRUE(p.also.contains(kind)) << kind << ", seed " << seed << "\n" << told;
  }
  runtime::simulator::set_mode(true);
}

TEST(Findings, OutputsThatNobodyWrote) {
  runtime::Device& simulator = runtime::open_device("sim:sm_90a");
  const auto program = std::ranges::find_if(
      tile_programs(), [](const TileProgram& known) { return std::string(known.name) == "mma_sync_matmul"; });
  const Artifact artifact = artifact_of(*program, simulator.info().target, [](ir::Kernel kernel) {
    kernel.body = ir::transform(kernel.body, {}, [](const ir::Stmt& stmt) {
      const auto* move = ir::get_if<ir::Move>(stmt);
      return move != nullptr && move->to->name == "y" ? nullptr : stmt;
    });
    return kernel;
  });
  const std::string told = mismatch(artifact, program_of(*program), program->sizes[0], simulator, 1);
  EXPECT_NE(told.find("unwritten: 8192 of 8192 elements of the output y were never written"), told.npos) << told;
}

// The line that a finding names holds the statement in the CUDA text.
TEST(Findings, NameTheLineOfTheCudaText) {
  runtime::Device& simulator = runtime::open_device("sim:sm_90a");
  const TileProgram& program = tile_programs()[0];
  const Artifact artifact = artifact_of(program, simulator.info().target, [](const ir::Kernel& kernel) {
    return changed(kernel, IntrinsicId::fence_proxy_async, 0, removed);
  });
  const std::string told = mismatch(artifact, program_of(program), program.sizes[0], simulator, 1);
  const std::size_t at = told.find("(line ");
  ASSERT_NE(at, told.npos) << told;
  std::istringstream source(artifact.source);
  std::string line;
  for (int number = std::stoi(told.substr(at + 6)); number > 0; --number) std::getline(source, line);
  EXPECT_NE(line.find("tma_store_2d("), line.npos) << line << "\n" << told;
}

INSTANTIATE_TEST_SUITE_P(Simulator, PlantedInKernels, testing::ValuesIn(kPlanted),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace quern::pipeline
