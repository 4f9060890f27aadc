/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-rng.c: torch's CPU generator.  Three things of it must be followed to the letter, or the same
 * seed gives another clip: 16 values or more are drawn as f32 uniforms of 24 bits and turned into
 * normals in blocks of 16 (the first eight are radii, the last eight angles); a last part that is
 * no whole block is made by drawing the LAST 16 values of the whole again; and fewer than 16 values
 * take another path altogether, in f64, a pair at a time.
 */
#include "kit-rng.h"
#include "kit-math.h"

#include <math.h>
#include <stdlib.h>

#define MT_N 624
#define MT_M 397

typedef struct
{
  uint32_t state[MT_N];
  size_t next;
} Mt19937;

static void
mt_seed (Mt19937 *mt, uint32_t seed)
{
  mt->state[0] = seed;
  for (uint32_t i = 1; i < MT_N; i++)
    mt->state[i] = 1812433253u * (mt->state[i - 1] ^ (mt->state[i - 1] >> 30)) + i;
  mt->next = MT_N;
}

static inline uint32_t
mt_twist (uint32_t high, uint32_t low, uint32_t far)
{
  const uint32_t mixed = (high & 0x80000000u) | (low & 0x7fffffffu);
  return far ^ (mixed >> 1) ^ ((low & 1) ? 0x9908b0dfu : 0);
}

static uint32_t
mt_next (Mt19937 *mt)
{
  if (mt->next == MT_N)
    {
      uint32_t *s = mt->state;
      for (size_t i = 0; i < MT_N; i++)
        s[i] = mt_twist (s[i], s[(i + 1) % MT_N], s[(i + MT_M) % MT_N]);
      mt->next = 0;
    }
  uint32_t y = mt->state[mt->next++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

static inline float
uniform_f32 (Mt19937 *mt)
{
  return (float)(mt_next (mt) & 0xffffffu) * 0x1p-24f;
}

static inline double
uniform_f64 (Mt19937 *mt)
{
  const uint64_t high = mt_next (mt), low = mt_next (mt);
  return (double)(((high << 32) | low) & 0x1fffffffffffffULL) * 0x1p-53;
}

/* Sixteen uniforms to sixteen normals, in place.  1 - u lies in (0, 1], so that the logarithm is
 * finite. The angle is rounded to f32 as it is there: at a radius of 5 that rounding is seen. */
static void
fill_16 (float *block)
{
  for (int i = 0; i < 8; i++)
    {
      const float u1 = 1.0f - block[i];
      const float angle = 6.283185307179586f * block[i + 8];
      const double radius = sqrt (-2.0 * sora_kit_log (u1));
      double s, c;
      sora_kit_sincos (angle, &s, &c);
      block[i] = (float)(radius * c);
      block[i + 8] = (float)(radius * s);
    }
}

struct SoraKitRng
{
  Mt19937 mt;
  float second; /* of a pair: the odd one of a small draw is kept for the next small draw */
  int has_second;
};

static void
draw_small (SoraKitRng *rng, float *out, size_t n)
{
  for (size_t i = 0; i < n; i++)
    {
      if (rng->has_second)
        {
          out[i] = rng->second;
          rng->has_second = 0;
          continue;
        }
      const double u1 = uniform_f64 (&rng->mt), u2 = uniform_f64 (&rng->mt);
      const double radius = sqrt (-2.0 * sora_kit_log (1.0 - u2));
      double s, c;
      sora_kit_sincos (6.283185307179586 * u1, &s, &c);
      out[i] = (float)(radius * c);
      rng->second = (float)(radius * s);
      rng->has_second = 1;
    }
}

static void
draw (SoraKitRng *rng, float *out, size_t n)
{
  if (n < 16)
    {
      draw_small (rng, out, n);
      return;
    }
  for (size_t i = 0; i < n; i++)
    out[i] = uniform_f32 (&rng->mt);
  for (size_t i = 0; i + 16 <= n; i += 16)
    fill_16 (out + i);
  if (n % 16 != 0)
    {
      float *last = out + n - 16;
      for (int i = 0; i < 16; i++)
        last[i] = uniform_f32 (&rng->mt);
      fill_16 (last);
    }
}

void
sora_kit_rng_torch_normal (uint64_t seed, float *out, size_t n)
{
  SoraKitRng rng = { .has_second = 0 };
  mt_seed (&rng.mt, (uint32_t)seed);
  draw (&rng, out, n);
}

SoraKitRng *
sora_kit_rng_torch_new (uint64_t seed)
{
  SoraKitRng *rng = calloc (1, sizeof *rng);
  if (rng != NULL)
    mt_seed (&rng->mt, (uint32_t)seed);
  return rng;
}

void
sora_kit_rng_free (SoraKitRng *rng)
{
  free (rng);
}

void
sora_kit_rng_next (SoraKitRng *rng, float *out, size_t n)
{
  draw (rng, out, n);
}

void
sora_kit_rng_skip (SoraKitRng *rng, size_t n)
{
  float unused[16];
  if (n < 16)
    {
      draw_small (rng, unused, n);
      return;
    }
  if (n % 16 != 0)
    n += 16;
  while (n-- > 0)
    (void)mt_next (&rng->mt);
}
