/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-layers.c: see vae-layers.h.  Source: diffusers 0.42.1, autoencoder_kl_wan.py, WanEncoder3d
 * and WanDecoder3d.
 */
#include "vae-layers.h"

#include <stdarg.h>
#include <stdio.h>

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
add_resnet (List *list, const char *name, int64_t ic, int64_t oc, int pairs)
{
  if (ic != oc)
    add (list, SORA_VAE_POINT, ic, oc, 1, 5, "%s.conv_shortcut", name);
  add (list, SORA_VAE_NORM, ic, ic, 1, 4, "%s.norm1.gamma", name);
  add (list, SORA_VAE_PLANE, ic, oc, 3, 5, "%s.conv1", name)->pairs = pairs;
  add (list, SORA_VAE_NORM, oc, oc, 1, 4, "%s.norm2.gamma", name);
  add (list, SORA_VAE_PLANE, oc, oc, 3, 5, "%s.conv2", name)->pairs = pairs;
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
add_attention (List *list, const char *name, int64_t dim)
{
  char qkv[64];
  (void)snprintf (qkv, sizeof qkv, "%s.to_qkv", name);
  add (list, SORA_VAE_NORM, dim, dim, 1, 3, "%s.norm.gamma", name);
  add_parts (list, 3, dim, 1, 4, qkv);
  add (list, SORA_VAE_POINT, dim, dim, 1, 4, "%s.proj", name);
}

static void
add_middle (List *list, const char *half, int64_t dim)
{
  char name[64];
  (void)snprintf (name, sizeof name, "%s.mid_block.resnets.0", half);
  add_resnet (list, name, dim, dim, 0);
  (void)snprintf (name, sizeof name, "%s.mid_block.attentions.0", half);
  add_attention (list, name, dim);
  (void)snprintf (name, sizeof name, "%s.mid_block.resnets.1", half);
  add_resnet (list, name, dim, dim, 0);
}

/* Returns the channels behind it: half as many, but for the residual form. */
static int64_t
add_upsampler (List *list, const SoraVaeConfig *config, int block, int64_t dim)
{
  const char *one = config->residual ? "upsampler" : "upsamplers.0";
  const int64_t out = config->residual ? dim : dim / 2;
  char name[64];
  if (config->upsample_time[block])
    {
      (void)snprintf (name, sizeof name, "decoder.up_blocks.%d.%s.time_conv", block, one);
      add_parts (list, 2, dim, 3, 5, name);
    }
  SoraVaeLayer *layer = add (list, SORA_VAE_PLANE, dim, out, 1, 4,
                             "decoder.up_blocks.%d.%s.resample.1", block, one);
  layer->upsamples = 1;
  return out;
}

static void
add_decoder (List *list, const SoraVaeConfig *config)
{
  add (list, SORA_VAE_POINT, config->z_dim, config->z_dim, 1, 5, "post_quant_conv");
  add (list, SORA_VAE_PLANE, config->z_dim, config->dims[0], 3, 5, "decoder.conv_in");
  add_middle (list, "decoder", config->dims[0]);
  int64_t dim = config->dims[0];
  int pairs = 0;
  for (int i = 0; i < config->n_blocks; i++)
    {
      for (int j = 0; j < config->n_resnets; j++)
        {
          char name[64];
          (void)snprintf (name, sizeof name, "decoder.up_blocks.%d.resnets.%d", i, j);
          add_resnet (list, name, dim, config->dims[i + 1], pairs);
          dim = config->dims[i + 1];
        }
      if (i + 1 < config->n_blocks)
        {
          dim = add_upsampler (list, config, i, dim);
          pairs |= config->upsample_time[i];
        }
    }
  add (list, SORA_VAE_NORM, dim, dim, 1, 4, "decoder.norm_out.gamma");
  /* A picture of patches has channels enough for the common way. */
  add (list, config->patch == 1 ? SORA_VAE_FEW : SORA_VAE_PLANE, dim,
       sora_vae_picture_channels (config), 3, 5, "decoder.conv_out");
}

static void
add_downsampler (List *list, const SoraVaeConfig *config, int level, int64_t dim, const char *name)
{
  add (list, SORA_VAE_STRIDE, dim, dim, 1, 4, "%s.resample.1", name);
  if (sora_vae_downsamples_time (config, level))
    add (list, SORA_VAE_POINT, dim, dim, 3, 5, "%s.time_conv", name);
}

/* The residual form, a block a level.  Returns the channels behind it. */
static int64_t
add_residual_levels (List *list, const SoraVaeConfig *config)
{
  char name[64];
  int64_t dim = config->down_dims[0];
  for (int i = 0; i < config->n_blocks; i++)
    {
      for (int j = 0; j < config->n_down_resnets; j++, dim = config->down_dims[i + 1])
        {
          (void)snprintf (name, sizeof name, "encoder.down_blocks.%d.resnets.%d", i, j);
          add_resnet (list, name, dim, config->down_dims[i + 1], 0);
        }
      (void)snprintf (name, sizeof name, "encoder.down_blocks.%d.downsampler", i);
      if (i + 1 < config->n_blocks)
        add_downsampler (list, config, i, dim, name);
    }
  return dim;
}

/* The reference numbers blocks, attention and downsamplers of all levels in one row. */
static int64_t
add_levels (List *list, const SoraVaeConfig *config)
{
  char name[64];
  int64_t dim = config->down_dims[0];
  int at = 0;
  for (int i = 0; i < config->n_blocks; i++)
    {
      for (int j = 0; j < config->n_down_resnets; j++)
        {
          (void)snprintf (name, sizeof name, "encoder.down_blocks.%d", at++);
          add_resnet (list, name, dim, config->down_dims[i + 1], 0);
          dim = config->down_dims[i + 1];
          if (!config->down_attention[i])
            continue;
          (void)snprintf (name, sizeof name, "encoder.down_blocks.%d", at++);
          add_attention (list, name, dim);
        }
      if (i + 1 == config->n_blocks)
        break;
      (void)snprintf (name, sizeof name, "encoder.down_blocks.%d", at++);
      add_downsampler (list, config, i, dim, name);
    }
  return dim;
}

static void
add_encoder (List *list, const SoraVaeConfig *config)
{
  add (list, SORA_VAE_PLANE, sora_vae_picture_channels (config), config->down_dims[0], 3, 5,
       "encoder.conv_in");
  const int64_t dim
      = config->residual ? add_residual_levels (list, config) : add_levels (list, config);
  add_middle (list, "encoder", dim);
  add (list, SORA_VAE_NORM, dim, dim, 1, 4, "encoder.norm_out.gamma");
  add (list, SORA_VAE_PLANE, dim, 2 * config->z_dim, 3, 5, "encoder.conv_out");
  /* Of mean and deviation, the mean. */
  SoraVaeLayer *mean
      = add (list, SORA_VAE_POINT, 2 * config->z_dim, config->z_dim, 1, 5, "quant_conv");
  mean->parts = 2;
}

int
sora_vae_layers (const SoraVaeConfig *config, SoraVaeHalf half, SoraVaeLayer *layers)
{
  List list = { .layers = layers };
  if (half == SORA_VAE_ENCODER)
    add_encoder (&list, config);
  else
    add_decoder (&list, config);
  return list.n;
}

int
sora_vae_layer_side (const SoraVaeLayer *layer)
{
  return layer->kind == SORA_VAE_POINT || layer->kind == SORA_VAE_NORM ? 1 : 3;
}

int
sora_vae_layer_shape (const SoraVaeLayer *layer, int64_t shape[5])
{
  const int64_t size = sora_vae_layer_side (layer);
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
