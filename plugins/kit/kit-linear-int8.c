/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Linear layers in 8 bits.  A tile is some rows and four panels of columns, whose weights stay in
 * the L2 cache; of one panel some rows are summed and finished at a time, so that the sums never
 * leave the L1 cache.
 */
#include "kit-linear-int8.h"

#include "kit-convert.h"
#include "kit-gemm-int8.h"
#include "kit-memory.h"
#include "kit-vector.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LANES SORA_KIT_LANES
#define COLUMNS SORA_KIT_GEMM_INT8_COLUMNS
#define TILE_PANELS 4
#define STRIPE 24 /* rows that are finished at once: a multiple of the kernel's six */

struct SoraKitLinearInt8
{
  int64_t n, k, k4, panels; /* k4: K as packed, a multiple of four */
  SoraKitActivation activation;
  int8_t *weights;       /* of each panel [k4 / 4][COLUMNS][4] */
  float *scales, *bias;  /* of each column, zeros behind the last */
  int32_t *compensation; /* 128 · the sum of its weights */
  int placed;            /* nonzero: the memory is the caller's */
};

SoraKitLinearInt8 *
sora_kit_linear_int8_new (int64_t n, int64_t k, SoraKitActivation activation, SoraKitTeam *team)
{
  if (n < 1 || k < 1 || n > INT32_MAX || k > SORA_KIT_GEMM_INT8_MAX_K)
    {
      sora_kit_team_fail (team, "linear layer of %lld x %lld in 8 bits: at most %d x %d",
                          (long long)n, (long long)k, INT32_MAX, SORA_KIT_GEMM_INT8_MAX_K);
      return NULL;
    }
  SoraKitLinearInt8 *self = calloc (1, sizeof *self);
  if (self == NULL)
    {
      sora_kit_team_fail (team, "out of memory for a linear layer");
      return NULL;
    }
  self->n = n;
  self->k = k;
  self->k4 = sora_kit_ceil_div (k, 4) * 4;
  self->panels = sora_kit_ceil_div (n, COLUMNS);
  self->activation = activation;
  return self;
}

void
sora_kit_linear_int8_free (SoraKitLinearInt8 *self)
{
  if (self == NULL)
    return;
  if (!self->placed)
    {
      sora_kit_free (self->weights);
      sora_kit_free (self->scales);
      sora_kit_free (self->bias);
      sora_kit_free (self->compensation);
    }
  free (self);
}

uint64_t
sora_kit_linear_int8_size (const SoraKitLinearInt8 *self)
{
  return sora_kit_linear_int8_bytes (self->n, self->k);
}

void
sora_kit_linear_int8_place (SoraKitLinearInt8 *self, void *memory)
{
  /* A panel has 64 columns: all four begin at multiples of 64 bytes.  */
  const int64_t columns = self->panels * COLUMNS;
  self->placed = 1;
  self->weights = memory;
  self->scales = (float *)(void *)(self->weights + columns * self->k4);
  self->bias = self->scales + columns;
  self->compensation = (int32_t *)(void *)(self->bias + columns);
}

uint64_t
sora_kit_linear_int8_bytes (int64_t n, int64_t k)
{
  const uint64_t columns = (uint64_t)sora_kit_ceil_div (n, COLUMNS) * COLUMNS;
  return columns * (uint64_t)(sora_kit_ceil_div (k, 4) * 4) + columns * 3 * sizeof (float);
}

typedef struct
{
  SoraKitLinearInt8 *self;
  const SoraKitLinearPart *parts;
  int n_parts;
} Packing;

/* Column `n` of the layer as f32 [K], and its bias.  */
static int
gather (const Packing *packing, int64_t n, float *row, float *bias)
{
  const size_t k = (size_t)packing->self->k;
  const SoraKitLinearPart *part = packing->parts;
  for (; n >= part->rows; part++)
    n -= part->rows;
  const char *weights = part->weights, *biases = part->bias;
  const size_t size = sora_kit_dtype_size (part->weights_dtype),
               bias_size = sora_kit_dtype_size (part->bias_dtype);
  if (size == 0
      || sora_kit_to_f32 (weights + (size_t)n * k * size, part->weights_dtype, row, k) != SORA_OK)
    return SORA_FAILED;
  *bias = 0;
  return biases == NULL
             ? SORA_OK
             : sora_kit_to_f32 (biases + (size_t)n * bias_size, part->bias_dtype, bias, 1);
}

/* A column's rounded weights, as u8 with zero point 128, into the panel.  */
static int32_t
scatter (const uint8_t *values, int64_t k, int8_t *panel)
{
  int32_t sum = 0;
  for (int64_t i = 0; i < k; i++)
    {
      const int value = values[i] - 128;
      sum += value;
      panel[i / 4 * 4 * COLUMNS + i % 4] = (int8_t)value;
    }
  return sum;
}

static int
pack_panel (SoraKitTeam *team, void *data, int64_t index, int slot)
{
  const Packing *packing = data;
  SoraKitLinearInt8 *self = packing->self;
  const int64_t first = index * COLUMNS, columns = sora_kit_min (COLUMNS, self->n - first);
  int8_t *panel = self->weights + first * self->k4;
  SoraKitRows8 rounded;
  (void)slot;
  float *row = sora_kit_alloc ((uint64_t)self->k, sizeof *row);
  if (row == NULL || sora_kit_rows8_init (&rounded, 1, self->k) != 0)
    {
      sora_kit_free (row);
      return sora_kit_team_fail (team, "out of memory while packing a linear layer");
    }
  int result = SORA_OK;
  memset (panel, 0, (size_t)(COLUMNS * self->k4));
  for (int64_t i = 0; i < COLUMNS; i++)
    {
      const int64_t column = first + i;
      self->scales[column] = self->bias[column] = 0;
      self->compensation[column] = 0;
      if (i >= columns || result != SORA_OK)
        continue;
      result = gather (packing, column, row, &self->bias[column]);
      if (result != SORA_OK)
        continue;
      sora_kit_quantise (row, self->k, &rounded, 0, 1);
      self->scales[column] = rounded.scales[0];
      self->compensation[column] = 128 * scatter (rounded.values, self->k, panel + 4 * i);
    }
  sora_kit_rows8_clear (&rounded);
  sora_kit_free (row);
  return result == SORA_OK
             ? SORA_OK
             : sora_kit_team_fail (
                 team,
                 "linear layer: weights or bias of a dtype other than f32, f16, bf16 and f64");
}

int
sora_kit_linear_int8_pack (SoraKitLinearInt8 *self, SoraKitTeam *team,
                           const SoraKitLinearPart *parts, int n_parts)
{
  int64_t rows = 0;
  for (int p = 0; p < n_parts; p++)
    rows += parts[p].rows;
  if (rows != self->n)
    return sora_kit_team_fail (team, "linear layer: weights have %lld rows, expected %lld",
                               (long long)rows, (long long)self->n);
  const uint64_t columns = (uint64_t)(self->panels * COLUMNS);
  if (self->weights == NULL)
    {
      self->weights = sora_kit_alloc (columns, (size_t)self->k4);
      self->scales = sora_kit_alloc (columns, sizeof *self->scales);
      self->bias = sora_kit_alloc (columns, sizeof *self->bias);
      self->compensation = sora_kit_alloc (columns, sizeof *self->compensation);
    }
  if (self->weights == NULL || self->scales == NULL || self->bias == NULL
      || self->compensation == NULL)
    return sora_kit_team_fail (team, "out of memory for a linear layer of %lld x %lld",
                               (long long)self->n, (long long)self->k);
  Packing packing = { self, parts, n_parts };
  return sora_kit_parallel (team, self->panels, pack_panel, &packing);
}

/* What is done with the sums of some rows of one panel.  */
typedef struct
{
  const int32_t *sums, *compensation; /* [rows, COLUMNS], [COLUMNS] */
  const float *row_scales;            /* [rows] */
  const float *column_scales, *bias;  /* [COLUMNS] */
  float *y;
  int64_t rows, columns, ldy;
} Finish;

SORA_KIT_INLINE void
silu (SoraKitV *v)
{
  SoraKitV e = -*v;
  sora_kit_v_exp (&e);
  *v = *v / (1.0f + e);
}

/* 0.5 (1 + tanh (u)) = 1 / (1 + e^(-2u)).  */
SORA_KIT_INLINE void
gelu (SoraKitV *v)
{
  const SoraKitV x = *v;
  SoraKitV e
      = x * (x * x * (-2.0f * 0.7978845608028654f * 0.044715f) + (-2.0f * 0.7978845608028654f));
  sora_kit_v_exp (&e);
  *v = x / (1.0f + e);
}

#define FINISH(activate)                                                                           \
  for (int64_t row = 0; row < f->rows; row++)                                                      \
    {                                                                                              \
      const int32_t *sums = f->sums + row * COLUMNS;                                               \
      float *y = f->y + row * f->ldy;                                                              \
      const float scale = f->row_scales[row];                                                      \
      for (int64_t i = 0; i < f->columns; i += LANES)                                              \
        {                                                                                          \
          SoraKitVi sum, compensation;                                                             \
          memcpy (&sum, sums + i, sizeof sum);                                                     \
          memcpy (&compensation, f->compensation + i, sizeof compensation);                        \
          SoraKitV v = __builtin_convertvector(sum - compensation, SoraKitV);                      \
          v = v * (sora_kit_v_load (f->column_scales + i) * scale)                                 \
              + sora_kit_v_load (f->bias + i);                                                     \
          activate (&v);                                                                           \
          if (i + LANES <= f->columns)                                                             \
            sora_kit_v_store (y + i, v);                                                           \
          else                                                                                     \
            memcpy (y + i, &v, (size_t)(f->columns - i) * sizeof *y);                              \
        }                                                                                          \
    }
#define NOTHING(v) (void)(v)

SORA_KIT_MULTIVERSION static void
finish_plain (const Finish *f){ FINISH (NOTHING) }

SORA_KIT_MULTIVERSION static void finish_gelu (const Finish *f){ FINISH (gelu) }

SORA_KIT_MULTIVERSION static void finish_silu (const Finish *f)
{
  FINISH (silu)
}

typedef struct
{
  const SoraKitLinearInt8 *self;
  SoraKitRows8 x;
  float *y;
  int64_t m, ldy, tile_m, tiles_m;
} Running;

static int
run_tile (SoraKitTeam *team, void *data, int64_t tile, int slot)
{
  const Running *running = data;
  const SoraKitLinearInt8 *self = running->self;
  void (*finish) (const Finish *) = self->activation == SORA_KIT_ACTIVATION_GELU_TANH ? finish_gelu
                                    : self->activation == SORA_KIT_ACTIVATION_SILU    ? finish_silu
                                                                                   : finish_plain;
  int32_t sums[STRIPE * COLUMNS] __attribute__ ((aligned (64)));
  (void)team, (void)slot;
  /* All rows of some weights before the next ones: the weights stay in the cache.  */
  const int64_t first = tile % running->tiles_m * running->tile_m,
                end = sora_kit_min (first + running->tile_m, running->m);
  const int64_t panel = tile / running->tiles_m * TILE_PANELS,
                last = sora_kit_min (panel + TILE_PANELS, self->panels);
  for (int64_t p = panel; p < last; p++)
    for (int64_t row = first; row < end; row += STRIPE)
      {
        const int64_t column = p * COLUMNS;
        const SoraKitRows8 x = sora_kit_rows8_at (&running->x, row);
        const Finish f = { sums,
                           self->compensation + column,
                           x.scales,
                           self->scales + column,
                           self->bias + column,
                           running->y + row * running->ldy + column,
                           sora_kit_min (STRIPE, end - row),
                           sora_kit_min (COLUMNS, self->n - column),
                           running->ldy };
        sora_kit_gemm_int8_run (f.rows, self->k4, x.values, x.stride,
                                self->weights + column * self->k4, sums);
        finish (&f);
      }
  return SORA_OK;
}

/* Rows of a tile: they fit into the L2 cache beside four panels, and there are about eight tiles or
 * more.  Sums do not depend on it.  */
static int64_t
tile_rows (int64_t m, int64_t k, int64_t tiles_n)
{
  const int64_t wanted = sora_kit_ceil_div (8, tiles_n), fit = (512 << 10) / k / STRIPE * STRIPE;
  int64_t rows = sora_kit_ceil_div (sora_kit_ceil_div (m, wanted), STRIPE) * STRIPE;
  const int64_t most = fit > 240 ? 240 : fit < 2 * STRIPE ? 2 * STRIPE : fit;
  return rows > most ? most : rows;
}

int
sora_kit_linear_int8_run (SoraKitLinearInt8 *self, SoraKitTeam *team, int64_t m,
                          const SoraKitRows8 *x, float *y, int64_t ldy)
{
  if (m == 0)
    return SORA_OK;
  if (self->weights == NULL)
    return sora_kit_team_fail (team, "linear layer: run before its weights were packed");
  if (x->width != self->k)
    return sora_kit_team_fail (team, "linear layer: rows are %lld wide, expected %lld",
                               (long long)x->width, (long long)self->k);
  const int64_t tiles_n = sora_kit_ceil_div (self->panels, TILE_PANELS);
  Running running = { self, *x, y, m, ldy > 0 ? ldy : self->n, 0, 0 };
  running.tile_m = tile_rows (m, self->k4, tiles_n);
  running.tiles_m = sora_kit_ceil_div (m, running.tile_m);
  return sora_kit_parallel (team, running.tiles_m * tiles_n, run_tile, &running);
}
