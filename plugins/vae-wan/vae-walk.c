/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-walk.c: a frame's way through the decoder.  Source: diffusers 0.42.1, autoencoder_kl_wan.py:
 * WanDecoder3d and what it is made of, with its feature cache (vae-blocks.c).  The caches begin as
 * zeros, and the temporal upsampler, which lets the very first frame pass alone, begins its own
 * past after it.  In the residual form, what went into a block is added behind it (vae-shortcut.c).
 */
#include "vae-private.h"

#include "vae-math.h"

static int
few (SoraVaeStream *s, int index, const SoraVaeFrame *x)
{
  const SoraVaeFrame out = { -1, x->h, x->w, 3 };
  sora_vae_count_flops (s, &s->coder->layers[index], &out, 9);
  if (s->pool.pretend)
    {
      const uint64_t bytes = sora_kit_few_conv_work (3, x->w, s->threads);
      s->work_bytes = bytes > s->work_bytes ? bytes : s->work_bytes;
      return SORA_OK;
    }
  const SoraKitConvSource source = sora_vae_source (s, index, x);
  return sora_kit_few_conv_run (&s->coder->packed[index].few, s->team, &source, s->rgb, s->work);
}

typedef struct
{
  const float *from;
  float *rgb;
  int64_t w, patch;
} Unpatch;

static void
unpatch_rows (void *data, int64_t row, int64_t count)
{
  const Unpatch *u = data;
  const int64_t from_step = u->w * sora_kit_pad16 (3 * u->patch * u->patch),
                rgb_step = u->w * u->patch * u->patch * 3;
  for (int64_t i = row; i < row + count; i++)
    sora_vae_unpatch_row (u->from + i * from_step, u->w, u->patch, u->rgb + i * rgb_step);
}

static int
patches (SoraVaeStream *s, int index, const SoraVaeFrame *x)
{
  SoraVaeFrame y;
  int r = sora_vae_get_frame (s, x->h, x->w, s->coder->layers[index].oc, &y);
  if (r == SORA_OK)
    r = sora_vae_plane (s, index, x, NULL, &y);
  if (r == SORA_OK && !s->pool.pretend)
    {
      Unpatch unpatch = { sora_vae_data (s, y.at), s->rgb, y.w, s->coder->config.patch };
      r = sora_kit_rows_parallel (s->team, y.h, 1 + 16384 / y.w, unpatch_rows, &unpatch);
    }
  sora_vae_put_frame (s, &y);
  return r;
}

static int
picture (SoraVaeStream *s, int index, SoraVaeFrame *x)
{
  int r = sora_vae_norm_frame (s, index, x, x, 1);
  if (r == SORA_OK)
    r = s->coder->config.patch == 1 ? few (s, index + 1, x) : patches (s, index + 1, x);
  if (r == SORA_OK && !s->pool.pretend)
    r = s->take (s->team, s->data, s->rgb);
  sora_vae_remember (s, index + 1, x);
  return r;
}

/* What goes around a block: its input, or none: `at` is -1. */
typedef struct
{
  SoraVaeFrame frame;
  int time; /* the frame of two that comes out */
  int last; /* it is not needed again */
} Around;

static int walk_block (SoraVaeStream *s, int block, int index, SoraVaeFrame x);

/* The frame at twice the resolution, and on to the next block. */
static int
walk_resample (SoraVaeStream *s, int block, int index, SoraVaeFrame x, const Around *around)
{
  const int residual = around->frame.at >= 0;
  SoraVaeFrame y;
  int r = sora_vae_get_frame (s, 2 * x.h, 2 * x.w, s->coder->layers[index].oc, &y);
  if (r == SORA_OK && residual)
    r = sora_vae_repeat (s, block, around->time, &around->frame, &y);
  if (r == SORA_OK)
    r = sora_vae_plane (s, index, &x, residual ? &y : NULL, &y);
  sora_vae_put_frame (s, &x);
  if (around->last)
    sora_vae_put_frame (s, &around->frame);
  return r == SORA_OK ? walk_block (s, block + 1, index + 1, y) : r;
}

/* Two frames of one, but for the very first, which passes and leaves no trace: the next one sees
 * zeros before it. */
static int
walk_time (SoraVaeStream *s, int block, int index, SoraVaeFrame x, SoraVaeFrame around)
{
  const Around first = { around, 0, 0 }, second = { around, 1, 1 };
  if (!s->past[index].passed)
    {
      s->past[index].passed = 1;
      return walk_resample (s, block, index + 2, x, &second);
    }
  SoraVaeFrame halves[2];
  int r = SORA_OK;
  for (int i = 0; i < 2 && r == SORA_OK; i++)
    {
      r = sora_vae_get_frame (s, x.h, x.w, x.c, &halves[i]);
      if (r == SORA_OK
          && i == 1) /* both halves look at one past: it is kept with the first's layer */
        s->past[index + 1] = s->past[index];
      if (r == SORA_OK)
        r = sora_vae_point (s, index + i, &x, NULL, &halves[i]);
    }
  sora_vae_remember (s, index, &x);
  if (r == SORA_OK)
    r = walk_resample (s, block, index + 2, halves[0], &first);
  return r == SORA_OK ? walk_resample (s, block, index + 2, halves[1], &second) : r;
}

static int
walk_block (SoraVaeStream *s, int block, int index, SoraVaeFrame x)
{
  const SoraVaeConfig *config = &s->coder->config;
  const int last = block + 1 == config->n_blocks, residual = config->residual && !last;
  Around around = { residual ? x : (SoraVaeFrame){ .at = -1 }, 0, 1 };
  int r = SORA_OK;
  for (int i = 0; i < config->n_resnets && r == SORA_OK; i++)
    r = sora_vae_resnet (s, &index, &x, residual && i == 0);
  if (r != SORA_OK)
    return r;
  if (last)
    return picture (s, index, &x);
  r = sora_vae_crop (s, block, &x);
  if (r == SORA_OK && residual)
    r = sora_vae_crop (s, block, &around.frame);
  if (r != SORA_OK)
    return r;
  return config->upsample_time[block] ? walk_time (s, block, index, x, around.frame)
                                      : walk_resample (s, block, index, x, &around);
}

int
sora_vae_walk_middle (SoraVaeStream *s, SoraVaeFrame z, SoraVaeFrame *x)
{
  const SoraVaeConfig *config = &s->coder->config;
  const int64_t h = z.h, w = z.w;
  SoraVaeFrame y;
  int index = 0;
  int r = sora_vae_get_frame (s, h, w, config->z_dim, &y);
  if (r == SORA_OK)
    r = sora_vae_point (s, index++, &z, NULL, &y);
  sora_vae_put_frame (s, &z);
  if (r == SORA_OK)
    r = sora_vae_get_frame (s, h, w, config->dims[0], x);
  if (r == SORA_OK)
    r = sora_vae_plane (s, index, &y, NULL, x);
  if (r != SORA_OK)
    return r;
  sora_vae_remember (s, index++, &y);
  return sora_vae_middle (s, &index, x);
}

int
sora_vae_walk_levels (SoraVaeStream *s, SoraVaeFrame x)
{
  return walk_block (s, 0, s->coder->levels.first, x);
}
