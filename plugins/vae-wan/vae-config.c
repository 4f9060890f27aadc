/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-config.c: see vae-config.h.  Source: diffusers 0.42.1, autoencoder_kl_wan.py,
 * AutoencoderKLWan.
 */
#include "vae-config.h"

#include <string.h>

static void
read_shape (SoraKitConfig *c, SoraVaeConfig *config)
{
  SoraKitVaeShape shape;
  const int64_t encoder_base = sora_kit_config_i64_or (c, "base_dim", 1, 2048, 96);
  const int64_t base = sora_kit_config_i64_or (c, "decoder_base_dim", 1, 2048, encoder_base);
  config->z_dim = sora_kit_config_i64_or (c, "z_dim", 1, SORA_VAE_MAX_Z, 16);
  config->n_resnets
      = (int)sora_kit_config_i64_or (c, "num_res_blocks", 0, SORA_VAE_MAX_RES_BLOCKS, 2) + 1;
  sora_kit_vae_shape_read (c, &shape);
  if (sora_kit_config_error (c) != NULL)
    return;

  const int levels = shape.levels;
  config->n_blocks = levels;
  config->spatial = shape.spatial;
  config->temporal = shape.temporal;
  memcpy (config->upsample_time, shape.upsample_time, sizeof config->upsample_time);
  config->dims[0] = base * shape.mult[levels - 1];
  for (int i = 0; i < levels; i++)
    config->dims[i + 1] = base * shape.mult[levels - 1 - i];
  for (int i = 0; i <= levels; i++)
    if (config->dims[i] > 8192
        || (!config->residual && i < levels && config->dims[i] % 2 != 0 && i > 0))
      sora_kit_config_fail (
          c, "the decoder would have %lld channels, expected an even number up to 8192",
          (long long)config->dims[i]);
  for (int i = 0; i + 1 < levels && config->residual; i++)
    if (config->dims[i + 1] * sora_vae_block_factor (config, i) % config->dims[i] != 0)
      sora_kit_config_fail (c,
                            "the decoder's block %d would make %lld channels of %lld at %lld times "
                            "the size: 'is_residual' wants the larger to be a multiple",
                            i, (long long)config->dims[i + 1], (long long)config->dims[i],
                            (long long)sora_vae_block_factor (config, i));
}

static void
read_latents (SoraKitConfig *c, SoraVaeConfig *config)
{
  static const double wan_mean[16]
      = { -0.7571, -0.7089, -0.9113, 0.1075,  -0.1745, 0.9653,  -0.1517, 1.5508,
          0.4134,  -0.0715, 0.5517,  -0.3632, -0.1922, -0.9497, 0.2503,  -0.2921 };
  static const double wan_std[16]
      = { 2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
          3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160 };
  double mean[SORA_VAE_MAX_Z], std[SORA_VAE_MAX_Z];
  memcpy (mean, wan_mean, sizeof wan_mean);
  memcpy (std, wan_std, sizeof wan_std);
  const int z = (int)config->z_dim, given = sora_kit_config_has (c, "latents_mean");
  if (given != sora_kit_config_has (c, "latents_std") || (!given && z != 16))
    {
      sora_kit_config_fail (
          c, "'latents_mean' and 'latents_std' are not both there for a 'z_dim' of %d", z);
      return;
    }
  if (given)
    {
      sora_kit_config_f64s (c, "latents_mean", mean, z, z, -1e6, 1e6);
      sora_kit_config_f64s (c, "latents_std", std, z, z, 1e-6, 1e6);
    }
  for (int i = 0; i < z && sora_kit_config_error (c) == NULL; i++)
    {
      config->mean[i] = (float)mean[i];
      config->std[i] = (float)std[i];
    }
}

static void
refuse_others (SoraKitConfig *c)
{
  const char *klass = sora_kit_config_string_or (c, "_class_name", NULL);
  if (sora_kit_config_error (c) == NULL
      && (klass == NULL || strcmp (klass, "AutoencoderKLWan") != 0))
    sora_kit_config_fail (c, "class '%.64s' is not supported, expected AutoencoderKLWan",
                          klass != NULL ? klass : "(none)");
}

/* `key`: in_channels or out_channels. */
static void
check_picture (SoraKitConfig *c, const SoraVaeConfig *config, const char *key)
{
  const int64_t channels = sora_kit_config_i64_or (c, key, 1, 1024, 3);
  const int64_t expected = sora_vae_picture_channels (config);
  if (sora_kit_config_error (c) == NULL && channels != expected)
    sora_kit_config_fail (c,
                          "'%s' is %lld, expected %lld: 3 for each pixel of a 'patch_size' of "
                          "%lld",
                          key, (long long)channels, (long long)expected, (long long)config->patch);
}

int64_t
sora_vae_picture_channels (const SoraVaeConfig *config)
{
  return 3 * config->patch * config->patch;
}

int64_t
sora_vae_block_factor (const SoraVaeConfig *config, int block)
{
  return config->upsample_time[block] ? 8 : 4;
}

int
sora_vae_downsamples_time (const SoraVaeConfig *config, int level)
{
  return config->upsample_time[config->n_blocks - 2 - level];
}

int64_t
sora_vae_level_factor (const SoraVaeConfig *config, int level)
{
  return level + 1 == config->n_blocks ? 1 : sora_vae_downsamples_time (config, level) ? 8 : 4;
}

void
sora_vae_config_read (SoraKitConfig *file, SoraVaeConfig *config)
{
  memset (config, 0, sizeof *config);
  refuse_others (file);
  config->residual = sora_kit_config_bool_or (file, "is_residual", 0);
  config->patch = sora_kit_config_i64_or (file, "patch_size", 1, 16, 1);
  check_picture (file, config, "out_channels");
  if (sora_kit_config_error (file) == NULL)
    read_shape (file, config);
  if (sora_kit_config_error (file) == NULL)
    read_latents (file, config);
}

void
sora_vae_config_read_encoder (SoraKitConfig *c, SoraVaeConfig *config)
{
  enum
  {
    MAX_SCALES = 64
  };
  double scales[MAX_SCALES];
  SoraKitVaeShape shape;
  const int64_t base = sora_kit_config_i64_or (c, "base_dim", 1, 2048, 96);
  check_picture (c, config, "in_channels");
  sora_kit_vae_shape_read (c, &shape);
  const int n_scales = sora_kit_config_f64s (c, "attn_scales", scales, 0, MAX_SCALES, -1e6, 1e6);
  if (sora_kit_config_error (c) != NULL)
    return;
  /* Of more entries the reference's encoder takes the first ones, and its decoder the last ones. */
  int down[SORA_VAE_MAX_LEVELS];
  if (sora_kit_config_has (c, "temperal_downsample")
      && sora_kit_config_bools (c, "temperal_downsample", down, 0, SORA_VAE_MAX_LEVELS)
             != config->n_blocks - 1)
    sora_kit_config_fail (
        c, "'temperal_downsample' has more than the %d entries that 'dim_mult' needs",
        config->n_blocks - 1);
  if (config->temporal > 4)
    sora_kit_config_fail (
        c, "'temperal_downsample' makes one latent of %lld frames, expected 4 at most to encode",
        (long long)config->temporal);
  config->n_down_resnets = config->n_resnets - 1;
  config->down_dims[0] = base;
  double scale = 1;
  for (int i = 0; i < config->n_blocks; i++, scale /= 2)
    {
      config->down_dims[i + 1] = base * shape.mult[i];
      /* The residual form has attention in its middle alone, whatever 'attn_scales' says. */
      for (int j = 0; j < n_scales && !config->residual; j++)
        config->down_attention[i] |= scales[j] == scale;
      if (config->n_down_resnets == 0 && shape.mult[i] != 1)
        sora_kit_config_fail (
            c, "'num_res_blocks' is 0, which leaves the encoder nothing to change its channels by");
      if (config->down_dims[i + 1] > 8192)
        sora_kit_config_fail (c, "the encoder would have %lld channels, expected up to 8192",
                              (long long)config->down_dims[i + 1]);
      const int64_t in = config->down_dims[i], out = config->down_dims[i + 1],
                    factor = sora_vae_level_factor (config, i);
      if (config->residual && in * factor % out != 0)
        sora_kit_config_fail (
            c,
            "the encoder's level %d would make %lld channels of %lld times %lld: 'is_residual' "
            "wants the product to be a multiple",
            i, (long long)out, (long long)in, (long long)factor);
    }
}
