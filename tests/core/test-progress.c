/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Arithmetic of the runner that needs no runner: progress, links, and "did you mean".
 */
#include "config.h"
#include "sora-link.h"
#include "sora-progress.h"
#include "sora-suggest.h"
#include <check.h>
#include <math.h>

#define SECOND G_USEC_PER_SEC

START_TEST (weighted_by_operations)
{
  const double flops[] = { 100, 800, 100 };
  SoraProgress progress;
  sora_progress_init (&progress, flops, 3, 0);
  sora_progress_set (&progress, 0, 1);
  ck_assert_double_eq_tol (progress.overall, 0.1, 1e-9);
  sora_progress_set (&progress, 1, 0.5);
  ck_assert_double_eq_tol (progress.overall, 0.5, 1e-9);
  /* Back is no way to go, neither is nowhere. */
  sora_progress_set (&progress, 1, 0.25);
  sora_progress_set (&progress, 1, NAN);
  sora_progress_set (&progress, 1, -INFINITY);
  ck_assert_double_eq_tol (progress.overall, 0.5, 1e-9);
  sora_progress_set (&progress, 1, 17);
  sora_progress_set (&progress, 2, 1);
  ck_assert_double_eq (progress.overall, 1);
  sora_progress_clear (&progress);
}
END_TEST

START_TEST (a_stage_without_operations_counts_a_little)
{
  const double flops[] = { 1e12, 0 };
  SoraProgress progress;
  sora_progress_init (&progress, flops, 2, 0);
  sora_progress_set (&progress, 0, 1);
  ck_assert_double_lt (progress.overall, 1);
  ck_assert_double_gt (progress.overall, 0.99);
  sora_progress_set (&progress, 1, 1);
  ck_assert_double_eq (progress.overall, 1);
  sora_progress_clear (&progress);
}
END_TEST

START_TEST (equal_where_nobody_counts)
{
  const double flops[] = { 0, 0, 0, 0 };
  SoraProgress progress;
  sora_progress_init (&progress, flops, 4, 0);
  sora_progress_set (&progress, 3, 1);
  ck_assert_double_eq_tol (progress.overall, 0.25, 1e-9);
  sora_progress_clear (&progress);
}
END_TEST

START_TEST (remaining_by_the_rate_so_far)
{
  const double flops[] = { 1 };
  SoraProgress progress;
  sora_progress_init (&progress, flops, 1, 5 * SECOND);
  ck_assert_double_lt (sora_progress_remaining (&progress, 6 * SECOND), 0);
  sora_progress_set (&progress, 0, 0.25);
  ck_assert_double_lt (sora_progress_remaining (&progress, 5 * SECOND + 1), 0);
  ck_assert_double_eq_tol (sora_progress_remaining (&progress, 15 * SECOND), 30, 1e-6);
  sora_progress_set (&progress, 0, 1);
  ck_assert_double_eq (sora_progress_remaining (&progress, 16 * SECOND), 0);
  sora_progress_clear (&progress);
}
END_TEST

START_TEST (reports_are_spaced)
{
  const double flops[] = { 1 };
  SoraProgress progress;
  sora_progress_init (&progress, flops, 1, 0);
  ck_assert (sora_progress_take (&progress, SECOND, FALSE));
  ck_assert (!sora_progress_take (&progress, SECOND + SECOND / 100, FALSE));
  ck_assert (sora_progress_take (&progress, SECOND + SECOND / 100, TRUE));
  ck_assert (sora_progress_take (&progress, SECOND + SECOND / 10, FALSE));
  sora_progress_clear (&progress);
}
END_TEST

static SoraTensor *
bytes (gint64 n)
{
  return sora_tensor_new (SORA_U8, 1, &n, NULL);
}

START_TEST (a_queue_has_two_limits)
{
  SoraLink *link = sora_link_new_queue ("a:out", "b:in", 3, 100);
  guint64 size = 0;
  /* One tensor goes in whatever its size. */
  ck_assert (sora_link_has_room (link, 1000));
  sora_link_push (link, bytes (60), 60);
  ck_assert (sora_link_has_room (link, 40));
  ck_assert (!sora_link_has_room (link, 41));
  sora_link_push (link, bytes (20), 20);
  sora_link_push (link, bytes (1), 1);
  ck_assert (!sora_link_has_room (link, 1));
  sora_link_enlarge (link, 50);
  ck_assert (sora_link_has_room (link, 50));
  ck_assert (!sora_link_has_room (link, 51));

  g_autoptr (SoraTensor) first = sora_link_pull (link, &size);
  ck_assert_ptr_nonnull (first);
  ck_assert_uint_eq (size, 60);
  ck_assert_uint_eq (link->bytes, 21);
  ck_assert_uint_eq (link->peak_bytes, 81);
  ck_assert_uint_eq (link->peak_tensors, 3);
  ck_assert_uint_eq (sora_link_drop (link), 21);
  ck_assert_uint_eq (link->tensors, 0);
  ck_assert (link->dropped);
  ck_assert_ptr_null (sora_link_pull (link, &size));
  sora_link_free (link);
}
END_TEST

static const struct
{
  const char *name, *says;
} suggestions[] = {
  { "widht", ": did you mean 'width'?" },
  { "WIDTH", ": did you mean 'width'?" },
  { "heigth", ": did you mean 'height'?" },
  { "prompt", "; there are 'width', 'height', 'steps'" },
};

START_TEST (did_you_mean)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_ptr_array_add (names, (char *)"width");
  g_ptr_array_add (names, (char *)"height");
  g_ptr_array_add (names, (char *)"steps");
  g_autofree char *text = sora_suggest (suggestions[_i].name, names);
  ck_assert_str_eq (text, suggestions[_i].says);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("progress");
  TCase *tests = tcase_create ("progress");

  tcase_add_test (tests, weighted_by_operations);
  tcase_add_test (tests, a_stage_without_operations_counts_a_little);
  tcase_add_test (tests, equal_where_nobody_counts);
  tcase_add_test (tests, remaining_by_the_rate_so_far);
  tcase_add_test (tests, reports_are_spaced);
  tcase_add_test (tests, a_queue_has_two_limits);
  tcase_add_loop_test (tests, did_you_mean, 0, G_N_ELEMENTS (suggestions));
  suite_add_tcase (suite, tests);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed != 0;
}
