/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-reach.h: what a tile of a picture has to compute at each resolution so that its own pixels
 * come out as if the whole had been computed.  It follows from the list of layers, one axis at a
 * time, backwards from the pixels that are wanted.
 *
 * Tiles go through the layers that see no further than a few pixels: all blocks of the decoder
 * behind its middle; of the encoder, all levels before the first that has attention, and before the
 * middle.  The rest sees whole frames.  Where pictures are of patches, the largest resolution's
 * pixels are patches.
 */
#ifndef SORA_VAE_REACH_H
#define SORA_VAE_REACH_H

#include "vae-layers.h"

/* Pixels, or latents, of one axis. */
typedef struct
{
  int64_t begin, end;
} SoraVaeSpan;

/**
 * SoraVaeLevels:
 * @half: of which half
 * @n: resolutions that tiles go through; 0: none, since attention sees the picture itself
 * @first: the first of their layers
 * @end: the layer behind the last one
 *
 * The layers that tiles go through.  Resolutions are counted as a frame meets them, from 0.  The
 * encoder's last one may have no layers: it is where whole frames begin.
 */
typedef struct
{
  SoraVaeHalf half;
  int n, first, end;
} SoraVaeLevels;

/**
 * SoraVaeReach:
 * @level: what of each resolution is computed, in its own pixels
 * @out: what of the last one is kept: the tile's own pixels, and of tiles that are blended also
 *   those that it shares
 * @core: the tile's own pixels of the last one
 *
 * One axis of one tile.
 */
typedef struct
{
  SoraVaeSpan level[SORA_VAE_MAX_LEVELS];
  SoraVaeSpan out, core;
} SoraVaeReach;

/** sora_vae_levels_find: fills @levels; @layers: (array length=n): all layers of that half. */
void sora_vae_levels_find (const SoraVaeConfig *config, SoraVaeHalf half,
                           const SoraVaeLayer *layers, int n, SoraVaeLevels *levels);

/**
 * sora_vae_reach_exact:
 * @levels: the layers that tiles go through
 * @layers: all layers of the half
 * @size: pixels of the axis at the smallest of the resolutions (the decoder's first, the encoder's
 *   last)
 * @core: of them, the tile's own
 * @reach: (out): what it computes
 *
 * Each 3 × 3 convolution sees a pixel further; a Winograd tile of 4 pixels is one sum, which
 * cancels what lies beyond that pixel up to rounding only: so a span grows to whole tiles, and all
 * begin at multiples of 4.  Then every value of the tile's own pixels is made of the same
 * operations as without tiles.
 */
void sora_vae_reach_exact (const SoraVaeLevels *levels, const SoraVaeLayer *layers, int64_t size,
                           SoraVaeSpan core, SoraVaeReach *reach);

/** sora_vae_reach_blend: as sora_vae_reach_exact(), for tiles that share @overlap pixels of the
 * smallest resolution on each side of a seam, and see zeros beyond. */
void sora_vae_reach_blend (const SoraVaeLevels *levels, int64_t size, SoraVaeSpan core,
                           int64_t overlap, SoraVaeReach *reach);

/** sora_vae_span_length: Returns: how many pixels it has. */
static inline int64_t
sora_vae_span_length (const SoraVaeSpan *span)
{
  return span->end - span->begin;
}

/** sora_vae_span_crop: Returns: what of resolution @level, relative to what the tile computes of
 * it, goes on to the next one. */
SoraVaeSpan sora_vae_span_crop (SoraVaeHalf half, const SoraVaeReach *reach, int level);

#endif
