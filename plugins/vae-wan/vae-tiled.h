/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-tiled.h: runs in which a tile goes through all of the clip before the next one.  What the two
 * parts of a half hand over, and the pictures, stand in scratch files of the host.
 */
#ifndef SORA_VAE_TILED_H
#define SORA_VAE_TILED_H

#include "vae-tiling.h"

#include "sora-plugin.h"

/**
 * sora_vae_clip_read:
 * @host: the host
 * @ctx: infer or run
 * @config: the configuration
 * @clip: (inout): fills mode, tile and limit, from the parameters `tiling` and `tile` and from what
 *   the host says of memory; an eighth of that is left to queues and to the stages behind
 *
 * Returns: a #SoraResult; the reason was given to fail()
 */
int sora_vae_clip_read (const SoraHost *host, SoraContext *ctx, const SoraVaeConfig *config,
                        SoraVaeClip *clip);

/** The parameters that sora_vae_clip_read() reads. */
extern const SoraParam sora_vae_tiling_param, sora_vae_tile_param;

/**
 * SoraVaeTiledRun:
 * @host: the host
 * @ctx: run, on the stage's thread
 * @config: the configuration
 * @coder: the half, packed
 * @clip: what is to be done
 * @tiling: how
 *
 * One run with tiles.
 */
typedef struct
{
  const SoraHost *host;
  SoraContext *ctx;
  const SoraVaeConfig *config;
  const SoraVaeCoder *coder;
  const SoraVaeClip *clip;
  const SoraVaeTiling *tiling;
} SoraVaeTiledRun;

/** sora_vae_tiled_steps: Returns: how many steps it tells progress() of, one for each latent frame
 * of each tile and of the rest. */
uint32_t sora_vae_tiled_steps (const SoraVaeClip *clip, const SoraVaeTiling *tiling);

/** sora_vae_tiled_progress: @step: of those, how many are done; tells the host. */
void sora_vae_tiled_progress (const SoraVaeTiledRun *run, int64_t step);

/**
 * sora_vae_tiled_decode:
 * @run: what, and for whom
 * @latents: f32 [C, T, H, W] as the denoiser gives them
 * @channel_step: elements from one channel to the next
 * @give: called for each tensor of pictures [n, Y, X, 3], in order, when all tiles are done; takes
 *   the reference
 * @data: for @give
 *
 * Returns: a #SoraResult
 */
int sora_vae_tiled_decode (const SoraVaeTiledRun *run, const float *latents, int64_t channel_step,
                           int (*give) (void *data, SoraTensor *pictures), void *data);

typedef struct SoraVaeTiledEncoding SoraVaeTiledEncoding;

/** sora_vae_tiled_encoding_new: @encoding: (out): takes frames; end it with
 * sora_vae_tiled_encoding_free(), whatever is returned.  Returns: a #SoraResult */
int sora_vae_tiled_encoding_new (const SoraVaeTiledRun *run, SoraVaeTiledEncoding **encoding);
void sora_vae_tiled_encoding_free (SoraVaeTiledEncoding *encoding);

/** sora_vae_tiled_encoding_add: @rgb: the next frame [Y, X, 3].  Returns: a #SoraResult */
int sora_vae_tiled_encoding_add (SoraVaeTiledEncoding *encoding, const void *rgb);

/**
 * sora_vae_tiled_encoding_finish:
 * @encoding: all frames are there
 * @whole: how many are encoded: the last one is repeated
 * @latents: (out caller-allocates): f32 [C, T, H, W], normalised
 *
 * Returns: a #SoraResult
 */
int sora_vae_tiled_encoding_finish (SoraVaeTiledEncoding *encoding, int64_t whole, float *latents);

#endif
