#pragma once
// Tile form -> thread form: layouts decide who holds what. Runs after a strategy has emitted a kernel and before
// vectorize, which joins the unit-stride loops that this pass marks.
//
//   Map, threads   loops over the distribution's register digits; lane and warp digits become expressions of `lane` and
//                  `warp`; the innermost register digit that walks a mode's neighbours becomes a vector loop
//   Map, cp_async  one copy of a vector digit's bytes, its source size 0 where the element lies outside
//   Map, ldmatrix  up to four 8x8 matrices at a time, transposed on the way where memory walks the fragment's rows;
//                  stmatrix takes accumulators back
//   Map, tma_*     one bulk copy per box of a tensor map, which joins the launch's parameters; im2col derives the map's
//                  corners and the offsets from the read's indices
//   Fold           registers, then lanes by shuffles, then warps through shared scratch
//   Mma, simt      register fragments of the operands, loaded per k step, and their outer product
//   Mma, mma_sync  fragments of the operands, loaded per 32 bytes of k where they are in shared memory
//   Mma, wgmma     descriptors of the shared operands, advanced per instruction
//   Role           a branch on the warp
// Afterwards: every buffer has rank 1; reads with a fill are guarded by a select; conditions that hold by the kernel's
// facts, its grid and its loops' ranges are gone. Throws InternalError on an illegal tile program.

#include "ir/kernel.h"

namespace quern::compiler {

ir::Kernel expand_tiles(const ir::Kernel& kernel);

}  // namespace quern::compiler
