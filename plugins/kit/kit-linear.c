/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Linear layers in fixed tiles.  Each tile of output features is packed as a matrix of its own, so
 * that a tile is one plain product.  oneDNN 2.6 multiplies packed weights into dense rows alone, so
 * a tile is computed in scratch that stays in the L2 cache, and copied to where it belongs.
 */
#include "kit-linear.h"

#include "kit-convert.h"
#include "kit-memory.h"

#include <stdlib.h>
#include <string.h>

/* The rows that the packed order is chosen for.  */
#define PACK_ROWS 64

struct SoraKitLinear
{
  SoraKitCache *cache;
  int64_t n, k, tile_n, tiles_n;
  uint64_t tile_bytes;
  int32_t activation, has_bias;
  int placed; /* nonzero: the memory is the caller's */
  char *weights;
  float *bias;
  SoraKitPrimitive *product[4]; /* last used: {whole, last} rows x {whole, last} columns */
  int64_t m, tile_m;            /* what they are for */
  uint64_t generation;          /* of the cache when they were asked for */
};

/* Columns of a tile.  Weights that fit into an L2 cache are one tile, which needs no copy; of
 * larger ones a tile of 256 columns is near that size, and small layers with long rows are cut
 * finer, so that there is work for every thread.  */
static int64_t
tile_columns (int64_t n, int64_t k)
{
  if (n * k <= 1 << 18)
    return n;
  return n >= 1024 ? 256 : n > 128 ? 128 : n > 64 ? 64 : n;
}

/* Rows of a tile, from the shape alone: few and large, but at least about eight tiles in all.  */
static int64_t
tile_rows (int64_t m, int64_t tiles_n)
{
  int64_t wanted = sora_kit_ceil_div (8, tiles_n);
  int64_t rows = sora_kit_ceil_div (sora_kit_ceil_div (m, wanted), 16) * 16;
  rows = rows > 192 ? 192 : rows < 32 ? 32 : rows;
  /* Tiles of nearly one size: 200 rows are 112 + 88 and not 192 + 8.  */
  int64_t count = sora_kit_ceil_div (m, rows);
  return sora_kit_min (m, sora_kit_ceil_div (sora_kit_ceil_div (m, count), 16) * 16);
}

static SoraKitMatmul
product_of (const SoraKitLinear *self, int64_t m, int64_t n)
{
  SoraKitMatmul mm;
  memset (&mm, 0, sizeof mm);
  mm.m = m;
  mm.n = n;
  mm.k = self->k;
  mm.packed_m = PACK_ROWS;
  mm.bias = self->has_bias;
  mm.activation = self->activation;
  return mm;
}

SoraKitLinear *
sora_kit_linear_new (SoraKitCache *cache, int64_t n, int64_t k, SoraKitActivation activation,
                     int bias, SoraKitTeam *team)
{
  if (n < 1 || k < 1 || n > INT32_MAX || k > INT32_MAX)
    {
      sora_kit_team_fail (team, "linear layer of %lld x %lld", (long long)n, (long long)k);
      return NULL;
    }
  SoraKitLinear *self = calloc (1, sizeof *self);
  if (self == NULL)
    {
      sora_kit_team_fail (team, "out of memory for a linear layer");
      return NULL;
    }
  self->cache = cache;
  self->n = n;
  self->k = k;
  self->activation = (int32_t)activation;
  self->has_bias = bias != 0;
  self->tile_n = tile_columns (n, k);
  self->tiles_n = sora_kit_ceil_div (n, self->tile_n);
  for (int i = 0; i < 2; i++)
    {
      int64_t columns = i == 0 ? self->tile_n : n - (self->tiles_n - 1) * self->tile_n;
      SoraKitMatmul mm = product_of (self, PACK_ROWS, columns);
      SoraKitPrimitive *product = sora_kit_cache_matmul (cache, &mm, team);
      if (product == NULL)
        {
          sora_kit_linear_free (self);
          return NULL;
        }
      const SoraKitLayout *packed = sora_kit_primitive_layout (product, SORA_KIT_ROLE_WEIGHTS);
      if (i == 0)
        self->tile_bytes = (sora_kit_layout_bytes (packed) + 63) / 64 * 64;
    }
  return self;
}

void
sora_kit_linear_free (SoraKitLinear *self)
{
  if (self == NULL)
    return;
  if (!self->placed)
    {
      sora_kit_free (self->weights);
      sora_kit_free (self->bias);
    }
  free (self);
}

uint64_t
sora_kit_linear_bytes (int64_t n, int64_t k)
{
  /* With AVX-512 a tile is padded to 64 columns and 16 rows.  */
  int64_t tile = tile_columns (n, k), tiles = sora_kit_ceil_div (n, tile);
  int64_t columns = tiles * sora_kit_ceil_div (tile, 64) * 64,
          rows = sora_kit_ceil_div (k, 16) * 16;
  return ((uint64_t)columns * (uint64_t)rows + (uint64_t)n) * sizeof (float);
}

uint64_t
sora_kit_linear_size (const SoraKitLinear *self)
{
  return (uint64_t)self->tiles_n * self->tile_bytes + (uint64_t)self->n * sizeof (float);
}

void
sora_kit_linear_place (SoraKitLinear *self, void *memory)
{
  self->placed = 1;
  self->weights = memory;
  self->bias = (float *)(void *)(self->weights + (uint64_t)self->tiles_n * self->tile_bytes);
}

/* The order of the weights in a tile: 0, whole; 1, the last one.  The cache may have ended what it
 * came from before.  */
static const SoraKitLayout *
tile_layout (const SoraKitLinear *self, int last, SoraKitTeam *team)
{
  const int64_t columns = last ? self->n - (self->tiles_n - 1) * self->tile_n : self->tile_n;
  const SoraKitMatmul mm = product_of (self, PACK_ROWS, columns);
  SoraKitPrimitive *product = sora_kit_cache_matmul (self->cache, &mm, team);
  return product != NULL ? sora_kit_primitive_layout (product, SORA_KIT_ROLE_WEIGHTS) : NULL;
}

int
sora_kit_linear_layout (const SoraKitLinear *self, SoraKitTeam *team, uint64_t *sum)
{
  for (int last = 0; last < 2; last++)
    {
      const SoraKitLayout *layout = tile_layout (self, last, team);
      if (layout == NULL)
        return SORA_FAILED;
      sora_kit_layout_sum (layout, sum);
    }
  return SORA_OK;
}

typedef struct
{
  SoraKitLinear *self;
  const SoraKitLinearPart *parts;
  int n_parts;
  SoraKitPrimitive *reorder[2]; /* of a whole tile, of the last one */
} Packing;

/* Gathers `columns` rows of the parts, from `first` on, as f32 [columns, K].  */
static int
gather (const Packing *packing, int64_t first, int64_t columns, float *rows, float *bias)
{
  int64_t k = packing->self->k, at = 0;
  for (int p = 0; p < packing->n_parts; p++)
    {
      const SoraKitLinearPart *part = &packing->parts[p];
      int64_t begin = first > at ? first : at;
      int64_t end = sora_kit_min (first + columns, at + part->rows);
      if (begin < end)
        {
          size_t offset = (size_t)(begin - at);
          const char *w = (const char *)part->weights
                          + offset * (size_t)k * sora_kit_dtype_size (part->weights_dtype);
          if (sora_kit_to_f32 (w, part->weights_dtype, rows + (begin - first) * k,
                               (size_t)((end - begin) * k))
              != SORA_OK)
            return SORA_FAILED;
          if (part->bias != NULL
              && sora_kit_to_f32 ((const char *)part->bias
                                      + offset * sora_kit_dtype_size (part->bias_dtype),
                                  part->bias_dtype, bias + (begin - first), (size_t)(end - begin))
                     != SORA_OK)
            return SORA_FAILED;
        }
      at += part->rows;
    }
  return SORA_OK;
}

static int
pack_tile (SoraKitTeam *team, void *data, int64_t tile, int slot)
{
  const Packing *packing = data;
  SoraKitLinear *self = packing->self;
  int last = tile == self->tiles_n - 1;
  int64_t first = tile * self->tile_n, columns = sora_kit_min (self->tile_n, self->n - first);
  float *rows = sora_kit_alloc ((uint64_t)columns * (uint64_t)self->k, sizeof *rows);
  if (rows == NULL)
    return sora_kit_team_fail (team, "out of memory while packing a linear layer");
  int result = gather (packing, first, columns, rows, self->bias + first);
  if (result != SORA_OK)
    sora_kit_team_fail (
        team, "linear layer: weights or bias of a dtype other than f32, f16, bf16 and f64");
  else
    result = sora_kit_primitive_run (packing->reorder[last], team, slot, rows, NULL, NULL,
                                     self->weights + (uint64_t)tile * self->tile_bytes);
  sora_kit_free (rows);
  return result;
}

int
sora_kit_linear_pack (SoraKitLinear *self, SoraKitTeam *team, const SoraKitLinearPart *parts,
                      int n_parts)
{
  int64_t rows = 0;
  for (int p = 0; p < n_parts; p++)
    rows += parts[p].rows;
  if (rows != self->n)
    return sora_kit_team_fail (team, "linear layer: weights have %lld rows, expected %lld",
                               (long long)rows, (long long)self->n);
  if (self->weights == NULL)
    self->weights = sora_kit_alloc ((uint64_t)self->tiles_n, self->tile_bytes);
  if (self->bias == NULL)
    self->bias = sora_kit_alloc0 ((uint64_t)self->n, sizeof *self->bias);
  if (self->weights == NULL || self->bias == NULL)
    return sora_kit_team_fail (team, "out of memory for a linear layer of %lld x %lld",
                               (long long)self->n, (long long)self->k);
  Packing packing = { self, parts, n_parts, { NULL, NULL } };
  int result = SORA_OK;
  for (int last = 0; last < 2 && result == SORA_OK; last++)
    {
      const int64_t columns = last ? self->n - (self->tiles_n - 1) * self->tile_n : self->tile_n;
      const int64_t dims[] = { self->k, columns }, strides[] = { 1, self->k };
      const SoraKitLayout *packed = tile_layout (self, last, team);
      SoraKitLayout *plain
          = packed != NULL ? sora_kit_layout_new (2, dims, dnnl_f32, strides, team) : NULL;
      if (plain != NULL)
        packing.reorder[last] = sora_kit_reorder_new (plain, packed, team);
      sora_kit_layout_free (plain);
      result = packing.reorder[last] != NULL ? SORA_OK : SORA_FAILED;
    }
  if (result == SORA_OK)
    result = sora_kit_parallel (team, self->tiles_n, pack_tile, &packing);
  sora_kit_primitive_free (packing.reorder[0]);
  sora_kit_primitive_free (packing.reorder[1]);
  return result;
}

typedef struct
{
  SoraKitLinear *self;
  const float *x;
  float *y;
  int64_t m, ldx, ldy;
} Running;

static void
copy_rows (float *to, int64_t to_stride, const float *from, int64_t from_stride, int64_t rows,
           int64_t columns)
{
  for (int64_t i = 0; i < rows; i++)
    memcpy (to + i * to_stride, from + i * from_stride, (size_t)columns * sizeof *to);
}

static int
run_tile (SoraKitTeam *team, void *data, int64_t tile, int slot)
{
  const Running *running = data;
  SoraKitLinear *self = running->self;
  /* All rows of a tile of weights before the next one: the weights stay in the cache.  */
  int64_t tiles_m = sora_kit_ceil_div (running->m, self->tile_m);
  int64_t row = tile % tiles_m, column = tile / tiles_m;
  int64_t first_m = row * self->tile_m, first_n = column * self->tile_n;
  int64_t rows = sora_kit_min (self->tile_m, running->m - first_m),
          columns = sora_kit_min (self->tile_n, self->n - first_n);
  SoraKitPrimitive *product
      = self->product[(row == tiles_m - 1) + 2 * (column == self->tiles_n - 1)];
  const float *x = running->x + first_m * running->ldx;
  float *y = running->y + first_m * running->ldy + first_n, *to = y;

  int64_t x_floats = running->ldx == self->k ? 0 : sora_kit_ceil_div (rows * self->k, 16) * 16;
  int64_t y_floats = running->ldy == columns ? 0 : rows * columns;
  if (x_floats + y_floats > 0)
    {
      float *scratch = sora_kit_cache_scratch (self->cache, team, slot,
                                               (uint64_t)(x_floats + y_floats) * sizeof *scratch);
      if (scratch == NULL)
        return SORA_FAILED;
      if (x_floats > 0)
        {
          copy_rows (scratch, self->k, x, running->ldx, rows, self->k);
          x = scratch;
        }
      if (y_floats > 0)
        to = scratch + x_floats;
    }
  int result = sora_kit_primitive_run (product, team, slot, x,
                                       self->weights + (uint64_t)column * self->tile_bytes,
                                       self->bias + first_n, to);
  if (result == SORA_OK && to != y)
    copy_rows (y, running->ldy, to, columns, rows, columns);
  return result;
}

/* Finds the four products of a row count; most calls repeat the last one.  */
static int
prepare (SoraKitLinear *self, SoraKitTeam *team, int64_t m)
{
  if (self->m == m && self->generation == sora_kit_cache_generation (self->cache))
    return SORA_OK;
  self->m = 0;
  int64_t tile_m = tile_rows (m, self->tiles_n);
  int64_t last_m = m - (sora_kit_ceil_div (m, tile_m) - 1) * tile_m;
  int64_t last_n = self->n - (self->tiles_n - 1) * self->tile_n;
  for (int i = 0; i < 4; i++)
    {
      SoraKitMatmul mm = product_of (self, i & 1 ? last_m : tile_m, i & 2 ? last_n : self->tile_n);
      self->product[i] = sora_kit_cache_matmul (self->cache, &mm, team);
      if (self->product[i] == NULL)
        return SORA_FAILED;
    }
  self->tile_m = tile_m;
  self->generation = sora_kit_cache_generation (self->cache);
  self->m = m;
  return SORA_OK;
}

int
sora_kit_linear_run (SoraKitLinear *self, SoraKitTeam *team, int64_t m, const float *x, int64_t ldx,
                     float *y, int64_t ldy)
{
  if (m == 0)
    return SORA_OK;
  if (self->weights == NULL)
    return sora_kit_team_fail (team, "linear layer: run before its weights were packed");
  if (prepare (self, team, m) != SORA_OK)
    return SORA_FAILED;
  Running running = { self, x, y, m, ldx > 0 ? ldx : self->k, ldy > 0 ? ldy : self->n };
  return sora_kit_parallel (team, sora_kit_ceil_div (m, self->tile_m) * self->tiles_n, run_tile,
                            &running);
}
