/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-stored: y = x Wᵀ with weights as a file has them, f32, f16 or bf16, read once for all rows of x
 * and never expanded as a whole.  For weights that are used once a job (a text encoder's): where they
 * are used again and again, kit-linear's packed ones cost nothing to bring in.
 *
 * A tile is 64 output features on one thread: 128 of their weights at a time become an f32 panel of 32
 * kB that stays in the L1 cache while all rows are multiplied by it.  Each element of y is the sum, in
 * order, of products over 128 inputs, each of which is one chain of multiply-adds: so its bytes depend
 * neither on threads nor on the other rows, but on the instruction set alone, and those with fused
 * multiply-adds agree.
 *
 * Tolerance: 1e-5 of the largest value against a product summed in f64 (tests/kit/test-stored.c).
 */
#ifndef SORA_KIT_STORED_H
#define SORA_KIT_STORED_H

#include "kit-parallel.h"

typedef struct SoraKitStored SoraKitStored;

/**
 * SoraKitStoredPart:
 * @weights: [rows, K], C-contiguous, aligned to its elements
 * @dtype: %SORA_F32, %SORA_F16 or %SORA_BF16
 * @rows: output features
 *
 * Some of the output features of a product.
 */
typedef struct
{
  const void *weights;
  int32_t dtype;
  int64_t rows;
} SoraKitStoredPart;

/* What becomes of the product. */
typedef enum
{
  SORA_KIT_STORED_SET, /* y = x Wᵀ, of the parts side by side */
  SORA_KIT_STORED_ADD, /* y = y + x Wᵀ, likewise */
  /* y = gelu (x W₀ᵀ) · (x W₁ᵀ) of two parts with as many rows; gelu (v) = 0.5 v (1 + tanh (sqrt (2/pi)
   * (v + 0.044715 v³))) */
  SORA_KIT_STORED_GATE,
} SoraKitStoredMode;

/**
 * sora_kit_stored_new:
 * @team: takes the reason of a failure; its number of threads is the most that will work
 * @m: rows of x in all products
 * @k: the most columns of x
 *
 * The memory that products need besides x, y and the weights.
 *
 * Returns: (nullable) (transfer full): free with sora_kit_stored_free()
 */
SoraKitStored *sora_kit_stored_new (SoraKitTeam *team, int64_t m, int64_t k);
void sora_kit_stored_free (SoraKitStored *stored);

/** sora_kit_stored_bytes: Returns: bytes that sora_kit_stored_new() takes with so many threads. */
uint64_t sora_kit_stored_bytes (int64_t m, int64_t k, int threads);

/**
 * sora_kit_stored_input:
 * @stored: memory of products
 * @row: the first row that is given
 * @count: rows
 * @x: f32 [@count, @k]
 * @ldx: elements between rows of @x
 * @k: columns of x: the same in all calls for one x
 *
 * Takes some rows of x, for all products from now on.  From any thread of the team, each row from
 * one.
 */
void sora_kit_stored_input (SoraKitStored *stored, int64_t row, int64_t count, const float *x,
                            int64_t ldx, int64_t k);

/**
 * sora_kit_stored_run:
 * @stored: memory of products, with all rows of x
 * @team: who works
 * @k: columns of x, as they were given
 * @parts: the weights
 * @n_parts: how many
 * @mode: what becomes of the product
 * @y: f32 [m, N]
 * @ldy: elements between rows of @y
 *
 * Returns: %SORA_OK, %SORA_CANCELLED (@y is then partly written) or %SORA_FAILED
 */
int sora_kit_stored_run (SoraKitStored *stored, SoraKitTeam *team, int64_t k,
                         const SoraKitStoredPart *parts, int n_parts, SoraKitStoredMode mode,
                         float *y, int64_t ldy);

#endif
