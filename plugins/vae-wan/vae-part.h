/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-part.h: a half of the autoencoder may be walked in two parts: the layers that see a few
 * pixels only, through which a tile can go alone, and those that see whole frames.  Each part is a
 * stream of its own.
 */
#ifndef SORA_VAE_PART_H
#define SORA_VAE_PART_H

#include "vae-coder.h"
#include "vae-reach.h"

typedef enum
{
  SORA_VAE_PART_ALL,
  SORA_VAE_PART_WHOLE, /* what sees whole frames: the decoder's beginning, the encoder's end */
  SORA_VAE_PART_TILE,  /* of one tile, the rest */
} SoraVaePart;

typedef struct SoraVaeStream SoraVaeStream; /* one clip on its way through a part */

/**
 * sora_vae_stream_new:
 * @coder: the half; packed, unless only memory is wanted
 * @h: height of the latents; of the encoder, of the pictures
 * @w: width
 *
 * Returns: (nullable) (transfer full): a stream through all of it; %NULL without memory
 */
SoraVaeStream *sora_vae_stream_new (const SoraVaeCoder *coder, int64_t h, int64_t w);

/** sora_vae_stream_new_whole: as sora_vae_stream_new(), for the layers that see whole frames; the
 * encoder's @h and @w are those of the frames that the tiles hand over. */
SoraVaeStream *sora_vae_stream_new_whole (const SoraVaeCoder *coder, int64_t h, int64_t w);

/** sora_vae_stream_new_tile: as sora_vae_stream_new(), for the rest, of a tile. */
SoraVaeStream *sora_vae_stream_new_tile (const SoraVaeCoder *coder, const SoraVaeReach *y,
                                         const SoraVaeReach *x);

void sora_vae_stream_free (SoraVaeStream *stream);

/** sora_vae_between_channels: Returns: channels of what one part hands to the other. */
int64_t sora_vae_between_channels (const SoraVaeConfig *config, SoraVaeHalf half);

/** sora_vae_between_frames: Returns: frames that one part hands to the other, for @t latents. */
int64_t sora_vae_between_frames (const SoraVaeConfig *config, SoraVaeHalf half, int64_t t);

/**
 * sora_vae_stream_cost:
 * @stream: a stream through which nothing went yet
 * @t: latent frames of the clip
 * @bytes: (out): peak of its memory
 * @flops: (out): of the whole clip, counted as direct convolutions
 *
 * Walks it without computing, with the very code that allocates; afterwards it is good for
 * sora_vae_stream_free() alone.
 *
 * Returns: 0, or -1 without memory
 */
int sora_vae_stream_cost (SoraVaeStream *stream, int64_t t, uint64_t *bytes, double *flops);

#endif
