/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The forward pass from end to end: what a job allocates, the keys of its texts, embeddings before
 * the blocks and the projection behind them.  dit-block.c is a block.
 */
#include "dit-forward-private.h"

#include "dit-embed.h"
#include "kit-math.h"
#include "kit-memory.h"
#include "kit-norm.h"

#include <stdlib.h>
#include <string.h>

/* Above this many tokens texts are computed one after the other.  */
#define BATCH_TOKENS 2048
/* Rows that are worked on at once, about: enough for every thread, and few beside those of a long
 * clip.  A batch of texts is never cut.  A test builds the plugin with another number. */
#ifndef DIT_CHUNK_ROWS
#define DIT_CHUNK_ROWS (DIT_MAX_TEXTS * BATCH_TOKENS)
#endif
_Static_assert (DIT_CHUNK_ROWS >= DIT_MAX_TEXTS * BATCH_TOKENS, "a batch of texts would be cut");

/* With precision=fast the self-attention of so many tokens or more is computed in 8 bits: at 180 both
 * ways take the same time with packing, at 720 this one takes seven tenths.  A test builds the plugin with another
 * number. */
#ifndef DIT_TOKENS_8
#define DIT_TOKENS_8 512
#endif

#define TRY(call)                                                                                  \
  do                                                                                               \
    {                                                                                              \
      int try_result = (call);                                                                     \
      if (try_result != SORA_OK)                                                                   \
        return try_result;                                                                         \
    }                                                                                              \
  while (0)

static int
batch_of (const DitGeometry *geometry, int n_texts)
{
  return geometry->tokens <= BATCH_TOKENS ? n_texts : 1;
}

static int
attends_in_8 (const DitConfig *c, const DitGeometry *geometry)
{
  return c->precision == DIT_FAST && geometry->tokens >= DIT_TOKENS_8
         && c->head_dim <= SORA_KIT_KEYS8_MAX_DIM;
}

uint64_t
dit_forward_bytes (const DitConfig *c, const DitGeometry *g, const int64_t *text_rows, int n_texts,
                   int n_times)
{
  int64_t volume = c->patch[0] * c->patch[1] * c->patch[2], longest = 0;
  int batch = batch_of (g, n_texts);
  int64_t rows = batch * g->tokens, chunk = sora_kit_min (rows, DIT_CHUNK_ROWS);
  uint64_t dim = (uint64_t)c->dim;
  uint64_t floats = (uint64_t)rows * 2 * dim + (uint64_t)chunk * 3 * dim
                    + (uint64_t)g->tokens * (uint64_t)(c->head_dim + c->in_channels * volume)
                    + (uint64_t)sora_kit_min (rows, DIT_FF_ROWS) * (uint64_t)c->ffn_dim
                    + (uint64_t)n_times * ((uint64_t)c->freq_dim + 20 * dim);
  uint64_t bytes = (uint64_t)batch
                   * (attends_in_8 (c, g) ? sora_kit_keys8_bytes (c->heads, c->head_dim, g->tokens)
                                          : sora_kit_keys_bytes (c->heads, c->head_dim, g->tokens));
  for (int i = 0; i < n_texts; i++)
    {
      longest = text_rows[i] > longest ? text_rows[i] : longest;
      bytes += (uint64_t)c->layers * sora_kit_keys_bytes (c->heads, c->head_dim, text_rows[i] + 1);
    }
  if (c->precision == DIT_FAST)
    bytes += sora_kit_rows8_bytes (rows, c->dim)
             + sora_kit_rows8_bytes (sora_kit_min (rows, DIT_FF_ROWS), c->ffn_dim)
             + sora_kit_rows8_bytes (longest + 1, c->dim);
  /* What a text's keys are made from.  */
  floats += (uint64_t)(longest + 1) * ((uint64_t)c->text_dim + 4 * dim);
  return bytes + floats * sizeof (float);
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
embed_text (DitForward *self, const DitText *text, DitTextKeys *keys, SoraKitTeam *team)
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
  const int fast = c->precision == DIT_FAST;
  SoraKitRows8 b8 = { 0 };
  const DitRows rows_in = { b, fast ? &b8 : NULL, 0 };
  int result = SORA_OK;
  if (in == NULL || a == NULL || b == NULL || kv == NULL || keys->keys == NULL
      || keys->key_bias == NULL || (fast && sora_kit_rows8_init (&b8, rows, c->dim) != 0))
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
      DitTurn turn = { .q = kv,
                    .stride = 2 * c->dim,
                    .norm_q = layer->cross_norm_k,
                    .heads = c->heads,
                    .head_dim = c->head_dim,
                    .eps = (float)c->eps };
      keys->keys[i] = sora_kit_keys_new (model->cache, c->heads, c->head_dim, rows, team);
      result = keys->keys[i] == NULL ? SORA_FAILED
                                     : dit_linear_run (&layer->kv, team, rows, &rows_in, kv);
      if (result == SORA_OK)
        result = sora_kit_rows_parallel (team, rows, 0, dit_turn_rows, &turn);
      if (result == SORA_OK)
        result = sora_kit_keys_pack (keys->keys[i], team, kv, 2 * c->dim, kv + c->dim, 2 * c->dim);
    }
  sora_kit_free (in);
  sora_kit_free (a);
  sora_kit_free (b);
  sora_kit_free (kv);
  sora_kit_rows8_clear (&b8);
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
  self->x = sora_kit_alloc (rows, dim);
  self->h = sora_kit_alloc (rows, dim);
  self->hidden = sora_kit_alloc ((uint64_t)sora_kit_min ((int64_t)rows, DIT_FF_ROWS),
                                 (size_t)c->ffn_dim * sizeof (float));
  self->time = sora_kit_alloc ((uint64_t)self->n_times * (uint64_t)(c->freq_dim + 20 * c->dim),
                               sizeof (float));
  const int in_8 = attends_in_8 (c, g);
  for (int i = 0; i < self->batch; i++)
    {
      if (in_8)
        self->self_keys8[i]
            = sora_kit_keys8_new (self->model->cache, c->heads, c->head_dim, g->tokens, team);
      else
        self->self_keys[i]
            = sora_kit_keys_new (self->model->cache, c->heads, c->head_dim, g->tokens, team);
      if (self->self_keys8[i] == NULL && self->self_keys[i] == NULL)
        return SORA_FAILED;
    }
  /* More rows than that are of one text, and are cut where its blocks of keys begin.  */
  int64_t block = in_8 ? SORA_KIT_KEYS8_BLOCK : sora_kit_keys_block (self->self_keys[0]);
  self->chunk = (int64_t)rows <= DIT_CHUNK_ROWS ? (int64_t)rows : DIT_CHUNK_ROWS / block * block;
  self->wide = sora_kit_alloc ((uint64_t)self->chunk, 3 * dim);
  if (!self->cosines || !self->sines || !self->patches || !self->x || !self->h || !self->wide
      || !self->hidden || !self->time
      || (c->precision == DIT_FAST
          && (sora_kit_rows8_init (&self->h8, (int64_t)rows, c->dim) != 0
              || sora_kit_rows8_init (&self->hidden8,
                                      sora_kit_min ((int64_t)rows, DIT_FF_ROWS), c->ffn_dim)
                     != 0)))
    return sora_kit_team_fail (team, "out of memory for %lld tokens", (long long)g->tokens);
  return SORA_OK;
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
      sora_kit_keys_free (self->self_keys[i]);
      sora_kit_keys8_free (self->self_keys8[i]);
    }
  float *buffers[] = { self->cosines, self->sines, self->patches, self->x,
                       self->h,       self->wide,  self->hidden,  self->time };
  for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++)
    sora_kit_free (buffers[i]);
  sora_kit_rows8_clear (&self->h8);
  sora_kit_rows8_clear (&self->hidden8);
  free (self);
}

/* Told after each block: @done of all that a pass computes.  */
static void
tell (const DitWatch *watch, double done)
{
  if (watch != NULL)
    watch->part (watch->data, done);
}

static int
run_texts (DitForward *self, SoraKitTeam *team, int first_text, const DitMoment *moment,
           const float *latents, const DitWatch *watch, float *out)
{
  DitModel *model = self->model;
  const DitConfig *c = &model->config;
  const DitGeometry *g = &self->geometry;
  int64_t dim = c->dim;
  size_t size = dit_latent_count (g);
  dit_patches (c, g, latents, self->patches);
  TRY (sora_kit_linear_run (model->patch, team, g->tokens, self->patches, 0, self->x, 0));
  for (int i = 1; i < self->batch; i++)
    memcpy (self->x + i * g->tokens * dim, self->x, (size_t)(g->tokens * dim) * sizeof *self->x);
  TRY (dit_blocks_begin (self, team, moment));
  for (int64_t layer = 0; layer < c->layers; layer++)
    {
      TRY (dit_block_run (self, team, first_text, layer, moment));
      tell (watch, ((double)first_text + self->batch * (double)(layer + 1) / (double)c->layers)
                       / self->running);
    }
  for (int i = 0; i < self->batch; i++)
    {
      TRY (sora_kit_linear_run (model->out, team, g->tokens, self->h + i * g->tokens * dim, 0,
                                self->patches, 0));
      dit_unpatch (c, g, self->patches, out + (size_t)i * size);
    }
  return SORA_OK;
}

int
dit_forward_run (DitForward *self, SoraKitTeam *team, const float *latents, int n_texts,
                 const DitTimes *times, const DitWatch *watch, float *out)
{
  DitModel *model = self->model;
  const DitConfig *c = &model->config;
  int64_t dim = c->dim, n = times->n;
  size_t size = dit_latent_count (&self->geometry);
  if (n > self->n_times)
    return sora_kit_team_fail (team, "tokens have %lld times, room was made for %d", (long long)n,
                               self->n_times);
  float *sinusoids = self->time, *temb = sinusoids + n * c->freq_dim, *silu = temb + n * dim,
        *time_proj = silu + n * dim;
  const DitMoment moment = { times, temb, time_proj, time_proj + 6 * n * dim };

  for (int64_t t = 0; t < n; t++)
    dit_sinusoids (c, times->values[t], sinusoids + t * c->freq_dim);
  TRY (sora_kit_linear_run (model->time_1, team, n, sinusoids, 0, silu, 0));
  TRY (sora_kit_linear_run (model->time_2, team, n, silu, 0, temb, 0));
  sora_kit_silu (temb, silu, n * dim);
  TRY (sora_kit_linear_run (model->time_proj, team, n, silu, 0, time_proj, 0));

  self->running = n_texts;
  self->batch = batch_of (&self->geometry, n_texts);
  for (int i = 0; i < n_texts; i += self->batch)
    TRY (run_texts (self, team, i, &moment, latents, watch, out + (size_t)i * size));
  return SORA_OK;
}
