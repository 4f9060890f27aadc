/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-linear-int8: y = activation (x Wᵀ + b) with weights and activations in 8 bits.  Weights are
 * s8 with one scale an output feature, rounded once when they are packed; activations are u8 with
 * zero point 128 and one scale a row (kit-quantise.h).  Products are summed exactly in s32; scales,
 * bias and activation are applied to a piece of the result while it is in the first cache.
 *
 * The bytes depend neither on the thread count nor on the instruction set.  What is lost against
 * f32 is the rounding of both operands to 8 bits (docs/numerics.md); against the same rounded
 * operands it is within 2e-6 of the largest value (tests/kit/test-linear-int8.c).
 *
 * Source: symmetric quantisation per channel and per token as in Dettmers et al., LLM.int8(),
 * arXiv 2208.07339, section 2.1 (vector-wise).
 */
#ifndef SORA_KIT_LINEAR_INT8_H
#define SORA_KIT_LINEAR_INT8_H

#include "kit-linear.h"
#include "kit-quantise.h"

typedef struct SoraKitLinearInt8 SoraKitLinearInt8;

/**
 * sora_kit_linear_int8_new:
 * @n: output features
 * @k: input features, at most 65,536
 * @activation: applied to the result
 * @team: (nullable): takes the reason of a failure
 *
 * Returns: (nullable) (transfer full): a layer without weights yet
 */
SoraKitLinearInt8 *sora_kit_linear_int8_new (int64_t n, int64_t k, SoraKitActivation activation,
                                             SoraKitTeam *team);

/** sora_kit_linear_int8_free: @linear: (nullable): frees it and its weights. */
void sora_kit_linear_int8_free (SoraKitLinearInt8 *linear);

/** sora_kit_linear_int8_bytes: Returns: bytes of the packed weights, scales and bias: exact. */
uint64_t sora_kit_linear_int8_bytes (int64_t n, int64_t k);

/** sora_kit_linear_int8_size: Returns: the same of a layer that is there. */
uint64_t sora_kit_linear_int8_size (const SoraKitLinearInt8 *linear);

/**
 * sora_kit_linear_int8_place:
 * @linear: a layer without weights
 * @memory: sora_kit_linear_int8_bytes() bytes, aligned to 64, which must outlive it
 *
 * As sora_kit_linear_place().  The layout depends on the shape alone.
 */
void sora_kit_linear_int8_place (SoraKitLinearInt8 *linear, void *memory);

/**
 * sora_kit_linear_int8_pack:
 * @linear: a layer
 * @team: who works
 * @parts: the weights, in order; their rows sum up to N
 * @n_parts: how many
 *
 * Rounds the weights and packs them.
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED
 */
int sora_kit_linear_int8_pack (SoraKitLinearInt8 *linear, SoraKitTeam *team,
                               const SoraKitLinearPart *parts, int n_parts);

/**
 * sora_kit_linear_int8_run:
 * @linear: a packed layer
 * @team: who works
 * @m: rows of @x and @y; 0 is allowed
 * @x: [m, K]
 * @y: f32 [m, N]
 * @ldy: elements between rows of @y; 0: N
 *
 * Returns: %SORA_OK, %SORA_CANCELLED (@y is then partly written) or %SORA_FAILED
 */
int sora_kit_linear_int8_run (SoraKitLinearInt8 *linear, SoraKitTeam *team, int64_t m,
                              const SoraKitRows8 *x, float *y, int64_t ldy);

#endif
