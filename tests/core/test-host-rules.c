/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The rules of the ABI at run time: a stage that breaks one fails by name, and says which.
 */
#include "config.h"
#include "runner-test.h"
#include "sora-fpu.h"

static const struct
{
  const char *rule;
  int code;
  const char *says;
} rules[] = {
  { "fpu-return", SORA_ERROR_INVALID_PLUGIN,
    "floating-point control bits, seen at the return of run()" },
  { "fpu-call", SORA_ERROR_INVALID_PLUGIN,
    "floating-point control bits, seen at its call of progress()" },
  { "seed-in-create", SORA_ERROR_INVALID_PLUGIN, "called seed() in create" },
  { "param-in-create", SORA_ERROR_INVALID_PLUGIN, "parameter 'late' in create" },
  { "wrong-thread", SORA_ERROR_INVALID_PLUGIN, "called seed() on another thread" },
  { "push-in-compute", SORA_ERROR_INVALID_PLUGIN, "called push() inside compute" },
  { "unreserve", SORA_ERROR_INVALID_PLUGIN, "gave back 1 bytes that it had not reserved" },
  { "no-port", SORA_ERROR_INVALID_PLUGIN, "an output 'nowhere' that it does not declare" },
  { "push-twice", SORA_ERROR_FAILED, "output 'whole' was given" },
  { "too-short", SORA_ERROR_FAILED, "output 'out' ended after 2 of the 4" },
  { "too-long", SORA_ERROR_FAILED,
    "output 'out' was given i64 [2,4] after 4 rows, but infer promised i64 [4,4]" },
  { "wrong-shape", SORA_ERROR_FAILED,
    "output 'out' was given i64 [2,5], but infer promised i64 [4,4] in chunks of 2" },
  { "wrong-dtype", SORA_ERROR_FAILED, "output 'out' was given f32 [2,4]" },
  { "no-reason", SORA_ERROR_FAILED, "run() failed and gave no reason" },
  { "odd-result", SORA_ERROR_INVALID_PLUGIN, "run() returned 17" },
  { "cancelled", SORA_ERROR_INVALID_PLUGIN,
    "returned SORA_CANCELLED though the job was not stopped" },
  { "weights-without-release", SORA_ERROR_INVALID_PLUGIN,
    "having no release(), could not give back" },
  { "short-view", SORA_ERROR_FAILED, "the short view is as it was" },
  { "fail-in-compute", SORA_ERROR_FAILED, "found in compute, with 1 or more threads" },
};

/* Outputs are wanted, so that what is missing of them is missed. */
#define BREAK                                                                                      \
  "[Stage bad]\nPlugin=stages/break\n"                                                             \
  "[Stage a]\nPlugin=stages/pass\nInput.in=bad:out\n[Stage "                                       \
  "b]\nPlugin=stages/pass\nInput.in=bad:whole\n"

START_TEST (breaks)
{
  g_autoptr (SoraRequest) request = request_new (BREAK);
  g_autofree char *value = g_strdup_printf ("'%s'", rules[_i].rule);
  request_set (request, "bad.rule", value);
  g_autofree char *message = run_error (request, NULL, rules[_i].code);
  assert_error_has (message, "stage 'bad': ");
  assert_error_has (message, rules[_i].says);
}
END_TEST

/* The fixture sets flush-to-zero in a constructor. */
START_TEST (loading_restores_the_control_bits)
{
  SoraFpu before = sora_fpu_get ();
  g_autoptr (SoraRequest) request = request_new (BREAK);
  g_autoptr (SoraPlan) plan = sora_plan_new (fixture.environment, request, NULL);
  ck_assert_ptr_nonnull (plan);
  ck_assert (sora_fpu_equal (before, sora_fpu_get ()));
}
END_TEST

/* Structs that the plugin asks to be filled: never behind their end, and not below their 1.0 size.
 */
START_TEST (a_longer_view_is_kept)
{
  g_autoptr (SoraRunner) runner = run_ok (BREAK "[Stage c]\nPlugin=stages/break\n"
                                                "Param.rule=longer-view\n",
                                          NULL);
}
END_TEST

START_TEST (a_short_spec_is_refused)
{
  g_autofree char *message
      = plan_error ("[Stage source]\nPlugin=stages/source\n[Stage bad]\nPlugin=stages/break\n"
                    "Param.rule=short-input-spec\nInput.in=source:out\n",
                    NULL, NULL, SORA_ERROR_INVALID_PLUGIN);
  assert_error_has (message, "input 'in': the SoraSpec has a struct_size of 8");
}
END_TEST

START_TEST (short_views_of_a_model_are_refused)
{
  static const char pipeline[]
      = "[Models]\nmain=text_encoder\n[Stage m]\nPlugin=stages/model\nModel=main\n";
  fixture_make_model ("small", "text_encoder");
  g_autofree char *message
      = plan_error (pipeline, "m.short-info", "true", SORA_ERROR_INVALID_PLUGIN);
  assert_error_has (message, "tensor 'numbers': the SoraTensorView has a struct_size of 8");
  g_autoptr (SoraRequest) request = request_new (pipeline);
  request_set (request, "m.short-weights", "true");
  g_autoptr (SoraRunner) runner = runner_new (request, NULL);
  ck_assert (sora_runner_run (runner, NULL)); /* the stage has seen that it was refused */
}
END_TEST

START_TEST (breaks_none) { g_autoptr (SoraRunner) runner = run_ok (BREAK, NULL); }
END_TEST

/* What a job leaves in the control bits of the compute thread is gone for the next. */
START_TEST (compute_restores_the_control_bits)
{
  g_autoptr (SoraRunner) runner
      = run_ok (BREAK "[Stage c]\nPlugin=stages/break\nParam.rule=fpu-compute\n", NULL);
}
END_TEST

/* A stage whose stream nobody reads to its end may end early, too. */
START_TEST (a_dropped_stream_may_be_short)
{
  g_autoptr (SoraRunner) runner
      = run_ok ("[Stage bad]\nPlugin=stages/break\nParam.rule=too-short\n", NULL);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("host-rules");
  TCase *tests = tcase_create ("rules");

  tcase_add_checked_fixture (tests, fixture_setup, fixture_teardown);
  tcase_add_loop_test (tests, breaks, 0, G_N_ELEMENTS (rules));
  tcase_add_test (tests, loading_restores_the_control_bits);
  tcase_add_test (tests, a_longer_view_is_kept);
  tcase_add_test (tests, a_short_spec_is_refused);
  tcase_add_test (tests, short_views_of_a_model_are_refused);
  tcase_add_test (tests, breaks_none);
  tcase_add_test (tests, compute_restores_the_control_bits);
  tcase_add_test (tests, a_dropped_stream_may_be_short);
  suite_add_tcase (suite, tests);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed != 0;
}
