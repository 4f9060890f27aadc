/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Many users with many connections and many jobs: all of them are answered, and the daemon that is
 * killed with a full queue has it again.  What it took is printed, and is no part of the test:
 * docs/reliability.md has figures of the long form.
 *
 *   SORA_LOAD_CONNECTIONS   in all (40)
 *   SORA_LOAD_JOBS          in all (200)
 */
#include "config.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bus/bus-fixture.h"

#define USERS 4
#define ALONE 50 /* jobs of one user, one after the other */

typedef struct
{
  GSubprocess *process;
  GDataInputStream *from;
  GOutputStream *to;
} Client;

static const uid_t uids[USERS] = { 1, 2, 3, 5 }; /* every Debian knows them */

static guint
setting (const char *name, guint otherwise)
{
  const char *value = g_getenv (name);
  return value != NULL && *value != '\0' ? (guint)g_ascii_strtoull (value, NULL, 10) : otherwise;
}

static char *
hear (Client *client)
{
  g_autoptr (GError) error = NULL;
  char *line = g_data_input_stream_read_line (client->from, NULL, NULL, &error);
  ck_assert_msg (line != NULL, "a client left: %s", error ? error->message : "it says why");
  return line;
}

static void
tell (Client *client, const char *what)
{
  ck_assert (g_output_stream_write_all (client->to, what, strlen (what), NULL, NULL, NULL));
}

static Client
start (BusFixture *fixture, uid_t uid, guint connections, guint jobs)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *user = g_strdup_printf ("%u", uid), *each = g_strdup_printf ("%u", connections),
                  *count = g_strdup_printf ("%u", jobs);
  Client client
      = { .process = g_subprocess_new (
              G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error,
              ABS_BUILDDIR "/tests/load/load-client", fixture->address, user, each, count, NULL) };
  ck_assert_msg (client.process != NULL, "%s", error ? error->message : "");
  client.from = g_data_input_stream_new (g_subprocess_get_stdout_pipe (client.process));
  client.to = g_subprocess_get_stdin_pipe (client.process);
  return client;
}

/* All at the same time.  Prints the slowest user's times. */
static guint
measure (Client *clients, const char *order, const char *what)
{
  double p50 = 0, p99 = 0, most = 0;
  guint all = 0;
  for (int i = 0; i < USERS; i++)
    tell (&clients[i], order);
  for (int i = 0; i < USERS; i++)
    {
      g_autofree char *line = hear (&clients[i]);
      guint n;
      double a, b, c;
      ck_assert_msg (sscanf (line, "%u %lf %lf %lf", &n, &a, &b, &c) == 4, "'%s'", line);
      all += n;
      p50 = MAX (p50, a);
      p99 = MAX (p99, b);
      most = MAX (most, c);
    }
  printf ("%s: %u, p50 %.2f ms, p99 %.2f ms, at most %.2f ms\n", what, all, p50, p99, most);
  return all;
}

static void
tell_memory (BusFixture *fixture, const char *when)
{
  g_autofree char *path
      = g_strdup_printf ("/proc/%s/status", g_subprocess_get_identifier (fixture->sorad));
  g_autofree char *text = NULL;
  ck_assert (g_file_get_contents (path, &text, NULL, NULL));
  const char *line = strstr (text, "VmRSS:");
  ck_assert_ptr_nonnull (line);
  printf ("memory of the daemon, %s: %.1f MB\n", when,
          (double)g_ascii_strtoull (line + strlen ("VmRSS:"), NULL, 10) / 1000);
}

static gint
by_value (gconstpointer a, gconstpointer b)
{
  return *(const gint64 *)a < *(const gint64 *)b ? -1 : 1;
}

static void
submit_alone (BusFixture *fixture)
{
  gint64 took[ALONE];
  for (int i = 0; i < ALONE; i++)
    {
      const gint64 begun = g_get_monotonic_time ();
      g_autofree char *job = bus_submit (fixture->connection, "done", NULL, NULL);
      took[i] = g_get_monotonic_time () - begun;
    }
  qsort (took, ALONE, sizeof *took, by_value);
  printf ("Submit, one at a time: %d, p50 %.2f ms, at most %.2f ms\n", ALONE,
          (double)took[ALONE / 2] / 1000, (double)took[ALONE - 1] / 1000);
}

static guint
list_all (Client *clients)
{
  guint all = 0;
  for (int i = 0; i < USERS; i++)
    tell (&clients[i], "list\n");
  for (int i = 0; i < USERS; i++)
    {
      g_autofree char *line = hear (&clients[i]);
      all += (guint)g_ascii_strtoull (line, NULL, 10);
    }
  return all;
}

START_TEST (many_users_with_many_jobs)
{
  const guint connections = setting ("SORA_LOAD_CONNECTIONS", 40),
              jobs = setting ("SORA_LOAD_JOBS", 200) / USERS * USERS;
  const BusSetup setup
      = { .worker = FAKE_WORKER,
          .pipeline_dir = FAKE_PIPELINES,
          .settings = "[Limits]\nQueuedJobs=100000\nKeptJobs=100000\nCalls=100000\n" };
  BusFixture *fixture = bus_fixture_new (&setup);
  /* It runs as long as the test: all others wait behind it. */
  g_autofree char *first = bus_submit (fixture->connection, "wait", NULL, NULL);
  bus_wait_property (fixture->connection, first, "State", "running");
  submit_alone (fixture);
  tell_memory (fixture, "with few jobs");
  Client clients[USERS];
  for (int i = 0; i < USERS; i++)
    clients[i]
        = start (fixture, getuid () == 0 ? uids[i] : getuid (), connections / USERS, jobs / USERS);
  for (int i = 0; i < USERS; i++)
    {
      g_autofree char *ready = hear (&clients[i]);
      ck_assert_str_eq (ready, "ready");
    }
  measure (clients, "call\n", "cheap calls, no job waits");
  ck_assert_uint_eq (measure (clients, "submit\n", "Submit"), jobs);
  measure (clients, "call\n", "cheap calls, all jobs wait");
  tell_memory (fixture, "with all jobs");
  /* As one user the list is that of all, and has the first job as well. */
  const guint seen = getuid () == 0 ? jobs : USERS * (jobs + 1 + ALONE);
  ck_assert_uint_eq (list_all (clients), seen);

  g_subprocess_force_exit (fixture->sorad);
  ck_assert (g_subprocess_wait (fixture->sorad, NULL, NULL));
  g_clear_object (&fixture->sorad);
  const gint64 killed = g_get_monotonic_time ();
  bus_fixture_start_sorad (fixture, &setup);
  printf ("from the start to the name on the bus: %.2f s\n",
          (double)(g_get_monotonic_time () - killed) / 1e6);
  measure (clients, "call\n", "cheap calls after a restart");
  ck_assert_uint_eq (list_all (clients), seen);
  for (int i = 0; i < USERS; i++)
    {
      g_output_stream_close (clients[i].to, NULL, NULL);
      ck_assert (g_subprocess_wait_check (clients[i].process, NULL, NULL));
      g_object_unref (clients[i].from);
      g_object_unref (clients[i].process);
    }
  bus_fixture_free (fixture);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("load");
  TCase *tcase = tcase_create ("load");
  setvbuf (stdout, NULL, _IOLBF, 0);
  tcase_set_timeout (tcase, 3600);
  tcase_add_test (tcase, many_users_with_many_jobs);
  suite_add_tcase (suite, tcase);
  SRunner *runner = srunner_create (suite);
  srunner_set_fork_status (runner, CK_FORK);
  srunner_run_all (runner, CK_NORMAL);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
