/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Flow: linear streams, back-pressure, fan-out, diamonds, early ends, attributes, stages alone.
 */
#include "config.h"
#include "runner-test.h"

#define SOURCE "[Stage source]\nPlugin=stages/source\n"
#define SINK(from) "[Stage sink]\nPlugin=stages/sink\nInput.in=" from "\n"

START_TEST (linear_stream)
{
  g_autoptr (Record) record = record_new ();
  g_autoptr (SoraRunner) runner
      = run_ok (SOURCE "Param.count=100\n"
                       "[Stage pass]\nPlugin=stages/pass\nInput.in=source:out\n" SINK ("pass:out"),
                record);
  g_autofree char *text = read_result ("sum.txt");
  ck_assert_str_eq (text, "100 rows, sum 4950, fps 16\n");
  ck_assert_uint_eq (record->stages->len, 3);

  GPtrArray *files = sora_runner_files (runner);
  ck_assert_uint_eq (files->len, 1);
  SoraResultFile *file = g_ptr_array_index (files, 0);
  ck_assert_str_eq (file->stage, "sink");
  ck_assert_str_eq (file->port, "file");
  ck_assert_str_eq (file->name, "sum.txt");
  ck_assert_str_eq (file->media_type, "text/plain");
  ck_assert_uint_eq (file->size, strlen (text));
}
END_TEST

START_TEST (computed_stream)
{
  g_autoptr (SoraRunner) runner = run_ok (
      SOURCE "Param.count=50\nParam.chunk=7\nParam.in-compute=true\n" SINK ("source:out"), NULL);
  g_autofree char *text = read_result ("sum.txt");
  ck_assert_str_eq (text, "50 rows, sum 1225, fps 16\n");
}
END_TEST

START_TEST (queues_are_bounded)
{
  g_autoptr (SoraRunner) runner
      = run_ok (SOURCE "Param.count=5000\n"
                       "[Stage a]\nPlugin=stages/pass\nInput.in=source:out\n" SINK ("a:out"),
                NULL);
  SoraQueueInfo *queue = find_queue (runner, "source:out");
  ck_assert_uint_ge (queue->peak_tensors, 1);
  ck_assert_uint_le (queue->peak_tensors, 4);
  ck_assert_uint_le (queue->peak_bytes, 4 * 32);
  ck_assert_uint_eq (queue->enlarged, 0);
}
END_TEST

START_TEST (queues_are_bounded_by_bytes)
{
  /* 30 MiB a tensor: two fit into the 64 MiB of a queue. */
  g_autoptr (SoraRunner) runner
      = run_ok (SOURCE "Param.count=8\nParam.width=3932160\n" SINK ("source:out"), NULL);
  ck_assert_uint_le (find_queue (runner, "source:out")->peak_tensors, 2);
}
END_TEST

START_TEST (a_tensor_larger_than_the_queue_goes_through)
{
  g_autoptr (SoraRunner) runner
      = run_ok (SOURCE "Param.count=3\nParam.width=10000000\n" SINK ("source:out"), NULL);
  ck_assert_uint_eq (find_queue (runner, "source:out")->peak_tensors, 1);
}
END_TEST

START_TEST (long_streams_take_no_more_memory)
{
  guint64 peak[2];
  for (int i = 0; i < 2; i++)
    {
      g_autoptr (SoraRequest) request = request_new (
          SOURCE "Param.width=10000\n"
                 "[Stage a]\nPlugin=stages/pass\nInput.in=source:out\n" SINK ("a:out"));
      request_set (request, "source.count", i == 0 ? "int64 20" : "int64 2000");
      g_autoptr (SoraRunner) runner = runner_new (request, NULL);
      sora_runner_set_output_name (runner, i == 0 ? "short" : "long", FALSE);
      ck_assert (sora_runner_run (runner, NULL));
      peak[i] = sora_runner_peak_reserved (runner);
    }
  /* 80,000 bytes a row, four rows a queue, two queues. */
  ck_assert_uint_gt (peak[0], 0);
  ck_assert_uint_le (peak[0], 8 * 80000);
  ck_assert_uint_le (peak[1], 8 * 80000);
}
END_TEST

START_TEST (fan_out)
{
  g_autoptr (SoraRunner) runner = run_ok (
      SOURCE "Param.count=30\n"
             "[Stage join]\nPlugin=stages/join\nInput.a=source:out\nInput.b=source:out\n" SINK (
                 "join:out"),
      NULL);
  g_autofree char *text = read_result ("sum.txt");
  ck_assert_str_eq (text, "30 rows, sum 870, fps 0\n");
}
END_TEST

START_TEST (shared_tensors_are_not_changed)
{
  /* join writes into what came in at a, which waits in the queue of b at the same time. */
  g_autoptr (SoraRunner) runner = run_ok (
      SOURCE
      "Param.count=30\n"
      "[Stage one]\nPlugin=stages/join\nInput.a=source:out\nInput.b=source:out\n"
      "[Stage two]\nPlugin=stages/join\nInput.a=source:out\nInput.b=one:out\n" SINK ("two:out"),
      NULL);
  g_autofree char *text = read_result ("sum.txt");
  ck_assert_str_eq (text, "30 rows, sum 1305, fps 0\n");
}
END_TEST

#define DIAMOND                                                                                    \
  SOURCE "Param.count=60\n"                                                                        \
         "[Stage left]\nPlugin=stages/pass\nInput.in=source:out\n"                                 \
         "[Stage right]\nPlugin=stages/pass\nInput.in=source:out\n"                                \
         "[Stage "                                                                                 \
         "join]\nPlugin=stages/"                                                                   \
         "join\nInput.a=left:out\nInput.b=right:out\nParam.a-first=true\n" SINK ("join:out")

START_TEST (diamond)
{
  g_autoptr (SoraRunner) runner = run_ok (DIAMOND, NULL);
  g_autofree char *text = read_result ("sum.txt");
  ck_assert_str_eq (text, "60 rows, sum 3540, fps 0\n");
  guint enlarged
      = find_queue (runner, "right:out")->enlarged + find_queue (runner, "source:out")->enlarged;
  GPtrArray *queues = sora_runner_queues (runner);
  for (guint i = 0; i < queues->len; i++)
    enlarged += ((SoraQueueInfo *)g_ptr_array_index (queues, i))->enlarged;
  ck_assert_uint_gt (enlarged, 0);
  ck_assert_uint_eq (find_queue (runner, "left:out")->enlarged, 0);
}
END_TEST

START_TEST (diamond_without_room)
{
  g_autoptr (SoraRequest) request = request_new (DIAMOND);
  /* 32 bytes a row: 60 rows of one branch do not fit beside the other's queues. */
  request->memory_limit = 1000;
  g_autofree char *message = run_error (request, NULL, SORA_ERROR_NO_MEMORY);
  assert_error_has (message, "the queue from '");
  assert_error_has (message, "is full");
  assert_error_has (message, "1000 bytes");
  ck_assert_uint_eq (count_files (fixture.out), 0);
}
END_TEST

START_TEST (early_end)
{
  g_autoptr (SoraRunner) runner = run_ok (
      SOURCE
      "Param.count=10000\n"
      "[Stage pass]\nPlugin=stages/pass\nInput.in=source:out\n" SINK ("pass:out") "Param.limit=5\n",
      NULL);
  g_autofree char *text = read_result ("sum.txt");
  ck_assert_str_eq (text, "5 rows, sum 10, fps 16\n");
}
END_TEST

START_TEST (unconnected_outputs_are_dropped)
{
  g_autoptr (SoraRunner) runner = run_ok (SOURCE "Param.count=1000\n", NULL);
  ck_assert_uint_eq (sora_runner_files (runner)->len, 0);
}
END_TEST

START_TEST (unconnected_optional_input_ends_at_once)
{
  g_autoptr (SoraRunner) runner = run_ok (
      "[Stage lone]\nPlugin=stages/weigh\n[Stage next]\nPlugin=stages/weigh\nInput.in=lone:out\n",
      NULL);
  ck_assert_uint_eq (sora_runner_files (runner)->len, 0);
}
END_TEST

START_TEST (stage_alone)
{
  g_autoptr (GError) error = NULL;
  const int64_t shape[] = { 5, 4 };
  g_autoptr (SoraTensor) tensor = sora_tensor_new (SORA_I64, 2, shape, NULL);
  SoraTensorView view = { .struct_size = sizeof view };
  sora_tensor_get_view (tensor, &view);
  for (int i = 0; i < 20; i++)
    ((int64_t *)view.data)[i] = i;
  g_autoptr (GHashTable) inputs = g_hash_table_new (g_str_hash, g_str_equal);
  g_hash_table_insert (inputs, (char *)"in", tensor);
  g_autoptr (SoraRequest) request = sora_request_new ("");
  g_autoptr (SoraPlan) plan
      = sora_plan_new_for_stage (fixture.environment, "stages/pass", request, inputs, NULL, &error);
  ck_assert_msg (plan != NULL, "%s", error != NULL ? error->message : "");
  g_autoptr (SoraRunner) runner = sora_runner_new (plan, NULL, NULL, NULL, NULL);
  ck_assert (sora_runner_run (runner, &error));
  g_autoptr (SoraTensor) result = sora_runner_get_output (runner, "out");
  ck_assert_ptr_nonnull (result);
  SoraTensorView got = { .struct_size = sizeof got };
  sora_tensor_get_view (result, &got);
  ck_assert_uint_eq (got.nbytes, view.nbytes);
  ck_assert_mem_eq (got.data, view.data, view.nbytes);
  ck_assert_ptr_null (sora_runner_get_output (runner, "in"));
}
END_TEST

START_TEST (stage_alone_joins_its_stream)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraRequest) request = sora_request_new ("");
  request_set (request, "count", "int64 10");
  request_set (request, "chunk", "int64 3");
  g_autoptr (SoraPlan) plan
      = sora_plan_new_for_stage (fixture.environment, "stages/source", request, NULL, NULL, &error);
  ck_assert_msg (plan != NULL, "%s", error != NULL ? error->message : "");
  g_autoptr (SoraRunner) runner = sora_runner_new (plan, NULL, NULL, NULL, NULL);
  ck_assert (sora_runner_run (runner, &error));
  g_autoptr (SoraTensor) result = sora_runner_get_output (runner, "out");
  SoraTensorView view = { .struct_size = sizeof view };
  sora_tensor_get_view (result, &view);
  ck_assert_int_eq (view.ndim, 2);
  ck_assert_int_eq (view.shape[0], 10);
  for (int i = 0; i < 10; i++)
    ck_assert_int_eq (((int64_t *)view.data)[i * 4], i);
}
END_TEST

START_TEST (failure_in_the_middle)
{
  g_autoptr (SoraRequest) request = request_new (
      SOURCE
      "Param.count=1000\n"
      "[Stage bad]\nPlugin=stages/pass\nInput.in=source:out\nParam.fail-at=100\n" SINK ("bad:out"));
  g_autofree char *message = run_error (request, NULL, SORA_ERROR_FAILED);
  ck_assert_str_eq (message, "stage 'bad': row 100 is bad");
  ck_assert_uint_eq (count_files (fixture.out), 0);
}
END_TEST

START_TEST (progress_is_monotone)
{
  g_autoptr (Record) record = record_new ();
  g_autoptr (SoraRunner) runner = run_ok (
      SOURCE
      "Param.count=3000\nParam.flops=900\n"
      "[Stage pass]\nPlugin=stages/pass\nInput.in=source:out\nParam.flops=100\n" SINK ("pass:out"),
      record);
  double last = 0;
  ck_assert_uint_gt (record->fractions->len, 0);
  for (guint i = 0; i < record->fractions->len; i++)
    {
      double fraction = g_array_index (record->fractions, double, i);
      ck_assert_double_ge (fraction, last);
      ck_assert_double_le (fraction, 1);
      last = fraction;
    }
  ck_assert_double_eq (last,
                       1); /* told at the end of the last stage, whenever the one before was */
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("runner-flow");
  TCase *tests = tcase_create ("flow");

  tcase_add_checked_fixture (tests, fixture_setup, fixture_teardown);
  tcase_add_test (tests, linear_stream);
  tcase_add_test (tests, computed_stream);
  tcase_add_test (tests, queues_are_bounded);
  tcase_add_test (tests, queues_are_bounded_by_bytes);
  tcase_add_test (tests, a_tensor_larger_than_the_queue_goes_through);
  tcase_add_test (tests, long_streams_take_no_more_memory);
  tcase_add_test (tests, fan_out);
  tcase_add_test (tests, shared_tensors_are_not_changed);
  tcase_add_test (tests, diamond);
  tcase_add_test (tests, diamond_without_room);
  tcase_add_test (tests, early_end);
  tcase_add_test (tests, unconnected_outputs_are_dropped);
  tcase_add_test (tests, unconnected_optional_input_ends_at_once);
  tcase_add_test (tests, stage_alone);
  tcase_add_test (tests, stage_alone_joins_its_stream);
  tcase_add_test (tests, failure_in_the_middle);
  tcase_add_test (tests, progress_is_monotone);
  suite_add_tcase (suite, tests);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed != 0;
}
