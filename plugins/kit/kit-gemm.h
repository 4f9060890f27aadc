/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-gemm: the small matrix product behind the convolutions, on one thread.  oneDNN's is used for
 * the large linear layers; here there are thousands of small ones a frame (its 1.3 µs a call would
 * be half of the work), over rows that lie apart and over a K that is cut at run time (the first
 * frames of a clip have no past).
 * Within a step, of one part, A stays in the cache for all panels of B.
 *
 * Each element of C is one chain of multiply-adds over K in its order, wherever it stands and
 * however the work is cut: the bytes depend on the instruction set alone.
 */
#ifndef SORA_KIT_GEMM_H
#define SORA_KIT_GEMM_H

#include <stddef.h>
#include <stdint.h>

/** sora_kit_pad16: Returns: @n rounded up to a multiple of 16: channels lie so in memory, padded
 * with zeros. */
static inline int64_t
sora_kit_pad16 (int64_t n)
{
  return (n + 15) & ~INT64_C (15);
}

/**
 * sora_kit_gemm_offset:
 * @n: columns of B, a multiple of 16
 * @rows: rows of B
 * @row: which row
 * @col: which column
 *
 * Where an element of a packed B [@rows, @n] lies: panels of up to 64 columns, one after the other,
 * each row by row. 16 columns from a multiple of 16 on lie side by side.  The whole takes @rows *
 * @n floats.
 */
size_t sora_kit_gemm_offset (int64_t n, int64_t rows, int64_t row, int64_t col);

/**
 * SoraKitGemm:
 * @m: rows of A and C
 * @n: columns of C, a multiple of 16
 * @k: columns of each part of A
 * @parts: A is this many matrices side by side, 1…3; B's rows 0…k-1 belong to the first, and so on
 * @a: (array length=parts): f32 [m, k]
 * @lda: elements between rows of each A
 * @b: packed, see sora_kit_gemm_offset()
 * @b_rows: rows that @b was packed with, at least @b_row + @parts * @k; those behind are not used
 * @b_row: the first that is used
 * @bias: (nullable): f32 [n]
 * @add: (nullable): f32 [m, n] with @ldc, added last; may be @c
 * @c: f32 [m, n], 64-byte aligned as @b, @bias and @add are
 * @ldc: elements between rows of C, a multiple of 16
 * @c2: (nullable): f32 [m, n]: two results of four parts, see sora_kit_gemm_run()
 * @next: (nullable): the product that comes next; what it begins with is fetched into the cache
 * meanwhile
 */
typedef struct SoraKitGemm SoraKitGemm;
struct SoraKitGemm
{
  int64_t m, n, k;
  int parts;
  const float *a[4];
  int64_t lda;
  const float *b;
  int64_t b_rows, b_row;
  const float *bias;
  const float *add;
  float *c;
  int64_t ldc;
  float *c2;
  const SoraKitGemm *next;
};

/**
 * sora_kit_gemm_run:
 * @gemm: what
 *
 * C = bias + A B + add.  With @c2, of A's four parts and those of B, by Winograd's F(2, 3):
 * C = A1 B1 + A2 B2 + A0 B0 and C2 = A1 B1 - A2 B2 + A3 B3; @parts, @bias and @add are not used.
 * Tolerance: that of f32 sums of K terms, tested to 1e-5 of the largest
 * value.
 */
void sora_kit_gemm_run (const SoraKitGemm *gemm);

/** sora_kit_gemm_isa: Returns: (transfer none): "avx512", "avx2" or "generic": what it runs on
 * here. */
const char *sora_kit_gemm_isa (void);

/**
 * sora_kit_gemm_use:
 * @name: (nullable): as sora_kit_gemm_isa() says it; %NULL: the best there is
 *
 * For tests and measurements: what products run on from now on.  Not while one runs.
 *
 * Returns: 0, or -1 where this machine has none of that name: then it is the best there is
 */
int sora_kit_gemm_use (const char *name);

#endif
