/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What one user may hold at a time, and what becomes of the excess: jobs, bytes, calls,
 * descriptors; and when the daemon ends by itself, or must.
 */
#include "config.h"

#include <check.h>
#include <gio/gunixfdlist.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bus-fixture.h"
#include "dbus/sora-bus-error.h"

static BusFixture *fixture;
static GDBusConnection *bus;

static void
start (const char *settings, const char *const *environment)
{
  fixture = bus_fixture_new (&(BusSetup){ .worker = FAKE_WORKER,
                                          .pipeline_dir = FAKE_PIPELINES,
                                          .settings = settings,
                                          .environment = environment });
  bus = fixture->connection;
}

static void
assert_goes_on (void)
{
  bus_assert_goes_on (fixture);
}

START_TEST (queue_of_a_user_is_bounded)
{
  start ("[Limits]\nQueuedJobs=2\nKeptJobs=1\n", NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *one = bus_submit (bus, "wait", NULL, NULL);
  g_autofree char *two = bus_submit (bus, "wait", NULL, NULL);
  ck_assert_ptr_null (bus_submit (bus, "wait", NULL, &error));
  ck_assert_msg (g_error_matches (error, SORA_ERROR, SORA_ERROR_BUSY), "%s", error->message);
  ck_assert_ptr_nonnull (strstr (error->message, "at most 2"));
  g_clear_error (&error);
  const char *const jobs[] = { one, two };
  for (gsize i = 0; i < 2; i++)
    {
      g_autoptr (GVariant) reply = bus_call (bus, jobs[i], JOB, "Cancel", NULL, &error);
      ck_assert_ptr_nonnull (reply);
    }
  /* Of jobs that are over one is kept: the newest. */
  g_autofree char *state = bus_get_string (bus, two, "State");
  ck_assert_str_eq (state, "cancelled");
  ck_assert_ptr_null (bus_call (bus, one, JOB, "Wait", NULL, &error));
  ck_assert (g_error_matches (error, SORA_ERROR, SORA_ERROR_NOT_FOUND));
  bus_fixture_free (fixture);
}
END_TEST

START_TEST (stored_bytes_of_a_user_are_bounded)
{
  start ("[Limits]\nStoredBytes=1000000\n", NULL);
  bus_assert_fails (fixture, "large", ".NoSpace", "see StoredBytes");
  bus_fixture_free (fixture);
}
END_TEST

START_TEST (large_requests_are_refused)
{
  start ("[Limits]\nRequestBytes=2048\n", NULL);
  g_autofree char *mode = g_strnfill (4096, 'm');
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (bus_submit (bus, mode, NULL, &error));
  ck_assert_msg (g_error_matches (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST), "%s",
                 error->message);
  ck_assert_ptr_nonnull (strstr (error->message, "at most 2048"));
  assert_goes_on ();
  bus_fixture_free (fixture);
}
END_TEST

typedef struct
{
  guint answered, refused;
} Answers;

static void
on_answer (GObject *source, GAsyncResult *result, gpointer data)
{
  Answers *answers = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply
      = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  answers->answered++;
  if (g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_LIMITS_EXCEEDED))
    answers->refused++;
}

static gboolean
some_refused (gpointer data)
{
  return ((Answers *)data)->refused >= 50;
}

START_TEST (calls_without_reply_are_bounded)
{
  start ("[Limits]\nCalls=20\n", NULL);
  g_autofree char *job = bus_submit (bus, "wait", NULL, NULL);
  Answers answers = { 0 };
  for (guint i = 0; i < 70; i++)
    g_dbus_connection_call (bus, SORA_BUS_NAME, job, JOB, "Wait", NULL, NULL,
                            G_DBUS_CALL_FLAGS_NONE, G_MAXINT, NULL, on_answer, &answers);
  bus_wait_until (some_refused, &answers, "the refusal of 50 of 70 calls");
  ck_assert_uint_eq (answers.answered, answers.refused); /* the others wait */
  /* A second connection of the same user shares the bound; when the first goes, its calls are given
   * back. */
  g_autoptr (GError) error = NULL;
  GDBusConnection *other = bus_fixture_connect (fixture);
  g_autoptr (GVariant) before
      = bus_call (other, MANAGER_PATH, MANAGER, "ListJobs", g_variant_new ("(a{sv})", NULL), NULL);
  g_clear_pointer (&before, g_variant_unref);
  before = bus_call (other, MANAGER_PATH, MANAGER, "ListJobs", g_variant_new ("(a{sv})", NULL),
                     &error);
  ck_assert_ptr_null (before);
  ck_assert_msg (g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_LIMITS_EXCEEDED), "%s",
                 error->message);
  g_dbus_connection_close_sync (bus, NULL, NULL);
  gint64 deadline = g_get_monotonic_time () + BUS_DEADLINE_MS * 1000;
  for (gboolean back = FALSE; !back;)
    {
      g_autoptr (GVariant) end = bus_call (other, job, JOB, "Cancel", NULL, NULL);
      back = end != NULL;
      ck_assert_int_lt (g_get_monotonic_time (), deadline);
    }
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_object_unref (fixture->connection);
  fixture->connection = other;
  bus_fixture_free (fixture);
}
END_TEST

/* -- Results make room for newer ones */

START_TEST (older_results_are_forgotten_for_newer_ones)
{
  start ("[Limits]\nStoredBytes=20000000\n", NULL); /* one of 12 MiB fits, two do not */
  g_autofree char *first = bus_submit (bus, "large", NULL, NULL);
  g_autofree char *first_state = bus_wait (bus, first);
  g_autofree char *second = bus_submit (bus, "large", NULL, NULL);
  g_autofree char *second_state = bus_wait (bus, second);
  g_autoptr (GError) error = NULL;
  ck_assert_str_eq (first_state, "done");
  ck_assert_str_eq (second_state, "done");
  ck_assert_ptr_null (bus_call (bus, first, JOB, "GetResult", NULL, &error));
  ck_assert_msg (g_error_matches (error, SORA_ERROR, SORA_ERROR_NOT_FOUND), "%s", error->message);
  gsize size;
  g_autofree char *bytes = bus_read_result (bus, second, NULL, &size);
  ck_assert_uint_eq (size, 12 << 20);
  bus_fixture_free (fixture);
}
END_TEST

/* -- Descriptors */

static GUnixFDList *
descriptors (guint n)
{
  GUnixFDList *fds = g_unix_fd_list_new ();
  int fd = memfd_create ("input", MFD_CLOEXEC);
  ck_assert_int_eq (write (fd, "abc", 3), 3);
  for (guint i = 0; i < n; i++)
    ck_assert_int_ge (g_unix_fd_list_append (fds, fd, NULL), 0);
  close (fd);
  return fds;
}

static void
on_answer_with_fds (GObject *source, GAsyncResult *result, gpointer data)
{
  Answers *answers = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply = g_dbus_connection_call_with_unix_fd_list_finish (
      G_DBUS_CONNECTION (source), NULL, result, &error);
  answers->answered++;
  if (g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_LIMITS_EXCEEDED))
    answers->refused++;
}

static gboolean
one_refused (gpointer data)
{
  return ((Answers *)data)->refused >= 1;
}

static gboolean
all_answered (gpointer data)
{
  return ((Answers *)data)->answered >= 5;
}

START_TEST (descriptors_of_calls_without_reply_are_bounded)
{
  start (NULL, NULL);
  g_autofree char *job = bus_submit (bus, "wait", NULL, NULL);
  Answers answers = { 0 };
  for (guint i = 0; i < 5; i++)
    {
      g_autoptr (GUnixFDList) fds = descriptors (16);
      g_dbus_connection_call_with_unix_fd_list (bus, SORA_BUS_NAME, job, JOB, "Wait", NULL, NULL,
                                                G_DBUS_CALL_FLAGS_NONE, G_MAXINT, fds, NULL,
                                                on_answer_with_fds, &answers);
    }
  bus_wait_until (one_refused, &answers, "the refusal of the fifth call");
  ck_assert_uint_eq (answers.answered, 1); /* four of 16 wait */
  g_autoptr (GVariant) end = bus_call (bus, job, JOB, "Cancel", NULL, NULL);
  ck_assert_ptr_nonnull (end);
  bus_wait_until (all_answered, &answers, "the answers of the other four");
  ck_assert_uint_eq (answers.refused, 1);
  assert_goes_on ();
  bus_fixture_free (fixture);
}
END_TEST

static char *
submit_files (const char *mode, guint n, GError **error)
{
  g_autoptr (GUnixFDList) fds = descriptors (1);
  GVariantDict dict;
  char *job = NULL;
  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "mode", "s", mode);
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *name = g_strdup_printf ("work.file%u", i);
      g_variant_dict_insert_value (&dict, name, g_variant_new_handle (0));
    }
  g_autoptr (GVariant) reply = g_dbus_connection_call_with_unix_fd_list_sync (
      bus, SORA_BUS_NAME, MANAGER_PATH, MANAGER, "Submit",
      g_variant_new ("(s@a{sv}a{sv})", "fake", g_variant_dict_end (&dict), NULL), NULL,
      G_DBUS_CALL_FLAGS_NONE, BUS_DEADLINE_MS, fds, NULL, NULL, error);
  if (reply)
    g_variant_get (reply, "(o)", &job);
  else if (error)
    g_dbus_error_strip_remote_error (*error);
  return job;
}

START_TEST (input_files_of_a_user_are_bounded)
{
  start (NULL, NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *gate = bus_submit (bus, "wait", NULL, NULL);
  ck_assert_ptr_null (submit_files ("done", 17, &error));
  ck_assert_msg (g_error_matches (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST), "%s",
                 error->message);
  ck_assert_ptr_nonnull (strstr (error->message, "at most 16 input files"));
  g_clear_error (&error);
  for (guint i = 0; i < 16; i++)
    {
      g_autofree char *job = submit_files ("done", 16, &error);
      ck_assert_msg (job != NULL, "%u: %s", i, error ? error->message : "");
    }
  ck_assert_ptr_null (submit_files ("done", 1, &error));
  ck_assert_msg (g_error_matches (error, SORA_ERROR, SORA_ERROR_BUSY), "%s", error->message);
  ck_assert_ptr_nonnull (strstr (error->message, "at most 256"));
  g_autoptr (GVariant) end = bus_call (bus, gate, JOB, "Cancel", NULL, NULL);
  ck_assert_ptr_nonnull (end);
  assert_goes_on (); /* the last in the queue, so all of the others are over */
  g_autofree char *job = submit_files ("done", 1, NULL);
  ck_assert_ptr_nonnull (job);
  bus_fixture_free (fixture);
}
END_TEST

/* An input that is not taken is given up, with its job; the worker is as warm as before. */
START_TEST (cancel_while_inputs_go_is_quick_and_keeps_the_worker)
{
  const char *const environment[] = { "SORA_FAKE_NO_ACK=1", NULL };
  start ("[Worker]\nCancelGraceMilliseconds=5000\n", environment);
  g_autofree char *warm = bus_submit (bus, "pid", NULL, NULL);
  g_autofree char *warm_state = bus_wait (bus, warm);
  g_autofree char *before = bus_read_result (bus, warm, NULL, NULL);
  g_autofree char *job = submit_files ("done", 2, NULL);
  bus_wait_property (bus, job, "State", "running");
  gint64 begun = g_get_monotonic_time ();
  g_autoptr (GVariant) reply = bus_call (bus, job, JOB, "Cancel", NULL, NULL);
  gint64 took = g_get_monotonic_time () - begun;
  g_autofree char *state = bus_get_string (bus, job, "State");
  g_autofree char *name = bus_get_string (bus, job, "ErrorName");
  ck_assert_ptr_nonnull (reply);
  ck_assert_str_eq (warm_state, "done");
  ck_assert_str_eq (state, "cancelled");
  ck_assert_str_eq (name, "org.sorad.Sora1.Error.Cancelled");
  ck_assert_msg (took < G_USEC_PER_SEC, "%" G_GINT64_FORMAT " us", took);
  g_autofree char *next = bus_submit (bus, "pid", NULL, NULL);
  g_autofree char *next_state = bus_wait (bus, next);
  g_autofree char *after = bus_read_result (bus, next, NULL, NULL);
  ck_assert_str_eq (next_state, "done");
  ck_assert_str_eq (before, after);
  bus_fixture_free (fixture);
}
END_TEST

START_TEST (worker_that_is_not_there_is_told)
{
  fixture = bus_fixture_new (
      &(BusSetup){ .worker = "/nonexistent/worker", .pipeline_dir = FAKE_PIPELINES });
  bus = fixture->connection;
  g_autofree char *job = bus_submit (bus, "done", NULL, NULL);
  g_autofree char *state = bus_wait (bus, job);
  g_autofree char *name = bus_get_string (bus, job, "ErrorName");
  g_autofree char *text = bus_get_string (bus, job, "Error");
  ck_assert_str_eq (state, "failed");
  ck_assert_str_eq (name, "org.sorad.Sora1.Error.Failed");
  ck_assert_msg (strstr (text, "/nonexistent/worker") != NULL, "%s", text);
  bus_fixture_free (fixture);
}
END_TEST

/* -- Its start and its end */

/* The name is there before the bus gives up the start (25 s), and the fault is told of plugin and
 * pipeline. */
START_TEST (plugin_that_hangs_when_described_is_told)
{
  const char *const environment[] = { "SORA_FAKE_DESCRIBE_HANG=1", NULL };
  g_autofree char *plugins = g_dir_make_tmp ("sora-plugins-XXXXXX", NULL);
  g_autofree char *module = g_build_filename (plugins, "rogue.so", NULL);
  g_autofree char *manifest = g_build_filename (plugins, "rogue.plugin", NULL);
  ck_assert_int_eq (symlink (ABS_BUILDDIR "/tests/bus/rogue/.libs/rogue.so", module), 0);
  ck_assert_int_eq (symlink (ABS_SRCDIR "/tests/bus/rogue/rogue.plugin", manifest), 0);
  gint64 begun = g_get_monotonic_time ();
  fixture = bus_fixture_new (&(BusSetup){ .worker = FAKE_WORKER,
                                          .plugin_dir = plugins,
                                          .pipeline_dir = ABS_SRCDIR "/tests/bus/pipelines",
                                          .environment = environment });
  bus = fixture->connection;
  gint64 took = g_get_monotonic_time () - begun;
  g_autoptr (GVariant) plugin
      = bus_get (bus, MANAGER_PATH "/plugins/rogue", "org.sorad.Sora1.Plugin", "Problem");
  g_autoptr (GVariant) pipeline
      = bus_get (bus, MANAGER_PATH "/pipelines/rogue", "org.sorad.Sora1.Pipeline", "Problem");
  ck_assert_str_eq (g_variant_get_string (plugin, NULL),
                    "no answer within 5 s, the worker process was killed");
  ck_assert_str_eq (g_variant_get_string (pipeline, NULL),
                    "plugin 'rogue': no answer within 5 s, the worker process was killed");
  ck_assert_msg (took < 22 * G_USEC_PER_SEC, "%" G_GINT64_FORMAT " us", took);
  bus_fixture_free (fixture);
  bus_remove_tree (plugins);
}
END_TEST

/* With a warm worker, which is seen off while the daemon is taken apart. */
START_TEST (idle_daemon_ends)
{
  start ("[Daemon]\nIdleExitSeconds=1\n", NULL);
  g_autofree char *job = bus_submit (bus, "done", NULL, NULL);
  g_autofree char *state = bus_wait (bus, job);
  ck_assert_str_eq (state, "done");
  g_autoptr (GVariant) deleted = bus_call (bus, job, JOB, "Delete", NULL, NULL);
  ck_assert_ptr_nonnull (deleted);
  ck_assert (g_subprocess_wait (fixture->sorad, NULL, NULL));
  ck_assert_int_eq (g_subprocess_get_exit_status (fixture->sorad), 0);
  bus_fixture_free (fixture);
}
END_TEST

START_TEST (call_at_work_is_not_idle)
{
  start ("[Daemon]\nIdleExitSeconds=1\n", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply = bus_call (
      bus, MANAGER_PATH, MANAGER, "Check",
      g_variant_new ("(s@a{sv}a{sv})", "fake", g_variant_new_parsed ("{'mode': <'slow'>}"), NULL),
      &error); /* takes three seconds */
  ck_assert_msg (reply != NULL, "%s", error ? error->message : "");
  ck_assert (g_subprocess_wait (fixture->sorad, NULL, NULL));
  bus_fixture_free (fixture);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("limits");
  TCase *limits = tcase_create ("limits");
  tcase_set_timeout (limits, 120);
  tcase_add_test (limits, queue_of_a_user_is_bounded);
  tcase_add_test (limits, stored_bytes_of_a_user_are_bounded);
  tcase_add_test (limits, older_results_are_forgotten_for_newer_ones);
  tcase_add_test (limits, large_requests_are_refused);
  tcase_add_test (limits, calls_without_reply_are_bounded);
  tcase_add_test (limits, descriptors_of_calls_without_reply_are_bounded);
  tcase_add_test (limits, input_files_of_a_user_are_bounded);
  tcase_add_test (limits, cancel_while_inputs_go_is_quick_and_keeps_the_worker);
  tcase_add_test (limits, worker_that_is_not_there_is_told);
  tcase_add_test (limits, plugin_that_hangs_when_described_is_told);
  tcase_add_test (limits, idle_daemon_ends);
  tcase_add_test (limits, call_at_work_is_not_idle);
  suite_add_tcase (suite, limits);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
