/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tiny-math.c: what comes before the first convolution and after the last.
 */
#include "tiny-decoder.h"

#include "kit-math.h"

/* By our own exponential, whose bits do not depend on the C library. */
float
sora_tiny_clamp (float x)
{
  const double e = sora_kit_expm1 (-2.0 * (x < 0 ? -(double)x : (double)x) / 3.0);
  const double y = -3.0 * e / (e + 2.0);
  return (float)(x < 0 ? -y : y);
}

/* NaN and infinities are counted by x - x being no zero. */
int
sora_tiny_picture (const float *places, int64_t w, int64_t patch, int64_t line, int dtype, void *to)
{
  const int64_t square = patch * patch;
  uint8_t *bytes = to;
  float *units = to;
  int bad = 0;
  for (int64_t i = 0; i < w * patch; i++)
    for (int64_t c = 0; c < 3; c++)
      {
        const float x = places[i / patch * 3 * square + c * square + line * patch + i % patch];
        float y = x > 0 ? x : 0;
        bad |= !(x - x == 0);
        y = y < 1 ? y : 1;
        if (dtype == SORA_F32)
          units[3 * i + c] = y;
        else /* adding 1.5 · 2^23 rounds to an integer, half to even */
          bytes[3 * i + c] = (uint8_t)(int)((y * 255.0f + 12582912.0f) - 12582912.0f);
      }
  return bad ? -1 : 0;
}
