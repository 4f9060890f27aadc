/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * test-vae-tiles.c: runs of both stages in tiles: the bytes of whole frames, at several sizes of
 * tiles and lengths of clips; memory and scratch as infer said, whatever the length; the way that
 * the limit asks for; seams that are blended; a clean end when cancelled.
 */
#include "mini-host.h"

#include "plugins/vae-wan/vae-tiling.h"

#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DECODER SORA_TEST_PLUGINS "/vae-wan.so"
#define ENCODER SORA_TEST_PLUGINS "/vae-wan-encode.so"

/* Models with channels, pixels and frames of their latents. */
typedef struct
{
  const char *folder;
  int64_t z, spatial, temporal;
} Model;

#define WAN_22                                                                                     \
  { SORA_TEST_GOLDEN "/vae22/a", 7, 16, 4 }, { SORA_TEST_GOLDEN "/vae22/b", 6, 8, 2 },             \
  {                                                                                                \
    SORA_TEST_GOLDEN "/vae22/d", 5, 6, 1                                                           \
  }
static const Model decoders[] = {
  { SORA_TEST_GOLDEN "/models/small-a", 4, 4, 4 },
  { SORA_TEST_GOLDEN "/models/small-b", 16, 8, 4 },
  WAN_22,
};
static const Model encoders[] = {
  { SORA_TEST_GOLDEN "/encode/a", 3, 4, 4 },
  { SORA_TEST_GOLDEN "/encode/b", 16, 8, 4 },
  WAN_22,
};
#define N_MODELS ((int)(sizeof decoders / sizeof decoders[0]))

static uint32_t state = 7;

static float
noise (void)
{
  state = state * 1664525u + 1013904223u;
  return (float)(state >> 8) / (float)(1 << 23) - 1.0f;
}

static int
open_files (void)
{
  int n = 0;
  DIR *dir = opendir ("/proc/self/fd");
  while (dir != NULL && readdir (dir) != NULL)
    n++;
  if (dir != NULL)
    closedir (dir);
  return n;
}

static MiniHost *
new_decoder (const Model *model, int64_t t, int64_t h, int64_t w)
{
  const int64_t shape[] = { model->z, t, h, w }, n = model->z * t * h * w;
  float *latents = malloc ((size_t)n * sizeof *latents);
  for (int64_t i = 0; i < n; i++)
    latents[i] = 2 * noise ();
  MiniHost *mini = mini_host_new (mini_host_load (DECODER, "vae-wan"), model->folder, 2);
  mini_host_input (mini, "latents", SORA_F32, 4, shape, latents);
  free (latents);
  return mini;
}

static MiniHost *
new_encoder (const Model *model, int dtype, int64_t frames, int64_t h, int64_t w)
{
  const int64_t shape[] = { frames, h * model->spatial, w * model->spatial, 3 },
                n = frames * shape[1] * shape[2] * 3;
  float *numbers = malloc ((size_t)n * sizeof *numbers);
  uint8_t *bytes = malloc ((size_t)n);
  for (int64_t i = 0; i < n; i++)
    {
      numbers[i] = 0.5f + 0.5f * noise ();
      bytes[i] = (uint8_t)(255 * numbers[i]);
    }
  MiniHost *mini = mini_host_new (mini_host_load (ENCODER, "vae-wan-encode"), model->folder, 2);
  mini_host_input (mini, "frames", dtype, 4, shape,
                   dtype == SORA_F32 ? (const void *)numbers : bytes);
  free (numbers);
  free (bytes);
  return mini;
}

/* Runs it, and gives what it pushed on its one output in a row; the caller frees. */
static char *
run (MiniHost *mini, const char *port, size_t *size, size_t *tensors)
{
  char *all = NULL;
  ck_assert_msg (mini_host_infer (mini) == SORA_OK, "%s", mini_host_error (mini));
  ck_assert_msg (mini_host_run (mini) == SORA_OK, "%s", mini_host_error (mini));
  *size = 0;
  *tensors = mini_host_n_outputs (mini, port);
  for (size_t i = 0; i < *tensors; i++)
    {
      SoraTensorView view = { .struct_size = sizeof view };
      mini_host_output (mini, port, i, &view);
      all = realloc (all, *size + view.nbytes);
      memcpy (all + *size, view.data, view.nbytes);
      *size += view.nbytes;
    }
  return all;
}

/* The same request with whole frames, and with exact tiles of each size. */
static void
compare (MiniHost *mini, const char *port, const int64_t *sides, const char *what)
{
  size_t size, n, tiled_size, tiled_n;
  mini_host_set_string (mini, "tiling", "none");
  char *whole = run (mini, port, &size, &n);
  ck_assert_ptr_nonnull (strstr (mini_host_note (mini), "whole frames"));
  ck_assert_uint_eq (mini_host_scratch (mini), 0);
  const int files = open_files ();
  mini_host_set_string (mini, "tiling", "exact");
  for (int i = 0; sides[i] > 0; i++)
    {
      mini_host_set_i64 (mini, "tile", sides[i]);
      char *tiled = run (mini, port, &tiled_size, &tiled_n);
      ck_assert_msg (strstr (mini_host_note (mini), "exact") != NULL, "%s", mini_host_note (mini));
      ck_assert_uint_eq (tiled_size, size);
      ck_assert_uint_eq (tiled_n, n);
      ck_assert_msg (memcmp (tiled, whole, size) == 0, "%s, tiles of %d: other bytes", what,
                     (int)sides[i]);
      ck_assert_uint_eq (mini_host_scratch (mini), mini_host_cost (mini)->scratch_bytes);
      ck_assert_uint_gt (mini_host_scratch (mini), 0);
      ck_assert_uint_eq (mini_host_steps (mini), mini_host_cost (mini)->steps);
      ck_assert_int_eq (mini_host_live_tensors (mini), 0);
      ck_assert_int_eq (open_files (), files);
      free (tiled);
    }
  free (whole);
}

static const struct
{
  int64_t t, h, w;
} clips[] = { { 1, 9, 7 }, { 2, 5, 11 }, { 5, 7, 6 } };

/* Small tiles on a picture, as each of them computes its halo again: time is the frames' and
 * theirs. */
#ifdef __SANITIZE_ADDRESS__
static const int64_t sides[][5] = { { 20, 1000, 0 }, { 20, 0 }, { 24, 0 } };
#else
static const int64_t sides[][5] = { { 8, 20, 24, 1000, 0 }, { 20, 0 }, { 24, 0 } };
#endif

START_TEST (test_decode)
{
  const Model *model = &decoders[_i / 3];
  char what[100];
  for (int f32 = 0; f32 < 2; f32++)
    {
      if (_i % 3 > 0 && f32 != _i / 3 % 2) /* of clips one form each */
        continue;
      MiniHost *mini = new_decoder (model, clips[_i % 3].t, clips[_i % 3].h, clips[_i % 3].w);
      (void)snprintf (what, sizeof what, "%s, %s", model->folder, f32 ? "f32" : "u8");
      mini_host_set_string (mini, "format", f32 ? "f32" : "u8");
      compare (mini, "frames", sides[_i % 3], what);
      if (clips[_i % 3].t == 5 && model->temporal == 4)
        {
          mini_host_input_attr_i64 (mini, "latents", "trim_frames", 6);
          compare (mini, "frames", sides[_i % 3], "trimmed");
        }
      mini_host_free (mini);
    }
}
END_TEST

START_TEST (test_encode)
{
  const Model *model = &encoders[_i / 3];
  for (int f32 = 0; f32 < 2; f32++)
    {
      if (_i % 3 > 0 && f32 != _i / 3 % 2)
        continue;
      /* One frame less: the last one is repeated. */
      const int64_t t = clips[_i % 3].t;
      const int64_t frames = 1 + model->temporal * (t - 1) - (t > 2 && model->temporal > 1);
      MiniHost *mini
          = new_encoder (model, f32 ? SORA_F32 : SORA_U8, frames, clips[_i % 3].h, clips[_i % 3].w);
      compare (mini, "latents", sides[_i % 3], model->folder);
      mini_host_free (mini);
    }
}
END_TEST

/* What infer says is what is reserved, and enough; and frames add nothing to it. */
static uint64_t
weigh (MiniHost *mini, const char *port, uint64_t limit, int tiles)
{
  size_t size, n;
  mini_host_limit (mini, limit);
  mini_host_weigh (mini);
  mini_host_release (mini);
  free (run (mini, port, &size, &n));
  const SoraCost *cost = mini_host_cost (mini);
  ck_assert_msg ((strstr (mini_host_note (mini), "exact") != NULL) == tiles, "limit %llu: %s",
                 (unsigned long long)limit, mini_host_note (mini));
  ck_assert_uint_eq (mini_host_scratch (mini), cost->scratch_bytes);
  /* Malloc's own rounding is in it; 0 where it does not tell. */
  const double said = (double)(cost->packed_bytes + cost->work_bytes + cost->output_bytes),
               was = (double)mini_host_heap_peak (mini);
  ck_assert_msg (was == 0 || (was < 1.05 * said && was > 0.85 * said), "%s: %g, expected %g",
                 mini_host_note (mini), was, said);
  ck_assert (cost->flops > 1e6);
  return cost->packed_bytes + cost->work_bytes;
}

START_TEST (test_limit)
{
  for (int encode = 0; encode < 2; encode++)
    {
      uint64_t taken[2][2];
      for (int i = 0; i < 2; i++)
        {
          const int64_t t = i == 0 ? 4 : 6;
          MiniHost *mini = encode ? new_encoder (&encoders[1], SORA_U8, 4 * t - 3, 4, 96)
                                  : new_decoder (&decoders[1], t, 4, 96);
          const char *port = encode ? "latents" : "frames";
          const uint64_t whole = weigh (mini, port, UINT64_MAX, 0);
          taken[i][0] = whole;
          /* An eighth is left to others: a little less than that is too little. */
          mini_host_limit (mini, whole + whole / 7 + 16);
          ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
          ck_assert_uint_eq (mini_host_cost (mini)->scratch_bytes, 0);
          mini_host_limit (mini, whole + whole / 8);
          ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
          ck_assert_uint_gt (mini_host_cost (mini)->scratch_bytes, 0);
          taken[i][1] = weigh (mini, port, whole / 4 * 3, 1);
          ck_assert_uint_le (taken[i][1], whole / 4 * 3 - whole / 4 * 3 / 8);
          mini_host_free (mini);
        }
      /* Where no limit can be kept, tiles that would take more than whole frames are not taken. */
      for (int64_t size = 1; size < 30; size += 4)
        {
          MiniHost *mini = encode ? new_encoder (&encoders[1], SORA_U8, 5, size, size + 2)
                                  : new_decoder (&decoders[1], 2, size, size + 2);
          ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
          const uint64_t whole = mini_host_cost (mini)->work_bytes;
          ck_assert_uint_eq (mini_host_cost (mini)->scratch_bytes, 0);
          mini_host_limit (mini, 1000);
          ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
          ck_assert_uint_le (mini_host_cost (mini)->work_bytes, whole);
          mini_host_free (mini);
        }
      ck_assert_uint_eq (taken[0][0], taken[1][0]);
      ck_assert_uint_eq (taken[0][1], taken[1][1]);
    }
}
END_TEST

/* Of blended tiles each pixel's weights are 1 together; far from a seam it is the tile's own. */
START_TEST (test_weights)
{
  SoraVaeLevels levels = { .half = SORA_VAE_DECODER, .n = 3 };
  for (int64_t size = 5; size < 40; size += 7)
    for (int64_t tile = 4; tile < 20; tile += 3)
      {
        float *sums = calloc ((size_t)(4 * size), sizeof *sums);
        const int64_t n = (size + tile - 1) / tile, overlap = size / n / 2 < 2 ? size / n / 2 : 2;
        for (int64_t i = 0; i < n; i++)
          {
            SoraVaeReach reach;
            const SoraVaeSpan core = { size * i / n, size * (i + 1) / n };
            sora_vae_reach_blend (&levels, size, core, overlap, &reach);
            for (int64_t at = reach.out.begin; at < reach.out.end; at++)
              {
                const float weight = sora_vae_blend_weight (&reach, 4 * size, at);
                ck_assert (weight > 0 && weight <= 1);
                sums[at] += weight;
              }
          }
        for (int64_t at = 0; at < 4 * size; at++)
          ck_assert_msg (fabsf (sums[at] - 1) < 1e-6f, "%g", sums[at]);
        free (sums);
      }
}
END_TEST

/* The mean difference of blended tiles to whole frames, of their largest value. */
static double
difference (MiniHost *mini, const char *port, int64_t side)
{
  size_t size, n;
  double sum = 0, most = 0;
  mini_host_set_string (mini, "tiling", "none");
  float *whole = (float *)run (mini, port, &size, &n);
  mini_host_set_string (mini, "tiling", "blend");
  mini_host_set_i64 (mini, "tile", side);
  float *tiled = (float *)run (mini, port, &size, &n);
  ck_assert_ptr_nonnull (strstr (mini_host_note (mini), "blended"));
  ck_assert_uint_eq (mini_host_scratch (mini), mini_host_cost (mini)->scratch_bytes);
  for (size_t i = 0; i < size / sizeof *whole; i++)
    {
      sum += fabs ((double)tiled[i] - whole[i]);
      most = fmax (most, fabs ((double)whole[i]));
    }
  free (whole);
  free (tiled);
  return sum / (double)(size / sizeof *whole) / most;
}

START_TEST (test_blend)
{
  for (int encode = 0; encode < 2; encode++)
    {
      const char *port = encode ? "latents" : "frames";
      MiniHost *mini = encode ? new_encoder (&encoders[1], SORA_F32, 9, 16, 24)
                              : new_decoder (&decoders[1], 3, 16, 24);
      if (!encode)
        mini_host_set_string (mini, "format", "f32");
      /* One tile has no seam. */
      ck_assert (difference (mini, port, 1000) < 1e-7);
      const double seams = difference (mini, port, 64);
      ck_assert_msg (seams > 1e-7 && seams < 0.05, "%g", seams);
      mini_host_free (mini);
    }
  /* As bytes they are those numbers, rounded. */
  MiniHost *mini = new_decoder (&decoders[0], 3, 7, 9);
  size_t size, n;
  mini_host_set_string (mini, "tiling", "blend");
  mini_host_set_i64 (mini, "tile", 16);
  mini_host_watch (mini);
  uint8_t *bytes = (uint8_t *)run (mini, "frames", &size, &n);
  mini_host_set_string (mini, "format", "f32");
  size_t f32_size;
  float *numbers = (float *)run (mini, "frames", &f32_size, &n);
  ck_assert_uint_eq (f32_size, 4 * size);
  for (size_t i = 0; i < size; i++)
    ck_assert_int_eq (bytes[i], (int)lrintf (numbers[i] * 255.0f));
  int64_t shape[2];
  int count;
  const uint8_t *seen = mini_host_preview (mini, shape, &count);
  const size_t one = (size_t)(shape[0] * shape[1] * 3);
  ck_assert_int_eq (memcmp (seen, bytes + size - one, one), 0);
  free (bytes);
  free (numbers);
  mini_host_free (mini);
}
END_TEST

/* Stopped at any moment, it gives everything back; and the next run is whole. */
START_TEST (test_cancel)
{
  for (int encode = 0; encode < 2; encode++)
    {
      MiniHost *mini = encode ? new_encoder (&encoders[0], SORA_U8, 5, 9, 7)
                              : new_decoder (&decoders[0], 2, 9, 7);
      const int files = open_files ();
      int cancelled = 0;
      mini_host_set_string (mini, "tiling", "exact");
      mini_host_set_i64 (mini, "tile", 16);
      for (int after = 0; after < 100000; after = after * 3 / 2 + 1)
        {
          mini_host_cancel_after (mini, after);
          const int r = mini_host_run (mini);
          ck_assert_msg (r == SORA_CANCELLED || r == SORA_OK, "after %d: %d %s", after, r,
                         mini_host_error (mini));
          cancelled += r == SORA_CANCELLED;
          ck_assert_int_eq (mini_host_live_tensors (mini), 0);
          ck_assert_int_eq (open_files (), files);
        }
      ck_assert_int_ge (cancelled, 10);
      mini_host_cancel_after (mini, -1);
      ck_assert_int_eq (mini_host_run (mini), SORA_OK);
      mini_host_free (mini);
    }
}
END_TEST

/* What is no number does not become a picture, nor latents. */
START_TEST (test_refused)
{
  static const char *const modes[] = { "exact", "blend" };
  const int64_t shape[] = { 4, 1, 6, 6 }, frame[] = { 1, 24, 24, 3 };
  for (int i = 0; i < 2; i++)
    {
      float latents[4 * 36] = { 0 }, rgb[24 * 24 * 3] = { 0 };
      latents[7] = NAN;
      MiniHost *mini = mini_host_new (mini_host_load (DECODER, "vae-wan"), decoders[0].folder, 2);
      mini_host_input (mini, "latents", SORA_F32, 4, shape, latents);
      mini_host_set_string (mini, "tiling", modes[i]);
      mini_host_set_i64 (mini, "tile", 8);
      ck_assert_int_eq (mini_host_run (mini), SORA_FAILED);
      ck_assert_ptr_nonnull (strstr (mini_host_error (mini), "no number"));
      ck_assert_int_eq (mini_host_live_tensors (mini), 0);
      mini_host_free (mini);

      rgb[24 * 24 * 3 - 1] = 1.5f;
      mini = mini_host_new (mini_host_load (ENCODER, "vae-wan-encode"), encoders[0].folder, 2);
      mini_host_input (mini, "frames", SORA_F32, 4, frame, rgb);
      mini_host_set_string (mini, "tiling", modes[i]);
      mini_host_set_i64 (mini, "tile", 8);
      ck_assert_int_eq (mini_host_run (mini), SORA_FAILED);
      ck_assert_ptr_nonnull (strstr (mini_host_error (mini), "not in 0 to 1"));
      mini_host_free (mini);

      /* Attention at the first level sees whole pictures. */
      const int64_t small[] = { 1, 4, 4, 3 };
      mini = mini_host_new (mini_host_load (ENCODER, "vae-wan-encode"),
                            SORA_TEST_GOLDEN "/encode/c", 2);
      mini_host_input (mini, "frames", SORA_F32, 4, small, rgb);
      mini_host_set_string (mini, "tiling", modes[i]);
      ck_assert_int_eq (mini_host_infer (mini), SORA_FAILED);
      ck_assert_ptr_nonnull (strstr (mini_host_error (mini), "attn_scales"));
      mini_host_set_string (mini, "tiling", "auto");
      mini_host_limit (mini, 1000);
      ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
      ck_assert_uint_eq (mini_host_cost (mini)->scratch_bytes, 0);
      mini_host_free (mini);
    }
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("vae-tiles");
  TCase *tcase = tcase_create ("tiles");
  tcase_set_timeout (tcase, 900);
  tcase_add_loop_test (tcase, test_decode, 0, 3 * N_MODELS);
  tcase_add_loop_test (tcase, test_encode, 0, 3 * N_MODELS);
  tcase_add_test (tcase, test_weights);
  tcase_add_test (tcase, test_blend);
  tcase_add_test (tcase, test_cancel);
  tcase_add_test (tcase, test_refused);
  suite_add_tcase (suite, tcase);
  tcase = tcase_create ("memory");
  tcase_set_timeout (tcase, 900);
  tcase_add_test (tcase, test_limit);
  suite_add_tcase (suite, tcase);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
