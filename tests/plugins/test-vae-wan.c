/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * test-vae-wan.c: the decoder's pictures against diffusers' (tests/golden/vae-*.safetensors), its
 * promises (same bytes at any thread count, memory that does not grow with the clip and is what
 * infer said, a clean end when cancelled), and what it refuses.
 */
#include "mini-host-check.h"

#include "plugins/vae-wan/vae-config.h"
#include "plugins/vae-wan/vae-decoder.h"
#include "plugins/vae-wan/vae-math.h"

#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODULE SORA_TEST_PLUGINS "/vae-wan.so"
#define FOLDER_A SORA_TEST_GOLDEN "/models/small-a"

static json_t *
load_cases (void)
{
  json_error_t problem;
  json_t *index = json_load_file (SORA_TEST_GOLDEN "/index.json", 0, &problem);
  ck_assert_msg (index != NULL, "index.json: %s", problem.text);
  json_t *cases = json_array (), *c;
  size_t i;
  json_array_foreach (json_object_get (index, "cases"), i,
                      c) if (strcmp (json_string_value (json_object_get (c, "kind")), "vae") == 0)
      json_array_append (cases, c);
  json_decref (index);
  ck_assert_uint_ge (json_array_size (cases), 9);
  return cases;
}

static const char *
text (const json_t *c, const char *outer, const char *key)
{
  return json_string_value (json_object_get (outer != NULL ? json_object_get (c, outer) : c, key));
}

/* The case's host with its latents in it. */
static MiniHost *
new_for_case (const json_t *c, MiniFile **file, int threads)
{
  char path[1024];
  SoraTensorView view = { .struct_size = sizeof view };
  (void)snprintf (path, sizeof path, "%s/%s", SORA_TEST_GOLDEN, text (c, NULL, "file"));
  *file = mini_file_open (path);
  ck_assert_ptr_nonnull (*file);
  ck_assert_int_eq (mini_file_tensor (*file, text (c, "inputs", "latents"), &view), SORA_OK);
  (void)snprintf (path, sizeof path, "%s/models/%s", SORA_TEST_GOLDEN, text (c, NULL, "model"));
  MiniHost *mini = mini_host_new (mini_host_load (MODULE, "vae-wan"), path, threads);
  mini_host_input (mini, "latents", view.dtype, view.ndim, view.shape, view.data);
  return mini;
}

/* All pushed frames in a row; their number in *frames.  The caller frees. */
static char *
joined (MiniHost *mini, int64_t *frames, size_t *size)
{
  char *all = NULL;
  *frames = 0;
  *size = 0;
  for (size_t i = 0; i < mini_host_n_outputs (mini, "frames"); i++)
    {
      SoraTensorView view = { .struct_size = sizeof view };
      mini_host_output (mini, "frames", i, &view);
      all = realloc (all, *size + view.nbytes);
      memcpy (all + *size, view.data, view.nbytes);
      *size += view.nbytes;
      *frames += view.shape[0];
    }
  return all;
}

START_TEST (test_goldens)
{
  json_t *cases = load_cases (), *c;
  size_t i;
  double worst = 0, least = 1;
  json_array_foreach (cases, i, c)
  {
    MiniFile *file;
    MiniHost *mini = new_for_case (c, &file, 2);
    SoraTensorView want = { .struct_size = sizeof want };
    ck_assert_int_eq (mini_file_tensor (file, text (c, "outputs", "frames"), &want), SORA_OK);
    mini_host_set_string (mini, "format", "f32");
    ck_assert_msg (mini_host_infer (mini) == SORA_OK, "%s", mini_host_error (mini));
    const SoraSpec *spec = mini_host_output_spec (mini, "frames");
    ck_assert_int_eq (spec->ndim, 4);
    for (int axis = 0; axis < 4; axis++)
      ck_assert_int_eq (spec->shape[axis], want.shape[axis]);
    ck_assert_msg (mini_host_run (mini) == SORA_OK, "%s", mini_host_error (mini));

    int64_t frames;
    size_t size;
    float *got = (float *)joined (mini, &frames, &size);
    ck_assert_int_eq (frames, want.shape[0]);
    ck_assert_uint_eq (size, want.nbytes);
    ck_assert_uint_eq (mini_host_n_outputs (mini, "frames"), 1 + ((size_t)frames - 1) / 4);
    const float *w = want.data;
    double error = 0, scale = 0, ab = 0, aa = 0, bb = 0;
    for (size_t j = 0; j < size / sizeof *got; j++)
      {
        error = fmax (error, fabs ((double)got[j] - w[j]));
        scale = fmax (scale, fabs ((double)w[j]));
        ab += (double)got[j] * w[j];
        aa += (double)got[j] * got[j];
        bb += (double)w[j] * w[j];
      }
    const double cosine = ab / sqrt (aa * bb);
    ck_assert_msg (error <= 1e-4 * scale, "%s: error %.3g of %.3g", text (c, NULL, "name"), error,
                   scale);
    ck_assert_msg (cosine >= 0.99999, "%s: cosine %.8f", text (c, NULL, "name"), cosine);
    worst = fmax (worst, error / scale);
    least = fmin (least, cosine);

    /* As bytes, they are the rounded numbers. */
    mini_host_set_string (mini, "format", "u8");
    ck_assert_msg (mini_host_run (mini) == SORA_OK, "%s", mini_host_error (mini));
    size_t n;
    uint8_t *bytes = (uint8_t *)joined (mini, &frames, &n);
    ck_assert_uint_eq (n, size / sizeof *got);
    for (size_t j = 0; j < n; j++)
      ck_assert_int_eq (bytes[j], (int)lrintf (got[j] * 255.0f));
    free (bytes);
    free (got);
    ck_assert_int_eq (mini_host_live_tensors (mini), 0);
    ck_assert_int_eq (mini_host_n_weights_open (mini), 0);
    mini_host_free (mini);
    mini_file_close (file);
  }
  printf ("vae: %zu cases, largest error %.2g, least cosine 1 - %.1g\n", i, worst, 1 - least);
  json_decref (cases);
}
END_TEST

START_TEST (test_threads_and_release)
{
  json_t *cases = load_cases ();
  char *first = NULL;
  size_t first_size = 0;
  for (int threads = 1; threads <= 3; threads++)
    {
      MiniFile *file;
      MiniHost *mini = new_for_case (json_array_get (cases, 2), &file, threads);
      mini_host_set_string (mini, "format", "f32");
      for (int round = 0; round < 2; round++)
        {
          ck_assert_msg (mini_host_run (mini) == SORA_OK, "%s", mini_host_error (mini));
          int64_t frames;
          size_t size;
          char *got = joined (mini, &frames, &size);
          if (first == NULL)
            {
              first = got;
              first_size = size;
              got = NULL;
            }
          else
            ck_assert_msg (size == first_size && memcmp (got, first, size) == 0,
                           "%d threads, round %d: other bytes", threads, round);
          free (got);
          ck_assert_uint_gt (mini_host_reserved (mini, SORA_MEMORY_WEIGHTS), 0);
          if (round == 0)
            mini_host_release (mini);
        }
      mini_host_free (mini);
      mini_file_close (file);
    }
  free (first);
  json_decref (cases);
}
END_TEST

/* The clip's length is not in the memory: 17 and 81 frames take the same, and it is what infer
 * says. */
START_TEST (test_memory)
{
  const SoraStageClass *stage = mini_host_load (MODULE, "vae-wan");
  const int64_t lengths[] = { 5, 21 };
  uint64_t peak[2];
  for (int i = 0; i < 2; i++)
    {
      const int64_t shape[] = { 4, lengths[i], 3, 2 };
      float *latents = calloc ((size_t)(4 * 6 * lengths[i]), sizeof *latents);
      MiniHost *mini = mini_host_new (stage, FOLDER_A, 2);
      mini_host_input (mini, "latents", SORA_F32, 4, shape, latents);
      mini_host_weigh (mini);
      ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
      ck_assert_int_eq (mini_host_run (mini), SORA_OK);
      const SoraCost *cost = mini_host_cost (mini);
      ck_assert_uint_le (mini_host_heap_peak (mini),
                         cost->packed_bytes + cost->work_bytes + cost->output_bytes);
      peak[i] = mini_host_peak (mini, SORA_MEMORY_WORK);
      ck_assert_uint_eq (peak[i], mini_host_cost (mini)->work_bytes);
      ck_assert_uint_eq (mini_host_reserved (mini, SORA_MEMORY_WEIGHTS),
                         mini_host_cost (mini)->packed_bytes);
      ck_assert_uint_gt (mini_host_cost (mini)->weights_bytes, 0);
      ck_assert (mini_host_cost (mini)->flops > 1e6);
      ck_assert_int_eq (mini_host_steps (mini), (int)lengths[i]);
      mini_host_free (mini);
      free (latents);
    }
  ck_assert_uint_eq (peak[0], peak[1]);
}
END_TEST

/* trim_frames: what is pushed are the first frames of the whole, and no more. */
START_TEST (test_trim)
{
  json_t *cases = load_cases ();
  MiniFile *file;
  MiniHost *mini = new_for_case (json_array_get (cases, 2), &file, 2);
  int64_t frames;
  size_t size;
  ck_assert_int_eq (mini_host_run (mini), SORA_OK);
  char *whole = joined (mini, &frames, &size);
  ck_assert_int_eq (frames, 17);
  const size_t one = size / 17;
  static const int64_t counts[] = { 1, 2, 5, 6, 16, 17, 18 };
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
    {
      const int64_t n = counts[i];
      mini_host_input_attr_i64 (mini, "latents", "trim_frames", n);
      ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
      ck_assert_int_eq (mini_host_output_spec (mini, "frames")->shape[0], n < 17 ? n : 17);
      ck_assert_int_eq (mini_host_run (mini), SORA_OK);
      char *got = joined (mini, &frames, &size);
      ck_assert_int_eq (frames, n < 17 ? n : 17);
      ck_assert_int_eq (memcmp (got, whole, (size_t)frames * one), 0);
      free (got);
    }
  mini_host_input_attr_i64 (mini, "latents", "trim_frames", 0);
  ck_assert_int_eq (mini_host_infer (mini), SORA_FAILED);
  ck_assert_ptr_nonnull (strstr (mini_host_error (mini), "trim_frames"));
  free (whole);
  mini_host_free (mini);
  mini_file_close (file);
  json_decref (cases);
}
END_TEST

/* Who looks sees the last frame of each latent, the same as is pushed, in either format. */
START_TEST (test_preview)
{
  json_t *cases = load_cases ();
  static const char *const formats[] = { "u8", "f32" };
  uint8_t *want = NULL;
  for (int i = 0; i < 2; i++)
    {
      MiniFile *file;
      MiniHost *mini = new_for_case (json_array_get (cases, 1), &file, 2);
      int64_t frames, shape[2];
      size_t size;
      int count;
      mini_host_set_string (mini, "format", formats[i]);
      ck_assert_int_eq (mini_host_run (mini), SORA_OK);
      ck_assert_ptr_null (mini_host_preview (mini, shape, &count));
      mini_host_watch (mini);
      ck_assert_int_eq (mini_host_run (mini), SORA_OK);
      const uint8_t *seen = mini_host_preview (mini, shape, &count);
      ck_assert_ptr_nonnull (seen);
      ck_assert_int_eq (count, 2);
      if (i == 0)
        want = (uint8_t *)joined (mini, &frames, &size);
      const int64_t one = shape[0] * shape[1] * 3;
      ck_assert_int_eq (one, 20 * 28 * 3);
      ck_assert_int_eq (memcmp (seen, want + 4 * one, (size_t)one), 0);
      ck_assert_int_eq (mini_host_live_tensors (mini), 0);
      mini_host_free (mini);
      mini_file_close (file);
    }
  free (want);
  json_decref (cases);
}
END_TEST

/* Stopped at any moment, it gives everything back; and the next run is whole. */
START_TEST (test_cancel)
{
  json_t *cases = load_cases ();
  MiniFile *file;
  MiniHost *mini = new_for_case (json_array_get (cases, 1), &file, 2);
  mini_host_check_cancel (mini, 10);
  mini_host_free (mini);
  mini_file_close (file);
  json_decref (cases);
}
END_TEST

START_TEST (test_bad_inputs)
{
  static const MiniBadInput bad[] = {
    { SORA_F32, 4, { 3, 1, 2, 2 }, "3 channels, expected 4" },
    { SORA_F32, 3, { 4, 2, 2 }, "3 axes" },
    { SORA_U8, 4, { 4, 1, 2, 2 }, "u8" },
    { SORA_F32, 4, { 4, 1, 5000, 1 }, "5000" },
  };
  const SoraStageClass *stage = mini_host_load (MODULE, "vae-wan");
  mini_host_check_refuses (stage, FOLDER_A, "latents", bad, sizeof bad / sizeof bad[0]);

  /* Numbers that are none do not become black pictures in silence. */
  const int64_t shape[] = { 4, 1, 2, 2 };
  float latents[16] = { NAN };
  MiniHost *mini = mini_host_new (stage, FOLDER_A, 1);
  mini_host_input (mini, "latents", SORA_F32, 4, shape, latents);
  ck_assert_int_eq (mini_host_run (mini), SORA_FAILED);
  ck_assert_ptr_nonnull (strstr (mini_host_error (mini), "no number"));
  ck_assert_int_eq (mini_host_live_tensors (mini), 0);
  mini_host_free (mini);
}
END_TEST

/* Weights of model A under another configuration: what is missing, of another shape or too much is
 * named. */
START_TEST (test_other_weights)
{
  static const struct
  {
    const char *key;
    int value;
    int in_infer;
    const char *says;
  } changes[] = {
    { "num_res_blocks", 3, 1, "missing: 'decoder.up_blocks.0.resnets.3" },
    { "num_res_blocks", 1, 0, "vae: tensor 'decoder.up_blocks.0.resnets.2." },
    { "base_dim", 32, 1, "expected [64, 4, 3, 3, 3]" },
  };
  const int64_t shape[] = { 4, 1, 2, 2 };
  const float latents[16] = { 0 };
  for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
    {
      char folder[200], path[256];
      mini_host_tmp (folder, sizeof folder, "sora-test-vae-XXXXXX");
      ck_assert_ptr_nonnull (mkdtemp (folder));
      (void)snprintf (path, sizeof path, "%s/vae", folder);
      ck_assert_int_eq (mkdir (path, 0700), 0);
      json_t *config = json_load_file (FOLDER_A "/vae/config.json", 0, NULL);
      json_object_set_new (config, changes[i].key, json_integer (changes[i].value));
      (void)snprintf (path, sizeof path, "%s/vae/config.json", folder);
      ck_assert_int_eq (json_dump_file (config, path, 0), 0);
      json_decref (config);
      char link[256];
      (void)snprintf (link, sizeof link, "%s/vae/diffusion_pytorch_model.safetensors", folder);
      ck_assert_int_eq (symlink (FOLDER_A "/vae/diffusion_pytorch_model.safetensors", link), 0);

      MiniHost *mini = mini_host_new (mini_host_load (MODULE, "vae-wan"), folder, 1);
      mini_host_input (mini, "latents", SORA_F32, 4, shape, latents);
      ck_assert_int_eq (mini_host_infer (mini), changes[i].in_infer ? SORA_FAILED : SORA_OK);
      if (!changes[i].in_infer)
        {
          ck_assert_int_eq (mini_host_run (mini), SORA_FAILED);
          /* Nothing was kept: an idle instance is charged for nothing. */
          ck_assert_uint_eq (mini_host_reserved (mini, SORA_MEMORY_WEIGHTS), 0);
        }
      ck_assert_msg (strstr (mini_host_error (mini), changes[i].says) != NULL,
                     "'%s' does not say '%s'", mini_host_error (mini), changes[i].says);
      ck_assert_int_eq (mini_host_n_weights_open (mini), 0);
      mini_host_free (mini);
      (void)unlink (link);
      (void)unlink (path);
      (void)snprintf (path, sizeof path, "%s/vae", folder);
      (void)rmdir (path);
      (void)rmdir (folder);
    }
}
END_TEST

#define WAN "\"_class_name\": \"AutoencoderKLWan\""
static const struct
{
  const char *json;
  const char *says;
} refused[] = {
  { "{", "vae/config.json" },
  { "{}", "(none)" },
  { "{\"_class_name\": \"AutoencoderKL\"}", "AutoencoderKL" },
  { "{" WAN ", \"is_residual\": true, \"dim_mult\": [1, 2, 3]}", "is_residual" },
  { "{" WAN ", \"patch_size\": 2}", "patch_size" },
  { "{" WAN ", \"out_channels\": 12}", "out_channels" },
  { "{" WAN ", \"base_dim\": 0}", "base_dim" },
  { "{" WAN ", \"base_dim\": 1000000}", "base_dim" },
  { "{" WAN ", \"base_dim\": 2048, \"dim_mult\": [1, 64]}", "channels" },
  { "{" WAN ", \"base_dim\": 3, \"dim_mult\": [1, 1], \"temperal_downsample\": [true]}", "even" },
  { "{" WAN ", \"dim_mult\": []}", "dim_mult" },
  { "{" WAN ", \"dim_mult\": [1, 2, 3, 4, 5, 6, 7, 8, 9]}", "dim_mult" },
  { "{" WAN ", \"dim_mult\": [1, -2]}", "dim_mult" },
  { "{" WAN ", \"dim_mult\": \"1\"}", "dim_mult" },
  { "{" WAN ", \"temperal_downsample\": [true]}", "temperal_downsample" },
  { "{" WAN ", \"scale_factor_spatial\": 4}",
    "'scale_factor_spatial' is 4, but 'dim_mult' makes it 8" },
  { "{" WAN ", \"scale_factor_temporal\": 8}",
    "'scale_factor_temporal' is 8, but 'temperal_downsample' makes it 4" },
  { "{" WAN ", \"num_res_blocks\": 1000}", "num_res_blocks" },
  { "{" WAN ", \"z_dim\": 100000}", "z_dim" },
  { "{" WAN ", \"z_dim\": 4}", "latents_mean" },
  { "{" WAN ", \"z_dim\": 2, \"latents_mean\": [0, 0], \"latents_std\": [1]}", "latents_std" },
  { "{" WAN ", \"z_dim\": 1, \"latents_mean\": [0], \"latents_std\": [0]}", "latents_std" },
};

/* 0, or -1 with the reason. */
static int
parse (const char *json, SoraVaeConfig *config, char *err, size_t err_size)
{
  SoraKitConfig *file = sora_kit_config_new (json, strlen (json), "vae/config.json");
  ck_assert_ptr_nonnull (file);
  sora_vae_config_read (file, config);
  const char *error = sora_kit_config_error (file);
  (void)snprintf (err, err_size, "%s", error != NULL ? error : "");
  const int result = error == NULL ? 0 : -1;
  sora_kit_config_free (file);
  return result;
}

START_TEST (test_refused)
{
  SoraVaeConfig config;
  char err[256] = "";
  ck_assert_int_eq (parse (refused[_i].json, &config, err, sizeof err), -1);
  ck_assert_msg (strstr (err, refused[_i].says) != NULL, "'%s' does not name '%s'", err,
                 refused[_i].says);
}
END_TEST

/* The real checkpoint's shape, from its configuration: 108 tensors, 73 million numbers (wan.md:
 * decoder and post_quant), and the memory of its caches. */
START_TEST (test_wan_2_1)
{
  static const char json[]
      = "{" WAN ", \"base_dim\": 96, \"z_dim\": 16, \"dim_mult\": [1, 2, 4, 4],"
        " \"num_res_blocks\": 2, \"attn_scales\": [], \"temperal_downsample\": [false, true, true],"
        " \"dropout\": 0.0}";
  static SoraVaeLayer layers[SORA_VAE_MAX_LAYERS];
  SoraVaeConfig config;
  char err[256] = "";
  ck_assert_msg (parse (json, &config, err, sizeof err) == 0, "%s", err);
  ck_assert_int_eq (config.spatial, 8);
  ck_assert_int_eq (config.temporal, 4);
  const int n = sora_vae_layers (&config, SORA_VAE_DECODER, layers);
  int tensors = 0;
  int64_t numbers = 0;
  for (int i = 0; i < n; i++)
    {
      int64_t shape[5], product = 1;
      if (layers[i].part > 0)
        continue;
      const int ndim = sora_vae_layer_shape (&layers[i], shape);
      for (int axis = 0; axis < ndim; axis++)
        product *= shape[axis];
      tensors += layers[i].kind == SORA_VAE_NORM ? 1 : 2;
      numbers += product + (layers[i].kind == SORA_VAE_NORM ? 0 : shape[0]);
    }
  ck_assert_int_eq (tensors, 108);
  ck_assert_msg (numbers > 73000000 && numbers < 74000000, "%lld", (long long)numbers);

  uint64_t bytes;
  double flops;
  ck_assert_int_eq (sora_vae_estimate (&config, 21, 60, 104, &bytes, &flops), 0);
  ck_assert_msg (bytes > 3500000000 && bytes < 6000000000, "%llu", (unsigned long long)bytes);
  ck_assert_msg (fabs (flops / 275e12 - 1) < 0.05, "%g",
                 flops); /* wan.md: 275 TFLOP for 832x480x81 */
}
END_TEST

START_TEST (test_rounding)
{
  /* 0.5/255, 1.5/255 ... are ties as far as f32 can say: compared with the C library's
   * half-to-even. */
  for (int i = -20; i <= 300; i++)
    for (int half = 0; half < 8; half++)
      {
        const float x = ((float)i + (float)half / 8) / 255.0f * 2 - 1;
        float unit, want = x * 0.5f + 0.5f;
        uint8_t byte;
        want = want < 0 ? 0 : want > 1 ? 1 : want;
        ck_assert_int_eq (sora_vae_picture_f32 (&x, &unit, 1), 0);
        ck_assert_int_eq (sora_vae_picture_u8 (&x, &byte, 1), 0);
        ck_assert (unit == want);
        ck_assert_int_eq (byte, (int)lrintf (want * 255.0f));
      }
  const float bad[] = { 0, INFINITY, NAN };
  uint8_t bytes[3];
  float units[3];
  ck_assert_int_eq (sora_vae_picture_u8 (bad, bytes, 2), -1);
  ck_assert_int_eq (sora_vae_picture_f32 (bad + 2, units, 1), -1);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("vae-wan");
  TCase *tcase = tcase_create ("vae");
  tcase_set_timeout (tcase, 240);
  tcase_add_test (tcase, test_goldens);
  tcase_add_test (tcase, test_threads_and_release);
  tcase_add_test (tcase, test_memory);
  tcase_add_test (tcase, test_trim);
  tcase_add_test (tcase, test_preview);
  tcase_add_test (tcase, test_cancel);
  tcase_add_test (tcase, test_bad_inputs);
  tcase_add_test (tcase, test_other_weights);
  tcase_add_loop_test (tcase, test_refused, 0, sizeof refused / sizeof refused[0]);
  tcase_add_test (tcase, test_wan_2_1);
  tcase_add_test (tcase, test_rounding);
  suite_add_tcase (suite, tcase);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
