/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-vae-shape: the levels of a Wan VAE, and how many pixels and frames one latent stands for:
 * what the denoiser and the decoder have to agree on.  Both read it here.
 */
#ifndef SORA_KIT_VAE_SHAPE_H
#define SORA_KIT_VAE_SHAPE_H

#include "kit-config.h"

#define SORA_KIT_VAE_MAX_LEVELS 8

/**
 * SoraKitVaeShape:
 * @levels: how many, one more than there are upsamplers
 * @mult: of the channels, from high to low resolution
 * @upsample_time: for each upsampler of the decoder, from low to high resolution: does it double
 * the frames, too
 * @spatial: pixels of a latent in each direction
 * @temporal: frames of a latent but the first
 */
typedef struct
{
  int levels;
  int64_t mult[SORA_KIT_VAE_MAX_LEVELS];
  int upsample_time[SORA_KIT_VAE_MAX_LEVELS];
  int64_t spatial, temporal;
} SoraKitVaeShape;

/**
 * sora_kit_vae_shape_read:
 * @file: vae/config.json of an AutoencoderKLWan
 * @shape: (out): what it says; Wan 2.1's where it is silent
 *
 * `dim_mult` and `temperal_downsample` are what the decoder is made by; `scale_factor_spatial` and
 * `scale_factor_temporal` may be there too, and have to say the same.  An error is kept in @file.
 */
void sora_kit_vae_shape_read (SoraKitConfig *file, SoraKitVaeShape *shape);

#endif
