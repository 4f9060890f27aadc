/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-config.c: see vae-config.h.  Source: diffusers 0.42.1, autoencoder_kl_wan.py,
 * AutoencoderKLWan and WanDecoder3d.
 */
#include "vae-config.h"

#include <stdarg.h>
#include <stdio.h>
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
    if (config->dims[i] > 8192 || (i < levels && config->dims[i] % 2 != 0 && i > 0))
      sora_kit_config_fail (
          c, "the decoder would have %lld channels, expected an even number up to 8192",
          (long long)config->dims[i]);
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
  if (sora_kit_config_bool_or (c, "is_residual", 0))
    sora_kit_config_fail (
        c, "'is_residual' is true: the VAE of Wan 2.2 5B is not supported, that of Wan 2.1 is");
  if (sora_kit_config_i64_or (c, "patch_size", 1, 64, 1) != 1)
    sora_kit_config_fail (
        c, "'patch_size' is not 1: the VAE of Wan 2.2 5B is not supported, that of Wan 2.1 is");
  const int64_t channels = sora_kit_config_i64_or (c, "out_channels", 1, 1024, 3);
  if (channels != 3)
    sora_kit_config_fail (c, "'out_channels' is %lld, expected 3", (long long)channels);
}

void
sora_vae_config_read (SoraKitConfig *file, SoraVaeConfig *config)
{
  memset (config, 0, sizeof *config);
  refuse_others (file);
  if (sora_kit_config_error (file) == NULL)
    read_shape (file, config);
  if (sora_kit_config_error (file) == NULL)
    read_latents (file, config);
}

/* ---- layers */

typedef struct
{
  SoraVaeLayer *layers;
  int n;
} List;

static SoraVaeLayer *add (List *list, SoraVaeLayerKind kind, int64_t ic, int64_t oc, int taps,
                          int rank, const char *name, ...) __attribute__ ((format (printf, 7, 8)));

static SoraVaeLayer *
add (List *list, SoraVaeLayerKind kind, int64_t ic, int64_t oc, int taps, int rank,
     const char *name, ...)
{
  SoraVaeLayer *layer = &list->layers[list->n++];
  *layer
      = (SoraVaeLayer){ .kind = kind, .ic = ic, .oc = oc, .taps = taps, .rank = rank, .parts = 1 };
  va_list args;
  va_start (args, name);
  (void)vsnprintf (layer->name, sizeof layer->name, name, args);
  va_end (args);
  return layer;
}

/* The shortcut comes first, as the residual's sum is begun with it. */
static void
add_resnet (List *list, const char *name, int64_t ic, int64_t oc)
{
  if (ic != oc)
    add (list, SORA_VAE_POINT, ic, oc, 1, 5, "%s.conv_shortcut", name);
  add (list, SORA_VAE_NORM, ic, ic, 1, 4, "%s.norm1.gamma", name);
  add (list, SORA_VAE_PLANE, ic, oc, 3, 5, "%s.conv1", name);
  add (list, SORA_VAE_NORM, oc, oc, 1, 4, "%s.norm2.gamma", name);
  add (list, SORA_VAE_PLANE, oc, oc, 3, 5, "%s.conv2", name);
}

static void
add_parts (List *list, int parts, int64_t dim, int taps, int rank, const char *name)
{
  for (int i = 0; i < parts; i++)
    {
      SoraVaeLayer *layer = add (list, SORA_VAE_POINT, dim, dim, taps, rank, "%s", name);
      layer->part = i;
      layer->parts = parts;
    }
}

static void
add_middle (List *list, int64_t dim)
{
  add_resnet (list, "decoder.mid_block.resnets.0", dim, dim);
  add (list, SORA_VAE_NORM, dim, dim, 1, 3, "decoder.mid_block.attentions.0.norm.gamma");
  add_parts (list, 3, dim, 1, 4, "decoder.mid_block.attentions.0.to_qkv");
  add (list, SORA_VAE_POINT, dim, dim, 1, 4, "decoder.mid_block.attentions.0.proj");
  add_resnet (list, "decoder.mid_block.resnets.1", dim, dim);
}

static void
add_upsampler (List *list, int block, int64_t dim, int time)
{
  char name[64];
  if (time)
    {
      (void)snprintf (name, sizeof name, "decoder.up_blocks.%d.upsamplers.0.time_conv", block);
      add_parts (list, 2, dim, 3, 5, name);
    }
  SoraVaeLayer *layer = add (list, SORA_VAE_PLANE, dim, dim / 2, 1, 4,
                             "decoder.up_blocks.%d.upsamplers.0.resample.1", block);
  layer->upsamples = 1;
}

int
sora_vae_layers (const SoraVaeConfig *config, SoraVaeLayer *layers)
{
  List list = { .layers = layers };
  add (&list, SORA_VAE_POINT, config->z_dim, config->z_dim, 1, 5, "post_quant_conv");
  add (&list, SORA_VAE_PLANE, config->z_dim, config->dims[0], 3, 5, "decoder.conv_in");
  add_middle (&list, config->dims[0]);
  int64_t dim = config->dims[0];
  for (int i = 0; i < config->n_blocks; i++)
    {
      for (int j = 0; j < config->n_resnets; j++)
        {
          char name[64];
          (void)snprintf (name, sizeof name, "decoder.up_blocks.%d.resnets.%d", i, j);
          add_resnet (&list, name, dim, config->dims[i + 1]);
          dim = config->dims[i + 1];
        }
      if (i + 1 < config->n_blocks)
        {
          add_upsampler (&list, i, dim, config->upsample_time[i]);
          dim /= 2;
        }
    }
  add (&list, SORA_VAE_NORM, dim, dim, 1, 4, "decoder.norm_out.gamma");
  add (&list, SORA_VAE_FEW, dim, 3, 3, 5, "decoder.conv_out");
  return list.n;
}

int
sora_vae_layer_shape (const SoraVaeLayer *layer, int64_t shape[5])
{
  const int64_t size = layer->kind == SORA_VAE_PLANE || layer->kind == SORA_VAE_FEW ? 3 : 1;
  for (int i = 0; i < 5; i++)
    shape[i] = 1;
  if (layer->kind == SORA_VAE_NORM)
    shape[0] = layer->oc;
  else
    {
      shape[0] = layer->oc * layer->parts;
      shape[1] = layer->ic;
      shape[2] = layer->rank == 5 ? layer->taps : size;
      shape[3] = size;
      shape[4] = size; /* of a 3-d convolution */
    }
  return layer->rank;
}
