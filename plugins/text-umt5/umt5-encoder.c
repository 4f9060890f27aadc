/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * umt5-encoder.c: the layers of UMT5's encoder (transformers, modeling_umt5.py).  Unlike T5, every
 * layer has a relative position bias of its own.  The weights of a layer come and go one layer at a
 * time: UMT5-XXL is 22 GB in f32, and a job reads it once.
 */
#include "umt5-encoder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit-attention.h"
#include "kit-convert.h"
#include "kit-memory.h"
#include "kit-norm.h"

/* Primitives that stay warm, of any length of text; one run has about thirty.  */
#define KEEP_PRIMITIVES 256

typedef struct
{
  SoraKitLinear *qkv, *o, *wi_0, *wi_1, *wo;
  float *bias;   /* [buckets, heads] */
  float *norm_1; /* [d_model] */
  float *norm_2; /* [d_model] */
  int packed;
} Layer;

struct SoraUmt5
{
  SoraUmt5Config config;
  SoraKitCache *cache;
  Layer *layers;
  Layer spare; /* memory of a layer that was dropped: the next one is packed into the same pages */
};

/* --------------------------------------------------------------------- what it consists of -- */

void
sora_umt5_layer_tensor (const SoraUmt5Config *config, int64_t layer, int which,
                        SoraUmt5Tensor *tensor)
{
  static const char *const names[SORA_UMT5_LAYER_TENSORS] = {
    "0.SelfAttention.q",
    "0.SelfAttention.k",
    "0.SelfAttention.v",
    "0.SelfAttention.o",
    "0.SelfAttention.relative_attention_bias",
    "0.layer_norm",
    "1.DenseReluDense.wi_0",
    "1.DenseReluDense.wi_1",
    "1.DenseReluDense.wo",
    "1.layer_norm",
  };
  int64_t d = config->d_model, inner = config->num_heads * config->d_kv, ff = config->d_ff;
  const int64_t shapes[SORA_UMT5_LAYER_TENSORS][2] = {
    { inner, d },
    { inner, d },
    { inner, d },
    { d, inner },
    { config->num_buckets, config->num_heads },
    { d, 0 },
    { ff, d },
    { ff, d },
    { d, ff },
    { d, 0 },
  };

  snprintf (tensor->name, sizeof tensor->name, "encoder.block.%lld.layer.%s.weight",
            (long long)layer, names[which]);
  tensor->shape[0] = shapes[which][0];
  tensor->shape[1] = shapes[which][1];
  tensor->ndim = shapes[which][1] == 0 ? 1 : 2;
}

uint64_t
sora_umt5_layer_bytes (const SoraUmt5Config *config)
{
  int64_t d = config->d_model, inner = config->num_heads * config->d_kv, ff = config->d_ff;

  return sora_kit_linear_bytes (3 * inner, d) + sora_kit_linear_bytes (d, inner)
         + 2 * sora_kit_linear_bytes (ff, d) + sora_kit_linear_bytes (d, ff)
         + 4 * (uint64_t)(config->num_buckets * config->num_heads + 2 * d);
}

/* Floats of the buffers of one layer's work: h and y [n, d]; then q k v [n, 3 inner], a [n, inner]
 * and the bias [heads, n, n], or the two halves of the gate [n, ff]. */
static uint64_t
work_floats (const SoraUmt5Config *config, int64_t n)
{
  int64_t attention = 4 * config->num_heads * config->d_kv + config->num_heads * n;
  int64_t more = attention > 2 * config->d_ff ? attention : 2 * config->d_ff;

  return (uint64_t)n * (uint64_t)(2 * config->d_model + more);
}

uint64_t
sora_umt5_work_bytes (const SoraUmt5Config *config, int64_t n)
{
  return 4 * work_floats (config, n) + sora_kit_keys_bytes (config->num_heads, config->d_kv, n)
         + (uint64_t)sora_kit_threads_expected () * sora_kit_thread_bytes (config->d_kv)
         + (4u << 20);
}

double
sora_umt5_flops (const SoraUmt5Config *config, int64_t n)
{
  double d = (double)config->d_model, inner = (double)(config->num_heads * config->d_kv);
  double rows = (double)n;

  return (double)config->num_layers
         * (2.0 * rows * d * (4.0 * inner + 3.0 * (double)config->d_ff)
            + 4.0 * rows * rows * inner);
}

int64_t
sora_umt5_bucket (int64_t distance, int64_t num_buckets, int64_t max_distance)
{
  int64_t half = num_buckets / 2, exact = half / 2, far = distance < 0 ? -distance : distance,
          large;
  int64_t base = distance > 0 ? half : 0;
  float ratio;

  if (far < exact)
    return base + far;
  ratio = logf ((float)far / (float)exact) / (float)log ((double)max_distance / (double)exact);
  large = exact + (int64_t)(ratio * (float)(half - exact));
  return base + (large < half - 1 ? large : half - 1);
}

/* --------------------------------------------------------------------------------- weights -- */

SoraUmt5 *
sora_umt5_new (const SoraUmt5Config *config, SoraKitTeam *team)
{
  SoraUmt5 *self = calloc (1, sizeof *self);

  if (self == NULL)
    {
      sora_kit_team_fail (team, "out of memory for the text encoder");
      return NULL;
    }
  self->config = *config;
  self->cache = sora_kit_cache_new ();
  self->layers = calloc ((size_t)config->num_layers, sizeof *self->layers);
  if (self->cache == NULL || self->layers == NULL)
    {
      sora_kit_team_fail (team, "out of memory for the text encoder");
      sora_umt5_free (self);
      return NULL;
    }
  return self;
}

void
sora_umt5_begin (SoraUmt5 *self)
{
  sora_kit_cache_trim (self->cache, KEEP_PRIMITIVES);
}

static void
layer_clear (Layer *l)
{
  sora_kit_linear_free (l->qkv);
  sora_kit_linear_free (l->o);
  sora_kit_linear_free (l->wi_0);
  sora_kit_linear_free (l->wi_1);
  sora_kit_linear_free (l->wo);
  sora_kit_free (l->bias);
  sora_kit_free (l->norm_1);
  sora_kit_free (l->norm_2);
  *l = (Layer){ 0 };
}

void
sora_umt5_drop_layer (SoraUmt5 *self, int64_t layer)
{
  layer_clear (&self->spare);
  self->spare = self->layers[layer];
  self->spare.packed = 0;
  self->layers[layer] = (Layer){ 0 };
}

void
sora_umt5_free (SoraUmt5 *self)
{
  if (self == NULL)
    return;
  for (int64_t i = 0; self->layers != NULL && i < self->config.num_layers; i++)
    layer_clear (&self->layers[i]);
  layer_clear (&self->spare);
  free (self->layers);
  sora_kit_cache_free (self->cache);
  free (self);
}

int
sora_umt5_layer_is_packed (const SoraUmt5 *self, int64_t layer)
{
  return self->layers[layer].packed;
}

static int
pack_linear (SoraUmt5 *self, SoraKitTeam *team, SoraKitActivation activation,
             const SoraTensorView *views, int n_views, SoraKitLinear **linear)
{
  SoraKitLinearPart parts[3] = { 0 };
  int64_t rows = 0;

  for (int i = 0; i < n_views; i++)
    {
      parts[i] = (SoraKitLinearPart){ .weights = views[i].data,
                                      .weights_dtype = views[i].dtype,
                                      .rows = views[i].shape[0] };
      rows += views[i].shape[0];
    }
  if (*linear == NULL)
    *linear = sora_kit_linear_new (self->cache, rows, views[0].shape[1], activation, 0, team);
  if (*linear == NULL)
    return SORA_FAILED;
  return sora_kit_linear_pack (*linear, team, parts, n_views);
}

static int
to_floats (SoraKitTeam *team, const SoraTensorView *view, float **floats)
{
  size_t n = (size_t)view->shape[0] * (size_t)(view->ndim > 1 ? view->shape[1] : 1);

  if (*floats == NULL)
    *floats = sora_kit_alloc (n, sizeof **floats);
  if (*floats == NULL)
    return sora_kit_team_fail (team, "out of memory for the text encoder");
  if (sora_kit_to_f32 (view->data, view->dtype, *floats, n) != SORA_OK)
    return sora_kit_team_fail (team,
                               "text encoder: a weight of the type %s, expected f32, f16 or bf16",
                               sora_kit_dtype_name (view->dtype));
  return SORA_OK;
}

int
sora_umt5_pack_layer (SoraUmt5 *self, SoraKitTeam *team, int64_t layer,
                      const SoraTensorView views[SORA_UMT5_LAYER_TENSORS],
                      const SoraUmt5Watch *watch)
{
  Layer *l = &self->layers[layer];

  if (l->qkv == NULL)
    {
      *l = self->spare;
      self->spare = (Layer){ 0 };
    }
  l->packed = 0;
  const struct
  {
    SoraKitLinear **linear; /* else: */
    float **floats;
    int first, n; /* of the tensors */
    SoraKitActivation activation;
  } parts[] = {
    { &l->qkv, NULL, SORA_UMT5_Q, 3, SORA_KIT_ACTIVATION_NONE },
    { &l->o, NULL, SORA_UMT5_O, 1, SORA_KIT_ACTIVATION_NONE },
    { &l->wi_0, NULL, SORA_UMT5_WI_0, 1, SORA_KIT_ACTIVATION_GELU_TANH },
    { &l->wi_1, NULL, SORA_UMT5_WI_1, 1, SORA_KIT_ACTIVATION_NONE },
    { &l->wo, NULL, SORA_UMT5_WO, 1, SORA_KIT_ACTIVATION_NONE },
    { NULL, &l->bias, SORA_UMT5_BIAS, 1, SORA_KIT_ACTIVATION_NONE },
    { NULL, &l->norm_1, SORA_UMT5_NORM_1, 1, SORA_KIT_ACTIVATION_NONE },
    { NULL, &l->norm_2, SORA_UMT5_NORM_2, 1, SORA_KIT_ACTIVATION_NONE },
  };
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
    {
      const SoraTensorView *from = &views[parts[i].first];
      int r = parts[i].linear != NULL ? pack_linear (self, team, parts[i].activation, from,
                                                     parts[i].n, parts[i].linear)
                                      : to_floats (team, from, parts[i].floats);

      if (r != SORA_OK)
        return r;
      for (int j = 0; watch != NULL && j < parts[i].n; j++)
        watch->packed (watch->data, parts[i].first + j);
    }
  l->packed = 1;
  return SORA_OK;
}

/* -------------------------------------------------------------------------------- the work -- */

typedef struct
{
  float *to;
  const float *from, *weight;
  int64_t width;
  float eps;
} Rows;

static void
norm_rows (void *data, int64_t row, int64_t count)
{
  const Rows *r = data;

  sora_kit_rms_norm (r->from + row * r->width, r->width, r->to + row * r->width, r->width, count,
                     r->width, r->weight, r->eps);
}

static void
add_rows (void *data, int64_t row, int64_t count)
{
  const Rows *r = data;

  sora_kit_gate_add (r->to + row * r->width, r->width, r->from + row * r->width, r->width, count,
                     r->width, NULL);
}

static void
multiply_rows (void *data, int64_t row, int64_t count)
{
  const Rows *r = data;

  sora_kit_multiply (r->to + row * r->width, r->from + row * r->width, count * r->width);
}

int
sora_umt5_embed (SoraUmt5 *self, SoraKitTeam *team, const SoraTensorView *table,
                 SoraUmt5Segment *segment)
{
  int64_t d = self->config.d_model;
  size_t row_bytes = (size_t)d * sora_kit_dtype_size (table->dtype);

  for (int64_t i = 0; i < segment->n; i++)
    {
      if (segment->ids[i] < 0 || segment->ids[i] >= self->config.vocab_size)
        return sora_kit_team_fail (team, "token %lld has the id %lld, the vocabulary %lld",
                                   (long long)i, (long long)segment->ids[i],
                                   (long long)self->config.vocab_size);
      if (sora_kit_to_f32 ((const char *)table->data + (size_t)segment->ids[i] * row_bytes,
                           table->dtype, segment->x + i * d, (size_t)d)
          != SORA_OK)
        return sora_kit_team_fail (team, "embedding of the type %s, expected f32, f16 or bf16",
                                   sora_kit_dtype_name (table->dtype));
    }
  return SORA_OK;
}

/* bias[head, query, key], which follows from the distance between key and query. */
typedef struct
{
  const SoraUmt5Config *config;
  const float *table;
  float *bias;
  int64_t n;
} Bias;

static void
bias_rows (void *data, int64_t query, int64_t count)
{
  const Bias *b = data;
  const SoraUmt5Config *c = b->config;

  for (int64_t i = query; i < query + count; i++)
    for (int64_t j = 0; j < b->n; j++)
      {
        const float *row
            = b->table + sora_umt5_bucket (j - i, c->num_buckets, c->max_distance) * c->num_heads;

        for (int64_t head = 0; head < c->num_heads; head++)
          b->bias[(head * b->n + i) * b->n + j] = row[head];
      }
}

static int
attend (SoraUmt5 *self, SoraKitTeam *team, Layer *l, SoraUmt5Segment *segment, float *h, float *y,
        float *more)
{
  const SoraUmt5Config *c = &self->config;
  int64_t n = segment->n, inner = c->num_heads * c->d_kv;
  float *qkv = more, *a = qkv + 3 * n * inner;
  Bias bias = { c, l->bias, a + n * inner, n };
  Rows norm = { h, segment->x, l->norm_1, c->d_model, (float)c->eps };
  Rows residual = { .to = segment->x, .from = y, .width = c->d_model };
  SoraKitAttention attention
      = { .queries = n, .q = qkv, .ldq = 3 * inner, .out = a, .scale = 1.0f, .bias = bias.bias };
  SoraKitKeys *keys = sora_kit_keys_new (self->cache, c->num_heads, c->d_kv, n, team);
  int r = keys == NULL ? SORA_FAILED : sora_kit_rows_parallel (team, n, 0, norm_rows, &norm);

  if (r == SORA_OK)
    r = sora_kit_rows_parallel (team, n, 0, bias_rows, &bias);
  if (r == SORA_OK)
    r = sora_kit_linear_run (l->qkv, team, n, h, 0, qkv, 0);
  if (r == SORA_OK)
    r = sora_kit_keys_pack (keys, team, qkv + inner, 3 * inner, qkv + 2 * inner, 3 * inner);
  if (r == SORA_OK)
    r = sora_kit_attention (keys, team, &attention);
  if (r == SORA_OK)
    r = sora_kit_linear_run (l->o, team, n, a, 0, y, 0);
  if (r == SORA_OK)
    r = sora_kit_rows_parallel (team, n, 0, add_rows, &residual);
  sora_kit_keys_free (keys);
  return r;
}

static int
feed_forward (SoraUmt5 *self, SoraKitTeam *team, Layer *l, SoraUmt5Segment *segment, float *h,
              float *y, float *more)
{
  const SoraUmt5Config *c = &self->config;
  int64_t n = segment->n;
  float *gate = more, *up = more + n * c->d_ff;
  Rows norm = { h, segment->x, l->norm_2, c->d_model, (float)c->eps };
  Rows product = { .to = gate, .from = up, .width = c->d_ff };
  Rows residual = { .to = segment->x, .from = y, .width = c->d_model };
  int r = sora_kit_rows_parallel (team, n, 0, norm_rows, &norm);

  if (r == SORA_OK)
    r = sora_kit_linear_run (l->wi_0, team, n, h, 0, gate, 0);
  if (r == SORA_OK)
    r = sora_kit_linear_run (l->wi_1, team, n, h, 0, up, 0);
  if (r == SORA_OK)
    r = sora_kit_rows_parallel (team, n, 0, multiply_rows, &product);
  if (r == SORA_OK)
    r = sora_kit_linear_run (l->wo, team, n, gate, 0, y, 0);
  if (r == SORA_OK)
    r = sora_kit_rows_parallel (team, n, 0, add_rows, &residual);
  return r;
}

int
sora_umt5_run_layer (SoraUmt5 *self, SoraKitTeam *team, int64_t layer, SoraUmt5Segment *segment)
{
  int64_t n = segment->n, d = self->config.d_model;
  float *h = sora_kit_alloc (work_floats (&self->config, n), sizeof *h), *y = h + n * d;
  int r;

  if (h == NULL)
    return sora_kit_team_fail (team, "out of memory for %lld tokens", (long long)n);
  r = attend (self, team, &self->layers[layer], segment, h, y, y + n * d);
  if (r == SORA_OK)
    r = feed_forward (self, team, &self->layers[layer], segment, h, y, y + n * d);
  sora_kit_free (h);
  return r;
}

int
sora_umt5_finish (SoraUmt5 *self, SoraKitTeam *team, const SoraTensorView *weight,
                  SoraUmt5Segment *segment)
{
  float *floats = NULL;
  int r = to_floats (team, weight, &floats);
  Rows norm = { segment->x, segment->x, floats, self->config.d_model, (float)self->config.eps };

  if (r == SORA_OK)
    r = sora_kit_rows_parallel (team, segment->n, 0, norm_rows, &norm);
  sora_kit_free (floats);
  return r;
}
