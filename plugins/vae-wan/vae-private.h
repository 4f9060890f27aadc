/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-private.h: what the files of the two halves share: vae-weights.c packs, vae-blocks.c has what
 * both are made of, vae-walk.c takes a latent through the decoder and vae-encode-walk.c a frame
 * through the encoder, vae-stream.c and vae-encode.c hold a clip together.
 */
#ifndef SORA_VAE_PRIVATE_H
#define SORA_VAE_PRIVATE_H

#include "vae-decoder.h"
#include "vae-encoder.h"
#include "vae-pool.h"

#include "kit-attention.h"
#include "kit-conv.h"

typedef struct
{
  SoraKitPlaneConv plane;
  SoraKitPointConv point;
  SoraKitFewConv few;
  SoraKitStrideConv stride;
  float *gamma;
} SoraVaePacked;

/* What kit-conv.h calls the taps of a plane. */
static inline int
sora_vae_plane_taps (const SoraVaeLayer *layer)
{
  return layer->pairs ? SORA_KIT_CONV_PAIRS : layer->taps;
}

struct SoraVaeCoder
{
  SoraVaeConfig config;
  SoraVaeLayer *layers;
  SoraVaePacked *packed;
  int n;
  SoraVaeLevels levels; /* that tiles go through */
};

/* A frame on its way: an index into the pool. */
typedef struct
{
  int at;
  int64_t h, w, c; /* c is not padded */
} SoraVaeFrame;

typedef struct
{
  int frames[SORA_KIT_CONV_TAPS - 1]; /* newest first, -1: none yet */
  int passed;                         /* of a sampler in time: frames that have gone by, 1 or 2 */
  int half; /* of a residual level that halves the frames: what of the first of two goes around it,
               or -1 */
} SoraVaePast;

struct SoraVaeStream
{
  const SoraVaeCoder *coder;
  SoraVaePart part;
  int64_t h, w; /* of what comes in: latents, patches of a picture, or what another part made */
  SoraVaeReach y, x; /* of a tile: SORA_VAE_PART_LEVELS */
  SoraVaePool pool;
  SoraVaePast past[SORA_VAE_MAX_LAYERS];
  int threads; /* that work is made for */
  void *work;  /* of the convolutions */
  uint64_t work_bytes;
  float *rgb;
  SoraKitCache *cache;
  struct
  {
    SoraKitKeys *keys;
    int64_t n, c;
  } keys[SORA_VAE_MAX_LEVELS + 1]; /* of attention: one of a size */
  int n_keys;
  uint64_t keys_bytes;
  double flops;

  /* of the call */
  SoraKitTeam *team;
  SoraVaeFrameFunc take;
  void *data;
};

float *sora_vae_data (const SoraVaeStream *stream, int at);

/* A frame of the pool; the reason of a failure is kept in the team. */
int sora_vae_get_frame (SoraVaeStream *stream, int64_t h, int64_t w, int64_t c,
                        SoraVaeFrame *frame);

void sora_vae_put_frame (SoraVaeStream *stream, const SoraVaeFrame *frame);

/* What layer `index` sees when `frame` is the newest. */
SoraKitConvSource sora_vae_source (const SoraVaeStream *stream, int index,
                                   const SoraVaeFrame *frame);

/* The frame becomes the newest of the layer's past, which owns it from now on. */
void sora_vae_remember (SoraVaeStream *stream, int index, const SoraVaeFrame *frame);

/* Adds up what a layer's sums into `out` cost; `square`: taps of its plane. */
void sora_vae_count_flops (SoraVaeStream *stream, const SoraVaeLayer *layer,
                           const SoraVaeFrame *out, int square);

/* One layer, `add` (nullable) added to its result.  With a pool that pretends they count alone. */
int sora_vae_norm_frame (SoraVaeStream *stream, int index, const SoraVaeFrame *from,
                         const SoraVaeFrame *to, int silu);
int sora_vae_plane (SoraVaeStream *stream, int index, const SoraVaeFrame *from,
                    const SoraVaeFrame *add, const SoraVaeFrame *to);
/* The same for n frames, 1 or 2, in order; two only of a layer that sees pairs.  @add may be NULL.
 */
int sora_vae_planes (SoraVaeStream *stream, int index, int n, const SoraVaeFrame *from,
                     const SoraVaeFrame *add, const SoraVaeFrame *to);
int sora_vae_point (SoraVaeStream *stream, int index, const SoraVaeFrame *from,
                    const SoraVaeFrame *add, const SoraVaeFrame *to);

/* norm, SiLU, convolution, twice; then what came in is added.  Takes the frames x, of which there
 * are n, 1 or 2, unless they are to be kept, and gives others; *index moves on. */
int sora_vae_resnet (SoraVaeStream *stream, int *index, SoraVaeFrame *x, int n, int keep);

/* What goes around block `block` of a residual decoder: `from` at twice the size, into `to`; frame
 * `time` (0, 1) of those that follow from it. */
int sora_vae_repeat (SoraVaeStream *stream, int block, int time, const SoraVaeFrame *from,
                     const SoraVaeFrame *to);

/* What goes around level `level` of a residual encoder: `from`, frame `time` (0, 1) of those that
 * make one, averaged to the next size and added to `to`; `begin`: to zeros in its place. */
int sora_vae_average (SoraVaeStream *stream, int level, int time, int begin,
                      const SoraVaeFrame *from, const SoraVaeFrame *to);

/* Self-attention of one head over the pixels of a frame; x = x + proj (attention (norm (x))). */
int sora_vae_attention (SoraVaeStream *stream, int *index, SoraVaeFrame *x);

/* The second half of both middles: a block, attention, a block. */
int sora_vae_middle (SoraVaeStream *stream, int *index, SoraVaeFrame *x);

/* Of a tile, what of a frame of resolution `level` goes on to the next one: *x becomes that. */
int sora_vae_crop (SoraVaeStream *stream, int level, SoraVaeFrame *x);

/* The decoder's layers up to its middle, for the latents of one frame, scaled; and those behind it,
 * which end in s->take.  Both consume the frame. */
int sora_vae_walk_middle (SoraVaeStream *stream, SoraVaeFrame z, SoraVaeFrame *x);
int sora_vae_walk_levels (SoraVaeStream *stream, SoraVaeFrame x);

/* The encoder's levels that tiles go through, for a picture; and the rest.  Both consume the frame;
 * what they give may be none: `at` is -1. */
int sora_vae_encode_levels (SoraVaeStream *stream, SoraVaeFrame picture, SoraVaeFrame *x);
int sora_vae_encode_rest (SoraVaeStream *stream, SoraVaeFrame x, SoraVaeFrame *latents);

/* ---- vae-part.c */

/* An undefined frame of what comes in. */
int sora_vae_part_input (SoraVaeStream *stream, SoraVaeFrame *frame);

/* Takes a frame through the stream's part; consumes it.  `out` is what the part gives (put it
 * back), or none: `at` is -1.  With a pool that pretends it only counts memory and operations. */
int sora_vae_part_walk (SoraVaeStream *stream, SoraVaeFrame frame, SoraVaeFrame *out);

/* Memory that all frames share, sized by a walk that only counts. */
int sora_vae_part_prepare (SoraVaeStream *stream, SoraKitTeam *team);

#endif
