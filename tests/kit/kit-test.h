/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the kit's tests share: numbers to compute with, and how far two results are apart.
 */
#ifndef SORA_KIT_TEST_H
#define SORA_KIT_TEST_H

#include "kit-memory.h"
#include "kit-parallel.h"

#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Fills with numbers in [-1, 1) that depend on seed alone (xorshift64*). */
static inline void
kit_test_fill (float *x, size_t n, uint64_t seed)
{
  uint64_t s = seed * UINT64_C (0x9e3779b97f4a7c15) + 1;
  for (size_t i = 0; i < n; i++)
    {
      s ^= s >> 12;
      s ^= s << 25;
      s ^= s >> 27;
      x[i] = (float)((double)((s * UINT64_C (0x2545f4914f6cdd1d)) >> 40) * 0x1p-23 - 1.0);
    }
}

static inline float *
kit_test_new (size_t n, uint64_t seed)
{
  float *x = sora_kit_alloc (n, sizeof *x);
  ck_assert_ptr_nonnull (x);
  kit_test_fill (x, n, seed);
  return x;
}

/* The larger of two distances; one that is no number is infinite, and stays. */
static inline double
kit_test_worst (double worst, double distance)
{
  return distance <= worst ? worst : isnan (distance) ? (double)INFINITY : distance;
}

/* max |a - b| / max |b|; not a number anywhere gives infinity. */
static inline double
kit_test_error (const float *a, const double *b, size_t n)
{
  double worst = 0, largest = 0;
  for (size_t i = 0; i < n; i++)
    {
      worst = kit_test_worst (worst, fabs ((double)a[i] - b[i]));
      largest = fmax (largest, fabs (b[i]));
    }
  return worst / largest;
}

#define kit_test_ok(team, call)                                                                    \
  do                                                                                               \
    {                                                                                              \
      int kit_test_result = (call);                                                                \
      ck_assert_msg (kit_test_result == SORA_OK, "%s gave %d: %s", #call, kit_test_result,         \
                     (team)->error);                                                               \
    }                                                                                              \
  while (0)

static inline int
kit_test_main (Suite *suite)
{
  SRunner *runner = srunner_create (suite);
  /* OpenMP's threads do not live on in a forked child.  */
  srunner_set_fork_status (runner, CK_NOFORK);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
