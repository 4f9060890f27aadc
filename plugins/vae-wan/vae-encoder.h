/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-encoder.h: the encoder of AutoencoderKLWan as a stream.  The reference takes the first frame
 * alone and then four at a time, with a cache of what each layer saw last; every layer is causal,
 * so frame by frame it is the same sum, and memory does not grow with the length of the clip.  The
 * first frame gives one latent, each `temporal` later ones another.
 *
 * Tolerance: 1e-5 of the largest value against diffusers in f32 on the goldens
 * (tests/plugins/test-vae-encode.c), 1e-3 is promised.
 */
#ifndef SORA_VAE_ENCODER_H
#define SORA_VAE_ENCODER_H

#include "vae-part.h"

/**
 * sora_vae_encode_frame:
 * @stream: made by sora_vae_stream_new() for the encoder and the size of the frames, multiples of
 *   `spatial`
 * @team: who works
 * @rgb: [h, w, 3], full range bytes, or f32 from 0 to 1
 * @dtype: %SORA_U8 or %SORA_F32
 * @latents: where the latents of the frame go that this one completes, if it does: channel c at
 *   @latents + c * @channel_step.  The posterior's mean, normalised: (mean - latents_mean) /
 *   latents_std
 * @channel_step: elements from one channel to the next
 * @complete: (out): nonzero if @latents was written
 *
 * Takes the next frame of the clip.  Numbers that are none, on the way in or out, fail.
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED
 */
int sora_vae_encode_frame (SoraVaeStream *stream, SoraKitTeam *team, const void *rgb, int dtype,
                           float *latents, int64_t channel_step, int *complete);

/**
 * sora_vae_encode_begin:
 * @stream: made by sora_vae_stream_new_tile()
 * @team: who works
 * @rgb: of the next frame, what `level[0]` of the tile's reaches names, `patch` pixels for each
 * @dtype: %SORA_U8 or %SORA_F32
 * @x: (out) (nullable): f32 [h, w, C padded to 16] of what the last `level` names, C by
 *   sora_vae_between_channels(); valid until the next call.  %NULL: this frame completes none
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED
 */
int sora_vae_encode_begin (SoraVaeStream *stream, SoraKitTeam *team, const void *rgb, int dtype,
                           const float **x);

/**
 * sora_vae_encode_finish:
 * @stream: made by sora_vae_stream_new_whole()
 * @team: who works
 * @x: the next frame of what sora_vae_encode_begin() gave, of all tiles
 * @latents: as for sora_vae_encode_frame()
 * @channel_step: as there
 * @complete: (out): as there
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED
 */
int sora_vae_encode_finish (SoraVaeStream *stream, SoraKitTeam *team, const float *x,
                            float *latents, int64_t channel_step, int *complete);

/**
 * sora_vae_encode_estimate:
 * @config: a configuration
 * @t: latent frames that come out
 * @h: height of the pictures
 * @w: width of the pictures
 * @bytes: (out): peak of a stream's memory
 * @flops: (out): of the whole clip, counted as direct convolutions
 *
 * As sora_vae_estimate(), for encoding.
 *
 * Returns: 0, or -1 without memory
 */
int sora_vae_encode_estimate (const SoraVaeConfig *config, int64_t t, int64_t h, int64_t w,
                              uint64_t *bytes, double *flops);

#endif
