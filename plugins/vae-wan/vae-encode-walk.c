/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-encode-walk.c: a picture's way through the encoder.  Source: diffusers 0.42.1,
 * autoencoder_kl_wan.py: WanEncoder3d, WanResample's downsampling, WanResidualDownBlock and
 * AutoencoderKLWan._encode.
 */
#include "vae-private.h"

#include <string.h>

static int
stride (SoraVaeStream *s, int index, const SoraVaeFrame *from, const SoraVaeFrame *to)
{
  const SoraVaeLayer *layer = &s->coder->layers[index];
  sora_vae_count_flops (s, layer, to, 9);
  if (s->pool.pretend)
    {
      const uint64_t bytes = sora_kit_stride_conv_work (layer->ic, s->threads);
      s->work_bytes = bytes > s->work_bytes ? bytes : s->work_bytes;
      return SORA_OK;
    }
  return sora_kit_stride_conv_run (&s->coder->packed[index].stride, s->team,
                                   sora_vae_data (s, from->at), from->h, from->w,
                                   sora_vae_data (s, to->at), s->work);
}

/* Half the resolution; *x, unless it is to be kept, becomes the smaller one. */
static int
shrink (SoraVaeStream *s, int index, SoraVaeFrame *x, int keep)
{
  SoraVaeFrame y;
  int r = sora_vae_get_frame (s, x->h / 2, x->w / 2, x->c, &y);
  if (r == SORA_OK)
    r = stride (s, index, x, &y);
  if (!keep)
    sora_vae_put_frame (s, x);
  *x = y;
  return r;
}

static int
copy_frame (SoraVaeStream *s, const SoraVaeFrame *from, SoraVaeFrame *to)
{
  const int r = sora_vae_get_frame (s, from->h, from->w, from->c, to);
  if (r == SORA_OK && !s->pool.pretend)
    memcpy (sora_vae_data (s, to->at), sora_vae_data (s, from->at),
            (size_t)(from->h * from->w * sora_kit_pad16 (from->c)) * sizeof (float));
  return r;
}

/* One frame of two: the very first passes, and is remembered; after it every second one gives a sum
 * over itself and the two before, and the others end here: x->at is -1.  `around` (at: -1, none) is
 * what goes around the level, and of the first of two it is kept for the second. */
static int
thin_out (SoraVaeStream *s, int level, int index, SoraVaeFrame *x, const SoraVaeFrame *around)
{
  SoraVaePast *past = &s->past[index];
  const int residual = around->at >= 0;
  SoraVaeFrame y = { past->half, x->h, x->w, x->c };
  int r = SORA_OK;
  if (past->passed == 0)
    {
      r = copy_frame (s, x, &y);
      if (r == SORA_OK && residual)
        r = sora_vae_average (s, level, 1, 0, around, &y);
    }
  else if (past->passed == 1 && residual)
    {
      r = sora_vae_get_frame (s, x->h, x->w, x->c, &y);
      if (r == SORA_OK)
        r = sora_vae_average (s, level, 0, 1, around, &y);
    }
  else if (past->passed == 2)
    {
      r = residual ? sora_vae_average (s, level, 1, 0, around, &y)
                   : sora_vae_get_frame (s, x->h, x->w, x->c, &y);
      if (r == SORA_OK)
        r = sora_vae_point (s, index, x, residual ? &y : NULL, &y);
    }
  const int ends = past->passed == 1;
  past->half = ends ? y.at : -1;
  past->passed = ends ? 2 : 1;
  sora_vae_remember (s, index, x);
  *x = y;
  x->at = ends ? -1 : y.at;
  return r;
}

/* Levels `from` up to `to`.  *x may end on the way: x->at is -1. */
static int
walk_levels (SoraVaeStream *s, int from, int to, int *index, SoraVaeFrame *x)
{
  const SoraVaeConfig *config = &s->coder->config;
  int r = SORA_OK;
  for (int i = from; i < to; i++)
    {
      for (int j = 0; j < config->n_down_resnets && r == SORA_OK; j++)
        {
          r = sora_vae_resnet (s, index, x, 1, 0);
          if (r == SORA_OK && config->down_attention[i])
            r = sora_vae_attention (s, index, x);
        }
      if (i + 1 == config->n_blocks || r != SORA_OK)
        return r;
      r = sora_vae_crop (s, i, x);
      if (r == SORA_OK)
        r = shrink (s, (*index)++, x, 0);
      if (r == SORA_OK && sora_vae_downsamples_time (config, i))
        r = thin_out (s, i, (*index)++, x, &(SoraVaeFrame){ .at = -1 });
      if (r != SORA_OK || x->at < 0)
        return r;
    }
  return r;
}

/* A level of the residual form: blocks and downsampler, and around them its input. */
static int
walk_residual_level (SoraVaeStream *s, int level, int *index, SoraVaeFrame *x)
{
  const SoraVaeConfig *config = &s->coder->config;
  const int last = level + 1 == config->n_blocks;
  SoraVaeFrame around = *x;
  int r = SORA_OK;
  for (int i = 0; i < config->n_down_resnets && r == SORA_OK; i++)
    r = sora_vae_resnet (s, index, x, 1, i == 0);
  if (r == SORA_OK && !last)
    {
      const int same = x->at == around.at; /* without blocks */
      r = sora_vae_crop (s, level, x);
      if (same)
        around = *x;
      else if (r == SORA_OK)
        r = sora_vae_crop (s, level, &around);
      if (r == SORA_OK)
        r = shrink (s, (*index)++, x, same);
    }
  if (r == SORA_OK && !last && sora_vae_downsamples_time (config, level))
    r = thin_out (s, level, (*index)++, x, &around);
  else if (r == SORA_OK)
    r = sora_vae_average (s, level, 0, 0, &around, x);
  if (x->at != around.at)
    sora_vae_put_frame (s, &around);
  return r;
}

static int
walk_residual_levels (SoraVaeStream *s, int *index, SoraVaeFrame *x)
{
  int r = SORA_OK;
  for (int i = 0; i < s->coder->config.n_blocks && r == SORA_OK && x->at >= 0; i++)
    r = walk_residual_level (s, i, index, x);
  return r;
}

/* norm, SiLU, convolution to mean and deviation, and of them the mean. */
static int
finish (SoraVaeStream *s, int index, SoraVaeFrame *x, SoraVaeFrame *latents)
{
  const int64_t z = s->coder->config.z_dim;
  SoraVaeFrame both;
  int r = sora_vae_norm_frame (s, index, x, x, 1);
  if (r == SORA_OK)
    r = sora_vae_get_frame (s, x->h, x->w, 2 * z, &both);
  if (r != SORA_OK)
    return r;
  r = sora_vae_plane (s, index + 1, x, NULL, &both);
  sora_vae_remember (s, index + 1, x);
  if (r == SORA_OK)
    r = sora_vae_get_frame (s, both.h, both.w, z, latents);
  if (r == SORA_OK)
    r = sora_vae_point (s, index + 2, &both, NULL, latents);
  sora_vae_put_frame (s, &both);
  return r;
}

/* How many levels tiles can go through to their end. */
static int
tiled_levels (const SoraVaeCoder *coder)
{
  int n = 0;
  while (n < coder->config.n_blocks && !coder->config.down_attention[n])
    n++;
  return n;
}

int
sora_vae_encode_levels (SoraVaeStream *s, SoraVaeFrame picture, SoraVaeFrame *x)
{
  int index = 0;
  int r = sora_vae_get_frame (s, picture.h, picture.w, s->coder->config.down_dims[0], x);
  if (r == SORA_OK)
    r = sora_vae_plane (s, index, &picture, NULL, x);
  if (r != SORA_OK)
    return r;
  sora_vae_remember (s, index++, &picture);
  return s->coder->config.residual ? walk_residual_levels (s, &index, x)
                                   : walk_levels (s, 0, tiled_levels (s->coder), &index, x);
}

int
sora_vae_encode_rest (SoraVaeStream *s, SoraVaeFrame x, SoraVaeFrame *latents)
{
  const SoraVaeCoder *coder = s->coder;
  const int first = tiled_levels (coder);
  int index = first > 0 ? coder->levels.end : 1;
  *latents = (SoraVaeFrame){ .at = -1 };
  int r = walk_levels (s, first, coder->config.n_blocks, &index, &x);
  if (r != SORA_OK || x.at < 0)
    return r;
  r = sora_vae_middle (s, &index, &x);
  return r == SORA_OK ? finish (s, index, &x, latents) : r;
}
