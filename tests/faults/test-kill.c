/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kill -9 of daemon or worker at random moments, under a client that submits without a pause.  In
 * the end each job that was acknowledged is there, once, and done with the bytes that were asked
 * for; nothing is left of what was interrupted.  Unacknowledged submissions are made again with
 * their key, and never are two jobs.
 *
 * SORA_FAULT_KILLS is how many (default 30), SORA_FAULT_SEED repeats a run.
 */
#include "config.h"

#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "dbus/sora-bus-error.h"
#include "tests/faults/fault-jobs.h"

#define MAX_WAIT_US 150000 /* from one kill to the next, beside the start */

static const BusSetup set_up = {
  .worker = FAKE_WORKER,
  .pipeline_dir = FAKE_PIPELINES,
  .settings = "[Limits]\nQueuedJobs=100000\nKeptJobs=100000\nCalls=10000\n[Worker]\nAttempts=100\n",
};
static BusFixture *fixture;
static GHashTable *acknowledged; /* path -> text that was asked for */
static guint submitted;

static guint
number_of (const char *name, guint otherwise)
{
  const char *text = g_getenv (name);
  return text ? (guint)strtoul (text, NULL, 10) : otherwise;
}

/* TRUE: acknowledged.  The key makes the second try the same job. */
static gboolean
submit (guint number)
{
  g_autofree char *text = g_strdup_printf ("text %u", number);
  char *path = fault_submit (fixture, text, NULL);
  if (!path)
    return FALSE;
  const char *before = g_hash_table_lookup (acknowledged, path);
  ck_assert_msg (before == NULL || g_str_equal (before, text), "%s is %s and %s", path, before,
                 text);
  g_hash_table_replace (acknowledged, path, g_steal_pointer (&text));
  return TRUE;
}

static void
kill_workers (void)
{
  const char *daemon = g_subprocess_get_identifier (fixture->sorad);
  DIR *proc = opendir ("/proc");
  struct dirent *entry;
  while ((entry = readdir (proc)))
    {
      g_autofree char *path = g_build_filename ("/proc", entry->d_name, "stat", NULL);
      g_autofree char *text = NULL;
      int pid = atoi (entry->d_name);
      if (pid <= 1 || !g_file_get_contents (path, &text, NULL, NULL) || !strrchr (text, ')'))
        continue;
      g_auto (GStrv) fields = g_strsplit (strrchr (text, ')') + 2, " ", 3);
      if (g_str_equal (fields[1], daemon))
        kill (pid, SIGKILL);
    }
  closedir (proc);
}

static void
assert_all_there_once (void)
{
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GVariant) jobs = fault_list_jobs (fixture, "@a{sv} {}");
  GVariantIter iter;
  const char *path;
  GVariant *properties;
  g_variant_iter_init (&iter, jobs);
  while (g_variant_iter_loop (&iter, "(&o@a{sv})", &path, &properties))
    {
      const char *state;
      ck_assert (g_variant_lookup (properties, "State", "&s", &state));
      ck_assert_msg (g_str_equal (state, "done"), "%s is %s", path, state);
      ck_assert_msg (g_hash_table_contains (acknowledged, path), "%s was never asked for", path);
      ck_assert (g_hash_table_add (seen, g_strdup (path)));
      g_autofree char *text = bus_read_result (fixture->connection, path, NULL, NULL);
      ck_assert_str_eq (text, g_hash_table_lookup (acknowledged, path));
    }
  ck_assert_uint_eq (g_hash_table_size (seen), submitted);
  ck_assert_uint_eq (g_hash_table_size (acknowledged), submitted);
}

START_TEST (nothing_is_lost_by_kills)
{
  guint kills = number_of ("SORA_FAULT_KILLS", 30);
  guint seed = number_of ("SORA_FAULT_SEED", g_random_int ());
  g_autoptr (GRand) random = g_rand_new_with_seed (seed);
  guint daemons = 0;
  g_print ("SORA_FAULT_SEED=%u SORA_FAULT_KILLS=%u\n", seed, kills);
  fixture = bus_fixture_new (&set_up);
  acknowledged = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  for (guint i = 0; i < kills; i++)
    {
      gint64 until = g_get_monotonic_time () + g_rand_int_range (random, 0, MAX_WAIT_US);
      while (g_get_monotonic_time () < until)
        {
          submitted++;
          ck_assert (submit (submitted));
        }
      if (g_rand_boolean (random))
        kill_workers ();
      else
        { /* with a submission on its way: it is made again */
          g_autofree char *text = g_strdup_printf ("text %u", ++submitted);
          g_dbus_connection_call (
              fixture->connection, SORA_BUS_NAME, MANAGER_PATH, MANAGER, "Submit",
              g_variant_new ("(s@a{sv}@a{sv})", "fake",
                             g_variant_new_parsed ("{'mode': <'done'>, 'text': <%s>}", text),
                             g_variant_new_parsed ("{'idempotency-key': <%s>}", text)),
              NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL, NULL);
          g_dbus_connection_flush_sync (fixture->connection, NULL, NULL);
          gint64 moment = g_get_monotonic_time () + g_rand_int_range (random, 0, 20000);
          while (g_get_monotonic_time () < moment) /* the moment is the test: nothing to wait for */
            ;
          daemons++;
          bus_fixture_kill_sorad (fixture);
          bus_fixture_start_sorad (fixture, &set_up);
          ck_assert (submit (submitted));
        }
    }
  bus_look_until (fixture, fault_all_over, fixture, "the end of all jobs");
  assert_all_there_once ();
  fault_assert_nothing_left (fixture);
  fault_assert_no_orphans (fixture);
  g_print ("%u jobs, %u kills of the daemon, %u of its workers: none lost, none twice\n", submitted,
           daemons, kills - daemons);
  g_hash_table_unref (acknowledged);
  bus_fixture_free (fixture);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("kill");
  TCase *kills = tcase_create ("kill");
  tcase_set_timeout (kills, 7200);
  tcase_add_test (kills, nothing_is_lost_by_kills);
  suite_add_tcase (suite, kills);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
