/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-blocks.c: what decoder and encoder are made of, a frame at a time.  Source: diffusers 0.42.1,
 * autoencoder_kl_wan.py: WanCausalConv3d, WanRMS_norm, WanResidualBlock and WanAttentionBlock with
 * their feature cache.  There, a chunk of frames goes through a layer, and the cache holds what the
 * next chunk needs; here the chunk is one frame everywhere, which is the same sum.
 */
#include "vae-private.h"

#include "vae-math.h"

#include <math.h>

float *
sora_vae_data (const SoraVaeStream *s, int at)
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

void
sora_vae_put_frame (SoraVaeStream *s, const SoraVaeFrame *frame)
{
  sora_vae_pool_put (&s->pool, frame->at);
}

/* What layer `index` sees when `frame` is the newest. */
SoraKitConvSource
sora_vae_source (const SoraVaeStream *s, int index, const SoraVaeFrame *frame)
{
  SoraKitConvSource source = { .count = 1, .h = frame->h, .w = frame->w };
  source.frames[0] = sora_vae_data (s, frame->at);
  for (int i = 0; i + 1 < s->coder->layers[index].taps && s->past[index].frames[i] >= 0; i++)
    source.frames[source.count++] = sora_vae_data (s, s->past[index].frames[i]);
  return source;
}

/* The frame becomes the newest of the layer's past, which owns it from now on. */
void
sora_vae_remember (SoraVaeStream *s, int index, const SoraVaeFrame *frame)
{
  SoraVaePast *past = &s->past[index];
  sora_vae_pool_put (&s->pool, past->frames[1]);
  past->frames[1] = past->frames[0];
  past->frames[0] = frame->at;
}

void
sora_vae_count_flops (SoraVaeStream *s, const SoraVaeLayer *layer, const SoraVaeFrame *out,
                      int square)
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

int
sora_vae_norm_frame (SoraVaeStream *s, int index, const SoraVaeFrame *from, const SoraVaeFrame *to,
                     int silu)
{
  if (s->pool.pretend)
    return SORA_OK;
  Norm n = { sora_vae_data (s, from->at), sora_vae_data (s, to->at), s->coder->packed[index].gamma,
             sora_kit_pad16 (from->c), silu };
  return sora_kit_rows_parallel (s->team, from->h * from->w, 131072 / n.channels, norm_rows, &n);
}

int
sora_vae_plane (SoraVaeStream *s, int index, const SoraVaeFrame *from, const SoraVaeFrame *add,
                const SoraVaeFrame *to)
{
  const SoraVaeLayer *layer = &s->coder->layers[index];
  sora_vae_count_flops (s, layer, to, 9);
  if (s->pool.pretend)
    {
      const uint64_t bytes = sora_kit_plane_conv_work (
          layer->ic, layer->oc, sora_vae_plane_taps (layer), to->h, to->w, s->threads);
      s->work_bytes = bytes > s->work_bytes ? bytes : s->work_bytes;
      return SORA_OK;
    }
  const SoraKitConvSource source = sora_vae_source (s, index, from);
  return sora_kit_plane_conv_run (&s->coder->packed[index].plane, s->team, &source,
                                  layer->upsamples, add != NULL ? sora_vae_data (s, add->at) : NULL,
                                  sora_vae_data (s, to->at), s->work);
}

int
sora_vae_point (SoraVaeStream *s, int index, const SoraVaeFrame *from, const SoraVaeFrame *add,
                const SoraVaeFrame *to)
{
  sora_vae_count_flops (s, &s->coder->layers[index], to, 1);
  if (s->pool.pretend)
    return SORA_OK;
  const SoraKitConvSource source = sora_vae_source (s, index, from);
  return sora_kit_point_conv_run (&s->coder->packed[index].point, s->team, &source,
                                  add != NULL ? sora_vae_data (s, add->at) : NULL,
                                  sora_vae_data (s, to->at));
}

int
sora_vae_planes (SoraVaeStream *s, int index, int n, const SoraVaeFrame *from,
                 const SoraVaeFrame *add, const SoraVaeFrame *to)
{
  if (n == 1)
    return sora_vae_plane (s, index, from, add, to);
  const SoraVaeLayer *layer = &s->coder->layers[index];
  const SoraVaePast *past = &s->past[index];
  const float *frames[4] = { 0 }, *added[2] = { 0 };
  float *results[2];
  for (int i = 0; i < 2; i++)
    sora_vae_count_flops (s, layer, &to[i], 9);
  if (s->pool.pretend)
    {
      const uint64_t bytes = sora_kit_plane_conv_work (
          layer->ic, layer->oc, sora_vae_plane_taps (layer), to->h, to->w, s->threads);
      s->work_bytes = bytes > s->work_bytes ? bytes : s->work_bytes;
      return SORA_OK;
    }
  for (int i = 0; i < 2; i++)
    {
      if (past->frames[1 - i] >= 0)
        frames[i] = sora_vae_data (s, past->frames[1 - i]);
      frames[2 + i] = sora_vae_data (s, from[i].at);
      if (add != NULL)
        added[i] = sora_vae_data (s, add[i].at);
      results[i] = sora_vae_data (s, to[i].at);
    }
  return sora_kit_plane_conv_run_pair (&s->coder->packed[index].plane, s->team, frames, from->h,
                                       from->w, added, results, s->work);
}

int
sora_vae_resnet (SoraVaeStream *s, int *index, SoraVaeFrame *x, int n, int keep)
{
  const int shortcut = s->coder->layers[*index].kind == SORA_VAE_POINT;
  const int norm1 = *index + shortcut, conv1 = norm1 + 1, norm2 = norm1 + 2, conv2 = norm1 + 3;
  const int64_t oc = s->coder->layers[conv1].oc;
  SoraVaeFrame a[2] = { { 0 } }, h[2] = { { 0 } }, y[2] = { { 0 } };
  int r = SORA_OK;
  for (int i = 0; i < n && r == SORA_OK; i++)
    {
      y[i] = x[i];
      r = sora_vae_get_frame (s, x->h, x->w, x->c, &a[i]);
      if (r == SORA_OK && (shortcut || keep))
        r = sora_vae_get_frame (s, x->h, x->w, oc, &y[i]);
      if (r == SORA_OK && shortcut)
        r = sora_vae_point (s, *index, &x[i], NULL, &y[i]);
      if (r == SORA_OK)
        r = sora_vae_norm_frame (s, norm1, &x[i], &a[i], 1);
      if (shortcut && !keep)
        sora_vae_put_frame (s, &x[i]);
    }
  for (int i = 0; i < n && r == SORA_OK; i++)
    r = sora_vae_get_frame (s, x->h, x->w, oc, &h[i]);
  if (r == SORA_OK)
    r = sora_vae_planes (s, conv1, n, a, NULL, h);
  if (r != SORA_OK)
    return r;
  for (int i = 0; i < n; i++)
    sora_vae_remember (s, conv1, &a[i]);
  for (int i = 0; i < n && r == SORA_OK; i++)
    r = sora_vae_norm_frame (s, norm2, &h[i], &h[i], 1);
  if (r == SORA_OK)
    r = sora_vae_planes (s, conv2, n, h, shortcut ? y : x, y);
  for (int i = 0; i < n; i++)
    {
      sora_vae_remember (s, conv2, &h[i]);
      x[i] = y[i];
    }
  *index = conv2 + 1;
  return r;
}

/* Room for n keys of c channels: one for all attention of that size. */
static int
keys_of_size (SoraVaeStream *s, int64_t n, int64_t c, SoraKitKeys **keys)
{
  int i = 0;
  while (i < s->n_keys && (s->keys[i].n != n || s->keys[i].c != c))
    i++;
  if (i == s->n_keys)
    {
      s->keys[i].n = n;
      s->keys[i].c = c;
      s->keys_bytes += sora_kit_keys_bytes (1, c, n);
      s->n_keys++;
    }
  if (s->keys[i].keys == NULL && !s->pool.pretend)
    s->keys[i].keys = sora_kit_keys_new (s->cache, 1, c, n, s->team);
  *keys = s->keys[i].keys;
  return *keys != NULL || s->pool.pretend ? SORA_OK : SORA_FAILED;
}

int
sora_vae_attention (SoraVaeStream *s, int *index, SoraVaeFrame *x)
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
    r = sora_vae_norm_frame (s, *index, x, &a, 0);
  if (r == SORA_OK)
    r = sora_vae_point (s, *index + 1, &a, NULL, &q);
  if (r == SORA_OK)
    r = sora_vae_point (s, *index + 2, &a, NULL, &k);
  if (r == SORA_OK)
    r = sora_vae_point (s, *index + 3, &a, NULL, &v);
  s->flops += 4.0 * (double)n * (double)n * (double)x->c;
  SoraKitKeys *keys = NULL;
  if (r == SORA_OK)
    r = keys_of_size (s, n, x->c, &keys);
  if (r == SORA_OK && !s->pool.pretend)
    {
      r = sora_kit_keys_pack (keys, s->team, sora_vae_data (s, k.at), padded,
                              sora_vae_data (s, v.at), padded);
      /* The padding of q is zero and stays so. */
      const SoraKitAttention over = { .queries = n,
                                      .q = sora_vae_data (s, q.at),
                                      .ldq = padded,
                                      .out = sora_vae_data (s, q.at),
                                      .ldo = padded,
                                      .scale = 1.0f / sqrtf ((float)x->c) };
      if (r == SORA_OK)
        r = sora_kit_attention (keys, s->team, &over);
    }
  if (r == SORA_OK)
    r = sora_vae_point (s, *index + 4, &q, x, x);
  sora_vae_put_frame (s, &a);
  sora_vae_put_frame (s, &q);
  sora_vae_put_frame (s, &k);
  sora_vae_put_frame (s, &v);
  *index += 5;
  return r;
}

int
sora_vae_middle (SoraVaeStream *s, int *index, SoraVaeFrame *x)
{
  int r = sora_vae_resnet (s, index, x, 1, 0);
  if (r == SORA_OK)
    r = sora_vae_attention (s, index, x);
  return r == SORA_OK ? sora_vae_resnet (s, index, x, 1, 0) : r;
}
