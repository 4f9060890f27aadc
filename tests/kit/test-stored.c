/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Products by weights as they are stored: against f64, in each type and mode, on each instruction set,
 * and the same bytes at one, two and three threads and among other rows.
 */
#include "kit-gemm.h"
#include "kit-stored.h"
#include "kit-test.h"
#include "kit-turn.h"

typedef struct
{
  int64_t m, k, rows[3];
  int n, dtype, mode;
} Shape;

static const Shape shapes[] = {
  { 1, 1, { 1 }, 1, SORA_F32, SORA_KIT_STORED_SET },
  { 1, 300, { 64 }, 1, SORA_BF16, SORA_KIT_STORED_SET },
  { 41, 512, { 64, 64, 64 }, 3, SORA_BF16, SORA_KIT_STORED_SET },
  { 7, 129, { 3, 70, 17 }, 3, SORA_F16, SORA_KIT_STORED_SET },
  { 40, 1023, { 130 }, 1, SORA_BF16, SORA_KIT_STORED_ADD },
  { 25, 127, { 100, 100 }, 2, SORA_BF16, SORA_KIT_STORED_GATE },
  { 26, 31, { 33, 33 }, 2, SORA_F32, SORA_KIT_STORED_GATE },
  { 200, 260, { 80 }, 1, SORA_F32, SORA_KIT_STORED_ADD },
  { 5, 65, { 48, 49 }, 2, SORA_F16, SORA_KIT_STORED_ADD },
};

static float
widened (const void *weights, int dtype, int64_t i)
{
  float value;
  if (dtype == SORA_F32)
    return ((const float *)weights)[i];
  uint16_t bits = ((const uint16_t *)weights)[i];
  if (dtype == SORA_BF16)
    {
      uint32_t wide = (uint32_t)bits << 16;
      memcpy (&value, &wide, sizeof value);
      return value;
    }
  int exponent = (bits >> 10) & 31;
  value = exponent == 0 ? ldexpf ((float)(bits & 1023), -24)
                        : ldexpf ((float)(1024 + (bits & 1023)), exponent - 25);
  return (bits & 0x8000) != 0 ? -value : value;
}

/* n weights in [-1, 1) of that type, none of them infinite. */
static void *
new_weights (int dtype, int64_t n, uint64_t seed)
{
  float *floats = kit_test_new ((size_t)n, seed);
  if (dtype == SORA_F32)
    return floats;
  uint16_t *halves = sora_kit_alloc ((uint64_t)n, sizeof *halves);
  for (int64_t i = 0; i < n; i++)
    {
      uint32_t bits;
      memcpy (&bits, &floats[i], sizeof bits);
      /* f16: any bits but those of exponent 31 and of more than 1, subnormals among them. */
      halves[i] = dtype == SORA_BF16 ? (uint16_t)(bits >> 16)
                                     : (uint16_t)((bits >> 8 & 0x83ff) | (bits % 15 << 10));
    }
  sora_kit_free (floats);
  return halves;
}

static double
dot (const Shape *s, const float *x, const void *weights, int64_t row)
{
  double sum = 0;
  for (int64_t i = 0; i < s->k; i++)
    sum += (double)x[i] * (double)widened (weights, s->dtype, row * s->k + i);
  return sum;
}

static double
gelu (double v)
{
  return 0.5 * v * (1 + tanh (0.79788456080286536 * (v + 0.044715 * v * v * v)));
}

static int64_t
columns_of (const Shape *s)
{
  int64_t n = 0;
  for (int i = 0; i < (s->mode == SORA_KIT_STORED_GATE ? 1 : s->n); i++)
    n += s->rows[i];
  return n;
}

static void
reference (const Shape *s, const float *x, void *const *weights, const float *before, double *y)
{
  int64_t n = columns_of (s), column = 0;
  for (int part = 0; part < (s->mode == SORA_KIT_STORED_GATE ? 1 : s->n); part++)
    for (int64_t row = 0; row < s->rows[part]; row++, column++)
      for (int64_t i = 0; i < s->m; i++)
        {
          double v = dot (s, x + i * s->k, weights[part], row);
          if (s->mode == SORA_KIT_STORED_GATE)
            v = gelu (v) * dot (s, x + i * s->k, weights[1], row);
          if (s->mode == SORA_KIT_STORED_ADD)
            v += (double)before[i * n + column];
          y[i * n + column] = v;
        }
}

/* Of m rows from x on; free it. */
static float *
run (const Shape *s, int64_t m, const float *x, void *const *weights, const float *before,
     int threads)
{
  int64_t n = columns_of (s), ldy = n + 5;
  SoraKitTeam team;
  sora_kit_team_init (&team, NULL, NULL, threads);
  SoraKitStored *stored = sora_kit_stored_new (&team, m, s->k + 3);
  SoraKitStoredPart parts[3];
  float *y = sora_kit_alloc ((uint64_t)(m * n), sizeof *y),
        *wide = sora_kit_alloc0 ((uint64_t)(m * ldy), sizeof *wide);
  ck_assert_msg (stored != NULL, "%s", team.error);
  for (int i = 0; i < s->n; i++)
    parts[i] = (SoraKitStoredPart){ weights[i], s->dtype, s->rows[i] };
  for (int64_t i = 0; i < m; i++)
    memcpy (wide + i * ldy, before + i * n, (size_t)n * sizeof *y);
  sora_kit_stored_input (stored, 0, m / 2, x, s->k, s->k);
  sora_kit_stored_input (stored, m / 2, m - m / 2, x + m / 2 * s->k, s->k, s->k);
  kit_test_ok (&team, sora_kit_stored_run (stored, &team, s->k, parts, s->n,
                                           (SoraKitStoredMode)s->mode, wide, ldy));
  for (int64_t i = 0; i < m; i++)
    {
      memcpy (y + i * n, wide + i * ldy, (size_t)n * sizeof *y);
      for (int64_t j = n; j < ldy; j++)
        ck_assert_msg (wide[i * ldy + j] == 0, "written behind row %lld", (long long)i);
    }
  sora_kit_free (wide);
  sora_kit_stored_free (stored);
  return y;
}

START_TEST (test_against_f64)
{
  static const char *const isas[] = { "avx512", "avx2", "generic" };
  const Shape *s = &shapes[_i];
  int64_t n = columns_of (s), all = s->m * n;
  float *x = kit_test_new ((size_t)(s->m * s->k), 1), *before = kit_test_new ((size_t)all, 2),
        *fused = NULL;
  double *want = sora_kit_alloc ((uint64_t)all, sizeof *want);
  void *weights[3] = { NULL };
  int tried = 0;

  for (int i = 0; i < s->n; i++)
    weights[i] = new_weights (s->dtype, s->rows[i] * s->k, 10 + (uint64_t)i);
  reference (s, x, weights, before, want);
  for (int isa = 0; isa < 3; isa++)
    {
      float *first = NULL;
      if (sora_kit_gemm_use (isas[isa]) != 0)
        continue;
      tried++;
      for (int threads = 1; threads <= 3; threads++)
        {
          float *y = run (s, s->m, x, weights, before, threads);
          double error = kit_test_error (y, want, (size_t)all);
          ck_assert_msg (error < 1e-5, "%s: error %g", isas[isa], error);
          if (first != NULL)
            ck_assert_msg (memcmp (y, first, sizeof *y * (size_t)all) == 0,
                           "%s: other bytes with %d threads", isas[isa], threads);
          sora_kit_free (first);
          first = y;
        }
      /* A row is the same alone. */
      float *last = run (s, 1, x + (s->m - 1) * s->k, weights, before + (s->m - 1) * n, 1);
      ck_assert_mem_eq (last, first + (s->m - 1) * n, sizeof *last * (size_t)n);
      sora_kit_free (last);
      if (isa < 2 && fused != NULL)
        ck_assert_msg (memcmp (fused, first, sizeof *first * (size_t)all) == 0,
                       "other bytes on %s", isas[isa]);
      if (isa < 2 && fused == NULL)
        fused = first;
      else
        sora_kit_free (first);
    }
  ck_assert_int_gt (tried, 0);
  sora_kit_gemm_use (NULL);
  sora_kit_free (fused);
  sora_kit_free (x);
  sora_kit_free (before);
  sora_kit_free (want);
  for (int i = 0; i < 3; i++)
    sora_kit_free (weights[i]);
}
END_TEST

/* Each bit pattern of 16 bits is widened as the generic code widens it, and lands where it belongs. */
START_TEST (test_turn)
{
  static const int dtypes[] = { SORA_BF16, SORA_F16 };
  enum
  {
    ROWS = 50,
    K = 37,
    LD = 1400
  };
  static uint16_t weights[ROWS * LD];
  float *panel = sora_kit_alloc (64 * K, sizeof *panel), *plain = sora_kit_alloc (64 * K, sizeof *plain);

  for (size_t i = 0; i < ROWS * LD; i++)
    weights[i] = (uint16_t)i;
  for (int d = 0; d < 2; d++)
    for (int64_t first = 0; first + K <= LD; first += K)
      {
        sora_kit_gemm_use (NULL);
        sora_kit_turn (weights + first, dtypes[d], LD, ROWS, K, panel);
        ck_assert_int_eq (sora_kit_gemm_use ("generic"), 0);
        sora_kit_turn (weights + first, dtypes[d], LD, ROWS, K, plain);
        for (int64_t k = 0; k < K; k++)
          for (int64_t n = 0; n < 64; n++)
            {
              float a = panel[k * 64 + n], b = plain[k * 64 + n];
              ck_assert_msg (isnan (a) ? isnan (b) : a == b && signbit (a) == signbit (b),
                             "row %lld, %lld: %g and %g", (long long)n, (long long)k, (double)a,
                             (double)b);
              if (n >= ROWS)
                ck_assert_msg (a == 0, "column %lld is not empty", (long long)n);
              else if (!isnan (a) && !isinf (a) && (dtypes[d] == SORA_BF16 || fabsf (a) < 65536))
                ck_assert (a == widened (weights, dtypes[d], n * LD + first + k));
            }
      }
  sora_kit_gemm_use (NULL);
  sora_kit_free (panel);
  sora_kit_free (plain);
}
END_TEST

START_TEST (test_refused)
{
  SoraKitTeam team;
  sora_kit_team_init (&team, NULL, NULL, 2);
  float *w = kit_test_new (64 * 64, 2), y[64];
  SoraKitStored *stored = sora_kit_stored_new (&team, 1, 64);
  const SoraKitStoredPart bytes = { w, SORA_I8, 64 }, good = { w, SORA_F32, 64 },
                          uneven[2] = { { w, SORA_F32, 64 }, { w, SORA_F32, 63 } };

  ck_assert_int_eq (sora_kit_stored_run (stored, &team, 64, &bytes, 1, SORA_KIT_STORED_SET, y, 64),
                    SORA_FAILED);
  ck_assert_ptr_nonnull (strstr (team.error, "type i8, expected f32, f16 or bf16"));
  team.error[0] = '\0';
  ck_assert_int_eq (sora_kit_stored_run (stored, &team, 65, &good, 1, SORA_KIT_STORED_SET, y, 64),
                    SORA_FAILED);
  ck_assert_ptr_nonnull (strstr (team.error, "65 columns"));
  team.error[0] = '\0';
  ck_assert_int_eq (sora_kit_stored_run (stored, &team, 64, uneven, 2, SORA_KIT_STORED_GATE, y, 64),
                    SORA_FAILED);
  ck_assert_ptr_nonnull (strstr (team.error, "a gate of 2 parts"));
  sora_kit_stored_free (stored);
  sora_kit_free (w);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("stored");
  TCase *tests = tcase_create ("stored");
  tcase_set_timeout (tests, 120);
  tcase_add_loop_test (tests, test_against_f64, 0, (int)(sizeof shapes / sizeof shapes[0]));
  tcase_add_test (tests, test_turn);
  tcase_add_test (tests, test_refused);
  suite_add_tcase (suite, tests);
  return kit_test_main (suite);
}
