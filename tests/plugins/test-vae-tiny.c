/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * test-vae-tiny.c: the tiny decoder's pictures against the reference class (tests/golden/tiny), its
 * promises (the same bytes at any thread count and however far the clip goes on, memory that does
 * not grow with it and is what infer said, a clean end when cancelled), and what it refuses.
 */
#include "mini-host-check.h"

#include "plugins/vae-tiny/tiny-config.h"
#include "plugins/vae-tiny/tiny-decoder.h"

#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODULE SORA_TEST_PLUGINS "/vae-tiny.so"
#define FOLDER SORA_TEST_GOLDEN "/tiny"
#define MODEL_A FOLDER "/taew2_1-a.safetensors" /* of 16 channels, widths 5, 6, 4, 5 */

typedef struct
{
  const char *name, *model;
  int64_t frames, every;
  MiniFile *file;
  SoraTensorView latents, want;
} Case;

enum
{
  N_CASES = 9,
  LONG = 2 /* 17 frames */
};

static void
open_case (json_t *book, size_t i, MiniFile *file, Case *c)
{
  char key[80];
  json_t *item = json_array_get (json_object_get (book, "cases"), i);
  *c = (Case){ .name = json_string_value (json_object_get (item, "name")),
               .model = json_string_value (json_object_get (item, "model")),
               .frames = json_integer_value (json_object_get (item, "frames")),
               .every = json_integer_value (json_object_get (item, "every")),
               .latents = { .struct_size = sizeof c->latents },
               .want = { .struct_size = sizeof c->want } };
  ck_assert_ptr_nonnull (c->name);
  (void)snprintf (key, sizeof key, "%s.latents", c->name);
  ck_assert_int_eq (mini_file_tensor (file, key, &c->latents), SORA_OK);
  (void)snprintf (key, sizeof key, "%s.frames", c->name);
  ck_assert_int_eq (mini_file_tensor (file, key, &c->want), SORA_OK);
}

static json_t *book;
static MiniFile *data;
static Case cases[N_CASES];

static void
setup (void)
{
  book = json_load_file (FOLDER "/index.json", 0, NULL);
  data = mini_file_open (FOLDER "/cases.safetensors");
  ck_assert_ptr_nonnull (book);
  ck_assert_ptr_nonnull (data);
  ck_assert_uint_eq (json_array_size (json_object_get (book, "cases")), N_CASES);
  for (size_t i = 0; i < N_CASES; i++)
    open_case (book, i, data, &cases[i]);
}

static void
teardown (void)
{
  mini_file_close (data);
  json_decref (book);
}

static MiniHost *
new_for_case (const Case *c, int threads)
{
  char path[1024];
  (void)snprintf (path, sizeof path, "%s/%s", FOLDER, c->model);
  MiniHost *mini = mini_host_new (mini_host_load (MODULE, "vae-tiny"), path, threads);
  mini_host_input (mini, "latents", c->latents.dtype, c->latents.ndim, c->latents.shape,
                   c->latents.data);
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

static void
run (MiniHost *mini)
{
  ck_assert_msg (mini_host_run (mini) == SORA_OK, "%s", mini_host_error (mini));
}

/* The kept lines of `got` [F, Y, X, 3] beside what the reference has there. */
static void
compare (const Case *c, const float *got, int64_t height, double *worst, double *least)
{
  const float *want = c->want.data;
  const int64_t line = c->want.shape[2] * 3;
  double error = 0, scale = 0, ab = 0, aa = 0, bb = 0;
  for (int64_t f = 0; f < c->frames; f++)
    for (int64_t y = 0; y < height; y += c->every)
      for (int64_t i = 0; i < line; i++)
        {
          const double g = got[(f * height + y) * line + i], w = *want++;
          error = fmax (error, fabs (g - w));
          scale = fmax (scale, fabs (w));
          ab += g * w;
          aa += g * g;
          bb += w * w;
        }
  ck_assert_ptr_eq (want, (const float *)c->want.data + c->want.nbytes / sizeof *want);
  const double cosine = ab / sqrt (aa * bb);
  ck_assert_msg (error <= 1e-5 * scale, "%s: error %.3g of %.3g", c->name, error, scale);
  ck_assert_msg (cosine >= 0.99999, "%s: cosine %.8f", c->name, cosine);
  *worst = fmax (*worst, error / scale);
  *least = fmin (*least, cosine);
}

START_TEST (test_goldens)
{
  double worst = 0, least = 1;
  int lengths = 0;
  for (int i = 0; i < N_CASES; i++)
    {
      const Case *c = &cases[i];
      MiniHost *mini = new_for_case (c, 2);
      mini_host_set_string (mini, "format", "f32");
      ck_assert_msg (mini_host_infer (mini) == SORA_OK, "%s", mini_host_error (mini));
      const SoraSpec *spec = mini_host_output_spec (mini, "frames");
      const int64_t spatial = c->latents.shape[0] == 48 ? 16 : 8;
      const int64_t shape[]
          = { c->frames, c->latents.shape[2] * spatial, c->latents.shape[3] * spatial, 3 };
      ck_assert_int_eq (spec->ndim, 4);
      for (int axis = 0; axis < 4; axis++)
        ck_assert_int_eq (spec->shape[axis], shape[axis]);
      ck_assert_int_eq (c->want.shape[1], shape[1] / c->every);
      ck_assert_int_eq (c->want.shape[2], shape[2]);
      run (mini);

      int64_t frames;
      size_t size;
      float *got = (float *)joined (mini, &frames, &size);
      ck_assert_int_eq (frames, c->frames);
      ck_assert_uint_eq (mini_host_n_outputs (mini, "frames"), (size_t)c->latents.shape[1]);
      compare (c, got, shape[1], &worst, &least);
      lengths |= frames == 1 ? 1 : frames == 5 ? 2 : frames == 17 ? 4 : 8;

      /* As bytes, they are the rounded numbers. */
      mini_host_set_string (mini, "format", "u8");
      run (mini);
      size_t n;
      uint8_t *bytes = (uint8_t *)joined (mini, &frames, &n);
      ck_assert_uint_eq (n, size / sizeof *got);
      size_t other = 0;
      for (size_t j = 0; j < n; j++)
        other += bytes[j] != (int)lrintf (got[j] * 255.0f);
      ck_assert_uint_eq (other, 0);
      free (bytes);
      free (got);
      ck_assert_int_eq (mini_host_live_tensors (mini), 0);
      ck_assert_int_eq (mini_host_n_weights_open (mini), 0);
      mini_host_free (mini);
    }
  ck_assert_int_eq (lengths, 7);
  printf ("tiny: %d cases, largest error %.2g, least cosine 1 - %.1g\n", N_CASES, worst, 1 - least);
}
END_TEST

START_TEST (test_threads_and_release)
{
  char *first = NULL;
  size_t first_size = 0;
  for (int threads = 1; threads <= 3; threads++)
    {
      MiniHost *mini = new_for_case (&cases[LONG + 3 * _i], threads);
      mini_host_set_string (mini, "format", "f32");
      for (int round = 0; round < 2; round++)
        {
          int64_t frames;
          size_t size;
          run (mini);
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
    }
  free (first);
}
END_TEST

/* Larger than a task of any layer, so that threads do share the work: the same bytes. */
START_TEST (test_threads_share)
{
  const int64_t shape[] = { 16, 2, 20, 24 }, n = 16 * 2 * 20 * 24;
  float *latents = malloc ((size_t)n * sizeof *latents);
  char *first = NULL;
  uint32_t state = 1;
  for (int64_t i = 0; i < n; i++)
    {
      state = state * 1664525u + 1013904223u;
      latents[i] = (float)(int32_t)state * 0x1p-30f;
    }
  for (int threads = 1; threads <= 3; threads++)
    {
      MiniHost *mini = mini_host_new (mini_host_load (MODULE, "vae-tiny"), MODEL_A, threads);
      int64_t frames;
      size_t size;
      mini_host_set_string (mini, "format", "f32");
      mini_host_input (mini, "latents", SORA_F32, 4, shape, latents);
      run (mini);
      char *got = joined (mini, &frames, &size);
      ck_assert_int_eq (frames, 5);
      if (first != NULL)
        ck_assert_msg (memcmp (got, first, size) == 0, "%d threads: other bytes", threads);
      if (first == NULL)
        first = got;
      else
        free (got);
      mini_host_free (mini);
    }
  free (first);
  free (latents);
}
END_TEST

/* A frame does not know how far the clip goes on: the pictures of the first latents alone are the
 * first pictures of the whole. */
START_TEST (test_streaming)
{
  const Case *c = &cases[LONG];
  const int64_t t = c->latents.shape[1], plane = c->latents.shape[2] * c->latents.shape[3];
  int64_t frames;
  size_t size;
  MiniHost *mini = new_for_case (c, 2);
  run (mini);
  char *whole = joined (mini, &frames, &size);
  const size_t one = size / (size_t)frames;
  mini_host_free (mini);
  for (int64_t n = 1; n < t; n++)
    {
      const int64_t shape[] = { 16, n, c->latents.shape[2], c->latents.shape[3] };
      float *some = malloc ((size_t)(16 * n * plane) * sizeof *some);
      for (int64_t channel = 0; channel < 16; channel++)
        memcpy (some + channel * n * plane, (float *)c->latents.data + channel * t * plane,
                (size_t)(n * plane) * sizeof *some);
      mini = mini_host_new (mini_host_load (MODULE, "vae-tiny"), MODEL_A, 2);
      mini_host_input (mini, "latents", SORA_F32, 4, shape, some);
      run (mini);
      char *got = joined (mini, &frames, &size);
      ck_assert_int_eq (frames, 4 * n - 3);
      ck_assert_int_eq (memcmp (got, whole, (size_t)frames * one), 0);
      free (got);
      free (some);
      mini_host_free (mini);
    }
  free (whole);
}
END_TEST

/* The clip's length is not in the memory: 17 and 81 frames take the same, and it is what infer
 * says. */
START_TEST (test_memory)
{
  const SoraStageClass *stage = mini_host_load (MODULE, "vae-tiny");
  const int64_t lengths[] = { 5, 21 };
  uint64_t peak[2];
  for (int i = 0; i < 2; i++)
    {
      const int64_t shape[] = { 16, lengths[i], 3, 2 };
      float *latents = calloc ((size_t)(16 * 6 * lengths[i]), sizeof *latents);
      MiniHost *mini = mini_host_new (stage, MODEL_A, 2);
      mini_host_input (mini, "latents", SORA_F32, 4, shape, latents);
      ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
      run (mini);
      peak[i] = mini_host_peak (mini, SORA_MEMORY_WORK);
      const SoraCost *cost = mini_host_cost (mini);
      ck_assert_uint_eq (peak[i], cost->work_bytes);
      ck_assert_uint_eq (mini_host_reserved (mini, SORA_MEMORY_WEIGHTS), cost->packed_bytes);
      ck_assert_uint_gt (cost->weights_bytes, 15000);
      ck_assert_uint_lt (cost->weights_bytes, 25806); /* the file, with its header and more */
      ck_assert_uint_eq (cost->output_bytes, (uint64_t)(4 * lengths[i] - 3) * 24 * 16 * 3);
      ck_assert (cost->flops > 1e6);
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
  MiniHost *mini = new_for_case (&cases[LONG], 2);
  int64_t frames;
  size_t size;
  run (mini);
  char *whole = joined (mini, &frames, &size);
  ck_assert_int_eq (frames, 17);
  const size_t one = size / 17;
  static const int64_t counts[] = { 1, 2, 5, 6, 16, 17, 18 };
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
    {
      const int64_t n = counts[i] < 17 ? counts[i] : 17;
      mini_host_input_attr_i64 (mini, "latents", "trim_frames", counts[i]);
      ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
      ck_assert_int_eq (mini_host_output_spec (mini, "frames")->shape[0], n);
      run (mini);
      char *got = joined (mini, &frames, &size);
      ck_assert_int_eq (frames, n);
      ck_assert_int_eq (memcmp (got, whole, (size_t)frames * one), 0);
      free (got);
    }
  mini_host_input_attr_i64 (mini, "latents", "trim_frames", 0);
  ck_assert_int_eq (mini_host_infer (mini), SORA_FAILED);
  ck_assert_ptr_nonnull (strstr (mini_host_error (mini), "trim_frames"));
  free (whole);
  mini_host_free (mini);
}
END_TEST

/* Who looks sees the last frame of each latent, the same as is pushed, in either format. */
START_TEST (test_preview)
{
  static const char *const formats[] = { "u8", "f32" };
  uint8_t *want = NULL;
  for (int i = 0; i < 2; i++)
    {
      MiniHost *mini = new_for_case (&cases[1], 2);
      int64_t frames, shape[2];
      size_t size;
      int count;
      mini_host_set_string (mini, "format", formats[i]);
      mini_host_watch (mini);
      run (mini);
      const uint8_t *seen = mini_host_preview (mini, shape, &count);
      ck_assert_ptr_nonnull (seen);
      ck_assert_int_eq (count, 2);
      if (i == 0)
        want = (uint8_t *)joined (mini, &frames, &size);
      const int64_t one = shape[0] * shape[1] * 3;
      ck_assert_int_eq (one, 24 * 8 * 3);
      ck_assert_int_eq (memcmp (seen, want + 4 * one, (size_t)one), 0);
      ck_assert_int_eq (mini_host_live_tensors (mini), 0);
      mini_host_free (mini);
    }
  free (want);
}
END_TEST

/* Stopped at any moment, it gives everything back; and the next run is whole. */
START_TEST (test_cancel)
{
  MiniHost *mini = new_for_case (&cases[1], 2);
  mini_host_check_cancel (mini, 9);
  mini_host_free (mini);
}
END_TEST

START_TEST (test_bad_inputs)
{
  static const MiniBadInput bad[] = {
    { SORA_F32, 4, { 48, 1, 2, 2 }, "48 channels, and the tiny decoder is for 16" },
    { SORA_F32, 3, { 16, 2, 2 }, "3 axes" },
    { SORA_U8, 4, { 16, 1, 2, 2 }, "u8" },
    { SORA_F32, 4, { 16, 1, 5000, 1 }, "5000" },
  };
  const SoraStageClass *stage = mini_host_load (MODULE, "vae-tiny");
  mini_host_check_refuses (stage, MODEL_A, "latents", bad, sizeof bad / sizeof bad[0]);

  /* Numbers that are none do not become black pictures in silence, though each layer ends in
   * max (0, x). */
  const int64_t shape[] = { 16, 1, 2, 2 };
  float latents[64] = { [7] = NAN };
  MiniHost *mini = mini_host_new (stage, MODEL_A, 1);
  mini_host_input (mini, "latents", SORA_F32, 4, shape, latents);
  ck_assert_int_eq (mini_host_run (mini), SORA_FAILED);
  ck_assert_ptr_nonnull (strstr (mini_host_error (mini), "no number"));
  ck_assert_int_eq (mini_host_live_tensors (mini), 0);
  mini_host_free (mini);
}
END_TEST

/* ---- checkpoints that are not what they should be */

typedef enum
{
  REMOVE,
  ADD,
  SHAPE, /* [a, ...] to [b, ...], of the same bytes */
  DTYPE,
} Change;

static const struct
{
  Change change;
  const char *tensor;
  int64_t shape[4];
  int in_infer;
  const char *says;
} changes[] = {
  { REMOVE, "decoder.1.weight", { 0 }, 1, "no tensor 'decoder.1.weight'" },
  { REMOVE, "decoder.16.conv.2.bias", { 0 }, 1, "no tensor 'decoder.16.conv.2.bias'" },
  { REMOVE, "decoder.22.weight", { 0 }, 1, "no tensor 'decoder.22.weight'" },
  { SHAPE, "decoder.13.conv.weight", { 6, 12, 1, 1 }, 1, "[6, 12, 1, 1], expected [12, 6, 1, 1]" },
  { SHAPE, "decoder.3.conv.0.weight", { 10, 5, 3, 3 }, 1, "[10, 5, 3, 3], expected [5, 10, 3, 3]" },
  { SHAPE, "decoder.1.weight", { 5, 16, 9, 1 }, 1, "expected a 3 x 3 convolution" },
  { SHAPE, "decoder.22.weight", { 5, 3, 3, 3 }, 1, "makes 5 values" },
  { DTYPE, "decoder.4.conv.0.bias", { 0 }, 1, "is i16, expected f32, f16 or bf16" },
  { ADD, "decoder.0.weight", { 1, 1, 1, 1 }, 1, "a 'super' one" },
  { ADD,
    "decoder.3.skip.weight",
    { 1, 1, 1, 1 },
    0,
    "tensor 'decoder.3.skip.weight' is not part of the tiny decoder" },
};

/* Checkpoint A with one change, in a file of its own. */
static void
write_changed (const char *path, int i)
{
  FILE *from = fopen (MODEL_A, "rb"), *to = fopen (path, "wb");
  uint64_t length;
  ck_assert_ptr_nonnull (from);
  ck_assert_ptr_nonnull (to);
  ck_assert_uint_eq (fread (&length, sizeof length, 1, from), 1);
  char *text = malloc (length);
  ck_assert_uint_eq (fread (text, 1, length, from), length);
  json_t *header = json_loadb (text, length, 0, NULL);
  free (text);
  json_t *shape = json_array ();
  for (int axis = 0; axis < 4; axis++)
    json_array_append_new (shape, json_integer (changes[i].shape[axis]));
  json_t *entry = json_object_get (header, changes[i].tensor);
  ck_assert ((entry == NULL) == (changes[i].change == ADD));
  switch (changes[i].change)
    {
    case REMOVE:
      ck_assert_int_eq (json_object_del (header, changes[i].tensor), 0);
      json_decref (shape);
      break;
    case ADD:
      json_object_set_new (
          header, changes[i].tensor,
          json_pack ("{s:s, s:o, s:[i,i]}", "dtype", "F16", "shape", shape, "data_offsets", 0, 2));
      break;
    case SHAPE:
      json_object_set_new (entry, "shape", shape);
      break;
    case DTYPE:
      json_object_set_new (entry, "dtype", json_string ("I16"));
      json_decref (shape);
      break;
    }
  text = json_dumps (header, JSON_COMPACT);
  length = strlen (text);
  ck_assert_uint_eq (fwrite (&length, sizeof length, 1, to), 1);
  ck_assert_uint_eq (fwrite (text, 1, length, to), length);
  free (text);
  json_decref (header);
  for (int c = getc (from); c != EOF; c = getc (from))
    (void)putc (c, to);
  (void)fclose (from);
  ck_assert_int_eq (fclose (to), 0);
}

START_TEST (test_bad_checkpoints)
{
  char path[256];
  const int64_t shape[] = { 16, 1, 2, 2 };
  const float latents[64] = { 0 };
  mini_host_tmp (path, sizeof path, "sora-test-tiny-XXXXXX.safetensors");
  const int fd = mkstemps (path, 12);
  ck_assert_int_ge (fd, 0);
  (void)close (fd);
  write_changed (path, _i);
  MiniHost *mini = mini_host_new (mini_host_load (MODULE, "vae-tiny"), path, 1);
  mini_host_input (mini, "latents", SORA_F32, 4, shape, latents);
  ck_assert_int_eq (mini_host_infer (mini), changes[_i].in_infer ? SORA_FAILED : SORA_OK);
  if (!changes[_i].in_infer)
    {
      ck_assert_int_eq (mini_host_run (mini), SORA_FAILED);
      /* Nothing was kept: an idle instance is charged for nothing. */
      ck_assert_uint_eq (mini_host_reserved (mini, SORA_MEMORY_WEIGHTS), 0);
    }
  ck_assert_msg (strstr (mini_host_error (mini), changes[_i].says) != NULL,
                 "'%s' does not say '%s'", mini_host_error (mini), changes[_i].says);
  ck_assert_ptr_null (strchr (mini_host_error (mini), '\n'));
  ck_assert_int_eq (mini_host_n_weights_open (mini), 0);
  mini_host_free (mini);
  (void)unlink (path);
}
END_TEST

/* The published checkpoints' shape: tensors and numbers of their decoders, memory and work. */
START_TEST (test_published)
{
  static const SoraTinyConfig wan_2_1
      = { .z_dim = 16, .widths = { 256, 128, 64, 64 }, .patch = 1, .spatial = 8 };
  SoraTinyLayer layers[SORA_TINY_MAX_LAYERS];
  const int n = sora_tiny_layers (&wan_2_1, layers);
  int tensors = 0;
  int64_t numbers = 0;
  ck_assert_int_le (n, SORA_TINY_MAX_LAYERS);
  for (int i = 0; i < n; i++)
    {
      int64_t shape[4];
      if (layers[i].part > 0)
        continue;
      sora_tiny_layer_shape (&layers[i], shape);
      tensors += 1 + layers[i].biased;
      numbers += shape[0] * (shape[1] * shape[2] * shape[3] + layers[i].biased);
    }
  /* As the reference class of that revision counts them. */
  ck_assert_int_eq (tensors, 64);
  ck_assert_int_eq (numbers, 9844611);

  uint64_t bytes;
  double flops;
  sora_tiny_estimate (&wan_2_1, 60, 104, 81, &bytes, &flops);
  ck_assert_msg (bytes > 250e6 && bytes < 500e6, "%llu", (unsigned long long)bytes);
  /* wan.md: 11.4 TFLOP for 832x480x81, with what is computed at four times the places there, and
   * three frames that are dropped. */
  ck_assert_msg (fabs (flops / 11.4e12 - 1) < 0.05, "%g", flops);
}
END_TEST

START_TEST (test_clamp)
{
  for (int i = -4000; i <= 4000; i++)
    {
      const float x = (float)i / 100;
      ck_assert_double_eq_tol (sora_tiny_clamp (x), 3 * tanh ((double)x / 3), 3e-7);
    }
  ck_assert (sora_tiny_clamp (INFINITY) == 3);
  ck_assert (sora_tiny_clamp (-INFINITY) == -3);
  ck_assert (sora_tiny_clamp (1e-20f) == 1e-20f);
  ck_assert (isnan (sora_tiny_clamp (NAN)));
}
END_TEST

START_TEST (test_picture)
{
  /* Two places of 2 x 2 pixels: value = 12 place + 4 channel + 2 line + column. */
  float places[24], units[12], want[2][12];
  uint8_t bytes[12];
  for (int i = 0; i < 24; i++)
    places[i] = (float)i / 32;
  for (int line = 0; line < 2; line++)
    for (int x = 0; x < 4; x++)
      for (int c = 0; c < 3; c++)
        want[line][3 * x + c] = (float)(12 * (x / 2) + 4 * c + 2 * line + x % 2) / 32;
  for (int line = 0; line < 2; line++)
    {
      ck_assert_int_eq (sora_tiny_picture (places, 2, 2, line, SORA_F32, units), 0);
      ck_assert_int_eq (memcmp (units, want[line], sizeof units), 0);
      ck_assert_int_eq (sora_tiny_picture (places, 2, 2, line, SORA_U8, bytes), 0);
      for (int i = 0; i < 12; i++)
        ck_assert_int_eq (bytes[i], (int)lrintf (units[i] * 255.0f));
    }
  const float limits[] = { -1, 2, 0.5f / 255, 0, 1, 1.5f / 255 };
  ck_assert_int_eq (sora_tiny_picture (limits, 2, 1, 0, SORA_U8, bytes), 0);
  ck_assert_int_eq (memcmp (bytes, (const uint8_t[]){ 0, 255, 0, 0, 255, 2 }, 6), 0);
  const float bad[] = { 0, INFINITY, 0, 0, NAN, 0 };
  ck_assert_int_eq (sora_tiny_picture (bad, 1, 1, 0, SORA_U8, bytes), -1);
  ck_assert_int_eq (sora_tiny_picture (bad + 3, 1, 1, 0, SORA_F32, units), -1);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("vae-tiny");
  TCase *tcase = tcase_create ("tiny");
  tcase_set_timeout (tcase, 240);
  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_add_test (tcase, test_goldens);
  tcase_add_loop_test (tcase, test_threads_and_release, 0, N_CASES / 3);
  tcase_add_test (tcase, test_threads_share);
  tcase_add_test (tcase, test_streaming);
  tcase_add_test (tcase, test_memory);
  tcase_add_test (tcase, test_trim);
  tcase_add_test (tcase, test_preview);
  tcase_add_test (tcase, test_cancel);
  tcase_add_test (tcase, test_bad_inputs);
  tcase_add_loop_test (tcase, test_bad_checkpoints, 0, sizeof changes / sizeof changes[0]);
  tcase_add_test (tcase, test_published);
  tcase_add_test (tcase, test_clamp);
  tcase_add_test (tcase, test_picture);
  suite_add_tcase (suite, tcase);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
