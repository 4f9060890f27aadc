/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-weights: the tensors of a model's component, by name, with the shape that the configuration
 * promises.  What is missing or of another shape is said by name; f32, f16 and bf16 are taken,
 * whatever the shard.
 */
#ifndef SORA_KIT_WEIGHTS_H
#define SORA_KIT_WEIGHTS_H

#include "kit-parallel.h"

/**
 * SoraKitWeights:
 * @host: the host
 * @weights: what weights_open() gave
 * @component: "transformer", for errors
 * @team: takes the reason of a failure
 *
 * Where tensors come from.  Lives on the caller's stack.
 */
typedef struct
{
  const SoraHost *host;
  SoraWeights *weights;
  const char *component;
  SoraKitTeam *team;
} SoraKitWeights;

/**
 * sora_kit_weights_view:
 * @from: where from
 * @name: of the tensor
 * @ndim: rank it must have
 * @shape: extents it must have
 * @view: (out): as stored; valid until the weights are closed
 *
 * Returns: %SORA_OK, or %SORA_FAILED with the reason in the team
 */
int sora_kit_weights_view (const SoraKitWeights *from, const char *name, int ndim,
                           const int64_t *shape, SoraTensorView *view);

/**
 * sora_kit_weights_f32:
 * @from: where from
 * @name: of the tensor
 * @ndim: rank it must have
 * @shape: extents it must have
 *
 * A small tensor as f32; its stored pages are given back.
 *
 * Returns: (nullable) (transfer full): the values; free with sora_kit_free()
 */
float *sora_kit_weights_f32 (const SoraKitWeights *from, const char *name, int ndim,
                             const int64_t *shape);

/**
 * sora_kit_weights_read:
 * @from: where from
 * @name: of the tensor
 * @ndim: rank it must have
 * @shape: extents it must have
 * @to: f32, as many values
 *
 * Likewise into memory that is there.
 *
 * Returns: %SORA_OK, or %SORA_FAILED with the reason in the team
 */
int sora_kit_weights_read (const SoraKitWeights *from, const char *name, int ndim,
                           const int64_t *shape, float *to);

/** sora_kit_weights_done: the stored pages of that tensor are not needed again. */
void sora_kit_weights_done (const SoraKitWeights *from, const char *name);

/** sora_kit_weights_readable: Returns: nonzero for f32, f16 and bf16. */
int sora_kit_weights_readable (int dtype);

/** sora_kit_same_shape: Returns: nonzero if @view has this rank and these extents; -1: any. */
int sora_kit_same_shape (const SoraTensorView *view, int ndim, const int64_t *shape);

/** sora_kit_shape_string: writes "[1, 2, 3]" to @text, cut to @size, "any" for -1.  Returns: @text.
 */
const char *sora_kit_shape_string (char *text, size_t size, int ndim, const int64_t *shape);

#endif
