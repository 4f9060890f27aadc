/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-decoder.c: see vae-decoder.h.  Source: diffusers 0.42.1, autoencoder_kl_wan.py: WanDecoder3d and what it is made
 * of, with its feature cache.  There, a chunk of frames goes through a layer, and the cache holds what the next chunk
 * needs; here the chunk is one frame everywhere, which is the same sum: the caches begin as zeros, and the temporal
 * upsampler, which lets the very first frame pass alone, begins its own past after it.
 */
#include "vae-decoder.h"

#include "vae-math.h"
#include "vae-pool.h"

#include "kit-attention.h"
#include "kit-conv.h"
#include "kit-convert.h"
#include "kit-memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* infer does not know the threads; one more is a megabyte or two. */
enum { THREADS_ASSUMED = 4 };

typedef struct {
  SoraKitPlaneConv plane;
  SoraKitPointConv point;
  SoraKitFewConv few;
  float *gamma;
} Packed;

struct SoraVaeDecoder {
  SoraVaeConfig config;
  SoraVaeLayer layers[SORA_VAE_MAX_LAYERS];
  Packed packed[SORA_VAE_MAX_LAYERS];
  int n;
};

/* A frame on its way: an index into the pool. */
typedef struct {
  int at;
  int64_t h, w, c; /* c is not padded */
} Frame;

typedef struct {
  int frames[SORA_KIT_CONV_TAPS - 1]; /* newest first, -1: none yet */
  int passed;                         /* of an upsampler in time: the first frame has gone by */
} Past;

struct SoraVaeStream {
  const SoraVaeDecoder *decoder;
  int64_t h, w;
  SoraVaePool pool;
  Past past[SORA_VAE_MAX_LAYERS];
  int threads; /* that work is made for */
  void *work;  /* of the convolutions */
  uint64_t work_bytes;
  float *rgb;
  SoraKitCache *cache;
  SoraKitKeys *keys;
  double flops;

  /* of the call */
  SoraKitTeam *team;
  SoraVaeFrameFunc take;
  void *data;
};

/* ---- weights */

SoraVaeDecoder *
sora_vae_decoder_new (const SoraVaeConfig *config)
{
  SoraVaeDecoder *d = calloc (1, sizeof *d);
  if (d == NULL)
    return NULL;
  d->config = *config;
  d->n = sora_vae_layers (config, d->layers);
  return d;
}

void
sora_vae_decoder_free (SoraVaeDecoder *d)
{
  if (d == NULL)
    return;
  for (int i = 0; i < d->n; i++)
    {
      sora_kit_plane_conv_clear (&d->packed[i].plane);
      sora_kit_point_conv_clear (&d->packed[i].point);
      sora_kit_few_conv_clear (&d->packed[i].few);
      sora_kit_free (d->packed[i].gamma);
    }
  free (d);
}

const SoraVaeLayer *
sora_vae_decoder_layers (const SoraVaeDecoder *d, int *n)
{
  *n = d->n;
  return d->layers;
}

uint64_t
sora_vae_decoder_bytes (const SoraVaeConfig *config)
{
  SoraVaeLayer layers[SORA_VAE_MAX_LAYERS];
  const int n = sora_vae_layers (config, layers);
  uint64_t bytes = 0;
  for (int i = 0; i < n; i++)
    switch (layers[i].kind)
      {
      case SORA_VAE_PLANE: bytes += sora_kit_plane_conv_bytes (layers[i].ic, layers[i].oc, layers[i].taps); break;
      case SORA_VAE_POINT: bytes += sora_kit_point_conv_bytes (layers[i].ic, layers[i].oc, layers[i].taps); break;
      case SORA_VAE_FEW: bytes += sora_kit_few_conv_bytes (layers[i].ic, layers[i].oc, layers[i].taps); break;
      case SORA_VAE_NORM: bytes += (uint64_t) sora_kit_pad16 (layers[i].oc) * sizeof (float); break;
      }
  return bytes;
}

static int
pack_gamma (Packed *packed, SoraKitTeam *team, int64_t channels, const float *gamma)
{
  packed->gamma = sora_kit_alloc0 ((uint64_t) sora_kit_pad16 (channels), sizeof (float));
  if (packed->gamma == NULL)
    return sora_kit_team_fail (team, "no memory for a norm of %lld channels", (long long) channels);
  const float scale = (float) sqrt ((double) channels);
  for (int64_t i = 0; i < channels; i++)
    packed->gamma[i] = scale * gamma[i];
  return SORA_OK;
}

int
sora_vae_decoder_pack (SoraVaeDecoder *d, SoraKitTeam *team, int index, const void *weight, int weight_dtype,
                       const void *bias, int bias_dtype)
{
  const SoraVaeLayer *layer = &d->layers[index];
  Packed *packed = &d->packed[index];
  const int64_t square = layer->kind == SORA_VAE_PLANE || layer->kind == SORA_VAE_FEW ? 9 : 1;
  const int64_t n = layer->kind == SORA_VAE_NORM ? layer->oc : layer->oc * layer->ic * layer->taps * square;
  /* Of a weight that is two or three layers, this one's rows. */
  const char *w = (const char *) weight + (size_t) (n * layer->part) * sora_kit_dtype_size (weight_dtype);
  const char *b = bias == NULL ? NULL
                               : (const char *) bias
                                     + (size_t) (layer->oc * layer->part) * sora_kit_dtype_size (bias_dtype);
  float *values = sora_kit_alloc ((uint64_t) n, sizeof (float));
  float *biases = sora_kit_alloc ((uint64_t) layer->oc, sizeof (float));
  int result = SORA_FAILED;
  if (values == NULL || biases == NULL)
    sora_kit_team_fail (team, "no memory for the weights of '%s'", layer->name);
  else if (sora_kit_to_f32 (w, weight_dtype, values, (size_t) n) != SORA_OK
           || (b != NULL && sora_kit_to_f32 (b, bias_dtype, biases, (size_t) layer->oc) != SORA_OK))
    sora_kit_team_fail (team, "the weights of '%s' are %s, expected f32, f16 or bf16", layer->name,
                        sora_kit_dtype_name (weight_dtype));
  else
    switch (layer->kind)
      {
      case SORA_VAE_PLANE:
        result = sora_kit_plane_conv_pack (&packed->plane, team, layer->ic, layer->oc, layer->taps, values, biases);
        break;
      case SORA_VAE_POINT:
        result = sora_kit_point_conv_pack (&packed->point, team, layer->ic, layer->oc, layer->taps, values, biases);
        break;
      case SORA_VAE_FEW:
        result = sora_kit_few_conv_pack (&packed->few, team, layer->ic, layer->oc, layer->taps, values, biases);
        break;
      case SORA_VAE_NORM:
        sora_kit_free (packed->gamma);
        result = pack_gamma (packed, team, layer->oc, values);
        break;
      }
  sora_kit_free (values);
  sora_kit_free (biases);
  return result;
}

/* ---- frames */

static float *
data_of (const SoraVaeStream *s, int at)
{
  return s->pool.frames[at].data;
}

static int
get_frame (SoraVaeStream *s, int64_t h, int64_t w, int64_t c, Frame *frame)
{
  *frame = (Frame){ -1, h, w, c };
  frame->at = sora_vae_pool_get (&s->pool, (uint64_t) (h * w * sora_kit_pad16 (c)) * sizeof (float));
  if (frame->at < 0)
    return sora_kit_team_fail (s->team, "no memory for a frame of %lld x %lld pixels, %lld channels", (long long) w,
                               (long long) h, (long long) c);
  return SORA_OK;
}

static void
put_frame (SoraVaeStream *s, const Frame *frame)
{
  sora_vae_pool_put (&s->pool, frame->at);
}

/* What layer `index` sees when `frame` is the newest. */
static SoraKitConvSource
source_of (const SoraVaeStream *s, int index, const Frame *frame)
{
  SoraKitConvSource source = { .count = 1, .h = frame->h, .w = frame->w };
  source.frames[0] = data_of (s, frame->at);
  for (int i = 0; i + 1 < s->decoder->layers[index].taps && s->past[index].frames[i] >= 0; i++)
    source.frames[source.count++] = data_of (s, s->past[index].frames[i]);
  return source;
}

/* The frame becomes the newest of the layer's past, which owns it from now on. */
static void
remember (SoraVaeStream *s, int index, const Frame *frame)
{
  Past *past = &s->past[index];
  sora_vae_pool_put (&s->pool, past->frames[1]);
  past->frames[1] = past->frames[0];
  past->frames[0] = frame->at;
}

static void
count_flops (SoraVaeStream *s, const SoraVaeLayer *layer, const Frame *out, int square)
{
  s->flops += 2.0 * (double) (out->h * out->w) * (double) (layer->ic * layer->oc) * square * layer->taps;
}

/* ---- layers */

typedef struct {
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
  sora_vae_norm (n->from + row * n->channels, n->to + row * n->channels, count, n->channels, n->gamma, n->silu);
}

static int
norm (SoraVaeStream *s, int index, const Frame *from, const Frame *to, int silu)
{
  if (s->pool.pretend)
    return SORA_OK;
  Norm n = { data_of (s, from->at), data_of (s, to->at), s->decoder->packed[index].gamma, sora_kit_pad16 (from->c),
             silu };
  return sora_kit_rows_parallel (s->team, from->h * from->w, 131072 / n.channels, norm_rows, &n);
}

static int
plane (SoraVaeStream *s, int index, const Frame *from, const Frame *add, const Frame *to)
{
  const SoraVaeLayer *layer = &s->decoder->layers[index];
  count_flops (s, layer, to, 9);
  if (s->pool.pretend)
    {
      const uint64_t bytes = sora_kit_plane_conv_work (layer->ic, layer->oc, layer->taps, to->h, to->w,
                                                       s->threads);
      s->work_bytes = bytes > s->work_bytes ? bytes : s->work_bytes;
      return SORA_OK;
    }
  const SoraKitConvSource source = source_of (s, index, from);
  return sora_kit_plane_conv_run (&s->decoder->packed[index].plane, s->team, &source, layer->upsamples,
                                  add != NULL ? data_of (s, add->at) : NULL, data_of (s, to->at), s->work);
}

static int
point (SoraVaeStream *s, int index, const Frame *from, const Frame *add, const Frame *to)
{
  count_flops (s, &s->decoder->layers[index], to, 1);
  if (s->pool.pretend)
    return SORA_OK;
  const SoraKitConvSource source = source_of (s, index, from);
  return sora_kit_point_conv_run (&s->decoder->packed[index].point, s->team, &source,
                                  add != NULL ? data_of (s, add->at) : NULL, data_of (s, to->at));
}

/* norm, SiLU, convolution, twice; then what came in is added.  Takes *x and gives another; *index moves on. */
static int
resnet (SoraVaeStream *s, int *index, Frame *x)
{
  const int shortcut = s->decoder->layers[*index].kind == SORA_VAE_POINT;
  const int norm1 = *index + shortcut, conv1 = norm1 + 1, norm2 = norm1 + 2, conv2 = norm1 + 3;
  const int64_t oc = s->decoder->layers[conv1].oc;
  Frame a, h = { -1 }, y = *x;
  int r = get_frame (s, x->h, x->w, x->c, &a);
  if (r == SORA_OK && shortcut)
    {
      r = get_frame (s, x->h, x->w, oc, &y);
      if (r == SORA_OK)
        r = point (s, *index, x, NULL, &y);
    }
  if (r == SORA_OK)
    r = norm (s, norm1, x, &a, 1);
  if (shortcut)
    put_frame (s, x);
  if (r == SORA_OK)
    r = get_frame (s, a.h, a.w, oc, &h);
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
attention (SoraVaeStream *s, int *index, Frame *x)
{
  const int64_t n = x->h * x->w, padded = sora_kit_pad16 (x->c);
  Frame a = { -1 }, q = { -1 }, k = { -1 }, v = { -1 };
  int r = get_frame (s, x->h, x->w, x->c, &a);
  if (r == SORA_OK)
    r = get_frame (s, x->h, x->w, x->c, &q);
  if (r == SORA_OK)
    r = get_frame (s, x->h, x->w, x->c, &k);
  if (r == SORA_OK)
    r = get_frame (s, x->h, x->w, x->c, &v);
  if (r == SORA_OK)
    r = norm (s, *index, x, &a, 0);
  if (r == SORA_OK)
    r = point (s, *index + 1, &a, NULL, &q);
  if (r == SORA_OK)
    r = point (s, *index + 2, &a, NULL, &k);
  if (r == SORA_OK)
    r = point (s, *index + 3, &a, NULL, &v);
  s->flops += 4.0 * (double) n * (double) n * (double) x->c;
  if (r == SORA_OK && !s->pool.pretend)
    {
      if (s->keys == NULL)
        s->keys = sora_kit_keys_new (s->cache, 1, x->c, n, s->team);
      r = s->keys == NULL ? SORA_FAILED
                          : sora_kit_keys_pack (s->keys, s->team, data_of (s, k.at), padded, data_of (s, v.at),
                                                padded);
      /* The padding of q is zero and stays so. */
      const SoraKitAttention over = { .queries = n,
                                      .q = data_of (s, q.at),
                                      .ldq = padded,
                                      .out = data_of (s, q.at),
                                      .ldo = padded,
                                      .scale = 1.0f / sqrtf ((float) x->c) };
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
picture (SoraVaeStream *s, int index, Frame *x)
{
  int r = norm (s, index, x, x, 1);
  const Frame out = { -1, x->h, x->w, 3 };
  count_flops (s, &s->decoder->layers[index + 1], &out, 9);
  if (r == SORA_OK && !s->pool.pretend)
    {
      const SoraKitConvSource source = source_of (s, index + 1, x);
      r = sora_kit_few_conv_run (&s->decoder->packed[index + 1].few, s->team, &source, s->rgb, s->work);
      if (r == SORA_OK)
        r = s->take (s->team, s->data, s->rgb);
    }
  remember (s, index + 1, x);
  return r;
}

static int walk_block (SoraVaeStream *s, int block, int index, Frame x);

/* The frame at twice the resolution, and on to the next block. */
static int
walk_resample (SoraVaeStream *s, int block, int index, Frame x)
{
  Frame y;
  int r = get_frame (s, 2 * x.h, 2 * x.w, s->decoder->layers[index].oc, &y);
  if (r == SORA_OK)
    r = plane (s, index, &x, NULL, &y);
  put_frame (s, &x);
  return r == SORA_OK ? walk_block (s, block + 1, index + 1, y) : r;
}

/* Two frames of one, but for the very first, which passes and leaves no trace: the next one sees zeros before it. */
static int
walk_time (SoraVaeStream *s, int block, int index, Frame x)
{
  if (!s->past[index].passed)
    {
      s->past[index].passed = 1;
      return walk_resample (s, block, index + 2, x);
    }
  Frame halves[2];
  int r = SORA_OK;
  for (int i = 0; i < 2 && r == SORA_OK; i++)
    {
      r = get_frame (s, x.h, x.w, x.c, &halves[i]);
      if (r == SORA_OK && i == 1) /* both halves look at one past: it is kept with the first's layer */
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
walk_block (SoraVaeStream *s, int block, int index, Frame x)
{
  const SoraVaeConfig *config = &s->decoder->config;
  int r = SORA_OK;
  for (int i = 0; i < config->n_resnets && r == SORA_OK; i++)
    r = resnet (s, &index, &x);
  if (r != SORA_OK)
    return r;
  if (block + 1 == config->n_blocks)
    return picture (s, index, &x);
  return config->upsample_time[block] ? walk_time (s, block, index, x) : walk_resample (s, block, index, x);
}

static int
walk (SoraVaeStream *s, Frame z)
{
  const SoraVaeConfig *config = &s->decoder->config;
  Frame y, x = { -1 };
  int index = 0;
  int r = get_frame (s, s->h, s->w, config->z_dim, &y);
  if (r == SORA_OK)
    r = point (s, index++, &z, NULL, &y);
  put_frame (s, &z);
  if (r == SORA_OK)
    r = get_frame (s, s->h, s->w, config->dims[0], &x);
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

/* ---- streams */

SoraVaeStream *
sora_vae_stream_new (const SoraVaeDecoder *decoder, int64_t h, int64_t w)
{
  SoraVaeStream *s = calloc (1, sizeof *s);
  if (s == NULL)
    return NULL;
  s->decoder = decoder;
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
  sora_kit_keys_free (s->keys);
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
  SoraVaeStream *model = sora_vae_stream_new (s->decoder, s->h, s->w);
  if (model == NULL)
    return sora_kit_team_fail (team, "no memory to decode");
  model->pool.pretend = 1;
  model->threads = team->threads;
  Frame z;
  int r = get_frame (model, s->h, s->w, s->decoder->config.z_dim, &z);
  if (r == SORA_OK)
    r = walk (model, z);
  const SoraVaeConfig *config = &s->decoder->config;
  const int64_t width = s->w * config->spatial, height = s->h * config->spatial;
  const uint64_t few = sora_kit_few_conv_work (3, width, team->threads);
  s->work_bytes = model->work_bytes > few ? model->work_bytes : few;
  sora_vae_stream_free (model);
  if (r != SORA_OK)
    return r;
  s->threads = team->threads;
  s->work = sora_kit_alloc (s->work_bytes, 1);
  s->rgb = sora_kit_alloc ((uint64_t) (width * height * 3), sizeof (float));
  if (s->cache == NULL)
    s->cache = sora_kit_cache_new ();
  if (s->work == NULL || s->rgb == NULL || s->cache == NULL)
    return sora_kit_team_fail (team, "no memory to decode frames of %lld x %lld pixels", (long long) width,
                               (long long) height);
  return SORA_OK;
}

int
sora_vae_stream_decode (SoraVaeStream *s, SoraKitTeam *team, const float *latents, int64_t channel_step,
                        SoraVaeFrameFunc take, void *data)
{
  const SoraVaeConfig *config = &s->decoder->config;
  s->team = team;
  s->take = take;
  s->data = data;
  int r = prepare (s, team);
  Frame z;
  if (r == SORA_OK)
    r = get_frame (s, s->h, s->w, config->z_dim, &z);
  if (r != SORA_OK)
    return r;
  const int64_t padded = sora_kit_pad16 (config->z_dim), n = s->h * s->w;
  float *to = data_of (s, z.at);
  memset (to, 0, (size_t) (n * padded) * sizeof *to);
  for (int64_t c = 0; c < config->z_dim; c++)
    for (int64_t i = 0; i < n; i++)
      to[i * padded + c] = latents[c * channel_step + i] * config->std[c] + config->mean[c];
  return walk (s, z);
}

int
sora_vae_estimate (const SoraVaeConfig *config, int64_t t, int64_t h, int64_t w, uint64_t *bytes, double *flops)
{
  SoraVaeDecoder *decoder = sora_vae_decoder_new (config);
  SoraVaeStream *s = decoder != NULL ? sora_vae_stream_new (decoder, h, w) : NULL;
  int result = -1;
  if (s != NULL)
    {
      /* From the third latent frame on every one costs the same, and all pasts are there after the fourth. */
      const int64_t walked = t < 4 ? t : 4;
      double last = 0;
      s->pool.pretend = 1;
      s->threads = THREADS_ASSUMED;
      result = 0;
      for (int64_t i = 0; i < walked && result == 0; i++)
        {
          const double before = s->flops;
          Frame z;
          result = get_frame (s, h, w, config->z_dim, &z) == SORA_OK && walk (s, z) == SORA_OK ? 0 : -1;
          last = s->flops - before;
        }
      const uint64_t width = (uint64_t) (w * config->spatial), height = (uint64_t) (h * config->spatial);
      const uint64_t few = sora_kit_few_conv_work (3, (int64_t) width, THREADS_ASSUMED);
      *bytes = s->pool.bytes + (s->work_bytes > few ? s->work_bytes : few) + width * height * 3 * sizeof (float)
               + sora_kit_keys_bytes (1, config->dims[0], h * w);
      *flops = s->flops + last * (double) (t - walked);
    }
  sora_vae_stream_free (s);
  sora_vae_decoder_free (decoder);
  return result;
}
