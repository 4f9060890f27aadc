/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * umt5-attention.c: attention with relative position bias.  At most 512 keys: a row of scores is 2 KiB, so a tile
 * keeps its scores whole and takes an ordinary softmax over them.
 */
#include "umt5-attention.h"

#include <math.h>
#include <string.h>

#define QUERIES 64

typedef struct
{
  const SoraUmt5Attention *a;
  SoraKitCache *cache;
  SoraKitPrimitive *scores[2], *values[2]; /* for a whole tile, for the last one */
  int64_t tiles;                           /* of one head */
} Running;

/* e^x for x <= 0, within 2 ulp: 2^n by the exponent bits, 2^f by a polynomial (Cephes' expf). */
static inline float
exp_negative (float x)
{
  float n, r, p;
  union
  {
    int32_t i;
    float f;
  } two_n;

  x = x > -87.0f ? x : -87.0f; /* takes NaN, too: the conversion below is then defined */
  n = __builtin_rintf (x * 1.44269504088896341f);
  r = x - n * 0.693359375f - n * -2.12194440e-4f;
  p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  two_n.i = ((int32_t)n + 127) * (1 << 23);
  return p * two_n.f;
}

/* One row of scores to weights.  Sixteen partial results, always joined in one order. */
SORA_KIT_MULTIVERSION static void
softmax_row (float *s, const float *bias, int64_t n)
{
  float most[16], sums[16] = { 0 }, top, sum = 0, scale;
  int64_t j = 0;

  for (int k = 0; k < 16; k++)
    most[k] = -INFINITY;
  for (; j + 16 <= n; j += 16)
    for (int k = 0; k < 16; k++)
      {
        s[j + k] += bias[j + k];
        most[k] = s[j + k] > most[k] ? s[j + k] : most[k];
      }
  for (int k = 0; j < n; j++, k++)
    {
      s[j] += bias[j];
      most[k] = s[j] > most[k] ? s[j] : most[k];
    }
  top = most[0];
  for (int k = 1; k < 16; k++)
    top = most[k] > top ? most[k] : top;
  for (j = 0; j + 16 <= n; j += 16)
    for (int k = 0; k < 16; k++)
      {
        s[j + k] = exp_negative (s[j + k] - top);
        sums[k] += s[j + k];
      }
  for (int k = 0; j < n; j++, k++)
    {
      s[j] = exp_negative (s[j] - top);
      sums[k] += s[j];
    }
  for (int k = 0; k < 16; k++)
    sum += sums[k];
  scale = 1.0f / sum;
  for (j = 0; j < n; j++)
    s[j] *= scale;
}

static int
attend_tile (SoraKitTeam *team, void *data, int64_t tile, int slot)
{
  Running *running = data;
  const SoraUmt5Attention *a = running->a;
  int64_t head = tile / running->tiles, first = tile % running->tiles * QUERIES;
  int64_t rows = a->n - first < QUERIES ? a->n - first : QUERIES;
  int last = first + QUERIES >= a->n;
  int64_t column = head * a->head_dim;
  float *scores = sora_kit_cache_scratch (running->cache, team, slot,
                                          (uint64_t)(QUERIES * a->n) * sizeof *scores);
  int r;

  if (scores == NULL)
    return SORA_FAILED;
  r = sora_kit_primitive_run (running->scores[last], team, slot, a->q + first * a->ld + column,
                              a->k + column, NULL, scores);
  if (r != SORA_OK)
    return r;
  for (int64_t i = 0; i < rows; i++)
    softmax_row (scores + i * a->n,
                 a->bias + head * (2 * a->n - 1) + (a->n - 1) - (first + i), a->n);
  return sora_kit_primitive_run (running->values[last], team, slot, scores, a->v + column, NULL,
                                 a->out + first * a->heads * a->head_dim + column);
}

int
sora_umt5_attention (SoraKitCache *cache, SoraKitTeam *team, const SoraUmt5Attention *a)
{
  Running running = { .a = a, .cache = cache, .tiles = (a->n + QUERIES - 1) / QUERIES };

  for (int i = 0; i < 2; i++)
    {
      int64_t rows = i == 1 ? a->n - (running.tiles - 1) * QUERIES : QUERIES;
      SoraKitMatmul scores, values;

      if (rows > a->n)
        continue; /* there is one tile, and it is the last */
      memset (&scores, 0, sizeof scores);
      scores.m = rows;
      scores.n = a->n;
      scores.k = a->head_dim;
      scores.lda = scores.ldb = a->ld;
      scores.transposed_b = 1;
      memset (&values, 0, sizeof values);
      values.m = rows;
      values.n = a->head_dim;
      values.k = a->n;
      values.ldb = a->ld;
      values.ldc = a->heads * a->head_dim;
      running.scores[i] = sora_kit_cache_matmul (cache, &scores, team);
      running.values[i] = sora_kit_cache_matmul (cache, &values, team);
      if (running.scores[i] == NULL || running.values[i] == NULL)
        return SORA_FAILED;
    }
  return sora_kit_parallel (team, a->heads * running.tiles, attend_tile, &running);
}

uint64_t
sora_umt5_attention_bytes (int64_t n, int64_t heads)
{
  return 4 * ((uint64_t)(2 * QUERIES * n) + (uint64_t)(2 * n * heads));
}
