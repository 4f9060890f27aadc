/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * test-rng.c: our normals against torch's (tests/golden/samplers/rng.json), and the functions of
 * kit-math against the C library's in long double.
 */
#include "kit-test.h"
#include "plugins/kit/kit-math.h"
#include "plugins/kit/kit-rng.h"

#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

START_TEST (test_torch_goldens)
{
  json_error_t problem;
  json_t *cases = json_load_file (SORA_TEST_GOLDEN "/samplers/rng.json", 0, &problem);
  ck_assert_msg (cases != NULL, "rng.json: %s", problem.text);
  ck_assert_uint_ge (json_array_size (cases), 43);

  double worst = 0;
  size_t index;
  json_t *c;
  json_array_foreach (cases, index, c)
  {
    const uint64_t seed = strtoull (json_string_value (json_object_get (c, "seed")), NULL, 10);
    const size_t n = (size_t)json_integer_value (json_object_get (c, "n"));
    const json_t *values = json_object_get (c, "values");
    const size_t count = json_array_size (values); /* the last ones, of a long draw */
    float *got = malloc (n * sizeof *got);
    sora_kit_rng_torch_normal (seed, got, n);
    for (size_t i = 0; i < count; i++)
      {
        const double want = json_real_value (json_array_get (values, i));
        const double error = fabs (got[n - count + i] - want);
        ck_assert_msg (error <= 1e-5, "seed %llu, n %zu, value %zu: %.9g, expected %.9g",
                       (unsigned long long)seed, n, n - count + i, got[n - count + i], want);
        worst = fmax (worst, error);
      }
    free (got);
  }
  printf ("rng: %zu cases, largest error %.2g\n", index, worst);
  json_decref (cases);
}
END_TEST

/* A digest of the bits: they must be the same on every machine, not only near to torch's. */
START_TEST (test_bits_are_fixed)
{
  enum
  {
    N = 4099
  };
  static float values[N];
  sora_kit_rng_torch_normal (1234567, values, N);
  uint64_t digest = 1469598103934665603ULL; /* FNV-1a */
  for (size_t i = 0; i < N; i++)
    {
      uint32_t bits;
      memcpy (&bits, &values[i], sizeof bits);
      digest = (digest ^ bits) * 1099511628211ULL;
    }
  ck_assert_msg (digest == 0xe11e42ad5023a8f3ULL, "digest %#llx", (unsigned long long)digest);
}
END_TEST

START_TEST (test_writes_only_its_own)
{
  for (size_t n = 0; n < 50; n++)
    {
      float values[52];
      for (size_t i = 0; i < 52; i++)
        values[i] = 77;
      sora_kit_rng_torch_normal (3, values + 1, n);
      ck_assert (values[0] == 77 && values[n + 1] == 77);
      for (size_t i = 1; i <= n; i++)
        ck_assert (values[i] != 77);
    }
}
END_TEST

START_TEST (test_math)
{
  double log_error = 0, exp_error = 0, sin_error = 0;
  for (int i = -2000; i <= 2000; i++)
    {
      const double x = pow (10, i * 0.15), angle = i * 0.004;
      if (x > 0 && x < 1e300 && i != 0)
        log_error = kit_test_worst (log_error, fabs ((double)(sora_kit_log (x) / logl (x) - 1)));
      const double y = i % 2 ? i * 0.02 : i * 1e-6;
      if (y != 0)
        exp_error
            = kit_test_worst (exp_error, fabs ((double)(sora_kit_expm1 (y) / expm1l (y) - 1)));
      double s, c;
      sora_kit_sincos (angle, &s, &c);
      sin_error = kit_test_worst (sin_error, fabs ((double)(s - sinl (angle))));
      sin_error = kit_test_worst (sin_error, fabs ((double)(c - cosl (angle))));
    }
  ck_assert_double_le (log_error, 4e-16);
  ck_assert_double_le (exp_error, 4e-16);
  ck_assert_double_le (sin_error, 1e-15);

  ck_assert (sora_kit_log (1) == 0);
  ck_assert (sora_kit_log (0) == -INFINITY);
  ck_assert (isnan (sora_kit_log (-1)));
  ck_assert (sora_kit_log (INFINITY) == INFINITY);
  ck_assert (sora_kit_expm1 (-INFINITY) == -1);
  ck_assert (sora_kit_expm1 (INFINITY) == INFINITY);
  ck_assert (sora_kit_expm1 (0) == 0);
  ck_assert (fabs (sora_kit_expm1 (709.5) / expm1 (709.5) - 1) < 1e-15);
  ck_assert (fabs (sora_kit_log (1e-310) / log (1e-310) - 1) < 1e-15);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("kit-rng");
  TCase *tcase = tcase_create ("rng");
  tcase_set_timeout (tcase, 60);
  tcase_add_test (tcase, test_torch_goldens);
  tcase_add_test (tcase, test_bits_are_fixed);
  tcase_add_test (tcase, test_writes_only_its_own);
  tcase_add_test (tcase, test_math);
  suite_add_tcase (suite, tcase);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
