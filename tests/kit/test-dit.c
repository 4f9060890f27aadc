/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The denoiser against diffusers: single forwards, whole sampling loops, the same bytes at one, two
 * and three threads, a run that goes on from a checkpoint, cancellation, memory, and what is said
 * when something does not fit.
 */
#include "kit-test.h"
#include "mini-host.h"

#include <jansson.h>
#include <stdio.h>

#define TOLERANCE 1e-5

static const SoraStageClass *stage, *text_stage;
static json_t *cases[32], *pipelines[16];
static int n_cases, n_pipelines;

typedef struct
{
  MiniFile *file;
  MiniHost *mini;
  json_t *golden;
} Fixture;

static const char *
model_dir (json_t *golden)
{
  static char path[512];
  snprintf (path, sizeof path, "%s/models/%s", SORA_TEST_GOLDEN,
            json_string_value (json_object_get (golden, "model")));
  return path;
}

static void
tensor (Fixture *f, const char *kind, const char *key, SoraTensorView *view)
{
  const char *name = json_string_value (json_object_get (json_object_get (f->golden, kind), key));
  view->struct_size = sizeof *view;
  ck_assert_msg (name != NULL && mini_file_tensor (f->file, name, view) == SORA_OK,
                 "no golden tensor '%s'", key);
}

static void
connect (Fixture *f, const char *port, const char *key)
{
  SoraTensorView view;
  tensor (f, "inputs", key, &view);
  mini_host_input (f->mini, port, view.dtype, view.ndim, view.shape, view.data);
  if (strcmp (port, "latents") != 0)
    mini_host_input_attr_i64 (f->mini, port, "padded_length", 512);
}

static void
setup (Fixture *f, json_t *golden, int threads)
{
  char path[512];
  f->golden = golden;
  snprintf (path, sizeof path, "%s/%s", SORA_TEST_GOLDEN,
            json_string_value (json_object_get (golden, "file")));
  f->file = mini_file_open (path);
  ck_assert_msg (f->file != NULL, "no %s", path);
  f->mini = mini_host_new (stage, model_dir (golden), threads);
}

static void
teardown (Fixture *f)
{
  mini_host_free (f->mini);
  mini_file_close (f->file);
}

#define run_ok(f)                                                                                  \
  do                                                                                               \
    {                                                                                              \
      int run_result = mini_host_infer ((f)->mini);                                                \
      if (run_result == SORA_OK)                                                                   \
        run_result = mini_host_run ((f)->mini);                                                    \
      ck_assert_msg (run_result == SORA_OK, "%d: %s", run_result, mini_host_error ((f)->mini));    \
    }                                                                                              \
  while (0)

static void
output (Fixture *f, SoraTensorView *view)
{
  ck_assert_uint_eq (mini_host_n_outputs (f->mini, "latents"), 1);
  mini_host_output (f->mini, "latents", 0, view);
}

static void
compare (const SoraTensorView *is, const SoraTensorView *golden, const char *what)
{
  ck_assert_int_eq (is->dtype, SORA_F32);
  ck_assert_int_eq (golden->dtype, SORA_F32);
  ck_assert_uint_eq (is->nbytes, golden->nbytes);
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

/* One forward of each golden case, with its text and with the negative one. */
START_TEST (test_forward)
{
  static const char *const texts[] = { "text", "negative" }, *const wants[] = { "cond", "uncond" };
  for (int c = 0; c < n_cases; c++)
    for (int i = 0; i < 2; i++)
      {
        Fixture f;
        SoraTensorView view = { 0 }, want, first = { 0 };
        char *bytes = NULL;
        const char *name = json_string_value (json_object_get (cases[c], "name"));
        for (int threads = 1; threads <= 3; threads++)
          {
            setup (&f, cases[c], threads);
            double timestep = json_number_value (
                json_object_get (json_object_get (cases[c], "params"), "timestep"));
            mini_host_set_f64s (f.mini, "forward-timestep", &timestep, 1);
            connect (&f, "text", texts[i]);
            connect (&f, "latents", "latents");
            run_ok (&f);
            output (&f, &view);
            tensor (&f, "outputs", wants[i], &want);
            compare (&view, &want, name);
            if (bytes == NULL)
              {
                bytes = malloc (view.nbytes);
                memcpy (bytes, view.data, view.nbytes);
                first = view;
              }
            ck_assert_uint_eq (view.nbytes, first.nbytes);
            ck_assert_msg (memcmp (view.data, bytes, view.nbytes) == 0,
                           "%s: other bytes at %d threads", name, threads);
            ck_assert_int_eq (mini_host_live_tensors (f.mini), 0);
            ck_assert_int_eq (mini_host_n_weights_open (f.mini), 0);
            teardown (&f);
          }
        free (bytes);
      }
}
END_TEST

/* A job of a few steps with guidance, from a seed. */
static void
sample_setup (Fixture *f, int c, int threads, const char *sampler)
{
  setup (f, cases[c], threads);
  connect (f, "text", "text");
  connect (f, "negative", "negative");
  mini_host_set_i64 (f->mini, "steps", 5);
  mini_host_set_i64 (f->mini, "width", 32);
  mini_host_set_i64 (f->mini, "height", 48);
  mini_host_set_i64 (f->mini, "frames", 7);
  mini_host_set_f64 (f->mini, "checkpoint-interval", 0);
  mini_host_set_string (f->mini, "sampler", sampler);
  mini_host_set_seed (f->mini, 7);
}

START_TEST (test_sampling)
{
  static const char *const samplers[] = { "unipc", "euler" };
  const char *sampler = samplers[_i];
  Fixture f;
  SoraTensorView view;
  int64_t trim = 0;
  char *bytes = NULL;
  for (int threads = 1; threads <= 3; threads++)
    {
      sample_setup (&f, n_cases - 1, threads, sampler);
      run_ok (&f);
      output (&f, &view);
      const SoraSpec *spec = mini_host_output_spec (f.mini, "latents");
      ck_assert_int_eq (view.ndim, 4);
      ck_assert_mem_eq (view.shape, spec->shape, 4 * sizeof (int64_t));
      ck_assert_mem_eq (view.shape, ((const int64_t[]){ 16, 3, 6, 4 }), 4 * sizeof (int64_t));
      ck_assert_int_eq (mini_host_output_attr_i64 (f.mini, "latents", "trim_frames", &trim),
                        SORA_OK);
      ck_assert_int_eq (trim, 7);
      ck_assert_ptr_nonnull (strstr (mini_host_warning (f.mini), "9 are made and trimmed"));
      ck_assert_uint_eq (mini_host_steps (f.mini), 5);
      if (bytes == NULL)
        {
          bytes = malloc (view.nbytes);
          memcpy (bytes, view.data, view.nbytes);
        }
      ck_assert_msg (memcmp (view.data, bytes, view.nbytes) == 0, "other bytes at %d threads",
                     threads);

      /* Warm: no weights are loaded again.  Released: they are, and the bytes stay. */
      uint64_t held = mini_host_reserved (f.mini, SORA_MEMORY_WEIGHTS);
      ck_assert_uint_gt (held, 0);
      run_ok (&f);
      ck_assert_uint_eq (mini_host_reserved (f.mini, SORA_MEMORY_WEIGHTS), held);
      mini_host_release (f.mini);
      run_ok (&f);
      output (&f, &view);
      ck_assert_mem_eq (view.data, bytes, view.nbytes);

      /* Another seed is another clip. */
      mini_host_set_seed (f.mini, 8);
      run_ok (&f);
      output (&f, &view);
      ck_assert_mem_ne (view.data, bytes, view.nbytes);
      ck_assert_int_eq (mini_host_live_tensors (f.mini), 0);
      teardown (&f);
    }
  free (bytes);
}
END_TEST

/* WanPipeline itself: from a prompt and a seed to latents, by way of our text encoder. */
START_TEST (test_pipeline)
{
  static const char *const numbers[] = { "steps", "width", "height", "frames" };
  Fixture f;
  SoraTensorView view, want;
  setup (&f, pipelines[_i], 2);
  json_t *params = json_object_get (f.golden, "params");
  MiniHost *text = mini_host_new (text_stage, model_dir (f.golden), 2);
  mini_host_set_string (text, "prompt", json_string_value (json_object_get (params, "prompt")));
  mini_host_set_string (text, "negative-prompt",
                        json_string_value (json_object_get (params, "negative-prompt")));
  int result = mini_host_infer (text);
  if (result == SORA_OK)
    result = mini_host_run (text);
  ck_assert_msg (result == SORA_OK, "text: %s", mini_host_error (text));
  for (int i = 0; i < 2; i++)
    {
      static const char *const from[] = { "embedding", "negative" }, *const to[]
                                                                     = { "text", "negative" };
      int64_t padded = 0;
      mini_host_output (text, from[i], 0, &view);
      ck_assert_int_eq (mini_host_output_attr_i64 (text, from[i], "padded_length", &padded),
                        SORA_OK);
      mini_host_input (f.mini, to[i], view.dtype, view.ndim, view.shape, view.data);
      mini_host_input_attr_i64 (f.mini, to[i], "padded_length", padded);
    }
  mini_host_free (text);
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
    mini_host_set_i64 (f.mini, numbers[i],
                       json_integer_value (json_object_get (params, numbers[i])));
  mini_host_set_f64 (f.mini, "guidance-scale",
                     json_number_value (json_object_get (params, "guidance-scale")));
  mini_host_set_f64 (f.mini, "flow-shift",
                     json_number_value (json_object_get (params, "flow-shift")));
  mini_host_set_string (f.mini, "sampler", json_string_value (json_object_get (params, "sampler")));
  mini_host_set_seed (f.mini, (uint64_t)json_integer_value (json_object_get (params, "seed")));
  run_ok (&f);
  output (&f, &view);
  tensor (&f, "outputs", "latents", &want);
  compare (&view, &want, json_string_value (json_object_get (f.golden, "name")));
  teardown (&f);
}
END_TEST

/* Cancelled at any place, then gone on with: the bytes of an undisturbed run. */
START_TEST (test_resume)
{
  static const char *const samplers[] = { "unipc", "euler" };
  Fixture f;
  SoraTensorView view;
  sample_setup (&f, 0, 2, samplers[_i]);
  run_ok (&f);
  output (&f, &view);
  size_t size = view.nbytes;
  char *bytes = malloc (size);
  memcpy (bytes, view.data, size);
  teardown (&f);

  int finished = 0, resumed = 0;
  for (int after = 0; !finished; after = after * 3 / 2 + 7)
    {
      sample_setup (&f, 0, 2, samplers[_i]);
      mini_host_keep_checkpoints (f.mini);
      mini_host_cancel_after (f.mini, after);
      ck_assert_int_eq (mini_host_infer (f.mini), SORA_OK);
      int result = mini_host_run (f.mini);
      finished = result == SORA_OK;
      ck_assert_msg (finished || result == SORA_CANCELLED, "cancelled after %d: %d, %s", after,
                     result, mini_host_error (f.mini));
      ck_assert_int_eq (mini_host_live_tensors (f.mini), 0);
      ck_assert_int_eq (mini_host_n_weights_open (f.mini), 0);
      if (!finished)
        {
          int before = mini_host_n_checkpoints (f.mini);
          resumed += before > 0;
          mini_host_cancel_after (f.mini, -1);
          ck_assert_int_eq (mini_host_run (f.mini), SORA_OK);
          ck_assert_int_eq (mini_host_n_checkpoints (f.mini), 4);
          output (&f, &view);
          ck_assert_msg (memcmp (view.data, bytes, size) == 0, "other bytes after %d checkpoints",
                         before);
        }
      teardown (&f);
    }
  ck_assert_int_gt (resumed, 1);
  free (bytes);
}
END_TEST

/* Guidance 1 is the prompt alone; the negative prompt is not needed, and does not matter. */
START_TEST (test_without_guidance)
{
  Fixture f;
  SoraTensorView view;
  char *bytes = NULL;
  for (int with = 0; with < 2; with++)
    {
      setup (&f, cases[0], 2);
      connect (&f, "text", "text");
      connect (&f, "latents", "latents");
      if (with)
        connect (&f, "negative", "negative");
      mini_host_set_i64 (f.mini, "steps", 2);
      mini_host_set_f64 (f.mini, "guidance-scale", 1.0);
      run_ok (&f);
      output (&f, &view);
      if (bytes == NULL)
        {
          bytes = malloc (view.nbytes);
          memcpy (bytes, view.data, view.nbytes);
        }
      ck_assert_mem_eq (view.data, bytes, view.nbytes);
      teardown (&f);
    }
  free (bytes);
}
END_TEST

/* What infer says of memory holds: nothing is reserved beyond it. */
START_TEST (test_cost)
{
  Fixture f;
  sample_setup (&f, 0, 2, "auto");
  run_ok (&f);
  const SoraCost *cost = mini_host_cost (f.mini);
  ck_assert_uint_gt (cost->weights_bytes, 0);
  ck_assert_uint_eq (cost->packed_bytes, mini_host_peak (f.mini, SORA_MEMORY_WEIGHTS));
  ck_assert_uint_eq (cost->work_bytes, mini_host_peak (f.mini, SORA_MEMORY_WORK));
  ck_assert_uint_eq (cost->output_bytes, 4 * 3 * 12 * 8 * sizeof (float));
  ck_assert_uint_eq (cost->steps, 5);
  ck_assert_double_gt (cost->flops, 1e6);
  teardown (&f);
}
END_TEST

typedef struct
{
  const char *param;
  int64_t i64;
  const char *error;
} Refusal;

static const Refusal refusals[] = {
  { "width", 36, "width is 36 px, expected a multiple of 8 for this model: 32 or 40" },
  { "height", 9, "height is 9 px, expected a multiple of 8 for this model: 8 or 16" },
  { NULL, 0, "input 'negative' is not connected, and the guidance scale is above 1" },
};

START_TEST (test_refused)
{
  const Refusal *r = &refusals[_i];
  Fixture f;
  setup (&f, cases[0], 1);
  connect (&f, "text", "text");
  mini_host_set_i64 (f.mini, "width", 32);
  mini_host_set_i64 (f.mini, "height", 32);
  if (r->param != NULL)
    {
      mini_host_set_i64 (f.mini, r->param, r->i64);
      connect (&f, "negative", "negative");
    }
  ck_assert_int_eq (mini_host_infer (f.mini), SORA_FAILED);
  ck_assert_msg (strstr (mini_host_error (f.mini), r->error) != NULL, "'%s', expected '%s'",
                 mini_host_error (f.mini), r->error);
  teardown (&f);
}
END_TEST

START_TEST (test_wrong_inputs)
{
  Fixture f;
  const float data[64] = { 0 };
  setup (&f, cases[0], 1);
  mini_host_set_f64 (f.mini, "guidance-scale", 0);
  mini_host_input (f.mini, "text", SORA_F32, 2, (const int64_t[]){ 1, 64 }, data);
  ck_assert_int_eq (mini_host_infer (f.mini), SORA_FAILED);
  ck_assert_ptr_nonnull (
      strstr (mini_host_error (f.mini), "input 'text' is 64 wide, the transformer expects 48"));
  mini_host_clear_inputs (f.mini);
  connect (&f, "text", "text");
  mini_host_input (f.mini, "latents", SORA_F32, 4, (const int64_t[]){ 3, 1, 2, 2 }, data);
  ck_assert_int_eq (mini_host_infer (f.mini), SORA_FAILED);
  ck_assert_ptr_nonnull (
      strstr (mini_host_error (f.mini), "input 'latents' has 3 channels, expected 4"));
  mini_host_clear_inputs (f.mini);
  connect (&f, "text", "text");
  mini_host_input (f.mini, "latents", SORA_F32, 4, (const int64_t[]){ 4, 1, 3, 2 }, data);
  ck_assert_int_eq (mini_host_infer (f.mini), SORA_FAILED);
  ck_assert_ptr_nonnull (strstr (mini_host_error (f.mini),
                                 "latents have 3 in height, expected a multiple of the patch"));
  mini_host_clear_inputs (f.mini);
  connect (&f, "text", "text");
  float *wide = sora_kit_alloc0 (4 * 2 * 2050, sizeof *wide);
  mini_host_input (f.mini, "latents", SORA_F32, 4, (const int64_t[]){ 4, 1, 2, 2050 }, wide);
  sora_kit_free (wide);
  ck_assert_int_eq (mini_host_infer (f.mini), SORA_FAILED);
  ck_assert_ptr_nonnull (
      strstr (mini_host_error (f.mini), "1025 patches in width, the model takes at most 1024"));
  teardown (&f);
}
END_TEST

static void
load_cases (void)
{
  json_t *index = json_load_file (SORA_TEST_GOLDEN "/index.json", 0, NULL), *entry;
  size_t i;
  if (index == NULL)
    abort ();
  json_array_foreach (json_object_get (index, "cases"), i, entry)
  {
    /* The random models: they are small, and always there.  */
    const char *model = json_string_value (json_object_get (entry, "model"));
    const char *kind = json_string_value (json_object_get (entry, "kind"));
    int is_small = strncmp (model, "small-", 6) == 0;
    if (is_small && strcmp (kind, "dit") == 0 && n_cases < (int)(sizeof cases / sizeof cases[0]))
      cases[n_cases++] = json_incref (entry);
    if (is_small && strcmp (kind, "pipeline") == 0
        && n_pipelines < (int)(sizeof pipelines / sizeof pipelines[0]))
      pipelines[n_pipelines++] = json_incref (entry);
  }
  json_decref (index);
}

int
main (void)
{
  stage = mini_host_load (SORA_TEST_PLUGINS "/dit-wan.so", "dit-wan");
  text_stage = mini_host_load (SORA_TEST_PLUGINS "/text-umt5.so", "text-umt5");
  load_cases ();
  Suite *suite = suite_create ("dit");
  TCase *tests = tcase_create ("dit");
  tcase_set_timeout (tests, 240);
  tcase_add_test (tests, test_forward);
  tcase_add_loop_test (tests, test_sampling, 0, 2);
  tcase_add_loop_test (tests, test_pipeline, 0, n_pipelines);
  tcase_add_loop_test (tests, test_resume, 0, 2);
  tcase_add_test (tests, test_without_guidance);
  tcase_add_test (tests, test_cost);
  tcase_add_loop_test (tests, test_refused, 0, (int)(sizeof refusals / sizeof refusals[0]));
  tcase_add_test (tests, test_wrong_inputs);
  suite_add_tcase (suite, tests);
  int result = n_cases >= 13 && n_pipelines >= 9 ? kit_test_main (suite) : EXIT_FAILURE;
  for (int i = 0; i < n_cases; i++)
    json_decref (cases[i]);
  for (int i = 0; i < n_pipelines; i++)
    json_decref (pipelines[i]);
  return result;
}
