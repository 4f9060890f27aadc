/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-private.h: what the files of the decoder share: vae-weights.c packs, vae-walk.c takes a frame
 * through the layers, vae-stream.c holds a clip together.
 */
#ifndef SORA_VAE_PRIVATE_H
#define SORA_VAE_PRIVATE_H

#include "vae-decoder.h"
#include "vae-pool.h"

#include "kit-attention.h"
#include "kit-conv.h"

typedef struct
{
  SoraKitPlaneConv plane;
  SoraKitPointConv point;
  SoraKitFewConv few;
  float *gamma;
} SoraVaePacked;

struct SoraVaeDecoder
{
  SoraVaeConfig config;
  SoraVaeLayer layers[SORA_VAE_MAX_LAYERS];
  SoraVaePacked packed[SORA_VAE_MAX_LAYERS];
  int n;
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
  int passed;                         /* of an upsampler in time: the first frame has gone by */
} SoraVaePast;

struct SoraVaeStream
{
  const SoraVaeDecoder *decoder;
  int64_t h, w;
  SoraVaePool pool;
  SoraVaePast past[SORA_VAE_MAX_LAYERS];
  int threads; /* that work is made for */
  void *work;  /* of the convolutions */
  uint64_t work_bytes;
  float *rgb;
  SoraKitCache *cache;
  SoraKitKeys *keys;
  double flops;

  /* of the call */
  SoraKitTeam *team;
  SoraVaeFrameFunc take;
  void *data;
};

/* A frame of the pool; the reason of a failure is kept in the team. */
int sora_vae_get_frame (SoraVaeStream *stream, int64_t h, int64_t w, int64_t c,
                        SoraVaeFrame *frame);

/* Takes the latents of one frame, scaled, through all layers; consumes the frame.  With a pool that
 * pretends it only counts memory and operations. */
int sora_vae_walk (SoraVaeStream *stream, SoraVaeFrame z);

#endif
