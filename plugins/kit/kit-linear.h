/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-linear: y = activation (x Wᵀ + b) with weights packed once, in f32.  The weights are cut into
 * tiles of output features, the rows of x into tiles of rows, both of sizes that follow from the
 * shape alone; each pair is one product on one thread.  So the bytes do not depend on the thread
 * count.
 *
 * Tolerance: 1e-5 of the largest value against a product summed in f64 (tests/kit/test-linear.c).
 */
#ifndef SORA_KIT_LINEAR_H
#define SORA_KIT_LINEAR_H

#include "kit-dnnl.h"

typedef struct SoraKitLinear SoraKitLinear;

/**
 * SoraKitLinearPart:
 * @weights: [rows, K], C-contiguous
 * @weights_dtype: %SORA_F32, %SORA_F16 or %SORA_BF16
 * @bias_dtype: the same, of @bias
 * @bias: (nullable): [rows]; %NULL: zeros
 * @rows: output features
 *
 * Some of the output features of a layer, as PyTorch stores them.  More than one part makes one
 * layer of several (query, key and value in one product).
 */
typedef struct
{
  const void *weights;
  int32_t weights_dtype, bias_dtype;
  const void *bias;
  int64_t rows;
} SoraKitLinearPart;

/**
 * sora_kit_linear_new:
 * @cache: where its primitives live; must outlive it
 * @n: output features
 * @k: input features
 * @activation: applied to the result
 * @bias: nonzero: there is a bias
 * @team: (nullable): takes the reason of a failure
 *
 * A layer without weights yet.  Any thread that owns @cache.
 *
 * Returns: (nullable) (transfer full): the layer; %NULL if out of memory or oneDNN has no code for
 * it
 */
SoraKitLinear *sora_kit_linear_new (SoraKitCache *cache, int64_t n, int64_t k,
                                    SoraKitActivation activation, int bias, SoraKitTeam *team);

/** sora_kit_linear_free: @linear: (nullable): frees it and its weights. */
void sora_kit_linear_free (SoraKitLinear *linear);

/**
 * sora_kit_linear_bytes:
 *
 * For cost estimates before anything is created: with AVX-512 what sora_kit_linear_size() will be,
 * elsewhere never less.
 *
 * Returns: bytes of the packed weights and the bias
 */
uint64_t sora_kit_linear_bytes (int64_t n, int64_t k);

/** sora_kit_linear_size: Returns: bytes that the packed weights and the bias take. */
uint64_t sora_kit_linear_size (const SoraKitLinear *linear);

/**
 * sora_kit_linear_place:
 * @linear: a layer without weights
 * @memory: sora_kit_linear_size() bytes, aligned to 64, which must outlive it
 *
 * Its weights and bias stand there: those of a layer of the same shape, activation and layout, packed
 * before; or zeros, for sora_kit_linear_pack() to fill.
 */
void sora_kit_linear_place (SoraKitLinear *linear, void *memory);

/**
 * sora_kit_linear_layout:
 * @linear: a layer
 * @team: takes the reason of a failure
 * @sum: (inout): a checksum
 *
 * Adds the order of its packed weights, as oneDNN describes it, to @sum: where sums, shapes and oneDNN's
 * version agree, packed weights can be exchanged.
 *
 * Returns: %SORA_OK or %SORA_FAILED
 */
int sora_kit_linear_layout (const SoraKitLinear *linear, SoraKitTeam *team, uint64_t *sum);

/**
 * sora_kit_linear_pack:
 * @linear: a layer
 * @team: who works
 * @parts: the weights, in order; their rows sum up to N
 * @n_parts: how many
 *
 * Converts to f32 and brings into oneDNN's order.  Allocates the packed weights, unless they have
 * their place.
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED
 */
int sora_kit_linear_pack (SoraKitLinear *linear, SoraKitTeam *team, const SoraKitLinearPart *parts,
                          int n_parts);

/**
 * sora_kit_linear_run:
 * @linear: a packed layer
 * @team: who works
 * @m: rows of @x and @y; 0 is allowed
 * @x: f32 [m, K]
 * @ldx: elements between rows of @x; 0: K
 * @y: f32 [m, N]; may not overlap @x
 * @ldy: elements between rows of @y; 0: N
 *
 * Returns: %SORA_OK, %SORA_CANCELLED (@y is then partly written) or %SORA_FAILED
 */
int sora_kit_linear_run (SoraKitLinear *linear, SoraKitTeam *team, int64_t m, const float *x,
                         int64_t ldx, float *y, int64_t ldy);

#endif
