/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-quantise: rows of f32 as 8 bits and one scale a row, symmetric about zero: value =
 * (u8 - 128) · scale, where the largest of the row is ±127.  Stored as u8 with zero point 128,
 * which is what products in 8 bits take (kit-gemm-int8.h).
 *
 * Rounding is to nearest, ties to even; the same bytes on every instruction set.
 */
#ifndef SORA_KIT_QUANTISE_H
#define SORA_KIT_QUANTISE_H

#include <stdint.h>

/**
 * SoraKitRows8:
 * @values: u8 [rows, stride]
 * @scales: f32 [rows]
 * @width: of a row; up to the next multiple of four 128 stands behind it
 * @stride: bytes between rows
 */
typedef struct
{
  uint8_t *values;
  float *scales;
  int64_t width, stride;
} SoraKitRows8;

/** sora_kit_rows8_init: allocates room for @rows of @width.  Returns: 0, or -1 without memory. */
int sora_kit_rows8_init (SoraKitRows8 *self, int64_t rows, int64_t width);

/** sora_kit_rows8_clear: frees what sora_kit_rows8_init() allocated; a zeroed one is allowed. */
void sora_kit_rows8_clear (SoraKitRows8 *self);

/** sora_kit_rows8_bytes: Returns: what sora_kit_rows8_init() takes. */
uint64_t sora_kit_rows8_bytes (int64_t rows, int64_t width);

/** sora_kit_rows8_at: Returns: the same rows, from @first on; owns nothing. */
static inline SoraKitRows8
sora_kit_rows8_at (const SoraKitRows8 *self, int64_t first)
{
  return (SoraKitRows8){ self->values + first * self->stride, self->scales + first, self->width,
                         self->stride };
}

/**
 * sora_kit_quantise:
 * @x: f32 [count, width]
 * @ldx: elements between rows of @x
 * @to: where to
 * @first: row of @to that the first becomes
 * @count: how many
 *
 * A row of zeros (nothing above 1e-30) has scale 0; one with a NaN or an infinity has a scale that
 * is no number, so that what is computed of it is none either.
 */
void sora_kit_quantise (const float *x, int64_t ldx, const SoraKitRows8 *to, int64_t first,
                        int64_t count);

#endif
