/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A worker whose memory is at an end: at its own limit, and killed by the kernel, which is made to
 * do it by a control group around the workers.  The job tells the cause, the attempts are those of
 * any dead worker, the daemon lives, and the job behind it is done.
 *
 * The group is made below the test's own, of version 2 or 1, or below SORA_TEST_CGROUP; where that
 * cannot be, what needs it is left out, and said.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bus/hostile-fixture.h"

#define GROUP_MAX "536870912"
#define ATTEMPTS 2

static char *group;
static HostileFixture *fixture;

/* @trusted: the plugins run in the worker itself. */
static void
start (gboolean trusted, const char *more, gboolean in_group)
{
  static const char *const names[] = { "leak", "shared-leak", NULL };
  g_autofree char *place = g_strdup_printf ("SORA_TEST_MEMORY_GROUP=%s", group);
  g_autofree char *settings = g_strdup_printf (
      "[Worker]\nAttempts=%d\n%sTrustedPluginFolders=%s;" ABS_BUILDDIR ";" ABS_SRCDIR "\n",
      ATTEMPTS, more, trusted ? "@plugins@" : "");
  fixture = hostile_fixture_new (names, settings,
                                 in_group ? ABS_BUILDDIR "/tests/faults/memory-worker" : NULL,
                                 (const char *const[]){ place, NULL });
}

/* A job that fails so, and the one behind it, which does not. */
static char *
run (const char *plugin, const char *error, const char *part, guint attempts)
{
  gsize expected_size, size;
  GDBusConnection *bus = fixture->bus->connection;
  g_autofree char *first = hostile_submit (fixture, "neighbour", NULL);
  g_autofree char *expected = hostile_bytes (fixture, first, &expected_size);
  char *job = hostile_submit (fixture, "hostile", plugin);
  g_autofree char *next = hostile_submit (fixture, "neighbour", NULL);
  hostile_assert_failed (fixture, job, error, part);
  g_autofree char *text = bus_get_string (bus, job, "Error");
  ck_assert_msg (g_str_has_prefix (text, "stage 'bad': "), "%s", text);
  g_autoptr (GVariant) count = bus_get (bus, job, JOB, "Attempts");
  ck_assert_uint_eq (g_variant_get_uint32 (count), attempts);
  g_autofree char *bytes = hostile_bytes (fixture, next, &size);
  ck_assert_uint_eq (size, expected_size);
  ck_assert_int_eq (memcmp (bytes, expected, size), 0);
  hostile_assert_same_daemon (fixture);
  return job;
}

#ifndef SORA_SANITIZERS /* no limit there: their shadow counts */
START_TEST (a_stage_at_the_workers_limit_fails)
{
  start (TRUE, "MemoryMax=805306368\n", FALSE);
  g_autofree char *job = run ("leak", ".Failed", "there is no more memory", 1);
  hostile_fixture_free (fixture);
}
END_TEST
#endif

START_TEST (a_worker_that_the_kernel_ends_is_tried_again_and_says_why)
{
  start (TRUE, "", TRUE);
  g_autofree char *job = run (
      "shared-leak", ".WorkerDied",
      "the worker process was killed by signal 9 (Killed), while the kernel killed for want of "
      "memory, the machine's or that of a control group around sorad; it has ended 2 workers "
      "so and is not tried again",
      ATTEMPTS);
  g_autoptr (GVariant) warnings = bus_get (fixture->bus->connection, job, JOB, "Warnings");
  g_autofree char *all = g_variant_print (warnings, FALSE);
  ck_assert_msg (
      strstr (all, "attempt 1: stage \\'bad\\': the worker process was killed by signal 9")
          || strstr (all, "attempt 1: stage 'bad': the worker process was killed by signal 9"),
      "%s", all);
  hostile_fixture_free (fixture);
}
END_TEST

/* It is the kernel's first choice, and the worker lives. */
START_TEST (a_third_partys_stage_goes_before_the_worker)
{
  start (FALSE, "", TRUE);
  g_autofree char *job
      = run ("shared-leak", ".WorkerDied",
             "the process of plugin 'shared-leak' was killed by signal 9 (Killed)", 1);
  hostile_fixture_free (fixture);
}
END_TEST

/* A kill for another reason is not taken for that. */
START_TEST (a_worker_that_somebody_kills_says_no_more_than_that)
{
  BusFixture *bus = bus_fixture_new (&(BusSetup){ .worker = FAKE_WORKER,
                                                  .pipeline_dir = FAKE_PIPELINES,
                                                  .settings = "[Worker]\nAttempts=1\n" });
  g_autofree char *job = bus_submit (bus->connection, "kill", NULL, NULL);
  g_autofree char *state = bus_wait (bus->connection, job);
  g_autofree char *text = bus_get_string (bus->connection, job, "Error");
  ck_assert_str_eq (state, "failed");
  ck_assert_str_eq (text, "stage 'work': the worker process was killed by signal 9 (Killed)");
  bus_fixture_free (bus);
}
END_TEST

/* -- The group */

static char *
own_path (const char *kind, const char *root)
{
  g_autofree char *text = NULL;
  g_file_get_contents ("/proc/self/cgroup", &text, NULL, NULL);
  const char *own = text ? strstr (text, kind) : NULL;
  g_autofree char *path
      = own ? g_strndup (own + strlen (kind), strcspn (own + strlen (kind), "\n")) : NULL;
  return path ? g_build_filename (root, path, NULL) : NULL;
}

static gboolean
set_limit (const char *name, const char *value)
{
  g_autofree char *path = g_build_filename (group, name, NULL);
  FILE *file = g_file_test (path, G_FILE_TEST_EXISTS) ? fopen (path, "w") : NULL;
  gboolean written = file != NULL && fputs (value, file) >= 0;
  return file != NULL && fclose (file) == 0 && written;
}

static gboolean
make_group (void)
{
  g_autofree char *two = own_path ("0::", "/sys/fs/cgroup");
  g_autofree char *one = own_path (":memory:", "/sys/fs/cgroup/memory");
  const char *const parents[] = { g_getenv ("SORA_TEST_CGROUP"), two, one };
  for (gsize i = 0; i < G_N_ELEMENTS (parents); i++)
    {
      group = parents[i] ? g_strdup_printf ("%s/sora-test-%d", parents[i], (int)getpid ()) : NULL;
      if (group && g_mkdir (group, 0755) == 0)
        {
          if (set_limit ("memory.max", GROUP_MAX) || set_limit ("memory.limit_in_bytes", GROUP_MAX))
            {
              (void)set_limit ("memory.swap.max", "0"); /* where there is swap it is only slower */
              (void)set_limit ("memory.swappiness", "0");
              return TRUE;
            }
          g_rmdir (group);
        }
      g_clear_pointer (&group, g_free);
    }
  return FALSE;
}

int
main (void)
{
  gboolean have_group = make_group ();
  Suite *suite = suite_create ("memory");
  TCase *all = tcase_create ("memory");
  tcase_set_timeout (all, 120);
#ifndef SORA_SANITIZERS
  tcase_add_test (all, a_stage_at_the_workers_limit_fails);
#endif
  tcase_add_test (all, a_worker_that_somebody_kills_says_no_more_than_that);
  if (have_group)
    {
      tcase_add_test (all, a_worker_that_the_kernel_ends_is_tried_again_and_says_why);
      tcase_add_test (all, a_third_partys_stage_goes_before_the_worker);
    }
  else
    printf ("left out: what the kernel does at the end of memory: no control group with a limit of "
            "memory can be made\n");
  suite_add_tcase (suite, all);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  /* Of a test that failed workers are still ending. */
  const gint64 deadline = g_get_monotonic_time () + BUS_DEADLINE_MS * G_GINT64_CONSTANT (1000);
  while (group && g_rmdir (group) != 0 && errno == EBUSY && g_get_monotonic_time () < deadline)
    g_thread_yield ();
  g_free (group);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
