/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-part.c: see vae-part.h.
 */
#include "vae-private.h"

#include "kit-memory.h"

#include <stdlib.h>
#include <string.h>

static SoraVaeStream *
stream_new (const SoraVaeCoder *coder, SoraVaePart part, int64_t h, int64_t w)
{
  SoraVaeStream *s = calloc (1, sizeof *s);
  if (s == NULL)
    return NULL;
  s->coder = coder;
  s->part = part;
  s->h = h;
  s->w = w;
  for (int i = 0; i < SORA_VAE_MAX_LAYERS; i++)
    s->past[i].frames[0] = s->past[i].frames[1] = s->past[i].half = -1;
  return s;
}

SoraVaeStream *
sora_vae_stream_new (const SoraVaeCoder *coder, int64_t h, int64_t w)
{
  const int64_t patch = coder->levels.half == SORA_VAE_ENCODER ? coder->config.patch : 1;
  return stream_new (coder, SORA_VAE_PART_ALL, h / patch, w / patch);
}

SoraVaeStream *
sora_vae_stream_new_whole (const SoraVaeCoder *coder, int64_t h, int64_t w)
{
  return stream_new (coder, SORA_VAE_PART_WHOLE, h, w);
}

SoraVaeStream *
sora_vae_stream_new_tile (const SoraVaeCoder *coder, const SoraVaeReach *y, const SoraVaeReach *x)
{
  SoraVaeStream *s = stream_new (coder, SORA_VAE_PART_TILE, sora_vae_span_length (&y->level[0]),
                                 sora_vae_span_length (&x->level[0]));
  if (s != NULL)
    {
      s->y = *y;
      s->x = *x;
    }
  return s;
}

void
sora_vae_stream_free (SoraVaeStream *s)
{
  if (s == NULL)
    return;
  sora_vae_pool_clear (&s->pool);
  for (int i = 0; i < s->n_keys; i++)
    sora_kit_keys_free (s->keys[i].keys);
  sora_kit_cache_free (s->cache);
  sora_kit_free (s->work);
  sora_kit_free (s->rgb);
  free (s);
}

/* ---- what comes in, and what goes on */

/* Of the encoder, the level at which whole frames begin; the last one's end counts as one more. */
static int
first_whole (const SoraVaeConfig *config)
{
  int n = 0;
  while (n < config->n_blocks && !config->down_attention[n])
    n++;
  return n;
}

int64_t
sora_vae_between_channels (const SoraVaeConfig *config, SoraVaeHalf half)
{
  return half == SORA_VAE_DECODER ? config->dims[0] : config->down_dims[first_whole (config)];
}

int64_t
sora_vae_between_frames (const SoraVaeConfig *config, SoraVaeHalf half, int64_t t)
{
  int64_t each = 1;
  if (half == SORA_VAE_ENCODER)
    for (int i = first_whole (config); i + 1 < config->n_blocks; i++)
      each *= sora_vae_downsamples_time (config, i) ? 2 : 1;
  return 1 + (t - 1) * each;
}

int
sora_vae_part_input (SoraVaeStream *s, SoraVaeFrame *frame)
{
  const SoraVaeConfig *config = &s->coder->config;
  const SoraVaeHalf half = s->coder->levels.half;
  const int between
      = s->part == (half == SORA_VAE_DECODER ? SORA_VAE_PART_TILE : SORA_VAE_PART_WHOLE);
  const int64_t c = between                    ? sora_vae_between_channels (config, half)
                    : half == SORA_VAE_DECODER ? config->z_dim
                                               : sora_vae_picture_channels (config);
  return sora_vae_get_frame (s, s->h, s->w, c, frame);
}

int
sora_vae_part_walk (SoraVaeStream *s, SoraVaeFrame frame, SoraVaeFrame *out)
{
  const int decoder = s->coder->levels.half == SORA_VAE_DECODER;
  SoraVaeFrame x = frame;
  int r = SORA_OK;
  *out = (SoraVaeFrame){ .at = -1 };
  if (decoder && s->part != SORA_VAE_PART_TILE)
    r = sora_vae_walk_middle (s, frame, &x);
  else if (!decoder && s->part != SORA_VAE_PART_WHOLE)
    r = sora_vae_encode_levels (s, frame, &x);
  if (r != SORA_OK || x.at < 0)
    return r;
  if (decoder && s->part != SORA_VAE_PART_WHOLE)
    return sora_vae_walk_levels (s, x);
  if (!decoder && s->part != SORA_VAE_PART_TILE)
    return sora_vae_encode_rest (s, x, out);
  *out = x;
  return SORA_OK;
}

typedef struct
{
  const float *from;
  float *to;
  int64_t from_step, to_step;
} Rows;

static void
copy_rows (void *data, int64_t row, int64_t count)
{
  const Rows *r = data;
  for (int64_t i = row; i < row + count; i++)
    memcpy (r->to + i * r->to_step, r->from + i * r->from_step,
            (size_t)r->to_step * sizeof (float));
}

int
sora_vae_crop (SoraVaeStream *s, int level, SoraVaeFrame *x)
{
  if (s->part != SORA_VAE_PART_TILE)
    return SORA_OK;
  const SoraVaeSpan rows = sora_vae_span_crop (s->coder->levels.half, &s->y, level),
                    columns = sora_vae_span_crop (s->coder->levels.half, &s->x, level);
  SoraVaeFrame y;
  const int64_t h = sora_vae_span_length (&rows), w = sora_vae_span_length (&columns);
  if (h == x->h && w == x->w)
    return SORA_OK;
  int r = sora_vae_get_frame (s, h, w, x->c, &y);
  if (r == SORA_OK && !s->pool.pretend)
    {
      const int64_t padded = sora_kit_pad16 (x->c);
      Rows copy = { sora_vae_data (s, x->at) + (rows.begin * x->w + columns.begin) * padded,
                    sora_vae_data (s, y.at), x->w * padded, w * padded };
      r = sora_kit_rows_parallel (s->team, h, 1 + 65536 / copy.to_step, copy_rows, &copy);
    }
  sora_vae_put_frame (s, x);
  *x = y;
  return r;
}

/* ---- memory */

/* Bytes of the picture that comes out of the last layer. */
static uint64_t
rgb_bytes (const SoraVaeStream *s)
{
  const SoraVaeConfig *config = &s->coder->config;
  if (s->coder->levels.half == SORA_VAE_ENCODER || s->part == SORA_VAE_PART_WHOLE)
    return 0;
  const int last = s->coder->levels.n - 1;
  const int64_t size = s->part == SORA_VAE_PART_TILE
                           ? sora_vae_span_length (&s->y.level[last])
                                 * sora_vae_span_length (&s->x.level[last]) * config->patch
                                 * config->patch
                           : s->h * s->w * config->spatial * config->spatial;
  return (uint64_t)(size * 3) * sizeof (float);
}

/* One frame of a stream that pretends. */
static int
count_frame (SoraVaeStream *s)
{
  SoraVaeFrame in, out;
  int r = sora_vae_part_input (s, &in);
  if (r == SORA_OK)
    r = sora_vae_part_walk (s, in, &out);
  if (r == SORA_OK)
    sora_vae_put_frame (s, &out);
  return r;
}

int
sora_vae_part_prepare (SoraVaeStream *s, SoraKitTeam *team)
{
  s->team = team;
  if (s->work != NULL && team->threads <= s->threads)
    return SORA_OK;
  sora_kit_free (s->work);
  sora_kit_free (s->rgb);
  s->work = NULL;
  s->rgb = NULL;
  SoraVaeStream *model = stream_new (s->coder, s->part, s->h, s->w);
  if (model == NULL)
    return sora_kit_team_fail (team, "no memory for the autoencoder");
  model->y = s->y;
  model->x = s->x;
  model->pool.pretend = 1;
  model->team = team;
  model->threads = team->threads;
  const int r = count_frame (model);
  s->work_bytes = model->work_bytes;
  sora_vae_stream_free (model);
  if (r != SORA_OK)
    return r;
  s->threads = team->threads;
  s->work = sora_kit_alloc (s->work_bytes, 1);
  s->rgb = sora_kit_alloc (rgb_bytes (s), 1);
  if (s->cache == NULL)
    s->cache = sora_kit_cache_new ();
  if (s->work == NULL || s->rgb == NULL || s->cache == NULL)
    return sora_kit_team_fail (team,
                               "no memory for the autoencoder's work on frames of %lld x %lld",
                               (long long)s->w, (long long)s->h);
  return SORA_OK;
}

/* Frames that come in for each latent but the first. */
static int64_t
inputs_a_latent (const SoraVaeStream *s)
{
  const SoraVaeConfig *config = &s->coder->config;
  if (s->coder->levels.half == SORA_VAE_DECODER)
    return 1;
  return s->part == SORA_VAE_PART_WHOLE ? sora_vae_between_frames (config, SORA_VAE_ENCODER, 2) - 1
                                        : config->temporal;
}

int
sora_vae_stream_cost (SoraVaeStream *s, int64_t t, uint64_t *bytes, double *flops)
{
  /* From the third latent on every one costs the same, and all pasts are there after the fourth. */
  const int64_t walked = sora_kit_min (t, 4), each = inputs_a_latent (s);
  double before = 0;
  s->pool.pretend = 1;
  s->threads = sora_kit_threads_expected ();
  for (int64_t i = 0; i < walked; i++)
    {
      before = s->flops;
      for (int64_t j = 0; j < (i == 0 ? 1 : each); j++)
        if (count_frame (s) != SORA_OK)
          return -1;
    }
  int64_t widest = 0;
  for (int i = 0; i < s->n_keys; i++)
    widest = s->keys[i].c > widest ? s->keys[i].c : widest;
  /* The list of layers, the stream itself, and the one that sizes its work. */
  const SoraVaeCoder *coder = s->coder;
  const uint64_t lists
      = (uint64_t)coder->n * (sizeof *coder->layers + sizeof *coder->packed) + 2 * sizeof *s;
  *bytes = lists + s->pool.bytes + sora_kit_alloc_bytes (s->work_bytes)
           + sora_kit_alloc_bytes (rgb_bytes (s)) + s->keys_bytes
           + (widest > 0 ? (uint64_t)s->threads * sora_kit_thread_bytes (widest) : 0);
  *flops = s->flops + (s->flops - before) * (double)(t - walked);
  return 0;
}
