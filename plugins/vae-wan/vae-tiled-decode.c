/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-tiled-decode.c: the decoder in tiles: all latents up to the middle, each tile through all of
 * them, and the pictures at the end.
 */
#include "vae-tiled.h"

#include "vae-decoder.h"
#include "vae-math.h"
#include "vae-scratch.h"

#include "kit-memory.h"
#include "kit-stage.h"

#include <string.h>

typedef struct
{
  const SoraVaeTiledRun *run;
  SoraVaeScratch between, pictures;
  int64_t height, width; /* of a picture */
  int64_t scale;         /* pixels of a picture for one of the last resolution, each way */
  int64_t number;        /* bytes of one in the scratch file */
  SoraVaeStream *stream;
  /* of the part that sees whole frames */
  const float *latents;
  int64_t channel_step;
  const float *x;
  /* of a tile */
  const SoraVaeReach *rows, *columns;
  float *in;
  char *out;         /* what is kept of the frames that follow from one latent */
  int64_t out_frame; /* bytes of one of them */
  int64_t taken;     /* frames in it */
} Decode;

/* ---- up to the middle */

static int
begin_on_compute (SoraKitTeam *team, void *data)
{
  Decode *d = data;
  return sora_vae_stream_begin (d->stream, team, d->latents, d->channel_step, &d->x);
}

static int
decode_middle (Decode *d, const float *latents)
{
  const SoraVaeTiledRun *run = d->run;
  const SoraVaeClip *clip = run->clip;
  int r = SORA_OK;
  d->stream = sora_vae_stream_new_whole (run->coder, clip->h, clip->w);
  if (d->stream == NULL)
    return run->host->fail (run->ctx, "no memory to decode");
  for (int64_t i = 0; i < clip->t && r == SORA_OK; i++)
    {
      d->latents = latents + i * clip->h * clip->w;
      r = sora_kit_compute (run->host, run->ctx, "the decoder", begin_on_compute, d);
      if (r == SORA_OK)
        r = sora_vae_scratch_write (&d->between, i, 0, clip->h, 0, d->between.line, d->x,
                                    d->between.line);
      if (r == SORA_OK)
        sora_vae_tiled_progress (run, i + 1);
    }
  sora_vae_stream_free (d->stream);
  d->stream = NULL;
  return r;
}

/* ---- a tile */

typedef struct
{
  const Decode *d;
  const float *rgb;
  char *out;
  _Atomic int bad;
} Convert;

static int64_t
kept_rows (const Decode *d)
{
  return sora_vae_span_length (&d->rows->out) * d->scale;
}

static int64_t
kept_numbers (const Decode *d)
{
  return sora_vae_span_length (&d->columns->out) * d->scale * 3;
}

/* Where row `i` of what is kept stands in what was computed. */
static const float *
computed_row (const Decode *d, const float *rgb, int64_t i)
{
  const SoraVaeSpan *y = &d->rows->level[d->run->tiling->levels - 1],
                    *x = &d->columns->level[d->run->tiling->levels - 1];
  const int64_t top = (d->rows->out.begin - y->begin) * d->scale + i;
  return rgb
         + (top * sora_vae_span_length (x) * d->scale
            + (d->columns->out.begin - x->begin) * d->scale)
               * 3;
}

static void
weigh_row (const Decode *d, int64_t row, const float *from, float *to)
{
  const SoraVaeReach *y = d->rows, *x = d->columns;
  const int64_t h = d->height / d->scale, w = d->width / d->scale;
  const float vertical = sora_vae_blend_weight (y, h, y->out.begin + row / d->scale);
  for (int64_t i = 0; i < kept_numbers (d); i++)
    to[i] = from[i] * vertical * sora_vae_blend_weight (x, w, x->out.begin + i / 3 / d->scale);
}

static void
convert_rows (void *data, int64_t row, int64_t count)
{
  Convert *c = data;
  const Decode *d = c->d;
  const int64_t n = kept_numbers (d);
  int bad = 0;
  for (int64_t i = row; i < row + count; i++)
    {
      const float *from = computed_row (d, c->rgb, i);
      char *to = c->out + i * n * d->number;
      if (d->run->tiling->blend)
        weigh_row (d, i, from, (float *)to);
      else if (d->number == 4)
        bad |= sora_vae_picture_f32 (from, (float *)to, n);
      else
        bad |= sora_vae_picture_u8 (from, (uint8_t *)to, n);
    }
  if (bad != 0)
    c->bad = 1;
}

static int
no_number (SoraKitTeam *team)
{
  return sora_kit_team_fail (
      team, "the decoder gave no number (NaN or infinity): are latents and weights whole?");
}

static int
take_frame (SoraKitTeam *team, void *data, const float *rgb)
{
  Decode *d = data;
  Convert convert = { d, rgb, d->out + d->taken * d->out_frame, 0 };
  const int r = sora_kit_rows_parallel (team, kept_rows (d), 1 + 65536 / kept_numbers (d),
                                        convert_rows, &convert);
  d->taken++;
  return r == SORA_OK && convert.bad ? no_number (team) : r;
}

static int
finish_on_compute (SoraKitTeam *team, void *data)
{
  Decode *d = data;
  d->taken = 0;
  return sora_vae_stream_finish (d->stream, team, d->in, take_frame, d);
}

/* What follows from latent frame i of this tile, to the pictures from `first` on. */
static int
decode_tile_latent (Decode *d, int64_t i, int64_t first)
{
  const SoraVaeSpan *y = &d->rows->level[0], *x = &d->columns->level[0];
  const int64_t pixel = d->run->tiling->c * (int64_t)sizeof (float),
                seen = sora_vae_span_length (x) * pixel, kept = kept_numbers (d) * d->number;
  int r = sora_vae_scratch_read (&d->between, i, y->begin, sora_vae_span_length (y),
                                 x->begin * pixel, seen, d->in, seen);
  if (r == SORA_OK)
    r = sora_kit_compute (d->run->host, d->run->ctx, "the decoder", finish_on_compute, d);
  const int64_t top = d->rows->out.begin * d->scale,
                left = d->columns->out.begin * d->scale * 3 * d->number;
  for (int64_t j = 0; j < d->taken && first + j < d->run->clip->frames && r == SORA_OK; j++)
    {
      const char *from = d->out + j * d->out_frame;
      if (d->run->tiling->blend)
        r = sora_vae_scratch_add (&d->pictures, first + j, top, kept_rows (d), left, kept, from,
                                  kept, d->in);
      else
        r = sora_vae_scratch_write (&d->pictures, first + j, top, kept_rows (d), left, kept, from,
                                    kept);
    }
  return r;
}

static int
decode_tile (Decode *d, int64_t index)
{
  const SoraVaeTiledRun *run = d->run;
  const int64_t t = run->clip->t;
  const SoraVaeSpan *y = &d->rows->level[0], *x = &d->columns->level[0];
  const int64_t seen = sora_vae_span_length (y) * sora_vae_span_length (x) * run->tiling->c;
  /* A blended line of pictures is read into the same memory. */
  const int64_t line = kept_numbers (d);
  d->out_frame = kept_rows (d) * line * d->number;
  d->stream = sora_vae_stream_new_tile (run->coder, d->rows, d->columns);
  d->in = sora_kit_alloc ((uint64_t)(seen > line ? seen : line), sizeof *d->in);
  d->out = sora_kit_alloc ((uint64_t)(d->out_frame * run->config->temporal), 1);
  int r = d->stream != NULL && d->in != NULL && d->out != NULL
              ? SORA_OK
              : run->host->fail (run->ctx, "no memory to decode a tile");
  for (int64_t i = 0; i < t && r == SORA_OK; i++)
    {
      r = decode_tile_latent (d, i, i == 0 ? 0 : 1 + (i - 1) * run->config->temporal);
      if (r == SORA_OK)
        sora_vae_tiled_progress (run, t * (1 + index) + i + 1);
    }
  sora_vae_stream_free (d->stream);
  sora_kit_free (d->in);
  sora_kit_free (d->out);
  d->stream = NULL;
  return r;
}

/* ---- pictures */

typedef struct
{
  const float *from;
  void *to;
  int dtype, bad;
  int64_t n;
} Unblend;

static int
unblend_on_compute (SoraKitTeam *team, void *data)
{
  Unblend *u = data;
  u->bad = u->dtype == SORA_F32 ? sora_vae_picture_f32 (u->from, u->to, u->n)
                                : sora_vae_picture_u8 (u->from, u->to, u->n);
  return u->bad != 0 ? no_number (team) : SORA_OK;
}

/* A picture of blended tiles: sums of -1…1. */
static int
read_blended (Decode *d, int64_t frame, float *sums, void *to)
{
  const SoraVaeTiledRun *run = d->run;
  Unblend unblend = { sums, to, run->clip->dtype, 0, d->height * d->width * 3 };
  const int r = sora_vae_scratch_read (&d->pictures, frame, 0, d->height, 0, d->pictures.line, sums,
                                       d->pictures.line);
  if (r != SORA_OK)
    return r;
  return sora_kit_compute (run->host, run->ctx, "the decoder", unblend_on_compute, &unblend);
}

static SoraTensor *
read_pictures (Decode *d, int64_t first, int64_t n, float *sums)
{
  const SoraVaeTiledRun *run = d->run;
  const int64_t shape[] = { n, d->height, d->width, 3 };
  SoraTensor *tensor = run->host->tensor_new (run->ctx, run->clip->dtype, 4, shape);
  SoraTensorView view = { .struct_size = sizeof view };
  if (tensor == NULL)
    return NULL;
  run->host->tensor_view (tensor, &view);
  int r = SORA_OK;
  for (int64_t i = 0; i < n && r == SORA_OK; i++)
    {
      char *to = (char *)view.data + i * (int64_t)(view.nbytes / (uint64_t)n);
      r = sums != NULL ? read_blended (d, first + i, sums, to)
                       : sora_vae_scratch_read (&d->pictures, first + i, 0, d->height, 0,
                                                d->pictures.line, to, d->pictures.line);
    }
  if (r == SORA_OK)
    return tensor;
  run->host->tensor_unref (tensor);
  return NULL;
}

static int
give_pictures (Decode *d, int (*give) (void *data, SoraTensor *pictures), void *data)
{
  const SoraVaeTiledRun *run = d->run;
  const int64_t frames = run->clip->frames;
  float *sums = NULL;
  if (run->tiling->blend)
    {
      sums = sora_kit_alloc ((uint64_t)(d->height * d->width * 3), sizeof *sums);
      if (sums == NULL)
        return run->host->fail (run->ctx, "no memory for a picture of %lld x %lld",
                                (long long)d->width, (long long)d->height);
    }
  int r = SORA_OK;
  for (int64_t done = 0, n = 1; done < frames && r == SORA_OK; done += n, n = run->config->temporal)
    {
      n = sora_kit_min (n, frames - done);
      SoraTensor *pictures
          = run->host->cancelled (run->ctx) ? NULL : read_pictures (d, done, n, sums);
      if (pictures == NULL)
        r = run->host->cancelled (run->ctx) ? SORA_CANCELLED : SORA_FAILED;
      else
        r = give (data, pictures);
    }
  sora_kit_free (sums);
  return r;
}

/* ---- all of it */

static int
decode (Decode *d, const float *latents)
{
  const SoraVaeTiledRun *run = d->run;
  const SoraVaeTiling *tiling = run->tiling;
  int r = sora_vae_scratch_open (run->host, run->ctx, tiling->n, tiling->h,
                                 tiling->w * tiling->c * (int64_t)sizeof (float), &d->between);
  if (r == SORA_OK)
    r = sora_vae_scratch_open (run->host, run->ctx, run->clip->frames, d->height,
                               d->width * 3 * d->number, &d->pictures);
  if (r == SORA_OK)
    r = decode_middle (d, latents);
  for (int i = 0; i < tiling->rows * tiling->columns && r == SORA_OK; i++)
    {
      d->rows = &tiling->y[i / tiling->columns];
      d->columns = &tiling->x[i % tiling->columns];
      sora_kit_trim ();
      r = decode_tile (d, i);
    }
  sora_vae_scratch_close (&d->between);
  return r;
}

int
sora_vae_tiled_decode (const SoraVaeTiledRun *run, const float *latents, int64_t channel_step,
                       int (*give) (void *data, SoraTensor *pictures), void *data)
{
  const SoraVaeConfig *config = run->config;
  Decode d = { .run = run,
               .between = { .fd = -1 },
               .pictures = { .fd = -1 },
               .height = run->clip->h * config->spatial,
               .width = run->clip->w * config->spatial,
               .scale = config->spatial >> (config->n_blocks - 1),
               .number = run->tiling->blend || run->clip->dtype == SORA_F32 ? 4 : 1,
               .channel_step = channel_step };
  int r = decode (&d, latents);
  sora_kit_trim ();
  if (r == SORA_OK)
    r = give_pictures (&d, give, data);
  sora_vae_scratch_close (&d.between);
  sora_vae_scratch_close (&d.pictures);
  return r;
}
