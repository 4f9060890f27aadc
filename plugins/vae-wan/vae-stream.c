/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-stream.c: one clip: its memory, its latents, and what it will cost.
 */
#include "vae-private.h"

#include "kit-memory.h"

#include <stdlib.h>
#include <string.h>

SoraVaeStream *
sora_vae_stream_new (const SoraVaeCoder *coder, int64_t h, int64_t w)
{
  SoraVaeStream *s = calloc (1, sizeof *s);
  if (s == NULL)
    return NULL;
  s->coder = coder;
  s->h = h;
  s->w = w;
  for (int i = 0; i < SORA_VAE_MAX_LAYERS; i++)
    s->past[i].frames[0] = s->past[i].frames[1] = -1;
  return s;
}

void
sora_vae_stream_free (SoraVaeStream *s)
{
  if (s == NULL)
    return;
  sora_vae_pool_clear (&s->pool);
  for (int i = 0; i < s->n_keys; i++)
    sora_kit_keys_free (s->keys[i].keys);
  sora_kit_cache_free (s->cache);
  sora_kit_free (s->work);
  sora_kit_free (s->rgb);
  free (s);
}

/* Memory that all frames share, sized by a walk that only counts. */
static int
prepare (SoraVaeStream *s, SoraKitTeam *team)
{
  if (s->work != NULL && team->threads <= s->threads)
    return SORA_OK;
  sora_kit_free (s->work);
  sora_kit_free (s->rgb);
  s->work = NULL;
  s->rgb = NULL;
  SoraVaeStream *model = sora_vae_stream_new (s->coder, s->h, s->w);
  if (model == NULL)
    return sora_kit_team_fail (team, "no memory to decode");
  model->pool.pretend = 1;
  model->team = team;
  model->threads = team->threads;
  SoraVaeFrame z;
  int r = sora_vae_get_frame (model, s->h, s->w, s->coder->config.z_dim, &z);
  if (r == SORA_OK)
    r = sora_vae_walk (model, z);
  const SoraVaeConfig *config = &s->coder->config;
  const int64_t width = s->w * config->spatial, height = s->h * config->spatial;
  const uint64_t few = sora_kit_few_conv_work (3, width, team->threads);
  s->work_bytes = model->work_bytes > few ? model->work_bytes : few;
  sora_vae_stream_free (model);
  if (r != SORA_OK)
    return r;
  s->threads = team->threads;
  s->work = sora_kit_alloc (s->work_bytes, 1);
  s->rgb = sora_kit_alloc ((uint64_t)(width * height * 3), sizeof (float));
  if (s->cache == NULL)
    s->cache = sora_kit_cache_new ();
  if (s->work == NULL || s->rgb == NULL || s->cache == NULL)
    return sora_kit_team_fail (team, "no memory to decode frames of %lld x %lld pixels",
                               (long long)width, (long long)height);
  return SORA_OK;
}

int
sora_vae_stream_decode (SoraVaeStream *s, SoraKitTeam *team, const float *latents,
                        int64_t channel_step, SoraVaeFrameFunc take, void *data)
{
  const SoraVaeConfig *config = &s->coder->config;
  s->team = team;
  s->take = take;
  s->data = data;
  int r = prepare (s, team);
  SoraVaeFrame z;
  if (r == SORA_OK)
    r = sora_vae_get_frame (s, s->h, s->w, config->z_dim, &z);
  if (r != SORA_OK)
    return r;
  const int64_t padded = sora_kit_pad16 (config->z_dim), n = s->h * s->w;
  float *to = s->pool.frames[z.at].data;
  memset (to, 0, (size_t)(n * padded) * sizeof *to);
  for (int64_t c = 0; c < config->z_dim; c++)
    for (int64_t i = 0; i < n; i++)
      to[i * padded + c] = latents[c * channel_step + i] * config->std[c] + config->mean[c];
  return sora_vae_walk (s, z);
}

int
sora_vae_estimate (const SoraVaeConfig *config, int64_t t, int64_t h, int64_t w, uint64_t *bytes,
                   double *flops)
{
  SoraVaeCoder *decoder = sora_vae_coder_new (config, SORA_VAE_DECODER);
  SoraVaeStream *s = decoder != NULL ? sora_vae_stream_new (decoder, h, w) : NULL;
  int result = -1;
  if (s != NULL)
    {
      /* From the third latent frame on every one costs the same, and all pasts are there after the
       * fourth. */
      const int64_t walked = t < 4 ? t : 4;
      double last = 0;
      s->pool.pretend = 1;
      s->threads = sora_kit_threads_expected ();
      result = 0;
      for (int64_t i = 0; i < walked && result == 0; i++)
        {
          const double before = s->flops;
          SoraVaeFrame z;
          result = sora_vae_get_frame (s, h, w, config->z_dim, &z) == SORA_OK
                           && sora_vae_walk (s, z) == SORA_OK
                       ? 0
                       : -1;
          last = s->flops - before;
        }
      const uint64_t width = (uint64_t)(w * config->spatial),
                     height = (uint64_t)(h * config->spatial);
      const uint64_t few = sora_kit_few_conv_work (3, (int64_t)width, s->threads);
      *bytes = s->pool.bytes + (s->work_bytes > few ? s->work_bytes : few)
               + width * height * 3 * sizeof (float) + s->keys_bytes
               + (uint64_t)s->threads * sora_kit_thread_bytes (config->dims[0]);
      *flops = s->flops + last * (double)(t - walked);
    }
  sora_vae_stream_free (s);
  sora_vae_coder_free (decoder);
  return result;
}
