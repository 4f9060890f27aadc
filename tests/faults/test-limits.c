/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The daemon with a wall clock that jumps by thirty days, and with few descriptors: no acknowledged
 * job is lost or made twice, and what cannot be done is told.
 */
#include "config.h"

#include <check.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "dbus/sora-bus-error.h"
#include "tests/faults/fault-jobs.h"

#define DAYS_30 (INT64_C (30) * 24 * 3600)

static const BusSetup calm = { .worker = FAKE_WORKER, .pipeline_dir = FAKE_PIPELINES };

/* Each of @n jobs is there once, done, with the text that it was submitted with. */
static void
assert_done (BusFixture *fixture, char *const *paths, guint n)
{
  g_autoptr (GVariant) jobs = fault_list_jobs (fixture, "@a{sv} {}");
  ck_assert_uint_eq (g_variant_n_children (jobs), n);
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *text = g_strdup_printf ("text %u", i);
      g_autofree char *state = bus_get_string (fixture->connection, paths[i], "State");
      ck_assert_str_eq (state, "done");
      g_autofree char *result = bus_read_result (fixture->connection, paths[i], NULL, NULL);
      ck_assert_str_eq (result, text);
    }
}

static char *
submit_and_wait (BusFixture *fixture, guint number)
{
  g_autofree char *text = g_strdup_printf ("text %u", number);
  g_autoptr (GError) error = NULL;
  char *path = fault_submit (fixture, text, &error);
  ck_assert_msg (path != NULL, "%s", error ? error->message : "");
  bus_look_until (fixture, fault_all_over, fixture, "the end of the job");
  return path;
}

static gint64
submitted_at (BusFixture *fixture, const char *path)
{
  g_autoptr (GVariant) value = bus_get (fixture->connection, path, JOB, "SubmittedAt");
  return g_variant_get_int64 (value);
}

START_TEST (clock_that_jumps_loses_nothing)
{
  static const int64_t jumps[] = { 0, DAYS_30, -DAYS_30, 0 };
  char *paths[2 * G_N_ELEMENTS (jumps)];
  guint n = 0;
  BusFixture *fixture = bus_fixture_new (&calm);
  g_autofree char *file = g_build_filename (fixture->dir, "clock", NULL);
  int fd = open (file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  ck_assert (fd >= 0 && ftruncate (fd, sizeof (int64_t)) == 0);
  _Atomic int64_t *offset = mmap (NULL, sizeof *offset, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ck_assert_ptr_ne (offset, MAP_FAILED);
  close (fd);
  const char *sanitizer = g_getenv ("ASAN_OPTIONS");
  g_autofree char *where = g_strdup_printf ("SORA_CLOCK_FILE=%s", file);
  g_autofree char *options
      = g_strdup_printf ("ASAN_OPTIONS=%s:verify_asan_link_order=0", sanitizer ? sanitizer : "");
  const char *environment[]
      = { "LD_PRELOAD=" ABS_BUILDDIR "/tests/faults/.libs/clock-shim.so", where, options, NULL };
  BusSetup wrong = calm;
  wrong.environment = environment;
  for (gsize i = 0; i < G_N_ELEMENTS (jumps); i++)
    { /* at a start, and again while the daemon runs */
      *offset = jumps[i];
      bus_fixture_kill_sorad (fixture);
      bus_fixture_start_sorad (fixture, &wrong);
      assert_done (fixture, paths, n);
      paths[n] = submit_and_wait (fixture, n);
      n++;
      *offset = -jumps[i];
      paths[n] = submit_and_wait (fixture, n);
      n++;
      assert_done (fixture, paths, n);
    }
  /* The clock that the daemon saw was wrong indeed. */
  const gint64 ahead = submitted_at (fixture, paths[2]), behind = submitted_at (fixture, paths[3]);
  ck_assert_int_gt (ahead - behind, 59 * G_TIME_SPAN_DAY);
  munmap (offset, sizeof *offset);
  for (guint i = 0; i < n; i++)
    g_free (paths[i]);
  bus_fixture_free (fixture);
}
END_TEST

static gboolean
is_dead (BusFixture *fixture)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
  return g_subprocess_get_identifier (fixture->sorad) == NULL;
}

static gboolean
is_up_or_dead (gpointer data)
{
  BusFixture *fixture = data;
  gboolean up = FALSE;
  g_autoptr (GVariant) reply = g_dbus_connection_call_sync (
      fixture->connection, "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "NameHasOwner",
      g_variant_new ("(s)", SORA_BUS_NAME), NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL);
  ck_assert_ptr_nonnull (reply);
  g_variant_get (reply, "(b)", &up);
  return up || is_dead (fixture);
}

/* From too few to begin with up to enough for all. */
START_TEST (few_descriptors_are_told_and_lose_nothing)
{
  const rlim_t number = 8 + 3 * (rlim_t)_i;
  const struct rlimit few = { number, number };
  struct rlimit usual;
  BusFixture *fixture = bus_fixture_new (&calm);
  char *paths[2] = { submit_and_wait (fixture, 0), NULL };
  bus_fixture_kill_sorad (fixture);

  /* A process inherits them; this one keeps what it has open. */
  ck_assert_int_eq (getrlimit (RLIMIT_NOFILE, &usual), 0);
  bus_fixture_launch_sorad (fixture, &calm);
  ck_assert_int_eq (prlimit ((pid_t)atoi (g_subprocess_get_identifier (fixture->sorad)),
                             RLIMIT_NOFILE, &few, NULL),
                    0);
  bus_look_until (fixture, is_up_or_dead, fixture, "sorad with few descriptors, or its end");
  g_autoptr (GError) error = NULL;
  if (!is_dead (fixture))
    {
      paths[1] = fault_submit (fixture, "text 1", &error);
      ck_assert_msg (paths[1] != NULL || error->domain == SORA_ERROR, "%s", error->message);
      if (paths[1])
        bus_look_until (fixture, fault_all_over, fixture, "the end of the job");
      g_autofree char *why
          = paths[1] ? bus_get_string (fixture->connection, paths[1], "Error") : NULL;
      g_autofree char *state
          = paths[1] ? bus_get_string (fixture->connection, paths[1], "State") : NULL;
      ck_assert_msg (!is_dead (fixture), "%d descriptors ended the daemon", (int)number);
      ck_assert_msg (!state || g_str_equal (state, "done") || (why && *why != '\0'),
                     "%d descriptors: %s without a reason", (int)number, state);
      if (state && !g_str_equal (state, "done"))
        g_clear_pointer (&paths[1], g_free); /* told to have failed: made again below */
    }
  bus_fixture_kill_sorad (fixture);
  bus_fixture_start_sorad (fixture, &calm);
  g_autofree char *text = bus_read_result (fixture->connection, paths[0], NULL, NULL);
  ck_assert_str_eq (text, "text 0");
  if (paths[1])
    assert_done (fixture, paths, 2);
  fault_assert_nothing_left (fixture);
  g_free (paths[0]);
  g_free (paths[1]);
  bus_fixture_free (fixture);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("limits");
  TCase *clock = tcase_create ("clock"), *files = tcase_create ("descriptors");
  tcase_set_timeout (clock, 300);
  tcase_set_timeout (files, 300);
  tcase_add_test (clock, clock_that_jumps_loses_nothing);
  tcase_add_loop_test (files, few_descriptors_are_told_and_lose_nothing, 0, 11);
  suite_add_tcase (suite, clock);
  suite_add_tcase (suite, files);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
