/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-config.h: vae/config.json of an AutoencoderKLWan, checked.
 */
#ifndef SORA_VAE_CONFIG_H
#define SORA_VAE_CONFIG_H

#include "kit-vae-shape.h"

#define SORA_VAE_MAX_LEVELS SORA_KIT_VAE_MAX_LEVELS
#define SORA_VAE_MAX_Z 256
#define SORA_VAE_MAX_RES_BLOCKS 16

/**
 * SoraVaeConfig:
 * @dims: channels of the decoder: of the middle, then of the blocks from low to high resolution
 * @n_blocks: how many blocks, one more than there are upsamplers
 * @z_dim: channels of the latents
 * @n_resnets: residual blocks in each block (num_res_blocks + 1)
 * @upsample_time: for each upsampler: does it double the frames, too
 * @down_dims: channels of the encoder: of the first layer, then of the levels from high to low
 * resolution; this and the next ones by sora_vae_config_read_encoder()
 * @n_down_resnets: residual blocks in each level of the encoder (num_res_blocks)
 * @down_attention: for each level of the encoder: does attention follow each residual block
 * @residual: Wan 2.2's form: a block's input goes around it, too, repeated or averaged to the new
 * size, and an upsampler keeps its channels
 * @patch: pixels in each direction that the innermost picture holds as channels; 1 in Wan 2.1
 * @spatial: pixels of a latent in each direction
 * @temporal: frames of a latent but the first, a power of two
 * @mean: of the latents
 * @std: of the latents
 */
typedef struct
{
  int64_t dims[SORA_VAE_MAX_LEVELS + 1];
  int n_blocks;
  int64_t z_dim;
  int n_resnets;
  int upsample_time[SORA_VAE_MAX_LEVELS];
  int64_t down_dims[SORA_VAE_MAX_LEVELS + 1];
  int n_down_resnets;
  int down_attention[SORA_VAE_MAX_LEVELS];
  int residual;
  int64_t patch;
  int64_t spatial, temporal;
  float mean[SORA_VAE_MAX_Z], std[SORA_VAE_MAX_Z];
} SoraVaeConfig;

/**
 * sora_vae_config_read:
 * @file: vae/config.json
 * @config: (out): what it says
 *
 * Wan 2.1's form and Wan 2.2's (is_residual, patch_size) are taken, in any combination.  An error
 * is kept in @file.
 */
void sora_vae_config_read (SoraKitConfig *file, SoraVaeConfig *config);

/**
 * sora_vae_config_read_encoder:
 * @file: vae/config.json
 * @config: (inout): what sora_vae_config_read() made of it
 *
 * What the encoder alone has.  Where latents stand for more than 4 frames the reference class
 * cannot encode (its chunks are of 4), and nor do we.
 */
void sora_vae_config_read_encoder (SoraKitConfig *file, SoraVaeConfig *config);

/** sora_vae_picture_channels: Returns: channels of a picture as the layers see it, 3 of each pixel
 * of a patch. */
int64_t sora_vae_picture_channels (const SoraVaeConfig *config);

/** sora_vae_block_factor: Returns: numbers of the next resolution for one of the decoder's block
 * before it, 8 where the frames are doubled and else 4. */
int64_t sora_vae_block_factor (const SoraVaeConfig *config, int block);

/** sora_vae_level_factor: Returns: numbers of a level of the encoder for one of the next, as
 * sora_vae_block_factor(); 1 at the last level. */
int64_t sora_vae_level_factor (const SoraVaeConfig *config, int level);

/** sora_vae_downsamples_time: Returns: nonzero if the encoder's downsampler behind that level
 * halves the frames, too. */
int sora_vae_downsamples_time (const SoraVaeConfig *config, int level);

#endif
