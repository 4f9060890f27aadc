/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-encode.c: one clip on its way to latents: its memory, its frames, and what it will cost.
 */
#include "vae-private.h"

#include "kit-memory.h"

#include <math.h>
#include <string.h>

/* A picture to -1…1 in a frame of the pool. */
typedef struct
{
  const void *rgb;
  int dtype;
  float *to;
  _Atomic int bad;
} Convert;

/* What is outside by more than a filter's rounding was made for another range. */
static const float least = -0.01f, most = 1.01f;

static void
convert_pixels (void *data, int64_t first, int64_t count)
{
  Convert *c = data;
  const uint8_t *bytes = c->rgb;
  const float *numbers = c->rgb;
  float *to = c->to + first * 16;
  int bad = 0;
  memset (to, 0, (size_t)(count * 16) * sizeof *to);
  for (int64_t i = first; i < first + count; i++, to += 16)
    for (int k = 0; k < 3; k++)
      {
        const float x
            = c->dtype == SORA_F32 ? numbers[3 * i + k] : (float)bytes[3 * i + k] / 255.0f;
        bad |= !(x >= least && x <= most);
        to[k] = 2.0f * x - 1.0f;
      }
  if (bad)
    c->bad = 1;
}

/* Memory that all frames share, sized by a walk that only counts. */
static int
prepare (SoraVaeStream *s, SoraKitTeam *team)
{
  if (s->work != NULL && team->threads <= s->threads)
    return SORA_OK;
  sora_kit_free (s->work);
  s->work = NULL;
  SoraVaeStream *model = sora_vae_stream_new (s->coder, s->h, s->w);
  if (model == NULL)
    return sora_kit_team_fail (team, "no memory to encode");
  model->pool.pretend = 1;
  model->team = team;
  model->threads = team->threads;
  SoraVaeFrame picture, latents;
  int r = sora_vae_get_frame (model, s->h, s->w, 3, &picture);
  if (r == SORA_OK)
    r = sora_vae_encode_walk (model, picture, &latents);
  s->work_bytes = model->work_bytes;
  sora_vae_stream_free (model);
  if (r != SORA_OK)
    return r;
  s->threads = team->threads;
  s->work = sora_kit_alloc (s->work_bytes, 1);
  if (s->cache == NULL)
    s->cache = sora_kit_cache_new ();
  if (s->work == NULL || s->cache == NULL)
    return sora_kit_team_fail (team, "no memory to encode frames of %lld x %lld pixels",
                               (long long)s->w, (long long)s->h);
  return SORA_OK;
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

int
sora_vae_encode_frame (SoraVaeStream *s, SoraKitTeam *team, const void *rgb, int dtype,
                       float *latents, int64_t channel_step, int *complete)
{
  SoraVaeFrame picture, out = { .at = -1 };
  *complete = 0;
  s->team = team;
  int r = prepare (s, team);
  if (r == SORA_OK)
    r = sora_vae_get_frame (s, s->h, s->w, 3, &picture);
  if (r != SORA_OK)
    return r;
  Convert convert = { rgb, dtype, sora_vae_data (s, picture.at), 0 };
  r = sora_kit_rows_parallel (team, s->h * s->w, 16384, convert_pixels, &convert);
  if (r != SORA_OK)
    return r;
  if (convert.bad)
    return sora_kit_team_fail (team, "input 'frames' has a value that is not in 0 to 1");
  r = sora_vae_encode_walk (s, picture, &out);
  if (r != SORA_OK || out.at < 0)
    return r;
  r = unpack (s, &out, latents, channel_step);
  sora_vae_put_frame (s, &out);
  *complete = r == SORA_OK;
  return r;
}

/* One frame of a stream that pretends. */
static int
count_frame (SoraVaeStream *s)
{
  SoraVaeFrame picture, latents;
  if (sora_vae_get_frame (s, s->h, s->w, 3, &picture) != SORA_OK
      || sora_vae_encode_walk (s, picture, &latents) != SORA_OK)
    return -1;
  sora_vae_put_frame (s, &latents);
  return 0;
}

int
sora_vae_encode_estimate (const SoraVaeConfig *config, int64_t t, int64_t h, int64_t w,
                          uint64_t *bytes, double *flops)
{
  SoraVaeCoder *encoder = sora_vae_coder_new (config, SORA_VAE_ENCODER);
  SoraVaeStream *s = encoder != NULL ? sora_vae_stream_new (encoder, h, w) : NULL;
  int result = s != NULL ? 0 : -1;
  if (s != NULL)
    {
      /* From the third latent on every one costs the same, and all pasts are there after the
       * fourth. */
      const int64_t walked = sora_kit_min (t, 4);
      double before = 0;
      s->pool.pretend = 1;
      s->threads = sora_kit_threads_expected ();
      for (int64_t i = 0; i < walked && result == 0; i++)
        {
          before = s->flops;
          for (int64_t j = 0; j < (i == 0 ? 1 : config->temporal) && result == 0; j++)
            result = count_frame (s);
        }
      int64_t widest = 0;
      for (int i = 0; i < s->n_keys; i++)
        widest = s->keys[i].c > widest ? s->keys[i].c : widest;
      /* The list of layers, the stream itself, and the one that sizes its work. */
      const uint64_t lists
          = (uint64_t)encoder->n * (sizeof *encoder->layers + sizeof *encoder->packed);
      *bytes = lists + 2 * sizeof *s + s->pool.bytes + s->work_bytes + s->keys_bytes
               + (uint64_t)s->threads * sora_kit_thread_bytes (widest);
      *flops = s->flops + (s->flops - before) * (double)(t - walked);
    }
  sora_vae_stream_free (s);
  sora_vae_coder_free (encoder);
  return result;
}
