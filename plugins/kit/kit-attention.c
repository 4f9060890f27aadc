/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Attention in fixed tiles, with the softmax by hand on a tile that is in the cache.
 */
#include "kit-attention.h"

#include "kit-memory.h"
#include "kit-vector.h"

#include <float.h>
#include <stdlib.h>

#define LANES SORA_KIT_LANES
#define BLOCK                                                                                      \
  240 /* queries of a tile, keys of a block, a multiple of LANES: 240 x 240 scores are 230 KB */

struct SoraKitKeys
{
  SoraKitCache *cache;
  int64_t heads, head_dim, n;
  int64_t block, blocks;      /* keys of a block, blocks */
  int64_t k_floats, v_floats; /* of one packed block */
  float *packed;
  SoraKitPrimitive *reorder_k[2],
      *reorder_v[2]; /* of a whole block, of the last; for these strides: */
  int64_t ldk, ldv;
};

typedef struct
{
  SoraKitKeys *keys;
  const float *k, *v;
  int64_t first, blocks; /* of them, which stand at @k and @v */
} Packing;

typedef struct
{
  SoraKitKeys *keys;
  SoraKitAttention a;
  int64_t tile, tiles;                           /* queries of a tile, tiles of a head */
  SoraKitPrimitive *scores[4], *sum[4], *add[4]; /* {whole, last} queries x {whole, last} keys */
} Running;

/* Blocks of nearly one size, a multiple of 16.  */
static int64_t
even_block (int64_t n, int64_t limit)
{
  return n <= limit
             ? n
             : sora_kit_ceil_div (sora_kit_ceil_div (n, sora_kit_ceil_div (n, limit)), 16) * 16;
}

/* Scores of m queries, keys of `n`: products with packed keys, and with packed values.  */
static SoraKitPrimitive *
scores_product (SoraKitKeys *self, int64_t m, int64_t n, SoraKitTeam *team)
{
  SoraKitMatmul mm;
  memset (&mm, 0, sizeof mm);
  mm.m = m;
  mm.n = n;
  mm.k = self->head_dim;
  mm.packed_m = BLOCK;
  return sora_kit_cache_matmul (self->cache, &mm, team);
}

static SoraKitPrimitive *
values_product (SoraKitKeys *self, int64_t m, int64_t n, int accumulate, SoraKitTeam *team)
{
  SoraKitMatmul mm;
  memset (&mm, 0, sizeof mm);
  mm.m = m;
  mm.n = self->head_dim;
  mm.k = n;
  mm.packed_m = BLOCK;
  mm.accumulate = accumulate;
  return sora_kit_cache_matmul (self->cache, &mm, team);
}

SoraKitKeys *
sora_kit_keys_new (SoraKitCache *cache, int64_t heads, int64_t head_dim, int64_t n,
                   SoraKitTeam *team)
{
  if (heads < 1 || head_dim < 1 || n < 1 || n > INT32_MAX || heads > INT32_MAX / head_dim)
    {
      sora_kit_team_fail (team, "attention: %lld heads of %lld over %lld keys", (long long)heads,
                          (long long)head_dim, (long long)n);
      return NULL;
    }
  SoraKitKeys *self = calloc (1, sizeof *self);
  if (self == NULL)
    {
      sora_kit_team_fail (team, "out of memory for keys");
      return NULL;
    }
  self->cache = cache;
  self->heads = heads;
  self->head_dim = head_dim;
  self->n = n;
  self->block = even_block (n, BLOCK);
  self->blocks = sora_kit_ceil_div (n, self->block);
  SoraKitPrimitive *k = scores_product (self, BLOCK, self->block, team);
  SoraKitPrimitive *v = values_product (self, BLOCK, self->block, 0, team);
  if (k != NULL && v != NULL)
    {
      uint64_t k_bytes
          = sora_kit_layout_bytes (sora_kit_primitive_layout (k, SORA_KIT_ROLE_WEIGHTS));
      uint64_t v_bytes
          = sora_kit_layout_bytes (sora_kit_primitive_layout (v, SORA_KIT_ROLE_WEIGHTS));
      self->k_floats = sora_kit_ceil_div ((int64_t)k_bytes, 64) * 16;
      self->v_floats = sora_kit_ceil_div ((int64_t)v_bytes, 64) * 16;
      self->packed = sora_kit_alloc ((uint64_t)(heads * self->blocks),
                                     (size_t)(self->k_floats + self->v_floats) * sizeof (float));
      if (self->packed != NULL)
        return self;
      sora_kit_team_fail (team, "out of memory for %lld keys", (long long)n);
    }
  sora_kit_keys_free (self);
  return NULL;
}

static void
free_reorders (SoraKitKeys *self)
{
  for (int i = 0; i < 2; i++)
    {
      sora_kit_primitive_free (self->reorder_k[i]);
      sora_kit_primitive_free (self->reorder_v[i]);
      self->reorder_k[i] = self->reorder_v[i] = NULL;
    }
}

void
sora_kit_keys_free (SoraKitKeys *self)
{
  if (self == NULL)
    return;
  free_reorders (self);
  sora_kit_free (self->packed);
  free (self);
}

uint64_t
sora_kit_keys_bytes (int64_t heads, int64_t head_dim, int64_t n)
{
  /* With AVX-512 a product's B is padded to 64 columns and 16 rows: of keys and of head_dim.  */
  int64_t block = even_block (n, BLOCK), blocks = sora_kit_ceil_div (n, block);
  int64_t k = sora_kit_ceil_div (block, 64) * 64 * (sora_kit_ceil_div (head_dim, 16) * 16);
  int64_t v = sora_kit_ceil_div (block, 16) * 16 * (sora_kit_ceil_div (head_dim, 64) * 64);
  return (uint64_t)heads * (uint64_t)blocks * (uint64_t)(k + v) * sizeof (float);
}

uint64_t
sora_kit_keys_size (const SoraKitKeys *self)
{
  return (uint64_t)(self->heads * self->blocks) * (uint64_t)(self->k_floats + self->v_floats)
         * sizeof (float);
}

/* Floats of scratch of a tile of `rows` queries over blocks of `keys`: queries, output, scores with
 * room behind them, then one number a row: maxima, sums, factors, totals.  */
static int64_t
tile_floats (int64_t rows, int64_t keys, int64_t head_dim)
{
  return 2 * (sora_kit_ceil_div (rows * head_dim, 16) * 16)
         + sora_kit_ceil_div (rows * keys, 16) * 16 + LANES + 4 * BLOCK;
}

uint64_t
sora_kit_thread_bytes (int64_t head_dim)
{
  /* The rest is oneDNN's: a stream, memories and scratchpads of each primitive.  */
  return (uint64_t)tile_floats (BLOCK, BLOCK, head_dim) * sizeof (float) + (UINT64_C (64) << 10);
}

static float *
packed_k (const SoraKitKeys *self, int64_t head, int64_t block)
{
  return self->packed + (head * self->blocks + block) * (self->k_floats + self->v_floats);
}

static SoraKitPrimitive *
reorder_for (SoraKitPrimitive *product, int64_t rows, int64_t columns, int64_t row_stride,
             int64_t column_stride, SoraKitTeam *team)
{
  const int64_t dims[] = { rows, columns }, strides[] = { row_stride, column_stride };
  if (product == NULL)
    return NULL;
  SoraKitLayout *plain = sora_kit_layout_new (2, dims, dnnl_f32, strides, team);
  SoraKitPrimitive *reorder
      = plain == NULL ? NULL
                      : sora_kit_reorder_new (
                          plain, sora_kit_primitive_layout (product, SORA_KIT_ROLE_WEIGHTS), team);
  sora_kit_layout_free (plain);
  return reorder;
}

static int
prepare_reorders (SoraKitKeys *self, int64_t ldk, int64_t ldv, SoraKitTeam *team)
{
  if (self->reorder_k[0] != NULL && self->ldk == ldk && self->ldv == ldv)
    return SORA_OK;
  free_reorders (self);
  for (int i = 0; i < 2; i++)
    {
      int64_t n = i == 0 ? self->block : self->n - (self->blocks - 1) * self->block;
      self->reorder_k[i]
          = reorder_for (scores_product (self, BLOCK, n, team), self->head_dim, n, 1, ldk, team);
      self->reorder_v[i]
          = reorder_for (values_product (self, BLOCK, n, 0, team), n, self->head_dim, ldv, 1, team);
      if (self->reorder_k[i] == NULL || self->reorder_v[i] == NULL)
        {
          free_reorders (self);
          return SORA_FAILED;
        }
    }
  self->ldk = ldk;
  self->ldv = ldv;
  return SORA_OK;
}

static int
pack_tile (SoraKitTeam *team, void *data, int64_t tile, int slot)
{
  const Packing *packing = data;
  SoraKitKeys *self = packing->keys;
  int64_t head = tile / packing->blocks, at = tile % packing->blocks, block = packing->first + at;
  int last = block == self->blocks - 1;
  float *to = packed_k (self, head, block);
  const float *k = packing->k + at * self->block * self->ldk + head * self->head_dim;
  const float *v = packing->v + at * self->block * self->ldv + head * self->head_dim;
  int result = sora_kit_primitive_run (self->reorder_k[last], team, slot, k, NULL, NULL, to);
  if (result == SORA_OK)
    result = sora_kit_primitive_run (self->reorder_v[last], team, slot, v, NULL, NULL,
                                     to + self->k_floats);
  return result;
}

int64_t
sora_kit_keys_block (const SoraKitKeys *self)
{
  return self->block;
}

int
sora_kit_keys_pack_part (SoraKitKeys *self, SoraKitTeam *team, int64_t first, int64_t count,
                         const float *k, int64_t ldk, const float *v, int64_t ldv)
{
  int64_t width = self->heads * self->head_dim;
  if (first < 0 || count < 1 || first % self->block != 0 || count > self->n - first
      || (count % self->block != 0 && first + count != self->n))
    return sora_kit_team_fail (
        team, "attention: keys %lld and %lld more of %lld are not whole blocks of %lld",
        (long long)first, (long long)count, (long long)self->n, (long long)self->block);
  if (prepare_reorders (self, ldk > 0 ? ldk : width, ldv > 0 ? ldv : width, team) != SORA_OK)
    return SORA_FAILED;
  Packing packing
      = { self, k, v, first / self->block, sora_kit_ceil_div (count, self->block) };
  return sora_kit_parallel (team, self->heads * packing.blocks, pack_tile, &packing);
}

int
sora_kit_keys_pack (SoraKitKeys *self, SoraKitTeam *team, const float *k, int64_t ldk,
                    const float *v, int64_t ldv)
{
  return sora_kit_keys_pack_part (self, team, 0, self->n, k, ldk, v, ldv);
}

/* Rows of scores become exp (score - maximum), with the running maximum and sum of each row;
 * `factors` is by how much what was summed before has to shrink.  Rows are dense, and vectors reach
 * over the end of a row: the lanes beyond it are read (the last row has room behind it) and written
 * back as they were.  */
SORA_KIT_MULTIVERSION static void
softmax_rows (float *restrict scores, int64_t rows, int64_t n, const float *bias, int64_t ldb,
              const float *key_bias, float *restrict maxima, float *restrict sums,
              float *restrict factors, float *restrict totals)
{
  const SoraKitVi lanes = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
  int64_t whole = n / LANES * LANES, rest = n - whole;
  SoraKitVi inside = lanes < (int32_t)rest;
  SoraKitV least = sora_kit_v_set (-FLT_MAX), zero = { 0 };
  for (int64_t row = 0; row < rows; row++, scores += n)
    {
      if (bias != NULL)
        for (int64_t i = 0; i < n; i++)
          scores[i] += bias[row * ldb + i];
      if (key_bias != NULL)
        for (int64_t i = 0; i < n; i++)
          scores[i] += key_bias[i];
      SoraKitV v, e, top = least, sum = zero;
      for (int64_t i = 0; i < whole; i += LANES)
        {
          v = sora_kit_v_load (scores + i);
          top = sora_kit_v_max2 (v, top);
        }
      if (rest)
        {
          v = sora_kit_v_load (scores + whole);
          v = sora_kit_v_select (inside, v, least);
          top = sora_kit_v_max2 (v, top);
        }
      float before = maxima[row], most = sora_kit_v_max (&top);
      if (before > most)
        most = before;
      for (int64_t i = 0; i < whole; i += LANES)
        {
          v = sora_kit_v_load (scores + i) - most;
          sora_kit_v_exp (&v);
          sum += v;
          sora_kit_v_store (scores + i, v);
        }
      if (rest)
        {
          v = sora_kit_v_load (scores + whole);
          e = v - most;
          sora_kit_v_exp (&e);
          sum += sora_kit_v_select (inside, e, zero);
          e = sora_kit_v_select (inside, e, v);
          sora_kit_v_store (scores + whole, e);
        }
      factors[row] = before - most;
      maxima[row] = most;
      totals[row] = sora_kit_v_sum (&sum);
    }
  /* These arrays have room for whole vectors.  */
  for (int64_t i = 0; i < rows; i += LANES)
    {
      SoraKitV v = sora_kit_v_load (factors + i);
      sora_kit_v_exp (&v);
      sora_kit_v_store (factors + i, v);
      v = sora_kit_v_load (sums + i) * v + sora_kit_v_load (totals + i);
      sora_kit_v_store (sums + i, v);
    }
}

SORA_KIT_MULTIVERSION static void
scale_rows (float *to, int64_t ldt, const float *from, int64_t ldf, int64_t rows, int64_t width,
            const float *factors, int divide)
{
  for (int64_t row = 0; row < rows; row++, to += ldt, from += ldf)
    {
      float factor = divide ? 1.0f / factors[row] : factors[row];
      for (int64_t i = 0; i < width; i++)
        to[i] = from[i] * factor;
    }
}

static int
attention_tile (SoraKitTeam *team, void *data, int64_t index, int slot)
{
  const Running *running = data;
  const SoraKitAttention *a = &running->a;
  SoraKitKeys *self = running->keys;
  int64_t head = index / running->tiles, tile = index % running->tiles, dim = self->head_dim;
  int64_t first = tile * running->tile, rows = sora_kit_min (running->tile, a->queries - first);
  int last_rows = tile == running->tiles - 1;

  int64_t q_floats = sora_kit_ceil_div (rows * dim, 16) * 16,
          s_floats = sora_kit_ceil_div (rows * self->block, 16) * 16 + LANES;
  float *scratch = sora_kit_cache_scratch (
      self->cache, team, slot, (uint64_t)tile_floats (rows, self->block, dim) * sizeof *scratch);
  if (scratch == NULL)
    return SORA_FAILED;
  float *q = scratch, *out = q + q_floats, *scores = out + q_floats;
  float *maxima = scores + s_floats, *sums = maxima + BLOCK, *factors = sums + BLOCK,
        *totals = factors + BLOCK;
  for (int64_t i = 0; i < BLOCK; i++)
    {
      maxima[i] = -FLT_MAX;
      sums[i] = totals[i] = 0;
      factors[i] = a->scale;
    }
  scale_rows (q, dim, a->q + first * a->ldq + head * dim, a->ldq, rows, dim, factors, 0);

  for (int64_t block = 0; block < self->blocks; block++)
    {
      int last_keys = block == self->blocks - 1, which = last_rows + 2 * last_keys;
      int64_t at = block * self->block, n = sora_kit_min (self->block, self->n - at);
      const float *k = packed_k (self, head, block);
      if (sora_kit_primitive_run (running->scores[which], team, slot, q, k, NULL, scores)
          != SORA_OK)
        return SORA_FAILED;
      softmax_rows (scores, rows, n,
                    a->bias != NULL ? a->bias + (head * a->queries + first) * self->n + at : NULL,
                    self->n, a->key_bias != NULL ? a->key_bias + at : NULL, maxima, sums, factors,
                    totals);
      if (block > 0)
        scale_rows (out, dim, out, dim, rows, dim, factors, 0);
      if (sora_kit_primitive_run (block > 0 ? running->add[which] : running->sum[which], team, slot,
                                  scores, k + self->k_floats, NULL, out)
          != SORA_OK)
        return SORA_FAILED;
      if (sora_kit_team_cancelled (team))
        return SORA_CANCELLED;
    }
  scale_rows (a->out + first * a->ldo + head * dim, a->ldo, out, dim, rows, dim, sums, 1);
  return SORA_OK;
}

int
sora_kit_attention (SoraKitKeys *self, SoraKitTeam *team, const SoraKitAttention *attention)
{
  if (attention->queries <= 0)
    return SORA_OK;
  Running running = { .keys = self, .a = *attention };
  SoraKitAttention *a = &running.a;
  if (a->ldq <= 0)
    a->ldq = self->heads * self->head_dim;
  if (a->ldo <= 0)
    a->ldo = self->heads * self->head_dim;
  /* At least about eight tiles in all, so that a small attention keeps more than one thread busy.
   */
  int64_t limit
      = sora_kit_ceil_div (sora_kit_ceil_div (a->queries, sora_kit_ceil_div (8, self->heads)), 16)
        * 16;
  running.tile = even_block (a->queries, limit > BLOCK ? BLOCK : limit < 32 ? 32 : limit);
  running.tiles = sora_kit_ceil_div (a->queries, running.tile);
  for (int i = 0; i < 4; i++)
    {
      int64_t m = i & 1 ? a->queries - (running.tiles - 1) * running.tile : running.tile;
      int64_t n = i & 2 ? self->n - (self->blocks - 1) * self->block : self->block;
      running.scores[i] = scores_product (self, m, n, team);
      running.sum[i] = values_product (self, m, n, 0, team);
      running.add[i] = values_product (self, m, n, 1, team);
      if (running.scores[i] == NULL || running.sum[i] == NULL || running.add[i] == NULL)
        return SORA_FAILED;
    }
  return sora_kit_parallel (team, self->heads * running.tiles, attention_tile, &running);
}
