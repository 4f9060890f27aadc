/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Norms, modulation, gates, rotary embedding, activations: rows of f32, 16 lanes at a time.
 */
#include "kit-norm.h"

#include "kit-parallel.h"
#include "kit-vector.h"

#include <math.h>

#define LANES SORA_KIT_LANES

/* The last, partial vector of a row: zeros beyond its end.  */
SORA_KIT_INLINE void
load_tail (SoraKitV *v, const float *p, int64_t count)
{
  float a[LANES] = { 0 };
  memcpy (a, p, (size_t)count * sizeof *a);
  memcpy (v, a, sizeof *v);
}

SORA_KIT_INLINE void
store_tail (float *p, const SoraKitV *v, int64_t count)
{
  memcpy (p, v, (size_t)count * sizeof *p);
}

SORA_KIT_MULTIVERSION void
sora_kit_rms_norm (const float *x, int64_t ldx, float *y, int64_t ldy, int64_t rows, int64_t width,
                   const float *weight, float eps)
{
  int64_t whole = width / LANES * LANES, rest = width - whole;
  for (int64_t row = 0; row < rows; row++, x += ldx, y += ldy)
    {
      SoraKitV sum = { 0 }, v;
      for (int64_t i = 0; i < whole; i += LANES)
        {
          v = sora_kit_v_load (x + i);
          sum += v * v;
        }
      if (rest)
        {
          load_tail (&v, x + whole, rest);
          sum += v * v;
        }
      float scale = 1.0f / sqrtf (sora_kit_v_sum (&sum) / (float)width + eps);
      for (int64_t i = 0; i < whole; i += LANES)
        sora_kit_v_store (y + i, sora_kit_v_load (x + i) * scale * sora_kit_v_load (weight + i));
      for (int64_t i = whole; i < width; i++)
        y[i] = x[i] * scale * weight[i];
    }
}

SORA_KIT_MULTIVERSION void
sora_kit_layer_norm (const float *x, int64_t ldx, float *y, int64_t ldy, int64_t rows,
                     int64_t width, const float *weight, const float *bias, float eps)
{
  int64_t whole = width / LANES * LANES, rest = width - whole;
  for (int64_t row = 0; row < rows; row++, x += ldx, y += ldy)
    {
      SoraKitV sum = { 0 }, v;
      for (int64_t i = 0; i < whole; i += LANES)
        sum += sora_kit_v_load (x + i);
      if (rest)
        {
          load_tail (&v, x + whole, rest);
          sum += v;
        }
      float mean = sora_kit_v_sum (&sum) / (float)width;
      /* A second pass over the row, which is in the first cache: no cancellation as with the sum of
       * squares.  */
      sum = (SoraKitV){ 0 };
      for (int64_t i = 0; i < whole; i += LANES)
        {
          v = sora_kit_v_load (x + i) - mean;
          sum += v * v;
        }
      float squares = 0;
      for (int64_t i = whole; i < width; i++)
        squares += (x[i] - mean) * (x[i] - mean);
      float scale = 1.0f / sqrtf ((sora_kit_v_sum (&sum) + squares) / (float)width + eps);
      for (int64_t i = 0; i < whole; i += LANES)
        {
          v = (sora_kit_v_load (x + i) - mean) * scale;
          if (weight != NULL)
            v = v * sora_kit_v_load (weight + i);
          if (bias != NULL)
            v = v + sora_kit_v_load (bias + i);
          sora_kit_v_store (y + i, v);
        }
      for (int64_t i = whole; i < width; i++)
        {
          float s = (x[i] - mean) * scale;
          if (weight != NULL)
            s = s * weight[i];
          y[i] = bias != NULL ? s + bias[i] : s;
        }
    }
}

SORA_KIT_MULTIVERSION void
sora_kit_gate_add (float *x, int64_t ldx, const float *y, int64_t ldy, int64_t rows, int64_t width,
                   const float *gate)
{
  for (int64_t row = 0; row < rows; row++, x += ldx, y += ldy)
    {
      float *restrict a = x;
      const float *restrict b = y;
      if (gate == NULL)
        for (int64_t i = 0; i < width; i++)
          a[i] = a[i] + b[i];
      else
        for (int64_t i = 0; i < width; i++)
          a[i] = a[i] + b[i] * gate[i];
    }
}

SORA_KIT_MULTIVERSION void
sora_kit_rope (float *x, int64_t ldx, int64_t rows, int64_t heads, int64_t head_dim,
               const float *cosines, const float *sines)
{
  int64_t half = head_dim / 2;
  for (int64_t row = 0; row < rows; row++, x += ldx, cosines += half, sines += half)
    for (int64_t head = 0; head < heads; head++)
      {
        float *restrict p = x + head * head_dim;
        for (int64_t i = 0; i < half; i++)
          {
            float a = p[2 * i], b = p[2 * i + 1];
            p[2 * i] = a * cosines[i] - b * sines[i];
            p[2 * i + 1] = a * sines[i] + b * cosines[i];
          }
      }
}

SORA_KIT_INLINE void
silu (SoraKitV *v)
{
  SoraKitV e = -*v;
  sora_kit_v_exp (&e);
  *v = *v / (1.0f + e);
}

#define FOR_EACH(fn)                                                                               \
  do                                                                                               \
    {                                                                                              \
      SoraKitV v;                                                                                  \
      int64_t i = 0;                                                                               \
      for (; i + LANES <= n; i += LANES)                                                           \
        {                                                                                          \
          v = sora_kit_v_load (x + i);                                                             \
          fn (&v);                                                                                 \
          sora_kit_v_store (y + i, v);                                                             \
        }                                                                                          \
      if (i < n)                                                                                   \
        {                                                                                          \
          load_tail (&v, x + i, n - i);                                                            \
          fn (&v);                                                                                 \
          store_tail (y + i, &v, n - i);                                                           \
        }                                                                                          \
    }                                                                                              \
  while (0)

SORA_KIT_MULTIVERSION void
sora_kit_silu (const float *x, float *y, int64_t n)
{
  FOR_EACH (silu);
}

SORA_KIT_MULTIVERSION void
sora_kit_multiply (float *restrict x, const float *restrict y, int64_t n)
{
  for (int64_t i = 0; i < n; i++)
    x[i] = x[i] * y[i];
}

SORA_KIT_MULTIVERSION void
sora_kit_guide (float *restrict cond, const float *restrict uncond, float scale, int64_t n)
{
  for (int64_t i = 0; i < n; i++)
    cond[i] = uncond[i] + scale * (cond[i] - uncond[i]);
}
