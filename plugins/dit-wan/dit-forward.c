/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The forward pass.  Products and attentions are the kit's; what stands between them is fused into
 * one pass over the rows: gate and residual of one part with the norm of the next, norm of queries
 * and keys with their rotation.
 */
#include "dit-forward.h"

#include "dit-embed.h"
#include "kit-attention.h"
#include "kit-math.h"
#include "kit-memory.h"
#include "kit-norm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows of the feed-forward layer computed at once, so that its wide hidden rows stay in the cache.
 */
#define FF_ROWS 512
/* Above this many tokens texts are computed one after the other.  */
#define BATCH_TOKENS 2048

typedef struct
{
  SoraKitKeys **keys; /* of each layer */
  float *key_bias;    /* [n + 1] */
} TextKeys;

struct DitForward
{
  DitModel *model;
  DitGeometry geometry;
  int n_texts, batch; /* texts in one pass: all or 1 */
  TextKeys texts[DIT_MAX_TEXTS];
  SoraKitKeys *self_keys;
  float *cosines, *sines;
  float *patches;  /* [tokens, C·patch], also rows of the output */
  float *embedded; /* [tokens, D]: the patches, the same for every text */
  float *x, *h;    /* [batch · tokens, D]: the residual, and a work buffer */
  float *wide;     /* [batch · tokens, 3 D] */
  float *hidden;   /* [FF_ROWS, F] */
  int n_times;     /* what `time` is for */
  float *time; /* of each time: sinusoids and embeddings, freq_dim + 2 D + 6 D, then the modulation
                  of two layers: 12 D */
};

/* One pass over the rows: x += y · gate, then h = norm (x) · weight + bias.  Gate, weight and bias
 * are those of the row's time, a stride apart, or the same for all.  */
typedef struct
{
  float *x;
  const float *y, *gate;
  float *h;
  const float *weight, *bias;
  int64_t width;
  float eps;
  int norm;
  const int32_t *of_token; /* NULL: there is one time */
  int64_t tokens, gate_stride, norm_stride;
} Joint;

/* How many rows from @row on are at the time of the first; at most @count.  */
static int64_t
rows_alike (const Joint *j, int64_t row, int64_t count)
{
  int64_t n = 1;
  if (j->of_token == NULL)
    return count;
  while (n < count && j->of_token[(row + n) % j->tokens] == j->of_token[row % j->tokens])
    n++;
  return n;
}

static void
joint_alike (const Joint *j, int64_t row, int64_t count)
{
  int64_t time = j->of_token != NULL ? j->of_token[row % j->tokens] : 0;
  const float *gate = j->gate != NULL ? j->gate + time * j->gate_stride : NULL;
  float *x = j->x + row * j->width;
  if (j->y != NULL)
    sora_kit_gate_add (x, j->width, j->y + row * j->width, j->width, count, j->width, gate);
  if (j->norm)
    sora_kit_layer_norm (x, j->width, j->h + row * j->width, j->width, count, j->width,
                         j->weight != NULL ? j->weight + time * j->norm_stride : NULL,
                         j->bias != NULL ? j->bias + time * j->norm_stride : NULL, j->eps);
  else
    memcpy (j->h + row * j->width, x, (size_t)(count * j->width) * sizeof *x);
}

static void
joint_rows (void *data, int64_t row, int64_t count)
{
  const Joint *j = data;
  for (int64_t n = 0; count > 0; row += n, count -= n)
    {
      n = rows_alike (j, row, count);
      joint_alike (j, row, n);
    }
}

/* Norm of queries (and keys) across their heads, and rotation.  */
typedef struct
{
  float *q, *k; /* k NULL: queries alone */
  int64_t stride;
  const float *norm_q, *norm_k;
  const float *cosines, *sines; /* NULL: no rotation */
  int64_t tokens, heads, head_dim;
  float eps;
} Turn;

static void
turn_rows (void *data, int64_t row, int64_t count)
{
  const Turn *t = data;
  int64_t width = t->heads * t->head_dim, half = t->head_dim / 2;
  for (int64_t i = row; i < row + count; i++)
    {
      float *q = t->q + i * t->stride, *k = t->k != NULL ? t->k + i * t->stride : NULL;
      sora_kit_rms_norm (q, width, q, width, 1, width, t->norm_q, t->eps);
      if (k != NULL)
        sora_kit_rms_norm (k, width, k, width, 1, width, t->norm_k, t->eps);
      if (t->cosines != NULL)
        {
          int64_t at = i % t->tokens * half;
          sora_kit_rope (q, width, 1, t->heads, t->head_dim, t->cosines + at, t->sines + at);
          sora_kit_rope (k, width, 1, t->heads, t->head_dim, t->cosines + at, t->sines + at);
        }
    }
}

static int
batch_of (const DitGeometry *geometry, int n_texts)
{
  return geometry->tokens <= BATCH_TOKENS ? n_texts : 1;
}

uint64_t
dit_forward_bytes (const DitConfig *c, const DitGeometry *g, const int64_t *text_rows, int n_texts,
                   int n_times)
{
  int64_t volume = c->patch[0] * c->patch[1] * c->patch[2];
  uint64_t rows = (uint64_t)(batch_of (g, n_texts) * g->tokens), dim = (uint64_t)c->dim;
  uint64_t floats
      = rows * 5 * dim
        + (uint64_t)g->tokens * (uint64_t)(c->head_dim + c->in_channels * volume + c->dim)
        + (uint64_t)sora_kit_min ((int64_t)rows, FF_ROWS) * (uint64_t)c->ffn_dim
        + (uint64_t)n_times * ((uint64_t)c->freq_dim + 20 * dim);
  uint64_t bytes = floats * sizeof (float) + sora_kit_keys_bytes (c->heads, c->head_dim, g->tokens);
  for (int i = 0; i < n_texts; i++)
    bytes += (uint64_t)c->layers * sora_kit_keys_bytes (c->heads, c->head_dim, text_rows[i] + 1);
  return bytes;
}

double
dit_forward_flops (const DitConfig *c, const DitGeometry *g, const int64_t *text_rows, int n_texts)
{
  double t = (double)g->tokens, d = (double)c->dim, f = (double)c->ffn_dim, sum = 0;
  for (int i = 0; i < n_texts; i++)
    sum += (double)c->layers
           * (12 * t * d * d + 4 * t * t * d + 4 * t * (double)(text_rows[i] + 1) * d
              + 4 * t * d * f);
  return sum;
}

/* Keys and values of one text in every layer.  The rows beyond its end are zeros in the reference,
 * and become the same key through the embedder's biases: one key with log (how many) added to its
 * scores stands for all of them.  */
static int
embed_text (DitForward *self, const DitText *text, TextKeys *keys, SoraKitTeam *team)
{
  DitModel *model = self->model;
  const DitConfig *c = &model->config;
  int64_t pads = text->padded - text->n, rows = text->n + (pads > 0);
  float *in = sora_kit_alloc0 ((uint64_t)rows, (size_t)c->text_dim * sizeof *in);
  float *a = sora_kit_alloc ((uint64_t)rows, (size_t)c->dim * sizeof *a);
  float *b = sora_kit_alloc ((uint64_t)rows, (size_t)c->dim * sizeof *b);
  float *kv = sora_kit_alloc ((uint64_t)rows, (size_t)(2 * c->dim) * sizeof *kv);
  keys->keys = calloc ((size_t)c->layers, sizeof *keys->keys);
  keys->key_bias = sora_kit_alloc0 ((uint64_t)rows, sizeof *keys->key_bias);
  int result = SORA_OK;
  if (in == NULL || a == NULL || b == NULL || kv == NULL || keys->keys == NULL
      || keys->key_bias == NULL)
    result
        = sora_kit_team_fail (team, "out of memory for a text of %lld tokens", (long long)text->n);
  else
    {
      memcpy (in, text->rows, (size_t)(text->n * c->text_dim) * sizeof *in);
      if (pads > 0)
        keys->key_bias[rows - 1] = (float)sora_kit_log ((double)pads);
      result = sora_kit_linear_run (model->text_1, team, rows, in, 0, a, 0);
      if (result == SORA_OK)
        result = sora_kit_linear_run (model->text_2, team, rows, a, 0, b, 0);
    }
  for (int64_t i = 0; result == SORA_OK && i < c->layers; i++)
    {
      DitLayer *layer = &model->layers[i];
      Turn turn = { .q = kv,
                    .stride = 2 * c->dim,
                    .norm_q = layer->cross_norm_k,
                    .heads = c->heads,
                    .head_dim = c->head_dim,
                    .eps = (float)c->eps };
      keys->keys[i] = sora_kit_keys_new (model->cache, c->heads, c->head_dim, rows, team);
      result = keys->keys[i] == NULL ? SORA_FAILED
                                     : sora_kit_linear_run (layer->kv, team, rows, b, 0, kv, 0);
      if (result == SORA_OK)
        result = sora_kit_rows_parallel (team, rows, 0, turn_rows, &turn);
      if (result == SORA_OK)
        result = sora_kit_keys_pack (keys->keys[i], team, kv, 2 * c->dim, kv + c->dim, 2 * c->dim);
    }
  sora_kit_free (in);
  sora_kit_free (a);
  sora_kit_free (b);
  sora_kit_free (kv);
  return result;
}

static int
allocate (DitForward *self, SoraKitTeam *team)
{
  const DitConfig *c = &self->model->config;
  const DitGeometry *g = &self->geometry;
  uint64_t tokens = (uint64_t)g->tokens, rows = tokens * (uint64_t)self->batch;
  size_t dim = (size_t)c->dim * sizeof (float);
  int64_t volume = c->patch[0] * c->patch[1] * c->patch[2];
  self->cosines = sora_kit_alloc (tokens, (size_t)c->head_dim / 2 * sizeof (float));
  self->sines = sora_kit_alloc (tokens, (size_t)c->head_dim / 2 * sizeof (float));
  self->patches = sora_kit_alloc (tokens, (size_t)(c->in_channels * volume) * sizeof (float));
  self->embedded = sora_kit_alloc (tokens, dim);
  self->x = sora_kit_alloc (rows, dim);
  self->h = sora_kit_alloc (rows, dim);
  self->wide = sora_kit_alloc (rows, 3 * dim);
  self->hidden = sora_kit_alloc ((uint64_t)sora_kit_min ((int64_t)rows, FF_ROWS),
                                 (size_t)c->ffn_dim * sizeof (float));
  self->time = sora_kit_alloc ((uint64_t)self->n_times * (uint64_t)(c->freq_dim + 20 * c->dim),
                               sizeof (float));
  if (!self->cosines || !self->sines || !self->patches || !self->embedded || !self->x || !self->h
      || !self->wide || !self->hidden || !self->time)
    return sora_kit_team_fail (team, "out of memory for %lld tokens", (long long)g->tokens);
  self->self_keys = sora_kit_keys_new (self->model->cache, c->heads, c->head_dim, g->tokens, team);
  return self->self_keys != NULL ? SORA_OK : SORA_FAILED;
}

int
dit_forward_new (DitModel *model, const DitGeometry *geometry, const DitText *texts, int n_texts,
                 int n_times, SoraKitTeam *team, DitForward **forward)
{
  DitForward *self = calloc (1, sizeof *self);
  *forward = NULL;
  if (self == NULL)
    return sora_kit_team_fail (team, "out of memory");
  self->model = model;
  self->geometry = *geometry;
  self->n_texts = n_texts;
  self->n_times = n_times;
  self->batch = batch_of (geometry, n_texts);
  int result = allocate (self, team);
  for (int i = 0; result == SORA_OK && i < n_texts; i++)
    result = embed_text (self, &texts[i], &self->texts[i], team);
  if (result == SORA_OK)
    result = dit_rope_tables (&model->config, geometry, team, self->cosines, self->sines);
  if (result == SORA_OK)
    *forward = self;
  else
    dit_forward_free (self);
  return result;
}

void
dit_forward_free (DitForward *self)
{
  if (self == NULL)
    return;
  for (int i = 0; i < DIT_MAX_TEXTS; i++)
    {
      for (int64_t l = 0; self->texts[i].keys != NULL && l < self->model->config.layers; l++)
        sora_kit_keys_free (self->texts[i].keys[l]);
      free (self->texts[i].keys);
      sora_kit_free (self->texts[i].key_bias);
    }
  sora_kit_keys_free (self->self_keys);
  float *buffers[] = { self->cosines, self->sines, self->patches, self->embedded, self->x,
                       self->h,       self->wide,  self->hidden,  self->time };
  for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++)
    sora_kit_free (buffers[i]);
  free (self);
}

/* Attention of each text's queries: over its own tokens, or over the keys of the text.  */
static int
attend (DitForward *self, SoraKitTeam *team, int first_text, int64_t layer, int is_self)
{
  const DitConfig *c = &self->model->config;
  int64_t tokens = self->geometry.tokens, ld = is_self ? 3 * c->dim : c->dim;
  for (int i = 0; i < self->batch; i++)
    {
      float *q = self->wide + i * tokens * ld;
      SoraKitKeys *keys = is_self ? self->self_keys : self->texts[first_text + i].keys[layer];
      SoraKitAttention a = { .queries = tokens,
                             .q = q,
                             .ldq = ld,
                             .out = self->h + i * tokens * c->dim,
                             .scale = 1.0f / sqrtf ((float)c->head_dim),
                             .key_bias = is_self ? NULL : self->texts[first_text + i].key_bias };
      int result
          = is_self ? sora_kit_keys_pack (keys, team, q + c->dim, ld, q + 2 * c->dim, ld) : SORA_OK;
      if (result == SORA_OK)
        result = sora_kit_attention (keys, team, &a);
      if (result != SORA_OK)
        return result;
    }
  return SORA_OK;
}

static int
feed_forward (DitForward *self, SoraKitTeam *team, DitLayer *layer, int64_t rows)
{
  int64_t dim = self->model->config.dim;
  for (int64_t row = 0; row < rows; row += FF_ROWS)
    {
      int64_t count = sora_kit_min (FF_ROWS, rows - row);
      int result
          = sora_kit_linear_run (layer->ff_1, team, count, self->h + row * dim, 0, self->hidden, 0);
      if (result == SORA_OK)
        result = sora_kit_linear_run (layer->ff_2, team, count, self->hidden, 0,
                                      self->wide + row * dim, 0);
      if (result != SORA_OK)
        return result;
    }
  return SORA_OK;
}

#define TRY(call)                                                                                  \
  do                                                                                               \
    {                                                                                              \
      int try_result = (call);                                                                     \
      if (try_result != SORA_OK)                                                                   \
        return try_result;                                                                         \
    }                                                                                              \
  while (0)

/* What follows from the times: the embedding and its projection of each, and room for the
 * modulation of two layers.  */
typedef struct
{
  const DitTimes *times;
  const float *temb, *proj; /* [n, D], [n, 6 D] */
  float *mod;               /* [n, 12 D] */
} Moment;

/* Shift and scale of a modulated norm, from a table and the time: the scale becomes 1 + scale.  */
static void
modulation (const float *table, const float *time, int64_t n, float *out, int add_one)
{
  for (int64_t i = 0; i < n; i++)
    out[i] = table[i] + time[i];
  for (int64_t i = 0; add_one && i < n; i++)
    out[i] = 1.0f + out[i];
}

/* One block.  `joint` holds what the block before left to add; it ends holding what this one
 * leaves.  */
static int
run_layer (DitForward *self, SoraKitTeam *team, int first_text, int64_t index, const Moment *moment,
           Joint *joint)
{
  const DitConfig *c = &self->model->config;
  DitLayer *layer = &self->model->layers[index];
  int64_t dim = c->dim, rows = self->batch * self->geometry.tokens;

  /* shift, scale, gate of the self-attention, then of the feed-forward layer.  The gate of the
   * block before is still needed by the first pass, so that this block's gates lie in the other
   * half.  */
  float *m = moment->mod + (index % 2) * 6 * dim;
  for (int64_t t = 0; t < moment->times->n; t++)
    for (int64_t i = 0; i < 6; i++)
      modulation (layer->table + i * dim, moment->proj + (6 * t + i) * dim, dim,
                  m + (12 * t + i) * dim, i == 1 || i == 4);

  joint->norm = 1;
  joint->norm_stride = 12 * dim;
  joint->bias = m;
  joint->weight = m + dim;
  TRY (sora_kit_rows_parallel (team, rows, 0, joint_rows, joint));
  TRY (sora_kit_linear_run (layer->qkv, team, rows, self->h, 0, self->wide, 0));
  Turn turn = { .q = self->wide,
                .k = self->wide + dim,
                .stride = 3 * dim,
                .norm_q = layer->norm_q,
                .norm_k = layer->norm_k,
                .cosines = self->cosines,
                .sines = self->sines,
                .tokens = self->geometry.tokens,
                .heads = c->heads,
                .head_dim = c->head_dim,
                .eps = (float)c->eps };
  TRY (sora_kit_rows_parallel (team, rows, 0, turn_rows, &turn));
  TRY (attend (self, team, first_text, index, 1));
  TRY (sora_kit_linear_run (layer->self_o, team, rows, self->h, 0, self->wide, 0));

  joint->y = self->wide;
  joint->gate = m + 2 * dim;
  joint->norm = c->cross_norm;
  joint->norm_stride = 0;
  joint->weight = layer->norm_2_w;
  joint->bias = layer->norm_2_b;
  TRY (sora_kit_rows_parallel (team, rows, 0, joint_rows, joint));
  TRY (sora_kit_linear_run (layer->cross_q, team, rows, self->h, 0, self->wide, 0));
  Turn cross = { .q = self->wide,
                 .stride = dim,
                 .norm_q = layer->cross_norm_q,
                 .heads = c->heads,
                 .head_dim = c->head_dim,
                 .eps = (float)c->eps };
  TRY (sora_kit_rows_parallel (team, rows, 0, turn_rows, &cross));
  TRY (attend (self, team, first_text, index, 0));
  TRY (sora_kit_linear_run (layer->cross_o, team, rows, self->h, 0, self->wide, 0));

  joint->gate = NULL;
  joint->norm = 1;
  joint->norm_stride = 12 * dim;
  joint->bias = m + 3 * dim;
  joint->weight = m + 4 * dim;
  TRY (sora_kit_rows_parallel (team, rows, 0, joint_rows, joint));
  TRY (feed_forward (self, team, layer, rows));
  joint->gate = m + 5 * dim;
  return SORA_OK;
}

static int
run_texts (DitForward *self, SoraKitTeam *team, int first_text, const Moment *moment, float *out)
{
  const DitConfig *c = &self->model->config;
  const DitGeometry *g = &self->geometry;
  int64_t dim = c->dim, rows = self->batch * g->tokens;
  size_t size = dit_latent_count (g);
  for (int i = 0; i < self->batch; i++)
    memcpy (self->x + i * g->tokens * dim, self->embedded,
            (size_t)(g->tokens * dim) * sizeof *self->x);
  Joint joint = { .x = self->x,
                  .h = self->h,
                  .width = dim,
                  .eps = (float)c->eps,
                  .of_token = moment->times->of_token,
                  .tokens = g->tokens,
                  .gate_stride = 12 * dim,
                  .norm_stride = 12 * dim };
  for (int64_t layer = 0; layer < c->layers; layer++)
    TRY (run_layer (self, team, first_text, layer, moment, &joint));

  float *m = moment->mod + (c->layers % 2) * 6 * dim;
  for (int64_t t = 0; t < moment->times->n; t++)
    for (int64_t i = 0; i < 2; i++)
      modulation (self->model->out_table + i * dim, moment->temb + t * dim, dim,
                  m + (12 * t + i) * dim, i == 1);
  joint.bias = m;
  joint.weight = m + dim;
  TRY (sora_kit_rows_parallel (team, rows, 0, joint_rows, &joint));
  for (int i = 0; i < self->batch; i++)
    {
      TRY (sora_kit_linear_run (self->model->out, team, g->tokens, self->h + i * g->tokens * dim, 0,
                                self->patches, 0));
      dit_unpatch (c, g, self->patches, out + (size_t)i * size);
    }
  return SORA_OK;
}

int
dit_forward_run (DitForward *self, SoraKitTeam *team, const float *latents, const DitTimes *times,
                 float *out)
{
  DitModel *model = self->model;
  const DitConfig *c = &model->config;
  const DitGeometry *g = &self->geometry;
  int64_t dim = c->dim;
  size_t size = dit_latent_count (g);
  int64_t n = times->n;
  if (n > self->n_times)
    return sora_kit_team_fail (team, "tokens have %lld times, room was made for %d", (long long)n,
                               self->n_times);
  float *sinusoids = self->time, *temb = sinusoids + n * c->freq_dim, *silu = temb + n * dim,
        *time_proj = silu + n * dim;
  const Moment moment = { times, temb, time_proj, time_proj + 6 * n * dim };

  for (int64_t t = 0; t < n; t++)
    dit_sinusoids (c, times->values[t], sinusoids + t * c->freq_dim);
  TRY (sora_kit_linear_run (model->time_1, team, n, sinusoids, 0, silu, 0));
  TRY (sora_kit_linear_run (model->time_2, team, n, silu, 0, temb, 0));
  sora_kit_silu (temb, silu, n * dim);
  TRY (sora_kit_linear_run (model->time_proj, team, n, silu, 0, time_proj, 0));

  dit_patches (c, g, latents, self->patches);
  TRY (sora_kit_linear_run (model->patch, team, g->tokens, self->patches, 0, self->embedded, 0));

  for (int i = 0; i < self->n_texts; i += self->batch)
    TRY (run_texts (self, team, i, &moment, out + (size_t)i * size));
  return SORA_OK;
}
