#pragma once
// Who holds which element of the operands of the matrix instructions: distributions over lanes, registers and, for
// wgmma, the four warps of a warpgroup. Registers are counted in elements: a 32-bit register holds 4 / element_bytes of
// them. Larger tiles are copies of these atoms (tile() in ir/layout.h). Element sizes: 2 (f16, bf16), 4 (tf32), 1 (s8,
// u8, f8); one instruction takes 32 bytes of K. Source: PTX ISA, matrix fragments of mma.m16n8 and wgmma.

#include <cstdint>
#include <optional>

#include "ir/layout.h"

namespace quern::ir {

Layout matrix_8x8(int element_bytes);  // [8 rows, 16 / element_bytes], as ldmatrix and stmatrix move them
Layout mma_sync_a(int element_bytes);  // [16 rows, 32 / element_bytes of k]
Layout mma_sync_b(int element_bytes);  // [8 columns, 32 / element_bytes of k]
Layout mma_sync_c();                   // [16 rows, 8 columns], f32, s32, or f16 in packed pairs

Layout wgmma_a(int element_bytes);               // [64 rows, 32 / element_bytes of k], operand A in registers
Layout wgmma_accumulator(std::int64_t columns);  // [64 rows, columns], f32, s32, or f16 in packed pairs

// The columns n, at most 256, of the widest wgmma instructions whose accumulators make up `accumulator` along its own
// digits: copies of wgmma_accumulator(n) in further warpgroups and registers. Nothing where there are none. `integer`:
// of s32 accumulators, whose n above 32 are multiples of 16.
std::optional<std::int64_t> wgmma_columns(const Layout& accumulator, bool integer = false);

// Whether the fragment is made of copies of `atom` (of those above) in further warps, warpgroups and registers.
bool is_made_of(const Layout& fragment, const Layout& atom);

// Whether stmatrix stores what is distributed so: accumulators of two-byte elements, an even number of them side by
// side in registers, further rows in further warps.
bool is_stored_as_matrices(const Layout& distribution);

}  // namespace quern::ir
