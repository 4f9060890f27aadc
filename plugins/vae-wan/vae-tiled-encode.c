/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-tiled-encode.c: the encoder in tiles: all pictures to a scratch file, each tile through all
 * of them, and what sees whole frames at the end.
 */
#include "vae-tiled.h"

#include "vae-encoder.h"
#include "vae-scratch.h"

#include "kit-memory.h"
#include "kit-stage.h"

#include <stdlib.h>

struct SoraVaeTiledEncoding
{
  SoraVaeTiledRun run;
  SoraVaeScratch pictures, between;
  int64_t height, width; /* of a picture */
  int64_t scale;         /* pixels of a picture for one of the first resolution, each way */
  int64_t pixel;         /* bytes of one of a picture */
  int64_t added;
  SoraVaeStream *stream;
  /* of a tile */
  const SoraVaeReach *rows, *columns;
  char *in;
  float *line; /* of tiles that are blended */
  /* of the part that sees whole frames */
  float *frame, *latents;
  int64_t done;
  int complete;
  const float *x;
};

int
sora_vae_tiled_encoding_new (const SoraVaeTiledRun *run, SoraVaeTiledEncoding **encoding)
{
  const SoraVaeConfig *config = run->config;
  const SoraVaeClip *clip = run->clip;
  const SoraVaeTiling *tiling = run->tiling;
  SoraVaeTiledEncoding *e = calloc (1, sizeof *e);
  *encoding = e;
  if (e == NULL)
    return run->host->fail (run->ctx, "no memory to encode");
  e->run = *run;
  e->height = clip->h * config->spatial;
  e->width = clip->w * config->spatial;
  e->scale = config->spatial >> (config->n_blocks - 1);
  e->pixel = clip->dtype == SORA_F32 ? 12 : 3;
  e->between.fd = -1;
  int r = sora_vae_scratch_open (run->host, run->ctx, clip->frames, e->height, e->width * e->pixel,
                                 &e->pictures);
  if (r == SORA_OK)
    r = sora_vae_scratch_open (run->host, run->ctx, tiling->n, tiling->h,
                               tiling->w * tiling->c * (int64_t)sizeof (float), &e->between);
  return r;
}

void
sora_vae_tiled_encoding_free (SoraVaeTiledEncoding *e)
{
  if (e == NULL)
    return;
  sora_vae_scratch_close (&e->pictures);
  sora_vae_scratch_close (&e->between);
  free (e);
}

int
sora_vae_tiled_encoding_add (SoraVaeTiledEncoding *e, const void *rgb)
{
  return sora_vae_scratch_write (&e->pictures, e->added++, 0, e->height, 0, e->pictures.line, rgb,
                                 e->pictures.line);
}

/* ---- a tile */

static int
begin_on_compute (SoraKitTeam *team, void *data)
{
  SoraVaeTiledEncoding *e = data;
  return sora_vae_encode_begin (e->stream, team, e->in, e->run.clip->dtype, &e->x);
}

/* Weighs what is kept of e->x, a line at a time, and adds it to frame n. */
static int
add_blended (SoraVaeTiledEncoding *e, int64_t n)
{
  const SoraVaeTiling *tiling = e->run.tiling;
  const SoraVaeSpan *y = &e->rows->out, *x = &e->columns->out;
  const int64_t c = tiling->c, w = sora_vae_span_length (x);
  const int64_t bytes = w * c * (int64_t)sizeof (float);
  float *weighed = e->line, *old = e->line + w * c;
  int r = SORA_OK;
  for (int64_t i = 0; i < sora_vae_span_length (y) && r == SORA_OK; i++)
    {
      const float vertical = sora_vae_blend_weight (e->rows, tiling->h, y->begin + i);
      const float *from = e->x + i * w * c;
      for (int64_t j = 0; j < w; j++)
        {
          const float weight
              = vertical * sora_vae_blend_weight (e->columns, tiling->w, x->begin + j);
          for (int64_t k = j * c; k < (j + 1) * c; k++)
            weighed[k] = weight * from[k];
        }
      r = sora_vae_scratch_add (&e->between, n, y->begin + i, 1,
                                x->begin * c * (int64_t)sizeof (float), bytes, weighed, bytes, old);
    }
  return r;
}

/* What the tile gives, e->x, to frame n. */
static int
keep (SoraVaeTiledEncoding *e, int64_t n)
{
  if (e->run.tiling->blend)
    return add_blended (e, n);
  const int last = e->run.tiling->levels - 1;
  const SoraVaeSpan *y = &e->rows->out, *x = &e->columns->out, *all_y = &e->rows->level[last],
                    *all_x = &e->columns->level[last];
  const int64_t c = e->run.tiling->c, step = sora_vae_span_length (all_x) * c;
  const float *from = e->x + (y->begin - all_y->begin) * step + (x->begin - all_x->begin) * c;
  return sora_vae_scratch_write (
      &e->between, n, y->begin, sora_vae_span_length (y), x->begin * c * (int64_t)sizeof (float),
      sora_vae_span_length (x) * c * (int64_t)sizeof (float), from, step * (int64_t)sizeof (float));
}

static int
encode_tile (SoraVaeTiledEncoding *e, int64_t index, int64_t whole)
{
  const SoraVaeTiledRun *run = &e->run;
  const SoraVaeSpan *y = &e->rows->level[0], *x = &e->columns->level[0];
  const int64_t rows = sora_vae_span_length (y) * e->scale,
                bytes = sora_vae_span_length (x) * e->scale * e->pixel;
  int64_t n = 0;
  e->stream = sora_vae_stream_new_tile (run->coder, e->rows, e->columns);
  e->in = sora_kit_alloc ((uint64_t)(rows * bytes), 1);
  e->line = run->tiling->blend ? sora_kit_alloc (
                (uint64_t)(2 * sora_vae_span_length (&e->columns->out) * run->tiling->c),
                sizeof *e->line)
                               : NULL;
  int r = e->stream != NULL && e->in != NULL && (e->line != NULL || !run->tiling->blend)
              ? SORA_OK
              : run->host->fail (run->ctx, "no memory to encode a tile");
  for (int64_t i = 0; i < whole && r == SORA_OK; i++)
    {
      const int64_t frame = sora_kit_min (i, e->added - 1);
      r = sora_vae_scratch_read (&e->pictures, frame, y->begin * e->scale, rows,
                                 x->begin * e->scale * e->pixel, bytes, e->in, bytes);
      if (r == SORA_OK)
        r = sora_kit_compute (run->host, run->ctx, "the encoder", begin_on_compute, e);
      if (r == SORA_OK && e->x != NULL)
        r = keep (e, n++);
      /* Each latent's last frame. */
      if (r == SORA_OK && i % run->config->temporal == 0)
        sora_vae_tiled_progress (run, index * run->clip->t + i / run->config->temporal + 1);
    }
  sora_vae_stream_free (e->stream);
  sora_kit_free (e->in);
  sora_kit_free (e->line);
  e->stream = NULL;
  e->in = NULL;
  e->line = NULL;
  return r;
}

/* ---- the rest */

static int
finish_on_compute (SoraKitTeam *team, void *data)
{
  SoraVaeTiledEncoding *e = data;
  const int64_t n = e->run.clip->h * e->run.clip->w;
  const int r = sora_vae_encode_finish (e->stream, team, e->frame, e->latents + e->done * n,
                                        e->run.clip->t * n, &e->complete);
  e->done += r == SORA_OK && e->complete;
  return r;
}

static int
encode_rest (SoraVaeTiledEncoding *e)
{
  const SoraVaeTiledRun *run = &e->run;
  const SoraVaeTiling *tiling = run->tiling;
  const int64_t tiles = tiling->rows * tiling->columns;
  e->stream = sora_vae_stream_new_whole (run->coder, tiling->h, tiling->w);
  e->frame = sora_kit_alloc ((uint64_t)(e->between.line * e->between.lines), 1);
  int r = e->stream != NULL && e->frame != NULL ? SORA_OK
                                                : run->host->fail (run->ctx, "no memory to encode");
  for (int64_t i = 0; i < tiling->n && r == SORA_OK; i++)
    {
      r = sora_vae_scratch_read (&e->between, i, 0, tiling->h, 0, e->between.line, e->frame,
                                 e->between.line);
      if (r == SORA_OK)
        r = sora_kit_compute (run->host, run->ctx, "the encoder", finish_on_compute, e);
      if (r == SORA_OK && e->complete)
        sora_vae_tiled_progress (run, tiles * run->clip->t + e->done);
    }
  sora_vae_stream_free (e->stream);
  sora_kit_free (e->frame);
  e->stream = NULL;
  e->frame = NULL;
  return r;
}

int
sora_vae_tiled_encoding_finish (SoraVaeTiledEncoding *e, int64_t whole, float *latents)
{
  const SoraVaeTiling *tiling = e->run.tiling;
  int r = SORA_OK;
  e->latents = latents;
  for (int i = 0; i < tiling->rows * tiling->columns && r == SORA_OK; i++)
    {
      e->rows = &tiling->y[i / tiling->columns];
      e->columns = &tiling->x[i % tiling->columns];
      sora_kit_trim ();
      r = encode_tile (e, i, whole);
    }
  sora_vae_scratch_close (&e->pictures);
  sora_kit_trim ();
  return r == SORA_OK ? encode_rest (e) : r;
}
