/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-stream.c: one clip on its way through the decoder, or through a part of it.
 */
#include "vae-private.h"

#include <string.h>

/* What a denoiser gives, as the decoder wants it: channels innermost, times deviation, plus mean.
 */
static void
scale_latents (const SoraVaeStream *s, const float *latents, int64_t channel_step,
               const SoraVaeFrame *z)
{
  const SoraVaeConfig *config = &s->coder->config;
  const int64_t padded = sora_kit_pad16 (config->z_dim), n = s->h * s->w;
  float *to = sora_vae_data (s, z->at);
  memset (to, 0, (size_t)(n * padded) * sizeof *to);
  for (int64_t c = 0; c < config->z_dim; c++)
    for (int64_t i = 0; i < n; i++)
      to[i * padded + c] = latents[c * channel_step + i] * config->std[c] + config->mean[c];
}

int
sora_vae_stream_decode (SoraVaeStream *s, SoraKitTeam *team, const float *latents,
                        int64_t channel_step, SoraVaeFrameFunc take, void *data)
{
  SoraVaeFrame z, out;
  int r = sora_vae_part_prepare (s, team);
  if (r == SORA_OK)
    r = sora_vae_part_input (s, &z);
  if (r != SORA_OK)
    return r;
  s->take = take;
  s->data = data;
  scale_latents (s, latents, channel_step, &z);
  return sora_vae_part_walk (s, z, &out);
}

int
sora_vae_stream_begin (SoraVaeStream *s, SoraKitTeam *team, const float *latents,
                       int64_t channel_step, const float **x)
{
  SoraVaeFrame z, out;
  int r = sora_vae_part_prepare (s, team);
  if (r == SORA_OK)
    r = sora_vae_part_input (s, &z);
  if (r != SORA_OK)
    return r;
  scale_latents (s, latents, channel_step, &z);
  r = sora_vae_part_walk (s, z, &out);
  if (r != SORA_OK)
    return r;
  /* Nothing is written to it before the next call. */
  *x = sora_vae_data (s, out.at);
  sora_vae_put_frame (s, &out);
  return SORA_OK;
}

int
sora_vae_stream_finish (SoraVaeStream *s, SoraKitTeam *team, const float *x, SoraVaeFrameFunc take,
                        void *data)
{
  SoraVaeFrame in, out;
  int r = sora_vae_part_prepare (s, team);
  if (r == SORA_OK)
    r = sora_vae_part_input (s, &in);
  if (r != SORA_OK)
    return r;
  s->take = take;
  s->data = data;
  memcpy (sora_vae_data (s, in.at), x, (size_t)(in.h * in.w * sora_kit_pad16 (in.c)) * sizeof *x);
  return sora_vae_part_walk (s, in, &out);
}

int
sora_vae_estimate (const SoraVaeConfig *config, int64_t t, int64_t h, int64_t w, uint64_t *bytes,
                   double *flops)
{
  SoraVaeCoder *decoder = sora_vae_coder_new (config, SORA_VAE_DECODER);
  SoraVaeStream *s = decoder != NULL ? sora_vae_stream_new (decoder, h, w) : NULL;
  const int result = s != NULL ? sora_vae_stream_cost (s, t, bytes, flops) : -1;
  sora_vae_stream_free (s);
  sora_vae_coder_free (decoder);
  return result;
}
