/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-gemm-int8: products of u8 rows with s8 columns, summed exactly in s32.  Sums of integers have
 * no order, so every instruction set gives the same numbers: AVX-512 VNNI at about four times the
 * rate of f32, and plain C.
 *
 * B is packed in panels of 64 columns; in a panel, four values of K of each column lie together:
 * [K / 4][64][4], which is what vpdpbusd takes.
 */
#ifndef SORA_KIT_GEMM_INT8_H
#define SORA_KIT_GEMM_INT8_H

#include <stdint.h>

#define SORA_KIT_GEMM_INT8_COLUMNS 64 /* of a panel */

/* More values of K could overflow: 65,536 · 255 · 127 is just below 2^31. */
#define SORA_KIT_GEMM_INT8_MAX_K 65536

/**
 * sora_kit_gemm_int8_run:
 * @m: rows of A and C
 * @k: values of K, a multiple of four, at most %SORA_KIT_GEMM_INT8_MAX_K
 * @a: u8 [m, k]
 * @lda: bytes between rows of @a
 * @panel: s8 [k / 4][64][4], 64-byte aligned
 * @c: (out): s32 [m, 64], dense, 64-byte aligned
 *
 * C = A · panel.  Any thread.
 */
void sora_kit_gemm_int8_run (int64_t m, int64_t k, const uint8_t *a, int64_t lda,
                             const int8_t *panel, int32_t *c);

/** sora_kit_gemm_int8_isa: Returns: "avx512-vnni" or "generic": what is used on this machine. */
const char *sora_kit_gemm_int8_isa (void);

/** sora_kit_gemm_int8_use: for tests, while no product runs: @name is an instruction set, %NULL the
 * best.  Returns: 0, or -1 if this machine does not have it. */
int sora_kit_gemm_int8_use (const char *name);

#endif
