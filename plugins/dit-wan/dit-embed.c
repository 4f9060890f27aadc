/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Patches, rotary tables, sinusoids.  Transcendental functions are the kit's own, the same bits on
 * every machine.
 */
#include "dit-embed.h"

#include "kit-math.h"

/* e^x for x <= 0. */
static double
decay (double x)
{
  return sora_kit_expm1 (x) + 1.0;
}

/* The frequency of each pair of a head, and the rows to fill with them. */
typedef struct
{
  const DitGeometry *geometry;
  int64_t pairs[3];
  double frequency[3][DIT_MAX_HEAD_DIM / 2];
  float *cosines, *sines;
} Rope;

static void
rope_rows (void *data, int64_t row, int64_t count)
{
  const Rope *r = data;
  const int64_t *grid = r->geometry->grid, half = r->pairs[0] + r->pairs[1] + r->pairs[2];
  float *cosines = r->cosines + row * half, *sines = r->sines + row * half;
  for (int64_t token = row; token < row + count; token++)
    {
      const int64_t position[3]
          = { token / grid[2] / grid[1], token / grid[2] % grid[1], token % grid[2] };
      for (int axis = 0; axis < 3; axis++)
        for (int64_t i = 0; i < r->pairs[axis]; i++)
          {
            double s, c;
            sora_kit_sincos ((double)position[axis] * r->frequency[axis][i], &s, &c);
            *cosines++ = (float)c;
            *sines++ = (float)s;
          }
    }
}

int
dit_rope_tables (const DitConfig *config, const DitGeometry *geometry, SoraKitTeam *team,
                 float *cosines, float *sines)
{
  int64_t half = config->head_dim / 2, of_space = config->head_dim / 6;
  Rope rope = { .geometry = geometry,
                .pairs = { half - 2 * of_space, of_space, of_space },
                .cosines = cosines,
                .sines = sines };
  for (int axis = 0; axis < 3; axis++)
    for (int64_t i = 0; i < rope.pairs[axis]; i++)
      rope.frequency[axis][i]
          = decay (-sora_kit_log (10000.0) * (double)i / (double)rope.pairs[axis]);
  return sora_kit_rows_parallel (team, geometry->tokens, 0, rope_rows, &rope);
}

void
dit_sinusoids (const DitConfig *config, float timestep, float *out)
{
  int64_t half = config->freq_dim / 2;
  for (int64_t i = 0; i < half; i++)
    {
      /* Every intermediate is f32 in the reference, and the angle is large: its rounding is part of
       * the result.  */
      float exponent = -9.210340371976184f * (float)i / (float)half;
      float angle = timestep * (float)decay ((double)exponent);
      double s, c;
      sora_kit_sincos ((double)angle, &s, &c);
      out[i] = (float)c;
      out[half + i] = (float)s;
    }
}

/* Goes over the values of a patch in the order (c, t, h, w) or (t, h, w, c), in one place.  */
static void
walk (const DitConfig *config, const DitGeometry *geometry, int channels_last, int64_t channels,
      const float *from, float *to, int gather)
{
  const int64_t *p = config->patch, *latent = geometry->latent;
  int64_t volume = p[0] * p[1] * p[2], width = channels * volume, row = 0;
  for (int64_t t = 0; t < geometry->grid[0]; t++)
    for (int64_t h = 0; h < geometry->grid[1]; h++)
      for (int64_t w = 0; w < geometry->grid[2]; w++, row++)
        for (int64_t c = 0; c < channels; c++)
          for (int64_t dt = 0; dt < p[0]; dt++)
            for (int64_t dh = 0; dh < p[1]; dh++)
              for (int64_t dw = 0; dw < p[2]; dw++)
                {
                  int64_t inner = (dt * p[1] + dh) * p[2] + dw;
                  int64_t at_row
                      = row * width + (channels_last ? inner * channels + c : c * volume + inner);
                  int64_t at
                      = ((c * latent[1] + t * p[0] + dt) * latent[2] + h * p[1] + dh) * latent[3]
                        + w * p[2] + dw;
                  if (gather)
                    to[at_row] = from[at];
                  else
                    to[at] = from[at_row];
                }
}

void
dit_patches (const DitConfig *config, const DitGeometry *geometry, const float *latents,
             float *rows)
{
  walk (config, geometry, 0, config->in_channels, latents, rows, 1);
}

void
dit_unpatch (const DitConfig *config, const DitGeometry *geometry, const float *rows,
             float *latents)
{
  walk (config, geometry, 1, config->out_channels, rows, latents, 0);
}
