/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tiny-config.h: the geometry of a TAEHV decoder, which has no configuration file: it follows from
 * the shapes of five tensors; and the list of its layers that follows from it, the one place that
 * knows the names and shapes of its tensors.
 *
 * Source: taehv.py of TAEHV, revision 1f14a568f24bf8811e0a0ac601613e04fc1581e8, class TAEHV, with
 * the time upsampling of Wan's checkpoints: none, twice, twice.
 */
#ifndef SORA_TINY_CONFIG_H
#define SORA_TINY_CONFIG_H

#include <stdint.h>

#define SORA_TINY_LEVELS 3
#define SORA_TINY_BLOCKS 3   /* with a memory, in each level */
#define SORA_TINY_TEMPORAL 4 /* frames of a latent frame */
#define SORA_TINY_DROPPED 3  /* frames at the beginning that are none */
#define SORA_TINY_MAX_LAYERS 40
#define SORA_TINY_MAX_WIDTH 2048
#define SORA_TINY_MAX_Z 256
#define SORA_TINY_MAX_PATCH 4

/**
 * SoraTinyConfig:
 * @z_dim: channels of the latents: 16 of Wan 2.1, 48 of Wan 2.2 5B
 * @widths: channels of the three levels, and of what the picture is made from
 * @patch: pixels in each direction that one place of the last layer holds: 1, or 2 of Wan 2.2 5B
 * @spatial: pixels of a latent in each direction: 8 · @patch
 */
typedef struct
{
  int64_t z_dim;
  int64_t widths[SORA_TINY_LEVELS + 1];
  int64_t patch, spatial;
} SoraTinyConfig;

/** sora_tiny_stretch: Returns: frames that a level gives for each that it gets. */
int sora_tiny_stretch (int level);

typedef enum
{
  SORA_TINY_PLANE, /* 3 × 3; of two taps where it sees its past, too */
  SORA_TINY_POINT, /* 1 × 1 */
  SORA_TINY_FEW,   /* 3 × 3 into the picture */
} SoraTinyLayerKind;

/**
 * SoraTinyLayer:
 * @kind: what it is
 * @name: of its tensors, without ".weight" and ".bias"
 * @ic: input channels
 * @oc: output channels, of this part
 * @taps: 2: input and past stand side by side in the stored weight's channels
 * @biased: it has a bias
 * @relu: max (0, x) follows
 * @upsamples: it sees its input at twice the resolution
 * @part: which frame's rows of the stored weight it is
 * @parts: of how many
 * @scale: places of its output in each direction, for one of the latents
 * @frames: of its output, for one of the latents
 */
typedef struct
{
  SoraTinyLayerKind kind;
  char name[32];
  int64_t ic, oc;
  int taps, biased, relu, upsamples, part, parts;
  int64_t scale, frames;
} SoraTinyLayer;

/**
 * sora_tiny_layers:
 * @config: a geometry
 * @layers: (out): room for %SORA_TINY_MAX_LAYERS
 *
 * All layers in the order in which a frame goes through them; tiny-stream.c walks the same order.
 *
 * Returns: how many
 */
int sora_tiny_layers (const SoraTinyConfig *config, SoraTinyLayer *layers);

/** sora_tiny_layer_shape: writes the shape of the stored weight; the bias has its first axis. */
void sora_tiny_layer_shape (const SoraTinyLayer *layer, int64_t shape[4]);

#endif
