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

#endif
