/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Stopping: cancel wakes whoever waits, for a tensor, for room, for memory or for the compute
 * thread; the first real error wins over what follows from it.
 */
#include "config.h"
#include "runner-test.h"

#define SOURCE "[Stage source]\nPlugin=stages/source\n"
#define SINK(from) "[Stage sink]\nPlugin=stages/sink\nInput.in=" from "\n"

typedef struct
{
  SoraRunner *runner;
  GError *error;
  gboolean ok;
} Job;

static gpointer
job_main (gpointer data)
{
  Job *job = data;
  job->ok = sora_runner_run (job->runner, &job->error);
  return NULL;
}

/* Runs it until @line is logged, and cancels it.  How long that took, in µs. */
static gint64
cancel_once (const char *pipeline, const char *line)
{
  g_autoptr (Record) record = record_new ();
  g_autoptr (SoraRequest) request = request_new (pipeline);
  Job job = { runner_new (request, record), NULL, FALSE };
  GThread *thread = g_thread_new ("job", job_main, &job);

  record_wait_log (record, line);
  gint64 start = g_get_monotonic_time ();
  sora_runner_cancel (job.runner);
  g_thread_join (thread);
  gint64 took = g_get_monotonic_time () - start;
  ck_assert (!job.ok);
  ck_assert_msg (g_error_matches (job.error, SORA_ERROR, SORA_ERROR_CANCELLED), "%s",
                 job.error->message);
  ck_assert_uint_eq (count_files (fixture.out), 0);
  g_clear_error (&job.error);
  sora_runner_unref (job.runner);
  return took;
}

/* Within a second; on a machine that is busy otherwise one of three tries has to show it. */
static void
cancel_at (const char *pipeline, const char *line)
{
  for (guint i = 0; i < 3; i++)
    if (cancel_once (pipeline, line) < G_USEC_PER_SEC)
      return;
  ck_abort_msg ("no stop within a second");
}

/* The sink waits to start, or in pull. */
START_TEST (in_pull)
{
  cancel_at ("[Stage hold]\nPlugin=stages/hold\n" SINK ("hold:out"), "hold: holding");
  cancel_at ("[Stage hold]\nPlugin=stages/hold\nParam.rows=2\n" SINK ("hold:out"), "hold: holding");
}
END_TEST

/* hold never pulls: the source waits for room. */
START_TEST (in_push)
{
  cancel_at (SOURCE "Param.count=1000\n[Stage hold]\nPlugin=stages/hold\nInput.in=source:out\n",
             "hold: holding");
}
END_TEST

START_TEST (in_compute)
{
  cancel_at ("[Stage hold]\nPlugin=stages/hold\nParam.in-compute=true\n" SINK ("hold:out"),
             "hold: holding");
}
END_TEST

/* One has the compute thread, the others wait for it. */
START_TEST (waiting_for_compute)
{
  cancel_at ("[Stage hold]\nPlugin=stages/hold\nParam.in-compute=true\n" SOURCE
             "Param.in-compute=true\n" SINK ("source:out"),
             "hold: holding");
}
END_TEST

/* The second waits for memory that the first holds. */
START_TEST (in_reserve)
{
  g_autoptr (Record) record = record_new ();
  g_autoptr (SoraRequest) request
      = request_new ("[Stage one]\nPlugin=stages/hold\nParam.work=600\n"
                     "[Stage two]\nPlugin=stages/hold\nParam.work=600\n");
  request->memory_limit = 1000;
  Job job = { runner_new (request, record), NULL, FALSE };
  GThread *thread = g_thread_new ("job", job_main, &job);
  gint64 deadline = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;
  gboolean holding = FALSE;

  g_mutex_lock (&record->lock);
  while (record->logs->len == 0 && g_cond_wait_until (&record->changed, &record->lock, deadline))
    continue;
  holding = record->logs->len == 1;
  g_mutex_unlock (&record->lock);
  ck_assert (holding);
  gint64 start = g_get_monotonic_time ();
  sora_runner_cancel (job.runner);
  g_thread_join (thread);
  ck_assert_int_lt (g_get_monotonic_time () - start, G_USEC_PER_SEC);
  ck_assert (g_error_matches (job.error, SORA_ERROR, SORA_ERROR_CANCELLED));
  ck_assert_uint_eq (record->logs->len, 1);
  ck_assert_uint_le (sora_runner_peak_reserved (job.runner), 1000);
  g_clear_error (&job.error);
  sora_runner_unref (job.runner);
}
END_TEST

START_TEST (from_a_callback)
{
  g_autoptr (Record) record = record_new ();
  g_autoptr (SoraRequest) request = request_new ("[Stage hold]\nPlugin=stages/hold\n");
  g_autoptr (SoraRunner) runner = runner_new (request, record);
  g_autoptr (GError) error = NULL;
  record->cancel_at_log = runner;
  ck_assert (!sora_runner_run (runner, &error));
  ck_assert (g_error_matches (error, SORA_ERROR, SORA_ERROR_CANCELLED));
}
END_TEST

START_TEST (before_it_runs)
{
  g_autoptr (Record) record = record_new ();
  g_autoptr (SoraRequest) request = request_new (SOURCE SINK ("source:out"));
  g_autoptr (SoraRunner) runner = runner_new (request, record);
  g_autoptr (GError) error = NULL;
  sora_runner_cancel (runner);
  ck_assert (!sora_runner_run (runner, &error));
  ck_assert (g_error_matches (error, SORA_ERROR, SORA_ERROR_CANCELLED));
  ck_assert_uint_eq (record->stages->len, 0);
  ck_assert_uint_eq (count_files (fixture.out), 0);
}
END_TEST

START_TEST (after_it_ran)
{
  g_autoptr (SoraRunner) runner = run_ok (SOURCE SINK ("source:out"), NULL);
  sora_runner_cancel (runner);
  ck_assert_uint_eq (count_files (fixture.out), 1);
}
END_TEST

/* The holder is stopped by the other's failure, and its "cancelled" does not hide the reason. */
START_TEST (failure_stops_the_others)
{
  g_autoptr (SoraRequest) request = request_new (
      "[Stage hold]\nPlugin=stages/hold\nParam.in-compute=true\n" SOURCE
      "Param.count=100\n[Stage bad]\nPlugin=stages/pass\nInput.in=source:out\nParam.fail-at=50\n");
  g_autofree char *message = run_error (request, NULL, SORA_ERROR_FAILED);
  ck_assert_str_eq (message, "stage 'bad': row 50 is bad");
}
END_TEST

START_TEST (a_runner_can_follow_a_stopped_one)
{
  cancel_at ("[Stage hold]\nPlugin=stages/hold\nParam.in-compute=true\n", "hold: holding");
  g_autoptr (SoraRunner) runner
      = run_ok (SOURCE "Param.in-compute=true\n" SINK ("source:out"), NULL);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("runner-stop");
  TCase *tests = tcase_create ("stop");

  tcase_add_checked_fixture (tests, fixture_setup, fixture_teardown);
  tcase_add_test (tests, in_pull);
  tcase_add_test (tests, in_push);
  tcase_add_test (tests, in_compute);
  tcase_add_test (tests, waiting_for_compute);
  tcase_add_test (tests, in_reserve);
  tcase_add_test (tests, from_a_callback);
  tcase_add_test (tests, before_it_runs);
  tcase_add_test (tests, after_it_ran);
  tcase_add_test (tests, failure_stops_the_others);
  tcase_add_test (tests, a_runner_can_follow_a_stopped_one);
  suite_add_tcase (suite, tests);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed != 0;
}
