/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-tiling.c: see vae-tiling.h.
 */
#include "vae-tiling.h"

#include "vae-private.h"

#include <stdio.h>
#include <string.h>

/* Work that a tile need not take more of: by then the pixels around it cost little. */
static const uint64_t enough = UINT64_C (2250000000);

enum
{
  SHARED = 2,   /* latents on each side of a blended seam */
  SMALLEST = 4, /* latents of a tile that memory alone asks for */
};

/* How an axis is cut, and the largest of its tiles at each resolution. */
typedef struct
{
  SoraVaeReach most, sum;
} Extent;

static void
widen (SoraVaeSpan *most, SoraVaeSpan *sum, const SoraVaeSpan *span)
{
  const int64_t length = sora_vae_span_length (span);
  most->end = length > most->end ? length : most->end;
  sum->end += length;
}

/* `scale`: pixels of this axis for each latent. */
static void
cut (const SoraVaeCoder *coder, int64_t size, int n, int blend, int64_t scale, SoraVaeReach *tiles,
     Extent *extent)
{
  const SoraVaeLevels *levels = &coder->levels;
  const int64_t shortest = size / n, half = shortest / 2;
  const int64_t overlap = SHARED * scale < half ? SHARED * scale : half;
  memset (extent, 0, sizeof *extent);
  for (int i = 0; i < n; i++)
    {
      const SoraVaeSpan core = { size * i / n, size * (i + 1) / n };
      if (blend)
        sora_vae_reach_blend (levels, size, core, overlap, &tiles[i]);
      else
        sora_vae_reach_exact (levels, coder->layers, size, core, &tiles[i]);
      for (int j = 0; j < levels->n; j++)
        widen (&extent->most.level[j], &extent->sum.level[j], &tiles[i].level[j]);
      widen (&extent->most.out, &extent->sum.out, &tiles[i].out);
    }
}

/* The tiles' part for reaches that no tile need have. */
static int
tile_cost (const SoraVaeCoder *coder, const SoraVaeReach *y, const SoraVaeReach *x, int64_t t,
           uint64_t *bytes, double *flops)
{
  SoraVaeStream *s = sora_vae_stream_new_tile (coder, y, x);
  const int r = s != NULL ? sora_vae_stream_cost (s, t, bytes, flops) : -1;
  sora_vae_stream_free (s);
  return r;
}

static uint64_t
area (const SoraVaeSpan *y, const SoraVaeSpan *x)
{
  return (uint64_t)(sora_vae_span_length (y) * sora_vae_span_length (x));
}

/* What is held to be read or written beside the stream of a tile. */
static uint64_t
tile_buffers (const SoraVaeConfig *config, const SoraVaeClip *clip, const SoraVaeTiling *tiling,
              const Extent *y, const Extent *x)
{
  const uint64_t number = clip->dtype == SORA_F32 || tiling->blend ? 4 : 1,
                 seen = area (&y->most.level[0], &x->most.level[0]),
                 kept = area (&y->most.out, &x->most.out), channels = (uint64_t)tiling->c * 4;
  if (clip->half == SORA_VAE_DECODER)
    return seen * channels + kept * 3 * number * (uint64_t)config->temporal;
  return seen * 3 * (clip->dtype == SORA_F32 ? 4 : 1)
         + (tiling->blend ? 2 * (uint64_t)sora_vae_span_length (&x->most.out) * channels : 0);
}

typedef struct
{
  const SoraVaeConfig *config;
  const SoraVaeClip *clip;
  SoraVaeCoder *coder;
  uint64_t whole_bytes; /* of the part that sees whole frames, with its buffer */
  double whole_flops;
} Choice;

static int
cut_both (const Choice *choice, SoraVaeTiling *tiling)
{
  const SoraVaeCoder *coder = choice->coder;
  const int64_t scale = tiling->h / choice->clip->h;
  Extent y, x;
  uint64_t bytes, none;
  double flops;
  cut (coder, tiling->h, tiling->rows, tiling->blend, scale, tiling->y, &y);
  cut (coder, tiling->w, tiling->columns, tiling->blend, scale, tiling->x, &x);
  /* Operations grow with the area at each resolution: those of all tiles are those of one that is
   * as high and as wide as all of them in a row. */
  if (tile_cost (coder, &y.most, &x.most, choice->clip->t, &bytes, &flops) != 0
      || tile_cost (coder, &y.sum, &x.sum, choice->clip->t, &none, &flops) != 0)
    return -1;
  bytes += tile_buffers (choice->config, choice->clip, tiling, &y, &x);
  tiling->work_bytes = bytes > choice->whole_bytes ? bytes : choice->whole_bytes;
  tiling->whole_flops = choice->whole_flops;
  tiling->flops = flops + choice->whole_flops;
  return 0;
}

/* One more where tiles are longer. */
static int
cut_more (SoraVaeTiling *tiling, int64_t smallest)
{
  const int64_t h = tiling->h / tiling->rows, w = tiling->w / tiling->columns;
  int *n = h > w ? &tiling->rows : &tiling->columns;
  if ((h > w ? h : w) <= smallest || *n == SORA_VAE_MAX_TILES)
    return 0;
  (*n)++;
  return 1;
}

static int
tiles_of (int64_t size, int64_t tile)
{
  const int64_t n = tile > 0 ? (size + tile - 1) / tile : 1;
  return n < SORA_VAE_MAX_TILES ? (int)n : SORA_VAE_MAX_TILES;
}

/* What both parts share, and what the one that sees whole frames takes. */
static int
begin (Choice *choice, SoraVaeTiling *tiling)
{
  const SoraVaeConfig *config = choice->config;
  const SoraVaeClip *clip = choice->clip;
  const int below = clip->half == SORA_VAE_DECODER ? 0 : config->n_blocks - choice->coder->levels.n;
  tiling->levels = choice->coder->levels.n;
  tiling->h = clip->h << below;
  tiling->w = clip->w << below;
  tiling->c = sora_kit_pad16 (sora_vae_between_channels (config, clip->half));
  tiling->n = sora_vae_between_frames (config, clip->half, clip->t);
  const uint64_t frame = (uint64_t)(tiling->h * tiling->w * tiling->c) * sizeof (float),
                 picture = (uint64_t)(clip->h * clip->w * config->spatial * config->spatial * 3);
  tiling->between_bytes = frame * (uint64_t)tiling->n;
  tiling->pictures_bytes
      = picture * (uint64_t)clip->frames
        * (clip->dtype == SORA_F32 || (tiling->blend && clip->half == SORA_VAE_DECODER) ? 4 : 1);
  SoraVaeStream *s = sora_vae_stream_new_whole (choice->coder, tiling->h, tiling->w);
  const int r = s != NULL
                    ? sora_vae_stream_cost (s, clip->t, &choice->whole_bytes, &choice->whole_flops)
                    : -1;
  sora_vae_stream_free (s);
  choice->whole_bytes += clip->half == SORA_VAE_ENCODER ? frame : 0;
  return r;
}

static int
choose_tiles (Choice *choice, SoraVaeTiling *tiling, uint64_t packed)
{
  const SoraVaeClip *clip = choice->clip;
  tiling->blend = clip->mode == SORA_VAE_TILING_BLEND;
  if (begin (choice, tiling) != 0)
    return -1;
  const int64_t scale = tiling->h / clip->h;
  const int64_t pixels = choice->config->spatial / scale; /* for each of the axis */
  const int64_t side = (clip->tile + pixels - 1) / pixels;
  tiling->rows = tiles_of (tiling->h, side);
  tiling->columns = tiles_of (tiling->w, side);
  if (clip->tile > 0)
    return cut_both (choice, tiling);
  uint64_t most = clip->limit > packed ? clip->limit - packed : 0;
  most = most < enough ? most : enough;
  /* No tile has to take less than whole frames do in their part. */
  most = most > choice->whole_bytes ? most : choice->whole_bytes;
  int r = 0, rows = 0, columns = 0, more;
  uint64_t least = UINT64_MAX;
  do
    {
      more = cut_more (tiling, SMALLEST * scale);
      r = cut_both (choice, tiling);
      if (r == 0 && tiling->work_bytes < least)
        {
          least = tiling->work_bytes;
          rows = tiling->rows;
          columns = tiling->columns;
        }
    }
  while (r == 0 && more && tiling->work_bytes > most);
  if (r != 0 || (rows == tiling->rows && columns == tiling->columns))
    return r;
  tiling->rows = rows;
  tiling->columns = columns;
  return cut_both (choice, tiling);
}

int
sora_vae_tiling_choose (const SoraVaeConfig *config, const SoraVaeClip *clip, SoraVaeTiling *tiling)
{
  Choice choice = { .config = config, .clip = clip };
  const uint64_t packed = sora_vae_coder_bytes (config, clip->half);
  const int up = clip->half == SORA_VAE_ENCODER ? (int)config->spatial : 1;
  memset (tiling, 0, sizeof *tiling);
  choice.coder = sora_vae_coder_new (config, clip->half);
  SoraVaeStream *s = choice.coder != NULL
                         ? sora_vae_stream_new (choice.coder, clip->h * up, clip->w * up)
                         : NULL;
  int r = s != NULL ? sora_vae_stream_cost (s, clip->t, &tiling->work_bytes, &tiling->flops) : -1;
  sora_vae_stream_free (s);
  const int fits = packed <= clip->limit && tiling->work_bytes <= clip->limit - packed;
  const int tiles = clip->mode == SORA_VAE_TILING_EXACT || clip->mode == SORA_VAE_TILING_BLEND
                    || (clip->mode == SORA_VAE_TILING_AUTO && !fits);
  const SoraVaeTiling whole = *tiling;
  if (r == 0 && tiles && choice.coder->levels.n > 0)
    r = choose_tiles (&choice, tiling, packed);
  if (clip->mode == SORA_VAE_TILING_AUTO && tiling->work_bytes > whole.work_bytes)
    *tiling = whole;
  sora_vae_coder_free (choice.coder);
  return r;
}

const char *
sora_vae_tiling_text (const SoraVaeConfig *config, const SoraVaeClip *clip,
                      const SoraVaeTiling *tiling, char *text, size_t size)
{
  if (tiling->rows == 0)
    {
      (void)snprintf (text, size, "whole frames");
      return text;
    }
  int64_t h = 0, w = 0;
  for (int i = 0; i < tiling->rows; i++)
    h = sora_vae_span_length (&tiling->y[i].core) > h ? sora_vae_span_length (&tiling->y[i].core)
                                                      : h;
  for (int i = 0; i < tiling->columns; i++)
    w = sora_vae_span_length (&tiling->x[i].core) > w ? sora_vae_span_length (&tiling->x[i].core)
                                                      : w;
  /* The last resolution's, in pixels of the picture. */
  const SoraVaeReach *end = &tiling->y[tiling->rows - 1];
  const int64_t scale = clip->h * config->spatial / end->core.end;
  (void)snprintf (text, size, "%d x %d tiles of up to %lldx%lld px, %s", tiling->columns,
                  tiling->rows, (long long)(w * scale), (long long)(h * scale),
                  tiling->blend ? "blended" : "exact");
  return text;
}

float
sora_vae_blend_weight (const SoraVaeReach *reach, int64_t size, int64_t at)
{
  const int64_t before = reach->core.begin - reach->out.begin,
                behind = reach->out.end - reach->core.end;
  float weight = 1;
  if (reach->core.begin > 0 && at < reach->core.begin + before)
    weight = ((float)(at - reach->out.begin) + 0.5f) / (float)(2 * before);
  if (reach->core.end < size && at >= reach->core.end - behind)
    weight *= ((float)(reach->out.end - at) - 0.5f) / (float)(2 * behind);
  return weight;
}
