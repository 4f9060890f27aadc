/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tiny-decoder.h: the decoder of TAEHV as a stream.  What it knows of the past is one frame in each
 * of its nine blocks; so a latent frame goes through all layers before the next one begins, memory
 * does not grow with the length of the clip, and what comes out is exactly what the whole clip at
 * once would give.  Each latent frame makes four frames; of the first the first three are no
 * picture, and are not made.
 *
 * Frames stand as f32 [h, w, channels padded to 16] (kit-conv.h).  Tolerance: 1e-5 of the largest
 * value against the reference class in f32 on the goldens (tests/plugins/test-vae-tiny.c), 1e-3 is
 * promised.
 */
#ifndef SORA_TINY_DECODER_H
#define SORA_TINY_DECODER_H

#include "tiny-config.h"

#include "kit-parallel.h"

typedef struct SoraTinyDecoder SoraTinyDecoder; /* geometry and packed weights */
typedef struct SoraTinyStream SoraTinyStream;   /* one clip on its way through it */

/** sora_tiny_decoder_new: Returns: (nullable) (transfer full): a decoder without weights; %NULL
 * without memory. */
SoraTinyDecoder *sora_tiny_decoder_new (const SoraTinyConfig *config);
void sora_tiny_decoder_free (SoraTinyDecoder *decoder);

/** sora_tiny_decoder_layers: Returns: (transfer none) (array length=n): its layers, in
 * sora_tiny_layers()' order. */
const SoraTinyLayer *sora_tiny_decoder_layers (const SoraTinyDecoder *decoder, int *n);

/**
 * sora_tiny_decoder_pack:
 * @decoder: a decoder
 * @team: who works
 * @index: which layer
 * @weight: its stored weight, of the shape sora_tiny_layer_shape() says
 * @weight_dtype: #SoraDtype
 * @bias: its stored bias; %NULL where it has none
 * @bias_dtype: #SoraDtype
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED
 */
int sora_tiny_decoder_pack (SoraTinyDecoder *decoder, SoraKitTeam *team, int index,
                            const void *weight, int weight_dtype, const void *bias, int bias_dtype);

/** sora_tiny_decoder_bytes: Returns: bytes of all packed weights, from the geometry alone. */
uint64_t sora_tiny_decoder_bytes (const SoraTinyConfig *config);

/**
 * sora_tiny_stream_new:
 * @decoder: a packed decoder
 * @h: height of the latents
 * @w: width of the latents
 * @frames: how many frames are wanted in all; what lies behind them is not made
 *
 * Returns: (nullable) (transfer full): the stream; %NULL without memory
 */
SoraTinyStream *sora_tiny_stream_new (const SoraTinyDecoder *decoder, int64_t h, int64_t w,
                                      int64_t frames);
void sora_tiny_stream_free (SoraTinyStream *stream);

/**
 * SoraTinyFrameFunc:
 * @team: who works
 * @data: the caller's
 * @places: f32 [8 h, 8 w, 3 · patch²], about 0…1, not clamped: sora_tiny_picture() makes pixels of
 * them; valid during the call
 *
 * Takes a decoded frame.
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED, which ends the decoding
 */
typedef int (*SoraTinyFrameFunc) (SoraKitTeam *team, void *data, const float *places);

/**
 * sora_tiny_stream_decode:
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
int sora_tiny_stream_decode (SoraTinyStream *stream, SoraKitTeam *team, const float *latents,
                             int64_t channel_step, SoraTinyFrameFunc take, void *data);

/**
 * sora_tiny_estimate:
 * @config: a geometry
 * @h: height of the latents
 * @w: width of the latents
 * @frames: how many are wanted
 * @bytes: (out): of a stream's memory
 * @flops: (out): of the whole clip, counted as direct convolutions
 */
void sora_tiny_estimate (const SoraTinyConfig *config, int64_t h, int64_t w, int64_t frames,
                         uint64_t *bytes, double *flops);

/**
 * sora_tiny_clamp:
 * @x: a latent
 *
 * Returns: 3 tanh (x / 3), the decoder's first step; NaN stays NaN
 */
float sora_tiny_clamp (float x);

/**
 * sora_tiny_picture:
 * @places: f32 [w, 3 · patch²]: a row of places
 * @w: how many
 * @patch: pixels of a place in each direction
 * @line: which line of pixels of the row, 0 … patch - 1
 * @dtype: %SORA_U8: round-half-even (clamp (x, 0, 1) · 255); %SORA_F32: clamp (x, 0, 1)
 * @to: [w · patch, 3]
 *
 * Returns: 0, or -1 where a value is no number
 */
int sora_tiny_picture (const float *places, int64_t w, int64_t patch, int64_t line, int dtype,
                       void *to);

#endif
