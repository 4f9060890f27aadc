/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-decoder.h: the decoder of AutoencoderKLWan as a stream.  All of it is causal in time, so a
 * frame can go through all layers before the next one begins: each temporal layer keeps the two
 * frames that it saw last, and memory does not grow with the length of the clip.  The first latent
 * gives one frame, each later one `temporal`.
 *
 * Frames stand as f32 [h, w, channels padded to 16] (kit-conv.h).  Tolerance: 1e-5 of the largest
 * value against diffusers in f32 on the goldens (tests/plugins/test-vae-wan.c), 1e-3 is promised.
 */
#ifndef SORA_VAE_DECODER_H
#define SORA_VAE_DECODER_H

#include "vae-part.h"

/**
 * SoraVaeFrameFunc:
 * @team: who works
 * @data: the caller's
 * @rgb: f32 [h, w, 3], about -1…1, not clamped; valid during the call
 *
 * Takes a decoded frame.
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED, which ends the decoding
 */
typedef int (*SoraVaeFrameFunc) (SoraKitTeam *team, void *data, const float *rgb);

/**
 * sora_vae_stream_decode:
 * @stream: a stream
 * @team: who works
 * @latents: f32 of one latent frame as the denoiser gives it: channel c at @latents + c *
 * @channel_step
 * @channel_step: elements from one channel to the next
 * @take: called for each frame that follows from it, in order
 * @data: for @take
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED
 */
int sora_vae_stream_decode (SoraVaeStream *stream, SoraKitTeam *team, const float *latents,
                            int64_t channel_step, SoraVaeFrameFunc take, void *data);

/**
 * sora_vae_stream_begin:
 * @stream: made by sora_vae_stream_new_whole()
 * @team: who works
 * @latents: as for sora_vae_stream_decode()
 * @channel_step: as there
 * @x: (out): f32 [h, w, C padded to 16], C by sora_vae_between_channels(): what the up-blocks begin
 *   with; valid until the next call
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED
 */
int sora_vae_stream_begin (SoraVaeStream *stream, SoraKitTeam *team, const float *latents,
                           int64_t channel_step, const float **x);

/**
 * sora_vae_stream_finish:
 * @stream: made by sora_vae_stream_new_tile()
 * @team: who works
 * @x: of what sora_vae_stream_begin() gave, what `level[0]` of the tile's reaches names
 * @take: called for each frame that follows from it, in order, with what the last `level` names,
 *   `patch` pixels for each
 * @data: for @take
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED
 */
int sora_vae_stream_finish (SoraVaeStream *stream, SoraKitTeam *team, const float *x,
                            SoraVaeFrameFunc take, void *data);

/**
 * sora_vae_estimate:
 * @config: a configuration
 * @t: latent frames
 * @h: height of the latents
 * @w: width of the latents
 * @bytes: (out): peak of a stream's memory
 * @flops: (out): of the whole clip, counted as direct convolutions
 *
 * Walks the decoder without computing, with the very code that allocates.
 *
 * Returns: 0, or -1 without memory
 */
int sora_vae_estimate (const SoraVaeConfig *config, int64_t t, int64_t h, int64_t w,
                       uint64_t *bytes, double *flops);

#endif
