/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The denoiser on Wan 2.2's text-to-video families against diffusers: two experts of which one
 * stands in memory at a time, and a timestep for each token with 48 channels.  Forwards and whole
 * runs of WanPipeline, the same bytes at one, two and three threads, runs that go on from a
 * checkpoint on either side of the boundary, memory, and what is said when something does not fit.
 */
#include "kit-test.h"
#include "mini-host.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOLERANCE 1e-5
#define GOLDEN SORA_TEST_GOLDEN "/wan22"

static const SoraStageClass *stage;
static json_t *golden_index;
static char copy[512]; /* a copy of a model, by links */

/* ---- cases */

static json_t *
find_case (const char *model, const char *name)
{
  size_t i;
  json_t *entry;
  json_array_foreach (
      json_object_get (golden_index, "cases"), i,
      entry) if (strcmp (json_string_value (json_object_get (entry, "model")), model) == 0
                 && strcmp (json_string_value (json_object_get (entry, "name")), name)
                        == 0) return entry;
  ck_abort_msg ("no case '%s' of '%s'", name, model);
  return NULL;
}

static const char *
text_of (json_t *golden, const char *key)
{
  return json_string_value (json_object_get (golden, key));
}

static double
number_of (json_t *golden, const char *key)
{
  json_t *value = json_object_get (json_object_get (golden, "params"), key);
  return json_is_number (value) ? json_number_value (value) : -1;
}

static void
tensor (MiniFile *file, json_t *golden, const char *kind, const char *key, SoraTensorView *view)
{
  const char *name = json_string_value (json_object_get (json_object_get (golden, kind), key));
  *view = (SoraTensorView){ .struct_size = sizeof *view };
  if (name == NULL)
    return;
  ck_assert_msg (mini_file_tensor (file, name, view) == SORA_OK, "no golden tensor '%s'", name);
}

static MiniFile *
open_case (json_t *golden)
{
  char path[512];
  snprintf (path, sizeof path, "%s/%s", GOLDEN, text_of (golden, "file"));
  MiniFile *file = mini_file_open (path);
  ck_assert_msg (file != NULL, "no %s", path);
  return file;
}

/* A host that is given what the case says. */
static MiniHost *
host_new (json_t *golden, const char *dir, int threads)
{
  static const char *const ports[] = { "text", "negative", "latents" };
  static const char *const counts[] = { "steps", "width", "height", "frames" };
  static const char *const scales[] = { "guidance-scale", "guidance-scale-2" };
  char path[512];
  MiniFile *file = open_case (golden);
  SoraTensorView view;
  snprintf (path, sizeof path, "%s/%s", GOLDEN, text_of (golden, "model"));
  MiniHost *mini = mini_host_new (stage, dir != NULL ? dir : path, threads);
  for (int i = 0; i < 3; i++)
    {
      tensor (file, golden, "inputs", ports[i], &view);
      if (view.data == NULL)
        continue;
      mini_host_input (mini, ports[i], view.dtype, view.ndim, view.shape, view.data);
      if (i < 2)
        mini_host_input_attr_i64 (mini, ports[i], "padded_length", 512);
    }
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
    if (number_of (golden, counts[i]) >= 0)
      mini_host_set_i64 (mini, counts[i], (int64_t)number_of (golden, counts[i]));
  for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++)
    if (number_of (golden, scales[i]) >= 0)
      mini_host_set_f64 (mini, scales[i], number_of (golden, scales[i]));
  if (number_of (golden, "seed") >= 0)
    mini_host_set_seed (mini, (uint64_t)number_of (golden, "seed"));
  tensor (file, golden, "inputs", "timesteps", &view);
  double timesteps[256] = { number_of (golden, "timestep") };
  if (view.data != NULL)
    {
      ck_assert_int_le (view.shape[0], 256);
      for (int64_t i = 0; i < view.shape[0]; i++)
        timesteps[i] = (double)((const float *)view.data)[i];
      mini_host_set_f64s (mini, "forward-timestep", timesteps, (size_t)view.shape[0]);
    }
  else if (timesteps[0] >= 0)
    mini_host_set_f64s (mini, "forward-timestep", timesteps, 1);
  mini_file_close (file);
  return mini;
}

/* infer and run; the output's bytes are returned, free them. */
static char *
run (MiniHost *mini, SoraTensorView *view)
{
  int result = mini_host_infer (mini);
  if (result == SORA_OK)
    result = mini_host_run (mini);
  ck_assert_msg (result == SORA_OK, "%d: %s", result, mini_host_error (mini));
  ck_assert_uint_eq (mini_host_n_outputs (mini, "latents"), 1);
  ck_assert_int_eq (mini_host_live_tensors (mini), 0);
  ck_assert_int_eq (mini_host_n_weights_open (mini), 0);
  mini_host_output (mini, "latents", 0, view);
  char *bytes = malloc (view->nbytes);
  memcpy (bytes, view->data, view->nbytes);
  return bytes;
}

static void
compare (const SoraTensorView *is, const SoraTensorView *golden, const char *what)
{
  ck_assert_int_eq (is->dtype, SORA_F32);
  ck_assert_int_eq (golden->dtype, SORA_F32);
  ck_assert_uint_eq (is->nbytes, golden->nbytes);
  ck_assert_mem_eq (is->shape, golden->shape, 4 * sizeof (int64_t));
  size_t n = is->nbytes / sizeof (float);
  const float *a = is->data, *b = golden->data;
  double *want = sora_kit_alloc (n, sizeof *want), ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < n; i++)
    {
      want[i] = (double)b[i];
      ab += (double)a[i] * (double)b[i];
      aa += (double)a[i] * (double)a[i];
      bb += (double)b[i] * (double)b[i];
    }
  double error = kit_test_error (a, want, n), cosine = ab / sqrt (aa * bb);
  sora_kit_free (want);
  if (getenv ("SORA_TEST_LOG") != NULL)
    fprintf (stderr, "%s: error %.2g, 1 - cosine %.2g\n", what, error, 1 - cosine);
  ck_assert_msg (error <= TOLERANCE && cosine >= 0.99999, "%s: error %g, cosine %.9f", what, error,
                 cosine);
}

/* Forwards of each expert and with times of each token, and whole runs, guided and not. */
START_TEST (test_golden)
{
  json_t *golden = json_array_get (json_object_get (golden_index, "cases"), (size_t)_i);
  const int is_run = strcmp (text_of (golden, "kind"), "sample") == 0;
  char what[64], *first = NULL;
  MiniFile *file = open_case (golden);
  SoraTensorView view, want;
  snprintf (what, sizeof what, "%s %s", text_of (golden, "model"), text_of (golden, "name"));
  tensor (file, golden, "outputs", is_run ? "latents" : "out", &want);
  for (int threads = 1; threads <= 3; threads++)
    {
      MiniHost *mini = host_new (golden, NULL, threads);
      char *bytes = run (mini, &view);
      compare (&view, &want, what);
      ck_assert_uint_eq (mini_host_steps (mini), is_run ? 4 : 1);
      if (first == NULL)
        {
          first = malloc (view.nbytes);
          memcpy (first, bytes, view.nbytes);
        }
      ck_assert_msg (memcmp (bytes, first, view.nbytes) == 0, "%s: other bytes at %d threads", what,
                     threads);
      free (bytes);
      /* Warm; with two experts the one that ended the run gives way to the first again. */
      bytes = run (mini, &view);
      ck_assert_mem_eq (bytes, first, view.nbytes);
      free (bytes);
      mini_host_free (mini);
    }
  free (first);
  mini_file_close (file);
}
END_TEST

/* ---- copies of models */

static const char *const dirs[] = { "transformer", "transformer_2", "scheduler", "vae" };
static const char *const files[] = { "model_index.json",
                                     "transformer/config.json",
                                     "transformer/diffusion_pytorch_model.safetensors",
                                     "transformer_2/config.json",
                                     "transformer_2/diffusion_pytorch_model.safetensors",
                                     "scheduler/scheduler_config.json",
                                     "vae/config.json" };

static void
path_of (char path[1024], const char *name)
{
  snprintf (path, 1024, "%s/%s", copy, name);
}

static void
copy_model (const char *model)
{
  char from[1024], to[1024];
  mini_host_tmp (copy, sizeof copy, "sora-test-XXXXXX");
  ck_assert_ptr_nonnull (mkdtemp (copy));
  for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++)
    {
      path_of (to, dirs[i]);
      ck_assert_int_eq (mkdir (to, 0700), 0);
    }
  for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
    {
      snprintf (from, sizeof from, "%s/%s/%s", GOLDEN, model, files[i]);
      path_of (to, files[i]);
      if (access (from, R_OK) == 0)
        ck_assert_int_eq (symlink (from, to), 0);
    }
}

static void
remove_copy (void)
{
  char path[1024];
  for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
    {
      path_of (path, files[i]);
      (void)unlink (path);
    }
  for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++)
    {
      path_of (path, dirs[i]);
      ck_assert_int_eq (rmdir (path), 0);
    }
  ck_assert_int_eq (rmdir (copy), 0);
}

static void
change (const char *name, const char *key, const char *value)
{
  char path[1024];
  path_of (path, name);
  json_t *json = json_load_file (path, 0, NULL);
  ck_assert_ptr_nonnull (json);
  json_object_set_new (json, key, json_loads (value, JSON_DECODE_ANY, NULL));
  ck_assert_int_eq (unlink (path), 0);
  ck_assert_int_eq (json_dump_file (json, path, 0), 0);
  json_decref (json);
}

/* ---- two experts */

/* Cancelled at any place, then gone on with: the bytes of an undisturbed run.  Beyond the boundary
 * the first expert's weights are not needed any more: they are taken away. */
START_TEST (test_resume)
{
  json_t *golden = find_case ("a14b", "guided");
  SoraTensorView view;
  MiniHost *mini = host_new (golden, NULL, 2);
  char path[1024], *bytes = run (mini, &view);
  mini_host_free (mini);
  int finished = 0, seen[5] = { 0 };
  for (int after = 0; !finished; after = after * 5 / 4 + 3)
    {
      copy_model ("a14b");
      mini = host_new (golden, copy, 2);
      mini_host_set_f64 (mini, "checkpoint-interval", 0);
      mini_host_keep_checkpoints (mini);
      mini_host_cancel_after (mini, after);
      ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
      int result = mini_host_run (mini), made = mini_host_n_checkpoints (mini);
      finished = result == SORA_OK;
      ck_assert_msg (finished || result == SORA_CANCELLED, "cancelled after %d: %d, %s", after,
                     result, mini_host_error (mini));
      ck_assert_int_eq (mini_host_live_tensors (mini), 0);
      ck_assert_int_eq (mini_host_n_weights_open (mini), 0);
      if (!finished)
        {
          ck_assert_int_le (made, 3);
          seen[made]++;
          if (made >= 2)
            {
              path_of (path, files[2]);
              ck_assert_int_eq (unlink (path), 0);
            }
          mini_host_cancel_after (mini, -1);
          result = mini_host_run (mini);
          ck_assert_msg (result == SORA_OK, "%d checkpoints: %s", made, mini_host_error (mini));
          ck_assert_int_eq (mini_host_n_checkpoints (mini), 3);
          mini_host_output (mini, "latents", 0, &view);
          ck_assert_msg (memcmp (view.data, bytes, view.nbytes) == 0,
                         "other bytes after %d checkpoints", made);
        }
      mini_host_free (mini);
      remove_copy ();
    }
  for (int i = 0; i < 4; i++)
    ck_assert_msg (seen[i] > 0, "never cancelled after %d checkpoints", i);
  free (bytes);
}
END_TEST

/* What a run costs, and what the heap has: its peak, and what is left while it is warm. */
typedef struct
{
  SoraCost cost;
  uint64_t held, peak, left;
} Weight;

static Weight
weigh (const char *name)
{
  SoraTensorView view;
  Weight weight;
  MiniHost *mini = host_new (find_case ("a14b", name), NULL, 1);
  mini_host_weigh (mini);
  free (run (mini, &view));
  weight.cost = *mini_host_cost (mini);
  weight.held = mini_host_peak (mini, SORA_MEMORY_WEIGHTS);
  weight.peak = mini_host_heap_peak (mini);
  uint64_t warm = mini_host_heap ();
  mini_host_release (mini);
  uint64_t cold = mini_host_heap ();
  weight.left = warm > cold ? warm - cold : 0;
  if (getenv ("SORA_TEST_LOG") != NULL)
    fprintf (stderr, "%s: packed %llu, peak %llu, left %llu\n", name,
             (unsigned long long)weight.cost.packed_bytes, (unsigned long long)weight.peak,
             (unsigned long long)weight.left);
  mini_host_free (mini);
  return weight;
}

/* One expert at a time: told as the larger one, reserved so, and so it is. */
START_TEST (test_memory)
{
  (void)weigh ("unguided"); /* what a process allocates once */
  const Weight high = weigh ("high"), low = weigh ("low"), whole = weigh ("unguided");
  ck_assert_uint_gt (high.cost.packed_bytes, 0);
  ck_assert_uint_gt (low.cost.packed_bytes, high.cost.packed_bytes * 5 / 4);
  ck_assert_uint_eq (whole.cost.packed_bytes, low.cost.packed_bytes);
  ck_assert_uint_eq (whole.cost.weights_bytes, low.cost.weights_bytes);
  ck_assert_uint_gt (whole.cost.weights_bytes, high.cost.weights_bytes);
  ck_assert_uint_eq (whole.held, whole.cost.packed_bytes);
  ck_assert_uint_eq (high.held, high.cost.packed_bytes);
  ck_assert_double_gt (whole.cost.flops, 2 * high.cost.flops);
  ck_assert_double_lt (whole.cost.flops, 4 * low.cost.flops);
  if (whole.peak == 0) /* malloc does not tell */
    return;
  ck_assert_msg (whole.left <= low.left + high.cost.packed_bytes / 4,
                 "%llu bytes are left after a run, %llu of the last expert's alone",
                 (unsigned long long)whole.left, (unsigned long long)low.left);
  ck_assert_msg (whole.peak <= low.peak + high.cost.packed_bytes / 2,
                 "%llu bytes at most in a run, %llu of the second expert's alone",
                 (unsigned long long)whole.peak, (unsigned long long)low.peak);
}
END_TEST

/* The scale of each expert is its own, and its default the first one. */
START_TEST (test_guidance)
{
  json_t *golden = find_case ("a14b", "guided-alike");
  static const double scales[] = { 0, 5, 3 };
  SoraTensorView view;
  char *bytes[3];
  for (int i = 0; i < 3; i++)
    {
      MiniHost *mini = host_new (golden, NULL, 2);
      mini_host_set_f64 (mini, "guidance-scale-2", scales[i]);
      bytes[i] = run (mini, &view);
      mini_host_free (mini);
    }
  size_t size = 16 * 2 * 4 * 6 * sizeof (float);
  ck_assert_mem_eq (bytes[0], bytes[1], size);
  ck_assert_mem_ne (bytes[0], bytes[2], size);
  for (int i = 0; i < 3; i++)
    free (bytes[i]);
}
END_TEST

/* Steps that cost less: the second expert computes its first step, whatever the first one left, and
 * holds one text where none of its steps is guided. */
START_TEST (test_skip)
{
  static const struct
  {
    double stop, threshold;
    const char *note;
  } ways[] = {
    { 1, 1e9, "8 of 24 forwards computed, 0 left out without guidance, 16 reused" },
    { 0.25, 0, "15 of 24 forwards computed, 9 left out without guidance, 0 reused" },
  };
  SoraTensorView view;
  MiniHost *mini = host_new (find_case ("a14b", "guided"), NULL, 2);
  mini_host_set_i64 (mini, "steps", 12);
  mini_host_set_f64 (mini, "reuse-start", 0);
  mini_host_set_f64 (mini, "guidance-stop", ways[_i].stop);
  mini_host_set_f64 (mini, "reuse-threshold", ways[_i].threshold);
  free (run (mini, &view));
  ck_assert_str_eq (mini_host_note (mini), ways[_i].note);
  ck_assert_uint_eq (mini_host_cost (mini)->work_bytes, mini_host_peak (mini, SORA_MEMORY_WORK));
  mini_host_free (mini);
}
END_TEST

/* A boundary that no step crosses: the other expert is not asked for. */
START_TEST (test_one_side)
{
  static const char *const ratios[] = { "0", "1" };
  SoraTensorView view;
  char path[1024];
  copy_model ("a14b");
  change ("model_index.json", "boundary_ratio", ratios[_i]);
  MiniHost *mini = host_new (find_case ("a14b", "guided"), copy, 1);
  ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
  path_of (path, files[_i == 0 ? 4 : 2]);
  ck_assert_int_eq (unlink (path), 0);
  /* infer looks at all weights, run does not. */
  ck_assert_msg (mini_host_run (mini) == SORA_OK, "%s", mini_host_error (mini));
  mini_host_output (mini, "latents", 0, &view);
  ck_assert_uint_eq (mini_host_peak (mini, SORA_MEMORY_WEIGHTS),
                     mini_host_cost (mini)->packed_bytes);
  mini_host_free (mini);
  remove_copy ();
}
END_TEST

/* ---- what is refused */

typedef struct
{
  const char *model, *name;      /* the case */
  const char *file, *key, *json; /* what differs in the model; NULL: nothing */
  const char *param;
  double value;
  const char *error;
} Refusal;

static const Refusal refusals[] = {
  { "a14b", "guided", "transformer_2/config.json", "in_channels", "36", NULL, 0,
    "transformer_2/config.json: has 36 channels in and 16 out" },
  { "a14b", "guided", "transformer_2/config.json", "text_dim", "24", NULL, 0,
    "transformer_2/config.json: 'text_dim' is 24, expected 16 as in transformer/config.json" },
  { "a14b", "guided", "transformer_2/config.json", "patch_size", "[1, 2, 1]", NULL, 0,
    "'patch_size' is 1, expected 2 as in transformer/config.json" },
  { "a14b", "guided", "transformer_2/config.json", "num_layers", "3", NULL, 0,
    "transformer_2: 27 tensors are missing: 'blocks.2.scale_shift_table'" },
  { "a14b", "guided", "model_index.json", "boundary_ratio", "1.5", NULL, 0,
    "model_index.json: 'boundary_ratio' is 1.5" },
  { "a14b", "unguided", NULL, NULL, NULL, "guidance-scale-2", 3,
    "guidance-scale-2 is 3, and guidance-scale 1, which turns guidance off for both experts" },
  { "ti2v", "guided", NULL, NULL, NULL, "guidance-scale-2", 3,
    "guidance-scale-2 is 3, and the model has one transformer" },
  { "ti2v", "guided", "transformer/config.json", "patch_size", "[1, 1, 2]", NULL, 0,
    "'patch_size' is [1, 1, 2], expected [1, 2, 2] where model_index.json has 'expand_timesteps'" },
  { "ti2v", "guided", NULL, NULL, NULL, "width", 80,
    "width is 80 px, expected a multiple of 32 for this model: 64 or 96" },
  { "ti2v", "guided", NULL, NULL, NULL, "height", 16,
    "height is 16 px, expected a multiple of 32 for this model: 32 is the smallest" },
};

START_TEST (test_refused)
{
  const Refusal *r = &refusals[_i];
  copy_model (r->model);
  if (r->file != NULL)
    change (r->file, r->key, r->json);
  MiniHost *mini = host_new (find_case (r->model, r->name), copy, 1);
  if (r->param != NULL && strncmp (r->param, "guidance", 8) == 0)
    mini_host_set_f64 (mini, r->param, r->value);
  else if (r->param != NULL)
    mini_host_set_i64 (mini, r->param, (int64_t)r->value);
  ck_assert_int_eq (mini_host_infer (mini), SORA_FAILED);
  ck_assert_msg (strstr (mini_host_error (mini), r->error) != NULL, "'%s', expected '%s'",
                 mini_host_error (mini), r->error);
  mini_host_free (mini);
  remove_copy ();
}
END_TEST

/* A list of timesteps that is not one for each token, or of a model that takes one for all. */
START_TEST (test_times)
{
  static const char *const models[] = { "ti2v", "ti2v", "a14b" }, *const names[]
                                                                  = { "mixed", "mixed", "high" };
  static const char *const errors[]
      = { "forward-timestep has 2 numbers, expected one, or one for each of 12 tokens",
          "forward-timestep has more than 32 different numbers",
          "forward-timestep has 2 numbers, expected one" };
  double times[33];
  float *latents = sora_kit_alloc0 (48 * 2 * 66, sizeof *latents);
  for (int i = 0; i < 33; i++)
    times[i] = 10.5 * i;
  MiniHost *mini = host_new (find_case (models[_i], names[_i]), NULL, 1);
  if (_i == 1)
    {
      const float text[16] = { 0 };
      mini_host_clear_inputs (mini);
      mini_host_input (mini, "text", SORA_F32, 2, (const int64_t[]){ 1, 16 }, text);
      mini_host_input (mini, "latents", SORA_F32, 4, (const int64_t[]){ 48, 1, 2, 66 }, latents);
    }
  mini_host_set_f64s (mini, "forward-timestep", times, _i == 1 ? 33 : 2);
  ck_assert_int_eq (mini_host_infer (mini), SORA_FAILED);
  ck_assert_str_eq (mini_host_error (mini), errors[_i]);
  mini_host_free (mini);
  sora_kit_free (latents);
}
END_TEST

int
main (void)
{
  golden_index = json_load_file (GOLDEN "/index.json", 0, NULL);
  stage = mini_host_load (SORA_TEST_PLUGINS "/dit-wan.so", "dit-wan");
  int n = (int)json_array_size (json_object_get (golden_index, "cases"));
  Suite *suite = suite_create ("dit-wan22");
  TCase *tests = tcase_create ("dit-wan22");
  tcase_set_timeout (tests, 240);
  tcase_add_loop_test (tests, test_golden, 0, n);
  tcase_add_test (tests, test_resume);
  tcase_add_test (tests, test_memory);
  tcase_add_test (tests, test_guidance);
  tcase_add_loop_test (tests, test_skip, 0, 2);
  tcase_add_loop_test (tests, test_one_side, 0, 2);
  tcase_add_loop_test (tests, test_refused, 0, (int)(sizeof refusals / sizeof refusals[0]));
  tcase_add_loop_test (tests, test_times, 0, 3);
  suite_add_tcase (suite, tests);
  int result = n == 49 ? kit_test_main (suite) : EXIT_FAILURE;
  json_decref (golden_index);
  return result;
}
