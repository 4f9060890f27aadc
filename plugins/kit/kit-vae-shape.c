/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The levels of a Wan VAE.  Source: diffusers 0.42.1, autoencoder_kl_wan.py, AutoencoderKLWan.
 */
#include "kit-vae-shape.h"

static void
expect (SoraKitConfig *file, const char *key, int64_t made, const char *by)
{
  int64_t said = sora_kit_config_i64_or (file, key, 1, 4096, made);
  if (said != made)
    sora_kit_config_fail (file, "'%s' is %lld, but '%s' makes it %lld", key, (long long)said, by,
                          (long long)made);
}

void
sora_kit_vae_shape_read (SoraKitConfig *file, SoraKitVaeShape *shape)
{
  int down[SORA_KIT_VAE_MAX_LEVELS] = { 0, 1, 1 }, downs = 3;
  *shape = (SoraKitVaeShape){ .levels = 4, .mult = { 1, 2, 4, 4 }, .spatial = 1, .temporal = 1 };
  if (sora_kit_config_has (file, "dim_mult"))
    shape->levels
        = sora_kit_config_i64s (file, "dim_mult", shape->mult, 1, SORA_KIT_VAE_MAX_LEVELS, 1, 64);
  if (sora_kit_config_has (file, "temperal_downsample"))
    downs = sora_kit_config_bools (file, "temperal_downsample", down, 0, SORA_KIT_VAE_MAX_LEVELS);
  if (sora_kit_config_error (file) != NULL)
    return;
  if (downs < shape->levels - 1)
    {
      sora_kit_config_fail (file, "'temperal_downsample' has %d entries, 'dim_mult' needs %d",
                            downs, shape->levels - 1);
      return;
    }
  /* Wan 2.2's VAE puts patches of pixels into a latent's channels, too. */
  shape->spatial = sora_kit_config_i64_or (file, "patch_size", 1, 16, 1);
  for (int i = 0; i + 1 < shape->levels; i++)
    {
      shape->upsample_time[i] = down[downs - 1 - i];
      shape->spatial *= 2;
      shape->temporal *= shape->upsample_time[i] ? 2 : 1;
    }
  expect (file, "scale_factor_spatial", shape->spatial, "dim_mult");
  expect (file, "scale_factor_temporal", shape->temporal, "temperal_downsample");
}
