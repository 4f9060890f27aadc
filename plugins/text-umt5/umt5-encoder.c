/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * umt5-encoder.c: the layers of UMT5's encoder (transformers, modeling_umt5.py).  Unlike T5, every
 * layer has a relative position bias of its own.  A job reads each weight once, so weights are
 * multiplied by as they are stored: UMT5-XXL is 11 GB in bf16, and would be 22 GB expanded.
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
#include "kit-stored.h"

/* Primitives of attention that stay warm, of any length of text; one text has four.  */
#define KEEP_PRIMITIVES 256

struct SoraUmt5
{
  SoraUmt5Config config;
  SoraKitCache *cache;
  /* Of a run: */
  SoraUmt5Segment *segments;
  int n_segments;
  int64_t rows; /* of all segments */
  SoraKitStored *stored;
  float *x;    /* [rows, d_model]: the hidden states */
  float *work; /* what a layer needs, see work_floats() */
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

/* The buffers of one layer's work: q k v [rows, 3 inner], a [rows, inner] and the bias [heads, longest,
 * longest], or the gate [rows, ff].  What a norm gives stands there before. */
static uint64_t
work_floats (const SoraUmt5Config *config, int64_t rows, int64_t longest)
{
  int64_t floats = 4 * rows * config->num_heads * config->d_kv
                   + config->num_heads * longest * longest;

  floats = floats > rows * config->d_ff ? floats : rows * config->d_ff;
  return (uint64_t)(floats > rows * config->d_model ? floats : rows * config->d_model);
}

/* The most columns that a product takes. */
static int64_t
widest (const SoraUmt5Config *config)
{
  int64_t inner = config->num_heads * config->d_kv,
          most = config->d_model > inner ? config->d_model : inner;

  return most > config->d_ff ? most : config->d_ff;
}

uint64_t
sora_umt5_work_bytes (const SoraUmt5Config *config, int64_t rows, int64_t longest)
{
  int threads = sora_kit_threads_expected ();

  return sora_kit_alloc_bytes (4 * (uint64_t)(rows * config->d_model))
         + sora_kit_alloc_bytes (4 * work_floats (config, rows, longest))
         + sora_kit_stored_bytes (rows, widest (config), threads)
         + sora_kit_keys_bytes (config->num_heads, config->d_kv, longest)
         + (uint64_t)threads * sora_kit_thread_bytes (config->d_kv)
         + 4 * (uint64_t)(config->num_buckets * config->num_heads + config->d_model) + (4u << 20);
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

/* ----------------------------------------------------------------------------------- a run -- */

SoraUmt5 *
sora_umt5_new (const SoraUmt5Config *config, SoraKitTeam *team)
{
  SoraUmt5 *self = calloc (1, sizeof *self);

  if (self != NULL)
    {
      self->config = *config;
      self->cache = sora_kit_cache_new ();
    }
  if (self == NULL || self->cache == NULL)
    {
      sora_kit_team_fail (team, "out of memory for the text encoder");
      sora_umt5_free (self);
      return NULL;
    }
  return self;
}

void
sora_umt5_end (SoraUmt5 *self)
{
  sora_kit_stored_free (self->stored);
  sora_kit_free (self->x);
  sora_kit_free (self->work);
  self->stored = NULL;
  self->x = self->work = NULL;
}

void
sora_umt5_free (SoraUmt5 *self)
{
  if (self == NULL)
    return;
  sora_umt5_end (self);
  sora_kit_cache_free (self->cache);
  free (self);
}

int
sora_umt5_begin (SoraUmt5 *self, SoraKitTeam *team, SoraUmt5Segment *segments, int n_segments)
{
  const SoraUmt5Config *c = &self->config;
  int64_t longest = 0;

  sora_umt5_end (self);
  sora_kit_cache_trim (self->cache, KEEP_PRIMITIVES);
  self->segments = segments;
  self->n_segments = n_segments;
  self->rows = 0;
  for (int i = 0; i < n_segments; i++)
    {
      self->rows += segments[i].n;
      longest = segments[i].n > longest ? segments[i].n : longest;
    }
  self->x = sora_kit_alloc ((uint64_t)(self->rows * c->d_model), sizeof *self->x);
  self->work = sora_kit_alloc (work_floats (c, self->rows, longest), sizeof *self->work);
  self->stored = sora_kit_stored_new (team, self->rows, widest (c));
  if (self->x == NULL || self->work == NULL || self->stored == NULL)
    return sora_kit_team_fail (team, "out of memory for %lld tokens", (long long)self->rows);
  return SORA_OK;
}

static int
to_floats (SoraKitTeam *team, const SoraTensorView *view, float **floats)
{
  size_t n = (size_t)view->shape[0] * (size_t)(view->ndim > 1 ? view->shape[1] : 1);

  *floats = sora_kit_alloc (n, sizeof **floats);
  if (*floats == NULL)
    return sora_kit_team_fail (team, "out of memory for the text encoder");
  if (sora_kit_to_f32 (view->data, view->dtype, *floats, n) != SORA_OK)
    return sora_kit_team_fail (team,
                               "text encoder: a weight of the type %s, expected f32, f16 or bf16",
                               sora_kit_dtype_name (view->dtype));
  return SORA_OK;
}

/* -------------------------------------------------------------------------------- the work -- */

typedef struct
{
  SoraUmt5 *self;
  const float *from; /* [rows, d_model] */
  float *to;
  const float *weight;
  int input; /* nonzero: what comes of it goes into products */
} Norm;

static void
norm_rows (void *data, int64_t row, int64_t count)
{
  const Norm *norm = data;
  const SoraUmt5Config *c = &norm->self->config;
  int64_t d = c->d_model;

  sora_kit_rms_norm (norm->from + row * d, d, norm->to + row * d, d, count, d, norm->weight,
                     (float)c->eps);
  if (norm->input)
    sora_kit_stored_input (norm->self->stored, row, count, norm->to + row * d, d, d);
}

/* The norm before a half of a layer, with @view's weights: its rows are what is multiplied next. */
static int
norm_input (SoraUmt5 *self, SoraKitTeam *team, const SoraTensorView *view)
{
  float *weight = NULL;
  int r = to_floats (team, view, &weight);
  Norm norm = { self, self->x, self->work, weight, 1 };

  if (r == SORA_OK)
    r = sora_kit_rows_parallel (team, self->rows, 0, norm_rows, &norm);
  sora_kit_free (weight);
  return r;
}

typedef struct
{
  SoraUmt5 *self;
  const float *from;
  int64_t width;
} Input;

static void
input_rows (void *data, int64_t row, int64_t count)
{
  const Input *in = data;

  sora_kit_stored_input (in->self->stored, row, count, in->from + row * in->width, in->width,
                         in->width);
}

/* A product by the tensors from @first on, which are not needed after it. */
static int
multiply (SoraUmt5 *self, SoraKitTeam *team, const SoraTensorView *views, const SoraUmt5Watch *watch,
          int first, int n, SoraKitStoredMode mode, float *y, int64_t ldy)
{
  SoraKitStoredPart parts[3] = { { 0 } };
  int r;

  for (int i = 0; i < n; i++)
    parts[i] = (SoraKitStoredPart){ views[first + i].data, views[first + i].dtype,
                                    views[first + i].shape[0] };
  r = sora_kit_stored_run (self->stored, team, views[first].shape[1], parts, n, mode, y, ldy);
  for (int i = 0; watch != NULL && i < n; i++)
    watch->done (watch->data, first + i);
  return r;
}

int
sora_umt5_embed (SoraUmt5 *self, SoraKitTeam *team, const SoraTensorView *table)
{
  int64_t d = self->config.d_model;
  size_t row_bytes = (size_t)d * sora_kit_dtype_size (table->dtype);
  float *x = self->x;

  for (int i = 0; i < self->n_segments; i++)
    for (int64_t j = 0; j < self->segments[i].n; j++, x += d)
      {
        int64_t id = self->segments[i].ids[j];

        if (id < 0 || id >= self->config.vocab_size)
          return sora_kit_team_fail (team, "token %lld has the id %lld, the vocabulary %lld",
                                     (long long)j, (long long)id,
                                     (long long)self->config.vocab_size);
        if (sora_kit_to_f32 ((const char *)table->data + (size_t)id * row_bytes, table->dtype, x,
                             (size_t)d)
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

/* One text's rows of q, k, v to its rows of a. */
static int
attend_segment (SoraUmt5 *self, SoraKitTeam *team, const float *table, int64_t n, const float *qkv,
                float *a, float *bias)
{
  const SoraUmt5Config *c = &self->config;
  int64_t inner = c->num_heads * c->d_kv;
  Bias b = { c, table, bias, n };
  SoraKitAttention attention
      = { .queries = n, .q = qkv, .ldq = 3 * inner, .out = a, .scale = 1.0f, .bias = bias };
  SoraKitKeys *keys = sora_kit_keys_new (self->cache, c->num_heads, c->d_kv, n, team);
  int r = keys == NULL ? SORA_FAILED : sora_kit_rows_parallel (team, n, 0, bias_rows, &b);

  if (r == SORA_OK)
    r = sora_kit_keys_pack (keys, team, qkv + inner, 3 * inner, qkv + 2 * inner, 3 * inner);
  if (r == SORA_OK)
    r = sora_kit_attention (keys, team, &attention);
  sora_kit_keys_free (keys);
  return r;
}

static int
attend (SoraUmt5 *self, SoraKitTeam *team, const SoraTensorView *views, const SoraUmt5Watch *watch)
{
  const SoraUmt5Config *c = &self->config;
  int64_t inner = c->num_heads * c->d_kv, row = 0;
  float *qkv = self->work, *a = qkv + 3 * self->rows * inner, *table = NULL;
  Input input = { self, a, inner };
  int r = to_floats (team, &views[SORA_UMT5_BIAS], &table);

  if (r == SORA_OK)
    r = norm_input (self, team, &views[SORA_UMT5_NORM_1]);
  if (r == SORA_OK)
    r = multiply (self, team, views, watch, SORA_UMT5_Q, 3, SORA_KIT_STORED_SET, qkv, 3 * inner);
  for (int i = 0; r == SORA_OK && i < self->n_segments; row += self->segments[i++].n)
    r = attend_segment (self, team, table, self->segments[i].n, qkv + 3 * row * inner,
                        a + row * inner, a + self->rows * inner);
  if (r == SORA_OK)
    r = sora_kit_rows_parallel (team, self->rows, 0, input_rows, &input);
  if (r == SORA_OK)
    r = multiply (self, team, views, watch, SORA_UMT5_O, 1, SORA_KIT_STORED_ADD, self->x,
                  c->d_model);
  sora_kit_free (table);
  return r;
}

static int
feed_forward (SoraUmt5 *self, SoraKitTeam *team, const SoraTensorView *views,
              const SoraUmt5Watch *watch)
{
  const SoraUmt5Config *c = &self->config;
  Input input = { self, self->work, c->d_ff };
  int r = norm_input (self, team, &views[SORA_UMT5_NORM_2]);

  if (r == SORA_OK)
    r = multiply (self, team, views, watch, SORA_UMT5_WI_0, 2, SORA_KIT_STORED_GATE, self->work,
                  c->d_ff);
  if (r == SORA_OK)
    r = sora_kit_rows_parallel (team, self->rows, 0, input_rows, &input);
  if (r == SORA_OK)
    r = multiply (self, team, views, watch, SORA_UMT5_WO, 1, SORA_KIT_STORED_ADD, self->x,
                  c->d_model);
  return r;
}

int
sora_umt5_run_layer (SoraUmt5 *self, SoraKitTeam *team,
                     const SoraTensorView views[SORA_UMT5_LAYER_TENSORS],
                     const SoraUmt5Watch *watch)
{
  int r = attend (self, team, views, watch);

  return r == SORA_OK ? feed_forward (self, team, views, watch) : r;
}

int
sora_umt5_finish (SoraUmt5 *self, SoraKitTeam *team, const SoraTensorView *weight)
{
  float *floats = NULL;
  int r = to_floats (team, weight, &floats);
  Norm norm = { self, self->x, NULL, floats, 0 };

  for (int i = 0; r == SORA_OK && i < self->n_segments; i++)
    {
      norm.to = self->segments[i].x;
      r = sora_kit_rows_parallel (team, self->segments[i].n, 0, norm_rows, &norm);
      norm.from += self->segments[i].n * self->config.d_model;
    }
  sora_kit_free (floats);
  return r;
}
