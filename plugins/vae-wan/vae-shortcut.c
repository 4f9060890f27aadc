/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-shortcut.c: what goes around the blocks of Wan 2.2's VAE.  Source: diffusers 0.42.1,
 * autoencoder_kl_wan.py: DupUp3D and AvgDown3D.  There they see a chunk of frames; here a frame is
 * told which of two it is.  The very first frame is the second of two whose first one does not
 * exist: DupUp3D drops that one, AvgDown3D takes zeros for it.
 */
#include "vae-private.h"

#include "vae-math.h"

#include <string.h>

typedef struct
{
  const float *from;
  float *to;
  int64_t w;         /* of the smaller of the two frames */
  int64_t channels;  /* of from */
  int64_t out;       /* of to */
  int64_t factor, k; /* of the upper left pixel of four */
  int side, begin;
} Shortcut;

/* Rows of pixels of the smaller frame. */
static void
repeat_pixels (void *data, int64_t first, int64_t count)
{
  const Shortcut *s = data;
  const int64_t from_step = sora_kit_pad16 (s->channels), to_step = sora_kit_pad16 (s->out);
  for (int64_t i = first; i < first + count; i++)
    for (int y = 0; y < 2; y++)
      for (int x = 0; x < 2; x++)
        {
          const int64_t at = (2 * (i / s->w) + y) * 2 * s->w + 2 * (i % s->w) + x;
          sora_vae_repeat_pixel (s->from + i * from_step, s->channels, s->to + at * to_step, s->out,
                                 s->factor, s->k + 2 * y + x);
        }
}

static void
average_pixels (void *data, int64_t first, int64_t count)
{
  const Shortcut *s = data;
  const int64_t from_step = sora_kit_pad16 (s->channels), to_step = sora_kit_pad16 (s->out);
  if (s->begin)
    memset (s->to + first * to_step, 0, (size_t)(count * to_step) * sizeof *s->to);
  for (int64_t i = first; i < first + count; i++)
    for (int y = 0; y < s->side; y++)
      for (int x = 0; x < s->side; x++)
        {
          const int64_t at = (s->side * (i / s->w) + y) * s->side * s->w + s->side * (i % s->w) + x;
          sora_vae_average_pixel (s->from + at * from_step, s->channels, s->to + i * to_step,
                                  s->out, s->factor, s->k + s->side * y + x);
        }
}

int
sora_vae_repeat (SoraVaeStream *stream, int block, int time, const SoraVaeFrame *from,
                 const SoraVaeFrame *to)
{
  if (stream->pool.pretend)
    return SORA_OK;
  Shortcut s = { .from = sora_vae_data (stream, from->at),
                 .to = sora_vae_data (stream, to->at),
                 .w = from->w,
                 .channels = from->c,
                 .out = to->c,
                 .factor = sora_vae_block_factor (&stream->coder->config, block),
                 .k = 4 * time };
  return sora_kit_rows_parallel (stream->team, from->h * from->w, 1 + 32768 / to->c, repeat_pixels,
                                 &s);
}

int
sora_vae_average (SoraVaeStream *stream, int level, int time, int begin, const SoraVaeFrame *from,
                  const SoraVaeFrame *to)
{
  if (stream->pool.pretend)
    return SORA_OK;
  const int64_t factor = sora_vae_level_factor (&stream->coder->config, level);
  Shortcut s = { .from = sora_vae_data (stream, from->at),
                 .to = sora_vae_data (stream, to->at),
                 .w = to->w,
                 .channels = from->c,
                 .out = to->c,
                 .factor = factor,
                 .k = 4 * time,
                 .side = factor == 1 ? 1 : 2,
                 .begin = begin };
  return sora_kit_rows_parallel (stream->team, to->h * to->w, 1 + 32768 / from->c, average_pixels,
                                 &s);
}
