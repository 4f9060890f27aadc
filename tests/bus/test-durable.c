/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What outlives the daemon: jobs that were acknowledged, their files, their order and their
 * results, through kill -9 at a known moment.  tests/faults/ does it at moments that nobody chose.
 */
#include "config.h"

#include <check.h>
#include <gio/gunixfdlist.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bus-fixture.h"
#include "dbus/sora-bus-error.h"

static BusFixture *fixture;
static GDBusConnection *bus;
static BusSetup set_up;

static void
start (const char *settings)
{
  set_up = (BusSetup){ .worker = FAKE_WORKER, .pipeline_dir = FAKE_PIPELINES, .settings = settings };
  fixture = bus_fixture_new (&set_up);
  bus = fixture->connection;
}

static void
setup (void)
{
  start (NULL);
}

static void
teardown (void)
{
  bus_fixture_free (fixture);
}

static void
restart (void)
{
  bus_fixture_kill_sorad (fixture);
  bus_fixture_start_sorad (fixture, &set_up);
}

static void
do_call (const char *job, const char *method, GVariant *arguments)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply = bus_call (bus, job, JOB, method, arguments, &error);
  ck_assert_msg (reply != NULL, "%s: %s", method, error ? error->message : "");
}

static guint
count_jobs (void)
{
  g_autoptr (GVariant) reply
      = bus_call (bus, MANAGER_PATH, MANAGER, "ListJobs", g_variant_new ("(a{sv})", NULL), NULL);
  g_autoptr (GVariant) jobs = g_variant_get_child_value (reply, 0);
  return (guint)g_variant_n_children (jobs);
}

static guint
count_files (const char *folder)
{
  g_autofree char *path = g_build_filename (fixture->dir, "state", folder, NULL);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;
  ck_assert_ptr_nonnull (dir);
  while (g_dir_read_name (dir))
    n++;
  return n;
}

static gboolean
is_empty (gpointer folder)
{
  return count_files (folder) == 0;
}

static GVariant *
option (const char *key, GVariant *value)
{
  GVariantDict dict;
  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert_value (&dict, key, value);
  return g_variant_dict_end (&dict);
}

static void
assert_property (const char *job, const char *property, GVariant *expected)
{
  g_autoptr (GVariant) wanted = g_variant_ref_sink (expected);
  g_autoptr (GVariant) value = bus_get (bus, job, JOB, property);
  g_autofree char *text = g_variant_print (value, FALSE);
  ck_assert_msg (g_variant_equal (value, wanted), "%s is %s", property, text);
}

#define N_JOBS 20

START_TEST (acknowledged_jobs_are_done_once)
{
  g_autofree char *gate = bus_submit (bus, "wait", NULL, NULL);
  char *jobs[N_JOBS];
  for (guint i = 0; i < N_JOBS; i++)
    ck_assert_ptr_nonnull (jobs[i] = bus_submit (bus, "pid", NULL, NULL));
  bus_wait_property (bus, gate, "Stage", "work");
  restart ();
  ck_assert_uint_eq (count_jobs (), N_JOBS + 1);
  bus_wait_property (bus, gate, "Stage", "work"); /* the first again, as attempt 2 */
  assert_property (gate, "Attempts", g_variant_new_uint32 (2));
  assert_property (jobs[0], "QueuePosition", g_variant_new_uint32 (1));
  assert_property (jobs[N_JOBS - 1], "QueuePosition", g_variant_new_uint32 (N_JOBS));
  do_call (gate, "Cancel", NULL);
  for (guint i = 0; i < N_JOBS; i++)
    {
      g_autofree char *state = bus_wait (bus, jobs[i]);
      ck_assert_str_eq (state, "done");
      assert_property (jobs[i], "Attempts", g_variant_new_uint32 (1));
      g_free (jobs[i]);
    }
  ck_assert_uint_eq (count_jobs (), N_JOBS + 1);
}
END_TEST

static char *
submit_file (const char *text)
{
  g_autoptr (GUnixFDList) fds = g_unix_fd_list_new ();
  g_autoptr (GError) error = NULL;
  int fd = memfd_create ("input", MFD_CLOEXEC);
  ck_assert_int_eq (write (fd, text, strlen (text)), (ssize_t)strlen (text));
  ck_assert_int_ge (g_unix_fd_list_append (fds, fd, NULL), 0);
  close (fd);
  g_autoptr (GVariant) reply = g_dbus_connection_call_with_unix_fd_list_sync (
      bus, SORA_BUS_NAME, MANAGER_PATH, MANAGER, "Submit",
      g_variant_new ("(s@a{sv}a{sv})", "fake",
                     g_variant_new_parsed ("{'mode': <'input'>, 'file': <handle 0>}"), NULL),
      NULL, G_DBUS_CALL_FLAGS_NONE, BUS_DEADLINE_MS, fds, NULL, NULL, &error);
  ck_assert_msg (reply != NULL, "%s", error ? error->message : "");
  char *job;
  g_variant_get (reply, "(o)", &job);
  return job;
}

START_TEST (input_files_are_there_again_and_go_with_their_job)
{
  g_autofree char *gate = bus_submit (bus, "wait", NULL, NULL);
  g_autofree char *job = submit_file ("these bytes");
  ck_assert_uint_eq (count_files ("inputs"), 1);
  restart ();
  do_call (gate, "Cancel", NULL);
  g_autofree char *state = bus_wait (bus, job);
  g_autofree char *text = bus_read_result (bus, job, NULL, NULL);
  ck_assert_str_eq (state, "done");
  ck_assert_str_eq (text, "these bytes");
  bus_look_until (fixture, is_empty, (gpointer) "inputs", "the removal of the input file");
}
END_TEST

START_TEST (job_whose_input_file_is_gone_fails)
{
  g_autofree char *gate = bus_submit (bus, "wait", NULL, NULL);
  g_autofree char *job = submit_file ("these bytes");
  bus_fixture_kill_sorad (fixture);
  g_autofree char *inputs = g_build_filename (fixture->dir, "state", "inputs", NULL);
  bus_remove_tree (inputs);
  bus_fixture_start_sorad (fixture, &set_up);
  g_autofree char *state = bus_get_string (bus, job, "State");
  g_autofree char *text = bus_get_string (bus, job, "Error");
  ck_assert_str_eq (state, "failed");
  ck_assert_str_eq (text, "parameter 'file': its file is gone from the state folder");
}
END_TEST

START_TEST (results_and_errors_outlive_the_daemon)
{
  g_autofree char *done = bus_submit (bus, "two-files", NULL, NULL);
  g_autofree char *failed = bus_submit (bus, "fail", NULL, NULL);
  g_autofree char *warned = bus_submit (bus, "warn", NULL, NULL);
  const char *const jobs[] = { done, failed, warned };
  g_autoptr (GPtrArray) before = g_ptr_array_new_with_free_func ((GDestroyNotify)g_variant_unref);
  for (guint i = 0; i < 3; i++)
    {
      g_autofree char *state = bus_wait (bus, jobs[i]);
      ck_assert_str_eq (state, i == 1 ? "failed" : "done");
      g_ptr_array_add (before, bus_call (bus, jobs[i], PROPERTIES, "GetAll",
                                         g_variant_new ("(s)", JOB), NULL));
    }
  g_ptr_array_add (before, bus_call (bus, done, JOB, "GetResult", NULL, NULL));
  g_ptr_array_add (before, bus_call (bus, done, JOB, "GetRequest", NULL, NULL));
  restart ();
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GVariant) after
          = bus_call (bus, jobs[i], PROPERTIES, "GetAll", g_variant_new ("(s)", JOB), NULL);
      g_autoptr (GVariant) a = g_variant_get_child_value (before->pdata[i], 0);
      g_autoptr (GVariant) b = g_variant_get_child_value (after, 0);
      GVariantIter iter;
      const char *key;
      GVariant *value;
      g_variant_iter_init (&iter, a);
      while (g_variant_iter_loop (&iter, "{&sv}", &key, &value))
        { /* where it stood last is of no matter any more */
          g_autoptr (GVariant) now = g_variant_lookup_value (b, key, NULL);
          if (!g_strv_contains ((const char *const[]){ "Stage", "Step", "Steps", "Progress", NULL },
                                key))
            ck_assert_msg (g_variant_equal (value, now), "%s of job %u", key, i);
        }
    }
  g_autoptr (GVariant) result = bus_call (bus, done, JOB, "GetResult", NULL, NULL);
  g_autoptr (GVariant) request = bus_call (bus, done, JOB, "GetRequest", NULL, NULL);
  g_autofree char *text = bus_read_result (bus, done, "a.txt", NULL);
  ck_assert (g_variant_equal (result, before->pdata[3]));
  ck_assert (g_variant_equal (request, before->pdata[4]));
  ck_assert_str_eq (text, "A");
}
END_TEST

START_TEST (what_was_deleted_stays_so)
{
  g_autofree char *job = bus_submit (bus, "two-files", NULL, NULL);
  g_autofree char *state = bus_wait (bus, job);
  ck_assert_str_eq (state, "done");
  ck_assert_uint_eq (count_files ("results"), 1);
  do_call (job, "Delete", NULL);
  restart ();
  ck_assert_uint_eq (count_jobs (), 0);
  bus_look_until (fixture, is_empty, (gpointer) "results", "the removal of the result");
  bus_look_until (fixture, is_empty, (gpointer) "trash", "the emptying of the trash");
}
END_TEST

START_TEST (orphans_are_swept)
{
  static const char *const orphans[]
      = { "results/0123456789", "staging/0123456789", "checkpoints/0123456789", "work/17" };
  g_autofree char *job = bus_submit (bus, "two-files", NULL, NULL);
  g_autofree char *state = bus_wait (bus, job);
  ck_assert_str_eq (state, "done");
  bus_fixture_kill_sorad (fixture);
  for (gsize i = 0; i < G_N_ELEMENTS (orphans); i++)
    {
      g_autofree char *path
          = g_build_filename (fixture->dir, "state", orphans[i], "inside", NULL);
      ck_assert_int_eq (g_mkdir_with_parents (path, 0700), 0);
    }
  g_autofree char *file = g_build_filename (fixture->dir, "state", "inputs", "0123456789.0", NULL);
  ck_assert (g_file_set_contents (file, "x", 1, NULL));
  bus_fixture_start_sorad (fixture, &set_up);
  ck_assert_uint_eq (count_files ("results"), 1);
  static const char *const folders[] = { "staging", "checkpoints", "inputs", "trash" };
  for (gsize i = 0; i < G_N_ELEMENTS (folders); i++)
    bus_look_until (fixture, is_empty, (gpointer)folders[i], folders[i]);
  g_autofree char *text = bus_read_result (bus, job, "a.txt", NULL);
  ck_assert_str_eq (text, "A");
}
END_TEST

START_TEST (result_that_was_taken_away_is_told)
{
  g_autofree char *job = bus_submit (bus, "two-files", NULL, NULL);
  g_autofree char *state = bus_wait (bus, job);
  ck_assert_str_eq (state, "done");
  bus_fixture_kill_sorad (fixture);
  g_autofree char *results = g_build_filename (fixture->dir, "state", "results", NULL);
  bus_remove_tree (results);
  bus_fixture_start_sorad (fixture, &set_up);
  g_autofree char *after = bus_get_string (bus, job, "State");
  g_autofree char *text = bus_get_string (bus, job, "Error");
  ck_assert_str_eq (after, "failed");
  ck_assert_str_eq (text, "the files of the result are gone from the state folder");
}
END_TEST

START_TEST (same_key_is_the_same_job)
{
  g_autoptr (GError) error = NULL;
#define KEY option ("idempotency-key", g_variant_new_string ("order 66"))
  g_autofree char *job = bus_submit (bus, "done", KEY, NULL);
  g_autofree char *again = bus_submit (bus, "done", KEY, NULL);
  ck_assert_str_eq (job, again);
  restart ();
  g_autofree char *later = bus_submit (bus, "done", KEY, NULL);
  ck_assert_str_eq (job, later);
  ck_assert_ptr_null (bus_submit (bus, "pid", KEY, &error));
  ck_assert_msg (g_error_matches (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST), "%s",
                 error->message);
  ck_assert_ptr_nonnull (strstr (error->message, "'order 66' came with another request"));
  g_autofree char *state = bus_wait (bus, job);
  ck_assert_str_eq (state, "done");
  do_call (job, "Delete", NULL);
  g_autofree char *fresh = bus_submit (bus, "pid", KEY, NULL);
  ck_assert_str_ne (job, fresh);
  ck_assert_uint_eq (count_jobs (), 1);
}
END_TEST

typedef struct
{
  guint answered;
  char *paths[2];
} Twins;

static void
on_twin (GObject *source, GAsyncResult *result, gpointer data)
{
  Twins *twins = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply
      = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  ck_assert_msg (reply != NULL, "%s", error ? error->message : "");
  g_variant_get (reply, "(o)", &twins->paths[twins->answered++]);
}

static gboolean
both_answered (gpointer data)
{
  return ((Twins *)data)->answered == 2;
}

START_TEST (same_key_at_once_is_one_job)
{
  Twins twins = { 0 };
  for (guint i = 0; i < 2; i++)
    g_dbus_connection_call (bus, SORA_BUS_NAME, MANAGER_PATH, MANAGER, "Submit",
                            g_variant_new ("(s@a{sv}@a{sv})", "fake",
                                           option ("mode", g_variant_new_string ("done")), KEY),
                            NULL, G_DBUS_CALL_FLAGS_NONE, BUS_DEADLINE_MS, NULL, on_twin, &twins);
  bus_wait_until (both_answered, &twins, "two answers");
  ck_assert_str_eq (twins.paths[0], twins.paths[1]);
  ck_assert_uint_eq (count_jobs (), 1);
  g_free (twins.paths[0]);
  g_free (twins.paths[1]);
}
END_TEST

START_TEST (paused_job_waits_until_it_is_resumed)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *running = bus_submit (bus, "wait", NULL, NULL);
  g_autofree char *waiting = bus_submit (bus, "done", NULL, NULL);
  bus_wait_property (bus, running, "Stage", "work");
  do_call (waiting, "Pause", NULL);
  do_call (running, "Pause", NULL);
  for (guint round = 0; round < 2; round++)
    {
      g_autofree char *first = bus_get_string (bus, running, "State");
      g_autofree char *second = bus_get_string (bus, waiting, "State");
      ck_assert_str_eq (first, "queued");
      ck_assert_str_eq (second, "queued");
      assert_property (running, "Paused", g_variant_new_boolean (TRUE));
      assert_property (waiting, "Paused", g_variant_new_boolean (TRUE));
      assert_property (waiting, "QueuePosition", g_variant_new_uint32 (0));
      bus_assert_goes_on (fixture); /* others pass */
      if (round == 0)
        restart ();
    }
  do_call (waiting, "Resume", NULL);
  g_autofree char *state = bus_wait (bus, waiting);
  ck_assert_str_eq (state, "done");
  do_call (running, "Cancel", NULL); /* also while it is paused */
  g_autofree char *end = bus_get_string (bus, running, "State");
  ck_assert_str_eq (end, "cancelled");
  ck_assert_ptr_null (bus_call (bus, running, JOB, "Pause", NULL, &error));
  ck_assert_msg (g_error_matches (error, SORA_ERROR, SORA_ERROR_BUSY), "%s", error->message);
}
END_TEST

START_TEST (job_that_ignores_pause_is_killed_and_waits)
{
  g_autofree char *job = bus_submit (bus, "ignore", NULL, NULL);
  bus_wait_property (bus, job, "Stage", "work");
  do_call (job, "Pause", NULL);
  g_autofree char *state = bus_get_string (bus, job, "State");
  ck_assert_str_eq (state, "queued");
  assert_property (job, "Paused", g_variant_new_boolean (TRUE));
  bus_assert_goes_on (fixture);
}
END_TEST

START_TEST (priority_orders_the_jobs_of_a_user)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *gate = bus_submit (bus, "wait", NULL, NULL);
  g_autofree char *usual = bus_submit (bus, "done", NULL, NULL);
  g_autofree char *high = bus_submit (bus, "done", option ("priority", g_variant_new_int32 (7)), NULL);
  g_autofree char *low = bus_submit (bus, "done", NULL, NULL);
  bus_wait_property (bus, gate, "Stage", "work");
  do_call (low, "SetPriority", g_variant_new ("(i)", -7));
  for (guint round = 0; round < 2; round++)
    {
      assert_property (high, "QueuePosition", g_variant_new_uint32 (1));
      assert_property (usual, "QueuePosition", g_variant_new_uint32 (2));
      assert_property (low, "QueuePosition", g_variant_new_uint32 (3));
      assert_property (low, "Priority", g_variant_new_int32 (-7));
      if (round == 0)
        { /* what ran is the first that is started again: it has a priority, too */
          do_call (gate, "SetPriority", g_variant_new ("(i)", 100));
          restart ();
          bus_wait_property (bus, gate, "Stage", "work");
        }
    }
  ck_assert_ptr_null (
      bus_call (bus, low, JOB, "SetPriority", g_variant_new ("(i)", 101), &error));
  ck_assert_msg (g_error_matches (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST), "%s",
                 error->message);
  do_call (gate, "Cancel", NULL);
}
END_TEST

START_TEST (job_that_kills_its_workers_is_poison)
{
  g_autofree char *job = bus_submit (bus, "crash", NULL, NULL);
  g_autofree char *state = bus_wait (bus, job);
  g_autofree char *text = bus_get_string (bus, job, "Error");
  ck_assert_str_eq (state, "failed");
  ck_assert_str_eq (text, "stage 'work': the worker process was killed by signal 11 "
                          "(Segmentation fault); it has ended 3 workers so and is not tried again");
  assert_property (job, "Attempts", g_variant_new_uint32 (3));
  g_autoptr (GVariant) warnings = bus_get (bus, job, JOB, "Warnings");
  ck_assert_uint_eq (g_variant_n_children (warnings), 2);
  bus_assert_goes_on (fixture);
}
END_TEST

START_TEST (kept_job_is_not_forgotten_for_others)
{
  start ("[Limits]\nKeptJobs=1\n");
  g_autofree char *kept = bus_submit (bus, "done", NULL, NULL);
  g_autofree char *state = bus_wait (bus, kept);
  ck_assert_str_eq (state, "done");
  do_call (kept, "SetKept", g_variant_new ("(b)", TRUE));
  restart ();
  assert_property (kept, "Kept", g_variant_new_boolean (TRUE));
  for (guint i = 0; i < 3; i++)
    bus_assert_goes_on (fixture);
  g_autofree char *after = bus_get_string (bus, kept, "State");
  ck_assert_str_eq (after, "done");
  ck_assert_uint_eq (count_jobs (), 2);
  bus_fixture_free (fixture);
}
END_TEST

START_TEST (ephemeral_job_ends_with_the_daemon)
{
  g_autofree char *job
      = bus_submit (bus, "wait", option ("ephemeral", g_variant_new_boolean (TRUE)), NULL);
  bus_wait_property (bus, job, "Stage", "work");
  restart ();
  ck_assert_uint_eq (count_jobs (), 0);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("durable");
  TCase *durable = tcase_create ("durable");
  tcase_add_checked_fixture (durable, setup, teardown);
  tcase_set_timeout (durable, 120);
  tcase_add_test (durable, acknowledged_jobs_are_done_once);
  tcase_add_test (durable, input_files_are_there_again_and_go_with_their_job);
  tcase_add_test (durable, job_whose_input_file_is_gone_fails);
  tcase_add_test (durable, results_and_errors_outlive_the_daemon);
  tcase_add_test (durable, what_was_deleted_stays_so);
  tcase_add_test (durable, orphans_are_swept);
  tcase_add_test (durable, result_that_was_taken_away_is_told);
  tcase_add_test (durable, same_key_is_the_same_job);
  tcase_add_test (durable, same_key_at_once_is_one_job);
  tcase_add_test (durable, paused_job_waits_until_it_is_resumed);
  tcase_add_test (durable, job_that_ignores_pause_is_killed_and_waits);
  tcase_add_test (durable, priority_orders_the_jobs_of_a_user);
  tcase_add_test (durable, job_that_kills_its_workers_is_poison);
  tcase_add_test (durable, ephemeral_job_ends_with_the_daemon);
  suite_add_tcase (suite, durable);
  TCase *settings = tcase_create ("settings");
  tcase_set_timeout (settings, 120);
  tcase_add_test (settings, kept_job_is_not_forgotten_for_others);
  suite_add_tcase (suite, settings);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
