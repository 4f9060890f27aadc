/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kill -9 of the daemon while stages of a third party run in processes of their own, a filter and
 * an encoder that has half of its file written: none of these processes outlives the daemon, no
 * part of the result shows, and the next daemon runs the job again, to the same bytes.
 *
 * SORA_FAULT_KILLS is how many at each level of these processes, SORA_FAULT_SEED chooses other
 * moments.
 */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bus/hostile-fixture.h"
#include "tests/faults/fault-jobs.h"
#include "tests/faults/fault-processes.h"

#define KILLS 5
#define KILLS_A_JOB 3 /* before it is let be */
#define MAX_US 120000 /* from the start of a stage's process; both take some 400 ms */

/* The least level; where the machine gives more than "filtered", that is taken. */
static const char *const levels[] = { "filtered", "basic" };
static HostileFixture *fixture;
static char *expected;
static gsize expected_size;

/* Has it a process of a third party's stage on its command line? */
static gboolean
is_stage (int pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/cmdline", pid), *text = NULL;
  gsize size = 0;
  if (!g_file_get_contents (path, &text, &size, NULL))
    return FALSE;
  for (const char *word = text; word < text + size; word += strlen (word) + 1)
    if (g_str_has_prefix (word, "--stage="))
      return TRUE;
  return FALSE;
}

static guint
count_stages (void)
{
  g_autoptr (GArray) all = fault_find_processes (fixture->bus, fixture->bus->mark);
  guint n = 0;
  for (guint i = 0; i < all->len; i++)
    n += is_stage (g_array_index (all, int, i)) ? 1 : 0;
  return n;
}

/* A third party's process, the one in which a stage runs or, before it, the one that describes. */
static gboolean
runs_a_stage (gpointer job)
{
  g_autofree char *state = bus_get_string (fixture->bus->connection, job, "State");
  ck_assert_msg (!g_str_equal (state, "failed"), "the job failed");
  return g_str_equal (state, "done") || (g_str_equal (state, "running") && count_stages () > 0);
}

/* Longer than the fixture waits: where others work as well, the stages' work takes its time. */
static void
wait_for_end (const char *job)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply = g_dbus_connection_call_sync (
      fixture->bus->connection, "org.sorad.Sora1", job, JOB, "Wait", NULL, NULL,
      G_DBUS_CALL_FLAGS_NONE, 10 * BUS_DEADLINE_MS, NULL, &error);
  ck_assert_msg (reply != NULL, "Wait: %s", error ? error->message : "");
}

static void
assert_bytes (const char *job)
{
  gsize size;
  wait_for_end (job);
  g_autofree char *bytes = hostile_bytes (fixture, job, &size);
  ck_assert_uint_eq (size, expected_size);
  ck_assert_int_eq (memcmp (bytes, expected, size), 0);
}

/* Whatever is not done lists no files.  That the folder of the result is there a moment before the
 * job is done, is how it is published: what lies in it is whole. */
static void
assert_shows_no_part (const char *job)
{
  g_autofree char *file = g_build_filename (fixture->bus->dir, "state", "results",
                                            strrchr (job, '/') + 1, "out.bin", NULL);
  g_autofree char *bytes = NULL;
  gsize size;
  if (g_file_get_contents (file, &bytes, &size, NULL))
    ck_assert_msg (size == expected_size && memcmp (bytes, expected, size) == 0,
                   "%s shows a part of its result", job);
  g_autoptr (GVariant) files = bus_call (fixture->bus->connection, job, JOB, "GetResult", NULL, NULL);
  g_autofree char *state = bus_get_string (fixture->bus->connection, job, "State");
  if (g_str_equal (state, "done"))
    {
      assert_bytes (job);
      return;
    }
  ck_assert_msg (g_str_equal (state, "queued") || g_str_equal (state, "running"), "%s is %s", job,
                 state);
  ck_assert_msg (files == NULL, "%s is %s and lists files", job, state);
}

static guint
attempts_of (const char *job)
{
  g_autoptr (GVariant) count = bus_get (fixture->bus->connection, job, JOB, "Attempts");
  return g_variant_get_uint32 (count);
}

START_TEST (third_partys_stages_end_with_the_daemon)
{
  const guint kills = fault_number ("SORA_FAULT_KILLS", KILLS);
  g_autofree char *settings
      = g_strdup_printf ("[Worker]\nThirdPartySandbox=%s\nThirdPartyAnswerSeconds=60\n", levels[_i]);
  g_autoptr (GRand) random = fault_random ();
  guint caught = 0, processes = 0, jobs = 0;
  fixture = hostile_fixture_new ((const char *const[]){ "slow", NULL }, settings, NULL, NULL);
  g_autofree char *calm = hostile_submit (fixture, "slow", NULL);
  wait_for_end (calm);
  expected = hostile_bytes (fixture, calm, &expected_size);
  ck_assert_uint_eq (expected_size, 8 * 5 * 4);
  g_autofree char *level = hostile_stage_level (fixture, calm, "sink");
  ck_assert_ptr_nonnull (level);
  for (guint i = 0; i < kills; jobs++)
    {
      g_autofree char *job = hostile_submit (fixture, "slow", NULL);
      guint interrupted = 0;
      for (guint k = 0; k < KILLS_A_JOB && i < kills; k++, i++)
        {
          g_autofree char *mark = g_strdup (fixture->bus->mark);
          bus_look_until (fixture->bus, runs_a_stage, job, "a process of the third party's");
          gint64 moment = g_get_monotonic_time () + g_rand_int_range (random, 0, MAX_US);
          while (g_get_monotonic_time () < moment) /* the moment is the test: nothing to wait for */
            ;
          const guint n = count_stages ();
          hostile_fixture_kill_and_start (fixture);
          fault_assert_ended (fixture->bus, mark);
          assert_shows_no_part (job);
          g_autofree char *state = bus_get_string (fixture->bus->connection, job, "State");
          caught += n > 0;
          processes += n;
          /* Else what ran may have described the plugin, behind a job that was done. */
          interrupted += n > 0 && !g_str_equal (state, "done");
        }
      assert_bytes (job);
      ck_assert_msg (attempts_of (job) > (interrupted > 0), "%s: %u attempts", job,
                     attempts_of (job));
    }
  g_autoptr (GVariant) all = fault_list_jobs (fixture->bus, "@a{sv} {}");
  ck_assert_uint_eq (g_variant_n_children (all), jobs + 1);
  ck_assert_uint_gt (caught, 0);
  fault_assert_nothing_left (fixture->bus);
  fault_assert_no_orphans (fixture->bus);
  g_print ("%u kills of the daemon, %u while a third party's stage ran (level %s, %u processes), %u "
           "jobs: all the same\n",
           kills, caught, level, processes, jobs);
  g_free (expected);
  hostile_fixture_free (fixture);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("kill-stage");
  TCase *tests = tcase_create ("kill-stage");
  tcase_set_timeout (tests, 7200);
  tcase_add_loop_test (tests, third_partys_stages_end_with_the_daemon, 0,
                       (int)G_N_ELEMENTS (levels));
  suite_add_tcase (suite, tests);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
