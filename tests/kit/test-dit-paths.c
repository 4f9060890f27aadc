/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What every real job of the denoiser goes through and no golden case is large enough for: texts
 * one after the other, the feed-forward layer in slices, all rows by parts; what memory it takes against what infer
 * said; a warm instance that meets many sizes; and a checkpoint that cannot be asked for.
 */
#include "kit-test.h"
#include "mini-host.h"

#include <stdio.h>

#define MODEL SORA_TEST_GOLDEN "/models/small-a"
enum
{
  WIDTH = 48, /* of a text */
  C = 4,
  T = 3,
  SIDE = 56,
  LARGE = 80, /* 4,800 tokens: above 4,096, which are worked on at once */
  N = C * T * SIDE * SIDE /* 2,352 tokens: above 2,048, where texts go one by one, and 512 rows */
};

static const SoraStageClass *stage;
static float text[9 * WIDTH], negative[2 * WIDTH];

static MiniHost *
host_new (int threads, const float *latents, int64_t side, int both)
{
  MiniHost *mini = mini_host_new (stage, MODEL, threads);
  mini_host_input (mini, "text", SORA_F32, 2, (const int64_t[]){ 9, WIDTH }, text);
  if (both)
    mini_host_input (mini, "negative", SORA_F32, 2, (const int64_t[]){ 2, WIDTH }, negative);
  if (latents != NULL)
    mini_host_input (mini, "latents", SORA_F32, 4, (const int64_t[]){ C, T, side, side }, latents);
  mini_host_set_string (mini, "sampler", "euler");
  mini_host_set_i64 (mini, "steps", 1);
  return mini;
}

static const float *
run (MiniHost *mini)
{
  SoraTensorView view;
  ck_assert_msg (mini_host_infer (mini) == SORA_OK, "%s", mini_host_error (mini));
  ck_assert_msg (mini_host_run (mini) == SORA_OK, "%s", mini_host_error (mini));
  mini_host_output (mini, "latents", 0, &view);
  return view.data;
}

/* The raw output for one text at the first timestep of the schedule. */
static float *
probe (const float *latents, const float *rows, int64_t n_rows)
{
  static const double first = 1000;
  MiniHost *mini = mini_host_new (stage, MODEL, 2);
  float *out = sora_kit_alloc (N, sizeof *out);
  mini_host_input (mini, "text", SORA_F32, 2, (const int64_t[]){ n_rows, WIDTH }, rows);
  mini_host_input (mini, "latents", SORA_F32, 4, (const int64_t[]){ C, T, SIDE, SIDE }, latents);
  mini_host_set_f64s (mini, "forward-timestep", &first, 1);
  memcpy (out, run (mini), N * sizeof *out);
  mini_host_free (mini);
  return out;
}

START_TEST (test_one_by_one)
{
  float *x = kit_test_new (N, 3), *got = sora_kit_alloc (N, sizeof *got);
  for (int threads = 1; threads <= 3; threads++)
    {
      MiniHost *mini = host_new (threads, x, SIDE, 1);
      mini_host_set_f64 (mini, "guidance-scale", 5);
      const float *out = run (mini);
      if (threads == 1)
        memcpy (got, out, N * sizeof *got);
      ck_assert_msg (memcmp (got, out, N * sizeof *got) == 0, "other bytes at %d threads", threads);
      mini_host_free (mini);
    }
  /* One Euler step, from sigma 1 to 0: x - v, v guided. */
  float *cond = probe (x, text, 9), *uncond = probe (x, negative, 2);
  double *want = sora_kit_alloc (N, sizeof *want);
  for (int i = 0; i < N; i++)
    {
      double u = (double)uncond[i];
      want[i] = (double)x[i] - (u + 5 * ((double)cond[i] - u));
    }
  ck_assert_double_le (kit_test_error (got, want, N), 1e-5);
  sora_kit_free (x);
  sora_kit_free (got);
  sora_kit_free (cond);
  sora_kit_free (uncond);
  sora_kit_free (want);
}
END_TEST

/* One forward of more tokens than are worked on at once, by @klass. */
static const float *
forward_large (const SoraStageClass *klass, int threads, const float *latents, MiniHost **mini)
{
  static const double timestep = 700;
  *mini = mini_host_new (klass, MODEL, threads);
  mini_host_input (*mini, "text", SORA_F32, 2, (const int64_t[]){ 9, WIDTH }, text);
  mini_host_input (*mini, "latents", SORA_F32, 4, (const int64_t[]){ C, T, LARGE, LARGE }, latents);
  mini_host_set_f64s (*mini, "forward-timestep", &timestep, 1);
  return run (*mini);
}

/* Rows by parts, which is how long clips find room, give what all rows at once do. */
START_TEST (test_parts)
{
  const size_t n = (size_t)C * T * LARGE * LARGE;
  const SoraStageClass *whole = mini_host_load (SORA_TEST_WHOLE "/dit-wan.so", "dit-wan");
  float *x = kit_test_new (n, 5);
  MiniHost *mini, *others;
  const float *want = forward_large (whole, 2, x, &mini);
  double *wide = sora_kit_alloc (n, sizeof *wide);
  for (size_t i = 0; i < n; i++)
    wide[i] = (double)want[i];
  const SoraCost *all = mini_host_cost (mini);
  float *first = NULL;
  for (int threads = 1; threads <= 3; threads++)
    {
      const float *got = forward_large (stage, threads, x, &others);
      ck_assert_double_le (kit_test_error (got, wide, (int64_t)n), 1e-6);
      const SoraCost *parts = mini_host_cost (others);
      ck_assert_msg (parts->work_bytes < all->work_bytes, "%llu bytes by parts, %llu at once",
                     (unsigned long long)parts->work_bytes, (unsigned long long)all->work_bytes);
      if (first == NULL)
        first = memcpy (sora_kit_alloc (n, sizeof *first), got, n * sizeof *first);
      ck_assert_msg (memcmp (first, got, n * sizeof *first) == 0, "other bytes at %d threads",
                     threads);
      mini_host_free (others);
    }
  mini_host_free (mini);
  sora_kit_free (first);
  sora_kit_free (wide);
  sora_kit_free (x);
}
END_TEST

/* Nothing beyond what infer said, by the heap itself; and it did not say far too much. */
START_TEST (test_memory)
{
  float *x = kit_test_new (N, 3);
  MiniHost *mini = host_new (2, x, SIDE, 1);
  mini_host_weigh (mini);
  (void)run (mini);
  const SoraCost *cost = mini_host_cost (mini);
  uint64_t told = cost->packed_bytes + cost->work_bytes + cost->output_bytes;
  uint64_t seen = mini_host_heap_peak (mini);
  if (getenv ("SORA_TEST_LOG") != NULL)
    fprintf (stderr, "told %llu, seen %llu\n", (unsigned long long)told, (unsigned long long)seen);
  ck_assert_msg (seen == 0 || seen <= told, "%llu bytes, infer said %llu", (unsigned long long)seen,
                 (unsigned long long)told);
  ck_assert_msg (seen == 0 || seen >= told / 4, "%llu bytes, infer said %llu",
                 (unsigned long long)seen, (unsigned long long)told);
  mini_host_free (mini);
  sora_kit_free (x);
}
END_TEST

/* Many sizes and lengths in one warm instance: the heap stays level after the first dozens. */
START_TEST (test_warm)
{
  enum
  {
    ROUNDS = 90
  };
  static const float rows[ROUNDS * WIDTH] = { 0 };
  float *x = kit_test_new (C * T * 64 * 64, 3);
  MiniHost *mini = host_new (1, NULL, 0, 0);
  uint64_t most[3] = { 0 }; /* in each third */
  mini_host_set_f64 (mini, "guidance-scale", 1);
  for (int round = 0; round < ROUNDS; round++)
    {
      int64_t side = 2 + 2 * (round % 12);
      mini_host_clear_inputs (mini);
      mini_host_input (mini, "text", SORA_F32, 2, (const int64_t[]){ round + 1, WIDTH }, rows);
      mini_host_input (mini, "latents", SORA_F32, 4, (const int64_t[]){ C, 1, side, side }, x);
      (void)run (mini);
      uint64_t now = mini_host_heap (), *third = &most[round / (ROUNDS / 3)];
      *third = now > *third ? now : *third;
    }
  if (getenv ("SORA_TEST_LOG") != NULL)
    fprintf (stderr, "most: %llu %llu %llu\n", (unsigned long long)most[0],
             (unsigned long long)most[1], (unsigned long long)most[2]);
  ck_assert_msg (most[2] <= most[1] + (3 << 20), "%llu bytes in the last %d jobs, %llu before",
                 (unsigned long long)most[2], ROUNDS / 3, (unsigned long long)most[1]);
  mini_host_free (mini);
  sora_kit_free (x);
}
END_TEST

/* That the host cannot say whether there is a checkpoint is no "there is none". */
START_TEST (test_broken_checkpoints)
{
  float *x = kit_test_new (N, 3);
  MiniHost *mini = host_new (1, x, 8, 1);
  mini_host_break_checkpoints (mini);
  ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
  ck_assert_int_eq (mini_host_run (mini), SORA_FAILED);
  ck_assert_str_eq (mini_host_error (mini), "the checkpoint's key cannot be made");
  ck_assert_uint_eq (mini_host_n_outputs (mini, "latents"), 0);
  ck_assert_uint_eq (mini_host_steps (mini), 0);
  ck_assert_int_eq (mini_host_live_tensors (mini), 0);
  mini_host_free (mini);
  sora_kit_free (x);
}
END_TEST

int
main (void)
{
  stage = mini_host_load (SORA_TEST_PLUGINS "/dit-wan.so", "dit-wan");
  kit_test_fill (text, sizeof text / sizeof *text, 1);
  kit_test_fill (negative, sizeof negative / sizeof *negative, 2);
  Suite *suite = suite_create ("dit-paths");
  TCase *tests = tcase_create ("dit-paths");
  tcase_set_timeout (tests, 240);
  tcase_add_test (tests, test_one_by_one);
  tcase_add_test (tests, test_parts);
  tcase_add_test (tests, test_memory);
  tcase_add_test (tests, test_warm);
  tcase_add_test (tests, test_broken_checkpoints);
  suite_add_tcase (suite, tests);
  return kit_test_main (suite);
}
