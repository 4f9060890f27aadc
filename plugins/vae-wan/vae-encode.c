/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-encode.c: one clip on its way through the encoder, or through a part of it.
 */
#include "vae-private.h"

#include <math.h>
#include <string.h>

/* A picture to -1…1 in a frame of the pool, a patch of it where the frame has a pixel. */
typedef struct
{
  const void *rgb;
  int dtype;
  int64_t w, patch; /* w: of the frame */
  float *to;
  _Atomic int bad;
} Convert;

/* What is outside by more than a filter's rounding was made for another range. */
static const float least = -0.01f, most = 1.01f;

static void
convert_pixels (void *data, int64_t first, int64_t count)
{
  Convert *c = data;
  const int64_t patch = c->patch, padded = sora_kit_pad16 (3 * patch * patch);
  const uint8_t *bytes = c->rgb;
  const float *numbers = c->rgb;
  float *to = c->to + first * padded;
  int bad = 0;
  memset (to, 0, (size_t)(count * padded) * sizeof *to);
  for (int64_t i = first; i < first + count; i++, to += padded)
    for (int64_t row = 0; row < patch; row++)
      for (int64_t column = 0; column < patch; column++)
        {
          const int64_t at = ((i / c->w * patch + row) * c->w + i % c->w) * patch + column;
          for (int k = 0; k < 3; k++)
            {
              const float x
                  = c->dtype == SORA_F32 ? numbers[3 * at + k] : (float)bytes[3 * at + k] / 255.0f;
              bad |= !(x >= least && x <= most);
              to[(k * patch + column) * patch + row] = 2.0f * x - 1.0f;
            }
        }
  if (bad)
    c->bad = 1;
}

/* Normalised as the reference's pipelines do it, and channels before pixels. */
static int
unpack (SoraVaeStream *s, const SoraVaeFrame *from, float *to, int64_t channel_step)
{
  const SoraVaeConfig *config = &s->coder->config;
  const int64_t padded = sora_kit_pad16 (config->z_dim), n = from->h * from->w;
  const float *x = sora_vae_data (s, from->at);
  int bad = 0;
  for (int64_t c = 0; c < config->z_dim; c++)
    {
      const float scale = 1.0f / config->std[c];
      for (int64_t i = 0; i < n; i++)
        {
          const float y = (x[i * padded + c] - config->mean[c]) * scale;
          bad |= !isfinite (y);
          to[c * channel_step + i] = y;
        }
    }
  if (bad)
    return sora_kit_team_fail (
        s->team, "the encoder gave no number (NaN or infinity): are the weights whole?");
  return SORA_OK;
}

/* The next picture, -1…1, as the encoder's first layer wants it. */
static int
take_picture (SoraVaeStream *s, SoraKitTeam *team, const void *rgb, int dtype,
              SoraVaeFrame *picture)
{
  int r = sora_vae_part_prepare (s, team);
  if (r == SORA_OK)
    r = sora_vae_part_input (s, picture);
  if (r != SORA_OK)
    return r;
  Convert convert
      = { rgb, dtype, picture->w, s->coder->config.patch, sora_vae_data (s, picture->at), 0 };
  r = sora_kit_rows_parallel (team, picture->h * picture->w, 16384, convert_pixels, &convert);
  if (r == SORA_OK && convert.bad)
    r = sora_kit_team_fail (team, "input 'frames' has a value that is not in 0 to 1");
  return r;
}

int
sora_vae_encode_frame (SoraVaeStream *s, SoraKitTeam *team, const void *rgb, int dtype,
                       float *latents, int64_t channel_step, int *complete)
{
  SoraVaeFrame picture, out = { .at = -1 };
  *complete = 0;
  int r = take_picture (s, team, rgb, dtype, &picture);
  if (r == SORA_OK)
    r = sora_vae_part_walk (s, picture, &out);
  if (r != SORA_OK || out.at < 0)
    return r;
  r = unpack (s, &out, latents, channel_step);
  sora_vae_put_frame (s, &out);
  *complete = r == SORA_OK;
  return r;
}

int
sora_vae_encode_begin (SoraVaeStream *s, SoraKitTeam *team, const void *rgb, int dtype,
                       const float **x)
{
  SoraVaeFrame picture, out = { .at = -1 };
  *x = NULL;
  int r = take_picture (s, team, rgb, dtype, &picture);
  if (r == SORA_OK)
    r = sora_vae_part_walk (s, picture, &out);
  if (r != SORA_OK || out.at < 0)
    return r;
  /* Nothing is written to it before the next call. */
  *x = sora_vae_data (s, out.at);
  sora_vae_put_frame (s, &out);
  return SORA_OK;
}

int
sora_vae_encode_finish (SoraVaeStream *s, SoraKitTeam *team, const float *x, float *latents,
                        int64_t channel_step, int *complete)
{
  SoraVaeFrame in, out = { .at = -1 };
  *complete = 0;
  int r = sora_vae_part_prepare (s, team);
  if (r == SORA_OK)
    r = sora_vae_part_input (s, &in);
  if (r != SORA_OK)
    return r;
  memcpy (sora_vae_data (s, in.at), x, (size_t)(in.h * in.w * sora_kit_pad16 (in.c)) * sizeof *x);
  r = sora_vae_part_walk (s, in, &out);
  if (r != SORA_OK || out.at < 0)
    return r;
  r = unpack (s, &out, latents, channel_step);
  sora_vae_put_frame (s, &out);
  *complete = r == SORA_OK;
  return r;
}

int
sora_vae_encode_estimate (const SoraVaeConfig *config, int64_t t, int64_t h, int64_t w,
                          uint64_t *bytes, double *flops)
{
  SoraVaeCoder *encoder = sora_vae_coder_new (config, SORA_VAE_ENCODER);
  SoraVaeStream *s = encoder != NULL ? sora_vae_stream_new (encoder, h, w) : NULL;
  const int result = s != NULL ? sora_vae_stream_cost (s, t, bytes, flops) : -1;
  sora_vae_stream_free (s);
  sora_vae_coder_free (encoder);
  return result;
}
