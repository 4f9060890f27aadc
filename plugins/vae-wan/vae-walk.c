/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-walk.c: a frame's way through the decoder.  Source: diffusers 0.42.1, autoencoder_kl_wan.py:
 * WanDecoder3d and what it is made of, with its feature cache.  There, a chunk of frames goes
 * through a layer, and the cache holds what the next chunk needs; here the chunk is one frame
 * everywhere, which is the same sum: the caches begin as zeros, and the temporal upsampler, which
 * lets the very first frame pass alone, begins its own past after it.
 */
#include "vae-private.h"

#include "vae-math.h"

#include <math.h>

static float *
data_of (const SoraVaeStream *s, int at)
{
  return s->pool.frames[at].data;
}

int
sora_vae_get_frame (SoraVaeStream *s, int64_t h, int64_t w, int64_t c, SoraVaeFrame *frame)
{
  *frame = (SoraVaeFrame){ -1, h, w, c };
  frame->at = sora_vae_pool_get (&s->pool, (uint64_t)(h * w * sora_kit_pad16 (c)) * sizeof (float));
  if (frame->at < 0)
    return sora_kit_team_fail (s->team,
                               "no memory for a frame of %lld x %lld pixels, %lld channels",
                               (long long)w, (long long)h, (long long)c);
  return SORA_OK;
}

static void
put_frame (SoraVaeStream *s, const SoraVaeFrame *frame)
{
  sora_vae_pool_put (&s->pool, frame->at);
}

/* What layer `index` sees when `frame` is the newest. */
static SoraKitConvSource
source_of (const SoraVaeStream *s, int index, const SoraVaeFrame *frame)
{
  SoraKitConvSource source = { .count = 1, .h = frame->h, .w = frame->w };
  source.frames[0] = data_of (s, frame->at);
  for (int i = 0; i + 1 < s->decoder->layers[index].taps && s->past[index].frames[i] >= 0; i++)
    source.frames[source.count++] = data_of (s, s->past[index].frames[i]);
  return source;
}

/* The frame becomes the newest of the layer's past, which owns it from now on. */
static void
remember (SoraVaeStream *s, int index, const SoraVaeFrame *frame)
{
  SoraVaePast *past = &s->past[index];
  sora_vae_pool_put (&s->pool, past->frames[1]);
  past->frames[1] = past->frames[0];
  past->frames[0] = frame->at;
}

static void
count_flops (SoraVaeStream *s, const SoraVaeLayer *layer, const SoraVaeFrame *out, int square)
{
  s->flops
      += 2.0 * (double)(out->h * out->w) * (double)(layer->ic * layer->oc) * square * layer->taps;
}

/* ---- layers */

typedef struct
{
  const float *from;
  float *to;
  const float *gamma;
  int64_t channels;
  int silu;
} Norm;

static void
norm_rows (void *data, int64_t row, int64_t count)
{
  const Norm *n = data;
  sora_vae_norm (n->from + row * n->channels, n->to + row * n->channels, count, n->channels,
                 n->gamma, n->silu);
}

static int
norm (SoraVaeStream *s, int index, const SoraVaeFrame *from, const SoraVaeFrame *to, int silu)
{
  if (s->pool.pretend)
    return SORA_OK;
  Norm n = { data_of (s, from->at), data_of (s, to->at), s->decoder->packed[index].gamma,
             sora_kit_pad16 (from->c), silu };
  return sora_kit_rows_parallel (s->team, from->h * from->w, 131072 / n.channels, norm_rows, &n);
}

static int
plane (SoraVaeStream *s, int index, const SoraVaeFrame *from, const SoraVaeFrame *add,
       const SoraVaeFrame *to)
{
  const SoraVaeLayer *layer = &s->decoder->layers[index];
  count_flops (s, layer, to, 9);
  if (s->pool.pretend)
    {
      const uint64_t bytes
          = sora_kit_plane_conv_work (layer->ic, layer->oc, layer->taps, to->h, to->w, s->threads);
      s->work_bytes = bytes > s->work_bytes ? bytes : s->work_bytes;
      return SORA_OK;
    }
  const SoraKitConvSource source = source_of (s, index, from);
  return sora_kit_plane_conv_run (&s->decoder->packed[index].plane, s->team, &source,
                                  layer->upsamples, add != NULL ? data_of (s, add->at) : NULL,
                                  data_of (s, to->at), s->work);
}

static int
point (SoraVaeStream *s, int index, const SoraVaeFrame *from, const SoraVaeFrame *add,
       const SoraVaeFrame *to)
{
  count_flops (s, &s->decoder->layers[index], to, 1);
  if (s->pool.pretend)
    return SORA_OK;
  const SoraKitConvSource source = source_of (s, index, from);
  return sora_kit_point_conv_run (&s->decoder->packed[index].point, s->team, &source,
                                  add != NULL ? data_of (s, add->at) : NULL, data_of (s, to->at));
}

/* norm, SiLU, convolution, twice; then what came in is added.  Takes *x and gives another; *index
 * moves on. */
static int
resnet (SoraVaeStream *s, int *index, SoraVaeFrame *x)
{
  const int shortcut = s->decoder->layers[*index].kind == SORA_VAE_POINT;
  const int norm1 = *index + shortcut, conv1 = norm1 + 1, norm2 = norm1 + 2, conv2 = norm1 + 3;
  const int64_t oc = s->decoder->layers[conv1].oc;
  SoraVaeFrame a, h = { -1 }, y = *x;
  int r = sora_vae_get_frame (s, x->h, x->w, x->c, &a);
  if (r == SORA_OK && shortcut)
    {
      r = sora_vae_get_frame (s, x->h, x->w, oc, &y);
      if (r == SORA_OK)
        r = point (s, *index, x, NULL, &y);
    }
  if (r == SORA_OK)
    r = norm (s, norm1, x, &a, 1);
  if (shortcut)
    put_frame (s, x);
  if (r == SORA_OK)
    r = sora_vae_get_frame (s, a.h, a.w, oc, &h);
  if (r == SORA_OK)
    r = plane (s, conv1, &a, NULL, &h);
  if (r != SORA_OK)
    return r;
  remember (s, conv1, &a);
  r = norm (s, norm2, &h, &h, 1);
  if (r == SORA_OK)
    r = plane (s, conv2, &h, &y, &y);
  remember (s, conv2, &h);
  *x = y;
  *index = conv2 + 1;
  return r;
}

/* Self-attention of one head over the pixels of a frame; x = x + proj (attention (norm (x))). */
static int
attention (SoraVaeStream *s, int *index, SoraVaeFrame *x)
{
  const int64_t n = x->h * x->w, padded = sora_kit_pad16 (x->c);
  SoraVaeFrame a = { -1 }, q = { -1 }, k = { -1 }, v = { -1 };
  int r = sora_vae_get_frame (s, x->h, x->w, x->c, &a);
  if (r == SORA_OK)
    r = sora_vae_get_frame (s, x->h, x->w, x->c, &q);
  if (r == SORA_OK)
    r = sora_vae_get_frame (s, x->h, x->w, x->c, &k);
  if (r == SORA_OK)
    r = sora_vae_get_frame (s, x->h, x->w, x->c, &v);
  if (r == SORA_OK)
    r = norm (s, *index, x, &a, 0);
  if (r == SORA_OK)
    r = point (s, *index + 1, &a, NULL, &q);
  if (r == SORA_OK)
    r = point (s, *index + 2, &a, NULL, &k);
  if (r == SORA_OK)
    r = point (s, *index + 3, &a, NULL, &v);
  s->flops += 4.0 * (double)n * (double)n * (double)x->c;
  if (r == SORA_OK && !s->pool.pretend)
    {
      if (s->keys == NULL)
        s->keys = sora_kit_keys_new (s->cache, 1, x->c, n, s->team);
      r = s->keys == NULL ? SORA_FAILED
                          : sora_kit_keys_pack (s->keys, s->team, data_of (s, k.at), padded,
                                                data_of (s, v.at), padded);
      /* The padding of q is zero and stays so. */
      const SoraKitAttention over = { .queries = n,
                                      .q = data_of (s, q.at),
                                      .ldq = padded,
                                      .out = data_of (s, q.at),
                                      .ldo = padded,
                                      .scale = 1.0f / sqrtf ((float)x->c) };
      if (r == SORA_OK)
        r = sora_kit_attention (s->keys, s->team, &over);
    }
  if (r == SORA_OK)
    r = point (s, *index + 4, &q, x, x);
  put_frame (s, &a);
  put_frame (s, &q);
  put_frame (s, &k);
  put_frame (s, &v);
  *index += 5;
  return r;
}

static int
picture (SoraVaeStream *s, int index, SoraVaeFrame *x)
{
  int r = norm (s, index, x, x, 1);
  const SoraVaeFrame out = { -1, x->h, x->w, 3 };
  count_flops (s, &s->decoder->layers[index + 1], &out, 9);
  if (r == SORA_OK && !s->pool.pretend)
    {
      const SoraKitConvSource source = source_of (s, index + 1, x);
      r = sora_kit_few_conv_run (&s->decoder->packed[index + 1].few, s->team, &source, s->rgb,
                                 s->work);
      if (r == SORA_OK)
        r = s->take (s->team, s->data, s->rgb);
    }
  remember (s, index + 1, x);
  return r;
}

static int walk_block (SoraVaeStream *s, int block, int index, SoraVaeFrame x);

/* The frame at twice the resolution, and on to the next block. */
static int
walk_resample (SoraVaeStream *s, int block, int index, SoraVaeFrame x)
{
  SoraVaeFrame y;
  int r = sora_vae_get_frame (s, 2 * x.h, 2 * x.w, s->decoder->layers[index].oc, &y);
  if (r == SORA_OK)
    r = plane (s, index, &x, NULL, &y);
  put_frame (s, &x);
  return r == SORA_OK ? walk_block (s, block + 1, index + 1, y) : r;
}

/* Two frames of one, but for the very first, which passes and leaves no trace: the next one sees
 * zeros before it. */
static int
walk_time (SoraVaeStream *s, int block, int index, SoraVaeFrame x)
{
  if (!s->past[index].passed)
    {
      s->past[index].passed = 1;
      return walk_resample (s, block, index + 2, x);
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
        r = point (s, index + i, &x, NULL, &halves[i]);
    }
  remember (s, index, &x);
  if (r == SORA_OK)
    r = walk_resample (s, block, index + 2, halves[0]);
  return r == SORA_OK ? walk_resample (s, block, index + 2, halves[1]) : r;
}

static int
walk_block (SoraVaeStream *s, int block, int index, SoraVaeFrame x)
{
  const SoraVaeConfig *config = &s->decoder->config;
  int r = SORA_OK;
  for (int i = 0; i < config->n_resnets && r == SORA_OK; i++)
    r = resnet (s, &index, &x);
  if (r != SORA_OK)
    return r;
  if (block + 1 == config->n_blocks)
    return picture (s, index, &x);
  return config->upsample_time[block] ? walk_time (s, block, index, x)
                                      : walk_resample (s, block, index, x);
}

int
sora_vae_walk (SoraVaeStream *s, SoraVaeFrame z)
{
  const SoraVaeConfig *config = &s->decoder->config;
  SoraVaeFrame y, x = { -1 };
  int index = 0;
  int r = sora_vae_get_frame (s, s->h, s->w, config->z_dim, &y);
  if (r == SORA_OK)
    r = point (s, index++, &z, NULL, &y);
  put_frame (s, &z);
  if (r == SORA_OK)
    r = sora_vae_get_frame (s, s->h, s->w, config->dims[0], &x);
  if (r == SORA_OK)
    r = plane (s, index, &y, NULL, &x);
  if (r != SORA_OK)
    return r;
  remember (s, index++, &y);
  r = resnet (s, &index, &x);
  if (r == SORA_OK)
    r = attention (s, &index, &x);
  if (r == SORA_OK)
    r = resnet (s, &index, &x);
  return r == SORA_OK ? walk_block (s, 0, index, x) : r;
}
