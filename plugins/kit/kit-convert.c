/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Stored dtypes to f32.
 */
#include "kit-convert.h"

#include "kit-parallel.h"

#include <string.h>

size_t
sora_kit_dtype_size (int dtype)
{
  switch (dtype)
    {
    case SORA_F64:
    case SORA_I64:
      return 8;
    case SORA_F32:
    case SORA_I32:
      return 4;
    case SORA_F16:
    case SORA_BF16:
    case SORA_I16:
      return 2;
    case SORA_U8:
    case SORA_I8:
    case SORA_BOOL:
      return 1;
    default:
      return 0;
    }
}

const char *
sora_kit_dtype_name (int dtype)
{
  static const char *const names[]
      = { "?", "f32", "f16", "bf16", "f64", "u8", "i8", "i16", "i32", "i64", "bool" };
  return dtype > 0 && dtype < (int)(sizeof names / sizeof names[0]) ? names[dtype] : names[0];
}

static inline float
from_bits (uint32_t bits)
{
  float value;
  memcpy (&value, &bits, sizeof value);
  return value;
}

SORA_KIT_MULTIVERSION static void
from_bf16 (const uint16_t *restrict src, float *restrict dst, size_t n)
{
  for (size_t i = 0; i < n; i++)
    dst[i] = from_bits ((uint32_t)src[i] << 16);
}

/* Without branches: shifts the exponent by a multiplication, which also normalises subnormals.  It
 * works on normal f32 numbers alone, so that it is right with denormals flushed to zero.  */
SORA_KIT_MULTIVERSION static void
from_f16 (const uint16_t *restrict src, float *restrict dst, size_t n)
{
  for (size_t i = 0; i < n; i++)
    {
      uint32_t sign = ((uint32_t)src[i] & 0x8000u) << 16;
      uint32_t rest = (uint32_t)src[i] & 0x7fffu;
      /* Normal: exponent + (127 - 15).  Inf and NaN: exponent 255.  Subnormal: rest * 2^-24, by
       * integers.  */
      uint32_t normal = (rest << 13) + (112u << 23);
      uint32_t special = (rest << 13) | 0x7f800000u;
      float small = (float)(int32_t)rest * 0x1p-24f;
      uint32_t small_bits;
      memcpy (&small_bits, &small, sizeof small_bits);
      uint32_t bits = rest < 0x400u ? small_bits : rest >= 0x7c00u ? special : normal;
      dst[i] = from_bits (bits | sign);
    }
}

int
sora_kit_to_f32 (const void *src, int dtype, float *dst, size_t n)
{
  switch (dtype)
    {
    case SORA_F32:
      memcpy (dst, src, n * sizeof *dst);
      return SORA_OK;
    case SORA_BF16:
      from_bf16 (src, dst, n);
      return SORA_OK;
    case SORA_F16:
      from_f16 (src, dst, n);
      return SORA_OK;
    case SORA_F64:
      for (size_t i = 0; i < n; i++)
        dst[i] = (float)((const double *)src)[i];
      return SORA_OK;
    default:
      return SORA_FAILED;
    }
}
