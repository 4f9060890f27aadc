/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * test-vae-encode.c: the encoder's latents against diffusers' (tests/golden/encode), its promises
 * (the same bytes at any thread count and however the frames are cut, latents that look at no later
 * frame, memory that does not grow with the clip and is what infer said, a clean end when
 * cancelled), what it refuses, and pictures of the shipped model there and back.
 */
#include "mini-host-check.h"

#include "plugins/vae-wan/vae-encoder.h"

#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODULE SORA_TEST_PLUGINS "/vae-wan-encode.so"
#define FOLDER SORA_TEST_GOLDEN "/encode"
#define EMBEDDED SORA_TEST_MODELS "/sora-shapes-1"

enum
{
  N_CASES = 9,
  FIVE = 4, /* 5 frames of bytes, 8x8 pixels and 4 frames a latent */
  LONG = 5  /* 17 of them */
};

typedef struct
{
  char name[48], model[16];
  SoraTensorView frames, want;
} Case;

static MiniFile *data;
static Case cases[N_CASES];

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
      char key[80];
      Case *c = &cases[i];
      json_t *item = json_array_get (list, i);
      *c = (Case){ .frames = { .struct_size = sizeof c->frames },
                   .want = { .struct_size = sizeof c->want } };
      (void)snprintf (c->name, sizeof c->name, "%s",
                      json_string_value (json_object_get (item, "name")));
      (void)snprintf (c->model, sizeof c->model, "%s",
                      json_string_value (json_object_get (item, "model")));
      (void)snprintf (key, sizeof key, "%s.frames", c->name);
      ck_assert_int_eq (mini_file_tensor (data, key, &c->frames), SORA_OK);
      (void)snprintf (key, sizeof key, "%s.latents", c->name);
      ck_assert_int_eq (mini_file_tensor (data, key, &c->want), SORA_OK);
    }
  json_decref (book);
}

static void
teardown (void)
{
  mini_file_close (data);
}

/* The first `frames` of a clip, at most `chunk` a tensor. */
static void
feed (MiniHost *mini, const SoraTensorView *clip, int64_t frames, int64_t chunk)
{
  const size_t one = clip->nbytes / (size_t)clip->shape[0];
  for (int64_t i = 0; i < frames; i += chunk)
    {
      const int64_t n = frames - i < chunk ? frames - i : chunk;
      const int64_t shape[] = { n, clip->shape[1], clip->shape[2], 3 };
      mini_host_input (mini, "frames", clip->dtype, 4, shape,
                       (const char *)clip->data + (size_t)i * one);
    }
}

static MiniHost *
new_host (const Case *c, int threads)
{
  char path[1024];
  (void)snprintf (path, sizeof path, "%s/%s", FOLDER, c->model);
  return mini_host_new (mini_host_load (MODULE, "vae-wan-encode"), path, threads);
}

static MiniHost *
new_for_case (const Case *c, int threads)
{
  MiniHost *mini = new_host (c, threads);
  feed (mini, &c->frames, c->frames.shape[0], 4);
  return mini;
}

static void
run (MiniHost *mini)
{
  ck_assert_msg (mini_host_run (mini) == SORA_OK, "%s", mini_host_error (mini));
}

static SoraTensorView
latents_of (MiniHost *mini)
{
  SoraTensorView view = { .struct_size = sizeof view };
  ck_assert_uint_eq (mini_host_n_outputs (mini, "latents"), 1);
  mini_host_output (mini, "latents", 0, &view);
  ck_assert_int_eq (view.ndim, 4);
  ck_assert_int_eq (view.dtype, SORA_F32);
  return view;
}

START_TEST (test_goldens)
{
  double worst = 0, least = 1;
  for (int i = 0; i < N_CASES; i++)
    {
      const Case *c = &cases[i];
      MiniHost *mini = new_for_case (c, 2);
      int64_t trim;
      ck_assert_msg (mini_host_infer (mini) == SORA_OK, "%s", mini_host_error (mini));
      const SoraSpec *spec = mini_host_output_spec (mini, "latents");
      ck_assert_int_eq (spec->ndim, 4);
      for (int axis = 0; axis < 4; axis++)
        ck_assert_int_eq (spec->shape[axis], c->want.shape[axis]);
      ck_assert_int_eq (mini_host_output_attr_i64 (mini, "latents", "trim_frames", &trim),
                        SORA_NOT_FOUND);
      run (mini);
      const SoraTensorView got = latents_of (mini);
      ck_assert_uint_eq (got.nbytes, c->want.nbytes);
      const float *g = got.data, *w = c->want.data;
      double error = 0, scale = 0, ab = 0, aa = 0, bb = 0;
      for (size_t j = 0; j < got.nbytes / sizeof *g; j++)
        {
          error = fmax (error, fabs ((double)g[j] - w[j]));
          scale = fmax (scale, fabs ((double)w[j]));
          ab += (double)g[j] * w[j];
          aa += (double)g[j] * g[j];
          bb += (double)w[j] * w[j];
        }
      const double cosine = ab / sqrt (aa * bb);
      ck_assert_msg (error <= 2e-5 * scale, "%s: error %.3g of %.3g", c->name, error, scale);
      ck_assert_msg (cosine >= 0.99999, "%s: cosine %.8f", c->name, cosine);
      worst = fmax (worst, error / scale);
      least = fmin (least, cosine);
      ck_assert_str_eq (mini_host_warning (mini), "");
      ck_assert_int_eq (mini_host_live_tensors (mini), 0);
      ck_assert_int_eq (mini_host_n_weights_open (mini), 0);
      mini_host_free (mini);
    }
  printf ("vae-wan-encode: %d cases, largest error %.2g, least cosine 1 - %.1g\n", N_CASES, worst,
          1 - least);
}
END_TEST

/* Threads, a second run, a run after release, and how the stream is cut change no byte. */
START_TEST (test_same_bytes)
{
  const Case *c = &cases[_i];
  char *first = NULL;
  size_t size = 0;
  for (int threads = 1; threads <= 3; threads++)
    {
      static const int64_t chunks[] = { 1, 4, 17 };
      MiniHost *mini = new_host (c, threads);
      feed (mini, &c->frames, c->frames.shape[0], chunks[threads - 1]);
      for (int round = 0; round < 2; round++)
        {
          run (mini);
          const SoraTensorView got = latents_of (mini);
          if (first == NULL)
            {
              size = got.nbytes;
              first = malloc (size);
              memcpy (first, got.data, size);
            }
          ck_assert_uint_eq (got.nbytes, size);
          ck_assert_msg (memcmp (got.data, first, size) == 0,
                         "%s: %d threads, round %d: other bytes", c->name, threads, round);
          ck_assert_uint_gt (mini_host_reserved (mini, SORA_MEMORY_WEIGHTS), 0);
          if (round == 0)
            mini_host_release (mini);
        }
      mini_host_free (mini);
    }
  free (first);
}
END_TEST

/* A shorter clip's latents are the first ones of the longer clip's, to the bit. */
START_TEST (test_causal)
{
  const Case *c = &cases[LONG];
  MiniHost *whole = new_for_case (c, 2);
  run (whole);
  const SoraTensorView all = latents_of (whole);
  for (int64_t frames = 1; frames < 17; frames += 4)
    {
      MiniHost *mini = new_host (c, 2);
      feed (mini, &c->frames, frames, 4);
      run (mini);
      const SoraTensorView some = latents_of (mini);
      const int64_t n = some.shape[2] * some.shape[3];
      ck_assert_int_eq (some.shape[1], 1 + (frames - 1) / 4);
      for (int64_t z = 0; z < some.shape[0]; z++)
        ck_assert_mem_eq ((const float *)some.data + z * some.shape[1] * n,
                          (const float *)all.data + z * all.shape[1] * n,
                          (size_t)(some.shape[1] * n) * sizeof (float));
      mini_host_free (mini);
    }
  mini_host_free (whole);
}
END_TEST

/* Bytes are their numbers, x / 255. */
START_TEST (test_bytes_and_numbers)
{
  const Case *c = &cases[FIVE];
  const size_t n = c->frames.nbytes;
  const uint8_t *bytes = c->frames.data;
  float *numbers = malloc (n * sizeof *numbers);
  for (size_t i = 0; i < n; i++)
    numbers[i] = (float)bytes[i] / 255.0f;
  MiniHost *a = new_for_case (c, 2), *b = new_host (c, 2);
  mini_host_input (b, "frames", SORA_F32, 4, c->frames.shape, numbers);
  run (a);
  run (b);
  const SoraTensorView of_a = latents_of (a), of_b = latents_of (b);
  ck_assert_uint_eq (of_a.nbytes, of_b.nbytes);
  ck_assert_mem_eq (of_a.data, of_b.data, of_a.nbytes);
  mini_host_free (a);
  mini_host_free (b);
  free (numbers);
}
END_TEST

/* Frames that make no whole latent: the last one is repeated, and user and decoder are told. */
START_TEST (test_any_number)
{
  const Case *c = &cases[LONG];
  const size_t one = c->frames.nbytes / 17;
  const int64_t shape[] = { 17, c->frames.shape[1], c->frames.shape[2], 3 };
  for (int64_t frames = 2; frames <= 16; frames++)
    {
      if (frames % 4 == 1)
        continue;
      int64_t trim = 0;
      const int64_t whole = 1 + (frames + 2) / 4 * 4;
      MiniHost *mini = new_host (c, 2), *padded = new_host (c, 2);
      feed (mini, &c->frames, frames, 3);
      ck_assert_msg (mini_host_infer (mini) == SORA_OK, "%s", mini_host_error (mini));
      ck_assert_int_eq (mini_host_output_attr_i64 (mini, "latents", "trim_frames", &trim), SORA_OK);
      ck_assert_int_eq (trim, frames);
      run (mini);
      char says[64];
      (void)snprintf (says, sizeof says, "has %d frames: the last one is repeated to make %d",
                      (int)frames, (int)whole);
      ck_assert_msg (strstr (mini_host_warning (mini), says) != NULL, "'%s' does not say '%s'",
                     mini_host_warning (mini), says);

      char *clip = malloc (c->frames.nbytes);
      memcpy (clip, c->frames.data, (size_t)frames * one);
      for (int64_t i = frames; i < whole; i++)
        memcpy (clip + (size_t)i * one, clip + (size_t)(frames - 1) * one, one);
      const SoraTensorView view
          = { .dtype = SORA_U8, .data = clip, .shape = shape, .nbytes = 17 * one };
      feed (padded, &view, whole, 4);
      run (padded);
      const SoraTensorView got = latents_of (mini), want = latents_of (padded);
      ck_assert_uint_eq (got.nbytes, want.nbytes);
      ck_assert_mem_eq (got.data, want.data, got.nbytes);
      free (clip);
      mini_host_free (mini);
      mini_host_free (padded);
    }
}
END_TEST

START_TEST (test_memory)
{
  const Case *c = &cases[0];
  uint64_t peak[2];
  for (int i = 0; i < 2; i++)
    {
      const int64_t n = i == 0 ? 17 : 81, shape[] = { n, 24, 16, 3 };
      uint8_t *frames = calloc ((size_t)n, 24 * 16 * 3);
      MiniHost *mini = new_host (c, 2);
      mini_host_input (mini, "frames", SORA_U8, 4, shape, frames);
      mini_host_weigh (mini);
      ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
      ck_assert_int_eq (mini_host_run (mini), SORA_OK);
      const SoraCost *cost = mini_host_cost (mini);
      /* In a hundredth is malloc's own: headers, and small pieces that were freed and that it
       * counts. */
      const uint64_t said = cost->packed_bytes + cost->work_bytes + cost->output_bytes;
      ck_assert_uint_le (mini_host_heap_peak (mini), said + said / 100);
      peak[i] = mini_host_peak (mini, SORA_MEMORY_WORK);
      ck_assert_uint_eq (peak[i], cost->work_bytes);
      ck_assert_uint_eq (mini_host_reserved (mini, SORA_MEMORY_WEIGHTS), cost->packed_bytes);
      ck_assert_uint_gt (cost->weights_bytes, 0);
      ck_assert (cost->flops > 1e6);
      ck_assert_uint_eq (cost->output_bytes, latents_of (mini).nbytes);
      ck_assert_int_eq (mini_host_steps (mini), (int)(1 + (n - 1) / 4));
      mini_host_free (mini);
      free (frames);
    }
  ck_assert_uint_eq (peak[0], peak[1]);
}
END_TEST

/* Stopped at any moment, it gives everything back; and the next run is whole. */
START_TEST (test_cancel)
{
  MiniHost *mini = new_for_case (&cases[FIVE], 2);
  mini_host_check_cancel (mini, 8);
  mini_host_free (mini);
}
END_TEST

START_TEST (test_bad_inputs)
{
  static const MiniBadInput bad[] = {
    { SORA_U8,
      4,
      { 1, 24, 44, 3 },
      "frames of 44x24, expected width and height to be multiples of 8" },
    { SORA_U8,
      4,
      { 1, 20, 40, 3 },
      "frames of 40x20, expected width and height to be multiples of 8" },
    { SORA_U8, 4, { 1, 24, 40, 4 }, "4 axes, expected 4: [T,H,W,3]" },
    { SORA_U8, 3, { 24, 40, 3 }, "3 axes" },
    { SORA_U8, 4, { 0, 24, 40, 3 }, "0 frames" },
    { SORA_U8, 4, { 1, 8, 16392, 3 }, "16392x8" },
  };
  char path[1024];
  (void)snprintf (path, sizeof path, "%s/%s", FOLDER, cases[FIVE].model);
  mini_host_check_refuses (mini_host_load (MODULE, "vae-wan-encode"), path, "frames", bad,
                           sizeof bad / sizeof bad[0]);

  /* Numbers that are none, or that were made for -1 to 1. */
  static const float values[] = { NAN, INFINITY, -1, 1.5f };
  for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
    {
      const int64_t shape[] = { 1, 8, 8, 3 };
      float frame[8 * 8 * 3] = { 0 };
      frame[100] = values[i];
      MiniHost *mini = new_host (&cases[FIVE], 2);
      mini_host_input (mini, "frames", SORA_F32, 4, shape, frame);
      ck_assert_int_eq (mini_host_run (mini), SORA_FAILED);
      ck_assert_ptr_nonnull (strstr (mini_host_error (mini), "not in 0 to 1"));
      ck_assert_int_eq (mini_host_live_tensors (mini), 0);
      mini_host_free (mini);
    }
}
END_TEST

/* Another configuration over the weights of model b; in infer, or where tensors are too many. */
START_TEST (test_other_weights)
{
  static const struct
  {
    const char *key, *value;
    int in_infer;
    const char *says;
  } changes[] = {
    { "num_res_blocks", "3", 1,
      "'encoder.down_blocks.4.norm1.gamma' is [8, 1, 1, 1], expected [4, 1, 1, 1]" },
    { "base_dim", "8", 1, "expected [8, 3, 3, 3, 3]" },
    { "attn_scales", "[0.125]", 1, "missing: 'encoder.down_blocks.10.norm.gamma'" },
    { "dim_mult", "[1, 2, 2]", 1, "temperal_downsample" },
    { "in_channels", "12", 1, "'in_channels' is 12, expected 3" },
    { "num_res_blocks", "0", 1, "nothing to change its channels by" },
    { "temperal_downsample", "[true, true, true]", 1, "8 frames, expected 4 at most" },
    { "temperal_downsample", "[false, false, true]", 0, "'encoder.down_blocks.5.time_conv" },
    { "attn_scales", "\"none\"", 1, "attn_scales" },
    { "is_residual", "true", 1, "missing: 'encoder.down_blocks.0.resnets.0.norm1.gamma'" },
  };
  for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
    {
      char folder[200], path[256], link[3][256];
      static const char *const files[] = { ".safetensors.index.json", "-00001-of-00002.safetensors",
                                           "-00002-of-00002.safetensors" };
      mini_host_tmp (folder, sizeof folder, "sora-test-encode-XXXXXX");
      ck_assert_ptr_nonnull (mkdtemp (folder));
      (void)snprintf (path, sizeof path, "%s/vae", folder);
      ck_assert_int_eq (mkdir (path, 0700), 0);
      json_t *config = json_load_file (FOLDER "/b/vae/config.json", 0, NULL);
      json_object_set_new (config, changes[i].key,
                           json_loads (changes[i].value, JSON_DECODE_ANY, NULL));
      json_object_del (config, "scale_factor_temporal");
      json_object_del (config, "scale_factor_spatial");
      (void)snprintf (path, sizeof path, "%s/vae/config.json", folder);
      ck_assert_int_eq (json_dump_file (config, path, 0), 0);
      json_decref (config);
      for (int k = 0; k < 3; k++)
        {
          char from[512];
          (void)snprintf (from, sizeof from, "%s/b/vae/diffusion_pytorch_model%s", FOLDER,
                          files[k]);
          (void)snprintf (link[k], sizeof link[k], "%s/vae/diffusion_pytorch_model%s", folder,
                          files[k]);
          ck_assert_int_eq (symlink (from, link[k]), 0);
        }
      MiniHost *mini = mini_host_new (mini_host_load (MODULE, "vae-wan-encode"), folder, 1);
      feed (mini, &cases[FIVE].frames, 1, 1);
      ck_assert_int_eq (mini_host_infer (mini), changes[i].in_infer ? SORA_FAILED : SORA_OK);
      if (!changes[i].in_infer)
        {
          ck_assert_int_eq (mini_host_run (mini), SORA_FAILED);
          ck_assert_uint_eq (mini_host_reserved (mini, SORA_MEMORY_WEIGHTS), 0);
        }
      ck_assert_msg (strstr (mini_host_error (mini), changes[i].says) != NULL,
                     "'%s' does not say '%s'", mini_host_error (mini), changes[i].says);
      ck_assert_int_eq (mini_host_n_weights_open (mini), 0);
      mini_host_free (mini);
      for (int k = 0; k < 3; k++)
        (void)unlink (link[k]);
      (void)unlink (path);
      (void)snprintf (path, sizeof path, "%s/vae", folder);
      (void)rmdir (path);
      (void)rmdir (folder);
    }
}
END_TEST

/* A model without an encoder says so; the decoder of one without it works on (test-vae-wan). */
START_TEST (test_decoder_alone)
{
  const int64_t shape[] = { 1, 8, 8, 3 };
  const uint8_t frame[8 * 8 * 3] = { 0 };
  MiniHost *mini = mini_host_new (mini_host_load (MODULE, "vae-wan-encode"),
                                  SORA_TEST_GOLDEN "/models/small-a", 1);
  mini_host_input (mini, "frames", SORA_U8, 4, shape, frame);
  ck_assert_int_eq (mini_host_infer (mini), SORA_FAILED);
  ck_assert_msg (strstr (mini_host_error (mini), "missing: 'encoder.conv_in.weight'") != NULL, "%s",
                 mini_host_error (mini));
  mini_host_free (mini);
}
END_TEST

/* The real checkpoint's shape: 194 tensors less the decoder's 108, 126,892,531 numbers less its 73
 * million (wan.md). */
START_TEST (test_wan_2_1)
{
  static const char json[]
      = "{\"_class_name\": \"AutoencoderKLWan\", \"base_dim\": 96, \"z_dim\": 16,"
        " \"dim_mult\": [1, 2, 4, 4], \"num_res_blocks\": 2, \"attn_scales\": [],"
        " \"temperal_downsample\": [false, true, true], \"dropout\": 0.0}";
  static SoraVaeLayer layers[SORA_VAE_MAX_LAYERS];
  SoraVaeConfig config;
  SoraKitConfig *file = sora_kit_config_new (json, sizeof json - 1, "vae/config.json");
  sora_vae_config_read (file, &config);
  sora_vae_config_read_encoder (file, &config);
  ck_assert_msg (sora_kit_config_error (file) == NULL, "%s", sora_kit_config_error (file));
  sora_kit_config_free (file);
  int tensors = 0;
  int64_t numbers = 0;
  for (int half = SORA_VAE_DECODER; half <= SORA_VAE_ENCODER; half++)
    {
      const int n = sora_vae_layers (&config, (SoraVaeHalf)half, layers);
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
    }
  ck_assert_int_eq (tensors, 194);
  ck_assert_int_eq (numbers, 126892531);

  uint64_t bytes, more;
  double flops;
  ck_assert_int_eq (sora_vae_encode_estimate (&config, 21, 480, 832, &bytes, &flops), 0);
  ck_assert_msg (bytes > 1500000000 && bytes < 4500000000, "%llu", (unsigned long long)bytes);
  ck_assert_msg (flops > 100e12 && flops < 250e12, "%g", flops);
  ck_assert_int_eq (sora_vae_encode_estimate (&config, 210, 480, 832, &more, &flops), 0);
  ck_assert_uint_eq (more, bytes);
}
END_TEST

static double
psnr (const uint8_t *a, const uint8_t *b, size_t n)
{
  double sum = 0;
  for (size_t i = 0; i < n; i++)
    sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
  return 10 * log10 (255.0 * 255.0 * (double)n / sum);
}

/* Frames that the shipped model made, encoded and decoded again: much the same pictures. */
START_TEST (test_round_trip)
{
  SoraTensorView clip = { .struct_size = sizeof clip };
  MiniFile *file = mini_file_open (SORA_TEST_GOLDEN "/embedded/pipeline-embedded.safetensors");
  ck_assert_ptr_nonnull (file);
  ck_assert_int_eq (mini_file_tensor (file, "unipc.frames", &clip), SORA_OK);
  ck_assert_int_eq (clip.dtype, SORA_U8);
  MiniHost *up = mini_host_new (mini_host_load (MODULE, "vae-wan-encode"), EMBEDDED, 2);
  feed (up, &clip, clip.shape[0], 4);
  run (up);
  const SoraTensorView latents = latents_of (up);
  MiniHost *down
      = mini_host_new (mini_host_load (SORA_TEST_PLUGINS "/vae-wan.so", "vae-wan"), EMBEDDED, 2);
  mini_host_input (down, "latents", SORA_F32, 4, latents.shape, latents.data);
  run (down);
  uint8_t *back = malloc (clip.nbytes);
  size_t size = 0;
  for (size_t i = 0; i < mini_host_n_outputs (down, "frames"); i++)
    {
      SoraTensorView view = { .struct_size = sizeof view };
      mini_host_output (down, "frames", i, &view);
      ck_assert_uint_le (size + view.nbytes, clip.nbytes);
      memcpy (back + size, view.data, view.nbytes);
      size += view.nbytes;
    }
  ck_assert_uint_eq (size, clip.nbytes);
  const double db = psnr (back, clip.data, size);
  printf ("vae-wan-encode: there and back %.1f dB\n", db);
  ck_assert_msg (db >= 24, "%.1f dB", db);
  free (back);
  mini_host_free (up);
  mini_host_free (down);
  mini_file_close (file);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("vae-wan-encode");
  TCase *tcase = tcase_create ("encode");
  tcase_set_timeout (tcase, 240);
  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_add_test (tcase, test_goldens);
  tcase_add_loop_test (tcase, test_same_bytes, 0, N_CASES);
  tcase_add_test (tcase, test_causal);
  tcase_add_test (tcase, test_bytes_and_numbers);
  tcase_add_test (tcase, test_any_number);
  tcase_add_test (tcase, test_memory);
  tcase_add_test (tcase, test_cancel);
  tcase_add_test (tcase, test_bad_inputs);
  tcase_add_test (tcase, test_other_weights);
  tcase_add_test (tcase, test_decoder_alone);
  tcase_add_test (tcase, test_wan_2_1);
  tcase_add_test (tcase, test_round_trip);
  suite_add_tcase (suite, tcase);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
