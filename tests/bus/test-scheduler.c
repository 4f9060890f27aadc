/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The queue between users, without a bus: submissions of made-up uids, run by the fake worker.
 */
#include "config.h"

#include <check.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bus-fixture.h"
#include "core/sora-request.h"
#include "dbus/sorad-process.h"
#include "dbus/sorad-scheduler.h"

static char *dir;
static SoradConfig *config;
static SoradStore *store;
static SoradScheduler *scheduler;
static GString *order; /* uids in order of the start of their jobs */
static guint over;

static void
on_changed (gpointer data, SoradJob *job, guint changes)
{
  if ((changes & SORAD_JOB_CHANGED_STATE) && job->state == SORAD_JOB_RUNNING)
    g_string_append_printf (order, "%u ", sorad_job_uid (job));
}

static void
on_over (gpointer data, SoradJob *job)
{
  over++;
}

static void
on_paused (gpointer data, SoradJob *job, const GError *error)
{
}

static void
on_queue (gpointer data)
{
}

static void
open_all (void)
{
  static const SoradSchedulerCallbacks callbacks
      = { .job_changed = on_changed,
          .job_over = on_over,
          .job_paused = on_paused,
          .queue_changed = on_queue };
  g_autoptr (GError) error = NULL;
  store = sorad_store_open (config->state_dir, &error);
  ck_assert_msg (store != NULL, "%s", error ? error->message : "");
  scheduler = sorad_scheduler_new (config, store, &callbacks, NULL);
}

static void
close_all (void)
{
  sorad_store_flush (store);
  sorad_scheduler_free (scheduler);
  sorad_process_wait_all ();
  sorad_store_close (store);
}

static void
setup (void)
{
  g_autoptr (GError) error = NULL;
  dir = g_dir_make_tmp ("sora-scheduler-XXXXXX", NULL);
  g_autofree char *settings = g_build_filename (dir, "sorad.conf", NULL);
  ck_assert (g_file_set_contents (settings, "[Limits]\nFreeBytes=0\n", -1, NULL));
  config = sorad_config_load (TRUE, settings, &error);
  ck_assert_msg (config != NULL, "%s", error ? error->message : "");
  g_free (config->worker);
  config->worker = g_strdup (FAKE_WORKER);
  g_free (config->state_dir);
  config->state_dir = g_build_filename (dir, "state", NULL);
  open_all ();
  order = g_string_new (NULL);
}

static void
teardown (void)
{
  close_all ();
  sorad_config_free (config);
  g_string_free (order, TRUE);
  g_autofree char *command = g_strconcat ("rm -r ", dir, NULL);
  ck_assert (g_spawn_command_line_sync (command, NULL, NULL, NULL, NULL));
  g_free (dir);
}

static SoradJob *
submit (guint32 uid, const char *mode)
{
  g_autoptr (SoraRequest) request = sora_request_new ("fake");
  SoradSubmission *submission = g_new0 (SoradSubmission, 1);
  sora_request_set_param (request, "mode", g_variant_new_string (mode));
  sora_request_choose_seed (request);
  submission->uid = uid;
  submission->pipeline = g_strdup ("fake");
  submission->request = g_variant_ref_sink (sora_request_to_variant (request));
  submission->inputs = g_ptr_array_new_with_free_func ((GDestroyNotify)sorad_input_free);
  SoradJob *job = sorad_store_add (store, submission);
  sorad_scheduler_submit (scheduler, job);
  return job;
}

static gint stray; /* atomic: calls */

static void
on_stray_message (gpointer data, SoraMessage *message)
{
  g_atomic_int_inc (&stray);
}

static void
on_stray (gpointer data, const GError *error)
{
  g_atomic_int_inc (&stray);
}

static gboolean
has_stray (gpointer unused)
{
  return g_atomic_int_get (&stray) >= 2; /* HELLO, and the answer */
}

static gboolean
all_over (gpointer count)
{
  return over >= GPOINTER_TO_UINT (count);
}

static gboolean
is_running (gpointer job)
{
  return ((SoradJob *)job)->state == SORAD_JOB_RUNNING;
}

START_TEST (newcomer_waits_for_one_job)
{
  SoradJob *first = submit (1, "wait");
  bus_wait_until (is_running, first, "the first job's start");
  for (guint i = 0; i < 5; i++)
    submit (1, "done");
  SoradJob *newcomer = submit (2, "done");
  ck_assert_uint_eq (sorad_scheduler_position (scheduler, newcomer), 1);
  sorad_scheduler_cancel (scheduler, first);
  bus_wait_until (all_over, GUINT_TO_POINTER (7), "the end of seven jobs");
  ck_assert_str_eq (order->str, "1 2 1 1 1 1 1 ");
}
END_TEST

START_TEST (users_take_turns)
{
  SoradJob *first = submit (1, "wait");
  bus_wait_until (is_running, first, "the first job's start");
  SoradJob *jobs[3][3];
  for (guint uid = 1; uid <= 3; uid++)
    for (guint i = 0; i < 3; i++)
      jobs[uid - 1][i] = submit (uid, "done");
  static const guint positions[3][3] = { { 3, 6, 9 }, { 1, 4, 7 }, { 2, 5, 8 } };
  for (guint u = 0; u < 3; u++)
    for (guint i = 0; i < 3; i++)
      ck_assert_uint_eq (sorad_scheduler_position (scheduler, jobs[u][i]), positions[u][i]);
  sorad_scheduler_cancel (scheduler, first);
  bus_wait_until (all_over, GUINT_TO_POINTER (10), "the end of ten jobs");
  ck_assert_str_eq (order->str, "1 2 3 1 2 3 1 2 3 1 ");
}
END_TEST

/* One who submits a job each time that one ends gets no more than a turn. */
START_TEST (coming_back_is_no_advantage)
{
  SoradJob *first = submit (1, "wait");
  bus_wait_until (is_running, first, "the first job's start");
  submit (1, "done");
  submit (1, "done");
  SoradJob *quick = submit (2, "wait");
  sorad_scheduler_cancel (scheduler, first);
  bus_wait_until (is_running, quick, "the second user's turn");
  submit (2, "done");
  sorad_scheduler_cancel (scheduler, quick);
  bus_wait_until (all_over, GUINT_TO_POINTER (5), "the end of five jobs");
  ck_assert_str_eq (order->str, "1 2 1 2 1 ");
}
END_TEST

/* By a reader of its own: what is durable. */
static int
read_share (const char *column, guint32 uid)
{
  sqlite3 *handle = NULL;
  sqlite3_stmt *statement = NULL;
  g_autofree char *path = g_build_filename (config->state_dir, "sorad.db", NULL);
  g_autofree char *sql = g_strdup_printf ("SELECT %s FROM shares WHERE uid = %u", column, uid);
  ck_assert_int_eq (sqlite3_open_v2 (path, &handle, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
  ck_assert_int_eq (sqlite3_prepare_v2 (handle, sql, -1, &statement, NULL), SQLITE_OK);
  ck_assert_int_eq (sqlite3_step (statement), SQLITE_ROW);
  int value = sqlite3_column_int (statement, 0);
  sqlite3_finalize (statement);
  sqlite3_close (handle);
  return value;
}

static void
run_one (guint32 uid)
{
  submit (uid, "done");
  bus_wait_until (all_over, GUINT_TO_POINTER (over + 1), "the end of a job");
}

/* A restart gives nobody back what he has used: without it user 1 would be the first again. */
START_TEST (shares_outlive_the_daemon)
{
  const guint32 users[] = { 1, 1, 1, 2, 2, 3 };
  for (gsize i = 0; i < G_N_ELEMENTS (users); i++)
    run_one (users[i]);
  /* When a job is told to be over its share is as durable as it is. */
  ck_assert_int_ge (read_share ("used", 1), 3);
  ck_assert_int_eq (read_share ("turn", 3), 6);
  int used = read_share ("used", 3);
  close_all ();
  open_all ();
  g_string_truncate (order, 0);
  over = 0;
  for (guint32 uid = 1; uid <= 3; uid++)
    submit (uid, "done");
  bus_wait_until (all_over, GUINT_TO_POINTER (3), "the end of three jobs");
  ck_assert_str_eq (order->str, "3 2 1 ");
  ck_assert_int_gt (read_share ("used", 3), used);
  ck_assert_int_eq (read_share ("turn", 3), 7);
}
END_TEST

/* As if the machine had been off for a day. */
START_TEST (shares_are_halved_while_nobody_is_there)
{
  for (guint i = 0; i < 3; i++)
    run_one (1);
  run_one (2);
  close_all ();
  sqlite3 *handle = NULL;
  g_autofree char *path = g_build_filename (config->state_dir, "sorad.db", NULL);
  ck_assert_int_eq (sqlite3_open (path, &handle), SQLITE_OK);
  ck_assert_int_eq (
      sqlite3_exec (handle, "UPDATE shares SET halved = halved - 86400000000 WHERE uid = 1", NULL,
                    NULL, NULL),
      SQLITE_OK);
  sqlite3_close (handle);
  open_all ();
  g_string_truncate (order, 0);
  over = 0;
  submit (2, "done");
  submit (1, "done");
  bus_wait_until (all_over, GUINT_TO_POINTER (2), "the end of two jobs");
  ck_assert_str_eq (order->str, "1 2 ");
}
END_TEST

static gboolean
on_idle (gpointer flag)
{
  *(gboolean *)flag = TRUE;
  return G_SOURCE_REMOVE;
}

static gboolean
is_true (gpointer flag)
{
  return *(gboolean *)flag;
}

/* What another user took must not empty the queue into "failed". */
START_TEST (queue_waits_while_descriptors_are_short)
{
  gboolean tried = FALSE;
  struct rlimit limit;
  SoradJob *first = submit (1, "done");
  SoradJob *second = submit (1, "done");
  ck_assert_int_eq (getrlimit (RLIMIT_NOFILE, &limit), 0);
  rlim_t before = limit.rlim_cur;
  int next = dup (0);
  close (next);
  limit.rlim_cur = (rlim_t)next;
  ck_assert_int_eq (setrlimit (RLIMIT_NOFILE, &limit), 0);
  g_idle_add (on_idle, &tried); /* after the start was tried, which has a higher priority */
  bus_wait_until (is_true, &tried, "the idle source");
  limit.rlim_cur = before;
  ck_assert_int_eq (setrlimit (RLIMIT_NOFILE, &limit), 0);
  ck_assert_uint_eq (over, 0);
  ck_assert_int_eq (first->state, SORAD_JOB_QUEUED);
  ck_assert_uint_eq (sorad_scheduler_position (scheduler, first), 1);
  ck_assert_uint_eq (sorad_scheduler_position (scheduler, second), 2);
  bus_wait_until (all_over, GUINT_TO_POINTER (2), "the end of two jobs");
  ck_assert_int_eq (first->state, SORAD_JOB_DONE);
  ck_assert_int_eq (second->state, SORAD_JOB_DONE);
}
END_TEST

static gboolean
is_true_of_disk (gpointer data)
{
  SoradJob *job = data;
  return job->notes->len == 1 && strstr (g_ptr_array_index (job->notes, 0), "(FreeBytes)");
}

/* Nor must a full disk: the first says why it waits, and can be cancelled; then the next does. */
START_TEST (queue_waits_while_the_disk_is_full)
{
  config->free_bytes = G_MAXINT64;
  SoradJob *first = submit (1, "done");
  SoradJob *second = submit (1, "done");
  bus_wait_until (is_true_of_disk, first, "the reason for which the first job waits");
  ck_assert (g_str_has_prefix (g_ptr_array_index (first->notes, 0), "it waits: "));
  ck_assert_uint_eq (second->notes->len, 0);
  ck_assert_int_eq (first->state, SORAD_JOB_QUEUED);
  ck_assert_uint_eq (sorad_scheduler_position (scheduler, first), 1);
  sorad_scheduler_cancel (scheduler, first);
  bus_wait_until (is_true_of_disk, second, "the reason for which the second job waits");
  ck_assert_int_eq (first->state, SORAD_JOB_CANCELLED);
  config->free_bytes = 0;
  bus_wait_until (all_over, GUINT_TO_POINTER (2), "the end of the second job");
  ck_assert_int_eq (second->state, SORAD_JOB_DONE);
  ck_assert_uint_ge (second->notes->len, 2);
  ck_assert_str_eq (g_ptr_array_index (second->notes, 1), "there is room on the disk again");
}
END_TEST

/* Callbacks come in the main loop alone, also while it does not run. */
START_TEST (nothing_is_called_from_other_threads)
{
  static const SoradProcessCallbacks callbacks = { .message = on_stray_message, .died = on_stray };
  g_autoptr (GError) error = NULL;
  stray = 0;
  SoradProcess *process = sorad_process_spawn (config, store, FALSE, NULL, &callbacks, NULL, &error);
  ck_assert_msg (process != NULL, "%s", error ? error->message : "");
  sorad_process_send (process, SORA_MESSAGE_DESCRIBE, 1, g_variant_new ("(ss)", "all", ""));
  /* The worker answers within this second, and nobody iterates the main loop. */
  gint64 deadline = g_get_monotonic_time () + G_USEC_PER_SEC;
  while (g_get_monotonic_time () < deadline && g_atomic_int_get (&stray) == 0)
    g_usleep (1000);
  ck_assert_int_eq (g_atomic_int_get (&stray), 0);
  bus_wait_until (has_stray, NULL, "the answer, in the main loop");
  sorad_process_close (process);
}
END_TEST

START_TEST (store_counts_by_user)
{
  SoradJob *mine = submit (1, "wait");
  submit (2, "wait");
  ck_assert_uint_eq (sorad_store_count (store, 1, SORAD_JOB_ACTIVE), 1);
  ck_assert_uint_eq (sorad_store_count (store, 1, (guint)SORAD_JOB_OVER), 0);
  ck_assert_uint_eq (sorad_store_count (store, 3, ~0u), 0);
  ck_assert_ptr_eq (sorad_store_find (store, mine->id), mine);
  ck_assert_uint_eq (strlen (mine->id), 10);
  ck_assert_ptr_null (sorad_store_find (store, "0000000000"));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("scheduler");
  TCase *queue = tcase_create ("queue");
  tcase_add_checked_fixture (queue, setup, teardown);
  tcase_set_timeout (queue, 120);
  tcase_add_test (queue, newcomer_waits_for_one_job);
  tcase_add_test (queue, users_take_turns);
  tcase_add_test (queue, coming_back_is_no_advantage);
  tcase_add_test (queue, shares_outlive_the_daemon);
  tcase_add_test (queue, shares_are_halved_while_nobody_is_there);
  tcase_add_test (queue, queue_waits_while_descriptors_are_short);
  tcase_add_test (queue, queue_waits_while_the_disk_is_full);
  tcase_add_test (queue, nothing_is_called_from_other_threads);
  tcase_add_test (queue, store_counts_by_user);
  suite_add_tcase (suite, queue);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
