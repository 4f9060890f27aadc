/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-turn: stored weights, a row an output feature, turned into the panel that kit-gemm multiplies
 * by: widened to f32 on the way, which is exact.
 */
#ifndef SORA_KIT_TURN_H
#define SORA_KIT_TURN_H

#include <stdint.h>

/* Columns of a panel: the widest that kit-gemm walks through row by row. */
#define SORA_KIT_PANEL 64

/**
 * sora_kit_turn:
 * @weights: [rows, @ld] of @dtype, aligned to its elements
 * @dtype: %SORA_F32, %SORA_F16 or %SORA_BF16
 * @ld: elements between rows
 * @rows: 1…%SORA_KIT_PANEL
 * @k: elements of each row that are taken
 * @panel: (out): f32 [@k, @rows rounded up to 16], 64-byte aligned; what is rounded up is zeros
 *
 * The panel has the order of sora_kit_gemm_offset().  The same values on every instruction set that
 * sora_kit_gemm_use() knows.
 */
void sora_kit_turn (const void *weights, int dtype, int64_t ld, int64_t rows, int64_t k,
                    float *panel);

#endif
