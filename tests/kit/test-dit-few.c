/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The denoiser with the rules of distilled checkpoints: whole walks against single forwards of the
 * same stage put together here, which timesteps and noise the model is given, that a checkpoint of
 * FastVideo's is known for what it is, that a run goes on from a checkpoint, and what is refused.
 */
#include "kit-rng.h"
#include "kit-test.h"
#include "mini-host.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODEL SORA_TEST_GOLDEN "/models/small-a"
#define SEED 11

enum
{
  C = 4,
  T = 3,
  H = 4,
  W = 6,
  N = C * T * H * W
};

static const SoraStageClass *stage;
static char dir[512];
static const char *const files[]
    = { "transformer/config.json",
        "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
        "transformer/diffusion_pytorch_model-00002-of-00002.safetensors",
        "scheduler/scheduler_config.json",
        "vae/config.json",
        "model_index.json" };
static const char *const folders[] = { "transformer", "scheduler", "vae" };
#define N_FILES (sizeof files / sizeof files[0])

/* A copy of the model by links, but for the index, which says WanDMDPipeline as FastVideo's do. */
static void
setup (void)
{
  char from[1024], to[1024];
  mini_host_tmp (dir, sizeof dir, "sora-test-XXXXXX");
  ck_assert_ptr_nonnull (mkdtemp (dir));
  for (int i = 0; i < 3; i++)
    {
      snprintf (to, sizeof to, "%s/%s", dir, folders[i]);
      ck_assert_int_eq (mkdir (to, 0700), 0);
    }
  for (size_t i = 0; i < N_FILES; i++)
    {
      snprintf (from, sizeof from, "%s/%s", MODEL, files[i]);
      snprintf (to, sizeof to, "%s/%s", dir, files[i]);
      if (i + 1 < N_FILES)
        {
          ck_assert_int_eq (symlink (from, to), 0);
          continue;
        }
      json_t *index = json_load_file (from, 0, NULL);
      json_object_set_new (index, "_class_name", json_string ("WanDMDPipeline"));
      ck_assert_int_eq (json_dump_file (index, to, 0), 0);
      json_decref (index);
    }
}

static void
teardown (void)
{
  char path[1024];
  for (size_t i = 0; i < N_FILES; i++)
    {
      snprintf (path, sizeof path, "%s/%s", dir, files[i]);
      ck_assert_int_eq (unlink (path), 0);
    }
  for (int i = 0; i < 3; i++)
    {
      snprintf (path, sizeof path, "%s/%s", dir, folders[i]);
      ck_assert_int_eq (rmdir (path), 0);
    }
  ck_assert_int_eq (rmdir (dir), 0);
}

/* A job with the guidance of the stage's default, and without a negative prompt. */
static MiniHost *
host_new (const char *model, const char *sampler)
{
  float text[5 * 48];
  sora_kit_rng_torch_normal (3, text, 5 * 48);
  MiniHost *mini = mini_host_new (stage, model, 2);
  mini_host_input (mini, "text", SORA_F32, 2, (const int64_t[]){ 5, 48 }, text);
  mini_host_set_i64 (mini, "width", W * 4);
  mini_host_set_i64 (mini, "height", H * 4);
  mini_host_set_i64 (mini, "frames", T * 4 - 3);
  mini_host_set_f64 (mini, "checkpoint-interval", 0);
  mini_host_set_string (mini, "sampler", sampler);
  mini_host_set_seed (mini, SEED);
  return mini;
}

static void
run (MiniHost *mini, float out[N])
{
  SoraTensorView view;
  ck_assert_msg (mini_host_infer (mini) == SORA_OK, "%s", mini_host_error (mini));
  ck_assert_msg (mini_host_run (mini) == SORA_OK, "%s", mini_host_error (mini));
  ck_assert_uint_eq (mini_host_n_outputs (mini, "latents"), 1);
  mini_host_output (mini, "latents", 0, &view);
  ck_assert_uint_eq (view.nbytes, N * sizeof (float));
  memcpy (out, view.data, view.nbytes);
  ck_assert_int_eq (mini_host_live_tensors (mini), 0);
}

/* One forward of the model. */
static void
forward (const float x[N], double timestep, float v[N])
{
  MiniHost *mini = host_new (MODEL, "auto");
  mini_host_input (mini, "latents", SORA_F32, 4, (const int64_t[]){ C, T, H, W }, x);
  mini_host_set_f64s (mini, "forward-timestep", &timestep, 1);
  run (mini, v);
  mini_host_free (mini);
}

static int
at (int c, int t, int i)
{
  return (c * T + t) * H * W + i;
}

/* What FastVideo does, from the layout [T, C, H, W] that it draws in. */
static void
dmd_by_hand (float x[N], const double *timesteps, const double *sigmas, int steps)
{
  float noise[N], v[N];
  SoraKitRng *rng = sora_kit_rng_torch_new (SEED);
  for (int step = 0; step <= steps; step++)
    {
      const double share = step == 0 ? 1 : step < steps ? sigmas[step] : 0;
      if (step > 0)
        {
          forward (x, timesteps[step - 1], v);
          for (int i = 0; i < N; i++)
            x[i] = (float)(x[i] - sigmas[step - 1] * v[i]);
        }
      if (step == steps)
        break;
      sora_kit_rng_next (rng, noise, N);
      for (int c = 0; c < C; c++)
        for (int t = 0; t < T; t++)
          for (int i = 0; i < H * W; i++)
            {
              const double kept = step == 0 ? 0 : x[at (c, t, i)];
              x[at (c, t, i)]
                  = (float)((1 - share) * kept + share * noise[(t * C + c) * H * W + i]);
            }
    }
  sora_kit_rng_free (rng);
}

static void
close_to (const float got[N], const float want[N], const char *what)
{
  double exact[N];
  for (int i = 0; i < N; i++)
    exact[i] = want[i];
  const double error = kit_test_error (got, exact, N);
  ck_assert_msg (error <= 1e-5, "%s: error %g", what, error);
}

START_TEST (test_dmd)
{
  static const double timesteps[] = { 1000, 757, 522 },
                      sigmas[] = { 1, 8 * 0.28 / (1 + 7 * 0.28), 8 * 0.12 / (1 + 7 * 0.12) };
  float want[N], got[N], again[N];
  dmd_by_hand (want, timesteps, sigmas, 3);
  /* The checkpoint says it, the user says it, and turbo asks for no more than that. */
  for (int way = 0; way < 3; way++)
    {
      MiniHost *mini = host_new (way == 1 ? MODEL : dir, way == 1 ? "dmd" : "auto");
      mini_host_set_i64 (mini, "turbo", way == 2);
      run (mini, got);
      close_to (got, want, "dmd");
      ck_assert_uint_eq (mini_host_steps (mini), 3);
      ck_assert_uint_eq (mini_host_cost (mini)->steps, 3);
      ck_assert (way == 0 || memcmp (got, again, sizeof got) == 0);
      memcpy (again, got, sizeof got);
      mini_host_free (mini);
    }
  /* Another seed, another clip; and what the user says stands above what the files say. */
  MiniHost *mini = host_new (dir, "auto");
  mini_host_set_seed (mini, SEED + 1);
  run (mini, got);
  ck_assert_mem_ne (got, again, sizeof got);
  mini_host_free (mini);
  mini = host_new (dir, "euler");
  mini_host_set_f64 (mini, "guidance-scale", 1);
  mini_host_set_i64 (mini, "steps", 2);
  run (mini, got);
  ck_assert_uint_eq (mini_host_steps (mini), 2);
  mini_host_free (mini);
}
END_TEST

/* With latents given, the generator's first draw is the first fresh noise. */
START_TEST (test_dmd_of_latents)
{
  float first[N], x[N], v[N], noise[N], got[N];
  sora_kit_rng_torch_normal (99, first, N);
  memcpy (x, first, sizeof x);
  static const double timesteps[] = { 900, 400 };
  const double sigma[] = { 0.9, 0.4 }; /* at shift 1 the schedule holds them */
  for (int step = 0; step < 2; step++)
    {
      forward (x, timesteps[step], v);
      sora_kit_rng_torch_normal (SEED, noise, N);
      for (int c = 0; c < C; c++)
        for (int t = 0; t < T; t++)
          for (int i = 0; i < H * W; i++)
            {
              const int k = at (c, t, i);
              x[k] = (float)(x[k] - sigma[step] * v[k]);
              if (step == 0)
                x[k] = (float)(0.6 * x[k] + 0.4 * noise[(t * C + c) * H * W + i]);
            }
    }
  MiniHost *mini = host_new (MODEL, "dmd");
  mini_host_input (mini, "latents", SORA_F32, 4, (const int64_t[]){ C, T, H, W }, first);
  mini_host_set_f64s (mini, "timesteps", timesteps, 2);
  mini_host_set_f64 (mini, "flow-shift", 1);
  run (mini, got);
  close_to (got, x, "dmd of latents");
  mini_host_free (mini);
}
END_TEST

/* lightx2v's: the model is told shifted timesteps, and the noise is diffusers'. */
START_TEST (test_distill)
{
  float x[N], v[N], got[N];
  sora_kit_rng_torch_normal (SEED, x, N);
  for (int step = 0; step < 4; step++)
    {
      const double u = 1 - 0.25 * step, next = 0.75 - 0.25 * step;
      const double sigma = 5 * u / (1 + 4 * u), to = step < 3 ? 5 * next / (1 + 4 * next) : 0;
      forward (x, (float)sigma * 1000.0f, v);
      for (int i = 0; i < N; i++)
        x[i] = (float)(x[i] - (sigma - to) * v[i]);
    }
  MiniHost *mini = host_new (MODEL, "distill");
  mini_host_set_i64 (mini, "turbo", 1);
  run (mini, got);
  close_to (got, x, "distill");
  ck_assert_uint_eq (mini_host_steps (mini), 4);
  mini_host_free (mini);
}
END_TEST

static void
link_weights (const char *folder, int make)
{
  char from[1024], to[1024];
  for (int i = 1; i <= 2; i++)
    {
      snprintf (from, sizeof from, "%s/%s", MODEL, files[i]);
      snprintf (to, sizeof to, "%s/%s%s", dir, folder, strchr (files[i], '/'));
      ck_assert_int_eq (make ? symlink (from, to) : unlink (to), 0);
    }
}

/* A model with a distilled form beside the other: its weights are moved there, so that nothing else
 * can be what runs, and its own scheduler's file names steps and shift. */
START_TEST (test_turbo_form)
{
  static const char *const made[] = { "transformer_turbo", "scheduler_turbo" };
  char path[1024], target[1024];
  float x[N], v[N], got[N];
  for (int i = 0; i < 2; i++)
    {
      snprintf (path, sizeof path, "%s/%s", dir, made[i]);
      ck_assert_int_eq (mkdir (path, 0700), 0);
    }
  link_weights ("transformer", 0);
  link_weights (made[0], 1);
  snprintf (path, sizeof path, "%s/%s/config.json", dir, made[0]);
  snprintf (target, sizeof target, "%s/transformer/config.json", MODEL);
  ck_assert_int_eq (symlink (target, path), 0);
  json_t *scheduler = json_pack ("{s:s, s:[i, i], s:i, s:s}", "_class_name",
                                 "WanStepDistillScheduler", "denoising_step_list", 1000, 400,
                                 "sample_shift", 3, "prediction_type", "flow_prediction");
  snprintf (path, sizeof path, "%s/%s/scheduler_config.json", dir, made[1]);
  ck_assert_int_eq (json_dump_file (scheduler, path, 0), 0);
  json_decref (scheduler);
  snprintf (path, sizeof path, "%s/model_index.json", dir);
  json_t *index = json_load_file (path, 0, NULL);
  json_object_set_new (index, "_class_name", json_string ("WanPipeline"));
  json_object_set_new (index, made[0], json_pack ("[s, s]", "diffusers", "WanTransformer3DModel"));
  ck_assert_int_eq (json_dump_file (index, path, 0), 0);
  json_decref (index);

  const double sigma = 3 * 0.4 / (1 + 2 * 0.4);
  sora_kit_rng_torch_normal (SEED, x, N);
  forward (x, 1000, v);
  for (int i = 0; i < N; i++)
    x[i] = (float)(x[i] - (1 - sigma) * v[i]);
  forward (x, (float)sigma * 1000.0f, v);
  for (int i = 0; i < N; i++)
    x[i] = (float)(x[i] - sigma * v[i]);
  MiniHost *mini = host_new (dir, "auto");
  mini_host_set_i64 (mini, "turbo", 1);
  run (mini, got);
  close_to (got, x, "the distilled form");
  ck_assert_uint_eq (mini_host_steps (mini), 2);
  mini_host_free (mini);

  /* Without turbo it is the other, whose weights are gone. */
  mini = host_new (dir, "auto");
  mini_host_set_f64 (mini, "guidance-scale", 1);
  ck_assert_int_eq (mini_host_infer (mini), SORA_FAILED);
  mini_host_free (mini);

  link_weights (made[0], 0);
  link_weights ("transformer", 1);
  static const char *const left[] = { "transformer_turbo/config.json", "transformer_turbo",
                                      "scheduler_turbo/scheduler_config.json", "scheduler_turbo" };
  for (int i = 0; i < 4; i++)
    {
      snprintf (path, sizeof path, "%s/%s", dir, left[i]);
      ck_assert_int_eq (remove (path), 0);
    }
}
END_TEST

START_TEST (test_resume)
{
  static const double list[] = { 1000, 800, 600, 400, 200 };
  float want[N], got[N];
  int resumed = 0, finished = 0;
  MiniHost *mini = host_new (MODEL, "dmd");
  mini_host_set_f64s (mini, "timesteps", list, 5);
  run (mini, want);
  mini_host_free (mini);
  for (int after = 0; !finished; after = after * 3 / 2 + 7)
    {
      mini = host_new (MODEL, "dmd");
      mini_host_set_f64s (mini, "timesteps", list, 5);
      mini_host_keep_checkpoints (mini);
      mini_host_cancel_after (mini, after);
      ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
      finished = mini_host_run (mini) == SORA_OK;
      resumed += !finished && mini_host_n_checkpoints (mini) > 0;
      mini_host_cancel_after (mini, -1);
      run (mini, got);
      ck_assert_mem_eq (got, want, sizeof got);
      mini_host_free (mini);
    }
  ck_assert_int_gt (resumed, 1);
}
END_TEST

static const struct
{
  const char *sampler;
  int turbo, n;
  double list[2];
  const char *error;
} refused[] = {
  { "auto", 1, 0, { 0 }, "turbo is set, and the model has no few-step form" },
  { "dpmpp-2m", 1, 0, { 0 }, "sampler is 'dpmpp-2m'" },
  { "auto", 0, 1, { 1000 }, "timesteps is set, and sampler is 'auto'" },
  { "unipc", 0, 1, { 1000 }, "only dmd and distill take a list" },
  { "dmd", 0, 2, { 500, 1000 }, "timestep 2 of the list is 1000" },
  { "distill", 0, 2, { 1000, 312.5 }, "timestep 2 of the list is 312.5, expected a whole number" },
};

START_TEST (test_refused)
{
  MiniHost *mini = host_new (MODEL, refused[_i].sampler);
  mini_host_set_f64 (mini, "guidance-scale", 1);
  mini_host_set_i64 (mini, "turbo", refused[_i].turbo);
  mini_host_set_f64s (mini, "timesteps", refused[_i].list, (size_t)refused[_i].n);
  ck_assert_int_eq (mini_host_infer (mini), SORA_FAILED);
  ck_assert_msg (strstr (mini_host_error (mini), refused[_i].error) != NULL, "'%s', expected '%s'",
                 mini_host_error (mini), refused[_i].error);
  mini_host_free (mini);
}
END_TEST

int
main (void)
{
  stage = mini_host_load (SORA_TEST_PLUGINS "/dit-wan.so", "dit-wan");
  Suite *suite = suite_create ("dit-few");
  TCase *tests = tcase_create ("dit-few");
  tcase_set_timeout (tests, 120);
  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, test_dmd);
  tcase_add_test (tests, test_dmd_of_latents);
  tcase_add_test (tests, test_distill);
  tcase_add_test (tests, test_turbo_form);
  tcase_add_test (tests, test_resume);
  tcase_add_loop_test (tests, test_refused, 0, (int)(sizeof refused / sizeof refused[0]));
  suite_add_tcase (suite, tests);
  return kit_test_main (suite);
}
