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

/* Frames that go on together: those that follow from one frame where time is upsampled, or one. */
typedef struct
{
  SoraVaeFrame frames[2];
  int n;
} Frames;

static int walk_block (SoraVaeStream *s, int block, int index, Frames x);

/* The frame at twice the resolution; what goes around the block, of it the frame `time` of those
 * that come out, is added. */
static int
resample (SoraVaeStream *s, int block, int index, const SoraVaeFrame *x, const SoraVaeFrame *around,
          int time, SoraVaeFrame *y)
{
  const int residual = around->at >= 0;
  int r = sora_vae_get_frame (s, 2 * x->h, 2 * x->w, s->coder->layers[index].oc, y);
  if (r == SORA_OK && residual)
    r = sora_vae_repeat (s, block, time, around, y);
  if (r == SORA_OK)
    r = sora_vae_plane (s, index, x, residual ? y : NULL, y);
  sora_vae_put_frame (s, x);
  return r;
}

/* Two frames of one, but for the very first, which passes and leaves no trace: the next one sees
 * zeros before it. */
static int
walk_time (SoraVaeStream *s, int block, int index, SoraVaeFrame x, SoraVaeFrame around)
{
  Frames next = { .n = 1 };
  int r = SORA_OK;
  if (!s->past[index].passed)
    {
      s->past[index].passed = 1;
      r = resample (s, block, index + 2, &x, &around, 1, &next.frames[0]);
    }
  else
    {
      next.n = 2;
      for (int i = 0; i < 2 && r == SORA_OK; i++)
        {
          SoraVaeFrame half;
          r = sora_vae_get_frame (s, x.h, x.w, x.c, &half);
          if (r == SORA_OK
              && i == 1) /* both halves look at one past: it is kept with the first's layer */
            s->past[index + 1] = s->past[index];
          if (r == SORA_OK)
            r = sora_vae_point (s, index + i, &x, NULL, &half);
          if (r == SORA_OK)
            r = resample (s, block, index + 2, &half, &around, i, &next.frames[i]);
        }
      sora_vae_remember (s, index, &x);
    }
  sora_vae_put_frame (s, &around);
  return r == SORA_OK ? walk_block (s, block + 1, index + 3, next) : r;
}

static int
walk_space (SoraVaeStream *s, int block, int index, const Frames *x, const Frames *around)
{
  Frames next = { .n = x->n };
  int r = SORA_OK;
  for (int i = 0; i < x->n && r == SORA_OK; i++)
    {
      r = resample (s, block, index, &x->frames[i], &around->frames[i], 0, &next.frames[i]);
      sora_vae_put_frame (s, &around->frames[i]);
    }
  return r == SORA_OK ? walk_block (s, block + 1, index + 1, next) : r;
}

static int
walk_block (SoraVaeStream *s, int block, int index, Frames x)
{
  const SoraVaeConfig *config = &s->coder->config;
  const int last = block + 1 == config->n_blocks, residual = config->residual && !last;
  Frames around = x; /* what goes around it: its input, or none: `at` is -1 */
  int r = SORA_OK;
  for (int i = 0; i < x.n && !residual; i++)
    around.frames[i].at = -1;
  for (int i = 0; i < config->n_resnets && r == SORA_OK; i++)
    r = sora_vae_resnet (s, &index, x.frames, x.n, residual && i == 0);
  for (int i = 0; i < x.n && !last && r == SORA_OK; i++)
    {
      r = sora_vae_crop (s, block, &x.frames[i]);
      if (r == SORA_OK && residual)
        r = sora_vae_crop (s, block, &around.frames[i]);
    }
  if (last)
    for (int i = 0; i < x.n && r == SORA_OK; i++)
      r = picture (s, index, &x.frames[i]);
  else if (!config->upsample_time[block])
    return r == SORA_OK ? walk_space (s, block, index, &x, &around) : r;
  else
    for (int i = 0; i < x.n && r == SORA_OK; i++)
      r = walk_time (s, block, index, x.frames[i], around.frames[i]);
  return r;
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
  return walk_block (s, 0, s->coder->levels.first, (Frames){ { x }, 1 });
}
