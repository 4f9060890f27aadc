/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * test-vae-parts.c: tiles through both halves of the autoencoder, against the whole, bit for bit:
 * random small models, odd sizes, one tile and many.
 */
#include "plugins/vae-wan/vae-decoder.h"
#include "plugins/vae-wan/vae-encoder.h"

#include "kit-gemm.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATCHES(side, channels)                                                                    \
  "\"patch_size\": " #side ", \"in_channels\": " #channels ", \"out_channels\": " #channels

static const char *const models[] = {
  /* Wan 2.1's form, narrower. */
  "\"base_dim\": 8, \"dim_mult\": [1, 2, 4, 4], \"temperal_downsample\": [false, true, true], "
  "\"num_res_blocks\": 2",
  /* Fewer levels, longer blocks, attention where whole frames begin earlier. */
  "\"base_dim\": 16, \"dim_mult\": [1, 2, 2], \"temperal_downsample\": [true, false], "
  "\"num_res_blocks\": 3, \"attn_scales\": [0.25]",
  "\"base_dim\": 8, \"dim_mult\": [1, 3], \"temperal_downsample\": [true], \"num_res_blocks\": 1, "
  "\"attn_scales\": [0.5]",
  /* Wan 2.2's form, narrower, and shorter; one without patches, patches alone. */
  "\"base_dim\": 8, \"dim_mult\": [1, 2, 2], \"temperal_downsample\": [false, true], "
  "\"num_res_blocks\": 2, \"is_residual\": true, " PATCHES (2, 12),
  "\"base_dim\": 8, \"dim_mult\": [2, 4, 2], \"temperal_downsample\": [true, false], "
  "\"num_res_blocks\": 1, \"is_residual\": true",
  "\"base_dim\": 8, \"dim_mult\": [1, 2], \"temperal_downsample\": [true], "
  "\"num_res_blocks\": 1, " PATCHES (3, 27),
};

static uint32_t state = 1;

static float
noise (void)
{
  state = state * 1664525u + 1013904223u;
  return (float)(state >> 8) / (float)(1 << 23) - 1.0f;
}

static float *
noises (int64_t n, float scale, float offset)
{
  float *x = malloc ((size_t)n * sizeof *x);
  for (int64_t i = 0; i < n; i++)
    x[i] = scale * noise () + offset;
  return x;
}

static void
read_config (int model, SoraVaeConfig *config)
{
  char json[1024];
  (void)snprintf (
      json, sizeof json,
      "{\"_class_name\": \"AutoencoderKLWan\", \"z_dim\": 4, \"latents_mean\": [0, 0.5, "
      "0, 0], \"latents_std\": [1, 2, 1, 1], %s}",
      models[model]);
  SoraKitConfig *file = sora_kit_config_new (json, strlen (json), "vae/config.json");
  sora_vae_config_read (file, config);
  if (sora_kit_config_error (file) == NULL)
    sora_vae_config_read_encoder (file, config);
  ck_assert_msg (sora_kit_config_error (file) == NULL, "%s", sora_kit_config_error (file));
  sora_kit_config_free (file);
}

static SoraVaeCoder *
random_coder (SoraKitTeam *team, const SoraVaeConfig *config, SoraVaeHalf half)
{
  SoraVaeCoder *coder = sora_vae_coder_new (config, half);
  int n;
  const SoraVaeLayer *layers = sora_vae_coder_layers (coder, &n);
  for (int i = 0; i < n; i++)
    {
      int64_t shape[5], count = 1;
      const int axes = sora_vae_layer_shape (&layers[i], shape);
      for (int j = 0; j < axes; j++)
        count *= shape[j];
      const int norm = layers[i].kind == SORA_VAE_NORM;
      float *weight = noises (count, norm ? 0.2f : 0.4f / (float)layers[i].taps, norm ? 1 : 0),
            *bias = noises (shape[0], 0.1f, 0);
      ck_assert_int_eq (
          sora_vae_coder_pack (coder, team, i, weight, SORA_F32, norm ? NULL : bias, SORA_F32),
          SORA_OK);
      free (weight);
      free (bias);
    }
  return coder;
}

/* Frames in a row. */
typedef struct
{
  float *all;
  int64_t size, n; /* of one; how many */
} Film;

static void
film_add (Film *film, const float *frame)
{
  film->all = realloc (film->all, (size_t)((film->n + 1) * film->size) * sizeof *film->all);
  memcpy (film->all + film->n * film->size, frame, (size_t)film->size * sizeof *frame);
  film->n++;
}

static int
take (SoraKitTeam *team, void *data, const float *rgb)
{
  film_add (data, rgb);
  return SORA_OK;
}

/* A rectangle of rows of `step` floats, `c` a pixel. */
static void
copy_rectangle (float *to, int64_t to_step, const float *from, int64_t from_step, int64_t h,
                int64_t w, int64_t c)
{
  for (int64_t i = 0; i < h; i++)
    memcpy (to + i * to_step, from + i * from_step, (size_t)(w * c) * sizeof *to);
}

typedef struct
{
  SoraKitTeam team;
  SoraVaeConfig config;
  SoraVaeCoder *coder;
  const SoraVaeLayer *layers;
  SoraVaeLevels levels;
} Half;

static void
half_init (Half *half, int model, SoraVaeHalf which, int threads)
{
  int n;
  sora_kit_team_init (&half->team, NULL, NULL, threads);
  read_config (model, &half->config);
  half->coder = random_coder (&half->team, &half->config, which);
  half->layers = sora_vae_coder_layers (half->coder, &n);
  sora_vae_levels_find (&half->config, which, half->layers, n, &half->levels);
}

static SoraVaeReach
reach_of (const Half *half, int64_t size, int64_t tile, int64_t begin)
{
  SoraVaeReach reach;
  const SoraVaeSpan core = { begin, begin + tile < size ? begin + tile : size };
  sora_vae_reach_exact (&half->levels, half->layers, size, core, &reach);
  /* It stays inside, and begins where Winograd's tiles do. */
  for (int i = 0; i < half->levels.n; i++)
    {
      const int shift = half->levels.half == SORA_VAE_DECODER ? i : half->levels.n - 1 - i;
      ck_assert_int_eq (reach.level[i].begin % 4, 0);
      ck_assert_int_le (reach.level[i].end, size << shift);
      ck_assert (reach.level[i].end % 4 == 0 || reach.level[i].end == size << shift);
      if (i + 1 == half->levels.n)
        break;
      const SoraVaeSpan crop = sora_vae_span_crop (half->levels.half, &reach, i);
      ck_assert_int_ge (crop.begin, 0);
      ck_assert_int_le (crop.end, sora_vae_span_length (&reach.level[i]));
    }
  return reach;
}

/* ---- the decoder */

static void
decode_tile (Half *half, const float *between, int64_t t, int64_t h, int64_t w,
             const SoraVaeReach *y, const SoraVaeReach *x, float *frames, int64_t *n)
{
  const int64_t c = sora_kit_pad16 (sora_vae_between_channels (&half->config, SORA_VAE_DECODER));
  const int last = half->levels.n - 1;
  const SoraVaeSpan *rows = &y->level[0], *columns = &x->level[0];
  const int64_t th = sora_vae_span_length (rows), tw = sora_vae_span_length (columns),
                patch = half->config.patch, oh = sora_vae_span_length (&y->level[last]) * patch,
                ow = sora_vae_span_length (&x->level[last]) * patch,
                width = w * half->config.spatial, height = h * half->config.spatial;
  SoraVaeStream *tile = sora_vae_stream_new_tile (half->coder, y, x);
  float *in = malloc ((size_t)(th * tw * c) * sizeof *in);
  Film film = { .size = oh * ow * 3 };
  for (int64_t i = 0; i < t; i++)
    {
      copy_rectangle (in, tw * c, between + ((i * h + rows->begin) * w + columns->begin) * c, w * c,
                      th, tw, c);
      ck_assert_int_eq (sora_vae_stream_finish (tile, &half->team, in, take, &film), SORA_OK);
    }
  for (int64_t i = 0; i < film.n; i++)
    copy_rectangle (
        frames + ((i * height + y->core.begin * patch) * width + x->core.begin * patch) * 3,
        width * 3,
        film.all
            + ((i * oh + (y->core.begin - y->level[last].begin) * patch) * ow
               + (x->core.begin - x->level[last].begin) * patch)
                  * 3,
        ow * 3, sora_vae_span_length (&y->core) * patch, sora_vae_span_length (&x->core) * patch,
        3);
  *n = film.n;
  free (film.all);
  free (in);
  sora_vae_stream_free (tile);
}

static void
decode (int model, int64_t t, int64_t h, int64_t w, int64_t tile)
{
  Half half;
  half_init (&half, model, SORA_VAE_DECODER, 2);
  const int64_t c = sora_kit_pad16 (sora_vae_between_channels (&half.config, SORA_VAE_DECODER));
  float *latents = noises (4 * t * h * w, 1, 0);
  const int64_t pixels = h * w * half.config.spatial * half.config.spatial;

  Film whole = { .size = pixels * 3 }, between = { .size = h * w * c };
  SoraVaeStream *stream = sora_vae_stream_new (half.coder, h, w);
  for (int64_t i = 0; i < t; i++)
    ck_assert_int_eq (
        sora_vae_stream_decode (stream, &half.team, latents + i * h * w, t * h * w, take, &whole),
        SORA_OK);
  sora_vae_stream_free (stream);
  stream = sora_vae_stream_new_whole (half.coder, h, w);
  for (int64_t i = 0; i < t; i++)
    {
      const float *x;
      ck_assert_int_eq (
          sora_vae_stream_begin (stream, &half.team, latents + i * h * w, t * h * w, &x), SORA_OK);
      film_add (&between, x);
    }
  sora_vae_stream_free (stream);

  float *frames = calloc ((size_t)(whole.n * whole.size), sizeof *frames);
  for (int64_t y = 0; y < h; y += tile)
    for (int64_t x = 0; x < w; x += tile)
      {
        int64_t n;
        const SoraVaeReach rows = reach_of (&half, h, tile, y),
                           columns = reach_of (&half, w, tile, x);
        decode_tile (&half, between.all, t, h, w, &rows, &columns, frames, &n);
        ck_assert_int_eq (n, whole.n);
      }
  ck_assert_int_eq (whole.n, 1 + (t - 1) * half.config.temporal);
  for (int64_t i = 0; i < whole.n * whole.size; i++)
    ck_assert_msg (
        memcmp (frames + i, whole.all + i, sizeof *frames) == 0,
        "model %d, %lldx%lldx%lld, tiles of %lld: frame %lld, pixel %lld, %lld is %.9g, "
        "expected %.9g",
        model, (long long)t, (long long)h, (long long)w, (long long)tile,
        (long long)(i / whole.size), (long long)(i % whole.size / 3 % (w * half.config.spatial)),
        (long long)(i % whole.size / 3 / (w * half.config.spatial)), frames[i], whole.all[i]);
  free (frames);
  free (whole.all);
  free (between.all);
  free (latents);
  sora_vae_coder_free (half.coder);
}

static const struct
{
  int64_t t, h, w, tile;
} sizes[] = {
  { 1, 9, 7, 4 },  { 5, 6, 11, 4 },   { 2, 13, 3, 1 },
#ifndef __SANITIZE_ADDRESS__ /* where all takes ten times as long, and these touch no other memory */
  { 2, 9, 7, 3 },  { 1, 24, 19, 7 },  { 2, 5, 3, 100 },
#endif
};
#define N_SIZES ((int)(sizeof sizes / sizeof sizes[0]))
#define N_MODELS ((int)(sizeof models / sizeof models[0]))

START_TEST (test_decode)
{
  const int i = _i % N_SIZES;
  decode (_i / N_SIZES, sizes[i].t, sizes[i].h, sizes[i].w, sizes[i].tile);
}
END_TEST

/* ---- the encoder */

static int64_t
encode_tile (Half *half, const float *rgb, int64_t frames, int64_t height, int64_t width,
             const SoraVaeReach *y, const SoraVaeReach *x, float *between, int64_t h, int64_t w)
{
  const int64_t c = sora_kit_pad16 (sora_vae_between_channels (&half->config, SORA_VAE_ENCODER));
  const int last = half->levels.n - 1;
  const SoraVaeSpan *rows = &y->level[0], *columns = &x->level[0];
  const int64_t patch = half->config.patch, th = sora_vae_span_length (rows) * patch,
                tw = sora_vae_span_length (columns) * patch,
                ow = sora_vae_span_length (&x->level[last]);
  SoraVaeStream *tile = sora_vae_stream_new_tile (half->coder, y, x);
  float *in = malloc ((size_t)(th * tw * 3) * sizeof *in);
  int64_t n = 0;
  for (int64_t i = 0; i < frames; i++)
    {
      const float *out;
      copy_rectangle (
          in, tw * 3,
          rgb + ((i * height + rows->begin * patch) * width + columns->begin * patch) * 3,
          width * 3, th, tw, 3);
      ck_assert_int_eq (sora_vae_encode_begin (tile, &half->team, in, SORA_F32, &out), SORA_OK);
      if (out == NULL)
        continue;
      copy_rectangle (
          between + ((n++ * h + y->core.begin) * w + x->core.begin) * c, w * c,
          out
              + ((y->core.begin - y->level[last].begin) * ow + x->core.begin - x->level[last].begin)
                    * c,
          ow * c, sora_vae_span_length (&y->core), sora_vae_span_length (&x->core), c);
    }
  free (in);
  sora_vae_stream_free (tile);
  return n;
}

static void
encode (int model, int64_t t, int64_t h, int64_t w, int64_t tile)
{
  Half half;
  half_init (&half, model, SORA_VAE_ENCODER, 2);
  if (half.levels.n == 0)
    return sora_vae_coder_free (half.coder);
  const SoraVaeConfig *config = &half.config;
  const int64_t c = sora_kit_pad16 (sora_vae_between_channels (config, SORA_VAE_ENCODER)),
                height = h * config->spatial, width = w * config->spatial,
                frames = 1 + (t - 1) * config->temporal, one = height * width * 3;
  const int below = config->n_blocks - half.levels.n; /* levels behind the last that tiles see */
  const int64_t bh = h << below, bw = w << below;
  float *rgb = noises (frames * one, 0.5f, 0.5f);
  float *want = calloc ((size_t)(4 * t * h * w), sizeof *want),
        *got = calloc ((size_t)(4 * t * h * w), sizeof *got);
  int64_t done = 0;
  int complete;
  SoraVaeStream *stream = sora_vae_stream_new (half.coder, height, width);
  for (int64_t i = 0; i < frames; i++)
    {
      ck_assert_int_eq (sora_vae_encode_frame (stream, &half.team, rgb + i * one, SORA_F32,
                                               want + done * h * w, t * h * w, &complete),
                        SORA_OK);
      done += complete;
    }
  ck_assert_int_eq (done, t);
  sora_vae_stream_free (stream);

  const int64_t n = sora_vae_between_frames (config, SORA_VAE_ENCODER, t);
  float *between = calloc ((size_t)(n * bh * bw * c), sizeof *between);
  for (int64_t y = 0; y < bh; y += tile)
    for (int64_t x = 0; x < bw; x += tile)
      {
        const SoraVaeReach rows = reach_of (&half, bh, tile, y),
                           columns = reach_of (&half, bw, tile, x);
        ck_assert_int_eq (
            encode_tile (&half, rgb, frames, height, width, &rows, &columns, between, bh, bw), n);
      }
  stream = sora_vae_stream_new_whole (half.coder, bh, bw);
  done = 0;
  for (int64_t i = 0; i < n; i++)
    {
      ck_assert_int_eq (sora_vae_encode_finish (stream, &half.team, between + i * bh * bw * c,
                                                got + done * h * w, t * h * w, &complete),
                        SORA_OK);
      done += complete;
    }
  ck_assert_int_eq (done, t);
  ck_assert_msg (memcmp (got, want, (size_t)(4 * t * h * w) * sizeof *got) == 0,
                 "model %d, %lldx%lldx%lld, tiles of %lld: other latents", model, (long long)t,
                 (long long)h, (long long)w, (long long)tile);
  sora_vae_stream_free (stream);
  free (between);
  free (rgb);
  free (want);
  free (got);
  sora_vae_coder_free (half.coder);
}

START_TEST (test_encode)
{
  const int i = _i % N_SIZES;
  encode (_i / N_SIZES, sizes[i].t, sizes[i].h, sizes[i].w, sizes[i].tile);
}
END_TEST

/* How far Wan 2.1's tiles see: 13 latents to the last bit of a sum, more to the last bit of
 * Winograd's; and no tile sees more of the largest resolution than of a smaller one. */
START_TEST (test_reach_of_wan)
{
  SoraVaeConfig config;
  static SoraVaeLayer layers[SORA_VAE_MAX_LAYERS];
  SoraVaeLevels levels;
  SoraVaeReach reach;
  read_config (0, &config);
  const int n = sora_vae_layers (&config, SORA_VAE_DECODER, layers);
  sora_vae_levels_find (&config, SORA_VAE_DECODER, layers, n, &levels);
  ck_assert_int_eq (levels.n, 4);
  sora_vae_reach_exact (&levels, layers, 200, (SoraVaeSpan){ 100, 120 }, &reach);
  for (int i = 0; i < 4; i++)
    {
      const int64_t before = (100 << i) - reach.level[i].begin,
                    behind = reach.level[i].end - (120 << i);
      static const int64_t least[] = { 13, 13, 11, 8 };
      ck_assert_int_ge (before, least[i]);
      ck_assert_int_ge (behind, least[i]);
      ck_assert_int_le (before, 2 * least[i] + 8);
      ck_assert_int_le (behind, 2 * least[i] + 8);
    }
  ck_assert_int_eq (reach.core.begin, 800);
  ck_assert_int_eq (reach.core.end, 960);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("vae-parts");
  TCase *tcase = tcase_create ("parts");
  tcase_set_timeout (tcase, 900);
  tcase_add_loop_test (tcase, test_decode, 0, N_MODELS * N_SIZES);
  tcase_add_loop_test (tcase, test_encode, 0, N_MODELS * N_SIZES);
  tcase_add_test (tcase, test_reach_of_wan);
  suite_add_tcase (suite, tcase);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
