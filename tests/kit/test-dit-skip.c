/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Steps that cost less: guidance in a part of them, and steps that reuse an earlier one's result.
 * Whole walks against single forwards of the same stage put together here by the rules as
 * documented, how many forwards are told, the same bytes at every number of threads and after going
 * on from a checkpoint, what it costs, where it has no effect, and what is refused.
 */
#include "kit-rng.h"
#include "kit-sampler.h"
#include "kit-test.h"
#include "mini-host.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODEL SORA_TEST_GOLDEN "/models/small-a"
#define SEED 11

enum
{
  C = 4,
  T = 2,
  H = 4,
  W = 6,
  N = C * T * H * W,
  STEPS = 10
};

static const SoraStageClass *stage;
static char dir[512]; /* the model, but for a network that predicts the clean sample */

static const char flow_scheduler[]
    = "{\"_class_name\": \"FlowMatchEulerDiscreteScheduler\", \"shift\": 3.0}";
static const char sample_scheduler[]
    = "{\"_class_name\": \"UniPCMultistepScheduler\", \"prediction_type\": \"sample\","
      " \"use_flow_sigmas\": true, \"flow_shift\": 3.0, \"num_train_timesteps\": 1000,"
      " \"solver_order\": 2, \"solver_type\": \"bh2\"}";

static const char *const files[] = { "transformer", "vae", "model_index.json" };

static void
setup (void)
{
  char from[1024], to[1024];
  mini_host_tmp (dir, sizeof dir, "sora-test-XXXXXX");
  ck_assert_ptr_nonnull (mkdtemp (dir));
  for (int i = 0; i < 3; i++)
    {
      snprintf (from, sizeof from, "%s/%s", MODEL, files[i]);
      snprintf (to, sizeof to, "%s/%s", dir, files[i]);
      ck_assert_int_eq (symlink (from, to), 0);
    }
  snprintf (to, sizeof to, "%s/scheduler", dir);
  ck_assert_int_eq (mkdir (to, 0700), 0);
  snprintf (to, sizeof to, "%s/scheduler/scheduler_config.json", dir);
  FILE *file = fopen (to, "w");
  ck_assert_ptr_nonnull (file);
  ck_assert_int_ge (fputs (sample_scheduler, file), 0);
  ck_assert_int_eq (fclose (file), 0);
}

static void
teardown (void)
{
  static const char *const made[]
      = { "transformer", "vae", "model_index.json", "scheduler/scheduler_config.json",
          "scheduler",   "" };
  char path[1024];
  for (size_t i = 0; i < sizeof made / sizeof made[0]; i++)
    {
      snprintf (path, sizeof path, "%s/%s", dir, made[i]);
      ck_assert_int_eq (remove (path), 0);
    }
}

/* ---- the stage */

typedef struct
{
  const char *model, *scheduler, *name;
  double scale, start, stop, threshold, first;
  int computed, reused; /* of 2 * STEPS forwards, or of STEPS without guidance */
} Walk;

static void
connect (MiniHost *mini, const char *port, uint64_t seed)
{
  float text[5 * 48];
  sora_kit_rng_torch_normal (seed, text, 5 * 48);
  mini_host_input (mini, port, SORA_F32, 2, (const int64_t[]){ 5, 48 }, text);
  mini_host_input_attr_i64 (mini, port, "padded_length", 512);
}

static MiniHost *
host_new (const Walk *walk, int threads)
{
  MiniHost *mini = mini_host_new (stage, walk->model, threads);
  connect (mini, "text", 3);
  connect (mini, "negative", 4);
  mini_host_set_i64 (mini, "width", W * 4);
  mini_host_set_i64 (mini, "height", H * 4);
  mini_host_set_i64 (mini, "frames", T * 4 - 3);
  mini_host_set_i64 (mini, "steps", STEPS);
  mini_host_set_f64 (mini, "guidance-scale", walk->scale);
  mini_host_set_f64 (mini, "guidance-start", walk->start);
  mini_host_set_f64 (mini, "guidance-stop", walk->stop);
  mini_host_set_f64 (mini, "reuse-threshold", walk->threshold);
  mini_host_set_f64 (mini, "reuse-start", walk->first);
  mini_host_set_f64 (mini, "checkpoint-interval", 0);
  mini_host_set_seed (mini, SEED);
  return mini;
}

static void
run (MiniHost *mini, float out[N])
{
  SoraTensorView view;
  ck_assert_msg (mini_host_infer (mini) == SORA_OK, "%s", mini_host_error (mini));
  ck_assert_msg (mini_host_run (mini) == SORA_OK, "%s", mini_host_error (mini));
  mini_host_output (mini, "latents", 0, &view);
  ck_assert_uint_eq (view.nbytes, N * sizeof (float));
  memcpy (out, view.data, view.nbytes);
  ck_assert_int_eq (mini_host_live_tensors (mini), 0);
}

/* ---- by hand */

/* One forward of the model, with one of the texts. */
static void
forward (const float x[N], uint64_t text, float timestep, float out[N])
{
  const double at = (double)timestep;
  MiniHost *mini = mini_host_new (stage, MODEL, 1);
  connect (mini, "text", text);
  mini_host_input (mini, "latents", SORA_F32, 4, (const int64_t[]){ C, T, H, W }, x);
  mini_host_set_f64s (mini, "forward-timestep", &at, 1);
  run (mini, out);
  mini_host_free (mini);
}

static double
mean_abs (const double *a, const double *b)
{
  double sum = 0;
  for (int i = 0; i < N; i++)
    sum += fabs (a[i] - (b != NULL ? b[i] : 0)) / N;
  return sum;
}

/* The whole walk by the documented rules; counts what it computes and reuses. */
static void
walk_by_hand (const Walk *walk, float x[N], int *computed, int *reused)
{
  char error[256];
  float out[N], other[N];
  double here[N], then[N], v[N], last[N], rate = -1;
  int guided_before = -1;
  SoraKitSamplerConfig config;
  SoraKitConfig *file = sora_kit_config_new (walk->scheduler, strlen (walk->scheduler), "test");
  sora_kit_sampler_config_read (file, &config);
  ck_assert_ptr_null (sora_kit_config_error (file));
  sora_kit_config_free (file);
  SoraKitSampler *sampler
      = sora_kit_sampler_new (&config, SORA_KIT_SAMPLER_AUTO, 0, STEPS, error, sizeof error);
  ck_assert_msg (sampler != NULL, "%s", error);
  const float *timesteps = sora_kit_sampler_get_timesteps (sampler);
  const int is_sample = config.prediction == SORA_KIT_PREDICTION_SAMPLE;
  *computed = *reused = 0;
  sora_kit_rng_torch_normal (SEED, x, N);
  for (int step = 0; step < STEPS; step++)
    {
      const double sigma = (double)sora_kit_sampler_get_sigmas (sampler)[step];
      const int guided = walk->scale > 1 && step >= floor (walk->start * STEPS)
                         && step < floor (walk->stop * STEPS);
      for (int i = 0; i < N; i++)
        here[i] = (double)x[i];
      int take = 0;
      if (walk->threshold > 0 && step >= floor (walk->first * STEPS) && step + 1 < STEPS
          && guided == guided_before && rate >= 0)
        {
          const double change = rate * mean_abs (here, then) / mean_abs (last, NULL);
          if (getenv ("SORA_TEST_LOG") != NULL)
            fprintf (stderr, "%s: step %d: %.4f\n", walk->name, step, change);
          /* What is decided here is not decided by rounding. */
          ck_assert_double_gt (fabs (change - walk->threshold), 1e-3 * walk->threshold);
          take = change < walk->threshold;
        }
      if (take)
        *reused += 1 + guided;
      else
        {
          *computed += 1 + guided;
          forward (x, 3, timesteps[step], out);
          if (guided)
            forward (x, 4, timesteps[step], other);
          for (int i = 0; guided && i < N; i++)
            out[i] = (float)(other[i] + walk->scale * ((double)out[i] - (double)other[i]));
          for (int i = 0; i < N; i++)
            v[i] = is_sample ? (here[i] - (double)out[i]) / sigma : (double)out[i];
          if (guided == guided_before)
            rate = mean_abs (v, last) / mean_abs (here, then);
          guided_before = guided;
          memcpy (last, v, sizeof last);
          memcpy (then, here, sizeof then);
        }
      for (int i = 0; i < N; i++)
        out[i] = (float)(is_sample ? here[i] - sigma * last[i] : last[i]);
      ck_assert_int_eq (sora_kit_sampler_step (sampler, step, out, x, N), 0);
    }
  sora_kit_sampler_free (sampler);
}

/* ---- tests */

static const Walk walks[] = {
  { MODEL, flow_scheduler, "flow, guided in the middle", 4, 0.25, 0.7, 0, 0, 15, 0 },
  { MODEL, flow_scheduler, "flow, reused", 4, 0, 1, 1, 0.2, 12, 8 },
  { MODEL, flow_scheduler, "flow, unguided, reused", 1, 0, 1, 1, 0, 6, 4 },
  { MODEL, flow_scheduler, "flow, both", 4, 0, 0.6, 1, 0.2, 11, 5 },
  { NULL, sample_scheduler, "sample, reused", 4, 0, 1, 0.5, 0.2, 14, 6 },
  { NULL, sample_scheduler, "sample, both", 4, 0.1, 0.6, 0.5, 0.2, 11, 4 },
};

static Walk
walk_of (int i)
{
  Walk walk = walks[i];
  if (walk.model == NULL)
    walk.model = dir;
  return walk;
}

START_TEST (test_walk)
{
  const Walk walk = walk_of (_i);
  const int all = walk.scale > 1 ? 2 * STEPS : STEPS;
  float by_hand[N], got[N], first[N];
  double want[N];
  char note[128];
  int computed, reused;
  walk_by_hand (&walk, by_hand, &computed, &reused);
  for (int i = 0; i < N; i++)
    want[i] = (double)by_hand[i];
  ck_assert_int_eq (computed, walk.computed);
  ck_assert_int_eq (reused, walk.reused);
  snprintf (note, sizeof note,
            "%d of %d forwards computed, %d left out without guidance, %d reused", computed, all,
            all - computed - reused, reused);
  for (int threads = 1; threads <= 3; threads++)
    {
      MiniHost *mini = host_new (&walk, threads);
      run (mini, got);
      const double error = kit_test_error (got, want, N);
      ck_assert_msg (error <= 2e-5, "%s: error %g", walk.name, error);
      ck_assert_str_eq (mini_host_note (mini), note);
      ck_assert_uint_eq (mini_host_steps (mini), STEPS);
      if (threads == 1)
        memcpy (first, got, sizeof first);
      ck_assert_mem_eq (got, first, sizeof got);
      mini_host_free (mini);
    }
}
END_TEST

/* Stopped at any place, then gone on with: the bytes of an undisturbed run, and its counts. */
START_TEST (test_resume)
{
  const Walk walk = walk_of (_i);
  float want[N], got[N];
  char note[128];
  int seen[STEPS + 1] = { 0 }, places = 0, finished = 0;
  MiniHost *mini = host_new (&walk, 2);
  run (mini, want);
  snprintf (note, sizeof note, "%s", mini_host_note (mini));
  mini_host_free (mini);
  for (int after = 1; !finished; after += 5)
    {
      mini = host_new (&walk, 2);
      mini_host_keep_checkpoints (mini);
      mini_host_cancel_after (mini, after);
      ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
      finished = mini_host_run (mini) == SORA_OK;
      const int made = mini_host_n_checkpoints (mini);
      ck_assert_int_lt (made, STEPS);
      if (!finished && !seen[made])
        {
          mini_host_cancel_after (mini, -1);
          run (mini, got);
          ck_assert_msg (memcmp (got, want, sizeof got) == 0, "%s: other bytes after %d steps",
                         walk.name, made);
          ck_assert_str_eq (mini_host_note (mini), note);
          ck_assert_int_eq (mini_host_n_checkpoints (mini), STEPS - 1);
        }
      seen[made] = 1;
      mini_host_free (mini);
    }
  /* Reused steps ask nobody: a run is stopped in one that computes. */
  for (int i = 1; i < STEPS; i++)
    places += seen[i];
  ck_assert_int_ge (places, 4);
}
END_TEST

/* Half of the steps guided are three quarters of the forwards; reuse needs room and promises
 * nothing; what infer says holds. */
START_TEST (test_cost)
{
  const Walk plain = { MODEL, NULL, "", 4, 0, 1, 0, 0, 0, 0 };
  Walk walk = plain;
  float out[N];
  SoraCost costs[3];
  for (int i = 0; i < 3; i++)
    {
      walk.stop = i == 1 ? 0.5 : 1;
      walk.threshold = i == 2 ? 1 : 0;
      MiniHost *mini = host_new (&walk, 2);
      run (mini, out);
      costs[i] = *mini_host_cost (mini);
      ck_assert_uint_eq (costs[i].work_bytes, mini_host_peak (mini, SORA_MEMORY_WORK));
      ck_assert_uint_eq (costs[i].steps, STEPS);
      mini_host_free (mini);
    }
  ck_assert_double_eq_tol (costs[1].flops, 0.75 * costs[0].flops, 1e-9 * costs[0].flops);
  ck_assert_double_eq (costs[2].flops, costs[0].flops);
  ck_assert_uint_eq (costs[1].work_bytes, costs[0].work_bytes);
  ck_assert_uint_ge (costs[2].work_bytes, costs[0].work_bytes + 2 * N * sizeof (float));
  ck_assert_uint_le (costs[2].work_bytes, costs[0].work_bytes + 2 * N * sizeof (float) + 64);
}
END_TEST

/* With a threshold that nothing reaches (no host lets it through), what has to be computed is: two
 * steps to know the rate by, the first without guidance, and the last. */
START_TEST (test_everything)
{
  const Walk walk = { MODEL, NULL, "", 4, 0, 0.5, 1e9, 0, 0, 0 };
  float out[N];
  MiniHost *mini = host_new (&walk, 1);
  run (mini, out);
  ck_assert_str_eq (mini_host_note (mini),
                    "6 of 20 forwards computed, 5 left out without guidance, 9 reused");
  mini_host_free (mini);
}
END_TEST

/* Nothing to leave out, or each step trained for: the bytes of a job without these parameters, and
 * no word. */
START_TEST (test_no_effect)
{
  static const struct
  {
    const char *sampler;
    double scale, stop, threshold;
  } cases[] = { { "auto", 1, 0.5, 0 }, { "dmd", 5, 0.1, 1 }, { "distill", 5, 0.1, 1 } };
  float out[2][N];
  for (int with = 0; with < 2; with++)
    {
      const Walk walk = { MODEL,
                          NULL,
                          "",
                          cases[_i].scale,
                          0,
                          with ? cases[_i].stop : 1,
                          with ? cases[_i].threshold : 0,
                          0,
                          0,
                          0 };
      MiniHost *mini = host_new (&walk, 1);
      mini_host_set_string (mini, "sampler", cases[_i].sampler);
      run (mini, out[with]);
      ck_assert_ptr_null (strstr (mini_host_note (mini), "forwards"));
      mini_host_free (mini);
    }
  ck_assert_mem_eq (out[0], out[1], sizeof out[0]);
}
END_TEST

static const struct
{
  double start, stop;
  const char *error;
} refused[] = {
  { 0.6, 0.5, "guidance-start is 0.6 and guidance-stop 0.5, expected a start below the stop" },
  { 1, 1, "guidance-start is 1 and guidance-stop 1, expected a start below the stop" },
  { 0.51, 0.59, "have none of the 10 steps between them: widen them, or set guidance-scale to 1" },
};

START_TEST (test_refused)
{
  const Walk walk = { MODEL, NULL, "", 4, refused[_i].start, refused[_i].stop, 0, 0, 0, 0 };
  MiniHost *mini = host_new (&walk, 1);
  ck_assert_int_eq (mini_host_infer (mini), SORA_FAILED);
  ck_assert_msg (strstr (mini_host_error (mini), refused[_i].error) != NULL, "'%s', expected '%s'",
                 mini_host_error (mini), refused[_i].error);
  mini_host_free (mini);
}
END_TEST

int
main (void)
{
  const int n_walks = (int)(sizeof walks / sizeof walks[0]);
  stage = mini_host_load (SORA_TEST_PLUGINS "/dit-wan.so", "dit-wan");
  Suite *suite = suite_create ("dit-skip");
  TCase *tests = tcase_create ("dit-skip");
  tcase_set_timeout (tests, 120);
  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_loop_test (tests, test_walk, 0, n_walks);
  tcase_add_loop_test (tests, test_resume, 0, n_walks);
  tcase_add_test (tests, test_cost);
  tcase_add_test (tests, test_everything);
  tcase_add_loop_test (tests, test_no_effect, 0, 3);
  tcase_add_loop_test (tests, test_refused, 0, (int)(sizeof refused / sizeof refused[0]));
  suite_add_tcase (suite, tests);
  return kit_test_main (suite);
}
