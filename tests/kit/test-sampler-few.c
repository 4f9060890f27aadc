/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * test-sampler-few.c: the rules of distilled checkpoints against FastVideo's and lightx2v's
 * arithmetic (tests/golden/samplers/few.json), the draws of one generator that `dmd` makes
 * (draws.json), and lists of timesteps that are refused.
 */
#include "plugins/kit/kit-rng.h"
#include "sampler-test.h"

#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N 4

static json_t *
load (const char *name)
{
  char path[512];
  json_error_t problem;
  snprintf (path, sizeof path, "%s/samplers/%s", SORA_TEST_GOLDEN, name);
  json_t *cases = json_load_file (path, 0, &problem);
  ck_assert_msg (cases != NULL, "%s: %s", path, problem.text);
  return cases;
}

static double
number (const json_t *c, const char *key)
{
  return json_number_value (json_object_get (c, key));
}

static void
read_floats (const json_t *array, float *out)
{
  for (size_t i = 0; i < json_array_size (array); i++)
    out[i] = (float)json_number_value (json_array_get (array, i));
}

static SoraKitSamplerConfig
base (void)
{
  /* What FastWan's checkpoints carry: the file of the model that they were made from. */
  static const char text[]
      = "{\"_class_name\": \"UniPCMultistepScheduler\", \"use_flow_sigmas\": true,"
        " \"prediction_type\": \"flow_prediction\", \"flow_shift\": 3}";
  char err[256];
  SoraKitSamplerConfig config;
  ck_assert_int_eq (sampler_test_parse (text, &config, err, sizeof err), 0);
  return config;
}

static SoraKitSampler *
new_for_case (const json_t *c)
{
  char err[256] = "";
  SoraKitSamplerConfig config = base ();
  const json_t *list = json_object_get (c, "list");
  const char *prediction = json_string_value (json_object_get (c, "prediction"));
  const int kind
      = sora_kit_sampler_kind_from_name (json_string_value (json_object_get (c, "kind")));
  ck_assert (sora_kit_sampler_kind_is_few ((SoraKitSamplerKind)kind));
  config.num_train_timesteps = (int64_t)number (c, "train");
  if (strcmp (prediction, "sample") == 0)
    config.prediction = SORA_KIT_PREDICTION_SAMPLE;
  config.n_few = (int)json_array_size (list);
  for (int i = 0; i < config.n_few; i++)
    config.few[i] = json_number_value (json_array_get (list, (size_t)i));
  /* The number of steps is the list's, whatever is asked for. */
  SoraKitSampler *s = sora_kit_sampler_new (&config, (SoraKitSamplerKind)kind, number (c, "shift"),
                                            50, err, sizeof err);
  ck_assert_msg (s != NULL, "%s", err);
  ck_assert_uint_eq ((size_t)sora_kit_sampler_get_steps (s),
                     json_array_size (json_object_get (c, "outputs")));
  return s;
}

static double
distance (const float *got, const float *want, size_t n)
{
  double error = 0, scale = 0;
  for (size_t j = 0; j < n; j++)
    {
      const double d = fabs ((double)got[j] - want[j]);
      if (!(d <= error)) /* a NaN counts */
        error = isnan (d) ? INFINITY : d;
      scale = fmax (scale, fabs (want[j]));
    }
  return error / scale;
}

START_TEST (test_schedules)
{
  json_t *cases = load ("few.json"), *c;
  size_t index;
  json_array_foreach (cases, index, c)
  {
    float sigmas[SORA_KIT_SAMPLER_MAX_FEW], timesteps[SORA_KIT_SAMPLER_MAX_FEW];
    SoraKitSampler *s = new_for_case (c);
    const int steps = sora_kit_sampler_get_steps (s);
    /* dmd to the bit.  torch.linspace, which distill's schedule is cut from, rounds its last bit by
     * the width of the machine's vectors. */
    const int dmd = strcmp (sora_kit_sampler_get_name (s), "dmd") == 0;
    const double allowed = dmd ? 0 : 2e-7;
    read_floats (json_object_get (c, "sigmas"), sigmas);
    read_floats (json_object_get (c, "timesteps"), timesteps);
    for (int i = 0; i < steps; i++)
      {
        const double got = sora_kit_sampler_get_sigmas (s)[i];
        ck_assert_msg (fabs (got - sigmas[i]) <= allowed * sigmas[i],
                       "case %zu: sigma %d is %.9g, expected %.9g", index, i, got, sigmas[i]);
        const double t = sora_kit_sampler_get_timesteps (s)[i];
        ck_assert_msg (fabs (t - timesteps[i]) <= allowed * timesteps[i],
                       "case %zu: timestep %d is %.9g, expected %.9g", index, i, t, timesteps[i]);
      }
    ck_assert (sora_kit_sampler_get_sigmas (s)[steps] == 0);
    sora_kit_sampler_free (s);
  }
  ck_assert_uint_eq (index, 12);
  json_decref (cases);
}
END_TEST

/* One whole walk; from step `from` on with a sampler that was loaded from a checkpoint. */
static double
walk (const json_t *c, int from)
{
  SoraKitSampler *s = new_for_case (c);
  const int steps = sora_kit_sampler_get_steps (s);
  float x[N], output[N], fresh[N], want[N];
  double worst = 0;
  ck_assert_uint_eq (sora_kit_sampler_state_size (s, N), 0);
  read_floats (json_object_get (c, "noise"), x);
  for (int i = 0; i < steps; i++)
    {
      if (i > 0 && i == from)
        {
          char nothing = 0;
          ck_assert_int_eq (sora_kit_sampler_state_save (s, &nothing, N), 0);
          sora_kit_sampler_free (s);
          s = new_for_case (c);
          ck_assert_int_eq (sora_kit_sampler_step (s, i, output, x, N), -1);
          ck_assert_int_eq (sora_kit_sampler_state_load (s, i, &nothing, N), 0);
        }
      read_floats (json_array_get (json_object_get (c, "outputs"), (size_t)i), output);
      ck_assert_int_eq (sora_kit_sampler_step (s, i, output, x, N), 0);
      const float share = sora_kit_sampler_noise_share (s, i);
      const int adds = strcmp (sora_kit_sampler_get_name (s), "dmd") == 0 && i < steps - 1;
      ck_assert (adds ? share == sora_kit_sampler_get_sigmas (s)[i + 1] : share == 0);
      if (adds) /* in two parts, as another layout has it */
        {
          read_floats (json_array_get (json_object_get (c, "noises"), (size_t)i), fresh);
          sora_kit_sampler_add_noise (share, fresh, x, 1);
          sora_kit_sampler_add_noise (share, fresh + 1, x + 1, N - 1);
        }
      read_floats (json_array_get (json_object_get (c, "samples"), (size_t)i), want);
      const double error = distance (x, want, N);
      ck_assert_msg (error <= 1e-5, "step %d is off by %.3g", i, error);
      worst = fmax (worst, error);
    }
  ck_assert_int_eq (sora_kit_sampler_step (s, steps, output, x, N), -1);
  sora_kit_sampler_free (s);
  return worst;
}

START_TEST (test_steps)
{
  json_t *cases = load ("few.json"), *c;
  size_t index;
  double worst = 0;
  json_array_foreach (cases, index, c) for (int from = 0; from < 4; from++) worst
      = fmax (worst, walk (c, from));
  printf ("few steps: %zu cases, largest error %.2g\n", index, worst);
  json_decref (cases);
}
END_TEST

/* The schedule that was shifted by 8 holds the three steps nearly; the one of the checkpoint's
 * file, shifted by 3, must not be taken. */
START_TEST (test_own_shift)
{
  char err[256];
  const SoraKitSamplerConfig config = base ();
  SoraKitSampler *s = sora_kit_sampler_new (&config, SORA_KIT_SAMPLER_DMD, 0, 50, err, sizeof err);
  ck_assert_ptr_nonnull (s);
  const float *sigmas = sora_kit_sampler_get_sigmas (s), *t = sora_kit_sampler_get_timesteps (s);
  ck_assert (t[0] == 1000 && t[1] == 757 && t[2] == 522);
  ck_assert (sigmas[0] == 1 && fabsf (sigmas[1] - 0.756757f) < 1e-6f
             && fabsf (sigmas[2] - 0.521739f) < 1e-6f);
  sora_kit_sampler_free (s);
}
END_TEST

START_TEST (test_draws)
{
  json_t *cases = load ("draws.json"), *c, *one;
  size_t index, at;
  double worst = 0;
  json_array_foreach (cases, index, c)
  {
    const uint64_t seed = strtoull (json_string_value (json_object_get (c, "seed")), NULL, 10);
    const json_t *draws = json_object_get (c, "draws");
    SoraKitRng *rng = sora_kit_rng_torch_new (seed);
    ck_assert_ptr_nonnull (rng);
    json_array_foreach (draws, at, one)
    {
      const size_t n = (size_t)number (one, "n"), last = n < 20 ? n : 20;
      float want[20], *got = malloc (n * sizeof *got), *first = malloc (n * sizeof *first);
      read_floats (json_object_get (one, "last"), want);
      sora_kit_rng_next (rng, got, n);
      for (size_t j = 0; j < last; j++)
        {
          const double d = fabs ((double)got[n - last + j] - want[j]);
          ck_assert_msg (d <= 1e-5, "case %zu, draw %zu: off by %g", index, at, d);
          worst = fmax (worst, d);
        }
      if (at == 0) /* the first is that of the function without a state */
        {
          sora_kit_rng_torch_normal (seed, first, n);
          ck_assert_mem_eq (first, got, n * sizeof *got);
        }
      /* Skipping what came before gives the same bytes. */
      SoraKitRng *other = sora_kit_rng_torch_new (seed);
      for (size_t k = 0; k < at; k++)
        sora_kit_rng_skip (other, (size_t)number (json_array_get (draws, k), "n"));
      sora_kit_rng_next (other, first, n);
      ck_assert_mem_eq (first, got, n * sizeof *got);
      sora_kit_rng_free (other);
      free (got);
      free (first);
    }
    sora_kit_rng_free (rng);
  }
  printf ("draws: largest error %.2g\n", worst);
  json_decref (cases);
}
END_TEST

static const struct
{
  SoraKitSamplerKind kind;
  double list[4];
  int n;
  const char *says;
} refused[] = {
  { SORA_KIT_SAMPLER_DMD, { 1000, 1000 }, 2, "timestep 2" },
  { SORA_KIT_SAMPLER_DMD, { 500, 750 }, 2, "timestep 2" },
  { SORA_KIT_SAMPLER_DMD, { 1001 }, 1, "1001" },
  { SORA_KIT_SAMPLER_DMD, { 500, 0 }, 2, "timestep 2" },
  { SORA_KIT_SAMPLER_DMD, { NAN }, 1, "timestep 1" },
  { SORA_KIT_SAMPLER_DISTILL, { 937.5 }, 1, "whole number" },
  { SORA_KIT_SAMPLER_DISTILL, { 1000, -3 }, 2, "timestep 2" },
  { SORA_KIT_SAMPLER_DISTILL, { 1000 }, SORA_KIT_SAMPLER_MAX_FEW + 1, "at most" },
};

START_TEST (test_refused)
{
  char err[256] = "";
  SoraKitSamplerConfig config = base ();
  config.n_few = refused[_i].n;
  for (int i = 0; i < 4; i++)
    config.few[i] = refused[_i].list[i];
  ck_assert_ptr_null (sora_kit_sampler_new (&config, refused[_i].kind, 0, 4, err, sizeof err));
  ck_assert_msg (strstr (err, refused[_i].says) != NULL, "'%s' does not say '%s'", err,
                 refused[_i].says);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("kit-sampler-few");
  TCase *tcase = tcase_create ("few");
  tcase_add_test (tcase, test_schedules);
  tcase_add_test (tcase, test_steps);
  tcase_add_test (tcase, test_own_shift);
  tcase_add_test (tcase, test_draws);
  tcase_add_loop_test (tcase, test_refused, 0, sizeof refused / sizeof refused[0]);
  suite_add_tcase (suite, tcase);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
