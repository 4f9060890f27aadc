/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-layers.h: the list of a half's layers that follows from its configuration: the one place that
 * knows the names and shapes of its tensors.
 */
#ifndef SORA_VAE_LAYERS_H
#define SORA_VAE_LAYERS_H

#include "vae-config.h"

typedef enum
{
  SORA_VAE_DECODER,
  SORA_VAE_ENCODER,
} SoraVaeHalf;

typedef enum
{
  SORA_VAE_PLANE,  /* causal taps × 3 × 3 */
  SORA_VAE_POINT,  /* causal taps × 1 × 1 */
  SORA_VAE_FEW,    /* causal taps × 3 × 3 into a picture */
  SORA_VAE_STRIDE, /* 3 × 3 at every second pixel */
  SORA_VAE_NORM,   /* gamma */
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
 * @pairs: all frames that it sees come in twos, but the very first
 * @part: which third (query, key, value) or half (even, odd frames; mean) of the stored weight's
 * output it is
 * @parts: of how many
 */
typedef struct
{
  SoraVaeLayerKind kind;
  char name[64];
  int64_t ic, oc;
  int taps, rank;
  int upsamples;
  int pairs;
  int part, parts;
} SoraVaeLayer;

/* The most layers that a good configuration has. */
#define SORA_VAE_MAX_LAYERS (32 + SORA_VAE_MAX_LEVELS * (10 * (SORA_VAE_MAX_RES_BLOCKS + 1) + 4))

/**
 * sora_vae_layers:
 * @config: a configuration; for the encoder, that of sora_vae_config_read_encoder()
 * @half: which half
 * @layers: (out): room for %SORA_VAE_MAX_LAYERS
 *
 * All layers of a half in the order in which a frame goes through them; vae-walk.c and
 * vae-encode-walk.c walk the same order.
 *
 * Returns: how many
 */
int sora_vae_layers (const SoraVaeConfig *config, SoraVaeHalf half, SoraVaeLayer *layers);

/** sora_vae_layer_side: Returns: pixels that its weight has in each direction, 3 or 1. */
int sora_vae_layer_side (const SoraVaeLayer *layer);

/**
 * sora_vae_layer_shape:
 * @layer: a layer
 * @shape: (out): of its stored weight or gamma, 5 axes at most
 *
 * Returns: how many axes
 */
int sora_vae_layer_shape (const SoraVaeLayer *layer, int64_t shape[5]);

#endif
