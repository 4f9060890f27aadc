/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Products in 8 bits: exact integers on every instruction set, rounding as documented, layers
 * against a plain reference of the same rounded operands and against f64, the same bytes at one,
 * two and three threads.
 */
#include "kit-gemm-int8.h"
#include "kit-linear-int8.h"
#include "kit-test.h"

static const char *const isas[] = { "avx512-vnni", "generic" };

/* ---- products */

START_TEST (test_exact_sums)
{
  static const int64_t counts[] = { 1, 2, 3, 4, 5, 6, 7, 11, 12, 25 },
                       ks[] = { 4, 12, 64, 100, 1536 };
  const int64_t k = ks[_i], lda = k + 12, most = 25;
  uint8_t *a = sora_kit_alloc ((uint64_t)(most * lda), 1);
  int8_t *panel = sora_kit_alloc ((uint64_t)k, 64);
  int32_t *c = sora_kit_alloc ((uint64_t)most, 64 * sizeof *c);
  float *random = kit_test_new ((size_t)(most * lda + 64 * k), 9);
  for (int64_t i = 0; i < most * lda; i++) /* the ends of the range are met often */
    a[i] = random[i] < -0.9f ? 0 : random[i] > 0.9f ? 255 : (uint8_t)(128 + 127 * random[i]);
  for (int64_t i = 0; i < 64 * k; i++)
    {
      const float r = random[most * lda + i];
      panel[i] = r < -0.9f ? -128 : r > 0.9f ? 127 : (int8_t)(127 * r);
    }
  int ran = 0;
  for (size_t s = 0; s < 2; s++)
    {
      if (sora_kit_gemm_int8_use (isas[s]) != 0)
        continue;
      ck_assert_str_eq (sora_kit_gemm_int8_isa (), isas[s]);
      ran++;
      for (size_t n = 0; n < sizeof counts / sizeof counts[0]; n++)
        {
          const int64_t m = counts[n];
          memset (c, 0x5a, (size_t)most * 64 * sizeof *c);
          sora_kit_gemm_int8_run (m, k, a, lda, panel, c);
          for (int64_t row = 0; row < m; row++)
            for (int64_t col = 0; col < 64; col++)
              {
                int64_t sum = 0;
                for (int64_t i = 0; i < k; i++)
                  sum += (int64_t)a[row * lda + i] * panel[(i / 4 * 64 + col) * 4 + i % 4];
                ck_assert_msg (c[row * 64 + col] == sum,
                               "%s: %lld rows: [%lld, %lld] is %d, not %lld", isas[s], (long long)m,
                               (long long)row, (long long)col, c[row * 64 + col], (long long)sum);
              }
          if (m < most)
            ck_assert_int_eq (c[m * 64], 0x5a5a5a5a);
        }
    }
  ck_assert_int_ge (ran, 1);
  ck_assert_int_eq (sora_kit_gemm_int8_use ("none"), -1);
  ck_assert_int_eq (sora_kit_gemm_int8_use (NULL), 0);
  sora_kit_free (a);
  sora_kit_free (panel);
  sora_kit_free (c);
  sora_kit_free (random);
}
END_TEST

/* Sums at the very ends of what K allows do not overflow. */
START_TEST (test_largest_sum)
{
  const int64_t k = SORA_KIT_GEMM_INT8_MAX_K;
  uint8_t *a = sora_kit_alloc ((uint64_t)k, 1);
  int8_t *panel = sora_kit_alloc ((uint64_t)k, 64);
  int32_t c[64] __attribute__ ((aligned (64)));
  memset (a, 255, (size_t)k);
  memset (panel, -127, (size_t)(64 * k));
  for (size_t s = 0; s < 2; s++)
    if (sora_kit_gemm_int8_use (isas[s]) == 0)
      {
        sora_kit_gemm_int8_run (1, k, a, k, panel, c);
        ck_assert_int_eq (c[0], -127 * 255 * (int32_t)k);
        ck_assert_int_eq (c[63], -127 * 255 * (int32_t)k);
      }
  (void)sora_kit_gemm_int8_use (NULL);
  sora_kit_free (a);
  sora_kit_free (panel);
}
END_TEST

/* ---- rounding */

START_TEST (test_rounding)
{
  enum
  {
    WIDTH = 35
  };
  float *x = kit_test_new (6 * WIDTH, 4);
  SoraKitRows8 rows;
  for (int i = 0; i < WIDTH; i++)
    {
      x[1 * WIDTH + i] = 0;
      x[2 * WIDTH + i] *= 1e-35f;
      x[3 * WIDTH + i] *= 1e30f;
      x[5 * WIDTH + i] = (float)(i - 17) * 0.5f; /* ties */
    }
  x[4 * WIDTH + 34] = NAN;
  x[5 * WIDTH + 3] = 127;
  ck_assert_int_eq (sora_kit_rows8_init (&rows, 6, WIDTH), 0);
  sora_kit_quantise (x, WIDTH, &rows, 0, 6);
  for (int row = 0; row < 6; row++)
    {
      float largest = 0;
      const uint8_t *values = rows.values + row * rows.stride;
      for (int i = 0; i < WIDTH; i++)
        largest = fmaxf (largest, fabsf (x[row * WIDTH + i]));
      if (row == 4)
        {
          ck_assert (isnan (rows.scales[row]));
          continue;
        }
      if (row == 1 || row == 2)
        {
          ck_assert_float_eq (rows.scales[row], 0);
          continue;
        }
      ck_assert_float_eq (rows.scales[row], largest / 127.0f);
      for (int i = 0; i < WIDTH; i++)
        ck_assert_int_eq (values[i] - 128,
                          (int)nearbyintf (x[row * WIDTH + i] * (127.0f / largest)));
      ck_assert_int_eq (values[WIDTH], 128); /* up to a multiple of four */
    }
  x[4 * WIDTH + 34] = INFINITY;
  sora_kit_quantise (x + 4 * WIDTH, WIDTH, &rows, 4, 1);
  ck_assert (isnan (rows.scales[4]));
  sora_kit_rows8_clear (&rows);
  sora_kit_free (x);
}
END_TEST

/* ---- layers */

typedef struct
{
  int64_t m, n, k;
  int activation, bias;
} Shape;

static const Shape shapes[] = {
  { 1, 64, 32, 0, 1 },
  { 7, 3, 5, 0, 1 },
  { 180, 256, 256, 0, 1 },
  { 180, 1024, 256, SORA_KIT_ACTIVATION_GELU_TANH, 1 },
  { 97, 200, 1024, SORA_KIT_ACTIVATION_SILU, 0 },
  { 721, 300, 130, 0, 1 },
  { 50, 70, 9000, 0, 1 },
};

static double
activated (int activation, double x)
{
  if (activation == SORA_KIT_ACTIVATION_SILU)
    return x / (1 + exp (-x));
  if (activation == SORA_KIT_ACTIVATION_GELU_TANH)
    return 0.5 * x * (1 + tanh (0.7978845608028654 * (x + 0.044715 * x * x * x)));
  return x;
}

/* With operands as they are, and rounded to 8 bits a row each. */
static void
reference (const Shape *s, const float *x, const float *w, const float *b, double *exact,
           double *rounded)
{
  SoraKitRows8 x8, w8;
  ck_assert_int_eq (sora_kit_rows8_init (&x8, s->m, s->k), 0);
  ck_assert_int_eq (sora_kit_rows8_init (&w8, s->n, s->k), 0);
  sora_kit_quantise (x, s->k, &x8, 0, s->m);
  sora_kit_quantise (w, s->k, &w8, 0, s->n);
  for (int64_t i = 0; i < s->m; i++)
    for (int64_t j = 0; j < s->n; j++)
      {
        double sum = 0;
        int64_t whole = 0;
        for (int64_t l = 0; l < s->k; l++)
          {
            sum += (double)x[i * s->k + l] * (double)w[j * s->k + l];
            whole += (x8.values[i * x8.stride + l] - 128) * (w8.values[j * w8.stride + l] - 128);
          }
        const double bias = s->bias ? (double)b[j] : 0;
        exact[i * s->n + j] = activated (s->activation, sum + bias);
        rounded[i * s->n + j] = activated (
            s->activation, (double)whole * (double)x8.scales[i] * (double)w8.scales[j] + bias);
      }
  sora_kit_rows8_clear (&x8);
  sora_kit_rows8_clear (&w8);
}

static double
cosine (const float *a, const double *b, size_t n)
{
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < n; i++)
    {
      ab += (double)a[i] * b[i];
      aa += (double)a[i] * (double)a[i];
      bb += b[i] * b[i];
    }
  return ab / sqrt (aa * bb);
}

START_TEST (test_layer)
{
  const Shape *s = &shapes[_i];
  const size_t n = (size_t)(s->m * s->n);
  float *x = kit_test_new ((size_t)(s->m * s->k), 1), *w = kit_test_new ((size_t)(s->n * s->k), 2);
  float *b = kit_test_new ((size_t)s->n, 3), *first = NULL;
  double *exact = sora_kit_alloc (n, sizeof *exact), *rounded = sora_kit_alloc (n, sizeof *rounded);
  SoraKitRows8 rows;
  reference (s, x, w, b, exact, rounded);
  ck_assert_int_eq (sora_kit_rows8_init (&rows, s->m, s->k), 0);
  sora_kit_quantise (x, s->k, &rows, 0, s->m);
  for (int run = 0; run < 6; run++)
    {
      SoraKitTeam team;
      if (sora_kit_gemm_int8_use (isas[run / 3]) != 0)
        continue;
      sora_kit_team_init (&team, NULL, NULL, 1 + run % 3);
      SoraKitLinearInt8 *layer
          = sora_kit_linear_int8_new (s->n, s->k, (SoraKitActivation)s->activation, &team);
      ck_assert_msg (layer != NULL, "%s", team.error);
      const int64_t half = s->n / 3;
      const SoraKitLinearPart parts[]
          = { { w, SORA_F32, SORA_F32, s->bias ? b : NULL, half },
              { w + half * s->k, SORA_F32, SORA_F32, s->bias ? b + half : NULL, s->n - half } };
      kit_test_ok (&team, sora_kit_linear_int8_pack (layer, &team, parts, 2));
      /* Rows of the output lie apart, and what is between them stays. */
      const int64_t ldy = s->n + 3;
      float *y = kit_test_new ((size_t)(s->m * ldy), 8),
            *before = kit_test_new ((size_t)(s->m * ldy), 8);
      float *dense = sora_kit_alloc (n, sizeof *dense);
      kit_test_ok (&team, sora_kit_linear_int8_run (layer, &team, s->m, &rows, y, ldy));
      for (int64_t i = 0; i < s->m; i++)
        {
          memcpy (dense + i * s->n, y + i * ldy, (size_t)s->n * sizeof *y);
          ck_assert_mem_eq (y + i * ldy + s->n, before + i * ldy + s->n, 3 * sizeof *y);
        }
      ck_assert_double_le (kit_test_error (dense, rounded, n), 2e-6);
      ck_assert_double_ge (cosine (dense, exact, n), 0.9999);
      if (first == NULL)
        first = dense;
      else
        {
          ck_assert_msg (memcmp (first, dense, n * sizeof *dense) == 0,
                         "%s, %d threads: other bytes", isas[run / 3], team.threads);
          sora_kit_free (dense);
        }
      sora_kit_free (y);
      sora_kit_free (before);
      sora_kit_linear_int8_free (layer);
    }
  (void)sora_kit_gemm_int8_use (NULL);
  ck_assert_ptr_nonnull (first);
  sora_kit_rows8_clear (&rows);
  sora_kit_free (first);
  sora_kit_free (exact);
  sora_kit_free (rounded);
  sora_kit_free (x);
  sora_kit_free (w);
  sora_kit_free (b);
}
END_TEST

/* f16 and bf16 weights, and a row that is no number stays one. */
START_TEST (test_stored)
{
  enum
  {
    N = 5,
    K = 8
  };
  static const uint16_t ones_f16[N * K] = { [0 ... N * K - 1] = 0x3c00 },
                                     bias_bf16[N] = { 0x3f80, 0x4000, 0, 0xbf80, 0 };
  float x[2 * K] = { 1, 2, 3, 4, -1, -2, -3, 127 }, y[2 * N];
  SoraKitTeam team;
  SoraKitRows8 rows;
  x[K + 2] = NAN;
  sora_kit_team_init (&team, NULL, NULL, 2);
  SoraKitLinearInt8 *layer = sora_kit_linear_int8_new (N, K, SORA_KIT_ACTIVATION_NONE, &team);
  const SoraKitLinearPart part = { ones_f16, SORA_F16, SORA_BF16, bias_bf16, N };
  ck_assert_int_eq (sora_kit_rows8_init (&rows, 2, K), 0);
  sora_kit_quantise (x, K, &rows, 0, 2);
  kit_test_ok (&team, sora_kit_linear_int8_pack (layer, &team, &part, 1));
  kit_test_ok (&team, sora_kit_linear_int8_run (layer, &team, 2, &rows, y, 0));
  static const float want[N] = { 132, 133, 131, 130, 131 };
  for (int i = 0; i < N; i++)
    {
      ck_assert_float_eq_tol (y[i], want[i], 1e-4f);
      ck_assert (isnan (y[N + i]));
    }
  sora_kit_rows8_clear (&rows);
  sora_kit_linear_int8_free (layer);
}
END_TEST

START_TEST (test_refused)
{
  SoraKitTeam team;
  SoraKitRows8 rows;
  float *w = kit_test_new (64 * 64, 2);
  sora_kit_team_init (&team, NULL, NULL, 2);
  ck_assert_ptr_null (sora_kit_linear_int8_new (4, 65537, SORA_KIT_ACTIVATION_NONE, &team));
  ck_assert_ptr_nonnull (strstr (team.error, "4 x 65537 in 8 bits"));
  team.error[0] = '\0';
  SoraKitLinearInt8 *layer = sora_kit_linear_int8_new (64, 64, SORA_KIT_ACTIVATION_NONE, &team);
  ck_assert_int_eq (sora_kit_rows8_init (&rows, 1, 60), 0);
  sora_kit_quantise (w, 60, &rows, 0, 1);
  ck_assert_int_eq (sora_kit_linear_int8_run (layer, &team, 1, &rows, w, 0), SORA_FAILED);
  ck_assert_ptr_nonnull (strstr (team.error, "before its weights were packed"));
  team.error[0] = '\0';
  const SoraKitLinearPart few = { w, SORA_F32, SORA_F32, NULL, 63 },
                          other = { w, SORA_I8, SORA_F32, NULL, 64 },
                          right = { w, SORA_F32, SORA_F32, NULL, 64 };
  ck_assert_int_eq (sora_kit_linear_int8_pack (layer, &team, &few, 1), SORA_FAILED);
  ck_assert_ptr_nonnull (strstr (team.error, "63 rows, expected 64"));
  team.error[0] = '\0';
  ck_assert_int_eq (sora_kit_linear_int8_pack (layer, &team, &other, 1), SORA_FAILED);
  ck_assert_ptr_nonnull (strstr (team.error, "dtype"));
  team.error[0] = '\0';
  kit_test_ok (&team, sora_kit_linear_int8_pack (layer, &team, &right, 1));
  ck_assert_int_eq (sora_kit_linear_int8_run (layer, &team, 1, &rows, w, 0), SORA_FAILED);
  ck_assert_ptr_nonnull (strstr (team.error, "rows are 60 wide, expected 64"));
  sora_kit_rows8_clear (&rows);
  sora_kit_linear_int8_free (layer);
  sora_kit_free (w);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("linear-int8");
  TCase *tests = tcase_create ("linear-int8");
  tcase_set_timeout (tests, 300);
  tcase_add_loop_test (tests, test_exact_sums, 0, 5);
  tcase_add_test (tests, test_largest_sum);
  tcase_add_test (tests, test_rounding);
  tcase_add_loop_test (tests, test_layer, 0, (int)(sizeof shapes / sizeof shapes[0]));
  tcase_add_test (tests, test_stored);
  tcase_add_test (tests, test_refused);
  suite_add_tcase (suite, tests);
  return kit_test_main (suite);
}
