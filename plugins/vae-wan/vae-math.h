/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-math.h: what the decoder does between its convolutions, on f32 frames [pixels, channels
 * padded to 16].
 */
#ifndef SORA_VAE_MATH_H
#define SORA_VAE_MATH_H

#include <stdint.h>

/**
 * sora_vae_norm:
 * @from: [pixels, channels]
 * @to: [pixels, channels]; may be @from
 * @gamma: [channels], multiplied with sqrt (real channels) already, 0 in the padding
 * @channels: padded, a multiple of 16
 * @silu: nonzero: x / (1 + e^-x) follows
 *
 * to = x / max (|x|, 1e-12) · gamma over each pixel's channels: WanRMS_norm.
 */
void sora_vae_norm (const float *from, float *to, int64_t pixels, int64_t channels,
                    const float *gamma, int silu);

/**
 * sora_vae_picture_u8:
 * @rgb: [n], about -1…1
 * @to: u8 [n]: round-half-even (clamp (x / 2 + 0.5, 0, 1) · 255)
 *
 * Returns: 0, or -1 where a value is no number
 */
int sora_vae_picture_u8 (const float *rgb, uint8_t *to, int64_t n);

/** sora_vae_picture_f32: as sora_vae_picture_u8(), to f32 in 0…1. */
int sora_vae_picture_f32 (const float *rgb, float *to, int64_t n);

/**
 * sora_vae_repeat_pixel:
 * @from: [channels padded to 16]
 * @channels: of @from
 * @to: [@out padded to 16]
 * @out: channels of @to
 * @factor: numbers of the next size for one here, of a channel
 * @k: which of them
 *
 * to[o] = from[(o * factor + k) / (out * factor / channels)], and zeros in the padding: one pixel
 * of DupUp3D.
 */
void sora_vae_repeat_pixel (const float *from, int64_t channels, float *to, int64_t out,
                            int64_t factor, int64_t k);

/** sora_vae_average_pixel: to[o] += mean of all numbers with (c * factor + k) / (channels * factor
 * / out) = o, as far as they are this @k's: one pixel of AvgDown3D, otherwise as
 * sora_vae_repeat_pixel(); the padding is left alone. */
void sora_vae_average_pixel (const float *from, int64_t channels, float *to, int64_t out,
                             int64_t factor, int64_t k);

/**
 * sora_vae_unpatch_row:
 * @from: [w, channels padded to 16]: a row of patches, channel (c · patch + column) · patch
 * + row of a patch's pixel with the colours c
 * @w: patches
 * @patch: pixels of a patch in each direction
 * @rgb: [patch, w * patch, 3]
 */
void sora_vae_unpatch_row (const float *from, int64_t w, int64_t patch, float *rgb);

#endif
