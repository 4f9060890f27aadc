/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Products by weights as they are stored.  x is kept in the order in which it is multiplied: 128
 * columns of all rows, then the next ones: rows that lie a power of two apart would fall into the same
 * few sets of the L1 cache.
 */
#include "kit-stored.h"

#include "kit-convert.h"
#include "kit-gemm.h"
#include "kit-memory.h"
#include "kit-turn.h"
#include "kit-vector.h"
#include "kit-weights.h"

#include <stdlib.h>

/* Columns of x at a time: a panel of so many rows is 32 kB. */
#define DEPTH 128
/* Rows of x between two looks ahead. */
#define AHEAD_ROWS 24
#define LINE 64

struct SoraKitStored
{
  int64_t m, k;
  int threads;
  float *x;       /* [k / DEPTH][m][DEPTH] */
  float *scratch; /* of each thread: a panel, two products [m, SORA_KIT_PANEL] */
};

static uint64_t
thread_floats (int64_t m)
{
  return SORA_KIT_PANEL * (uint64_t)(DEPTH + 2 * m);
}

uint64_t
sora_kit_stored_bytes (int64_t m, int64_t k, int threads)
{
  return sizeof (SoraKitStored) + sora_kit_alloc_bytes (4 * (uint64_t)m * (uint64_t)k)
         + sora_kit_alloc_bytes (4 * thread_floats (m) * (uint64_t)threads);
}

SoraKitStored *
sora_kit_stored_new (SoraKitTeam *team, int64_t m, int64_t k)
{
  SoraKitStored *self = calloc (1, sizeof *self);

  if (self != NULL)
    {
      self->m = m;
      self->k = k;
      self->threads = team->threads;
      self->x = sora_kit_alloc ((uint64_t)m * (uint64_t)k, sizeof *self->x);
      self->scratch = sora_kit_alloc (thread_floats (m) * (uint64_t)team->threads,
                                      sizeof *self->scratch);
    }
  if (self == NULL || self->x == NULL || self->scratch == NULL)
    {
      sora_kit_team_fail (team, "out of memory for products of %lld rows", (long long)m);
      sora_kit_stored_free (self);
      return NULL;
    }
  return self;
}

void
sora_kit_stored_free (SoraKitStored *self)
{
  if (self == NULL)
    return;
  sora_kit_free (self->x);
  sora_kit_free (self->scratch);
  free (self);
}

void
sora_kit_stored_input (SoraKitStored *self, int64_t row, int64_t count, const float *x, int64_t ldx,
                       int64_t k)
{
  for (int64_t first = 0; first < k; first += DEPTH)
    {
      const int64_t depth = sora_kit_min (DEPTH, k - first);
      for (int64_t i = 0; i < count; i++)
        memcpy (self->x + first * self->m + (row + i) * depth, x + i * ldx + first,
                (size_t)depth * sizeof *x);
    }
}

typedef struct
{
  SoraKitStored *self;
  int64_t k;
  const SoraKitStoredPart *parts;
  int n_parts;
  SoraKitStoredMode mode;
  float *y;
  int64_t ldy;
} Product;

/* What the caches are asked for while a panel is multiplied by: the weights of the next one, which lie
 * in short pieces that no hardware foresees. */
typedef struct
{
  const char *at;
  int64_t row_bytes, rows, lines, row;
} Ahead;

static void
look_ahead (Ahead *ahead, int64_t rows)
{
  for (; rows > 0 && ahead->row < ahead->rows; rows--, ahead->row++)
    for (int64_t i = 0; i < ahead->lines; i++)
      __builtin_prefetch (ahead->at + ahead->row * ahead->row_bytes + i * LINE, 0, 2);
}

/* [m, columns of a panel] = x by `rows` features from `weights` on. */
static void
multiply (const SoraKitStored *self, const char *weights, int dtype, int64_t rows, int64_t k,
          float *panel, float *c)
{
  const int64_t size = (int64_t)sora_kit_dtype_size (dtype), width = sora_kit_pad16 (rows);
  const int64_t looks = sora_kit_ceil_div (self->m, AHEAD_ROWS);

  for (int64_t first = 0; first < k; first += DEPTH)
    {
      const int64_t depth = sora_kit_min (DEPTH, k - first),
                    next = sora_kit_min (DEPTH, k - first - depth);
      Ahead ahead = { weights + (first + depth) * size, k * size, rows,
                      sora_kit_ceil_div (next * size, LINE), 0 };
      SoraKitGemm gemm = { .n = width, .k = depth, .parts = 1, .lda = depth, .b = panel,
                           .b_rows = depth, .ldc = width };

      sora_kit_turn (weights + first * size, dtype, k, rows, depth, panel);
      for (int64_t row = 0; row < self->m; row += gemm.m)
        {
          gemm.m = sora_kit_min (AHEAD_ROWS, self->m - row);
          gemm.a[0] = self->x + first * self->m + row * depth;
          gemm.c = c + row * width;
          gemm.add = first > 0 ? gemm.c : NULL;
          look_ahead (&ahead, next > 0 ? sora_kit_ceil_div (rows, looks) : 0);
          sora_kit_gemm_run (&gemm);
        }
    }
}

/* gelu (v) = v / (1 + e^-2u), since 1 + tanh (u) = 2 / (1 + e^-2u). */
SORA_KIT_MULTIVERSION static void
gate (float *gates, const float *values, int64_t n)
{
  for (int64_t i = 0; i < n; i += SORA_KIT_LANES)
    {
      SoraKitV v = sora_kit_v_load (gates + i);
      SoraKitV e = (v + v * v * v * 0.044715f) * -1.5957691216057308f; /* -2 sqrt (2 / pi) */

      sora_kit_v_exp (&e);
      sora_kit_v_store (gates + i, v / (e + 1.0f) * sora_kit_v_load (values + i));
    }
}

SORA_KIT_MULTIVERSION static void
add_row (float *restrict to, const float *restrict from, int64_t n)
{
  for (int64_t i = 0; i < n; i++)
    to[i] += from[i];
}

static int
run_tile (SoraKitTeam *team, void *data, int64_t tile, int slot)
{
  const Product *p = data;
  const SoraKitStored *self = p->self;
  const SoraKitStoredPart *part = p->parts;
  float *panel = self->scratch + thread_floats (self->m) * (uint64_t)slot,
        *c = panel + SORA_KIT_PANEL * DEPTH, *other = c + SORA_KIT_PANEL * self->m;
  int64_t column = 0, first, rows, width;

  for (; tile >= sora_kit_ceil_div (part->rows, SORA_KIT_PANEL); part++)
    {
      tile -= sora_kit_ceil_div (part->rows, SORA_KIT_PANEL);
      column += part->rows;
    }
  first = tile * SORA_KIT_PANEL;
  rows = sora_kit_min (SORA_KIT_PANEL, part->rows - first);
  width = sora_kit_pad16 (rows);
  multiply (self,
            (const char *)part->weights
                + (size_t)(first * p->k) * sora_kit_dtype_size (part->dtype),
            part->dtype, rows, p->k, panel, c);
  if (p->mode == SORA_KIT_STORED_GATE)
    {
      multiply (self,
                (const char *)part[1].weights
                    + (size_t)(first * p->k) * sora_kit_dtype_size (part[1].dtype),
                part[1].dtype, rows, p->k, panel, other);
      gate (c, other, self->m * width);
    }
  for (int64_t i = 0; i < self->m; i++)
    {
      float *to = p->y + i * p->ldy + column + first;

      if (p->mode == SORA_KIT_STORED_ADD)
        add_row (to, c + i * width, rows);
      else
        memcpy (to, c + i * width, (size_t)rows * sizeof *to);
    }
  (void)team;
  return SORA_OK;
}

int
sora_kit_stored_run (SoraKitStored *self, SoraKitTeam *team, int64_t k,
                     const SoraKitStoredPart *parts, int n_parts, SoraKitStoredMode mode, float *y,
                     int64_t ldy)
{
  Product product = { self, k, parts, n_parts, mode, y, ldy };
  int64_t tiles = 0;

  if (k > self->k || team->threads > self->threads)
    return sora_kit_team_fail (team, "a product of %lld columns on %d threads, prepared for %lld on %d",
                               (long long)k, team->threads, (long long)self->k, self->threads);
  for (int i = 0; i < n_parts; i++)
    if (!sora_kit_weights_readable (parts[i].dtype))
      return sora_kit_team_fail (team, "a product by weights of the type %s, expected f32, f16 or bf16",
                                 sora_kit_dtype_name (parts[i].dtype));
  if (mode == SORA_KIT_STORED_GATE && (n_parts != 2 || parts[0].rows != parts[1].rows))
    return sora_kit_team_fail (team, "a gate of %d parts, expected two with as many rows", n_parts);
  for (int i = 0; i < (mode == SORA_KIT_STORED_GATE ? 1 : n_parts); i++)
    tiles += sora_kit_ceil_div (parts[i].rows, SORA_KIT_PANEL);
  return sora_kit_parallel (team, tiles, run_tile, &product);
}
