/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * test-vae-22.c: Wan 2.2's form of the VAE, both halves, against diffusers (tests/golden/vae22):
 * the numbers, the same bytes at any thread count, frames and latents that look at nothing later,
 * memory that does not grow with the clip and is what infer said, and what is refused.  The rest
 * that the stages promise is the same code for both forms: test-vae-wan.c, test-vae-encode.c.
 */
#include "mini-host-check.h"

#include "plugins/vae-wan/vae-decoder.h"
#include "plugins/vae-wan/vae-encoder.h"

#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER SORA_TEST_GOLDEN "/vae22"

enum
{
  N_CASES = 12,
  LONG_A = 2, /* 17 frames, halved in time at two levels */
  LONG_B = 5  /* halved at the first level alone */
};

typedef struct
{
  const char *stage, *module, *input, *output;
  double tolerance; /* that of the tests of Wan 2.1's form */
} Half;

static const Half halves[] = {
  [SORA_VAE_DECODER] = { "vae-wan", SORA_TEST_PLUGINS "/vae-wan.so", "latents", "frames", 1e-4 },
  [SORA_VAE_ENCODER]
  = { "vae-wan-encode", SORA_TEST_PLUGINS "/vae-wan-encode.so", "frames", "latents", 2e-5 },
};

typedef struct
{
  char name[48], model[16];
  SoraTensorView in[2], want[2]; /* by half */
} Case;

static MiniFile *data;
static Case cases[N_CASES];

static void
load (const char *name, const char *what, SoraTensorView *view)
{
  char key[80];
  *view = (SoraTensorView){ .struct_size = sizeof *view };
  (void)snprintf (key, sizeof key, "%s.%s", name, what);
  ck_assert_int_eq (mini_file_tensor (data, key, view), SORA_OK);
}

static void
setup (void)
{
  json_t *book = json_load_file (FOLDER "/index.json", 0, NULL);
  json_t *list = json_object_get (book, "cases");
  data = mini_file_open (FOLDER "/cases.safetensors");
  ck_assert_ptr_nonnull (data);
  ck_assert_uint_eq (json_array_size (list), N_CASES);
  for (size_t i = 0; i < N_CASES; i++)
    {
      Case *c = &cases[i];
      json_t *item = json_array_get (list, i);
      (void)snprintf (c->name, sizeof c->name, "%s",
                      json_string_value (json_object_get (item, "name")));
      (void)snprintf (c->model, sizeof c->model, "%s",
                      json_string_value (json_object_get (item, "model")));
      load (c->name, "latents", &c->in[SORA_VAE_DECODER]);
      load (c->name, "decoded", &c->want[SORA_VAE_DECODER]);
      load (c->name, "frames", &c->in[SORA_VAE_ENCODER]);
      load (c->name, "encoded", &c->want[SORA_VAE_ENCODER]);
    }
  json_decref (book);
}

static void
teardown (void)
{
  mini_file_close (data);
}

static MiniHost *
new_host (int half, const char *model, int threads)
{
  char path[1024];
  (void)snprintf (path, sizeof path, "%s/%s", FOLDER, model);
  MiniHost *mini
      = mini_host_new (mini_host_load (halves[half].module, halves[half].stage), path, threads);
  if (half == SORA_VAE_DECODER)
    mini_host_set_string (mini, "format", "f32");
  return mini;
}

/* The first `n` frames of a case, at most `chunk` a tensor; or its first `n` latents. */
static void
feed (MiniHost *mini, int half, const SoraTensorView *in, int64_t n, int64_t chunk)
{
  if (half == SORA_VAE_ENCODER)
    {
      const size_t one = in->nbytes / (size_t)in->shape[0];
      for (int64_t i = 0; i < n; i += chunk)
        {
          const int64_t shape[] = { n - i < chunk ? n - i : chunk, in->shape[1], in->shape[2], 3 };
          mini_host_input (mini, "frames", in->dtype, 4, shape,
                           (const char *)in->data + (size_t)i * one);
        }
      return;
    }
  static float latents[1 << 16];
  const int64_t pixels = in->shape[2] * in->shape[3];
  const int64_t shape[] = { in->shape[0], n, in->shape[2], in->shape[3] };
  ck_assert_uint_le (in->nbytes, sizeof latents);
  for (int64_t c = 0; c < in->shape[0]; c++)
    memcpy (latents + c * n * pixels, (const float *)in->data + c * in->shape[1] * pixels,
            (size_t)(n * pixels) * sizeof *latents);
  mini_host_input (mini, "latents", SORA_F32, 4, shape, latents);
}

static int64_t
length (int half, const SoraTensorView *in)
{
  return in->shape[half == SORA_VAE_DECODER ? 1 : 0];
}

static void
run (MiniHost *mini)
{
  ck_assert_msg (mini_host_run (mini) == SORA_OK, "%s", mini_host_error (mini));
}

/* All that was pushed, in a row.  The caller frees. */
static float *
joined (MiniHost *mini, int half, size_t *size)
{
  char *all = NULL;
  *size = 0;
  for (size_t i = 0; i < mini_host_n_outputs (mini, halves[half].output); i++)
    {
      SoraTensorView view = { .struct_size = sizeof view };
      mini_host_output (mini, halves[half].output, i, &view);
      ck_assert_int_eq (view.dtype, SORA_F32);
      all = realloc (all, *size + view.nbytes);
      memcpy (all + *size, view.data, view.nbytes);
      *size += view.nbytes;
    }
  return (float *)all;
}

static void
golden (const Case *c, int half, double *worst, double *least)
{
  const SoraTensorView *want = &c->want[half], *in = &c->in[half];
  MiniHost *mini = new_host (half, c->model, 2);
  feed (mini, half, in, length (half, in), 4);
  ck_assert_msg (mini_host_infer (mini) == SORA_OK, "%s", mini_host_error (mini));
  const SoraSpec *spec = mini_host_output_spec (mini, halves[half].output);
  ck_assert_int_eq (spec->ndim, 4);
  for (int axis = 0; axis < 4; axis++)
    ck_assert_int_eq (spec->shape[axis], want->shape[axis]);
  run (mini);
  size_t size;
  float *got = joined (mini, half, &size);
  ck_assert_uint_eq (size, want->nbytes);
  const float *w = want->data;
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
  ck_assert_msg (error <= halves[half].tolerance * scale, "%s, %s: error %.3g of %.3g",
                 halves[half].stage, c->name, error, scale);
  ck_assert_msg (cosine >= 0.99999, "%s, %s: cosine %.8f", halves[half].stage, c->name, cosine);
  *worst = fmax (*worst, error / scale);
  *least = fmin (*least, cosine);
  ck_assert_str_eq (mini_host_warning (mini), "");
  ck_assert_int_eq (mini_host_live_tensors (mini), 0);
  ck_assert_int_eq (mini_host_n_weights_open (mini), 0);
  free (got);
  mini_host_free (mini);
}

START_TEST (test_goldens)
{
  double worst = 0, least = 1;
  for (int i = 0; i < N_CASES; i++)
    golden (&cases[i], _i, &worst, &least);
  printf ("%s: %d cases of Wan 2.2's form, largest error %.2g, least cosine 1 - %.1g\n",
          halves[_i].stage, N_CASES, worst, 1 - least);
}
END_TEST

/* Threads, a second run, a run after release, and how a stream is cut change no byte. */
START_TEST (test_same_bytes)
{
  const Case *c = &cases[_i % N_CASES];
  const int half = _i / N_CASES;
  float *first = NULL;
  size_t size = 0;
  for (int threads = 1; threads <= 3; threads++)
    {
      static const int64_t chunks[] = { 1, 4, 17 };
      MiniHost *mini = new_host (half, c->model, threads);
      feed (mini, half, &c->in[half], length (half, &c->in[half]), chunks[threads - 1]);
      for (int round = 0; round < 2; round++)
        {
          size_t n;
          run (mini);
          float *got = joined (mini, half, &n);
          if (first == NULL)
            {
              first = malloc (n);
              size = n;
              memcpy (first, got, n);
            }
          ck_assert_uint_eq (n, size);
          ck_assert_msg (memcmp (got, first, size) == 0,
                         "%s, %s: %d threads, round %d: other bytes", halves[half].stage, c->name,
                         threads, round);
          free (got);
          if (round == 0)
            mini_host_release (mini);
        }
      mini_host_free (mini);
    }
  free (first);
}
END_TEST

/* Part by part is the whole, to the bit: what comes of a beginning is the beginning of what comes
 * of all. */
START_TEST (test_beginnings)
{
  const Case *c = &cases[_i == 0 ? LONG_A : LONG_B];
  const int64_t temporal = _i == 0 ? 4 : 2, latents = 1 + 16 / temporal;
  size_t size, all_size;
  MiniHost *whole = new_host (SORA_VAE_DECODER, c->model, 2);
  feed (whole, SORA_VAE_DECODER, &c->in[SORA_VAE_DECODER], latents, 1);
  run (whole);
  float *all = joined (whole, SORA_VAE_DECODER, &all_size);
  for (int64_t n = 1; n < latents; n++)
    {
      MiniHost *mini = new_host (SORA_VAE_DECODER, c->model, 2);
      feed (mini, SORA_VAE_DECODER, &c->in[SORA_VAE_DECODER], n, 1);
      run (mini);
      float *some = joined (mini, SORA_VAE_DECODER, &size);
      ck_assert_uint_eq (size, all_size / 17 * (size_t)(1 + (n - 1) * temporal));
      ck_assert_mem_eq (some, all, size);
      free (some);
      mini_host_free (mini);
    }
  free (all);
  mini_host_free (whole);

  whole = new_host (SORA_VAE_ENCODER, c->model, 2);
  feed (whole, SORA_VAE_ENCODER, &c->in[SORA_VAE_ENCODER], 17, 4);
  run (whole);
  all = joined (whole, SORA_VAE_ENCODER, &all_size);
  const int64_t *shape = c->want[SORA_VAE_ENCODER].shape, pixels = shape[2] * shape[3];
  for (int64_t n = 1; n < latents; n++)
    {
      MiniHost *mini = new_host (SORA_VAE_ENCODER, c->model, 2);
      feed (mini, SORA_VAE_ENCODER, &c->in[SORA_VAE_ENCODER], 1 + (n - 1) * temporal, 3);
      run (mini);
      float *some = joined (mini, SORA_VAE_ENCODER, &size);
      ck_assert_uint_eq (size, all_size / (size_t)latents * (size_t)n);
      for (int64_t z = 0; z < shape[0]; z++)
        ck_assert_mem_eq (some + z * n * pixels, all + z * latents * pixels,
                          (size_t)(n * pixels) * sizeof *some);
      free (some);
      mini_host_free (mini);
    }
  free (all);
  mini_host_free (whole);
}
END_TEST

/* 17 and 81 frames take the same memory, and it is what infer said; of model a, b, c, d. */
START_TEST (test_memory)
{
  static const struct
  {
    const char *model;
    int64_t z, spatial, temporal;
  } models[] = { { "a", 7, 16, 4 }, { "b", 6, 8, 2 }, { "c", 4, 4, 4 }, { "d", 5, 6, 1 } };
  const int half = _i % 2;
  const int64_t side = models[_i / 2].spatial;
  uint64_t peak[2];
  for (int i = 0; i < 2; i++)
    {
      const int64_t frames = i == 0 ? 17 : 81, t = 1 + (frames - 1) / models[_i / 2].temporal;
      const int64_t of_latents[] = { models[_i / 2].z, t, 3, 2 };
      const int64_t of_frames[] = { frames, 3 * side, 2 * side, 3 };
      float *zeros = calloc ((size_t)(81 * 6 * side * side), 3 * sizeof *zeros);
      MiniHost *mini = new_host (half, models[_i / 2].model, 2);
      mini_host_input (mini, halves[half].input, SORA_F32, 4,
                       half == SORA_VAE_DECODER ? of_latents : of_frames, zeros);
      mini_host_weigh (mini);
      ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
      run (mini);
      const SoraCost *cost = mini_host_cost (mini);
      ck_assert_uint_le (mini_host_heap_peak (mini),
                         cost->packed_bytes + cost->work_bytes + cost->output_bytes);
      peak[i] = mini_host_peak (mini, SORA_MEMORY_WORK);
      ck_assert_uint_eq (peak[i], cost->work_bytes);
      ck_assert_uint_eq (mini_host_reserved (mini, SORA_MEMORY_WEIGHTS), cost->packed_bytes);
      ck_assert_uint_gt (cost->weights_bytes, 0);
      ck_assert (cost->flops > 1e5);
      mini_host_free (mini);
      free (zeros);
    }
  ck_assert_uint_eq (peak[0], peak[1]);
}
END_TEST

/* Stopped at any moment, it gives everything back; and the next run is whole. */
START_TEST (test_cancel)
{
  const Case *c = &cases[LONG_A];
  MiniHost *mini = new_host (_i, c->model, 2);
  feed (mini, _i, &c->in[_i], length (_i, &c->in[_i]), 4);
  mini_host_check_cancel (mini, 8);
  mini_host_free (mini);
}
END_TEST

/* Another configuration over the weights of model a. */
START_TEST (test_other_weights)
{
  static const struct
  {
    int half;
    const char *key, *value, *says;
  } changes[] = {
    { SORA_VAE_DECODER, "is_residual", "false",
      "'decoder.up_blocks.1.resnets.0.norm1.gamma' is [8, 1, 1, 1], expected [4, 1, 1, 1]" },
    { SORA_VAE_ENCODER, "is_residual", "false", "missing: 'encoder.down_blocks.0.norm1.gamma'" },
    { SORA_VAE_DECODER, "patch_size", "1",
      "'out_channels' is 12, expected 3: 3 for each pixel of a 'patch_size' of 1" },
    { SORA_VAE_DECODER, "patch_size", "4", "'out_channels' is 12, expected 48" },
    { SORA_VAE_DECODER, "patch_size", "17", "patch_size" },
    { SORA_VAE_DECODER, "out_channels", "3", "'out_channels' is 3, expected 12" },
    { SORA_VAE_ENCODER, "in_channels", "3", "'in_channels' is 3, expected 12" },
    { SORA_VAE_DECODER, "dim_mult", "[1, 2, 3, 3]",
      "the decoder's block 2 would make 4 channels of 6 at 4 times the size: 'is_residual'" },
    { SORA_VAE_ENCODER, "dim_mult", "[1, 2, 4, 8]",
      "the encoder's level 3 would make 16 channels of 8 times 1: 'is_residual'" },
    { SORA_VAE_DECODER, "decoder_base_dim", "4", "expected [16, 7, 3, 3, 3]" },
    { SORA_VAE_ENCODER, "base_dim", "4", "expected [4, 12, 3, 3, 3]" },
    { SORA_VAE_DECODER, "z_dim", "48", "latents_mean" },
  };
  const Case *c = &cases[0];
  char folder[200], path[256], link[256];
  mini_host_tmp (folder, sizeof folder, "sora-test-vae22-XXXXXX");
  ck_assert_ptr_nonnull (mkdtemp (folder));
  (void)snprintf (path, sizeof path, "%s/vae", folder);
  ck_assert_int_eq (mkdir (path, 0700), 0);
  json_t *config = json_load_file (FOLDER "/a/vae/config.json", 0, NULL);
  json_object_set_new (config, changes[_i].key,
                       json_loads (changes[_i].value, JSON_DECODE_ANY, NULL));
  json_object_del (config, "scale_factor_spatial");
  (void)snprintf (path, sizeof path, "%s/vae/config.json", folder);
  ck_assert_int_eq (json_dump_file (config, path, 0), 0);
  json_decref (config);
  (void)snprintf (link, sizeof link, "%s/vae/diffusion_pytorch_model.safetensors", folder);
  ck_assert_int_eq (symlink (FOLDER "/a/vae/diffusion_pytorch_model.safetensors", link), 0);

  const Half *half = &halves[changes[_i].half];
  MiniHost *mini = mini_host_new (mini_host_load (half->module, half->stage), folder, 1);
  feed (mini, changes[_i].half, &c->in[changes[_i].half], 1, 1);
  ck_assert_int_eq (mini_host_infer (mini), SORA_FAILED);
  ck_assert_msg (strstr (mini_host_error (mini), changes[_i].says) != NULL,
                 "'%s' does not say '%s'", mini_host_error (mini), changes[_i].says);
  ck_assert_int_eq (mini_host_n_weights_open (mini), 0);
  mini_host_free (mini);
  (void)unlink (link);
  (void)unlink (path);
  (void)snprintf (path, sizeof path, "%s/vae", folder);
  (void)rmdir (path);
  (void)rmdir (folder);
}
END_TEST

/* The rate: what the user says, else what the latents say, else 16; and an encoder hands it on. */
START_TEST (test_fps)
{
  const SoraTensorView *latents = &cases[0].in[SORA_VAE_DECODER];
  double fps = 0;
  MiniHost *mini = new_host (SORA_VAE_DECODER, "a", 1);
  feed (mini, SORA_VAE_DECODER, latents, 1, 1);
  ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
  ck_assert_int_eq (mini_host_output_attr_f64 (mini, "frames", "fps", &fps), SORA_OK);
  ck_assert_double_eq (fps, 16);
  mini_host_input_attr_f64 (mini, "latents", "fps", 24);
  ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
  ck_assert_int_eq (mini_host_output_attr_f64 (mini, "frames", "fps", &fps), SORA_OK);
  ck_assert_double_eq (fps, 24);
  mini_host_set_f64 (mini, "fps", 12.5);
  ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
  ck_assert_int_eq (mini_host_output_attr_f64 (mini, "frames", "fps", &fps), SORA_OK);
  ck_assert_double_eq (fps, 12.5);
  mini_host_free (mini);

  mini = new_host (SORA_VAE_ENCODER, "a", 1);
  feed (mini, SORA_VAE_ENCODER, &cases[0].in[SORA_VAE_ENCODER], 1, 1);
  ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
  ck_assert_int_eq (mini_host_output_attr_f64 (mini, "latents", "fps", &fps), SORA_NOT_FOUND);
  mini_host_input_attr_f64 (mini, "frames", "fps", 25);
  ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
  ck_assert_int_eq (mini_host_output_attr_f64 (mini, "latents", "fps", &fps), SORA_OK);
  ck_assert_double_eq (fps, 25);
  mini_host_free (mini);
}
END_TEST

/* Pictures that are no whole number of latents. */
START_TEST (test_sizes)
{
  static const uint8_t zeros[40 * 48 * 3];
  const int64_t shape[] = { 1, 40, 48, 3 };
  MiniHost *mini = new_host (SORA_VAE_ENCODER, "a", 1);
  mini_host_input (mini, "frames", SORA_U8, 4, shape, zeros);
  ck_assert_int_eq (mini_host_infer (mini), SORA_FAILED);
  ck_assert_ptr_nonnull (strstr (mini_host_error (mini), "multiples of 16"));
  mini_host_free (mini);
}
END_TEST

/* The real checkpoint's shape, from its configuration; the counts are of the reference class made
 * with it. */
START_TEST (test_wan_2_2)
{
  static const int expected[] = { [SORA_VAE_DECODER] = 110, [SORA_VAE_ENCODER] = 86 };
  static const int64_t expected_numbers[]
      = { [SORA_VAE_DECODER] = 555051580, [SORA_VAE_ENCODER] = 149637088 };
  static SoraVaeLayer layers[SORA_VAE_MAX_LAYERS];
  SoraVaeConfig config;
  char json[2048] = "{\"_class_name\": \"AutoencoderKLWan\", \"base_dim\": 160,"
                    " \"decoder_base_dim\": 256, \"z_dim\": 48, \"dim_mult\": [1, 2, 4, 4],"
                    " \"num_res_blocks\": 2, \"attn_scales\": [], \"is_residual\": true,"
                    " \"temperal_downsample\": [false, true, true], \"dropout\": 0.0,"
                    " \"in_channels\": 12, \"out_channels\": 12, \"patch_size\": 2,"
                    " \"clip_output\": false, \"scale_factor_spatial\": 16,"
                    " \"scale_factor_temporal\": 4, \"latents_mean\": [0.5";
  for (int i = 1; i < 48; i++)
    strcat (json, ", 0.5");
  strcat (json, "], \"latents_std\": [1");
  for (int i = 1; i < 48; i++)
    strcat (json, ", 1");
  strcat (json, "]}");
  SoraKitConfig *file = sora_kit_config_new (json, strlen (json), "vae/config.json");
  sora_vae_config_read (file, &config);
  sora_vae_config_read_encoder (file, &config);
  ck_assert_msg (sora_kit_config_error (file) == NULL, "%s", sora_kit_config_error (file));
  sora_kit_config_free (file);
  ck_assert_int_eq (config.spatial, 16);
  ck_assert_int_eq (config.temporal, 4);
  for (int half = SORA_VAE_DECODER; half <= SORA_VAE_ENCODER; half++)
    {
      const int n = sora_vae_layers (&config, (SoraVaeHalf)half, layers);
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
      ck_assert_int_eq (tensors, expected[half]);
      ck_assert_int_eq (numbers, expected_numbers[half]);
    }

  /* 1280x704x121, and ten times as long in the same memory. */
  uint64_t bytes, more;
  double flops, more_flops;
  ck_assert_int_eq (sora_vae_estimate (&config, 31, 44, 80, &bytes, &flops), 0);
  ck_assert_int_eq (sora_vae_estimate (&config, 310, 44, 80, &more, &more_flops), 0);
  printf ("decode 1280x704x121: %.2f GB, %.0f TFLOP\n", (double)bytes / 1e9, flops / 1e12);
  ck_assert_uint_eq (more, bytes);
  ck_assert (more_flops > 9.9 * flops && more_flops < 10.3 * flops);
  ck_assert_int_eq (sora_vae_encode_estimate (&config, 31, 704, 1280, &bytes, &flops), 0);
  ck_assert_int_eq (sora_vae_encode_estimate (&config, 310, 704, 1280, &more, &more_flops), 0);
  printf ("encode 1280x704x121: %.2f GB, %.0f TFLOP\n", (double)bytes / 1e9, flops / 1e12);
  ck_assert_uint_eq (more, bytes);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("vae-22");
  TCase *tcase = tcase_create ("vae22");
  tcase_set_timeout (tcase, 900);
  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_add_loop_test (tcase, test_goldens, 0, 2);
  tcase_add_loop_test (tcase, test_same_bytes, 0, 2 * N_CASES);
  tcase_add_loop_test (tcase, test_beginnings, 0, 2);
  tcase_add_loop_test (tcase, test_memory, 0, 8);
  tcase_add_loop_test (tcase, test_cancel, 0, 2);
  tcase_add_loop_test (tcase, test_other_weights, 0, 12);
  tcase_add_test (tcase, test_fps);
  tcase_add_test (tcase, test_sizes);
  tcase_add_test (tcase, test_wan_2_2);
  suite_add_tcase (suite, tcase);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
