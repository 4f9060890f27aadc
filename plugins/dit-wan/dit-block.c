/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One block of the transformer.  Products and attentions are the kit's; what stands between them is
 * fused into one pass over the rows: gate and residual of one part with the norm of the next, norm
 * of queries and keys with their rotation.
 *
 * A block is two walks over the rows, some of them at a time: the first makes queries, keys and
 * values, and ends with the self-attention of all; the second does everything else.
 */
#include "dit-forward-private.h"

#include "kit-norm.h"

#include <math.h>
#include <string.h>

#define TRY(call)                                                                                  \
  do                                                                                               \
    {                                                                                              \
      int try_result = (call);                                                                     \
      if (try_result != SORA_OK)                                                                   \
        return try_result;                                                                         \
    }                                                                                              \
  while (0)

/* One pass over rows: x += y · gate, then h = norm (x) · weight + bias.  Gate, weight and bias
 * are those of the row's time, a stride apart, or the same for all.  */
typedef struct
{
  float *x;
  const float *y, *gate; /* y: of the rows from `first` on; NULL: there is nothing to add */
  float *h;
  const SoraKitRows8 *h8; /* NULL: h itself is wanted; else it in 8 bits, and h is scratch */
  const float *weight, *bias;
  int64_t first, width;
  float eps;
  int norm;
  const int32_t *of_token; /* NULL: there is one time */
  int64_t tokens, norm_stride;
} Joint;

/* Numbers of one time to those of the next.  */
#define TIME_STRIDE(width) (12 * (width))

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

/* The norm of a row into @h.  */
static void
norm_row (const Joint *j, const float *x, float *h, int64_t count, int64_t time)
{
  if (j->norm)
    sora_kit_layer_norm (x, j->width, h, j->width, count, j->width,
                         j->weight != NULL ? j->weight + time * j->norm_stride : NULL,
                         j->bias != NULL ? j->bias + time * j->norm_stride : NULL, j->eps);
  else
    memcpy (h, x, (size_t)(count * j->width) * sizeof *x);
}

/* Row by row: what is rounded stays in the first cache, in one row of `h`.  */
static void
joint_rounded (const Joint *j, int64_t row, int64_t count, int64_t time, const float *gate)
{
  float *h = j->h + row * j->width;
  for (int64_t i = row; i < row + count; i++)
    {
      float *x = j->x + i * j->width;
      if (j->y != NULL)
        sora_kit_gate_add (x, j->width, j->y + (i - j->first) * j->width, j->width, 1, j->width,
                           gate);
      norm_row (j, x, h, 1, time);
      sora_kit_quantise (h, j->width, j->h8, i, 1);
    }
}

static void
joint_alike (const Joint *j, int64_t row, int64_t count)
{
  int64_t time = j->of_token != NULL ? j->of_token[row % j->tokens] : 0;
  const float *gate = j->gate != NULL ? j->gate + time * TIME_STRIDE (j->width) : NULL;
  float *x = j->x + row * j->width;
  if (j->h8 != NULL)
    {
      joint_rounded (j, row, count, time, gate);
      return;
    }
  if (j->y != NULL)
    sora_kit_gate_add (x, j->width, j->y + (row - j->first) * j->width, j->width, count, j->width,
                       gate);
  norm_row (j, x, j->h + row * j->width, count, time);
}

static void
joint_rows (void *data, int64_t row, int64_t count)
{
  const Joint *j = data;
  row += j->first;
  for (int64_t n = 0; count > 0; row += n, count -= n)
    {
      n = rows_alike (j, row, count);
      joint_alike (j, row, n);
    }
}

void
dit_turn_rows (void *data, int64_t row, int64_t count)
{
  const DitTurn *t = data;
  int64_t width = t->heads * t->head_dim, half = t->head_dim / 2;
  for (int64_t i = row; i < row + count; i++)
    {
      float *q = t->q + i * t->stride, *k = t->k != NULL ? t->k + i * t->stride : NULL;
      sora_kit_rms_norm (q, width, q, width, 1, width, t->norm_q, t->eps);
      if (k != NULL)
        sora_kit_rms_norm (k, width, k, width, 1, width, t->norm_k, t->eps);
      if (t->cosines != NULL)
        {
          int64_t at = (t->first + i) % t->tokens * half;
          sora_kit_rope (q, width, 1, t->heads, t->head_dim, t->cosines + at, t->sines + at);
          sora_kit_rope (k, width, 1, t->heads, t->head_dim, t->cosines + at, t->sines + at);
        }
    }
}

/* ---- modulation */

/* Shift and scale of a modulated norm, from a table and the time: the scale becomes 1 + scale.  */
static void
modulation (const float *table, const float *time, int64_t n, float *out, int add_one)
{
  for (int64_t i = 0; i < n; i++)
    out[i] = table[i] + time[i];
  for (int64_t i = 0; add_one && i < n; i++)
    out[i] = 1.0f + out[i];
}

/* Shift, scale, gate of the self-attention, then of the feed-forward layer, of block @index; behind
 * the last block, shift and scale of the output.  A block needs the first two of the next one, which
 * lie in the other half.  Returns: where they are.  */
static float *
modulate (const DitForward *self, int64_t index, const DitMoment *moment)
{
  const DitModel *model = self->model;
  int64_t dim = model->config.dim;
  float *m = moment->mod + (index % 2) * 6 * dim;
  for (int64_t t = 0; t < moment->times->n; t++)
    for (int64_t i = 0; i < (index < model->config.layers ? 6 : 2); i++)
      if (index < model->config.layers)
        modulation (model->layers[index].table + i * dim, moment->proj + (6 * t + i) * dim, dim,
                    m + t * TIME_STRIDE (dim) + i * dim, i == 1 || i == 4);
      else
        modulation (model->out_table + i * dim, moment->temb + t * dim, dim,
                    m + t * TIME_STRIDE (dim) + i * dim, i == 1);
  return m;
}

/* ---- a block */

typedef struct
{
  DitForward *self;
  SoraKitTeam *team;
  const DitLayer *layer;
  int64_t index;
  int first_text;
  const float *m, *next; /* modulation of this block and of what follows */
  const SoraKitRows8 *following; /* where what follows wants its input in 8 bits; NULL: in f32 */
  Joint joint;
} Block;

static Joint
joint_of (const DitForward *self, const DitMoment *moment)
{
  const DitConfig *c = &self->model->config;
  return (Joint){ .x = self->x,
                  .h = self->h,
                  .width = c->dim,
                  .eps = (float)c->eps,
                  .norm = 1,
                  .norm_stride = TIME_STRIDE (c->dim),
                  .of_token = moment->times->of_token,
                  .tokens = self->geometry.tokens };
}

/* Rows of one text, of those from @first on.  Returns: how many there are.  */
static int64_t
rows_of_text (const DitForward *self, int text, int64_t first, int64_t count, int64_t *from)
{
  int64_t begin = text * self->geometry.tokens, end = begin + self->geometry.tokens;
  *from = first > begin ? first : begin;
  return sora_kit_min (first + count, end) - *from;
}

/* A layer whose input is some rows of `h`.  @normed: they come from a Joint, which has rounded them
 * for a fast layer. */
static int
run_linear (const Block *b, const DitLinear *linear, int64_t first, int64_t count, int normed,
            float *y)
{
  const DitForward *self = b->self;
  SoraKitRows8 rounded = { 0 };
  if (linear->fast != NULL)
    rounded = sora_kit_rows8_at (&self->h8, first);
  const DitRows rows = { self->h + first * self->model->config.dim, &rounded, normed };
  return dit_linear_run (linear, b->team, count, &rows, y);
}

/* Where a Joint puts what goes into @linear: in 8 bits, or NULL for f32.  */
static const SoraKitRows8 *
rows_for (const DitForward *self, const DitLinear *linear)
{
  return linear->fast != NULL ? &self->h8 : NULL;
}

/* Queries of some rows into `h`, where their norm was, and keys and values to where they are
 * packed.  */
static int
make_keys (Block *b, int64_t first, int64_t count)
{
  DitForward *self = b->self;
  const DitConfig *c = &self->model->config;
  int64_t dim = c->dim, from, n;
  float *q = self->wide, *h = self->h + first * dim;
  DitTurn turn = { .q = q,
                   .k = q + dim,
                   .stride = 3 * dim,
                   .norm_q = b->layer->norm_q,
                   .norm_k = b->layer->norm_k,
                   .cosines = self->cosines,
                   .sines = self->sines,
                   .first = first,
                   .tokens = self->geometry.tokens,
                   .heads = c->heads,
                   .head_dim = c->head_dim,
                   .eps = (float)c->eps };
  TRY (run_linear (b, &b->layer->qkv, first, count, 1, q));
  TRY (sora_kit_rows_parallel (b->team, count, 0, dit_turn_rows, &turn));
  for (int i = 0; i < self->batch; i++)
    if ((n = rows_of_text (self, i, first, count, &from)) > 0)
      {
        const float *k = q + (from - first) * 3 * dim + dim;
        const int64_t at = from - i * self->geometry.tokens;
        TRY (self->self_keys8[i] != NULL
                 ? sora_kit_keys8_pack_part (self->self_keys8[i], b->team, at, n, k, 3 * dim,
                                             k + dim, 3 * dim)
                 : sora_kit_keys_pack_part (self->self_keys[i], b->team, at, n, k, 3 * dim, k + dim,
                                            3 * dim));
      }
  for (int64_t i = 0; i < count; i++)
    memcpy (h + i * dim, q + i * 3 * dim, (size_t)dim * sizeof *h);
  return SORA_OK;
}

static int
attend_to_self (const Block *b)
{
  DitForward *self = b->self;
  const DitConfig *c = &self->model->config;
  for (int i = 0; i < self->batch; i++)
    {
      float *q = self->h + i * self->geometry.tokens * c->dim;
      SoraKitAttention a = { .queries = self->geometry.tokens,
                             .q = q,
                             .out = q,
                             .scale = 1.0f / sqrtf ((float)c->head_dim) };
      TRY (self->self_keys8[i] != NULL ? sora_kit_attention8 (self->self_keys8[i], b->team, &a)
                                       : sora_kit_attention (self->self_keys[i], b->team, &a));
    }
  return SORA_OK;
}

static int
attend_to_text (const Block *b, int64_t first, int64_t count)
{
  DitForward *self = b->self;
  const DitConfig *c = &self->model->config;
  int64_t from, n;
  for (int i = 0; i < self->batch; i++)
    if ((n = rows_of_text (self, i, first, count, &from)) > 0)
      {
        const DitTextKeys *text = &self->texts[b->first_text + i];
        SoraKitAttention a = { .queries = n,
                               .q = self->wide + (from - first) * c->dim,
                               .out = self->h + from * c->dim,
                               .scale = 1.0f / sqrtf ((float)c->head_dim),
                               .key_bias = text->key_bias };
        TRY (sora_kit_attention (text->keys[b->index], b->team, &a));
      }
  return SORA_OK;
}

static int
feed_forward (const Block *b, int64_t first, int64_t count)
{
  DitForward *self = b->self;
  int64_t dim = self->model->config.dim;
  for (int64_t row = 0; row < count; row += DIT_FF_ROWS)
    {
      int64_t rows = sora_kit_min (DIT_FF_ROWS, count - row);
      const DitRows hidden = { self->hidden, &self->hidden8, 0 };
      TRY (run_linear (b, &b->layer->ff_1, first + row, rows, 1, self->hidden));
      TRY (dit_linear_run (&b->layer->ff_2, b->team, rows, &hidden, self->wide + row * dim));
    }
  return SORA_OK;
}

/* What follows the self-attention, of some rows.  */
static int
follow (Block *b, int64_t first, int64_t count)
{
  DitForward *self = b->self;
  const DitConfig *c = &self->model->config;
  const DitLayer *layer = b->layer;
  int64_t dim = c->dim;
  Joint joint = b->joint;
  joint.first = first;
  joint.y = self->wide;

  TRY (run_linear (b, &layer->self_o, first, count, 0, self->wide));
  joint.h8 = rows_for (self, &layer->cross_q);
  joint.gate = b->m + 2 * dim;
  joint.norm = c->cross_norm;
  joint.norm_stride = 0;
  joint.weight = layer->norm_2_w;
  joint.bias = layer->norm_2_b;
  TRY (sora_kit_rows_parallel (b->team, count, 0, joint_rows, &joint));

  DitTurn turn = { .q = self->wide,
                   .stride = dim,
                   .norm_q = layer->cross_norm_q,
                   .heads = c->heads,
                   .head_dim = c->head_dim,
                   .eps = (float)c->eps };
  TRY (run_linear (b, &layer->cross_q, first, count, 1, self->wide));
  TRY (sora_kit_rows_parallel (b->team, count, 0, dit_turn_rows, &turn));
  TRY (attend_to_text (b, first, count));
  TRY (run_linear (b, &layer->cross_o, first, count, 0, self->wide));
  joint.h8 = rows_for (self, &layer->ff_1);
  joint.gate = NULL;
  joint.norm = 1;
  joint.norm_stride = TIME_STRIDE (dim);
  joint.bias = b->m + 3 * dim;
  joint.weight = b->m + 4 * dim;
  TRY (sora_kit_rows_parallel (b->team, count, 0, joint_rows, &joint));

  TRY (feed_forward (b, first, count));
  joint.h8 = b->following;
  joint.gate = b->m + 5 * dim;
  joint.bias = b->next;
  joint.weight = b->next + dim;
  return sora_kit_rows_parallel (b->team, count, 0, joint_rows, &joint);
}

int
dit_blocks_begin (DitForward *self, SoraKitTeam *team, const DitMoment *moment)
{
  Joint joint = joint_of (self, moment);
  joint.bias = modulate (self, 0, moment);
  joint.weight = joint.bias + joint.width;
  joint.h8 = rows_for (self, &self->model->layers[0].qkv);
  return sora_kit_rows_parallel (team, self->batch * self->geometry.tokens, 0, joint_rows, &joint);
}

int
dit_block_run (DitForward *self, SoraKitTeam *team, int first_text, int64_t index,
               const DitMoment *moment)
{
  int64_t rows = self->batch * self->geometry.tokens;
  Block block = { .self = self,
                  .team = team,
                  .layer = &self->model->layers[index],
                  .index = index,
                  .first_text = first_text,
                  .m = modulate (self, index, moment),
                  .next = modulate (self, index + 1, moment),
                  .following
                  = index + 1 < self->model->config.layers
                        ? rows_for (self, &self->model->layers[index + 1].qkv)
                        : NULL,
                  .joint = joint_of (self, moment) };
  for (int64_t row = 0; row < rows; row += self->chunk)
    TRY (make_keys (&block, row, sora_kit_min (self->chunk, rows - row)));
  TRY (attend_to_self (&block));
  for (int64_t row = 0; row < rows; row += self->chunk)
    TRY (follow (&block, row, sora_kit_min (self->chunk, rows - row)));
  return SORA_OK;
}
