/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Linear layers against a product summed in f64, and the same bytes at one, two and three threads.
 */
#include "kit-linear.h"
#include "kit-test.h"

typedef struct
{
  int64_t m, n, k;
  int activation, bias;
} Shape;

static const Shape shapes[] = {
  { 1, 64, 32, 0, 1 },
  { 1, 1536, 256, SORA_KIT_ACTIVATION_SILU, 1 },
  { 7, 3, 5, 0, 1 },
  { 180, 256, 256, 0, 1 },
  { 180, 1024, 256, SORA_KIT_ACTIVATION_GELU_TANH, 1 },
  { 97, 200, 1024, 0, 0 },
  { 33, 768, 100, 0, 1 },
  { 721, 1100, 130, 0, 1 },
  { 16, 17, 300, SORA_KIT_ACTIVATION_GELU_TANH, 0 },
  { 500, 64, 1000, 0, 1 },
};

static void
reference (const Shape *s, const float *x, const float *w, const float *b, double *y)
{
  for (int64_t i = 0; i < s->m; i++)
    for (int64_t j = 0; j < s->n; j++)
      {
        double sum = s->bias ? (double)b[j] : 0;
        for (int64_t l = 0; l < s->k; l++)
          sum += (double)x[i * s->k + l] * (double)w[j * s->k + l];
        if (s->activation == SORA_KIT_ACTIVATION_SILU)
          sum = sum / (1 + exp (-sum));
        if (s->activation == SORA_KIT_ACTIVATION_GELU_TANH)
          sum = 0.5 * sum * (1 + tanh (0.7978845608028654 * (sum + 0.044715 * sum * sum * sum)));
        y[i * s->n + j] = sum;
      }
}

START_TEST (test_against_f64)
{
  const Shape *s = &shapes[_i];
  float *x = kit_test_new ((size_t)(s->m * s->k), 1), *w = kit_test_new ((size_t)(s->n * s->k), 2);
  float *b = kit_test_new ((size_t)s->n, 3);
  double *want = sora_kit_alloc ((uint64_t)(s->m * s->n), sizeof *want);
  reference (s, x, w, b, want);
  float *first = NULL;
  for (int threads = 1; threads <= 3; threads++)
    {
      SoraKitTeam team;
      sora_kit_team_init (&team, NULL, NULL, threads);
      SoraKitCache *cache = sora_kit_cache_new ();
      SoraKitLinear *layer = sora_kit_linear_new (cache, s->n, s->k,
                                                  (SoraKitActivation)s->activation, s->bias, &team);
      ck_assert_msg (layer != NULL, "%s", team.error);
      /* Two parts, to meet tiles that span them.  */
      int64_t half = s->n / 3;
      const SoraKitLinearPart parts[]
          = { { w, SORA_F32, SORA_F32, s->bias ? b : NULL, half },
              { w + half * s->k, SORA_F32, SORA_F32, s->bias ? b + half : NULL, s->n - half } };
      kit_test_ok (&team, sora_kit_linear_pack (layer, &team, parts, 2));
      uint64_t told = sora_kit_linear_bytes (s->n, s->k), is = sora_kit_linear_size (layer);
      ck_assert_msg (is <= told, "%llu bytes, told %llu", (unsigned long long)is,
                     (unsigned long long)told);
      float *y = sora_kit_alloc ((uint64_t)(s->m * s->n), sizeof *y);
      kit_test_ok (&team, sora_kit_linear_run (layer, &team, s->m, x, 0, y, 0));
      double error = kit_test_error (y, want, (size_t)(s->m * s->n));
      ck_assert_msg (error < 1e-5, "%d threads: error %g", threads, error);
      if (first == NULL)
        first = y;
      else
        {
          ck_assert_msg (memcmp (first, y, sizeof *y * (size_t)(s->m * s->n)) == 0,
                         "%d threads: other bytes", threads);
          sora_kit_free (y);
        }
      sora_kit_linear_free (layer);
      sora_kit_cache_free (cache);
    }
  sora_kit_free (first);
  sora_kit_free (want);
  sora_kit_free (x);
  sora_kit_free (w);
  sora_kit_free (b);
}
END_TEST

/* Rows may lie apart, in and out, and what lies between them stays as it is. */
START_TEST (test_strides)
{
  enum
  {
    M = 100,
    N = 150,
    K = 48,
    LDX = 60,
    LDY = 170
  };
  SoraKitTeam team;
  sora_kit_team_init (&team, NULL, NULL, 2);
  float *x = kit_test_new (M * LDX, 1), *w = kit_test_new (N * K, 2),
        *y = kit_test_new (M * LDY, 3);
  float *dense_x = kit_test_new (M * K, 4), *dense_y = kit_test_new (M * N, 5),
        *before = kit_test_new (M * LDY, 3);
  for (int i = 0; i < M; i++)
    memcpy (dense_x + i * K, x + i * LDX, K * sizeof *x);
  SoraKitCache *cache = sora_kit_cache_new ();
  SoraKitLinear *layer = sora_kit_linear_new (cache, N, K, SORA_KIT_ACTIVATION_NONE, 0, &team);
  ck_assert_msg (layer != NULL, "%s", team.error);
  const SoraKitLinearPart part = { w, SORA_F32, SORA_F32, NULL, N };
  kit_test_ok (&team, sora_kit_linear_pack (layer, &team, &part, 1));
  kit_test_ok (&team, sora_kit_linear_run (layer, &team, M, x, LDX, y, LDY));
  kit_test_ok (&team, sora_kit_linear_run (layer, &team, M, dense_x, 0, dense_y, 0));
  for (int i = 0; i < M; i++)
    {
      ck_assert_mem_eq (y + i * LDY, dense_y + i * N, N * sizeof *y);
      ck_assert_mem_eq (y + i * LDY + N, before + i * LDY + N, (LDY - N) * sizeof *y);
    }
  sora_kit_linear_free (layer);
  sora_kit_cache_free (cache);
  sora_kit_free (x);
  sora_kit_free (w);
  sora_kit_free (y);
  sora_kit_free (dense_x);
  sora_kit_free (dense_y);
  sora_kit_free (before);
}
END_TEST

START_TEST (test_wrong_weights)
{
  SoraKitTeam team;
  sora_kit_team_init (&team, NULL, NULL, 2);
  float *w = kit_test_new (64 * 64, 2);
  SoraKitCache *cache = sora_kit_cache_new ();
  SoraKitLinear *layer = sora_kit_linear_new (cache, 64, 64, SORA_KIT_ACTIVATION_NONE, 0, &team);
  ck_assert_msg (layer != NULL, "%s", team.error);
  ck_assert_int_eq (sora_kit_linear_run (layer, &team, 1, w, 0, w, 0), SORA_FAILED);
  ck_assert_ptr_nonnull (strstr (team.error, "before its weights were packed"));
  team.error[0] = '\0';
  const SoraKitLinearPart few = { w, SORA_F32, SORA_F32, NULL, 63 },
                          other = { w, SORA_I8, SORA_F32, NULL, 64 };
  ck_assert_int_eq (sora_kit_linear_pack (layer, &team, &few, 1), SORA_FAILED);
  ck_assert_ptr_nonnull (strstr (team.error, "63 rows, expected 64"));
  team.error[0] = '\0';
  ck_assert_int_eq (sora_kit_linear_pack (layer, &team, &other, 1), SORA_FAILED);
  ck_assert_ptr_nonnull (strstr (team.error, "dtype"));
  sora_kit_linear_free (layer);
  sora_kit_cache_free (cache);
  sora_kit_free (w);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("linear");
  TCase *tests = tcase_create ("linear");
  tcase_set_timeout (tests, 120);
  tcase_add_loop_test (tests, test_against_f64, 0, (int)(sizeof shapes / sizeof shapes[0]));
  tcase_add_test (tests, test_strides);
  tcase_add_test (tests, test_wrong_weights);
  suite_add_tcase (suite, tests);
  return kit_test_main (suite);
}
