/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Rows of f32 to 8 bits, 16 lanes at a time.
 */
#include "kit-quantise.h"

#include "kit-memory.h"
#include "kit-parallel.h"
#include "kit-vector.h"

#include <math.h>

#define LANES SORA_KIT_LANES
#define LEAST 1e-30f /* 127 / LEAST is far from overflow */

typedef uint8_t Bytes __attribute__ ((vector_size (LANES)));

static int64_t
stride_of (int64_t width)
{
  return sora_kit_ceil_div (width, 64) * 64;
}

int
sora_kit_rows8_init (SoraKitRows8 *self, int64_t rows, int64_t width)
{
  *self = (SoraKitRows8){ .width = width, .stride = stride_of (width) };
  self->values = sora_kit_alloc ((uint64_t)rows, (size_t)self->stride);
  self->scales = sora_kit_alloc ((uint64_t)rows, sizeof *self->scales);
  if (self->values != NULL && self->scales != NULL)
    return 0;
  sora_kit_rows8_clear (self);
  return -1;
}

void
sora_kit_rows8_clear (SoraKitRows8 *self)
{
  sora_kit_free (self->values);
  sora_kit_free (self->scales);
  *self = (SoraKitRows8){ 0 };
}

uint64_t
sora_kit_rows8_bytes (int64_t rows, int64_t width)
{
  return (uint64_t)rows * ((uint64_t)stride_of (width) + sizeof (float));
}

SORA_KIT_MULTIVERSION void
sora_kit_quantise (const float *x, int64_t ldx, const SoraKitRows8 *to, int64_t first,
                   int64_t count)
{
  const int64_t width = to->width, whole = width / LANES * LANES;
  for (int64_t row = 0; row < count; row++, x += ldx)
    {
      uint8_t *out = to->values + (first + row) * to->stride;
      /* Bits of absolute values are ordered as the values are, with NaN above infinity.  */
      SoraKitVi top = { 0 };
      for (int64_t i = 0; i < whole; i += LANES)
        {
          const SoraKitVi bits = (SoraKitVi)sora_kit_v_load (x + i) & 0x7fffffff;
          const SoraKitVi mask = bits > top;
          top = (bits & mask) | (top & ~mask);
        }
      int32_t most = 0;
      for (int i = 0; i < LANES; i++)
        most = top[i] > most ? top[i] : most;
      for (int64_t i = whole; i < width; i++)
        {
          int32_t bits;
          memcpy (&bits, x + i, sizeof bits);
          bits &= 0x7fffffff;
          most = bits > most ? bits : most;
        }
      float largest;
      memcpy (&largest, &most, sizeof largest);
      const int regular = most < 0x7f800000 && largest >= LEAST;
      const float inverse = regular ? 127.0f / largest : 0.0f;
      to->scales[first + row] = regular ? largest / 127.0f : most < 0x7f800000 ? 0.0f : NAN;
      /* Adding 1.5 · 2^23 leaves the rounded integer in the low bits.  */
      const float magic = 12582912.0f;
      for (int64_t i = 0; i < whole; i += LANES)
        {
          const SoraKitV t = sora_kit_v_load (x + i) * inverse + magic;
          const Bytes bytes = __builtin_convertvector((SoraKitVi)t + 128, Bytes);
          memcpy (out + i, &bytes, sizeof bytes);
        }
      for (int64_t i = whole; i < width; i++)
        {
          const float t = x[i] * inverse + magic;
          int32_t bits;
          memcpy (&bits, &t, sizeof bits);
          out[i] = (uint8_t)((uint32_t)bits + 128u);
        }
      for (int64_t i = width; i % 4 != 0; i++)
        out[i] = 128;
    }
}
