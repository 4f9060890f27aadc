/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Keys and values of the attention in 8 bits: memory, and rounding.
 */
#include "kit-keys-int8.h"

#include "kit-gemm-int8.h"
#include "kit-memory.h"
#include "kit-vector.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#define COLUMNS SORA_KIT_GEMM_INT8_COLUMNS
#define LANES SORA_KIT_LANES
#define LEAST SORA_KIT_KEYS8_LEAST
#define MAGIC 12582912.0f /* 1.5 · 2^23: adding it leaves the rounded integer in the low bits */

typedef uint8_t Bytes __attribute__ ((vector_size (LANES)));

typedef struct
{
  SoraKitKeys8 *keys;
  const float *k, *v;
  int64_t ldk, ldv, first, blocks; /* of them, which stand at @k and @v */
} Packing;

static void
measure (SoraKitKeys8 *self, int64_t heads, int64_t dim, int64_t n)
{
  *self = (SoraKitKeys8){ .heads = heads, .dim = dim, .n = n };
  self->dim4 = sora_kit_ceil_div (dim, 4) * 4;
  self->dim16 = sora_kit_ceil_div (dim, 16) * 16;
  self->dim64 = sora_kit_ceil_div (dim, COLUMNS) * COLUMNS;
  self->block = sora_kit_min (SORA_KIT_KEYS8_BLOCK, sora_kit_ceil_div (n, COLUMNS) * COLUMNS);
  self->blocks = sora_kit_ceil_div (n, self->block);
  self->block_bytes
      = (uint64_t)(self->block * (self->dim4 + self->dim64))
        + (uint64_t)(2 * self->block + self->dim16 + 2 * self->dim64) * sizeof (float);
  self->block_bytes = (self->block_bytes + 63) / 64 * 64;
}

SoraKitBlock8
sora_kit_keys8_block_at (const SoraKitKeys8 *self, int64_t head, int64_t block)
{
  uint8_t *at = self->packed + (uint64_t)(head * self->blocks + block) * self->block_bytes;
  SoraKitBlock8 b;
  b.k = (int8_t *)at;
  b.v = b.k + self->block * self->dim4;
  b.offsets = (int32_t *)(void *)(b.v + self->block * self->dim64);
  b.scales = (float *)(void *)(b.offsets + self->block);
  b.v_scales = b.scales + self->block;
  b.v_middles = b.v_scales + self->dim64;
  b.mean = b.v_middles + self->dim64;
  return b;
}

SoraKitKeys8 *
sora_kit_keys8_new (SoraKitCache *cache, int64_t heads, int64_t head_dim, int64_t n,
                    SoraKitTeam *team)
{
  if (heads < 1 || head_dim < 1 || head_dim > SORA_KIT_KEYS8_MAX_DIM || n < 1 || n > INT32_MAX
      || heads > INT32_MAX / head_dim)
    {
      sora_kit_team_fail (team,
                          "attention in 8 bits: %lld heads of %lld over %lld keys, expected "
                          "heads of at most %d",
                          (long long)heads, (long long)head_dim, (long long)n,
                          SORA_KIT_KEYS8_MAX_DIM);
      return NULL;
    }
  SoraKitKeys8 *self = calloc (1, sizeof *self);
  if (self != NULL)
    {
      measure (self, heads, head_dim, n);
      self->cache = cache;
      self->packed = sora_kit_alloc ((uint64_t)(heads * self->blocks), self->block_bytes);
      self->bias = sora_kit_alloc ((uint64_t)(self->blocks * self->block), sizeof *self->bias);
      if (self->packed != NULL && self->bias != NULL)
        return self;
    }
  sora_kit_team_fail (team, "out of memory for %lld keys", (long long)n);
  sora_kit_keys8_free (self);
  return NULL;
}

void
sora_kit_keys8_free (SoraKitKeys8 *self)
{
  if (self == NULL)
    return;
  sora_kit_free (self->packed);
  sora_kit_free (self->bias);
  free (self);
}

uint64_t
sora_kit_keys8_bytes (int64_t heads, int64_t head_dim, int64_t n)
{
  SoraKitKeys8 like;
  measure (&like, heads, head_dim, n);
  return sora_kit_alloc_bytes ((uint64_t)(heads * like.blocks) * like.block_bytes)
         + sora_kit_alloc_bytes ((uint64_t)(like.blocks * like.block) * sizeof (float))
         + sizeof like;
}

/* A copy with zeros behind it, so that loading whole vectors never reads beyond a row. */
SORA_KIT_INLINE void
load_row (float *to, const float *from, int64_t dim)
{
  memcpy (to, from, (size_t)dim * sizeof *to);
}

SORA_KIT_MULTIVERSION static void
round_keys (const SoraKitKeys8 *self, const float *k, int64_t ldk, int64_t n,
            const SoraKitBlock8 *to)
{
  const int64_t dim = self->dim, dim16 = self->dim16;
  float mean[SORA_KIT_KEYS8_MAX_DIM] = { 0 }, row[SORA_KIT_KEYS8_MAX_DIM] = { 0 };
  uint8_t bytes[SORA_KIT_KEYS8_MAX_DIM] = { 0 };
  for (int64_t key = 0; key < n; key++)
    {
      load_row (row, k + key * ldk, dim);
      for (int64_t i = 0; i < dim16; i += LANES)
        sora_kit_v_store (mean + i, sora_kit_v_load (mean + i) + sora_kit_v_load (row + i));
    }
  for (int64_t i = 0; i < dim16; i++)
    to->mean[i] = mean[i] /= (float)n;
  memset (to->k, 0, (size_t)(self->block * self->dim4));
  for (int64_t key = 0; key < self->block; key++)
    {
      to->scales[key] = 0;
      to->offsets[key] = 0;
      if (key >= n)
        continue;
      load_row (row, k + key * ldk, dim);
      SoraKitV top = { 0 };
      for (int64_t i = 0; i < dim16; i += LANES)
        {
          const SoraKitV v = sora_kit_v_load (row + i) - sora_kit_v_load (mean + i);
          const SoraKitV size = (SoraKitV)((SoraKitVi)v & 0x7fffffff);
          top = sora_kit_v_max2 (size, top);
        }
      const float most = sora_kit_v_max (&top);
      if (!(most >= LEAST))
        continue;
      const float inverse = 127.0f / most;
      SoraKitVi sum = { 0 };
      for (int64_t i = 0; i < dim16; i += LANES)
        {
          const SoraKitV v
              = (sora_kit_v_load (row + i) - sora_kit_v_load (mean + i)) * inverse + MAGIC;
          const Bytes whole = __builtin_convertvector((SoraKitVi)v, Bytes);
          memcpy (bytes + i, &whole, sizeof whole);
          sum += (((SoraKitVi)v + 128) & 255) - 128;
        }
      int32_t all = 0;
      for (int i = 0; i < LANES; i++)
        all += sum[i];
      to->scales[key] = most / 127.0f;
      to->offsets[key] = 128 * all;
      int8_t *panel = to->k + key / COLUMNS * self->dim4 * COLUMNS + key % COLUMNS * 4;
      for (int64_t i = 0; i < self->dim4; i += 4)
        memcpy (panel + i * COLUMNS, bytes + i, 4);
    }
}

SORA_KIT_MULTIVERSION static void
round_values (const SoraKitKeys8 *self, const float *v, int64_t ldv, int64_t n,
              const SoraKitBlock8 *to)
{
  const int64_t dim = self->dim;
  float row[SORA_KIT_KEYS8_MAX_DIM] = { 0 }, inverse[SORA_KIT_KEYS8_MAX_DIM] = { 0 };
  /* What is no finite number makes the sum of x - x NaN. */
  float low[SORA_KIT_KEYS8_MAX_DIM] = { 0 }, high[SORA_KIT_KEYS8_MAX_DIM] = { 0 },
        none[SORA_KIT_KEYS8_MAX_DIM] = { 0 };
  memcpy (low, v, (size_t)dim * sizeof *low);
  memcpy (high, v, (size_t)dim * sizeof *high);
  for (int64_t key = 0; key < n; key++)
    {
      load_row (row, v + key * ldv, dim);
      for (int64_t i = 0; i < self->dim16; i += LANES)
        {
          const SoraKitV x = sora_kit_v_load (row + i), l = sora_kit_v_load (low + i),
                         h = sora_kit_v_load (high + i);
          sora_kit_v_store (low + i, sora_kit_v_select (x < l, x, l));
          sora_kit_v_store (high + i, sora_kit_v_select (x > h, x, h));
          sora_kit_v_store (none + i, sora_kit_v_load (none + i) + (x - x));
        }
    }
  for (int64_t i = 0; i < self->dim64; i++)
    {
      const float half = 0.5f * high[i] - 0.5f * low[i];
      to->v_middles[i] = 0.5f * high[i] + 0.5f * low[i] + none[i];
      to->v_scales[i] = half >= LEAST ? half / 127.0f : 0.0f;
      inverse[i] = half >= LEAST ? 127.0f / half : 0.0f;
    }
  for (int64_t key = 0; key < self->block; key += 4)
    {
      /* Four keys of a channel are a word; beyond the last key stand zeros. */
      uint32_t words[SORA_KIT_KEYS8_MAX_DIM] = { 0 };
      for (int64_t j = 0; j < 4 && key + j < n; j++)
        {
          load_row (row, v + (key + j) * ldv, dim);
          for (int64_t i = 0; i < self->dim16; i += LANES)
            {
              const SoraKitV x = (sora_kit_v_load (row + i) - sora_kit_v_load (to->v_middles + i))
                                     * sora_kit_v_load (inverse + i)
                                 + MAGIC;
              SoraKitVi word;
              memcpy (&word, words + i, sizeof word);
              word |= ((SoraKitVi)x & 255) << (int)(8 * j);
              memcpy (words + i, &word, sizeof word);
            }
        }
      for (int64_t at = 0; at < self->dim64; at += COLUMNS)
        memcpy (to->v + at * self->block + key * COLUMNS, words + at, COLUMNS * sizeof *words);
    }
}

static int
pack_block (SoraKitTeam *team, void *data, int64_t index, int slot)
{
  const Packing *p = data;
  SoraKitKeys8 *self = p->keys;
  const int64_t head = index / p->blocks, block = index % p->blocks, row = block * self->block;
  const int64_t n = sora_kit_min (self->block, self->n - p->first - row);
  const SoraKitBlock8 to = sora_kit_keys8_block_at (self, head, p->first / self->block + block);
  (void)team;
  (void)slot;
  round_keys (self, p->k + row * p->ldk + head * self->dim, p->ldk, n, &to);
  round_values (self, p->v + row * p->ldv + head * self->dim, p->ldv, n, &to);
  return SORA_OK;
}

int
sora_kit_keys8_pack_part (SoraKitKeys8 *self, SoraKitTeam *team, int64_t first, int64_t count,
                          const float *k, int64_t ldk, const float *v, int64_t ldv)
{
  if (first < 0 || count < 1 || first % self->block != 0 || first >= self->n
      || count > self->n - first || (count % self->block != 0 && first + count != self->n))
    return sora_kit_team_fail (team, "keys %lld to %lld of %lld are not whole blocks of %lld",
                               (long long)first, (long long)(first + count), (long long)self->n,
                               (long long)self->block);
  const int64_t width = self->heads * self->dim;
  Packing p = { .keys = self,
                .k = k,
                .v = v,
                .ldk = ldk > 0 ? ldk : width,
                .ldv = ldv > 0 ? ldv : width,
                .first = first,
                .blocks = sora_kit_ceil_div (count, self->block) };
  return sora_kit_parallel (team, self->heads * p.blocks, pack_block, &p);
}
