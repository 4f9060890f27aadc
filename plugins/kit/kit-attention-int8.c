/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Attention in 8 bits: a tile of queries of one head goes over the blocks of keys, a few rows at a
 * time, so that scores and weights stay in the first cache and a block in the second.
 */
#include "kit-attention-int8.h"

#include "kit-gemm-int8.h"
#include "kit-keys-int8.h"
#include "kit-memory.h"
#include "kit-vector.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#define LANES SORA_KIT_LANES
#define COLUMNS SORA_KIT_GEMM_INT8_COLUMNS
#define BLOCK SORA_KIT_KEYS8_BLOCK
#define TILE 240                    /* queries of a tile */
#define ROWS 24                     /* of them at a time: a multiple of the product's six */
#define NEVER (-1e30f)              /* added to the scores of keys beyond the last */
#define LOG2_E 1.44269504088896341f /* scores are in units of log 2 */
#define LOG2_255 7.99435343685885793f

typedef uint8_t Bytes __attribute__ ((vector_size (LANES)));
typedef uint32_t Words __attribute__ ((vector_size (64)));
typedef int32_t Ints __attribute__ ((vector_size (64), may_alias));

typedef struct
{
  SoraKitKeys8 *keys;
  SoraKitAttention a;
  int64_t tile, tiles; /* queries of a tile, tiles of a head */
} Running;

/* A tile's memory. */
typedef struct
{
  float *q;                      /* [TILE, dim16]: scaled queries */
  uint8_t *q8;                   /* [TILE, dim4]: rounded, around 128 */
  float *out;                    /* [TILE, dim64] */
  int32_t *c;                    /* [BLOCK / COLUMNS, ROWS, COLUMNS]: sums, then scores in f32 */
  uint8_t *p;                    /* [ROWS, BLOCK]: rounded weights */
  float *scales, *maxima, *sums; /* of each query, [TILE] and room for whole vectors */
  float *means, *old, *share, *mass; /* of each row of ROWS, and room for whole vectors: its product
                                        with the keys' mean, what the output so far and this block
                                        are multiplied by, its sum of weights */
} Scratch;

#define ROOM(n) ((n) + LANES)

static uint64_t
scratch_at (const SoraKitKeys8 *keys, uint8_t *at, Scratch *s)
{
  uint64_t bytes = 0;
#define TAKE(member, count)                                                                        \
  do                                                                                               \
    {                                                                                              \
      if (at != NULL)                                                                              \
        s->member = (void *)(at + bytes);                                                          \
      bytes += ((uint64_t)(count) * sizeof *s->member + 63) / 64 * 64;                             \
    }                                                                                              \
  while (0)
  TAKE (q, TILE * keys->dim16);
  TAKE (q8, TILE * keys->dim4);
  TAKE (out, TILE * keys->dim64);
  TAKE (c, ROWS * BLOCK);
  TAKE (p, ROWS * BLOCK);
  TAKE (scales, ROOM (TILE));
  TAKE (maxima, ROOM (TILE));
  TAKE (sums, ROOM (TILE));
  TAKE (means, ROOM (ROWS));
  TAKE (old, ROOM (ROWS));
  TAKE (share, ROOM (ROWS));
  TAKE (mass, ROOM (ROWS));
#undef TAKE
  return bytes;
}

SORA_KIT_MULTIVERSION static void
round_queries (const SoraKitKeys8 *keys, const SoraKitAttention *a, const float *from, int64_t rows,
               const Scratch *s)
{
  const float scale = a->scale * LOG2_E, magic = 12582912.0f;
  for (int64_t row = 0; row < rows; row++, from += a->ldq)
    {
      float *q = s->q + row * keys->dim16, most = 0;
      uint8_t *q8 = s->q8 + row * keys->dim4;
      for (int64_t i = 0; i < keys->dim; i++)
        {
          q[i] = from[i] * scale;
          most = fabsf (q[i]) > most ? fabsf (q[i]) : most;
        }
      for (int64_t i = keys->dim; i < keys->dim16; i++)
        q[i] = 0;
      const float inverse = most >= SORA_KIT_KEYS8_LEAST ? 127.0f / most : 0.0f;
      s->scales[row] = most >= SORA_KIT_KEYS8_LEAST ? most / 127.0f : 0.0f;
      for (int64_t i = 0; i < keys->dim4; i++)
        {
          const float t = q[i] * inverse + magic;
          uint32_t bits;
          memcpy (&bits, &t, sizeof bits);
          q8[i] = (uint8_t)(bits + 128u);
        }
      s->maxima[row] = -FLT_MAX;
      s->sums[row] = 0;
    }
  memset (s->out, 0, (size_t)(rows * keys->dim64) * sizeof *s->out);
}

/* Each row's product with the mean of the keys. */
SORA_KIT_MULTIVERSION static void
multiply_mean (const float *q, int64_t dim16, const float *mean, int64_t rows, float *to)
{
  for (int64_t row = 0; row < rows; row++, q += dim16)
    {
      SoraKitV sum = sora_kit_v_load (q) * sora_kit_v_load (mean);
      for (int64_t i = LANES; i < dim16; i += LANES)
        sum += sora_kit_v_load (q + i) * sora_kit_v_load (mean + i);
      to[row] = sora_kit_v_sum (&sum);
    }
}

/* Sums of integers into weights of 8 bits, and what the rows' sums and outputs become. */
SORA_KIT_MULTIVERSION static void
soften (const SoraKitBlock8 *block, const float *bias, int64_t panels, int64_t rows,
        const Scratch *s, int64_t first)
{
  const float *scales = s->scales + first, *key_scales = block->scales;
  const int32_t *offsets = block->offsets;
  int32_t *const c = s->c;
  float *maxima = s->maxima + first, *sums = s->sums + first;
  for (int64_t row = 0; row < rows; row++)
    {
      const float scale = scales[row], mean = s->means[row];
      /* Four maxima, as one would be a chain of waiting. */
      SoraKitV most[4];
      for (int i = 0; i < 4; i++)
        most[i] = sora_kit_v_set (-FLT_MAX);
      for (int64_t panel = 0; panel < panels; panel++)
        {
          const int64_t key = panel * COLUMNS;
          int32_t *at = c + (panel * rows + row) * COLUMNS;
          _Pragma ("GCC unroll 4") for (int i = 0; i < 4; i++)
          {
            const SoraKitVi sum = (SoraKitVi) * (const Ints *)(at + i * LANES)
                                  - (SoraKitVi) * (const Ints *)(offsets + key + i * LANES);
            const SoraKitV v = __builtin_convertvector(sum, SoraKitV)
                                   * (sora_kit_v_load (key_scales + key + i * LANES) * scale)
                               + (sora_kit_v_load (bias + key + i * LANES) + mean);
            most[i] = sora_kit_v_max2 (v, most[i]);
            *(Ints *)(at + i * LANES) = (Ints)v;
          }
        }
      most[0] = sora_kit_v_max2 (most[0], most[1]);
      most[2] = sora_kit_v_max2 (most[2], most[3]);
      most[0] = sora_kit_v_max2 (most[0], most[2]);
      const float top = sora_kit_v_max (most), to_top = LOG2_255 - top;
      Words count = { 0 };
      uint8_t *p = s->p + row * BLOCK;
      for (int64_t panel = 0; panel < panels; panel++)
        {
          const int32_t *at = c + (panel * rows + row) * COLUMNS;
          _Pragma ("GCC unroll 4") for (int i = 0; i < 4; i++)
          {
            SoraKitV v = (SoraKitV) * (const Ints *)(at + i * LANES) + to_top;
            sora_kit_v_exp2 (&v);
            /* Adding 2^23 leaves the rounded integer in the low bits. */
            const Words whole = (Words)(v + 8388608.0f) & 255u;
            const Bytes bytes = __builtin_convertvector(whole, Bytes);
            memcpy (p + panel * COLUMNS + i * LANES, &bytes, sizeof bytes);
            count += whole;
          }
        }
      SoraKitV mass = __builtin_convertvector((SoraKitVi)count, SoraKitV);
      const float before = maxima[row], now = top > before ? top : before;
      /* What is no number in queries or keys came into the mean's product. */
      s->mass[row] = sora_kit_v_sum (&mass) + (mean - mean);
      s->old[row] = before - now;
      s->share[row] = top - now;
      maxima[row] = now;
    }
  for (int64_t i = 0; i < rows; i += LANES)
    {
      SoraKitV old = sora_kit_v_load (s->old + i), share = sora_kit_v_load (s->share + i);
      sora_kit_v_exp2 (&old);
      sora_kit_v_exp2 (&share);
      sora_kit_v_store (s->old + i, old);
      sora_kit_v_store (s->share + i, share);
    }
  for (int64_t row = 0; row < rows; row++)
    sums[row] = sums[row] * s->old[row] + s->mass[row] * s->share[row];
}

/* 64 channels of the output take a block's share. */
SORA_KIT_MULTIVERSION static void
gather (const int32_t *c, const float *scales, const float *middles, int64_t rows, const Scratch *s,
        float *out, int64_t ldo)
{
  for (int64_t row = 0; row < rows; row++, out += ldo, c += COLUMNS)
    {
      const float old = s->old[row], share = s->share[row], mass = s->mass[row] * share;
      for (int64_t i = 0; i < COLUMNS; i += LANES)
        {
          const SoraKitV sum
              = __builtin_convertvector((SoraKitVi) * (const Ints *)(c + i), SoraKitV);
          sora_kit_v_store (out + i, sora_kit_v_load (out + i) * old
                                         + (sum * (sora_kit_v_load (scales + i) * share)
                                            + sora_kit_v_load (middles + i) * mass));
        }
    }
}

SORA_KIT_MULTIVERSION static void
divide_rows (const Scratch *s, int64_t dim64, int64_t dim, int64_t rows, float *to, int64_t ldt)
{
  for (int64_t row = 0; row < rows; row++, to += ldt)
    {
      const float inverse = 1.0f / s->sums[row], *from = s->out + row * dim64;
      for (int64_t i = 0; i < dim; i++)
        to[i] = from[i] * inverse;
    }
}

static int
tile8 (SoraKitTeam *team, void *data, int64_t index, int slot)
{
  const Running *running = data;
  const SoraKitAttention *a = &running->a;
  const SoraKitKeys8 *keys = running->keys;
  const int64_t head = index / running->tiles, tile = index % running->tiles;
  const int64_t first = tile * running->tile,
                rows = sora_kit_min (running->tile, a->queries - first);
  Scratch s;
  uint8_t *memory = sora_kit_cache_scratch (keys->cache, team, slot, scratch_at (keys, NULL, &s));
  if (memory == NULL)
    return SORA_FAILED;
  scratch_at (keys, memory, &s);
  round_queries (keys, a, a->q + first * a->ldq + head * keys->dim, rows, &s);

  for (int64_t b = 0; b < keys->blocks; b++)
    {
      const SoraKitBlock8 block = sora_kit_keys8_block_at (keys, head, b);
      const int64_t n = sora_kit_min (keys->block, keys->n - b * keys->block);
      const int64_t panels = sora_kit_ceil_div (n, COLUMNS);
      for (int64_t row = 0; row < rows; row += ROWS)
        {
          const int64_t count = sora_kit_min (ROWS, rows - row);
          multiply_mean (s.q + row * keys->dim16, keys->dim16, block.mean, count, s.means);
          for (int64_t panel = 0; panel < panels; panel++)
            sora_kit_gemm_int8_run (count, keys->dim4, s.q8 + row * keys->dim4, keys->dim4,
                                    block.k + panel * keys->dim4 * COLUMNS,
                                    s.c + panel * count * COLUMNS);
          soften (&block, keys->bias + b * keys->block, panels, count, &s, row);
          for (int64_t at = 0; at < keys->dim64; at += COLUMNS)
            {
              sora_kit_gemm_int8_run (count, panels * COLUMNS, s.p, BLOCK,
                                      block.v + at * keys->block, s.c);
              gather (s.c, block.v_scales + at, block.v_middles + at, count, &s,
                      s.out + row * keys->dim64 + at, keys->dim64);
            }
        }
      if (sora_kit_team_cancelled (team))
        return SORA_CANCELLED;
    }
  divide_rows (&s, keys->dim64, keys->dim, rows, a->out + first * a->ldo + head * keys->dim,
               a->ldo);
  return SORA_OK;
}

int
sora_kit_attention8 (SoraKitKeys8 *keys, SoraKitTeam *team, const SoraKitAttention *attention)
{
  Running running = { .keys = keys, .a = *attention };
  SoraKitAttention *a = &running.a;
  if (a->bias != NULL)
    return sora_kit_team_fail (team, "attention in 8 bits: a bias of each query and key was given, "
                                     "expected none; compute it in f32");
  if (a->queries <= 0)
    return SORA_OK;
  if (a->ldq <= 0)
    a->ldq = keys->heads * keys->dim;
  if (a->ldo <= 0)
    a->ldo = keys->heads * keys->dim;
  for (int64_t i = 0; i < keys->blocks * keys->block; i++)
    keys->bias[i] = i >= keys->n ? NEVER : a->key_bias != NULL ? a->key_bias[i] * LOG2_E : 0.0f;
  /* At least about eight tiles in all; a row's bytes do not depend on its tile. */
  const int64_t share = sora_kit_ceil_div (a->queries, sora_kit_ceil_div (8, keys->heads));
  running.tile = sora_kit_min (TILE, sora_kit_ceil_div (share, ROWS) * ROWS);
  running.tiles = sora_kit_ceil_div (a->queries, running.tile);
  return sora_kit_parallel (team, keys->heads * running.tiles, tile8, &running);
}
