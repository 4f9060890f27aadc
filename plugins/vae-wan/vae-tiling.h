/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-tiling.h: whole frames or tiles?  Whole frames stream, and take memory by the size of the
 * picture: each layer remembers two frames.  Tiles go through all of the clip one after the other,
 * take as much as one of them, and leave what is finished in scratch files.
 */
#ifndef SORA_VAE_TILING_H
#define SORA_VAE_TILING_H

#include "vae-part.h"

/* Of one axis. */
#define SORA_VAE_MAX_TILES 64

typedef enum
{
  SORA_VAE_TILING_AUTO,  /* whole frames, or where memory does not suffice, exact tiles */
  SORA_VAE_TILING_NONE,  /* whole frames */
  SORA_VAE_TILING_EXACT, /* tiles that give the same bits */
  SORA_VAE_TILING_BLEND, /* tiles that see a little of their neighbours, and are blended with them
                          */
} SoraVaeTilingMode;

/**
 * SoraVaeClip:
 * @half: which half
 * @t: latent frames that go through it
 * @h: height of the latents
 * @w: width of the latents
 * @frames: pictures that leave the decoder, or come to the encoder
 * @dtype: of the pictures, %SORA_U8 or %SORA_F32
 * @mode: how
 * @tile: pixels of a tile's side at most, rounded up to latents; 0: as memory asks
 * @limit: bytes that packed weights and work may take together
 */
typedef struct
{
  SoraVaeHalf half;
  int64_t t, h, w, frames;
  int dtype;
  SoraVaeTilingMode mode;
  int64_t tile;
  uint64_t limit;
} SoraVaeClip;

/**
 * SoraVaeTiling:
 * @rows: how many tiles above each other; 0: whole frames
 * @columns: how many side by side
 * @blend: are they blended?
 * @levels: resolutions that they go through
 * @y: (array length=rows): what each computes
 * @x: (array length=columns): what each computes
 * @h: height of what one part hands to the other
 * @w: its width
 * @c: its channels, padded
 * @n: its frames
 * @between_bytes: of the scratch file that holds it
 * @pictures_bytes: of the scratch file of pictures
 * @work_bytes: peak of the memory, with what is read and written
 * @whole_flops: of the part that sees whole frames
 * @flops: of the whole clip
 */
typedef struct
{
  int rows, columns, blend, levels;
  SoraVaeReach y[SORA_VAE_MAX_TILES], x[SORA_VAE_MAX_TILES];
  int64_t h, w, c, n;
  uint64_t between_bytes, pictures_bytes, work_bytes;
  double whole_flops, flops;
} SoraVaeTiling;

/**
 * sora_vae_tiling_choose:
 * @config: a configuration
 * @clip: what is to be done
 * @tiling: (out): how it is done, and what it costs
 *
 * The fewest tiles that keep to the limit, and to 2.25 GB of work: larger ones would save little.
 * Where nothing keeps to the limit, it is that which comes nearest.
 *
 * Returns: 0, or -1 without memory
 */
int sora_vae_tiling_choose (const SoraVaeConfig *config, const SoraVaeClip *clip,
                            SoraVaeTiling *tiling);

/** sora_vae_tiling_text: "whole frames", or "2 x 3 tiles of up to 640x544 px, exact".  Returns:
 * @text. */
const char *sora_vae_tiling_text (const SoraVaeConfig *config, const SoraVaeClip *clip,
                                  const SoraVaeTiling *tiling, char *text, size_t size);

/** sora_vae_blend_weight: Returns: what pixel @at of a blended tile counts, of the last
 * resolution's axis that is @size long; over all tiles that share it, 1. */
float sora_vae_blend_weight (const SoraVaeReach *reach, int64_t size, int64_t at);

#endif
