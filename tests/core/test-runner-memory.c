/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Memory: the ledger's limit, giving weights back for others, and instances that stay warm.  The
 * stages tell what happens to their instances through the process's log, which is caught here.
 */
#include "config.h"
#include "runner-test.h"
#include <unistd.h>

static GString *told;
static GMutex told_lock;

static void
catch_message (const char *domain, GLogLevelFlags level, const char *message, gpointer data)
{
  if ((level & G_LOG_LEVEL_MASK) > G_LOG_LEVEL_MESSAGE
      || g_str_has_prefix (message, "loading plugin"))
    return;
  g_mutex_lock (&told_lock);
  g_string_append_printf (told, "%s; ", message);
  g_mutex_unlock (&told_lock);
}

static void
setup (void)
{
  fixture_setup ();
  told = g_string_new (NULL);
  g_log_set_default_handler (catch_message, NULL);
}

static void
teardown (void)
{
  fixture_teardown ();
  g_string_free (told, TRUE);
}

#define TEXT_AND_DENOISE                                                                           \
  "[Stage text]\nPlugin=stages/weigh\nParam.name=text\nParam.weights=700\n"                        \
  "[Stage denoise]\nPlugin=stages/weigh\nParam.name=denoise\nParam.weights=800\nParam.work=100\n"  \
  "Input.in=text:out\n"

static SoraRunner *
run_limited (const char *pipeline, guint64 limit)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraRequest) request = request_new (pipeline);
  request->memory_limit = limit;
  SoraRunner *runner = runner_new (request, NULL);
  ck_assert_msg (sora_runner_run (runner, &error), "%s", error != NULL ? error->message : "");
  return runner;
}

START_TEST (text_is_released_for_the_denoiser)
{
  g_autoptr (SoraRunner) runner = run_limited (TEXT_AND_DENOISE, 1000);
  ck_assert_str_eq (told->str,
                    "create text; create denoise; load text; release text; load denoise; ");
  ck_assert_uint_le (sora_runner_peak_reserved (runner), 1000);
  ck_assert_uint_ge (sora_runner_peak_reserved (runner), 900);
}
END_TEST

START_TEST (nothing_is_released_where_there_is_room)
{
  g_autoptr (SoraRunner) runner = run_limited (TEXT_AND_DENOISE, 10000);
  ck_assert_str_eq (told->str, "create text; create denoise; load text; load denoise; ");
  ck_assert_uint_ge (sora_runner_peak_reserved (runner), 1600);
}
END_TEST

/* A stage that is told the limit takes another way: infer says so, and run keeps to it. */
START_TEST (a_stage_keeps_to_the_limit)
{
#define THRIFTY "[Stage a]\nPlugin=stages/weigh\nParam.work=5000\nParam.thrifty=true\n"
  static const struct
  {
    guint64 limit, work;
  } cases[] = { { 1000, 250 }, { 12000, 3000 }, { 100000, 5000 } };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (SoraRequest) request = request_new (THRIFTY);
      request->memory_limit = cases[i].limit;
      g_autoptr (SoraPlan) plan = sora_plan_new (fixture.environment, request, &error);
      ck_assert_msg (plan != NULL, "%s", error != NULL ? error->message : "");
      SoraPlanStage *stage = g_ptr_array_index (sora_plan_stages (plan), 0);
      ck_assert_uint_eq (stage->cost.work_bytes, cases[i].work);
      g_autoptr (SoraRunner) runner = run_limited (THRIFTY, cases[i].limit);
      ck_assert_uint_eq (sora_runner_peak_reserved (runner), cases[i].work);
    }
  /* Without a limit of its own, a job has what the machine has. */
  sora_runner_unref (run_limited (THRIFTY, 0));
}
END_TEST

/* The last job of a process keeps nothing, whatever the room. */
START_TEST (single_jobs_keep_nothing)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraRequest) request = request_new (TEXT_AND_DENOISE);
  request->memory_limit = 10000;
  g_autoptr (SoraRunner) runner = runner_new (request, NULL);
  sora_runner_set_single (runner, TRUE);
  ck_assert_msg (sora_runner_run (runner, &error), "%s", error != NULL ? error->message : "");
  ck_assert_ptr_nonnull (strstr (told->str, "destroy text; "));
  ck_assert_ptr_nonnull (strstr (told->str, "destroy denoise; "));
  ck_assert_uint_gt (sora_runner_peak_resident (runner), 1 << 20);
}
END_TEST

START_TEST (instances_stay_warm)
{
  sora_runner_unref (run_limited (TEXT_AND_DENOISE, 10000));
  g_string_truncate (told, 0);
  g_autoptr (SoraRunner) again = run_limited (TEXT_AND_DENOISE, 10000);
  ck_assert_str_eq (told->str, "");
  /* Other load-time parameters are another instance; run-time ones are not. */
  g_autoptr (SoraRunner) other
      = run_limited ("[Stage text]\nPlugin=stages/weigh\nParam.name=third\n", 10000);
  ck_assert_str_eq (told->str, "create third; ");
  g_string_truncate (told, 0);
  g_autoptr (SoraRunner) work
      = run_limited ("[Stage text]\nPlugin=stages/weigh\nParam.name=third\nParam.work=5\n", 10000);
  ck_assert_str_eq (told->str, "");
  sora_process_shutdown ();
  assert_error_has (told->str, "destroy text; ");
  assert_error_has (told->str, "destroy denoise; ");
  assert_error_has (told->str, "destroy third; ");
}
END_TEST

#define WITH_MODEL                                                                                 \
  "[Models]\nmain=text_encoder\n[Stage a]\nPlugin=stages/weigh\nModel=main\nParam.name=x\n"

/* Run again, with what the name "current" stands for now; what was told. */
static void
run_current (const char *expected)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraRequest) request = request_new (WITH_MODEL);
  g_hash_table_insert (request->models, g_strdup ("main"), g_strdup ("current"));
  g_autoptr (SoraRunner) runner = runner_new (request, NULL);
  g_string_truncate (told, 0);
  ck_assert_msg (sora_runner_run (runner, &error), "%s", error != NULL ? error->message : "");
  ck_assert_str_eq (told->str, expected);
}

START_TEST (another_model_of_the_same_path)
{
  g_autofree char *link = g_build_filename (fixture.dir, "models", "current", NULL);
  fixture_make_model ("v1", "text_encoder");
  fixture_make_model ("v2", "text_encoder");
  ck_assert_int_eq (symlink ("v1", link), 0);
  run_current ("create x; ");
  run_current ("");
  ck_assert_int_eq (unlink (link), 0);
  ck_assert_int_eq (symlink ("v2", link), 0);
  run_current ("destroy x; create x; ");
  run_current ("");
}
END_TEST

/* A file is added, and nothing is changed that the instance has read; but it is what a plan takes
 * now. */
START_TEST (other_weights_in_the_same_folder)
{
  fixture_make_model ("current", "text_encoder");
  g_autofree char *dir = g_build_filename (fixture.dir, "models", "current", "text_encoder", NULL);
  g_autofree char *standard = g_build_filename (dir, "model.safetensors", NULL);
  g_autofree char *half = g_build_filename (dir, "model.fp16.safetensors", NULL);
  ck_assert_int_eq (g_rename (standard, half), 0);
  run_current ("create x; ");
  run_current ("");
  g_autofree char *data = NULL;
  gsize size;
  ck_assert (g_file_get_contents (half, &data, &size, NULL));
  ck_assert (g_file_set_contents (standard, data, (gssize)size, NULL));
  run_current ("destroy x; create x; ");
}
END_TEST

/* The warm denoiser of the job before holds what the text encoder needs, though its own stage waits
 * to start. */
START_TEST (a_warm_instance_that_waits_is_released)
{
  sora_runner_unref (run_limited (TEXT_AND_DENOISE, 1000));
  g_string_truncate (told, 0);
  g_autoptr (SoraRunner) again = run_limited (TEXT_AND_DENOISE, 1000);
  ck_assert_str_eq (told->str, "release denoise; load text; release text; load denoise; ");
}
END_TEST

START_TEST (two_of_a_kind_are_two_instances)
{
  g_autoptr (SoraRunner) runner
      = run_limited ("[Stage a]\nPlugin=stages/weigh\nParam.name=x\n"
                     "[Stage b]\nPlugin=stages/weigh\nParam.name=x\nInput.in=a:out\n",
                     10000);
  ck_assert_str_eq (told->str, "create x; create x; ");
}
END_TEST

static char *
run_limited_error (const char *pipeline, guint64 limit)
{
  g_autoptr (SoraRequest) request = request_new (pipeline);
  request->memory_limit = limit;
  return run_error (request, NULL, SORA_ERROR_NO_MEMORY);
}

/* Before anything is made, by what infer said. */
START_TEST (what_cannot_fit_is_refused_at_once)
{
  g_autofree char *message = run_limited_error (TEXT_AND_DENOISE, 899);
  ck_assert_str_eq (
      message, "the job needs 900 bytes of memory, and may use 899 bytes: raise the memory limit");
  g_autofree char *clip = run_limited_error (
      "[Parameters]\nwidth=clip.width\nheight=clip.height\nframes=clip.frames\n"
      "[Stage text]\nPlugin=stages/weigh\nParam.name=text\nParam.weights=700\n"
      "[Stage clip]\nPlugin=stages/clip\nInput.in=text:out\n",
      16000000);
  ck_assert_str_eq (clip, "the job needs 30.8 MiB of memory, and may use 15.3 MiB: 576x320 with 81 "
                          "frames or 832x480 with 37 frames would fit");
  ck_assert_str_eq (told->str, "");
}
END_TEST

/* By what a stage then asks for, where infer said less. */
START_TEST (what_never_fits_fails_with_both_numbers)
{
  g_autofree char *message = run_limited_error (
      "[Stage text]\nPlugin=stages/weigh\nParam.name=text\nParam.weights=600\n"
      "[Stage denoise]\nPlugin=stages/weigh\nParam.weights=800\nParam.untold=true\n"
      "Input.in=text:out\n",
      750);
  ck_assert_str_eq (
      message,
      "stage 'denoise': needs 800 bytes of memory, but the job may use 750 bytes: raise the "
      "memory limit, or make the clip smaller");
  g_autofree char *work = run_limited_error (
      "[Stage a]\nPlugin=stages/weigh\nParam.weights=700\nParam.work=400\nParam.untold=true\n",
      1000);
  ck_assert_str_eq (
      work,
      "stage 'a': needs 400 bytes of memory more than the 700 bytes it has, but the job may use "
      "1000 bytes: raise the memory limit, or make the clip smaller");
}
END_TEST

/* A failed stage's instance is not trusted again. */
START_TEST (a_failed_instance_is_destroyed)
{
  g_autofree char *message
      = run_limited_error ("[Stage a]\nPlugin=stages/weigh\nParam.name=x\nParam.work=400\n"
                           "Param.untold=true\n",
                           300);
  assert_error_has (message, "400 bytes");
  ck_assert_str_eq (told->str, "create x; destroy x; ");
}
END_TEST

/* Work that is not given back explicitly is given back at the end of the run. */
START_TEST (work_ends_with_the_run)
{
  g_autoptr (SoraRunner) runner = run_limited (
      "[Stage a]\nPlugin=stages/weigh\nParam.work=700\nParam.hold-work=true\n"
      "[Stage b]\nPlugin=stages/weigh\nParam.work=800\nParam.hold-work=true\nInput.in=a:out\n",
      1000);
  ck_assert_uint_le (sora_runner_peak_reserved (runner), 1000);
}
END_TEST

START_TEST (default_limit_is_of_this_machine)
{
  g_autoptr (SoraRunner) runner
      = run_limited ("[Stage a]\nPlugin=stages/weigh\nParam.work=1000000\n", 0);
  ck_assert_uint_ge (sora_runner_peak_reserved (runner), 1000000);
  g_autofree char *message
      = run_limited_error ("[Stage a]\nPlugin=stages/weigh\nParam.work=9000000000000000000\n", 0);
  assert_error_has (message, "needs");
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("runner-memory");
  TCase *tests = tcase_create ("memory");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, text_is_released_for_the_denoiser);
  tcase_add_test (tests, nothing_is_released_where_there_is_room);
  tcase_add_test (tests, a_stage_keeps_to_the_limit);
  tcase_add_test (tests, single_jobs_keep_nothing);
  tcase_add_test (tests, instances_stay_warm);
  tcase_add_test (tests, what_cannot_fit_is_refused_at_once);
  tcase_add_test (tests, another_model_of_the_same_path);
  tcase_add_test (tests, other_weights_in_the_same_folder);
  tcase_add_test (tests, a_warm_instance_that_waits_is_released);
  tcase_add_test (tests, two_of_a_kind_are_two_instances);
  tcase_add_test (tests, what_never_fits_fails_with_both_numbers);
  tcase_add_test (tests, a_failed_instance_is_destroyed);
  tcase_add_test (tests, work_ends_with_the_run);
  tcase_add_test (tests, default_limit_is_of_this_machine);
  suite_add_tcase (suite, tests);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed != 0;
}
