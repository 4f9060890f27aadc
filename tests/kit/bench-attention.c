/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * How fast attention alone is, in f32 and in 8 bits: sora-bench times whole stages. Keys and values
 * are packed anew each time, as a forward does it, and each run stands between two measurements of
 * the multiply-add peak.
 *
 *   make tests/kit/bench-attention && tests/kit/bench-attention [THREADS [TOKENS ...]]
 *
 * Heads and widths are those of Wan 1.3B; not a test.
 */
#include "kit-attention-int8.h"
#include "kit-attention.h"
#include "kit-memory.h"
#include "tools/bench/bench-clock.h"
#include "tools/bench/bench-peak.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADS 12
#define HEAD_DIM 128
#define WIDTH (HEADS * HEAD_DIM)
#define RUNS 5

typedef struct
{
  SoraKitTeam team;
  SoraKitCache *cache;
  int64_t tokens;
  float *q, *k, *v, *out;
} Bench;

/* Sums of six uniform numbers, of variance 1: nearly normal, as what comes out of a norm is. */
static float *
new_rows (int64_t tokens, unsigned seed)
{
  float *x = sora_kit_alloc ((size_t)(tokens * WIDTH), sizeof *x);
  for (int64_t i = 0; x != NULL && i < tokens * WIDTH; i++)
    {
      float sum = -3;
      for (int j = 0; j < 6; j++)
        sum += (float)rand_r (&seed) / (float)RAND_MAX;
      x[i] = sum * sqrtf (2);
    }
  return x;
}

static int
attend (Bench *bench, SoraKitKeys *keys, SoraKitKeys8 *keys8)
{
  const SoraKitAttention attention = {
    .queries = bench->tokens, .q = bench->q, .out = bench->out, .scale = 1 / sqrtf (HEAD_DIM)
  };
  int result = keys8 != NULL ? sora_kit_keys8_pack_part (keys8, &bench->team, 0, bench->tokens,
                                                         bench->k, 0, bench->v, 0)
                             : sora_kit_keys_pack (keys, &bench->team, bench->k, 0, bench->v, 0);
  if (result != SORA_OK)
    return result;
  return keys8 != NULL ? sora_kit_attention8 (keys8, &bench->team, &attention)
                       : sora_kit_attention (keys, &bench->team, &attention);
}

static int
compare (const void *a, const void *b)
{
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static int
measure (Bench *bench, int threads, int eight)
{
  double rate[RUNS], of_peak[RUNS];
  SoraKitKeys8 *keys8
      = eight ? sora_kit_keys8_new (bench->cache, HEADS, HEAD_DIM, bench->tokens, &bench->team)
              : NULL;
  SoraKitKeys *keys
      = eight ? NULL
              : sora_kit_keys_new (bench->cache, HEADS, HEAD_DIM, bench->tokens, &bench->team);
  int result = keys != NULL || keys8 != NULL ? attend (bench, keys, keys8) : SORA_FAILED;
  for (int i = 0; i < RUNS && result == SORA_OK; i++)
    {
      const double before = bench_peak_fma (threads, 0.1).rate;
      const double cpu = bench_cpu (), wall = bench_wall ();
      result = attend (bench, keys, keys8);
      const double spent = bench_cpu () - cpu, passed = bench_wall () - wall;
      const double after = bench_peak_fma (threads, 0.1).rate;
      const double work = 4.0 * (double)bench->tokens * (double)bench->tokens * WIDTH;
      rate[i] = work / passed / 1e9;
      of_peak[i] = work / spent / ((before + after) / 2);
    }
  sora_kit_keys8_free (keys8);
  sora_kit_keys_free (keys);
  if (result != SORA_OK)
    return result;
  qsort (rate, RUNS, sizeof rate[0], compare);
  qsort (of_peak, RUNS, sizeof of_peak[0], compare);
  printf (
      "%-5s %6lld tokens, %d threads: %4.0f GOP/s (%.0f to %.0f), %.2f of the multiply-add peak "
      "(%.2f to %.2f)\n",
      eight ? "int8" : "f32", (long long)bench->tokens, threads, rate[RUNS / 2], rate[0],
      rate[RUNS - 1], of_peak[RUNS / 2], of_peak[0], of_peak[RUNS - 1]);
  return SORA_OK;
}

static int
measure_both (int threads, int64_t tokens)
{
  Bench bench = { .tokens = tokens };
  sora_kit_team_init (&bench.team, NULL, NULL, threads);
  bench.cache = sora_kit_cache_new ();
  bench.q = new_rows (tokens, 1);
  bench.k = new_rows (tokens, 2);
  bench.v = new_rows (tokens, 3);
  bench.out = sora_kit_alloc ((size_t)(tokens * WIDTH), sizeof *bench.out);
  int result = SORA_FAILED;
  if (bench.cache != NULL && bench.q != NULL && bench.k != NULL && bench.v != NULL
      && bench.out != NULL)
    result = measure (&bench, threads, 0) == SORA_OK ? measure (&bench, threads, 1) : SORA_FAILED;
  if (result != SORA_OK)
    fprintf (stderr, "bench-attention: %lld tokens could not be run: is there memory for them?\n",
             (long long)tokens);
  sora_kit_free (bench.q);
  sora_kit_free (bench.k);
  sora_kit_free (bench.v);
  sora_kit_free (bench.out);
  sora_kit_cache_free (bench.cache);
  return result;
}

int
main (int argc, char **argv)
{
  static char *usual[] = { "720", "3120", "8190", NULL };
  const int threads = argc > 1 ? atoi (argv[1]) : 1;
  if (threads < 1)
    {
      fprintf (stderr, "Usage: bench-attention [THREADS [TOKENS ...]]\n");
      return 2;
    }
  for (char **word = argc > 2 ? argv + 2 : usual; *word != NULL; word++)
    {
      const long long tokens = atoll (*word);
      if (tokens < 1 || tokens > 100000)
        {
          fprintf (stderr, "bench-attention: '%s' are no tokens, expected 1 to 100000\n", *word);
          return 2;
        }
      if (measure_both (threads, tokens) != SORA_OK)
        return 1;
    }
  return 0;
}
