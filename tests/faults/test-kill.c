/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kill -9 of the daemon, or of a worker, at random moments, under a client that submits without a
 * pause.  After each kill no acknowledged job is gone or there twice, whatever is done has the
 * bytes that were asked for, whatever is not shows none, and no process of the killed daemon lives
 * on; every ten kills the queue runs empty, and everything is deleted, which no kill undoes.
 * Unacknowledged submissions are made again with their key, and never are two jobs.
 *
 * SORA_FAULT_KILLS is how many of each, SORA_FAULT_VICTIM=daemon or =worker takes one of them
 * alone, SORA_FAULT_SEED chooses other moments.
 */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <unistd.h>

#include "dbus/sora-bus-error.h"
#include "tests/faults/fault-jobs.h"
#include "tests/faults/fault-processes.h"

#ifdef SORA_SANITIZERS
#define KILLS 40
#else
#define KILLS 200
#endif
#define MAX_WAIT_US 40000 /* from one kill to the next, beside the start */
#define KILLS_A_QUEUE 10  /* until it runs empty */

static const BusSetup set_up = {
  .worker = FAKE_WORKER,
  .pipeline_dir = FAKE_PIPELINES,
  .settings = "[Limits]\nQueuedJobs=100000\nKeptJobs=100000\nCalls=10000\n[Worker]\nAttempts=100\n",
};
static const char *const victims[] = { "daemon", "worker" };
static BusFixture *fixture;
static GHashTable *acknowledged; /* path -> text that was asked for; of those not deleted */
static guint submitted, looked_at;

/* The key makes the second try the same job. */
static void
submit (guint number)
{
  g_autofree char *text = g_strdup_printf ("text %u", number);
  g_autoptr (GError) error = NULL;
  char *path = fault_submit (fixture, text, &error);
  ck_assert_msg (path != NULL, "%s", error ? error->message : "");
  const char *before = g_hash_table_lookup (acknowledged, path);
  ck_assert_msg (before == NULL || g_str_equal (before, text), "%s is %s and %s", path, before,
                 text);
  g_hash_table_replace (acknowledged, path, g_steal_pointer (&text));
}

/* What is done has its bytes; what is not shows nothing. */
static void
assert_job_is_right (const char *path, const char *state)
{
  const char *expected = g_hash_table_lookup (acknowledged, path);
  ck_assert_msg (expected != NULL, "%s was never asked for, or is deleted", path);
  if (g_str_equal (state, "done"))
    {
      g_autofree char *text = bus_read_result (fixture->connection, path, NULL, NULL);
      ck_assert_str_eq (text, expected);
      looked_at++;
      return;
    }
  ck_assert_msg (g_str_equal (state, "queued") || g_str_equal (state, "running"), "%s is %s", path,
                 state);
  g_autoptr (GError) error = NULL;
  int fd = bus_open (fixture->connection, path, "OpenResult", g_variant_new_parsed ("(@a{sv} {},)"),
                     NULL, &error);
  if (fd < 0) /* else it was done meanwhile */
    return;
  close (fd);
  g_autofree char *now = bus_get_string (fixture->connection, path, "State");
  ck_assert_str_eq (now, "done");
  assert_job_is_right (path, now);
}

static void
assert_all_there_once (gboolean over)
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
      ck_assert_msg (!over || g_str_equal (state, "done"), "%s is %s", path, state);
      ck_assert_msg (g_hash_table_add (seen, g_strdup (path)), "%s is there twice", path);
      assert_job_is_right (path, state);
    }
  ck_assert_uint_eq (g_hash_table_size (seen), g_hash_table_size (acknowledged));
}

static void
on_deleted (GObject *source, GAsyncResult *result, gpointer left)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply
      = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  ck_assert_msg (reply != NULL, "Delete: %s", error ? error->message : "");
  (*(guint *)left)--;
}

static gboolean
is_zero (gpointer left)
{
  return *(guint *)left == 0;
}

/* All at once: they share commits. */
static void
delete_all (void)
{
  guint left = g_hash_table_size (acknowledged);
  GHashTableIter iter;
  gpointer path;
  g_hash_table_iter_init (&iter, acknowledged);
  while (g_hash_table_iter_next (&iter, &path, NULL))
    g_dbus_connection_call (fixture->connection, SORA_BUS_NAME, path, JOB, "Delete", NULL, NULL,
                            G_DBUS_CALL_FLAGS_NONE, BUS_DEADLINE_MS, NULL, on_deleted, &left);
  bus_wait_until (is_zero, &left, "the deletion of all jobs");
  g_hash_table_remove_all (acknowledged);
}

static void
run_empty (void)
{
  bus_look_until (fixture, fault_all_over, fixture, "the end of all jobs");
  assert_all_there_once (TRUE);
  delete_all ();
  assert_all_there_once (TRUE);
  fault_assert_nothing_left (fixture);
  fault_assert_no_orphans (fixture);
}

/* With a submission on its way: it is made again.  The next daemon starts at once, while workers of
 * the killed one may still be there. */
static void
kill_daemon (GRand *random)
{
  g_autofree char *text = g_strdup_printf ("text %u", ++submitted);
  g_autofree char *mark = g_strdup (fixture->mark);
  g_dbus_connection_call (
      fixture->connection, SORA_BUS_NAME, MANAGER_PATH, MANAGER, "Submit",
      g_variant_new ("(s@a{sv}@a{sv})", "fake",
                     g_variant_new_parsed ("{'mode': <'done'>, 'text': <%s>}", text),
                     g_variant_new_parsed ("{'idempotency-key': <%s>}", text)),
      NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL, NULL);
  g_dbus_connection_flush_sync (fixture->connection, NULL, NULL);
  gint64 moment = g_get_monotonic_time () + g_rand_int_range (random, 0, 10000);
  while (g_get_monotonic_time () < moment) /* the moment is the test: nothing to wait for */
    ;
  bus_fixture_kill_sorad (fixture);
  bus_fixture_start_sorad (fixture, &set_up);
  submit (submitted);
  fault_assert_ended (fixture, mark);
}

START_TEST (nothing_is_lost_by_kills)
{
  const gboolean of_daemon = g_str_equal (victims[_i], "daemon");
  const guint kills = fault_number ("SORA_FAULT_KILLS", KILLS);
  g_autoptr (GRand) random = fault_random ();
  fixture = bus_fixture_new (&set_up);
  acknowledged = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  for (guint i = 1; i <= kills; i++)
    {
      gint64 until = g_get_monotonic_time () + g_rand_int_range (random, 0, MAX_WAIT_US);
      do
        submit (++submitted);
      while (g_get_monotonic_time () < until);
      if (of_daemon)
        kill_daemon (random);
      else
        fault_kill_worker (fixture, random);
      assert_all_there_once (FALSE);
      if (i % KILLS_A_QUEUE == 0 || i == kills)
        run_empty ();
    }
  g_print ("%u kills of the %s, %u jobs, %u looks at results: none lost, none twice\n", kills,
           victims[_i], submitted, looked_at);
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
  fault_add_victims (kills, nothing_is_lost_by_kills, victims, (int)G_N_ELEMENTS (victims));
  suite_add_tcase (suite, kills);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
