/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Everybody calls everything: the clients of fuzz-bus.c, at the same time, against one daemon.  The
 * daemon's user (who may add models), a user with jobs, and a stranger who is shown both others'
 * jobs.  In the end the daemon is the same process, holds what it held, and works.
 *
 *   SORA_BUS_FUZZ_CALLS   calls of each client (20,000)
 *   SORA_BUS_FUZZ_SEED    what they are made from (1); the clients take it and the numbers after it
 */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bus/bus-fixture.h"

#define USER 1 /* daemon: the bus lets in whom the system knows */
#define STRANGER 65534
#define MAX_GROWTH_KB (64 * 1024)

/* Under AddressSanitizer freed memory is kept aside. */
#if defined(__SANITIZE_ADDRESS__)
#define MEMORY_IS_TOLD 0
#else
#define MEMORY_IS_TOLD 1
#endif

static const char *
setting (const char *name, const char *otherwise)
{
  const char *value = g_getenv (name);
  return value != NULL && *value != '\0' ? value : otherwise;
}

static guint64
status_kb (BusFixture *fixture, const char *field)
{
  g_autofree char *path
      = g_strdup_printf ("/proc/%s/status", g_subprocess_get_identifier (fixture->sorad));
  g_autofree char *text = NULL;
  ck_assert (g_file_get_contents (path, &text, NULL, NULL));
  const char *line = strstr (text, field);
  ck_assert_ptr_nonnull (line);
  return g_ascii_strtoull (line + strlen (field) + 1, NULL, 10);
}

static guint
count_fds (BusFixture *fixture)
{
  g_autofree char *path
      = g_strdup_printf ("/proc/%s/fd", g_subprocess_get_identifier (fixture->sorad));
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;
  ck_assert_ptr_nonnull (dir);
  while (g_dir_read_name (dir))
    n++;
  return n;
}

static GSubprocess *
start (BusFixture *fixture, uid_t uid, guint32 seed, const char *const *jobs)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *user = g_strdup_printf ("%u", uid), *from = g_strdup_printf ("%u", seed);
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_ptr_array_add (argv, ABS_BUILDDIR "/tests/fuzz/fuzz-bus");
  g_ptr_array_add (argv, fixture->address);
  g_ptr_array_add (argv, user);
  g_ptr_array_add (argv, (char *)setting ("SORA_BUS_FUZZ_CALLS", "20000"));
  g_ptr_array_add (argv, from);
  for (; jobs && *jobs; jobs++)
    g_ptr_array_add (argv, (char *)*jobs);
  g_ptr_array_add (argv, NULL);
  GSubprocess *client = g_subprocess_newv ((const char *const *)argv->pdata, 0, &error);
  ck_assert_msg (client != NULL, "%s", error ? error->message : "");
  return client;
}

static void
finish (GSubprocess *client, const char *who)
{
  ck_assert (g_subprocess_wait (client, NULL, NULL));
  ck_assert_msg (g_subprocess_get_if_exited (client) && g_subprocess_get_exit_status (client) == 0,
                 "the client of %s found something: status %x", who,
                 g_subprocess_get_status (client));
  g_object_unref (client);
}

static gboolean
on_tick (gpointer unused)
{
  return G_SOURCE_CONTINUE; /* what is waited for makes no event here */
}

static gboolean
fds_are_back (gpointer data)
{
  BusFixture *fixture = ((gpointer *)data)[0];
  return count_fds (fixture) <= GPOINTER_TO_UINT (((gpointer *)data)[1]);
}

START_TEST (everybody_calls_everything)
{
  BusFixture *fixture
      = bus_fixture_new (&(BusSetup){ .worker = FAKE_WORKER, .pipeline_dir = FAKE_PIPELINES });
  bus_assert_goes_on (fixture);
  const guint32 seed = (guint32)g_ascii_strtoull (setting ("SORA_BUS_FUZZ_SEED", "1"), NULL, 10);
  g_autofree char *waiting = bus_submit (fixture->connection, "wait", NULL, NULL);
  g_autofree char *done = bus_submit (fixture->connection, "done", NULL, NULL);
  const char *const jobs[] = { waiting, done, NULL };
  const guint fds = count_fds (fixture);
  const guint64 before = status_kb (fixture, "VmRSS:");

  GSubprocess *owner = start (fixture, getuid (), seed, NULL), *user = NULL, *stranger = NULL;
  if (getuid () == 0) /* others can only be played by root */
    {
      user = start (fixture, USER, seed + 1, NULL);
      stranger = start (fixture, STRANGER, seed + 2, jobs);
    }
  /* One job runs at a time: those of the clients behind this one. */
  g_autoptr (GVariant) cancelled
      = bus_call (fixture->connection, waiting, JOB, "Cancel", NULL, NULL);
  ck_assert_ptr_nonnull (cancelled);
  finish (owner, "the owner");
  if (user != NULL)
    finish (user, "another user");
  if (stranger != NULL)
    finish (stranger, "a stranger");

  bus_assert_goes_on (fixture);
  gpointer state[] = { fixture, GUINT_TO_POINTER (fds) };
  const guint tick = g_timeout_add (50, on_tick, NULL);
  bus_wait_until (fds_are_back, state, "the daemon's descriptors");
  g_source_remove (tick);
  const guint64 after = status_kb (fixture, "VmRSS:");
  if (MEMORY_IS_TOLD)
    ck_assert_msg (after < before + MAX_GROWTH_KB,
                   "the daemon grew from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT " kB", before,
                   after);
  bus_fixture_free (fixture);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("bus-fuzz");
  TCase *tcase = tcase_create ("bus-fuzz");
  tcase_set_timeout (tcase, 7200);
  tcase_add_test (tcase, everybody_calls_everything);
  suite_add_tcase (suite, tcase);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
