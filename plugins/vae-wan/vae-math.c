/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-math.c: see vae-math.h.
 */
#include "vae-math.h"

#include "kit-parallel.h"
#include "kit-vector.h"

#include <math.h>

SORA_KIT_MULTIVERSION void
sora_vae_norm (const float *from, float *to, int64_t pixels, int64_t channels, const float *gamma,
               int silu)
{
  for (int64_t i = 0; i < pixels; i++, from += channels, to += channels)
    {
      SoraKitV squares = { 0 };
      for (int64_t c = 0; c < channels; c += SORA_KIT_LANES)
        {
          const SoraKitV x = sora_kit_v_load (from + c);
          squares += x * x;
        }
      const float length = sqrtf (sora_kit_v_sum (&squares));
      const float scale = 1.0f / (length > 1e-12f ? length : 1e-12f);
      for (int64_t c = 0; c < channels; c += SORA_KIT_LANES)
        {
          SoraKitV y = sora_kit_v_load (from + c) * scale * sora_kit_v_load (gamma + c);
          if (silu)
            {
              SoraKitV e = -y;
              sora_kit_v_exp (&e);
              y = y / (e + 1.0f);
            }
          sora_kit_v_store (to + c, y);
        }
    }
}

/* A loop without a way out, so that it becomes vectors; NaN and infinities are counted by x - x
 * being no zero. */
int
sora_vae_picture_u8 (const float *rgb, uint8_t *to, int64_t n)
{
  int bad = 0;
  for (int64_t i = 0; i < n; i++)
    {
      const float x = rgb[i];
      float y = x * 0.5f + 0.5f;
      bad |= !(x - x == 0);
      y = y > 0 ? y : 0;
      y = y < 1 ? y : 1;
      /* Adding 1.5 · 2^23 rounds to an integer, half to even. */
      const float rounded = (y * 255.0f + 12582912.0f) - 12582912.0f;
      to[i] = (uint8_t)(int)rounded;
    }
  return bad ? -1 : 0;
}

int
sora_vae_picture_f32 (const float *rgb, float *to, int64_t n)
{
  int bad = 0;
  for (int64_t i = 0; i < n; i++)
    {
      const float x = rgb[i];
      float y = x * 0.5f + 0.5f;
      bad |= !(x - x == 0);
      y = y > 0 ? y : 0;
      to[i] = y < 1 ? y : 1;
    }
  return bad ? -1 : 0;
}

/* i · factor + k over step for i = 0, 1 … without a division each. */
typedef struct
{
  int64_t at, rest, step, by, by_rest;
} Quotient;

static Quotient
quotient (int64_t factor, int64_t k, int64_t step)
{
  return (Quotient){ k / step, k % step, step, factor / step, factor % step };
}

static inline void
advance (Quotient *q)
{
  q->at += q->by;
  q->rest += q->by_rest;
  if (q->rest >= q->step)
    {
      q->rest -= q->step;
      q->at++;
    }
}

void
sora_vae_repeat_pixel (const float *from, int64_t channels, float *to, int64_t out, int64_t factor,
                       int64_t k)
{
  Quotient q = quotient (factor, k, out * factor / channels);
  for (int64_t o = 0; o < out; o++, advance (&q))
    to[o] = from[q.at];
  for (int64_t o = out; o % 16 != 0; o++)
    to[o] = 0;
}

void
sora_vae_average_pixel (const float *from, int64_t channels, float *to, int64_t out, int64_t factor,
                        int64_t k)
{
  const int64_t group = channels * factor / out;
  const float part = 1.0f / (float)group;
  Quotient q = quotient (factor, k, group);
  for (int64_t c = 0; c < channels; c++, advance (&q))
    to[q.at] += from[c] * part;
}

void
sora_vae_unpatch_row (const float *from, int64_t w, int64_t patch, float *rgb)
{
  const int64_t padded = (3 * patch * patch + 15) / 16 * 16;
  for (int64_t row = 0; row < patch; row++)
    for (int64_t x = 0; x < w; x++)
      for (int64_t column = 0; column < patch; column++)
        for (int64_t c = 0; c < 3; c++)
          *rgb++ = from[x * padded + (c * patch + column) * patch + row];
}
