/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-convert: stored dtypes to f32.  f16 and bf16 to f32 are exact; f64 is rounded to nearest.
 */
#ifndef SORA_KIT_CONVERT_H
#define SORA_KIT_CONVERT_H

#include <stddef.h>
#include <stdint.h>

/** sora_kit_dtype_size: Returns: bytes of one element of a #SoraDtype; 0 for an unknown one. */
size_t sora_kit_dtype_size (int dtype);

/** sora_kit_dtype_name: Returns: "f32"; "?" for an unknown one. */
const char *sora_kit_dtype_name (int dtype);

/**
 * sora_kit_to_f32:
 * @src: @n elements of @dtype
 * @dtype: %SORA_F32, %SORA_F16, %SORA_BF16 or %SORA_F64
 * @dst: f32 [n]; may not overlap
 * @n: count
 *
 * Returns: %SORA_OK, or %SORA_FAILED for another dtype
 */
int sora_kit_to_f32 (const void *src, int dtype, float *dst, size_t n);

#endif
