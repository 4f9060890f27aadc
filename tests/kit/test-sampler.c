/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * test-sampler.c: schedules and every single step against diffusers
 * (tests/golden/samplers/samplers.json and more.json), the state of a checkpoint, and what a
 * configuration is refused for.
 */
#include "sampler-test.h"

#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N 8 /* values of a sample, at most */

static json_t *
load_cases (void)
{
  json_error_t problem;
  json_t *cases = json_load_file (SORA_TEST_GOLDEN "/samplers/samplers.json", 0, &problem);
  ck_assert_msg (cases != NULL, "samplers.json: %s", problem.text);
  ck_assert_uint_ge (json_array_size (cases), 19);

  /* Python writes -Infinity into this one, as diffusers does: our reader's business, not jansson's.
   */
  char *text = NULL;
  size_t size = 0;
  FILE *file = fopen (SORA_TEST_GOLDEN "/samplers/more.json", "r"),
       *to = open_memstream (&text, &size);
  ck_assert (file != NULL && to != NULL);
  for (int c; (c = fgetc (file)) != EOF;)
    fputc (c, to);
  fclose (file);
  fclose (to);
  for (char *at = text; (at = strstr (at, "-Infinity")) != NULL;)
    memcpy (at, "\"-inf\"   ", strlen ("-Infinity"));
  json_t *more = json_loads (text, 0, &problem);
  free (text);
  ck_assert_msg (more != NULL, "more.json: %s", problem.text);
  ck_assert_uint_ge (json_array_size (more), 15);
  json_array_extend (cases, more);
  json_decref (more);
  return cases;
}

static size_t
size_of (const json_t *c)
{
  const size_t n = json_array_size (json_object_get (c, "noise"));
  ck_assert (n >= 1 && n <= N);
  return n;
}

/* With the words that Python writes. */
static char *
config_of (const json_t *c)
{
  char *text = json_dumps (json_object_get (c, "config"), 0), *at = strstr (text, "\"-inf\"");
  if (at == NULL)
    return text;
  char *whole = malloc (strlen (text) + 16);
  sprintf (whole, "%.*s-Infinity%s", (int)(at - text), text, at + strlen ("\"-inf\""));
  free (text);
  return whole;
}

static SoraKitSampler *
new_for_case (const json_t *c)
{
  char err[256] = "";
  char *text = config_of (c);
  SoraKitSamplerConfig config;
  ck_assert_msg (sampler_test_parse (text, &config, err, sizeof err) == 0, "%s", err);
  free (text);
  SoraKitSampler *s = sora_kit_sampler_new (&config, SORA_KIT_SAMPLER_AUTO, 0,
                                            (int)json_integer_value (json_object_get (c, "steps")),
                                            err, sizeof err);
  ck_assert_msg (s != NULL, "%s", err);
  return s;
}

static void
read_floats (const json_t *array, float *out)
{
  for (size_t i = 0; i < json_array_size (array); i++)
    out[i] = (float)json_number_value (json_array_get (array, i));
}

START_TEST (test_schedules)
{
  json_t *cases = load_cases (), *c;
  size_t index;
  json_array_foreach (cases, index, c)
  {
    const char *name = json_string_value (json_object_get (c, "name"));
    SoraKitSampler *s = new_for_case (c);
    const int steps = sora_kit_sampler_get_steps (s);
    float *want = calloc ((size_t)steps + 1, sizeof *want);
    /* To the bit: one unit in the last place at sigma 0.99967 moves lambda by 1e-4. */
    read_floats (json_object_get (c, "sigmas"), want);
    for (int i = 0; i <= steps; i++)
      ck_assert_msg (sora_kit_sampler_get_sigmas (s)[i] == want[i],
                     "%s: sigma %d is %.9g, expected %.9g", name, i,
                     sora_kit_sampler_get_sigmas (s)[i], want[i]);
    read_floats (json_object_get (c, "timesteps"), want);
    for (int i = 0; i < steps; i++)
      ck_assert_msg (sora_kit_sampler_get_timesteps (s)[i] == want[i],
                     "%s: timestep %d is %.9g, expected %.9g", name, i,
                     sora_kit_sampler_get_timesteps (s)[i], want[i]);
    free (want);
    sora_kit_sampler_free (s);
  }
  json_decref (cases);
}
END_TEST

START_TEST (test_steps)
{
  json_t *cases = load_cases (), *c;
  size_t index;
  double worst = 0;
  json_array_foreach (cases, index, c)
  {
    const char *name = json_string_value (json_object_get (c, "name"));
    const json_t *outputs = json_object_get (c, "outputs"),
                 *samples = json_object_get (c, "samples");
    SoraKitSampler *s = new_for_case (c);
    const size_t n = size_of (c);
    float sample[N], output[N], want[N];
    read_floats (json_object_get (c, "noise"), sample);
    for (int i = 0; i < sora_kit_sampler_get_steps (s); i++)
      {
        read_floats (json_array_get (outputs, (size_t)i), output);
        read_floats (json_array_get (samples, (size_t)i), want);
        ck_assert_int_eq (sora_kit_sampler_step (s, i, output, sample, n), 0);
        double error = 0, scale = 0;
        for (size_t j = 0; j < n; j++)
          {
            error = kit_test_worst (error, fabs ((double)sample[j] - (double)want[j]));
            scale = fmax (scale, fabs (want[j]));
          }
        ck_assert_msg (error <= 1e-5 * scale, "%s: step %d is off by %.3g of %.3g", name, i, error,
                       scale);
        worst = fmax (worst, error / scale);
      }
    sora_kit_sampler_free (s);
  }
  printf ("samplers: %zu cases, largest error %.2g\n", index, worst);
  json_decref (cases);
}
END_TEST

/* Saved after any step and loaded into a fresh sampler, the rest is the same to the bit. */
START_TEST (test_state)
{
  json_t *cases = load_cases (), *c;
  size_t index;
  json_array_foreach (cases, index, c)
  {
    const json_t *outputs = json_object_get (c, "outputs");
    SoraKitSampler *a = new_for_case (c);
    const int steps = sora_kit_sampler_get_steps (a);
    const size_t n = size_of (c);
    float sample[N], output[N];
    ck_assert_int_eq (sora_kit_sampler_state_save (a, sample, n), -1);
    read_floats (json_object_get (c, "noise"), sample);
    SoraKitSampler *b = NULL;
    float other[N];
    for (int i = 0; i < steps; i++)
      {
        read_floats (json_array_get (outputs, (size_t)i), output);
        ck_assert_int_eq (sora_kit_sampler_step (a, i, output, sample, n), 0);
        if (b != NULL)
          {
            ck_assert_int_eq (sora_kit_sampler_step (b, i, output, other, n), 0);
            ck_assert_msg (memcmp (sample, other, n * sizeof *sample) == 0, "case %zu, step %d",
                           index, i);
          }
        if (i == 0 || i == 2 || i == steps / 2)
          {
            void *state = malloc (sora_kit_sampler_state_size (a, n) + 1);
            ck_assert_int_eq (sora_kit_sampler_state_save (a, state, n), 0);
            sora_kit_sampler_free (b);
            b = new_for_case (c);
            ck_assert_int_eq (sora_kit_sampler_state_load (b, i + 1, state, n), 0);
            memcpy (other, sample, n * sizeof *sample);
            free (state);
          }
      }
    /* out of turn, or of another size */
    ck_assert_int_eq (sora_kit_sampler_step (a, steps, output, sample, n), -1);
    ck_assert_int_eq (sora_kit_sampler_state_load (a, steps + 1, sample, n), -1);
    ck_assert_int_eq (sora_kit_sampler_state_save (a, sample, n + 1), -1);
    sora_kit_sampler_free (a);
    sora_kit_sampler_free (b);
  }
  json_decref (cases);
}
END_TEST

/* null is as good as nothing, as in every other file of a model. */
START_TEST (test_null)
{
  static const char text[]
      = "{\"_class_name\": \"UniPCMultistepScheduler\", \"use_flow_sigmas\": true,"
        " \"prediction_type\": \"sample\", \"flow_shift\": null, \"solver_order\": null,"
        " \"predict_x0\": null, \"solver_type\": null, \"a_new_idea\": null}";
  char err[256];
  SoraKitSamplerConfig config;
  ck_assert_msg (sampler_test_parse (text, &config, err, sizeof err) == 0, "%s", err);
  ck_assert_int_eq (config.prediction, SORA_KIT_PREDICTION_SAMPLE);
  ck_assert_int_eq (config.solver_order, 2);
  ck_assert_int_eq (config.solver_bh, 2);
  ck_assert (config.flow_shift == 1);
}
END_TEST

START_TEST (test_overrides)
{
  static const char text[]
      = "{\"_class_name\": \"UniPCMultistepScheduler\", \"use_flow_sigmas\": true,"
        " \"prediction_type\": \"sample\", \"flow_shift\": 3}";
  static const char euler[]
      = "{\"_class_name\": \"FlowMatchEulerDiscreteScheduler\", \"shift\": 8.0,"
        " \"num_train_timesteps\": 1000}";
  char err[256];
  SoraKitSamplerConfig config;
  ck_assert_int_eq (sampler_test_parse (text, &config, err, sizeof err), 0);
  ck_assert_int_eq (config.kind, SORA_KIT_SAMPLER_UNIPC);

  /* Euler with x0: from noise it lands on x0 in one step. */
  SoraKitSampler *s = sora_kit_sampler_new (&config, SORA_KIT_SAMPLER_EULER, 0, 1, err, sizeof err);
  ck_assert_str_eq (sora_kit_sampler_get_name (s), "euler");
  float sample[2] = { 3, -4 }, x0[2] = { 0.5f, 0.25f };
  ck_assert_int_eq (sora_kit_sampler_step (s, 0, x0, sample, 2), 0);
  ck_assert (fabsf (sample[0] - 0.5f) < 1e-6f && fabsf (sample[1] - 0.25f) < 1e-6f);
  ck_assert_uint_eq (sora_kit_sampler_state_size (s, 2), 0);
  sora_kit_sampler_free (s);

  /* Another shift gives the schedule of a checkpoint that has it. */
  ck_assert_int_eq (sampler_test_parse (euler, &config, err, sizeof err), 0);
  SoraKitSampler *a
      = sora_kit_sampler_new (&config, SORA_KIT_SAMPLER_UNIPC, 5, 20, err, sizeof err);
  ck_assert_str_eq (sora_kit_sampler_get_name (a), "unipc");
  json_t *cases = load_cases ();
  s = new_for_case (json_array_get (cases, 1));
  ck_assert_mem_eq (sora_kit_sampler_get_sigmas (a), sora_kit_sampler_get_sigmas (s),
                    21 * sizeof (float));
  sora_kit_sampler_free (a);
  sora_kit_sampler_free (s);
  json_decref (cases);

  ck_assert_ptr_null (sora_kit_sampler_new (&config, SORA_KIT_SAMPLER_AUTO, 0, 0, err, sizeof err));
  ck_assert_ptr_null (
      sora_kit_sampler_new (&config, SORA_KIT_SAMPLER_AUTO, -1, 5, err, sizeof err));
  ck_assert_ptr_null (
      sora_kit_sampler_new (&config, SORA_KIT_SAMPLER_AUTO, NAN, 5, err, sizeof err));
  ck_assert_ptr_null (sora_kit_sampler_new (&config, SORA_KIT_SAMPLER_AUTO, 0,
                                            SORA_KIT_SAMPLER_MAX_STEPS + 1, err, sizeof err));
  ck_assert_int_eq (sora_kit_sampler_kind_from_name ("euler"), SORA_KIT_SAMPLER_EULER);
  ck_assert_int_eq (sora_kit_sampler_kind_from_name ("dpm"), -1);

  /* DPM++ of a checkpoint that names UniPC: what from_config() of the one's file gives. */
  ck_assert_int_eq (sampler_test_parse (text, &config, err, sizeof err), 0);
  a = sora_kit_sampler_new (&config, SORA_KIT_SAMPLER_DPM, 0, 50, err, sizeof err);
  ck_assert_str_eq (sora_kit_sampler_get_name (a), "dpmpp-2m");
  cases = load_cases ();
  s = new_for_case (json_array_get (cases, 19));
  ck_assert_mem_eq (sora_kit_sampler_get_sigmas (a), sora_kit_sampler_get_sigmas (s),
                    51 * sizeof (float));
  sora_kit_sampler_free (a);
  sora_kit_sampler_free (s);
  json_decref (cases);
  config.final_sigma_zero = 0;
  ck_assert_ptr_null (sora_kit_sampler_new (&config, SORA_KIT_SAMPLER_DPM, 0, 5, err, sizeof err));
  ck_assert_ptr_nonnull (strstr (err, "final_sigmas_type"));
}
END_TEST

#define UNIPC                                                                                      \
  "\"_class_name\": \"UniPCMultistepScheduler\", \"prediction_type\": \"flow_prediction\", "       \
  "\"use_flow_sigmas\": true"
#define DPM                                                                                        \
  "\"_class_name\": \"DPMSolverMultistepScheduler\", \"prediction_type\": \"flow_prediction\", "   \
  "\"use_flow_sigmas\": true"
#define EULER "\"_class_name\": \"FlowMatchEulerDiscreteScheduler\""

static const struct
{
  const char *json;
  const char *says; /* part of the error */
} refused[] = {
  { "", "line" },
  { "[]", "not a JSON object" },
  { "{\"a\": 1, \"a\": 2}", "duplicate" },
  { "{}", "_class_name" },
  { "{\"_class_name\": 5}", "_class_name" },
  { "{\"_class_name\": \"DDIMScheduler\"}", "DDIMScheduler" },
  { "{" UNIPC ", \"thresholding\": true}", "thresholding" },
  { "{" UNIPC ", \"disable_corrector\": [0]}", "disable_corrector" },
  { "{" UNIPC ", \"solver_p\": {}}", "solver_p" },
  { "{" UNIPC ", \"use_karras_sigmas\": true}", "use_karras_sigmas" },
  { "{" UNIPC ", \"use_exponential_sigmas\": true}", "use_exponential_sigmas" },
  { "{" UNIPC ", \"use_beta_sigmas\": true}", "use_beta_sigmas" },
  { "{" UNIPC ", \"use_dynamic_shifting\": true}", "use_dynamic_shifting" },
  { "{" UNIPC ", \"shift_terminal\": 0.1}", "shift_terminal" },
  { "{" UNIPC ", \"a_new_idea\": 1}", "a_new_idea" },
  { "{" UNIPC ", \"predict_x0\": false}", "predict_x0" },
  { "{" UNIPC ", \"predict_x0\": 1}", "'predict_x0' is an integer, expected true or false" },
  { "{" UNIPC ", \"solver_order\": 4}", "solver_order" },
  { "{" UNIPC ", \"solver_order\": 0}", "solver_order" },
  { "{" UNIPC ", \"solver_order\": \"two\"}", "solver_order" },
  { "{" UNIPC ", \"solver_type\": \"bh3\"}", "bh3" },
  { "{" UNIPC ", \"final_sigmas_type\": \"one\"}", "final_sigmas_type" },
  { "{" UNIPC ", \"lower_order_final\": false}", "lower_order_final" },
  { "{" UNIPC ", \"flow_shift\": 0}", "flow_shift" },
  { "{" UNIPC ", \"flow_shift\": -3}", "flow_shift" },
  { "{" UNIPC ", \"flow_shift\": 1e9}", "flow_shift" },
  { "{" UNIPC ", \"flow_shift\": \"3\"}", "'flow_shift' is a string, expected a number" },
  { "{" UNIPC ", \"num_train_timesteps\": 1}", "num_train_timesteps" },
  { "{" UNIPC ", \"num_train_timesteps\": 9223372036854775807}", "num_train_timesteps" },
  { "{\"_class_name\": \"UniPCMultistepScheduler\", \"prediction_type\": \"flow_prediction\"}",
    "use_flow_sigmas" },
  { "{\"_class_name\": \"UniPCMultistepScheduler\", \"use_flow_sigmas\": true}",
    "prediction_type" },
  { "{\"_class_name\": \"UniPCMultistepScheduler\", \"prediction_type\": \"epsilon\"}", "epsilon" },
  { "{" DPM ", \"algorithm_type\": \"sde-dpmsolver++\"}", "algorithm_type" },
  { "{" DPM ", \"final_sigmas_type\": \"sigma_min\"}", "final_sigmas_type" },
  { "{" DPM ", \"solver_type\": \"rk4\"}", "solver_type" },
  { "{" DPM ", \"solver_order\": 4}", "solver_order" },
  { "{" DPM ", \"use_lu_lambdas\": true}", "use_lu_lambdas" },
  { "{" DPM ", \"thresholding\": -Infinity, \"use_karras_sigmas\": true}", "use_karras_sigmas" },
  { "{" DPM ", \"x\": \"-Infinity\"}", "'x'" },
  { "{" DPM ", \"flow_shift\": -Infinit", "line" },
  { "{\"_class_name\": \"DPMSolverMultistepScheduler\", \"prediction_type\": \"sample\"}",
    "use_flow_sigmas" },
  { "{\"_class_name\": \"DPMSolverMultistepScheduler\", \"use_flow_sigmas\": true}",
    "prediction_type" },
  { "{" EULER ", \"stochastic_sampling\": true}", "stochastic_sampling" },
  { "{" EULER ", \"invert_sigmas\": true}", "invert_sigmas" },
  { "{" EULER ", \"use_dynamic_shifting\": true}", "use_dynamic_shifting" },
  { "{" EULER ", \"shift\": 0}", "shift" },
};

START_TEST (test_refused)
{
  char err[256] = "";
  SoraKitSamplerConfig config;
  ck_assert_int_eq (sampler_test_parse (refused[_i].json, &config, err, sizeof err), -1);
  ck_assert_msg (strstr (err, refused[_i].says) != NULL, "'%s' does not name '%s'", err,
                 refused[_i].says);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("kit-sampler");
  TCase *tcase = tcase_create ("sampler");
  tcase_add_test (tcase, test_schedules);
  tcase_add_test (tcase, test_steps);
  tcase_add_test (tcase, test_state);
  tcase_add_test (tcase, test_null);
  tcase_add_test (tcase, test_overrides);
  tcase_add_loop_test (tcase, test_refused, 0, sizeof refused / sizeof refused[0]);
  suite_add_tcase (suite, tcase);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
