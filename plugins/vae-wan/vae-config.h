/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-config.h: vae/config.json of an AutoencoderKLWan, checked, and the list of its decoder's
 * layers that follows from it: the one place that knows the names and shapes of its tensors.
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
 * @spatial: pixels of a latent in each direction, a power of two
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
  int64_t spatial, temporal;
  float mean[SORA_VAE_MAX_Z], std[SORA_VAE_MAX_Z];
} SoraVaeConfig;

/**
 * sora_vae_config_read:
 * @file: vae/config.json
 * @config: (out): what it says
 *
 * The form of Wan 2.1 is taken; what belongs to Wan 2.2's (is_residual, patch_size, another width
 * of the decoder's picture) is refused by name.  An error is kept in @file.
 */
void sora_vae_config_read (SoraKitConfig *file, SoraVaeConfig *config);

typedef enum
{
  SORA_VAE_PLANE, /* causal taps × 3 × 3 */
  SORA_VAE_POINT, /* causal taps × 1 × 1 */
  SORA_VAE_FEW,   /* causal taps × 3 × 3 into a picture */
  SORA_VAE_NORM,  /* gamma */
} SoraVaeLayerKind;

/**
 * SoraVaeLayer:
 * @kind: what it is
 * @name: of its tensors, without ".weight" and ".bias", or the whole name of a gamma
 * @ic: input channels
 * @oc: output channels
 * @taps: along time
 * @rank: axes of its weight, or of its gamma
 * @upsamples: it sees its input at twice the resolution
 * @part: which third (query, key, value) or half (even, odd frames) of the stored weight's output
 * it is
 * @parts: of how many
 */
typedef struct
{
  SoraVaeLayerKind kind;
  char name[64];
  int64_t ic, oc;
  int taps, rank;
  int upsamples;
  int part, parts;
} SoraVaeLayer;

/* The most layers that a good configuration has. */
#define SORA_VAE_MAX_LAYERS (32 + SORA_VAE_MAX_LEVELS * (5 * (SORA_VAE_MAX_RES_BLOCKS + 1) + 4))

/**
 * sora_vae_layers:
 * @config: a configuration
 * @layers: (out): room for %SORA_VAE_MAX_LAYERS
 *
 * All layers of the decoder in the order in which a frame goes through them; vae-walk.c walks the
 * same order.
 *
 * Returns: how many
 */
int sora_vae_layers (const SoraVaeConfig *config, SoraVaeLayer *layers);

/**
 * sora_vae_layer_shape:
 * @layer: a layer
 * @shape: (out): of its stored weight or gamma, 5 axes at most
 *
 * Returns: how many axes
 */
int sora_vae_layer_shape (const SoraVaeLayer *layer, int64_t shape[5]);

#endif
