#include "tests/runtime/simulator/planted.h"

#include <fmt/format.h>

namespace quern::runtime::simulator {
namespace {

const Planted kPlanted[] = {
    {"UninitialisedShared", "y[warp * 32 + lane] = s[lane]\n", "uninitialised s",
     "s[warp * 32 + lane] = x[lane]\nbarrier()\ny[warp * 32 + lane] = s[lane]\n"},
    {"UninitialisedRegister", "fragment r: f32[2]\nr[0] = 1.0\ny[warp * 32 + lane] = r[1]\n", "uninitialised r",
     "fragment r: f32[2]\nr[1] = 1.0\ny[warp * 32 + lane] = r[1]\n"},
    {"RegisterOfSomeLanes", "fragment r: f32[1]\nif lane < 31 {\n r[0] = 1.0\n}\ny[warp * 32 + lane] = r[0]\n",
     "uninitialised r", "fragment r: f32[1]\nif lane < 32 {\n r[0] = 1.0\n}\ny[warp * 32 + lane] = r[0]\n"},
    {"ReadBeyondTheEnd", "y[warp * 32 + lane] = x[warp * 32 + lane + 193]\n", "out-of-bounds x",
     "y[warp * 32 + lane] = x[warp * 32 + lane + 192]\n"},
    {"WriteBeforeTheBegin", "y[warp * 32 + lane - 1] = 1.0\n", "out-of-bounds y", "y[warp * 32 + lane] = 1.0\n"},
    {"ASideThatIsNotTakenReadsNothing", "y[warp * 32 + lane] = true ? x[lane + 256] : 1.0\n", "out-of-bounds x",
     "y[warp * 32 + lane] = false ? x[lane + 256] : 1.0\n"},
    {"RegisterBeyondTheEnd", "fragment r: f32[2]\nr[2] = 1.0\n", "out-of-bounds r", "fragment r: f32[2]\nr[1] = 1.0\n"},
    {"MisalignedMove",
     "fragment r: f32[4]\nmove r[0] = x[lane + 1] width 4\nmove y[(warp * 32 + lane) * 4] = r[0] width 4\n",
     "misaligned x",
     "fragment r: f32[4]\nmove r[0] = x[lane * 4] width 4\nmove y[(warp * 32 + lane) * 4] = r[0] width 4\n"},
    {"MissingBarrier", "s[warp * 32 + lane] = x[lane]\ny[warp * 32 + lane] = s[63 - warp * 32 - lane]\n",
     "race s; uninitialised s",
     "s[warp * 32 + lane] = x[lane]\nbarrier()\ny[warp * 32 + lane] = s[63 - warp * 32 - lane]\n"},
    {"BarrierBeforeReuse",
     "for i in 2 rolled {\ns[warp * 32 + lane] = x[lane]\nbarrier()\ny[i * 64 + warp * 32 + lane] = s[63 - warp * 32 - "
     "lane]\n}\n",
     "race s",
     "for i in 2 rolled {\ns[warp * 32 + lane] = x[lane]\nbarrier()\ny[i * 64 + warp * 32 + lane] = s[63 - warp * 32 - "
     "lane]\nbarrier()\n}\n"},
    {"LanesOfAWarp", "s[warp * 32 + lane] = x[lane]\ny[warp * 32 + lane] = s[warp * 32 + 31 - lane]\n", "race s",
     "s[warp * 32 + lane] = x[lane]\nwarp_sync()\ny[warp * 32 + lane] = s[warp * 32 + 31 - lane]\n"},
    {"TwoThreadsWriteOnePlace", "y[lane] = 1.0\n", "race y", "if warp == 0 {\n y[lane] = 1.0\n}\n"},
    {"BlocksShareAnElement", "if warp == 0 {\n y[b * 16 + lane] = 1.0\n}\n", "race y",
     "if warp == 0 {\n y[b * 32 + lane] = 1.0\n}\n", 256, 2},
    {"ABlockReadsAnothersElement",
     "y[b * 64 + warp * 32 + lane] = 1.0\nbarrier()\nfragment r: f32[1]\nr[0] = y[lane]\n", "race y",
     "y[b * 64 + warp * 32 + lane] = 1.0\nbarrier()\nfragment r: f32[1]\nr[0] = y[b * 64 + 63 - warp * 32 - lane]\n",
     256, 2},
    {"PlainStoreToASum", "if b == 0 {\n y[lane] = 1.0\n} else {\n atomic sum y[lane] = 1.0\n}\n", "race y",
     "atomic sum y[lane] = 1.0\n", 256, 2},
    {"PartOfAWarpAtABarrier", "if lane < 16 {\n barrier()\n}\n", "barrier", "barrier()\n", 256, 1, 1},
    {"AWarpMissesABarrier", "if warp == 0 {\n barrier()\n}\n", "deadlock", "barrier()\n"},
    {"NamedBarrierOfTooFew", "named_barrier(1, 96)\n", "deadlock", "named_barrier(1, 64)\n"},
    {"NamedBarrierOfOtherCounts",
     "if warp == 0 {\n named_barrier(1, 32)\n named_barrier(1, 64)\n} else {\n "
     "named_barrier(1, 96)\n}\n",
     "barrier; deadlock", "named_barrier(1, 64)\n"},
    {"NoSuchBarrier", "named_barrier(16, 64)\n", "limit", "named_barrier(15, 64)\n"},
    {"ArrivalReleasesWhatWaits", "if warp == 0 {\n s[lane] = x[lane]\n} else {\n y[lane] = s[31 - lane]\n}\n",
     "race s; uninitialised s",
     "if warp == 0 {\n s[lane] = x[lane]\n named_arrive(2, 64)\n} else {\n named_barrier(2, 64)\n y[lane] = s[31 - "
     "lane]\n}\n"},
    {"CpAsyncWithoutAWait",
     "cp_async(s[warp * 128 + lane * 4], x[warp * 128 + lane * 4], 16, 16)\ncp_async_commit()\nbarrier()\ny[warp * 32 "
     "+ "
     "lane] = s[127 - lane]\n",
     "exited; race s",
     "cp_async(s[warp * 128 + lane * 4], x[warp * 128 + lane * 4], 16, 16)\ncp_async_commit()\ncp_async_wait(0)\n"
     "barrier()\ny[warp * 32 + lane] = s[127 - lane]\n"},
    {"CpAsyncBeyondItsBuffer", "cp_async(t[lane * 4 + 4], x[lane * 4], 16, 16)\ncp_async_commit()\ncp_async_wait(0)\n",
     "out-of-bounds t", "cp_async(t[lane * 4], x[lane * 4], 16, 16)\ncp_async_commit()\ncp_async_wait(0)\n", 256, 1, 1},
    {"NoSuchMbarrier", "if lane == 0 {\n mbarrier_init(full[warp + 1], 1)\n}\n", "out-of-bounds full",
     "if lane == 0 {\n mbarrier_init(full[warp], 1)\n}\n"},
    {"CpAsyncOfTooFewGroups",
     "for i in 2 rolled {\ncp_async(s[i * 256 + warp * 128 + lane * 4], x[warp * 128 + lane * 4], 16, 16)\n"
     "cp_async_commit()\n}\ncp_async_wait(1)\nbarrier()\ny[warp * 32 + lane] = s[256 + lane]\ncp_async_wait(0)\n",
     "race s",
     "for i in 2 rolled {\ncp_async(s[i * 256 + warp * 128 + lane * 4], x[warp * 128 + lane * 4], 16, 16)\n"
     "cp_async_commit()\n}\ncp_async_wait(1)\nbarrier()\ny[warp * 32 + lane] = s[lane]\ncp_async_wait(0)\n"},
    {"CpAsyncSeenByItsThreadAlone",
     "cp_async(s[warp * 128 + lane * 4], x[warp * 128 + lane * 4], 16, "
     "16)\ncp_async_commit()\ncp_async_wait(0)\ny[warp * "
     "32 + lane] = s[warp * 128 + lane]\n",
     "race s",
     "cp_async(s[warp * 128 + lane * 4], x[warp * 128 + lane * 4], 16, "
     "16)\ncp_async_commit()\ncp_async_wait(0)\ny[warp * "
     "32 + lane] = s[warp * 128 + lane * 4]\n"},
    {"MbarrierNeverInitialised", "mbarrier_arrive(full[0])\n", "barrier",
     "if warp == 0 && lane == 0 {\n mbarrier_init(full[0], 64)\n}\nbarrier()\nmbarrier_arrive(full[0])\n"},
    {"MbarrierUsedBeforeItsInitialisationIsSeen",
     "if lane == 0 {\n mbarrier_init(full[0], 32)\n}\nmbarrier_arrive(full[0])\n", "race mbarrier",
     "if lane == 0 {\n mbarrier_init(full[0], 32)\n}\nwarp_sync()\nmbarrier_arrive(full[0])\n", 256, 1, 1},
    {"TwoThreadsInitialiseAnMbarrier", "if lane == 0 {\n mbarrier_init(full[0], 64)\n}\nbarrier()\n", "race mbarrier",
     "if lane == 0 {\n mbarrier_init(full[warp], 64)\n}\nbarrier()\n"},
    {"AnMbarrierIsInitialisedAgain",
     "for i in 2 rolled {\nif warp == 0 && lane == 0 {\n mbarrier_init(full[0], 64)\n}\nbarrier()\n}\n",
     "barrier mbarrier",
     "for i in 2 rolled {\nif warp == 0 && lane == 0 {\n mbarrier_init(full[i], 64)\n}\nbarrier()\n}\n"},
    {"BarriersApart", "if warp == 0 {\n barrier()\n} else {\n barrier()\n}\n", "barrier",
     "if warp == 0 {\n warp_sync()\n} else {\n warp_sync()\n}\nbarrier()\n"},
    {"AStepOfNothing", "for i in 4 step warp rolled {\n s[warp * 32 + lane] = x[lane]\n}\n", "misuse",
     "for i in 4 step warp + 1 rolled {\n s[warp * 32 + lane] = x[lane]\n}\n"},
    {"AStepOfNothingInOneLane", "for i in 4 step lane rolled {\n s[warp * 32 + lane] = x[lane]\n}\n", "misuse",
     "for i in 4 step lane + 1 rolled {\n s[warp * 32 + lane] = x[lane]\n}\n"},
    {"WrongPhase",
     "if warp == 0 && lane == 0 {\n mbarrier_init(full[0], 32)\n}\nbarrier()\nif warp == 0 {\n s[lane] = x[lane]\n "
     "mbarrier_arrive(full[0])\n} else {\n mbarrier_wait(full[0], 1)\n y[lane] = s[31 - lane]\n}\n",
     "deadlock; race s; uninitialised s",
     "if warp == 0 && lane == 0 {\n mbarrier_init(full[0], 32)\n}\nbarrier()\nif warp == 0 {\n s[lane] = x[lane]\n "
     "mbarrier_arrive(full[0])\n} else {\n mbarrier_wait(full[0], 0)\n y[lane] = s[31 - lane]\n}\n"},
    {"NobodyArrives",
     "if warp == 0 && lane == 0 {\n mbarrier_init(full[0], 33)\n}\nbarrier()\nif warp == 0 {\n "
     "mbarrier_arrive(full[0])\n} else {\n mbarrier_wait(full[0], 0)\n}\n",
     "deadlock",
     "if warp == 0 && lane == 0 {\n mbarrier_init(full[0], 32)\n}\nbarrier()\nif warp == 0 {\n "
     "mbarrier_arrive(full[0])\n} else {\n mbarrier_wait(full[0], 0)\n}\n"},
};

}  // namespace

void PrintTo(const Planted& planted, std::ostream* stream) { *stream << planted.name; }

std::span<const Planted> planted_faults() { return kPlanted; }

std::string kernel_text(const std::string& body, int elements, int blocks, int warps) {
  return fmt::format(
      "kernel f (x: f32[{0}], y: f32[{0}]) grid (b in {1}) warps {2} lanes 32 thread (warp, lane) {{\n"
      "  shared t: f32[128]\n  shared s: f32[1024]\n  barrier full: u64[2]\n{3}}}\n",
      elements, blocks, warps, body);
}

}  // namespace quern::runtime::simulator
