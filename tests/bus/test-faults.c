/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What goes wrong: cancelled jobs, workers that crash, hang, lie or flood.  After each
 * fault the daemon is the same process and the next job is done.
 */
#include "config.h"

#include <check.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

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
setup (void)
{
  start ("[Worker]\nHeartbeatSeconds=2\nCancelGraceMilliseconds=500\n", NULL);
}

static void
teardown (void)
{
  bus_fixture_free (fixture);
}

static void
assert_goes_on (void)
{
  bus_assert_goes_on (fixture);
}

static void
assert_fails (const char *mode, const char *error_name, const char *part)
{
  bus_assert_fails (fixture, mode, error_name, part);
}

START_TEST (crash_names_signal_and_stage)
{
  assert_fails ("crash", ".WorkerDied", "stage 'work': the worker process was killed by signal 11");
}
END_TEST

START_TEST (crash_while_sending_names_signal_and_stage)
{
  assert_fails ("crash-sending", ".WorkerDied",
                "stage 'work': the worker process was killed by signal 11");
}
END_TEST

START_TEST (bus_error_names_the_model_file)
{
  assert_fails ("bus-error", ".WorkerDied", "found a model file changed or cut");
}
END_TEST

START_TEST (exit_names_status) { assert_fails ("exit", ".WorkerDied", "ended with status 3"); }
END_TEST

START_TEST (stopped_worker_is_found_hung)
{
  assert_fails ("stop", ".WorkerDied", "no heartbeat for 2 s");
}
END_TEST

START_TEST (cut_frame_is_a_death)
{
  assert_fails ("half-frame", ".WorkerDied", "ended with status 0");
}
END_TEST

static const struct
{
  const char *mode, *error, *part;
} lies[] = {
  { "bad-digest", ".Protocol", "digest" },
  { "bad-name", ".Protocol", "not a plain file name" },
  { "bad-kind", ".Protocol", "kind 'rootkit'" },
  { "chunk-overflow", ".Protocol", "does not fit" },
  { "preview-lie", ".Protocol", "preview of 4000x4000" },
  { "other-job", ".Protocol", "which does not run" },
  { "long-detail", ".Protocol", "'stage' has 200 bytes, at most 128" },
  { "odd-value", ".Protocol", "D-Bus cannot carry" },
  { "two-hellos", ".Protocol", "a second HELLO" },
  { "oversize", ".Protocol", "claims 4294967295 bytes" },
  { "garbage", ".Protocol", "protocol:" },
  { "too-large", ".NoSpace", "see StoredBytes" },
};

START_TEST (liar_is_ended) { assert_fails (lies[_i].mode, lies[_i].error, lies[_i].part); }
END_TEST

START_TEST (flood_of_progress_is_taken)
{
  g_autofree char *job = bus_submit (bus, "flood", NULL, NULL);
  g_autofree char *state = bus_wait (bus, job);
  ck_assert_str_eq (state, "done");
  assert_goes_on ();
}
END_TEST

START_TEST (running_job_is_cancelled_within_a_second)
{
  g_autofree char *job = bus_submit (bus, "wait", NULL, NULL);
  bus_wait_property (bus, job, "Stage", "work");
  gint64 begun = g_get_monotonic_time ();
  g_autoptr (GVariant) reply = bus_call (bus, job, JOB, "Cancel", NULL, NULL);
  gint64 took = g_get_monotonic_time () - begun;
  g_autofree char *state = bus_get_string (bus, job, "State");
  g_autofree char *name = bus_get_string (bus, job, "ErrorName");
  ck_assert_ptr_nonnull (reply);
  ck_assert_str_eq (state, "cancelled");
  ck_assert_str_eq (name, "org.sorad.Sora1.Error.Cancelled");
  ck_assert_msg (took < G_USEC_PER_SEC, "%" G_GINT64_FORMAT " us", took);
  assert_goes_on ();
}
END_TEST

START_TEST (job_that_ignores_cancel_is_killed)
{
  g_autofree char *job = bus_submit (bus, "ignore", NULL, NULL);
  bus_wait_property (bus, job, "Stage", "work");
  gint64 begun = g_get_monotonic_time ();
  g_autoptr (GVariant) reply = bus_call (bus, job, JOB, "Cancel", NULL, NULL);
  gint64 took = g_get_monotonic_time () - begun;
  g_autofree char *state = bus_get_string (bus, job, "State");
  ck_assert_ptr_nonnull (reply);
  ck_assert_str_eq (state, "cancelled");
  ck_assert_msg (took < 2 * G_USEC_PER_SEC, "%" G_GINT64_FORMAT " us", took);
  assert_goes_on ();
}
END_TEST

START_TEST (queued_job_is_cancelled_at_once)
{
  g_autofree char *running = bus_submit (bus, "ignore", NULL, NULL);
  g_autofree char *queued = bus_submit (bus, "done", NULL, NULL);
  g_autoptr (GVariant) reply = bus_call (bus, queued, JOB, "Cancel", NULL, NULL);
  g_autofree char *state = bus_get_string (bus, queued, "State");
  g_autofree char *other = bus_get_string (bus, running, "State");
  ck_assert_ptr_nonnull (reply);
  ck_assert_str_eq (state, "cancelled");
  ck_assert_str_eq (other, "running");
  g_autoptr (GVariant) again = bus_call (bus, queued, JOB, "Cancel", NULL, NULL);
  ck_assert_ptr_nonnull (again); /* over already: no error */
  g_autoptr (GVariant) end = bus_call (bus, running, JOB, "Cancel", NULL, NULL);
  ck_assert_ptr_nonnull (end);
}
END_TEST

/* -- Settings of their own */

START_TEST (stalled_job_is_ended)
{
  start ("[Worker]\nStallSeconds=1\n", NULL);
  assert_fails ("stall", ".WorkerDied", "stage 'work': no progress for 1 s");
  bus_fixture_free (fixture);
}
END_TEST

START_TEST (worker_of_another_version_is_refused)
{
  const char *const environment[] = { "SORA_FAKE_VERSION=7", NULL };
  start (NULL, environment);
  g_autofree char *job = bus_submit (bus, "done", NULL, NULL);
  g_autofree char *state = bus_wait (bus, job);
  g_autofree char *text = bus_get_string (bus, job, "Error");
  ck_assert_str_eq (state, "failed");
  ck_assert_msg (strstr (text, "speaks version 7, this side version 1") != NULL, "%s", text);
  bus_fixture_free (fixture);
}
END_TEST

START_TEST (plugin_that_crashes_when_described_is_told)
{
  const char *const environment[] = { "SORA_FAKE_DESCRIBE_CRASH=1", NULL };
  start (NULL, environment);
  g_autoptr (GVariant) problem
      = bus_get (bus, MANAGER_PATH "/pipelines/fake", "org.sorad.Sora1.Pipeline", "Problem");
  ck_assert_ptr_nonnull (strstr (g_variant_get_string (problem, NULL), "killed by signal 6"));
  assert_goes_on ();
  bus_fixture_free (fixture);
}
END_TEST

static void
on_check_ended (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply
      = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  ck_assert_ptr_null (reply);
  ck_assert_msg (strstr (error->message, "sorad ends") != NULL, "%s", error->message);
  *(gboolean *)data = TRUE;
}

static gboolean
is_true (gpointer flag)
{
  return *(gboolean *)flag;
}

/* Whoever waits is answered, and nothing is left behind. */
START_TEST (daemon_ends_while_it_works)
{
  start (NULL, NULL);
  gboolean ended = FALSE;
  g_autofree char *job = bus_submit (bus, "ignore", NULL, NULL);
  bus_wait_property (bus, job, "Stage", "work");
  g_dbus_connection_call (
      bus, SORA_BUS_NAME, MANAGER_PATH, MANAGER, "Check",
      g_variant_new ("(s@a{sv}a{sv})", "fake", g_variant_new_parsed ("{'mode': <'ignore'>}"), NULL),
      NULL, G_DBUS_CALL_FLAGS_NONE, BUS_DEADLINE_MS, NULL, on_check_ended, &ended);
  g_autofree char *state = bus_get_string (bus, job, "State"); /* the Check has come before */
  ck_assert_str_eq (state, "running");
  g_subprocess_send_signal (fixture->sorad, SIGTERM);
  bus_wait_until (is_true, &ended, "the end of the Check");
  bus_fixture_free (fixture); /* asserts the clean end */
}
END_TEST

START_TEST (second_daemon_on_a_state_folder_is_refused)
{
  start (NULL, NULL);
  g_autofree char *state = g_build_filename (fixture->dir, "state", NULL);
  g_autofree char *address = g_strconcat ("DBUS_SESSION_BUS_ADDRESS=", fixture->address, NULL);
  g_autoptr (GSubprocessLauncher) launcher
      = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDERR_PIPE);
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  g_subprocess_launcher_setenv (launcher, "DBUS_SESSION_BUS_ADDRESS",
                                address + strlen ("DBUS_SESSION_BUS_ADDRESS="), TRUE);
  g_autoptr (GSubprocess) second = g_subprocess_launcher_spawn (
      launcher, &error, ABS_BUILDDIR "/dbus/sorad", "--session", "--state-dir", state, NULL);
  ck_assert_ptr_nonnull (second);
  ck_assert (g_subprocess_communicate_utf8 (second, NULL, NULL, NULL, &text, NULL));
  ck_assert_int_eq (g_subprocess_get_exit_status (second), 1);
  ck_assert_msg (strstr (text, "in use by another sorad") != NULL, "%s", text);
  bus_fixture_free (fixture);
}
END_TEST

START_TEST (misspelt_setting_is_refused)
{
  g_autofree char *path = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  int fd = g_file_open_tmp ("sorad-XXXXXX.conf", &path, NULL);
  ck_assert_int_ge (fd, 0);
  ck_assert (g_file_set_contents (path, "[Limits]\nQueudJobs=5\n", -1, NULL));
  g_autoptr (GSubprocess) process
      = g_subprocess_new (G_SUBPROCESS_FLAGS_STDERR_PIPE, &error, ABS_BUILDDIR "/dbus/sorad",
                          "--session", "--config", path, NULL);
  ck_assert (g_subprocess_communicate_utf8 (process, NULL, NULL, NULL, &text, NULL));
  ck_assert_int_eq (g_subprocess_get_exit_status (process), 1);
  ck_assert_msg (strstr (text, "[Limits] QueudJobs: there is no such setting") != NULL, "%s", text);
  g_unlink (path);
  g_close (fd, NULL);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("faults");
  TCase *faults = tcase_create ("faults");
  tcase_add_checked_fixture (faults, setup, teardown);
  tcase_set_timeout (faults, 120);
  tcase_add_test (faults, crash_names_signal_and_stage);
  tcase_add_test (faults, crash_while_sending_names_signal_and_stage);
  tcase_add_test (faults, bus_error_names_the_model_file);
  tcase_add_test (faults, exit_names_status);
  tcase_add_test (faults, stopped_worker_is_found_hung);
  tcase_add_test (faults, cut_frame_is_a_death);
  tcase_add_loop_test (faults, liar_is_ended, 0, (int)G_N_ELEMENTS (lies));
  tcase_add_test (faults, flood_of_progress_is_taken);
  tcase_add_test (faults, running_job_is_cancelled_within_a_second);
  tcase_add_test (faults, job_that_ignores_cancel_is_killed);
  tcase_add_test (faults, queued_job_is_cancelled_at_once);
  suite_add_tcase (suite, faults);
  TCase *settings = tcase_create ("settings");
  tcase_set_timeout (settings, 120);
  tcase_add_test (settings, stalled_job_is_ended);
  tcase_add_test (settings, worker_of_another_version_is_refused);
  tcase_add_test (settings, plugin_that_crashes_when_described_is_told);
  tcase_add_test (settings, daemon_ends_while_it_works);
  tcase_add_test (settings, second_daemon_on_a_state_folder_is_refused);
  tcase_add_test (settings, misspelt_setting_is_refused);
  suite_add_tcase (suite, settings);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
