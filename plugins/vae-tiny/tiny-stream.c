/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tiny-stream.c: one clip: its memory, its latents' way through the layers, and what it will cost.
 * Source: taehv.py (see tiny-config.h), apply_model_with_memblocks_sequential() with MemBlock and
 * TGrow: a block sees its input and the input that it had before, zeros at first.
 */
#include "tiny-private.h"

#include "kit-memory.h"

#include <stdlib.h>
#include <string.h>

enum
{
  THREADS_ASSUMED = 4, /* infer does not know the threads; one more is a megabyte or two */
  FRAMES_A_LEVEL = SORA_TINY_BLOCKS + 3,
};

/* The buffers of a level take turns: what a block got becomes its past, and the past before it is
 * free for the next. */
typedef struct
{
  int64_t h, w;
  float *memory; /* of all of them */
  float *past[SORA_TINY_BLOCKS];
  float *x, *a, *b; /* what is on its way, and two that are free */
  int seen;         /* there is a past */
} Level;

struct SoraTinyStream
{
  const SoraTinyDecoder *decoder;
  int64_t h, w;
  int64_t made, frames; /* so far, with those that are dropped; and that are wanted, without */
  Level levels[SORA_TINY_LEVELS];
  float *z, *top, *places;
  void *work; /* of the convolutions */
  int threads;

  /* of the call */
  SoraKitTeam *team;
  SoraTinyFrameFunc take;
  void *data;
};

/* ---- memory */

static uint64_t
level_floats (const SoraTinyConfig *config, int level, int64_t h, int64_t w)
{
  const int64_t scale = INT64_C (1) << level;
  return (uint64_t)(scale * h * scale * w * sora_kit_pad16 (config->widths[level]));
}

static uint64_t
z_floats (const SoraTinyConfig *config, int64_t h, int64_t w)
{
  return (uint64_t)(h * w * sora_kit_pad16 (config->z_dim));
}

static uint64_t
places_floats (const SoraTinyConfig *config, int64_t h, int64_t w)
{
  return (uint64_t)(64 * h * w * 3 * config->patch * config->patch);
}

static uint64_t
work_bytes (const SoraTinyLayer *layers, int n, int64_t h, int64_t w, int threads)
{
  uint64_t most = 0;
  for (int i = 0; i < n; i++)
    {
      const SoraTinyLayer *l = &layers[i];
      uint64_t bytes = 0;
      if (l->kind == SORA_TINY_PLANE)
        bytes
            = sora_kit_plane_conv_work (l->ic, l->oc, l->taps, l->scale * h, l->scale * w, threads);
      else if (l->kind == SORA_TINY_FEW)
        bytes = sora_kit_few_conv_work (l->oc, l->scale * w, threads);
      most = bytes > most ? bytes : most;
    }
  return most;
}

void
sora_tiny_estimate (const SoraTinyConfig *config, int64_t h, int64_t w, int64_t frames,
                    uint64_t *bytes, double *flops)
{
  SoraTinyLayer layers[SORA_TINY_MAX_LAYERS];
  const int n = sora_tiny_layers (config, layers);
  uint64_t floats = z_floats (config, h, w) + level_floats (config, SORA_TINY_LEVELS, h, w)
                    + places_floats (config, h, w);
  for (int i = 0; i < SORA_TINY_LEVELS; i++)
    floats += FRAMES_A_LEVEL * level_floats (config, i, h, w);
  *bytes = floats * sizeof (float) + work_bytes (layers, n, h, w, THREADS_ASSUMED);

  const int64_t latents
      = (frames + SORA_TINY_DROPPED + SORA_TINY_TEMPORAL - 1) / SORA_TINY_TEMPORAL;
  *flops = 0;
  for (int i = 0; i < n; i++)
    {
      const SoraTinyLayer *l = &layers[i];
      const double places = (double)(l->scale * h) * (double)(l->scale * w);
      const double times = (double)(l->frames == SORA_TINY_TEMPORAL ? frames : latents * l->frames);
      *flops += 2.0 * times * places * (double)(l->ic * l->oc) * l->taps
                * (l->kind == SORA_TINY_POINT ? 1 : 9);
    }
}

SoraTinyStream *
sora_tiny_stream_new (const SoraTinyDecoder *decoder, int64_t h, int64_t w, int64_t frames)
{
  const SoraTinyConfig *config = &decoder->config;
  SoraTinyStream *s = calloc (1, sizeof *s);
  if (s == NULL)
    return NULL;
  s->decoder = decoder;
  s->h = h;
  s->w = w;
  s->frames = frames;
  s->z = sora_kit_alloc0 (z_floats (config, h, w), sizeof (float)); /* the padding stays zero */
  s->top = sora_kit_alloc (level_floats (config, SORA_TINY_LEVELS, h, w), sizeof (float));
  s->places = sora_kit_alloc (places_floats (config, h, w), sizeof (float));
  int whole = s->z != NULL && s->top != NULL && s->places != NULL;
  for (int i = 0; i < SORA_TINY_LEVELS; i++)
    {
      Level *level = &s->levels[i];
      const uint64_t n = level_floats (config, i, h, w);
      level->h = h << i;
      level->w = w << i;
      level->memory = sora_kit_alloc (FRAMES_A_LEVEL * n, sizeof (float));
      if (level->memory == NULL)
        {
          whole = 0;
          break;
        }
      for (int j = 0; j < SORA_TINY_BLOCKS; j++)
        level->past[j] = level->memory + (uint64_t)j * n;
      level->x = level->memory + SORA_TINY_BLOCKS * n;
      level->a = level->x + n;
      level->b = level->a + n;
    }
  if (whole)
    return s;
  sora_tiny_stream_free (s);
  return NULL;
}

void
sora_tiny_stream_free (SoraTinyStream *s)
{
  if (s == NULL)
    return;
  for (int i = 0; i < SORA_TINY_LEVELS; i++)
    sora_kit_free (s->levels[i].memory);
  sora_kit_free (s->z);
  sora_kit_free (s->top);
  sora_kit_free (s->places);
  sora_kit_free (s->work);
  free (s);
}

static int
prepare (SoraTinyStream *s)
{
  if (s->work != NULL && s->team->threads <= s->threads)
    return SORA_OK;
  sora_kit_free (s->work);
  s->threads = s->team->threads;
  s->work
      = sora_kit_alloc (work_bytes (s->decoder->layers, s->decoder->n, s->h, s->w, s->threads), 1);
  return s->work != NULL ? SORA_OK : sora_kit_team_fail (s->team, "no memory to decode");
}

/* ---- the way of a frame */

static int
plane (SoraTinyStream *s, int index, const SoraKitConvSource *source, const float *add, float *to)
{
  return sora_kit_plane_conv_run (&s->decoder->packed[index].plane, s->team, source,
                                  s->decoder->layers[index].upsamples, add, to, s->work);
}

/* relu (conv (relu (conv (relu (conv (x, past))))) + x); what it got is its past from now on. */
static int
block (SoraTinyStream *s, Level *level, int j, int index)
{
  float *before = level->past[j];
  SoraKitConvSource source = {
    .frames = { level->x, before }, .count = level->seen ? 2 : 1, .h = level->h, .w = level->w
  };
  int r = plane (s, index, &source, NULL, level->a);
  source.count = 1;
  source.frames[0] = level->a;
  if (r == SORA_OK)
    r = plane (s, index + 1, &source, NULL, level->b);
  source.frames[0] = level->b;
  if (r == SORA_OK)
    r = plane (s, index + 2, &source, level->x, level->a);
  level->past[j] = level->x;
  level->x = level->a;
  level->a = before;
  return r;
}

static int
picture (SoraTinyStream *s, int index)
{
  const SoraKitConvSource source
      = { .frames = { s->top }, .count = 1, .h = 8 * s->h, .w = 8 * s->w };
  const int r = sora_kit_few_conv_run (&s->decoder->packed[index].few, s->team, &source, s->places,
                                       s->work);
  return r == SORA_OK ? s->take (s->team, s->data, s->places) : r;
}

/* Of four frames for each latent frame, those before the first picture and behind the last are
 * nobody's past: nothing is made of them. */
static int
is_wanted (SoraTinyStream *s)
{
  const int64_t i = s->made++ - SORA_TINY_DROPPED;
  return i >= 0 && i < s->frames;
}

/* The frame in the level's x through its blocks; then each frame that is made of it, up to the
 * picture, before the next. */
static int
walk (SoraTinyStream *s, int at, int index)
{
  Level *level = &s->levels[at];
  const int last = at + 1 == SORA_TINY_LEVELS, stretch = sora_tiny_stretch (at);
  int r = SORA_OK;
  for (int j = 0; j < SORA_TINY_BLOCKS && r == SORA_OK; j++, index += 3)
    r = block (s, level, j, index);
  level->seen = 1;
  SoraKitConvSource source = { .count = 1, .h = level->h, .w = level->w };
  for (int i = 0; i < stretch && r == SORA_OK; i++)
    {
      if (last && !is_wanted (s))
        continue;
      source.frames[0] = level->x;
      r = sora_kit_point_conv_run (&s->decoder->packed[index + i].point, s->team, &source, NULL,
                                   level->b);
      source.frames[0] = level->b;
      if (r == SORA_OK)
        r = plane (s, index + stretch, &source, NULL, last ? s->top : s->levels[at + 1].x);
      if (r == SORA_OK)
        r = last ? picture (s, index + stretch + 1) : walk (s, at + 1, index + stretch + 1);
    }
  return r;
}

int
sora_tiny_stream_decode (SoraTinyStream *s, SoraKitTeam *team, const float *latents,
                         int64_t channel_step, SoraTinyFrameFunc take, void *data)
{
  const int64_t z_dim = s->decoder->config.z_dim, padded = sora_kit_pad16 (z_dim), n = s->h * s->w;
  s->team = team;
  s->take = take;
  s->data = data;
  int r = prepare (s);
  if (r != SORA_OK)
    return r;
  for (int64_t c = 0; c < z_dim; c++)
    for (int64_t i = 0; i < n; i++)
      s->z[i * padded + c] = sora_tiny_clamp (latents[c * channel_step + i]);
  const SoraKitConvSource source = { .frames = { s->z }, .count = 1, .h = s->h, .w = s->w };
  r = plane (s, 0, &source, NULL, s->levels[0].x);
  return r == SORA_OK ? walk (s, 0, 1) : r;
}
